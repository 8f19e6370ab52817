"""What of the rights was used: and the smaller policy that would have served every audited query, proved by deciding all of them again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from headwater.security.audited import Audited
from headwater.security.decisions import Decision, Resource, decide
from headwater.security.principals import APPROVED, OWNER, UNKNOWN, Membership, Principal, roles_of
from headwater.security.requests import DECIDERS, is_own_revocation
from headwater.spec.names import TableName
from headwater.spec.policies import ACTIONS, Action, Grant, Group, LabelPattern, Policies, TablePattern, covers, turns_passed

#: The table that takes the right `audit` on the whole lake.
_AUDIT: Final = TableName("headwater", "audit")
_WITH_COLUMNS: Final = ("select", "export", "quarantine", "detokenize")


@dataclass(frozen=True, slots=True)
class Use:
    """One way in which somebody used a right, as often as it occurred: the columns they read of one table, in lower case. Without a table
    it is of the whole lake. `approve` stands for deciding about access, by whichever right."""

    principal: Principal
    action: Action
    table: TableName | None
    columns: frozenset[str]
    at: datetime
    purpose: str | None


@dataclass(frozen=True, slots=True)
class Unused:
    """A right that nobody used: a role's grant (or a part of it), or a member of a group who didn't come."""

    kind: str
    where: str
    right: str
    instead: str | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """`smaller` decides every one of the `uses` as `policies` did; `unused` says what it leaves out. `not_replayed` are audited queries that today's
    policies wouldn't allow any more, or whose tables are gone: they prove nothing."""

    queries: int
    uses: int
    not_replayed: int
    unused: tuple[Unused, ...]
    smaller: Policies


def uses_of(
    records: Iterable[Audited], policies: Policies, *, admins: frozenset[str] = frozenset(), services: frozenset[str] = frozenset()
) -> list[Use]:
    """What was allowed by policy, each way once: of the owner nothing, since they need no right, nor of what the owner tried as somebody else.

    An export uses the rights of its principal, whoever runs it.
    """
    found: dict[tuple[object, ...], Use] = {}
    for record in records:
        if record.decision != "allowed" or record.principal in (OWNER.name, UNKNOWN):
            continue
        if record.asked_by is not None and record.action != "export":
            continue
        columns: dict[str, set[str]] = {}
        for text in record.columns:
            table, _, column = text.rpartition(".")
            columns.setdefault(table.lower(), set()).add(column.lower())
        named = [group for group, one in policies.groups.items() if one.has(record.principal)]
        memberships = tuple(Membership(group, "policy") for group in dict.fromkeys([*record.groups, *named]))
        principal = Principal(
            record.principal,
            "service" if record.principal in services else "user",
            roles_of(memberships, policies),
            memberships,
            record.principal in admins,
            purpose=record.purpose,
        )
        for action, on in _rights_taken(record):
            used = frozenset(columns.get(str(on).lower(), ()))
            # between two turns one replay stands for all
            key = (record.principal, principal.roles, action, on, used, record.purpose, turns_passed(policies.roles.values(), record.at))
            found.setdefault(key, Use(principal, action, on, used, record.at, record.purpose))
    return list(found.values())


def _rights_taken(record: Audited) -> Iterator[tuple[Action, TableName | None]]:
    """The rights that a row took, each with its table; with None those of the whole lake."""
    if record.action == "revoke" and is_own_revocation(record.sql, record.principal):
        return
    action = "approve" if record.action == "revoke" else record.action
    if action not in ACTIONS:
        return
    if action in ("audit", "admin") and not record.tables:
        yield action, None
    for text in record.tables:
        try:
            table = TableName.parse(text)
        except ValueError:
            continue
        if table == _AUDIT:
            yield "audit", None
        else:
            yield action, table


