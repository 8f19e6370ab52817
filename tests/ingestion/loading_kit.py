"""A source in memory, and loading from it as a run does it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from headwater.ingestion import LoadContext, PreparedLoad, prepare_load, staged_of
from headwater.ingestion.replay import prepare_replay
from headwater.sources import Batches, Capabilities, Connector, ConnectorContext, Portion, Reading, ReadRequest, open_connector
from headwater.sources.base import ConnectorBase
from headwater.spec.names import TableName
from headwater.spec.sources import Source
from headwater.storage import Lake

_numbers = itertools.count(1)


class TableConnector(ConnectorBase):
    """A source system of one table, held in memory: a whole small database to read from. `rows` may change between reads."""

    type: ClassVar[str] = "python"
    capabilities: ClassVar[Capabilities] = Capabilities(cursor=True)

    def __init__(self, schema: pa.Schema, rows: Sequence[Mapping[str, Any]] = (), *, dies_after: int | None = None) -> None:
        super().__init__(ConnectorContext("shop", Path()))
        self.schema = schema
        self.rows = list(rows)
        self.dies_after = dies_after
        self.requests: list[ReadRequest] = []

    def columns(self, request: ReadRequest) -> tuple[Any, ...]:
        return ()

    def read(self, request: ReadRequest) -> Reading:
        self.requests.append(request)
        return Reading((Portion(Batches(lambda: self._batches(request), self.schema), "a table in memory"),))

    def _batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        rows = self.rows
        if request.cursor is not None and request.cursor.start is not None:
            rows = [row for row in rows if row[request.cursor.column] is not None and row[request.cursor.column] >= request.cursor.start]
        for number, start in enumerate(range(0, len(rows), 3)):
            if self.dies_after is not None and number >= self.dies_after:
                raise ConnectionError("the server went away")
            yield pa.RecordBatch.from_pylist(rows[start : start + 3], schema=self.schema)


class WholeTableConnector(TableConnector):
    """The same without cursors: every read is of everything."""

    capabilities: ClassVar[Capabilities] = Capabilities()


class Loads:
    """Loads and commits, as a run does."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.now = datetime(2024, 6, 1, tzinfo=UTC)

    def context(self, table: TableName, fingerprint: str = "1", **more: Any) -> LoadContext:
        self.now += timedelta(hours=1)
        state = self.lake.state().find(table)
        return LoadContext("run", f"load-{next(_numbers)}", self.now, fingerprint, state, 1, **more)

    def prepare(self, connector: Connector, source: Source, stream: str = "orders", **more: Any) -> PreparedLoad:
        return prepare_load(self.lake, connector, source, stream, self.context(source.table_name(stream), **more))

    def commit(self, prepared: PreparedLoad) -> PreparedLoad:
        if prepared.change is not None:
            self.lake.commit([prepared.change])
            for staged in staged_of(prepared.change):
                self.lake.drop_staged(staged)
        return prepared

    def load(self, connector: Connector, source: Source, stream: str = "orders", **more: Any) -> PreparedLoad:
        return self.commit(self.prepare(connector, source, stream, **more))

    def replay(self, source: Source, stream: str = "orders", ids: Sequence[str] | None = None) -> PreparedLoad:
        return self.commit(prepare_replay(self.lake, source, stream, ids, self.context(source.table_name(stream))))

    def rows(self, columns: str = "*", table: str = "shop.orders", order: str = "ALL") -> list[tuple[Any, ...]]:
        return self.lake.read_as_system(f"SELECT {columns} FROM lake.{table} ORDER BY {order}").fetchall()

    def waiting(self, columns: str = "reason", table: str = "shop.orders") -> list[tuple[Any, ...]]:
        from headwater.ingestion.quarantine import waiting

        return self.lake.read_as_system(f"SELECT {columns} FROM {waiting(self.lake, TableName.parse(table))} ORDER BY ALL").fetchall()

    def position(self, table: str = "shop.orders") -> Mapping[str, Any] | None:
        return self.lake.table_state(TableName.parse(table)).position

    def staged_files(self) -> list[Path]:
        """Parquet files in the data folder that no commit took over."""
        data = Path(self.lake.address.data)
        owned = {row[0] for row in self.lake.read_as_system("SELECT path FROM __ducklake_metadata_lake.ducklake_data_file").fetchall()}
        return [file for file in data.rglob("*.parquet") if file.name not in owned and "headwater" not in file.parts]


class FileLoads(Loads):
    """Loads from files in a folder."""

    def __init__(self, lake: Lake, folder: Path) -> None:
        super().__init__(lake)
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, stream: dict[str, Any], **more: Any) -> Any:
        source = source_of(stream, type="files")
        connector = self.open(source)
        try:
            return self.load(connector, source, **more)
        finally:
            connector.close()

    def open(self, source: Source) -> Connector:
        return open_connector(source, project_dir=self.folder, environ={}, temp_dir=self.folder / "tmp", now=self.now)

    def at(self, table: str = "shop.orders") -> list[str]:
        """Where the waiting rows stand, in order of it."""
        return sorted(json.loads(position or "{}").get("at", "-") for (position,) in self.waiting("position", table))


def source_of(stream: Mapping[str, Any], *, type: str = "python", name: str = "shop", stream_name: str = "orders") -> Source:
    """A source with one stream."""
    return Source.model_validate({"name": name, "type": type, "streams": {stream_name: dict(stream)}})
