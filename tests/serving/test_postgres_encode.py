# ruff: noqa: E501 (queries and values, a line each)
"""Every value comes out of psycopg as it went in, text and binary; and as PostgreSQL prints it."""

from __future__ import annotations

import itertools
import math
import struct
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.adapt import Transformer
from psycopg.pq import Format

from headwater.engine import Engine
from headwater.serving.postgres.encode import Encoder
from headwater.serving.postgres.encode_text import interval_text
from headwater.serving.postgres.fields import fields
from services import require_postgres

_TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "BOOLEAN": (pa.bool_(), st.booleans()),
    "TINYINT": (pa.int8(), st.integers(-128, 127)),
    "SMALLINT": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "INTEGER": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "BIGINT": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "UINTEGER": (pa.uint32(), st.integers(0, 2**32 - 1)),
    "UBIGINT": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "DOUBLE": (pa.float64(), st.floats()),
    "FLOAT": (pa.float32(), st.floats(width=32)),
    "HUGEINT": (pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)),
    "DECIMAL(18,3)": (pa.decimal128(18, 3), st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-3))),
    "DECIMAL(38,10)": (pa.decimal128(38, 10), st.integers(-(10**28), 10**28).map(lambda n: Decimal(n).scaleb(-10))),
    "DECIMAL(9,9)": (pa.decimal128(9, 9), st.integers(-(10**9) + 1, 10**9 - 1).map(lambda n: Decimal(n).scaleb(-9))),
    "VARCHAR": (pa.string(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    "BLOB": (pa.binary(), st.binary()),
    "DATE": (pa.date32(), st.dates()),
    "TIME": (pa.time64("us"), st.times()),
    "TIMESTAMP": (pa.timestamp("us"), st.datetimes()),
    "TIMESTAMP WITH TIME ZONE": (pa.timestamp("us", "UTC"), st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))),
    "UUID": (pa.string(), st.uuids().map(str)),
    "INTEGER[]": (pa.list_(pa.int32()), st.lists(st.none() | st.integers(-(2**31), 2**31 - 1))),
    "VARCHAR[]": (pa.list_(pa.string()), st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))),
    "DOUBLE[]": (pa.list_(pa.float64()), st.lists(st.floats(allow_nan=False))),
}


@pytest.fixture(scope="module")
def encoder() -> Any:
    made = Encoder()
    yield made
    made.close()


def _decoded(data: bytes, oids: list[int], format: int) -> list[tuple[Any, ...]]:
    """The rows of DataRow messages, as psycopg loads them."""
    transformer = Transformer()
    transformer.set_loader_types(oids, Format(format))
    rows = []
    at = 0
    while at < len(data):
        assert data[at : at + 1] == b"D"
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
        count = int.from_bytes(data[at + 5 : at + 7], "big")
        at += 7
        values: list[bytes | None] = []
        for _ in range(count):
            size = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            values.append(None if size == -1 else data[at : at + size])
            at += max(size, 0)
        assert at == end
        rows.append(transformer.load_sequence(values))
    return rows


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(itertools.starmap(_same, zip(one, other, strict=True)))
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


