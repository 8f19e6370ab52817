"""Access for a time: asked for with a reason, approved by somebody else, over by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from headwater.errors import ApprovalRefused, UsageError
from headwater.security.decisions import Resource, decide
from headwater.security.principals import APPROVED, Principal
from headwater.security.tokens import new_id
from headwater.spec.names import TableName
from headwater.spec.policies import Action, Deny, Grant, Group, Network, Policies, Role, TablePattern, instant
from headwater.state import StateStore
from headwater.state import tables as t
from headwater.state.rows import written

#: What can be had for a time. Giving rights, reading the audit and administering aren't on one table, and would last longer than the access itself.
REQUESTABLE: Final[tuple[Action, ...]] = ("select", "export", "run", "publish", "quarantine", "detokenize")
RequestState = Literal["waiting", "approved", "ended", "revoked"]
DECIDERS: Final[tuple[Action, ...]] = ("approve", "admin")
_DECIDING: Final = 7_203_421
_IN_FORCE: Final = (
    sa.select(t.access_requests)
    .where(
        t.access_requests.c.environment == sa.bindparam("of_environment"),
        t.access_requests.c.approved_at.is_not(None),
        t.access_requests.c.revoked_at.is_(None),
        t.access_requests.c.until > sa.bindparam("at"),
    )
    .order_by(t.access_requests.c.id)
)


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Who wants to do what with a table, until when and why: an action, or what a role may do with that table. `state` is as of when it was read."""

    id: str
    user: str
    table: TableName
    action: Action | None
    role: str | None
    columns: tuple[str, ...]
    unmask: tuple[str, ...]
    purpose: tuple[str, ...]
    until: datetime
    reason: str
    requested_by: str
    requested_at: datetime
    state: RequestState
    approved_by: str | None = None
    approved_at: datetime | None = None
    revoked_by: str | None = None
    revoked_at: datetime | None = None

    @property
    def group(self) -> str:
        """The group, and the role, that effective policies hold for it."""
        return f"{APPROVED}{self.id}"

    @property
    def wanted(self) -> str:
        """All that is asked for but the table and the time: `select, columns id, email, pii.email in clear, for churn`."""
        parts = [f"role {self.role}" if self.action is None else self.action]
        parts += [f"columns {', '.join(self.columns)}"] if self.columns else []
        parts += [f"{', '.join(self.unmask)} in clear"] if self.unmask else []
        parts += [f"for {' or '.join(self.purpose)}"] if self.purpose else []
        return ", ".join(parts)


