"""Turning good rows into what a commit does to the table: rows staged, rows deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headwater.engine import Connection
from headwater.ingestion import dispositions as sql
from headwater.ingestion.contract import VALID_FROM, VALID_TO, LoadPlan
from headwater.ingestion.cursor import TIMES
from headwater.ingestion.scd2 import History
from headwater.ingestion.types import TIMESTAMPTZ
from headwater.spec.names import FILE_COLUMN, LOAD_ID_COLUMN, LOADED_AT_COLUMN, TableName, quote, quote_literal
from headwater.spec.tables import Column
from headwater.storage.changes import Delete, DeleteAll, DeleteKeys, DeleteWhere, Staged, TableState
from headwater.storage.evolution import plan_evolution
from headwater.storage.lake import Lake


@dataclass(slots=True)
class Bench:
    """Everything one load has staged, so that nothing is left behind. For one thread."""

    lake: Lake
    connection: Connection
    table: TableName
    sort_by: tuple[str, ...] = ()
    staged: list[Staged] = field(default_factory=list)

    def stage(self, query: str, *, as_files: bool | None = None, is_final: bool = False) -> Staged:
        staged = self.lake.stage(self.connection, self.table, query, as_files=as_files, sort_by=self.sort_by if is_final else ())
        self.staged.append(staged)
        return staged

    def scalar(self, query: str) -> int:
        return int(self.connection.execute(query).scalar() or 0)

    def drop_all_but(self, kept: Sequence[Staged | None]) -> None:
        """Drops what no commit will use."""
        for staged in self.staged:
            if not any(staged is item for item in kept):
                self.lake.drop_staged(staged)
        self.staged.clear()


@dataclass(frozen=True, slots=True)
class Current:
    """The stored rows as the plan sees them: renamed and cast, columns that are new null. `known` are the columns that were stored before."""

    relation: str
    known: tuple[str, ...]


def current_rows(
    lake: Lake, state: TableState | None, plan: LoadPlan, extra: Sequence[tuple[str, str]], without_files: Sequence[str]
) -> Current | None:
    """The table's head, without the rows of `without_files`; None when there is none. `extra` are technical columns with their types."""
    if state is None or not state.columns:
        return None
    stored = {column.name.lower(): column for column in state.columns}
    old_names = {new.lower(): old for old, new in plan.renames.items()}
    selected, known = [], []
    for name, type_name in (*((column.name, column.type) for column in plan.columns), *extra):
        column = stored.get(old_names.get(name.lower(), name).lower())
        if column is None:
            selected.append(f"NULL::{type_name} AS {quote(name)}")
            continue
        known.append(name)
        value = quote(column.name) if column.type == type_name else f"CAST({quote(column.name)} AS {type_name})"
        selected.append(f"{value} AS {quote(name)}")
    where = ""
    if without_files and FILE_COLUMN in stored:
        where = f" WHERE {FILE_COLUMN} IS NULL OR {FILE_COLUMN} NOT IN ({', '.join(quote_literal(file) for file in without_files)})"
    return Current(f"(SELECT {', '.join(selected)} FROM ({lake.head_sql(state.table)}){where})", tuple(known))


