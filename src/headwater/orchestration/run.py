"""A run, from its selection to its summary."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from types import FrameType

from headwater.engine import Workspace
from headwater.errors import LeaseHeld
from headwater.orchestration.committing import Committer
from headwater.orchestration.events import Listener, Recorder
from headwater.orchestration.executor import Executor
from headwater.orchestration.gitinfo import GitInfo, read_git
from headwater.orchestration.heart import Heart
from headwater.orchestration.plan import Plan, RunOptions, make_plan
from headwater.orchestration.reading import Readings
from headwater.orchestration.recovery import Recovery, recover
from headwater.orchestration.session import Session
from headwater.orchestration.tasks import Connections, Worker
from headwater.project.lineage import LineageCache
from headwater.spec.names import TableName
from headwater.spec.runs import RunStatus, RunSummary
from headwater.state import Lease, new_run_id
from headwater.storage import boundaries

#: Overrides how long a lease lives without being renewed, in seconds.
LEASE_VARIABLE = "HEADWATER_LEASE_SECONDS"
#: Where derived lineage is kept between commands, in the project's folder.
LINEAGE_CACHE = ".headwater/cache/lineage.json"
_BAD = ("failed", "held", "blocked")


def execute(session: Session, options: RunOptions | None = None, *, listener: Listener | None = None) -> RunSummary:
    """Runs a selection of the graph: loads, builds, checks, commits, publishes.

    `listener` is called with every event as it happens, from several threads, one at a time. What fails stands in the summary (`exit_code` 1);
    raised are UnknownSelection, LeaseHeld (another run writes one of the tables), and the StateError and LakeError kinds that keep the run from
    beginning at all. Not atomic as a whole, each commit is; after a crash at any point the next run goes on from what is committed.
    """
    session.engine.hold_back()  # until there is something to load or to build
    try:
        return _execute(session, with_environment(options or RunOptions()), listener)
    finally:
        session.engine.use_all_threads()


def _execute(session: Session, options: RunOptions, listener: Listener | None) -> RunSummary:
    started_at = session.started_now()
    run_id = new_run_id(started_at)
    with ThreadPoolExecutor(1, "headwater-git") as pool:
        git_reading = pool.submit(read_git, session.project.directory)
        recovery = recover(session)
        plan = make_plan(session.project, options, session.lake.state(), started_at, _statuses_asked(session, options))
        git = git_reading.result()
    begin_run(session, run_id, options.command, options.include, started_at, git)
    with finishing(session, run_id) as ending:
        lease = lease_tables(session, run_id, _written(plan), options)
        boundaries.reached("run.leased")
        plan = _plan_under_lease(session, options, plan, lease, started_at)
        run = _Run(session, options, run_id, started_at, plan, lease, git, recovery)
        summary = run.carry_out(listener)
        ending.status, ending.snapshot_id = summary.status, summary.snapshot_id
    boundaries.reached("run.finished")
    return replace(summary, finished_at=session.clock())


@dataclass(slots=True)
class Ending:
    """How a run is written down when it is over."""

    status: RunStatus = "failed"
    snapshot_id: int | None = None


@contextmanager
def finishing(session: Session, run_id: str) -> Iterator[Ending]:
    """When it is left, however, the run is marked finished and its leases are let go."""
    ending = Ending()
    try:
        yield ending
    except KeyboardInterrupt:
        ending.status = "cancelled"
        raise
    finally:
        session.state.finish_run(run_id, ending.status, finished_at=session.clock(), snapshot_id=ending.snapshot_id)


def begin_run(session: Session, run_id: str, command: str, selection: tuple[str, ...], started_at: datetime, git: GitInfo) -> None:
    session.state.start_run(
        run_id,
        environment=session.environment,
        command=command,
        selection=selection,
        started_at=started_at,
        git_commit=git.commit,
        git_dirty=git.is_dirty,
        author=git.author,
        principal=session.principal,
    )


def lease_tables(session: Session, run_id: str, tables: tuple[TableName, ...], options: RunOptions) -> Lease:
    """All leases or none; waits `options.wait_seconds` for those that another run holds. Raises LeaseHeld."""
    deadline = time.monotonic() + options.wait_seconds
    while True:
        lake_state = session.lake.state()
        floor = {table: state.token for table in tables if (state := lake_state.find(table)) is not None}
        try:
            return session.state.acquire(session.environment, tables, run_id, options.lease_seconds, floor)
        except LeaseHeld:
            if time.monotonic() >= deadline:
                raise
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
            session.state.mark_crashed(session.environment)


def _statuses_asked(session: Session, options: RunOptions) -> dict[TableName, str]:
    """The newest statuses, when a selector asks for them."""
    is_asked = any("result:" in selector for selector in (*options.include, *options.exclude))
    return last_statuses(session) if is_asked else {}


def last_statuses(session: Session) -> dict[TableName, str]:
    """The status of each table's newest task that was more than a skip: what `result:` selects by."""
    return {table: result.status for table, (_, result) in session.state.last_results(session.environment).items()}


