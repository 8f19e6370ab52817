"""Parameters of clients as values of Python, and rows that the session makes itself."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import pyarrow as pa

from headwater.serving.postgres import types as pg
from headwater.serving.postgres.failures import WireError
from headwater.serving.session import Answer

#: Rows of one Arrow batch: what a session holds in memory of a result.
BATCH_ROWS: Final = 32_768


@dataclass(slots=True)
class Rows:
    """A result as it is sent: names, DuckDB types, and batches, which are read once. `close` may be called twice."""

    columns: list[str]
    types: list[str]
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None] = field(default=lambda: None)
    #: How many there are, where that is known beforehand.
    count: int | None = None


def rows_of_answer(answer: Answer) -> Rows:
    return Rows(list(answer.columns), list(answer.types), iter(answer.batches(BATCH_ROWS)), answer.close)


def rows_of_table(table: pa.Table, types: Sequence[str]) -> Rows:
    return Rows(list(table.column_names), list(types), iter(table.to_batches(BATCH_ROWS)), count=table.num_rows)


def rows_of_texts(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Rows:
    arrays = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(columns))]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(columns))
    return Rows(list(columns), ["VARCHAR"] * len(columns), iter([batch]))


# -- parameters ------------------------------------------------------------------------------------------------------


def decode_parameter(raw: bytes | None, oid: int, is_binary: bool) -> Any:
    """The value of one parameter. Texts stay texts where DuckDB casts them itself. Raises WireError for what doesn't fit its type."""
    if raw is None:
        return None
    try:
        if oid in pg.ELEMENT_OF:
            return _binary_array(raw) if is_binary else _text_array(raw.decode(), pg.ELEMENT_OF[oid])
        return _binary_value(raw, oid) if is_binary else _text_value(raw.decode(), oid)
    except (ValueError, struct.error, InvalidOperation, OverflowError, IndexError):
        name = pg.TYPES[oid].sql_name if oid in pg.TYPES else "text"
        raise WireError("22P02", f"a parameter can't be read as {name}") from None


def _text_value(text: str, oid: int) -> Any:
    if "\0" in text:
        raise ValueError("a zero in a text")
    if oid in (pg.INT2, pg.INT4, pg.INT8, pg.OID):
        return int(text)
    if oid == pg.NUMERIC:
        return _finite(Decimal(text))
    if oid in (pg.FLOAT4, pg.FLOAT8):
        return float(text)
    if oid == pg.BOOL:
        low = text.strip().lower()
        if low in ("t", "true", "y", "yes", "on", "1"):
            return True
        if low in ("f", "false", "n", "no", "off", "0"):
            return False
        raise ValueError(text)
    if oid == pg.BYTEA:
        if not text.startswith("\\x"):
            raise ValueError("bytea is read in hex")
        return bytes.fromhex(text[2:])
    return text


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("numeric is finite here")
    return value


_STRUCTS: Final = {pg.INT2: "!h", pg.INT4: "!i", pg.INT8: "!q", pg.OID: "!I", pg.FLOAT4: "!f", pg.FLOAT8: "!d", pg.BOOL: "!?"}
_EPOCH = datetime(2000, 1, 1)


def _binary_value(raw: bytes, oid: int) -> Any:
    if oid in _STRUCTS:
        return struct.unpack(_STRUCTS[oid], raw)[0]
    if oid == pg.NUMERIC:
        return _numeric(raw)
    if oid == pg.BYTEA:
        return raw
    if oid == pg.DATE:
        return (_EPOCH + timedelta(days=struct.unpack("!i", raw)[0])).date().isoformat()
    if oid == pg.TIMESTAMP:
        return (_EPOCH + timedelta(microseconds=struct.unpack("!q", raw)[0])).isoformat(" ")
    if oid == pg.TIMESTAMPTZ:
        return (_EPOCH.replace(tzinfo=UTC) + timedelta(microseconds=struct.unpack("!q", raw)[0])).isoformat(" ")
    if oid == pg.TIME:
        return (_EPOCH + timedelta(microseconds=struct.unpack("!q", raw)[0])).time().isoformat()
    if oid == pg.INTERVAL:
        micros, days, months = struct.unpack("!qii", raw)
        return f"{months} months {days} days {micros} microseconds"
    if oid == pg.UUID:
        return str(UUID(bytes=raw))
    if oid == pg.JSONB:
        return raw[1:].decode()
    if oid in pg.TYPES or oid == 0:
        return _text_value(raw.decode(), pg.TEXT)
    raise ValueError(f"no type {oid}")


#: As many digits as an integer is read from.
_WIDE: Final = Context(prec=5000)


def _numeric(raw: bytes) -> Decimal:
    count, weight, sign, scale = struct.unpack("!HhHH", raw[:8])
    if sign not in (0, 0x4000):
        raise ValueError("numeric is finite here")
    digits = struct.unpack(f"!{count}H", raw[8:])
    if any(digit > 9999 for digit in digits):
        raise ValueError("a digit of numeric is below 10000")
    written = int("".join(f"{digit:04}" for digit in digits) or "0")
    value = Decimal(-written if sign else written).scaleb(4 * (weight - count + 1), _WIDE)
    return value.quantize(Decimal((0, (1,), -scale)), context=_WIDE)


def _binary_array(raw: bytes) -> list[Any]:
    dimensions, _, element = struct.unpack("!iiI", raw[:12])
    if dimensions == 0:
        return []
    if dimensions != 1:
        raise WireError("0A000", "a parameter can be an array of one dimension")
    count = struct.unpack("!i", raw[12:16])[0]
    at = 20
    values: list[Any] = []
    for _ in range(count):
        size = struct.unpack("!i", raw[at : at + 4])[0]
        at += 4
        if size == -1:
            values.append(None)
            continue
        if size < 0 or at + size > len(raw):
            raise ValueError("an array ends too early")
        values.append(_binary_value(raw[at : at + size], element))
        at += size
    return values


def _text_array(text: str, element: int) -> list[Any]:
    return [None if part is None else _text_value(part, element) for part in array_parts(text)]


def array_parts(text: str) -> list[str | None]:
    """The elements of an array of one dimension as Postgres writes it (`{1,NULL,"a b"}`). Raises ValueError."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError("an array stands in braces")
    parts: list[str | None] = []
    at, end = 1, len(text) - 1
    while at < end:
        is_quoted = text[at] == '"'
        part = ""
        if is_quoted:
            at += 1
            while at < end and text[at] != '"':
                at += text[at] == "\\"
                part += text[at]
                at += 1
            at += 1
        else:
            while at < end and text[at] != ",":
                if text[at] in "{}":
                    raise ValueError("an array of one dimension is read")
                at += text[at] == "\\"
                part += text[at]
                at += 1
            part = part.strip()
        parts.append(None if not is_quoted and part.upper() == "NULL" else part)
        if at < end and text[at] != ",":
            raise ValueError("elements stand between commas")
        at += 1
    return parts
