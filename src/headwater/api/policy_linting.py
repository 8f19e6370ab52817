"""Policies held against the columns that tables are known to have: what could only fail, or do nothing, when somebody reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from headwater.engine import Engine, Workspace
from headwater.errors import Location, Problem
from headwater.governance.labels import Labels
from headwater.orchestration import Session
from headwater.project import LoadedProject
from headwater.project.lint import LINT_RULES
from headwater.project.problems import nearest
from headwater.security.masks import hides
from headwater.spec.lineage import Lineage
from headwater.spec.models import SnapshotKind
from headwater.spec.names import TECHNICAL_COLUMNS, ColumnName, TableName
from headwater.spec.policies import Deny, Grant, LabelPattern, Mask, TablePattern, covers
from headwater.spec.sources import Stream
from headwater.storage import TableState
from headwater.storage.gate.filters import filter_fault

#: Masks that are for values of a certain type, and were chosen to leave something of them.
_OF_A_TYPE: Final = frozenset({"generalise", "noise", "partial"})
_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class KnownTables:
    """The tables of a project whose columns are all known, with the columns' types (None: not known) and labels."""

    columns: Mapping[TableName, Mapping[str, str | None]]
    labels: Mapping[TableName, Labels] = field(default_factory=dict)

    def matched(self, patterns: Sequence[TablePattern | LabelPattern]) -> list[TableName]:
        return [table for table in self.columns if any(self._matches(pattern, table) for pattern in patterns)]

    def _matches(self, pattern: TablePattern | LabelPattern, table: TableName) -> bool:
        if isinstance(pattern, TablePattern):
            return pattern.matches(table)
        return any(pattern.matches(label) for labels in self.labels.get(table, {}).values() for label in labels)


def known_columns(
    project: LoadedProject, deployed: Mapping[TableName, TableState], lineages: Mapping[TableName, Lineage]
) -> dict[TableName, dict[str, str | None]]:
    """The columns of tables as the lake has them, as frozen contracts promise them and as lineage derives them, together.

    Where the next run may make a table otherwise than the lake has it, since it or what it reads was changed, its types aren't known; and nothing is
    known where neither a contract nor lineage tells all its columns.
    """
    found: dict[TableName, dict[str, str | None]] = {}
    changed: set[TableName] = set()
    unsure: set[TableName] = set()
    for table in project.graph.order():
        state, inputs = deployed.get(table), project.graph.inputs(table)
        is_there = state is not None and not state.is_retired
        columns: dict[str, str | None] = {column.name: column.type for column in state.columns} if state is not None and is_there else {}
        told = {} if unsure.intersection(inputs) else _told(project, table, lineages.get(table))
        if unsure.intersection(inputs) or (is_there and (changed.intersection(inputs) or not _is_as_built(project, table, state))):
            changed.add(table)
            columns = dict.fromkeys(columns)
            if not told:
                unsure.add(table)
                continue
        names = {name.lower() for name in columns}
        columns |= {name: type_name for name, type_name in told.items() if name.lower() not in names}
        if columns:
            found[table] = columns
    return found


def _is_as_built(project: LoadedProject, table: TableName, state: TableState | None) -> bool:
    return state is not None and state.load is not None and state.load.fingerprint == project.fingerprint(table)


def _told(project: LoadedProject, table: TableName, lineage: Lineage | None) -> dict[str, str | None]:
    """A table's columns by its contract or its lineage, where these tell all of them."""
    model = project.models.get(table)
    if model is None:
        return _promised(project.stream(table)[2])
    if lineage is None or not (lineage.is_complete and lineage.columns_known) or isinstance(model.kind, SnapshotKind):
        return {}
    return dict.fromkeys(lineage.columns)


def _promised(stream: Stream) -> dict[str, str | None]:
    """The columns of a stream whose contract forbids others."""
    if not stream.columns or stream.schema_contract.columns != "freeze" or stream.disposition == "scd2":
        return {}
    return {**{name: column.type for name, column in stream.columns.items()}, **dict.fromkeys(TECHNICAL_COLUMNS)}


def policy_problems(project: LoadedProject, session: Session | None, known: KnownTables) -> list[Problem]:
    """Filters that can't be applied, columns that aren't there, and masks that leave nothing of what they are on."""
    return [*_filters(project, session, known), *_columns(project, known), *_masks(project, known)]


def _problem(rule: str, message: str, place: Location, expected: str | None = None, did_you_mean: str | None = None) -> Problem:
    return Problem(rule, message, place, expected, did_you_mean, severity=LINT_RULES[rule][0])


def _grants(project: LoadedProject) -> Iterator[tuple[str, Grant, _Path]]:
    for name, role in project.policies.roles.items():
        for index, grant in enumerate(role.grants):
            yield name, grant, ("roles", name, "grants", index)


