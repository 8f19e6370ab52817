"""What each door leaves in the audit: every statement, as it was asked, once, whoever refused it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import asyncpg
import psycopg
import pytest
from adbc_driver_flightsql import DatabaseOptions

from headwater import api
from headwater.security.audit import AuditFilter
from headwater.security.audited import Audited

FILES = {
    "headwater.yaml": "name: shop\n",
    "orders.csv": "id,email,country\n1,ada@x.no,NO\n2,bob@y.se,SE\n",
    "sources/raw.yaml": "type: files\nstreams:\n  orders: {path: orders.csv, columns: {id: bigint}}\n",
    "models/m/orders.sql": "SELECT id, email, country FROM raw.orders\n",
    "policies/all.yaml": "roles:\n  analyst:\n    limits: {concurrency: 2}\n    grants: [{select: m.orders}]\n"
    "groups:\n  analysts: {roles: [analyst], members: [ada]}\n",
}


class Shop:
    def __init__(self, project: api.Project, ports: dict[str, int | None], token: str) -> None:
        self.project = project
        self.ports = ports
        self.token = token

    @property
    def url(self) -> str:
        return f"postgresql://ada:{self.token}@127.0.0.1:{self.ports['postgres']}/shop"

    def postgres(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True)

    def http(self, sql: str) -> int:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['http']}/v1/query",
            json.dumps({"sql": sql}).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def flight(self) -> adbc_driver_flightsql.dbapi.Connection:
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {self.token}"}
        return adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{self.ports['flight']}", db_kwargs=options, autocommit=True)

    def told(self, sql: str) -> list[Audited]:
        """The audit's rows of one statement; those that only end a query don't repeat it."""
        return [row.record for row in self.project.audit.list(AuditFilter(principal="ada"), limit=10_000) if row.record.sql == sql]

    def decisions(self, sql: str) -> list[str]:
        return [one.decision for one in self.told(sql)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("told")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with api.open(folder) as project:
        project.run()
        project.users.add("ada", oidc=True)
        token, _ = project.users.token("ada")
        with project.serve(pg_port=0, http_port=0, flight_port=0) as server:
            yield Shop(project, {door.door: urlsplit(door.url).port for door in server.doors}, token)


REFUSED = (
    "insert into m.orders values (1) -- by the parser",
    "copy m.orders to '/tmp/x'",
    "set role postgres",
    "selec 1",
    "select (1 from m.orders",
    "select 'no end",
    "select hamming_of(email) from m.orders",
    "select list_sort(['b', 'a'])",
    "fetch 1 from nothing",
    "execute nothing",
    "select * from m.hidden",
    "select nope from m.orders",
)


@pytest.mark.parametrize("sql", REFUSED)
def test_the_postgres_wire_leaves_one_row_of_what_it_refuses(shop: Shop, sql: str) -> None:
    simple, extended = f"{sql} /* simple */", f"{sql} /* extended */"
    if "no end" in sql:
        simple, extended = f"{sql} simple", f"{sql} extended"
    with shop.postgres() as connection:
        with psycopg.ClientCursor(connection) as cursor, pytest.raises(psycopg.Error):
            cursor.execute(simple)  # type: ignore[arg-type]
        with psycopg.RawCursor(connection) as raw, pytest.raises(psycopg.Error):
            raw.execute(extended, [])  # type: ignore[arg-type]
        for asked in (simple, extended):
            (row,) = shop.told(asked)
            assert row.decision == ("failed" if "nope" in sql else "refused"), row
            assert row.error
            assert (row.action, row.door, row.policy_version != "") == ("select", "postgres", True)
        assert connection.execute("select count(*) from m.orders").fetchone() == (2,)


def test_what_asyncpg_can_t_prepare_and_values_that_don_t_fit_are_told(shop: Shop) -> None:
    async def ask() -> None:
        connection = await asyncpg.connect(shop.url)
        with pytest.raises(asyncpg.PostgresError):
            await asyncio.wait_for(connection.fetch("select asyncpg_asks + $1", 1), 20)
        await connection.close()

    asyncio.run(ask())
    assert shop.decisions("select asyncpg_asks + $1") == ["failed"]
    with shop.postgres() as connection:
        with psycopg.RawCursor(connection) as raw, pytest.raises(psycopg.Error):
            raw.execute(b"select id from m.orders where id = $1::int /* no number */", ["no number"])
        assert shop.decisions("select id from m.orders where id = $1::int /* no number */") == ["refused"]


def test_a_statement_of_an_aborted_transaction_is_told_and_one_that_runs_is_told_once(shop: Shop) -> None:
    with psycopg.connect(shop.url) as connection:
        with pytest.raises(psycopg.Error):
            connection.execute("select nope_in_transaction from m.orders")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("select 'after that'")
    assert shop.decisions("select 'after that'") == ["refused"]
    assert shop.decisions("select nope_in_transaction from m.orders") == ["failed"]


@pytest.mark.parametrize("cursor", [psycopg.ClientCursor, psycopg.RawCursor])
def test_the_audit_keeps_a_statement_as_it_was_asked(shop: Shop, cursor: type[psycopg.Cursor]) -> None:
    sql = f"  -- report 7, {cursor.__name__}\nselect Count(*) /* all */ from m.Orders where email ~ 'a' -- the end"
    with shop.postgres() as connection, cursor(connection) as one:
        one.execute(sql)  # type: ignore[arg-type]
        assert one.fetchone() == (1,)
    (row,) = shop.told(sql.strip())
    assert (row.decision, row.tables) == ("allowed", ("m.orders",))
    assert "m.orders.email" in row.columns
    replayed = shop.project.requests.review(days=1)
    assert not any(one.right == "select m.orders" for one in replayed.unused)


def test_a_cursor_and_a_copy_are_kept_as_they_were_asked(shop: Shop) -> None:
    with shop.postgres() as connection:
        connection.execute("begin; declare c cursor for select id from m.orders; fetch 1 from c; commit")
        with connection.cursor().copy("copy (select id, 'copied' from m.orders) to stdout") as rows:
            assert len(list(rows)) > 0
    assert shop.decisions("declare c cursor for select id from m.orders") == ["allowed"]
    assert shop.decisions("copy (select id, 'copied' from m.orders) to stdout") == ["allowed"]


def test_a_statement_beyond_its_reader_s_turns_is_told_at_every_door(shop: Shop) -> None:
    with shop.postgres() as one, shop.postgres() as other, shop.postgres() as third:
        for held in (one, other):
            held.execute("begin")
            held.execute("declare c cursor for select a.id from m.orders a, generate_series(1, 200000) b(x)")
            held.execute("fetch 1 from c")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            third.execute("select 'one more'")
        assert shop.http("select 'one more by http'") in (429, 503)
        with shop.flight() as flown, flown.cursor() as cursor, pytest.raises(adbc_driver_manager.Error):
            cursor.execute("select 'one more by flight'")
    for sql in ("select 'one more'", "select 'one more by http'", "select 'one more by flight'"):
        (row,) = shop.told(sql)
        assert row.decision == "refused"
        assert "as many statements as allowed" in (row.error or "")


def test_updates_by_flight_are_told(shop: Shop) -> None:
    with shop.flight() as flown, flown.cursor() as cursor:
        cursor.adbc_statement.set_sql_query("delete from m.orders")
        with pytest.raises(adbc_driver_manager.Error):
            cursor.adbc_statement.execute_update()
    assert shop.decisions("delete from m.orders") == ["refused"]


def test_a_refused_statement_of_megabytes_is_kept_in_part(shop: Shop) -> None:
    sql = "selec " + "x" * (2 * 2**20)
    with shop.postgres() as connection, pytest.raises(psycopg.Error):
        connection.execute(sql)  # type: ignore[arg-type]
    found = [row.record for row in shop.project.audit.list(AuditFilter(principal="ada"), limit=1)]
    assert found[0].sql.startswith("selec xxx")
    assert found[0].sql.endswith(f"xx .. (2,097,158 characters, SHA-256 {hashlib.sha256(sql.encode()).hexdigest()})")
    assert len(found[0].sql) < 66_000


def test_a_question_of_megabytes_about_the_catalog_is_kept_in_part_each_time(shop: Shop) -> None:
    sql = f"SELECT relname FROM pg_class /* {'x' * 2**21} */ LIMIT 1"
    with shop.postgres() as connection:
        for _ in range(3):
            connection.execute(sql, prepare=True)  # type: ignore[call-overload]
    time.sleep(1)  # they are written within half a second
    kept = [row.record.sql for row in shop.project.audit.list(AuditFilter(principal="ada", action="catalog"), limit=10_000)]
    asked = [one for one in kept if one.startswith("SELECT relname FROM pg_class /* x")]
    assert len(asked) == 3
    assert all(len(one) < 66_000 and "characters, SHA-256 " in one for one in asked)


def test_the_chain_holds(shop: Shop) -> None:
    shop.project.audit.verify()


def test_a_password_in_a_refused_statement_is_not_kept(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    statements = (
        "ALTER USER ada PASSWORD 'my secret'",
        "/* new */ create role bob with login encrypted password $$my secret$$",
        "alter user ada password 'my secret",
        "SELECT 1; ALTER USER ada PASSWORD 'my secret'",
        "EXPLAIN ALTER USER ada PASSWORD 'my secret'",
        "COPY (ALTER USER ada PASSWORD E'my secret') TO STDOUT",
        "DECLARE c CURSOR FOR ALTER USER ada PASSWORD 'my secret'",
        "WITH a AS (SELECT 1) ALTER /* his */ USER ada PASSWORD 'my secret'",
        "PREPARE p AS ALTER USER ada PASSWORD U&'my secret'",
        "SELECT relname FROM pg_class; CREATE ROLE bob PASSWORD 'my secret",
    )
    for sql in statements:
        for prepare in (False, True):
            with shop.postgres() as connection, pytest.raises(psycopg.Error) as refused:
                connection.execute(sql, prepare=prepare)  # type: ignore[call-overload]
            assert "secret" not in f"{refused.value} {refused.value.diag.message_detail}"
    with shop.flight() as flown, flown.cursor() as cursor:
        for sql in statements:
            assert shop.http(sql) == 400
            with pytest.raises(adbc_driver_manager.Error):
                cursor.execute(sql)
    rows = [row.record for row in shop.project.audit.list(AuditFilter(principal="ada"), limit=10_000)]
    assert [row for row in rows if "secret" in f"{row.sql} {row.error}"] == []
    for kept in ("ALTER USER ada PASSWORD ..", "SELECT 1; ALTER USER ada PASSWORD ..", "EXPLAIN ALTER USER ada PASSWORD .."):
        assert {row.door for row in rows if row.sql == kept} == {"postgres", "http", "flight"}
    assert "secret" not in caplog.text
    asked = "select password from m.orders where 'a' = password"
    assert shop.http(asked) == 400
    assert shop.decisions(asked) == ["failed"]
