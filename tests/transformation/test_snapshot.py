from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_table import NOON, MemoryTable, give, model_of

from headwater.engine import Connection
from headwater.errors import ModelOutputInvalid

SCHEMA = pa.schema([("id", pa.int64()), ("city", pa.string()), ("n", pa.int64()), ("changed", pa.timestamp("us"))])
SQL = "SELECT id, city, n, changed FROM staging.input"
T0 = datetime(2024, 1, 1)
BY_CITY = {"key": ["id"], "check": ["city"]}
BY_TIME = {"key": ["id"], "updated_at": "changed"}


def hour(n: int) -> datetime:
    return NOON + timedelta(hours=n)


def person(id: int | None, city: str | None = "Oslo", n: int = 0, changed: int = 0) -> dict[str, Any]:
    return {"id": id, "city": city, "n": n, "changed": T0 + timedelta(hours=changed)}


def snapshot(connection: Connection, kind: dict[str, Any], sql: str = SQL) -> MemoryTable:
    return MemoryTable(connection, model_of({"snapshot": kind}, sql))


def versions(table: MemoryTable, start: str = "valid_from", end: str = "valid_to") -> list[tuple[Any, ...]]:
    return table.connection.execute(f"SELECT id, city, {start}, {end} FROM target ORDER BY id, {start}").fetchall()


_INPUT = st.dictionaries(st.integers(0, 4), st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 2)), max_size=5)


@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.tuples(_INPUT, st.integers(-2, 3)), min_size=1, max_size=6), on_delete=st.sampled_from(["close", "keep"]))
def test_versions_by_check_are_those_of_a_naive_model(module_connection: Connection, rounds: list[Any], on_delete: str) -> None:
    table = snapshot(module_connection, {**BY_CITY, "on_delete": on_delete}, "SELECT id, city, n FROM staging.input")
    current: dict[int, str | None] = {}
    count = 0
    clock = NOON
    for rows, step in rounds:
        clock += timedelta(hours=step)  # the clock may stand still or jump back
        give(module_connection, [person(id, city, n) for id, (city, n) in rows.items()], SCHEMA)
        table.build(clock=clock)
        again = table.rows()
        assert table.build(clock=clock).is_unchanged, "doing it again changes nothing"
        assert table.rows() == again
        for id, (city, _) in rows.items():
            if id not in current or current[id] != city:
                count += 1
            current[id] = city
        if on_delete == "close":
            current = {id: city for id, city in current.items() if id in rows}
        found = versions(table)
        assert {row[0]: row[1] for row in found if row[3] is None} == current
        assert len(found) == count
        assert_history_is_sound(found)


@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.dictionaries(st.integers(0, 4), st.integers(0, 12), max_size=5), min_size=1, max_size=6))
def test_versions_by_time_are_those_of_a_naive_model(module_connection: Connection, rounds: list[dict[int, int]]) -> None:
    table = snapshot(module_connection, BY_TIME)
    current: dict[int, int] = {}
    history: dict[int, set[int]] = {}
    for number, rows in enumerate(rounds):
        give(module_connection, [person(id, f"city {changed}", 0, changed) for id, changed in rows.items()], SCHEMA)
        table.build(clock=hour(number))
        assert table.build(clock=hour(number)).is_unchanged
        for id, changed in rows.items():
            if id not in current or changed > current[id]:
                current[id] = changed
                history.setdefault(id, set()).add(changed)
        current = {id: changed for id, changed in current.items() if id in rows}
        found = versions(table)
        assert {row[0]: row[1] for row in found if row[3] is None} == {id: f"city {changed}" for id, changed in current.items()}
        assert_history_is_sound(found)


def assert_history_is_sound(found: list[tuple[Any, ...]]) -> None:
    """Versions of a key follow one another without overlap, each longer than nothing; only the last may be current."""
    for before, after in itertools.pairwise(found):
        if before[0] == after[0]:
            assert before[3] is not None
            assert before[2] < before[3] <= after[2]


def test_a_version_ends_when_its_row_changed_and_the_next_begins_then(connection: Connection) -> None:
    table = snapshot(connection, BY_TIME)
    give(connection, [person(1, "Oslo", 0, 1), person(2, "Bergen", 0, 1)], SCHEMA)
    table.build()
    give(connection, [person(1, "Tromsø", 0, 5), person(2, "Bergen", 0, 1)], SCHEMA)
    table.build(clock=hour(1))
    at = T0 + timedelta(hours=5)
    assert versions(table) == [
        (1, "Oslo", T0 + timedelta(hours=1), at),
        (1, "Tromsø", at, None),
        (2, "Bergen", T0 + timedelta(hours=1), None),
    ]


