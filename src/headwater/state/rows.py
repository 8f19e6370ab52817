"""Rows of the store as the nouns of runs, and back."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from headwater.spec.checks import Verdict
from headwater.spec.names import TableName
from headwater.spec.runs import Event, RunSummary, TaskResult


def event_row(event: Event) -> dict[str, Any]:
    table = None if event.table is None else written(event.table)
    return {"run_id": event.run_id, "at": event.at, "name": event.name, "table_name": table, "data": dict(event.data)}


def read_event(row: sa.RowMapping) -> Event:
    table = None if row["table_name"] is None else TableName.parse(row["table_name"])
    return Event(row["name"], row["at"], row["run_id"], table, row["data"])


def task_row(run_id: str, ordinal: int, result: TaskResult) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "ordinal": ordinal,
        "table_name": written(result.table),
        "status": result.status,
        "operation": result.operation,
        "rows_written": result.rows_written,
        "rows_deleted": result.rows_deleted,
        "rows_rejected": result.rows_rejected,
        "size_bytes": result.size_bytes,
        "seconds": result.seconds,
        "attempts": result.attempts,
        "reason": result.reason,
        "error_code": result.error_code,
        "error_text": result.error_text,
        "verdicts": [_dump_verdict(v) for v in result.verdicts],
        "load_id": result.load_id,
        "snapshot_id": result.snapshot_id,
    }


def written(table: TableName) -> str:
    """The name as `TableName.parse` reads it back."""
    plain = str(table)
    return plain if plain.count(".") == 1 and '"' not in plain and " " not in plain else table.sql


def _dump_verdict(verdict: Verdict) -> dict[str, Any]:
    """Without the sample: rows of tables stay in the lake."""
    return {
        "check": verdict.check,
        "type": verdict.type,
        "severity": verdict.severity,
        "passed": verdict.passed,
        "failed": verdict.failed,
        "total": verdict.total,
        "tolerance": verdict.tolerance,
        "message": verdict.message,
    }


def read_task(row: sa.RowMapping) -> TaskResult:
    return TaskResult(
        table=TableName.parse(row["table_name"]),
        status=row["status"],
        operation=row["operation"],
        rows_written=row["rows_written"],
        rows_deleted=row["rows_deleted"],
        rows_rejected=row["rows_rejected"],
        size_bytes=row["size_bytes"],
        seconds=row["seconds"],
        attempts=row["attempts"],
        reason=row["reason"],
        error_code=row["error_code"],
        error_text=row["error_text"],
        verdicts=tuple(Verdict(**verdict) for verdict in row["verdicts"]),
        load_id=row["load_id"],
        snapshot_id=row["snapshot_id"],
    )


def read_run(row: sa.RowMapping, tasks: tuple[TaskResult, ...]) -> RunSummary:
    return RunSummary(
        run_id=row["id"],
        environment=row["environment"],
        status=row["status"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        tasks=tasks,
        git_commit=row["git_commit"],
        git_dirty=row["git_dirty"],
        author=row["author"],
        snapshot_id=row["snapshot_id"],
        selection=tuple(row["selection"]),
        command=row["command"],
    )
