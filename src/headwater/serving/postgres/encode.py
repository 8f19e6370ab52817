"""Rows as Postgres writes them, a whole Arrow batch at a time.

A message's bytes are pieces laid side by side: fixed ones (an int4 with its length) stand in one numpy record, those that vary are Arrow
binaries, and Arrow's join puts the pieces of all rows behind each other. What Arrow can't print as Postgres does, DuckDB prints.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute

from headwater.engine import Connection, Engine
from headwater.serving.postgres import types as pg
from headwater.serving.postgres.types import WireType, wire_type
from headwater.spec.names import quote

pc: Any = pyarrow.compute  # it takes more than its stubs know
_buffer: Any = pa.py_buffer
Column: TypeAlias = Any  # a pyarrow.Array; its stubs know fewer methods than it has

Format = Literal[0, 1]
TEXT: Final = 0
BINARY: Final = 1

#: Microseconds and days from 1970-01-01 to 2000-01-01, where Postgres counts from.
_EPOCH_MICROSECONDS = 946_684_800_000_000
_EPOCH_DAYS = 10_957
#: 0001-01-01 and 9999-12-31, in days from 1970-01-01.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_DAY = 86_400_000_000
#: A message's pieces are joined in memory: batches are taken apart until one part's bytes are below this.
_MOST_BYTES = 32 * 2**20
_FEWEST_ROWS = 64

_NUMBERS = (pg.INT2, pg.INT4, pg.INT8, pg.OID)
_FIXED: Final = {
    pg.BOOL: ">i1",
    pg.INT2: ">i2",
    pg.INT4: ">i4",
    pg.INT8: ">i8",
    pg.OID: ">u4",
    pg.FLOAT4: ">f4",
    pg.FLOAT8: ">f8",
    pg.DATE: ">i4",
    pg.TIME: ">i8",
    pg.TIMESTAMP: ">i8",
    pg.TIMESTAMPTZ: ">i8",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column as it goes out: its name, DuckDB type and format."""

    name: str
    type: str
    format: Format
    wire: WireType


def fields(names: Sequence[str], duckdb_types: Sequence[str], formats: Sequence[int]) -> list[Field]:
    """`formats` as Bind gives them: none (all text), one for all, or one for each. Raises ValueError for any other number or value."""
    if len(formats) not in (0, 1, len(names)) or any(code not in (TEXT, BINARY) for code in formats):
        raise ValueError("the formats don't fit the columns")
    each = list(formats) * len(names) if len(formats) == 1 else list(formats) or [TEXT] * len(names)
    return [
        Field(name, type, BINARY if code else TEXT, wire_type(type))
        for name, type, code in zip(names, duckdb_types, each, strict=True)
    ]  # fmt: skip


# -- pieces ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Fixed:
    """A piece of as many bytes in each row: a big-endian numpy array."""

    values: np.ndarray[Any, Any]


@dataclass(slots=True)
class _Varying:
    """A piece of its own length in each row, without nulls. `sizes` in bytes."""

    values: Column
    sizes: np.ndarray[Any, Any]


_Piece = _Fixed | _Varying


def _joined(kind: bytes, count: int | None, pieces: Sequence[_Piece], rows: int) -> memoryview:
    """The messages of all rows: type byte, length, `count` as int16 where there is one, pieces."""
    total = np.full(rows, 4 if count is None else 6, dtype=np.int64)
    for piece in pieces:
        total += piece.values.dtype.itemsize if isinstance(piece, _Fixed) else piece.sizes
    run: list[tuple[str, np.ndarray[Any, Any]]] = [("kind", np.full(rows, kind[0], dtype="u1")), ("length", total.astype(">i4"))]
    if count is not None:
        run.append(("count", np.full(rows, count, dtype=">i2")))
    arrays: list[Column] = []
    for piece in pieces:
        if isinstance(piece, _Fixed):
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
    joined = pc.binary_join_element_wise(*arrays, pa.scalar(b"", pa.binary()))
    offsets = _offsets(joined)
    return memoryview(joined.buffers()[2])[int(offsets[0]) : int(offsets[-1])]


def _packed(run: Sequence[tuple[str, np.ndarray[Any, Any]]], rows: int) -> Column:
    """Fixed pieces side by side, as one binary a row."""
    record = np.empty(rows, dtype=np.dtype([(name, values.dtype) for name, values in run]))
    for name, values in run:
        record[name] = values
    width = record.dtype.itemsize
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)[: rows + 1]
    return pa.BinaryArray.from_buffers(pa.binary(), rows, [None, _buffer(offsets), _buffer(record)])


