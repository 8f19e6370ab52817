"""What readers see: pins, the verbs, and times past."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from lakes import Place, T, change, definition, load, put, rows

from headwater.errors import Fenced, SnapshotNotFound, StatementRefused, TableNotFound
from headwater.spec.names import TableName
from headwater.storage import THIS_COMMIT, Access, DeleteAll, Lake

U = TableName("shop", "customers")
V = TableName("marts", "v")


def test_publish_lifts_pins_of_several_tables_at_once(both_lakes: Lake) -> None:
    put(both_lakes, "SELECT 1 AS id", publish="later")
    put(both_lakes, "SELECT 2 AS id", U, publish="held", reason="unique(id)")
    commit = both_lakes.publish([T, U], reason="looked at it", author="ann")
    assert (rows(both_lakes), rows(both_lakes, U)) == ([(1,)], [(2,)])
    assert both_lakes.publish([T, U]).snapshot_id == commit.snapshot_id, "nothing is left to do the second time"


def test_a_rollback_stays_until_somebody_publishes(both_lakes: Lake) -> None:
    first = put(both_lakes, "SELECT 1 AS id")
    put(both_lakes, "SELECT 2 AS id")
    both_lakes.pin([T], first, reason="wrong figures")
    assert rows(both_lakes) == [(1,)]
    put(both_lakes, "SELECT 3 AS id", publish="now")
    put(both_lakes, "SELECT 4 AS id", publish="later")
    assert rows(both_lakes) == [(1,)], "a run doesn't lift a rollback"
    assert both_lakes.table_state(T).publication == "rolled_back"
    assert both_lakes.table_state(T).published_changed_snapshot == first
    both_lakes.publish([T])
    assert rows(both_lakes) == [(1,), (2,), (3,), (4,)]


def test_a_commit_that_releases_lifts_a_rollback(lake: Lake) -> None:
    first = put(lake, "SELECT 1 AS id")
    put(lake, "SELECT 2 AS id")
    lake.pin([T], first)
    put(lake, "SELECT 3 AS id", publish="release")
    assert rows(lake) == [(1,), (2,), (3,)]


def test_a_rollback_to_what_never_was_is_refused(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id", U)
    before = lake.head()
    put(lake, "SELECT 1 AS id")
    for snapshot in (before, lake.head() + 1, -5):
        with pytest.raises(SnapshotNotFound):
            lake.pin([T], snapshot)
    with pytest.raises(TableNotFound):
        lake.pin([TableName("no", "table")], before)


def test_publishing_with_an_old_token_is_fenced(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id", publish="later", token=7)
    with pytest.raises(Fenced):
        lake.publish([T], tokens={T: 6})
    lake.publish([T], tokens={T: 7})


def test_discard_brings_the_head_back_to_what_is_published(both_lakes: Lake) -> None:
    put(both_lakes, "SELECT 1 AS id, 'a' AS name", definition=definition(fingerprint="old"))
    put(both_lakes, "SELECT 2 AS id, 'b' AS name, 3 AS extra", definition=definition(fingerprint="new"), publish="held", reason="rows")
    with both_lakes.engine.connection() as connection:
        discard = both_lakes.restore_change(connection, T, load("discard"), token=1)
    both_lakes.commit([discard])
    assert rows(both_lakes) == rows(both_lakes, head=True) == [(1, "a")]
    state = both_lakes.table_state(T)
    assert (state.definition.fingerprint, state.publication, [column.name for column in state.columns]) == ("old", "follows", ["id", "name"])


def test_discarding_what_was_never_published_empties_the_table(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id", publish="held")
    with lake.engine.connection() as connection:
        lake.commit([lake.restore_change(connection, T, load("discard"), token=1)])
    assert rows(lake, head=True) == []


def test_a_pinned_view_keeps_its_old_definition(both_lakes: Lake) -> None:
    put(both_lakes, "SELECT 1 AS id")
    view = definition("view", sql="SELECT id FROM shop.orders", inputs=(T,))
    put(both_lakes, None, V, definition=view, load=load("view"))
    put(both_lakes, None, V, definition=replace(view, sql="SELECT -id AS id FROM shop.orders", fingerprint="f2"), load=load("view"), publish="later")
    assert rows(both_lakes, V) == [(1,)]
    both_lakes.publish([V])
    assert rows(both_lakes, V) == [(-1,)]


def test_a_view_brings_the_macros_of_its_definition(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    body = {"macros": ["CREATE OR REPLACE MACRO twice(x) AS x * 2"]}
    put(lake, None, V, definition=definition("view", sql="SELECT twice(id) AS id FROM shop.orders", inputs=(T,), body=body), load=load("view"))
    assert rows(lake, V) == [(2,)]


def test_reading_at_a_snapshot_or_time_gives_what_was_published_then(both_lakes: Lake) -> None:
    first = put(both_lakes, "SELECT 1 AS id")
    pinned = put(both_lakes, "SELECT 2 AS id", publish="later")
    both_lakes.publish([T])
    last = put(both_lakes, "SELECT 3 AS id, 'x' AS name", delete=DeleteAll())
    assert rows(both_lakes, at=first) == rows(both_lakes, at=pinned) == [(1,)]
    assert rows(both_lakes, at=pinned, head=True) == [(1,), (2,)]
    assert rows(both_lakes, at=pinned + 1) == [(1,), (2,)]
    assert rows(both_lakes, at=last) == rows(both_lakes, at=datetime.now(UTC)) == [(3, "x")]
    with pytest.raises(TableNotFound):
        rows(both_lakes, at=first - 1)
    with pytest.raises(SnapshotNotFound):
        rows(both_lakes, at=last + 1)
    with pytest.raises(SnapshotNotFound):
        rows(both_lakes, at=datetime.now(UTC) - timedelta(days=1))


def test_a_view_read_at_a_snapshot_reads_its_inputs_as_published_then(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    at = put(lake, None, V, definition=definition("view", sql="FROM shop.orders", inputs=(T,)), load=load("view"))
    put(lake, "SELECT 2 AS id")
    assert rows(lake, V, at=at) == [(1,)]
    assert rows(lake, V) == [(1,), (2,)]


def test_environments_publish_apart(place: Place) -> None:
    prod, dev = place.open(environment="prod"), place.open(environment="dev")
    put(prod, "SELECT 1 AS id")
    assert dev.state().tables == {}
    put(dev, "SELECT 2 AS id", U)
    assert set(prod.state().tables) == {T}
    assert set(dev.state().tables) == {U}
    assert [row[0] for row in dev.read_as(Access.owner(), "SELECT DISTINCT environment FROM headwater.loads").fetchall()] == ["dev"]


def test_inputs_read_in_the_same_commit_are_recorded_as_the_snapshot_it_makes(both_lakes: Lake) -> None:
    put(both_lakes, "SELECT 1 AS id", U)
    unchanged = both_lakes.table_state(U).changed_snapshot
    commit = both_lakes.commit(
        [
            change(both_lakes, "SELECT 1 AS id"),
            change(both_lakes, None, U),
            change(both_lakes, "SELECT 1 AS id", V, load=load(inputs={str(T): THIS_COMMIT, str(U): THIS_COMMIT, "a.b": 3})),
        ]
    )
    record = both_lakes.table_state(V).load
    assert record is not None
    assert record.inputs == {str(T): commit.snapshot_id, str(U): unchanged, "a.b": 3}
    assert commit.versions == {T: commit.snapshot_id, U: unchanged, V: commit.snapshot_id}


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO shop.orders VALUES (2)",
        "DROP TABLE shop.orders",
        "SELECT 1; SELECT 2",
        "ATTACH ':memory:' AS x",
        "PRAGMA database_list",
        "SET threads = 1",
        "COPY shop.orders TO '/tmp/x.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT (SELECT max(content) FROM read_text('/etc/passwd'))",
        "SELECT * FROM lake.shop.orders",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM duckdb_tables()",
        "SELECT * FROM sqlite_scan('x', 'y')",
        "WITH x AS (SELECT * FROM parquet_scan('a')) SELECT * FROM x",
        "",
    ],
)
def test_a_query_reads_published_tables_and_nothing_else(lake: Lake, sql: str) -> None:
    put(lake, "SELECT 1 AS id")
    with pytest.raises(StatementRefused):
        lake.read_as(Access.owner(), sql)
    assert rows(lake) == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "FROM shop.orders",
        "SELECT * FROM Shop.ORDERS",
        'WITH o AS (FROM "shop"."orders") SELECT * FROM o',
        "SELECT o.id FROM shop.orders o, range(1)",
        "PIVOT (SELECT id, 'a' AS k FROM shop.orders) ON k USING count(*) GROUP BY id",
        "SELECT id FROM shop.orders UNION SELECT unnest([1])",
    ],
)
def test_any_query_over_tables_runs(lake: Lake, sql: str) -> None:
    put(lake, "SELECT 1 AS id")
    with lake.read_as(Access.owner(), sql) as reading:
        assert reading.fetchall()[0][0] == 1


def test_an_unknown_table_is_told_with_the_nearest_name(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    with pytest.raises(TableNotFound) as caught:
        lake.read_as(Access.owner(), "SELECT * FROM shop.order")
    assert "shop.orders" in (caught.value.hint or "")


def test_a_reading_streams_batches_and_gives_everything_back_when_closed(lake: Lake) -> None:
    put(lake, "SELECT range AS id FROM range(250000)")
    before = lake.read_as_system("SELECT count(*) FROM duckdb_databases()").scalar()
    with lake.read_as(Access.owner(), "SELECT * FROM shop.orders") as reading:
        assert sum(batch.num_rows for batch in reading.batches(100_000)) == 250_000
    with lake.read_as(Access.owner(), "SELECT id FROM shop.orders ORDER BY id LIMIT 2") as reading:
        assert reading.columns == ["id"]
        assert reading.types == ["BIGINT"]
        assert reading.arrow().num_rows == 2
    assert lake.read_as_system("SELECT count(*) FROM duckdb_databases()").scalar() == before


def test_a_reading_stands_still_while_others_commit(both_lakes: Lake) -> None:
    put(both_lakes, "SELECT range AS id FROM range(10)")
    with both_lakes.read_as(Access.owner(), "SELECT * FROM shop.orders") as reading:
        put(both_lakes, "SELECT 99::BIGINT AS id", delete=DeleteAll())
        assert len(reading.fetchall()) == 10
