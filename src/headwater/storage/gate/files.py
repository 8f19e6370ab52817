"""Tables whose published rows are just those of a few files: queries read these, and ask nobody anew which files they are.

DuckLake looks into its catalog whenever a query scans a table, which takes longer than many a query. The files of one version of a table never
change, so which they are is found out once; where anything else than the files' own rows has to be known (rows deleted or kept in the catalog,
columns changed since, a key), DuckLake reads the table as ever.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from headwater.engine import Connection, describe_query
from headwater.errors import HeadwaterError, SqlBindError
from headwater.spec.names import TableName, quote, quote_literal
from headwater.state.sharing import SharedReads
from headwater.storage.changes import TableState
from headwater.storage.core import Core
from headwater.storage.relations import is_visible, published_columns, published_definition

#: Of more files DuckLake leaves out those that can't matter by what its catalog says of their values; here each one's end would be read.
_MOST_FILES: Final = 16
#: Seconds after which a table that couldn't be read so is looked at again: its files may have been merged or written anew.
_LOOK_AGAIN_SECONDS: Final = 60.0
_MOST_KNOWN: Final = 10_000
#: In a name, these stand for other names.
_PATTERNS: Final = frozenset("*?[]{}")


@dataclass(frozen=True, slots=True)
class PlainFiles:
    """The files with the rows of one version of a table, and no others. `relation` is SQL usable in FROM."""

    table: TableName
    version: int
    columns: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]
    relation: str

    def is_of(self, state: TableState) -> bool:
        """Whether these are the rows and columns that are published by `state`."""
        return is_visible(state) and self.version == state.published_changed_snapshot and self.columns == _shape(state)

    @property
    def is_there(self) -> bool:
        """Files that the catalog has given up are kept for an hour more, and then removed."""
        return all(map(os.path.exists, self.paths))


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found of a table: its files, or that it has to be read otherwise (`files` None)."""

    version: int | None
    pin: int | None
    base: int
    files: PlainFiles | None
    found_at: float

    def is_good_for(self, state: TableState, base: int) -> bool:
        if self.version != state.published_changed_snapshot or self.pin != state.published_snapshot:
            return False
        if self.files is None:
            return time.monotonic() < self.found_at + _LOOK_AGAIN_SECONDS
        # whoever else writes to the lake changes the rows of a table that follows the head, and not its version
        return (self.base == base or self.pin is not None) and self.files.is_of(state) and self.files.is_there


