"""Python models: tables handed in as what the function asks for, what it returns made readable by SQL."""

from __future__ import annotations

import dis
import importlib.util
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from headwater.engine import Connection, Workspace, describe_query, tables_named
from headwater.engine.failures import translated
from headwater.errors import HeadwaterError, MissingDependency, ModelOutputInvalid, SqlBindError, SqlSyntaxError
from headwater.project.lineage import derive_lineage
from headwater.project.python_models import importable, load_function, user_code_error
from headwater.spec.lineage import Lineage
from headwater.spec.models import Model
from headwater.spec.names import TableName, quote
from headwater.spec.python import TableInput

if TYPE_CHECKING:
    import pyarrow as pa

_numbers = itertools.count(1)
_EXPECTED = "a DuckDB relation, a pyarrow Table, RecordBatchReader or iterator of RecordBatches, or a Polars or pandas frame"
#: What takes rows out of a relation into Python. A function that uses one of these may put values into its SQL, which the SQL doesn't tell.
_FETCHING = frozenset(
    {
        "fetchall",
        "fetchone",
        "fetchmany",
        "fetchnumpy",
        "fetchdf",
        "fetch_df",
        "fetch_arrow_table",
        "fetch_record_batch",
        "df",
        "to_df",
        "pl",
        "arrow",
    }
    | {"to_arrow_table", "to_arrow_reader", "record_batch", "torch", "tf", "execute"}
)
#: In a relation's SQL: it reads Python objects, by their addresses.
_PYTHON_SCANS = ("arrow_scan(", "arrow_scan_dumb(", "pandas_scan(", "python_map_function(")


@dataclass(frozen=True, slots=True)
class PythonOutput:
    """A query that reads what the function returned, on the connection it was called with. `lineage` is None where only a conservative one is known.

    `is_streamed` output can be read once, and comes batch by batch.
    """

    sql: str
    lineage: Lineage | None = None
    is_streamed: bool = False


@contextmanager
def python_query(
    connection: Connection, workspace: Workspace, model: Model, project_dir: Path, on_connection: Callable[[Connection], None] = lambda _: None
) -> Iterator[PythonOutput]:
    """Calls a Python model; what it returned can be queried on `connection` while inside. Its relations live on another, handed to `on_connection`.

    Raises UserCodeError with the frames of the user's files when the function (or a generator it returned, while it is read) raises;
    ModelOutputInvalid when what it returned is no table; MissingDependency when a frame library isn't installed.
    """
    project_dir = project_dir.resolve()
    function = load_function(project_dir, model)
    guard = _Guard(model, project_dir)
    with ExitStack() as stack:
        lazy = stack.enter_context(workspace.connection())  # what a function returns may read its relations while the output is being read
        on_connection(lazy)
        arguments = {name: _hand_over(lazy, workspace, given, stack) for name, given in _inputs(function).items()}
        # modules of the project can be imported inside the function too; only then others must wait
        with guard, importable(project_dir) if _imports(function.__code__) else nullcontext():
            returned = function(**arguments)
        name = f"hw_output_{next(_numbers)}"
        if type(returned).__name__ == "DuckDBPyRelation":
            output = _of_relation(connection, workspace, returned, name, model, function, stack)
        else:
            output = _of_arrow(connection, _as_arrow(returned, model, guard), name, stack)
        try:
            yield output
        except HeadwaterError:
            guard.raise_kept()
            raise


class _Guard:
    """The boundary around user code: what it raises becomes a UserCodeError."""

    def __init__(self, model: Model, project_dir: Path) -> None:
        self._model = model
        self._project_dir = project_dir
        self._kept: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (Exception, SystemExit)) and not isinstance(error, HeadwaterError):
            raise self._translated(error) from error

    def batches(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items of a user's iterator. What it raises is kept, since DuckDB reads it and would tell only its text."""
        try:
            yield from items
        except (Exception, SystemExit) as error:
            self._kept = error
            raise

    def raise_kept(self) -> None:
        if isinstance(self._kept, HeadwaterError):
            raise self._kept
        if self._kept is not None:
            raise self._translated(self._kept) from self._kept

    def _translated(self, error: BaseException) -> HeadwaterError:
        return user_code_error(error, self._project_dir, f"{self._model.name} ({self._model.path}) raised")


def _inputs(function: Callable[..., Any]) -> dict[str, TableInput]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if isinstance(parameter.default, TableInput)}


