"""`--allow-drop`: columns that nothing defines any more stay until somebody allows that they go, and then they go."""

from __future__ import annotations

import pytest
from folders import Folder, reason, statuses

from headwater.spec.names import TableName

MODEL = TableName("marts", "sales")
STREAM = TableName("shop", "orders")


def columns(folder: Folder, table: TableName) -> list[str]:
    with folder.session() as session:
        return [column.name for column in session.lake.table_state(table).columns]


@pytest.mark.parametrize("header", [(), ("kind: {snapshot: {key: id, check: [id]}}",), ("kind: {incremental: {time_column: id}}",)])
def test_an_unchanged_model_loses_the_column_that_waits_to_be_dropped_and_is_not_built(folder: Folder, header: tuple[str, ...]) -> None:
    folder.model("marts.sales", "SELECT id, amount, 'x' AS legacy FROM shop.orders", *header).model("marts.ids", "SELECT * FROM marts.sales").run()
    folder.model("marts.sales", "SELECT id, amount FROM shop.orders", *header).run()
    if not header:
        assert columns(folder, MODEL) == ["id", "amount", "legacy"]
    summary = folder.run(allow_drop=True)
    task = next(task for task in summary.tasks if task.table == MODEL)
    assert (task.status, task.reason, task.rows_written) == ("succeeded", "dropped legacy", 0)
    assert "legacy" not in columns(folder, MODEL)
    assert len(folder.rows("SELECT id FROM marts.sales")) == 2
    assert statuses(summary)["marts.ids"] == "succeeded"
    assert [event.data["columns"] for event in folder.events if event.name == "columns_dropped" and event.table == MODEL] == [["legacy"]]
    assert statuses(folder.run(allow_drop=True))["marts.sales"] == "skipped"


def test_a_model_without_such_a_column_is_skipped(folder: Folder) -> None:
    folder.model("marts.sales", "SELECT id, amount FROM shop.orders").run()
    summary = folder.run(allow_drop=True)
    assert set(statuses(summary).values()) == {"skipped"}
    assert reason(summary, "marts.sales") == "unchanged, with no column to drop"
    assert summary.snapshot_id is None


def test_a_model_that_is_built_says_what_it_drops(folder: Folder) -> None:
    folder.model("marts.sales", "SELECT id, amount, 'x' AS legacy FROM shop.orders").run()
    folder.model("marts.sales", "SELECT id, amount FROM shop.orders")
    assert reason(folder.run(allow_drop=True), "marts.sales") == "its definition changed; dropped legacy"
    assert folder.head("SELECT note FROM lake.headwater.loads WHERE table_name = 'sales'") == [("",), ("dropped legacy",)]


def test_an_unchanged_snapshot_that_is_built_drops_too(folder: Folder) -> None:
    header = "kind: {snapshot: {key: id, check: [amount]}}"
    folder.model("marts.sales", "SELECT id, amount, 'x' AS legacy FROM shop.orders", header).run()
    folder.model("marts.sales", "SELECT id, amount FROM shop.orders", header).run(allow_drop=True)
    assert columns(folder, MODEL) == ["id", "amount", "valid_from", "valid_to"]


def sqlite_shop(folder: Folder, **more: str) -> Folder:
    (folder.directory / "shop.sqlite").unlink(missing_ok=True)
    folder.sqlite("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER, legacy TEXT); INSERT INTO orders VALUES (1, 10, 'a'), (2, 20, 'b')")
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return folder.write("sources/shop.yaml", f"type: sqlite\nconnection: shop.sqlite\nstreams:\n  orders: {{table: orders, primary_key: id{keys}}}\n")


@pytest.mark.parametrize("disposition", ["append", "merge", "replace", "scd2"])
def test_a_column_gone_from_the_source_stays_until_it_may_go(folder: Folder, disposition: str) -> None:
    sqlite_shop(folder, write_disposition=disposition).run()
    folder.sqlite("ALTER TABLE orders DROP COLUMN legacy").run()
    assert "legacy" in columns(folder, STREAM)
    assert reason(folder.run(allow_drop=True), "shop.orders") == "dropped legacy"
    assert "legacy" not in columns(folder, STREAM)
    assert "_hw_load_id" in columns(folder, STREAM)
    assert {row[0] for row in folder.rows("SELECT id FROM shop.orders")} == {1, 2}
    assert statuses(folder.run(allow_drop=True)) == {"shop.orders": "skipped"}
    folder.sqlite("INSERT INTO orders VALUES (3, 30)").run()
    assert (3, 30) in folder.rows("SELECT id, amount FROM shop.orders")


def test_files_without_the_column_drop_it_also_when_nothing_new_is_read(folder: Folder) -> None:
    folder.write("sources/shop.yaml", "type: files\nstreams:\n  orders: {path: data/orders*.csv}\n")
    folder.csv("orders1.csv", [(1, 10, "a")], "id,amount,legacy").run()
    assert statuses(folder.run(allow_drop=True)) == {"shop.orders": "skipped"}, "the source gave it when it was last read"
    folder.csv("orders2.csv", [(2, 20)]).run()
    assert reason(folder.run(allow_drop=True), "shop.orders") == "dropped legacy"
    assert columns(folder, STREAM) == ["id", "amount", "_hw_file", "_hw_load_id", "_hw_loaded_at"]
    assert folder.rows("SELECT id, amount FROM shop.orders") == [(1, 10), (2, 20)]


def test_a_declared_column_stays_whatever_the_source_gives(folder: Folder) -> None:
    folder.run()
    folder.csv("orders2.csv", [(3,)], "id")
    folder.run(allow_drop=True)
    assert "amount" in columns(folder, STREAM)


def test_an_excluded_column_is_dropped(folder: Folder) -> None:
    sqlite_shop(folder).run()
    sqlite = "type: sqlite\nconnection: shop.sqlite\nstreams:\n  orders: {table: orders, primary_key: id, exclude: [legacy]}\n"
    folder.write("sources/shop.yaml", sqlite).run()
    assert "legacy" in columns(folder, STREAM)
    folder.run(allow_drop=True)
    assert "legacy" not in columns(folder, STREAM)


def test_an_enforced_contract_gives_up_a_column_nobody_declares_only_when_it_may(folder: Folder) -> None:
    sqlite_shop(folder, schema_contract="enforced").run()
    folder.sqlite("ALTER TABLE orders DROP COLUMN legacy")
    refused = next(task for task in folder.run().tasks)
    assert refused.error_code == "HW-S007" or refused.status == "failed"
    assert "--allow-drop" in (refused.error_text or "")
    assert reason(folder.run(allow_drop=True), "shop.orders") == "dropped legacy"
