"""From the type a value came as to the type the contract wants: a SQL expression, and a condition that says when the value doesn't fit. Pure.

The rule: a value is never changed silently. What a cast would round, cut, overflow or turn into null is a fault, and its row goes to quarantine. The
table of what is accepted stands in `docs/loading.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from headwater.ingestion.types import INTEGERS, JSON, TEXT, TIMESTAMPTZ, decimal_parts, fits, is_float, is_nested
from headwater.spec.names import quote, quote_literal
from headwater.spec.tables import split_type_arguments

_EXPONENT: Final = r"\s*[+-]?[0-9.]+[eE][+-]?[0-9]+\s*"
_INTEGER: Final = r"\s*[+-]?[0-9]+(\.0*)?\s*"
_DATE: Final = r"\s*[+-]?[0-9]{4,6}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T]00:00(:00(\.0+)?)?(Z|[+-]00(:?00)?)?)?\s*"
_TIME_WITH_OFFSET: Final = r":[0-9.]+\s*[+-][0-9]"
_STARTS_WITH_DIGIT: Final = r"^\s*[+-]?[0-9]"
_ROUND_TRIP: Final = frozenset(
    {*INTEGERS, "DOUBLE", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", TIMESTAMPTZ}
)


@dataclass(frozen=True, slots=True)
class Formats:
    """How dates and times are written in a text source (`strptime` patterns); None reads ISO 8601. `timestamp` may hold `%z`."""

    date: str | None = None
    timestamp: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Formats:
        """From a stream's options `date_format` and `timestamp_format`."""
        date, timestamp = options.get("date_format"), options.get("timestamp_format")
        return cls(str(date) if date else None, str(timestamp) if timestamp else None)


@dataclass(frozen=True, slots=True)
class Conversion:
    """`value(x)` is the typed expression for the raw expression `x`; `fault(x, v)` a condition over both, None where nothing can fail."""

    value: Callable[[str], str]
    fault: Callable[[str, str], str] | None = field(default=None)


_IDENTITY: Final = Conversion(lambda x: x)


def conversion(source: str, target: str, formats: Formats = Formats()) -> Conversion:
    """How a value of type `source` becomes one of type `target` (both DuckDB type names as DESCRIBE prints them)."""
    if source == target:
        return _IDENTITY
    if source == TEXT:
        return _from_text(target, formats)
    if source == JSON:
        return _from_json(target, formats)
    if target == TEXT:
        return Conversion((lambda x: f"to_json({x})::VARCHAR") if is_nested(source) else (lambda x: f"{x}::VARCHAR"))
    if target == JSON:
        return Conversion(lambda x: f"to_json({x})")
    if fits(source, target):
        return Conversion(lambda x: f"{x}::{target}")
    if is_nested(source) or is_nested(target):
        inner = _from_json(target, formats)
        assert inner.fault is not None
        fault = inner.fault
        return Conversion(lambda x: inner.value(f"to_json({x})"), lambda x, v: fault(f"to_json({x})", v))
    return _from_typed(source, target)


def _from_typed(source: str, target: str) -> Conversion:
    """Numbers, dates and times must come back the same when cast back; other casts must just succeed."""

    def value(x: str) -> str:
        return f"TRY_CAST({x} AS {target})"

    def fault(x: str, v: str) -> str:
        failed = f"{v} IS NULL"
        if target == "FLOAT":
            failed += f" OR isinf({v}) IS DISTINCT FROM isinf({x}::DOUBLE)"
        elif (source in _ROUND_TRIP or decimal_parts(source) or source == "FLOAT") and (target in _ROUND_TRIP or decimal_parts(target)):
            failed += f" OR TRY_CAST({v} AS {source}) IS DISTINCT FROM {x}"
        return f"({x} IS NOT NULL AND ({failed}))"

    return Conversion(value, fault)


def _from_text(target: str, formats: Formats) -> Conversion:
    """Text that is empty or blank counts as null, except for text itself."""
    if is_nested(target):

        def nested_fault(x: str, v: str) -> str:
            parsed = f"TRY_CAST({x} AS JSON)"
            return f"(trim({x}) <> '' AND ({parsed} IS NULL OR {_nested_fault(parsed, v, target, formats, 0)}))"

        return Conversion(lambda x: f"TRY_CAST(TRY_CAST({x} AS JSON) AS {target})", nested_fault)
    return Conversion(lambda x: _text_value(x, target, formats), lambda x, v: _text_fault(x, v, target, formats))


def _text_value(x: str, target: str, formats: Formats) -> str:
    if target == "DATE" and formats.date:
        return f"TRY_CAST(try_strptime({x}, {quote_literal(formats.date)}) AS DATE)"
    if target in ("TIMESTAMP", TIMESTAMPTZ) and formats.timestamp:
        parsed = f"try_strptime({x}, {quote_literal(formats.timestamp)})"
        has_zone = "%z" in formats.timestamp or "%Z" in formats.timestamp
        return f"timezone('UTC', {parsed})" if has_zone and target == "TIMESTAMP" else f"{parsed}::{target}"
    if target == "TIMESTAMP":
        # DuckDB drops an offset when it casts text to TIMESTAMP; we convert to UTC
        return (
            f"CASE WHEN regexp_matches({x}, '{_TIME_WITH_OFFSET}') THEN timezone('UTC', TRY_CAST({x} AS {TIMESTAMPTZ}))"
            f" ELSE TRY_CAST({x} AS TIMESTAMP) END"
        )
    return f"TRY_CAST({x} AS {target})"


