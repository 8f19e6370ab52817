"""Cursor positions: exact text in the lake, typed values for connectors, never moving backwards. Pure.

A position is `{"cursor": "2024-01-01 10:00:00.123456", "type": "TIMESTAMP"}`: the highest value seen, as DuckDB writes it (times with a zone in
UTC), and its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from headwater.errors import ContractRefused
from headwater.ingestion.types import INTEGERS, TEXT, TIMESTAMPTZ, decimal_parts, is_float
from headwater.sources import CursorBound
from headwater.spec.names import quote
from headwater.spec.sources import Cursor

TIMES: Final = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", TIMESTAMPTZ, "DATE")
CursorValue = datetime | date | int | float | Decimal | str


def is_time(type_name: str) -> bool:
    return type_name in TIMES


def is_cursor_type(type_name: str) -> bool:
    """Whether values of the type can be compared and kept exactly."""
    return is_time(type_name) or type_name in INTEGERS or type_name == TEXT or is_float(type_name) or decimal_parts(type_name) is not None


def highest_sql(column: str, type_name: str) -> str:
    """The highest value of a column as exact text, whatever the session's time zone. Values that `unusable_sql` names don't count."""
    highest = f"max({quote(column)}) FILTER (WHERE NOT coalesce({unusable_sql(column, type_name)}, true))"
    return f"timezone('UTC', {highest})::VARCHAR || '+00'" if type_name == TIMESTAMPTZ else f"{highest}::VARCHAR"


def unusable_sql(column: str, type_name: str) -> str:
    """A condition for values that no position could hold: infinite ones, and years outside 1 to 9999, past which nothing would ever be read again."""
    name = quote(column)
    if is_time(type_name):
        return f"(NOT isfinite({name}) OR {name} >= '10000-01-01'::{type_name} OR {name} < '0001-01-02'::{type_name})"
    return f"(NOT isfinite({name}))" if is_float(type_name) else "false"


def parse_value(text: str, type_name: str) -> CursorValue:
    """The typed value of a position's text. Raises ValueError when it isn't one."""
    if type_name == "DATE":
        return date.fromisoformat(text)
    if type_name == TIMESTAMPTZ:
        return datetime.fromisoformat(text).astimezone(UTC)
    if is_time(type_name):
        return datetime.fromisoformat(text)
    if type_name in INTEGERS:
        return int(text)
    if is_float(type_name):
        return float(text)
    return text if type_name == TEXT else Decimal(text)


def value_of(position: Mapping[str, Any] | None) -> CursorValue | None:
    """The cursor value a position holds; None when it holds none."""
    if not position or "cursor" not in position:
        return None
    return parse_value(str(position["cursor"]), str(position.get("type", TEXT)))


def advanced(position: Mapping[str, Any] | None, highest: str | None, type_name: str) -> Mapping[str, Any] | None:
    """The position after a read that saw `highest`: the higher of the two. None when neither holds anything."""
    if highest is None:
        return position
    new = {"cursor": highest, "type": type_name}
    try:
        before = value_of(position)
        return position if before is not None and parse_value(highest, type_name) <= before else new  # type: ignore[operator]
    except TypeError:  # the column's type changed, say from a number to a time: the old value says nothing of the new ones
        return new


def bound(cursor: Cursor, position: Mapping[str, Any] | None, reload_from: str | None = None) -> CursorBound:
    """From where to read: the position less the lag, but not before `start`; `reload_from` (a value as text) in place of the position.

    Raises ContractRefused when the lag doesn't suit the cursor's type.
    """
    start = _as_value(cursor.start, position)
    if reload_from is not None:
        return CursorBound(cursor.column, _as_value(reload_from, position))
    reached = value_of(position)
    if reached is None:
        return CursorBound(cursor.column, start)
    lagged = _less(cursor, reached)
    try:
        lagged = lagged if start is None else max(lagged, start)
    except TypeError:
        pass  # a start written in another type than the column's: the position decides
    return CursorBound(cursor.column, lagged)


def _as_value(given: object, position: Mapping[str, Any] | None) -> Any:
    """A value from the definition or the command line, in the type the position has (where there is one)."""
    type_name = str(position["type"]) if position and "type" in position else None
    if given is None or type_name is None:
        return given
    if isinstance(given, datetime) and type_name == TIMESTAMPTZ:
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    try:
        value = parse_value(str(given), type_name)
    except ValueError:
        return given
    return value.replace(tzinfo=None) if isinstance(value, datetime) and type_name != TIMESTAMPTZ else value


def _less(cursor: Cursor, value: CursorValue) -> CursorValue:
    lag = cursor.lag
    if not lag:
        return value
    try:
        if isinstance(value, datetime) and isinstance(lag, timedelta):
            return value - lag
        if isinstance(value, date) and isinstance(lag, timedelta):
            return value - timedelta(days=-(-lag // timedelta(days=1)))
        if isinstance(value, Decimal) and isinstance(lag, int | float):
            return value - Decimal(str(lag))
        if isinstance(value, int | float) and isinstance(lag, int | float):
            return value - lag
    except OverflowError:
        return date.min if not isinstance(value, datetime) else datetime.min.replace(tzinfo=value.tzinfo)
    raise ContractRefused(
        f"the lag of cursor {cursor.column} doesn't suit its type",
        expected="a duration for dates and times, a number for numbers, none for text",
        found=f"a {'duration' if isinstance(lag, timedelta) else 'number'} for values of type {type(value).__name__}",
        state="nothing was read",
        hint=f"correct `lag` under `cursor` of {cursor.column}",
    )
