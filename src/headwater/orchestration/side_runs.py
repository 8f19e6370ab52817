"""The frame of a command that writes to tables without being a run of the graph: a run record, leases, a heart, a summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from headwater.errors import TableNotFound, UsageError
from headwater.orchestration.events import Listener, Recorder
from headwater.orchestration.gitinfo import GitInfo, read_git
from headwater.orchestration.heart import Heart
from headwater.orchestration.plan import RunOptions
from headwater.orchestration.recovery import recover
from headwater.orchestration.run import begin_run, finishing, lease_tables, with_environment
from headwater.orchestration.session import Session
from headwater.spec.names import TableName
from headwater.spec.runs import Operation, RunStatus, RunSummary, TaskResult
from headwater.state import Lease, new_run_id
from headwater.storage import LoadRecord, TableState

_BAD = ("failed", "held", "blocked")


@dataclass(slots=True)
class SideRun:
    """One such command at work, its tables leased. `states` are the tables as they stand under the lease."""

    session: Session
    run_id: str
    command: str
    started_at: datetime
    lease: Lease
    recorder: Recorder
    git: GitInfo
    states: Mapping[TableName, TableState]
    results: list[TaskResult] = field(default_factory=list)
    summary: RunSummary | None = None

    @property
    def author(self) -> str:
        return self.git.author or ""

    def load_record(self, table: TableName, operation: Operation, *, note: str = "") -> LoadRecord:
        number = list(self.lease.tokens).index(table)
        return LoadRecord(f"{self.run_id}-{number}", operation, self.run_id, self.started_at, note=note)

    def end(self, result: TaskResult) -> None:
        """One table's result."""
        self.recorder.task(len(self.results), result)
        self.results.append(result)

    def summarize(self) -> RunSummary:
        """The summary, when all tables have their results."""
        status: RunStatus = "failed" if any(result.status in _BAD for result in self.results) else "succeeded"
        snapshots = [result.snapshot_id for result in self.results if result.snapshot_id is not None]
        self.summary = RunSummary(
            run_id=self.run_id,
            environment=self.session.environment,
            status=status,
            started_at=self.started_at,
            finished_at=self.session.clock(),
            tasks=tuple(self.results),
            git_commit=self.git.commit,
            git_dirty=self.git.is_dirty,
            author=self.git.author,
            snapshot_id=max(snapshots, default=None),
            selection=tuple(str(table) for table in self.lease.tokens),
            command=self.command,
            principal=self.session.principal,
        )
        return self.summary


@contextmanager
def side_run(session: Session, command: str, tables: Sequence[TableName], listener: Listener | None = None) -> Iterator[SideRun]:
    """Inside it, the tables are leased. Raises LeaseHeld, TableNotFound for one the lake doesn't have."""
    if not tables:
        raise UsageError(f"{command} needs a table")
    started_at = session.started_now()
    run_id = new_run_id(started_at)
    recover(session)
    known_tables(session, tables)
    git = read_git(session.project.directory)
    begin_run(session, run_id, command, tuple(str(table) for table in tables), started_at, git)
    with finishing(session, run_id) as ending:
        lease = lease_tables(session, run_id, tuple(dict.fromkeys(tables)), with_environment(RunOptions()))
        recorder = Recorder(run_id, session.state, session.clock, listener)
        recorder.event("run_started", None, tables=len(tables), environment=session.environment, command=command)
        with Heart(session.state, lease, recorder, lambda _: None):
            run = SideRun(session, run_id, command, started_at, lease, recorder, git, known_tables(session, tables))
            yield run
        if run.summary is not None:
            ending.status, ending.snapshot_id = run.summary.status, run.summary.snapshot_id
            recorder.event("run_finished", None, status=run.summary.status, snapshot_id=run.summary.snapshot_id)
        recorder.flush()


def known_tables(session: Session, tables: Sequence[TableName]) -> dict[TableName, TableState]:
    """The tables' states. Raises TableNotFound for one the lake doesn't have (or has retired)."""
    lake_state = session.lake.state()
    found = {}
    for table in tables:
        state = lake_state.find(table)
        if state is None or state.is_retired:
            raise TableNotFound(f"there is no table {table} in the lake", hint=f"build it first: headwater run +{table}")
        found[table] = state
    return found
