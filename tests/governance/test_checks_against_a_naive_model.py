"""The same checks, judged by DuckDB and by a few lines of Python, over random rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.engine import Connection, Engine
from headwater.governance.checks import judge
from headwater.spec.checks import AcceptedValues, Check, Expression, Matches, NotNull, Range, Relationships, Rows, Unique

Row = dict[str, Any]

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("day", pa.date32()), ("amount", pa.decimal128(8, 2)), ("share", pa.float64())])
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.none() | st.integers(0, 6),
            "name": st.none() | st.sampled_from(["", "a", "b@c", "it's", "Ærlig", '"q"']),
            "day": st.none() | st.dates(date(2024, 1, 1), date(2024, 1, 9)),
            "amount": st.none() | st.decimals(-5, 5, places=2),
            "share": st.none() | st.floats(-1, 1),
        }
    ),
    max_size=25,
)
_COLUMN = st.sampled_from(SCHEMA.names)
_TOLERANCE = {"tolerance": st.sampled_from([0.0, 0.1, 0.5, 1.0]), "severity": st.sampled_from(["error", "warn"])}
_CHECK: st.SearchStrategy[Check] = st.one_of(
    st.builds(NotNull, column=_COLUMN, **_TOLERANCE),
    st.builds(Unique, columns=st.lists(_COLUMN, min_size=1, max_size=2, unique=True).map(tuple), **_TOLERANCE),
    st.builds(AcceptedValues, column=st.just("name"), values=st.lists(st.sampled_from(["", "a", "it's", None]), min_size=1).map(tuple), **_TOLERANCE),
    st.builds(AcceptedValues, column=st.just("id"), values=st.lists(st.integers(0, 4), min_size=1).map(tuple), **_TOLERANCE),
    st.builds(Range, column=st.just("id"), min=st.integers(0, 3), max=st.none() | st.integers(2, 6), **_TOLERANCE),
    st.builds(Range, column=st.just("amount"), min=st.none() | st.sampled_from([0.1, -1, 2.25]), max=st.just(3), **_TOLERANCE),
    st.builds(Range, column=st.just("day"), min=st.just(date(2024, 1, 3)), max=st.none() | st.just(date(2024, 1, 6)), **_TOLERANCE),
    st.builds(Range, column=st.just("name"), min=st.just("a"), max=st.just("b@c"), **_TOLERANCE),
    st.builds(Matches, column=st.just("name"), pattern=st.sampled_from(["@", "^a$", "'", "^$", "[a-z]"]), **_TOLERANCE),
    st.builds(Expression, name=st.just("small"), sql=st.just("amount <= 2 -- not too much"), **_TOLERANCE),
    st.builds(Relationships, column=st.just("id"), to=st.just("shop.parents"), field=st.just("key"), **_TOLERANCE),
    st.builds(Rows, min=st.integers(0, 10), max=st.none() | st.integers(5, 20), severity=st.just("warn")),
    st.builds(Rows, max=st.integers(5, 20), severity=st.just("warn")),
)
PARENTS = {0, 1, 2, 4}


def fails(check: Check, row: Row) -> bool:
    value = row[check.column] if hasattr(check, "column") else None
    match check:
        case NotNull():
            return value is None
        case AcceptedValues(values=values):
            return value is not None and value not in values
        case Range(min=low, max=high):
            if isinstance(value, Decimal):
                low, high = (None if bound is None else Decimal(str(bound)) for bound in (low, high))
            return value is not None and ((low is not None and value < low) or (high is not None and value > high))
        case Matches(pattern=pattern):
            return value is not None and re.search(pattern, value) is None
        case Expression():
            return row["amount"] is not None and row["amount"] > 2
        case Relationships():
            return value is not None and value not in PARENTS
    raise AssertionError(check)


def expected(check: Check, rows: list[Row]) -> tuple[bool, int | None, int]:
    if isinstance(check, Rows):
        return (check.min or 0) <= len(rows) <= (len(rows) if check.max is None else check.max), None, len(rows)
    if isinstance(check, Unique):
        keys = Counter(key for row in rows if None not in (key := tuple(row[column] for column in check.columns)))
        failed, total = sum(keys.values()) - len(keys), sum(keys.values())
    else:
        failed, total = sum(fails(check, row) for row in rows), len(rows)
    return failed <= check.tolerance * total, failed, total


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with Engine(threads=1) as engine, engine.connection() as connection:
        connection.execute(f"CREATE TABLE parents AS SELECT unnest({sorted(PARENTS)}) AS key UNION ALL SELECT NULL")
        yield connection


@settings(max_examples=150, deadline=None)
@given(rows=_ROWS, checks=st.lists(_CHECK, max_size=8))
def test_verdicts_are_those_of_a_naive_model(connection: Connection, rows: list[Row], checks: list[Check]) -> None:
    connection.register("given_rows", pa.Table.from_pylist(rows, SCHEMA))
    verdicts = judge(connection, "given_rows", checks, resolve=lambda _: "parents")
    assert [(v.passed, v.failed, v.total) for v in verdicts] == [expected(check, rows) for check in checks]
    assert [(v.check, v.type, v.severity, v.tolerance) for v in verdicts] == [(c.label, c.type, c.severity, c.tolerance) for c in checks]
    for check, verdict in zip(checks, verdicts, strict=True):
        assert bool(verdict.sample) == (not verdict.passed and check.type != "rows")
        assert len(verdict.sample) <= 5
        for text in verdict.sample:
            assert set(json.loads(text)) == set(SCHEMA.names)


@settings(max_examples=80, deadline=None)
@given(old=_ROWS, new=_ROWS, keys=st.sampled_from([("id",), ("id", "name")]))
def test_looking_at_staged_rows_alone_is_enough_where_the_others_passed(
    connection: Connection, old: list[Row], new: list[Row], keys: tuple[str, ...]
) -> None:
    checks: list[Check] = [NotNull(column="share"), Range(column="amount", min=0), Unique(columns=keys), Rows(min=3)]
    old = [row for row in old if not any(fails(check, row) for check in checks[:2])]
    old = list({tuple(row[k] for k in keys): row for row in old}.values())
    connection.register("staged_rows", pa.Table.from_pylist(new, SCHEMA))
    connection.register("all_rows", pa.Table.from_pylist(old + new, SCHEMA))
    whole = judge(connection, "all_rows", checks)
    part = judge(connection, "SELECT * FROM all_rows", checks, staged_relation="staged_rows")
    assert [(v.passed, v.failed) for v in part] == [(v.passed, v.failed) for v in whole]