def _written(plan: Plan) -> tuple[TableName, ...]:
    return (*plan.order, *plan.retired)


def _plan_under_lease(session: Session, options: RunOptions, plan: Plan, lease: Lease, started_at: datetime) -> Plan:
    """The plan as of now: somebody may have committed between its making and our lease."""
    lake_state = session.lake.state()
    if lake_state.snapshot_id == plan.lake_state.snapshot_id:
        return plan
    newer = make_plan(session.project, options, lake_state, started_at, _statuses_asked(session, options))
    if not set(_written(newer)) <= set(lease.tokens):  # only a selection by state grows
        newer = replace_selection(newer, frozenset(lease.tokens))
    return newer


def replace_selection(plan: Plan, allowed: frozenset[TableName]) -> Plan:
    """The plan without tables that aren't leased; the next run comes to them."""
    plan.order = tuple(table for table in plan.order if table in allowed)
    plan.retired = tuple(table for table in plan.retired if table in allowed)
    plan.situation = replace(plan.situation, selected=frozenset(plan.order))
    plan.join()
    return plan


def with_environment(options: RunOptions) -> RunOptions:
    """The options with what the process's environment overrides."""
    given = os.environ.get(LEASE_VARIABLE)
    return replace(options, lease_seconds=float(given)) if given else options


@dataclass(slots=True)
class _Run:
    """Everything one run needs, once it holds its leases."""

    session: Session
    options: RunOptions
    run_id: str
    started_at: datetime
    plan: Plan
    lease: Lease
    git: GitInfo
    recovery: Recovery

    def carry_out(self, listener: Listener | None) -> RunSummary:
        session = self.session
        recorder = Recorder(self.run_id, session.state, session.clock, listener)
        recorder.event("run_started", None, tables=len(self.plan.order), environment=session.environment, command=self.options.command)
        self.recovery.tell(recorder)
        is_cancelled = threading.Event()
        with Workspace(session.engine, clock=self.started_at, macros=session.project.macros) as workspace:
            readings = Readings(session.lake, workspace, self.plan.situation.deployed, self.plan.lake_state.snapshot_id, session.project.graph.find)
            lineages = LineageCache(session.project.directory / LINEAGE_CACHE)
            worker = Worker(
                session=session,
                options=self.options,
                run_id=self.run_id,
                started_at=self.started_at,
                readings=readings,
                recorder=recorder,
                connections=Connections(),
                is_cancelled=is_cancelled.is_set,
                lineages=lineages,
                macros=tuple(macro.sql for macro in session.project.macro_definitions.values()),
            )
            committer = Committer(session.lake, self.run_id, self.started_at, self.git.author or "")
            executor = Executor(self.plan, self.options, self.lease, worker, committer, recorder, self._threads())

            def stop() -> None:
                is_cancelled.set()
                executor.stop()

            def lost(tables: tuple[TableName, ...]) -> None:
                for table in tables:
                    recorder.event("lease_lost", table)

            try:
                with Heart(session.state, self.lease, recorder, lost), interruptible(stop):
                    executor.run()
            except BaseException:
                is_cancelled.set()
                raise
            finally:
                executor.close()
                readings.close()
            if lineages.derived_count >= len(session.project.models):  # a smaller run knows too little to replace what is kept
                lineages.save()
        return self._summarize(executor, recorder, is_cancelled.is_set())

    def _threads(self) -> int:
        return self.options.threads or self.session.project.config.threads or os.cpu_count() or 2

    def _summarize(self, executor: Executor, recorder: Recorder, was_stopped: bool) -> RunSummary:
        results = tuple(executor.results[table] for table in self.plan.order)
        status: RunStatus = "cancelled" if was_stopped else "failed" if any(result.status in _BAD for result in results) else "succeeded"
        recorder.event("run_finished", None, status=status, snapshot_id=executor.snapshot_id)
        recorder.flush()
        return RunSummary(
            run_id=self.run_id,
            environment=self.session.environment,
            status=status,
            started_at=self.started_at,
            finished_at=None,
            tasks=results,
            git_commit=self.git.commit,
            git_dirty=self.git.is_dirty,
            author=self.git.author,
            snapshot_id=executor.snapshot_id,
            selection=self.options.include,
            command=self.options.command,
            principal=self.session.principal,
        )


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Inside it, Ctrl-C calls `stop`; a second one ends the process at once (what is committed stays, the next run takes over).

    Where Python lets no handler be set (not the main thread), or a program has its own, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    count = 0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            os._exit(130)
        stop()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
