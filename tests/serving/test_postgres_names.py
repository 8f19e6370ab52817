"""What columns are called that have no name of their own, beside a real PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest
from beside_postgres import SCHEMA, Both, ask

_ITEMS = (
    "substr(name, 2)",
    "substring(name, 2)",
    "char_length(name)",
    "character_length(name)",
    "length(name)",
    "mod(id, 2)",
    "(mod(id, 2))",
    "mod(id, 2)::int",
    "id % 2",
    "mod(id, 2) + 1",
    "ceiling(ratio)",
    "ceil(ratio)",
    "strpos(name, 'a')",
    "position('a' in name)",
    "trim(name)",
    "trim(leading 'a' from name)",
    "trim(trailing 'a' from name)",
    "(SELECT mod(7, 2))",
    "substr/* its own */(name, 2)",
    "Substr (name, 2)",
    "variance(id) OVER ()",
    "var_samp(id) OVER ()",
    "var_samp(id) OVER () AS mine",
)


@pytest.mark.parametrize("item", _ITEMS)
def test_a_column_is_called_as_its_function(both: Both, item: str) -> None:
    expected, got = (ask(connection, f"SELECT {item} FROM {SCHEMA}.facts WHERE id < 9 ORDER BY id") for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert not isinstance(got, psycopg.Error)
    assert got[0] == expected[0]


def test_a_date_may_stand_before_its_own_name(both: Both) -> None:
    dates = "current_date - current_date + id, current_date > '2020-01-01', current_date = CURRENT_DATE AS same"
    times = "current_timestamp > now() - interval '1 day', current_timestamp = now() AS current_timestamp"
    sql = f"SELECT {dates}, {times} FROM {SCHEMA}.facts ORDER BY id"
    expected, got = (ask(connection, sql) for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert got == expected


def test_the_time_is_called_as_it_is_asked_for(both: Both) -> None:
    expected, got = (ask(connection, "SELECT now(), current_timestamp, now() AS x, localtimestamp, current_date") for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert not isinstance(got, psycopg.Error)
    assert got[0] == expected[0]
