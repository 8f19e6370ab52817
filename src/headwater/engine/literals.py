"""Values as SQL text: for conditions that stand inside a view, where nothing can be bound, and to spare an import (see `is_plain`)."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from headwater.errors import UsageError
from headwater.spec.names import quote_literal


def literal(value: Any) -> str:
    """The value as a SQL literal of its type."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return f"({value})" if value < 0 else str(value)
        case float():
            return f"CAST({quote_literal(repr(value))} AS DOUBLE)" if not math.isfinite(value) else f"CAST({value!r} AS DOUBLE)"
        case datetime():
            return f"{'TIMESTAMPTZ' if value.tzinfo else 'TIMESTAMP'} {quote_literal(value.isoformat(sep=' '))}"
        case date():
            return f"DATE {quote_literal(value.isoformat())}"
        case time():
            return f"TIME {quote_literal(value.isoformat())}"
        case timedelta():
            return f"to_microseconds({value // timedelta(microseconds=1)})"
        case uuid.UUID():
            return f"CAST({quote_literal(str(value))} AS UUID)"
        case bytes():
            return f"from_hex({quote_literal(value.hex())})"
        case str():
            return quote_literal(value)
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case _:
            raise UsageError("a value can't be written as SQL", expected="a number, text, time, uuid, bytes or null", found=type(value).__name__)


def is_plain(parameters: Sequence[Any]) -> bool:
    """Whether all are of the simplest types, written as literals without loss.

    DuckDB's Python client imports pandas, where it is installed, the first time it binds any parameter: half a second for `headwater status`.
    """
    return all(
        is_plain(value) if type(value) is list else type(value) in _PLAIN_TYPES and not (type(value) is str and "\x00" in value)
        for value in parameters
    )


_PLAIN_TYPES = frozenset({str, int, bool, type(None), datetime})


def bind_parameters(condition: str, parameters: Sequence[Any]) -> str:
    """`condition` with each `?` outside quotes and comments replaced by its parameter. Raises UsageError when the counts differ."""
    parts: list[str] = []
    remaining = list(parameters)
    index = 0
    while index < len(condition):
        character = condition[index]
        if character in "'\"":
            end = condition.find(character, index + 1)
            end = len(condition) - 1 if end < 0 else end
            parts.append(condition[index : end + 1])
            index = end + 1
            continue
        if condition.startswith("--", index):
            end = condition.find("\n", index)
            end = len(condition) if end < 0 else end
            parts.append(condition[index:end])
            index = end
            continue
        if condition.startswith("/*", index):
            end = condition.find("*/", index)
            end = len(condition) if end < 0 else end + 2
            parts.append(condition[index:end])
            index = end
            continue
        if character == "?":
            if not remaining:
                raise UsageError("a condition has more ? than parameters")
            parts.append(literal(remaining.pop(0)))
        else:
            parts.append(character)
        index += 1
    if remaining:
        raise UsageError("a condition has fewer ? than parameters")
    return "".join(parts)
