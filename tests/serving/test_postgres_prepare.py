"""PREPARE, EXECUTE and DEALLOCATE, as statements: in the simple protocol and in the extended one."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest

from headwater.serving.postgres import types as pg
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.preparing import read_deallocate, read_execute, read_prepare


@pytest.fixture(params=["simple", "extended"])
def connection(request: pytest.FixtureRequest, url: str) -> Iterator[psycopg.Connection]:
    factory = psycopg.ClientCursor if request.param == "simple" else psycopg.Cursor
    with psycopg.connect(url, autocommit=True, sslmode="require", cursor_factory=factory) as opened:
        yield opened


def run(connection: psycopg.Connection, sql: str) -> psycopg.Cursor:
    return connection.execute(sql, prepare=False)


def test_a_prepared_statement_runs_with_each_value(connection: psycopg.Connection) -> None:
    assert run(connection, "PREPARE one (int) AS SELECT id, email FROM shop.customers WHERE id = $1").statusmessage == "PREPARE"
    found = run(connection, "EXECUTE one (2)")
    assert found.fetchall() == [(2, "bob@x.se")]
    assert found.statusmessage == "SELECT 1"
    assert run(connection, "execute one(3::int)").fetchall() == [(3, None)]
    assert run(connection, "EXECUTE one (NULL)").fetchall() == []


def test_types_that_are_not_given_are_found_out(connection: psycopg.Connection) -> None:
    run(connection, "PREPARE q AS SELECT count(*) FROM shop.orders WHERE amount > $1 AND placed_at < $2")
    assert run(connection, "EXECUTE q (100, '2024-01-05')").fetchone() == (15,)
    run(connection, "PREPARE p (numeric(10,2), text, bool, timestamp with time zone, int[]) AS SELECT $1 + 1, $2 || 'x', NOT $3, $4 IS NULL, $5")
    assert run(connection, "EXECUTE p (-1.5, 'it''s, (a)', true, NULL, '{1,2}')").fetchall() == [(Decimal("-0.5"), "it's, (a)x", False, True, [1, 2])]


def test_without_parameters_no_parentheses_are_needed(connection: psycopg.Connection) -> None:
    run(connection, "PREPARE q AS SELECT id FROM shop.customers ORDER BY id LIMIT 2")
    assert run(connection, "EXECUTE q").fetchall() == [(1,), (2,)]


def test_what_is_deallocated_is_gone(connection: psycopg.Connection) -> None:
    for end in ("DEALLOCATE q", "DEALLOCATE PREPARE q", "DEALLOCATE ALL", "DISCARD ALL"):
        run(connection, "PREPARE q AS SELECT 1")
        assert run(connection, end).statusmessage in ("DEALLOCATE", "DEALLOCATE ALL", "DISCARD ALL")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            run(connection, "EXECUTE q")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        run(connection, "DEALLOCATE nothing")


@pytest.mark.parametrize(
    ("sql", "state"),
    [
        ("PREPARE q AS SELECT 1", "42P05"),
        ("EXECUTE q (1)", "42601"),
        ("EXECUTE p", "42601"),
        ("EXECUTE p (1, 2)", "42601"),
        ("EXECUTE p (now())", "0A000"),
        ("EXECUTE p ((SELECT 1))", "0A000"),
        ("EXECUTE p ('x')", "22P02"),
        ("EXECUTE nobody", "26000"),
        ("PREPARE r (nothing) AS SELECT $1", "42704"),
        ("PREPARE r AS PREPARE s AS SELECT 1", "42601"),
        ("PREPARE r AS COPY shop.customers TO STDOUT", "42601"),
        ("PREPARE r AS DROP TABLE shop.customers", "25006"),
        ("PREPARE r AS SELECT * FROM shop.nothing", "42P01"),
        ("PREPARE", "42601"),
        ("EXECUTE", "42601"),
        ("DEALLOCATE", "42601"),
    ],
)
def test_what_is_wrong_is_said_as_postgres_says_it(url: str, sql: str, state: str) -> None:
    with psycopg.connect(url, autocommit=True, sslmode="require", cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("PREPARE q AS SELECT 1")
        connection.execute("PREPARE p (int) AS SELECT $1")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(sql)
        assert caught.value.sqlstate == state
        assert connection.execute("EXECUTE p (7)").fetchone() == (7,)


def test_names_of_the_protocol_and_of_statements_are_the_same(url: str) -> None:
    with psycopg.connect(url, autocommit=True, sslmode="require") as connection:
        connection.execute("SELECT %s::int + 1", [1], prepare=True)
        assert connection.execute("EXECUTE _pg3_0 (41)").fetchone() == (42,)


def test_another_session_knows_nothing_of_it(url: str) -> None:
    with psycopg.connect(url, autocommit=True, sslmode="require") as one, psycopg.connect(url, autocommit=True, sslmode="require") as other:
        one.execute("PREPARE q AS SELECT 1")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            other.execute("EXECUTE q")


def test_the_statements_are_read() -> None:
    assert read_prepare('PREPARE "My q" (bigint, varchar(10), double precision) AS SELECT 1') == (
        "My q",
        [pg.INT8, pg.VARCHAR, pg.FLOAT8],
        "SELECT 1",
    )
    assert read_execute("EXECUTE q ('a,b'::text, -1, 2.5, NULL, FALSE)") == ("q", ["a,b", "-1", "2.5", None, "false"])
    assert read_deallocate("DEALLOCATE q") == "q"
    assert read_deallocate("DEALLOCATE ALL") is None
    with pytest.raises(WireError):
        read_execute("EXECUTE q (1,)")
