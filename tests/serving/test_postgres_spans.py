"""Spans of time, zones and matches of regular expressions, as a real PostgreSQL gives them."""

from __future__ import annotations

import random
from datetime import timedelta

import psycopg
import pytest
from beside_postgres import SCHEMA, Both, ask

_SPANS = (
    "age(later, earlier)",
    "age(earlier, later)",
    "age(later, day)",
    "age(later::timestamptz, earlier)",
    "age(day, later::date)",
    "age(day)",
    *(
        f"extract({part} from age(later, earlier))"
        for part in ("epoch", "year", "month", "day", "hour", "minute", "second", "milliseconds", "microseconds")
    ),
    "date_part('epoch', later - earlier)",
    "age(later, earlier) > interval '10 years'",
    "earlier + age(later, earlier)",
    "timezone('UTC', later)",
    "later at time zone 'UTC' at time zone 'gmt'",
    *(
        f"substring(word from '{pattern}')"
        for pattern in ("a+b?", "(a)(b)", "^[ab]*c", "[^a]{1,2}x", "b(.*)", "", r"\d\s?", "a?ab?c?$", "()b", "[a-c]+[1-9]?", "(c{0,2})1", "x(x*)")
    ),
    "substring(word, 'c.')",
    r"substring(word from '\w+')",
    r"word ~ '^\w*\s'",
    r"regexp_replace(word, '\s+', '_', 'g')",
    "regexp_replace(word, '[ab]?(c+)1?', '<\\1>', 'g')",
    "regexp_replace(word, 'a*', '-')",
)
_ZONES = (
    "Europe/Oslo",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Europe/Dublin",
    "Africa/Casablanca",
)


def test_spans_and_matches_are_those_of_postgres(both: Both) -> None:
    real, ours = both
    for start in range(0, len(_SPANS), 6):
        sql = f"SELECT id, {', '.join(_SPANS[start : start + 6])} FROM {SCHEMA}.spans ORDER BY id"
        expected = ask(real, sql)
        assert not isinstance(expected, psycopg.Error)
        assert ask(ours, sql) == expected, sql


@pytest.mark.parametrize("zone", _ZONES)
def test_zones_are_those_of_postgres_where_clocks_change(both: Both, zone: str) -> None:
    real, ours = both
    changes = f"""
        SELECT x::timestamp
        FROM generate_series('1970-01-02 00:00Z'::timestamptz, '2040-01-01', '3 hours') x
        WHERE timezone('{zone}', x) - timezone('{zone}', x - interval '3 hours') <> interval '3 hours'
    """
    found = [one for (one,) in real.execute(changes).fetchall()]
    assert found
    pick = random.Random(17)
    times = [one + timedelta(minutes=pick.randrange(-900, 900)) for one in found for _ in range(3)]
    rows = ", ".join(f"({number}, timestamp '{one}')" for number, one in enumerate(times))
    sql = f"SELECT n, timezone('{zone}', t::timestamp), t::timestamptz at time zone '{zone}' FROM (VALUES {rows}) v(n, t) ORDER BY n"
    expected = ask(real, sql)
    assert not isinstance(expected, psycopg.Error)
    assert ask(ours, sql) == expected
