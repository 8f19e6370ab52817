"""`GET /v1/tables/..`: a table's rows by filters, order and page.

Names come from the tables one may see and values are bound: no text of a request gets into SQL.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from headwater.errors import TableNotFound, UsageError
from headwater.serving.session import VisibleColumn, VisibleTable
from headwater.spec.names import quote

#: What a filter may ask, and the operator it becomes.
COMPARISONS: Final = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS: Final = (*COMPARISONS, "in", "is")
_IS: Final = {"null": "IS NULL", "not_null": "IS NOT NULL", "true": "IS TRUE", "false": "IS FALSE"}
#: Words of the query string that are no filters. A column of such a name is filtered by `filter.NAME=..`.
RESERVED: Final = ("columns", "order", "limit", "cursor")
_PREFIX: Final = "filter."
MOST_FILTERS: Final = 100
MOST_VALUES: Final = 1000
_ORDERS: Final = ("asc", "desc")
_NULLS: Final = ("nullsfirst", "nullslast")
#: Types whose values can be written as text and read back the same. Others are ordered, in cursors, by their text.
_SCALAR: Final = frozenset(
    [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "FLOAT",
        "DOUBLE",
        "VARCHAR",
        "DATE",
        "TIME",
        "UUID",
        "TIMESTAMP",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
    ]
) | {"TIMESTAMP WITH TIME ZONE"}


@dataclass(frozen=True, slots=True)
class _Key:
    """One part of the order. `sql` is what is ordered by, `type` DuckDB's name of its type."""

    sql: str
    type: str
    is_descending: bool = False
    nulls_first: bool = False

    @property
    def order(self) -> str:
        return f"{self.sql} {'DESC' if self.is_descending else 'ASC'} NULLS {'FIRST' if self.nulls_first else 'LAST'}"


@dataclass(frozen=True, slots=True)
class Page:
    """What to run for one page. The statement gives `columns` first, then one column of text for each key, which `cursor_after` takes."""

    sql: str
    parameters: tuple[str, ...]
    columns: tuple[VisibleColumn, ...]
    limit: int
    #: The text keys of the row before this page, and how many rows with just these keys have been given; None on the first page.
    _after: tuple[tuple[str | None, ...], int] | None
    _signature: str

    def cursor_after(self, keys: Sequence[Sequence[str | None]]) -> str:
        """The cursor of the page that follows, given the keys of all rows of this one."""
        last = tuple(keys[-1])
        seen = 0
        for row in reversed(keys):
            if tuple(row) != last:
                break
            seen += 1
        if seen == len(keys) and self._after is not None and self._after[0] == last:
            seen += self._after[1]
        text = json.dumps([self._signature, list(last), seen], separators=(",", ":"), ensure_ascii=False)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def find_table(tables: Sequence[VisibleTable], name: str) -> VisibleTable:
    """Raises TableNotFound, alike for what isn't there and what one may not see."""
    for table in tables:
        if str(table.name).lower() == name.lower():
            return table
    raise TableNotFound("there is no such table", expected="schema.table, one of those that /v1/tables lists")


