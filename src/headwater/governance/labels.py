"""Labels of a model's columns, from those of the columns they are computed from. Pure.

A label given to a column comes to every column computed from it, through all models, until a declassifier ends it. Where lineage isn't known column
by column, all columns of the inputs count: too many labels close a column that could be open, too few would open one that must be closed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.spec.lineage import Lineage
from headwater.spec.models import Model
from headwater.spec.names import ColumnName, TableName
from headwater.spec.policies import Policies, covers
from headwater.spec.sources import Stream

#: In lineage: all columns of a table.
_ALL = "*"

#: The labels of a table's columns, by the column's name in lower case; columns without any are left out.
Labels = Mapping[str, tuple[str, ...]]
#: For each labelled column its labels, and for each of these the columns it came from directly: the column itself where its definition gives it.
Origins = Mapping[str, Mapping[str, tuple[ColumnName, ...]]]


@dataclass(frozen=True, slots=True)
class LabelRules:
    """What the files say of one table's labels. Columns are in lower case.

    `own` are the labels its definition gives; `ended` those that don't reach a column (nor ones under them); `has_influence` whether columns that
    only decided which rows there are pass theirs on too.
    """

    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ended: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    has_influence: bool = False


def rules_of(table: TableName, resource: Model | Stream, policies: Policies) -> LabelRules:
    """The rules for one table of a project."""
    own = {name.lower(): tuple(column.labels) for name, column in resource.columns.items() if column.labels}
    ended: dict[str, tuple[str, ...]] = {}
    for entry in policies.declassify:
        column = _parsed(entry.column)
        if column.table.key == table.key:
            name = column.column.lower()
            ended[name] = (*ended.get(name, ()), *entry.labels)
    return LabelRules(own, ended, policies.influence)


_parsed = functools.lru_cache(maxsize=10_000)(ColumnName.parse)


def label_columns(
    table: TableName,
    columns: Sequence[str],
    rules: LabelRules,
    lineage: Lineage | None,
    inputs: Mapping[tuple[str, str], Labels],
    *,
    before: Origins | None = None,
    kept: Origins | None = None,
) -> Origins:
    """The labels of a table's columns, each with where it came from.

    `lineage` is None for a table that isn't computed (a stream). `inputs` are the labels of what it reads, by the tables' keys. `before` are the
    labels it has: of a column that lineage doesn't know, since only older rows have it, they stay. `kept` are labels of rows that other code made
    and that are still there.
    """
    edges = {name.lower(): sources for name, sources in lineage.value.items()} if lineage is not None else {}
    through_rows = _labels_from(lineage.influence, inputs) if lineage is not None and rules.has_influence else {}
    past, earlier = _by_lower(before or {}), _by_lower(kept or {})
    found: dict[str, dict[str, tuple[ColumnName, ...]]] = {}
    for column in columns:
        name = column.lower()
        is_known = lineage is None or name in edges
        inherited = _united(_labels_from(edges.get(name, ()), inputs), through_rows, earlier.get(name, {}), {} if is_known else past.get(name, {}))
        ended = rules.ended.get(name, ())
        labels = {label: sources for label, sources in inherited.items() if not any(covers(end, label) for end in ended)}
        own = {label: (ColumnName(table, column),) for label in rules.own.get(name, ())}
        labels = _united(labels, own)
        if labels:
            found[column] = dict(sorted(labels.items()))
    return found


def _labels_from(sources: Iterable[ColumnName], inputs: Mapping[tuple[str, str], Labels]) -> dict[str, tuple[ColumnName, ...]]:
    found: dict[str, set[ColumnName]] = {}
    for source in sources:
        labels = inputs.get(source.table.key)
        if not labels:
            continue
        names = labels if source.column == _ALL else (source.column.lower(),)
        for name in names:
            for label in labels.get(name, ()):
                found.setdefault(label, set()).add(source if source.column != _ALL else ColumnName(source.table, name))
    return {label: tuple(sorted(columns)) for label, columns in found.items()}


def _united(*parts: Mapping[str, tuple[ColumnName, ...]]) -> dict[str, tuple[ColumnName, ...]]:
    found: dict[str, dict[ColumnName, None]] = {}
    for part in parts:
        for label, columns in part.items():
            found.setdefault(label, {}).update(dict.fromkeys(columns))
    return {label: tuple(sorted(columns)) for label, columns in found.items()}


def _by_lower(origins: Origins) -> dict[str, Mapping[str, tuple[ColumnName, ...]]]:
    return {name.lower(): labels for name, labels in origins.items()}


def united(first: Origins, second: Origins) -> Origins:
    """Both together; columns named as the first names them."""
    spelling = {name.lower(): name for name in (*second, *first)}
    left, right = _by_lower(first), _by_lower(second)
    return {name: _united(left.get(low, {}), right.get(low, {})) for low, name in spelling.items()}


def project_labels(
    resources: Iterable[tuple[TableName, Model | Stream]], columns: Mapping[TableName, Iterable[str]], lineages: Mapping[TableName, Lineage],
    policies: Policies,
) -> dict[TableName, Origins]:  # fmt: skip
    """The labels that all tables of a project will have, inputs first in `resources`. `columns` are those of streams."""
    found: dict[TableName, Origins] = {}
    labels: dict[tuple[str, str], Labels] = {}
    for table, resource in resources:
        lineage = lineages.get(table)
        names = tuple(columns.get(table, ())) if lineage is None else lineage.columns
        found[table] = label_columns(table, names, rules_of(table, resource, policies), lineage, labels)
        labels[table.key] = {column.lower(): tuple(given) for column, given in found[table].items()}
    return found


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two masks, by the labels they are for, that are equally specific, differ, and meet on a column. `applied` is the stricter one."""

    column: ColumnName
    applied: str
    other: str


def conflicting_masks(labels: Mapping[TableName, Origins], policies: Policies) -> list[Conflict]:
    """Each pair of masks that meet once, with the first column they meet on."""
    masks = policies.masks
    by_column = {name.lower() for name in masks}
    found: dict[tuple[str, str], Conflict] = {}
    for table, origins in labels.items():
        for column, given in origins.items():
            if f"{table}.{column}".lower() in by_column:
                continue
            rules = {max((name for name in masks if covers(name, label)), key=len, default=None) for label in given}
            names = sorted((name for name in rules if name is not None), key=lambda name: (masks[name].rank, name))
            for index, applied in enumerate(names):
                for other in names[index + 1 :]:
                    if applied.count(".") == other.count(".") and masks[applied] != masks[other]:
                        found.setdefault((applied, other), Conflict(ColumnName(table, column), applied, other))
    return list(found.values())


# -- as JSON ---------------------------------------------------------------------------------------------------------


def dump_origins(origins: Origins) -> dict[str, dict[str, list[list[str]]]]:
    """As a definition's body holds them: {column: {label: [[schema, table, column], ..]}}."""
    return {
        name: {label: [[column.table.schema, column.table.name, column.column] for column in columns] for label, columns in labels.items()}
        for name, labels in origins.items()
    }


def read_origins(body: Any) -> Origins:
    """The reverse of `dump_origins`; nothing for None."""
    return {
        name: {label: tuple(ColumnName(TableName(schema, table), column) for schema, table, column in columns) for label, columns in labels.items()}
        for name, labels in (body or {}).items()
    }
