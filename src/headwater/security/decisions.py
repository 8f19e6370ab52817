"""`decide`: what a principal may do with a table, and see of each of its columns. Pure; denied by default; it says why.

Several grants on one table add up cell by cell: a cell is seen when some grant covers its row and its column, in the clearest way any of these
grants allows. A denial beats every grant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from headwater.security.principals import Principal
from headwater.spec.names import TableName
from headwater.spec.policies import CELL_ACTIONS, Action, Deny, Grant, LabelPattern, Mask, Policies, TablePattern, covers, instant

#: Given to a labelled column that no rule names: new data is closed until it is opened.
CLOSED: Final = Mask(kind="redact")


@dataclass(frozen=True, slots=True)
class ColumnLabels:
    """A column as decisions see it: its name and the labels it carries, those that came along its lineage among them."""

    name: str
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked for: a table with the columns of the definition that is read, or, with `table` None, the whole lake (`admin`, `audit`)."""

    table: TableName | None = None
    columns: tuple[ColumnLabels, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that had a part in a decision: a grant, a denial or a mask, where it stands, and what it did."""

    what: str
    effect: str


@dataclass(frozen=True, slots=True)
class Sight:
    """A way in which a column is seen: as `mask` says (None: in clear), in the rows for which `where` is true (None: all)."""

    where: str | None
    mask: Mask | None


@dataclass(frozen=True, slots=True)
class Decision:
    """`columns` are those that exist for the principal, in the table's order, each with its sights from the clearest on; where none of a
    column's applies to a row, the cell is null. `where` are conditions one of which a row must meet to exist; empty: all rows exist.

    `valid_until` is the nearest instant at which a `from` or `until` may make it come out otherwise.
    """

    principal: str
    action: Action
    resource: Resource
    is_allowed: bool
    columns: Mapping[str, tuple[Sight, ...]] = field(default_factory=dict)
    where: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    valid_until: datetime | None = None

    @property
    def is_unrestricted(self) -> bool:
        """Whether the principal sees the table as it is."""
        whole = (Sight(None, None),)
        named = {column.name for column in self.resource.columns}
        return self.is_allowed and not self.where and self.columns.keys() == named and all(sights == whole for sights in self.columns.values())

    @property
    def key(self) -> tuple[object, ...]:
        """What two decisions have in common when they give the same rows: for caches."""
        return (self.is_allowed, self.resource, tuple(self.columns.items()), self.where)


def decide(policies: Policies, principal: Principal, action: Action, resource: Resource, *, at: datetime, purpose: str | None = None) -> Decision:
    """Whether `principal` may do `action` with `resource` at the instant `at`, stating `purpose` (default: the principal's own)."""
    judge = _Judge(policies, principal, action, resource, at, purpose if purpose is not None else principal.purpose)
    return judge.decide()


def denied_columns(policies: Policies, principal: Principal, action: Action, resource: Resource, *, at: datetime) -> frozenset[str]:
    """The columns, in lower case, that a denial keeps from `principal`; all of them where it is of the table."""
    denied = _Judge(policies, principal, action, resource, at, principal.purpose).denied_columns()
    return denied if denied is not None else frozenset(column.name.lower() for column in resource.columns)


def named_mask(policies: Policies, resource: Resource, column: ColumnLabels) -> Mask | None:
    """The mask that a rule gives this very column."""
    own = f"{resource.table}.{column.name}".lower()
    return next((mask for name, mask in policies.masks.items() if name.lower() == own), None)


def label_rule(policies: Policies, label: str) -> Mask | None:
    """The most specific mask for one label; None where no rule is for it."""
    return _most_specific(policies, label)[0]


def _most_specific(policies: Policies, label: str) -> tuple[Mask | None, str]:
    fitting: list[tuple[Mask | None, str]] = [(mask, name) for name, mask in policies.masks.items() if covers(name, label)]
    return max(fitting, key=lambda rule: len(rule[1]), default=(None, ""))


class _Judge:
    def __init__(self, policies: Policies, principal: Principal, action: Action, resource: Resource, at: datetime, purpose: str | None) -> None:
        self._policies = policies
        self._principal = principal
        self._action = action
        self._resource = resource
        self._at = at
        self._purpose = purpose
        self._reasons: list[Reason] = []
        self._turns: list[datetime] = []

    def decide(self) -> Decision:
        if self._principal.kind == "owner":
            return self._everything("the owner holds the lake's own credentials")
        if self._principal.scope is not None and self._action not in self._principal.scope:
            return self._nothing("the token is not good for it")
        denied = self.denied_columns()
        if denied is None:
            return self._result(False)
        if self._principal.is_admin and self._action in ("admin", "approve", "run", "publish"):
            return self._everything("an administrator")
        written = list(self._grants())
        if not written:
            return self._nothing("no grant covers it")
        grants = [(role, grant) for role, grant in written if self._is_in_force(role, grant)]
        if not grants:
            return self._result(False)
        columns = {column.name: self._sights(column, grants) for column in self._resource.columns if column.name.lower() not in denied}
        visible = {name: sights for name, sights in columns.items() if sights}
        if self._resource.columns and not visible:
            return self._nothing("no column is left to see")
        # a grant that shows no column shows no row either
        showing = [grant for _, grant in grants if not self._resource.columns or any(self._shows(grant, name) for name in visible)]
        conditions = tuple(dict.fromkeys(grant.where for grant in showing if grant.where is not None))
        has_all_rows = any(grant.where is None for grant in showing)
        return self._result(True, visible, () if has_all_rows else conditions)

    # -- results -----------------------------------------------------------------------------------------------------

    def _everything(self, why: str) -> Decision:
        self._reasons.append(Reason(why, "allowed"))
        return self._result(True, {column.name: (Sight(None, None),) for column in self._resource.columns})

    def _nothing(self, why: str) -> Decision:
        self._reasons.append(Reason(why, "denied"))
        return self._result(False)

    def _result(self, is_allowed: bool, columns: Mapping[str, tuple[Sight, ...]] | None = None, where: tuple[str, ...] = ()) -> Decision:
        turn = min((turn for turn in self._turns if turn > self._at), default=None)
        return Decision(self._principal.name, self._action, self._resource, is_allowed, columns or {}, where, tuple(self._reasons), turn)

    # -- grants and denials ------------------------------------------------------------------------------------------

    def _grants(self) -> Iterable[tuple[str, Grant]]:
        for name in sorted(self._principal.roles):
            role = self._policies.roles.get(name)
            for grant in role.grants if role is not None else ():
                if grant.action == self._action and self._is_on(grant.on):
                    yield name, grant

    def _is_on(self, patterns: Sequence[TablePattern | LabelPattern]) -> bool:
        """Whether the patterns name the resource: its table by name, or by a label of one of its columns. The whole lake is what `*` names."""
        table = self._resource.table
        if table is None:
            return any(isinstance(pattern, TablePattern) and pattern.schema_ == pattern.name == "*" for pattern in patterns)
        return any(pattern.matches(table) if isinstance(pattern, TablePattern) else any(map(pattern.matches, self._labels())) for pattern in patterns)

    def _labels(self) -> frozenset[str]:
        return frozenset(label for column in self._resource.columns for label in column.labels)

    def _is_in_force(self, role: str, grant: Grant) -> bool:
        what = f"role {role}: {grant.action} {', '.join(map(str, grant.on))}"
        begin = instant(grant.from_) if grant.from_ is not None else None
        end = instant(grant.until) if grant.until is not None else None
        self._turns += [turn for turn in (begin, end) if turn is not None]
        if begin is not None and self._at < begin:
            self._reasons.append(Reason(what, f"begins on {grant.from_}"))
            return False
        if end is not None and self._at >= end:
            self._reasons.append(Reason(what, f"ended on {grant.until}"))
            return False
        if grant.purpose and self._purpose not in grant.purpose:
            self._reasons.append(Reason(what, f"needs the purpose {' or '.join(grant.purpose)}"))
            return False
        parts = ["allows"]
        if grant.columns:
            parts.append(f"columns {', '.join(grant.columns)}")
        if grant.where is not None:
            parts.append(f"rows where {grant.where}")
        if grant.until is not None:
            parts.append(f"until {grant.until}")
        self._reasons.append(Reason(what, " ".join(parts)))
        return True

    def denied_columns(self) -> frozenset[str] | None:
        """Columns a denial takes away, in lower case; None when the whole table is denied."""
        taken: set[str] = set()
        for deny in self._policies.deny:
            # who is denied something of the lake isn't allowed it on the whole, nor on a table of whose labels nothing is known
            is_unknown = not self._resource.columns and any(isinstance(pattern, LabelPattern) for pattern in deny.on)
            is_on = self._resource.table is None or is_unknown or self._is_on(deny.on)
            # what somebody may not even read can't be sent out for them
            is_meant = deny.action == self._action or (deny.action == "select" and self._action == "export")
            if not is_meant or not self._is_about(deny) or not is_on:
                continue
            what = f"deny {deny.action} {', '.join(map(str, deny.on))}"
            labels = [pattern for pattern in deny.on if isinstance(pattern, LabelPattern)]
            named = any(isinstance(pattern, TablePattern) and self._resource.table and pattern.matches(self._resource.table) for pattern in deny.on)
            if deny.columns and self._resource.table is not None:
                taken.update(column.lower() for column in deny.columns)
                self._reasons.append(Reason(what, f"takes away {', '.join(deny.columns)}"))
            elif named or self._resource.table is None or self._action not in CELL_ACTIONS:
                self._reasons.append(Reason(what, "denied"))
                return None
            else:
                hidden = [c.name for c in self._resource.columns if any(pattern.matches(label) for pattern in labels for label in c.labels)]
                taken.update(name.lower() for name in hidden)
                self._reasons.append(Reason(what, f"takes away {', '.join(hidden)}"))
        return frozenset(taken)

    def _is_about(self, deny: Deny) -> bool:
        is_named = deny.user is not None and deny.user.lower() == self._principal.name.lower()  # as whoever logs in is found
        return is_named or deny.role in self._principal.roles or deny.group in self._principal.groups

    # -- columns -----------------------------------------------------------------------------------------------------

    def _sights(self, column: ColumnLabels, grants: Sequence[tuple[str, Grant]]) -> tuple[Sight, ...]:
        """From the clearest on; one that a clearer one for all rows makes pointless is left out."""
        found: list[Sight] = []
        for _, grant in grants:
            if not self._has_column(grant, column):
                continue
            sight = Sight(grant.where, self._mask(column, grant))
            if sight not in found:
                found.append(sight)
        found.sort(key=_clearest_first)
        kept: list[Sight] = []
        for sight in found:
            kept.append(sight)
            if sight.where is None:
                break
        return tuple(kept)

    def _shows(self, grant: Grant, name: str) -> bool:
        """Whether a grant covers the column of that name."""
        return any(self._has_column(grant, column) for column in self._resource.columns if column.name == name)

    def _has_column(self, grant: Grant, column: ColumnLabels) -> bool:
        if grant.columns:
            return column.name.lower() in {name.lower() for name in grant.columns}
        table = self._resource.table
        patterns = grant.on
        if table is None or any(isinstance(pattern, TablePattern) and pattern.matches(table) for pattern in patterns):
            return True
        return any(isinstance(pattern, LabelPattern) and pattern.matches(label) for pattern in patterns for label in column.labels)

    def _mask(self, column: ColumnLabels, grant: Grant) -> Mask | None:
        """What a reader with this grant sees instead of the column's values; None: the values."""
        own = f"{self._resource.table}.{column.name}".lower()
        named = named_mask(self._policies, self._resource, column)
        covered = [label for label in column.labels if any(covers(right, label) for right in grant.unmask)]
        closed = [label for label in column.labels if label not in covered]
        if column.labels and not closed:
            return None
        if named is not None:
            if not column.labels and any(right.lower() == own for right in grant.unmask):
                return None
            self._tell_mask(column, named, own)
            return _in_domain(named, self._domain(column, own))
        if not closed:
            return None
        rules = [self._rule_for(label) for label in sorted(closed)]
        mask, name = min(rules, key=lambda rule: rule[0].rank)
        self._tell_mask(column, mask, name)
        return _in_domain(mask, self._domain(column, own))

    def _domain(self, column: ColumnLabels, own: str) -> str:
        """Whose tokens a column's are like, the same for every reader: its first label with a rule for tokens, else its first label, else its own."""
        rules = {label: self._rule_for(label)[0] for label in sorted(column.labels)}
        tokens = [label for label, mask in rules.items() if mask.kind == "token"]
        if not tokens:
            return next(iter(rules), own)
        return str(rules[tokens[0]].argument or tokens[0])

    def _rule_for(self, label: str) -> tuple[Mask, str]:
        """The most specific mask for one label. Of a column's labels, each with its own, the strictest is applied."""
        mask, name = _most_specific(self._policies, label)
        return (mask, name) if mask is not None else (CLOSED, f"{label}, a label without a rule")

    def _tell_mask(self, column: ColumnLabels, mask: Mask, rule: str) -> None:
        reason = Reason(f"mask {rule}", f"{column.name} is shown as {mask}")
        if reason not in self._reasons:
            self._reasons.append(reason)


def _clearest_first(sight: Sight) -> tuple[bool, float, float, bool]:
    """In clear, then the least strict mask; of two alike the one for all rows first."""
    strictness, blur = sight.mask.rank if sight.mask is not None else (0, 0.0)
    return sight.mask is not None, -strictness, -blur, sight.where is not None


def _in_domain(mask: Mask, domain: str) -> Mask:
    """A token's mask with the domain that it hasn't from its rule."""
    return Mask(kind="token", argument=domain) if mask.kind == "token" and mask.argument is None else mask
