"""Group commit: finished tasks gather, and enter the lake together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from headwater.errors import (
    CommitConflict,
    CommitUnknown,
    HeadwaterError,
    Interrupted,
    LakeReadOnly,
    LakeUnavailable,
    StorageFull,
)
from headwater.orchestration.decide import DESCRIPTION_HASH, PENDING, Facts
from headwater.orchestration.retrying import retried
from headwater.orchestration.tasks import Task
from headwater.spec.names import TableName
from headwater.spec.runs import Operation
from headwater.storage import Lake
from headwater.storage.changes import Definition, LoadRecord, PublishMode, TableChange, TableState

#: Errors of a commit that are about the lake as a whole: trying its tables one by one would not help.
_OF_THE_LAKE = (CommitConflict, CommitUnknown, Interrupted, LakeReadOnly, LakeUnavailable, StorageFull)


def described(definition: Definition, facts: Facts) -> Definition:
    """The definition as it is committed: with what tells the next run that a check or description changed."""
    return replace(definition, body={**definition.body, DESCRIPTION_HASH: facts.description_hash})


@dataclass(frozen=True, slots=True)
class Publishing:
    """What becomes of what readers see of one table, by a commit that leaves its rows alone."""

    table: TableName
    definition: Definition
    token: int
    mode: PublishMode
    reason: str = ""


@dataclass(slots=True)
class Batch:
    """What one flush commits: finished tasks in topological order, what becomes of tables committed before, and tables to retire."""

    tasks: list[Task]
    modes: Mapping[TableName, tuple[PublishMode, str]]
    publishings: list[Publishing] = field(default_factory=list)
    retired: list[tuple[TableState, int]] = field(default_factory=list)
    message: str = ""


@dataclass(slots=True)
class Flushed:
    """How a batch came out: for each task the snapshot that carries it, or its error. `error` is that of the whole batch. `versions` are the tables'
    versions from then on: older than the snapshot where a commit changed nothing."""

    snapshots: dict[TableName, int] = field(default_factory=dict)
    versions: dict[TableName, int] = field(default_factory=dict)
    rows_deleted: dict[TableName, int] = field(default_factory=dict)
    errors: dict[TableName, HeadwaterError] = field(default_factory=dict)
    published: bool = False
    error: HeadwaterError | None = None
    seconds: float = 0.0


class Committer:
    """Commits batches, one at a time; the versions of what is committed are kept for what is built on it later."""

    def __init__(self, lake: Lake, run_id: str, started_at: datetime, author: str) -> None:
        self._lake = lake
        self._run_id = run_id
        self._started_at = started_at
        self._author = author
        self._numbers = 0
        self._versions: dict[str, int] = {}

    def flush(self, batch: Batch) -> Flushed:
        """Commits a batch in one transaction. Where a single table is what the lake refuses, the others are committed one by one. Never raises an
        error of ours: it stands in the result."""
        flushed = Flushed()
        try:
            self._commit(batch.tasks, batch, flushed, with_rest=True)
        except _OF_THE_LAKE as error:
            flushed.error = error
        except HeadwaterError as error:
            if len(batch.tasks) + len(batch.publishings) + len(batch.retired) > 1:
                self._one_by_one(batch, flushed)
            else:
                flushed.error = error
        return flushed

    def _one_by_one(self, batch: Batch, flushed: Flushed) -> None:
        """Each task by itself, pinned; then the publication of those that got through is left to the caller's next flush."""
        for task in batch.tasks:
            broken = next((table for table in task.facts.read if table in flushed.errors), None)
            if broken is not None:
                flushed.errors[task.table] = _built_on(task.table, broken)
                continue
            try:
                self._commit([task], batch, flushed, with_rest=False)
            except HeadwaterError as error:
                flushed.errors[task.table] = error

    def _commit(self, tasks: Sequence[Task], batch: Batch, flushed: Flushed, *, with_rest: bool) -> None:
        together = {str(task.table) for task in tasks}
        changes = [self._change(task, together, batch, is_last=with_rest) for task in tasks]
        if with_rest:
            changes += [self._publication(publishing) for publishing in batch.publishings]
            changes += [self._retirement(state, token) for state, token in batch.retired]
        if not changes:
            return
        commit = retried(
            lambda _: self._lake.commit(changes, author=self._author, message=batch.message), on_retry=lambda *_: None, is_cancelled=lambda: False
        )
        flushed.seconds += commit.seconds
        flushed.published = with_rest
        for task in tasks:
            flushed.snapshots[task.table] = commit.snapshot_id
            version = commit.versions.get(task.table, commit.snapshot_id)
            flushed.versions[task.table] = self._versions[str(task.table)] = version
            flushed.rows_deleted[task.table] = commit.rows_deleted.get(task.table, 0)

    def _change(self, task: Task, together: set[str], batch: Batch, *, is_last: bool) -> TableChange:
        """The task's change with its inputs' commits and its publication filled in."""
        assert task.change is not None
        inputs = {
            name: (PENDING if name in together else self._versions[name]) if version == PENDING else version
            for name, version in task.change.load.inputs.items()
        }
        mode, reason = batch.modes[task.table]
        if not is_last and mode == "now" and task.facts.kind != "stream":
            mode = "later"
        known = 0 if task.state is None else task.state.changed_snapshot
        return replace(
            task.change,
            definition=described(task.change.definition, task.facts),
            load=replace(task.change.load, inputs=inputs),
            publish=mode,
            reason=reason,
            computed_from=known,
        )

    def _publication(self, publishing: Publishing) -> TableChange:
        load = self._side_record("publish")
        return TableChange(publishing.table, publishing.definition, load, publishing.token, publish=publishing.mode, reason=publishing.reason)

    def _retirement(self, state: TableState, token: int) -> TableChange:
        return TableChange(state.table, state.definition, self._side_record("retire"), token, retire=True, reason="its file is gone")

    def _side_record(self, operation: Operation) -> LoadRecord:
        self._numbers += 1
        return LoadRecord(f"{self._run_id}-{operation}-{self._numbers}", operation, self._run_id, self._started_at)


def _built_on(table: TableName, broken: TableName) -> HeadwaterError:
    return HeadwaterError(f"{table} was built on rows of {broken}, which could not be committed", state="nothing of it was committed")
