"""Keeping the lake small and quick, beside others that read and write it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from headwater.engine import Connection
from headwater.engine.literals import literal
from headwater.errors import CommitConflict
from headwater.spec.names import SYSTEM_SCHEMA, TableName, quote, quote_literal
from headwater.storage import boundaries
from headwater.storage.core import Core, rollback
from headwater.storage.state import StateReader
from headwater.storage.system import SystemRows, to_json

#: A table is merged when this many of its files are small.
MERGE_FROM_FILES: Final = 5
SMALL_FILE_BYTES: Final = 32 * 1024 * 1024
#: A table whose deleted rows are at least this share of the rows its files hold is written anew.
REWRITE_SHARE: Final = 0.5
#: Deltas of a position after which the whole value is written once.
COMPACT_POSITIONS_FROM: Final = 50


@dataclass(frozen=True, slots=True)
class Pin:
    """A publication that keeps an older snapshot, of any environment. `size_bytes` are the files that the snapshot shows and the head doesn't."""

    environment: str
    table: TableName
    snapshot_id: int
    publication: str
    reason: str
    recorded_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What was done, or with `is_dry_run` would be. `skipped` names what other writers kept from being done; the next time does it.

    `is_keep_raised`: snapshots of the last hour were kept though less was asked for, since somebody may be reading them.
    """

    is_dry_run: bool
    merged_tables: tuple[TableName, ...]
    files_merged: int
    files_made: int
    rewritten_tables: tuple[TableName, ...]
    positions_compacted: int
    snapshots_expired: int
    snapshots_kept: int
    pins: tuple[Pin, ...]
    files_removed: int
    orphans_removed: int
    bytes_before: int
    bytes_after: int
    skipped: tuple[str, ...]
    seconds: float
    is_keep_raised: bool = False


@dataclass(frozen=True, slots=True)
class _TableFiles:
    table: TableName
    files: int
    small_files: int
    rows: int
    deleted_rows: int


@dataclass(slots=True)
class Maintenance:
    """One call of `Lake.maintain`."""

    core: Core
    keep: timedelta
    reader_grace: timedelta
    orphan_grace: timedelta
    live_since: datetime | None
    dry_run: bool

    def run(self) -> MaintenanceReport:
        started = time.monotonic()
        self.core.refuse_if_read_only()
        skipped: list[str] = []
        before = self._bytes()
        removed, orphans = self._clean_up()  # first, so that a full disk has room for the rest
        rewritten = self._rewrite(skipped)
        compacted = self._compact_positions()
        self._flush(skipped)
        merged, files_merged, files_made = self._merge(skipped)
        boundaries.reached("maintain.merged")
        with self._history():
            expired, kept = self._expire()
        boundaries.reached("maintain.expired")
        if not self.dry_run:
            more = self._clean_up()
            removed, orphans = removed + more[0], orphans + more[1]
        boundaries.reached("maintain.cleaned")
        return MaintenanceReport(
            is_dry_run=self.dry_run,
            merged_tables=merged,
            files_merged=files_merged,
            files_made=files_made,
            rewritten_tables=rewritten,
            positions_compacted=compacted,
            snapshots_expired=expired,
            snapshots_kept=kept,
            pins=tuple(list_pins(self.core)),
            files_removed=removed,
            orphans_removed=orphans,
            bytes_before=before,
            bytes_after=self._bytes(),
            skipped=tuple(skipped),
            seconds=time.monotonic() - started,
            is_keep_raised=self.keep < self.reader_grace,
        )

    def _bytes(self) -> int:
        """What data and delete files the catalog knows take up, those waiting to be removed left out."""
        with self.core.engine.connection() as connection:
            return _sum_bytes(self.core, connection, "true")

    # -- fewer, fuller files -----------------------------------------------------------------------------------------

    def _files(self) -> list[_TableFiles]:
        meta = self.core.metadata
        with self.core.engine.connection() as connection:
            rows = connection.execute(
                f"""
                SELECT s.schema_name, t.table_name, count(*), count(*) FILTER (f.file_size_bytes < {SMALL_FILE_BYTES} AND d.data_file_id IS NULL),
                    sum(f.record_count), coalesce(sum(d.delete_count), 0)
                FROM {meta}.ducklake_data_file f
                JOIN {meta}.ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL
                JOIN {meta}.ducklake_schema s ON s.schema_id = t.schema_id AND s.end_snapshot IS NULL
                LEFT JOIN {meta}.ducklake_delete_file d ON d.data_file_id = f.data_file_id AND d.end_snapshot IS NULL
                WHERE f.end_snapshot IS NULL
                GROUP BY ALL
                ORDER BY ALL
                """
            ).fetchall()
        return [_TableFiles(TableName(row[0], row[1]), *map(int, row[2:])) for row in rows]

    def _merge(self, skipped: list[str]) -> tuple[tuple[TableName, ...], int, int]:
        tables = [found.table for found in self._files() if found.small_files >= MERGE_FROM_FILES]
        if self.dry_run:
            return tuple(tables), sum(found.small_files for found in self._files() if found.table in tables), len(tables)
        done: list[TableName] = []
        merged = made = 0
        for table in tables:
            rows = self._call(
                self.core.call("ducklake_merge_adjacent_files", quote_literal(table.name), f"schema => {quote_literal(table.schema)}"),
                f"merging {table}",
                skipped,
            )
            if rows:
                done.append(table)
                merged += sum(row[2] for row in rows)
                made += sum(row[3] for row in rows)
        return tuple(done), merged, made

    def _flush(self, skipped: list[str]) -> None:
        """Rows that another program left inlined in the catalog become files; ours never are."""
        if not self.dry_run:
            self._call(self.core.call("ducklake_flush_inlined_data"), "flushing inlined rows", skipped)

    def _rewrite(self, skipped: list[str]) -> tuple[TableName, ...]:
        """Writes tables anew that are mostly deleted rows.

        By delete and insert, never by DuckLake's rewrite: that one narrows the table's statistics, and reads of older snapshots then lose rows.
        """
        tables = [
            found.table
            for found in self._files()
            if found.table.schema != SYSTEM_SCHEMA and found.deleted_rows and found.deleted_rows >= REWRITE_SHARE * found.rows
        ]
        if self.dry_run:
            return tuple(tables)
        done = []
        for table in tables:
            try:
                self.core.write(lambda table=table: self._rewrite_one(table), f"rewriting {table}", 10.0)  # type: ignore[misc]
                done.append(table)
            except CommitConflict:
                skipped.append(f"rewriting {table}: others were writing")
        return tuple(done)

    def _rewrite_one(self, table: TableName) -> None:
        target = f"{quote(self.core.database)}.{table.sql}"
        with self.core.engine.connection() as connection:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE hw_rewrite AS SELECT * FROM {target} LIMIT 0")
            self.core.begin(connection)
            try:
                connection.execute(f"INSERT INTO hw_rewrite SELECT * FROM {target}")
                connection.execute(f"DELETE FROM {target}")
                connection.execute(f"INSERT INTO {target} SELECT * FROM hw_rewrite")
                connection.execute(f"CALL {quote(self.core.database)}.set_commit_message('', ?, extra_info => NULL)", [f"rewrite {table}"])
                connection.execute("COMMIT")
            except BaseException:
                rollback(connection)
                raise
            finally:
                connection.execute("DROP TABLE IF EXISTS hw_rewrite")

    def _call(self, sql: str, what: str, skipped: list[str]) -> list[tuple[Any, ...]]:
        def attempt() -> list[tuple[Any, ...]]:
            with self.core.engine.connection() as connection:
                return connection.execute(sql).fetchall()

        try:
            return self.core.write(attempt, what, 10.0)
        except CommitConflict:
            skipped.append(f"{what}: others were writing")
            return []

    def _compact_positions(self) -> int:
        """Writes whole positions where many deltas have gathered, for all of this environment's tables at once."""
        with self.core.reading() as (connection, base):
            rows = StateReader(connection, self.core.database, self.core.environment).rows(
                """
                SELECT schema_name, table_name, max_by(load_id, snapshot_id) AS load_id, max(token) AS token
                FROM {schema}.positions p
                WHERE environment = ? AND snapshot_id > coalesce((
                    SELECT max(snapshot_id)
                    FROM {schema}.positions b
                    WHERE NOT b.is_delta AND b.environment = p.environment AND b.schema_name = p.schema_name AND b.table_name = p.table_name
                ), 0)
                GROUP BY ALL
                HAVING count(*) >= ?
                """,
                self.core.environment,
                COMPACT_POSITIONS_FROM,
            )
            if not rows or self.dry_run:
                return len(rows)
            self.core.state_on(connection, base)

        def attempt() -> None:
            with self.core.engine.connection() as connection:
                base = self.core.begin(connection)
                try:
                    new = SystemRows()
                    for row in rows:
                        table = TableName(row["schema_name"], row["table_name"])
                        value = to_json(dict(self.core.load_position(table, base, connection)))
                        new.add("positions", {**row, **_position_key(self.core, base + 1), "is_delta": False, "value": value})
                    new.write(connection, self.core.database)
                    connection.execute("COMMIT")
                except BaseException:
                    rollback(connection)
                    raise

        self.core.write(attempt, "compacting positions")
        return len(rows)

    # -- less history ------------------------------------------------------------------------------------------------

    def _expire(self) -> tuple[int, int]:
        """Expires what is older than `keep` and not pinned. The list is made from one consistent view: what the head was then stays."""
        oldest = datetime.now(UTC) - max(self.keep, self.reader_grace)
        with self.core.reading() as (connection, base):
            pinned = {pin.snapshot_id for pin in list_pins(self.core, connection)}
            rows = connection.execute(f"SELECT snapshot_id, snapshot_time FROM {quote(self.core.database)}.snapshots()").fetchall()
            # a snapshot is "as of" until the next one: the one that was the head when the window opens stays readable by time
            older = [row[0] for row in rows if row[1] < oldest]
            keep = pinned | {base} | ({max(older)} if older and self.keep > timedelta(0) else set())
            expired = [snapshot for snapshot in older if snapshot not in keep]
            rollback(connection)
            if expired and not self.dry_run:
                for start in range(0, len(expired), 1000):
                    part = ", ".join(map(str, expired[start : start + 1000]))
                    sql = self.core.call("ducklake_expire_snapshots", f"versions => [{part}]")
                    self.core.write(lambda sql=sql: _run(self.core, sql), "expiring snapshots")  # type: ignore[misc]
        return len(expired), len(rows) - len(expired)

    @contextmanager
    def _history(self) -> Iterator[None]:
        if self.dry_run:
            yield
            return
        with self.core.history_kept():
            yield

    def _clean_up(self) -> tuple[int, int]:
        with self._history():
            return self._clean()

    def _clean(self) -> tuple[int, int]:
        now = datetime.now(UTC)
        grace = literal(now - self.reader_grace)
        orphans = now - self.orphan_grace
        if self.live_since is not None:
            orphans = min(orphans, self.live_since - timedelta(minutes=5))
        dry = ["dry_run => true"] if self.dry_run else []
        removed = self.core.write(
            lambda: _run(self.core, self.core.call("ducklake_cleanup_old_files", f"older_than => {grace}", *dry)), "removing old files"
        )
        found = self.core.write(
            lambda: _run(self.core, self.core.call("ducklake_delete_orphaned_files", f"older_than => {literal(orphans)}", *dry)), "removing orphans"
        )
        return len(removed), len(found)


