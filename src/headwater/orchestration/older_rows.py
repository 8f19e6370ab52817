"""What an incremental build leaves out: changes of its inputs that lie before the bound it goes on from.

Only what changed since the last build is read, and counted as it is after all of it: a row that went and came back the same is no change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from headwater.engine import Connection
from headwater.orchestration.reading import Readings
from headwater.spec.models import IncrementalKind
from headwater.spec.names import TableName, quote, quote_literal
from headwater.spec.tables import Column
from headwater.storage.changes import Definition, RowChanges, TableChange

_TIMES = ("DATE", "TIMESTAMP")


@dataclass(frozen=True, slots=True)
class OlderChanges:
    """`tables` changed where the build doesn't look; `command` builds that anew."""

    tables: tuple[TableName, ...]
    command: str

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.tables))} changed before the time this build went on from; to build that anew: {self.command}"


def find_older_changes(
    connection: Connection,
    readings: Readings,
    change: TableChange,
    kind: IncrementalKind,
    read: Mapping[TableName, int],
    before: Mapping[str, int],
) -> OlderChanges | None:
    """Looks for changes of the tables `read` (with their versions now) since those of `before` that the build `change` doesn't reach.

    With a unique key, a row that only went is none: its key comes with another time, or deletes aren't seen anyway.
    """
    interval = change.load.interval
    time = next((column for column in change.columns if column.name.lower() == kind.time_column.lower()), None)
    if interval is None or interval[1] or time is None:
        return None
    found: list[TableName] = []
    days: list[str | None] = []
    origins = _origins(change.definition, time.name, readings.definition)
    for table, version in read.items():
        since = before.get(str(table))
        if since is None or since == version:
            continue
        columns = readings.columns(table) or {}
        changes = readings.changes_since(table, since)
        if changes is None:  # a view, defined otherwise
            found.append(table)
            days.append(None)
            continue
        times = _times(time, columns, origins.get(table.key, set()))
        sql = _query(changes, columns, time, times, interval[0], only_added=bool(kind.unique_key))
        row = connection.execute(sql).fetchone()
        if row is not None and row[0]:
            found.append(table)
            days.append(row[1])
    return OlderChanges(tuple(found), f"headwater run {change.table} {_range(days, time, interval[0])}") if found else None


def _range(days: list[str | None], time: Column, bound: str) -> str:
    """The options that restate from the oldest of `days` (None: it isn't known) to the bound."""
    try:
        start = min(date.fromisoformat(day or "") for day in days)
        end = date.fromisoformat(bound[:10])
    except ValueError:
        return "--full-refresh"
    if time.type != "DATE":
        end += timedelta(days=1)
    return f"--from {start} --to {end}"


def _query(changes: RowChanges, columns: Mapping[str, str], time: Column, times: list[str], bound: str, *, only_added: bool) -> str:
    """One row: whether there is a change before the bound, and its first day where the time is one."""
    values = ", ".join(quote(name) for name in columns if not name.lower().startswith("_hw_")) or "NULL"
    cast = ", ".join(f"TRY_CAST({quote(name)} AS {time.type})" for name in times)
    at = "NULL" if not times else cast if len(times) == 1 else f"least({cast})"
    day = "CAST(hw_time AS DATE)" if times and time.type.startswith(_TIMES) else "NULL"
    where = f" WHERE hw_time < CAST({quote_literal(bound)} AS {time.type})" if times else ""
    rows = f"SELECT {at} AS hw_time, {'0' if changes.are_additions else f'hash({values})'} AS hw_hash, hw_sign FROM ({changes.sql})"
    net = f"SELECT {day} AS hw_day FROM ({rows}){where} GROUP BY {day}, hw_hash HAVING sum(hw_sign) {'>' if only_added and times else '<>'} 0"
    return f"SELECT count(*) > 0, CAST(min(hw_day) AS VARCHAR) FROM ({net})"


def _times(time: Column, columns: Mapping[str, str], origins: set[str]) -> list[str]:
    """The input's columns that hold the time: those it is computed from, else one of its name. Empty where any of them is of another sort."""
    wanted = origins & {name.lower() for name in columns} or {time.name.lower()}
    found = {name: type_name for name, type_name in columns.items() if name.lower() in wanted}
    is_time = time.type.startswith(_TIMES)
    if any(type_name.startswith(_TIMES) != is_time or type_name == "VARCHAR" for type_name in found.values()):
        return []
    return list(found)


def _origins(definition: Definition, column: str, define: Callable[[TableName], Definition | None]) -> dict[tuple[str, str], set[str]]:
    """The columns of physical tables that a column is computed from, through views, in lower case, by table."""
    found: dict[tuple[str, str], set[str]] = {}
    waiting = list(_value(definition, column))
    while waiting:
        table, name = waiting.pop()
        below = define(table)
        if below is not None and below.kind == "view":
            waiting += _value(below, name)
        else:
            found.setdefault(table.key, set()).add(name.lower())
    return found


def _value(definition: Definition, column: str) -> Iterator[tuple[TableName, str]]:
    lineage: Mapping[str, Any] = definition.body.get("lineage") or {}
    for name, edges in lineage.get("value", {}).items():
        if name.lower() == column.lower():
            yield from ((TableName(schema, table), origin) for schema, table, origin in edges)