def _filters(project: LoadedProject, session: Session | None, known: KnownTables) -> Iterator[Problem]:
    filtered = [(role, grant, path) for role, grant, path in _grants(project) if grant.where is not None]
    if not filtered:
        return
    macros = frozenset(project.macro_definitions)
    with ExitStack() as stack:
        engine = session.engine if session is not None else stack.enter_context(Engine(threads=1))
        workspace = stack.enter_context(Workspace(engine, macros=project.macros))
        connection = stack.enter_context(workspace.connection())
        for role, grant, path in filtered:
            faults: dict[str, list[TableName]] = {}
            everywhere: set[str] = set()
            for table in known.matched(grant.on):
                fault = filter_fault(connection, table, grant.where or "", lambda name: _of(project, known, name), macros)
                if fault is not None:
                    faults.setdefault(fault.text, []).append(table)
                    everywhere |= set() if fault.is_of_table else {fault.text}
            for text, tables in faults.items():
                where = "" if text in everywhere else f" in {', '.join(map(str, tables))}"
                yield _problem(
                    "filter-not-applicable",
                    f"the row filter of the role {role} {text}{where}",
                    project.policy_place((*path, "where")),
                    "a condition over the own columns of every table that the grant is on",
                )


def _of(project: LoadedProject, known: KnownTables, name: TableName) -> Mapping[str, str | None] | None:
    found = project.graph.find(name)
    return known.columns.get(found) if found is not None else None


def _columns(project: LoadedProject, known: KnownTables) -> Iterator[Problem]:
    """Columns of grants and denials that none of their tables has: such a grant gives less than it says, and such a denial keeps nothing."""
    rights: list[tuple[str, Grant | Deny, _Path]] = [(f"the role {role}", grant, path) for role, grant, path in _grants(project)]
    rights += [("a denial", deny, ("deny", index)) for index, deny in enumerate(project.policies.deny)]
    for subject, right, path in rights:
        if not right.columns or any(isinstance(pattern, LabelPattern) for pattern in right.on):
            continue
        meant = [table for table in project.graph.nodes if any(isinstance(one, TablePattern) and one.matches(table) for one in right.on)]
        if not meant or any(table not in known.columns for table in meant):
            continue
        names = {name.lower(): name for table in meant for name in known.columns[table]}
        for column in right.columns:
            if column.lower() not in names:
                yield _problem(
                    "unknown-policy-column",
                    f"{subject} names the column {column}, which no table that it is on has ({', '.join(map(str, meant))})",
                    project.policy_place((*path, "columns")),
                    did_you_mean=nearest(column, names.values()),
                )


def _masks(project: LoadedProject, known: KnownTables) -> Iterator[Problem]:
    names = {name.lower() for name in project.policies.masks}
    for name, mask in project.policies.masks.items():
        place = project.policy_place(("masks", name), True)
        column = _column_of(project, name)
        if column is not None:
            yield from _column_mask(known, column, mask, place)
        for table, labels in known.labels.items():
            for labelled, given in labels.items():
                type_name = next((kind for one, kind in known.columns.get(table, {}).items() if one.lower() == labelled), None)
                is_meant = mask.kind in _OF_A_TYPE and any(_rule_of(project, label) == name for label in given)
                is_named = f"{table}.{labelled}".lower() in names
                if is_meant and not is_named and type_name is not None and hides(mask, type_name):
                    yield _problem(
                        "mask-hides", f"the mask {mask} of {name} leaves nothing of {table}.{labelled}, which is {type_name}", place,
                        f"a mask for {table}.{labelled} of its own",
                    )  # fmt: skip


def _rule_of(project: LoadedProject, label: str) -> str | None:
    return max((name for name in project.policies.masks if covers(name, label)), key=len, default=None)


def _column_of(project: LoadedProject, name: str) -> ColumnName | None:
    """The column when the mask's name is that of one in a table, or in a schema, of the project; else it is a label."""
    try:
        column = ColumnName.parse(name)
    except ValueError:
        return None
    schemas = {table.schema.lower() for table in project.graph.nodes}
    found = project.graph.find(column.table)
    if found is not None:
        return ColumnName(found, column.column)
    return column if column.table.schema.lower() in schemas else None


def _column_mask(known: KnownTables, column: ColumnName, mask: Mask, place: Location) -> Iterator[Problem]:
    columns = known.columns.get(column.table)
    if columns is None:
        return
    types = {name.lower(): type_name for name, type_name in columns.items()}
    if column.column.lower() not in types:
        guess = nearest(column.column, columns)
        yield _problem(
            "unknown-policy-column",
            f"a mask is for {column}, and {column.table} has no such column",
            place,
            did_you_mean=None if guess is None else f"{column.table}.{guess}",
        )
        return
    type_name = types[column.column.lower()]
    if type_name is not None and mask.kind in _OF_A_TYPE and hides(mask, type_name):
        yield _problem(
            "mask-not-applicable", f"the mask {mask} can't be applied to {column}, which is {type_name}: nothing of it would be seen", place
        )
