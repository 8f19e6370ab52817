"""SQLite keeps what it is given, whatever a column was declared as; so do we."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import SourceDataInvalid, SourceUnreachable
from headwater.sources import ConnectorContext, CursorBound, ReadRequest, Scan
from headwater.sources.sqlite import SqliteConnector
from headwater.spec.sources import Stream
from headwater.testing import read_rows


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], SqliteConnector]]:
    connectors: list[SqliteConnector] = []

    def open_with(script: str) -> SqliteConnector:
        with sqlite3.connect(tmp_path / "it's.db") as connection:
            connection.executescript(script)
        connection.close()
        connectors.append(SqliteConnector(ConnectorContext("shop", tmp_path, connection="it's.db")))
        return connectors[-1]

    yield open_with
    for connector in connectors:
        connector.close()


def request(cursor: CursorBound | None = None, **stream: Any) -> ReadRequest:
    return ReadRequest("things", Stream.model_validate(stream), cursor=cursor)


def values(connector: SqliteConnector, declared: str = "v") -> tuple[dict[str, str], list[Any]]:
    reading = connector.read(request(table="t"))
    [portion] = reading.portions
    assert isinstance(portion.data, Scan)
    return dict(portion.data.suggested_types), [row["v"] for row in read_rows(reading, cast=False)]


@pytest.mark.parametrize(
    ("declared", "literals", "suggested", "found"),
    [
        ("INTEGER", "1, 9223372036854775807, NULL", None, [1, 9223372036854775807, None]),
        ("INTEGER", "1, 'abc', 1.5", "BIGINT", ["1", "abc", "1.5"]),
        ("REAL", "1, 2.5, 0.1", None, [1.0, 2.5, 0.1]),
        ("REAL", "0.1, 'n/a', 1e300, 0.30000000000000004", "DOUBLE", ["0.1", "n/a", "1.0e+300", "0.30000000000000004"]),
        ("TEXT", "'a', 'é漢', NULL", None, ["a", "é漢", None]),
        ("TEXT", "x'00ff', 'a'", None, ["X'00FF'", "a"]),
        ("BLOB", "x'00ff', x''", None, [b"\x00\xff", b""]),
        ("BLOB", "x'00ff', 'text'", None, ["X'00FF'", "text"]),
        ("DATE", "'2024-01-01', 1704067200", "DATE", ["2024-01-01", "1704067200"]),
        ("DATETIME", "'2024-01-01 10:00:00'", "TIMESTAMP", ["2024-01-01 10:00:00"]),
        ("BOOLEAN", "1, 0, 'true'", "BOOLEAN", ["1", "0", "true"]),
        ("DECIMAL(10,2)", "1.25, 1.1, 'n/a'", "DECIMAL(10,2)", ["1.25", "1.1", "n/a"]),
        ("", "1, 'mixed', x'41', 1.5", None, ["1", "mixed", "X'41'", "1.5"]),
        ("NUMERIC", "'12345678901234567890123', 5", None, ["1.2345678901234568e+22", "5"]),
    ],
)
def test_every_value_of_a_column_comes_in_full(
    opened: Callable[[str], SqliteConnector], declared: str, literals: str, suggested: str | None, found: list[Any]
) -> None:
    rows = ", ".join(f"({literal})" for literal in literals.split(", "))
    types, got = values(opened(f"CREATE TABLE t (v {declared}); INSERT INTO t VALUES {rows};"))
    assert types.get("v") == suggested
    assert got == found


def test_a_type_does_not_change_when_a_misfit_comes(opened: Callable[[str], SqliteConnector]) -> None:
    connector = opened("CREATE TABLE t (v INTEGER); INSERT INTO t VALUES (1)")
    before = connector.columns(request(table="t"))
    with sqlite3.connect(connector.path) as connection:
        connection.execute("INSERT INTO t VALUES ('x')")
    connection.close()
    assert connector.columns(request(table="t")) == before


def test_a_query_suggests_types_by_what_it_gives(opened: Callable[[str], SqliteConnector]) -> None:
    connector = opened("CREATE TABLE t (id INTEGER, at TEXT); INSERT INTO t VALUES (1, '2024-01-01'), (2, NULL)")
    reading = connector.read(request(query="SELECT id, at, id * 0.5 AS half, 'x' AS x FROM t", cursor=CursorBound("id", start=2)))
    [portion] = reading.portions
    assert isinstance(portion.data, Scan)
    assert portion.data.suggested_types == {"id": "BIGINT", "half": "DOUBLE"}
    assert read_rows(reading) == [{"id": 2, "at": None, "half": 1.0, "x": "x"}]


def test_rows_in_the_journal_are_read_and_nothing_is_written(opened: Callable[[str], SqliteConnector]) -> None:
    connector = opened("PRAGMA journal_mode = wal; CREATE TABLE t (v INTEGER); INSERT INTO t VALUES (1)")
    writer = sqlite3.connect(connector.path)
    writer.execute("INSERT INTO t VALUES (2)")
    writer.commit()
    assert values(connector)[1] == [1, 2]
    writer.close()


def test_views_and_tables_without_rowid_are_discovered(opened: Callable[[str], SqliteConnector]) -> None:
    connector = opened('CREATE TABLE t (b TEXT, a TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID; CREATE VIEW v AS SELECT a FROM t; CREATE TABLE "o.dd" (x)')
    found = {stream.definition["table"]: stream for stream in connector.discover()}
    assert found["t"].primary_key == ("a", "b")
    assert set(found) == {"t", "v", '"o.dd"'}
    assert read_rows(connector.read(ReadRequest("odd", Stream.model_validate(dict(found['"o.dd"'].definition))))) == []


def test_a_file_that_is_missing_or_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, though it is long enough to look like one" * 20)
    for name, kind in (("nonesuch.db", SourceUnreachable), ("text.db", SourceDataInvalid)):
        connector = SqliteConnector(ConnectorContext("shop", tmp_path, connection=name))
        with pytest.raises(kind) as caught:
            connector.check()
        assert name in str(caught.value)
        connector.close()


def test_a_query_that_writes_is_refused(opened: Callable[[str], SqliteConnector]) -> None:
    connector = opened("CREATE TABLE t (v INTEGER)")
    with pytest.raises(SourceDataInvalid):
        connector.read(request(query="DELETE FROM t RETURNING v"))
