"""How a client's text is read: parameters, quotes, whose a name is, and what a column stands for. Beside a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import pytest
from beside_postgres import SCHEMA, Both, ask, assert_answered_alike
from psycopg.conninfo import conninfo_to_dict

from headwater import errors
from headwater.serving.postgres.dialect.belonging import is_catalog_query
from headwater.serving.postgres.dialect.translation import Context, translate
from headwater.serving.postgres.failures import WireError, sqlstate

_BOUND: list[tuple[str, tuple[Any, ...]]] = [
    ("SELECT id FROM {s}.facts WHERE id IN (%s,%s) ORDER BY id", (1, 2)),
    ("SELECT greatest(%s,%s),least(%s,%s)", (1, 2, 3, 4)),
    ("VALUES (%s,%s),(%s,%s)", (1, "a", 2, "b")),
    ("SELECT %s||%s", ("a", "b")),
    ("SELECT id,%s||name FROM {s}.facts WHERE kind=%s OR kind=%s ORDER BY id", ("n: ", "new", "odd")),
    ("SELECT $$it's$$||%s,$a$ $$ $a$,%s", ("x", "$1,$2")),
]


@pytest.mark.parametrize(("sql", "values"), _BOUND)
def test_parameters_are_those_of_postgres_however_close_they_stand(both: Both, sql: str, values: tuple[Any, ...]) -> None:
    expected, got = (connection.execute(sql.replace("{s}", SCHEMA), values).fetchall() for connection in both)
    assert got == expected


def test_drivers_that_write_parameters_side_by_side(both: Both) -> None:
    real, ours = both
    sql = f"SELECT id,name FROM {SCHEMA}.facts WHERE id IN (%s,%s) AND kind IN (%s,%s) ORDER BY id"
    values = (1, 2, "new", "odd")
    expected = real.execute(sql, values).fetchall()
    told = conninfo_to_dict(ours.info.dsn)
    with pg8000.dbapi.connect(host=ours.info.host, port=ours.info.port, user="robot", password="pencil", database="shop") as connection:
        cursor = connection.cursor()
        cursor.execute(sql, values)
        assert [tuple(row) for row in cursor.fetchall()] == expected

    async def fetched() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(host=told["host"], port=int(told["port"]), user="robot", password="pencil", database="shop")
        rows = await connection.fetch(sql.replace("%s,%s", "$1,$2", 1).replace("%s,%s", "$3,$4"), *values)
        await connection.close()
        return [tuple(row) for row in rows]

    assert asyncio.run(fetched()) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT kind, sum(price) FROM {s}.facts GROUP BY kind HAVING sum(price) > 50 ORDER BY 1",
        "SELECT kind, sum(price) FROM {s}.facts GROUP BY kind ORDER BY sum(price)",
        "SELECT kind, sum(price) AS price FROM {s}.facts GROUP BY kind HAVING sum(price) > -1000 ORDER BY sum(price) DESC",
        "SELECT kind, count(*) FROM {s}.facts GROUP BY kind HAVING avg(price) < 50 ORDER BY avg(id)",
        "SELECT kind, -sum(id) AS id FROM {s}.facts GROUP BY kind ORDER BY sum(id) + 1",
        "SELECT kind, -sum(id) AS id FROM {s}.facts GROUP BY kind ORDER BY id",
        "SELECT -id AS id FROM {s}.facts ORDER BY id + 0 LIMIT 3",
        "SELECT DISTINCT upper(kind) FROM {s}.facts ORDER BY upper(kind)",
        "WITH c AS (SELECT kind, price FROM {s}.facts) SELECT kind, sum(price) FROM c GROUP BY kind HAVING sum(price) > 1 ORDER BY sum(price)",
        "WITH c AS (SELECT 1 AS price) SELECT sum(price) FROM {s}.facts",
        "SELECT kind FROM {s}.facts GROUP BY kind HAVING exists (SELECT 1 FROM {s}.customers c WHERE c.name > kind) ORDER BY count(*), length(kind)",
        "SELECT id AS pg_x FROM {s}.facts ORDER BY id LIMIT 2",
        "SELECT 1 AS pg_x, 2 AS information_schema",
        "SELECT information_schema.id FROM {s}.facts information_schema ORDER BY 1",
        "SELECT pg_class.id FROM {s}.facts pg_class ORDER BY 1",
        "WITH pg_data AS (SELECT id FROM {s}.facts) SELECT * FROM pg_data ORDER BY 1",
        "WITH pg_data(a) AS (VALUES (1)) SELECT a FROM pg_data",
        "WITH pg_class AS (SELECT 1 AS a), b AS (SELECT * FROM pg_class) SELECT * FROM b",
        "WITH pg_class AS (SELECT relname FROM pg_class LIMIT 1) SELECT count(*) FROM pg_class",
        "WITH RECURSIVE pg_r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM pg_r WHERE n < 3) SELECT n FROM pg_r ORDER BY 1",
        "SELECT count(*) > 1 FROM pg_class WHERE relname IN (WITH pg_class AS (SELECT 'x' AS a) SELECT a FROM pg_class) OR true",
        "WITH facts AS (SELECT 1 AS a) SELECT count(*) FROM {s}.facts f, facts",
        "SELECT count(*) FROM {s}.facts WHERE id IN (WITH customers AS (SELECT 7 AS id) SELECT id FROM customers)",
    ],
)
def test_names_are_of_what_postgres_takes_them_for(both: Both, sql: str) -> None:
    assert_answered_alike(both, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT kind, count(*) AS id FROM {s}.facts GROUP BY kind HAVING id > 2",
        "SELECT ratio || 'x' FROM {s}.facts",
        "SELECT ratio::double precision || 'x' FROM {s}.facts",
    ],
)
def test_what_postgres_takes_otherwise_is_not_answered(both: Both, sql: str) -> None:
    assert isinstance(ask(both[1], sql.replace("{s}", SCHEMA)), psycopg.Error)


def test_thousands_of_names_are_read_in_seconds() -> None:
    names = [f"pg_a{number}" for number in range(4000)]
    sql = f"WITH {', '.join(f'{name} AS (SELECT 1)' for name in names)} SELECT * FROM {', '.join(reversed(names))}"
    began = time.monotonic()
    assert not is_catalog_query(sql, [])
    assert time.monotonic() - began < 15  # it takes less than one; each name looked for among all others would take half a minute


_LONG = 200_000
_TEXTS = {
    "a numeric": ("SELECT 1.5 = '?'", [" x", "1x", "1.x"]),
    "an integer": ("SELECT 1 = '?', '?'::int", [" x", "1x", "1 x"]),
    "a double": ("SELECT 1::float8 = '?', '?'::numeric", [" x", "1x"]),
    "a literal": ("SELECT 1.5 + ?", ["1"]),
    "an interval": ("SELECT interval '?'", ["1 mon x", "1x", " x"]),
    "a zone": ("SELECT now() AT TIME ZONE 'Europe/?'", ["a1", "/1"]),
    "a time": ("SELECT timestamptz '2024-01-01 00:00?'", [" x"]),
    "a regular expression": (
        "SELECT regexp_replace('a', '?', 'x', 'g'), 'a' ~* '?'",
        ["a?+", "(", "[", "[a", "a{1}+", "a*b", "[^\\\\w", "[.", "\\\\", "k-", "(a)"],
    ),
    "a replacement": ("SELECT regexp_replace('a', '" + "(a)" * 30_000 + "', '?')", ["\\1", "\\"]),
    "a pattern of times": ("SELECT to_char(now(), '?'), to_date('?', '?')", ["Q", "MONTH", "YYYY", "-", '"a"']),
    "a pattern of numbers": ("SELECT to_char(1, '?')", ["9", "9,", "S", "9x"]),
    "a statement": ("?", ["explain ", "explain", "e'", "$a$", "/*", "$1"]),
}


@pytest.mark.parametrize("what", _TEXTS)
def test_a_long_text_is_read_in_seconds(what: str) -> None:
    """Each takes a tenth of a second; what looks at each character once more for each other would take minutes."""
    context = Context("shop", "robot", "postgres", ("public",), (), lambda name: None, lambda *names: None)
    template, repeated = _TEXTS[what]
    for one in repeated:
        text = one[:-1] * (_LONG // max(len(one) - 1, 1)) + one[-1]
        for sql in (template.replace("?", text), template.replace("?", one * (_LONG // len(one)))):
            began = time.monotonic()
            with contextlib.suppress(WireError):
                translate(sql, context)
            assert time.monotonic() - began < 10, (what, one)


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "0e999999999", "1e99999999999999999999"])
def test_a_number_with_a_large_exponent_is_refused_at_once(number: str) -> None:
    context = Context("shop", "robot", "postgres", ("public",), (), lambda name: None, lambda *names: None)
    for sql in (f"SELECT {number}", f"SELECT 1.5 + '{number}'", f"SELECT {number} + 1"):
        with pytest.raises(WireError, match="more than 38 digits"):
            translate(sql, context)


def test_the_state_of_an_error_is_told_however_long_its_message() -> None:
    began = time.monotonic()
    assert sqlstate(errors.SqlBindError("it doesn't fit", found='column "x" not found, ' + "table column function " * 10_000)) == "42703"
    assert sqlstate(errors.SqlBindError("it doesn't fit", found="table column function " * 10_000)) == "42P10"
    assert time.monotonic() - began < 5


def test_explain_stands_once(both: Both) -> None:
    for sql in ("EXPLAIN EXPLAIN SELECT 1", "explain " * 20_000 + "SELECT 1"):
        for one in both:
            with pytest.raises(psycopg.errors.SyntaxError, match=r"(?i)explain"):
                one.execute(sql)
    assert isinstance(ask(both[1], f"EXPLAIN SELECT explain FROM (SELECT id AS explain FROM {SCHEMA}.facts) t"), tuple)


def test_a_list_of_texts_takes_as_long_as_one_of_numbers(both: Both) -> None:
    began, took = time.monotonic(), []
    for mark in ("", "'"):
        listed = ", ".join(f"{mark}{number}{mark}" for number in range(1, 20_001))
        assert both[1].execute(f"SELECT count(*) FROM {SCHEMA}.facts WHERE id IN ({listed})").fetchall() == [(60,)]
        took.append(time.monotonic() - began)
        began = time.monotonic()
    assert took[1] < 2 * took[0] + 1, took
