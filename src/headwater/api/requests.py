"""What people get for a time: requests for access, and the review of rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from headwater.api.rooms import Room, users_of
from headwater.errors import ApprovalRefused, UsageError
from headwater.spec._base import parse_duration
from headwater.spec.names import TableName

if TYPE_CHECKING:
    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.security.decisions import Resource
    from headwater.security.principals import Principal
    from headwater.security.requests import AccessRequest, AccessRequests, RequestState
    from headwater.security.review import Review
    from headwater.spec.policies import Action
    from headwater.state import StateStore


class RequestsRoom(Room):
    """`project.requests`: access for a time. The caller is whoever HEADWATER_TOKEN says, else the owner."""

    def __init__(
        self,
        loaded: LoadedProject,
        session: Callable[[], Session],
        session_if_any: Callable[[], Session | None],
        aware: Callable[[date | datetime], datetime],
    ) -> None:
        super().__init__(loaded)
        self._session = session
        self._session_if_any = session_if_any
        self._aware = aware

    def _requests(self, state: StateStore) -> AccessRequests:
        from headwater.security.requests import AccessRequests

        return AccessRequests(state, self._loaded.environment)

    def request(
        self,
        table: str,
        *,
        until: str | date | datetime,
        reason: str,
        user: str | None = None,
        action: Action | None = None,
        role: str | None = None,
        columns: Sequence[str] = (),
        unmask: Sequence[str] = (),
        purpose: Sequence[str] = (),
    ) -> AccessRequest:
        """Asks for access to a table: an action (without role and action: `select`), or what a role may do with it.

        Raises UsageError, UnknownSelection. `user` is whom it is for: the caller, or whom the owner says. `until` is a time, or a duration from now.
        """
        if role is not None and role not in self._loaded.policies.roles:
            raise UsageError(f"there is no role {role!r}", expected=", ".join(self._loaded.policies.roles) or "a role of policies/*.yaml")
        with self._state() as state:
            caller = self._caller(state)
            if caller.kind == "owner" and user is None:
                raise UsageError("whom is the access for?", expected="--user NAME, or a user's own token in HEADWATER_TOKEN")
            name = self._loaded.find(table)
            self._refuse_unknown(name, columns, unmask)
            asked = self._requests(state).request(
                user or caller.name,
                name,
                by=caller,
                until=self._moment(until, state.clock()),
                reason=reason,
                action=action if action is not None or role is not None else "select",
                role=role,
                columns=columns,
                unmask=unmask,
                purpose=purpose,
            )
            self._note(state, caller, "request", f"{asked.id} for {asked.user}: {asked.wanted} until {asked.until.isoformat()}", [name])
            return asked

    def _refuse_unknown(self, table: TableName, columns: Sequence[str], labels: Sequence[str]) -> None:
        """Raises UsageError for a column or label that the table hasn't. Nothing is said of a table that isn't in the lake yet."""
        from headwater.spec.policies import covers
        from headwater.storage.gate import resource_of

        session = self._session_if_any() if columns or labels else None
        state = session.lake.state().find(table) if session is not None else None
        if state is None or state.is_retired:
            return
        # of what readers see, and of what they will
        having = [(column.name, column.labels) for column in resource_of(state).columns] + [(column.name, column.labels) for column in state.columns]
        known = {name.lower() for name, _ in having}
        for column in columns:
            if column.lower() not in known:
                raise UsageError(f"{table} has no column {column!r}", state="nothing was asked for")
        carried = {label for _, given in having for label in given}
        for label in labels:
            is_column = label.lower() in {f"{table}.{name}".lower() for name in known}
            if not is_column and not any(covers(label, one) for one in carried):
                raise UsageError(f"no column of {table} has the label {label!r}", state="nothing was asked for")

    def denials(self, given: AccessRequest) -> list[str]:
        """What still keeps the user from what was approved for them: denials, which beat every grant, each with what it takes away."""
        from headwater.security.decisions import Resource, decide
        from headwater.storage.gate import resource_of

        session = self._session_if_any()
        known = session.lake.state().find(given.table) if session is not None else None
        resource = Resource(given.table) if known is None else resource_of(known)
        purpose = given.purpose[0] if given.purpose else None
        with self._state() as state:
            users = users_of(self._loaded, state)
            rules, user = users.policies(), users.find(given.user)
            role = rules.roles.get(given.group)
            actions = dict.fromkeys(grant.action for grant in role.grants) if role is not None else {}
            decided = [decide(rules, user, action, resource, at=state.clock(), purpose=purpose) for action in actions]
        return list(dict.fromkeys(f"{one.what}: {one.effect}" for decision in decided for one in decision.reasons if one.what.startswith("deny ")))

    def approve(self, id: str, *, until: str | date | datetime | None = None) -> AccessRequest:
        """Gives what was asked for, `until` then at most. Raises ApprovalRefused, UsageError."""
        with self._state() as state:
            caller = self._caller(state)
            ends = None if until is None else self._moment(until, state.clock())
            with self._refusal_noted(state, caller, "approve", id):
                given = self._requests(state).approve(id, by=caller, policies=users_of(self._loaded, state).policies(), until=ends)
            self._note(state, caller, "approve", f"{given.id} for {given.user} until {given.until.isoformat()}", [given.table])
            return given

    def revoke(self, id: str) -> AccessRequest:
        """Takes access back, or refuses it. Raises ApprovalRefused, UsageError."""
        from headwater.security.requests import told_of_revocation

        with self._state() as state:
            caller = self._caller(state)
            with self._refusal_noted(state, caller, "revoke", id):
                taken = self._requests(state).revoke(id, by=caller, policies=users_of(self._loaded, state).policies())
            self._note(state, caller, "revoke", told_of_revocation(taken), [taken.table])
            return taken

    @contextmanager
    def _refusal_noted(self, state: StateStore, caller: Principal, action: str, id: str) -> Iterator[None]:
        """Notes it when the caller may not decide about a request."""
        try:
            yield
        except ApprovalRefused:
            asked = self._requests(state).find(id)
            self._note(state, caller, action, f"{asked.id} for {asked.user}", [asked.table], decision="refused")
            raise

    def list(self, *, user: str | None = None, state: RequestState | None = None) -> Sequence[AccessRequest]:
        """Requests, the oldest first; a user who isn't an administrator sees their own and those they may decide."""
        with self._state() as store:
            caller = self._caller(store)
            found = self._requests(store).list(user=user, state=state)
            if caller.may_administer:
                return found
            from headwater.security.requests import may_decide

            rules, now = users_of(self._loaded, store).policies(), store.clock()
            return [one for one in found if one.user == caller.name or may_decide(rules, caller, one.table, at=now)]

    def review(self, *, days: int = 90) -> Review:
        """Which rights nobody used in the last `days`, by the audit, and the smaller policies that would have served all that was asked.

        Proved by deciding every audited query again. Raises UsageError, ApprovalRefused.
        """
        from headwater.security.audit import AuditFilter, AuditLog
        from headwater.security.review import review, uses_of
        from headwater.storage.gate import resource_of

        if days < 1:
            raise UsageError("a review looks back at least a day", found=str(days))
        session = self._session()
        caller = self._administrator(session.state, "review access", or_by_grant=True)
        self._note_of_user(session.state, caller, "admin", "review access")
        records = [
            row.record for row in AuditLog(session.state, self._loaded.environment).rows(AuditFilter(since=session.clock() - timedelta(days=days)))
        ]
        known = users_of(self._loaded, session.state).list()
        lake = session.lake.state()

        def seen(table: TableName) -> Resource | None:
            found = lake.find(table)
            return None if found is None else resource_of(found)

        uses = uses_of(
            records,
            self._loaded.policies,
            admins=frozenset(one.name for one in known if one.is_admin),
            services=frozenset(one.name for one in known if one.kind == "service"),
        )
        return review(self._loaded.policies, uses, seen, queries=len({record.query_id for record in records}))

    def _moment(self, text: str | date | datetime, now: datetime) -> datetime:
        if isinstance(text, str):
            try:
                return now + parse_duration(text)
            except ValueError:
                pass
            try:
                text = datetime.fromisoformat(text)
            except ValueError:
                raise UsageError(f"{text!r} is neither a time nor a duration", expected="such as 2026-12-31, 2026-12-31T18:00 or '8 hours'") from None
        return self._aware(text)
