"""Building one model: its query, made into the change of its table."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import assert_never

from headwater.engine import Connection, Workspace, parse_tree
from headwater.errors import Interrupted, Location, ModelOutputInvalid, QueryError
from headwater.spec.counting import plural
from headwater.spec.lineage import Lineage
from headwater.spec.models import IncrementalKind, Model, SnapshotKind, TableKind, ViewKind
from headwater.spec.names import quote
from headwater.spec.runs import Operation
from headwater.spec.tables import Column
from headwater.storage import Lake
from headwater.storage.changes import Delete, DeleteAll, DeleteKeys, DeleteWhere, LoadRecord, Staged, TableChange
from headwater.transformation import kinds
from headwater.transformation.context import BuildContext
from headwater.transformation.definitions import definition_of, settled
from headwater.transformation.output import (
    declares_types,
    described,
    find_column,
    output_columns,
    renames,
    require_declared,
    require_layout,
    with_declared_types,
)
from headwater.transformation.python_models import python_query

_PIVOT = re.compile(r"\bpivot\b", re.IGNORECASE)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ModelQuery:
    """A model as a query on a workspace's connection. `columns` is None where nobody needed them yet."""

    sql: str
    columns: tuple[Column, ...] | None
    lineage: Lineage | None
    is_streamed: bool = False
    existing: kinds.Existing | None = field(default=None)


def build_model(lake: Lake, workspace: Workspace, model: Model, context: BuildContext) -> TableChange:
    """Computes a model in the workspace, stages what it gives, and says what to commit. The lake itself is not changed.

    A view stages nothing. A table is replaced whole; an incremental from its bound on (whole the first time, after a change of its code, and
    with `full_refresh`); a snapshot gets the versions that changed (its history can't be made anew, so `full_refresh` leaves it alone). The
    change publishes "now": the caller replaces `publish`, `reason` and `verdicts` when it knows better. Building again from the same state
    gives the same change.

    Raises ModelOutputInvalid, UserCodeError, Interrupted, and the errors of SQL with the model's file as their location.
    """
    with located(model), workspace.connection() as connection:
        context.on_connection(connection)
        with model_query(connection, workspace, model, context) as query:
            if isinstance(model.kind, ViewKind):
                return _view_change(model, query, context)
            require_layout(connection, model, query.sql, query.columns)
            outcome = plan(connection, lake, model, query, context)
            staged = None
            if not (outcome.is_unchanged and _has_columns(query, context)):
                _stop_if_cancelled(context)
                staged = lake.stage(connection, model.name, outcome.query, as_files=True if query.is_streamed else None, sort_by=model.sort_by)
            try:
                return _change(connection, model, query, outcome, staged, context)
            except BaseException:
                if staged is not None:
                    lake.drop_staged(staged)
                raise


def kept_columns(workspace: Workspace, model: Model, context: BuildContext) -> frozenset[str]:
    """The columns, in lower case, that the table of the model has by today's query. The query isn't run."""
    with located(model), workspace.connection() as connection:
        context.on_connection(connection)
        with model_query(connection, workspace, model, context) as query:
            columns = query.columns or output_columns(connection, model, query.sql)
            return frozenset(column.name.lower() for column in columns) | _history_columns(model)


def _history_columns(model: Model) -> frozenset[str]:
    """The columns, in lower case, that a snapshot's table has beside those of the query."""
    kind = model.kind
    return frozenset((kind.valid_from.lower(), kind.valid_to.lower())) if isinstance(kind, SnapshotKind) else frozenset()


@contextmanager
def model_query(connection: Connection, workspace: Workspace, model: Model, context: BuildContext) -> Iterator[ModelQuery]:
    """The model as a query to run on `connection` while inside. Python models are called here."""
    if model.language == "python":
        with python_query(connection, workspace, model, context.project_dir, context.on_connection) as output:
            _stop_if_cancelled(context)
            lineage = output.lineage or context.lineage or Lineage.conservative(frozenset(model.arguments.values()), "it is computed in Python")
            yield typed_query(connection, model, output.sql, lineage, is_streamed=output.is_streamed)
    else:
        yield typed_query(connection, model, _computed_first(connection, model), context.lineage)


