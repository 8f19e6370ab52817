"""The documented table of what a value may become: DuckDB itself judges each case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headwater.engine import Connection, Engine
from headwater.ingestion.casts import Formats, conversion

FAULT = object()
CASES: list[tuple[str, str | None, str, object]] = [
    # text -> whole numbers
    ("VARCHAR", "42", "BIGINT", "42"),
    ("VARCHAR", " 42 ", "BIGINT", "42"),
    ("VARCHAR", "+42", "BIGINT", "42"),
    ("VARCHAR", "007", "BIGINT", "7"),
    ("VARCHAR", "1.0", "BIGINT", "1"),
    ("VARCHAR", "1e3", "BIGINT", "1000"),
    ("VARCHAR", "1.5", "BIGINT", FAULT),
    ("VARCHAR", "1.5e0", "BIGINT", FAULT),
    ("VARCHAR", "1_000", "BIGINT", FAULT),
    ("VARCHAR", "1,000", "BIGINT", FAULT),
    ("VARCHAR", "0x1F", "BIGINT", FAULT),
    ("VARCHAR", "99999999999999999999", "BIGINT", FAULT),
    ("VARCHAR", "300", "TINYINT", FAULT),
    ("VARCHAR", "-1", "UINTEGER", FAULT),
    ("VARCHAR", "", "BIGINT", None),
    ("VARCHAR", "   ", "BIGINT", None),
    ("VARCHAR", None, "BIGINT", None),
    # text -> decimals and floats
    ("VARCHAR", "12.34", "DECIMAL(10,2)", "12.34"),
    ("VARCHAR", "12.3400", "DECIMAL(10,2)", "12.34"),
    ("VARCHAR", ".5", "DECIMAL(10,2)", "0.50"),
    ("VARCHAR", "5.", "DECIMAL(10,2)", "5.00"),
    ("VARCHAR", "12.345", "DECIMAL(10,2)", FAULT),
    ("VARCHAR", "1.5", "DECIMAL(10,0)", FAULT),
    ("VARCHAR", "123456789012", "DECIMAL(10,2)", FAULT),
    ("VARCHAR", "1e2", "DECIMAL(10,2)", "100.00"),
    ("VARCHAR", "1e-3", "DECIMAL(10,2)", FAULT),
    ("VARCHAR", ".", "DECIMAL(10,2)", FAULT),
    ("VARCHAR", "12,50", "DECIMAL(10,2)", FAULT),
    ("VARCHAR", "nan", "DECIMAL(10,2)", FAULT),
    ("VARCHAR", "0.1", "DOUBLE", "0.1"),
    ("VARCHAR", "NaN", "DOUBLE", "nan"),
    ("VARCHAR", "-Infinity", "DOUBLE", "-inf"),
    ("VARCHAR", "1e400", "DOUBLE", FAULT),
    ("VARCHAR", "1_0.5", "DOUBLE", FAULT),
    ("VARCHAR", "1,5", "DOUBLE", FAULT),
    # text -> booleans
    *[("VARCHAR", text, "BOOLEAN", "true") for text in ("true", "True", "t", "yes", "Y", "1")],
    *[("VARCHAR", text, "BOOLEAN", "false") for text in ("false", "F", "no", "n", "0")],
    *[("VARCHAR", text, "BOOLEAN", FAULT) for text in ("on", "off", "2", "ja")],
    # text -> dates and times
    ("VARCHAR", "2024-01-02", "DATE", "2024-01-02"),
    ("VARCHAR", "2024/1/2", "DATE", "2024-01-02"),
    ("VARCHAR", "2024-01-02T00:00:00", "DATE", "2024-01-02"),
    ("VARCHAR", "2024-01-02 10:00:00", "DATE", FAULT),
    ("VARCHAR", "01/02/2024", "DATE", FAULT),
    ("VARCHAR", "2024-02-30", "DATE", FAULT),
    ("VARCHAR", "infinity", "DATE", FAULT),
    ("VARCHAR", "epoch", "DATE", FAULT),
    ("VARCHAR", "2024-01-02 10:00:00.123456", "TIMESTAMP", "2024-01-02 10:00:00.123456"),
    ("VARCHAR", "2024-01-02T10:00:00Z", "TIMESTAMP", "2024-01-02 10:00:00"),
    ("VARCHAR", "2024-01-02 10:00:00+02", "TIMESTAMP", "2024-01-02 08:00:00"),
    ("VARCHAR", "2024-01-02 10:00:00-05:30", "TIMESTAMP", "2024-01-02 15:30:00"),
    ("VARCHAR", "2024-01-02", "TIMESTAMP", "2024-01-02 00:00:00"),
    ("VARCHAR", "400000-01-02 10:00:00", "TIMESTAMP", FAULT),
    ("VARCHAR", "infinity", "TIMESTAMP", FAULT),
    ("VARCHAR", "yesterday", "TIMESTAMP", FAULT),
    ("VARCHAR", "2024-01-02 10:00:00+02", "TIMESTAMP WITH TIME ZONE", "2024-01-02 08:00:00+00"),
    ("VARCHAR", "2024-01-02 10:00:00", "TIMESTAMP WITH TIME ZONE", "2024-01-02 10:00:00+00"),
    ("VARCHAR", "12:30", "TIME", "12:30:00"),
    ("VARCHAR", "25:30", "TIME", FAULT),
    # text -> the rest
    ("VARCHAR", "not a uuid", "UUID", FAULT),
    ("VARCHAR", '{"a": 1', "JSON", FAULT),
    ("VARCHAR", '{"a": 1}', "JSON", '{"a": 1}'),
    ("VARCHAR", "[1, 2]", "BIGINT[]", "[1, 2]"),
    ("VARCHAR", '[1, "x"]', "BIGINT[]", FAULT),
    ("VARCHAR", "nonsense", "BIGINT[]", FAULT),
    # JSON: parts of the wrong type never become null silently
    ("JSON", '"text"', "VARCHAR", "text"),
    ("JSON", '{"a": [1]}', "VARCHAR", '{"a":[1]}'),
    ("JSON", '"7"', "BIGINT", "7"),
    ("JSON", "7.5", "BIGINT", FAULT),
    ("JSON", "true", "BIGINT", FAULT),
    ("JSON", "null", "BIGINT", None),
    ("JSON", '{"a": 1}', "STRUCT(a BIGINT)", "{'a': 1}"),
    ("JSON", '{"a": null}', "STRUCT(a BIGINT)", "{'a': NULL}"),
    ("JSON", "{}", "STRUCT(a BIGINT)", "{'a': NULL}"),
    ("JSON", '{"a": "x"}', "STRUCT(a BIGINT)", FAULT),
    ("JSON", '{"a": 1.5}', "STRUCT(a BIGINT)", FAULT),
    ("JSON", '{"a": 1, "b": 2}', "STRUCT(a BIGINT)", FAULT),
    ("JSON", "[1]", "STRUCT(a BIGINT)", FAULT),
    ("JSON", '{"a": {"b": [1, 2]}}', "STRUCT(a STRUCT(b BIGINT[]))", "{'a': {'b': [1, 2]}}"),
    ("JSON", '{"a": {"b": [1, "x"]}}', "STRUCT(a STRUCT(b BIGINT[]))", FAULT),
    ("JSON", '[{"a": 1}, {"a": "x"}]', "STRUCT(a BIGINT)[]", FAULT),
    ("JSON", '{"x": 1}', "MAP(VARCHAR, BIGINT)", "{x=1}"),
    ("JSON", '{"x": "y"}', "MAP(VARCHAR, BIGINT)", FAULT),
    ("JSON", '{"odd \\"name": 1}', 'STRUCT("odd ""name" BIGINT)', "{'odd \"name': 1}"),
    # typed -> typed
    ("BIGINT", "300", "TINYINT", FAULT),
    ("BIGINT", "9007199254740993", "DOUBLE", FAULT),
    ("BIGINT", "9007199254740992", "DOUBLE", "9007199254740992.0"),
    ("DOUBLE", "1.5", "BIGINT", FAULT),
    ("DOUBLE", "2", "BIGINT", "2"),
    ("DOUBLE", "nan", "BIGINT", FAULT),
    ("DOUBLE", "nan", "VARCHAR", "nan"),
    ("DOUBLE", "19.99", "DECIMAL(10,2)", "19.99"),
    ("DOUBLE", "19.999", "DECIMAL(10,2)", FAULT),
    ("DOUBLE", "0.1", "FLOAT", "0.1"),
    ("DOUBLE", "1e39", "FLOAT", FAULT),
    ("DECIMAL(10,3)", "1.239", "DECIMAL(10,2)", FAULT),
    ("DECIMAL(10,3)", "1.230", "DECIMAL(10,2)", "1.23"),
    ("HUGEINT", "170141183460469231731687303715884105727", "DECIMAL(38,0)", FAULT),
    ("TIMESTAMP", "2024-01-02 10:00:00", "DATE", FAULT),
    ("TIMESTAMP", "2024-01-02 00:00:00", "DATE", "2024-01-02"),
    ("TIMESTAMP", "2024-01-02 10:00:00", "TIMESTAMP WITH TIME ZONE", "2024-01-02 10:00:00+00"),
    ("BIGINT", "2", "BOOLEAN", FAULT),
    ("BOOLEAN", "true", "BIGINT", "1"),
    ("INTEGER", "5", "DECIMAL(12,2)", "5.00"),
    ("BIGINT[]", "[1, 2]", "VARCHAR", "[1,2]"),
    ("BIGINT[]", "[1, 300]", "TINYINT[]", FAULT),
    ("STRUCT(a BIGINT, b BIGINT)", "{'a': 1, 'b': 2}", "STRUCT(a BIGINT)", FAULT),
]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with Engine() as engine, engine.connection() as connection:
        yield connection


def judge(connection: Connection, source: str, literal: str | None, target: str, formats: Formats = Formats()) -> object:
    rule = conversion(source, target, formats)
    fault = rule.fault("x", "v") if rule.fault else "false"
    row = connection.execute(
        f"SELECT coalesce({fault}, false), v::VARCHAR FROM (SELECT x, {rule.value('x')} AS v FROM (SELECT ?::VARCHAR::{source} AS x))", [literal]
    ).fetchone()
    assert row is not None
    return FAULT if row[0] else row[1]


@pytest.mark.parametrize(("source", "literal", "target", "expected"), CASES)
def test_a_value_becomes_the_contracts_type_or_is_a_fault(
    connection: Connection, source: str, literal: str | None, target: str, expected: object
) -> None:
    assert judge(connection, source, literal, target) == expected


@pytest.mark.parametrize(
    ("literal", "target", "formats", "expected"),
    [
        ("02.01.2024", "DATE", Formats(date="%d.%m.%Y"), "2024-01-02"),
        ("2024-01-02", "DATE", Formats(date="%d.%m.%Y"), FAULT),
        ("01/02/2024 10:00", "TIMESTAMP", Formats(timestamp="%m/%d/%Y %H:%M"), "2024-01-02 10:00:00"),
        ("01/02/2024 10:00 +0200", "TIMESTAMP", Formats(timestamp="%m/%d/%Y %H:%M %z"), "2024-01-02 08:00:00"),
        ("nonsense", "TIMESTAMP", Formats(timestamp="%m/%d/%Y %H:%M"), FAULT),
    ],
)
def test_dates_are_read_by_the_given_format(connection: Connection, literal: str, target: str, formats: Formats, expected: object) -> None:
    assert judge(connection, "VARCHAR", literal, target, formats) == expected
