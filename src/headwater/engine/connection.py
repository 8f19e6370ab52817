"""One DuckDB instance per process and lake, and the connections (cursors) that threads use."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb

from headwater.engine.extensions import extension_available, load_extension
from headwater.engine.failures import translated
from headwater.engine.literals import bind_parameters, is_plain
from headwater.engine.numbers import as_they_are
from headwater.engine.overtime import Overtime
from headwater.spec.names import quote, quote_literal

if TYPE_CHECKING:
    import pyarrow as pa


class Result:
    """Rows of one statement, read once."""

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        self._raw = raw

    @property
    def columns(self) -> list[str]:
        """Names in order; empty for a statement that returns nothing."""
        return [item[0] for item in self._raw.description or ()]

    @property
    def types(self) -> list[str]:
        """DuckDB type names in order."""
        return [str(item[1]) for item in self._raw.description or ()]

    def fetchall(self) -> list[tuple[Any, ...]]:
        with translated():
            return self._raw.fetchall()

    def fetchone(self) -> tuple[Any, ...] | None:
        with translated():
            return self._raw.fetchone()

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        with translated():
            return self._raw.fetchmany(size)

    def scalar(self) -> Any:
        """The first column of the first row; None when there is no row."""
        row = self.fetchone()
        return None if row is None else row[0]

    def arrow(self) -> pa.Table:
        with translated():
            return self._raw.to_arrow_table()

    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader:
        """Arrow batches of up to `rows` rows, streamed."""
        with translated():
            return self._raw.to_arrow_reader(rows)


class Connection:
    """A cursor on the engine's instance: attached databases are shared, transactions and `USE` are its own. For one thread at a time."""

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        self._raw = raw

    def execute(self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> Result:
        """Runs one or several statements; the result is the last one's. Raises the errors of `engine.failures`."""
        if isinstance(parameters, (list, tuple)) and is_plain(parameters):
            sql, parameters = bind_parameters(sql, parameters), None
        bound = as_they_are(parameters) if parameters is not None else None
        with translated():
            self._raw.execute(sql, bound) if bound is not None else self._raw.execute(sql)
        return Result(self._raw)

    def execute_bound(self, sql: str, parameters: Sequence[Any] | dict[str, Any]) -> Result:
        """Runs one statement whose parameters (`$1`, `$name`) are bound by the engine; it infers their types. Raises as `execute`."""
        bound = as_they_are(parameters)
        with translated():
            self._raw.execute(sql, bound)
        return Result(self._raw)

    def load(self, extension: str) -> None:
        load_extension(self._raw, extension)

    def relation(self, sql: str) -> duckdb.DuckDBPyRelation:
        """A lazy DuckDB relation, for user code that wants one."""
        with translated():
            return self._raw.sql(sql)

    def register(self, name: str, data: object) -> None:
        """Makes an Arrow table, reader or dataset (or a frame) readable as `name` on this connection only, in schema temp."""
        with translated():
            self._raw.register(name, data)

    def unregister(self, name: str) -> None:
        with translated():
            self._raw.unregister(name)

    def interrupt(self) -> None:
        """Stops what runs on this connection, from another thread. The connection stays usable."""
        with contextlib.suppress(duckdb.ConnectionException):  # it was closed meanwhile: nothing runs on it
            self._raw.interrupt()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """BEGIN .. COMMIT; ROLLBACK when the body raises. A failed COMMIT raises CommitConflict and leaves nothing behind."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield self
            self.execute("COMMIT")
        except BaseException:
            try:
                self._raw.execute("ROLLBACK")
            except duckdb.Error:
                pass  # a failed COMMIT has already rolled back
            raise

    @contextmanager
    def time_limit(self, seconds: float | None) -> Iterator[None]:
        """Interrupts what runs inside it after `seconds`, and whatever is begun after that; None means no limit."""
        if seconds is None:
            yield
            return
        overtime = Overtime(seconds, self.interrupt)
        try:
            yield
        finally:
            overtime.close()

    def close(self) -> None:
        self._raw.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Engine:
    """One DuckDB instance: in memory, spilling to `temp_directory`. Thread-safe: each thread takes a `connection()` of its own.

    `memory_limit` as DuckDB writes it (`4GB`); `threads` None for all cores; `timezone` is the session's TimeZone. `extensions` are loaded now where
    their wheels are installed, and without the check of their signatures that a later `load` makes (a tenth of a second each).
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        memory_limit: str | None = None,
        temp_directory: Path | None = None,
        timezone: str = "UTC",
        extensions: Sequence[str] = (),
    ) -> None:
        self._threads, self._temp_directory, self._timezone, self._extensions = threads, temp_directory, timezone, tuple(extensions)
        self._lock = threading.Lock()
        self._is_held_back = False
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_unsigned_extensions": "true",
        }
        if threads is not None:
            config["threads"] = str(threads)
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        if temp_directory is not None:
            config["temp_directory"] = str(temp_directory)
        with translated():
            self._raw = duckdb.connect(config=config)
            self._raw.execute(f"SET GLOBAL TimeZone = {quote_literal(timezone)}")
        for extension in filter(extension_available, extensions):
            load_extension(self._raw, extension)
        # The wheels are code of ours like any other; from here on nothing unsigned is loaded, and DuckDB doesn't let this be taken back.
        self._raw.execute("SET GLOBAL allow_unsigned_extensions = false")

    def sibling(self, memory: int) -> Engine:
        """Another instance, with the same settings and so many bytes of memory; it spills to a folder of its own."""
        folder = None if self._temp_directory is None else self._temp_directory / f"sibling-{uuid.uuid4().hex}"
        return Engine(threads=self._threads, memory_limit=f"{memory}B", temp_directory=folder, timezone=self._timezone, extensions=self._extensions)

    def connection(self) -> Connection:
        """A new cursor on this instance; close it when done."""
        return Connection(self._raw.cursor())

    def hold_back(self) -> None:
        """One thread for everything, until `use_all_threads`: to wake others takes a fifth of what looking into small tables does."""
        self._set_threads(is_held_back=True)

    def use_all_threads(self) -> None:
        """All that it was made with, again: there is work. Idempotent."""
        self._set_threads(is_held_back=False)

    def _set_threads(self, *, is_held_back: bool) -> None:
        with self._lock:
            if is_held_back == self._is_held_back:
                return
            number = 1 if is_held_back else self._threads
            with self.connection() as connection:
                connection.execute("RESET GLOBAL threads" if number is None else f"SET GLOBAL threads = {number}")
            self._is_held_back = is_held_back

    def load(self, extension: str) -> None:
        """Loads an extension for all connections; idempotent."""
        load_extension(self._raw, extension)

    def attach_memory(self, name: str) -> None:
        """An empty in-memory database `name`, visible to all connections; what doesn't fit spills to `temp_directory`."""
        with translated():
            self._raw.execute(f"ATTACH ':memory:' AS {quote(name)}")

    def detach(self, name: str) -> None:
        with translated():
            self._raw.execute(f"DETACH DATABASE IF EXISTS {quote(name)}")

    def close(self) -> None:
        self._raw.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