def plan_page(table: VisibleTable, query: Sequence[tuple[str, str]], *, most_rows: int, default_rows: int) -> Page:
    """The statement for the words of a query string. Raises UsageError for what isn't understood; nothing is ignored."""
    by_name = {column.name.lower(): column for column in table.columns}
    once: dict[str, str] = {}
    filters: list[tuple[VisibleColumn, str]] = []
    for word, value in query:
        if word in RESERVED:
            if word in once:
                raise UsageError(f"{word} is given twice")
            once[word] = value
            continue
        filters.append((_column(by_name, word.removeprefix(_PREFIX)), value))
    if len(filters) > MOST_FILTERS:
        raise UsageError("there are too many filters", expected=f"up to {MOST_FILTERS}")
    columns = _columns(table, by_name, once.get("columns"))
    keys = _keys(table, by_name, once.get("order"))
    limit = _limit(once.get("limit"), most_rows, default_rows)

    parameters: list[str] = []
    conditions = [_condition(column, text, parameters) for column, text in filters]
    signature = _signature(str(table.name), sorted((column.name, text) for column, text in filters), [key.order for key in keys])
    after = None
    if "cursor" in once:
        after = _read_cursor(once["cursor"], signature, len(keys))
        conditions.append(_from(keys, after[0], parameters))
    shown = [quote(column.name) for column in columns]
    hidden = [f"CAST({key.sql} AS VARCHAR) AS {quote(f'_hw_key_{index}')}" for index, key in enumerate(keys)]
    schema, _, name = str(table.name).partition(".")
    where = f" WHERE {' AND '.join(f'({condition})' for condition in conditions)}" if conditions else ""
    # one row more than asked for tells whether there is another page
    skipped = f" OFFSET {after[1]}" if after is not None else ""
    sql = (
        f"SELECT {', '.join([*shown, *hidden])} FROM {quote(schema)}.{quote(name)}{where} ORDER BY {', '.join(key.order for key in keys)}"
        f" LIMIT {limit + 1}{skipped}"
    )
    return Page(sql, tuple(parameters), columns, limit, after, signature)


def _column(by_name: dict[str, VisibleColumn], name: str) -> VisibleColumn:
    found = by_name.get(name.lower())
    if found is None:
        raise UsageError("the table has no such column", expected=f"a column, or one of {', '.join(RESERVED)}", found=_short(name))
    return found


def _columns(table: VisibleTable, by_name: dict[str, VisibleColumn], text: str | None) -> tuple[VisibleColumn, ...]:
    if text is None:
        return tuple(table.columns)
    found = tuple(_column(by_name, name.strip()) for name in text.split(","))
    if len({column.name for column in found}) < len(found):
        raise UsageError("columns names one twice")
    return found


def _keys(table: VisibleTable, by_name: dict[str, VisibleColumn], text: str | None) -> list[_Key]:
    """What was asked for, then the primary key where one may see it, else all columns: an order in which equal rows are the same row."""
    keys: dict[str, _Key] = {}
    for part in text.split(",") if text else ():
        name, *words = part.strip().split(".")
        column = _column(by_name, name)
        if column.name in keys or any(word not in (*_ORDERS, *_NULLS) for word in words) or len(words) > 2:
            raise UsageError("the order can't be read", expected="order=NAME.asc|desc.nullsfirst|nullslast, several with commas", found=_short(part))
        keys[column.name] = _key(column, is_descending="desc" in words, nulls_first="nullsfirst" in words)
    unique = [by_name[name.lower()] for name in table.primary_key if name.lower() in by_name]
    is_whole = bool(table.primary_key) and len(unique) == len(table.primary_key)
    for column in unique if is_whole else table.columns:
        keys.setdefault(column.name, _key(column))
    return list(keys.values())


def _key(column: VisibleColumn, *, is_descending: bool = False, nulls_first: bool = False) -> _Key:
    name = quote(column.name)
    if column.type in _SCALAR or (column.type.startswith("DECIMAL(") and column.type.endswith(")")):
        return _Key(name, column.type, is_descending, nulls_first)
    return _Key(f"CAST({name} AS VARCHAR)", "VARCHAR", is_descending, nulls_first)


def _limit(text: str | None, most_rows: int, default_rows: int) -> int:
    if text is None:
        return default_rows
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= most_rows:
        raise UsageError("the limit can't be read", expected=f"1 to {most_rows}", found=_short(text))
    return int(text)


