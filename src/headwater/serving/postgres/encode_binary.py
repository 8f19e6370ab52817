"""Columns as Postgres has them in its binary format: the pieces of its messages."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import pyarrow as pa

from headwater.serving.postgres import types as pg
from headwater.serving.postgres.encode_text import bit_text
from headwater.serving.postgres.pieces import Column, Piece, Varying, binaries, fixed, offsets_of, pc, rows_of_bytes, side_by_side, strings, validity
from headwater.serving.postgres.types import WireType, wire_type

#: Microseconds and days from 1970-01-01 to 2000-01-01, where Postgres counts from.
_EPOCH_MICROSECONDS = 946_684_800_000_000
_EPOCH_DAYS = 10_957

_SIZED: Final = {
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


def binary_pieces(array: Column, duckdb_type: str, wire: WireType) -> list[Piece]:
    """A column's values with their lengths, -1 for null."""
    if wire.oid in _SIZED:
        return fixed(_binary_numbers(array, wire.oid).astype(_SIZED[wire.oid]), validity(array))
    if wire.oid == pg.NUMERIC:
        return _numerics(_decimal(array))
    if wire.oid == pg.INTERVAL:
        valid = validity(array)
        raw = np.frombuffer(array.buffers()[1], dtype=[("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])[
            array.offset : array.offset + len(array)
        ]
        values = np.zeros(len(array), dtype=[("micros", ">i8"), ("days", ">i4"), ("months", ">i4")])
        values["micros"], values["days"], values["months"] = raw["nanos"] // 1000, raw["days"], raw["months"]
        return fixed(values, valid)
    if wire.oid == pg.VARBIT:
        packed = [None if bits is None else struct.pack("!i", len(bits)) + _bit_bytes(bits) for bits in map(bit_text, array.to_pylist())]
        return strings(pa.array(packed, pa.binary()))
    if wire.element is not None:
        return _arrays(array, wire.element)
    return strings(array)


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
    return array.fill_null(0).to_numpy(zero_copy_only=False).astype(_SIZED[oid])


def _arrays(array: Column, element: str) -> list[Piece]:
    """One-dimensional arrays: dimensions, whether there are nulls, the element's type, length and lower bound, elements with their lengths."""
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    valid = validity(array)
    counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = array.flatten()
    inner = wire_type(element)
    pieces = binary_pieces(flat, element, inner)
    payload = side_by_side(pieces, len(flat))
    ends = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(counts, out=ends[1:])
    offsets = offsets_of(payload).astype(np.int64)[ends]
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
    values = binaries(offsets, payload.buffers()[2])
    return [rows_of_bytes(head, kept), Varying(values, sizes)]


def _bit_bytes(bits: str) -> bytes:
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return int(padded, 2).to_bytes(len(padded) // 8, "big") if padded else b""


def uuid_bytes(array: Column) -> Column:
    """UUIDs, which come as text, as their 16 bytes."""
    valid = validity(array)
    digits = "".join(array.drop_null().to_pylist()).replace("-", "")
    sizes = np.full(len(array), 16) if valid is None else np.where(valid, 16, 0)
    offsets = np.zeros(len(array) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    made = binaries(offsets, bytes.fromhex(digits))
    return made if valid is None else pc.if_else(pa.array(valid), made, pa.scalar(None, pa.binary()))


def _decimal(array: Column) -> Column:
    return array if pa.types.is_decimal128(array.type) else array.cast(pa.decimal128(38, getattr(array.type, "scale", 0)))


# -- numeric ---------------------------------------------------------------------------------------------------------


def _numerics(array: Column) -> list[Piece]:
    """Decimals as Postgres' base-10000 digits: count, weight, sign, scale, digits, without zeros at either end."""
    scale = array.type.scale
    valid = validity(array)
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
    return [rows_of_bytes(matrix, kept)]


def _halves(array: Column) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The upper (signed) and lower 64 bits of decimals; 0 where null."""
    raw = np.frombuffer(array.buffers()[1], dtype=np.int64)[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)
    high, low = raw[:, 1].copy(), raw[:, 0].copy().view(np.uint64)
    valid = validity(array)
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