def _has_columns(query: ModelQuery, context: BuildContext) -> bool:
    """Whether the table has all columns of the query under their present names already."""
    assert query.columns is not None
    assert context.state is not None
    return all(find_column(column.name, context.state.columns) is not None for column in query.columns)


def _computed_first(connection: Connection, model: Model) -> str:
    """The model's SQL; for a PIVOT without IN, which DuckDB runs as several statements and can't nest everywhere, a query on its result."""
    if not _PIVOT.search(model.sql) or parse_tree(model.sql) is not None:
        return model.sql
    if isinstance(model.kind, ViewKind):
        raise ModelOutputInvalid(
            f"{model.name} is a view over a PIVOT without IN, whose columns depend on the rows", expected="kind table, or PIVOT .. ON column IN (..)"
        )
    name = f"hw_pivot_{next(_numbers)}"
    connection.execute(f"CREATE TEMP TABLE {name} AS\n{model.sql}")
    return f"SELECT * FROM temp.{name}"


def plan(connection: Connection, lake: Lake, model: Model, query: ModelQuery, context: BuildContext) -> kinds.Outcome:
    """What the model's kind makes of its query, given what the table holds."""
    match model.kind:
        case TableKind():
            return kinds.plan_table(query.sql)
        case IncrementalKind():
            assert query.columns is not None
            loaded_at = context.state.load.started_at if context.state is not None and context.state.load is not None else None
            existing = None if _is_built_whole(context) else existing_rows(lake, model, query.columns, context)
            return kinds.plan_incremental(connection, model, query.sql, query.columns, existing, interval=context.interval, loaded_at=loaded_at)
        case SnapshotKind():
            assert query.columns is not None
            existing = existing_rows(lake, model, query.columns, context)
            return kinds.plan_snapshot(connection, model, query.sql, query.columns, existing, clock=context.started_at)
        case ViewKind():
            raise AssertionError("a view has no rows")
        case _:
            assert_never(model.kind)


def existing_rows(lake: Lake, model: Model, columns: tuple[Column, ...], context: BuildContext) -> kinds.Existing | None:
    """The rows at the table's head, columns under their new names; None when there is no such table of this kind."""
    state = context.state
    if state is None or state.is_retired or state.definition.kind != model.kind.type or not state.columns:
        return None
    renamed = renames(model, state.columns, columns)
    selected = ", ".join(quote(c.name) if c.name not in renamed else f"{quote(c.name)} AS {quote(renamed[c.name])}" for c in state.columns)
    found = tuple(Column(renamed.get(column.name, column.name), column.type, column.nullable) for column in state.columns)
    if context.allow_drop:
        wanted = {column.name.lower() for column in columns} | _history_columns(model)
        found = tuple(column for column in found if column.name.lower() in wanted)
    return kinds.Existing(f"(SELECT {selected} FROM ({lake.head_sql(model.name)}))", found)


def _is_built_whole(context: BuildContext) -> bool:
    """Whether older rows can't be kept: they were made by other code, or it is asked for."""
    return context.full_refresh or context.state is None or context.state.definition.fingerprint != context.fingerprint


def typed_query(connection: Connection, model: Model, sql: str, lineage: Lineage | None, *, is_streamed: bool = False) -> ModelQuery:
    """The query with declared types. Its columns are looked up where the kind or the definition needs them; staging looks at them anyway."""
    if isinstance(model.kind, TableKind) and not declares_types(model):
        return ModelQuery(sql, None, lineage, is_streamed)
    columns = output_columns(connection, model, sql)
    if declares_types(model):
        sql = with_declared_types(model, sql, columns)
        columns = output_columns(connection, model, sql)
    return ModelQuery(sql, tuple(columns), lineage, is_streamed)


