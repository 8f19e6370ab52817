"""What every write promises, on every kind of lake."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lakes import T, change, definition, load, put, query, rows

from headwater.errors import Fenced, TableNotFound, UsageError
from headwater.spec.checks import Verdict
from headwater.spec.names import TableName
from headwater.storage import Access, DeleteAll, DeleteKeys, DeleteWhere, Lake, Position, Rejected

U = TableName("shop", "customers")


def test_the_first_commit_makes_the_table_and_publishes_it(any_lake: Lake) -> None:
    snapshot = put(any_lake, "SELECT 1 AS id, 'a' AS name")
    assert snapshot == any_lake.head()
    assert rows(any_lake) == [(1, "a")]
    state = any_lake.table_state(T)
    assert state.changed_snapshot == snapshot
    assert state.published_snapshot is None
    assert [column.type for column in state.columns] == ["INTEGER", "VARCHAR"]


@pytest.mark.parametrize("as_files", [True, False])
def test_rows_are_appended(any_lake: Lake, as_files: bool) -> None:
    put(any_lake, "SELECT range AS id FROM range(3)", as_files=as_files)
    put(any_lake, "SELECT range + 3 AS id FROM range(3)", as_files=as_files)
    assert rows(any_lake) == [(n,) for n in range(6)]


@pytest.mark.parametrize("as_files", [True, False])
def test_a_rebuild_replaces_all_rows_under_the_same_table_id(any_lake: Lake, as_files: bool) -> None:
    put(any_lake, "SELECT range AS id FROM range(3)", as_files=as_files)
    before = query(any_lake, f"SELECT table_id FROM {any_lake._core.metadata}.ducklake_table WHERE table_name = 'orders'")
    commit = any_lake.commit([change(any_lake, "SELECT 7::BIGINT AS id", delete=DeleteAll(), as_files=as_files)])
    assert commit.rows_deleted == {T: 3}
    assert rows(any_lake) == [(7,)]
    assert query(any_lake, f"SELECT table_id FROM {any_lake._core.metadata}.ducklake_table WHERE table_name = 'orders'") == before


def test_a_merge_deletes_by_key_then_inserts_and_null_keys_are_equal(any_lake: Lake) -> None:
    put(any_lake, "SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (NULL, 'c')) v(id, name)")
    new = change(any_lake, "SELECT * FROM (VALUES (2, 'B'), (NULL, 'C'), (3, 'D')) v(id, name)")
    assert new.staged is not None
    commit = any_lake.commit([change(any_lake, None, delete=DeleteKeys(("id",), new.staged), columns=new.staged.columns)])
    assert commit.rows_deleted == {T: 2}
    any_lake.commit([new])
    assert rows(any_lake) == [(1, "a"), (2, "B"), (3, "D"), (None, "C")]


def test_a_merge_that_counted_other_rows_than_there_are_is_refused(any_lake: Lake) -> None:
    put(any_lake, "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(id, name)")
    new = change(any_lake, "SELECT * FROM (VALUES (2, 'B'), (3, 'C')) v(id, name)")
    assert new.staged is not None
    for counted in (0, 2):
        with pytest.raises(Fenced, match="aren't those that this load counted"):
            any_lake.commit([replace(new, delete=DeleteKeys(("id",), new.staged, counted))])
    assert rows(any_lake) == [(1, "a"), (2, "b")]
    any_lake.commit([replace(new, delete=DeleteKeys(("id",), new.staged, 1))])
    assert rows(any_lake) == [(1, "a"), (2, "B"), (3, "C")]


def test_rows_are_deleted_by_a_condition_with_parameters(any_lake: Lake) -> None:
    put(any_lake, "SELECT range AS id, 'it''s ?' AS s FROM range(5)")
    put(any_lake, "SELECT 9::BIGINT AS id, 'x' AS s", delete=DeleteWhere("id >= ? AND id < ? AND s = 'it''s ?'", (1, 3)))
    assert [row[0] for row in rows(any_lake)] == [0, 3, 4, 9]


def test_several_tables_are_committed_in_one_snapshot(any_lake: Lake) -> None:
    commit = any_lake.commit([change(any_lake, "SELECT 1 AS id"), change(any_lake, "SELECT 2 AS id", U)])
    assert commit.snapshot_id == commit.base_snapshot + 1 == any_lake.head()
    assert (rows(any_lake), rows(any_lake, U)) == ([(1,)], [(2,)])


def test_nothing_of_a_group_is_committed_when_one_change_is_refused(any_lake: Lake) -> None:
    put(any_lake, "SELECT 1 AS id", token=5)
    head = any_lake.head()
    with pytest.raises(Fenced):
        any_lake.commit([change(any_lake, "SELECT 2 AS id", U), change(any_lake, "SELECT 3 AS id", token=4)])
    assert any_lake.head() == head
    assert any_lake.state().find(U) is None
    assert rows(any_lake) == [(1,)]


def test_one_commit_changes_a_table_once(any_lake: Lake) -> None:
    with pytest.raises(UsageError):
        any_lake.commit([change(any_lake, "SELECT 1 AS id"), change(any_lake, "SELECT 2 AS id", TableName("SHOP", "Orders"))])


def test_positions_are_merged_and_fence_the_load(any_lake: Lake) -> None:
    put(any_lake, "SELECT 1 AS id", position=Position({"a.csv": {"size": 1}}))
    first = any_lake.table_state(T).position
    put(any_lake, "SELECT 2 AS id", position=Position({"b.csv": {"size": 2}}, is_delta=True), previous_position=first)
    merged = any_lake.table_state(T).position
    assert merged == {"a.csv": {"size": 1}, "b.csv": {"size": 2}}
    with pytest.raises(Fenced):
        put(any_lake, "SELECT 3 AS id", position=Position({"c.csv": {}}, is_delta=True), previous_position=first)
    with pytest.raises(Fenced):
        put(any_lake, "SELECT 3 AS id", position=Position({"c.csv": {}}))
    put(any_lake, "SELECT 3 AS id", position=Position({"c.csv": {}}), previous_position=dict(merged or {}))
    assert any_lake.table_state(T).position == {"c.csv": {}}


def test_the_same_load_twice_changes_nothing(any_lake: Lake) -> None:
    again = change(any_lake, "SELECT 1 AS id")
    first = any_lake.commit([again])
    assert any_lake.commit([again]).snapshot_id == first.snapshot_id
    assert rows(any_lake) == [(1,)]


def test_verdicts_and_rejected_rows_are_committed_with_the_data(any_lake: Lake) -> None:
    with any_lake.engine.connection() as connection:
        bad = any_lake.stage(
            connection, TableName("headwater", "x"), "SELECT '{\"id\": \"x\"}' AS raw, 'type: id' AS reason, 'id' AS column_name, '{}' AS position"
        )
    verdict = Verdict("unique(id)", "unique", "error", False, 2, 3, sample=("{}",))
    put(any_lake, "SELECT 1 AS id", verdicts=(verdict,), rejected=Rejected(bad), publish="held", reason="unique(id) failed")
    read = any_lake.read_as(Access.owner(), "SELECT check_name, passed, failed, sample FROM headwater.verdicts").fetchall()
    assert read == [("unique(id)", False, 2, ["{}"])]
    assert any_lake.read_as(Access.owner(), "SELECT state, reason FROM headwater.quarantine").fetchall() == [("waiting", "type: id")]
    state = any_lake.table_state(T)
    assert state.is_held
    assert state.failed_checks == ("unique(id)",)
    with pytest.raises(TableNotFound, match="not published"):
        rows(any_lake)
    assert rows(any_lake, head=True) == [(1,)]


def test_a_table_pinned_by_its_commit_shows_readers_what_was_there_before(any_lake: Lake) -> None:
    first = put(any_lake, "SELECT 1 AS id")
    put(any_lake, "SELECT 2 AS id, 'new' AS extra", publish="later", delete=DeleteAll())
    assert rows(any_lake) == [(1,)]
    state = any_lake.table_state(T)
    assert (state.published_snapshot, state.published_changed_snapshot) == (first, first)
    put(any_lake, "SELECT 3 AS id, 'new' AS extra", publish="later")
    assert rows(any_lake) == [(1,)]
    put(any_lake, None)
    assert rows(any_lake) == [(2, "new"), (3, "new")]


def test_views_are_expanded_with_what_is_published(any_lake: Lake) -> None:
    put(any_lake, "SELECT 1 AS id")
    view = TableName("marts", "v")
    over = TableName("marts", "w")
    any_lake.commit(
        [
            change(any_lake, None, view, definition=definition("view", sql="SELECT id * 10 AS id FROM shop.orders", inputs=(T,)), load=load("view")),
            change(any_lake, None, over, definition=definition("view", sql="SELECT id + 1 AS id FROM marts.v", inputs=(view,)), load=load("view")),
        ]
    )
    assert rows(any_lake, over) == [(11,)]
    put(any_lake, "SELECT 2 AS id", publish="later")
    assert rows(any_lake, over) == [(11,)]
    assert rows(any_lake, over, head=True) == [(11,), (21,)]


def test_a_retired_table_is_unpublished_and_comes_back_by_a_later_commit(any_lake: Lake) -> None:
    put(any_lake, "SELECT 1 AS id")
    put(any_lake, None, retire=True, load=load("retire"))
    assert any_lake.table_state(T).is_retired
    with pytest.raises(TableNotFound):
        rows(any_lake)
    put(any_lake, "SELECT 2 AS id")
    assert rows(any_lake) == [(1,), (2,)]
