"""One run of one export: what its principal sees now, compared with what was acknowledged, and the difference sent."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, cast

from headwater.destinations import Batch, Column, Destination, Shape, target_id
from headwater.destinations.destination import Operation
from headwater.errors import ExportRefused, ExportTakenOver, HeadwaterError, TableNotFound, TooManyDead
from headwater.exporting.delivering import Delivery, Pace
from headwater.project.problems import nearest
from headwater.security.audited import Audited, Outcome
from headwater.spec.counting import plural
from headwater.spec.exports import FEW_DEAD, FEW_DELETES, Export
from headwater.state.exports import ExportRun, ExportRuns, Refusal
from headwater.storage import Access, Difference, ExportColumn, Lake, Progress, Refused, Rows, boundaries, read_sql
from headwater.storage.exported import Comparison

ExportOutcome = Literal["succeeded", "unchanged", "failed", "dry run"]
_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class ExportResult:
    """How one run of an export came out. Rows are counted as acknowledged, of a dry run as they would be sent; `dead` are those refused in this run,
    `waiting` all dead letters. `columns` are as at the destination. `snapshot_id` is what was read."""

    name: str
    status: ExportOutcome
    destination: str
    snapshot_id: int | None = None
    rows: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    dead: int = 0
    waiting: int = 0
    batches: int = 0
    columns: tuple[str, ...] = ()
    seconds: float = 0.0
    is_full: bool = False
    error: HeadwaterError | None = None


@dataclass(frozen=True, slots=True)
class ExportJob:
    """All that a run works with. The caller holds the export's lease; `is_ours` says whether it still does. `id` names the run and its plan.

    `known_as` is the name under which what it acknowledged is kept, where that isn't its own yet: of a dry run alone, which moves nothing.
    `access` is the export's principal's, for the action `export`. `secret` is behind the hashes of rows.
    """

    id: str
    export: Export
    lake: Lake
    access: Access
    runs: ExportRuns
    destination: Destination
    secret: str
    clock: Callable[[], datetime]
    macros: Iterable[str] = ()
    is_ours: Callable[[], bool] = lambda: True
    on_progress: Callable[[ExportRun], None] = lambda run: None
    sleep: Callable[[float], None] = time.sleep
    is_full: bool = False
    dry_run: bool = False
    allow_deletes: bool = False
    known_as: str | None = None


def run_export(job: ExportJob) -> ExportResult:
    """Sends what changed since the last acknowledged batch, and acknowledges each batch durably.

    Killed at any instant, the next run goes on: nothing is lost, and what is sent twice changes nothing. Raises ExportRefused, ExportKeyInvalid,
    TooManyDead, ExportTakenOver, DestinationUnreachable, DestinationRefused, and what reading and committing raise. What was acknowledged before
    stays so.
    """
    return _Run(job).run()


class _Run:
    def __init__(self, job: ExportJob) -> None:
        self._job = job
        self._export = job.export
        known_as = job.known_as or job.export.name
        self._exported = job.lake.exported(known_as)
        self._started = time.monotonic()
        self._delivery = Delivery(job.destination, Pace(job.export.rate, sleep=job.sleep), job.export.patience.total_seconds())
        self._newest = job.runs.newest(known_as)
        self._target = target_id(job.destination)
        # whatever is at another place isn't what was acknowledged here
        self._is_full = job.is_full or (self._newest is not None and self._newest.target != self._target)

    def run(self) -> ExportResult:
        job = self._job
        columns = self._columns()
        key = self._key(columns)
        targets = tuple(column.target for column in columns)
        shape = Shape(tuple(Column(column.target, column.type) for column in columns), tuple(_target(columns, name) for name in key))
        job.destination.prepare(shape, dry_run=job.dry_run)
        snapshot = job.lake.head()
        sql = f"-- export {self._export.name} to {self._export.to}\n{read_sql(self._export.table_name.sql, columns)}"
        with (
            job.lake.read_as(job.access, sql, at=snapshot, macros=job.macros) as reading,
            self._exported.compare(
                reading.batches(),
                columns,
                key,
                job.secret,
                progress=self._progress(),
                batch_rows=self._export.batch_rows,
                with_deletes=self._export.deletes == "delete",
                is_full=self._is_full,
            ) as comparison,
        ):
            reading.close()
            difference = comparison.difference
            self._refuse_vanished(difference)
            result = ExportResult(
                self._export.name,
                "dry run" if job.dry_run else "unchanged",
                self._export.to,
                snapshot,
                difference.rows,
                waiting=difference.dead,
                columns=targets,
                is_full=self._is_full,
            )
            if job.dry_run:
                return replace(
                    result,
                    inserted=difference.inserts,
                    updated=difference.updates,
                    deleted=difference.deletes,
                    batches=difference.batches,
                    seconds=self._seconds,
                )
            was_broken_off = self._newest is not None and self._newest.status == "running"
            if not difference.changes and not comparison.has_rest and not was_broken_off:
                comparison.keep_restated()
                self._audit(0, f"nothing of {plural(difference.rows, 'row')} changed", targets)
                return replace(result, seconds=self._seconds)
            run = self._send(comparison, shape, snapshot, targets)
        return replace(
            result,
            status="succeeded",
            inserted=run.inserted,
            updated=run.updated,
            deleted=run.deleted,
            dead=run.dead,
            waiting=difference.dead + run.dead,
            batches=run.batches,
            seconds=self._seconds,
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    # -- what is sent ------------------------------------------------------------------------------------------------

    def _columns(self) -> list[ExportColumn]:
        """The columns that go out, as the principal sees them. Raises ExportRefused."""
        export, who = self._export, self._job.access.principal.name
        try:
            seen = self._job.lake.describe_as(self._job.access, f"SELECT * FROM {export.table_name.sql}", macros=self._job.macros).columns
        except TableNotFound as error:
            raise ExportRefused(
                f"{who} can't export {export.table}",
                expected=f"a grant of `export` on {export.table}, and something of it published",
                found=error.what if self._job.access.is_owner else None,
                state="nothing was sent; what was sent before stays at the destination",
                hint=f"headwater status {export.table}; headwater access explain {who} {export.table} --action export",
            ) from None
        by_name = {name.lower(): (name, type_name) for name, type_name in seen}
        if not export.columns:
            columns = [ExportColumn(name, name, type_name) for name, type_name in seen]
            now = {column.target for column in columns}
            gone = [name for name in (self._newest.columns if self._newest is not None else ()) if name not in now]
            if gone and not self._job.is_full:
                raise ExportRefused(
                    f"{who} doesn't see {', '.join(gone)} of {export.table} any more, and the destination has it from before",
                    state="nothing was sent",
                    hint="take it away there, then run once with --full; or name what is to be sent under `columns:`",
                )
            return columns
        columns = []
        for name, target in export.columns.items():
            found = by_name.get(name.lower())
            if found is None:
                guess = nearest(name, [one for one, _ in by_name.values()])
                raise ExportRefused(
                    f"{who} sees no column {name} in {export.table}",
                    expected=f"one of {', '.join(one for one, _ in by_name.values())}",
                    state="nothing was sent",
                    hint=f"did you mean {guess}?" if guess else f"headwater access explain {who} {export.table} --action export",
                )
            columns.append(ExportColumn(found[0], target, found[1], export.former_columns.get(target)))
        return columns

    def _key(self, columns: list[ExportColumn]) -> tuple[str, ...]:
        key = self._export.key or next(
            (t.primary_key for t in self._job.lake.tables_as(self._job.access) if t.name.key == self._export.table_name.key), ()
        )
        known = {column.name.lower(): column.name for column in columns}
        missing = [name for name in key if name.lower() not in known]
        if not key or missing:
            raise ExportRefused(
                f"the export {self._export.name} has no key" if not key else f"the key of the export {self._export.name} isn't among its columns",
                expected="`key:` with the columns that identify a row",
                found=", ".join(missing) or None,
                state="nothing was sent",
            )
        return tuple(known[name.lower()] for name in key)

    def _progress(self) -> Progress | None:
        if self._newest is None:
            return None
        refused = tuple(Refused(one.ordinal, one.reason, one.at) for one in self._job.runs.refusals(self._newest.id))
        return Progress(self._newest.id, self._newest.acknowledged, refused)

    def _refuse_vanished(self, difference: Difference) -> None:
        export = self._export
        if export.deletes == "fail" and difference.vanished:
            verb = "is" if difference.vanished == 1 else "are"
            raise ExportRefused(
                f"{plural(difference.vanished, 'row')} of {export.table} {verb} gone, and `deletes: fail` forbids it",
                state="nothing was sent",
                hint="find out why; then set `deletes:` to delete or ignore",
            )
        share = difference.deletes / max(difference.known, 1)
        if difference.deletes > FEW_DELETES and share > export.max_deletes and not self._job.allow_deletes and not self._job.dry_run:
            raise ExportRefused(
                f"the export {export.name} would delete {difference.deletes:,} of the {difference.known:,} rows at its destination",
                expected=f"up to {export.max_deletes:.0%} (`max_deletes`)",
                state="nothing was sent",
                hint=f"headwater export run {export.name} --dry-run; if that is meant, run with --allow-deletes",
            )

    # -- sending -----------------------------------------------------------------------------------------------------

    def _send(self, comparison: Comparison, shape: Shape, snapshot: int, targets: tuple[str, ...]) -> ExportRun:
        job, difference = self._job, comparison.difference
        started_at = job.clock()
        run = ExportRun(
            id=job.id,
            name=self._export.name,
            status="running",
            epoch=self._epoch(difference, started_at),
            snapshot_id=snapshot,
            principal=job.access.principal.name,
            target=self._target,
            columns=targets,
            batches=difference.batches,
            started_at=started_at,
        )
        counts = f"{difference.inserts} to insert, {difference.updates} to update, {difference.deletes} to delete"
        self._audit(difference.changes, counts, targets)
        comparison.commit_plan(run.id)
        job.runs.begin(run)
        boundaries.reached("export.planned")
        refused: list[Refused] = []
        try:
            for rows in comparison.batches(as_text=job.destination.takes_text):
                run = self._deliver(run, rows, shape, difference, refused, comparison)
                job.on_progress(run)
            self._exported.finish_plan(Progress(run.id, run.acknowledged, tuple(refused)))
            boundaries.reached("export.folded")
            run = replace(run, status="succeeded", finished_at=job.clock())
            job.runs.finish(run)
        except ExportTakenOver:
            raise
        except HeadwaterError as error:
            self._break_off(run, refused, error, targets)
            raise
        self._audit(run.inserted + run.updated + run.deleted, f"{run.dead} refused", targets)
        return run

    def _break_off(self, run: ExportRun, refused: list[Refused], error: HeadwaterError, targets: tuple[str, ...]) -> None:
        """Writes down how far it got. Refused rows are folded in, so that they are seen; else the plan stays as it is, and a next try is the same."""
        if refused:
            newest = self._job.runs.newest(run.name)
            self._exported.finish_plan(Progress(run.id, newest.acknowledged if newest is not None else 0, tuple(refused)))
        self._job.runs.finish(replace(run, status="failed", finished_at=self._job.clock(), error_code=error.code, error_text=error.what))
        self._audit(run.inserted + run.updated + run.deleted, "broken off", targets, "failed", error)

    def _epoch(self, difference: Difference, now: datetime) -> int:
        """Milliseconds, so that no later difference has an earlier one's even when the state store was lost; a rest keeps that of the first try."""
        newest = self._newest
        if newest is not None and difference.continues and newest.target == self._target and not self._job.is_full:
            return newest.epoch
        return max(int(now.timestamp() * 1000), newest.epoch + 1 if newest is not None else 0)

    def _deliver(self, run: ExportRun, rows: Rows, shape: Shape, difference: Difference, refused: list[Refused], comparison: Comparison) -> ExportRun:
        """Sends one batch and acknowledges it; gives the run as it is then. Rows it refuses are added to `refused`."""
        job = self._job
        most_dead = max(FEW_DEAD, int(self._export.max_dead * max(difference.rows, difference.known)))
        if not job.is_ours():
            raise ExportTakenOver(f"another run of the export {run.name} went on", state="what was acknowledged before stays so")
        here: list[Refusal] = []
        for refusal in self._delivery.deliver(_batch(rows, run, shape)):
            here.append(Refusal(rows.first + refusal.index, refusal.reason, job.clock()))
            refused.append(Refused(here[-1].ordinal, here[-1].reason, here[-1].at))
            if difference.dead + run.dead + len(here) > most_dead:
                job.runs.acknowledge(replace(run, dead=run.dead + len(here)), here)
                raise TooManyDead(
                    f"the destination of the export {run.name} refuses more rows than it may",
                    expected=f"up to {plural(most_dead, 'dead letter')}",
                    found=refusal.reason,
                    state="what was acknowledged before stays so",
                    hint=f"headwater export dead list {run.name} says why",
                )
        boundaries.reached("export.sent")
        taken = _counts(rows, {one.ordinal - rows.first for one in here})
        run = replace(
            run,
            acknowledged=run.acknowledged + 1,
            inserted=run.inserted + taken["insert"],
            updated=run.updated + taken["update"],
            deleted=run.deleted + taken["delete"],
            dead=run.dead + len(here),
        )
        try:
            job.runs.acknowledge(run, here)
        except ExportTakenOver:
            comparison.doubt(rows.batch)
            raise
        boundaries.reached("export.acknowledged")
        return run

    def _audit(self, rows: int, what: str, targets: tuple[str, ...], decision: Outcome = "allowed", error: HeadwaterError | None = None) -> None:
        """Raises what the audit raises: then nothing leaves."""
        access = self._job.access
        if access.audit is None:
            return
        principal = access.principal
        table = str(self._export.table_name)
        named = self._export.columns or {name: name for name in targets}
        access.audit(
            Audited(
                at=self._job.clock(),
                query_id=access.query_id,
                principal=principal.name,
                action="export",
                decision=decision,
                door=principal.door,
                purpose=principal.purpose,
                sql=f"export {self._export.name} to {self._export.to}: {what}",
                tables=(table,),
                columns=tuple(f"{table}.{name}" for name in named),
                rows=rows,
                error=None if error is None else str(error),
                policy_version=access.policies.version,
                seconds=self._seconds,
                groups=tuple(sorted(principal.groups)),
                asked_by=principal.asked_by,
            )
        )