def _hand_over(connection: Connection, workspace: Workspace, given: TableInput, stack: ExitStack) -> Any:
    select = f"SELECT * FROM {given.name.sql}"
    match given.as_:
        case "arrow":
            return connection.execute(select).arrow()
        case "batches":
            own = stack.enter_context(workspace.connection())  # a stream ends when its connection runs something else
            return own.execute(select).batches()
        case "polars" | "pandas":
            if importlib.util.find_spec(given.as_) is None:
                raise MissingDependency(f"{given.as_} isn't installed, and a model asks for its frames", hint="pip install headwater[frames]")
            with translated():
                relation = connection.relation(select)
                return relation.pl() if given.as_ == "polars" else relation.df()
        case _:
            return connection.relation(select)


def _of_relation(
    connection: Connection, workspace: Workspace, relation: Any, name: str, model: Model, function: Callable[..., Any], stack: ExitStack
) -> PythonOutput:
    _require_names(model, [str(column) for column in relation.columns])
    if _may_mean_others(relation):
        return _of_own_connection(connection, relation, name, stack)
    stack.callback(connection.execute, f"DROP VIEW IF EXISTS {name}")
    with translated():
        relation.create_view(name)
    try:
        describe_query(connection, f"SELECT * FROM {name}")
    except SqlBindError:  # it is a relation of another DuckDB than ours, or reads what only its own connection has
        return _of_own_connection(connection, relation, f"{name}_rows", stack)
    return PythonOutput(f"SELECT * FROM {name}", _lineage_of_relation(connection, workspace, relation, model, function))


def _may_mean_others(relation: Any) -> bool:
    """Whether a name in its SQL may be another table's on our connection, as that of `rows.query('o', 'SELECT .. FROM o')`, a view of its own one."""
    try:
        return any(len(parts) == 1 for parts in tables_named(str(relation.sql_query())))
    except SqlSyntaxError:
        return True


def _of_own_connection(connection: Connection, relation: Any, name: str, stack: ExitStack) -> PythonOutput:
    """Read on the relation's own connection, where all its names mean what they meant to the function."""
    with translated():
        return _of_arrow(connection, relation.to_arrow_reader(), name, stack)


def _of_arrow(connection: Connection, data: Any, name: str, stack: ExitStack) -> PythonOutput:
    import pyarrow as pa

    connection.register(name, data)
    stack.callback(connection.unregister, name)
    return PythonOutput(f"SELECT * FROM {name}", is_streamed=isinstance(data, pa.RecordBatchReader))


def _as_arrow(returned: Any, model: Model, guard: _Guard) -> pa.Table | pa.RecordBatchReader:
    import pyarrow as pa

    library = type(returned).__module__.partition(".")[0]
    data: pa.Table | pa.RecordBatchReader
    if isinstance(returned, pa.RecordBatch):
        data = pa.Table.from_batches([returned])
    elif isinstance(returned, pa.Table):
        data = returned
    elif isinstance(returned, pa.RecordBatchReader):
        data = pa.RecordBatchReader.from_batches(returned.schema, guard.batches(returned))
    elif library == "polars" and hasattr(returned, "collect"):
        with guard:  # a lazy frame runs the user's expressions now
            data = returned.collect().to_arrow()
    elif library == "polars" and hasattr(returned, "to_arrow") and hasattr(returned, "columns"):
        data = returned.to_arrow()
    elif library == "pandas" and hasattr(returned, "columns"):
        data = _of_pandas(returned, model)
    elif isinstance(returned, (list, tuple)) or hasattr(returned, "__next__"):
        data = _of_batches(returned, model, guard)
    else:
        raise ModelOutputInvalid(
            f"{model.name} ({model.path}) returned no table",
            expected=_EXPECTED,
            found="nothing (None)" if returned is None else type(returned).__name__,
            hint="return the result at the end of the function",
        )
    _require_names(model, data.schema.names)
    return data


