"""One run at work: decides, hands tasks to threads, gathers what they made, commits it, and publishes it at the end."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from headwater.errors import HeadwaterError, Interrupted
from headwater.governance.labels import Labels
from headwater.orchestration.committing import Batch, Committer, Flushed, Publishing, described
from headwater.orchestration.decide import PENDING, Block, Build, Load, Outcome, Skip, labels_read, tick, versions_read
from headwater.orchestration.events import Recorder
from headwater.orchestration.labelling import labels_of
from headwater.orchestration.plan import Plan, RunOptions
from headwater.orchestration.publishing import withheld
from headwater.orchestration.reading import Readings
from headwater.orchestration.tasks import Task, Worker, drop_staged
from headwater.spec.names import TableName
from headwater.spec.runs import Operation, TaskResult, TaskStatus
from headwater.spec.tables import Column
from headwater.state import Lease
from headwater.storage import boundaries
from headwater.storage.changes import PublishMode, TableChange

boundaries.register("run.leased", "run.computed", "run.flushing", "run.flushed", "run.finished")

#: Rows waiting in memory from which on a commit doesn't wait for more tasks. (Creating tables costs the more the more there are: one commit is best.)
_MOST_ROWS_WAITING = 4_000_000
#: Rows of committed tasks kept in memory for those who read them; beyond, readers go to the lake.
_MOST_ROWS_KEPT = 8_000_000
#: How often what still runs is interrupted once the run is stopped.
_INTERRUPT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Done:
    task: Task


@dataclass(frozen=True, slots=True)
class _Committed:
    tasks: list[Task]
    flushed: Flushed
    was_last: bool


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Somebody wants the run to end."""


