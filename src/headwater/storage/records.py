"""The rows that a change leaves in the system tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from headwater.spec.names import TableName
from headwater.spec.tables import Column
from headwater.storage.changes import NEVER_PUBLISHED, THIS_COMMIT, Definition, PublicationMode, TableChange, TableState
from headwater.storage.system import Row, SystemRows, to_json


def _key(environment: str, table: TableName, snapshot_id: int) -> Row:
    return {"environment": environment, "schema_name": table.schema, "table_name": table.name, "snapshot_id": snapshot_id}


def record_rows(
    rows: SystemRows,
    environment: str,
    change: TableChange,
    known: TableState | None,
    columns: tuple[Column, ...],
    base: int,
    now: datetime,
    author: str,
    rows_deleted: int,
    versions: Mapping[tuple[str, str], int],
) -> None:
    """Adds what `change` leaves behind when it is committed on snapshot `base`, where `known` was the table's state.

    `versions` holds, by key, the `changed_snapshot` of each table of the commit (`changed_version`).
    """
    table = known.table if known else change.table
    key = _key(environment, table, base + 1)
    has_new_definition = known is None or not same_definition(known.definition, change.definition) or known.is_retired != change.retire
    arrangement = (change.partition_by, change.sort_by) if change.staged is not None or known is None else (known.partition_by, known.sort_by)
    if has_new_definition or (known is not None and arrangement != (known.partition_by, known.sort_by)):
        rows.add("definitions", definition_row(environment, table, base + 1, change.definition, arrangement, change.retire))
    if columns and (known is None or known.columns != columns):
        rows.extend("columns", column_rows(environment, table, base + 1, columns))
    rows.add("loads", {**key, **_load(change, now, author, rows_deleted, versions, base + 1)})
    if change.position is not None:
        position = {
            "load_id": change.load.load_id,
            "token": change.token,
            "is_delta": change.position.is_delta,
            "value": to_json(change.position.value),
        }
        rows.add("positions", {**key, **position})
    for verdict in change.verdicts:
        row = {
            "load_id": change.load.load_id,
            "check_name": verdict.check,
            "check_type": verdict.type,
            "severity": verdict.severity,
            "passed": verdict.passed,
            "failed": verdict.failed,
            "total": verdict.total,
            "tolerance": verdict.tolerance,
            "message": verdict.message,
            "sample": list(verdict.sample),
        }
        rows.add("verdicts", {**key, **row})
    for closing in change.closings:
        for item in closing.ids:
            rows.add("quarantine", {**key, "id": item, "load_id": change.load.load_id, "state": closing.state, "recorded_at": now})
    publication = publication_row(environment, table, change, known, base, now, author)
    if publication is not None:
        rows.add("publications", publication)


def changed_version(change: TableChange, known: TableState | None, columns: tuple[Column, ...], rows_deleted: int, snapshot_id: int) -> int:
    """The newest commit that changed the table's rows or (for a view) its statement, once `change` is committed as `snapshot_id`."""
    if known is None:
        return snapshot_id
    if change.definition.kind == "view" or known.definition.kind == "view":
        return known.changed_snapshot if _same_rows(known.definition, change.definition) else snapshot_id
    has_changed = rows_deleted > 0 or bool(change.staged and change.staged.rows) or (bool(columns) and _shape(known.columns) != _shape(columns))
    return snapshot_id if has_changed else known.changed_snapshot


def _same_rows(first: Definition, second: Definition) -> bool:
    """Whether two definitions, one of them a view's, give the same rows; what is said of them beside that may differ."""
    return (first.kind, first.fingerprint, first.sql, tuple(first.inputs)) == (second.kind, second.fingerprint, second.sql, tuple(second.inputs))


def _shape(columns: Sequence[Column]) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in columns]


def definition_row(
    environment: str,
    table: TableName,
    snapshot_id: int,
    definition: Definition,
    arrangement: tuple[tuple[str, ...], tuple[str, ...]],
    is_retired: bool,
) -> Row:
    """A row of `headwater.definitions`; `arrangement` is what the table is partitioned and sorted by."""
    return {
        **_key(environment, table, snapshot_id),
        "kind": definition.kind,
        "fingerprint": definition.fingerprint,
        "sql": definition.sql,
        "description": definition.description,
        "inputs": to_json([[table.schema, table.name] for table in definition.inputs]),
        "body": to_json(dict(definition.body)),
        "partition_by": list(arrangement[0]),
        "sort_by": list(arrangement[1]),
        "is_retired": is_retired,
    }


