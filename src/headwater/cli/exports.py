"""A query's result in the formats that programs read, on stdout or in a file."""

from __future__ import annotations

import io
import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from headwater.cli.screen import screen, to_json
from headwater.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from headwater.api import Result


def write_result(result: Result, format: str, path: Path | None) -> None:
    """Writes all rows as `table` (csv in a file), `json` (a list of objects), `csv`, `arrow` (IPC stream) or `parquet`.

    Rows are streamed but for JSON's brackets and Parquet on stdout. Raises UsageError when the file can't be written.
    """
    if path is None:
        if format == "parquet":  # its writer asks where it is, which a pipe can't say
            buffered = io.BytesIO()
            _write(result, format, buffered)
            screen.bytes_out.write(buffered.getvalue())
        else:
            _write(result, format, screen.bytes_out)
        return
    try:
        with path.open("wb") as sink:
            _write(result, format, sink)
    except OSError as error:
        raise UsageError(f"{path} can't be written", found=error.strerror) from error


def _write(result: Result, format: str, sink: BinaryIO) -> None:
    match format:
        case "json":
            _write_json(result, sink)
        case "parquet" | "arrow":
            _write_arrow(result.batches(), format, sink)
        case _:
            import csv

            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(result.columns)
            while rows := result.fetchmany(10_000):
                writer.writerows([["" if value is None else value for value in row] for row in rows])
                sink.write(text.getvalue().encode())
                text.seek(0)
                text.truncate()
            sink.write(text.getvalue().encode())


def _write_json(result: Result, sink: BinaryIO) -> None:
    columns = _distinct(result.columns)
    separator = "[\n"
    while rows := result.fetchmany(10_000):
        for row in rows:
            item = dict(zip(columns, (to_json(value) for value in row), strict=True))
            sink.write(f"{separator}  {json.dumps(item, ensure_ascii=False)}".encode())
            separator = ",\n"
    sink.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def _distinct(names: list[str]) -> list[str]:
    """The names, the second of equal ones as `name_1`, as the engine does it for tables."""
    found: list[str] = []
    for name in names:
        unique = name if name not in found else next(f"{name}_{n}" for n in count(1) if f"{name}_{n}" not in (*found, *names))
        found.append(unique)
    return found


def _write_arrow(reader: pa.RecordBatchReader, format: str, sink: BinaryIO) -> None:
    if format == "arrow":
        import pyarrow as pa

        with pa.ipc.new_stream(cast("io.IOBase", sink), reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return
    import pyarrow.parquet as pq

    with pq.ParquetWriter(sink, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
