"""Whether the gate can put a row filter before a table of which the columns are known: asked before anybody reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from headwater.engine import Connection, describe_query
from headwater.errors import HeadwaterError, StatementRefused, TableNotFound
from headwater.spec.names import TableName, quote
from headwater.storage.gate import functions
from headwater.storage.gate.tree import Node, query_of, to_sql
from headwater.storage.gate.walk import Walk

_NO_COLUMN: Final = re.compile(r'(?:Referenced column|column named|Column with name|does not have a column named) "([^"]+)"')
_KIND: Final = re.compile(r"\A\w+ Error: ")
_NO_FUNCTION: Final = re.compile(r'Function with name "?([^" ]+)"? does not exist')

#: A table's columns by name; a type that isn't known is None.
KnownColumns = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class FilterFault:
    """Why a filter can't be applied. `is_of_table`: to this table, not to any."""

    text: str
    is_of_table: bool


class _Unknown(Exception):
    """A table whose columns aren't known is asked for."""


def missing_column(said: str) -> str | None:
    """The column that there isn't, where that is what the engine's error says."""
    match = _NO_COLUMN.search(said)
    return None if match is None else match[1]


def filter_fault(
    connection: Connection, table: TableName, where: str, columns: Callable[[TableName], KnownColumns | None], macros: frozenset[str]
) -> FilterFault | None:
    """What keeps `where` from being a filter of `table`; None where nothing is known to. `macros` are names of the project's own functions.

    Nothing is claimed of tables whose `columns` aren't known, nor of types where not all are.
    """
    has_all_types = True

    def stand_in(name: TableName) -> Node:
        nonlocal has_all_types
        known = columns(name)
        if not known:
            raise _Unknown
        has_all_types = has_all_types and all(type_name is not None for type_name in known.values())
        cells = (f"{'NULL' if type_name is None else f'CAST(NULL AS {type_name})'} AS {quote(column)}" for column, type_name in known.items())
        return query_of(f"SELECT {', '.join(cells)}")

    walk = Walk("system", stand_in, "somebody", ("a group",))
    try:
        text = to_sql(walk.query(query_of(f"SELECT 1 FROM {table.sql} WHERE (\n{where}\n)")))
        refused = sorted(name for name in walk.called - macros if name in functions.REFUSED or name.startswith(functions.REFUSED_PREFIXES))
        if refused:
            return FilterFault(f"calls {refused[0]}(), which nobody but the owner may", is_of_table=False)
        if text is not None:
            describe_query(connection, text)
    except (_Unknown, TableNotFound):
        return None
    except StatementRefused as error:
        return FilterFault(f"is refused: {error.what}", is_of_table=False)
    except HeadwaterError as error:
        said = error.found or error.what
        if missing := missing_column(said):
            return FilterFault(f"names {missing}, and there is no such column", is_of_table=True)
        if unknown := _NO_FUNCTION.search(said):
            is_macro = unknown[1].lower() in macros
            return None if is_macro else FilterFault(f"calls {unknown[1]}(), and there is no such function", is_of_table=False)
        why = _KIND.sub("", said.splitlines()[0]).rstrip(".!")
        return FilterFault(f"can't be computed ({why})", is_of_table=True) if has_all_types else None
    return None
