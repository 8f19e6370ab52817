"""A model's output columns: what is declared of them against what the query gives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from headwater.engine import Connection, describe_query
from headwater.errors import ModelOutputInvalid
from headwater.spec.models import Model, SnapshotKind
from headwater.spec.names import exclusion_of, quote
from headwater.spec.tables import Column

#: A column's name as it may stand in `sort_by`, with its order.
_ORDERED = re.compile(r'\s*("[^"]+"|\w+)(?:\s+(?:asc|desc))?(?:\s+nulls\s+(?:first|last))?\s*', re.IGNORECASE)


def find_column(name: str, columns: Sequence[Column]) -> Column | None:
    """The column of that name, in any case."""
    return next((column for column in columns if column.name.lower() == name.lower()), None)


def need_column(model: Model, role: str, name: str, columns: Sequence[Column]) -> Column:
    """The output column that the definition names as its `role`. Raises ModelOutputInvalid."""
    column = find_column(name, columns)
    if column is None:
        raise ModelOutputInvalid(
            f"{model.name} gives no column {name!r}, which its definition names ({role})",
            expected=f"one of {', '.join(c.name for c in columns)}",
            hint=_did_you_mean(name, columns),
        )
    return column


def output_columns(connection: Connection, model: Model, query: str) -> list[Column]:
    """The columns of the model's query. Raises ModelOutputInvalid where two have one name, or a declared one is missing."""
    columns = describe_query(connection, query)
    seen: dict[str, str] = {}
    for column in columns:
        if column.name.lower() in seen:
            raise ModelOutputInvalid(
                f"{model.name} gives two columns named {column.name!r}",
                expected="names that differ by more than case",
                hint=f"name one of them with AS, or leave it out with {exclusion_of(column.name)}",
            )
        seen[column.name.lower()] = column.name
    require_declared(model, columns)
    return columns


def require_declared(model: Model, columns: Sequence[Column]) -> None:
    """Raises ModelOutputInvalid when a column under `columns:` isn't among those given."""
    for name in model.columns:
        need_column(model, "columns", name, columns)


def require_layout(connection: Connection, model: Model, query: str, columns: Sequence[Column] | None) -> None:
    """Raises ModelOutputInvalid when `sort_by` or `partition_by` names a column that the query doesn't give. `columns` are its, where known."""
    if not model.sort_by and not model.partition_by:
        return
    known = list(output_columns(connection, model, query) if columns is None else columns)
    if isinstance(model.kind, SnapshotKind):
        known += [Column(name, "TIMESTAMP") for name in (model.kind.valid_from, model.kind.valid_to)]
    for role, items in (("sort_by", model.sort_by), ("partition_by", model.partition_by)):
        for item in items:
            named = _ORDERED.fullmatch(item)
            if named is not None and find_column(item, known) is None:
                need_column(model, role, named[1].strip('"'), known)


def declares_types(model: Model) -> bool:
    return any(column.type for column in model.columns.values())


def with_declared_types(model: Model, query: str, columns: Sequence[Column]) -> str:
    """The query with columns cast to the types that the definition declares; the query itself when it declares none."""
    if not declares_types(model):
        return query
    declared = {name.lower(): column.type for name, column in model.columns.items() if column.type}
    parts = []
    for column in columns:
        type_name, name = declared.get(column.name.lower()), quote(column.name)
        parts.append(f"CAST({name} AS {type_name}) AS {name}" if type_name else name)
    return f"SELECT {', '.join(parts)}\nFROM (\n{query}\n)"


def described(model: Model, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns with the descriptions and labels of the definition."""
    known = {name.lower(): column for name, column in model.columns.items()}
    found = []
    for column in columns:
        said = known.get(column.name.lower())
        found.append(Column(column.name, column.type, column.nullable, said.description, said.labels) if said else column)
    return tuple(found)


def renames(model: Model, existing: Sequence[Column], columns: Sequence[Column]) -> dict[str, str]:
    """Old names to new ones: columns with `renamed_from`, where the table still has the old name and not yet the new one."""
    found = {}
    for name, column in model.columns.items():
        old = find_column(column.renamed_from, existing) if column.renamed_from else None
        new = find_column(name, columns)
        if old is not None and new is not None and find_column(name, existing) is None and find_column(old.name, columns) is None:
            found[old.name] = new.name
    return found


def _did_you_mean(name: str, columns: Sequence[Column]) -> str | None:
    near = difflib.get_close_matches(name.lower(), [column.name.lower() for column in columns], 1)
    found = find_column(near[0], columns) if near else None
    return f"did you mean {found.name!r}?" if found else None
