from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_table import NOON, MemoryTable, give, model_of

from headwater.engine import Connection
from headwater.errors import ModelOutputInvalid, UsageError
from headwater.spec.runs import Interval
from headwater.transformation.kinds import DeleteAllRows, DeleteMatching, DeleteRange

SCHEMA = pa.schema([("id", pa.int64()), ("day", pa.date32()), ("ts", pa.timestamp("us")), ("n", pa.int64()), ("v", pa.int64())])
START = date(2024, 1, 1)
LOOKBACK = 3

DAILY = "SELECT day, count(*) AS n, sum(v) AS total FROM staging.input GROUP BY ALL"
DETAIL = "SELECT id, ts, v FROM staging.input WHERE v <> 0"


def row(id: int, day: int | None, v: int = 1) -> dict[str, Any]:
    when = START + timedelta(days=day) if day is not None else None
    return {"id": id, "day": when, "ts": datetime(when.year, when.month, when.day, id % 24) if when else None, "n": day, "v": v}


#: One round of changes: rows that come (some late), and which of the recent ones change or vanish.
_ROUND = st.tuples(
    st.lists(st.tuples(st.integers(-LOOKBACK, 2), st.integers(0, 5)), max_size=6),
    st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(0, 9)), max_size=5),
    st.integers(0, 2),
)


def play(connection: Connection, tables: list[MemoryTable], rounds: list[Any]) -> None:
    """Lets the input change within the lookback of the newest day loaded, and compares each build with a full one."""
    rows: dict[int, dict[str, Any]] = {i: row(i, i % 6) for i in range(8)}
    newest = 5
    for number, (new, edits, nulls) in enumerate([([], [], 0), *rounds]):
        # what may change is within the lookback of the newest day that is loaded
        recent = sorted(id for id, r in rows.items() if r["n"] is None or r["n"] >= newest - LOOKBACK)
        for place, value in edits if recent else []:
            id = recent[place % len(recent)]
            if value is None:
                rows.pop(id, None)
            elif id in rows:
                rows[id] = {**rows[id], "v": value}
        for offset, v in new:
            id = max(rows, default=0) + 1
            rows[id] = row(id, max(0, newest + offset), v)
        for _ in range(nulls):
            id = max(rows, default=0) + 1
            rows[id] = row(id, None)
        give(connection, list(rows.values()), SCHEMA)
        newest = max((r["n"] for r in rows.values() if r["n"] is not None), default=newest)
        for table in tables:
            table.build()
            expected = sorted(connection.execute(table.model.sql).fetchall(), key=repr)
            assert table.rows() == expected, f"round {number}"


@settings(max_examples=60, deadline=None)
@given(rounds=st.lists(_ROUND, min_size=1, max_size=5))
@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ({"time_column": "day", "lookback": f"{LOOKBACK} days"}, DAILY),
        ({"time_column": "ts", "lookback": f"{LOOKBACK} days"}, "SELECT id, day::TIMESTAMPTZ AS ts, v FROM staging.input"),
        ({"time_column": "n", "lookback": LOOKBACK}, "SELECT n, count(*) AS c, sum(v) AS total FROM staging.input GROUP BY n"),
    ],
)
def test_an_incremental_equals_a_full_build_within_the_lookback(module_connection: Connection, kind: Any, sql: str, rounds: list[Any]) -> None:
    play(module_connection, [MemoryTable(module_connection, model_of({"incremental": kind}, sql))], rounds)


