"""A table's versions, and what changed between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.engine import Connection, describe_query
from headwater.errors import SnapshotNotFound, UsageError
from headwater.spec.names import TableName, quote
from headwater.storage.changes import TableState
from headwater.storage.core import Core
from headwater.storage.state import StateReader


@dataclass(frozen=True, slots=True)
class TableVersion:
    """One commit that changed a table. `readable_at` is a snapshot that still shows it; None when all such have expired."""

    snapshot_id: int
    committed_at: datetime
    operation: str
    load_id: str
    run_id: str
    rows_written: int
    rows_deleted: int
    author: str
    note: str
    readable_at: int | None
    is_head: bool
    is_published: bool


@dataclass(frozen=True, slots=True)
class TableDiff:
    """What changed in a table between two snapshots.

    With a `key`, a row of equal key and other values is changed; without one it counts as removed and added. `sample` holds the first rows: what
    happened (`added`, `removed`, `changed`), then the values of `columns` as they are after it (before it, for a removed row). Columns that only one
    of the two has are not compared.
    """

    table: TableName
    from_snapshot: int
    to_snapshot: int
    key: tuple[str, ...]
    columns: tuple[str, ...]
    added: int
    removed: int
    changed: int
    added_columns: tuple[str, ...]
    removed_columns: tuple[str, ...]
    sample: tuple[tuple[str, tuple[Any, ...]], ...]


def existing_snapshots(core: Core, connection: Connection) -> list[int]:
    """The snapshots that have not expired, ascending."""
    rows = connection.execute(f"SELECT snapshot_id FROM {quote(core.database)}.snapshots() ORDER BY snapshot_id").fetchall()
    return [row[0] for row in rows]


def _versions(core: Core, connection: Connection, table: TableName, upto: int) -> list[dict[str, Any]]:
    return StateReader(connection, core.database, core.environment).rows(
        """
        SELECT *
        FROM {schema}.loads
        WHERE environment = ? AND lower(schema_name) = ? AND lower(table_name) = ? AND has_changed AND snapshot_id <= ?
        ORDER BY snapshot_id
        """,
        core.environment,
        *table.key,
        upto,
    )


def readable_snapshot(core: Core, connection: Connection, state: TableState, snapshot: int, base: int) -> tuple[int, int]:
    """A snapshot that still exists and shows the table as it was at `snapshot`, and the commit that made it so. Raises SnapshotNotFound."""
    versions = [row["snapshot_id"] for row in _versions(core, connection, state.table, base)]
    then = [version for version in versions if version <= snapshot]
    if snapshot > base or snapshot < 0 or not then:
        oldest = f"{versions[0]} to {base}" if versions else "none"
        raise SnapshotNotFound(f"{state.table} has no snapshot {snapshot}", expected=oldest, hint=f"headwater snapshots {state.table} lists them")
    version = then[-1]
    ends = min((later for later in versions if later > version), default=base + 1)
    kept = [found for found in existing_snapshots(core, connection) if version <= found < ends]
    if not kept:
        raise SnapshotNotFound(
            f"{state.table} as of snapshot {snapshot} has expired", hint=f"headwater snapshots {state.table} shows which can still be read"
        )
    return (snapshot if snapshot in kept else kept[-1]), version


def list_versions(core: Core, state: TableState) -> list[TableVersion]:
    """See `Lake.snapshots`."""
    with core.reading() as (connection, base):
        rows = _versions(core, connection, state.table, base)
        existing = existing_snapshots(core, connection)
    found = []
    for index, row in enumerate(rows):
        version = row["snapshot_id"]
        ends = rows[index + 1]["snapshot_id"] if index + 1 < len(rows) else base + 1
        kept = [snapshot for snapshot in existing if version <= snapshot < ends]
        found.append(
            TableVersion(
                snapshot_id=version,
                committed_at=row["committed_at"],
                operation=row["operation"],
                load_id=row["load_id"],
                run_id=row["run_id"],
                rows_written=row["rows_written"],
                rows_deleted=row["rows_deleted"],
                author=row["author"],
                note=row["note"],
                readable_at=kept[-1] if kept else None,
                is_head=index + 1 == len(rows),
                is_published=version == state.published_changed_snapshot,
            )
        )
    return found[::-1]


def default_key(state: TableState) -> tuple[str, ...]:
    """The columns that the definition says identify a row; () when it says nothing."""
    body = state.definition.body
    places = [body.get("primary_key"), body.get("unique_key"), body.get("key")]
    kind = body.get("kind")
    if isinstance(kind, dict):
        places += [kind.get("unique_key"), kind.get("key")]
    for found in places:
        if found:
            return (found,) if isinstance(found, str) else tuple(found)
    return ()


def diff_table(core: Core, state: TableState, first: int, second: int, key: tuple[str, ...] | None, limit: int) -> TableDiff:
    """See `Lake.diff`."""
    with core.reading() as (connection, base):
        relations, columns = [], []
        for snapshot in (first, second):
            at, _ = readable_snapshot(core, connection, state, snapshot, base)
            sql = f"SELECT * FROM {quote(core.database)}.{state.table.sql} AT (VERSION => {at})"
            relations.append(f"({sql})")
            columns.append([column.name for column in describe_query(connection, sql)])
        old_names = {name.lower() for name in columns[0]}
        new_names = {name.lower() for name in columns[1]}
        common = [name for name in columns[1] if name.lower() in old_names]
        chosen = default_key(state) if key is None else key
        unknown = [name for name in chosen if name.lower() not in {column.lower() for column in common}]
        if unknown and key is not None:
            raise UsageError(f"{state.table} has no column {unknown[0]} at both snapshots", expected=", ".join(common))
        if unknown or (key is None and chosen and not _is_unique(connection, relations, chosen)):
            chosen = ()
        sql = _keyed_diff(relations, common, chosen) if chosen else _unkeyed_diff(relations, common)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE hw_diff AS {sql}")
        try:
            counts = {row[0]: row[1] for row in connection.execute("SELECT hw_what, count(*) FROM hw_diff GROUP BY ALL").fetchall()}
            order = ", ".join(quote(name) for name in chosen) or "ALL"
            rows = connection.execute(f"SELECT * FROM hw_diff ORDER BY {order} LIMIT {limit}").fetchall() if limit else []
        finally:
            connection.execute("DROP TABLE IF EXISTS hw_diff")
    return TableDiff(
        table=state.table,
        from_snapshot=first,
        to_snapshot=second,
        key=tuple(chosen),
        columns=tuple(common),
        added=counts.get("added", 0),
        removed=counts.get("removed", 0),
        changed=counts.get("changed", 0),
        added_columns=tuple(name for name in columns[1] if name.lower() not in old_names),
        removed_columns=tuple(name for name in columns[0] if name.lower() not in new_names),
        sample=tuple((row[0], tuple(row[1:])) for row in rows),
    )


def _is_unique(connection: Connection, relations: list[str], key: tuple[str, ...]) -> bool:
    listed = ", ".join(quote(name) for name in key)
    return all(
        connection.execute(f"SELECT count(*) = (SELECT count(*) FROM (SELECT DISTINCT {listed} FROM {relation})) FROM {relation}").scalar()
        for relation in relations
    )


def _keyed_diff(relations: list[str], columns: list[str], key: tuple[str, ...]) -> str:
    same = " AND ".join(f"o.{quote(name)} IS NOT DISTINCT FROM n.{quote(name)}" for name in key)
    differs = " OR ".join(f"o.{quote(name)} IS DISTINCT FROM n.{quote(name)}" for name in columns)
    values = ", ".join(f"CASE WHEN n.hw_there THEN n.{quote(name)} ELSE o.{quote(name)} END AS {quote(name)}" for name in columns)
    return f"""
        SELECT CASE WHEN o.hw_there IS NULL THEN 'added' WHEN n.hw_there IS NULL THEN 'removed' ELSE 'changed' END AS hw_what, {values}
        FROM (SELECT *, true AS hw_there FROM {relations[0]}) o
        FULL JOIN (SELECT *, true AS hw_there FROM {relations[1]}) n ON {same}
        WHERE o.hw_there IS NULL OR n.hw_there IS NULL OR {differs}
    """


def _unkeyed_diff(relations: list[str], columns: list[str]) -> str:
    listed = ", ".join(quote(name) for name in columns)
    old, new = (f"SELECT {listed} FROM {relation}" for relation in relations)
    return f"SELECT 'added' AS hw_what, * FROM ({new} EXCEPT ALL {old}) UNION ALL SELECT 'removed', * FROM ({old} EXCEPT ALL {new})"
