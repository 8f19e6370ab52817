"""Transactions of plain SQL that SQLite and Postgres both understand: what runs ask of the store needs no more.

SQLite's are on Python's own driver: to import SQLAlchemy takes longer than all the work of a run that finds nothing to do. What describes tables,
migrates them, or builds its queries from parts goes through SQLAlchemy, over connections made alike.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from headwater.errors import StateError, StateUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

#: A row by the names of its columns, as the driver gives it: times and JSON are text.
PlainRow = Mapping[str, Any]
_CREDENTIALS: Final = re.compile(r"://[^/@\s]*@|password\s*=\s*\S+", re.IGNORECASE)
_PATIENCE_SECONDS: Final = 20.0
#: The tables of a new SQLite store; see `migrations.make_schema`.
SCHEMA_FILE: Final = Path(__file__).with_name("schema.sql")


class Statements(Protocol):
    """One open transaction. Parameters stand in the SQL as `:name`."""

    def execute(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """How many rows were changed."""

    def execute_each(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """The statement once for each row of parameters."""

    def select(self, sql: str, parameters: Mapping[str, Any]) -> list[PlainRow]: ...

    def take_turn(self, number: int) -> None:
        """Waits until nobody else has the turn `number`, and keeps it until the transaction ends. On SQLite each writer has it anyway."""


class Database(Protocol):
    """Where a store is kept. Thread-safe."""

    @property
    def engine(self) -> sa.Engine:
        """The same for SQLAlchemy, imported when this is first asked for."""

    def transaction(self, *, only_reads: bool = False) -> AbstractContextManager[Statements]:
        """Commits when it is left, and undoes all when it is left by an error. Raises the driver's errors."""

    def close(self) -> None: ...


class SqliteDatabase:
    """A file of SQLite; its folder and itself are made where they are missing.

    Where file or folder can't be written, it is opened for reading: asking it still works, and only what writes fails.
    """

    def __init__(self, path: Path) -> None:
        self._is_readable_only = path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        if not self._is_readable_only:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                path.touch(mode=0o600)
        self.path = path
        self._lock = threading.Lock()
        self._free: list[sqlite3.Connection] = []
        self._is_closed = False

    @cached_property
    def engine(self) -> sa.Engine:
        from headwater.state.opening import sqlite_engine

        return sqlite_engine(self.path, self.connect)

    def connect(self) -> sqlite3.Connection:
        """A connection that any thread may use, one at a time. It is left to its user to begin transactions: IMMEDIATE ones, where they write, so
        that two writers queue up instead of failing."""
        address = f"file:{quote(str(self.path))}"
        if self._is_readable_only:
            # without a log beside it nobody has it open; then SQLite needn't make its shared memory there, which it couldn't
            in_peace = "" if self.path.with_name(self.path.name + "-wal").exists() else "&immutable=1"
            address += f"?mode=ro{in_peace}"
        connection = sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS, check_same_thread=False, isolation_level=None)
        try:
            if not self._is_readable_only:
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def transaction(self, *, only_reads: bool = False) -> Iterator[Statements]:
        with self._borrowed() as connection:
            connection.execute("BEGIN" if only_reads else "BEGIN IMMEDIATE")
            yield _SqliteStatements(connection)
            connection.execute("COMMIT")

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._free.pop() if self._free else None
        if connection is None:
            connection = self.connect()
        try:
            yield connection
        except BaseException:
            connection.close()  # which undoes what isn't committed
            raise
        with self._lock:
            if not self._is_closed:
                self._free.append(connection)
                return
        connection.close()

    def create(self, version: str) -> None:
        """Makes all tables, at this code's `version`, unless somebody did so meanwhile."""
        with self.transaction() as statements:
            if statements.select("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'", {}):
                return
            for statement in SCHEMA_FILE.read_text().split(";\n"):
                statements.execute(statement, {})
            statements.execute("INSERT INTO alembic_version (version_num) VALUES (:version)", {"version": version})

    def make_durable(self) -> None:
        """Brings what is committed to the disk."""
        with self._borrowed() as connection:
            connection.execute("PRAGMA wal_checkpoint(FULL)")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()
        if "engine" in self.__dict__:
            self.engine.dispose()


class _SqliteStatements:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Mapping[str, Any]) -> int:
        return self._connection.execute(sql, parameters).rowcount

    def execute_each(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.executemany(sql, rows)

    def select(self, sql: str, parameters: Mapping[str, Any]) -> list[PlainRow]:
        cursor = self._connection.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def take_turn(self, number: int) -> None:
        pass


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Inside it, the database's errors leave as StateErrors. `where` names the store without credentials."""
    try:
        yield
    except _database_errors() as error:
        raise _translate(error, where) from error


def _database_errors() -> tuple[type[Exception], ...]:
    """SQLAlchemy's are among them once it is imported: before, nothing raises them."""
    imported = sys.modules.get("sqlalchemy.exc")
    return (sqlite3.Error, OSError, *(() if imported is None else (imported.SQLAlchemyError,)))


def _translate(error: Exception, where: str) -> StateError:
    text = _CREDENTIALS.sub("…", str(getattr(error, "orig", None) or error).strip().splitlines()[0] if str(error) else type(error).__name__)
    low = text.lower()
    if "not a database" in low or "malformed" in low:
        return StateError(
            f"the state store {where} is damaged",
            found=text,
            state="tables, positions and publications are safe: they live in the lake",
            hint="move the file away and run again; a new one is begun from the lake",
        )
    if "readonly" in low or "read-only" in low or "permission denied" in low:
        return StateError(f"the state store {where} can't be written", found=text, hint="check the permissions of its file and folder")
    if "disk is full" in low or "no space left" in low or "disk i/o error" in low or "file too large" in low:
        return StateError(f"no space is left for the state store {where}", found=text, state="the lake is untouched", hint="free space; run again")
    hint = "check `state:` in headwater.yaml, and that the database answers"
    return StateUnavailable(f"the state store {where} can't be reached", found=text, hint=hint)
