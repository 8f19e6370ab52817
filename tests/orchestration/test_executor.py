"""Parts of a run that small projects pass by: full memory, tables the lake refuses, leases renewed, bugs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from folders import Folder, reason, statuses

from headwater.errors import Fenced, HeadwaterError, LeaseHeld, SourceUnreachable
from headwater.orchestration import executor
from headwater.orchestration.events import Recorder
from headwater.orchestration.heart import Heart
from headwater.orchestration.retrying import ATTEMPTS, retried
from headwater.spec.names import TableName
from headwater.state import new_run_id


def test_when_memory_is_full_finished_tables_are_read_from_the_lake(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_MOST_ROWS_WAITING", 1)
    monkeypatch.setattr(executor, "_MOST_ROWS_KEPT", 0)
    folder.csv("orders1.csv", [(number, number) for number in range(1_000)])
    folder.model("m.t0", "SELECT id, amount FROM shop.orders")
    for number in range(1, 12):
        folder.model(f"m.t{number}", f"SELECT a.id, a.amount + b.amount AS amount FROM m.t{number - 1} a JOIN m.t{number // 2} b USING (id)")
    folder.model("m.i", "SELECT id, amount FROM m.t3", "kind: {incremental: {time_column: id, unique_key: id}}")
    folder.model("m.n", "SELECT count(*) AS n, sum(amount)::BIGINT AS amount FROM m.i")
    summary = folder.run(threads=2)
    assert set(statuses(summary).values()) == {"succeeded"}, [task.error_text for task in summary.tasks]
    assert folder.rows("SELECT n, amount FROM m.n") == [(1_000, 6 * 499_500)]
    folder.csv("orders2.csv", [(5_000, 1)])
    assert folder.run(threads=2).exit_code == 0
    assert folder.rows("SELECT n FROM m.n") == [(1_001,)]
    assert set(statuses(folder.run()).values()) == {"skipped"}


def test_a_table_the_lake_refuses_takes_only_its_readers_down(folder: Folder) -> None:
    folder.model("m.odd", "SELECT id FROM shop.orders", "partition_by: [year(id)]").model("m.above", "SELECT * FROM m.odd")
    folder.model("m.good", "SELECT id FROM shop.orders")
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "succeeded", "m.odd": "failed", "m.above": "failed", "m.good": "succeeded"}
    assert "m.odd" in reason(summary, "m.above")
    assert folder.rows("SELECT count(*) FROM m.good") == [(2,)]
    assert folder.head("SELECT count(*) FROM lake.headwater.publications WHERE published_snapshot IS NOT NULL AND table_name = 'good'") == [(1,)]
    assert statuses(folder.run())["m.good"] == "skipped"


def test_every_beat_of_the_heart_renews_the_lease(folder: Folder) -> None:
    table = TableName("shop", "orders")
    with folder.session() as session:
        one, two = new_run_id(folder.now), new_run_id(folder.now)
        for run_id in (one, two):
            session.state.start_run(run_id, environment="prod", command="run", started_at=folder.now)
        lease = session.state.acquire("prod", [table], one, 60, {})
        heart = Heart(session.state, lease, Recorder(one, session.state, folder.clock), lambda _: None)
        for _ in range(3):
            folder.now += timedelta(seconds=50)
            heart.beat()
            with pytest.raises(LeaseHeld):
                session.state.acquire("prod", [table], two, 60, {})


def test_a_heart_tells_once_of_a_table_that_was_taken_over(folder: Folder) -> None:
    table = TableName("shop", "orders")
    with folder.session() as session:
        one, two = new_run_id(folder.now), new_run_id(folder.now)
        for run_id in (one, two):
            session.state.start_run(run_id, environment="local", command="run", started_at=folder.now)
        lease = session.state.acquire("local", [table], one, 0.001, {})
        session.state.acquire("local", [table], two, 60, {})
        lost: list[tuple[TableName, ...]] = []
        heart = Heart(session.state, lease, Recorder(one, session.state, folder.clock), lost.append)
        heart.beat()
        heart.beat()
        assert lost == [(table,)]


def test_errors_that_may_pass_are_tried_again_and_others_are_not() -> None:
    def failing(error: HeadwaterError) -> list[int]:
        attempts: list[int] = []
        told: list[int] = []

        def work(number: int) -> None:
            attempts.append(number)
            raise error

        with pytest.raises(type(error)):
            retried(work, on_retry=lambda _, number: told.append(number), is_cancelled=lambda: False)
        assert told == attempts[:-1]
        return attempts

    assert failing(SourceUnreachable("gone")) == list(range(1, ATTEMPTS + 1))
    assert failing(Fenced("gone")) == [1]


def test_a_fault_of_our_own_is_told_as_one_and_fails_its_task_alone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.transformation import build as building

    build = building.build_model

    def faulty(lake: object, workspace: object, model: object, context: object) -> object:
        if "bad" in str(getattr(model, "name", "")):
            raise ZeroDivisionError("x")
        return build(lake, workspace, model, context)  # type: ignore[arg-type]

    monkeypatch.setattr(building, "build_model", faulty)
    folder.model("m.bad", "SELECT id FROM shop.orders").model("m.good", "SELECT id FROM shop.orders")
    summary = folder.run()
    assert statuses(summary) == {"shop.orders": "succeeded", "m.bad": "failed", "m.good": "succeeded"}
    assert "fault in Headwater itself: ZeroDivisionError" in reason(summary, "m.bad")
