"""What a run starts from: the selection, the facts of the files, and what is deployed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headwater.engine import CLOCK_FUNCTIONS, tables_named
from headwater.errors import UsageError
from headwater.governance.labels import rules_of
from headwater.orchestration.decide import Facts, Situation, tables_read
from headwater.project import LoadedProject, select
from headwater.spec.checks import Query, Relationships
from headwater.spec.models import IncrementalKind
from headwater.spec.names import TableName
from headwater.spec.runs import Interval
from headwater.storage.changes import TableState
from headwater.storage.state import LakeState
from headwater.transformation import clock_used, clock_value
from headwater.transformation.clock import ClockUse


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out.

    `include` and `exclude` are selectors; no `include` means all. `interval` restates that range of the incrementals selected, and of those
    that follow from them. `reload_from` is where the selected streams are read from again. `threads` None: the project's, else one a core.
    `lease_seconds` is how long a lease lives without being renewed; `flush_seconds` how long a finished task waits for others to be committed
    with; `wait_seconds` how long to wait for leases that another run holds. `note` goes into the lake's
    commit messages.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    command: str = "run"
    is_full_refresh: bool = False
    interval: Interval | None = None
    reload_from: str | None = None
    allow_drop: bool = False
    threads: int | None = None
    lease_seconds: float = 60.0
    flush_seconds: float = 5.0
    wait_seconds: float = 0.0
    note: str = ""


@dataclass(slots=True)
class Plan:
    """The tables of a run in topological order, and the situation decisions are taken in. `awaited` counts, for each selected table, the
    selected tables that must come to an end before it; `followers` are the reverse. `retired` are deployed tables whose file is gone."""

    order: tuple[TableName, ...]
    facts: Mapping[TableName, Facts]
    situation: Situation
    lake_state: LakeState
    awaited: dict[TableName, int] = field(default_factory=dict)
    followers: dict[TableName, list[TableName]] = field(default_factory=dict)
    retired: tuple[TableName, ...] = ()
    groups: Mapping[str, tuple[TableName, ...]] = field(default_factory=dict)

    @property
    def selected(self) -> frozenset[TableName]:
        return self.situation.selected

    def join(self) -> None:
        """Says who waits for whom. Tables named by a check are waited for too, where that makes no circle."""
        reads = {table: {name for name in self.facts[table].inputs if name in self.selected} for table in self.order}
        asks = {
            table: {name for name in self.facts[table].consulted if name in self.selected and name != table} - reads[table] for table in self.order
        }
        self.order = _order(self.order, reads, asks)
        position = {table: index for index, table in enumerate(self.order)}
        self.awaited, self.followers = {}, {}
        for table in self.order:
            waits_for = {name for name in reads[table] | asks[table] if position[name] < position[table]}
            self.awaited[table] = len(waits_for)
            for name in waits_for:
                self.followers.setdefault(name, []).append(table)


def gather_facts(project: LoadedProject, started_at: datetime) -> dict[TableName, Facts]:
    """What the files say of every table, in topological order."""
    order = project.graph.order()
    kinds = {table: (project.models[table].kind.type if table in project.models else "stream", project.graph.inputs(table)) for table in order}
    read = tables_read(kinds, order)
    facts: dict[TableName, Facts] = {}
    for table in order:
        kind, inputs = kinds[table]
        model = project.models.get(table)
        resource = model or project.stream(table)[2]
        facts[table] = Facts(
            table=table,
            kind=kind,
            inputs=inputs,
            read=read[table],
            consulted=_consulted(project, resource.table_checks),
            fingerprint=project.fingerprint(table),
            description_hash=project.definition_hash(table),
            clock=_clock(project, table, read[table], started_at) if model and kind != "view" else "",
            is_volatile=model is not None and kind != "view" and project.is_always_stale(table),
            has_checks=bool(resource.table_checks),
            publish_group=resource.publish_group,
            label_rules=rules_of(table, resource, project.policies),
        )
    return facts


def make_plan(project: LoadedProject, options: RunOptions, lake_state: LakeState, started_at: datetime, results: Mapping[TableName, str]) -> Plan:
    """Raises UnknownSelection, and UsageError for an interval that no selected model can restate."""
    facts = gather_facts(project, started_at)
    deployed: dict[TableName, TableState] = {}
    for table in facts:
        state = lake_state.find(table)
        if state is not None:
            deployed[table] = state
    fingerprints = {table: state.load.fingerprint for table, state in deployed.items() if state.load is not None}
    order = select(
        project.graph,
        options.include,
        options.exclude,
        exports=project.export_tables,
        deployed=fingerprints,
        fingerprints=project.fingerprint,
        results=results,
    )
    if options.interval is not None:
        order = project.graph.with_downstream(order)
        if not any(_is_restatable(project, table) for table in order):
            raise UsageError(
                "there is nothing to restate: no selected model is incremental by a time column",
                expected="a model of the kind {incremental: {time_column: ..}}",
                hint="without --from and --to, headwater run builds what changed",
            )
    situation = Situation(
        facts,
        frozenset(order),
        deployed,
        is_full_refresh=options.is_full_refresh,
        is_restatement=options.interval is not None,
        allows_drop=options.allow_drop,
    )
    plan = Plan(order, facts, situation, lake_state)
    plan.join()
    plan.retired = retired_by(project, options, lake_state)
    groups: dict[str, list[TableName]] = {}
    for table, fact in facts.items():
        if fact.publish_group is not None:
            groups.setdefault(fact.publish_group, []).append(table)
    plan.groups = {group: tuple(tables) for group, tables in groups.items()}
    return plan


def retired_by(project: LoadedProject, options: RunOptions, lake_state: LakeState) -> tuple[TableName, ...]:
    """The deployed tables whose file is gone: a run of all retires them."""
    if options.include or options.exclude:
        return ()
    known = {table.key for table in project.graph.nodes}
    return tuple(table for table, state in lake_state.tables.items() if table.key not in known and not state.is_retired)


def _is_restatable(project: LoadedProject, table: TableName) -> bool:
    model = project.models.get(table)
    return model is not None and isinstance(model.kind, IncrementalKind)


def _order(tables: Sequence[TableName], reads: Mapping[TableName, set[TableName]], asks: Mapping[TableName, set[TableName]]) -> tuple[TableName, ...]:
    """A topological order by what is read and, as far as there is one, by what is asked. `tables` is topological by what is read."""
    if not any(asks.values()):
        return tuple(tables)
    done: dict[TableName, None] = {}
    left = list(tables)
    while left:
        ready = [table for table in left if done.keys() >= reads[table] | asks[table]]
        if not ready:  # a circle of checks: the first whose inputs are there judges by what is published
            ready = [next(table for table in left if done.keys() >= reads[table])]
        done.update(dict.fromkeys(ready))
        left = [table for table in left if table not in done]
    return tuple(done)


def _clock(project: LoadedProject, table: TableName, read: Sequence[TableName], started_at: datetime) -> str:
    """The value of the clock as a model, or a view it reads, uses it; "" for most."""
    if not project.functions(table) & (CLOCK_FUNCTIONS | {"age"}):
        return ""
    models = [
        project.models[name] for name in (table, *read) if name in project.models and (name == table or project.models[name].kind.type == "view")
    ]
    uses = {clock_used(model.sql, project.macros) for model in models if model.sql}
    use: ClockUse = "timestamp" if "timestamp" in uses else "date" if "date" in uses else ""
    return clock_value(use, started_at, project.config.timezone)


def _consulted(project: LoadedProject, checks: Sequence[object]) -> tuple[TableName, ...]:
    found: dict[TableName, None] = {}
    for name in _tables_of(checks):
        known = project.graph.find(name)
        if known is not None:
            found[known] = None
    return tuple(found)


def _tables_of(checks: Iterable[object]) -> Iterable[TableName]:
    for check in checks:
        if isinstance(check, Relationships):
            yield TableName.parse(check.to)
        elif isinstance(check, Query):
            yield from (TableName(*parts) for parts in tables_named(check.sql) if len(parts) == 2)
