"""The same rows in a real PostgreSQL and here, to ask both the same."""

from __future__ import annotations

import calendar
import math
import os
import random
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from plain_service import PlainService, serving

from headwater.engine import Engine
from services import require_postgres

Both = tuple[psycopg.Connection[Any], psycopg.Connection[Any]]
Answer = tuple[list[str], list[tuple[Any, ...]]] | psycopg.Error


def ask(connection: psycopg.Connection[Any], sql: str) -> Answer:
    try:
        cursor = connection.execute(sql)
        return [column.name for column in cursor.description or ()], cursor.fetchall()
    except psycopg.Error as error:
        return error


def assert_answered_alike(both: Both, sql: str) -> None:
    """The real one answers, and so does ours, with the same names and rows."""
    expected, got = (ask(connection, sql.replace("{s}", SCHEMA)) for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert got == expected


_SETUP = """
CREATE TABLE {s}.facts (id integer, small smallint, big bigint, price numeric(10,2), ratio double precision, name varchar, kind varchar, day date,
  "at" timestamp, flag boolean, customer integer);
CREATE TABLE {s}.customers (id integer, name varchar, country varchar, since date);
CREATE TABLE {s}.odd (id integer, ratio double precision, name varchar, price numeric(10,2));
CREATE TABLE {s}.singles (id integer, small smallint, big bigint, price numeric(10,2), rate real, other real);
CREATE TABLE {s}.printed (id integer, small smallint, value numeric(18,3));
CREATE TABLE {s}.spans (id integer, later timestamp, earlier timestamp, day date, word varchar);
"""
_ROWS = 60
#: A process has its own: test processes drop what they made.
SCHEMA = f"hw_dialect_{os.getpid()}"


def _rows() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    pick = random.Random(7)
    names = ["apple", "Banana", "cherry pie", "50%", "under_score", "", "a.b", "Zed", "apple tart", None]
    facts = [
        (
            number,
            None if number % 11 == 0 else number % 7 - 3,
            number * 10_000_000_019 if number % 5 else None,
            None if number % 13 == 0 else Decimal(pick.randint(-50_000, 50_000)) / 100,
            None if number % 9 == 0 else pick.randint(-800, 800) / 8,
            pick.choice(names),
            ["new", "old", "odd", None][number % 4],
            None if number % 10 == 3 else f"20{10 + number % 15}-{1 + number % 12:02d}-{1 + number % 28:02d}",
            None
            if number % 12 == 5
            else f"2024-{1 + number % 12:02d}-{1 + number % 28:02d} {number % 24:02d}:{number % 60:02d}:{number % 60:02d}.{number % 4}25",
            None if number % 8 == 2 else number % 3 == 0,
            number % 6 if number % 7 else None,
        )
        for number in range(1, _ROWS + 1)
    ]
    customers = [(number, f"Customer {number}", ["NO", "SE", None][number % 3], f"2020-0{number + 1}-15") for number in range(5)]
    return facts, customers


_WORDS = ("o'neil x2y", "ÉLAN vital", "a_b-c d", "", "123abc ABC", "  two  spaces ", "ñandú ÑANDÚ", "tab\tnew\nline", None)
VALUES = (
    "0",
    "5",
    "-5",
    "0.5",
    "-0.5",
    "0.005",
    "-0.004",
    "12.345",
    "-12.355",
    "999",
    "1000",
    "-999.995",
    "1234.5",
    "-1234567.891",
    "99.99",
    "0.10",
)
_DOUBLES = (
    0.0,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    1e15,
    1e16,
    9.5e15,
    -2e15,
    1e22,
    1.5e-5,
    1e-4,
    123456.0,
    0.1 + 0.2,
    5e-324,
    1.7976931348623157e308,
)


def _odd_rows() -> list[tuple[Any, ...]]:
    """Texts, doubles and decimals that are easily written otherwise."""
    pick = random.Random(5)
    doubles = [*_DOUBLES, *(struct.unpack("d", pick.randbytes(8))[0] for _ in range(200)), *(pick.uniform(-1e15, 1e15) for _ in range(200))]
    kept = [one for one in doubles if not math.isfinite(one) or abs(one) < 1e15 or one in _DOUBLES]
    return [(number, one, _WORDS[number % len(_WORDS)], Decimal(pick.randint(-99_999, 99_999)) / 100) for number, one in enumerate(kept)]


def _single_rows() -> list[tuple[Any, ...]]:
    """Numbers of single precision, and whole ones near the ends of their types."""
    rates = (0.1, 2.5, 4096.7, -0.3, None, 0.0, 1e-6, 353.19)
    return [(n, (32767, -3, 0, None)[n % 4], 10**17 + n, Decimal(n * 777) / 100, rates[n % 8], n / 7) for n in range(24)]


def _span_rows() -> list[tuple[Any, ...]]:
    """Pairs of times, the ends of months and leap days among them; words of few letters."""
    pick = random.Random(13)

    def time() -> datetime:
        year = pick.choice([pick.randint(1, 9999), *[pick.randint(1999, 2026)] * 6])
        month = pick.choice([1, 2, 3, 12, pick.randint(1, 12)])
        last = calendar.monthrange(year, month)[1]
        day = pick.choice([1, 28, last, last - 1, pick.randint(1, last)])
        return datetime(year, month, day) + pick.choice(
            [timedelta(0), timedelta(seconds=pick.randrange(86_400), microseconds=pick.choice([0, 1, 999_999]))]
        )

    def maybe(value: Any) -> Any:
        return None if pick.random() < 0.03 else value

    return [
        (number, maybe(time()), maybe(time()), maybe(time().date()), maybe("".join(pick.choices("abc1x\n ", k=pick.randint(0, 9)))))
        for number in range(3000)
    ]


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    url = require_postgres()
    facts, customers = _rows()
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as real, Engine() as engine:
        real.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        real.execute(f"CREATE SCHEMA {SCHEMA}")
        with engine.connection() as connection:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
            for statement in filter(str.strip, _SETUP.format(s=SCHEMA).split(";")):
                real.execute(statement)
                connection.execute(statement)
            printed = [(number, None if number == 4 else number * 31 - 150, Decimal(value)) for number, value in enumerate(VALUES)]
            made = {"odd": _odd_rows(), "singles": _single_rows(), "printed": printed, "spans": _span_rows()}
            for table, rows in {"facts": facts, "customers": customers, **made}.items():
                marks = ", ".join(["%s"] * len(rows[0]))
                real.cursor().executemany(f"INSERT INTO {SCHEMA}.{table} VALUES ({marks})", rows)
                of_duckdb = ", ".join(f"({', '.join('?' for _ in row)})" for row in rows)
                connection.execute(f"INSERT INTO {SCHEMA}.{table} VALUES {of_duckdb}", [value for row in rows for value in row])
        with serving(PlainService(engine)) as server:
            ours = psycopg.connect(f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop", autocommit=True)
            yield real, ours
            ours.close()
        real.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
