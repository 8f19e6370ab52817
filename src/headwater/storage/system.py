"""The lake's system tables (schema `headwater`): what they are, and writing rows into them.

All are insert-only and keyed by environment; each row carries the snapshot its commit made. What is true now is the newest row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from headwater.engine import Connection
from headwater.spec.names import SYSTEM_SCHEMA, quote, quote_literal

#: The layout of the system tables. Raised when they change; newer layouts are refused, older ones upgraded at open.
FORMAT_VERSION: Final = 1

_KEY = {"environment": "VARCHAR", "schema_name": "VARCHAR", "table_name": "VARCHAR", "snapshot_id": "BIGINT"}

SYSTEM_TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "format": {"version": "INTEGER", "lake_id": "VARCHAR", "written_by": "VARCHAR", "created_at": "TIMESTAMPTZ"},
    "loads": {
        **_KEY,
        "load_id": "VARCHAR",
        "operation": "VARCHAR",
        "run_id": "VARCHAR",
        "token": "BIGINT",
        "has_changed": "BOOLEAN",
        "started_at": "TIMESTAMPTZ",
        "committed_at": "TIMESTAMPTZ",
        "rows_read": "BIGINT",
        "rows_written": "BIGINT",
        "rows_deleted": "BIGINT",
        "rows_rejected": "BIGINT",
        "size_bytes": "BIGINT",
        "inputs": "VARCHAR",
        "fingerprint": "VARCHAR",
        "clock": "VARCHAR",
        "interval_start": "VARCHAR",
        "interval_end": "VARCHAR",
        "failed_checks": "VARCHAR[]",
        "author": "VARCHAR",
        "note": "VARCHAR",
    },
    "positions": {**_KEY, "load_id": "VARCHAR", "token": "BIGINT", "is_delta": "BOOLEAN", "value": "VARCHAR"},
    "verdicts": {
        **_KEY,
        "load_id": "VARCHAR",
        "check_name": "VARCHAR",
        "check_type": "VARCHAR",
        "severity": "VARCHAR",
        "passed": "BOOLEAN",
        "failed": "BIGINT",
        "total": "BIGINT",
        "tolerance": "DOUBLE",
        "message": "VARCHAR",
        "sample": "VARCHAR[]",
    },
    "quarantine": {
        **_KEY,
        "id": "VARCHAR",
        "load_id": "VARCHAR",
        "state": "VARCHAR",
        "position": "VARCHAR",
        "reason": "VARCHAR",
        "column_name": "VARCHAR",
        "raw": "VARCHAR",
        "recorded_at": "TIMESTAMPTZ",
    },
    "publications": {
        **_KEY,
        "mode": "VARCHAR",
        "published_snapshot": "BIGINT",
        "changed_snapshot": "BIGINT",
        "reason": "VARCHAR",
        "author": "VARCHAR",
        "recorded_at": "TIMESTAMPTZ",
    },
    "definitions": {
        **_KEY,
        "kind": "VARCHAR",
        "fingerprint": "VARCHAR",
        "sql": "VARCHAR",
        "description": "VARCHAR",
        "inputs": "VARCHAR",
        "body": "VARCHAR",
        "partition_by": "VARCHAR[]",
        "sort_by": "VARCHAR[]",
        "is_retired": "BOOLEAN",
    },
    "columns": {
        **_KEY,
        "position": "INTEGER",
        "name": "VARCHAR",
        "type": "VARCHAR",
        "nullable": "BOOLEAN",
        "description": "VARCHAR",
        "labels": "VARCHAR[]",
    },
}

Row = dict[str, Any]


def create_statements(database: str) -> list[str]:
    """The SQL that makes the system tables; each does nothing where its table stands."""
    schema = f"{quote(database)}.{quote(SYSTEM_SCHEMA)}"
    statements = [f"CREATE SCHEMA IF NOT EXISTS {schema}"]
    for name, columns in SYSTEM_TABLES.items():
        listed = ", ".join(f"{quote(column)} {type_name}" for column, type_name in columns.items())
        statements.append(f"CREATE TABLE IF NOT EXISTS {schema}.{quote(name)} ({listed})")
    return statements


@dataclass(slots=True)
class SystemRows:
    """Rows for (or of) the system tables, by table."""

    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: str, row: Row) -> None:
        self.rows.setdefault(table, []).append(row)

    def extend(self, table: str, rows: Iterable[Row]) -> None:
        self.rows.setdefault(table, []).extend(rows)

    def of(self, table: str) -> Sequence[Row]:
        return self.rows.get(table, ())

    def write(self, connection: Connection, database: str) -> None:
        """One INSERT per system table, on the connection's open transaction."""
        for table, rows in self.rows.items():
            if rows:
                columns = ", ".join(quote(column) for column in SYSTEM_TABLES[table])
                connection.execute(
                    f"""
                    INSERT INTO {quote(database)}.{quote(SYSTEM_SCHEMA)}.{quote(table)} ({columns})
                    SELECT {columns}
                    FROM (SELECT unnest(from_json({quote_literal(_rows_json(table, rows))}, {quote_literal(_SHAPES[table])}), recursive := true))
                    """
                )


def _shape(columns: Mapping[str, str]) -> str:
    """The columns as `from_json` wants them: a list of objects."""
    return json.dumps([{name: [type_name[:-2]] if type_name.endswith("[]") else type_name for name, type_name in columns.items()}])


_SHAPES: Final = {table: _shape(columns) for table, columns in SYSTEM_TABLES.items()}


def _rows_json(table: str, rows: Sequence[Row]) -> str:
    """The rows as one JSON text: it needs neither Arrow nor pandas, whose import would cost more than most commits."""
    columns = SYSTEM_TABLES[table]
    text = json.dumps([{name: row.get(name) for name in columns} for row in rows], default=_json_time)
    return text.encode("utf-8", "replace").decode()


def _json_time(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} in a row of a system table")


def to_json(value: object) -> str:
    """Compact JSON, keys in order, so that equal values are equal texts."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, default=str)