class FileLists:
    """The files of one lake's tables; none while `is_used` is False. Thread-safe.

    Only where the catalog is SQLite and the files lie in a folder, not encrypted.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: dict[tuple[str, str], _Known] = {}
        #: Columns of files as they are written in them, by path: a file never changes.
        self._columns: dict[str, tuple[tuple[str, str], ...]] = {}
        self._lock = threading.Lock()
        self._looks: SharedReads[PlainFiles | None] = SharedReads()
        self.is_used = False

    def of(self, state: TableState, base: int) -> PlainFiles | None:
        """The files of what `state`, which is of the snapshot `base`, publishes of its table; None where it has to be read otherwise."""
        if not self.is_used:
            return None
        known = self._known.get(state.table.key)
        if known is not None and known.is_good_for(state, base):
            return known.files
        version, pin = state.published_changed_snapshot, state.published_snapshot
        found = self._looks.get((state.table.key, version, pin, base), lambda: self._look(state, base))
        with self._lock:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            self._known[state.table.key] = _Known(version, pin, base, found, time.monotonic())
        return found

    def _look(self, state: TableState, base: int) -> PlainFiles | None:
        core = self._core
        has_rows = is_visible(state) and published_definition(state).kind != "view" and published_columns(state) and state.published_changed_snapshot
        if not has_rows or core.is_encrypted or core.address.kind != "sqlite" or "://" in core.address.data:
            return None
        snapshot = base if state.published_snapshot is None else state.published_snapshot
        try:
            with core.engine.connection() as connection:
                paths = _listed(core, connection, state.table, snapshot)
                columns = _shape(state)
                if not paths or any(self._columns_of(path, columns, connection) != columns for path in paths):
                    return None
        except HeadwaterError:
            return None  # whatever is wrong is told by whoever reads the table as ever
        listed = ", ".join(map(quote_literal, paths))
        return PlainFiles(state.table, state.published_changed_snapshot or 0, columns, tuple(paths), _scan(listed))

    def _columns_of(self, path: str, columns: tuple[tuple[str, str], ...], connection: Connection) -> tuple[tuple[str, str], ...]:
        """Those of `columns` that the file has, with the types they have there."""
        known = self._columns.get(path)
        if known is None:
            known = tuple((column.name, column.type) for column in describe_query(connection, f"SELECT * FROM {_scan(quote_literal(path))}"))
            with self._lock:
                if len(self._columns) > _MOST_KNOWN:
                    self._columns.clear()
                self._columns[path] = known
        types = dict(known)
        return tuple((name, types[name]) for name, _ in columns if name in types)


def _scan(listed: str) -> str:
    # by its whole name: a macro of the project's may be called so
    return f"system.main.read_parquet([{listed}], hive_partitioning => false, union_by_name => false)"


def _shape(state: TableState) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.type) for column in published_columns(state))


def _listed(core: Core, connection: Connection, table: TableName, snapshot: int) -> list[str] | None:
    """The paths of a table's files at a snapshot; None where its rows are more or less than those in the files, or look otherwise."""
    meta = core.metadata
    at = f"begin_snapshot <= {snapshot} AND (end_snapshot IS NULL OR end_snapshot > {snapshot})"
    connection.execute("BEGIN TRANSACTION")
    try:
        found = connection.execute(
            f"""
            SELECT t.table_id, s.path, t.path, s.path_is_relative AND t.path_is_relative
            FROM (SELECT * FROM {meta}.ducklake_table WHERE {at}) t
            JOIN (SELECT * FROM {meta}.ducklake_schema WHERE {at}) s ON s.schema_id = t.schema_id
            WHERE lower(s.schema_name) = {quote_literal(table.key[0])} AND lower(t.table_name) = {quote_literal(table.key[1])}
            """
        ).fetchall()
        if len(found) != 1:
            return None
        table_id, schema_folder, table_folder, is_relative = found[0]
        files = connection.execute(
            f"""
            SELECT path, path_is_relative, begin_snapshot, file_format, encryption_key, partial_max, data_file_id
            FROM {meta}.ducklake_data_file
            WHERE table_id = {table_id} AND {at}
            ORDER BY file_order, data_file_id
            LIMIT {_MOST_FILES + 1}
            """
        ).fetchall()
        if not files or len(files) > _MOST_FILES or not all(_is_plain(row, snapshot) for row in files):
            return None
        oldest = min(row[2] for row in files)
        # a file of deleted rows goes on being listed when the rows' own file is gone
        living = ", ".join(str(row[6]) for row in files)
        others = connection.execute(
            f"""
            SELECT
                (SELECT count(*) FROM {meta}.ducklake_delete_file WHERE data_file_id IN ({living}) AND {at}),
                (SELECT count(*) FROM {meta}.ducklake_inlined_data_tables WHERE table_id = {table_id}),
                (SELECT count(*) FROM {meta}.ducklake_column WHERE table_id = {table_id} AND begin_snapshot BETWEEN {oldest + 1} AND {snapshot})
            """
        ).fetchone()
        if others is None or any(others) or _has_inlined_deletes(core, connection, table_id):
            return None
    finally:
        connection.execute("ROLLBACK")
    folder = f"{core.address.data}{schema_folder}{table_folder}" if is_relative else None
    paths = [f"{folder}{row[0]}" if row[1] else str(row[0]) for row in files if folder is not None or not row[1]]
    return paths if len(paths) == len(files) and not any(_PATTERNS & set(path) or "://" in path for path in paths) else None


def _is_plain(row: tuple[Any, ...], snapshot: int) -> bool:
    """Whether all of a file's rows, and nothing but what stands in it, belong to the table at the snapshot."""
    _, _, _, file_format, key, newest, _ = row
    return str(file_format).lower() == "parquet" and key is None and (newest is None or newest <= snapshot)


def _has_inlined_deletes(core: Core, connection: Connection, table_id: int) -> bool:
    """Whether the catalog has a table for single rows that were deleted; Headwater never leaves them there, other programs may."""
    try:
        connection.execute(f"SELECT 1 FROM {core.metadata}.{quote(f'ducklake_inlined_delete_{table_id}')} LIMIT 1").fetchall()
    except SqlBindError:
        return False
    return True
