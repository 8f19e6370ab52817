"""Columns that change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lakes import Place, T, change, definition, put, query, rows

from headwater.errors import EvolutionRefused
from headwater.spec.names import TableName
from headwater.spec.tables import Column
from headwater.storage import Access, DeleteAll, DeleteKeys, Lake
from headwater.storage.evolution import holds_all_of, plan_evolution


def test_a_new_column_is_added_and_old_rows_have_null(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT 1 AS id")
    put(mixed_lake, "SELECT 2 AS id, 'x' AS name", as_files=True)
    assert rows(mixed_lake) == [(1, None), (2, "x")]


def test_a_column_that_no_longer_comes_stays_nullable_until_dropping_is_allowed(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT 1 AS id, 'a' AS name")
    put(mixed_lake, "SELECT 2 AS id", as_files=True)
    assert rows(mixed_lake) == [(1, "a"), (2, None)]
    put(mixed_lake, "SELECT 3 AS id", allow_drop=True)
    assert rows(mixed_lake) == [(1,), (2,), (3,)]


def test_a_renamed_column_keeps_its_values(mixed_lake: Lake) -> None:
    first = put(mixed_lake, "SELECT 1 AS id, 'a' AS mail", as_files=True)
    put(mixed_lake, "SELECT 2 AS id, 'b' AS email", renames={"mail": "email"}, as_files=True)
    assert rows(mixed_lake) == [(1, "a"), (2, "b")]
    assert mixed_lake.read_as(Access.owner(), "SELECT mail FROM shop.orders", at=first).fetchall() == [("a",)]
    put(mixed_lake, "SELECT 3 AS id, 'c' AS email", renames={"mail": "email"})
    assert len(rows(mixed_lake)) == 3, "a rename that happened before is not done twice"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1::INTEGER", "5000000000::BIGINT"),
        ("1::TINYINT", "70000::INTEGER"),
        ("1.5::DECIMAL(4,1)", "123456.789::DECIMAL(12,3)"),
        ("1::INTEGER", "1.5::DOUBLE"),
        ("1.5::FLOAT", "1e300::DOUBLE"),
        ("1::INTEGER", "5.25::DECIMAL(14,2)"),
        ("DATE '2024-01-01'", "TIMESTAMP '2024-01-02 03:04:05'"),
        ("{'a': 1::INTEGER}", "{'a': 5000000000::BIGINT, 'b': 'x'}"),
        ("[1::INTEGER]", "[5000000000::BIGINT]"),
    ],
)
def test_a_type_is_widened_in_place_and_filters_stay_right_after_further_inserts(lake: Lake, old: str, new: str) -> None:
    put(lake, f"SELECT 1 AS id, {old} AS v")
    put(lake, f"SELECT 2 AS id, {new} AS v")
    put(lake, f"SELECT 3 AS id, {new} AS v")
    assert lake.read_as(Access.owner(), f"SELECT id FROM shop.orders WHERE v = {new} ORDER BY id").fetchall() == [(2,), (3,)]
    assert lake.read_as(Access.owner(), f"SELECT id FROM shop.orders WHERE v IS DISTINCT FROM {new}").fetchall() == [(1,)]
    assert lake.check_consistency() == []


def test_widening_and_inserting_in_one_transaction_still_breaks_statistics(lake: Lake) -> None:
    """The trap itself, so that we notice when it closes and the commit may become one transaction again."""
    put(lake, "SELECT range::INTEGER AS id FROM range(10)")
    with lake.engine.connection() as connection:
        connection.execute("BEGIN")
        connection.execute('ALTER TABLE lake.shop.orders ALTER COLUMN "id" SET DATA TYPE BIGINT')
        connection.execute("INSERT INTO lake.shop.orders SELECT 5000000000")
        connection.execute("COMMIT")
        connection.execute("INSERT INTO lake.shop.orders SELECT 6000000000")
        wrong = connection.execute("SELECT count(*) FROM lake.shop.orders WHERE id > 4").scalar()
    assert wrong == 12, "rows 0 to 4 come back too"
    assert [found.rule for found in lake.check_consistency() if found.rule != "columns-differ"] == ["narrow-statistics"]


def test_a_column_is_renamed_and_widened_at_once(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT 1 AS id, 7::INTEGER AS n")
    put(mixed_lake, "SELECT 2 AS id, 5000000000 AS number", renames={"n": "number"}, as_files=True)
    assert rows(mixed_lake) == [(1, 7), (2, 5000000000)]
    assert mixed_lake.check_consistency() == []


def test_anything_becomes_text_by_rewriting_its_rows(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT 1 AS id, DATE '2024-01-01' AS v")
    put(mixed_lake, "SELECT 2 AS id, 'soon' AS v", as_files=True)
    assert rows(mixed_lake) == [(1, "2024-01-01"), (2, "soon")]
    assert mixed_lake.check_consistency() == []


def test_a_narrower_type_is_kept_in_the_wide_column(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT 1::BIGINT AS id")
    put(mixed_lake, "SELECT 2::INTEGER AS id", as_files=True)
    assert rows(mixed_lake) == [(1,), (2,)]
    assert mixed_lake.table_state(T).columns[0].type == "BIGINT"


def test_an_incompatible_type_is_refused_with_what_to_do(lake: Lake) -> None:
    put(lake, "SELECT 'x' AS v")
    head = lake.head()
    with pytest.raises(EvolutionRefused) as caught:
        put(lake, "SELECT 1 AS v")
    assert "--full-refresh" in (caught.value.hint or "")
    assert lake.head() == head


@pytest.mark.parametrize("as_files", [True, False])
def test_a_rebuild_may_change_any_type_and_history_keeps_the_old_one(mixed_lake: Lake, as_files: bool) -> None:
    first = put(mixed_lake, "SELECT 'x' AS v, 1 AS w", as_files=as_files)
    put(mixed_lake, "SELECT 7 AS v, 'y' AS w", delete=DeleteAll(), as_files=as_files)
    put(mixed_lake, "SELECT 8 AS v, 'z' AS w", as_files=as_files)
    assert rows(mixed_lake) == [(7, "y"), (8, "z")]
    assert rows(mixed_lake, at=first) == [("x", 1)]
    assert mixed_lake.read_as(Access.owner(), "SELECT w FROM shop.orders WHERE v > 7").fetchall() == [("z",)]
    assert mixed_lake.check_consistency() == []


@pytest.mark.parametrize("new", ["[1]", "{'a': 1}", "MAP {'a': 1}"])
@pytest.mark.parametrize("old", ["1", "['x']"])
def test_a_rebuild_may_make_a_column_nested_and_the_lake_can_still_be_read(mixed_place: Place, old: str, new: str) -> None:
    """DuckLake loses the fields of a nested column that is added and renamed in one transaction; nothing of the catalog can be read then."""
    lake = mixed_place.open()
    put(lake, f"SELECT 1 AS id, {old} AS v")
    put(lake, f"SELECT 2 AS id, {new} AS v", delete=DeleteAll())
    mixed_place.close()
    lake = mixed_place.open()
    assert lake.read_as(Access.owner(), f"SELECT id FROM shop.orders WHERE v = {new}").fetchall() == [(2,)]
    assert lake.check_consistency() == []


def test_a_rebuild_with_a_single_column_of_another_type(lake: Lake) -> None:
    put(lake, "SELECT 'x' AS v")
    put(lake, "SELECT 7 AS v", delete=DeleteAll())
    assert rows(lake) == [(7,)]


def test_columns_are_read_in_the_order_of_the_definition(lake: Lake) -> None:
    put(lake, "SELECT 1 AS a, 2 AS b")
    put(lake, "SELECT 3 AS c, 4 AS b, 5 AS a", delete=DeleteAll())
    assert lake.read_as(Access.owner(), "FROM shop.orders").columns == ["c", "b", "a"]
    assert rows(lake) == [(3, 4, 5)]


def test_what_is_said_of_columns_is_kept(lake: Lake) -> None:
    columns = (Column("id", "INTEGER", False, "The number", ("pii.id",)),)
    put(lake, "SELECT 1 AS id", columns=columns)
    assert lake.table_state(T).columns == columns
    changed = lake.table_state(T).changed_snapshot
    put(lake, None, columns=(Column("id", "INTEGER", True, "The order's number"),))
    state = lake.table_state(T)
    assert state.columns[0].description == "The order's number"
    assert state.changed_snapshot == changed, "a description changes no rows"


def test_partitions_and_sorting_are_set_and_changed(mixed_lake: Lake) -> None:
    put(
        mixed_lake,
        "SELECT range AS id, DATE '2024-01-01' + range::INTEGER AS day FROM range(60)",
        partition_by=("month(day)",),
        sort_by=("id",),
        as_files=True,
    )
    put(mixed_lake, "SELECT 100::BIGINT AS id, DATE '2024-05-01' AS day", partition_by=("month(day)",), sort_by=("id",), as_files=True)
    put(mixed_lake, "SELECT 101::BIGINT AS id, DATE '2024-05-02' AS day", as_files=True)
    assert len(rows(mixed_lake)) == 62
    assert mixed_lake.table_state(T).partition_by == ()
    assert mixed_lake.check_consistency() == []


def test_the_future_of_a_change_is_what_the_commit_makes(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT * FROM (VALUES (1, 'a', 1), (2, 'b', 2), (NULL, 'c', 3)) v(id, name, n)")
    first = change(mixed_lake, "SELECT * FROM (VALUES (2::BIGINT, 'B', true), (NULL, 'C', false)) v(id, label, fresh)")
    assert first.staged is not None
    merge = change(mixed_lake, None, delete=DeleteKeys(("id",), first.staged), renames={"name": "label"})
    for candidate in (
        replace(merge, staged=first.staged),
        change(mixed_lake, "SELECT 9 AS id", delete=DeleteAll()),
        change(mixed_lake, None, definition=definition(description="new")),
    ):
        with mixed_lake.engine.connection() as connection:
            foreseen = sorted(connection.execute(mixed_lake.future_sql(candidate)).fetchall(), key=repr)
        mixed_lake.commit([candidate])
        assert rows(mixed_lake) == foreseen


@pytest.mark.parametrize(
    ("wide", "narrow", "holds"),
    [
        ("BIGINT", "UINTEGER", True),
        ("INTEGER", "UINTEGER", False),
        ("DOUBLE", "BIGINT", False),
        ("DECIMAL(20,0)", "UBIGINT", True),
        ("DECIMAL(18,2)", "BIGINT", False),
        ("DECIMAL(10,2)", "DECIMAL(10,3)", False),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", False),
        ("STRUCT(a BIGINT)", "STRUCT(a INTEGER, b INTEGER)", False),
        ('STRUCT("a b" BIGINT)', 'STRUCT("a b" INTEGER)', True),
        ("VARCHAR", "INTEGER", False),
    ],
)
def test_a_type_is_wide_only_when_no_value_is_lost(wide: str, narrow: str, holds: bool) -> None:
    assert holds_all_of(wide, narrow) is holds


def test_a_rename_to_a_name_that_is_taken_is_an_addition_instead() -> None:
    plan = plan_evolution(
        TableName("a", "b"),
        (Column("x", "INTEGER"), Column("y", "INTEGER")),
        (Column("y", "INTEGER"),),
        renames={"x": "y"},
        is_rebuild=False,
        allow_drop=False,
    )
    assert plan.steps == ()
    assert [column.name for column in plan.columns] == ["y", "x"]


def test_the_table_id_survives_every_evolution(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id, 'a' AS v")
    sql = f"SELECT DISTINCT table_id FROM {lake._core.metadata}.ducklake_table WHERE table_name = 'orders'"
    before = query(lake, sql)
    put(lake, "SELECT 2 AS v, 'b' AS w", delete=DeleteAll(), allow_drop=True)
    put(lake, "SELECT 'x' AS v, 'b' AS u", renames={"w": "u"})
    assert query(lake, sql) == before
