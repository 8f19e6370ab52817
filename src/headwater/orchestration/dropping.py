"""Giving up rows that wait in quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.orchestration.events import Listener
from headwater.orchestration.session import Session
from headwater.orchestration.side_runs import side_run
from headwater.spec.counting import plural
from headwater.spec.names import TableName
from headwater.spec.runs import RunSummary, TaskResult
from headwater.storage import QuarantineClosing, TableChange


def drop_quarantined(session: Session, rows: Mapping[TableName, Sequence[str] | None], *, listener: Listener | None = None) -> RunSummary:
    """Marks rows waiting in quarantine as dropped: they are never loaded. `rows` are ids by table, None for all that wait for it.

    Touches neither rows nor positions; twice is as once. One commit for all tables. Raises TableNotFound, LeaseHeld.
    """
    with side_run(session, "drop", list(rows), listener) as run:
        changes: dict[TableName, TableChange] = {}
        for table, ids in rows.items():
            waiting = session.lake.quarantine(table, ids=ids)
            if waiting:
                closing = QuarantineClosing(tuple(row.id for row in waiting), "dropped")
                record = run.load_record(table, "drop", note=f"{plural(len(waiting), 'row')} of quarantine dropped")
                token = run.lease.tokens[table]
                changes[table] = TableChange(table, run.states[table].definition, record, token, closings=(closing,), publish="keep")
        notes = {table: change.load.note for table, change in changes.items()}
        snapshot_id = None
        if changes:
            snapshot_id = session.lake.commit(list(changes.values()), author=run.author, message="; ".join(notes.values())).snapshot_id
        for table in rows:
            if table in changes:
                load_id = changes[table].load.load_id
                run.end(TaskResult(table, "succeeded", "drop", reason=notes[table], load_id=load_id, snapshot_id=snapshot_id))
            else:
                run.end(TaskResult(table, "skipped", "drop", reason="nothing waits"))
        return run.summarize()
