"""Lineage of all models of a project, inputs first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.errors import HeadwaterError
from headwater.project.lineage.cache import LineageCache
from headwater.project.lineage.derive import derive_lineage, reconcile, respell
from headwater.spec.lineage import Lineage
from headwater.spec.models import IncrementalKind, Model, SnapshotKind
from headwater.spec.names import ColumnName, TableName

if TYPE_CHECKING:
    from headwater.project.loaded import LoadedProject


def derive_all(
    project: LoadedProject,
    known_columns: Mapping[TableName, Sequence[str] | Mapping[str, str]],
    *,
    cache: LineageCache | None = None,
    told: Mapping[TableName, Lineage] | None = None,
) -> dict[TableName, Lineage]:
    """The lineage of every model, in graph order. Never raises: a model whose lineage can't be derived has a conservative one, with the reason.

    `known_columns` are those of the tables that exist (streams above all), names or names to types. A model's own come from its SQL, and from
    `known_columns` where that can't tell. `told` is what is known of Python models (recorded when they ran); without it they are conservative.
    """
    known = {table.key: columns for table, columns in known_columns.items()}
    derived: dict[TableName, Lineage] = {}
    by_key: dict[tuple[str, str], Sequence[str]] = {}

    def columns_of(table: TableName) -> Sequence[str] | Mapping[str, str] | None:
        names = by_key.get(table.key)
        found = known.get(table.key)
        if names is None:
            return found
        if isinstance(found, Mapping) and tuple(found) == tuple(names):  # as deployed, so the types hold
            return found
        return names

    macros = tuple(macro.sql for macro in project.macro_definitions.values())
    derive = cache.derive if cache is not None else derive_lineage
    for table in project.graph.order():
        model = project.models.get(table)
        if model is None:
            continue
        existing = known.get(table.key)
        if model.language == "python":
            lineage = (told or {}).get(table) or _opaque(model, tuple(existing or ()))
        else:
            try:
                lineage = respell(derive(model.sql, columns_of, macros=macros), project.graph.find)
            except HeadwaterError as error:
                lineage = Lineage.conservative(frozenset(project.graph.inputs(table)), error.what, tuple(existing or ()))
        lineage = _kept(model, lineage)
        if not lineage.columns_known and existing:
            lineage = reconcile(lineage, tuple(existing))
        derived[table] = lineage
        if lineage.columns_known:
            by_key[table.key] = lineage.columns
    return derived


def _opaque(model: Model, columns: tuple[str, ...]) -> Lineage:
    tables = frozenset(model.arguments.values())
    return Lineage.conservative(tables, f"{model.path} is Python, which isn't read for columns", columns or tuple(model.columns))


def _kept(model: Model, lineage: Lineage) -> Lineage:
    """What the model's kind adds: a snapshot's validity columns, and the columns that decide which rows are kept or replaced."""
    edges = {name.lower(): columns for name, columns in lineage.value.items()}

    def of(names: Sequence[str]) -> frozenset[ColumnName]:
        wanted = edges if "*" in names else [name.lower() for name in names]
        return frozenset().union(*(edges.get(name, frozenset()) for name in wanted))

    match model.kind:
        case SnapshotKind() as kind:
            deciding = of((*kind.key, *kind.check, *((kind.updated_at,) if kind.updated_at else ())))
            value = {**lineage.value, kind.valid_from: deciding, kind.valid_to: deciding} if lineage.columns_known else lineage.value
            return replace(lineage, value=value, influence=lineage.influence | deciding)
        case IncrementalKind() as kind:
            return replace(lineage, influence=lineage.influence | of((kind.time_column, *kind.unique_key)))
        case _:
            return lineage
