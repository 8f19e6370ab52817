"""What whoever calls on this machine may do: all that isn't a query. The table of commands and rights is in docs/users.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from headwater.api.rooms import Room, users_of
from headwater.errors import ApprovalRefused
from headwater.spec.names import OWNER_NAME

if TYPE_CHECKING:
    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.spec.names import TableName
    from headwater.spec.policies import Action
    from headwater.spec.runs import RunSummary
    from headwater.state import StateStore

_DEEDS: Final[Mapping[str, str]] = {"quarantine": "decide about quarantined rows of", "admin": "see who may do what with"}
#: The commands that show and do nothing: their rows have the action `look`, which is no use of the right to do it.
_LOOKS: Final = frozenset({"ls", "lint", "lineage", "compile", "status", "history", "logs", "snapshots"})


class Rights(Room):
    """The rights of the user whom HEADWATER_TOKEN says; without one it is the owner, who may do all, and nothing is opened to find out.

    What a user may do, and what not, is audited.
    """

    def __init__(self, loaded: LoadedProject, session: Callable[[], Session | None]) -> None:
        """`session` opens the lake where there is one: a denial may be by a label that a column has."""
        super().__init__(loaded)
        self._session = session

    def need_administrator(self, deed: str) -> None:
        """Raises ApprovalRefused unless whoever calls is the owner or an administrator. `deed` follows "may not"."""
        if self.is_owner:
            return
        with self._state() as state:
            self._note(state, self._administrator(state, deed), "admin", deed)

    def need(self, action: Action, command: str, tables: Callable[[], Iterable[TableName]], *, run: RunSummary | None = None) -> str:
        """The name of whoever calls `command`. Raises ApprovalRefused unless they may do `action` with all of the tables, or began the `run` that
        it shows."""
        if self.is_owner:
            return OWNER_NAME
        name, _, refused = self._decide(action, command, tables(), run=run)
        if refused:
            others = ", or an administrator" if action == "admin" else ", or who began that run" if run is not None else ""
            raise ApprovalRefused(
                f"{name} may not {_DEEDS.get(action, action)} {refused[0]}",
                expected=f"a grant of `{action}`{others}",
                state=None if command in _LOOKS else "nothing was changed",
            )
        return name

    def among(self, action: Action, command: str, tables: Iterable[TableName]) -> list[TableName]:
        """Those of the tables with which whoever calls may do `action`, in their order."""
        given = list(tables)
        if self.is_owner:
            return given
        allowed = self._decide(action, command, given, wants_all=False)[1]
        return [table for table in given if table in allowed]

    def _decide(
        self, action: Action, command: str, tables: Iterable[TableName], *, wants_all: bool = True, run: RunSummary | None = None
    ) -> tuple[str, frozenset[TableName], list[TableName]]:
        """Who calls, and what of the tables they may and may not, by name. With `wants_all`, one that they may not is a refusal of them all. A
        `run` that they began they may see in any case, by a token that is good for `action`."""
        from headwater.security.decisions import Resource, decide
        from headwater.storage.gate import resource_of

        session, names = self._session(), sorted(set(tables))
        found = session.lake.state() if session is not None else None
        with self._store(session) as state:
            caller = self._caller(state)
            policies, now = users_of(self._loaded, state).policies(), state.clock()
            allowed = set()
            for name in names:
                known = found.find(name) if found is not None else None
                resource = Resource(name) if known is None else resource_of(known)
                if decide(policies, caller, action, resource, at=now).is_allowed:
                    allowed.add(name)
            if run is not None and run.principal == caller.name and (caller.scope is None or action in caller.scope):
                names = sorted({task.table for task in run.tasks})
                allowed = set(names)
            refused = [name for name in names if name not in allowed]
            is_refused = bool(refused) and (wants_all or not allowed)
            told = names if is_refused or wants_all else sorted(allowed)
            noted = "look" if command in _LOOKS else action
            self._note(state, caller, noted, command, told, policies.version, decision="refused" if is_refused else "allowed")
        return caller.name, frozenset(allowed), refused

    @contextmanager
    def _store(self, session: Session | None) -> Iterator[StateStore]:
        if session is not None:
            yield session.state
        else:
            with self._state() as state:
                yield state
