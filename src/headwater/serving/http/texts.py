"""Arrow values as JSON and text, by expressions that DuckDB computes over whole batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as pt

from headwater.spec.names import quote_literal


@dataclass(frozen=True, slots=True)
class Style:
    """`integers_as_text` writes whole numbers of 64 bits as strings, for readers whose numbers are doubles."""

    integers_as_text: bool = False


def json_value(kind: pa.DataType, sql: str, style: Style = Style(), depth: int = 0) -> str:
    """An expression whose `to_json` is the value of `sql` as this door writes it; `sql` itself where nothing is to be done.

    Decimals are strings with all their digits, integers numbers with all of theirs; NaN and infinities are the strings NaN, Infinity and -Infinity;
    times are ISO 8601, those with a zone in UTC; intervals ISO durations; bytes base64.
    """
    if pt.is_floating(kind):
        finite = f"to_json({sql})" if pt.is_float64(kind) else f"CAST(CAST({sql} AS VARCHAR) AS JSON)"
        special = f"to_json(CASE WHEN isnan({sql}) THEN 'NaN' WHEN {sql} > 0 THEN 'Infinity' ELSE '-Infinity' END)"
        return f"CASE WHEN {sql} IS NULL THEN NULL WHEN isfinite({sql}) THEN {finite} ELSE {special} END"
    if style.integers_as_text and (pt.is_int64(kind) or pt.is_uint64(kind)):
        return f"CAST({sql} AS VARCHAR)"
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        item = f"v{depth}"
        inner = json_value(kind.value_type, item, style, depth + 1)
        return sql if inner == item else f"list_transform({sql}, lambda {item}: {inner})"
    if pt.is_struct(kind):
        parts = []
        for field in kind:
            value = f"struct_extract({sql}, {quote_literal(field.name)})"
            parts.append(f"{quote_literal(field.name)}, {json_value(field.type, value, style, depth)}")
        return f"CASE WHEN {sql} IS NULL THEN NULL ELSE json_object({', '.join(parts)}) END"
    if pt.is_map(kind):
        key, item = f"k{depth}", f"v{depth}"
        keys = f"list_transform(map_keys({sql}), lambda {key}: CAST({text_value(kind.key_type, key)} AS VARCHAR))"
        inner = json_value(kind.item_type, item, style, depth + 1)
        values = f"map_values({sql})" if inner == item else f"list_transform(map_values({sql}), lambda {item}: {inner})"
        return f"CASE WHEN {sql} IS NULL THEN NULL ELSE to_json(map({keys}, {values})) END"
    if pt.is_integer(kind) or pt.is_boolean(kind) or pt.is_null(kind) or pt.is_union(kind):
        return sql
    return text_value(kind, sql)


def text_value(kind: pa.DataType, sql: str) -> str:
    """An expression for the value of `sql` as text, as it stands in CSV."""
    if _is_text(kind) or pt.is_dictionary(kind):
        return sql
    if pt.is_timestamp(kind):
        text = f"replace(CAST({sql} AS VARCHAR), ' ', 'T')"
        return f"regexp_replace({text}, '[+]00(:00)?$', 'Z')" if kind.tz is not None else text
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind):
        return f"to_base64({sql})"
    if pt.is_interval(kind):
        seconds = (
            f"(CAST(datepart('hour', {sql}) AS DECIMAL(18,6)) * 3600 + datepart('minute', {sql}) * 60"
            f" + CAST(datepart('microsecond', {sql}) AS DECIMAL(18,6)) / 1000000)"
        )
        days = f"datepart('year', {sql}) * 12 + datepart('month', {sql})"
        return f"'P' || ({days}) || 'M' || datepart('day', {sql}) || 'DT' || CAST({seconds} AS DECIMAL(24,6)) || 'S'"
    if _is_nested(kind):
        value = json_value(kind, sql)
        return f"CASE WHEN {sql} IS NULL THEN NULL ELSE CAST(to_json({value}) AS VARCHAR) END"
    if pt.is_decimal(kind) and kind.precision == kind.scale:  # DuckDB writes .5 for these
        return f"regexp_replace(CAST({sql} AS VARCHAR), '^(-?)[.]', '\\10.')"
    return f"CAST({sql} AS VARCHAR)"


def is_json(duckdb_type: str) -> bool:
    return duckdb_type == "JSON"


def json_document(sql: str) -> str:
    """The value of a JSON column as itself, where it is JSON (a mask may have made it something else)."""
    return f"CASE WHEN json_valid({sql}) THEN CAST({sql} AS JSON) ELSE to_json({sql}) END"


def csv_value(kind: pa.DataType, sql: str) -> str | None:
    """As `text_value`; None for what Arrow's own CSV writer writes the same."""
    numbers = pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)
    return None if numbers or _is_text(kind) or pt.is_boolean(kind) or pt.is_date(kind) or pt.is_null(kind) else text_value(kind, sql)


def parquet_value(kind: pa.DataType, sql: str) -> str | None:
    """An expression for what Parquet doesn't hold (intervals, unions, DuckDB's own types) as text; None for all else."""
    return (
        text_value(kind, sql)
        if any_part(kind, lambda one: pt.is_interval(one) or pt.is_union(one) or isinstance(one, pa.BaseExtensionType))
        else None
    )


def any_part(kind: pa.DataType, wanted: Callable[[pa.DataType], bool]) -> bool:
    """Whether the type or any type inside it is wanted."""
    if wanted(kind):
        return True
    if pt.is_map(kind):
        return any_part(kind.key_type, wanted) or any_part(kind.item_type, wanted)
    if pt.is_struct(kind):
        return any(any_part(field.type, wanted) for field in kind)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return any_part(kind.value_type, wanted)
    return False


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pt.is_nested(kind))
