"""Rows that broke their contract: looking at them, loading them after all, giving them up."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from headwater.errors import UsageError
from headwater.spec.names import TableName

if TYPE_CHECKING:
    from headwater.api.asking import Asking
    from headwater.api.rights import Rights
    from headwater.orchestration import Session
    from headwater.spec.runs import RunSummary
    from headwater.storage import QuarantinedRow

#: A row's id or the beginning of it; a selector of a table always has something else in it.
_ID = re.compile(r"[0-9a-f-]+")


class Quarantine:
    """`project.quarantine`. A row waits until it is replayed, dropped, or superseded by a newer one."""

    def __init__(
        self,
        session: Callable[[], Session],
        asking: Callable[[], Asking],
        rights: Rights,
        select: Callable[[Sequence[str], Sequence[str]], Sequence[TableName]],
    ) -> None:
        self._session = session
        self._asking = asking
        self._rights = rights
        self._select = select

    def list(self, *selection: str, exclude: Sequence[str] = ()) -> list[QuarantinedRow]:
        """The rows waiting, of selected tables, oldest first. They hold values as they came. Raises UnknownSelection."""
        rows = self._rows()
        if not selection and not exclude:
            return [*rows]
        wanted = {table.key for table in self._select(selection, exclude)}
        return [row for row in rows if row.table.key in wanted]

    def _rows(self) -> Sequence[QuarantinedRow]:
        return self._session().lake.quarantine(access=self._asking().of_caller())

    def show(self, id: str) -> QuarantinedRow:
        """One waiting row by its id or the beginning of it. Raises UsageError when none waits under it, or several begin so."""
        found = [row for row in self._rows() if row.id.startswith(id)]
        exact = [row for row in found if row.id == id]
        if len(exact or found) != 1:
            what = f"several waiting rows begin with {id!r}" if found else f"no row waits under {id!r}"
            raise UsageError(what, hint="headwater quarantine list --rows shows their ids")
        return (exact or found)[0]

    def replay(self, *which: str, exclude: Sequence[str] = (), table: str | None = None) -> RunSummary:
        """Judges waiting rows by today's contract and loads those that keep it, in a load of its own; positions stay.

        Rows are given by their ids (or the beginnings of them), or as all that wait for selected tables, or for `table`. In merge and scd2 a newer
        row is never overwritten. One commit for all; replaying twice changes nothing. Raises UsageError, UnknownSelection, TableNotFound, LeaseHeld.
        """
        from headwater.orchestration import verbs  # lake and state with them

        return verbs.replay(*self._chosen("quarantine replay", which, exclude, table))

    def drop(self, *which: str, exclude: Sequence[str] = (), table: str | None = None) -> RunSummary:
        """Marks waiting rows as dropped: they are never loaded. Given as for `replay`."""
        from headwater.orchestration.dropping import drop_quarantined

        return drop_quarantined(*self._chosen("quarantine drop", which, exclude, table))

    def _chosen(
        self, command: str, which: Sequence[str], exclude: Sequence[str], table: str | None
    ) -> tuple[Session, Mapping[TableName, Sequence[str] | None]]:
        """The session of who calls, and ids by the table they wait for; None for all that wait for it. Raises ApprovalRefused."""
        chosen, session = self._found(which, exclude, table), self._session()
        session.principal = self._rights.need("quarantine", command, lambda: chosen)
        return session, chosen

    def _found(self, which: Sequence[str], exclude: Sequence[str], table: str | None) -> Mapping[TableName, Sequence[str] | None]:
        ids = [text for text in which if _ID.fullmatch(text)]
        selection = [text for text in which if not _ID.fullmatch(text)]
        if (bool(ids), bool(selection or exclude), table is not None).count(True) != 1:
            raise UsageError(
                "which rows?",
                expected="ids, or selectors (or --table TABLE) for all that wait for those tables",
                hint="headwater quarantine list --rows",
            )
        if table is not None:
            return {self._session().project.find(table): None}
        if ids:
            chosen: dict[TableName, list[str]] = {}
            for row in map(self.show, dict.fromkeys(ids)):
                chosen.setdefault(row.table, []).append(row.id)
            return {name: tuple(dict.fromkeys(found)) for name, found in chosen.items()}
        session = self._session()
        streams = [name for name in self._select(selection, exclude) if session.project.graph.nodes[name].kind == "stream"]
        if not streams:
            raise UsageError("no stream is selected, and only streams have rows in quarantine", hint="headwater quarantine list")
        waiting = {row.table.key for row in session.lake.quarantine()}
        return dict.fromkeys([name for name in streams if name.key in waiting] or streams)
