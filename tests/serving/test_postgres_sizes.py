"""Translating takes a time, and makes a text, that grow as the query does."""

from __future__ import annotations

import time

import pytest

from headwater.serving.postgres.context import Context
from headwater.serving.postgres.dialect.translation import translate
from headwater.serving.postgres.failures import WireError


def translated(sql: str) -> str:
    context = Context("shop", "ada", "postgres", ("public",), (), lambda name: None, lambda *given: None)
    return translate(sql, context).sql


def nested(sql: str, depth: int) -> str:
    made = "1.5"
    for _ in range(depth):
        made = sql.format(made)
    return made


def test_a_quotient_in_a_quotient_takes_as_long_as_the_first() -> None:
    began = time.process_time()
    translated(f"SELECT {nested('round({} / 3, 5)', 9)}")
    assert time.process_time() - began < 3  # it takes some tenths; copied twice at each depth, a minute


def test_what_a_function_is_given_stands_in_it_once() -> None:
    assert len(translated(f"SELECT {nested('upper({}::text)', 8)}")) < 20_000  # three times at each depth, half a million
    assert len(translated(f"SELECT {nested('{}::double precision::text', 4)}")) < 20_000


@pytest.mark.parametrize(
    "call",
    [
        "initcap({}::text)",
        "regexp_replace({}::text, '\\w', 'x')",
        "substring({}::text from '\\w+')",
        "extract(year from make_date(({})::int, 1, 1))",
        "extract(epoch from age(to_timestamp(({})::int), now()))",
        "timezone('Europe/Oslo', make_date(length(cast({} AS text)), 1, 1)::timestamp)",
        "to_char(length(cast({} AS text)), '999,999')",
    ],
)
def test_what_is_nested_grows_as_deep_as_it_is(call: str) -> None:
    lengths = [len(translated(f"SELECT {nested(call, depth).replace('1.5', '1', 1)}")) for depth in (4, 8, 12)]
    assert lengths[2] - lengths[1] < 2 * (lengths[1] - lengths[0])  # doubled at each depth, sixteen times


def test_what_would_grow_without_bounds_is_refused() -> None:
    """An average needs what is averaged for its sum and its count."""
    averages = "1.5"
    for _ in range(14):
        averages = f"(SELECT avg(round({averages}, 2)))"
    with pytest.raises(WireError, match="DuckDB's words"):
        translated(f"SELECT {averages}")
    quotients = ", ".join(f"{nested('round({} / 3, 5)', 9)} AS q{number}" for number in range(300))
    with pytest.raises(WireError, match="grow too large"):
        translated(f"SELECT {quotients}")


def test_many_columns_of_one_name_are_ordered_by_in_seconds() -> None:
    began = time.process_time()
    translated(f"SELECT {', '.join(['1 AS x'] * 500)} ORDER BY {', '.join(['x'] * 500)}")
    assert time.process_time() - began < 2  # it takes some tenths; each compared with all others, five seconds
    with pytest.raises(WireError, match="ambiguous"):
        translated("SELECT 1 AS x, 1 AS y, 2 AS x ORDER BY y, x")