def _offsets(array: Column) -> np.ndarray[Any, Any]:
    """Where the values of a binary or string array begin and end in its data."""
    buffer = array.buffers()[1]
    return np.frombuffer(buffer, dtype=np.int32)[array.offset : array.offset + len(array) + 1]


def _binaries(offsets: np.ndarray[Any, Any], data: Any) -> Column:
    return pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, [None, _buffer(offsets.astype(np.int32)), _buffer(data)])


def _validity(array: Column) -> np.ndarray[Any, Any] | None:
    """True where there is a value; None when there is one everywhere."""
    return array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None


def _strings(array: Column) -> list[_Piece]:
    """A string or binary array as length and value; -1 and nothing for null."""
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.binary())
    valid = _validity(array)
    if valid is not None:
        array = pc.fill_null(array, b"" if pa.types.is_binary(array.type) else "")
    offsets = _offsets(array)
    sizes = np.diff(offsets)
    plain = pa.BinaryArray.from_buffers(pa.binary(), len(array), [None, array.buffers()[1], array.buffers()[2]], offset=array.offset)
    lengths = sizes.astype(">i4") if valid is None else np.where(valid, sizes, -1).astype(">i4")
    return [_Fixed(lengths), _Varying(plain, sizes)]


def _rows_of_bytes(matrix: np.ndarray[Any, Any], kept: np.ndarray[Any, Any]) -> _Varying:
    """The kept cells of each row of a matrix, packed: a varying piece."""
    sizes = kept.sum(axis=1, dtype=np.int64) * matrix.dtype.itemsize
    offsets = np.zeros(len(matrix) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return _Varying(_binaries(offsets, matrix[kept]), sizes)


def _fixed(values: np.ndarray[Any, Any], valid: np.ndarray[Any, Any] | None) -> list[_Piece]:
    """Values of one width with their lengths; for nulls the length -1 alone."""
    width = values.dtype.itemsize
    if valid is None:
        return [_Fixed(np.full(len(values), width, dtype=">i4")), _Fixed(values)]
    record = np.empty(len(values), dtype=[("length", ">i4"), ("value", values.dtype)])
    record["length"] = np.where(valid, width, -1)
    record["value"] = values
    sizes = np.where(valid, 4 + width, 4).astype(np.int64)
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    matrix = np.frombuffer(record.tobytes(), dtype=np.uint8).reshape(len(values), 4 + width)
    kept = np.ones(matrix.shape, dtype=bool)
    kept[~valid, 4:] = False
    return [_Varying(_binaries(offsets, matrix[kept]), sizes)]


# -- numbers ---------------------------------------------------------------------------------------------------------


def _numerics(array: Column) -> list[_Piece]:
    """Decimals as Postgres' base-10000 digits: count, weight, sign, scale, digits, without zeros at either end."""
    scale = array.type.scale
    valid = _validity(array)
    high, low = _halves(array)
    negative = high < 0
    groups_after = -(-scale // 4)
    if _fits_64(high, low):
        magnitude = np.where(negative, (~low) + np.uint64(1), low)
        limbs = [magnitude]
    else:
        low_magnitude = np.where(negative, (~low) + np.uint64(1), low)
        carry = (low == 0).astype(np.uint64)
        high_bits = high.view(np.uint64)
        high_magnitude = np.where(negative, ~high_bits + carry, high_bits)
        mask = np.uint64(0xFFFFFFFF)
        limbs = [high_magnitude >> np.uint64(32), high_magnitude & mask, low_magnitude >> np.uint64(32), low_magnitude & mask]
    digits: list[np.ndarray[Any, Any]] = []
    if scale % 4:
        limbs, rest = _divided(limbs, 10 ** (scale % 4))
        digits.append(rest * np.uint64(10 ** (4 - scale % 4)))
    while len(digits) < groups_after or any(limb.any() for limb in limbs):
        limbs, rest = _divided(limbs, 10_000)
        digits.append(rest)
    count = len(digits)
    matrix = np.empty((len(array), 6 + count), dtype=">u2")
    for place, values in enumerate(reversed(digits)):
        matrix[:, 6 + place] = values
    used = matrix[:, 6:] != 0
    any_used = used.any(axis=1)
    first = np.where(any_used, used.argmax(axis=1) if count else 0, count)
    last = np.where(any_used, count - (used[:, ::-1].argmax(axis=1) if count else 0), count)
    number = last - first
    places = np.arange(count)
    kept = np.ones(matrix.shape, dtype=bool)
    kept[:, 6:] = (places >= first[:, None]) & (places < last[:, None])
    sizes = 8 + 2 * number
    weight = np.where(any_used, count - groups_after - 1 - first, 0)
    if valid is not None:
        kept[~valid, 2:] = False
        sizes = np.where(valid, sizes, -1)
    lengths = sizes.astype(">i4").view(">u2").reshape(len(array), 2)
    matrix[:, 0:2] = lengths
    matrix[:, 2] = number
    matrix[:, 3] = weight.astype(np.int16).view(np.uint16)
    matrix[:, 4] = np.where(negative & any_used, 0x4000, 0)
    matrix[:, 5] = scale
    return [_rows_of_bytes(matrix, kept)]


def _halves(array: Column) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The upper (signed) and lower 64 bits of decimals; 0 where null."""
    raw = np.frombuffer(array.buffers()[1], dtype=np.int64)[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)
    high, low = raw[:, 1].copy(), raw[:, 0].copy().view(np.uint64)
    valid = _validity(array)
    if valid is not None:
        high[~valid] = 0
        low[~valid] = 0
    return high, low


def _fits_64(high: np.ndarray[Any, Any], low: np.ndarray[Any, Any]) -> bool:
    return bool((high == (low.view(np.int64) >> np.int64(63))).all())


def _divided(limbs: list[np.ndarray[Any, Any]], by: int) -> tuple[list[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Quotient and remainder. One limb of 64 bits, or several of 32, the most significant first."""
    divisor = np.uint64(by)
    if len(limbs) == 1:
        quotient = limbs[0] // divisor
        return [quotient], limbs[0] - quotient * divisor
    rest = np.zeros_like(limbs[0])
    quotients = []
    for limb in limbs:
        current = (rest << np.uint64(32)) | limb
        quotient = current // divisor
        rest = current - quotient * divisor
        quotients.append(quotient)
    while len(quotients) > 1 and not quotients[0].any():
        quotients.pop(0)
    return quotients, rest


def _float_text(array: Column) -> Column:
    """Floats as Postgres prints them: the shortest digits that give the value back; in powers of ten from 1e15 (real: 1e6) and below 1e-4."""
    is_single = pa.types.is_float32(array.type)
    values = np.abs(np.nan_to_num(array.fill_null(0).to_numpy(zero_copy_only=False), nan=0.0, posinf=0.0, neginf=0.0))
    # Arrow writes in powers of ten from 1e14 on, and never above 1e-7
    odd = (values >= (1e6 if is_single else 1e14)) | ((values < 1e-4) & (values > 0))
    special = array.fill_null(0).to_numpy(zero_copy_only=False)
    odd |= ~np.isfinite(special)
    text = pc.cast(array, pa.string())
    if odd.any():
        limit = 6 if is_single else 15
        replaced = [_one_float(special[place], limit) for place in np.flatnonzero(odd)]
        text = pc.replace_with_mask(text, pa.array(odd), pa.array(replaced, pa.string()))
        if array.null_count:
            text = pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string()))
    return text