def _text_fault(x: str, v: str, target: str, formats: Formats) -> str:
    """When text `x` doesn't become `v` as it should. Blank text becomes null, and that is no fault."""
    return f"CASE WHEN {v} IS NULL THEN trim({x}) <> '' ELSE {_text_doubt(x, v, target, formats)} END"


def _text_doubt(x: str, v: str, target: str, formats: Formats) -> str:
    """When `v`, which isn't null, isn't what the text `x` says, though DuckDB's cast takes it for that."""
    parts = decimal_parts(target)
    if target in INTEGERS:
        return f"NOT (regexp_full_match({x}, '{_INTEGER}') OR {_exact_exponent(x, v)})"
    if parts:
        pattern = rf"\s*[+-]?[0-9]*(\.[0-9]{{0,{parts[1]}}}0*)?\s*"
        return f"NOT (regexp_full_match({x}, '{pattern}') OR {_exact_exponent(x, v)})"
    if is_float(target):
        return f"contains({x}, '_') OR (isinf({v}) AND NOT contains(lower({x}), 'inf'))"
    if target == "DATE" and not formats.date:
        return f"NOT regexp_full_match({x}, '{_DATE}')"
    if target in ("TIMESTAMP", TIMESTAMPTZ) and not formats.timestamp:
        return f"NOT isfinite({v}) OR NOT regexp_matches({x}, '{_STARTS_WITH_DIGIT}')"
    return "false"


def _exact_exponent(x: str, v: str) -> str:
    return f"(regexp_full_match({x}, '{_EXPONENT}') AND TRY_CAST({x} AS DOUBLE) = {v}::DOUBLE)"


def _from_json(target: str, formats: Formats) -> Conversion:
    if target == TEXT:
        return Conversion(lambda x: f"({x} ->> '$')")
    if is_nested(target):
        return Conversion(lambda x: f"TRY_CAST({x} AS {target})", lambda x, v: f"({_nested_fault(x, v, target, formats, 0)})")

    def value(x: str) -> str:
        return _text_value(f"({x} ->> '$')", target, formats)

    def fault(x: str, v: str) -> str:
        text = f"({x} ->> '$')"
        return _text_fault(text, v, target, formats)

    return Conversion(value, fault)


def _nested_fault(j: str, v: str, target: str, formats: Formats, depth: int) -> str:
    """When JSON `j` loses something as `v` of type `target`: a part of another type, or a key the struct doesn't have.

    DuckDB's cast from JSON gives null for a part that doesn't fit; only a walk along the type notices. Null and missing parts are fine.
    """
    given = f"coalesce(json_type({j}), 'NULL') <> 'NULL'"
    if target.endswith("[]"):
        inner = f"z{depth}"
        element = _nested_fault(f"{inner}[1]", f"{inner}[2]", target[:-2], formats, depth + 1)
        walk = f"len(list_filter(list_zip(TRY_CAST({j} AS JSON[]), {v}), lambda {inner}: {element})) > 0"
        return f"({given} AND (json_type({j}) <> 'ARRAY' OR {v} IS NULL OR {walk}))"
    # through a map, since a JSON path can't name every key
    parts = f"TRY_CAST({j} AS MAP(VARCHAR, JSON))"
    key = f"k{depth}"
    if target.startswith("STRUCT("):
        fields = [_field(part) for part in split_type_arguments(target[len("STRUCT(") : -1])]
        names = ", ".join(quote_literal(name) for name, _ in fields)
        unknown = f"lambda {key}: {key} NOT IN ({names}) AND coalesce(json_type({parts}[{key}]), 'NULL') <> 'NULL'"
        walks = [_nested_fault(f"{parts}[{quote_literal(name)}]", f"{v}.{quote(name)}", kind, formats, depth + 1) for name, kind in fields]
        walks.append(f"len(list_filter(json_keys({j}), {unknown})) > 0")
        return f"({given} AND (json_type({j}) <> 'OBJECT' OR {v} IS NULL OR {' OR '.join(walks)}))"
    if target.startswith("MAP("):
        value_type = split_type_arguments(target[len("MAP(") : -1])[1]
        element = _nested_fault(f"{parts}[{key}]", f"{v}[{key}]", value_type, formats, depth + 1)
        return f"({given} AND (json_type({j}) <> 'OBJECT' OR {v} IS NULL OR len(list_filter(json_keys({j}), lambda {key}: {element})) > 0))"
    if target == JSON:
        return "false"
    text = f"({j} ->> '$')"
    if target == TEXT:
        return f"({given} AND {v} IS NULL)"
    return f"({given} AND ({_text_fault(text, v, target, formats)}))"


def _field(part: str) -> tuple[str, str]:
    """Name and type of one field of a STRUCT's text."""
    if part.startswith('"'):
        end = part.index('"', 1)
        while part[end : end + 2] == '""':
            end = part.index('"', end + 2)
        return part[1:end].replace('""', '"'), part[end + 1 :].strip()
    name, _, kind = part.partition(" ")
    return name, kind.strip()
