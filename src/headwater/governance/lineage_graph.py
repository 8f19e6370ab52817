"""Questions asked of lineage across tables: what a table or column comes from, and what comes from it."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from headwater.errors import UnknownSelection
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName

#: `value`: computed from. `influence`: decided which rows there are. Over several steps it is `value` only when every step is.
EdgeKind = Literal["value", "influence"]
Direction = Literal["upstream", "downstream"]
_Key = tuple[str, str, str]

#: The column that stands for a table as a whole: for its rows where it is the target of an influence edge, for any of its columns elsewhere.
WHOLE = "*"
_PARTS = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^".]+))\s*(?:\.|$)')


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One step: `target` comes from `source`. The target of an influence edge is always `table.*`: it decided the rows of every column."""

    source: ColumnName
    target: ColumnName
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class Trace:
    """The answer to one question: where it started, which way, the edges in the order they were met, and what was reached.

    `reached` maps each column (or `table.*`) to how: `value` when some path to it is value edges all the way, else `influence`.
    """

    start: TableName | ColumnName
    direction: Direction
    edges: tuple[Edge, ...]
    reached: Mapping[ColumnName, EdgeKind]

    @property
    def tables(self) -> tuple[TableName, ...]:
        """The tables reached, by name."""
        return tuple(sorted({column.table for column in self.reached}))


class LineageGraph:
    """The column edges of all tables. Immutable; names are found in any case.

    `incomplete` holds the tables whose lineage is only conservative, with the reason.
    """

    def __init__(self, lineages: Mapping[TableName, Lineage]) -> None:
        self._spelling: dict[_Key, ColumnName] = {}
        self._tables: dict[tuple[str, str], TableName] = {}
        self._columns: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self._up: dict[_Key, list[Edge]] = defaultdict(list)
        self._down: dict[_Key, list[Edge]] = defaultdict(list)
        self.incomplete: Mapping[TableName, str] = {
            table: lineage.reason or "not derived" for table, lineage in lineages.items() if not lineage.is_complete
        }
        for table, lineage in lineages.items():  # a table's own spelling and order before those of its readers
            self._tables[table.key] = table
            for column in lineage.columns:
                self._name(ColumnName(table, column))
        for table, lineage in lineages.items():
            for column, sources in lineage.value.items():
                self._add(sources, ColumnName(table, column), "value")
            self._add(lineage.influence, ColumnName(table, WHOLE), "influence")

    def _name(self, column: ColumnName) -> ColumnName:
        """The column as its own table spells it."""
        key = _key(column)
        if key not in self._spelling:
            table = self._tables.setdefault(column.table.key, column.table)
            self._spelling[key] = ColumnName(table, column.column)
            if column.column != WHOLE:
                self._columns[table.key].setdefault(key[2])
        return self._spelling[key]

    def _add(self, sources: Iterable[ColumnName], target: ColumnName, kind: EdgeKind) -> None:
        for source in sorted(sources):
            edge = Edge(self._name(source), self._name(target), kind)
            self._up[_key(target)].append(edge)
            self._down[_key(source)].append(edge)

    def find(self, text: str) -> TableName | ColumnName:
        """The table or column that `schema.table` or `schema.table.column` names, in any case. Raises UnknownSelection with the nearest name."""
        parts = [(found[1] or found[2]).replace('""', '"') for found in _PARTS.finditer(text)]
        if len(parts) in (2, 3):
            table = self._tables.get(TableName(*parts[:2]).key)
            if table is not None and len(parts) == 2:
                return table
            if table is not None:
                column = self._spelling.get((*table.key, parts[2].lower()))
                if column is not None:
                    return column
        if len(parts) == 3 and table is not None:
            columns = self.columns(table)
            near = difflib.get_close_matches(parts[2], columns, n=1)
            raise UnknownSelection(
                f"{table} has no column {parts[2]!r} that lineage knows of",
                expected=f"one of {', '.join(columns)}" if columns else None,
                hint=f"did you mean {table}.{near[0]}?" if near else None,
            )
        names = [str(table) for table in self._tables.values()]
        if len(parts) == 3:
            names += [str(column) for column in self._spelling.values() if column.column != WHOLE]
        nearest = difflib.get_close_matches(text, names, n=1)
        raise UnknownSelection(
            f"there is no table or column {text} in the lineage",
            expected="schema.table or schema.table.column",
            hint=f"did you mean {nearest[0]}?" if nearest else "headwater ls shows all tables",
        )

    def columns(self, table: TableName) -> tuple[str, ...]:
        """The columns of a table that lineage knows of; a model's in order."""
        return tuple(self._spelling[(*table.key, name)].column for name in self._columns.get(table.key, ()))

    def upstream(self, of: TableName | ColumnName, depth: int | None = None) -> Trace:
        """All that a table or column comes from, through at most `depth` tables (None: all the way)."""
        return self._trace(of, "upstream", depth)

    def downstream(self, of: TableName | ColumnName, depth: int | None = None) -> Trace:
        """All that comes from a table or column, through at most `depth` tables (None: all the way)."""
        return self._trace(of, "downstream", depth)

    def _trace(self, of: TableName | ColumnName, direction: Direction, depth: int | None) -> Trace:
        starts = self.starts(of)
        best: dict[ColumnName, EdgeKind] = dict.fromkeys(starts, "value")
        edges: dict[Edge, None] = {}
        front: dict[ColumnName, EdgeKind] = dict(best)
        steps = 0
        while front and (depth is None or steps < depth):
            following: dict[ColumnName, EdgeKind] = {}
            for column, so_far in front.items():
                for edge in self.edges(column, direction):
                    edges.setdefault(edge)
                    other = edge.source if direction == "upstream" else edge.target
                    kind: EdgeKind = "value" if so_far == edge.kind == "value" else "influence"
                    if best.get(other) not in ("value", kind):
                        best[other] = following[other] = kind
            front = following
            steps += 1
        return Trace(of, direction, tuple(edges), {column: kind for column, kind in best.items() if column not in starts})

    def starts(self, of: TableName | ColumnName) -> tuple[ColumnName, ...]:
        """A column itself; for a table its columns and the whole."""
        if isinstance(of, ColumnName):
            return (self._spelling.get(_key(of), of),)
        table = self._tables.get(of.key, of)
        return (*(ColumnName(table, name) for name in self.columns(table)), ColumnName(table, WHOLE))

    def edges(self, column: ColumnName, direction: Direction) -> Iterator[Edge]:
        """The edges one step from a column. What concerns its table as a whole concerns the column, and the whole is all columns."""
        key = _key(column)
        names: Iterable[str] = self._columns.get(key[:2], ()) if key[2] == WHOLE else (key[2],)
        edges = self._up if direction == "upstream" else self._down
        for name in (*names, WHOLE):
            yield from edges.get((*key[:2], name), ())


def _key(column: ColumnName) -> _Key:
    return (*column.table.key, column.column.lower())
