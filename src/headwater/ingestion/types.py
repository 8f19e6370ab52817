"""DuckDB's types as `ingestion` compares them: which fits into which without loss, and what several have in common. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: Whole numbers: (bits, signed).
INTEGERS: Final = {
    "TINYINT": (8, True),
    "SMALLINT": (16, True),
    "INTEGER": (32, True),
    "BIGINT": (64, True),
    "HUGEINT": (128, True),
    "UTINYINT": (8, False),
    "USMALLINT": (16, False),
    "UINTEGER": (32, False),
    "UBIGINT": (64, False),
    "UHUGEINT": (128, False),
}
#: Bits of a whole number that a float keeps exactly.
_EXACT_BITS: Final = {"FLOAT": 24, "DOUBLE": 53}
_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_TIMESTAMPS: Final = ("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP")
TEXT: Final = "VARCHAR"
JSON: Final = "JSON"
TIMESTAMPTZ: Final = "TIMESTAMP WITH TIME ZONE"


def decimal_parts(type_name: str) -> tuple[int, int] | None:
    """Precision and scale of a DECIMAL; None for another type."""
    match = _DECIMAL.fullmatch(type_name)
    return (int(match[1]), int(match[2])) if match else None


def is_nested(type_name: str) -> bool:
    """Whether values have parts: a struct, list, map or union."""
    return type_name.endswith("]") or type_name.startswith(("STRUCT(", "MAP(", "UNION("))


def is_float(type_name: str) -> bool:
    return type_name in _EXACT_BITS


def _integer_digits(type_name: str) -> int:
    bits, signed = INTEGERS[type_name]
    return len(str(2 ** (bits - 1 if signed else bits)))


def fits(narrow: str, wide: str) -> bool:
    """Whether every value of `narrow` is a value of `wide`, exactly, so that the cast can't fail or round."""
    if narrow in (wide, '"NULL"', "NULL"):
        return True
    if narrow in INTEGERS:
        return _integer_fits(narrow, wide)
    source, target = decimal_parts(narrow), decimal_parts(wide)
    if source and target:
        return target[1] >= source[1] and target[0] - target[1] >= source[0] - source[1]
    if narrow == "FLOAT":
        return wide == "DOUBLE"
    if narrow == "DATE":
        return wide == "TIMESTAMP"
    if narrow in _TIMESTAMPS and wide in _TIMESTAMPS:
        return _TIMESTAMPS.index(narrow) <= _TIMESTAMPS.index(wide)
    return narrow.startswith("ENUM(") and wide == TEXT


def _integer_fits(narrow: str, wide: str) -> bool:
    bits, signed = INTEGERS[narrow]
    if wide in INTEGERS:
        wide_bits, wide_signed = INTEGERS[wide]
        if signed == wide_signed:
            return wide_bits >= bits
        return wide_signed and wide_bits > bits
    if wide in _EXACT_BITS:
        return bits - signed <= _EXACT_BITS[wide]
    target = decimal_parts(wide)
    return target is not None and target[0] - target[1] >= _integer_digits(narrow)


def common(types: Iterable[str]) -> str:
    """One type for a column that several files give different types: the one all fit into, DOUBLE for mixed numbers, TIMESTAMP or text else."""
    found = [t for t in dict.fromkeys(types) if t not in ('"NULL"', "NULL")]
    if not found:
        return TEXT
    for candidate in found:
        if all(fits(t, candidate) for t in found):
            return candidate
    if all(t in INTEGERS for t in found):
        return next((t for t in ("SMALLINT", "INTEGER", "BIGINT") if all(fits(f, t) for f in found)), "DECIMAL(38,0)")
    if all(t in INTEGERS or is_float(t) for t in found):
        return "DOUBLE"
    if all(t in INTEGERS or decimal_parts(t) or is_float(t) for t in found):
        return "DOUBLE" if any(is_float(t) for t in found) else _common_decimal(found)
    if all(is_nested(t) or t == JSON for t in found):
        return JSON
    return TEXT


def _common_decimal(types: list[str]) -> str:
    whole, scale = 0, 0
    for name in types:
        parts = decimal_parts(name)
        whole = max(whole, parts[0] - parts[1] if parts else _integer_digits(name))
        scale = max(scale, parts[1] if parts else 0)
    return f"DECIMAL({whole + scale},{scale})" if whole + scale <= 38 else "DOUBLE"