@settings(max_examples=60, deadline=None)
@given(
    rounds=st.lists(
        st.tuples(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=6), st.lists(st.integers(0, 3), max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_an_incremental_by_key_equals_a_full_build_when_changes_move_the_time_on(module_connection: Connection, rounds: list[Any]) -> None:
    """With a unique key, a changed row comes with a new time (or one within the lookback), and replaces the former of its key."""
    connection, rows, hour = module_connection, {}, 0
    table = MemoryTable(
        connection,
        model_of({"incremental": {"time_column": "ts", "unique_key": ["id"], "lookback": "3 hours"}}, "SELECT id, ts, v FROM staging.input"),
    )
    for changes, late in [([(0, 1)], []), *rounds]:
        for id, v in changes:
            hour += 1
            rows[id] = {**row(id, 0, v), "ts": datetime(2024, 1, 1) + timedelta(hours=hour)}
        for back in late:
            rows[100 + hour * 4 + back] = {**row(100 + hour * 4 + back, 0), "ts": datetime(2024, 1, 1) + timedelta(hours=hour - back)}
        give(connection, list(rows.values()), SCHEMA)
        table.build()
        assert table.rows() == sorted(connection.execute(table.model.sql).fetchall(), key=repr)


def incremental(connection: Connection, sql: str = DETAIL, **kind: Any) -> MemoryTable:
    return MemoryTable(connection, model_of({"incremental": {"time_column": "ts", **kind}}, sql))


def test_the_first_build_and_a_full_refresh_take_all_rows(connection: Connection) -> None:
    give(connection, [row(1, 0), row(2, 9)], SCHEMA)
    table = incremental(connection)
    assert table.build().delete == DeleteAllRows()
    later = table.build()
    assert isinstance(later.delete, DeleteRange)
    assert later.interval == ("2024-01-10 02:00:00", "")
    full = table.build(full=True)
    assert (full.delete, full.interval) == (DeleteAllRows(), None)


def test_a_table_that_is_empty_is_built_whole(connection: Connection) -> None:
    give(connection, [], SCHEMA)
    table = incremental(connection)
    table.build()
    give(connection, [row(1, 0)], SCHEMA)
    assert table.build().delete == DeleteAllRows()
    assert len(table.rows()) == 1


def test_an_interval_restates_its_range_and_nothing_else(connection: Connection) -> None:
    give(connection, [row(1, 0), row(2, 5), row(3, 9)], SCHEMA)
    table = incremental(connection)
    table.build()
    give(connection, [row(1, 0, 7), row(2, 5, 7), row(4, 6, 7), row(3, 9, 7)], SCHEMA)
    outcome = table.build(interval=Interval(datetime(2024, 1, 6, tzinfo=UTC), datetime(2024, 1, 7, 6, tzinfo=UTC)))
    assert outcome.interval == ("2024-01-06 00:00:00", "2024-01-07 06:00:00")
    assert [(id, v) for id, _, v in table.rows()] == [(1, 1), (2, 7), (3, 1), (4, 7)]


def test_an_interval_over_dates_takes_the_days_that_begin_in_it(connection: Connection) -> None:
    give(connection, [row(1, 0), row(2, 1), row(3, 2)], SCHEMA)
    table = MemoryTable(connection, model_of({"incremental": {"time_column": "day"}}, DAILY))
    table.build()
    outcome = table.build(interval=Interval(datetime(2024, 1, 1, 6, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)))
    assert outcome.interval == ("2024-01-02", "2024-01-03")
    assert len(table.rows()) == 3


def test_a_time_in_the_far_future_does_not_stop_later_rows(connection: Connection) -> None:
    give(connection, [row(1, 0), {**row(2, 0), "ts": datetime(2999, 1, 1)}], SCHEMA)
    table = incremental(connection)
    table.build(clock=datetime(2024, 1, 2, tzinfo=UTC))
    give(connection, [row(1, 0), {**row(2, 0), "ts": datetime(2999, 1, 1)}, row(3, 4)], SCHEMA)
    table.build(clock=datetime(2024, 1, 6, tzinfo=UTC))
    assert [id for id, *_ in table.rows()] == [1, 2, 3]


def test_rows_without_a_time_are_kept_as_a_full_build_has_them(connection: Connection) -> None:
    give(connection, [row(1, 0), row(2, None)], SCHEMA)
    table = incremental(connection)
    table.build()
    give(connection, [row(1, 0), row(3, None), row(4, None)], SCHEMA)
    table.build()
    assert [id for id, *_ in table.rows()] == [1, 3, 4]


def test_times_with_a_zone_and_odd_column_names(connection: Connection) -> None:
    sql = 'SELECT id, ts AT TIME ZONE \'Europe/Oslo\' AS "the ""time""" FROM staging.input'
    give(connection, [row(1, 0), row(2, 5)], SCHEMA)
    table = MemoryTable(connection, model_of({"incremental": {"time_column": 'THE "time"', "lookback": "1 day"}}, sql))
    table.build()
    give(connection, [row(1, 0, 9), row(2, 5), row(3, 5)], SCHEMA)
    table.build()
    assert [id for id, _ in table.rows()] == [1, 2, 3]


def test_a_unique_key_replaces_rows_of_equal_key_wherever_they_are(connection: Connection) -> None:
    give(connection, [row(1, 0), row(2, 5)], SCHEMA)
    table = incremental(connection, unique_key=["id"])
    table.build()
    give(connection, [row(1, 8, 7), row(2, 5)], SCHEMA)
    outcome = table.build()
    assert outcome.delete == DeleteMatching(("id",))
    assert outcome.unique_key == ("id",)
    assert [(id, v) for id, _, v in table.rows()] == [(1, 7), (2, 1)]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ({"time_column": "whenn"}, "gives no column 'whenn'"),
        ({"time_column": "id", "lookback": "1 day"}, "lookback of marts.result doesn't fit"),
        ({"time_column": "ts", "lookback": 3}, "lookback of marts.result doesn't fit"),
        ({"time_column": "name"}, "can't go on by its time_column"),
        ({"time_column": "ts", "unique_key": ["key"]}, "gives no column 'key'"),
    ],
)
def test_a_definition_that_does_not_fit_the_query_is_told(connection: Connection, kind: Any, says: str) -> None:
    give(connection, [row(1, 0)], SCHEMA)
    table = MemoryTable(connection, model_of({"incremental": kind}, "SELECT id, ts, 'x' AS name FROM staging.input"))
    with pytest.raises(ModelOutputInvalid, match=says):
        table.build()


def test_numbers_have_no_interval_of_dates(connection: Connection) -> None:
    give(connection, [row(1, 0)], SCHEMA)
    table = incremental(connection, time_column="id")
    table.build()
    with pytest.raises(UsageError, match="is a number"):
        table.build(interval=Interval(NOON, NOON + timedelta(days=1)))
