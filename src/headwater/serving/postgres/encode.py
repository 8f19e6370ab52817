"""Rows as Postgres writes them, a whole Arrow batch at a time: each column in its format, as text or binary, and their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from headwater.engine import Connection, Engine
from headwater.serving.postgres import types as pg
from headwater.serving.postgres.encode_binary import binary_pieces, uuid_bytes
from headwater.serving.postgres.encode_text import text_by_arrow, text_sql
from headwater.serving.postgres.fields import BINARY, TEXT, Field
from headwater.serving.postgres.pieces import Column, Piece, Varying, joined, strings
from headwater.spec.names import quote

#: A message's pieces are joined in memory: batches are taken apart until one part's bytes are below this.
_MOST_BYTES: Final = 32 * 2**20
_FEWEST_ROWS: Final = 64


class Encoder:
    """Encodes the batches of results. One for many sessions: thread-safe, with a DuckDB of its own that has nothing in it."""

    def __init__(self) -> None:
        self._engine = Engine(threads=1)
        with self._engine.connection() as connection:
            connection.execute("SET GLOBAL enable_external_access = false")
            connection.execute("SET GLOBAL lock_configuration = true")

    def close(self) -> None:
        self._engine.close()

    def data_rows(self, batch: pa.RecordBatch, columns: Sequence[Field]) -> Iterator[memoryview]:
        """The DataRow messages of a batch, in parts of bounded size."""
        return self._parts(batch, columns, lambda arrays, rows: joined(b"D", len(columns), _all_pieces(arrays, columns), rows))

    def copy_binary(self, batch: pa.RecordBatch, columns: Sequence[Field]) -> Iterator[memoryview]:
        """CopyData messages, one a row, of COPY's binary format (its header and trailer are the caller's)."""
        binary = [Field(column.name, column.type, BINARY, column.wire) for column in columns]
        return self._parts(batch, binary, lambda arrays, rows: joined(b"d", len(binary), _all_pieces(arrays, binary), rows))

    def copy_text(self, batch: pa.RecordBatch, columns: Sequence[Field], line: Callable[[list[Column]], Column]) -> Iterator[memoryview]:
        """CopyData messages, one a row; `line` makes the lines, with their ends, of the columns' texts."""
        text = [Field(column.name, column.type, TEXT, column.wire) for column in columns]

        def encode(arrays: list[Column], rows: int) -> memoryview:
            return joined(b"d", None, [piece for piece in strings(line(arrays)) if isinstance(piece, Varying)], rows)

        return self._parts(batch, text, encode)

    def _parts(
        self, batch: pa.RecordBatch, columns: Sequence[Field], encode: Callable[[list[Column], int], memoryview]
    ) -> Iterator[memoryview]:  # fmt: skip
        if batch.num_rows > _FEWEST_ROWS and batch.nbytes > _MOST_BYTES:
            half = batch.num_rows // 2
            yield from self._parts(batch.slice(0, half), columns, encode)
            yield from self._parts(batch.slice(half), columns, encode)
        elif batch.num_rows:
            yield encode(self._arrays(batch, columns), batch.num_rows)

    def _arrays(self, batch: pa.RecordBatch, columns: Sequence[Field]) -> list[Column]:
        """Each column as its text, or as the Arrow array that its binary form is made of."""
        arrays: list[Column | None] = []
        expressions: list[str] = []
        asked: list[int] = []
        for place, field in enumerate(columns):
            array = batch.column(place)
            made: Column | None = array
            sql: str | None = None
            if field.format == TEXT:
                made = text_by_arrow(field, array)
                sql = text_sql(quote(f"c{place}"), field.type)
            elif field.wire.oid == pg.UUID:
                made = uuid_bytes(array.cast(pa.string()))
            elif field.wire.element == "UUID":
                made, sql = None, f"list_transform({quote(f'c{place}')}, lambda x: unhex(replace(x::VARCHAR, '-', '')))"
            elif field.wire.oid == pg.JSON and field.type != "JSON":
                made, sql = None, text_sql(quote(f"c{place}"), field.type)
            elif pa.types.is_dictionary(array.type):
                made = array.cast(pa.string())
            elif field.wire.oid == pg.TEXT and not pa.types.is_string(array.type):
                made, sql = None, f"{quote(f'c{place}')}::VARCHAR"
            arrays.append(made)
            if made is None:
                assert sql is not None
                expressions.append(f"{sql} AS {quote(f'c{place}')}")
                asked.append(place)
        if asked:
            self._ask(batch, expressions, asked, arrays)
        return [array for array in arrays if array is not None]

    def _ask(self, batch: pa.RecordBatch, expressions: Sequence[str], asked: Sequence[int], arrays: list[Column | None]) -> None:
        named = pa.Table.from_arrays([batch.column(place) for place in asked], names=[f"c{place}" for place in asked])
        with self._engine.connection() as connection:
            answer = _printed(connection, named, expressions)
        for position, place in enumerate(asked):
            column = answer.column(position)
            arrays[place] = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _printed(connection: Connection, rows: pa.Table, expressions: Sequence[str]) -> pa.Table:
    connection.register("batch", rows)
    try:
        return connection.execute(f"SELECT {', '.join(expressions)} FROM batch").arrow()
    finally:
        connection.unregister("batch")


def _all_pieces(arrays: Sequence[Column], columns: Sequence[Field]) -> list[Piece]:
    pieces: list[Piece] = []
    for array, field in zip(arrays, columns, strict=True):
        if field.format == TEXT or field.wire.oid == pg.UUID or (field.wire.oid == pg.JSON and field.type != "JSON"):
            pieces += strings(array)
        else:
            pieces += binary_pieces(array, field.type, field.wire)
    return pieces
