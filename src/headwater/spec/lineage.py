"""What a model reads, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.spec.names import ColumnName, TableName


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a table's columns come from.

    `tables`: every table read. `value`: for each output column (in order) the input columns it is computed from. `influence`: input columns
    that decided which rows there are or how they were grouped (WHERE, JOIN, GROUP BY, HAVING, QUALIFY, DISTINCT, ORDER BY with LIMIT); they influence
    every output column. Where columns couldn't be derived (`is_complete` False, `reason` says why), `value` maps what is known, and
    `influence` holds `table.*` for every table read: conservative, never too little. `columns_known` is False when the output's own names
    aren't known before it runs (a dynamic PIVOT).
    """

    tables: frozenset[TableName]
    value: Mapping[str, frozenset[ColumnName]] = field(default_factory=dict)
    influence: frozenset[ColumnName] = frozenset()
    is_complete: bool = True
    reason: str | None = None
    columns_known: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns in order, as far as known."""
        return tuple(self.value)

    @classmethod
    def conservative(cls, tables: frozenset[TableName], reason: str, columns: tuple[str, ...] = ()) -> Lineage:
        """All columns of all inputs feed and influence everything."""
        everything = frozenset(ColumnName(table, "*") for table in tables)
        return cls(tables, dict.fromkeys(columns, everything), everything, False, reason, bool(columns))

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Lineage:
        """From what a committed definition says of it: columns are written [schema, table, column]."""

        def columns(items: list[list[str]]) -> frozenset[ColumnName]:
            return frozenset(ColumnName(TableName(schema, table), column) for schema, table, column in items)

        return cls(
            tables=frozenset(TableName(*parts) for parts in body["tables"]),
            value={name: columns(items) for name, items in body["value"].items()},
            influence=columns(body["influence"]),
            is_complete=body["is_complete"],
            reason=body["reason"],
        )
