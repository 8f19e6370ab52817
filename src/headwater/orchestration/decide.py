"""What to do with each table of a run: pure decisions, taken again whenever results arrive.

Nothing here reads a clock, a lake or a store: all that is known stands in a `Situation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headwater.governance.labels import LabelRules, Labels
from headwater.orchestration.labelling import are_labels_moved, published_labels
from headwater.spec.names import TableName
from headwater.spec.runs import TaskStatus
from headwater.storage.changes import THIS_COMMIT, TableState

#: The version of a table that this run has built and not committed yet: the commit that carries it.
PENDING = THIS_COMMIT

#: In a definition's body: a hash of checks, descriptions and the like, for noticing that only those changed.
DESCRIPTION_HASH = "description_hash"

#: Why a model that is as it should be is looked at all the same: only its query says which columns it still has.
LOOKED_FOR_DROPS = "unchanged; has it columns to be dropped?"

_BARRING: frozenset[TaskStatus] = frozenset({"failed", "held", "blocked", "cancelled"})
_PARTICIPLE = {"failed": "failed", "held": "is held", "blocked": "is blocked", "cancelled": "was cancelled"}

TableKindName = Literal["stream", "view", "table", "incremental", "snapshot"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the files say of one table.

    `read` are the tables whose rows it reads: its inputs, and what lies under those that are views, with the views themselves.
    `consulted` are tables that its checks name. `clock` is the value, as used, of time functions.
    """

    table: TableName
    kind: TableKindName
    inputs: tuple[TableName, ...] = ()
    read: tuple[TableName, ...] = ()
    consulted: tuple[TableName, ...] = ()
    fingerprint: str = ""
    description_hash: str = ""
    clock: str = ""
    is_volatile: bool = False
    has_checks: bool = False
    publish_group: str | None = None
    label_rules: LabelRules = field(default_factory=LabelRules)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a table's task ended in this run. `version` is the commit that what is read of it from now on comes from (PENDING before that commit)."""

    status: TaskStatus
    version: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decisions rest on. `outcomes` grows while the run goes on, and so does `labels`: those of what this run reads of a table from now on,
    where that isn't what readers saw when it began. The rest stays."""

    facts: Mapping[TableName, Facts]
    selected: frozenset[TableName]
    deployed: Mapping[TableName, TableState]
    outcomes: Mapping[TableName, Outcome] = field(default_factory=dict)
    labels: Mapping[TableName, Labels] = field(default_factory=dict)
    is_full_refresh: bool = False
    is_restatement: bool = False
    allows_drop: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Ask the stream's source for what is new."""

    table: TableName
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """Build the model; `reason` says what made it stale. With `is_redefinition`, its rows are as they should be and only what is said of it changed
    (checks, descriptions, labels), or may do so (columns it no longer has, which are to be dropped): it is judged and described anew."""

    table: TableName
    reason: str
    is_redefinition: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do. With `is_unpublished`, an earlier run built it and never came to publish it: this run's last commit does."""

    table: TableName
    reason: str
    version: int | None
    is_unpublished: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """It can't be built: something it reads failed, is held, or was never built."""

    table: TableName
    reason: str


Decision = Load | Build | Skip | Block


def tick(situation: Situation, ready: Iterable[TableName]) -> list[Decision]:
    """Decides for the tables in `ready`, all of whose inputs have come to an end in this run or take no part in it."""
    return [decide(situation, table) for table in ready]


def decide(situation: Situation, table: TableName) -> Decision:
    facts = situation.facts[table]
    barred = _bar(situation, facts)
    if barred is not None:
        return Block(table, barred)
    if facts.kind == "stream":
        return Load(table, "full refresh" if situation.is_full_refresh else "")
    state = situation.deployed.get(table)
    reason = _staleness(situation, facts, state)
    if reason is not None:
        return Build(table, reason)
    assert state is not None
    if is_described_otherwise(facts, state):
        return Build(table, "its checks or descriptions changed", is_redefinition=True)
    if are_labels_moved(state, facts.label_rules, labels_read(situation, facts)):
        return Build(table, "the labels of its columns changed", is_redefinition=True)
    if situation.allows_drop and facts.kind != "view":
        return Build(table, LOOKED_FOR_DROPS, is_redefinition=True)
    since = f" since {state.committed_at:%Y-%m-%d %H:%M}" if state.committed_at else ""
    if is_left_over(state):
        return Skip(table, "built by an earlier run that ended before publishing it", state.changed_snapshot, True)
    if state.publication == "rolled_back":
        why = state.reason if state.reason.startswith("rolled back") else f"rolled back: {state.reason}"
        return Skip(table, f"unchanged{since}; {why}", state.published_changed_snapshot)
    return Skip(table, f"unchanged{since}", state.published_changed_snapshot)


