"""Runs of exports in the state store: how far each got. No value of a row stands here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from headwater.errors import ExportTakenOver
from headwater.state import tables as t
from headwater.state.store import StateStore

ExportStatus = Literal["running", "succeeded", "failed", "crashed"]
#: Runs of one export that are kept; their refusals go with them.
_KEPT: Final = 200


@dataclass(frozen=True, slots=True)
class ExportRun:
    """One run of an export that had something to send. `acknowledged` are batches; `inserted`, `updated`, `deleted` and `dead` rows, so far.

    `id` is the plan's in the lake. `epoch` is the same for tries of one difference, and higher for each later one. `target` is a hash of where it
    went. `columns` are as at the destination.
    """

    id: str
    name: str
    status: ExportStatus
    epoch: int
    snapshot_id: int | None
    principal: str
    target: str
    columns: tuple[str, ...]
    batches: int
    started_at: datetime
    acknowledged: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    dead: int = 0
    finished_at: datetime | None = None
    error_code: str | None = None
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was refused: its place in the plan."""

    ordinal: int
    reason: str
    at: datetime


class ExportRuns:
    """The runs of exports of one environment. Every write is one transaction."""

    def __init__(self, state: StateStore, environment: str) -> None:
        self._state = state
        self._environment = environment

    def list(self, name: str | None = None, *, limit: int = 20) -> list[ExportRun]:
        """The newest runs, newest first."""
        r = t.export_runs.c
        query = sa.select(t.export_runs).where(r.environment == self._environment, *([] if name is None else [r.name == name]))
        query = query.order_by(r.started_at.desc(), r.epoch.desc()).limit(limit)
        return self._state.read(lambda connection: [_read(row) for row in connection.execute(query).mappings()])

    def newest(self, name: str) -> ExportRun | None:
        found = self.list(name, limit=1)
        return found[0] if found else None

    def refusals(self, plan_id: str) -> tuple[Refusal, ...]:
        c = t.export_refusals.c
        query = sa.select(c.ordinal, c.reason, c.at).where(c.plan_id == plan_id).order_by(c.ordinal)
        return self._state.read(lambda connection: tuple(Refusal(*row) for row in connection.execute(query)))

    def take_over(self, name: str, former: str) -> None:
        """The runs of an export that is called otherwise now are this one's, unless it has runs of its own."""
        r = t.export_runs.c

        def work(connection: sa.Connection) -> None:
            here = r.environment == self._environment
            if connection.execute(sa.select(r.id).where(here, r.name == name).limit(1)).first() is None:
                connection.execute(sa.update(t.export_runs).where(here, r.name == former).values(name=name))

        self._state.write(work)

    def begin(self, run: ExportRun) -> None:
        """Writes down a run that is about to send. Those before it that never ended are marked as crashed: from here on they can't go on."""
        r = t.export_runs.c
        row = {name: getattr(run, name) for name in ExportRun.__slots__} | {"environment": self._environment, "columns": list(run.columns)}
        ours = (r.environment == self._environment) & (r.name == run.name)

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.update(t.export_runs).where(ours, r.status == "running").values(status="crashed", finished_at=run.started_at))
            connection.execute(sa.insert(t.export_runs), row)
            old = connection.execute(sa.select(r.id).where(ours).order_by(r.started_at.desc(), r.epoch.desc()).offset(_KEPT)).scalars().all()
            if old:
                connection.execute(sa.delete(t.export_refusals).where(t.export_refusals.c.plan_id.in_(old)))
                connection.execute(sa.delete(t.export_runs).where(r.id.in_(old)))

        self._state.write(work)

    def acknowledge(self, run: ExportRun, refused: Sequence[Refusal]) -> None:
        """Writes how far the run got, with the rows of its newest batch that were refused. Raises ExportTakenOver when another went on since."""

        def work(connection: sa.Connection) -> None:
            values = {name: getattr(run, name) for name in ("acknowledged", "inserted", "updated", "deleted", "dead")}
            self._update(connection, run.id, values, run.name)
            if refused:
                rows = [{"plan_id": run.id, "ordinal": one.ordinal, "reason": one.reason, "at": one.at} for one in refused]
                connection.execute(sa.insert(t.export_refusals), rows)

        self._state.write(work)

    def finish(self, run: ExportRun) -> None:
        """Writes how a run ended. Raises ExportTakenOver."""
        names = ("status", "finished_at", "error_code", "error_text")
        self._state.write(lambda connection: self._update(connection, run.id, {name: getattr(run, name) for name in names}, run.name))

    def _update(self, connection: sa.Connection, id: str, values: dict[str, Any], name: str) -> None:
        which = (t.export_runs.c.id == id) & (t.export_runs.c.status == "running")
        if connection.execute(sa.update(t.export_runs).where(which).values(values)).rowcount != 1:
            raise ExportTakenOver(
                f"another run of the export {name} went on", state="what this one sent will be compared again", hint="headwater export status"
            )


def _read(row: sa.RowMapping) -> ExportRun:
    values = {name: row[name] for name in ExportRun.__slots__}
    return ExportRun(**{**values, "columns": tuple(values["columns"])})