def review(policies: Policies, uses: Sequence[Use], resource_of: Callable[[TableName], Resource | None], *, queries: int = 0) -> Review:
    """Takes away one right after the other, and keeps what is left whenever every use is still decided the same."""
    replay = _Replay(policies, uses, resource_of)
    unused: list[Unused] = []
    current = policies
    for role in policies.roles:
        if role.startswith(APPROVED):
            continue
        for grant in policies.roles[role].grants:
            where, text = f"role {role}", f"{grant.action} {', '.join(map(str, grant.on))}"
            without = _with_grant(current, role, grant, None)
            if replay.agrees(without):
                unused.append(Unused("grant", where, text))
                current = without
                continue
            kept = grant
            for smaller in _narrower(grant, replay.uses_of(role, grant)):
                candidate = smaller(kept)
                if candidate != kept and replay.agrees(narrowed := _with_grant(current, role, kept, candidate)):
                    unused.append(Unused("part of a grant", where, *_difference(kept, candidate)))
                    kept, current = candidate, narrowed
    came = {use.principal.name.lower() for use in uses}
    for name, group in policies.groups.items():
        absent = [member for member in group.members if member.lower() not in came]
        if absent and not name.startswith(APPROVED):
            unused.append(Unused("membership", f"group {name}", ", ".join(absent)))
            members = tuple(member for member in group.members if member.lower() in came)
            groups = {**current.groups, name: Group(roles=group.roles, members=members)}
            current = current.model_copy(update={"groups": groups})
    if not replay.agrees(current):
        raise AssertionError("the smaller policies decide otherwise")
    return Review(queries, len(replay.uses), len(uses) - len(replay.uses), tuple(unused), current)


class _Replay:
    """Decides all uses again under other policies, and compares."""

    def __init__(self, policies: Policies, uses: Sequence[Use], resource_of: Callable[[TableName], Resource | None]) -> None:
        self._resources = {table: Resource() if table is None else resource_of(table) for table in {use.table for use in uses}}
        decided = [(use, self._decide(policies, use)) for use in uses]
        self._expected = [(use, _seen(decision, use)) for use, decision in decided if decision is not None and decision.is_allowed]
        self.uses = [use for use, _ in self._expected]

    def _decide(self, policies: Policies, use: Use) -> Decision | None:
        resource = Resource(use.table) if use.action == "approve" else self._resources[use.table]
        if resource is None:
            return None
        decided = [decide(policies, use.principal, action, resource, at=use.at, purpose=use.purpose) for action in _by(use)]
        return next((one for one in decided if one.is_allowed), None)

    def agrees(self, policies: Policies) -> bool:
        for use, expected in self._expected:
            decision = self._decide(policies, use)
            if decision is None or not decision.is_allowed or _seen(decision, use) != expected:
                return False
        return True

    def uses_of(self, role: str, grant: Grant) -> list[tuple[Use, Resource]]:
        """Those that the grant may have had a part in."""
        found = []
        for use in self.uses:
            resource = self._resources[use.table]
            if resource is not None and role in use.principal.roles and grant.action in _by(use):
                found.append((use, resource))
        return found


def _by(use: Use) -> Sequence[Action]:
    """The actions of which a grant allows the use."""
    return DECIDERS if use.action == "approve" else (use.action,)


def _seen(decision: Decision, use: Use) -> tuple[object, ...]:
    """What the use saw: the rows, and of each column it read, how."""
    return (decision.where, {name.lower(): sights for name, sights in decision.columns.items() if name.lower() in use.columns})


