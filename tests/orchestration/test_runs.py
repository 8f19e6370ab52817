"""Whole runs of small projects: what is built, skipped, held, published."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest
from folders import Folder, reason, statuses

from headwater.engine import Connection, describe_query
from headwater.errors import LeaseHeld, UnknownSelection
from headwater.orchestration import execute
from headwater.orchestration.plan import RunOptions
from headwater.spec.runs import Event
from headwater.state import new_run_id


def chain(folder: Folder) -> Folder:
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders")
    return folder.model("marts.revenue", "SELECT sum(amount)::BIGINT AS revenue FROM staging.orders")


def test_a_project_is_loaded_built_and_published(folder: Folder) -> None:
    summary = chain(folder).run()
    assert (summary.status, summary.exit_code) == ("succeeded", 0)
    assert statuses(summary) == {"shop.orders": "succeeded", "staging.orders": "succeeded", "marts.revenue": "succeeded"}
    assert folder.rows("SELECT * FROM marts.revenue") == [(30,)]
    assert [task.rows_written for task in summary.tasks] == [2, 2, 1]


def test_a_run_that_fits_one_commit_makes_one_and_writes_no_pins(folder: Folder) -> None:
    summary = chain(folder).run()
    assert {task.snapshot_id for task in summary.tasks} == {summary.snapshot_id}
    assert folder.head("SELECT * FROM lake.headwater.publications") == []


def test_an_unchanged_project_is_skipped_and_every_skip_has_its_reason(folder: Folder) -> None:
    chain(folder).run()
    summary = folder.run()
    assert set(statuses(summary).values()) == {"skipped"}
    assert all(task.reason for task in summary.tasks)
    assert summary.snapshot_id is None


def test_new_rows_go_through_to_the_end(folder: Folder) -> None:
    chain(folder).run()
    folder.csv("orders2.csv", [(3, 5)])
    summary = folder.run()
    assert reason(summary, "staging.orders") == "shop.orders changed"
    assert folder.rows("SELECT * FROM marts.revenue") == [(35,)]


def test_only_what_depends_on_a_changed_model_is_built(folder: Folder) -> None:
    chain(folder).model("marts.count", "SELECT count(*) AS n FROM staging.orders").run()
    folder.model("marts.revenue", "SELECT sum(amount)::BIGINT * 2 AS revenue FROM staging.orders")
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "skipped", "staging.orders": "skipped", "marts.revenue": "succeeded", "marts.count": "skipped"}


def test_a_view_shows_what_is_published_and_its_readers_follow(folder: Folder) -> None:
    folder.model("staging.shown", "SELECT id, amount * 2 AS amount FROM shop.orders", "kind: view")
    folder.model("marts.revenue", "SELECT sum(amount)::BIGINT AS revenue FROM staging.shown").run()
    assert folder.rows("SELECT revenue FROM marts.revenue") == [(60,)]
    folder.csv("orders2.csv", [(3, 5)])
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "succeeded", "staging.shown": "skipped", "marts.revenue": "succeeded"}
    assert folder.rows("SELECT revenue FROM marts.revenue") == [(70,)]
    assert folder.rows("SELECT amount FROM staging.shown WHERE id = 3") == [(10,)]


def test_a_failed_check_holds_the_table_and_keeps_back_what_stands_on_it(folder: Folder) -> None:
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders", "checks: [unique: id]")
    folder.model("marts.revenue", "SELECT sum(amount)::BIGINT AS revenue FROM staging.orders")
    folder.model("marts.apart", "SELECT count(*) AS n FROM shop.orders")
    folder.run()
    folder.csv("orders2.csv", [(2, 5)])
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "succeeded", "staging.orders": "held", "marts.revenue": "blocked", "marts.apart": "succeeded"}
    assert summary.exit_code == 1
    assert reason(summary, "staging.orders").startswith("unique(id) failed: 1 of 3")
    assert reason(summary, "marts.revenue") == "staging.orders is held"
    assert folder.rows("SELECT count(*) FROM staging.orders") == [(2,)], "readers keep what they had"
    assert folder.head("SELECT count(*) FROM lake.staging.orders") == [(3,)], "the held rows are committed"
    assert folder.rows("SELECT n FROM marts.apart") == [(3,)]
    again = folder.run()
    assert statuses(again)["staging.orders"] == "held", "it is built and judged each time until it passes"
    folder.model("staging.orders", "SELECT id, max(amount) AS amount FROM shop.orders GROUP BY id", "checks: [unique: id]")
    assert folder.run().exit_code == 0
    assert folder.rows("SELECT * FROM marts.revenue") == [(30,)]


def test_a_table_held_at_its_first_build_is_seen_by_nobody(folder: Folder) -> None:
    folder.model("staging.orders", "SELECT id FROM shop.orders", "checks: [rows: {min: 100}]")
    folder.model("marts.n", "SELECT count(*) AS n FROM staging.orders")
    folder.run()
    summary = folder.run("marts.n")
    assert statuses(summary) == {"marts.n": "blocked"}
    assert "never been published" in reason(summary, "marts.n")


def test_a_warning_holds_nothing(folder: Folder) -> None:
    summary = folder.model("staging.orders", "SELECT id FROM shop.orders", "checks: [rows: {min: 100, severity: warn}]").run()
    assert summary.exit_code == 0
    assert [verdict.passed for task in summary.tasks for verdict in task.verdicts] == [False]


def test_a_failure_takes_down_only_what_depends_on_it(folder: Folder) -> None:
    chain(folder).model("staging.broken", "SELECT nothing FROM shop.orders").model("marts.above", "SELECT * FROM staging.broken")
    summary = folder.run()
    assert statuses(summary)["staging.broken"] == "failed"
    assert statuses(summary)["marts.above"] == "blocked"
    assert statuses(summary)["marts.revenue"] == "succeeded"
    failed = next(task for task in summary.tasks if task.status == "failed")
    assert failed.error_code == "HW-Q002"
    assert "models/staging/broken.sql" in (failed.error_text or "")


def test_a_source_that_fails_leaves_the_others_alone(folder: Folder) -> None:
    folder.write("sources/gone.yaml", "type: sqlite\nconnection: nowhere/at-all.sqlite\nstreams: {items: {table: items}}\n")
    summary = chain(folder).run()
    assert statuses(summary)["gone.items"] == "failed"
    assert statuses(summary)["marts.revenue"] == "succeeded"


def test_an_unselected_input_is_read_as_published(folder: Folder) -> None:
    chain(folder)
    blocked = folder.run("marts.revenue")
    assert reason(blocked, "marts.revenue") == "staging.orders has never been built: headwater run +marts.revenue"
    folder.run("+marts.revenue")
    folder.csv("orders2.csv", [(3, 5)])
    assert statuses(folder.run("marts.revenue")) == {"marts.revenue": "skipped"}
    with pytest.raises(UnknownSelection):
        folder.run("marts.nothing")


def test_references_in_streams_are_resolved_for_reading_and_never_told(folder: Folder) -> None:
    folder.write(".env", "TABLE=orders_of_last_year\nTOKEN=hush-hush\n")
    folder.write(
        "sources/shop.yaml",
        """
        type: sqlite
        connection: shop.sqlite
        streams:
          orders: {table: "${env:TABLE}"}
          keyed: {query: "SELECT '${env:TOKEN}' = 'hush-hush' AS is_known FROM ${env:TABLE}"}
          broken: {query: "SELECT nothing FROM ${env:TABLE} WHERE x = '${env:TOKEN}'"}
        """,
    )
    folder.write("sources/own.yaml", "type: python\nstreams: {t: {function: 'sources/own.py:rows', options: {key: '${env:TOKEN}'}}}\n")
    folder.write("sources/own.py", "def rows(options):\n    yield {'is_known': options['key'] == 'hush-hush'}\n")
    folder.sqlite("CREATE TABLE orders_of_last_year(id INTEGER); INSERT INTO orders_of_last_year VALUES (7)")
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "succeeded", "shop.keyed": "succeeded", "shop.broken": "failed", "own.t": "succeeded"}
    assert folder.rows("SELECT id, is_known FROM shop.orders, own.t") == [(7, True)]
    assert folder.rows("SELECT is_known FROM shop.keyed") == [(1,)]
    assert not any("hush" in str(told) or "last_year" in str(told) for told in (*summary.tasks, *folder.events))
    assert folder.head("SELECT count(*) FROM lake.headwater.definitions WHERE body LIKE '%hush%'") == [(0,)]


def test_tables_of_a_publish_group_are_published_together_or_not_at_all(folder: Folder) -> None:
    folder.model("fin.a", "SELECT count(*) AS n FROM shop.orders", "publish_group: finance")
    folder.model("fin.b", "SELECT count(*) AS n FROM shop.orders", "publish_group: finance", "checks: [expression: n < 3]")
    folder.model("marts.c", "SELECT n FROM fin.a").run()
    folder.csv("orders2.csv", [(3, 5)])
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "succeeded", "fin.a": "held", "fin.b": "held", "marts.c": "held"}
    assert reason(summary, "fin.a") == "publish_group finance: fin.b is held"
    assert reason(summary, "marts.c") == "it was built on fin.a, which is kept back"
    assert folder.rows("SELECT a.n, b.n, c.n FROM fin.a a, fin.b b, marts.c c") == [(2, 2, 2)]
    folder.model("fin.b", "SELECT 2 AS n FROM shop.orders LIMIT 1", "publish_group: finance")
    summary = folder.run()
    assert summary.exit_code == 0
    assert reason(summary, "fin.a") == "published; an earlier run had built it"
    assert folder.rows("SELECT a.n, b.n, c.n FROM fin.a a, fin.b b, marts.c c") == [(3, 2, 3)]


def test_a_run_of_several_commits_is_published_by_its_last(folder: Folder) -> None:
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders")
    folder.write(
        "models/marts/revenue.py",
        """
        import time
        from pathlib import Path
        from headwater import model, table

        @model()
        def revenue(orders=table("staging.orders")):
            while not (Path(__file__).parent / "go").exists():
                time.sleep(0.005)
            return orders.aggregate("sum(amount)::BIGINT AS revenue")
        """,
    )
    folder.write("models/marts/go", "").run()
    folder.remove("models/marts/go").csv("orders2.csv", [(3, 5)])
    seen: list[list[tuple[Any, ...]]] = []
    committed: list[int] = []

    def look(event: Event) -> None:
        if event.name == "commit_made":
            committed.append(event.data["tables"])
            seen.append(folder.rows("SELECT (SELECT count(*) FROM staging.orders), (SELECT revenue FROM marts.revenue)"))
            if sum(committed) == 2:
                folder.write("models/marts/go", "")

    summary = folder.run(listener=look, flush_seconds=0.0, threads=2)
    assert summary.exit_code == 0
    assert seen[:-1] == [[(2, 30)]] * (len(seen) - 1), "models move together, at the end"
    assert len(seen) > 1
    assert seen[-1] == [(3, 35)]
    assert set(statuses(folder.run()).values()) == {"skipped"}
    assert folder.head("SELECT count(*) FROM lake.headwater.publications WHERE published_snapshot IS NULL") == [(1,)]


def test_a_view_committed_before_the_runs_end_leaves_its_readers_fresh(folder: Folder) -> None:
    chain(folder).model("staging.big", "SELECT * FROM staging.orders WHERE amount > 10", "kind: view")
    folder.model("marts.big", "SELECT count(*) AS n FROM staging.big")
    folder.run(flush_seconds=0.0, threads=1)
    assert set(statuses(folder.run()).values()) == {"skipped"}


def test_a_deleted_file_retires_its_table_at_the_next_full_run(folder: Folder) -> None:
    chain(folder).run()
    folder.remove("models/marts/revenue.sql")
    folder.run("staging.orders")
    assert folder.rows("SELECT * FROM marts.revenue") == [(30,)], "a partial run retires nothing"
    folder.run()
    with pytest.raises(Exception, match=r"marts\.revenue"):
        folder.rows("SELECT * FROM marts.revenue")
    folder.model("marts.revenue", "SELECT sum(amount)::BIGINT AS revenue FROM staging.orders")
    assert reason(folder.run(), "marts.revenue") == "first build"
    assert folder.rows("SELECT * FROM marts.revenue") == [(30,)]


def test_the_clock_is_the_runs_start_for_all_its_tasks(folder: Folder) -> None:
    folder.model("a.x", "SELECT now() AS at FROM shop.orders LIMIT 1").model("a.y", "SELECT now() AS at, current_date AS d FROM a.x")
    folder.model("a.day", "SELECT current_date AS d FROM shop.orders LIMIT 1")
    summary = folder.run()
    assert folder.rows("SELECT x.at = y.at, y.d, x.at FROM a.x x, a.y y")[0][:2] == (True, summary.started_at.date())
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "skipped", "a.x": "succeeded", "a.y": "succeeded", "a.day": "skipped"}


def test_a_model_that_draws_at_random_is_built_every_time(folder: Folder) -> None:
    folder.model("a.x", "SELECT random() AS r FROM shop.orders").run()
    assert statuses(folder.run())["a.x"] == "succeeded"


def test_a_full_refresh_builds_all_again(folder: Folder) -> None:
    chain(folder).run()
    summary = folder.run(is_full_refresh=True)
    assert set(statuses(summary).values()) == {"succeeded"}
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(2,)], "nothing is doubled"


def test_what_another_run_is_writing_is_refused_by_its_name(folder: Folder) -> None:
    chain(folder).run()
    with folder.session() as session:
        other = new_run_id(folder.now)
        session.state.start_run(other, environment="local", command="run", started_at=folder.now)
        session.state.acquire("local", [task.table for task in session.state.run(session.state.runs()[-1].run_id).tasks], other, 3600, {})
        with pytest.raises(LeaseHeld, match=r"is being written by another run"):
            execute(session, RunOptions())
        assert session.state.runs()[0].status == "failed"


def test_a_run_stopped_in_the_middle_commits_nothing_more_and_the_next_goes_on(folder: Folder) -> None:
    folder.write(
        "models/slow/wait.py",
        """
        import time
        from pathlib import Path
        from headwater import model, table

        @model()
        def wait(orders=table("shop.orders")):
            import _thread
            _thread.interrupt_main()
            time.sleep(0.2)
            return orders
        """,
    )
    chain(folder)
    assert threading.current_thread() is threading.main_thread()
    summary = folder.run(threads=1)
    assert (summary.status, summary.exit_code) == ("cancelled", 1)
    assert "cancelled" in set(statuses(summary).values())
    folder.model("slow.wait2", "SELECT 1 AS x").remove("models/slow/wait.py")
    assert folder.run().status == "succeeded"
    assert folder.rows("SELECT * FROM marts.revenue") == [(30,)]
    with folder.session() as session:
        assert session.state.held_leases("local") == {}


def test_a_model_between_two_statements_is_stopped_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def described(connection: Connection, query: str) -> Any:
        found = describe_query(connection, query)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.5)  # the stop comes now, while the connection does nothing
        return found

    monkeypatch.setattr("headwater.storage.staging.describe_query", described)
    folder.model("slow.wait", "SELECT count(*) AS n FROM range(100000000) a, range(100000) b")
    assert folder.run("slow.wait").status == "cancelled"


def test_events_tell_the_run_and_are_kept(folder: Folder) -> None:
    summary = chain(folder).run()
    told = [event.name for event in folder.events]
    assert (told[0], told[-1]) == ("run_started", "run_finished")
    assert told.count("task_finished") == 3
    with folder.session() as session:
        kept = session.state.events(summary.run_id)
        assert [event.name for event in kept] == [name for name in told if name != "task_progressed"]
        run = session.state.run(summary.run_id)
        assert (run.status, [task.status for task in run.tasks]) == ("succeeded", ["succeeded"] * 3)


def test_a_check_that_names_another_table_waits_for_it(folder: Folder) -> None:
    folder.model("a.items", "SELECT id AS order_id FROM shop.orders", "checks: [relationships: {column: order_id, to: b.orders, field: id}]")
    folder.model("b.orders", "SELECT id FROM shop.orders")
    assert folder.run().exit_code == 0
    folder.csv("orders2.csv", [(3, 5)])
    assert folder.run().exit_code == 0


def test_checks_that_name_each_other_make_no_circle(folder: Folder) -> None:
    for one, other in (("a.x", "a.y"), ("a.y", "a.x")):
        folder.model(one, "SELECT id FROM shop.orders", f"checks: [relationships: {{column: id, to: {other}, field: id, severity: warn}}]")
    assert len(folder.run().tasks) == 3


def test_a_restatement_reaches_what_follows(folder: Folder) -> None:
    from datetime import UTC, datetime

    from headwater.spec.runs import Interval

    folder.write("sources/shop.yaml", "type: files\nstreams:\n  orders: {path: data/orders*.csv, columns: {id: bigint, day: date}}\n")
    folder.csv("orders1.csv", [(1, "2026-01-01"), (2, "2026-02-01")], "id,day")
    folder.model("i.orders", "SELECT id, day FROM shop.orders", "kind: {incremental: {time_column: day}}")
    folder.model("m.n", "SELECT count(*) AS n FROM i.orders").run()
    folder.csv("orders2.csv", [(3, "2026-01-01")], "id,day")
    folder.run()
    assert folder.rows("SELECT n FROM m.n") == [(2,)], "older rows are out of an incremental's reach"
    interval = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    summary = folder.run("i.orders", interval=interval)
    assert statuses(summary) == {"i.orders": "succeeded", "m.n": "succeeded"}
    assert folder.rows("SELECT n FROM m.n") == [(3,)]


def test_changed_checks_judge_the_rows_there_are_without_building_them(folder: Folder) -> None:
    chain(folder).run()
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders", "description: Orders", "checks: [rows: {min: 3}]")
    summary = folder.run()
    assert statuses(summary)["staging.orders"] == "held"
    assert [task.rows_written for task in summary.tasks] == [0, 0, 0]
    assert folder.rows("SELECT count(*) FROM staging.orders") == [(2,)], "readers keep what they had"
    folder.model("staging.orders", "SELECT id, amount FROM shop.orders", "description: Orders", "columns: {id: The key}", "checks: [rows: {min: 2}]")
    assert folder.run().exit_code == 0
    assert set(statuses(folder.run()).values()) == {"skipped"}
    assert folder.head("SELECT description FROM lake.headwater.columns WHERE table_name = 'orders' AND description IS NOT NULL") == [("The key",)]


def test_a_held_stream_is_published_when_its_checks_are_mended_though_nothing_new_came(folder: Folder) -> None:
    source = (
        "type: files\nstreams:\n  orders: {{path: data/orders*.csv, columns: {{id: bigint, amount: bigint}}, checks: [rows: {{min: {least}}}]}}\n"
    )
    folder.write("sources/shop.yaml", source.format(least=5))
    assert statuses(folder.run()) == {"shop.orders": "held"}
    assert "still held: rows failed" in reason(folder.run(), "shop.orders")
    folder.write("sources/shop.yaml", source.format(least=1))
    assert statuses(folder.run()) == {"shop.orders": "succeeded"}
    assert folder.rows("SELECT count(*) FROM shop.orders") == [(2,)]
