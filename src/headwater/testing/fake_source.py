"""A source in memory that fails on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.errors import SourceDataInvalid, SourceReadFailed, SourceUnreachable, StreamNotFound
from headwater.sources.connector import (
    Batches,
    Capabilities,
    ConnectorContext,
    DiscoveredColumn,
    DiscoveredStream,
    Portion,
    Reading,
    ReadRequest,
)
from headwater.spec.counting import plural

if TYPE_CHECKING:
    import pyarrow as pa


class FakeSource:
    """Tables of dicts, read by `table:` with `select`, `exclude` and a cursor, in batches of `batch_rows`.

    `dies_after` counts down the rows that are still given, over all reads: then every read raises SourceReadFailed until it is set to None.
    `is_reachable` False makes everything raise SourceUnreachable. `tables` may be changed between reads. `acknowledged` lists what was acknowledged.
    """

    type: ClassVar[str] = "fake"
    capabilities: ClassVar[Capabilities] = Capabilities(cursor=True)

    def __init__(self, context: ConnectorContext | None = None, *, tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> None:
        self.context = context or ConnectorContext("fake", Path())
        given = tables if tables is not None else self.context.options.get("tables", {})
        self.tables: dict[str, list[dict[str, Any]]] = {name: [dict(row) for row in rows] for name, rows in given.items()}
        self.batch_rows = 1000
        self.dies_after: int | None = None
        self.is_reachable = True
        self.reads = 0
        self.acknowledged: list[tuple[str, Mapping[str, Any]]] = []
        self.is_closed = False

    def check(self) -> str:
        self._reach()
        return f"fake source, {plural(len(self.tables), 'table')}"

    def discover(self) -> list[DiscoveredStream]:
        self._reach()
        return [DiscoveredStream(name, {"table": name}, self._columns(name), (), len(rows)) for name, rows in self.tables.items()]

    def columns(self, request: ReadRequest) -> tuple[DiscoveredColumn, ...]:
        self._reach()
        chosen = self._schema(request).names
        return tuple(column for column in self._columns(self._table(request)) if column.name in chosen)

    def read(self, request: ReadRequest) -> Reading:
        self._reach()
        self.reads += 1
        table = self._table(request)
        return Reading((Portion(Batches(lambda: self._batches(request), self._schema(request)), f"table {table}"),))

    def acknowledge(self, name: str, position: Mapping[str, Any]) -> None:
        self.acknowledged.append((name, position))

    def close(self) -> None:
        self.is_closed = True

    def _reach(self) -> None:
        if not self.is_reachable:
            raise SourceUnreachable(f"source {self.context.name} can't be reached", hint="it was told to be away")

    def _table(self, request: ReadRequest) -> str:
        table = request.stream.table or request.name
        if table not in self.tables:
            raise StreamNotFound(f"{self.context.name} has no table {table}", expected=", ".join(self.tables))
        return table

    def _schema(self, request: ReadRequest) -> pa.Schema:
        import pyarrow as pa

        schema = pa.Table.from_pylist(self.tables[self._table(request)]).schema
        missing = [name for name in request.stream.select if name not in schema.names]
        if missing:
            raise SourceDataInvalid(f"{self.context.name}.{request.name} has no column {', '.join(missing)}", found=", ".join(schema.names))
        wanted = set(request.stream.select or schema.names) - set(request.stream.exclude)
        return pa.schema([field for field in schema if field.name in wanted])

    def _columns(self, table: str) -> tuple[DiscoveredColumn, ...]:
        import pyarrow as pa

        from headwater.engine import Engine

        with Engine() as engine, engine.connection() as connection:
            connection.register("hw_table", pa.Table.from_pylist(self.tables[table]).slice(0, 0))
            return tuple(DiscoveredColumn(row[0], row[1]) for row in connection.execute("DESCRIBE FROM hw_table").fetchall())

    def _batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = self._schema(request)
        rows = [row for row in self.tables[self._table(request)] if _is_within(row, request)][: request.limit]
        for start in range(0, len(rows), self.batch_rows):
            batch = rows[start : start + self.batch_rows]
            if self.dies_after is not None:
                batch = batch[: self.dies_after]
                self.dies_after -= len(batch)
            if batch:
                yield pa.RecordBatch.from_pylist(batch, schema=schema)
            if self.dies_after == 0:
                raise SourceReadFailed(f"source {self.context.name} went away midway", state="nothing of this read was loaded", hint="run again")


def _is_within(row: Mapping[str, Any], request: ReadRequest) -> bool:
    bound = request.cursor
    if bound is None or (bound.start is None and bound.end is None):
        return True
    value = row.get(bound.column)
    if value is None:
        return False
    start, end = (_like(value, limit) for limit in (bound.start, bound.end))
    return (start is None or value >= start) and (end is None or value < end)


def _like(value: Any, limit: Any) -> Any:
    """A bound as the column's values are: positions come back from JSON as text."""
    if not isinstance(limit, str) or isinstance(value, str):
        return limit
    return value.fromisoformat(limit) if isinstance(value, (date, datetime)) else type(value)(limit)
