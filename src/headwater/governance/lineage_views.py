"""Lineage to look at: a tree in plain text, JSON, a Mermaid flowchart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headwater.governance.lineage_graph import WHOLE, Direction, EdgeKind, LineageGraph, Trace
from headwater.spec.names import EXPORTS_SCHEMA, ColumnName, TableName

_EXPORT = f"{EXPORTS_SCHEMA}."
_HEADINGS = {"upstream": "comes from", "downstream": "leads to"}
_ESCAPED = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;", "\\": "#92;", "\n": " ", "\r": " "}


@dataclass(frozen=True)
class LineageView:
    """One table or column, its traces up and down as asked for, to be rendered."""

    graph: LineageGraph
    traces: tuple[Trace, ...]

    @classmethod
    def of(
        cls, graph: LineageGraph, name: TableName | ColumnName, *, upstream: bool = True, downstream: bool = True, depth: int | None = None
    ) -> LineageView:
        traces = []
        if upstream:
            traces.append(graph.upstream(name, depth))
        if downstream:
            traces.append(graph.downstream(name, depth))
        return cls(graph, tuple(traces))

    @property
    def tables(self) -> frozenset[TableName]:
        """All that it shows; exports aren't among them, for the tables that they send are."""
        met = {trace.start.table if isinstance(trace.start, ColumnName) else trace.start for trace in self.traces}
        return frozenset(table for table in met.union(*(trace.tables for trace in self.traces)) if table.schema != EXPORTS_SCHEMA)

    def render(self, format: Literal["tree", "json", "mermaid"] | str = "tree") -> str:
        """The text in that format, without a newline at the end. Raises ValueError for another format."""
        match format:
            case "tree":
                return "\n\n".join(render_tree(self.graph, trace) for trace in self.traces)
            case "json":
                return json.dumps(as_json(self.graph, self.traces), ensure_ascii=False, indent=2)
            case "mermaid":
                return render_mermaid(self.traces)
        raise ValueError(f"there is no format {format!r}; expected tree, json or mermaid")


