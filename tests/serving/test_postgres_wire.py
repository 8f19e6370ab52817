"""The protocol itself: login, states, portals, cancelling, settings, broken frames, many connections."""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest
from plain_service import PlainService, Table, serving

from headwater.engine import Engine
from headwater.errors import (
    AuthenticationFailed,
    LimitReached,
    MemoryExceeded,
    PasswordExpired,
    SqlBindError,
    SqlSyntaxError,
    StatementRefused,
    TableNotFound,
)
from headwater.security.principals import Membership, Principal
from headwater.serving.postgres import Server
from headwater.serving.postgres.failures import WireError, sqlstate
from headwater.serving.postgres.messages import _Portal
from headwater.serving.postgres.statements import split
from headwater.spec.policies import Door
from services import require_program

SLOW = "SELECT count(*) FROM range(100000000) a(x), range(100000) b(y) WHERE x + y = 3"


def test_people_log_in_over_tls_only_and_robots_by_scram(server: Server, tls: tuple[ssl.SSLContext, Path]) -> None:
    base = f"host=127.0.0.1 port={server.port} dbname=shop"
    with psycopg.connect(f"{base} user=ada password=lovelace sslmode=verify-full sslrootcert={tls[1]}") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("ada",)
    for wrong in ("user=ada password=lovelace sslmode=disable", "user=ada password=no", "user=nobody password=x", "user=robot password=wrong"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"{base} {wrong}")
    with psycopg.connect(f"{base} user=robot password=pencil sslmode=disable gssencmode=disable") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match='database "other" does not exist'):
        psycopg.connect(f"host=127.0.0.1 port={server.port} dbname=other user=robot password=pencil")


def test_without_tls_a_login_that_fails_says_what_is_taken(server: Server) -> None:
    base = f"host=127.0.0.1 port={server.port} dbname=shop sslmode=disable gssencmode=disable"
    told = set()
    for login in ("user=ada password=lovelace", "user=robot password=wrong"):
        with pytest.raises(psycopg.OperationalError, match="tokens and generated passwords are taken") as caught:
            psycopg.connect(f"{base} {login}")
        told.add(re.sub("ada|robot", "NAME", str(caught.value)))
    assert len(told) == 1, "it would tell whose password is their own"


def test_who_is_turned_away_after_a_proof_that_was_right_is_not_said_to_have_proven_nothing(service: PlainService) -> None:
    class Turning(PlainService):
        failed = 0

        def scram_failed(self, user: str, **of: Any) -> None:
            self.failed += 1

        def login_scram(self, user: str, credential: str, **of: Any) -> Principal:
            raise PasswordExpired("the password of robot must be changed first", hint="headwater user passwd robot")

    turning = Turning(service.engine)
    with serving(turning) as one:
        with pytest.raises(psycopg.OperationalError, match=r"HW-U002 .* must be changed first\n.*passwd robot"):
            psycopg.connect(f"postgresql://robot:pencil@127.0.0.1:{one.port}/shop")
        assert turning.failed == 0
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://robot:wrong@127.0.0.1:{one.port}/shop")
        assert turning.failed == 1


def test_a_failed_transaction_refuses_until_its_end(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM shop.nothing")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        assert connection.execute("COMMIT").statusmessage == "ROLLBACK"
        connection.execute("BEGIN")
        connection.execute("SAVEPOINT one")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT nothing")
        connection.execute("ROLLBACK TO one")
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InvalidSavepointSpecification):
            connection.execute("RELEASE SAVEPOINT two")
        connection.execute("ROLLBACK")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM shop.orders")


