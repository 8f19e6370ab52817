"""DuckDB files as sources."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headwater.engine import Engine
from headwater.errors import SourceDataInvalid, SourceError, SourceReadFailed
from headwater.sources import Batches, ConnectorContext, ReadRequest
from headwater.sources.duckdb import DuckDbConnector
from headwater.spec.sources import Stream
from headwater.spec.tables import storage_type
from headwater.testing import read_rows


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., DuckDbConnector]]:
    connectors: list[DuckDbConnector] = []

    def open_with(script: str, **context: Any) -> DuckDbConnector:
        with Engine() as engine, engine.connection() as connection:
            connection.execute(f"ATTACH '{tmp_path / 'a.duckdb'}' AS made; USE made")
            connection.execute(script)
        connectors.append(DuckDbConnector(ConnectorContext("shop", tmp_path, connection="a.duckdb", **context)))
        return connectors[-1]

    yield open_with
    for connector in connectors:
        connector.close()


def request(**stream: Any) -> ReadRequest:
    return ReadRequest("things", Stream.model_validate(stream))


def test_types_that_arrow_would_bend_come_as_the_lake_keeps_them(opened: Callable[..., DuckDbConnector]) -> None:
    connector = opened("""
        CREATE TYPE mood AS ENUM ('a');
        CREATE TABLE t AS SELECT 123456789012345678901::HUGEINT AS h, 'a'::mood AS m, '101'::BIT AS b, '12:00:00+02'::TIMETZ AS z,
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID AS u, [1, 2]::INTEGER[2] AS a""")
    types = {column.name: column.type for column in connector.columns(request(table="t"))}
    assert types == {"h": "DECIMAL(38,0)", "m": "VARCHAR", "b": "VARCHAR", "z": storage_type("TIME WITH TIME ZONE"), "u": "UUID", "a": "INTEGER[]"}
    [portion] = connector.read(request(table="t")).portions
    assert isinstance(portion.data, Batches)
    with Engine() as engine, engine.connection() as connection:
        import pyarrow as pa

        batches = list(portion.data.open())
        connection.register("got", pa.Table.from_batches(batches))
        assert connection.execute("SELECT h, m, b, z::VARCHAR, u::VARCHAR, typeof(u), a FROM got").fetchall() == [
            (
                Decimal("123456789012345678901"),
                "a",
                "101",
                "12:00:00+02",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "UUID",
                [1, 2],
            )
        ]


def test_a_number_too_big_for_the_lake_is_told_without_its_value(opened: Callable[..., DuckDbConnector]) -> None:
    connector = opened("CREATE TABLE t AS SELECT 170141183460469231731687303715884105727::HUGEINT AS h")
    with pytest.raises(SourceDataInvalid) as caught:
        read_rows(connector.read(request(table="t")))
    assert "17014118" not in str(caught.value)


def test_a_statement_that_takes_too_long_is_ended(opened: Callable[..., DuckDbConnector]) -> None:
    connector = opened("CREATE TABLE t AS SELECT 1 AS x", statement_timeout=timedelta(milliseconds=200))
    with pytest.raises(SourceReadFailed, match="statement timeout"):
        read_rows(connector.read(request(query="SELECT count(*) AS n FROM range(100000) a, range(1000000) b")))
    assert read_rows(connector.read(request(table="t"))) == [{"x": 1}]


def test_views_schemas_and_queries_are_read(opened: Callable[..., DuckDbConnector]) -> None:
    connector = opened("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS x; CREATE VIEW s.v AS SELECT x + 1 AS y FROM s.t")
    assert read_rows(connector.read(request(table="s.v"))) == [{"y": 2}]
    assert read_rows(connector.read(request(query="FROM s.t;"))) == [{"x": 1}]
    assert {stream.definition["table"] for stream in connector.discover()} == {"s.t", "s.v"}


def test_a_query_that_writes_is_refused(opened: Callable[..., DuckDbConnector]) -> None:
    connector = opened("CREATE TABLE t AS SELECT 1 AS x")
    with pytest.raises(SourceError):
        connector.read(request(query="INSERT INTO t VALUES (1) RETURNING x"))


def test_two_streams_of_one_file_are_read_by_two_threads(opened: Callable[..., DuckDbConnector]) -> None:
    connector = opened("CREATE TABLE t AS SELECT range AS x FROM range(200000)")
    readings = [connector.read(request(table="t")), connector.read(request(query="SELECT x FROM t"))]
    counts: list[int] = []
    threads = [threading.Thread(target=lambda r=reading: counts.append(len(read_rows(r)))) for reading in readings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [200_000, 200_000]


def test_an_encrypted_file_is_read_with_its_key_and_its_key_is_told_to_nobody(tmp_path: Path) -> None:
    with Engine() as engine, engine.connection() as connection:
        connection.load("httpfs")  # its OpenSSL does the encrypting
        connection.execute(f"ATTACH '{tmp_path / 'e.duckdb'}' AS made (ENCRYPTION_KEY 'hunter22-key')")
        connection.execute("CREATE TABLE made.t AS SELECT 1 AS x")
    right = DuckDbConnector(ConnectorContext("shop", tmp_path, connection={"path": "e.duckdb", "encryption_key": "hunter22-key"}))
    assert read_rows(right.read(request(table="t"))) == [{"x": 1}]
    right.close()
    wrong = DuckDbConnector(ConnectorContext("shop", tmp_path, connection={"path": "e.duckdb", "encryption_key": "hunter22-wrong"}))
    with pytest.raises(SourceError) as caught:
        wrong.check()
    assert "hunter22" not in str(caught.value)
    wrong.close()
