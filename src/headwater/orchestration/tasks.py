"""The work of one task: everything outside the lake, up to the change that a commit carries.

What builds and judges is imported by the first task that does it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from headwater.engine import Connection
from headwater.errors import HeadwaterError, Interrupted, QueryError
from headwater.ingestion import LoadContext, prepare_load, staged_of
from headwater.orchestration.decide import LOOKED_FOR_DROPS, Build, Facts, Load, is_described_otherwise
from headwater.orchestration.events import Recorder
from headwater.orchestration.labelling import InputLabels, are_labels_moved, labelled
from headwater.orchestration.plan import RunOptions
from headwater.orchestration.reading import Readings
from headwater.orchestration.retrying import retried
from headwater.orchestration.session import Session
from headwater.sources import open_connector, resolved_stream, unspoken
from headwater.spec.checks import Check, Verdict
from headwater.spec.lineage import Lineage
from headwater.spec.models import IncrementalKind, Model
from headwater.spec.names import TableName
from headwater.spec.runs import Operation
from headwater.storage.changes import LoadRecord, TableChange, TableState

if TYPE_CHECKING:
    from headwater.project.lineage import LineageCache
    from headwater.transformation import BuildContext


@dataclass(slots=True)
class Task:
    """One table's part of a run, from its start to its end."""

    table: TableName
    ordinal: int
    facts: Facts
    operation: Operation
    reason: str
    token: int
    versions: dict[TableName, int]
    labels: InputLabels
    state: TableState | None
    seconds: float = 0.0
    attempts: int = 1
    change: TableChange | None = None
    rows_rejected: int = 0
    rows_deleted: int = 0
    snapshot_id: int | None = None
    note: str = ""
    #: What is to be known beside its end.
    warning: str = ""
    columns_dropped: tuple[str, ...] = ()
    error: HeadwaterError | None = None
    #: Told after the commit that carries the change.
    on_committed: Callable[[], None] | None = None
    cleanups: list[Callable[[], None]] = field(default_factory=list)

    @property
    def failing(self) -> tuple[Verdict, ...]:
        """The verdicts that hold the table."""
        return tuple(verdict for verdict in self.change.verdicts if verdict.holds) if self.change else ()

    def close(self) -> None:
        """Lets go of what the task held open; safe to call twice."""
        while self.cleanups:
            self.cleanups.pop()()


