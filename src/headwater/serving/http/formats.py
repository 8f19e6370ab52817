"""The formats of answers: each takes Arrow batches and gives bytes, a batch at a time."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from headwater.engine import Connection, Engine
from headwater.errors import UsageError
from headwater.serving.http import texts
from headwater.spec.names import quote_literal

ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"

#: Rows of a Parquet row group, and the bytes after which one ends earlier.
_GROUP_ROWS: Final = 131_072
_GROUP_BYTES: Final = 32 * 2**20
_BATCH: Final = "batch"
#: A level below the first takes a tenth less of both sides' time for 2 in 100 bytes more.
_ZSTD: Final = pa.Codec("zstd", compression_level=-1)


class Format(ABC):
    """One answer being written. Made with the schema and DuckDB's type names; `head`, then `rows` per batch, then `tail`. Not thread-safe."""

    media_type: ClassVar[str]

    def __init__(self, engine: Engine, schema: pa.Schema, types: Sequence[str], style: texts.Style) -> None:
        self.schema = schema
        self.types = types
        self.style = style
        self._engine = engine
        self._connection: Connection | None = None

    def head(self) -> bytes:
        return b""

    @abstractmethod
    def rows(self, batch: pa.RecordBatch) -> bytes: ...

    def tail(self) -> bytes:
        return b""

    def close(self) -> None:
        """Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _computed(self, batch: pa.RecordBatch, expressions: Sequence[str]) -> pa.Table:
        """DuckDB's results for expressions over the columns c0, c1, ..: names of our own, as `to_json(x)` takes a column x before all else."""
        if self._connection is None:
            self._connection = self._engine.connection()
        names = [f"c{index}" for index in range(batch.num_columns)]
        self._connection.register(_BATCH, pa.Table.from_batches([batch.rename_columns(names)]))
        try:
            return self._connection.execute(f"SELECT {', '.join(expressions)} FROM {_BATCH}").arrow()
        finally:
            self._connection.unregister(_BATCH)

    def _lines(self, batch: pa.RecordBatch, expression: str, separator: str) -> bytes:
        column = self._computed(batch, [f"CAST({expression} AS VARCHAR)"]).column(0).combine_chunks()
        values = column.cast(pa.string())
        joined: Any = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values), separator)
        return memoryview(joined[0].as_buffer()).tobytes()


class ArrowFormat(Format):
    """The IPC stream, its bodies compressed with zstd."""

    media_type = ARROW

    def head(self) -> bytes:
        self._sink = _Sink()
        self._writer = pa.ipc.new_stream(self._sink.file, self.schema, options=pa.ipc.IpcWriteOptions(compression=_ZSTD))
        return self._sink.take()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        self._writer.write_batch(batch)
        return self._sink.take()

    def tail(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class ParquetFormat(Format):
    media_type = PARQUET

    def head(self) -> bytes:
        expressions = [texts.parquet_value(field.type, f"c{index}") for index, field in enumerate(self.schema)]
        self._expressions = [expression or f"c{index}" for index, expression in enumerate(expressions)] if any(expressions) else None
        fields = [
            pa.field(name, field.type if expression is None else pa.string(), field.nullable)
            for name, field, expression in zip(unique(self.schema.names), self.schema, expressions, strict=True)
        ]
        self._kept = pa.schema(fields)
        self._sink = _Sink()
        self._writer = pa.parquet.ParquetWriter(self._sink.file, self._kept, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        return self._sink.take()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        if self._expressions is not None:
            table = self._computed(batch, self._expressions)
            batch = table.rename_columns(self._kept.names).cast(self._kept).combine_chunks().to_batches()[0]
        else:
            batch = batch.rename_columns(self._kept.names)
        self._waiting.append(batch)
        if sum(one.num_rows for one in self._waiting) >= _GROUP_ROWS or sum(one.nbytes for one in self._waiting) >= _GROUP_BYTES:
            self._flush()
        return self._sink.take()

    def tail(self) -> bytes:
        if self._waiting:
            self._flush()
        self._writer.close()
        return self._sink.take()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._kept), row_group_size=_GROUP_ROWS)
        self._waiting = []