def test_only_the_checked_columns_make_a_version_and_a_star_checks_all(connection: Connection) -> None:
    few, all_of_them = snapshot(connection, BY_CITY, "SELECT id, city, n FROM staging.input"), snapshot(connection, {"key": "id", "check": "*"})
    give(connection, [person(1, "Oslo", 1)], SCHEMA)
    few.build()
    give(connection, [person(1, "Oslo", 2)], SCHEMA)
    assert few.build(clock=hour(1)).is_unchanged
    give(connection, [person(1, "Oslo", 1)], SCHEMA)
    all_of_them.build()
    give(connection, [person(1, "Oslo", 2)], SCHEMA)
    assert not all_of_them.build(clock=hour(1)).is_unchanged
    assert len(all_of_them.rows()) == 2


def test_null_is_a_value_of_its_own_in_keys_and_checked_columns(connection: Connection) -> None:
    table = snapshot(connection, BY_CITY, "SELECT id, city FROM staging.input")
    give(connection, [person(None, None)], SCHEMA)
    table.build()
    assert table.build(clock=hour(1)).is_unchanged
    give(connection, [person(None, "Oslo")], SCHEMA)
    table.build(clock=hour(2))
    assert [(row[1], row[3] is None) for row in versions(table)] == [(None, False), ("Oslo", True)]


def test_a_key_that_is_gone_is_closed_by_the_clock_or_kept(connection: Connection) -> None:
    for on_delete, end in (("close", hour(3).replace(tzinfo=None)), ("keep", None)):
        table = snapshot(connection, {**BY_TIME, "on_delete": on_delete})
        give(connection, [person(1)], SCHEMA)
        table.build()
        give(connection, [], SCHEMA)
        table.build(clock=hour(3))
        assert versions(table) == [(1, "Oslo", T0, end)]


def test_a_key_that_comes_back_unchanged_is_valid_again_from_then_on(connection: Connection) -> None:
    table = snapshot(connection, BY_TIME)
    for clock, rows in enumerate(([person(1)], [], [person(1)], [person(1)])):
        give(connection, rows, SCHEMA)
        table.build(clock=hour(clock))
    naive = [hour(n).replace(tzinfo=None) for n in range(4)]
    assert versions(table) == [(1, "Oslo", T0, naive[1]), (1, "Oslo", naive[2], None)]


def test_the_names_of_the_two_columns_can_be_chosen(connection: Connection) -> None:
    table = snapshot(connection, {**BY_CITY, "valid_from": "seen", "valid_to": "until"})
    give(connection, [person(1)], SCHEMA)
    table.build()
    give(connection, [person(1, "Bergen")], SCHEMA)
    table.build(clock=hour(1))
    assert [row[1:] for row in versions(table, "seen", "until")] == [("Oslo", NOON, hour(1)), ("Bergen", hour(1), None)]


def test_columns_added_and_removed_later_keep_the_history(connection: Connection) -> None:
    table = snapshot(connection, {"key": "id", "check": "*"}, "SELECT id, city FROM staging.input")
    give(connection, [person(1, "Oslo", 7)], SCHEMA)
    table.build()
    table.model = model_of({"snapshot": {"key": "id", "check": "*"}}, "SELECT id, n FROM staging.input")
    table.build(clock=hour(1))
    rows = connection.execute("SELECT id, city, n, valid_to IS NULL FROM target ORDER BY valid_from").fetchall()
    assert rows == [(1, "Oslo", None, False), (1, None, 7, True)]


@pytest.mark.parametrize(
    ("kind", "sql", "says"),
    [
        (BY_CITY, "SELECT 1 AS id, 'x' AS city FROM range(3)", r"several rows for one key \(id\)[^$]*1 key with more than one row"),
        (BY_TIME, "SELECT 1 AS id, NULL::TIMESTAMP AS changed", "whose 'changed' is null"),
        (BY_TIME, "SELECT 1 AS id, 'x' AS changed", "is no time"),
        (BY_CITY, "SELECT 1 AS id, 'x' AS city, 1 AS Valid_To", "gives a column 'valid_to'"),
        (BY_CITY, "SELECT 1 AS id", "gives no column 'city'"),
        (BY_TIME, "SELECT 1 AS changed", "gives no column 'id'"),
    ],
)
def test_an_input_that_makes_no_history_is_told(connection: Connection, kind: dict[str, Any], sql: str, says: str) -> None:
    with pytest.raises(ModelOutputInvalid, match=says):
        snapshot(connection, kind, sql).build()


def test_types_the_lake_keeps_otherwise_make_no_versions_by_themselves(connection: Connection) -> None:
    sql = "SELECT 1 AS id, sum(i) AS total, 'a'::ENUM('a', 'b') AS letter, [1, 2]::INTEGER[2] AS pair FROM range(3) t(i)"
    table = snapshot(connection, {"key": "id", "check": "*"}, sql)
    table.build(clock=datetime(2024, 1, 1, tzinfo=UTC))
    assert table.build(clock=datetime(2024, 1, 2, tzinfo=UTC)).is_unchanged