def _one_float(value: Any, limit: int) -> str:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, _, exponent = np.format_float_scientific(value, unique=True, trim="-").partition("e")
    power = int(exponent)
    if -4 <= power < limit:
        return str(np.format_float_positional(value, unique=True, trim="-"))
    return f"{mantissa}e{power:+03d}"


# -- columns ---------------------------------------------------------------------------------------------------------


def _decimal(array: Column) -> Column:
    return array if pa.types.is_decimal128(array.type) else array.cast(pa.decimal128(38, getattr(array.type, "scale", 0)))


def _binary_numbers(array: Column, oid: int) -> Any:
    """Values as the wire has them, big-endian; anything where null."""
    if oid == pg.BOOL:
        return array.fill_null(False).to_numpy(zero_copy_only=False).astype("i1")
    if oid == pg.DATE:
        days = array.cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        shifted = days - _EPOCH_DAYS
        shifted[days == 2**31 - 1] = 2**31 - 1
        shifted[days == -(2**31 - 1)] = -(2**31)
        return shifted.astype(">i4")
    if oid == pg.TIME:
        if not array.type.equals(pa.time64("us")):
            array = pc.cast(array, pa.time64("us"), safe=False)
        return array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype(">i8")
    if oid in (pg.TIMESTAMP, pg.TIMESTAMPTZ):
        if array.type.unit != "us":
            array = pc.cast(array, pa.timestamp("us", array.type.tz), safe=False)
        ticks = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        shifted = ticks - _EPOCH_MICROSECONDS
        shifted[ticks == 2**63 - 1] = 2**63 - 1
        shifted[ticks == -(2**63 - 1)] = -(2**63)
        return shifted.astype(">i8")
    return array.fill_null(0).to_numpy(zero_copy_only=False).astype(_FIXED[oid])


