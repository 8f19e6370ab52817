"""Changes that an incremental build doesn't reach: told, with the command that builds them anew."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from folders import Folder, reason

from headwater.spec.runs import Interval

SOURCE = """
    type: sqlite
    connection: shop.sqlite
    streams:
      orders: {{table: orders, primary_key: [id], write_disposition: {disposition}, columns: {{sold: timestamp}}}}
      customers: {{table: customers, primary_key: [id]}}
"""
DAILY = (
    "SELECT sold::DATE AS day, country, sum(amount)::BIGINT AS amount FROM staging.orders o JOIN shop.customers c ON c.id = o.customer GROUP BY ALL"
)


@pytest.fixture
def disposition() -> str:
    return "merge"


@pytest.fixture
def shop(folder: Folder, disposition: str) -> Folder:
    folder.sqlite(
        """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, sold TEXT, customer INTEGER, amount INTEGER);
        CREATE TABLE customers (id INTEGER PRIMARY KEY, country TEXT);
        INSERT INTO customers VALUES (1, 'NO'), (2, 'SE');
        INSERT INTO orders VALUES (1, '2024-03-01 10:00:00', 1, 10), (2, '2024-03-05 10:00:00', 2, 20), (3, '2024-03-09 10:00:00', 1, 30);
        """
    )
    folder.write("sources/shop.yaml", SOURCE.format(disposition=disposition))
    folder.model("staging.orders", "SELECT *, amount > 5 AS is_large FROM shop.orders", "kind: view")
    folder.model("marts.daily", DAILY, "kind: {incremental: {time_column: day, lookback: 2 days}}")
    assert folder.run().exit_code == 0
    return folder


def notes(folder: Folder, *, table: str = "marts.daily") -> list[str]:
    return reason(folder.run(), table).splitlines()[1:]


def test_rows_within_reach_are_no_news(shop: Folder) -> None:
    shop.sqlite("INSERT INTO orders VALUES (4, '2024-03-08 10:00:00', 1, 40), (5, '2024-03-10 10:00:00', 1, 40)")
    assert notes(shop) == []


def test_an_older_row_is_told_with_the_command_that_repairs_it(shop: Folder) -> None:
    shop.sqlite("INSERT INTO orders VALUES (4, '2024-03-02 10:00:00', 1, 40)")
    (note,) = notes(shop)
    assert note.startswith("shop.orders changed before")
    assert note.endswith("headwater run marts.daily --from 2024-03-02 --to 2024-03-07")
    assert [event.data["command"] for event in shop.events if event.name == "older_changes_found"] == [note.rpartition(": ")[2]]


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_a_change_of_an_older_row_is_told(shop: Folder) -> None:
    shop.sqlite("UPDATE orders SET amount = 11 WHERE id = 1")
    (note,) = notes(shop)
    assert "--from 2024-03-01 --to 2024-03-07" in note


def test_a_change_of_an_input_without_the_time_column_asks_for_a_full_refresh(shop: Folder) -> None:
    shop.sqlite("UPDATE customers SET country = 'DK' WHERE id = 2")
    (note,) = notes(shop)
    assert note.startswith("shop.customers changed before")
    assert note.endswith("headwater run marts.daily --full-refresh")


def test_what_runs_between_two_builds_committed_is_looked_at_too(shop: Folder) -> None:
    shop.sqlite("INSERT INTO orders VALUES (4, '2024-03-02 10:00:00', 1, 40)")
    shop.run("shop.orders")
    shop.sqlite("INSERT INTO orders VALUES (5, '2024-03-09 10:00:00', 1, 40)")
    (note,) = notes(shop)
    assert "--from 2024-03-02 --to 2024-03-07" in note


def test_the_command_repairs_it_and_is_not_told_again(shop: Folder) -> None:
    shop.sqlite("INSERT INTO orders VALUES (4, '2024-03-02 10:00:00', 1, 40)")
    assert len(notes(shop)) == 1
    shop.run("marts.daily", interval=Interval(datetime(2024, 3, 2, tzinfo=UTC), datetime(2024, 3, 7, tzinfo=UTC)))
    assert shop.rows("SELECT sum(amount)::INT FROM marts.daily") == [(100,)]
    shop.sqlite("INSERT INTO orders VALUES (5, '2024-03-09 10:00:00', 1, 40)")
    assert notes(shop) == []


def test_with_a_key_a_row_that_moves_to_a_later_time_is_no_news(shop: Folder) -> None:
    shop.model("marts.orders", "SELECT id, sold, amount FROM staging.orders", "kind: {incremental: {time_column: sold, unique_key: [id]}}")
    shop.run()
    shop.sqlite("UPDATE orders SET sold = '2024-03-11 10:00:00' WHERE id = 1")
    assert notes(shop, table="marts.orders") == []
    shop.sqlite("UPDATE orders SET amount = 12 WHERE id = 2")
    (note,) = notes(shop, table="marts.orders")
    assert "--from 2024-03-05 --to 2024-03-12" in note