def _narrower(grant: Grant, uses: Sequence[tuple[Use, Resource]]) -> Iterator[Callable[[Grant], Grant]]:
    """Ways to make a grant smaller: fewer tables, fewer columns, fewer labels in clear, fewer purposes."""
    matched = [(use, resource) for use, resource in uses if any(_is_on(pattern, use, resource) for pattern in grant.on)]
    tables = sorted({use.table for use, _ in matched if use.table is not None})
    columns = {column.name.lower(): column.name for _, resource in matched for column in resource.columns}
    names = {name for use, _ in matched for name in use.columns}
    used = tuple(sorted({columns.get(name, name) for name in names}))
    has_spare = bool(grant.columns) or not columns.keys() <= names  # to name all that there are takes nothing away
    labels = {label for use, resource in matched for column in resource.columns if column.name.lower() in use.columns for label in column.labels}
    purposes = {use.purpose for use, _ in matched}

    if tables and all(isinstance(pattern, TablePattern) for pattern in grant.on):
        yield lambda kept: _with(kept, "on", tuple(TablePattern(schema=table.schema, name=table.name) for table in tables))
    if used and has_spare and grant.action in _WITH_COLUMNS:
        yield lambda kept: _with(kept, "columns", used)
    if grant.unmask:
        yield lambda kept: _with(kept, "unmask", tuple(sorted(label for label in labels if any(covers(one, label) for one in kept.unmask))))
    if grant.purpose:
        yield lambda kept: _with(kept, "purpose", tuple(one for one in kept.purpose if one in purposes))


def _with(grant: Grant, name: str, values: tuple[Any, ...]) -> Grant:
    """The grant with other `values`; itself where these are the same ones in another order or case."""

    def words(items: Iterable[Any]) -> set[str]:
        return {str(item).lower() for item in items}

    return grant if words(getattr(grant, name)) == words(values) else grant.model_copy(update={name: values})


def _is_on(pattern: TablePattern | LabelPattern, use: Use, resource: Resource) -> bool:
    if isinstance(pattern, TablePattern):
        return pattern.matches(use.table) if use.table is not None else pattern.schema_ == pattern.name == "*"
    return any(pattern.matches(label) for column in resource.columns for label in column.labels)


def _with_grant(policies: Policies, role: str, grant: Grant, instead: Grant | None) -> Policies:
    whole = policies.roles[role]
    grants: list[Grant] = []
    is_done = False
    for one in whole.grants:
        if one == grant and not is_done:
            is_done = True
            grants += [instead] if instead is not None else []
        else:
            grants.append(one)
    return policies.model_copy(update={"roles": {**policies.roles, role: whole.model_copy(update={"grants": tuple(grants)})}})


def _difference(before: Grant, after: Grant) -> tuple[str, str]:
    """What differs, as it was and as it would be."""
    for name in ("on", "columns", "unmask", "purpose"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            word = "" if name == "on" else f" {name}"
            return (
                f"{before.action}{word} {', '.join(map(str, old)) or 'all'}",
                f"{after.action}{word} {', '.join(map(str, new)) or ('none' if name == 'unmask' else 'all')}",
            )
    raise AssertionError


def to_yaml(policies: Policies) -> str:
    """Roles and groups as `policies/*.yaml` has them; what was approved for a time isn't part of them."""
    import yaml

    roles = {name: _role(role.grants) for name, role in policies.roles.items() if not name.startswith(APPROVED)}
    for name, role in policies.roles.items():
        if name in roles and role.description is not None:
            roles[name] = {"description": role.description, **roles[name]}
        limits = role.limits.model_dump(exclude_none=True)
        if name in roles and limits:
            roles[name]["limits"] = limits
    groups = {
        name: {key: list(value) for key, value in (("roles", group.roles), ("members", group.members)) if value}
        for name, group in policies.groups.items()
        if not name.startswith(APPROVED)
    }
    return yaml.safe_dump({"roles": roles, "groups": groups}, sort_keys=False, allow_unicode=True)


def _role(grants: Sequence[Grant]) -> dict[str, object]:
    return {"grants": [_grant(grant) for grant in grants]}


def _grant(grant: Grant) -> dict[str, object]:
    on: list[str | Mapping[str, str]] = [{"label": one.label} if isinstance(one, LabelPattern) else str(one) for one in grant.on]
    written: dict[str, object] = {grant.action: on[0] if len(on) == 1 else on}
    for key, value in (("columns", list(grant.columns)), ("where", grant.where), ("from", grant.from_), ("until", grant.until)):
        if value:
            written[key] = value
    for key, value in (("purpose", list(grant.purpose)), ("unmask", list(grant.unmask))):
        if value:
            written[key] = value
    return written