class JsonFormat(Format):
    """`{"columns": [{"name", "type"}, ..], "rows": [[..], ..]}`."""

    media_type = JSON

    def head(self) -> bytes:
        self._is_first = True
        columns = [{"name": name, "type": type} for name, type in zip(self.schema.names, self.types, strict=True)]
        self._row = f"json_array({', '.join(_json_values(self))})"
        return f'{{"columns":{json.dumps(columns, ensure_ascii=False)},"rows":['.encode()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        lines = self._lines(batch, self._row, ",\n")
        start, self._is_first = (b"\n" if self._is_first else b",\n"), False
        return start + lines

    def tail(self) -> bytes:
        return b"\n]}\n"


class NdjsonFormat(Format):
    """One object a line."""

    media_type = NDJSON

    def head(self) -> bytes:
        pairs = zip(unique(self.schema.names), _json_values(self), strict=True)
        self._row = f"json_object({', '.join(f'{quote_literal(name)}, {value}' for name, value in pairs)})"
        return b""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        return self._lines(batch, self._row, "\n") + b"\n"


class CsvFormat(Format):
    """A line of names, then the rows (RFC 4180). Null is nothing, an empty text is two quotes."""

    media_type = CSV

    def head(self) -> bytes:
        expressions = [texts.csv_value(field.type, f"c{index}") for index, field in enumerate(self.schema)]
        self._expressions = [expression or f"c{index}" for index, expression in enumerate(expressions)] if any(expressions) else None
        return (",".join('"' + name.replace('"', '""') + '"' for name in self.schema.names) + "\n").encode()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        table = pa.Table.from_batches([batch]) if self._expressions is None else self._computed(batch, self._expressions)
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(table.rename_columns([f"c{index}" for index in range(table.num_columns)]), sink, pa.csv.WriteOptions(include_header=False))
        return bytes(sink.getvalue())


FORMATS: Final[dict[str, type[Format]]] = {kind.media_type: kind for kind in (JsonFormat, NdjsonFormat, CsvFormat, ArrowFormat, ParquetFormat)}
#: Other names that are understood.
_ALIASES: Final = {"application/jsonl": NDJSON, "application/ndjson": NDJSON, "application/x-parquet": PARQUET}


def negotiate(accept: str | None) -> tuple[type[Format], texts.Style] | None:
    """The format that an Accept header (RFC 9110) likes best, JSON where it doesn't say; None when none of ours will do.

    Raises UsageError for a header that can't be read. `application/json;integers=text` asks for 64-bit integers as strings.
    """
    if accept is None or not accept.strip():
        return JsonFormat, texts.Style()
    wishes = [_wish(part) for part in accept.split(",") if part.strip()]
    best: tuple[float, int, type[Format], texts.Style] | None = None
    for place, (media_type, kind) in enumerate(FORMATS.items()):
        matching = [wish for wish in wishes if _ALIASES.get(wish[0], wish[0]) in (media_type, f"{media_type.split('/')[0]}/*", "*/*")]
        if not matching:
            continue
        _, quality, style = max(matching, key=lambda wish: wish[0].count("*") * -1)  # the most specific range says how much it is liked
        if quality > 0 and (best is None or (quality, -place) > best[:2]):
            best = (quality, -place, kind, style)
    return None if best is None else (best[2], best[3])


def _wish(part: str) -> tuple[str, float, texts.Style]:
    media_range, *parameters = (piece.strip() for piece in part.lower().split(";"))
    quality, style = 1.0, texts.Style()
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = -1.0
            if not 0 <= quality <= 1:
                raise UsageError("the Accept header can't be read", expected="q between 0 and 1")
        elif name.strip() == "integers" and value.strip() == "text":
            style = texts.Style(integers_as_text=True)
    return media_range, quality, style


def unique(names: Sequence[str]) -> list[str]:
    """The names, later ones of the same name with _1, _2 .. after it."""
    taken = set(names)
    seen: set[str] = set()
    found = []
    for name in names:
        candidate, count = name, 0
        while candidate in seen or (count and candidate in taken):
            count += 1
            candidate = f"{name}_{count}"
        seen.add(candidate)
        found.append(candidate)
    return found


def _json_values(format: Format) -> list[str]:
    values = []
    for index, (field, type) in enumerate(zip(format.schema, format.types, strict=True)):
        name = f"c{index}"
        values.append(texts.json_document(name) if texts.is_json(type) else texts.json_value(field.type, name, format.style))
    return values


class _Sink:
    """A file for Arrow's writers whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False
        self.file = pa.PythonFile(cast(Any, self), mode="w")

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
