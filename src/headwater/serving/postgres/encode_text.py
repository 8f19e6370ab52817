"""Columns as Postgres prints them: by Arrow where it prints so or can be made to, else by an expression that DuckDB prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from headwater.serving.postgres import types as pg
from headwater.serving.postgres.fields import Field
from headwater.serving.postgres.pieces import Column, pc
from headwater.serving.postgres.types import wire_type

#: 0001-01-01 and 9999-12-31, in days from 1970-01-01.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_DAY = 86_400_000_000
_NUMBERS = (pg.INT2, pg.INT4, pg.INT8, pg.OID)


def text_by_arrow(field: Field, array: Column) -> Column | None:
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
        return pa.array([bit_text(value) for value in array.to_pylist()], pa.string())
    return None


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


def bit_text(raw: bytes | None) -> str | None:
    """A BIT as Arrow has it (a byte that counts the padding in front, then the bits) as a text of 0 and 1."""
    if raw is None:
        return None
    return "".join(f"{byte:08b}" for byte in raw[1:])[raw[0] :]


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


def text_sql(column: str, duckdb_type: str) -> str | None:
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
    text = text_sql(column, duckdb_type) or f"{column}::VARCHAR"
    if wire.oid in (pg.TEXT, pg.BYTEA, pg.TIMESTAMP, pg.TIMESTAMPTZ, pg.DATE):
        escaped = f"replace(replace({text}, '\\', '\\\\'), '\"', '\\\"')"
        strange = f"regexp_matches({text}, '[{{}}\",\\\\\\s]')"
        return f"CASE WHEN {text} = '' OR upper({text}) = 'NULL' OR {strange} THEN '\"' || {escaped} || '\"' ELSE {text} END"
    return text