def _of_pandas(frame: Any, model: Model) -> pa.Table:
    import pyarrow as pa

    frame = frame.rename(columns=str)
    _require_names(model, list(frame.columns))
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ModelOutputInvalid(
            f"{model.name} ({model.path}) returned a pandas frame with a column of mixed types",
            found=str(error.args[-1]) if error.args else type(error).__name__,
            hint="give each column one type with .astype(..)",
        ) from error


def _of_batches(items: Iterable[Any], model: Model, guard: _Guard) -> pa.RecordBatchReader:
    """A reader over an iterator of batches, none of which is asked for before its turn."""
    import pyarrow as pa

    def flat() -> Iterator[pa.RecordBatch]:
        for item in guard.batches(items):
            if isinstance(item, pa.Table):
                yield from item.to_batches()
            elif isinstance(item, pa.RecordBatch):
                yield item
            else:
                raise ModelOutputInvalid(
                    f"{model.name} ({model.path}) gave something else than a batch", expected=_EXPECTED, found=type(item).__name__
                )

    stream = flat()
    try:
        first = next(stream)
    except StopIteration:
        raise ModelOutputInvalid(
            f"{model.name} ({model.path}) gave no batch at all, so its columns aren't known",
            expected="at least one batch, which may have no rows",
            hint="yield pa.RecordBatch.from_pylist([], schema=..) when there is nothing",
        ) from None
    except Exception:
        guard.raise_kept()
        raise

    def fitting() -> Iterator[pa.RecordBatch]:
        for batch in itertools.chain([first], stream):
            if not batch.schema.equals(first.schema):
                try:
                    batch = batch.cast(first.schema)
                except (pa.ArrowException, ValueError) as error:
                    raise ModelOutputInvalid(
                        f"{model.name} ({model.path}) gave batches with different columns", expected=str(first.schema), found=str(batch.schema)
                    ) from error
            yield batch

    return pa.RecordBatchReader.from_batches(first.schema, guard.batches(fitting()))


def _require_names(model: Model, names: list[str]) -> None:
    if not names:
        raise ModelOutputInvalid(f"{model.name} ({model.path}) returned a table without columns")
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ModelOutputInvalid(
                f"{model.name} ({model.path}) returned two columns named {name!r}", expected="names that differ by more than case"
            )
        seen.add(name.lower())


def _lineage_of_relation(connection: Connection, workspace: Workspace, relation: Any, model: Model, function: Callable[..., Any]) -> Lineage | None:
    """From the relation's SQL, where that tells the whole: its inputs are tables only, and the function took no rows out of them."""
    if _names_in(function.__code__) & _FETCHING:
        return None
    sql = str(relation.sql_query())
    if not sql or any(scan in sql.lower() for scan in _PYTHON_SCANS):
        return None
    given = {table.key: table for table in model.arguments.values()}
    try:
        named = {TableName(*parts[-2:]).key for parts in tables_named(sql) if len(parts) == 2 or (len(parts) == 3 and parts[0] == workspace.name)}
        if named != given.keys() or len(named) != len(tables_named(sql)):
            return None  # a table that the SQL doesn't name was used in another way

        def columns_of(table: TableName) -> list[str] | None:
            known = given.get(table.key)
            return [column.name for column in describe_query(connection, f"SELECT * FROM {known.sql}")] if known else None

        return derive_lineage(sql.replace(f"{quote(workspace.name)}.", "").replace(f"{workspace.name}.", ""), columns_of)
    except SqlSyntaxError:
        return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _names_in(code: CodeType) -> set[str]:
    return {name for part in _codes(code) for name in part.co_names}


def _imports(code: CodeType) -> bool:
    return any(instruction.opname == "IMPORT_NAME" for part in _codes(code) for instruction in dis.get_instructions(part))