def _binary(array: Column, duckdb_type: str, wire: WireType) -> list[_Piece]:
    if wire.oid in _FIXED:
        return _fixed(_binary_numbers(array, wire.oid).astype(_FIXED[wire.oid]), _validity(array))
    if wire.oid == pg.NUMERIC:
        return _numerics(_decimal(array))
    if wire.oid == pg.INTERVAL:
        valid = _validity(array)
        raw = np.frombuffer(array.buffers()[1], dtype=[("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])[
            array.offset : array.offset + len(array)
        ]
        values = np.zeros(len(array), dtype=[("micros", ">i8"), ("days", ">i4"), ("months", ">i4")])
        values["micros"], values["days"], values["months"] = raw["nanos"] // 1000, raw["days"], raw["months"]
        return _fixed(values, valid)
    if wire.oid == pg.VARBIT:
        packed = [None if bits is None else struct.pack("!i", len(bits)) + _bit_bytes(bits) for bits in map(_bits, array.to_pylist())]
        return _strings(pa.array(packed, pa.binary()))
    if wire.element is not None:
        return _arrays(array, wire.element)
    return _strings(array)


def _arrays(array: Column, element: str) -> list[_Piece]:
    """One-dimensional arrays: dimensions, whether there are nulls, the element's type, length and lower bound, elements with their lengths."""
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    valid = _validity(array)
    counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = array.flatten()
    inner = wire_type(element)
    pieces = _binary(flat, element, inner)
    payload = _side_by_side(pieces, len(flat))
    ends = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(counts, out=ends[1:])
    offsets = _offsets(payload).astype(np.int64)[ends]
    sizes = np.diff(offsets)
    nulls = np.zeros(len(flat) + 1, dtype=np.int64)
    if flat.null_count:
        np.cumsum(~flat.is_valid().to_numpy(zero_copy_only=False), out=nulls[1:])
    has_null = (nulls[ends[1:]] - nulls[ends[:-1]]) > 0
    head = np.empty((len(array), 6), dtype=">i4")
    head[:, 0] = np.where(counts > 0, 20, 12) + sizes
    head[:, 1] = counts > 0
    head[:, 2] = has_null
    head[:, 3] = inner.oid
    head[:, 4] = counts
    head[:, 5] = 1
    kept = np.ones(head.shape, dtype=bool)
    kept[counts == 0, 4:] = False
    if valid is not None:
        head[~valid, 0] = -1
        kept[~valid, 1:] = False
    values = _binaries(offsets, payload.buffers()[2])
    return [_rows_of_bytes(head, kept), _Varying(values, sizes)]


def _side_by_side(pieces: Sequence[_Piece], rows: int) -> Column:
    arrays = [_packed([("v", piece.values)], rows) if isinstance(piece, _Fixed) else piece.values for piece in pieces]
    return arrays[0] if len(arrays) == 1 else pc.binary_join_element_wise(*arrays, pa.scalar(b"", pa.binary()))


def _bits(raw: bytes | None) -> str | None:
    """A BIT as Arrow has it (a byte that counts the padding in front, then the bits) as a text of 0 and 1."""
    if raw is None:
        return None
    return "".join(f"{byte:08b}" for byte in raw[1:])[raw[0] :]


def _bit_bytes(bits: str) -> bytes:
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return int(padded, 2).to_bytes(len(padded) // 8, "big") if padded else b""


def interval_text(months: int, days: int, microseconds: int) -> str:
    """As Postgres prints an interval by default (`1 year 2 mons 3 days 04:05:06.5`)."""
    parts = []
    was_negative = False

    def add(value: int, unit: str) -> None:
        nonlocal was_negative
        if value:
            plus = "+" if was_negative and value > 0 else ""
            parts.append(f"{plus}{value} {unit}{'' if value == 1 else 's'}")
            was_negative = value < 0

    sign = -1 if months < 0 else 1
    add(sign * (abs(months) // 12), "year")
    add(sign * (abs(months) % 12), "mon")
    add(days, "day")
    if microseconds or not parts:
        rest = abs(microseconds)
        seconds, micros = divmod(rest, 1_000_000)
        mark = "-" if microseconds < 0 else "+" if was_negative else ""
        fraction = f".{micros:06d}".rstrip("0") if micros else ""
        parts.append(f"{mark}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}")
    return " ".join(parts)


# -- what DuckDB prints ----------------------------------------------------------------------------------------------


def _text_sql(column: str, duckdb_type: str) -> str | None:
    """The expression that prints a column as Postgres does; None where Arrow or Python does it."""
    wire = wire_type(duckdb_type)
    if wire.element is not None:
        inner = _element_text_sql("x", wire.element)
        return f"'{{' || array_to_string(list_transform({column}, lambda x: coalesce({inner}, 'NULL')), ',') || '}}'"
    if wire.oid == pg.BYTEA:
        return f"'\\x' || lower(hex({column}))"
    if wire.oid == pg.BOOL:
        return f"CASE {column} WHEN true THEN 't' WHEN false THEN 'f' END"
    if wire.oid == pg.JSON and duckdb_type != "JSON":
        return f"to_json({column})::VARCHAR"
    if wire.oid in (pg.DATE, pg.TIMESTAMP, pg.TIMESTAMPTZ):
        text = f"{_microseconds(column, duckdb_type)}::VARCHAR"
        christian = f"regexp_replace({text}, '^(.*) \\(BC\\)(.*)$', '\\1\\2 BC')"
        return f"CASE WHEN {column} < '0001-01-01' THEN {christian} ELSE {text} END"
    if wire.oid == pg.TIME:
        return f"{column}::TIME::VARCHAR"
    return f"{column}::VARCHAR"


def _microseconds(column: str, duckdb_type: str) -> str:
    return f"{column}::TIMESTAMP" if duckdb_type in ("TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S") else column


def _element_text_sql(column: str, duckdb_type: str) -> str:
    """As it stands inside an array: in quotes where it must."""
    wire = wire_type(duckdb_type)
    if wire.oid in (pg.FLOAT4, pg.FLOAT8):
        text = f"regexp_replace({column}::VARCHAR, '\\.0$', '')"
        return f"CASE {text} WHEN 'nan' THEN 'NaN' WHEN 'inf' THEN 'Infinity' WHEN '-inf' THEN '-Infinity' ELSE {text} END"
    text = _text_sql(column, duckdb_type) or f"{column}::VARCHAR"
    if wire.oid in (pg.TEXT, pg.BYTEA, pg.TIMESTAMP, pg.TIMESTAMPTZ, pg.DATE):
        escaped = f"replace(replace({text}, '\\', '\\\\'), '\"', '\\\"')"
        strange = f"regexp_matches({text}, '[{{}}\",\\\\\\s]')"
        return f"CASE WHEN {text} = '' OR upper({text}) = 'NULL' OR {strange} THEN '\"' || {escaped} || '\"' ELSE {text} END"
    return text


def _by_arrow(field: Field, array: Column) -> Column | None:
    """The text of a column where Arrow prints as Postgres does, or can be made to; None where DuckDB shall."""
    oid = field.wire.oid
    if oid in _NUMBERS:
        return pc.cast(array, pa.string())
    if oid in (pg.FLOAT4, pg.FLOAT8):
        return _float_text(array)
    if oid == pg.BOOL:
        return pc.if_else(array, "t", "f")
    if oid == pg.NUMERIC:
        return _decimal_text(array)
    if oid in (pg.TIMESTAMP, pg.TIMESTAMPTZ, pg.TIME):
        return _clock_text(array)
    if oid == pg.DATE:
        return pc.cast(array, pa.string()) if _is_within(array.cast(pa.int32()), _FIRST_DAY, _LAST_DAY) else None
    if oid == pg.TEXT or (oid == pg.JSON and field.type == "JSON") or oid == pg.UUID:
        if pa.types.is_dictionary(array.type):
            return array.cast(pa.string())
        return array if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) else None
    if oid == pg.INTERVAL:
        texts = [None if value is None else interval_text(value.months, value.days, value.nanoseconds // 1000) for value in array.to_pylist()]
        return pa.array(texts, pa.string())
    if oid == pg.VARBIT:
        return pa.array([_bits(value) for value in array.to_pylist()], pa.string())
    return None


def _decimal_text(array: Column) -> Column:
    text = pc.cast(array, pa.string())
    if getattr(array.type, "scale", 0) <= 6:
        return text
    small = pc.fill_null(pc.match_substring(text, "E"), False)  # Arrow writes what is below 1e-6 in powers of ten
    if pc.any(small).as_py():
        plain = [f"{value:f}" for value in array.filter(small).to_pylist()]
        text = pc.replace_with_mask(text, small, pa.array(plain, pa.string()))
    return text


def _clock_text(array: Column) -> Column | None:
    """Timestamps and times, of the years 1 to 9999, without zeros at the end of their fraction; None for other years."""
    zone = ""
    if pa.types.is_timestamp(array.type):
        zone = "+00" if array.type.tz is not None else ""
        if array.type.unit != "us":
            array = pc.cast(array, pa.timestamp("us", array.type.tz), safe=False)
        ticks = array.cast(pa.int64())
        if not _is_within(ticks, _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1):
            return None
        array = ticks.cast(pa.timestamp("us"))
        whole: pa.DataType = pa.timestamp("s")
    else:
        array = pc.cast(array, pa.time64("us"), safe=False)
        ticks = array.cast(pa.int64())
        if not _is_within(ticks, 0, _DAY - 1):
            return None
        whole = pa.time32("s")
    if not (ticks.fill_null(0).to_numpy(zero_copy_only=False) % 1_000_000).any():
        text = pc.cast(pc.cast(array, whole), pa.string())
    else:
        text = pc.ascii_rtrim(pc.ascii_rtrim(pc.cast(array, pa.string()), "0"), ".")
    return pc.binary_join_element_wise(text, zone, "") if zone else text


def _is_within(numbers: Column, least: int, most: int) -> bool:
    bounds = pc.min_max(numbers)
    return bounds["min"].as_py() is None or (bounds["min"].as_py() >= least and bounds["max"].as_py() <= most)


def _uuid_bytes(array: Column) -> Column:
    """UUIDs, which come as text, as their 16 bytes."""
    valid = _validity(array)
    digits = "".join(array.drop_null().to_pylist()).replace("-", "")
    sizes = np.full(len(array), 16) if valid is None else np.where(valid, 16, 0)
    offsets = np.zeros(len(array) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    made = _binaries(offsets, bytes.fromhex(digits))
    return made if valid is None else pc.if_else(pa.array(valid), made, pa.scalar(None, pa.binary()))


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
        return self._parts(batch, columns, lambda arrays, rows: _joined(b"D", len(columns), _all_pieces(arrays, columns), rows))

    def copy_binary(self, batch: pa.RecordBatch, columns: Sequence[Field]) -> Iterator[memoryview]:
        """CopyData messages, one a row, of COPY's binary format (its header and trailer are the caller's)."""
        binary = [Field(column.name, column.type, BINARY, column.wire) for column in columns]
        return self._parts(batch, binary, lambda arrays, rows: _joined(b"d", len(binary), _all_pieces(arrays, binary), rows))

    def copy_text(self, batch: pa.RecordBatch, columns: Sequence[Field], line: Callable[[list[Column]], Column]) -> Iterator[memoryview]:
        """CopyData messages, one a row; `line` makes the lines, with their ends, of the columns' texts."""
        text = [Field(column.name, column.type, TEXT, column.wire) for column in columns]

        def encode(arrays: list[Column], rows: int) -> memoryview:
            return _joined(b"d", None, [piece for piece in _strings(line(arrays)) if isinstance(piece, _Varying)], rows)

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
                made = _by_arrow(field, array)
                sql = _text_sql(quote(f"c{place}"), field.type)
            elif field.wire.oid == pg.UUID:
                made = _uuid_bytes(array.cast(pa.string()))
            elif field.wire.element == "UUID":
                made, sql = None, f"list_transform({quote(f'c{place}')}, lambda x: unhex(replace(x::VARCHAR, '-', '')))"
            elif field.wire.oid == pg.JSON and field.type != "JSON":
                made, sql = None, _text_sql(quote(f"c{place}"), field.type)
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


def _all_pieces(arrays: Sequence[Column], columns: Sequence[Field]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for array, field in zip(arrays, columns, strict=True):
        if field.format == TEXT or field.wire.oid == pg.UUID or (field.wire.oid == pg.JSON and field.type != "JSON"):
            pieces += _strings(array)
        else:
            pieces += _binary(array, field.type, field.wire)
    return pieces
