"""`incremental` by a time column: the SQL of a full build, and a condition around it.

A build takes the rows at or after a bound, the newest time loaded less the lookback, and replaces the table's rows of that range (or, with a unique
key, those of equal key). Within the range the result is that of a full build, since the very same SQL makes it. Rows without a time have no place
in any range, so they are always replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from headwater.engine import Connection
from headwater.errors import ModelOutputInvalid, UsageError
from headwater.spec.models import IncrementalKind, Model
from headwater.spec.names import quote, quote_literal
from headwater.spec.runs import Interval
from headwater.spec.tables import Column
from headwater.transformation.kinds.outcome import DeleteAllRows, DeleteMatching, DeleteRange, Existing, Outcome
from headwater.transformation.output import need_column

_NUMBERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"})
_TIMES = ("DATE", "TIMESTAMP")


def plan_incremental(
    connection: Connection,
    model: Model,
    query: str,
    columns: Sequence[Column],
    existing: Existing | None,
    *,
    interval: Interval | None,
    loaded_at: datetime | None,
) -> Outcome:
    """What an incremental build adds and deletes. `existing` None (or rows without any time) builds the whole.

    `loaded_at` is when the table was last built: a time beyond it, wrong or planned, doesn't move the bound on. Raises ModelOutputInvalid, or
    UsageError for an interval over numbers.
    """
    kind = model.kind
    assert isinstance(kind, IncrementalKind)
    time = need_column(model, "time_column", kind.time_column, columns)
    for name in kind.unique_key:
        need_column(model, "unique_key", name, columns)
    _require_order(model, kind, time)
    if existing is None:
        return Outcome(query, DeleteAllRows(), unique_key=kind.unique_key)
    if interval is not None:
        start, end = _interval_bounds(model, time, interval)
        condition = f"{quote(time.name)} >= {_literal(time, start)} AND {quote(time.name)} < {_literal(time, end)}"
        return _outcome(kind, query, condition, (start, end))
    bound = find_bound(connection, kind, time, existing, loaded_at)
    if bound is None:
        return Outcome(query, DeleteAllRows(), unique_key=kind.unique_key)
    return _outcome(kind, query, condition_from(time, bound), (bound, ""))


def condition_from(time: Column, bound: str) -> str:
    """The condition Headwater adds, over the output's time column. `bound` is text of that column's type."""
    return f"({quote(time.name)} >= {_literal(time, bound)} OR {quote(time.name)} IS NULL)"


def restricted(query: str, condition: str) -> str:
    """The very SQL of a full build, and the condition."""
    return f"SELECT *\nFROM (\n{query}\n)\nWHERE {condition}"


def find_bound(connection: Connection, kind: IncrementalKind, time: Column, existing: Existing, loaded_at: datetime | None) -> str | None:
    """The newest time loaded less the lookback, as text of the column's type; None when nothing with a time is loaded."""
    newest = f"max({quote(time.name)})"
    if time.type.startswith(_TIMES) and loaded_at is not None:
        newest = f"least({newest}, CAST(TIMESTAMPTZ {quote_literal(loaded_at.isoformat())} AS {time.type}))"
    lookback = kind.lookback
    if isinstance(lookback, timedelta):
        back = f" - to_microseconds({round(lookback.total_seconds() * 1_000_000)})"
    else:
        back = f" - {lookback}" if lookback else ""
    found = connection.execute(
        f"SELECT CAST(CAST({newest}{back} AS {time.type}) AS VARCHAR) FROM {existing.relation} HAVING max({quote(time.name)}) IS NOT NULL"
    ).scalar()
    return None if found is None else str(found)


def _outcome(kind: IncrementalKind, query: str, condition: str, interval: tuple[str, str]) -> Outcome:
    delete = DeleteMatching(kind.unique_key) if kind.unique_key else DeleteRange(condition)
    return Outcome(restricted(query, condition), delete, interval, unique_key=kind.unique_key)


def _require_order(model: Model, kind: IncrementalKind, time: Column) -> None:
    """The time column must be a date or timestamp (with a lookback in durations) or a whole number (with a lookback in numbers)."""
    is_time, is_number = time.type.startswith(_TIMES), time.type in _NUMBERS
    if not (is_time or is_number):
        raise ModelOutputInvalid(
            f"{model.name} can't go on by its time_column {time.name!r}",
            expected="a date, a timestamp or a whole number",
            found=time.type,
            hint="cast it",
        )
    if kind.lookback is not None and is_number == isinstance(kind.lookback, timedelta):
        raise ModelOutputInvalid(
            f"the lookback of {model.name} doesn't fit its time_column {time.name!r}",
            expected="a number" if is_number else "a duration such as 3 days",
            found=f"{time.type} with a lookback of {kind.lookback}",
        )


def _literal(time: Column, bound: str) -> str:
    return bound if time.type in _NUMBERS else f"CAST({quote_literal(bound)} AS {time.type})"


def _interval_bounds(model: Model, time: Column, interval: Interval) -> tuple[str, str]:
    """The interval's ends as text of the column's type. Where the column has no time zone, the ends' own wall clock counts."""
    if time.type in _NUMBERS:
        raise UsageError(f"{model.name} can't be restated from and to a date: its time_column {time.name!r} is a number", hint="use --full-refresh")
    ends = (interval.start, interval.end)
    if time.type == "DATE":
        return (_first_day_from(ends[0]).isoformat(), _first_day_from(ends[1]).isoformat())
    if time.type != "TIMESTAMP WITH TIME ZONE":
        ends = (ends[0].replace(tzinfo=None), ends[1].replace(tzinfo=None))
    return (ends[0].isoformat(sep=" "), ends[1].isoformat(sep=" "))


def _first_day_from(instant: datetime) -> date:
    """The first day that begins at or after the instant, by its own wall clock."""
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return instant.date() if instant == midnight else instant.date() + timedelta(days=1)
