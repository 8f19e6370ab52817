"""Tables in memory: what is seen is the same with them and without, whatever is committed, published or taken back meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lakes import Place, T, change, definition, load, make_place, put, query

from headwater.errors import TableNotFound
from headwater.security import MaskKeys, Principal
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.tables import Column
from headwater.storage import Access, DeleteAll, Lake
from headwater.storage.gate.hot import estimate_bytes

MUCH = 10**9
PEOPLE = TableName("shop", "people")
COLUMNS = (Column("id", "INTEGER"), Column("country", "VARCHAR"), Column("email", "VARCHAR", labels=("pii.email",)))
ROWS = "SELECT * FROM (VALUES (1, 'NO', 'ann@x.org'), (2, 'SE', 'bo@y.se')) t(id, country, email)"


def reader(*grants: dict[str, Any], masks: dict[str, Any] | None = None, version: str = "1") -> Access:
    policies = Policies.model_validate({"roles": {"r": {"grants": list(grants)}}, "masks": masks or {}, "version": version})
    return Access(Principal("ada", roles=frozenset({"r"})), policies, MaskKeys("k1", "k2", "k3"), datetime(2026, 6, 1, tzinfo=UTC))


EVERYTHING = reader({"select": "*"})


def seen(lake: Lake, access: Access = EVERYTHING, sql: str = f"SELECT * FROM {T.sql}") -> list[tuple[Any, ...]]:
    return sorted(lake.read_as(access, sql).fetchall(), key=repr)


def copies(lake: Lake) -> list[str]:
    return [row[0] for row in query(lake, "SELECT table_name FROM duckdb_tables() WHERE database_name LIKE 'hw_hot_%' ORDER BY 1")]


def hot(lake: Lake, *tables: TableName, budget: int = MUCH) -> None:
    lake.choose_hot(tables or (T,), budget)
    lake.refresh_hot()


def reads_memory(lake: Lake, sql: str = f"SELECT * FROM {T.sql}") -> bool:
    """Whether a query over the table is answered from memory: the copy is given another row, which nobody else ever does."""
    copy = copies(lake)[-1]
    database = query(lake, "SELECT DISTINCT database_name FROM duckdb_tables() WHERE database_name LIKE 'hw_hot_%'")[0][0]
    before = len(seen(lake, sql=sql))
    query(lake, f'INSERT INTO "{database}".main."{copy}" SELECT * FROM "{database}".main."{copy}" LIMIT 1')
    try:
        return len(seen(lake, sql=sql)) == before + 1
    finally:
        query(lake, f'DELETE FROM "{database}".main."{copy}" WHERE rowid = (SELECT max(rowid) FROM "{database}".main."{copy}")')


def test_a_hot_table_is_read_from_memory_by_readers_and_by_the_owner(any_lake: Lake) -> None:
    put(any_lake, "SELECT i AS id FROM range(3) t(i)")
    assert seen(any_lake) == [(0,), (1,), (2,)]
    hot(any_lake)
    assert seen(any_lake) == seen(any_lake, Access.owner()) == [(0,), (1,), (2,)]
    assert reads_memory(any_lake)
    assert list(any_lake.hot_report().kept) == [T]


def test_a_commit_is_seen_at_once_and_comes_into_memory_with_the_next_refresh(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    hot(lake)
    put(lake, "SELECT 2 AS id")
    assert seen(lake) == [(1,), (2,)]
    assert not lake._door.hot._current[T.key].is_of(lake.table_state(T))  # the copy is behind, and nobody reads it
    lake.refresh_hot()
    assert seen(lake) == [(1,), (2,)]
    assert len(copies(lake)) == 1
    assert reads_memory(lake)


def test_rows_that_wait_to_be_published_never_come_into_memory(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    hot(lake)
    for mode in ("later", "held"):
        put(lake, "SELECT 2 AS id", publish=mode)
        lake.refresh_hot()
        assert seen(lake) == [(1,)]
        assert reads_memory(lake)
    lake.publish([T])
    assert seen(lake) == [(1,), (2,), (2,)]
    lake.refresh_hot()
    assert seen(lake) == [(1,), (2,), (2,)]
    assert reads_memory(lake)


def test_a_table_that_was_never_published_stays_out_of_memory_and_is_unknown(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id", publish="held")
    hot(lake)
    assert copies(lake) == []
    with pytest.raises(TableNotFound):
        seen(lake)


def test_a_rollback_shows_the_older_rows_before_and_after_the_refresh(lake: Lake) -> None:
    first = put(lake, "SELECT 1 AS id")
    put(lake, "SELECT 2 AS id", delete=DeleteAll())
    hot(lake)
    lake.pin([T], first, reason="wrong")
    assert seen(lake) == [(1,)]
    lake.refresh_hot()
    assert seen(lake) == [(1,)]
    assert reads_memory(lake)
    lake.publish([T])
    assert seen(lake) == [(2,)]


def test_older_snapshots_and_the_raw_head_are_read_from_the_lake(lake: Lake) -> None:
    first = put(lake, "SELECT 1 AS id")
    put(lake, "SELECT 2 AS id")
    put(lake, "SELECT 3 AS id", publish="held")
    hot(lake)
    owner = Access.owner()
    assert sorted(lake.read_as(owner, f"FROM {T.sql}", at=first).fetchall()) == [(1,)]
    assert sorted(lake.read_as(owner, f"FROM {T.sql}", head=True).fetchall()) == [(1,), (2,), (3,)]
    assert seen(lake) == [(1,), (2,)]


def test_another_column_is_seen_at_once(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    hot(lake)
    put(lake, "SELECT 2 AS id, 'x' AS name", columns=(Column("id", "INTEGER"), Column("name", "VARCHAR")))
    assert seen(lake) == [(1, None), (2, "x")]
    lake.refresh_hot()
    assert seen(lake) == [(1, None), (2, "x")]
    assert reads_memory(lake)


def test_masks_filters_and_columns_hold_on_a_hot_table_and_on_a_view_over_it(lake: Lake) -> None:
    put(lake, ROWS, PEOPLE, columns=COLUMNS)
    view = TableName("shop", "mails")
    by_view = definition("view", sql="SELECT email FROM shop.people", inputs=(PEOPLE,))
    put(lake, None, view, definition=by_view, load=load("view"), columns=(Column("email", "VARCHAR", labels=("pii.email",)),))
    masks = {"pii.email": "partial"}
    filtered = reader({"select": "shop.people", "where": "country = 'NO'"}, masks=masks, version="f")
    some = reader({"select": "shop.people", "columns": ["id"]}, {"select": "shop.mails"}, masks=masks, version="s")
    cold = [seen(lake, filtered, "FROM shop.people"), seen(lake, some, "FROM shop.people"), seen(lake, some, "FROM shop.mails")]
    assert cold == [[(1, "NO", "a***@***.org")], [(1,), (2,)], [("a***@***.org",), ("b***@***.se",)]]
    hot(lake, PEOPLE)
    assert [seen(lake, filtered, "FROM shop.people"), seen(lake, some, "FROM shop.people"), seen(lake, some, "FROM shop.mails")] == cold
    assert reads_memory(lake, "FROM shop.mails")
    assert reads_memory(lake, "FROM shop.people")


def test_a_policy_or_a_label_that_changes_is_in_force_on_the_copy_that_is_there(lake: Lake) -> None:
    put(lake, ROWS, PEOPLE, columns=COLUMNS)
    hot(lake, PEOPLE)
    sql = "SELECT country FROM shop.people"
    assert seen(lake, reader({"select": "shop.*"}, masks={"pii": "redact"}), sql) == [("NO",), ("SE",)]
    labelled = (COLUMNS[0], Column("country", "VARCHAR", labels=("pii.country",)), COLUMNS[2])
    put(lake, None, PEOPLE, columns=labelled)
    assert seen(lake, reader({"select": "shop.*"}, masks={"pii": "redact"}), sql) == [("***",), ("***",)]
    with pytest.raises(TableNotFound):
        seen(lake, reader({"select": "other.*"}, version="2"), sql)


def test_the_copy_that_a_reading_stands_on_outlives_its_successor(lake: Lake) -> None:
    put(lake, "SELECT i AS id FROM range(100000) t(i)")
    hot(lake)
    reading = lake.read_as(EVERYTHING, f"SELECT id FROM {T.sql}")
    put(lake, "SELECT -1 AS id", delete=DeleteAll())
    lake.refresh_hot()
    assert len(copies(lake)) == 2
    assert len(reading.fetchall()) == 100_000
    assert seen(lake) == [(-1,)]
    lake.refresh_hot()
    assert len(copies(lake)) == 1


def test_a_query_over_several_tables_sees_one_state_of_all(lake: Lake) -> None:
    other = TableName("shop", "other")
    lake.commit([change(lake, "SELECT 1 AS n"), change(lake, "SELECT 1 AS n", other)])
    hot(lake, T)
    stop = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        while not stop.is_set():
            found = lake.read_as(EVERYTHING, f"SELECT (SELECT max(n) FROM {T.sql}), (SELECT max(n) FROM {other.sql})").fetchall()
            if found[0][0] != found[0][1]:
                wrong.append(found)

    def refresh() -> None:
        while not stop.is_set():
            lake.refresh_hot()

    threads = [threading.Thread(target=work) for work in (read, read, read, refresh)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 12):
            both = [change(lake, f"SELECT {number} AS n", name, delete=DeleteAll()) for name in (T, other)]
            lake.commit(both)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    lake.refresh_hot()
    assert len(copies(lake)) == 1


def test_another_process_commits_and_this_one_follows(place: Place) -> None:
    ours, theirs = place.open(), place.open()
    put(theirs, "SELECT 1 AS id")
    hot(ours)
    put(theirs, "SELECT 2 AS id")
    assert seen(ours) == [(1,), (2,)]
    ours.refresh_hot()
    assert reads_memory(ours)


def test_what_exceeds_the_budget_is_left_out_and_said_so_once(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    small, large = TableName("shop", "a_small"), TableName("shop", "large")
    put(lake, "SELECT i AS id FROM range(10) t(i)", small)
    put(lake, "SELECT i AS id, repeat('x', 100) AS text FROM range(10000) t(i)", large)
    with caplog.at_level(logging.WARNING, "headwater.serving"):
        hot(lake, small, large, budget=500_000)
        lake.refresh_hot()
    report = lake.hot_report()
    assert list(report.kept) == [small]
    assert "1.6 MB" in report.left_out[large]
    assert "serve: hot: memory" in report.left_out[large]
    assert [record.getMessage() for record in caplog.records] == [f"shop.large is marked hot and isn't kept in memory: {report.left_out[large]}"]
    assert len(seen(lake, sql="FROM shop.large")) == 10_000
    hot(lake, small, large)
    assert set(lake.hot_report().kept) == {small, large}
    hot(lake, small, budget=500_000)
    assert set(lake.hot_report().kept) == {small}
    assert len(copies(lake)) == 1


def test_a_table_that_grows_beyond_the_budget_is_let_go(lake: Lake) -> None:
    put(lake, "SELECT i AS id FROM range(1000) t(i)")
    hot(lake, budget=100_000)
    assert lake.hot_report().kept
    put(lake, "SELECT i AS id FROM range(100000) t(i)")
    lake.refresh_hot()
    assert not lake.hot_report().kept
    assert copies(lake) == []
    assert len(seen(lake)) == 101_000


@pytest.mark.parametrize(
    "column", ["i", "i % 2 = 0", "'a' || i % 1000", "repeat('x', 200) || i", "i::DECIMAL(12, 2)", "uuid()", "[i, i + 1]", "{'a': i, 'b': 'x' || i}"]
)
def test_the_estimate_of_a_table_is_no_less_than_what_it_takes(lake: Lake, column: str) -> None:
    put(lake, f"SELECT {column} AS c FROM range(200000) t(i)")
    state = lake.table_state(T)
    memory = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag IN ('IN_MEMORY_TABLE', 'OVERFLOW_STRINGS')"
    with lake.engine.connection() as connection:
        estimated = estimate_bytes(connection, lake.published_sql(state), state.columns, has_index=False, most=MUCH)
        before = connection.execute(memory).scalar()
        connection.execute(f"ATTACH ':memory:' AS apart; CREATE TABLE apart.t AS {lake.published_sql(state)}")
        taken = connection.execute(memory).scalar() - before
    assert taken * 0.95 < estimated < taken * 3


def test_rows_are_found_by_their_key_through_an_index(lake: Lake) -> None:
    keyed = definition("stream", body={"primary_key": ["id"]})
    put(lake, "SELECT i AS id, i * 2 AS n FROM range(50000) t(i)", definition=keyed)
    hot(lake)
    assert seen(lake, sql=f"SELECT n FROM {T.sql} WHERE id = 4711") == [(9422,)]
    assert query(lake, "SELECT count(*) FROM duckdb_indexes() WHERE database_name LIKE 'hw_hot_%'") == [(1,)]


def test_a_key_that_isnt_unique_after_all_gives_all_its_rows(lake: Lake) -> None:
    keyed = definition("stream", body={"primary_key": ["id"]})
    put(lake, "SELECT i % 10 AS id FROM range(1000) t(i)", definition=keyed)
    hot(lake)
    assert len(seen(lake, sql=f"SELECT id FROM {T.sql} WHERE id = 7")) == 100


def test_a_table_that_is_retired_leaves_memory(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    hot(lake)
    put(lake, None, retire=True)
    with pytest.raises(TableNotFound):
        seen(lake)
    lake.refresh_hot()
    assert copies(lake) == []


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lake, Lake]]:
    """The same lake twice: with memory and without."""
    with make_place(tmp_path_factory.mktemp("pair"), "sqlite") as place:
        yield place.open(), place.open()


@given(st.lists(st.sampled_from(["append", "replace", "later", "held", "publish", "rollback", "refresh", "columns"]), max_size=8))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_what_is_seen_is_what_a_lake_without_memory_shows(pair: tuple[Lake, Lake], steps: list[str]) -> None:
    with_memory, without = pair
    name = TableName("s", f"t{len(without.state().tables)}")
    first = put(with_memory, "SELECT 0 AS id", name)
    hot(with_memory, name)
    for number, step in enumerate(steps, 1):
        match step:
            case "append" | "later" | "held":
                put(with_memory, f"SELECT {number} AS id", name, publish="now" if step == "append" else step)
            case "replace":
                put(with_memory, f"SELECT {number} AS id", name, delete=DeleteAll())
            case "publish":
                with_memory.publish([name])
            case "rollback":
                with_memory.pin([name], first, reason="r")
            case "columns":
                put(with_memory, f"SELECT {number} AS id, {number} AS c{number}", name)
            case "refresh":
                with_memory.refresh_hot()
        sql = f"FROM {name.sql}"
        assert seen(with_memory, sql=sql) == seen(without, sql=sql), steps[:number]