def version_of(situation: Situation, table: TableName) -> int | None:
    """The commit that made what this run reads of a table: its own outcome's, else the published one; None when there is nothing to read."""
    outcome = situation.outcomes.get(table)
    if outcome is not None:
        return outcome.version
    state = situation.deployed.get(table)
    return None if state is None or state.is_retired else state.published_changed_snapshot


def versions_read(situation: Situation, facts: Facts) -> dict[TableName, int | None]:
    """The version of everything a table reads."""
    return {table: version_of(situation, table) for table in facts.read}


def labels_read(situation: Situation, facts: Facts) -> dict[tuple[str, str], Labels]:
    """The labels of a table's inputs, as this run reads them; inputs without any are left out."""
    found: dict[tuple[str, str], Labels] = {}
    for table in facts.inputs:
        labels = situation.labels.get(table)
        state = situation.deployed.get(table)
        if labels is None and state is not None and not state.is_retired:
            labels = published_labels(state)
        if labels:
            found[table.key] = labels
    return found


def is_described_otherwise(facts: Facts, state: TableState) -> bool:
    """Whether the files now say something else of the table than its deployed definition, beside what makes its rows."""
    known = state.definition.body.get(DESCRIPTION_HASH)
    return known is not None and known != facts.description_hash


def is_left_over(state: TableState) -> bool:
    """Whether a run committed it pinned until its end, and never came to its end (or its publish_group didn't)."""
    return state.publication == "waiting"


def _bar(situation: Situation, facts: Facts) -> str | None:
    """Why a table can't be built now, or None."""
    for table in facts.inputs:
        outcome = situation.outcomes.get(table)
        if outcome is not None and outcome.status in _BARRING:
            return f"{table} {_PARTICIPLE[outcome.status]}"
    for table in facts.read:
        if version_of(situation, table) is None:
            state = situation.deployed.get(table)
            if state is None or state.is_retired:
                return f"{table} has never been built: headwater run +{facts.table}"
            return f"{table} has never been published{': ' + state.reason if state.reason else ''}"
    return None


def _staleness(situation: Situation, facts: Facts, state: TableState | None) -> str | None:
    """What made a model stale, or None."""
    if state is None or state.is_retired or state.load is None:
        return "first build"
    if situation.is_full_refresh:
        return "full refresh"
    if state.is_held:
        return "held before"
    if facts.fingerprint != state.load.fingerprint:
        return "its definition changed"
    if facts.kind == "view" and not facts.has_checks:
        return None
    if situation.is_restatement and facts.kind == "incremental":
        return "restated"
    if facts.kind != "view" and facts.is_volatile:
        return "it uses random values, so that every build differs"
    if facts.kind != "view" and facts.clock != state.load.clock:
        return f"the clock it uses moved to {facts.clock}"
    changed = _changed_inputs(situation, facts, state)
    return None if not changed else f"{_listed(changed)} changed"


def _changed_inputs(situation: Situation, facts: Facts, state: TableState) -> list[str]:
    assert state.load is not None
    recorded = state.load.inputs
    return [str(table) for table, version in versions_read(situation, facts).items() if recorded.get(str(table)) != version]


def _listed(names: list[str], most: int = 2) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def tables_read(
    facts_of: Mapping[TableName, tuple[TableKindName, tuple[TableName, ...]]], order: Iterable[TableName]
) -> dict[TableName, tuple[TableName, ...]]:
    """For each table its inputs, and everything under those that are views. `order` is topological."""
    found: dict[TableName, tuple[TableName, ...]] = {}
    for table in order:
        _, inputs = facts_of[table]
        read: dict[TableName, None] = {}
        for name in inputs:
            read[name] = None
            if name in facts_of and facts_of[name][0] == "view":
                read.update(dict.fromkeys(found.get(name, ())))
        found[table] = tuple(read)
    return found
