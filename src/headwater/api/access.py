"""Who may see what, as the policies decide it; and which labels columns carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from headwater.errors import TableNotFound, UnknownSelection, UsageError
from headwater.governance.labels import read_origins
from headwater.orchestration.labelling import LABELS
from headwater.project import LoadedProject
from headwater.project.problems import nearest
from headwater.security import ColumnLabels, Decision, Membership, Principal, Reason, Sight, decide, memberships_of, roles_of
from headwater.spec.names import ColumnName, TableName
from headwater.spec.policies import Action, Policies
from headwater.storage import NEVER_PUBLISHED, TableState
from headwater.storage.gate import resource_of
from headwater.storage.relations import published_columns, published_definition

if TYPE_CHECKING:
    from headwater.api.rights import Rights
    from headwater.orchestration import Session
    from headwater.security.accounts import UserInfo


@dataclass(frozen=True, slots=True)
class CarriedLabel:
    """A label of a column, and the columns it came from directly; `is_own` where the column's own definition gives it."""

    label: str
    origins: tuple[str, ...]
    is_own: bool


@dataclass(frozen=True, slots=True)
class LabelledColumn:
    """A column with all labels it carries."""

    name: str
    type: str
    labels: tuple[CarriedLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class TableLabels:
    """The columns of a table as readers see it, in order."""

    table: TableName
    columns: tuple[LabelledColumn, ...]


@dataclass(frozen=True, slots=True)
class SeenAs:
    """A way of seeing a column: as `mask` says (None: in clear), in rows for which `where` is true (None: all)."""

    where: str | None
    mask: str | None


@dataclass(frozen=True, slots=True)
class ExplainedColumn:
    """A column of the table: its labels, and how it is seen, from the clearest way on. Without `seen` it doesn't exist for the user."""

    name: str
    labels: tuple[str, ...]
    seen: tuple[SeenAs, ...]


@dataclass(frozen=True, slots=True)
class ExplainedReason:
    """A grant, denial or mask that had a part in the decision, and what it did."""

    what: str
    effect: str


@dataclass(frozen=True, slots=True)
class ExplainedGroup:
    """A group the user is in, who says so (`policy`, `user`, `oidc` or `request`), and the roles it brings.

    `as_of` is the login at which a provider named it; the next one may name others, and a token of Headwater's own brings none of them.
    """

    group: str
    origin: str
    roles: tuple[str, ...]
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a user may do with a table, and why.

    `rows` are conditions one of which a row must meet to be seen; empty: all rows are. `until` is the nearest instant at which the decision may
    come out otherwise by itself, as a grant begins or ends. `policy_version` names the policies it was taken by. Somebody who isn't known yet is
    judged by the policies alone.
    """

    user: str
    action: Action
    table: TableName
    is_allowed: bool
    groups: tuple[ExplainedGroup, ...]
    columns: tuple[ExplainedColumn, ...]
    rows: tuple[str, ...]
    reasons: tuple[ExplainedReason, ...]
    until: datetime | None
    at: datetime
    purpose: str | None
    policy_version: str
    is_known: bool
    is_admin: bool
    is_disabled: bool


class AccessRoom:
    """`project.access`. Whoever HEADWATER_TOKEN says must be an administrator, or have `admin` on the table, else ApprovalRefused is raised."""

    def __init__(self, session: Callable[[], Session | None], rights: Rights, loaded: LoadedProject) -> None:
        self._session = session
        self._rights = rights
        self._loaded = loaded

    def explain(
        self,
        user: str,
        name: str,
        *,
        action: Action = "select",
        purpose: str | None = None,
        at: str | date | datetime | None = None,
        by_user: Iterable[str] = (),
    ) -> Explanation:
        """Whether and how `user` sees a table (or one column: `schema.table.column`) at the time `at` (None: now; without a zone in the project's).

        Groups are those the policies name the user in, those of `user add --group`, those that a provider named at the last login by it, what was
        approved for a time, and `by_user`. Raises UnknownSelection, TableNotFound (nothing of it is published), UsageError (no time).
        """
        table, wanted = self._split(name)
        self._rights.need("admin", f"access explain {user}", lambda: [table])
        moment = _moment(at, self._loaded.config.timezone)
        state = self._published(table)
        resource = resource_of(state)
        columns = list(resource.columns)
        if wanted is not None:
            columns = [_column(wanted, table, columns)]
        known, policies = self._known(user)
        who = known.name if known is not None else user
        given = known.memberships if known is not None else memberships_of(who, policies)
        memberships = tuple(dict.fromkeys([*given, *(Membership(group, "user") for group in by_user)]))
        principal = Principal(who, roles=roles_of(memberships, policies), memberships=memberships, purpose=purpose)
        if known is not None:
            principal = replace(principal, kind=known.kind, is_admin=known.is_admin)
        decision = decide(policies, principal, action, resource, at=moment)
        return Explanation(
            user=who,
            action=action,
            table=table,
            is_allowed=decision.is_allowed and (wanted is None or columns[0].name in decision.columns),
            groups=tuple(_group(one, policies, known.claimed_at if known is not None else None) for one in memberships),
            columns=tuple(ExplainedColumn(column.name, tuple(sorted(column.labels)), _seen(decision, column)) for column in columns),
            rows=decision.where,
            reasons=tuple(ExplainedReason(reason.what, reason.effect) for reason in decision.reasons if not _is_elsewhere(reason, columns)),
            until=decision.valid_until,
            at=moment,
            purpose=purpose,
            policy_version=policies.version,
            is_known=known is not None,
            is_admin=principal.is_admin,
            is_disabled=known is not None and known.is_disabled,
        )

    def _known(self, user: str) -> tuple[UserInfo | None, Policies]:
        """The user of that name, if there is one yet, and the policies of now."""
        from headwater.api.rooms import users_of

        session = self._session()
        if session is None:
            return None, self._loaded.policies
        users = users_of(self._loaded, session.state)
        return next((one for one in users.list() if one.name.lower() == user.lower()), None), users.policies()

    def labels(self, table: str) -> TableLabels:
        """The labels of a table's columns as readers see it, each with where it came from; those that were given since are among them.

        Raises UnknownSelection, TableNotFound.
        """
        name = self._loaded.find(table)
        self._rights.need("admin", "labels", lambda: [name])
        state = self._published(name)
        origins: dict[tuple[str, str], tuple[ColumnName, ...]] = {}
        for definition in (state.definition, published_definition(state)):
            for carrier, given in read_origins(definition.body.get(LABELS)).items():
                origins |= {(carrier.lower(), label): sources for label, sources in given.items()}
        carried = {one.name: one.labels for one in resource_of(state).columns}
        found = []
        for column in published_columns(state):
            own = ColumnName(name, column.name)
            labels = []
            for label in sorted(carried[column.name]):
                sources = origins.get((column.name.lower(), label), (own,))
                others = tuple(str(source) for source in sources if source.key != own.key)
                labels.append(CarriedLabel(label, others, is_own=len(others) < len(sources)))
            found.append(LabelledColumn(column.name, column.type, tuple(labels)))
        return TableLabels(name, tuple(found))

    def _split(self, name: str) -> tuple[TableName, str | None]:
        try:
            column = ColumnName.parse(name)
        except ValueError:
            return self._loaded.find(name), None
        return self._loaded.find(column.table), column.column

    def _published(self, table: TableName) -> TableState:
        session = self._session()
        state = session.lake.state().find(table) if session is not None else None
        if state is None or state.is_retired:
            raise TableNotFound(f"there is no table {table} in the lake", hint=f"build it first: headwater run +{table}")
        if state.published_snapshot == NEVER_PUBLISHED:
            raise TableNotFound(f"nothing of {table} is published yet", hint=f"headwater status {table} says why")
        return state


def _group(membership: Membership, policies: Policies, claimed_at: datetime | None) -> ExplainedGroup:
    group = policies.groups.get(membership.group)
    as_of = claimed_at if membership.origin == "oidc" else None
    return ExplainedGroup(membership.group, membership.origin, group.roles if group is not None else (), as_of)


def _column(name: str, table: TableName, columns: list[ColumnLabels]) -> ColumnLabels:
    found = next((column for column in columns if column.name.lower() == name.lower()), None)
    if found is None:
        guess = nearest(name, [column.name for column in columns])
        raise UnknownSelection(
            f"{table} has no column {name!r}",
            expected=f"one of {', '.join(column.name for column in columns)}",
            hint=f"did you mean {table}.{guess}?" if guess else None,
        )
    return found


def _is_elsewhere(reason: Reason, columns: list[ColumnLabels]) -> bool:
    """Whether it says what masks a column that wasn't asked for."""
    return reason.what.startswith("mask ") and not any(reason.effect.startswith(f"{column.name} is shown as ") for column in columns)


def _seen(decision: Decision, column: ColumnLabels) -> tuple[SeenAs, ...]:
    sights: tuple[Sight, ...] = decision.columns.get(column.name, ())
    return tuple(SeenAs(sight.where, None if sight.mask is None else str(sight.mask)) for sight in sights)


def _moment(at: str | date | datetime | None, timezone: str) -> datetime:
    if at is None:
        return datetime.now(UTC)
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            raise UsageError(f"{at!r} is not a time", expected="a date or a time such as 2026-01-31T12:00") from None
    if not isinstance(at, datetime):
        at = datetime.combine(at, time())
    return at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(timezone))