def _condition(column: VisibleColumn, text: str, parameters: list[str]) -> str:
    name = quote(column.name)
    operator, dot, rest = text.partition(".")
    if not dot or operator not in OPERATORS:
        raise UsageError(
            f"the filter on {column.name} can't be read", expected=f"OPERATOR.VALUE with one of {', '.join(OPERATORS)}", found=_short(text)
        )  # fmt: skip
    if operator == "is":
        if rest not in _IS or (rest in ("true", "false") and column.type != "BOOLEAN"):
            raise UsageError(f"the filter on {column.name} can't be read", expected="is.null, is.not_null; is.true, is.false for booleans")
        return f"{name} {_IS[rest]}"
    if operator == "in":
        values = _list(rest)
        return f"{name} IN ({', '.join(_bound(value, column.type, parameters) for value in values)})"
    return f"{name} {COMPARISONS[operator]} {_bound(rest, column.type, parameters)}"


def _bound(value: str, type: str, parameters: list[str]) -> str:
    if "\x00" in value:
        raise UsageError("a value can't hold the character NUL")
    parameters.append(value)
    return f"CAST(${len(parameters)} AS {type})"


def _list(text: str) -> list[str]:
    """`(a,"b,c",d)`: inside quotes, a backslash takes the next character as it is."""
    if not (text.startswith("(") and text.endswith(")") and len(text) > 2):
        raise UsageError("a list can't be read", expected='in.(a,b,"with, comma")')
    values, current, is_quoted, was_quoted = [], "", False, False
    inside = iter(text[1:-1])
    for character in inside:
        if is_quoted and character == "\\":
            current += next(inside, "")
        elif character == '"' and (is_quoted or not current) and not (was_quoted and not is_quoted):
            is_quoted, was_quoted = not is_quoted, True
        elif character == "," and not is_quoted:
            values.append(current)
            current, was_quoted = "", False
        elif was_quoted and not is_quoted:
            raise UsageError("a list can't be read", expected='in.(a,b,"with, comma")')
        else:
            current += character
    if is_quoted:
        raise UsageError("a list can't be read", expected='in.(a,b,"with, comma")')
    values.append(current)
    if len(values) > MOST_VALUES:
        raise UsageError("the list is too long", expected=f"up to {MOST_VALUES} values")
    return values


def _from(keys: Sequence[_Key], values: Sequence[str | None], parameters: list[str]) -> str:
    """Rows at or after the one with these keys, in the keys' order."""
    equal: list[str] = []
    ways = []
    for key, value in zip(keys, values, strict=True):
        bound = "NULL" if value is None else _bound(value, key.type, parameters)
        after = _after(key, value, bound)
        if after is not None:
            ways.append(" AND ".join([*equal, after]))
        equal.append(f"{key.sql} IS NULL" if value is None else f"{key.sql} = {bound}")
    ways.append(" AND ".join(equal))
    return " OR ".join(f"({way})" for way in ways)


def _after(key: _Key, value: str | None, bound: str) -> str | None:
    """The key comes strictly after the value; None where nothing does."""
    if value is None:
        return f"{key.sql} IS NOT NULL" if key.nulls_first else None
    beyond = f"{key.sql} {'<' if key.is_descending else '>'} {bound}"
    return beyond if key.nulls_first else f"({beyond} OR {key.sql} IS NULL)"


def _signature(name: str, filters: object, order: object) -> str:
    return hashlib.sha256(json.dumps([name, filters, order]).encode()).hexdigest()[:16]


def _read_cursor(text: str, signature: str, count: int) -> tuple[tuple[str | None, ...], int]:
    try:
        found: Any = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        theirs, values, seen = found
        is_right = isinstance(values, list) and len(values) == count and all(value is None or isinstance(value, str) for value in values)
        if is_right and theirs == signature and type(seen) is int and 0 < seen < 2**53:
            json.dumps(values, ensure_ascii=False).encode()
            return tuple(values), seen
    except (ValueError, TypeError, RecursionError, binascii.Error):
        pass  # whatever is wrong with it, the answer is the same
    raise UsageError("the cursor isn't one of this request", expected="a Link of the page before, with the same filters and order")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
