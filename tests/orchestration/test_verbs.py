"""The verbs for trouble: what each does to rows, positions, and what readers see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from folders import Folder, reason, statuses

from headwater.errors import SnapshotNotFound, TableNotFound, UsageError
from headwater.orchestration import verbs
from headwater.spec.names import TableName
from headwater.spec.runs import RunSummary

ORDERS, STAGED = TableName("shop", "orders"), TableName("staging", "orders")


def call(folder: Folder, verb: Callable[..., RunSummary], *arguments: Any, **named: Any) -> RunSummary:
    with folder.session() as session:
        return verb(session, *arguments, **named)


def held(folder: Folder) -> Folder:
    """A stream and a model, both held by a doubled id in a second file."""
    folder.write(
        "sources/shop.yaml",
        "type: files\nstreams:\n  orders: {path: data/orders*.csv, columns: {id: bigint, amount: bigint}, checks: [unique: id]}\n",
    )
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders").run()
    folder.csv("orders2.csv", [(2, 5)])
    assert statuses(folder.run()) == {"shop.orders": "held", "staging.orders": "blocked"}
    return folder


def test_a_held_table_is_not_published_while_its_checks_fail(folder: Folder) -> None:
    summary = call(held(folder), verbs.publish, [ORDERS])
    assert (statuses(summary), summary.exit_code) == ({"shop.orders": "held"}, 1)
    assert "unique(id) failed" in reason(summary, "shop.orders")
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(2,)]


def test_force_needs_a_reason_and_then_publishes(folder: Folder) -> None:
    held(folder)
    with pytest.raises(UsageError, match="needs a reason"):
        call(folder, verbs.publish, [ORDERS], force=True)
    assert call(folder, verbs.publish, [ORDERS], force=True, reason="known doubles").exit_code == 0
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(3,)]
    assert statuses(folder.run()) == {"shop.orders": "skipped", "staging.orders": "succeeded"}


def test_a_table_is_published_when_todays_checks_pass(folder: Folder) -> None:
    held(folder).write(
        "sources/shop.yaml",
        "type: files\nstreams:\n  orders: {path: data/orders*.csv, columns: {id: bigint, amount: bigint}, checks: [rows: {min: 1}]}\n",
    )
    assert call(folder, verbs.publish, [ORDERS, STAGED]).exit_code == 0
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(3,)]


def test_publishing_several_is_all_or_none(folder: Folder) -> None:
    held(folder)
    call(folder, verbs.rollback, [STAGED], to=2)
    summary = call(folder, verbs.publish, [STAGED, ORDERS])
    assert statuses(summary) == {"staging.orders": "blocked", "shop.orders": "held"}


def test_a_rollback_shows_an_older_version_until_publish_and_runs_go_on_beneath(folder: Folder) -> None:
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders").run()
    folder.csv("orders2.csv", [(3, 5)]).run()
    summary = call(folder, verbs.rollback, [STAGED], reason="wrong rates")
    assert statuses(summary) == {"staging.orders": "succeeded"}
    assert folder.rows("SELECT count(*) FROM staging.orders") == [(2,)]
    assert folder.head("SELECT count(*) FROM lake.staging.orders") == [(3,)], "rows are untouched"
    folder.csv("orders3.csv", [(4, 5)])
    assert statuses(folder.run())["staging.orders"] == "succeeded"
    assert folder.rows("SELECT count(*) FROM staging.orders") == [(2,)], "a run doesn't lift it"
    call(folder, verbs.publish, [STAGED])
    assert folder.rows("SELECT count(*) FROM staging.orders") == [(4,)]


@pytest.mark.parametrize("table", [ORDERS, STAGED])
def test_what_a_rollback_hides_is_not_seen_through_what_is_built_on_it(folder: Folder, table: TableName) -> None:
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders").model("marts.sums", "SELECT count(*) AS n FROM staging.orders").run()
    folder.csv("orders2.csv", [(3, 5)]).run()
    call(folder, verbs.rollback, [table])
    folder.csv("orders3.csv", [(4, 5)])
    assert folder.run().exit_code == 0
    assert folder.rows("SELECT count(*), (SELECT n FROM marts.sums) FROM staging.orders") == [(2, 2)]
    assert statuses(folder.run())["marts.sums"] == "skipped", "what it was built from is what is still published"
    call(folder, verbs.publish, [table])
    folder.run()
    assert folder.rows("SELECT count(*), (SELECT n FROM marts.sums) FROM staging.orders") == [(4, 4)]


def test_a_rollback_goes_to_a_time(folder: Folder) -> None:
    from datetime import UTC, datetime

    folder.run()
    between = datetime.now(UTC)
    folder.csv("orders2.csv", [(3, 5)]).run()
    call(folder, verbs.rollback, [ORDERS], to=between)
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(2,)]
    with pytest.raises(SnapshotNotFound, match="no snapshot as old as"):
        call(folder, verbs.rollback, [ORDERS], to=datetime(2000, 1, 1, tzinfo=UTC))


def test_a_first_version_can_not_be_rolled_back(folder: Folder) -> None:
    folder.run()
    with pytest.raises(SnapshotNotFound, match="no older version"):
        call(folder, verbs.rollback, [ORDERS])


def test_discard_takes_rows_and_position_back_so_that_the_source_is_read_again(folder: Folder) -> None:
    held(folder)
    summary = call(folder, verbs.discard, [ORDERS])
    assert "reads the rest again" in reason(summary, "shop.orders")
    assert folder.head("SELECT count(*) FROM lake.shop.orders") == [(2,)]
    folder.csv("orders2.csv", [(3, 5)])
    assert folder.run().exit_code == 0
    assert folder.rows("SELECT id FROM shop.orders") == [(1,), (2,), (3,)]


def test_what_the_source_can_not_give_again_goes_to_quarantine_when_discarded(folder: Folder) -> None:
    held(folder).remove("data/orders2.csv")
    summary = call(folder, verbs.discard, [ORDERS])
    assert "1 discarded row waits in quarantine" in reason(summary, "shop.orders")
    assert folder.head("SELECT count(*) FROM lake.shop.orders") == [(2,)]
    with folder.session() as session:
        (row,) = session.lake.quarantine(ORDERS)
    assert (row.reason, '"amount":5' in (row.raw or "")) == ("discarded", True)
    assert statuses(folder.run())["shop.orders"] == "skipped"


def test_discarding_a_first_load_begins_again(folder: Folder) -> None:
    folder.write(
        "sources/shop.yaml",
        "type: files\nstreams:\n  orders: {path: data/orders*.csv, columns: {id: bigint, amount: bigint}, checks: [rows: {min: 3}]}\n",
    )
    assert statuses(folder.run()) == {"shop.orders": "held"}
    call(folder, verbs.discard, [ORDERS])
    assert folder.head("SELECT count(*) FROM lake.shop.orders") == [(0,)]
    folder.csv("orders2.csv", [(3, 5)])
    assert folder.run().exit_code == 0
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(3,)]


def test_a_discarded_model_is_built_again_by_the_next_run(folder: Folder) -> None:
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders", "checks: [unique: id]").run()
    folder.csv("orders2.csv", [(2, 5)]).run()
    call(folder, verbs.discard, [STAGED])
    assert folder.head("SELECT count(*) FROM lake.staging.orders") == [(2,)]
    summary = folder.run()
    assert (statuses(summary)["staging.orders"], folder.rows("SELECT count(*) FROM staging.orders")) == ("held", [(2,)])


def test_there_is_nothing_to_discard_in_a_published_table(folder: Folder) -> None:
    folder.run()
    assert statuses(call(folder, verbs.discard, [ORDERS])) == {"shop.orders": "skipped"}
    with pytest.raises(TableNotFound):
        call(folder, verbs.discard, [TableName("no", "where")])


def test_a_reload_reads_everything_again_and_doubles_nothing(folder: Folder) -> None:
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders").run()
    folder.csv("orders1.csv", [(1, 11), (2, 20)])
    summary = call(folder, verbs.reload, ORDERS)
    assert (summary.command, statuses(summary)) == ("reload", {"shop.orders": "succeeded"})
    assert folder.rows("SELECT id, amount FROM shop.orders") == [(1, 11), (2, 20)]
    with pytest.raises(UsageError, match="is a model"):
        call(folder, verbs.reload, STAGED)


def test_a_reload_from_a_position_reads_from_there(folder: Folder) -> None:
    folder.write("sources/shop.yaml", "type: sqlite\nconnection: shop.sqlite\nstreams: {orders: {table: orders, primary_key: id, cursor: id}}\n")
    folder.sqlite("CREATE TABLE orders(id INTEGER PRIMARY KEY, amount INTEGER); INSERT INTO orders VALUES (1, 10), (2, 20), (3, 30)").run()
    folder.sqlite("UPDATE orders SET amount = amount + 1")
    assert folder.rows("SELECT amount FROM shop.orders") == [(10,), (20,), (30,)]
    call(folder, verbs.reload, ORDERS, from_="2")
    assert folder.rows("SELECT amount FROM shop.orders") == [(10,), (21,), (31,)]


def test_a_reload_from_a_position_needs_a_cursor(folder: Folder) -> None:
    folder.run()
    with pytest.raises(UsageError) as caught:
        call(folder, verbs.reload, ORDERS, from_="2")
    assert (caught.value.found, caught.value.hint) == ("its position is a list of files", "headwater reload shop.orders reads all of it again")


def test_a_group_is_published_whole_or_not_at_all(folder: Folder) -> None:
    a, b = TableName("fin", "a"), TableName("fin", "b")
    folder.model("fin.a", "SELECT count(*) AS n FROM shop.orders", "publish_group: finance")
    folder.model("fin.b", "SELECT count(*) AS n FROM shop.orders", "publish_group: finance", "checks: [expression: n < 3]").run()
    folder.csv("orders2.csv", [(3, 5)]).run()
    summary = call(folder, verbs.publish, [a])
    assert statuses(summary) == {"fin.a": "blocked", "fin.b": "held"}
    assert reason(summary, "fin.a") == "fin.b can't be published, and all are or none"
    assert statuses(call(folder, verbs.publish, [a], force=True, reason="they know")) == {"fin.a": "succeeded", "fin.b": "succeeded"}
    assert folder.rows("SELECT a.n, b.n FROM fin.a a, fin.b b") == [(3, 3)]
    call(folder, verbs.rollback, [a, b])
    assert statuses(call(folder, verbs.publish, [b], force=True, reason="again")) == {"fin.a": "succeeded", "fin.b": "succeeded"}


def test_quarantine_is_replayed_by_todays_contract_and_twice_is_as_once(folder: Folder) -> None:
    source = """
        type: files
        streams:
          orders:
            path: data/orders*.csv
            columns: {{id: bigint, amount: {{type: bigint, checks: [range: {{max: {most}}}]}}}}
        """
    folder.write("sources/shop.yaml", source.format(most=100)).csv("orders2.csv", [(3, 500), (4, 7)]).run()
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(3,)]
    assert statuses(call(folder, verbs.replay, {ORDERS: None})) == {"shop.orders": "skipped"}, "it still breaks the contract"
    folder.write("sources/shop.yaml", source.format(most=1000))
    assert statuses(call(folder, verbs.replay, {ORDERS: None})) == {"shop.orders": "succeeded"}
    assert folder.rows("SELECT id, amount FROM shop.orders WHERE id = 3") == [(3, 500)]
    assert statuses(call(folder, verbs.replay, {ORDERS: None})) == {"shop.orders": "skipped"}
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(4,)]


def test_a_verb_leaves_a_run_in_the_history(folder: Folder) -> None:
    held(folder)
    summary = call(folder, verbs.publish, [ORDERS], force=True, reason="known doubles")
    with folder.session() as session:
        kept = session.state.run(summary.run_id)
        assert (kept.command, kept.status, kept.tasks[0].reason) == ("publish", "succeeded", "known doubles")
        assert session.state.held_leases("local") == {}