def as_json(graph: LineageGraph, traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """A list with one object for each trace.

    `start` ("schema.table" or "schema.table.column"), `direction`, `edges` (each `source` and `target` as {schema, table, column}, and `kind`:
    "value" or "influence"), `reached` (each {schema, table, column, kind}), `incomplete` (tables on the way whose lineage is only conservative:
    name to reason). The column "*" stands for a table as a whole.
    """
    documents = []
    for trace in traces:
        met = {*trace.tables, trace.start.table if isinstance(trace.start, ColumnName) else trace.start}
        documents.append(
            {
                "start": str(trace.start),
                "direction": trace.direction,
                "edges": [{"source": _parts(edge.source), "target": _parts(edge.target), "kind": edge.kind} for edge in trace.edges],
                "reached": [{**_parts(column), "kind": kind} for column, kind in sorted(trace.reached.items())],
                "incomplete": {str(table): reason for table, reason in graph.incomplete.items() if table in met},
            }
        )
    return documents


def _shown(name: TableName | ColumnName) -> str:
    """As people know it: exports stand in the graph as tables of a schema of their own."""
    text = str(name)
    return f"export:{text.removeprefix(_EXPORT)}" if text.startswith(_EXPORT) else text


def _parts(column: ColumnName) -> dict[str, str]:
    return {"schema": column.table.schema, "table": column.table.name, "column": column.column}


# -- tree ------------------------------------------------------------------------------------------------------------


def render_tree(graph: LineageGraph, trace: Trace) -> str:
    """One line a column, indented below what it was reached from; what was shown before is not unfolded again.

    Columns that only decided the rows stand below `rows of schema.table`. Below the tree, the tables whose lineage is only conservative.
    """
    lines = [f"{_shown(trace.start)} {_HEADINGS[trace.direction]}"]
    branches = _Branches(graph, trace)
    roots = graph.starts(trace.start)
    if isinstance(trace.start, ColumnName):
        lines += branches.lines(branches.of(roots[0], "value"))
    else:
        shown = [(root, None) for root in roots if root.column != WHOLE or branches.of(root, None)]
        lines += branches.lines(shown if any(branches.of(*root) for root in shown) else [])
    if len(lines) == 1:
        lines.append("└── nothing")
    met = {*trace.tables, trace.start.table if isinstance(trace.start, ColumnName) else trace.start}
    reasons = [f"{_shown(table)}: {reason}" for table, reason in sorted(graph.incomplete.items()) if table in met]
    if reasons:
        lines += ["columns that can't be traced count as coming from every column:", *(f"  {reason}" for reason in reasons)]
    return "\n".join(lines)


class _Branches:
    """The trace's edges as branches of a tree."""

    def __init__(self, graph: LineageGraph, trace: Trace) -> None:
        self._graph = graph
        self._direction: Direction = trace.direction
        self._edges = frozenset(trace.edges)

    def of(self, column: ColumnName, kind: EdgeKind | None) -> list[tuple[ColumnName, EdgeKind | None]]:
        """What hangs below a column that was reached by an edge of that kind: value edges, then what concerns rows.

        `kind` is None for `table.*` as a branch of the table's own: then only what concerns the whole hangs below it.
        """
        found: dict[ColumnName, EdgeKind | None] = {}
        has_rows = False
        for edge in self._graph.edges(column, self._direction):
            here, other = (edge.target, edge.source) if self._direction == "upstream" else (edge.source, edge.target)
            if edge not in self._edges or (kind is None and column.column == WHOLE and here != column):
                continue
            if self._direction == "upstream" and edge.kind == "influence" and column.column != WHOLE:
                has_rows = True
            elif found.get(other) != "value":
                found[other] = edge.kind
        branches = sorted(found.items(), key=lambda item: (item[1] != "value", item[0]))
        return [*branches, (ColumnName(column.table, WHOLE), None)] if has_rows else branches

    def lines(self, roots: Sequence[tuple[ColumnName, EdgeKind | None]]) -> Iterator[str]:
        shown: set[tuple[ColumnName, bool]] = set()
        pending = [(column, kind, "", index == 0) for index, (column, kind) in enumerate(reversed(roots))]
        while pending:  # a stack, not recursion: chains of models may be long
            column, kind, indent, is_last = pending.pop()
            further = self.of(column, kind)
            is_known = (column, kind is None) in shown and bool(further)
            yield f"{indent}{'└── ' if is_last else '├── '}{self._label(column, kind)}{' (see above)' if is_known else ''}"
            if not is_known:
                shown.add((column, kind is None))
                deeper = indent + ("    " if is_last else "│   ")
                pending += [(other, how, deeper, index == 0) for index, (other, how) in enumerate(reversed(further))]

    def _label(self, column: ColumnName, kind: EdgeKind | None) -> str:
        if column.column != WHOLE:
            return _shown(column) + (" (decides rows)" if kind == "influence" else "")
        is_rows = kind is None or (kind == "influence" and self._direction == "downstream")
        return (
            f"rows of {_shown(column.table)}"
            if is_rows
            else f"{_shown(column.table)}, any column" + (" (decides rows)" if kind == "influence" else "")
        )


# -- mermaid ---------------------------------------------------------------------------------------------------------


def render_mermaid(traces: Sequence[Trace]) -> str:
    """A flowchart from left to right: a box for each table with its columns in it, value edges drawn through, influence edges dotted."""
    columns: dict[TableName, dict[ColumnName, str]] = {}
    edges = dict.fromkeys(edge for trace in traces for edge in trace.edges)
    ends = [end for edge in edges for end in (edge.source, edge.target)]
    ends += [trace.start for trace in traces if isinstance(trace.start, ColumnName)]
    numbers = {column: f"c{number}" for number, column in enumerate(dict.fromkeys(ends))}
    for column, number in numbers.items():
        columns.setdefault(column.table, {})[column] = number
    lines = ["flowchart LR"]
    for index, (table, inside) in enumerate(columns.items()):
        lines.append(f'    subgraph t{index}["{_escaped(_shown(table))}"]')
        for column, name in inside.items():
            lines.append(f'        {name}(["all columns"])' if column.column == WHOLE else f'        {name}["{_escaped(column.column)}"]')
        lines.append("    end")
    for edge in edges:
        lines.append(f"    {numbers[edge.source]} {'-->' if edge.kind == 'value' else '-.->'} {numbers[edge.target]}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(char, char) for char in text)
