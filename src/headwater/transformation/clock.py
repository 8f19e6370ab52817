"""What a model takes from elsewhere than its inputs: the time, and chance. Read off DuckDB's syntax tree; nothing is run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from headwater.engine import CLOCK_FUNCTIONS, parse_tree
from headwater.project import sqltext

ClockUse = Literal["", "date", "timestamp"]

#: Functions that change once a day: `age` of one argument counts from today's midnight.
_DAILY = frozenset({"current_date", "today", "age"})
_CLOCK = CLOCK_FUNCTIONS | {"age"}
#: Names that DuckDB's parser takes for columns at first.
_WITHOUT_PARENTHESES = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
_TRUNCATED_TO_DAYS = frozenset({"day", "week", "month", "quarter", "year", "decade", "century", "millennium"})
_RANDOM = frozenset({"random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "nextval", "setseed"})


def clock_used(sql: str, macros: Iterable[str] = ()) -> ClockUse:
    """Whether a query uses the time, and how finely: "date" when it changes once a day (`current_date`, `now()::DATE`), else "timestamp".

    `macros` are the project's CREATE MACRO statements; those that the query calls count as well. Raises SqlSyntaxError.
    """
    found = _found(sql, tuple(macros))
    uses = {use for use, _ in found if use}
    return "timestamp" if "timestamp" in uses else "date" if uses else ""


def is_volatile(sql: str, macros: Iterable[str] = ()) -> bool:
    """Whether two runs of a query over the same rows may differ: `random()`, `uuid()`, a sample without a seed. Raises SqlSyntaxError."""
    return any(is_random for _, is_random in _found(sql, tuple(macros)))


def clock_value(use: ClockUse, started_at: datetime, timezone: str) -> str:
    """The time as a query sees it, in the project's timezone: what a model's staleness compares. "" for a query that doesn't use it."""
    if not use:
        return ""
    local = started_at.astimezone(ZoneInfo(timezone))
    return local.date().isoformat() if use == "date" else local.isoformat()


@lru_cache(maxsize=4096)
def _found(sql: str, macros: tuple[str, ...]) -> frozenset[tuple[ClockUse, bool]]:
    tree = parse_tree(sql)
    calls: set[str] = set()
    found: set[tuple[ClockUse, bool]] = set()
    if tree is None:  # a PIVOT without IN: by its words
        calls |= sqltext.functions_named(sql)
        found |= {_of_name(name) for name in calls}
    else:
        _walk(tree["statements"], found, calls)
    return frozenset(found | _of_macros(calls, macros))


def _of_name(name: str) -> tuple[ClockUse, bool]:
    use: ClockUse = "" if name not in _CLOCK else "date" if name in _DAILY else "timestamp"
    return use, name in _RANDOM or name == "tablesample"


def _walk(node: Any, found: set[tuple[ClockUse, bool]], calls: set[str]) -> None:
    if isinstance(node, list):
        for item in node:
            _walk(item, found, calls)
        return
    if not isinstance(node, dict):
        return
    sample = node.get("sample")
    if isinstance(sample, dict) and sample.get("seed", -1) == -1:
        found.add(("", True))
    name = _called(node)
    if name is not None:
        calls.add(name)
        if name != "age" or len(node["children"]) == 1:
            found.add(_of_name(name))
    days = _cut_to_days(node)
    if days is not None and (inner := _called(days)) in _CLOCK:
        assert inner is not None
        calls.add(inner)
        found.add(("date", False))
        return
    for value in node.values():
        _walk(value, found, calls)


def _called(node: dict[str, Any]) -> str | None:
    """The function that a node calls, lower case; None for other nodes."""
    if node.get("class") == "FUNCTION" and node.get("type") == "FUNCTION":
        return str(node["function_name"]).lower()
    if node.get("class") == "COLUMN_REF" and len(node.get("column_names", ())) == 1:
        name = str(node["column_names"][0]).lower()
        return name if name in _WITHOUT_PARENTHESES else None
    return None


def _cut_to_days(node: dict[str, Any]) -> dict[str, Any] | None:
    """What a node cuts to whole days (or more): the inside of `..::DATE` and `date_trunc('month', ..)`."""
    if node.get("type") == "OPERATOR_CAST" and node.get("cast_type", {}).get("id") == "DATE":
        child = node["child"]
        return child if isinstance(child, dict) else None
    if node.get("class") == "FUNCTION" and node.get("function_name") in ("date_trunc", "datetrunc") and len(node["children"]) == 2:
        unit, inner = node["children"]
        if unit.get("type") == "VALUE_CONSTANT" and str(unit["value"].get("value", "")).lower() in _TRUNCATED_TO_DAYS and isinstance(inner, dict):
            return inner
    return None


def _of_macros(calls: set[str], macros: tuple[str, ...]) -> set[tuple[ClockUse, bool]]:
    """What the macros among `calls` use, and those that they call. Read by their words: rather too much than too little."""
    if not macros:
        return set()
    bodies = {name: sqltext.functions_named(body) for name, body in map(_split_macro, macros)}
    found: set[tuple[ClockUse, bool]] = set()
    pending, seen = [name for name in calls if name in bodies], set()
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            found |= {_of_name(other) for other in bodies[name]}
            pending.extend(other for other in bodies[name] if other in bodies)
    return found


def _split_macro(statement: str) -> tuple[str, str]:
    """A CREATE MACRO statement as the macro's name, lower case, and the rest."""
    head, _, body = statement.partition("(")
    return head.split()[-1].strip('"').lower(), body