class AccessRequests:
    """The requests of one environment. Thread-safe, and safe beside other processes."""

    def __init__(self, state: StateStore, environment: str) -> None:
        self._state = state
        self._environment = environment

    def request(
        self,
        user: str,
        table: TableName,
        *,
        by: Principal,
        until: datetime,
        reason: str,
        action: Action | None = None,
        role: str | None = None,
        columns: Sequence[str] = (),
        unmask: Sequence[str] = (),
        purpose: Sequence[str] = (),
    ) -> AccessRequest:
        """Asks for access to `table` for `user`, until an instant that is yet to come. Raises UsageError."""
        if "*" in table.schema or "*" in table.name:
            raise UsageError("access is asked for to one table", found=str(table))
        if (action is None) == (role is None):
            raise UsageError("what is asked for?", expected="an action or a role, one of the two")
        if action is not None and action not in REQUESTABLE:
            raise UsageError(f"{action!r} can't be had for a time", expected=f"one of {', '.join(REQUESTABLE)}")
        if role is not None and (columns or unmask or purpose):
            raise UsageError("a role brings its own columns, labels and purposes", expected="--role alone, or --action with them")
        if (columns or unmask) and action not in ("select", "export", "quarantine", "detokenize"):
            raise UsageError(f"{action} is on whole tables: it takes neither columns nor labels")
        if until <= self._state.clock():
            raise UsageError("that access would be over before it begins", found=until.isoformat(), expected="a time to come")
        if not reason.strip():
            raise UsageError("access needs a reason", expected="--reason, for whoever decides and for the audit")
        if by.kind != "owner" and by.name != user:
            raise UsageError("access is asked for by whom it is for", found=f"{by.name} for {user}")
        row = {
            "id": new_id(),
            "environment": self._environment,
            "user_name": self._existing_user(user),
            "table_name": written(table),
            "action": action,
            "role": role,
            "columns": list(columns),
            "unmask": list(unmask),
            "purpose": list(purpose),
            "until": until,
            "reason": reason.strip(),
            "requested_by": by.name,
            "requested_at": self._state.clock(),
        }
        self._state.write(lambda connection: connection.execute(sa.insert(t.access_requests), row))
        return self.find(str(row["id"]))

    def _existing_user(self, user: str) -> str:
        query = sa.select(t.users.c.name).where(t.users.c.name_key == user.lower())
        found = self._state.read(lambda connection: connection.execute(query).scalar())
        if found is None:
            raise UsageError(f"there is no user {user!r}", hint="headwater user list shows all of them")
        return str(found)

    def approve(self, id: str, *, by: Principal, policies: Policies, until: datetime | None = None) -> AccessRequest:
        """Gives what was asked for; not for longer than asked, but maybe, with `until`, for less.

        Raises ApprovalRefused where `by` asked for it, or would have it, or may not decide about the table; UsageError (no such request,
        decided already, over).
        """
        asked = self.find(id)
        self._refuse_approver(asked, by, policies)
        if until is not None and until > asked.until:
            raise UsageError("nobody gets access for longer than they asked for", expected=f"until {asked.until.isoformat()} at most")
        return self._decide(asked, ("waiting",), {"approved_by": by.name, "approved_at": self._state.clock(), "until": until or asked.until})

    def revoke(self, id: str, *, by: Principal, policies: Policies) -> AccessRequest:
        """Takes access back, or refuses it: at once, for running sessions too. One may give back one's own. Raises ApprovalRefused, UsageError."""
        asked = self.find(id)
        if by.kind != "owner" and by.name not in (asked.user, asked.requested_by):
            self._refuse_approver(asked, by, policies)
        return self._decide(asked, ("waiting", "approved"), {"revoked_by": by.name, "revoked_at": self._state.clock()})

    def _refuse_approver(self, asked: AccessRequest, by: Principal, policies: Policies) -> None:
        if by.kind == "owner":
            return
        if by.name.lower() in (asked.user.lower(), asked.requested_by.lower()):
            raise ApprovalRefused(
                "nobody approves their own access", found=f"{by.name} asks for {asked.table}", hint="somebody else has to look at it"
            )
        if not may_decide(policies, by, asked.table, at=self._state.clock()):
            raise ApprovalRefused(
                f"{by.name} can't approve access to {asked.table}",
                expected=f"a grant `approve: {asked.table}` or `admin: {asked.table}`, or an administrator",
                state="nothing was changed",
            )

    def _decide(self, asked: AccessRequest, expected: tuple[RequestState, ...], values: dict[str, Any]) -> AccessRequest:
        def work(connection: sa.Connection) -> AccessRequest:
            row = connection.execute(sa.select(t.access_requests).where(t.access_requests.c.id == asked.id)).one()
            found = _request(row, self._state.clock())
            if found.state not in expected:
                raise UsageError(f"the request {asked.id} is {found.state}", expected=" or ".join(expected), hint="headwater access list")
            connection.execute(sa.update(t.access_requests).where(t.access_requests.c.id == asked.id).values(values))
            return _request(connection.execute(sa.select(t.access_requests).where(t.access_requests.c.id == asked.id)).one(), self._state.clock())

        return self._state.write(work, turn=_DECIDING)

    def find(self, id: str) -> AccessRequest:
        """One request by its id or the beginning of it. Raises UsageError."""
        c = t.access_requests.c
        query = sa.select(t.access_requests).where(c.environment == self._environment, c.id.startswith(id, autoescape=True)).limit(2)
        rows = self._state.read(lambda connection: connection.execute(query).all())
        if len(rows) != 1 or not id:
            raise UsageError(f"several requests begin with {id!r}" if rows else f"there is no request {id!r}", hint="headwater access list")
        return _request(rows[0], self._state.clock())

    def list(self, *, user: str | None = None, state: RequestState | None = None) -> list[AccessRequest]:
        """All requests, the oldest first."""
        c = t.access_requests.c
        query = sa.select(t.access_requests).where(c.environment == self._environment).order_by(c.requested_at, c.id)
        if user is not None:
            query = query.where(sa.func.lower(c.user_name) == user.lower())
        now = self._state.clock()
        found = self._state.read(lambda connection: [_request(row, now) for row in connection.execute(query)])
        return [request for request in found if state is None or request.state == state]

    def approved(self, at: datetime) -> tuple[AccessRequest, ...]:
        """What is in force at the instant `at`."""
        return self._state.read(lambda connection: self.approved_on(connection, at))

    def approved_on(self, connection: sa.Connection, at: datetime) -> tuple[AccessRequest, ...]:
        """As `approved`, read on a connection to the store."""
        rows = connection.execute(_IN_FORCE, {"of_environment": self._environment, "at": at}).all()
        return tuple(_request(row, at) for row in rows)


