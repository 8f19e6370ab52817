"""Rows that broke their contract, as they wait in `headwater.quarantine`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater.spec.names import TableName
from headwater.storage.core import Core
from headwater.storage.state import StateReader


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """One row. `raw` is the row as it came, as JSON text, `position` where it came from; both hold values and must not reach a log."""

    id: str
    table: TableName
    load_id: str
    snapshot_id: int
    recorded_at: datetime
    state: str
    reason: str
    column_name: str | None
    position: str | None
    raw: str | None


_NEWEST = """
    SELECT id, schema_name, table_name,
        min_by(load_id, snapshot_id) AS load_id, min(snapshot_id) AS snapshot_id, min_by(recorded_at, snapshot_id) AS recorded_at,
        max_by(state, snapshot_id) AS state, any_value(reason) AS reason, any_value(column_name) AS column_name,
        any_value(position) AS position, any_value(raw) AS raw
    FROM {schema}.quarantine
    WHERE environment = ?
    GROUP BY id, schema_name, table_name
"""


def read_quarantine(core: Core, table: TableName | None, state: str | None, ids: Sequence[str] | None) -> list[QuarantinedRow]:
    """See `Lake.quarantine`."""
    conditions, parameters = ["true"], [core.environment]
    if table is not None:
        conditions.append("lower(schema_name) = ? AND lower(table_name) = ?")
        parameters += table.key
    if state is not None:
        conditions.append("state = ?")
        parameters.append(state)
    with core.reading() as (connection, _):
        reader = StateReader(connection, core.database, core.environment)
        sql = f"SELECT * FROM ({_NEWEST}) WHERE {' AND '.join(conditions)}"
        if ids is not None:
            sql += " AND list_contains(?, id)"
            rows = reader.rows(f"{sql} ORDER BY snapshot_id, id", *parameters, list(ids))
        else:
            rows = reader.rows(f"{sql} ORDER BY snapshot_id, id", *parameters)
    return [
        QuarantinedRow(
            row["id"],
            TableName(row["schema_name"], row["table_name"]),
            row["load_id"],
            row["snapshot_id"],
            row["recorded_at"],
            row["state"],
            row["reason"],
            row["column_name"],
            row["position"],
            row["raw"],
        )
        for row in rows
    ]


def count_quarantine(core: Core) -> dict[TableName, int]:
    """See `Lake.quarantine_counts`."""
    with core.reading() as (connection, _):
        reader = StateReader(connection, core.database, core.environment, core.empty_system_tables(connection))
        if not reader.has_rows("quarantine"):
            return {}
        rows = reader.rows(
            """
            SELECT schema_name, table_name, count(*) AS waiting
            FROM (
                SELECT schema_name, table_name, max_by(state, snapshot_id) AS state
                FROM {schema}.quarantine
                WHERE environment = ?
                GROUP BY id, schema_name, table_name
            )
            WHERE state = 'waiting'
            GROUP BY ALL
            """,
            core.environment,
        )
    return {TableName(row["schema_name"], row["table_name"]): row["waiting"] for row in rows}
