"""Sessions, cursors, portals and answers kept by clients, across what takes rights away; and tokens that are good for less than their user."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from headwater import api
from headwater.api.serving import Server
from headwater.errors import ApprovalRefused

POLICIES = """
roles:
  analyst:
    grants:
      - select: m.*
        unmask: [pii]
      - run: "*"
  stranger:
    grants:
      - select: m.nothing
      - run: m.orders
  bot:
    grants: [{export: "m.*"}]
groups:
  analysts: {roles: [analyst], members: [ada, ann, al, root]}
  strangers: {roles: [stranger], members: [eve]}
  bots: {roles: [bot], members: [bot]}
deny:
  - {user: al, run: {label: pii}}
"""
FILES = {
    "headwater.yaml": "name: shop\n",
    "orders.csv": "id,email,country\n" + "".join(f"{i},u{i}@s3cr3t.no,{'NO' if i % 2 else 'SE'}\n" for i in range(1000)),
    "sources/raw.yaml": "type: files\nstreams:\n  orders:\n    path: orders.csv\n    columns: {id: bigint, email: {labels: [pii.email]}}\n",
    "models/m/orders.sql": "-- headwater\n-- hot: true\n-- checks:\n--   - accepted_values: {column: email, values: [x], severity: warn}\n"
    "SELECT id, email, country FROM raw.orders\n",
    "exports/out.yaml": "exports:\n  out: {table: m.orders, as: bot, key: [id], to: {files: {path: out}}}\n",
    "policies/all.yaml": POLICIES,
}


@dataclass
class Shop:
    folder: Path
    project: api.Project
    server: Server
    tokens: dict[str, str]

    @property
    def ports(self) -> dict[str, int | None]:
        return {door.door: urlsplit(door.url).port for door in self.server.doors}

    def postgres(self, user: str) -> psycopg.Connection:
        return psycopg.connect(host="127.0.0.1", port=self.ports["postgres"], user=user, password=self.tokens[user], dbname="shop")

    def http(self, user: str, path: str, **headers: str) -> tuple[int, str | None, Any]:
        given = {"Authorization": f"Bearer {self.tokens[user]}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.ports['http']}{path}", headers=given)) as answer:
                return answer.status, answer.headers["ETag"], json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers["ETag"], error.read()

    def rules(self, text: str) -> None:
        (self.folder / "policies" / "all.yaml").write_text(text)
        assert self.project.reload_definitions(self.server)

    def calling(self, user: str, **rights: Any) -> api.Project:
        """The project as `user` calls it, by a token that is good for `scope`."""
        token, _ = self.project.users.token(user, **rights)
        project = api.open(self.folder)
        object.__setattr__(project._loaded, "environ", {**project._loaded.environ, "HEADWATER_TOKEN": token})
        return project


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("ends")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with api.open(folder) as project:
        project.run()
        tokens = {}
        for user in ("ada", "ann", "al", "eve", "bot", "root"):
            project.users.add(user, oidc=True, admin=user == "root", service=user == "bot")
            tokens[user] = project.users.token(user)[0]
        with project.serve(pg_port=0, http_port=0, flight_port=0) as server:
            yield Shop(folder, project, server, tokens)


def test_an_answer_that_one_has_is_no_answer_to_another(shop: Shop) -> None:
    status, etag, _ = shop.http("ada", "/v1/tables/m.orders?limit=1")
    assert status == 200
    assert etag is not None
    assert shop.http("ada", "/v1/tables/m.orders?limit=1", If_None_Match=etag)[0] == 304
    hidden = [shop.http("eve", f"/v1/tables/{name}?limit=1", If_None_Match=known) for name in ("m.orders", "m.none") for known in (etag, "*")]
    assert {(code, told) for code, told, _ in hidden} == {(404, None)}
    assert len({body for _, _, body in hidden}) == 1
    assert shop.http("ann", "/v1/tables/m.orders?limit=1", If_None_Match=etag)[0] == 200


@pytest.mark.parametrize("take", ["policies", "disable", "revoke"])
def test_no_more_rows_come_once_the_rights_they_began_by_are_gone(shop: Shop, take: str) -> None:
    doing: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "policies": (
            lambda: shop.rules(POLICIES.replace("        unmask: [pii]\n", "        where: country = 'NO'\n")),
            lambda: shop.rules(POLICIES),
        ),
        "disable": (lambda: shop.project.users.disable("ada"), lambda: shop.project.users.enable("ada")),
        "revoke": (lambda: shop.project.users.revoke(shop.tokens["ada"][3:15]), lambda: _renew(shop, "ada")),
    }
    take_away, give_back = doing[take]
    sql = "SELECT id, email FROM m.orders ORDER BY id"
    with shop.postgres("ada") as connection, shop.postgres("ada") as other, connection.cursor(name="c") as cursor:
        _, etag, _ = shop.http("ada", "/v1/tables/m.orders?limit=1")
        assert etag is not None
        cursor.execute(sql)
        assert cursor.fetchmany(2)[0] == (0, "u0@s3cr3t.no")
        other.autocommit = True
        with other.cursor() as prepared:
            prepared.execute(sql, prepare=True)
            take_away()
            try:
                with pytest.raises(psycopg.Error) as caught:
                    cursor.fetchmany(2)
                assert ("has changed since" if take == "policies" else "session has ended") in str(caught.value)
                assert caught.value.sqlstate == ("55000" if take == "policies" else "28000")
                if take == "policies":
                    assert prepared.execute(sql, prepare=True).fetchone() == (1, "***")
                else:
                    with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification):
                        prepared.execute(sql, prepare=True)
                assert shop.http("ada", "/v1/tables/m.orders?limit=1", If_None_Match=etag)[0] == (200 if take == "policies" else 401)
            finally:
                give_back()


def test_no_more_rows_come_once_a_grant_has_ended_by_the_clock(shop: Shop) -> None:
    end = datetime.now(UTC) + timedelta(seconds=2)
    shop.rules(POLICIES.replace("      - select: m.*\n", f"      - select: m.*\n        until: {end.isoformat()}\n"))
    try:
        with shop.postgres("ann") as connection, connection.cursor(name="c") as cursor:
            cursor.execute("SELECT id FROM m.orders ORDER BY id")
            assert len(cursor.fetchmany(2)) == 2
            time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 0.05)
            with pytest.raises(psycopg.Error, match="has changed since"):
                cursor.fetchmany(2)
    finally:
        shop.rules(POLICIES)


def _renew(shop: Shop, user: str) -> None:
    shop.tokens[user] = shop.project.users.token(user)[0]


def test_rows_asked_for_in_parts_go_on_while_nothing_changes(shop: Shop) -> None:
    with shop.postgres("ann") as connection, connection.cursor(name="c") as cursor:
        cursor.execute("SELECT id FROM m.orders ORDER BY id")
        assert [len(cursor.fetchmany(300)) for _ in range(5)] == [300, 300, 300, 100, 0]


def test_an_administrators_token_for_reading_administers_nothing(shop: Shop) -> None:
    with shop.calling("root", scope=["select"]) as narrow:
        for attempt in (
            lambda: narrow.users.token("root"),
            lambda: narrow.users.add("mallory", admin=True),
            lambda: narrow.users.passwd("ada"),
            narrow.users.list,
            narrow.requests.review,
            lambda: narrow.lake.backup(shop.folder / "taken"),
            lambda: narrow.keys.rotate(),
            lambda: narrow.secrets.set("a", "b"),
        ):
            with pytest.raises(ApprovalRefused):
                attempt()
        assert [type(one.error) for one in narrow.exports.run("out")] == [ApprovalRefused]
        assert narrow.query("SELECT count(*) FROM m.orders").fetchall() == [(1000,)]
    assert not (shop.folder / "taken").exists()
    with shop.calling("root", scope=["admin"]) as whole:
        assert {one.name for one in whole.users.list()} >= {"ada", "root"}


def test_an_export_goes_by_a_token_that_is_good_for_it(shop: Shop) -> None:
    with shop.calling("bot", scope=["select"]) as narrow:
        assert [type(one.error) for one in narrow.exports.run("out")] == [ApprovalRefused]
    for user in ("eve", "ada"):
        with shop.calling(user) as other:
            assert [type(one.error) for one in other.exports.run("out", dry_run=True)] == [ApprovalRefused]
            for attempt in (other.exports.dead, other.exports.retry_dead, other.exports.drop_dead):
                with pytest.raises(ApprovalRefused):
                    attempt("out")
    assert not (shop.folder / "out").exists()
    with shop.calling("bot", scope=["export"]) as own:
        (done,) = own.exports.run("out", dry_run=True)
        assert (done.status, done.rows, done.error) == ("dry run", 1000, None)


def test_a_denial_by_label_holds_for_deeds_on_whole_tables(shop: Shop) -> None:
    with shop.calling("al") as denied, pytest.raises(ApprovalRefused, match="may not run"):
        denied.show("m.orders")
    with shop.calling("ann") as allowed:
        assert allowed.show("m.orders").fetchall()


def test_samples_of_failing_checks_are_shown_to_who_sees_the_table(shop: Shop) -> None:
    def samples(project: api.Project) -> str:
        return repr([verdict for result in project.check("m.orders") for verdict in result.verdicts])

    assert "s3cr3t" in samples(shop.project)
    with shop.calling("ann") as allowed:
        assert "s3cr3t" in samples(allowed)
    with shop.calling("eve") as stranger:
        found = samples(stranger)
        assert "s3cr3t" not in found
        assert "failed=1000" in found


@pytest.mark.parametrize(
    "table", ["audit", "loads", "quarantine", "verdicts", "definitions", "columns", "positions", "publications", "format", "nothing"]
)
def test_the_lakes_own_tables_are_not_there_for_who_has_no_grant_of_them(shop: Shop, table: str) -> None:
    """A grant of `select` on all tables names none of them."""
    sql = f"SELECT * FROM headwater.{table}"
    with shop.calling("eve") as command, pytest.raises(Exception, match=f"there is no table headwater.{table}"):
        command.query(sql).fetchall()
    for user in ("eve", "ada"):
        with shop.postgres(user) as connection, pytest.raises(psycopg.Error, match=f"there is no table headwater.{table}"):
            connection.execute(sql.encode())
