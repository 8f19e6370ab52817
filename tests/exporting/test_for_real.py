"""Exports to real systems: after changes and deaths, what is there is what the principal sees; and a process that is killed in the middle."""

from __future__ import annotations

import json
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
from export_kit import Bench, export
from places import Endpoint, Place, files_place, fold, http_place, http_server, mysql_place, nats_place, postgres_place, redis_place, s3_place

from headwater.destinations import open_destination
from services import without_a_terminal

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

FILES = {
    "headwater.yaml": "name: shop\n",
    "sources/shop.yaml": "type: files\nstreams:\n  customers: {path: data/customers.csv, write_disposition: replace, columns: {id: bigint}}\n",
    "models/marts/customers.sql": "SELECT id, name, city FROM shop.customers\n",
    "policies/all.yaml": "roles:\n  exporter:\n    grants: [{export: marts.*}]\ngroups:\n  exporters: {roles: [exporter]}\n",
}


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _customers(folder: Path, rows: dict[int, str]) -> None:
    _write(folder, {"data/customers.csv": "id,name,city\n" + "".join(f"{key},{name},Oslo\n" for key, name in rows.items())})


def _hw(folder: Path, *arguments: str, expect: int | None = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**without_a_terminal(), "NO_COLOR": "1", **(env or {})}
    done = subprocess.run([PROGRAM, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert expect is None or done.returncode == expect, (done.stdout, done.stderr)
    return done


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    _write(tmp_path, FILES)
    _customers(tmp_path, {number: f"n{number}" for number in range(1, 41)})
    _hw(tmp_path, "run")
    _hw(tmp_path, "user", "add", "crm_bot", "--service", "--oidc", "--group", "exporters")
    return tmp_path


def _define(folder: Path, to: dict[str, Any], **more: Any) -> None:
    spec = {"table": "marts.customers", "as": "crm_bot", "key": ["id"], "to": to, "batch": 5, "max_deletes": 1, **more}
    _write(folder, {"exports/crm.yaml": json.dumps({"exports": {"crm": spec}})})


@pytest.mark.parametrize("instant", ["export.planned:1", "export.sent:5", "export.acknowledged:3", "export.folded:1"])
def test_a_process_killed_at_an_instant_loses_nothing(shop: Path, instant: str) -> None:
    endpoint = Endpoint()
    with http_server(endpoint) as url:
        _define(shop, {"http": {"url": url}})
        killed = _hw(shop, "export", "run", expect=None, env={"HEADWATER_KILL_AT": instant})
        assert killed.returncode == -signal.SIGKILL
        _customers(shop, {number: f"m{number}" for number in range(3, 44)})
        _hw(shop, "run")
        done = json.loads(_hw(shop, "export", "run", "--json").stdout)
        assert done[0]["status"] == "succeeded"
    assert {row["id"]: row["name"] for row in fold(endpoint.changes)} == {number: f"m{number}" for number in range(3, 44)}


def test_a_process_killed_at_any_time_loses_nothing(shop: Path) -> None:
    random_ = random.Random(7)
    with postgres_place("id bigint PRIMARY KEY, name text, city text") as place:
        _define(shop, {"postgres": {"dsn": "${env:CRM_DSN}", "table": place.options["table"]}}, batch=2, rate="40/s")
        environment = {**os.environ, "CRM_DSN": place.options["dsn"]}
        for number in range(2):
            process = subprocess.Popen([PROGRAM, "export", "run"], cwd=shop, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 20
            while len(place.read()) < 4 + 8 * number and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.02)
            time.sleep(random_.uniform(0, 0.1))
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert 0 < len(place.read()) < 40
        _customers(shop, {number: f"m{number}" for number in range(10, 45)})
        _hw(shop, "run")
        _hw(shop, "export", "run", "crm", env={"CRM_DSN": place.options["dsn"]})
        assert {row["id"]: row["name"] for row in place.read()} == {number: f"m{number}" for number in range(10, 45)}
        assert json.loads(_hw(shop, "export", "status", "--json").stdout)[0]["newest"]["status"] == "succeeded"
        assert place.options["dsn"] not in "".join(file.read_text(errors="replace") for file in (shop / ".headwater").glob("state*"))


def test_two_runs_at_once_are_one(shop: Path) -> None:
    with postgres_place("id bigint PRIMARY KEY, name text, city text") as place:
        _define(shop, {"postgres": place.options}, batch=2, rate="3/s")
        with subprocess.Popen([PROGRAM, "export", "run"], cwd=shop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
            while not place.read() and first.poll() is None:
                time.sleep(0.02)
            second = _hw(shop, "export", "run", expect=None)
            assert first.wait(60) == 0
        assert second.returncode == 1
        assert "HW-T001" in second.stderr
        assert len(place.read()) == 40


def test_dead_letters_by_the_command(shop: Path) -> None:
    with postgres_place("id bigint PRIMARY KEY, name text, city text, CHECK (name <> 'n7')") as place:
        _define(shop, {"postgres": place.options})
        done = _hw(shop, "export", "run")
        assert "39 inserted, 1 refused" in done.stdout
        assert "n7" not in done.stdout + done.stderr
        listed = json.loads(_hw(shop, "export", "dead", "list", "crm", "--json").stdout)
        assert [(one["key"], one["operation"]) for one in listed] == [(["7"], "upsert")]
        assert listed[0]["reason"].startswith("23514 CheckViolation (constraint")
        place.extra.execute(f"ALTER TABLE {place.options['table']} DROP CONSTRAINT things_name_check")
        assert "1 rows will be tried again" in _hw(shop, "export", "dead", "retry", "crm", listed[0]["id"]).stdout
        assert "1 inserted" in _hw(shop, "export", "run").stdout
        assert len(place.read()) == 40


def test_what_is_wrong_with_the_destination_is_said_by_name(shop: Path) -> None:
    with postgres_place("id bigint PRIMARY KEY, name numeric, city text") as place:
        _define(shop, {"postgres": place.options})
        done = _hw(shop, "export", "run", "--dry-run", expect=1)
        assert "HW-E002" in done.stderr
        assert "can't hold the column name, of type VARCHAR" in done.stderr
        _define(shop, {"postgres": {**place.options, "table": place.options["table"] + "_new", "create": True}})
        _hw(shop, "export", "run")
        with psycopg.connect(place.options["dsn"]) as connection:
            assert connection.execute(f"SELECT count(*) FROM {place.options['table']}_new").fetchone() == (40,)


def test_a_disabled_account_exports_nothing(shop: Path) -> None:
    _define(shop, {"files": {"path": "out"}})
    _hw(shop, "user", "disable", "crm_bot")
    assert "crm_bot is disabled" in _hw(shop, "export", "run", expect=1).stderr
    assert not (shop / "out").exists()