def _target(columns: list[ExportColumn], name: str) -> str:
    return next(column.target for column in columns if column.name == name)


def _batch(rows: Rows, run: ExportRun, shape: Shape) -> Batch:
    """The rows as the destination gets them; ids are of the epoch and what is in them, so that a repeat has the same and nothing else has."""
    begin = hashlib.sha256(f"{run.name}\0{run.target}\0{run.epoch}".encode())
    whole = begin.copy()
    ids = []
    for mark in rows.marks:
        whole.update(mark.encode())
        one = begin.copy()
        one.update(mark.encode())
        ids.append(one.hexdigest()[:40])
    operations = cast("tuple[Operation, ...]", rows.operations)
    columns = shape.key_columns if operations[0] == "delete" else shape.columns
    table = rows.table
    if operations[0] == "delete":  # as the key has them, they come; as the table has them, they go
        order = {name: index for index, name in enumerate(shape.key)}
        table = table.select([order[column.name] for column in columns])
    return Batch(whole.hexdigest()[:40], tuple(ids), rows.batch, f"{run.epoch:0{_DIGITS}}", operations, columns, table)


def _counts(rows: Rows, refused: set[int]) -> dict[str, int]:
    counts = {"insert": 0, "update": 0, "delete": 0}
    for index, operation in enumerate(rows.operations):
        if index not in refused:
            counts[operation] += 1
    return counts
