"""Running a read: every portion is opened, described, made to conform, and landed in one pass as staged rows."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.engine import Connection, describe_query
from headwater.errors import HeadwaterError, Interrupted, SourceError, SourceReadFailed, UserCodeError
from headwater.ingestion.conform import REJECT_COLUMN, Conforming
from headwater.ingestion.context import LoadContext
from headwater.ingestion.contract import SourceColumn
from headwater.sources import Batches, Portion, Scan, scan_ready
from headwater.spec.names import TableName, quote, quote_literal
from headwater.storage.changes import Staged
from headwater.storage.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

#: Portions read by one statement: the engine reads them side by side.
PORTIONS_AT_ONCE = 64
_CANCEL_CHECK_SECONDS = 0.1
_names = itertools.count(1)


@dataclass(slots=True)
class OpenPortion:
    """A portion ready to be read on one connection. `failure` holds what a Python source raised, since the engine would hide its kind."""

    portion: Portion
    sql: str
    columns: list[SourceColumn]
    failure: list[BaseException] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Landed:
    """Rows as they came, typed. `is_marked`: the column `REJECT_COLUMN` says which are broken.

    `lines` are those the reader couldn't take apart, staged as quarantine takes them.
    """

    staged: tuple[Staged, ...]
    is_marked: bool
    lines: tuple[Staged, ...] = ()

    @property
    def relation(self) -> str:
        if len(self.staged) == 1:
            return self.staged[0].relation
        return "(" + " UNION ALL BY NAME ".join(f"SELECT * FROM {staged.relation}" for staged in self.staged) + ")"

    @property
    def is_ordered(self) -> bool:
        """Whether the rows stand in the order they were read in."""
        return not any(staged.files for staged in self.staged)

    @property
    def rows(self) -> int:
        return sum(staged.rows for staged in self.staged)

    @property
    def size_bytes(self) -> int:
        return sum(staged.size_bytes for staged in self.staged)

    @property
    def lines_rejected(self) -> int:
        return sum(staged.rows for staged in self.lines)


@contextmanager
def stopped_when_cancelled(connection: Connection, is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Inside it, what runs on `connection` is interrupted soon after `is_cancelled` says so; the statement then raises Interrupted."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_CANCEL_CHECK_SECONDS):
            if is_cancelled():
                connection.interrupt()

    watcher = threading.Thread(target=watch, name="headwater-load-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@contextmanager
def opened(connection: Connection, portions: Sequence[Portion], context: LoadContext) -> Iterator[list[OpenPortion]]:
    """All portions set up on `connection`, with their columns.

    What was set up is taken down at the end, whatever happened; errors leave as SourceErrors.
    """
    with ExitStack() as stack:
        ready = []
        for portion in portions:
            if isinstance(portion.data, Scan):
                sql = stack.enter_context(scan_ready(connection, portion.data))
                ready.append(OpenPortion(portion, sql, _scan_columns(connection, sql, portion.data)))
            else:
                found = _open_batches(connection, portion, portion.data, context, stack)
                if found is not None:
                    ready.append(found)
        try:
            yield ready
        except HeadwaterError as error:
            raised = next((failure for portion in ready for failure in portion.failure), None)
            if raised is None or isinstance(error, Interrupted):
                raise
            raise raised from None


def _scan_columns(connection: Connection, sql: str, scan: Scan) -> list[SourceColumn]:
    suggested = {name.lower(): type_name for name, type_name in scan.suggested_types.items()}
    return [SourceColumn(column.name, column.type, suggested.get(column.name.lower())) for column in describe_query(connection, sql)]


def _open_batches(connection: Connection, portion: Portion, batches: Batches, context: LoadContext, stack: ExitStack) -> OpenPortion | None:
    """Registers a reader over the batches. None when there isn't one batch to tell the columns by."""
    import pyarrow as pa

    failure: list[BaseException] = []
    source = _watched(batches.open(), portion, failure, context)
    schema = batches.schema
    if schema is None:
        try:
            first = next(source, None)
        except BaseException:
            raise failure[0] if failure else Interrupted("the load was cancelled") from None
        if first is None:
            return None
        schema, source = first.schema, itertools.chain([first], source)
    name = f"hw_read_{next(_names)}"
    empty = f"{name}_empty"
    connection.register(empty, schema.empty_table())
    # names as the source gives them: the engine would number doubled ones
    columns = [
        SourceColumn(field.name, column.type) for field, column in zip(schema, describe_query(connection, f"SELECT * FROM {empty}"), strict=True)
    ]
    connection.unregister(empty)
    connection.register(name, pa.RecordBatchReader.from_batches(schema, source))
    stack.callback(connection.unregister, name)
    return OpenPortion(portion, f"SELECT * FROM {name}", columns, failure)


