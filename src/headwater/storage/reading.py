"""Reading back: the rows of one query on a connection of its own, and the owner's way for statements that can't be rewritten."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from headwater.engine import Connection, Result, Workspace, parse_statements, parse_tree, tables_named, translated
from headwater.errors import SnapshotNotFound, StatementRefused, TableNotFound
from headwater.spec.names import SYSTEM_SCHEMA, TableName, quote, quote_literal
from headwater.storage.changes import NEVER_PUBLISHED, TableState
from headwater.storage.core import Core, rollback
from headwater.storage.history import existing_snapshots, readable_snapshot
from headwater.storage.relations import is_visible, published_columns, published_definition, select_at
from headwater.storage.state import LakeState, StateReader, read_state
from headwater.storage.system import SYSTEM_TABLES

if TYPE_CHECKING:
    import pyarrow as pa

#: Table functions that read nothing but their arguments. All others are refused: files, other databases, the catalog's own.
ALLOWED_TABLE_FUNCTIONS: Final = frozenset(
    {
        "range",
        "generate_series",
        "unnest",
        "json_each",
        "json_tree",
        "repeat",
        "repeat_row",
        "summary",
        "generate_subscripts",
        "regexp_split_to_table",
    }
)


_ROWS_AT_ONCE: Final = 10_000


class Guard:
    """What a reading does with errors, how much it lets through, and who is told. This one: everything as it is, and nobody."""

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def count_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Raises LimitExceeded when that was too much."""

    def count_batch(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Raises LimitExceeded when that was too much."""

    @property
    def is_limited(self) -> bool:
        """Whether rows have to be counted before they leave."""
        return False

    def close(self) -> None:
        """Idempotent."""


class Reading:
    """The rows of one query, on a connection of its own.

    `release` gives back what it stands on when it is closed, or all rows have been read; it is told whether they have.
    """

    def __init__(self, result: Result, interrupt: Callable[[], None], release: Callable[[bool], None], guard: Guard | None = None) -> None:
        self._result = result
        self._interrupt = interrupt
        self._release: Callable[[bool], None] | None = release
        self._guard = guard or Guard()
        self._is_read_out = False

    @property
    def columns(self) -> list[str]:
        return self._result.columns

    @property
    def types(self) -> list[str]:
        return self._result.types

    def fetchall(self) -> list[tuple[Any, ...]]:
        try:
            with self._guard:
                rows: list[tuple[Any, ...]] = []
                if not self._guard.is_limited:
                    rows = self._result.fetchall()
                    self._guard.count_rows(rows)
                else:
                    while some := self._result.fetchmany(_ROWS_AT_ONCE):
                        self._guard.count_rows(some)
                        rows += some
                self._is_read_out = True
                return rows
        finally:
            self.close()

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        with self._guard:
            rows = self._result.fetchmany(size)
            self._guard.count_rows(rows)
            return rows

    def scalar(self) -> Any:
        """The first column of the first row; None when there is no row."""
        try:
            row = self.fetchone()
            return None if row is None else row[0]
        finally:
            self.close()

    def arrow(self) -> pa.Table:
        try:
            if self._guard.is_limited:
                return self.batches().read_all()
            with self._guard:
                table = self._result.arrow()
                self._guard.count_batch(table)
                self._is_read_out = True
                return table
        finally:
            self.close()

    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader:
        """Arrow batches, streamed. Close this reading when the last has been taken."""
        import pyarrow as pa  # an optional part

        with self._guard:
            reader = self._result.batches(rows)
        return pa.RecordBatchReader.from_batches(reader.schema, self._counted(reader))

    def _counted(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The batches, their errors ours: Arrow tells an error of the engine whole, values and all."""
        while True:
            with self._guard:
                try:
                    with translated():
                        batch = reader.read_next_batch()
                except StopIteration:
                    self._is_read_out = True
                    return
                self._guard.count_batch(batch)
            yield batch

    def then(self, after: Callable[[], None]) -> None:
        """Calls `after` when this is closed: at once where it is."""
        release = self._release
        if release is None:
            after()
            return

        def both(is_read_out: bool) -> None:
            try:
                release(is_read_out)
            finally:
                after()

        self._release = both

    def interrupt(self) -> None:
        """Stops the query, from another thread."""
        self._interrupt()

    def close(self) -> None:
        """Idempotent."""
        release, self._release = self._release, None
        if release is not None:
            self._guard.close()
            release(self._is_read_out)

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_in_workspace(core: Core, sql: str, *, at: int | datetime | None, head: bool, macros: Iterable[str], guard: Guard) -> Reading:
    """The owner's way for a statement that DuckDB parses and doesn't serialize: a view of each table's name, the statement as it is."""
    names = named_tables(sql)
    workspace = Workspace(core.engine, macros=macros)
    connection = workspace.connection()

    def release(is_read_out: bool = False) -> None:
        rollback(connection)
        connection.close()
        workspace.close()

    try:
        base = core.begin(connection)
        state, limit = state_as_of(core, connection, base, at)
        _Views(core, workspace, connection, state, base, limit, head).define(names)
        return Reading(connection.execute(sql), connection.interrupt, release, guard)
    except BaseException:
        release()
        raise


def named_tables(sql: str) -> list[TableName]:
    """The tables that one SELECT-like statement reads. Raises StatementRefused for any other statement, and for what reads anything but tables."""
    statements = parse_statements(sql)
    tree = parse_tree(sql) if statements else None
    # DuckDB takes a PIVOT without IN apart into statements of its own, which have no text
    is_pivot = len(statements) > 1 and tree is None and all(not statement.sql for statement in statements)
    is_query = len(statements) == 1 and statements[0].type == "SELECT" and tree is not None
    if not (is_query or is_pivot):
        found = ", ".join(statement.type for statement in statements) or "nothing"
        raise StatementRefused("only one query can be run here", expected="one SELECT", found=found, hint="tables change by `headwater run` alone")
    if tree is None:
        _refuse_functions_by_sqlglot(sql)
    else:
        _refuse_functions(tree)
    names = []
    for parts in sorted(tables_named(sql)):
        if len(parts) == 1 and any(mark in parts[0] for mark in "./:*\\"):
            raise StatementRefused("a query can't read files here", expected="tables of the lake", hint="make the file a source")
        if len(parts) > 2:
            raise StatementRefused("a query names tables as schema.table", found=".".join(parts))
        if len(parts) == 1:
            raise TableNotFound(f"there is no table {parts[0]}", expected="a name of the form schema.table", hint="headwater ls shows all tables")
        names.append(TableName(*parts))
    return names


def _refuse_functions(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _refuse_functions(item)
    elif isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION":
            name = str((node.get("function") or {}).get("function_name", "")).lower()
            if name not in ALLOWED_TABLE_FUNCTIONS:
                _refuse_function(name)
        if node.get("type") == "SHOW_REF" and node.get("query") is None:
            _refuse_function("SHOW")
        for value in node.values():
            _refuse_functions(value)


def _refuse_functions_by_sqlglot(sql: str) -> None:
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb")
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            name = table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name() if isinstance(table.this, exp.Func) else "?"
            if name.lower() not in ALLOWED_TABLE_FUNCTIONS:
                _refuse_function(name.lower())


def _refuse_function(name: str) -> None:
    raise StatementRefused(f"a query can't call {name} here", expected="tables of the lake", hint="make what it reads a source, or a model of it")


def snapshot_at(core: Core, connection: Connection, at: int | datetime, base: int) -> int:
    """The snapshot that `at` means: itself, or the newest that was made by then. Raises SnapshotNotFound."""
    if isinstance(at, int):
        if at > base or at < 0:
            raise SnapshotNotFound(f"there is no snapshot {at}", expected=f"a number up to {base}", hint="headwater snapshots TABLE lists them")
        return at
    if at.tzinfo is None:
        raise SnapshotNotFound("a time needs its zone", expected="a time such as 2024-05-01T12:00:00Z")
    found = connection.execute(f"SELECT max(snapshot_id) FROM {quote(core.database)}.snapshots() WHERE snapshot_time <= ?", [at]).scalar()
    if found is None:
        raise SnapshotNotFound(f"nothing is kept of {at.isoformat()}", hint="headwater snapshots TABLE lists what is kept")
    return int(found)


def state_as_of(core: Core, connection: Connection, base: int, at: int | datetime | None) -> tuple[LakeState, int | None]:
    if at is None:
        return core.state_on(connection, base), None
    limit = snapshot_at(core, connection, at, base)
    reader = StateReader(connection, core.database, core.environment)
    return read_state(reader, core.environment, limit, core.load_position), limit


class _Views:
    """Defines a workspace view for each table a query needs, inputs of view models first."""

    def __init__(self, core: Core, workspace: Workspace, connection: Connection, state: LakeState, base: int, limit: int | None, head: bool) -> None:
        self._core = core
        self._workspace = workspace
        self._connection = connection
        self._state = state
        self._base = base
        self._limit = limit
        self._head = head
        self._done: set[tuple[str, str]] = set()
        self._existing: frozenset[int] | None = None

    def define(self, names: Iterable[TableName], reader: TableName | None = None) -> None:
        for name in names:
            if name.key not in self._done:
                self._done.add(name.key)
                self._define(name, reader)

    def _define(self, name: TableName, reader: TableName | None) -> None:
        if name.schema.lower() == SYSTEM_SCHEMA:
            self._define_system(name)
            return
        state = self._state.find(name)
        if state is None:
            raise _not_found(name, self._state, reader)
        if not self._head and not is_visible(state):
            why = f" ({state.reason})" if state.reason else ""
            raise TableNotFound(
                f"{name} is not published",
                found=f"{state.publication}{why}",
                state="its rows are in the lake, waiting" if not state.is_retired else "it was retired",
                hint=f"headwater publish {name}, or read it with --head" if not state.is_retired else "read what is left of it with --head",
            )
        definition = state.definition if self._head else published_definition(state)
        if definition.kind == "view":
            for statement in definition.body.get("macros", ()):
                self._connection.execute(statement)
            self.define(definition.inputs, name)
            self._workspace.define(name, definition.sql, self._connection)
        else:
            self._workspace.define(name, self._select(state), self._connection)

    def _select(self, state: TableState) -> str:
        pin = None if self._head else state.published_snapshot
        columns = state.columns if self._head else published_columns(state)
        snapshot = pin if pin is not None and pin != NEVER_PUBLISHED else self._limit
        if self._limit is not None and snapshot is not None and snapshot not in self._kept():
            # what was published then isn't pinned any more; another snapshot may still show the same rows
            snapshot, _ = readable_snapshot(self._core, self._connection, state, snapshot, self._base)
        return select_at(self._core.database, state.table, columns, None if snapshot == self._base else snapshot)

    def _kept(self) -> frozenset[int]:
        if self._existing is None:
            self._existing = frozenset(existing_snapshots(self._core, self._connection))
        return self._existing

    def _define_system(self, name: TableName) -> None:
        if name.name.lower() not in SYSTEM_TABLES:
            raise TableNotFound(f"there is no table {name}", expected=", ".join(f"headwater.{table}" for table in SYSTEM_TABLES))
        table = name.name.lower()
        conditions = []
        if table != "format":
            conditions.append(f"environment = {quote_literal(self._core.environment)}")
            if self._limit is not None:
                conditions.append(f"snapshot_id <= {self._limit}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        self._workspace.define(name, f"SELECT * FROM {self._core.system}.{quote(table)}{where}", self._connection)


def _not_found(name: TableName, state: LakeState, reader: TableName | None) -> TableNotFound:
    near = difflib.get_close_matches(str(name), [str(table) for table in state.tables], n=1)
    by = f", which the view {reader} reads" if reader else ""
    return TableNotFound(f"there is no table {name} in the lake{by}", hint=f"did you mean {near[0]}?" if near else "headwater ls shows all tables")
