"""What a run does first: notice what former ones left behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headwater.orchestration.events import Recorder
from headwater.orchestration.session import Session


@dataclass(frozen=True, slots=True)
class Recovery:
    """`crashed` are runs found dead. `rebuilt` are runs that only the lake knew of: the state store was lost, or is older than the lake.
    `is_lake_older`: the store remembers a snapshot the lake doesn't have (the lake was restored from a copy)."""

    crashed: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    is_lake_older: bool = False

    def tell(self, recorder: Recorder) -> None:
        for run_id in self.crashed:
            recorder.event("crash_found", None, run=run_id)
        if self.rebuilt:
            recorder.event("state_rebuilt", None, runs=len(self.rebuilt))
        if self.is_lake_older:
            recorder.event("lake_found_older", None)


def recover(session: Session) -> Recovery:
    """Marks dead runs and frees their leases; writes down runs that the lake knows and the store doesn't. What they committed is gone on from by the
    run itself: positions, pins and tokens live in the lake."""
    crashed = session.state.mark_crashed(session.environment)
    lake_state = session.lake.state()
    spans: dict[str, tuple[datetime, datetime, int]] = {}
    for state in lake_state.tables.values():
        if state.load is None or state.committed_at is None:
            continue
        first, last, snapshot_id = spans.get(state.load.run_id, (state.load.started_at, state.committed_at, 0))
        span = (min(first, state.load.started_at), max(last, state.committed_at), max(snapshot_id, state.changed_snapshot))
        spans[state.load.run_id] = span
    unknown = sorted(spans.keys() - session.state.known_runs(spans))
    for run_id in unknown:
        first, last, snapshot_id = spans[run_id]
        session.state.rebuild_run(run_id, environment=session.environment, started_at=first, finished_at=last, snapshot_id=snapshot_id)
    newest = session.state.newest_snapshot(session.environment)
    return Recovery(crashed, tuple(unknown), newest is not None and newest > lake_state.snapshot_id)
