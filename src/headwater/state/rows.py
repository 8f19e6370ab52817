"""Rows of the store as the nouns of runs, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from headwater.spec.checks import Verdict
from headwater.spec.names import TableName
from headwater.spec.runs import Event, RunSummary, TaskResult
from headwater.state.statements import PlainRow

#: What `read_run`, `read_task` and `read_event` take. JSON is asked for as text, which SQLite gives anyway.
RUN_COLUMNS = """
    id, environment, command, CAST(selection AS TEXT) AS selection, status, started_at, finished_at, git_commit, git_dirty, author, principal,
    snapshot_id
"""
TASK_COLUMNS = """
    table_name, status, operation, rows_written, rows_deleted, rows_rejected, size_bytes, seconds, attempts, reason, error_code, error_text,
    CAST(verdicts AS TEXT) AS verdicts, load_id, snapshot_id
"""
EVENT_COLUMNS = "run_id, at, name, table_name, CAST(data AS TEXT) AS data"

#: The newest task of each table that did more than skip it, of the environment `:environment`.
LAST_RESULTS = f"""
    WITH done AS (
        SELECT t.*, r.started_at AS began
        FROM tasks t
        JOIN runs r ON r.id = t.run_id
        WHERE r.environment = :environment AND t.status NOT IN ('skipped', 'waiting', 'running')
    ), newest AS (
        SELECT table_name, max(began) AS began
        FROM done
        GROUP BY table_name
    )
    SELECT run_id, {TASK_COLUMNS}
    FROM done
    JOIN newest USING (table_name, began)
    ORDER BY ordinal
"""


INSERT_RUN = """
    INSERT INTO runs (
        id, environment, command, selection, status, started_at, heartbeat_at, finished_at, host, pid, process, git_commit, git_dirty, author,
        principal, snapshot_id
    ) VALUES (
        :id, :environment, :command, :selection, :status, :started_at, :heartbeat_at, :finished_at, :host, :pid, :process, :git_commit, :git_dirty,
        :author, :principal, :snapshot_id
    )
"""
INSERT_TASK = """
    INSERT INTO tasks (
        run_id, ordinal, table_name, status, operation, rows_written, rows_deleted, rows_rejected, size_bytes, seconds, attempts, reason,
        error_code, error_text, verdicts, load_id, snapshot_id
    ) VALUES (
        :run_id, :ordinal, :table_name, :status, :operation, :rows_written, :rows_deleted, :rows_rejected, :size_bytes, :seconds, :attempts, :reason,
        :error_code, :error_text, :verdicts, :load_id, :snapshot_id
    )
"""
INSERT_EVENT = "INSERT INTO events (run_id, at, name, table_name, data) VALUES (:run_id, :at, :name, :table_name, :data)"


def written_time(moment: datetime) -> str:
    """As `tables.UtcTime` keeps it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def event_row(event: Event) -> dict[str, Any]:
    table = None if event.table is None else written(event.table)
    data = json.dumps(dict(event.data))
    return {"run_id": event.run_id, "at": written_time(event.at), "name": event.name, "table_name": table, "data": data}


def read_event(row: PlainRow) -> Event:
    table = None if row["table_name"] is None else TableName.parse(row["table_name"])
    return Event(row["name"], datetime.fromisoformat(row["at"]), row["run_id"], table, json.loads(row["data"]))


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
        "verdicts": json.dumps([_dump_verdict(v) for v in result.verdicts]),
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


def read_task(row: PlainRow) -> TaskResult:
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
        verdicts=tuple(Verdict(**verdict) for verdict in json.loads(row["verdicts"])),
        load_id=row["load_id"],
        snapshot_id=row["snapshot_id"],
    )


def read_results(rows: Iterable[PlainRow]) -> dict[TableName, tuple[str, TaskResult]]:
    """The rows of LAST_RESULTS: by table the run's id, and how it went."""
    return {TableName.parse(row["table_name"]): (row["run_id"], read_task(row)) for row in rows}


def read_run(row: PlainRow, tasks: tuple[TaskResult, ...]) -> RunSummary:
    return RunSummary(
        run_id=row["id"],
        environment=row["environment"],
        status=row["status"],
        started_at=datetime.fromisoformat(row["started_at"]),
        finished_at=read_time(row["finished_at"]),
        tasks=tasks,
        git_commit=row["git_commit"],
        git_dirty=None if row["git_dirty"] is None else bool(row["git_dirty"]),
        author=row["author"],
        principal=row["principal"],
        snapshot_id=row["snapshot_id"],
        selection=tuple(json.loads(row["selection"])),
        command=row["command"],
    )