def _watched(source: Iterator[pa.RecordBatch], portion: Portion, failure: list[BaseException], context: LoadContext) -> Iterator[pa.RecordBatch]:
    """The batches; what goes wrong is kept in `failure`, since on its way through the engine an exception loses its kind."""
    try:
        for batch in source:
            if context.is_cancelled():
                raise Interrupted("the load was cancelled")
            yield batch
    except (SourceError, UserCodeError, Interrupted) as error:
        failure.append(error)
        raise
    except Exception as error:
        failure.append(
            SourceReadFailed(f"{portion.description} failed while being read", found=type(error).__name__, state="nothing of this read was loaded")
        )
        raise


def land(
    lake: Lake,
    connection: Connection,
    table: TableName,
    ready: Sequence[OpenPortion],
    conforming: Conforming,
    context: LoadContext,
    *,
    as_files: bool | None,
) -> Landed:
    """Reads everything once, typed, into staged rows. When it raises, nothing stays staged.

    `as_files` as `Lake.stage` takes it: files for much, memory for little. Only rows in memory keep the order they were read in.
    """
    mark = any(conforming.must_mark(portion.columns) for portion in ready)
    staged: list[Staged] = []
    lines: list[Staged] = []
    try:
        for start in range(0, len(ready), PORTIONS_AT_ONCE):
            members = ready[start : start + PORTIONS_AT_ONCE]
            selects = [conforming.select(member.sql, member.columns, mark=mark) for member in members]
            query = "\nUNION ALL\n".join(f"({select})" for select in selects)
            staged.append(lake.stage(connection, table, query, as_files=as_files))
            context.on_progress(sum(s.rows for s in staged), sum(s.size_bytes for s in staged))
            lines.extend(_lines_rejected(lake, connection, table, members))
    except BaseException:
        for item in (*staged, *lines):
            lake.drop_staged(item)
        raise
    return Landed(tuple(staged), mark, tuple(lines))


def _lines_rejected(lake: Lake, connection: Connection, table: TableName, members: Sequence[OpenPortion]) -> list[Staged]:
    """What the readers left out, in the form quarantine takes: the line stands as one JSON string."""
    queries = []
    for member in members:
        if isinstance(member.portion.data, Scan) and member.portion.data.rejects_sql:
            queries.append(f"""
                SELECT to_json(raw::VARCHAR)::VARCHAR AS raw, 'line: ' || reason AS reason, NULL::VARCHAR AS column_name,
                  json_object('at', position)::VARCHAR AS position
                FROM ({member.portion.data.rejects_sql}) AS hw_lines(raw, reason, position)
            """)
    if not queries:
        return []
    found = lake.stage(connection, table, "\nUNION ALL\n".join(queries), as_files=False)
    if found.rows:
        return [found]
    lake.drop_staged(found)
    return []


def rejects_query(landed: Landed, conforming: Conforming, source_types: dict[str, str], broken: int) -> str | None:
    """Everything this read sets apart, in the form quarantine takes; None when it is nothing."""
    parts = [f"SELECT raw, reason, column_name, position FROM {staged.relation}" for staged in landed.lines]
    if broken:
        marked = (
            f"SELECT {REJECT_COLUMN} FROM {landed.relation} WHERE {REJECT_COLUMN} IS NOT NULL"
            if landed.is_marked
            else conforming.landed_rejects(landed.relation, source_types)
        )
        fields = ", ".join(f"{REJECT_COLUMN}[{quote_literal(name)}] AS {quote(name)}" for name in ("raw", "reason", "column_name", "position"))
        parts.append(f"SELECT {fields} FROM ({marked})")
    return "\nUNION ALL\n".join(parts) if parts else None
