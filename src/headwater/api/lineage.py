"""Lineage of a whole project: derived from its files, with what the lake knows of columns where it can be asked."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.governance.lineage_graph import LineageGraph
from headwater.governance.lineage_views import LineageView
from headwater.orchestration import Session
from headwater.project import LoadedProject
from headwater.project.lineage import LineageCache, derive_all
from headwater.spec.lineage import Lineage
from headwater.spec.names import EXPORTS_SCHEMA, ColumnName, TableName
from headwater.storage import TableState


def _lineages(project: LoadedProject, deployed: Mapping[TableName, TableState]) -> dict[TableName, Lineage]:
    """The lineage of every model. Columns of streams are those in the lake, else those that the contract declares. Kept in `.headwater/cache`."""
    known: dict[TableName, Mapping[str, str]] = {}
    told: dict[TableName, Lineage] = {}
    for table, node in project.graph.nodes.items():
        if node.kind == "stream":
            declared = project.stream(table)[2].columns
            known[table] = {name: column.type or "VARCHAR" for name, column in declared.items()}
    for table, state in deployed.items():
        name = project.graph.find(table)
        if name is None or state.is_retired:
            continue
        known[name] = {column.name: column.type for column in state.columns}
        recorded = state.definition.body.get("lineage")
        if name in project.models and project.models[name].language == "python" and recorded:
            told[name] = Lineage.from_json(recorded)
    cache = LineageCache(project.directory / ".headwater" / "cache" / "lineage.json")
    found = derive_all(project, {table: columns for table, columns in known.items() if columns}, cache=cache, told=told)
    cache.save()
    return found


def _of_exports(project: LoadedProject, lineages: Mapping[TableName, Lineage]) -> dict[TableName, Lineage]:
    """The exports as if they were tables, each of the schema that holds what they acknowledged: at their columns, as the destination calls them."""
    found = {}
    for name, export in project.exports.items():
        table = project.find(export.table_name)
        columns = export.columns or {column: column for column in (lineages[table].columns if table in lineages else ())}
        if not columns and table not in project.models:
            columns = {column: column for column in project.stream(table)[2].columns}
        sources = {target: frozenset({ColumnName(table, column)}) for column, target in columns.items()}
        tables = frozenset({table})
        found[TableName(EXPORTS_SCHEMA, name)] = (
            Lineage(tables, sources) if sources else Lineage.conservative(tables, "it sends all columns that its principal sees")
        )
    return found


def view_lineage(project: LoadedProject, session: Session | None, name: str, *, upstream: bool, downstream: bool) -> LineageView:
    """See `Project.lineage`."""
    lineages = _lineages(project, session.lake.state().tables if session is not None else {})
    graph = LineageGraph({**lineages, **_of_exports(project, lineages)})
    name = f"{EXPORTS_SCHEMA}.{name.removeprefix('export:')}" if name.startswith("export:") else name
    return LineageView.of(graph, graph.find(name), upstream=upstream, downstream=downstream)
