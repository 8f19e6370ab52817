"""Exports to real systems: after changes and deaths, what is there is what the principal sees; and a process that is killed in the middle."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from export_kit import SHOP, Bench, customers, define, export, write
from places import (
    Endpoint,
    Place,
    files_place,
    fold,
    http_place,
    http_server,
    mqtt_place,
    mysql_place,
    nats_place,
    postgres_place,
    rabbitmq_place,
    redis_place,
    retained_place,
    s3_place,
)

from commands import run_here, run_installed
from headwater import api
from headwater.destinations import open_destination
from headwater.errors import AuditUnwritable
from headwater.security.audit import AuditLog

PROGRAM = Path(sys.executable).with_name("headwater")
PG_COLUMNS = "id bigint PRIMARY KEY, name text, city text, note text DEFAULT 'theirs'"
MY_COLUMNS = "id bigint PRIMARY KEY, name text, city text"
PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "postgres": lambda folder: postgres_place(PG_COLUMNS),
    "mysql": lambda folder: mysql_place(MY_COLUMNS),
    "http": lambda folder: http_place(),
    "ndjson": lambda folder: files_place(folder / "out", "ndjson"),
    "parquet": lambda folder: files_place(folder / "out", "parquet"),
    "csv": lambda folder: files_place(folder / "out", "csv"),
    "s3": lambda folder: s3_place("parquet"),
    "redis": lambda folder: redis_place(),
    "nats": lambda folder: nats_place(),
    "rabbitmq": lambda folder: rabbitmq_place(),
    "mqtt": lambda folder: mqtt_place(),
    "retained": lambda folder: retained_place(),
}


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with PLACES[request.param](tmp_path) as made:
        yield made


def _spec(place: Place, **changes: Any) -> Any:
    ((kind, options),) = place.to.items()
    return export(to=kind, options=options, **changes)


def _rows(random_: random.Random) -> dict[int, tuple[str | None, str | None]]:
    names = ["Ada", "", "x'y\"z", "漢字 🙂", "back\\slash\nline", None]
    return {key: (random_.choice(names), random_.choice(["Oslo", None])) for key in random_.sample(range(1, 20), random_.randint(0, 12))}


def test_changes_and_deaths_leave_what_the_principal_sees(bench: Bench, place: Place) -> None:
    random_ = random.Random(4711)
    for _ in range(3):
        bench.rows(_rows(random_))
        for is_death in (True, False):
            spec = _spec(place, batch=3)
            with open_destination(spec, project_dir=bench.folder, environ={}) as destination:
                bench.destination = destination
                if is_death:
                    bench.die(random_.randint(0, 6), spec)
                else:
                    bench.run(spec)
        there = {str(row["id"]): (str(row["id"]), row["name"], row["city"]) for row in place.read()}
        assert there == bench.seen()


def test_columns_of_others_stay_as_they_are(bench: Bench) -> None:
    with postgres_place(PG_COLUMNS) as place:
        bench.rows({1: ("Ada", None), 2: ("Bo", None)})
        spec = _spec(place)
        for rows in ({1: ("Ada", None), 2: ("Bo", None)}, {1: ("Ada!", None), 2: ("Bo", None)}):
            bench.rows(rows)
            with open_destination(spec, project_dir=bench.folder, environ={}) as destination:
                bench.run(spec, destination=destination)
            place.extra.execute(f"UPDATE {place.options['table']} SET note = 'mine' WHERE id = 1")
        assert [(row["name"], row["note"]) for row in sorted(place.read(), key=lambda row: row["id"])] == [("Ada!", "mine"), ("Bo", "theirs")]


# -- the installed command -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("instant", ["export.planned:1", "export.sent:5", "export.acknowledged:3", "export.folded:1"])
def test_a_process_killed_at_an_instant_loses_nothing(shop: Path, instant: str) -> None:
    endpoint = Endpoint()
    with http_server(endpoint) as url:
        define(shop, {"http": {"url": url}})
        run_installed(shop, "export", "run", expect=-signal.SIGKILL, env={"HEADWATER_KILL_AT": instant})
        customers(shop, {number: f"m{number}" for number in range(3, 44)})
        run_here(shop, "run")
        done = run_installed(shop, "export", "run", "--json").json
        assert done[0]["status"] == "succeeded"
    assert {row["id"]: row["name"] for row in fold(endpoint.changes)} == {number: f"m{number}" for number in range(3, 44)}


def test_a_process_killed_at_any_time_loses_nothing(shop: Path) -> None:
    random_ = random.Random(7)
    with postgres_place("id bigint PRIMARY KEY, name text, city text") as place:
        define(shop, {"postgres": {"dsn": "${env:CRM_DSN}", "table": place.options["table"]}}, batch=2, rate="40/s")
        environment = {**os.environ, "CRM_DSN": place.options["dsn"]}
        for number in range(2):
            process = subprocess.Popen([PROGRAM, "export", "run"], cwd=shop, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 120
            while len(place.read()) < 4 + 8 * number and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.02)
            time.sleep(random_.uniform(0, 0.1))
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert 0 < len(place.read()) < 40
        customers(shop, {number: f"m{number}" for number in range(10, 45)})
        run_here(shop, "run")
        run_here(shop, "export", "run", "crm", env={"CRM_DSN": place.options["dsn"]})
        assert {row["id"]: row["name"] for row in place.read()} == {number: f"m{number}" for number in range(10, 45)}
        assert run_here(shop, "export", "status", "--json").json[0]["newest"]["status"] == "succeeded"
        assert place.options["dsn"] not in "".join(file.read_text(errors="replace") for file in (shop / ".headwater").glob("state*"))


def test_two_runs_at_once_are_one(shop: Path) -> None:
    with postgres_place("id bigint PRIMARY KEY, name text, city text") as place:
        define(shop, {"postgres": place.options}, batch=2)
        stopping = {**os.environ, "HEADWATER_KILL_AT": "export.sent:2:stop"}
        with subprocess.Popen([PROGRAM, "export", "run"], cwd=shop, env=stopping, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
            _, status = os.waitpid(first.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            try:
                assert "HW-T001" in run_here(shop, "export", "run", expect=1).err
            finally:
                first.send_signal(signal.SIGCONT)
            assert first.wait(60) == 0
        assert len(place.read()) == 40


def test_dead_letters_by_the_command(shop: Path) -> None:
    with postgres_place("id bigint PRIMARY KEY, name text, city text, CHECK (name <> 'n7')") as place:
        define(shop, {"postgres": place.options})
        done = run_here(shop, "export", "run")
        assert "39 inserted, 1 refused" in done.out
        assert "n7" not in done.out + done.err
        listed = run_here(shop, "export", "dead", "list", "crm", "--json").json
        assert [(one["key"], one["operation"]) for one in listed] == [(["7"], "upsert")]
        assert listed[0]["reason"].startswith("23514 CheckViolation (constraint")
        place.extra.execute(f"ALTER TABLE {place.options['table']} DROP CONSTRAINT things_name_check")
        assert "1 row will be tried again" in run_here(shop, "export", "dead", "retry", "crm", listed[0]["id"]).out
        assert "1 inserted" in run_here(shop, "export", "run").out
        assert len(place.read()) == 40


def test_every_act_about_dead_letters_and_every_look_stands_in_the_audit(shop: Path) -> None:
    with postgres_place("id bigint PRIMARY KEY, name text, city text, CHECK (name NOT IN ('n6', 'n7', 'n8'))") as place:
        define(shop, {"postgres": place.options})
        run_here(shop, "export", "run")
        letters = [one["id"] for one in run_here(shop, "export", "dead", "list", "crm", "--json").json]
        assert len(letters) == 3
        env: dict[str, dict[str, str]] = {"owner": {}}
        for user, more in (("boss", ["--admin"]), ("eve", []), ("crm_bot", [])):
            if user != "crm_bot":
                run_here(shop, "user", "add", user, "--oidc", *more)
            env[user] = {"HEADWATER_TOKEN": run_here(shop, "user", "token", user).out.strip()}
        acts = (
            ("crm_bot", ["dead", "retry", "crm", letters[0], letters[0]], "export", "export dead retry crm: 1 letter"),
            ("boss", ["dead", "drop", "crm", letters[1]], "export", "export dead drop crm: 1 letter"),
            ("owner", ["dead", "retry", "crm"], "export", "export dead retry crm: 1 letter"),
            ("owner", ["dead", "drop", "crm"], "export", "export dead drop crm: 0 letters"),
            ("crm_bot", ["status"], "look", "export status crm"),
            ("owner", ["status", "crm"], "look", "export status crm"),
            ("boss", ["check", "crm"], "look", "export check crm"),
            ("owner", ["dead", "list", "crm"], "export", "export dead list crm"),
            ("eve", ["dead", "list", "crm"], "export", "export dead list crm"),
            ("eve", ["dead", "retry", "crm"], "export", "export dead retry crm"),
            ("eve", ["dead", "drop", "crm", letters[0]], "export", "export dead drop crm"),
            ("eve", ["run", "crm"], "export", "export run crm"),
            ("eve", ["status", "crm"], "look", "export status crm"),
            ("eve", ["check", "crm"], "look", "export check crm"),
        )
        before = len(run_here(shop, "audit", "list", "--json").json)
        for who, act, _, _ in acts:
            run_here(shop, "export", *act, env=env[who], expect=1 if who == "eve" else 0)
        rows = [row["record"] for row in run_here(shop, "audit", "list", "--json", "--limit", "100").json][before:]
        told = [(one["principal"], one["action"], one["sql"], one["decision"]) for one in rows if one["action"] != "login"]
        assert told == [(who, action, said, "refused" if who == "eve" else "allowed") for who, _, action, said in acts]
        assert "no dead letter waits" in run_here(shop, "export", "dead", "retry", "crm", "nothing", expect=2).err
        assert run_here(shop, "export", "dead", "drop", "crm").out == "no dead letter waits\n"


def test_who_sees_a_part_of_the_table_decides_about_letters_and_reads_no_keys(shop: Path) -> None:
    write(shop, {"policies/all.yaml": SHOP["policies/all.yaml"].replace("marts.*}", "marts.*, where: id > 5}")})
    with postgres_place("id bigint PRIMARY KEY, name text, city text, CHECK (name <> 'n7')") as place:
        define(shop, {"postgres": place.options})
        run_here(shop, "export", "run")
        run_here(shop, "user", "add", "boss", "--oidc", "--admin")
        for user in ("crm_bot", "boss"):
            env = {"HEADWATER_TOKEN": run_here(shop, "user", "token", user).out.strip()}
            refused = run_here(shop, "export", "dead", "list", "crm", env=env, expect=1).err
            assert f"{user} can't read the keys of marts.customers" in refused
            assert "headwater export dead retry crm" in refused
            assert "1 row will be tried again" in run_here(shop, "export", "dead", "retry", "crm", env=env).out
            run_here(shop, "export", "run", env=env)


def test_letters_whose_audit_cannot_be_written_stay_as_they_are(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(log: AuditLog, record: object) -> None:
        raise AuditUnwritable("the audit can't be written")

    with postgres_place("id bigint PRIMARY KEY, name text, city text, CHECK (name <> 'n7')") as place:
        define(shop, {"postgres": place.options})
        run_here(shop, "export", "run")
        with api.open(shop) as project:
            for change in (project.exports.retry_dead, project.exports.drop_dead):
                with monkeypatch.context() as patch:
                    patch.setattr(AuditLog, "append", broken)
                    with pytest.raises(AuditUnwritable):
                        change("crm")
                assert len(project.exports.dead("crm")) == 1


def test_what_is_wrong_with_the_destination_is_said_by_name(shop: Path) -> None:
    with postgres_place("id bigint PRIMARY KEY, name numeric, city text") as place:
        define(shop, {"postgres": place.options})
        done = run_here(shop, "export", "run", "--dry-run", expect=1)
        assert "HW-E002" in done.err
        assert "can't hold the column name, of type VARCHAR" in done.err
        define(shop, {"postgres": {**place.options, "table": place.options["table"] + "_new", "create": True}})
        run_here(shop, "export", "run")
        with psycopg.connect(place.options["dsn"]) as connection:
            assert connection.execute(f"SELECT count(*) FROM {place.options['table']}_new").fetchone() == (40,)


def test_a_disabled_account_exports_nothing(shop: Path) -> None:
    define(shop, {"files": {"path": "out"}})
    run_here(shop, "user", "disable", "crm_bot")
    assert "crm_bot is disabled" in run_here(shop, "export", "run", expect=1).err
    assert not (shop / "out").exists()