class Executor:
    """Carries out a plan. Decisions, outcomes and bookkeeping belong to the thread that calls `run`; tasks and commits run on others."""

    def __init__(self, plan: Plan, options: RunOptions, lease: Lease, worker: Worker, committer: Committer, recorder: Recorder, threads: int) -> None:
        self._plan = plan
        self._options = options
        self._lease = lease
        self._worker = worker
        self._readings: Readings = worker.readings
        self._committer = committer
        self._recorder = recorder
        self._threads = threads
        self._messages: queue.SimpleQueue[_Done | _Committed | _Stopped] = queue.SimpleQueue()
        self._outcomes: dict[TableName, Outcome] = {}
        self._labels: dict[TableName, Labels] = {}
        plan.situation = replace(plan.situation, outcomes=self._outcomes, labels=self._labels)
        self._position = {table: index for index, table in enumerate(plan.order)}
        self._waiting: list[Task] = []
        self._waiting_since: float | None = None
        self._rows_waiting = 0
        self._last_result_at = 0.0
        self._running: set[TableName] = set()
        self._committing = False
        self._pinned: dict[TableName, Task | None] = {}
        self._kept: list[Task] = []
        self._to_drop: list[tuple[set[TableName], TableChange]] = []
        self._is_stopped = False
        self._is_over = False
        self.results: dict[TableName, TaskResult] = {}
        self.snapshot_id: int | None = None

    def stop(self) -> None:
        """Ends the run as soon as can be: nothing more is begun or committed. From any thread, or a signal handler."""
        self._messages.put(_Stopped())

    def run(self) -> None:
        """Until every task has its result. Raises only what is a bug, or what the listener raises."""
        ready = deque(table for table in self._plan.order if self._plan.awaited[table] == 0)
        with ThreadPoolExecutor(self._threads, "headwater-task") as pool, ThreadPoolExecutor(1, "headwater-commit") as commits:
            try:
                while True:
                    self._begin(ready, pool)
                    self._maybe_flush(commits)
                    if self._is_over:
                        break
                    for message in self._next_messages():
                        self._take(message, ready)
            except BaseException:
                self._worker.connections.interrupt()
                raise

    # -- beginning tasks ---------------------------------------------------------------------------------------------

    def _begin(self, ready: deque[TableName], pool: ThreadPoolExecutor) -> None:
        while ready:
            table = ready.popleft()
            if self._is_stopped:
                self._end(table, TaskResult(table, "cancelled", reason="the run was stopped"), None, ready)
                continue
            for decision in tick(self._plan.situation, (table,)):
                match decision:
                    case Skip():
                        self._skip(decision, ready)
                    case Block():
                        self._end(table, TaskResult(table, "blocked", self._operation(table), reason=decision.reason), None, ready)
                    case Load() | Build():
                        task = self._task(decision)
                        self._running.add(table)
                        pool.submit(self._worker.work, task, decision).add_done_callback(partial(self._finished, task))
                    case _:
                        assert_never(decision)

    def _finished(self, task: Task, future: Future[None]) -> None:
        bug = future.exception()
        if bug is not None:
            task.error = _fault(str(task.table), bug)
        boundaries.reached("run.computed")
        self._messages.put(_Done(task))

    def _operation(self, table: TableName) -> Operation:
        kind = self._plan.facts[table].kind
        return "load" if kind == "stream" else "view" if kind == "view" else "build"

    def _task(self, decision: Load | Build) -> Task:
        facts = self._plan.facts[decision.table]
        versions = {table: version for table, version in versions_read(self._plan.situation, facts).items() if version is not None}
        return Task(
            table=decision.table,
            ordinal=self._position[decision.table],
            facts=facts,
            operation=self._operation(decision.table),
            reason=decision.reason,
            token=self._lease.tokens[decision.table],
            versions=versions,
            labels=labels_read(self._plan.situation, facts),
            state=self._plan.situation.deployed.get(decision.table),
        )

    def _skip(self, skip: Skip, ready: deque[TableName]) -> None:
        if skip.is_unpublished:
            self._take_over(skip.table)
            self._pinned[skip.table] = None
            self._conclude(skip.table, Outcome("skipped", skip.version), ready)
            return
        result = TaskResult(skip.table, "skipped", self._operation(skip.table), reason=skip.reason)
        self._end(skip.table, result, skip.version, ready)

    def _take_over(self, table: TableName) -> None:
        """The table's newest rows are what is read of it from now on, with their labels."""
        self._readings.take_over(table)
        self._labels[table] = labels_of(self._plan.situation.deployed[table].columns)

    # -- ends of tasks -----------------------------------------------------------------------------------------------

    def _next_messages(self) -> Iterable[_Done | _Committed | _Stopped]:
        timeout = None
        if self._waiting_since is not None and not self._committing:
            timeout = max(0.0, self._flush_due_at(self._waiting_since) - time.monotonic())
        if self._is_stopped and self._running:
            # what was between two statements when it was interrupted didn't notice
            self._worker.connections.interrupt()
            timeout = _INTERRUPT_SECONDS
        try:
            yield self._messages.get(timeout=timeout)
            while True:
                yield self._messages.get_nowait()
        except queue.Empty:
            return

    def _take(self, message: _Done | _Committed | _Stopped, ready: deque[TableName]) -> None:
        match message:
            case _Stopped():
                if not self._is_stopped:
                    self._is_stopped = True
                    self._recorder.event("stop_requested", None, running=len(self._running))
                    self._worker.connections.interrupt()
            case _Done(task):
                self._running.discard(task.table)
                self._drop_unread(task.table)
                self._computed(task, ready)
            case _Committed(tasks, flushed, was_last):
                self._committing = False
                self._committed(tasks, flushed, was_last, ready)
            case _:
                assert_never(message)

    def _computed(self, task: Task, ready: deque[TableName]) -> None:
        error = task.error
        broken = next((table for table in task.facts.read if self._has_failed(table)), None)
        if error is None and task.change is None:
            self._nothing_new(task, ready)
            return
        if error is None and broken is not None:
            self._drop(task)
            self._end(task.table, self._result(task, "blocked", reason=f"{broken} could not be committed"), None, ready)
            return
        if error is not None or self._is_stopped:
            self._drop(task)
            self._failed(task, error or Interrupted("the run was stopped"), ready)
            return
        assert task.change is not None
        self._waiting.append(task)
        self._rows_waiting += _rows_in_memory(task)
        self._last_result_at = time.monotonic()
        self._waiting_since = self._waiting_since or self._last_result_at
        if task.failing:
            self._conclude(task.table, Outcome("held", None, _held_reason(task)), ready)
        elif (rolled_back_to := _rolled_back_to(task)) is not None:
            self._conclude(task.table, Outcome("succeeded", rolled_back_to), ready)
        else:
            self._readings.moved(task.change)
            self._labels[task.table] = labels_of(task.change.columns)
            self._conclude(task.table, Outcome("succeeded", self._version_after(task)), ready)

    def _version_after(self, task: Task) -> int | None:
        """PENDING, or the version readers know already when the commit will leave the rows as they are."""
        assert task.change is not None
        change, state = task.change, task.state
        adds_rows = change.staged is not None and change.staged.rows > 0
        if change.definition.kind == "view":
            same = state is not None and state.definition.kind == "view" and state.definition.sql == change.definition.sql
            unmoved = same and state is not None and state.definition.fingerprint == change.definition.fingerprint
            return state.published_changed_snapshot if unmoved and state is not None and state.publication == "follows" else PENDING
        if (
            adds_rows
            or change.delete is not None
            or state is None
            or state.publication != "follows"
            or _shape(state.columns) != _shape(change.columns)
        ):
            return PENDING
        return state.published_changed_snapshot

    def _has_failed(self, table: TableName) -> bool:
        outcome = self._outcomes.get(table)
        return outcome is not None and outcome.status in ("failed", "cancelled", "blocked")

    def _nothing_new(self, task: Task, ready: deque[TableName]) -> None:
        """A stream whose source had nothing: it stays as it is, held ones held."""
        task.close()
        state = task.state
        note = task.note or "nothing new"
        if state is not None and state.is_held:
            reason = f"{note}; still held: {state.reason}"
            self._end(task.table, self._result(task, "held", reason=reason), None, ready)
        elif state is not None and state.publication == "waiting":
            self._take_over(task.table)
            self._pinned[task.table] = None
            self._conclude(task.table, Outcome("skipped", state.changed_snapshot), ready)
        else:
            version = None if state is None else state.published_changed_snapshot
            self._end(task.table, self._result(task, "skipped", reason=note), version, ready)

    def _failed(self, task: Task, error: HeadwaterError, ready: deque[TableName]) -> None:
        status: TaskStatus = "cancelled" if isinstance(error, Interrupted) and self._is_stopped else "failed"
        self._end(task.table, self._result(task, status, error=error), None, ready)

    def _conclude(self, table: TableName, outcome: Outcome, ready: deque[TableName]) -> None:
        """What depends on the table can be decided now; its result comes with its commit."""
        is_first = table not in self._outcomes
        self._outcomes[table] = outcome
        if is_first:
            for follower in self._plan.followers.get(table, ()):
                self._plan.awaited[follower] -= 1
                if self._plan.awaited[follower] == 0:
                    ready.append(follower)

    def _end(self, table: TableName, result: TaskResult, version: int | None, ready: deque[TableName]) -> None:
        """The table's final result."""
        self._conclude(table, Outcome(result.status, version, result.reason), ready)
        self.results[table] = result
        self._recorder.task(self._position[table], result)

    def _result(self, task: Task, status: TaskStatus, *, reason: str = "", error: HeadwaterError | None = None) -> TaskResult:
        change = task.change
        return TaskResult(
            table=task.table,
            status=status,
            operation=task.operation,
            rows_written=change.staged.rows if change and change.staged else 0,
            rows_deleted=task.rows_deleted,
            rows_rejected=task.rows_rejected,
            size_bytes=change.staged.size_bytes if change and change.staged else 0,
            seconds=task.seconds,
            attempts=task.attempts,
            reason="\n".join(filter(None, (reason or (error.what if error else task.reason), "" if error else task.warning))),
            error_code=error.code if error else None,
            error_text=str(error) if error else None,
            verdicts=change.verdicts if change else (),
            load_id=change.load.load_id if change else None,
            snapshot_id=task.snapshot_id,
        )

    # -- commits -----------------------------------------------------------------------------------------------------

    def _maybe_flush(self, commits: ThreadPoolExecutor) -> None:
        if self._committing:
            return
        if self._is_stopped:
            if not self._running:
                self._cancel_waiting()
                self._is_over = True
            return
        is_last = not self._running and self._messages.empty()
        if is_last and not self._waiting and not self._pinned and not self._plan.retired:
            self._is_over = True
            return
        if not (is_last or self._is_flush_due()):
            return
        tasks = sorted(self._waiting, key=lambda task: task.ordinal)
        self._waiting, self._waiting_since, self._rows_waiting = [], None, 0
        batch = self._batch(tasks, is_last=is_last)
        self._committing = True
        boundaries.reached("run.flushing")
        commits.submit(self._committer.flush, batch).add_done_callback(
            lambda future: self._messages.put(_Committed(tasks, _outcome_of(future), is_last))
        )

    def _is_flush_due(self) -> bool:
        if self._waiting_since is None:
            return False
        return self._rows_waiting >= _MOST_ROWS_WAITING or time.monotonic() >= self._flush_due_at(self._waiting_since)

    def _flush_due_at(self, waiting_since: float) -> float:
        """When what waits is committed: some seconds after the first began to wait.

        Later (up to six times that) while results keep arriving, since one commit of many tables costs less than many of few.
        """
        patience = self._options.flush_seconds
        return min(max(waiting_since + patience, self._last_result_at + patience / 5), waiting_since + 6 * patience)

    def _batch(self, tasks: list[Task], *, is_last: bool) -> Batch:
        modes: dict[TableName, tuple[PublishMode, str]] = {}
        kept_back = self._kept_back(tasks) if is_last else {}
        for task in tasks:
            if task.failing:
                modes[task.table] = ("held", _held_reason(task))
            elif task.table in kept_back:
                modes[task.table] = ("later", kept_back[task.table])
            elif is_last or (task.facts.kind == "stream" and task.facts.publish_group is None):
                modes[task.table] = ("now", "")
            else:
                modes[task.table] = ("later", f"run {self._lease.holder} publishes it at its end")
        batch = Batch(tasks, modes, message=self._options.note)
        if is_last:
            for table, earlier in self._pinned.items():
                mode: PublishMode = "later" if table in kept_back else "now"
                committed = earlier.change.definition if earlier and earlier.change else None
                definition = described(committed, earlier.facts) if earlier and committed else self._plan.situation.deployed[table].definition
                batch.publishings.append(Publishing(table, definition, self._lease.tokens[table], mode, kept_back.get(table, "")))
            batch.retired = [(self._plan.lake_state.tables[table], self._lease.tokens[table]) for table in self._plan.retired]
        return batch

    def _kept_back(self, tasks: list[Task]) -> dict[TableName, str]:
        """Tables that passed and still can't be published, because of their group or of what they were built on."""
        bad = {table: _PARTICIPLES[outcome.status] for table, outcome in self._outcomes.items() if outcome.status in _PARTICIPLES}
        built = {task.table for task in tasks if not task.failing} | set(self._pinned)
        facts = [self._plan.facts[table] for table in self._plan.order if table in built]
        return withheld(facts, bad, self._plan.groups)

    def _committed(self, tasks: list[Task], flushed: Flushed, was_last: bool, ready: deque[TableName]) -> None:
        boundaries.reached("run.flushed")
        if flushed.snapshots:
            self.snapshot_id = max(flushed.snapshots.values())
            data = {"tables": len(flushed.snapshots), "snapshot_id": self.snapshot_id, "seconds": round(flushed.seconds, 3)}
            self._recorder.event("commit_made", None, **data)
        kept_back = self._kept_back(tasks) if was_last else {}
        for task in tasks:
            snapshot_id = flushed.snapshots.get(task.table)
            if snapshot_id is None:
                self._readings.forget(task.table)
                self._labels.pop(task.table, None)
                error = flushed.errors.get(task.table) or flushed.error or Interrupted("the run was stopped")
                self._end(task.table, self._result(task, "failed", error=error), None, ready)
                self._drop(task)
                continue
            self._settle(task, flushed, kept_back, was_published=was_last and flushed.published, ready=ready)
        if was_last and flushed.published:
            self._publish_pinned(kept_back, ready)
            self._plan.retired = ()
        elif was_last and flushed.error is not None:
            self._give_up_pinned(flushed.error, ready)
            self._plan.retired = ()
        self._free_memory()

    def _settle(self, task: Task, flushed: Flushed, kept_back: dict[TableName, str], *, was_published: bool, ready: deque[TableName]) -> None:
        """A task whose rows are in the lake: its result, or, where it still waits for its publication, its place among the pinned."""
        snapshot_id = flushed.snapshots[task.table]
        if task.on_committed is not None:
            task.on_committed()
        task.close()
        self._kept.append(task)
        task.snapshot_id, task.rows_deleted = snapshot_id, flushed.rows_deleted.get(task.table, 0)
        if task.columns_dropped:
            self._recorder.event("columns_dropped", task.table, columns=list(task.columns_dropped))
        rolled_back_to = _rolled_back_to(task)
        version = flushed.versions[task.table] if rolled_back_to is None else rolled_back_to
        if task.failing:
            self._end(task.table, self._result(task, "held", reason=_held_reason(task)), None, ready)
            return
        is_free = task.facts.kind == "stream" and task.facts.publish_group is None
        if not was_published and not is_free:
            self._outcomes[task.table] = Outcome("succeeded", version)
            self._pinned[task.table] = task
            return
        if task.table in kept_back:
            self._end(task.table, self._result(task, "held", reason=kept_back[task.table]), None, ready)
            return
        self._end(task.table, self._result(task, "succeeded"), version, ready)

    def _publish_pinned(self, kept_back: dict[TableName, str], ready: deque[TableName]) -> None:
        for table, task in self._pinned.items():
            version = self._outcomes[table].version
            status: TaskStatus = "held" if table in kept_back else "succeeded"
            reason = kept_back.get(table, "")
            if task is not None:
                self._end(table, self._result(task, status, reason=reason), version, ready)
            else:
                reason = reason or "published; an earlier run had built it"
                self._end(table, TaskResult(table, status, "publish", reason=reason), version, ready)
        self._pinned = {}

    def _give_up_pinned(self, error: HeadwaterError, ready: deque[TableName]) -> None:
        """The last commit came to nothing: what earlier ones pinned stays unseen until the next run publishes it."""
        for table, task in self._pinned.items():
            if task is not None:
                self._end(table, self._result(task, "failed", error=error), None, ready)
            else:
                self._end(table, TaskResult(table, "failed", "publish", reason=error.what, error_code=error.code, error_text=str(error)), None, ready)
        self._pinned = {}

    def _cancel_waiting(self) -> None:
        ready: deque[TableName] = deque()
        for task in self._waiting:
            self._drop(task)
            self._end(task.table, self._result(task, "cancelled", reason="the run was stopped before its commit"), None, ready)
        for table, earlier in self._pinned.items():
            reason = "committed, not published: the run was stopped; the next run publishes it"
            result = self._result(earlier, "cancelled", reason=reason) if earlier else TaskResult(table, "cancelled", "publish", reason=reason)
            self._end(table, result, None, ready)
        self._waiting, self._pinned = [], {}
        for table in self._plan.order:
            if table not in self.results:
                self._end(table, TaskResult(table, "cancelled", self._operation(table), reason="the run was stopped"), None, ready)

    # -- staged rows -------------------------------------------------------------------------------------------------

    def _drop(self, task: Task) -> None:
        task.close()
        if task.change is not None:
            drop_staged(self._worker.session, task.change)

    def _free_memory(self) -> None:
        """Moves readers to the lake and drops staged rows, when too many of them are kept."""
        if sum(map(_rows_in_memory, self._kept)) <= _MOST_ROWS_KEPT:
            return
        for task in self._kept:
            if task.change is None or task.snapshot_id is None:
                continue
            self._readings.committed(task.table, task.snapshot_id)
            self._to_drop.append((set(self._running), task.change))
        self._kept = []
        self._drop_unread(None)

    def _drop_unread(self, ended: TableName | None) -> None:
        """Drops what no running task began to read any more."""
        left: list[tuple[set[TableName], TableChange]] = []
        for readers, change in self._to_drop:
            readers.discard(ended) if ended is not None else None
            if readers:
                left.append((readers, change))
            else:
                drop_staged(self._worker.session, change)
        self._to_drop = left

    def close(self) -> None:
        """Drops all that is still staged."""
        kept = [task.change for task in self._kept if task.change is not None]
        drop_staged(self._worker.session, *kept, *(change for _, change in self._to_drop))
        self._kept, self._to_drop = [], []


_PARTICIPLES = {"failed": "failed", "held": "is held", "blocked": "is blocked", "cancelled": "was cancelled"}


def _shape(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """What readers of the rows would notice of columns: neither descriptions nor labels."""
    return [(column.name, column.type) for column in columns]


def _rows_in_memory(task: Task) -> int:
    staged = task.change.staged if task.change is not None else None
    return staged.rows if staged is not None and not staged.files else 0


def _rolled_back_to(task: Task) -> int | None:
    """The version that readers go on seeing of a rolled back table, whatever its task made: what is built on it reads that one too. Else None."""
    state = task.state
    return state.published_changed_snapshot if state is not None and state.publication == "rolled_back" else None


def _held_reason(task: Task) -> str:
    return "; ".join(f"{verdict.check} failed: {verdict.message}" for verdict in task.failing)


def _outcome_of(future: Future[Flushed]) -> Flushed:
    bug = future.exception()
    return future.result() if bug is None else Flushed(error=_fault("the commit", bug))


def _fault(what: str, bug: BaseException) -> HeadwaterError:
    error = HeadwaterError(f"{what} failed by a fault in Headwater itself: {type(bug).__name__}", found=str(bug) or None)
    error.__cause__ = bug
    return error
