"""What every part of the room works with: the attached lake, its newest snapshot, its state, and how a write is tried again."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from headwater.engine import Connection, Engine
from headwater.errors import CommitConflict, HeadwaterError, LakeError, LakeReadOnly, LakeUnavailable, QueryError
from headwater.spec.names import SYSTEM_SCHEMA, TableName, quote, quote_literal
from headwater.spec.project import LakeConfig
from headwater.storage.catalog import CatalogAddress, explained
from headwater.storage.locks import WriteLock
from headwater.storage.staging import Staging, table_folder
from headwater.storage.state import LakeState, StateReader, advance, read_state
from headwater.storage.system import SYSTEM_TABLES

#: How long a write is tried again when others commit first.
COMMIT_PATIENCE_SECONDS: Final = 60.0
#: How long a writer waits for the lock file before it goes on without it; commits are safe anyway.
LOCK_PATIENCE_SECONDS: Final = 30.0
#: Commits by others up to which the state is carried forward instead of read whole.
_ADVANCE_UP_TO: Final = 200

T = TypeVar("T")


class Core:
    """One attached lake. Thread-safe: every method takes a connection of its own or is given one."""

    def __init__(
        self,
        engine: Engine,
        config: LakeConfig,
        address: CatalogAddress,
        database: str,
        environment: str,
        *,
        read_only: bool,
        copy: Path | None,
    ) -> None:
        """`copy` is a folder with a private copy of the catalog, gone with `close`."""
        self.engine = engine
        self.config = config
        self.address = address
        self.database = database
        self.environment = environment
        self.read_only = read_only
        self._copy = copy
        self.system = f"{quote(database)}.{quote(SYSTEM_SCHEMA)}"
        catalog = f"__ducklake_metadata_{database}"
        self.metadata = quote(catalog) if address.kind == "sqlite" else f"{quote(catalog)}.{quote(address.schema)}"
        self.is_encrypted = self._read_encrypted()
        self.staging = Staging(engine, database, may_write_files=not self.is_encrypted)
        self._lock = WriteLock(address.path) if address.path is not None else None
        self._writing = threading.RLock()
        self._history_lock = WriteLock(address.path, "history-lock") if address.path is not None else None
        self._state: LakeState | None = None
        self._state_lock = threading.Lock()
        self._folders: dict[tuple[str, str], str | None] | None = None
        self._folders_lock = threading.Lock()

    @property
    def is_copy(self) -> bool:
        """Whether a private copy of the catalog is read, which shows no later commits."""
        return self._copy is not None

    def close(self) -> None:
        """Frees staged rows and detaches the lake."""
        self.staging.close()
        self.engine.detach(self.database)
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read_encrypted(self) -> bool:
        """What the catalog says, whatever the settings do: a plain file in an encrypted lake can't be read."""
        with self.engine.connection() as connection:
            sql = f"SELECT value FROM {self.metadata}.ducklake_metadata WHERE key = 'encrypted'"
            return str(patiently(lambda: connection.execute(sql).scalar())).lower() == "true"

    def head(self) -> int:
        """The newest snapshot's id."""
        with self.engine.connection() as connection:
            return int(
                patiently(
                    lambda: connection.execute(f"SELECT max(snapshot_id) FROM {self.metadata}.ducklake_snapshot").scalar(), catalog=self.address.path
                )
            )

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, int]]:
        """A connection inside a transaction on which the lake stands still, and the snapshot it stands at."""
        with self.engine.connection() as connection:
            base = self.begin(connection)
            try:
                yield connection, base
            finally:
                rollback(connection)

    def begin(self, connection: Connection) -> int:
        """Begins a transaction; returns the snapshot that all its reads of the lake see."""

        def attempt() -> int:
            connection.execute("BEGIN TRANSACTION")
            try:
                return int(connection.execute(f"SELECT id FROM {quote(self.database)}.current_snapshot()").scalar())
            except BaseException:
                rollback(connection)
                raise

        return patiently(attempt, catalog=self.address.path)

    def state_on(self, connection: Connection, base: int) -> LakeState:
        """The state at `base`, which must be the snapshot that the connection's transaction sees."""
        with self._state_lock:
            cached = self._state
        if cached is not None and cached.snapshot_id == base:
            return cached
        reader = StateReader(connection, self.database, self.environment, self.empty_system_tables(connection))
        state: LakeState | None = None
        if cached is not None and cached.snapshot_id < base <= cached.snapshot_id + _ADVANCE_UP_TO:
            state = cached
            for snapshot_id, rows in sorted(reader.since(cached.snapshot_id, base).items()):
                state = advance(state, snapshot_id, rows)
                if state is None:
                    break
            if state is not None:
                state = LakeState.of(base, self.environment, state.tables)
        if state is None:
            state = read_state(reader, self.environment, base, self.load_position)
        self.remember(state)
        return state

    def empty_system_tables(self, connection: Connection) -> frozenset[str]:
        """System tables without a row now, and so at every snapshot before: they only ever grow."""
        rows = connection.execute(
            f"""
            SELECT t.table_name
            FROM {self.metadata}.ducklake_table t
            JOIN {self.metadata}.ducklake_schema s ON s.schema_id = t.schema_id AND s.schema_name = {quote_literal(SYSTEM_SCHEMA)}
            JOIN {self.metadata}.ducklake_table_stats r ON r.table_id = t.table_id
            WHERE r.record_count > 0
            """
        ).fetchall()
        return frozenset(SYSTEM_TABLES) - {row[0] for row in rows}

    def remember(self, state: LakeState) -> None:
        """Keeps the newest state for the next who asks."""
        with self._state_lock:
            if self._state is None or self._state.snapshot_id <= state.snapshot_id:
                self._state = state

    def forget(self) -> None:
        """The next who asks reads the state whole."""
        with self._state_lock:
            self._state = None

    def state(self) -> LakeState:
        head = self.head()
        with self._state_lock:
            cached = self._state
        if cached is not None and cached.snapshot_id == head:
            return cached
        with self.reading() as (connection, base):
            return self.state_on(connection, base)

    def recent_state(self) -> LakeState:
        """The newest state this process has seen, without asking whether there is a newer one: enough for tables whose lease is held."""
        with self._state_lock:
            cached = self._state
        return self.state() if cached is None else cached

    def load_position(self, table: TableName, upto: int, connection: Connection | None = None) -> Mapping[str, Any]:
        """One table's position as of a snapshot: the newest whole value and the deltas after it."""
        if connection is None:
            with self.engine.connection() as own:
                return patiently(lambda: self.load_position(table, upto, own))
        rows = StateReader(connection, self.database, self.environment).rows(
            """
            SELECT is_delta, value
            FROM {schema}.positions
            WHERE environment = ? AND lower(schema_name) = ? AND lower(table_name) = ? AND snapshot_id <= ?
            ORDER BY snapshot_id
            """,
            self.environment,
            *table.key,
            upto,
        )
        merged: dict[str, Any] = {}
        for row in rows:
            value = json.loads(row["value"])
            merged = {**merged, **value} if row["is_delta"] else value
        return merged

    def folder_of(self, table: TableName) -> str | None:
        """Where the lake keeps the table's files, or will; None when that can't be told before it is created."""
        with self._folders_lock:
            if self._folders is None:
                self._folders = self._read_folders()
            if table.key in self._folders:
                return self._folders[table.key]
        return table_folder(self.address.data, table)

    def forget_folders(self) -> None:
        """Tables were created: where they are is read again when somebody asks."""
        with self._folders_lock:
            self._folders = None

    def _read_folders(self) -> dict[tuple[str, str], str | None]:
        """All tables' folders in one query; None for one that lies elsewhere."""
        with self.engine.connection() as connection:
            rows = patiently(
                lambda: connection.execute(
                    f"""
                    SELECT lower(s.schema_name), lower(t.table_name), s.path, s.path_is_relative AND t.path_is_relative, t.path
                    FROM {self.metadata}.ducklake_table t
                    JOIN {self.metadata}.ducklake_schema s ON s.schema_id = t.schema_id
                    WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL
                    """
                ).fetchall(),
                catalog=self.address.path,
            )
        return {(row[0], row[1]): f"{self.address.data}{row[2]}{row[4]}" if row[3] else None for row in rows}

    # -- writing -----------------------------------------------------------------------------------------------------

    def refuse_if_read_only(self) -> None:
        if self.read_only:
            raise LakeReadOnly(
                "the lake was opened for reading only", state="nothing was committed", hint="check the permissions of the lake's folder and catalog"
            )

    @contextmanager
    def write_turn(self, deadline: float) -> Iterator[None]:
        """Waits for the thread's turn, and, where the catalog is SQLite, for the process's.

        Two COMMITs at once on one attached lake can end the whole process (a segmentation fault in the engine).
        """
        if not self._writing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise CommitConflict("another thread is writing to the lake", found="busy: it didn't end in time", state="nothing was committed")
        try:
            if self._lock is None:
                yield
                return
            with self._lock.held(max(0.0, min(LOCK_PATIENCE_SECONDS, deadline - time.monotonic()))):
                yield
        finally:
            self._writing.release()

    def write(self, attempt: Callable[[], T], what: str, patience_seconds: float | None = None) -> T:
        """Calls `attempt`, again and again with jittered back-off while others commit first.

        Raises CommitConflict, naming who holds the lock, when that doesn't end within `patience_seconds` (default COMMIT_PATIENCE_SECONDS).
        """
        self.refuse_if_read_only()
        deadline = time.monotonic() + (COMMIT_PATIENCE_SECONDS if patience_seconds is None else patience_seconds)
        pause = 0.01
        unmoved = 0
        while True:
            try:
                head = self.head()
                with self.write_turn(deadline):
                    return attempt()
            except QueryError as error:
                raise explained(error, self.address.path) from error
            except CommitConflict as error:
                last = error
                is_waiting = any(mark in (error.found or "").lower() for mark in ("locked", "busy", "serialize", "deadlock"))
                unmoved = unmoved + 1 if not is_waiting and self.head() == head else 0
                if unmoved >= 5:
                    raise LakeError(f"{what} failed", found=error.found, state="nothing was committed") from error
            if time.monotonic() + pause > deadline:
                raise CommitConflict(
                    f"{what} could not be committed: other writers kept committing first",
                    found=(self._lock.holder() + " held the lake's lock last") if self._lock else last.found,
                    state="nothing was committed",
                    hint="run again; if a process is stopped or hangs, end it",
                ) from last
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 1.0)

    @contextmanager
    def history_kept(self, patience_seconds: float = COMMIT_PATIENCE_SECONDS) -> Iterator[None]:
        """While inside, no other process expires snapshots or pins one: for whoever relies on an old snapshot, or ends it.

        Raises CommitConflict when another process doesn't let go within `patience_seconds`.
        """
        if self._history_lock is not None:
            with self._history_lock.held(patience_seconds) as is_ours:
                if not is_ours:
                    raise _history_busy(self._history_lock.holder())
                yield
            return
        with self.address.psycopg() as connection:
            deadline = time.monotonic() + patience_seconds
            name = f"headwater history {self.address.schema}"
            while True:
                row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
                if row is not None and row[0]:
                    break
                if time.monotonic() > deadline:
                    raise _history_busy("another process")
                time.sleep(0.05)
            yield  # the lock ends with the connection

    def find_commit(self, snapshot_id: int, mark: str) -> bool:
        """Whether the snapshot exists and was made by the commit that calls itself `mark`. Raises when the catalog can't be asked."""
        with self.engine.connection() as connection:
            found = connection.execute(
                f"SELECT commit_extra_info FROM {self.metadata}.ducklake_snapshot_changes WHERE snapshot_id = {snapshot_id}"
            ).scalar()
        return isinstance(found, str) and mark in found

    def call(self, function: str, *arguments: str) -> str:
        """SQL that calls one of DuckLake's table functions on this lake; `arguments` are SQL."""
        return f"SELECT * FROM {function}({', '.join((quote_literal(self.database), *arguments))})"

    @property
    def local_data(self) -> Path | None:
        """The data folder where it is a local one."""
        return None if self.address.is_remote_data else Path(self.address.data)


def _history_busy(holder: str) -> CommitConflict:
    return CommitConflict(
        "the lake's history is in use", found=holder, state="nothing was changed", hint="a backup or maintenance may be running: try again after it"
    )


def rollback(connection: Connection) -> None:
    """Ends the connection's transaction, whatever state it is in."""
    try:
        connection.execute("ROLLBACK")
    except HeadwaterError:
        pass  # there was none, or its COMMIT has failed and ended it


def patiently(read: Callable[[], T], patience_seconds: float = 30.0, *, catalog: Path | None = None) -> T:
    """A read of the catalog, tried again while it is locked by a writer or briefly out of reach. `catalog` is the SQLite file, for better errors."""
    deadline = time.monotonic() + patience_seconds
    pause = 0.01
    while True:
        try:
            return read()
        except QueryError as error:
            raise explained(error, catalog) from error
        except (CommitConflict, LakeUnavailable) as error:
            text = (error.found or "").lower()
            passing = "locked" in text or "busy" in text or "could not serialize" in text
            if not passing or time.monotonic() > deadline:
                if isinstance(error, CommitConflict):
                    raise LakeUnavailable("the lake's catalog can't be read", found=error.found, hint="run again") from error
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(pause * 2, 0.5)