@pytest.mark.parametrize("format", [0, 1])
@pytest.mark.parametrize("type", _TYPES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_psycopg_reads_what_was_in_the_arrow_batch(encoder: Encoder, type: str, format: int, data: st.DataObject) -> None:
    arrow, values = _TYPES[type]
    column = data.draw(st.lists(st.none() | values, max_size=8))
    batch = pa.RecordBatch.from_arrays([pa.array(column, arrow), pa.array(range(len(column)), pa.int32())], names=["v", "n"])
    offset = min(1, len(column))
    batch = batch.slice(offset)
    columns = fields(["v", "n"], [type, "INTEGER"], [format])
    rows = _decoded(b"".join(encoder.data_rows(batch, columns)), [one.wire.oid for one in columns], format)
    expected = batch.column(0).to_pylist()
    if type == "FLOAT":  # psycopg reads the shortest digits as a double
        rows = [(None if row[0] is None else struct.unpack("f", struct.pack("f", row[0]))[0], row[1]) for row in rows]
    if type == "UUID":
        expected = [None if one is None else UUID(one) for one in expected]
    assert [row[1] for row in rows] == list(range(offset, len(column)))
    assert all(itertools.starmap(_same, zip(expected, [row[0] for row in rows], strict=True))), (expected, rows)


def test_texts_are_those_of_postgres(encoder: Encoder) -> None:
    """Each expression means the same to both engines; the text that comes out is the same too."""
    expressions = {
        "DOUBLE": ("1e15", "1e14", "123456789012345.6", "1e-4", "1e-5", "0.1", "-0.0", "1.5e300", "'NaN'", "'-Infinity'", "3", "1234567890123456"),
        "FLOAT": ("1e6", "1e5", "123456.7", "0.1", "1e-5", "'Infinity'"),
        "TIMESTAMP": ("'2024-01-02 03:04:05.600'", "'0044-03-15 00:00:00 BC'", "'infinity'", "'12024-01-01'", "'2024-01-01 10:20:30'"),
        "DATE": ("'2024-02-29'", "'0044-03-15 BC'", "'infinity'", "'12024-01-01'"),
        "TIMESTAMP WITH TIME ZONE": ("'2024-01-02 03:04:05.5+02'", "'2024-01-02 00:00:00+00'"),
        "TIME": ("'03:04:05.600'", "'00:00:00'", "'23:59:59.999999'"),
        "DECIMAL(12,9)": ("0.000000001", "-1.5", "0"),
        "INTERVAL": ("'1 year 2 months -3 days 04:05:06.5'", "'-1 month 1 day'", "'0 days'", "'-00:00:01'", "'25 hours'"),
        "BOOLEAN": ("true", "false", "NULL"),
        "UUID": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",),
    }
    with psycopg.connect(require_postgres(), options="-c timezone=UTC -c intervalstyle=postgres") as real, Engine() as engine:
        for type, literals in expressions.items():
            for literal in literals:
                ours = "'0044-03-15 (BC) 00:00:00'" if literal.endswith("00 BC'") else literal.replace(" BC'", " (BC)'")
                with engine.connection() as connection:
                    batch = connection.execute(f"SELECT {ours}::{type} AS v").arrow().to_batches()[0]
                sent = b"".join(encoder.data_rows(batch, fields(["v"], [type], [])))[11:].decode() or None
                cursor = psycopg.Cursor(real)
                asked = "real" if type == "FLOAT" else "double precision" if type == "DOUBLE" else type
                expected = cursor.execute(f"SELECT ({literal}::{asked})::text").fetchone()
                text = {"true": "t", "false": "f"}.get(expected[0], expected[0]) if expected and expected[0] else None
                assert sent == text, (type, literal)


def test_binary_values_are_those_of_postgres(encoder: Encoder) -> None:
    literals = {
        "DATE": ["'infinity'", "'-infinity'", "'2024-02-29'"],
        "TIMESTAMP": ["'infinity'", "'-infinity'", "'1999-12-31 23:59:59.999999'"],
        "INTERVAL": ["'1 year -2 days 3 seconds'"],
        "DECIMAL(38,5)": ["0", "-0.00001", "10000", "123456789012345678901234567890.12345", "9999.9999", "100000000"],
        "BIT": ["'1011001110001'"],
        "INTEGER[]": ["ARRAY[1, NULL, 3]"],
    }
    with psycopg.connect(require_postgres()) as real, Engine() as engine:
        for type, values in literals.items():
            for literal in values:
                with engine.connection() as connection:
                    batch = connection.execute(f"SELECT {literal}::{type} AS v").arrow().to_batches()[0]
                sent = b"".join(encoder.data_rows(batch, fields(["v"], [type], [1])))[11:]
                asked = "bit varying" if type == "BIT" else type
                cursor = real.cursor(binary=True)
                cursor.execute(f"SELECT {literal}::{asked}")
                assert cursor.pgresult is not None
                assert sent == cursor.pgresult.get_value(0, 0), (type, literal)


def test_nested_values_go_as_json_and_arrays_are_quoted_where_they_must(encoder: Encoder) -> None:
    with Engine() as engine, engine.connection() as connection:
        result = connection.execute(
            """SELECT {'a': 1, 'b': ['x']} AS s, MAP {'k': 2} AS m, [[1], [2, 3]] AS l, ['a b', '', 'NULL', '{', 'q"', 'b\\', NULL] AS t, 1::HUGEINT AS h,
            'x'::ENUM('x', 'y') AS e, [true, NULL] AS flags, [DATE '2024-01-01'] AS days, '\\xAB'::BLOB AS raw"""
        )
        columns = fields(result.columns, result.types, [])
        batch = result.arrow().to_batches()[0]
    data = b"".join(encoder.data_rows(batch, columns))
    values = []
    at = 7
    for _ in columns:
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        values.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    assert values == [
        '{"a":1,"b":["x"]}',
        '{"k":2}',
        "[[1],[2,3]]",
        '{"a b","","NULL","{","q\\"","b\\\\",NULL}',
        "1",
        "x",
        "{t,NULL}",
        "{2024-01-01}",
        "\\xab",
    ]


def test_parts_of_a_large_batch_stay_small(encoder: Encoder) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["x" * 2**20] * 128)], names=["v"])
    parts = list(encoder.data_rows(batch, fields(["v"], ["VARCHAR"], [])))
    assert len(parts) > 1
    assert sum(map(len, parts)) == 128 * (2**20 + 11)


@pytest.mark.parametrize(
    ("months", "days", "delta", "text"), [(14, 0, 0, "1 year 2 mons"), (0, 1, 1, "1 day 00:00:00.000001"), (-1, 1, 0, "-1 mons +1 day")]
)
def test_intervals_are_printed_in_the_style_postgres(months: int, days: int, delta: int, text: str) -> None:
    assert interval_text(months, days, delta) == text


def test_formats_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="formats"):
        fields(["a", "b"], ["INTEGER", "INTEGER"], [0, 1, 0])
    with pytest.raises(ValueError, match="formats"):
        fields(["a"], ["INTEGER"], [2])