def refuse_impossible_types(state: TableState, plan: LoadPlan) -> None:
    """Raises EvolutionRefused where stored rows that stay can't take the plan's types: before their values are cast to them."""
    wanted = [Column(column.name, column.type) for column in plan.columns]
    plan_evolution(state.table, state.columns, wanted, renames=plan.renames, is_rebuild=False, allow_drop=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """Good rows and how they are to be applied. `as_staged` is set where `relation` is exactly that, so that it needn't be written again.

    `is_counted`: the source may give the same rows again (it keeps no list of what was read), so what is there already is left out.
    """

    relation: str
    as_staged: Staged | None
    plan: LoadPlan
    key: tuple[str, ...]
    cursor: str | None
    deleted: str | None
    output: tuple[str, ...]
    is_counted: bool
    has_doubled_keys: bool
    replaced_files: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        return [column.name for column in self.plan.columns]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`staged` None: no row is written. `keys` is what `delete` refers to, where that isn't `staged`."""

    staged: Staged | None = None
    delete: Delete | None = None
    rows_deleted: int = 0


def apply_rebuild(bench: Bench, batch: Batch) -> Outcome:
    """All rows are replaced."""
    return Outcome(_final(bench, batch, _deduplicated(batch), drop_deleted=True), DeleteAll())


def apply_replace(bench: Bench, batch: Batch, current: Current | None, *, columns_change: bool) -> Outcome:
    """As a rebuild, unless the content is just what is stored."""
    good = _deduplicated(batch)
    if current is not None and not columns_change:
        before, after = (bench.connection.execute(sql.content_fingerprint(r, batch.columns)).fetchone() for r in (current.relation, good))
        if before == after:
            return Outcome()
    return Outcome(_final(bench, batch, good), DeleteAll() if current is not None else None)


def apply_append(bench: Bench, batch: Batch, current: Current | None) -> Outcome:
    """Adds what isn't there. Rows of files that changed give way to those files' new rows."""
    delete = _delete_files(batch) if current is not None else None
    good = _deduplicated(batch, first=True)
    query = None
    if current is not None and batch.key:
        query = sql.append_new_keys(good, current.relation, batch.key)
    elif current is not None and batch.is_counted:
        cursor = batch.cursor if batch.cursor in current.known else None
        query = sql.append_new_rows(good, current.relation, [c for c in batch.columns if c in current.known], cursor)
    staged = _final(bench, batch, good) if query is None else bench.stage(_picked(batch, f"({query})"), is_final=True)
    return Outcome(staged if staged.rows else None, delete)


def apply_merge(bench: Bench, batch: Batch, current: Current | None) -> Outcome:
    """Upserts by key; rows for which `deleted_when` holds take their key away."""
    good = _deduplicated(batch)
    if current is None:
        return Outcome(_final(bench, batch, good, drop_deleted=True))
    changes = bench.stage(_picked(batch, f"({sql.merge_changes(good, current.relation, batch.key, batch.columns, batch.deleted)})"), is_final=True)
    if not changes.rows:
        return Outcome()
    stored = bench.scalar(sql.count_stored(changes.relation, current.relation, batch.key))
    if batch.deleted is None or not bench.scalar(f"SELECT count(*) FROM {changes.relation} WHERE {batch.deleted}"):
        return Outcome(changes, DeleteKeys(batch.key, changes, stored) if stored else None, stored)
    keys = bench.stage(f"SELECT {sql.listed(batch.key)} FROM {changes.relation}", as_files=False)
    upserts = bench.stage(f"SELECT * FROM {changes.relation} WHERE NOT {batch.deleted}", is_final=True)
    return Outcome(upserts if upserts.rows else None, DeleteKeys(batch.key, keys, stored), stored)


def valid_type(cursor_type: str | None) -> str:
    """The type of `valid_from` and `valid_to`: that of a time cursor (a date becomes a timestamp), else a timestamp with time zone."""
    if cursor_type == "DATE":
        return "TIMESTAMP"
    return cursor_type if cursor_type in TIMES else TIMESTAMPTZ


def apply_scd2(bench: Bench, batch: Batch, current: Current | None, *, loaded_at: datetime, closes_vanished: bool) -> Outcome:
    """Versions by key: see `scd2`."""
    cursor_type = batch.plan.type_of(batch.cursor) if batch.cursor else None
    dates = batch.cursor if cursor_type in TIMES else None
    history = History(batch.key, tuple(batch.columns), dates, loaded_at, valid_type(cursor_type), closes_vanished)
    good = batch.relation if dates else _deduplicated(batch)
    if current is None:
        inserted = bench.stage(history.inserted(history.versions(history.dated(good, None), None, None), None), is_final=True)
        return Outcome(inserted)
    dated = history.dated(good, current.relation)
    touched = bench.stage(f"SELECT * FROM {history.touched(dated, current.relation)}", as_files=False)
    if not touched.rows:
        return Outcome()
    versions = bench.stage(f"SELECT * FROM {history.versions(dated, current.relation, touched.relation)}")
    inserted = bench.stage(history.inserted(versions.relation, current.relation), is_final=True)
    removed = bench.stage(history.removed(versions.relation, current.relation, touched.relation), as_files=False)
    delete = DeleteKeys((*batch.key, VALID_FROM), removed) if removed.rows else None
    return Outcome(inserted if inserted.rows else None, delete, removed.rows)


def _deduplicated(batch: Batch, *, first: bool = False) -> str:
    """One row per key; the batch itself where there is no key, or (the usual case) no key comes twice."""
    if not batch.has_doubled_keys:
        return batch.relation
    return sql.one_per_key(batch.relation, batch.key, batch.cursor, first=first)


def _picked(batch: Batch, relation: str) -> str:
    return f"SELECT {sql.listed(batch.output)} FROM {relation}"


def _final(bench: Bench, batch: Batch, good: str, *, drop_deleted: bool = False) -> Staged:
    """The rows as they are committed: what is staged already, if nothing has to be left out of it."""
    has_deleted = drop_deleted and batch.deleted is not None and bench.scalar(f"SELECT count(*) FROM {good} WHERE {batch.deleted}") > 0
    if batch.as_staged is not None and good == batch.relation and not has_deleted:
        return batch.as_staged
    where = f" WHERE NOT {batch.deleted}" if has_deleted else ""
    return bench.stage(_picked(batch, good) + where, as_files=None if bench.scalar(f"SELECT count(*) FROM {good}") < 1000 else True, is_final=True)


def _delete_files(batch: Batch) -> Delete | None:
    if not batch.replaced_files:
        return None
    marks = ", ".join("?" for _ in batch.replaced_files)
    return DeleteWhere(f"{FILE_COLUMN} IN ({marks})", batch.replaced_files)


def technical_types(*, with_file: bool, history_type: str | None) -> list[tuple[str, str]]:
    """The columns the plan doesn't name, with their types."""
    valid = [(VALID_FROM, history_type), (VALID_TO, history_type)] if history_type else []
    file = [(FILE_COLUMN, "VARCHAR")] if with_file else []
    return [*valid, *file, (LOAD_ID_COLUMN, "VARCHAR"), (LOADED_AT_COLUMN, TIMESTAMPTZ)]