def may_decide(policies: Policies, who: Principal, table: TableName, *, at: datetime) -> bool:
    """Whether somebody may decide about access to a table, as far as it isn't their own: by a grant of `approve` or `admin` on it."""
    return any(decide(policies, who, action, Resource(table), at=at).is_allowed for action in DECIDERS)


def told_of_revocation(taken: AccessRequest) -> str:
    """What the audit is told of access that was taken back, or refused."""
    return f"{taken.id} of {taken.user}"


def is_own_revocation(told: str, principal: str) -> bool:
    """Whether somebody took back what they had asked for themselves, which takes no right."""
    return told.partition(" of ")[2] == principal


def effective_policies(policies: Policies, approved: Sequence[AccessRequest], at: datetime) -> Policies:
    """The policies united with what is approved: each request is a role and a group of its own, with the one member it was approved for.

    Its grants end with it, whenever it is decided by them. A role asked for on a table brings what that role may do with this table, until its own
    grants end, under its own limits, addresses and denials; grants by label aren't part of it. `version` says what is in force, so that caches by
    version hold. Without anything approved these are the policies themselves.
    """
    in_force = [request for request in approved if request.revoked_at is None and request.approved_at is not None and at < request.until]
    if not in_force:
        return policies
    roles, groups = dict(policies.roles), dict(policies.groups)
    networks, deny = dict(policies.network.roles), list(policies.deny)
    for request in in_force:
        whole = policies.roles.get(request.role) if request.role is not None else None
        roles[request.group] = Role(
            description=f"approved for {request.user} by {request.approved_by}", grants=_grants(request, whole), limits=(whole or Role()).limits
        )
        groups[request.group] = Group(roles=(request.group,), members=(request.user,))
        if request.role is not None:
            if request.role in networks:
                networks[request.group] = networks[request.role]
            deny += [_denied_too(one, request) for one in policies.deny if one.role == request.role]
    mark = "|".join(f"{request.id} {request.until.isoformat()}" for request in sorted(in_force, key=lambda request: request.id))
    version = hashlib.sha256(f"{policies.version}|{mark}".encode()).hexdigest()
    network = Network.model_construct(doors=policies.network.doors, users=policies.network.users, roles=networks)
    return policies.model_copy(update={"roles": roles, "groups": groups, "network": network, "deny": tuple(deny), "version": version})


def _grants(request: AccessRequest, role: Role | None) -> tuple[Grant, ...]:
    on = (TablePattern(schema=request.table.schema, name=request.table.name),)
    begin = request.approved_at
    if request.action is not None:
        wanted = {"columns": request.columns, "unmask": request.unmask, "purpose": request.purpose, "from": begin, "until": request.until}
        return (Grant.model_validate({"action": request.action, "on": on, **wanted}),)
    found = []
    for grant in role.grants if role is not None else ():
        fits = any(isinstance(pattern, TablePattern) and pattern.matches(request.table) for pattern in grant.on)
        if not fits or grant.action not in REQUESTABLE:
            continue
        ends = request.until if grant.until is None else min(request.until, instant(grant.until))
        begins = begin if grant.from_ is None or begin is None else max(begin, instant(grant.from_))
        if begins is None or begins < ends:
            found.append(grant.model_copy(update={"on": on, "from_": begins, "until": ends}))
    return tuple(found)


def _denied_too(deny: Deny, request: AccessRequest) -> Deny:
    return deny.model_copy(update={"role": request.group})


def _request(row: Any, now: datetime) -> AccessRequest:
    state: RequestState = (
        "revoked" if row.revoked_at is not None else "ended" if now >= row.until else "waiting" if row.approved_at is None else "approved"
    )  # fmt: skip
    return AccessRequest(
        id=row.id,
        user=row.user_name,
        table=TableName.parse(row.table_name),
        action=row.action,
        role=row.role,
        columns=tuple(row.columns),
        unmask=tuple(row.unmask),
        purpose=tuple(row.purpose),
        until=row.until,
        reason=row.reason,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        state=state,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
        revoked_by=row.revoked_by,
        revoked_at=row.revoked_at,
    )
