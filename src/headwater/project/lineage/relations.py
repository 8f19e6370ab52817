"""What the derivation works on: relations with the edges of each column, and the scopes names are looked up in.

A set of input columns is an int, one bit a column: `|` is union, which is all the derivation does with sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.spec.names import ColumnName, TableName

#: A node of DuckDB's syntax tree, as `engine.parse_tree` gives it.
Node = dict[str, Any]


class Unresolvable(Exception):
    """The lineage of a statement can't be derived column by column; the message says why. Never leaves this package."""


class Inputs:
    """The input columns of one statement, each with its bit."""

    def __init__(self) -> None:
        self._bits: dict[tuple[TableName, str], int] = {}
        self._columns: list[ColumnName] = []
        self._decoded: dict[int, frozenset[ColumnName]] = {0: frozenset()}

        self._tables: dict[tuple[str, str], TableName] = {}

    @property
    def tables(self) -> frozenset[TableName]:
        """The tables read so far."""
        return frozenset(self._tables.values())

    def table(self, table: TableName) -> TableName:
        """Notes that a table is read, and gives its name as it was first spelled."""
        return self._tables.setdefault(table.key, table)

    def bit(self, table: TableName, column: str) -> int:
        """The bit of a column. The table's name is as `table` gave it."""
        key = (table, column.lower())
        bit = self._bits.get(key)
        if bit is None:
            bit = self._bits[key] = 1 << len(self._columns)
            self._columns.append(ColumnName(table, column))
        return bit

    def columns(self, mask: int) -> frozenset[ColumnName]:
        found = self._decoded.get(mask)
        if found is None:
            found = self._decoded[mask] = frozenset(self._columns[index] for index in range(mask.bit_length()) if mask >> index & 1)
        return found


@dataclass(slots=True)
class Column:
    """One column of a relation. `name` is None while `expression`, an item without alias, hasn't been put into words yet."""

    name: str | None
    mask: int
    type: str | None = None
    expression: Node | None = None

    def renamed(self, name: str) -> Column:
        return Column(name, self.mask, self.type)


@dataclass(slots=True)
class Relation:
    """Columns in order, and the inputs that decided which rows there are.

    An *open* relation may have further columns of unknown names and positions: their edges are `rest`, or for a table whose columns aren't known,
    the column of that very name in `table`.
    """

    columns: list[Column]
    influence: int = 0
    rest: int | None = None
    table: TableName | None = None
    _lookup: dict[str, Column] | None = None
    #: Whether `lookup` has left out columns not named yet; as of the last call.
    has_unnamed: bool = False

    @property
    def is_open(self) -> bool:
        return self.rest is not None

    def everything(self) -> int:
        """The edges of all columns together, influence left out."""
        mask = self.rest or 0
        for column in self.columns:
            mask |= column.mask
        return mask

    def lookup(self) -> dict[str, Column]:
        """Columns by lower-case name. The first of equal names wins."""
        if self._lookup is None:
            self._lookup = {}
            for column in self.columns:
                if column.name is not None:
                    self._lookup.setdefault(column.name.lower(), column)
                else:
                    self.has_unnamed = True
        return self._lookup

    def forget_names(self) -> None:
        self._lookup = None
        self.has_unnamed = False


@dataclass(slots=True)
class Source:
    """A relation under the name it has in FROM. `schema` is the table's own, "" for anything but a table without alias."""

    alias: str
    schema: str
    relation: Relation


@dataclass(slots=True)
class Visible:
    """A column that `*` gives, with the source it comes from. `is_merged`: USING or NATURAL made it of several."""

    column: Column
    source: Source
    is_merged: bool = False


@dataclass(slots=True)
class Frame:
    """What a FROM clause brings: the sources by name, the columns of `*` in order, what decided the rows. `rest` as in Relation."""

    sources: list[Source] = field(default_factory=list)
    visible: list[Visible] = field(default_factory=list)
    influence: int = 0
    rest: int | None = None

    @classmethod
    def of(cls, source: Source) -> Frame:
        relation = source.relation
        return cls([source], [Visible(column, source) for column in relation.columns], relation.influence, relation.rest)


@dataclass(slots=True)
class Scope:
    """Where an expression's names are looked up: these sources, then the scopes around.

    `aliases` are the select list's own, as far as it has been read; a clause (`in_clause`) may mean an alias where a column has the same name.
    `parameters` are those of a lambda or a macro. `ctes` are the CTEs that subqueries of the expression see.
    """

    sources: list[Source]
    ctes: Mapping[str, Any]
    outer: Scope | None = None
    frame: Frame | None = None
    aliases: dict[str, int] = field(default_factory=dict)
    parameters: Mapping[str, int] | None = None
    in_clause: bool = False
    #: What an UNNEST in the select list read: it makes rows.
    row_mask: int = 0
    #: What each window is partitioned and ordered by.
    window_masks: list[int] = field(default_factory=list)

    def within(self, parameters: Mapping[str, int]) -> Scope:
        return Scope([], self.ctes, self, self.frame, parameters=parameters)


def widest(*rests: int | None) -> int | None:
    """The union of several `rest`; None when all are None."""
    known = [rest for rest in rests if rest is not None]
    if not known:
        return None
    mask = 0
    for rest in known:
        mask |= rest
    return mask


def distinct_names(names: Iterable[str]) -> list[str]:
    """The names as DuckDB tells equal ones apart where a relation needs distinct ones: `a`, `a_1`, `A_2`."""
    taken: set[str] = set()
    counts: dict[str, int] = {}
    result = []
    for name in names:
        key = name.lower()
        if key in taken:
            number = counts.get(key, 0)
            while True:
                number += 1
                candidate = f"{name}_{number}"
                if candidate.lower() not in taken:
                    break
            counts[key] = number
            name = candidate
        taken.add(name.lower())
        result.append(name)
    return result