def same_definition(first: Definition, second: Definition) -> bool:
    """Whether both say the same; what JSON can't tell apart (tuple, list) is the same."""
    return (
        (first.kind, first.fingerprint, first.sql, first.description, tuple(first.inputs))
        == (second.kind, second.fingerprint, second.sql, second.description, tuple(second.inputs))
    ) and to_json(dict(first.body)) == to_json(dict(second.body))


def _load(change: TableChange, now: datetime, author: str, rows_deleted: int, versions: Mapping[tuple[str, str], int], snapshot_id: int) -> Row:
    load = change.load
    inputs = {name: _version_read(name, version, versions, snapshot_id) for name, version in load.inputs.items()}
    return {
        "load_id": load.load_id,
        "operation": load.operation,
        "run_id": load.run_id,
        "token": change.token,
        "has_changed": versions[change.table.key] == snapshot_id,
        "started_at": load.started_at,
        "committed_at": now,
        "rows_read": load.rows_read,
        "rows_written": change.staged.rows if change.staged else 0,
        "rows_deleted": rows_deleted,
        "rows_rejected": load.rows_rejected,
        "size_bytes": load.size_bytes,
        "inputs": to_json(inputs),
        "fingerprint": load.fingerprint,
        "clock": load.clock,
        "interval_start": load.interval[0] if load.interval else None,
        "interval_end": load.interval[1] if load.interval else None,
        "failed_checks": [verdict.check for verdict in change.verdicts if not verdict.passed],
        "author": author,
        "note": load.note,
    }


def _version_read(name: str, version: int, versions: Mapping[tuple[str, str], int], snapshot_id: int) -> int:
    if version != THIS_COMMIT:
        return version
    schema, _, table = name.partition(".")
    return versions.get((schema.lower(), table.lower()), snapshot_id)


def column_rows(environment: str, table: TableName, snapshot_id: int, columns: Sequence[Column]) -> list[Row]:
    """All columns of a table, each a row."""
    key = _key(environment, table, snapshot_id)
    return [
        {
            **key,
            "position": position,
            "name": column.name,
            "type": column.type,
            "nullable": column.nullable,
            "description": column.description,
            "labels": list(column.labels),
        }
        for position, column in enumerate(columns)
    ]


def publication_row(
    environment: str, table: TableName, change: TableChange, known: TableState | None, base: int, now: datetime, author: str
) -> Row | None:
    """What the change does to what readers see; None when nothing changes."""
    seen = known if known is not None and not known.is_retired else None
    mode: PublicationMode
    pin: int | None
    changed: int | None
    if change.retire:
        mode, pin, changed = "retired", NEVER_PUBLISHED, None
    elif change.publish == "keep" or (change.publish != "release" and seen is not None and seen.publication == "rolled_back"):
        # who rolled back publishes again; a run doesn't
        if seen is not None or known is None:
            return None
        mode, pin, changed = "follows", None, None
    elif change.publish in ("now", "release"):
        if known is None or known.publication == "follows":
            return None
        mode, pin, changed = "follows", None, None
    else:
        mode = "held" if change.publish == "held" else "waiting"
        if seen is None:
            pin, changed = NEVER_PUBLISHED, None
        elif seen.published_snapshot is None:
            pin, changed = base, seen.changed_snapshot
        else:
            pin, changed = seen.published_snapshot, seen.published_changed_snapshot
    if known is not None and (known.publication, known.published_snapshot, known.reason) == (mode, pin, change.reason):
        return None
    return pin_row(environment, table, base + 1, mode, pin, changed, change.reason, author, now)


def pin_row(
    environment: str,
    table: TableName,
    snapshot_id: int,
    mode: PublicationMode,
    pin: int | None,
    changed: int | None,
    reason: str,
    author: str,
    now: datetime,
) -> Row:
    """A row of `headwater.publications`."""
    return {
        **_key(environment, table, snapshot_id),
        "mode": mode,
        "published_snapshot": pin,
        "changed_snapshot": changed,
        "reason": reason,
        "author": author,
        "recorded_at": now,
    }
