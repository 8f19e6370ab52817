"""Giving up rows that wait in quarantine."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.orchestration.events import Listener
from headwater.orchestration.session import Session
from headwater.orchestration.side_runs import side_run
from headwater.spec.names import TableName
from headwater.spec.runs import RunSummary, TaskResult
from headwater.storage import QuarantineClosing, TableChange


def drop_quarantined(session: Session, table: TableName, ids: Sequence[str] | None = None, *, listener: Listener | None = None) -> RunSummary:
    """Marks rows waiting for a table (`ids`, or all) as dropped: they are never loaded. Touches neither rows nor position; twice is as once.

    Raises TableNotFound, LeaseHeld.
    """
    with side_run(session, "drop", [table], listener) as run:
        waiting = session.lake.quarantine(table, ids=ids)
        if not waiting:
            run.end(TaskResult(table, "skipped", "drop", reason="nothing waits"))
            return run.summarize()
        closing = QuarantineClosing(tuple(row.id for row in waiting), "dropped")
        note = f"{len(waiting):,} rows of quarantine were dropped"
        record = run.load_record(table, "drop", note=note)
        change = TableChange(table, run.states[table].definition, record, run.lease.tokens[table], closings=(closing,), publish="keep")
        snapshot_id = session.lake.commit([change], author=run.author, message=note).snapshot_id
        run.end(TaskResult(table, "succeeded", "drop", reason=note, load_id=record.load_id, snapshot_id=snapshot_id))
        return run.summarize()
