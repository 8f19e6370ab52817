"""Messages a whole batch at a time: pieces laid side by side.

Fixed ones (an int4 with its length) stand in one numpy record, those that vary are Arrow binaries, and Arrow's join puts the pieces of all rows
behind each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # it takes more than its stubs know
_buffer: Any = pa.py_buffer
Column: TypeAlias = Any  # a pyarrow.Array; its stubs know fewer methods than it has


@dataclass(slots=True)
class Fixed:
    """A piece of as many bytes in each row: a big-endian numpy array."""

    values: np.ndarray[Any, Any]


@dataclass(slots=True)
class Varying:
    """A piece of its own length in each row, without nulls. `sizes` in bytes."""

    values: Column
    sizes: np.ndarray[Any, Any]


Piece = Fixed | Varying


def joined(kind: bytes, count: int | None, pieces: Sequence[Piece], rows: int) -> memoryview:
    """The messages of all rows: type byte, length, `count` as int16 where there is one, pieces."""
    total = np.full(rows, 4 if count is None else 6, dtype=np.int64)
    for piece in pieces:
        total += piece.values.dtype.itemsize if isinstance(piece, Fixed) else piece.sizes
    run: list[tuple[str, np.ndarray[Any, Any]]] = [("kind", np.full(rows, kind[0], dtype="u1")), ("length", total.astype(">i4"))]
    if count is not None:
        run.append(("count", np.full(rows, count, dtype=">i2")))
    arrays: list[Column] = []
    for piece in pieces:
        if isinstance(piece, Fixed):
            run.append((f"f{len(run)}", piece.values))
            continue
        if run:
            arrays.append(_packed(run, rows))
            run = []
        arrays.append(piece.values)
    if run:
        arrays.append(_packed(run, rows))
    if len(arrays) == 1:
        return memoryview(arrays[0].buffers()[2])[: rows * int(total[0] + 1)] if rows else memoryview(b"")
    messages = pc.binary_join_element_wise(*arrays, pa.scalar(b"", pa.binary()))
    offsets = offsets_of(messages)
    return memoryview(messages.buffers()[2])[int(offsets[0]) : int(offsets[-1])]


def _packed(run: Sequence[tuple[str, np.ndarray[Any, Any]]], rows: int) -> Column:
    """Fixed pieces side by side, as one binary a row."""
    record = np.empty(rows, dtype=np.dtype([(name, values.dtype) for name, values in run]))
    for name, values in run:
        record[name] = values
    width = record.dtype.itemsize
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)[: rows + 1]
    return pa.BinaryArray.from_buffers(pa.binary(), rows, [None, _buffer(offsets), _buffer(record)])


def offsets_of(array: Column) -> np.ndarray[Any, Any]:
    """Where the values of a binary or string array begin and end in its data."""
    buffer = array.buffers()[1]
    return np.frombuffer(buffer, dtype=np.int32)[array.offset : array.offset + len(array) + 1]


def binaries(offsets: np.ndarray[Any, Any], data: Any) -> Column:
    return pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, [None, _buffer(offsets.astype(np.int32)), _buffer(data)])


def validity(array: Column) -> np.ndarray[Any, Any] | None:
    """True where there is a value; None when there is one everywhere."""
    return array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None


def strings(array: Column) -> list[Piece]:
    """A string or binary array as length and value; -1 and nothing for null."""
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.binary())
    valid = validity(array)
    if valid is not None:
        array = pc.fill_null(array, b"" if pa.types.is_binary(array.type) else "")
    offsets = offsets_of(array)
    sizes = np.diff(offsets)
    plain = pa.BinaryArray.from_buffers(pa.binary(), len(array), [None, array.buffers()[1], array.buffers()[2]], offset=array.offset)
    lengths = sizes.astype(">i4") if valid is None else np.where(valid, sizes, -1).astype(">i4")
    return [Fixed(lengths), Varying(plain, sizes)]


def rows_of_bytes(matrix: np.ndarray[Any, Any], kept: np.ndarray[Any, Any]) -> Varying:
    """The kept cells of each row of a matrix, packed: a varying piece."""
    sizes = kept.sum(axis=1, dtype=np.int64) * matrix.dtype.itemsize
    offsets = np.zeros(len(matrix) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return Varying(binaries(offsets, matrix[kept]), sizes)


def fixed(values: np.ndarray[Any, Any], valid: np.ndarray[Any, Any] | None) -> list[Piece]:
    """Values of one width with their lengths; for nulls the length -1 alone."""
    width = values.dtype.itemsize
    if valid is None:
        return [Fixed(np.full(len(values), width, dtype=">i4")), Fixed(values)]
    record = np.empty(len(values), dtype=[("length", ">i4"), ("value", values.dtype)])
    record["length"] = np.where(valid, width, -1)
    record["value"] = values
    sizes = np.where(valid, 4 + width, 4).astype(np.int64)
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    matrix = np.frombuffer(record.tobytes(), dtype=np.uint8).reshape(len(values), 4 + width)
    kept = np.ones(matrix.shape, dtype=bool)
    kept[~valid, 4:] = False
    return [Varying(binaries(offsets, matrix[kept]), sizes)]


def side_by_side(pieces: Sequence[Piece], rows: int) -> Column:
    arrays = [_packed([("v", piece.values)], rows) if isinstance(piece, Fixed) else piece.values for piece in pieces]
    return arrays[0] if len(arrays) == 1 else pc.binary_join_element_wise(*arrays, pa.scalar(b"", pa.binary()))
