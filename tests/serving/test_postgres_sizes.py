"""Translating takes a time, and makes a text, that grow as the query does."""

from __future__ import annotations

import time

import pytest

from headwater.serving.postgres.context import Context
from headwater.serving.postgres.dialect import translate
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
    assert time.process_time() - began < 10  # it takes one or two; copied twice at each depth, a minute


def test_what_a_function_is_given_stands_in_it_once() -> None:
    assert len(translated(f"SELECT {nested('upper({}::text)', 8)}")) < 20_000  # three times at each depth, half a million
    assert len(translated(f"SELECT {nested('{}::double precision::text', 4)}")) < 20_000


def test_many_columns_of_one_name_are_ordered_by_in_seconds() -> None:
    began = time.process_time()
    translated(f"SELECT {', '.join(['1 AS x'] * 500)} ORDER BY {', '.join(['x'] * 500)}")
    assert time.process_time() - began < 2  # it takes some tenths; each compared with all others, five seconds
    with pytest.raises(WireError, match="ambiguous"):
        translated("SELECT 1 AS x, 1 AS y, 2 AS x ORDER BY y, x")