def _position_key(core: Core, snapshot_id: int) -> dict[str, Any]:
    return {"environment": core.environment, "snapshot_id": snapshot_id}


def _run(core: Core, sql: str) -> list[tuple[Any, ...]]:
    with core.engine.connection() as connection:
        return connection.execute(sql).fetchall()


def _sum_bytes(core: Core, connection: Connection, condition: str) -> int:
    meta = core.metadata
    return int(
        connection.execute(
            f"""
            SELECT coalesce(sum(file_size_bytes), 0)
            FROM (
                SELECT file_size_bytes, begin_snapshot, end_snapshot FROM {meta}.ducklake_data_file
                UNION ALL
                SELECT file_size_bytes, begin_snapshot, end_snapshot FROM {meta}.ducklake_delete_file
            )
            WHERE {condition}
            """
        ).scalar()
    )


def list_pins(core: Core, connection: Connection | None = None) -> list[Pin]:
    """See `Lake.pins`."""
    if connection is None:
        with core.reading() as (own, _):
            return list_pins(core, own)
    rows = connection.execute(
        f"""
        SELECT environment, schema_name, table_name, published_snapshot, mode, reason, recorded_at
        FROM (SELECT unnest(max_by(p, snapshot_id)) FROM {core.system}.publications p GROUP BY environment, schema_name, table_name)
        WHERE published_snapshot >= 0
        ORDER BY ALL
        """
    ).fetchall()
    sizes = {}
    for snapshot in sorted({row[3] for row in rows}):
        condition = f"begin_snapshot <= {snapshot} AND end_snapshot > {snapshot}"
        sizes[snapshot] = _sum_bytes(core, connection, condition)
    return [Pin(row[0], TableName(row[1], row[2]), row[3], row[4], row[5] or "", row[6], sizes[row[3]]) for row in rows]