def _view_change(model: Model, query: ModelQuery, context: BuildContext) -> TableChange:
    if model.language == "python":
        raise ModelOutputInvalid(f"{model.name} is a Python model and can't be a view", expected="kind table, incremental or snapshot")
    assert query.columns is not None
    return TableChange(
        table=model.name,
        definition=definition_of(model, context.fingerprint, settled(model, query.lineage, query.columns), sql=query.sql),
        load=_load(context, "view"),
        token=context.token,
        columns=described(model, query.columns),
    )


def _change(
    connection: Connection, model: Model, query: ModelQuery, outcome: kinds.Outcome, staged: Staged | None, context: BuildContext
) -> TableChange:
    state = context.state
    if staged is not None:
        require_declared(model, staged.columns)
        if outcome.unique_key:
            require_unique(connection, model, outcome.unique_key, staged.relation)
    if staged is not None:
        columns = staged.columns
    elif state is not None and context.allow_drop:
        assert query.columns is not None
        kept = {column.name.lower() for column in query.columns} | _history_columns(model)
        columns = tuple(column for column in state.columns if column.name.lower() in kept)
    else:
        columns = state.columns if state is not None else ()
    return TableChange(
        table=model.name,
        definition=definition_of(model, context.fingerprint, settled(model, query.lineage, columns)),
        load=_load(context, "build", staged, outcome.interval),
        token=context.token,
        staged=staged,
        delete=_delete(outcome, staged),
        columns=described(model, columns),
        partition_by=model.partition_by,
        sort_by=model.sort_by,
        renames=renames(model, state.columns, columns) if state is not None else {},
        allow_drop=context.allow_drop,
    )


def _delete(outcome: kinds.Outcome, staged: Staged | None) -> Delete | None:
    if staged is None or outcome.delete is None:
        return None
    match outcome.delete:
        case kinds.DeleteAllRows():
            return DeleteAll()
        case kinds.DeleteRange(condition=condition):
            return DeleteWhere(condition)
        case kinds.DeleteMatching(columns=columns):
            return DeleteKeys(columns, staged)
        case _:
            assert_never(outcome.delete)


def _load(context: BuildContext, operation: Operation, staged: Staged | None = None, interval: tuple[str, str] | None = None) -> LoadRecord:
    return LoadRecord(
        load_id=context.load_id,
        operation=operation,
        run_id=context.run_id,
        started_at=context.started_at,
        rows_written=staged.rows if staged is not None else 0,
        size_bytes=staged.size_bytes if staged is not None else 0,
        inputs={str(table): snapshot for table, snapshot in context.inputs.items()},
        fingerprint=context.fingerprint,
        clock=context.clock,
        interval=interval,
    )


def require_unique(connection: Connection, model: Model, key: tuple[str, ...], relation: str) -> None:
    """Raises ModelOutputInvalid when several rows of the relation have one key (nulls are equal)."""
    keys = ", ".join(quote(name) for name in key)
    doubled = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM {relation} GROUP BY {keys} HAVING count(*) > 1)").scalar()
    if doubled:
        raise ModelOutputInvalid(
            f"{model.name} gives several rows for one unique_key ({', '.join(key)})",
            expected="one row a key",
            found=f"{plural(doubled, 'key')} with more than one row",
            state="nothing was committed",
            hint="make the rows unique in the model's SQL, with QUALIFY row_number() OVER (..) = 1 for example",
        )


def _stop_if_cancelled(context: BuildContext) -> None:
    if context.is_cancelled():
        raise Interrupted("the build was cancelled", state="nothing was committed")


@contextmanager
def located(model: Model) -> Iterator[None]:
    """Inside it, errors of SQL leave with the model's file as their location."""
    try:
        yield
    except (QueryError, ModelOutputInvalid) as error:
        if error.location is None:
            error.location = Location(model.path, model.sql_line if model.language == "sql" else None)
        raise