class Connections:
    """The connections that work is being done on just now, so that a stop can interrupt them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, list[Connection]] = {}

    def add(self, connection: Connection) -> None:
        with self._lock:
            self._open.setdefault(threading.get_ident(), []).append(connection)

    def remove(self) -> None:
        with self._lock:
            self._open.pop(threading.get_ident(), None)

    def interrupt(self) -> None:
        with self._lock:
            for connection in itertools.chain.from_iterable(self._open.values()):
                connection.interrupt()


@dataclass(slots=True)
class Worker:
    """Does tasks, on whatever thread calls it."""

    session: Session
    options: RunOptions
    run_id: str
    started_at: datetime
    readings: Readings
    recorder: Recorder
    connections: Connections
    is_cancelled: Callable[[], bool]
    lineages: LineageCache
    #: All macros of the project, as CREATE MACRO statements.
    macros: tuple[str, ...] = ()

    def work(self, task: Task, decision: Load | Build) -> None:
        """Fills in the task's change, or its error. Raises only what is a bug."""
        started = time.monotonic()
        self.recorder.event("task_started", task.table, operation=task.operation, reason=task.reason)

        def attempt(number: int) -> None:
            task.attempts = number
            self._refuse_when_cancelled()
            match decision:
                case Load():
                    self._load(task)
                case Build(is_redefinition=True):
                    self._redefine(task)
                case Build():
                    self.session.engine.use_all_threads()
                    self._build(task)
            _note_drops(task)

        try:
            retried(attempt, on_retry=lambda error, number: self._told(task, error, number), is_cancelled=self.is_cancelled)
        except HeadwaterError as error:
            task.error = error
            self._discard(task)
        finally:
            self.connections.remove()
            task.seconds = time.monotonic() - started
        if task.error is None and task.change is not None:
            rows = task.change.staged.rows if task.change.staged else 0
            self.recorder.event("task_computed", task.table, rows=rows, seconds=round(task.seconds, 3))

    def _told(self, task: Task, error: HeadwaterError, attempt: int) -> None:
        self._discard(task)
        self.recorder.event("retry_scheduled", task.table, attempt=attempt, error=error.what, code=error.code)

    def _discard(self, task: Task) -> None:
        if task.change is not None:
            drop_staged(self.session, task.change)
        task.change = None
        task.close()

    def _refuse_when_cancelled(self) -> None:
        if self.is_cancelled():
            raise Interrupted("the run was stopped", state="nothing of this table was committed")

    # -- loads -------------------------------------------------------------------------------------------------------

    def _load(self, task: Task) -> None:
        project = self.session.project
        source, name, stream = project.stream(task.table)
        connector = open_connector(
            source,
            project_dir=project.directory,
            environ=project.environ,
            security=project.config.security,
            temp_dir=self.session.temp_directory,
            now=self.started_at,
        )
        task.cleanups.append(connector.close)
        context = LoadContext(
            run_id=self.run_id,
            load_id=f"{self.run_id}-{task.ordinal}",
            started_at=self.started_at,
            fingerprint=task.facts.fingerprint,
            state=task.state,
            token=task.token,
            full_refresh=self.options.is_full_refresh,
            reload_from=self.options.reload_from,
            allow_drop=self.options.allow_drop,
            on_progress=lambda rows, size: self.recorder.event("task_progressed", task.table, rows=rows, size_bytes=size),
            is_cancelled=self.is_cancelled,
            resolve=partial(resolved_stream, project_dir=project.directory, environ=project.environ, security=project.config.security),
        )
        with unspoken(source, [stream], project_dir=project.directory, environ=project.environ, security=project.config.security):
            prepared = prepare_load(self.session.lake, connector, source, name, context)
        task.rows_rejected = prepared.rows_rejected
        task.note = prepared.note
        change, checks = prepared.change, prepared.checks
        if change is None:
            if task.state is None or not is_described_otherwise(task.facts, task.state):
                task.close()
                return
            from headwater.orchestration.redefining import redefined

            task.reason = "its checks or descriptions changed"
            change, checks = replace(redefined(project, task.table, task.state, self._record(task)), token=task.token), stream.table_checks
        task.change = change
        task.change = self._judged(task, change, checks)
        if prepared.position is not None:
            position = prepared.position
            task.on_committed = lambda: connector.acknowledge(name, position)
        else:
            task.close()

    # -- builds ------------------------------------------------------------------------------------------------------

    def _build(self, task: Task) -> None:
        model = self.session.project.models[task.table]
        context = self._context(task, model)
        from headwater.transformation import build_model

        task.change = build_model(self.session.lake, self.readings.workspace, model, context)
        self._look_for_older_changes(task, model)
        task.change = self._judged(task, task.change, model.table_checks)

    def _context(self, task: Task, model: Model) -> BuildContext:
        """What the model's query is run with; its inputs stand in the workspace then."""
        project = self.session.project
        self.readings.define(task.facts.inputs)
        if self.macros:
            self.readings.create_macros(project.table_macros(task.table))
        from headwater.transformation import BuildContext

        return BuildContext(
            run_id=self.run_id,
            load_id=f"{self.run_id}-{task.ordinal}",
            started_at=self.started_at,
            fingerprint=task.facts.fingerprint,
            token=task.token,
            project_dir=project.directory,
            state=task.state,
            inputs=task.versions,
            lineage=self._lineage(model),
            full_refresh=self.options.is_full_refresh,
            interval=self.options.interval,
            allow_drop=self.options.allow_drop,
            clock=task.facts.clock,
            is_cancelled=self.is_cancelled,
            on_connection=self.connections.add,
        )

    def _look_for_older_changes(self, task: Task, model: Model) -> None:
        """Tells what changed before the bound an incremental build went on from; never fails the task."""
        before = task.state.load if task.state is not None else None
        if not isinstance(model.kind, IncrementalKind) or self.options.interval is not None or before is None:
            return
        from headwater.orchestration.older_rows import find_older_changes

        assert task.change is not None
        with self.readings.connection() as connection:
            self.connections.add(connection)
            try:
                found = find_older_changes(connection, self.readings, task.change, model.kind, task.versions, before.inputs)
            except QueryError as error:
                self.recorder.event("older_changes_unknown", task.table, error=error.what, code=error.code)
                return
            finally:
                self.connections.remove()
        task.warning = str(found or "")
        if found is not None:
            self.recorder.event("older_changes_found", task.table, tables=[str(table) for table in found.tables], command=found.command)

    def _redefine(self, task: Task) -> None:
        """Rows stay; the definition and the verdicts are today's, and columns that the query no longer gives go where that is allowed."""
        from headwater.orchestration.redefining import redefined

        assert task.state is not None
        model = self.session.project.models[task.table]
        change = replace(redefined(self.session.project, task.table, task.state, self._record(task)), token=task.token)
        if self.options.allow_drop and task.facts.kind != "view":
            from headwater.transformation import kept_columns

            kept = kept_columns(self.readings.workspace, model, self._context(task, model))
            change = replace(change, columns=tuple(c for c in change.columns if c.name.lower() in kept), allow_drop=True)
            is_said_otherwise = is_described_otherwise(task.facts, task.state) or are_labels_moved(task.state, task.facts.label_rules, task.labels)
            if not change.dropped_from(task.state.columns) and not is_said_otherwise:
                task.note = "unchanged, with no column to drop"
                return
        task.change = self._judged(task, change, model.table_checks)

    def _record(self, task: Task) -> LoadRecord:
        """The record of a task that reads nothing: what was read before still counts."""
        before = task.state.load if task.state is not None else None
        return LoadRecord(
            load_id=f"{self.run_id}-{task.ordinal}",
            operation=task.operation,
            run_id=self.run_id,
            started_at=self.started_at,
            inputs=before.inputs if before is not None else {},
            fingerprint=task.facts.fingerprint,
            clock=task.facts.clock,
            note="described and judged anew",
        )

    def _lineage(self, model: Model) -> Lineage | None:
        """What the model's SQL reads, column by column; None for Python models, which tell it when they run."""
        if model.language == "python":
            return None
        from headwater.project.lineage import respell

        return respell(self.lineages.derive(model.sql, self.readings.columns, macros=self.macros), self.session.project.graph.find)

    # -- checks ------------------------------------------------------------------------------------------------------

    def _judged(self, task: Task, change: TableChange, checks: Sequence[Check]) -> TableChange:
        """The change with its labels and verdicts; checks see the rows as they will be."""
        self._refuse_when_cancelled()
        change = labelled(change, task.state, task.facts.label_rules, task.labels)
        if not checks:
            return change
        from headwater.governance.checks import judge

        self.session.engine.use_all_threads()
        self.readings.define(task.facts.consulted)
        if change.definition.kind == "view":
            self.readings.moved(change)
            relation = self.readings.relation(task.table) or change.definition.sql
        else:
            relation = self.session.lake.future_sql(change)
        with self.readings.connection() as connection:
            self.connections.add(connection)
            try:
                verdicts = judge(
                    connection, relation, checks, staged_relation=_added_alone(change, task.state), resolve=self.readings.relation, table=task.table
                )
            finally:
                self.connections.remove()
        return replace(change, verdicts=change.verdicts + verdicts)


def _note_drops(task: Task) -> None:
    """Says in the load's record which columns the change drops."""
    change = task.change
    task.columns_dropped = change.dropped_from(task.state.columns) if change is not None and task.state is not None else ()
    if change is None or not task.columns_dropped:
        return
    dropped = f"dropped {', '.join(task.columns_dropped)}"
    task.reason = dropped if task.reason in ("", LOOKED_FOR_DROPS) else f"{task.reason}; {dropped}"
    task.change = replace(change, load=replace(change.load, note="; ".join(filter(None, (change.load.note, dropped)))))


def _added_alone(change: TableChange, state: TableState | None) -> str | None:
    """The staged rows, where judging them alone says the same as judging all: the rows before passed these very checks, and stay."""
    if change.staged is None or change.delete is not None or state is None or state.failed_checks or state.is_held:
        return None
    same_checks = state.definition.body.get("checks") == change.definition.body.get("checks")
    return change.staged.relation if same_checks and "checks" in state.definition.body else None


def drop_staged(session: Session, *changes: TableChange) -> None:
    """Frees what changes staged, when nobody reads it any more."""
    # the keys of a delete may be the very rows that are inserted: each once
    session.lake.drop_staged(*dict.fromkeys(staged for change in changes for staged in staged_of(change)))
