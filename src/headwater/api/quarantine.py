"""Rows that broke their contract: looking at them, loading them after all, giving them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headwater.errors import UsageError
from headwater.spec.names import TableName

if TYPE_CHECKING:
    from headwater.orchestration import Session
    from headwater.spec.runs import RunSummary
    from headwater.storage import QuarantinedRow


class Quarantine:
    """`project.quarantine`. A row waits until it is replayed, dropped, or superseded by a newer one."""

    def __init__(self, session: Callable[[], Session], select: Callable[[Sequence[str], Sequence[str]], Sequence[TableName]]) -> None:
        self._session = session
        self._select = select

    def list(self, *selection: str, exclude: Sequence[str] = ()) -> list[QuarantinedRow]:
        """The rows waiting, of selected tables, oldest first. They hold values as they came. Raises UnknownSelection."""
        rows = self._rows()
        if not selection and not exclude:
            return [*rows]
        wanted = {table.key for table in self._select(selection, exclude)}
        return [row for row in rows if row.table.key in wanted]

    def _rows(self) -> Sequence[QuarantinedRow]:
        from headwater.storage import Access  # the lake with it

        return self._session().lake.quarantine(access=Access.owner())

    def show(self, id: str) -> QuarantinedRow:
        """One waiting row by its id or the beginning of it. Raises UsageError when none waits under it, or several begin so."""
        found = [row for row in self._rows() if row.id.startswith(id)]
        exact = [row for row in found if row.id == id]
        if len(exact or found) != 1:
            what = f"several waiting rows begin with {id!r}" if found else f"no row waits under {id!r}"
            raise UsageError(what, hint="headwater quarantine list --rows shows their ids")
        return (exact or found)[0]

    def replay(self, *ids: str, table: str | None = None) -> RunSummary:
        """Judges waiting rows by today's contract and loads those that keep it, in a load of its own; the position stays.

        Rows are given by their ids (of one table), or all of `table`. In merge and scd2 a newer row is never overwritten. Replaying twice changes
        nothing. Raises UsageError, UnknownSelection, TableNotFound, LeaseHeld.
        """
        from headwater.orchestration import verbs  # lake and state with them

        name, chosen = self._chosen(ids, table)
        return verbs.replay(self._session(), name, chosen)

    def drop(self, *ids: str, table: str | None = None) -> RunSummary:
        """Marks waiting rows as dropped: they are never loaded. Given as for `replay`."""
        from headwater.orchestration.dropping import drop_quarantined

        name, chosen = self._chosen(ids, table)
        return drop_quarantined(self._session(), name, chosen)

    def _chosen(self, ids: Sequence[str], table: str | None) -> tuple[TableName, Sequence[str] | None]:
        """The table meant, and the ids; None for all that wait for it."""
        if bool(ids) == (table is not None):
            raise UsageError("which rows?", expected="ids, or --table TABLE for all that wait for it", hint="headwater quarantine list --rows")
        if table is not None:
            return self._session().project.find(table), None
        rows = [self.show(id) for id in ids]
        tables = sorted({row.table for row in rows})
        if len(tables) > 1:
            raise UsageError("these rows wait for several tables", found=", ".join(map(str, tables)), hint="name the rows of one table at a time")
        return tables[0], [row.id for row in rows]
