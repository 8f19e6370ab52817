"""Statements made to take a core, or all memory, for as long as they can: each ends at once, and the next reader is answered."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from kit import access, fill
from lakes import make_place

from headwater.engine import Engine
from headwater.errors import HeadwaterError, StatementRefused
from headwater.storage import Access, Lake

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from plain_service import PlainService, serving


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with make_place(tmp_path_factory.mktemp("much"), "sqlite") as place:
        yield fill(place)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Engine() as engine:
        with engine.connection() as connection:
            connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 1::BIGINT AS id")
        with serving(PlainService(engine)) as server:
            yield f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop"


@pytest.mark.parametrize("depth", [30, 1000])
@pytest.mark.parametrize(
    ("before", "after"),
    [("(SELECT ", ")"), ("EXISTS (SELECT ", ")"), ("1 + (", ")"), ("'a' || (", ")"), ("[", "]"), ("- ", ""), ("abs(", ")")],
)
def test_what_the_engine_could_not_be_stopped_in_is_refused(lake: Lake, before: str, after: str, depth: int) -> None:
    started = time.process_time()
    with suppress(HeadwaterError):
        lake.read_as(access(), f"SELECT {before * depth}1{after * depth}").fetchall()
    assert time.process_time() - started < 20
    assert lake.read_as(access(), "SELECT count(*) FROM shop.orders").fetchall() == [(20,)]


def test_wide_statements_and_those_of_people_are_not_refused(lake: Lake) -> None:
    numbers = ", ".join(map(str, range(10_000)))
    assert lake.read_as(access(), f"SELECT count(*) FROM shop.orders WHERE id IN ({numbers})").fetchall() == [(20,)]
    ors = " OR ".join(f"id = {number}" for number in range(500))
    assert lake.read_as(access(), f"SELECT count(*) FROM shop.orders WHERE {ors}").fetchall() == [(20,)]
    assert lake.read_as(access(), f"SELECT {' + '.join(['id'] * 60)} FROM shop.orders WHERE id = 2").fetchall() == [(120,)]
    nested = "(SELECT max(id) FROM shop.orders WHERE id < " * 5 + "9" + ")" * 5
    assert lake.read_as(access(), f"SELECT {nested}").fetchall() == [(4,)]


def test_an_answer_has_so_many_columns_at_most(lake: Lake) -> None:
    """A hundred thousand kept a door's thread, and all others with it, for twenty seconds."""
    wide = f"SELECT {', '.join(['1'] * 10_001)}"
    for ask in (lambda: lake.read_as(access(), wide), lambda: lake.describe_as(access(), wide, ())):
        with pytest.raises(StatementRefused, match="more columns than are answered"):
            ask()
    assert len(lake.read_as(access(), wide.removesuffix(", 1")).columns) == 10_000
    assert len(lake.read_as(Access.owner(), wide).columns) == 10_001


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(repeat('x', 2000000000)) FROM pg_class",
        "SELECT length(lpad('x', 2000000000, 'y')) FROM pg_class",
        "SELECT len(range(2000000000)) FROM pg_class",
        "SELECT sleep_ms(60000) FROM pg_class",
        "SELECT pg_sleep(60) FROM pg_class",
        "SELECT getvariable('x') FROM pg_class",
        "SELECT getenv('HOME') FROM pg_class",
        "SELECT json_serialize_sql('SELECT 1') FROM pg_class",
        "SELECT write_log('x') FROM pg_class",
        "SELECT relname || 'x' AS r, md5(error('x')) FROM pg_class WHERE stats(relname) IS NOT NULL",
        "SELECT md5(md5(repeat('x', 5000)) || repeat('x', 1000)) FROM pg_class, generate_series(1, 100000000)",
    ],
)
def test_the_catalog_has_no_functions_but_those_that_readers_have(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.monotonic()
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(sql.encode())
        assert caught.value.sqlstate in ("42883", "0A000"), caught.value
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("sql", "state"),
    [
        ("SELECT count(*) FROM pg_class a, generate_series(1, 1000000000000) r(i)", "57014"),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r, pg_class", "57014"),
        ("SELECT md5(i::text), md5(i::text), relname FROM pg_class, generate_series(1, 100000000) r(i)", "54000"),
    ],
)
def test_a_question_to_the_catalog_ends_by_itself(url: str, sql: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.serving.postgres.catalog.catalogs._MOST_SECONDS", 2.0)
    with psycopg.connect(url, autocommit=True) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(sql.encode())
        assert caught.value.sqlstate == state, caught.value
        assert connection.execute("SELECT count(*) FROM pg_catalog.pg_class WHERE relkind = 'r'").fetchone() == (1,)


def test_thousands_of_conditions_are_translated_in_their_time(url: str) -> None:
    ors = " OR ".join(f"id = {number}" for number in range(1500))
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.process_time()
        assert connection.execute(f"SELECT count(*) FROM shop.orders WHERE {ors}".encode()).fetchone() == (1,)
        assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("sql", "states"),
    [
        ("SELECT " + "(SELECT " * 30 + "1" + ")" * 30 + " FROM pg_class", ("42501",)),
        ("SELECT " + "1 + " * 900 + "1 FROM pg_class", ("42501",)),
        ("SELECT " + ", ".join(["1"] * 30_000) + " FROM pg_class LIMIT 0", (None,)),
        ("SELECT 1 FROM pg_class WHERE 1 IN (" + ", ".join(["pg_backend_pid()"] * 30_000) + ") LIMIT 0", (None,)),
        ("SELECT " + ", ".join(["1"] * 30_000) + " LIMIT 0", (None,)),
        ("SELECT 1 WHERE 1 IN (" + ", ".join(["7 / 2"] * 30_000) + ")", (None,)),
        ("SELECT " + ", ".join(["ltrim('a')"] * 20_000) + " LIMIT 0", (None,)),
        (" UNION ALL ".join(["SELECT 1"] * 10_000), ("54001",)),
        ("SELECT 1 FROM " + ", ".join(f"shop.orders o{number}" for number in range(10_000)), ("54001",)),
        ("SELECT 1 " + "/* " * 5_000_000, ("42601",)),
        ("SELECT " + "1," * 8_000_000 + "1", ("54001",)),
        ("SELECT length('" + "''" * 500_000 + "')", (None,)),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_long_statements_are_read_in_their_time_or_refused(url: str, sql: str, states: tuple[str | None, ...]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.process_time()
        state = None
        try:
            connection.execute(sql.encode())
        except psycopg.Error as error:
            state = error.sqlstate
        assert state in states
        assert time.process_time() - started < 40


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process takes")
def test_one_value_larger_than_the_memory_fails_its_statement_alone() -> None:
    program = """
import os
os.sysconf = lambda name: {"SC_PHYS_PAGES": 2**20, "SC_PAGE_SIZE": 4096}[name]
from headwater.engine import Engine
from headwater.errors import MemoryExceeded
from headwater.serving.limits import hold_memory
hold_memory()
with Engine() as engine, engine.connection() as connection:
    for sql in ("SELECT len(range(2000000000))", "SELECT length(repeat('x', 3900000000))"):
        try:
            print(connection.execute(sql).fetchall())
        except MemoryExceeded:
            print("too much")
    print(connection.execute("SELECT 42").fetchall())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["too much", "too much", "[(42,)]"], done.stderr
