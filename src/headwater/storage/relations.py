"""The SQL that stands for a table: as published, at head, at a snapshot, or as a change will leave it."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.engine.literals import bind_parameters
from headwater.spec.names import TableName, quote, quote_literal
from headwater.spec.tables import Column
from headwater.storage.changes import NEVER_PUBLISHED, Definition, DeleteAll, DeleteKeys, DeleteWhere, TableChange, TableState
from headwater.storage.evolution import RenameColumn, ReplaceColumn, plan_evolution


def select_at(database: str, table: TableName, columns: Sequence[Column], snapshot: int | None) -> str:
    """SELECT text for the physical table at `snapshot`; None for whatever the reading transaction sees. No columns means all, in the lake's order."""
    listed = ", ".join(quote(column.name) for column in columns) or "*"
    version = "" if snapshot is None else f" AT (VERSION => {snapshot})"
    return f"SELECT {listed} FROM {quote(database)}.{table.sql}{version}"


def published_definition(state: TableState) -> Definition:
    """The definition that readers see: the pinned one while the table is pinned."""
    return state.published_definition or state.definition


def published_columns(state: TableState) -> tuple[Column, ...]:
    """The columns that readers see."""
    return state.columns if state.published_columns is None else state.published_columns


def is_visible(state: TableState) -> bool:
    """Whether readers see anything of the table."""
    return state.published_snapshot != NEVER_PUBLISHED and not state.is_retired


def select_future(database: str, change: TableChange, known: TableState | None, snapshot: int) -> str:
    """SELECT text for the table as `change` will leave it: its rows at `snapshot` (the one `known` is of) less the deletes, and the staged ones.

    It goes on saying the same when the change is committed.
    """
    staged = change.staged
    wanted = change.columns or (staged.columns if staged else ()) or (known.columns if known else ())
    has_rows = known is not None and bool(known.columns) and known.definition.kind != "view"
    if not has_rows or known is None:
        return _staged_as(change, wanted) if staged else _empty(wanted)
    is_rebuild = isinstance(change.delete, DeleteAll)
    evolution = plan_evolution(change.table, known.columns, wanted, renames=change.renames, is_rebuild=is_rebuild, allow_drop=change.allow_drop)
    if is_rebuild:
        return _staged_as(change, evolution.columns) if staged else _empty(evolution.columns)
    old_names = {step.new.lower(): step.old for step in evolution.steps if isinstance(step, RenameColumn)}
    replaced = {step.name.lower() for step in evolution.steps if isinstance(step, ReplaceColumn) and not step.keeps_values}
    have = {column.name.lower() for column in known.columns}
    parts = []
    for column in evolution.columns:
        old = old_names.get(column.name.lower(), column.name)
        source = quote(old) if old.lower() in have and column.name.lower() not in replaced else "NULL"
        parts.append(f"CAST({source} AS {column.type}) AS {quote(column.name)}")
    head = f"SELECT {', '.join(parts)} FROM {quote(database)}.{known.table.sql} AT (VERSION => {snapshot})"
    names = ", ".join(quote(column.name) for column in evolution.columns)
    match change.delete:
        case DeleteKeys(columns, keys):
            same = " AND ".join(f"t.{quote(column)} IS NOT DISTINCT FROM k.{quote(column)}" for column in columns)
            head = f"SELECT {names} FROM ({head}) t ANTI JOIN {keys.relation} k ON {same}"
        case DeleteWhere(condition, parameters):
            head = f"SELECT {names} FROM ({head}) t WHERE NOT coalesce(({bind_parameters(condition, parameters)}), false)"
        case _:
            pass
    return f"{head} UNION ALL {_staged_as(change, evolution.columns)}" if staged else head


def select_changes(database: str, table: TableName, first: int, last: int, *, sign: int, are_additions: bool) -> str:
    """SELECT text for what the commits `first` to `last` changed, with `hw_sign`: `sign` for rows that came, its opposite for those that went."""
    arguments = f"{quote_literal(database)}, {quote_literal(table.schema)}, {quote_literal(table.name)}, {first}, {last}"
    if are_additions:
        return f"SELECT *, {sign} AS hw_sign FROM ducklake_table_insertions({arguments})"
    came = "change_type IN ('insert', 'update_postimage')"
    return f"SELECT *, CASE WHEN {came} THEN {sign} ELSE {-sign} END AS hw_sign FROM ducklake_table_changes({arguments})"


def select_coming_changes(database: str, change: TableChange, known: TableState | None, snapshot: int) -> str:
    """SELECT text for what `change` will do to the table's rows at `snapshot` (the one `known` is of), with `hw_sign`."""
    wanted = change.columns or (change.staged.columns if change.staged else ()) or (known.columns if known else ())
    parts = [f"SELECT *, 1 AS hw_sign FROM ({_staged_as(change, wanted) if change.staged else _empty(wanted)})"]
    if known is not None and known.columns and known.definition.kind != "view" and change.delete is not None:
        have = {column.name.lower(): column.name for column in known.columns}
        listed = ", ".join(
            f"CAST({quote(have[column.name.lower()]) if column.name.lower() in have else 'NULL'} AS {column.type}) AS {quote(column.name)}"
            for column in wanted
        )
        rows = f"FROM ({select_at(database, known.table, (), snapshot)}) t"
        match change.delete:
            case DeleteKeys(columns, keys):
                same = " AND ".join(f"t.{quote(column)} IS NOT DISTINCT FROM k.{quote(column)}" for column in columns)
                rows += f" WHERE EXISTS (SELECT 1 FROM {keys.relation} k WHERE {same})"
            case DeleteWhere(condition, parameters):
                rows += f" WHERE ({bind_parameters(condition, parameters)})"
            case _:
                pass
        parts.append(f"SELECT {listed}, -1 AS hw_sign {rows}")
    return " UNION ALL ".join(parts)


def _staged_as(change: TableChange, columns: Sequence[Column]) -> str:
    assert change.staged is not None
    have = {column.name.lower() for column in change.staged.columns}
    parts = []
    for column in columns:
        source = quote(column.name) if column.name.lower() in have else "NULL"
        parts.append(f"CAST({source} AS {column.type}) AS {quote(column.name)}")
    return f"SELECT {', '.join(parts)} FROM {change.staged.relation}"


def _empty(columns: Sequence[Column]) -> str:
    parts = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in columns) or "NULL"
    return f"SELECT {parts} WHERE false"