def test_settings_are_kept_taken_back_and_reach_the_service(url: str, service: PlainService) -> None:
    with psycopg.connect(url, autocommit=True, options="-c headwater.purpose=churn -c statement_timeout=5s", application_name="test") as connection:
        connection.execute("SELECT id FROM shop.customers").fetchall()
        assert service.purposes[-1] == "churn"
        assert connection.execute("SHOW statement_timeout").fetchone() == ("5000",)
        connection.execute("BEGIN")
        connection.execute("SET LOCAL headwater.purpose = 'other'")
        connection.execute("COMMIT")
        assert connection.execute("SHOW headwater.purpose").fetchone() == ("churn",)
        connection.execute("BEGIN")
        connection.execute("SET search_path TO shop, public")
        connection.execute("ROLLBACK")
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
        connection.execute("SELECT set_config('application_name', 'again', false)")
        assert connection.info.parameter_status("application_name") == "again"
        connection.execute("RESET ALL")
        assert connection.execute("SELECT current_setting('application_name')").fetchone() == ("test",)
        for wrong in (
            "SET timezone = 'Europe/Oslo'",
            "SET client_encoding = latin1",
            "SET nonsense = 1",
            "SET server_version = 9",
            "SET headwater.dialect = x",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(wrong.encode())


def test_the_native_dialect_is_one_setting_away(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT 7 / 2 AS x").fetchone() == (3,)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="isn't known here"):
            connection.execute("SELECT list_sort(tags) FROM shop.orders")
        connection.execute("SET headwater.dialect = duckdb")
        assert connection.execute("SELECT 7 / 2 AS x").fetchone() == (3.5,)
        assert connection.execute("FROM shop.customers SELECT count(*)").fetchone() == (3,)


def test_a_timeout_and_a_cancel_request_stop_a_query_that_runs(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET headwater.dialect = duckdb")
        connection.execute("SET statement_timeout = 300")
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled, match="timeout"):
            connection.execute(SLOW.encode())
        assert time.monotonic() - started < 60
        connection.execute("SET statement_timeout = 0")
        timer = threading.Timer(0.3, connection.cancel_safe)  # `cancel` waits with the interpreter's lock, which the server here needs
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
            connection.execute(SLOW.encode())
        timer.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_one_long_query_blocks_no_other(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as slow, psycopg.connect(url, autocommit=True) as quick:
        slow.execute("SET headwater.dialect = duckdb")
        slow.execute("SET statement_timeout = 20000")
        thread = threading.Thread(target=lambda: slow.pgconn.exec_(SLOW.encode()))
        thread.start()
        assert quick.execute("SELECT 1").fetchone() == (1,)
        assert thread.is_alive()
        slow.cancel_safe()
        thread.join()


@pytest.mark.parametrize("number", ["12E+2", "1E+5", "12345678901234567890123456789012345678", "-0.05", "10000", "9.9E+20", "0E+3"])
def test_a_numeric_parameter_is_the_number_it_is(url: str, number: str) -> None:
    value = Decimal(number)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET headwater.dialect = duckdb")
        for placeholder in ("%t", "%b"):
            found = connection.execute(f"SELECT {placeholder} AS n, {placeholder} = {value:f} AS same".encode(), (value, value)).fetchone()
            assert found == (value, True)


def test_a_session_keeps_so_much_and_no_more(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        long = "x" * 12_000_000
        connection.execute(f"PREPARE a AS SELECT length('{long}')".encode())
        connection.execute(f"PREPARE b AS SELECT length('{long}')".encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(f"PREPARE c AS SELECT length('{long}')".encode())
        assert caught.value.sqlstate == "53400"
        connection.execute("DEALLOCATE a")
        connection.execute(f"PREPARE c AS SELECT length('{long}')".encode())
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            connection.execute(f"SET my.long = '{'x' * 100_000}'".encode())
        many = "; ".join(f"SET my.s{number} = 'x'" for number in range(1001))
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            connection.execute(many.encode())
        connection.execute("SET my.s1 = 'y'")


@pytest.mark.parametrize("what", ["messages.decode_parameter", "executing.split"])
def test_one_who_sends_much_at_once_blocks_no_other(url: str, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Reading it may take seconds."""
    begun, may_end = threading.Event(), threading.Event()
    module, _, name = what.partition(".")
    real = getattr(import_module(f"headwater.serving.postgres.{module}"), name)

    def slow(given: Any, *more: Any) -> Any:
        if given is not None and len(given) > 1_000_000:
            begun.set()
            may_end.wait(20)
        return real(given, *more)

    with psycopg.connect(url, autocommit=True) as large, psycopg.connect(url, autocommit=True) as quick:
        monkeypatch.setattr(f"headwater.serving.postgres.{what}", slow)
        if name == "split":
            thread = threading.Thread(target=lambda: large.execute(b"SELECT 1 -- " + b"x" * 2_000_000))
        else:
            thread = threading.Thread(target=lambda: large.execute("SELECT length(%s::text)", ["x" * 2_000_000]))
        thread.start()
        try:
            assert begun.wait(20)
            started = time.monotonic()
            assert quick.execute("SELECT 1").fetchone() == (1,)
            assert time.monotonic() - started < 10
        finally:
            may_end.set()
            thread.join()


class _Raw:
    """A client by hand: logged in, without TLS, over a socket."""

    def __init__(self, port: int) -> None:
        # not `PGconn.connect`, which waits with the interpreter's lock, which the server here needs
        self.connection = psycopg.connect(f"host=127.0.0.1 port={port} user=robot password=pencil dbname=shop sslmode=disable")
        self.socket = socket.socket(fileno=socket.dup(self.connection.fileno()))
        self.socket.settimeout(20)
        self.socket.setblocking(True)

    def send(self, *messages: tuple[bytes, bytes]) -> None:
        self.socket.sendall(b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages))

    def until_ready(self) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        while not found or found[-1][0] != b"Z":
            head = self._exactly(5)
            found.append((head[:1], self._exactly(int.from_bytes(head[1:], "big") - 4)))
        return found

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def close(self) -> None:
        self.socket.close()
        self.connection.close()


def _bind(portal: bytes = b"", statement: bytes = b"", formats: bytes = b"\0\0") -> tuple[bytes, bytes]:
    return b"B", portal + b"\0" + statement + b"\0" + b"\0\0" + b"\0\0" + formats


def test_portals_stop_at_their_limit_and_go_on(server: Server) -> None:
    raw = _Raw(server.port)
    execute = (b"E", b"\0" + struct.pack("!i", 2))
    raw.send((b"P", b"\0SELECT id FROM shop.customers ORDER BY id\0\0\0"), _bind(), (b"D", b"P\0"), execute, execute, (b"S", b""))
    kinds = [kind for kind, _ in raw.until_ready()]
    assert kinds == [b"1", b"2", b"T", b"D", b"D", b"s", b"D", b"C", b"Z"]
    raw.send((b"P", b"\0SELECT nothing FROM shop.customers\0\0\0"), _bind(), execute, (b"S", b""))
    assert [kind for kind, _ in raw.until_ready()] == [b"E", b"Z"]
    raw.send((b"Q", b"SELECT 1; SELECT 2; SELECT broken; SELECT 3\0"))
    assert [kind for kind, _ in raw.until_ready()] == [b"T", b"D", b"C", b"T", b"D", b"C", b"E", b"Z"]
    raw.send((b"Q", b" ;; \0"))
    assert [kind for kind, _ in raw.until_ready()] == [b"I", b"Z"]
    raw.close()


def test_a_simple_query_closes_the_unnamed_portal_it_drops(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[_Portal] = []
    close = _Portal.close
    monkeypatch.setattr(_Portal, "close", lambda portal: (closed.append(portal), close(portal))[1])
    raw = _Raw(server.port)
    execute = (b"E", b"\0" + struct.pack("!i", 1))
    raw.send((b"Q", b"BEGIN\0"))
    raw.until_ready()
    raw.send((b"P", b"\0SELECT id FROM shop.customers ORDER BY id\0\0\0"), _bind(), execute, (b"S", b""))
    assert [kind for kind, _ in raw.until_ready()] == [b"1", b"2", b"D", b"s", b"Z"]
    closed.clear()
    raw.send((b"Q", b"SELECT 1\0"))
    assert [kind for kind, _ in raw.until_ready()] == [b"T", b"D", b"C", b"Z"]
    assert closed[0].prepared.sql == "SELECT id FROM shop.customers ORDER BY id"
    raw.close()


def test_broken_frames_are_answered_or_closed_and_the_server_lives(server: Server, url: str, caplog: pytest.LogCaptureFixture) -> None:
    pick = random.Random(5)
    first = [
        b"",
        b"\0\0\0\x04",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x08\0\x03\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x09\0\x03\0\0\0",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01",
        b"\0\0\0\x08\x04\xd2\x16\x2fextra",
        b"\0\0\0\x0b\0\x03\0\0a\xff\0",
    ]
    for data in [*first, *(pick.randbytes(pick.randint(1, 60)) for _ in range(60))]:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            while one.recv(4096):
                pass
    for _ in range(40):
        raw = _Raw(server.port)
        kind = bytes([pick.choice(b"PBDECSHQFdcfXp?\0")])
        try:
            raw.send((kind, pick.randbytes(pick.randint(0, 30))), (b"S", b""))
            raw.socket.shutdown(socket.SHUT_WR)
            while raw.socket.recv(4096):
                pass
        except OSError:
            pass
        raw.close()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not [record for record in caplog.records if record.exc_info]


def test_parameters_that_do_not_fit_are_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for query, value in (("SELECT $1::int", b"x"), ("SELECT id FROM shop.customers WHERE born = $1 AND id = $2", b"1")):
            result = connection.pgconn.exec_params(query.encode(), [value])
            assert result.error_field(67) in (b"22P02", b"08P01")  # DIAG_SQLSTATE is the letter C
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_five_hundred_idle_connections_are_cheap(service: PlainService) -> None:
    async def many(port: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        gate = asyncio.Semaphore(20)

        async def one() -> psycopg.AsyncConnection[Any]:
            async with gate:
                return await psycopg.AsyncConnection.connect(f"postgresql://robot:pencil@127.0.0.1:{port}/shop", autocommit=True)

        connections = await asyncio.gather(*(one() for _ in range(500)))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert await (await connections[-1].execute("SELECT 1")).fetchone() == (1,)
        for connection in connections:
            await connection.close()
        return after - before

    with serving(service) as server:
        assert asyncio.run(many(server.port)) < 500 * 1024  # kibibytes, the clients' own included


def test_a_slow_reader_does_not_fill_the_memory(server: Server) -> None:
    raw = _Raw(server.port)
    raw.send((b"Q", b"SELECT repeat('x', 1000) AS x FROM shop.many\0"))
    raw.socket.recv(1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    time.sleep(1.5)  # the server would have read all 300 MB by then
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
    raw.close()


def test_closing_ends_idle_connections_with_the_right_code(service: PlainService) -> None:
    with serving(service) as server:
        connection = psycopg.connect(f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop", autocommit=True)
        connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_statements_are_split_by_postgres_own_rules() -> None:
    assert split("select ';' ; select $a$;$a$; /* ; /* ; */ */ select \";\" -- ;\n;; select E'\\';'") == [
        "select ';'",
        "select $a$;$a$",
        '/* ; /* ; */ */ select ";" -- ;',
        "select E'\\';'",
    ]
    for broken in ("select 'x", 'select "x', "select /* x", "select $$x"):
        with pytest.raises(WireError):
            split(broken)


def test_errors_have_sqlstates() -> None:
    assert sqlstate(SqlSyntaxError("x")) == "42601"
    assert sqlstate(SqlBindError("x", found='Referenced column "a" not found')) == "42703"
    assert sqlstate(TableNotFound("x")) == "42P01"
    assert sqlstate(StatementRefused("x")) == "42501"
    assert sqlstate(AuthenticationFailed("x")) == "28000"
    assert sqlstate(LimitReached("x")) == "53400"
    assert sqlstate(MemoryExceeded("x")) == "53200"


def test_the_catalog_follows_the_purpose_at_once(service: PlainService) -> None:
    class OfPurpose(PlainService):
        def tables(self, principal: Principal) -> Sequence[Table]:
            return [one for one in service.tables(principal) if principal.purpose == "fraud" or one.name.name != "many"]

    asked = "SELECT relname FROM pg_class WHERE relname = 'many'"
    with serving(OfPurpose(service.engine)) as server, psycopg.connect(f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop") as connection:
        assert connection.execute(asked).fetchall() == []
        connection.execute("SET headwater.purpose = 'fraud'")
        assert connection.execute(asked).fetchall() == [("many",)]


def test_a_time_zone_of_the_client_is_told_to_be_utc(service: PlainService) -> None:
    with serving(service) as server:
        told: list[str] = []
        with psycopg.connect(f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop", autocommit=True) as connection:
            assert connection.execute("SHOW ssl").fetchone() == ("off",)
            assert connection.execute("SELECT setting FROM pg_settings WHERE name = 'ssl'").fetchone() == ("off",)
            with pytest.raises(psycopg.errors.InvalidParameterValue, match='"TimeZone": "Europe/Oslo"'):
                connection.execute("SET timezone = 'Europe/Oslo'")
            connection.execute("SET TIME ZONE 'Etc/UTC'")
        command = [require_program("psql"), "-X", "-A", "-t", "-c", "SHOW timezone", f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop"]
        for changed in ({"PGTZ": "Europe/Oslo"}, {"PGOPTIONS": "-c timezone=Europe/Oslo"}, {"PGTZ": "UTC"}):
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **changed}, timeout=60, check=True)
            assert done.stdout.strip() == "UTC"
            told.append(done.stderr)
    assert [text.count('NOTICE:  the time zone is UTC here, not "Europe/Oslo"') for text in told] == [1, 1, 0]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("ALTER USER robot PASSWORD 'x'", "passwords and roles aren't changed in SQL"),
        ("ALTER ROLE robot SET timezone = 'UTC'", "passwords and roles aren't changed in SQL"),
        ("CREATE ROLE bob LOGIN PASSWORD 'x'", "passwords and roles aren't changed in SQL"),
        ("DROP USER robot", "passwords and roles aren't changed in SQL"),
        ("SELECT 'foo'::pg_catalog.regproc::pg_catalog.oid", 'function "foo" does not exist'),
    ],
)
@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
def test_what_is_not_to_be_had_is_refused_with_its_reason(url: str, sql: str, reason: str, dialect: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET headwater.dialect = {dialect}")
        with pytest.raises(psycopg.Error, match=reason):
            connection.execute(sql)


def test_tables_of_one_name_in_two_schemas_are_both_listed(service: PlainService) -> None:
    with Engine() as engine:
        with engine.connection() as connection:
            connection.execute("CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (x INT); CREATE TABLE b.t (y INT); CREATE TABLE b.u (z INT)")
        with serving(PlainService(engine)) as server, psycopg.connect(f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop") as ours:
            listed = "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            listed += "WHERE c.relkind = 'r' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1"
            assert ours.execute(listed).fetchall() == [("a.t",), ("b.t",), ("b.u",)]
            ours.execute("SET search_path = b")
            assert ours.execute(listed).fetchall() == [("b.t",), ("b.u",)]


def test_users_are_who_can_log_in() -> None:
    class Grouped(PlainService):
        def login_scram(self, user: str, credential: str, *, door: Door, address: str | None) -> Principal:
            return Principal(user, "service", memberships=(Membership("analysts", "user"),), door=door, address=address)

    with Engine() as engine, serving(Grouped(engine)) as server, psycopg.connect(f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop") as ours:
        assert ours.execute("SELECT usename FROM pg_user").fetchall() == [("robot",)]
        assert ours.execute("SELECT rolname FROM pg_roles ORDER BY 1").fetchall() == [("analysts",), ("robot",)]
