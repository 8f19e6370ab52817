"""A function of the project as a source: it yields dicts, lists of dicts, Arrow data, or frames.

`function: sources/weather.py:observations` (a file of the project) or `function: package.module:name`. The function takes what it asks for by name:
`position` (the merged position, None at first), `cursor` (the value to start from, less the lag), `options` (of source and stream, references
resolved), `connection`, `now` (the run's start) and `limit`. It may be a generator, or return any of the things it could yield, or a list of them.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.errors import HeadwaterError, SourceDataInvalid, StreamNotFound, UserCodeError
from headwater.project.imports import run_file
from headwater.sources.base import ConnectorBase
from headwater.sources.connector import Batches, Capabilities, DiscoveredColumn, DiscoveredStream, Portion, Reading, ReadRequest
from headwater.spec.sources import Stream

if TYPE_CHECKING:
    import pyarrow as pa

#: Dicts gathered into one Arrow batch.
BATCH_ROWS = 10_000
#: The decimal that a column of Python's decimals becomes, unless its first rows need more places.
_DECIMAL_DIGITS, _DECIMAL_SCALE = 38, 9
#: Rows looked at to tell the columns of a function.
_FIRST_ROWS = 100
_PARAMETERS = frozenset({"position", "cursor", "options", "connection", "now", "limit"})


class PythonConnector(ConnectorBase):
    """Runs functions of the project. An error in one is a UserCodeError with the user's frames only."""

    type: ClassVar[str] = "python"
    capabilities: ClassVar[Capabilities] = Capabilities(cursor=True)

    def check(self) -> str:
        return f"Python {sys.version.split()[0]}, functions of the project"

    def discover(self) -> list[DiscoveredStream]:
        """Public functions of the file or module that `connection` names, if it names one."""
        place = self.context.connection
        if not isinstance(place, str) or not place:
            return []
        module = self._module(place)
        functions = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        ]
        return [
            DiscoveredStream(name, (definition := {"function": f"{place}:{name}"}), self._shown(name, definition, getattr(module, name)))
            for name in sorted(functions)
        ]

    def _shown(self, name: str, definition: Mapping[str, str], function: Callable[..., Any]) -> tuple[DiscoveredColumn, ...]:
        """The columns of a generator's first rows. Other functions may do anything: they aren't run for being listed."""
        if not inspect.isgeneratorfunction(function):
            return ()
        try:
            return self.columns(ReadRequest(name, Stream.model_validate(definition), limit=_FIRST_ROWS))
        except HeadwaterError:
            return ()  # listed all the same: reading it will say what is wrong

    def columns(self, request: ReadRequest) -> tuple[DiscoveredColumn, ...]:
        """Those of the first batch: the function is run that far."""
        first = next(iter(self._batches(request)), None)
        if first is None:
            return ()
        types = self._types(first.schema)
        return tuple(DiscoveredColumn(field.name, types[field.name], field.nullable, str(field.type)) for field in first.schema)

    def read(self, request: ReadRequest) -> Reading:
        self._function(request)  # a name that isn't there is told before anything runs
        return Reading((Portion(Batches(lambda: self._batches(request)), str(request.stream.function)),))

    def _types(self, schema: pa.Schema) -> dict[str, str]:
        self.connection.register("hw_schema", schema.empty_table())
        try:
            return {row[0]: row[1] for row in self.run("DESCRIBE FROM hw_schema").fetchall()}
        finally:
            self.connection.unregister("hw_schema")

    # -- running ------------------------------------------------------------------------------------------------------------

    def _batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        function = self._function(request)
        name = f"{self.context.name}.{request.name}"
        remaining = request.limit if request.limit is not None else sys.maxsize
        items = _guarded(lambda: function(**self._arguments(function, request)), name)
        for batch in _unified(_to_batches(items, name, min(remaining, BATCH_ROWS)), name, self._declared(request)):
            chosen = _chosen(batch, request, name)
            if chosen.num_rows > remaining:
                chosen = chosen.slice(0, remaining)
            remaining -= chosen.num_rows
            yield chosen
            if remaining <= 0:
                return

    def _declared(self, request: ReadRequest) -> dict[str, pa.DataType]:
        """The Arrow types of the columns that the contract gives a type."""
        declared = {}
        for name, type_name in request.column_types.items():
            declared[name] = self.run(f"SELECT CAST(NULL AS {type_name}) AS value LIMIT 0").arrow().schema.field("value").type
        return declared

    def _arguments(self, function: Callable[..., Any], request: ReadRequest) -> dict[str, Any]:
        available = {
            "position": request.position,
            "cursor": request.cursor.start if request.cursor is not None else None,
            "options": {**self.context.options, **request.stream.options},
            "connection": self.context.connection,
            "now": self.context.now,
            "limit": request.limit,
        }
        parameters = inspect.signature(function).parameters
        unknown = [
            name
            for name, parameter in parameters.items()
            if name not in available
            and parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        ]
        if unknown:
            raise SourceDataInvalid(
                f"the function {request.stream.function} asks for {', '.join(unknown)}",
                expected=f"parameters out of {', '.join(sorted(_PARAMETERS))}",
            )
        return {name: value for name, value in available.items() if name in parameters}

    def _function(self, request: ReadRequest) -> Callable[..., Any]:
        text = request.stream.function
        if text is None:
            raise StreamNotFound(
                f"the stream {self.context.name}.{request.name} names no function", expected="function: path/to/file.py:name, or module:name"
            )
        place, _, name = text.rpartition(":")
        if not place:
            place = self.context.connection if isinstance(self.context.connection, str) else ""
        if not place:
            raise StreamNotFound(f"{text!r} doesn't say where the function is", expected="path/to/file.py:name, or module:name")
        function = getattr(self._module(place), name, None)
        if not callable(function):
            raise StreamNotFound(f"there is no function {name} in {place}", hint="check function: of the stream")
        found: Callable[..., Any] = function
        return found

    def _module(self, place: str) -> ModuleType:
        try:
            if not place.endswith(".py"):
                return importlib.import_module(place)
            path = (self.context.project_dir / place).resolve()
            if not path.is_file():
                raise StreamNotFound(f"there is no file {place}", expected="a Python file of the project")
            return run_file(f"headwater_source_{path.stem}_{abs(hash(str(path)))}", path)
        except HeadwaterError:
            raise
        except ModuleNotFoundError as error:
            if error.name == place or place.startswith(f"{error.name}."):
                raise StreamNotFound(
                    f"there is no module {place}", hint="name a file of the project (path/to/file.py:name) or an installed module"
                ) from None
            raise _user_error(error, f"{place} can't be imported") from error
        except Exception as error:  # the boundary around user code
            raise _user_error(error, f"{place} can't be imported") from error


@dataclass
class _Frame:
    """A batch; `is_inferred` when it was made of dicts, so that its types are only what its rows showed."""

    batch: pa.RecordBatch
    is_inferred: bool


def _guarded(call: Callable[[], Any], name: str) -> Iterator[Any]:
    """What the function yields or returns, one thing at a time; its errors become UserCodeErrors."""
    try:
        result = call()
        if result is None:
            return
        if isinstance(result, Mapping) or not isinstance(result, Iterable) or _is_tabular(result):
            yield result
            return
        yield from result
    except (HeadwaterError, GeneratorExit):
        raise
    except Exception as error:  # the boundary around user code
        raise _user_error(error, f"the function of {name} raised {type(error).__name__}") from error


def _user_error(error: BaseException, what: str) -> UserCodeError:
    """Frames of our own package and of the import machinery are left out, so that the user's stand alone."""
    here = str(Path(__file__).resolve().parent.parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", here)) and "importlib" not in frame.filename
    ]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames), *traceback.format_exception_only(error)]
    return UserCodeError(what, user_traceback="".join(lines).rstrip(), hint="correct the function, then run again")


def _is_tabular(value: Any) -> bool:
    return (
        hasattr(value, "__arrow_c_stream__")
        or hasattr(value, "__arrow_c_array__")
        or type(value).__module__.startswith(("pandas", "polars", "pyarrow"))
    )


def _to_batches(items: Iterable[Any], name: str, size: int) -> Iterator[_Frame]:
    """Arrow batches out of whatever comes; dicts that follow one another are gathered, `size` of them."""
    rows: list[Mapping[str, Any]] = []
    for item in items:
        if isinstance(item, Mapping):
            rows.append(item)
        elif isinstance(item, (list, tuple)) and all(isinstance(row, Mapping) for row in item):
            rows.extend(item)
        else:
            if rows:
                yield _from_rows(rows)
                rows = []
            for batch in _from_tabular(item, name):
                yield _Frame(batch, is_inferred=False)
        while len(rows) >= size:
            yield _from_rows(rows[:size])
            rows = rows[size:]
    if rows:
        yield _from_rows(rows)


def _from_tabular(item: Any, name: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if isinstance(item, pa.RecordBatch):
        yield item
        return
    if isinstance(item, pa.Table):
        yield from item.to_batches()
        return
    if hasattr(item, "collect") and type(item).__module__.startswith("polars"):
        item = item.collect()
    try:
        if type(item).__module__.startswith("pandas"):
            yield from pa.Table.from_pandas(item, preserve_index=False).to_batches()
        elif type(item).__module__.startswith("polars"):
            yield from item.to_arrow(compat_level=None).to_batches()
        elif hasattr(item, "__arrow_c_stream__"):
            yield from pa.RecordBatchReader.from_stream(item)
        else:
            raise SourceDataInvalid(
                f"the function of {name} gave a {type(item).__name__}", expected="a dict, a list of dicts, Arrow data, or a Polars or pandas frame"
            )
    except pa.ArrowException as error:
        raise SourceDataInvalid(f"a frame from the function of {name} has no Arrow form", found=_first_line(error)) from None


def _from_rows(rows: list[Mapping[str, Any]]) -> _Frame:
    import pyarrow as pa

    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    arrays = []
    for column in names:
        values = [row.get(column) for row in rows]
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowException, OverflowError, ValueError):
            # values of several types: as text, for the contract to judge
            arrays.append(pa.array([None if value is None else value if isinstance(value, str) else str(value) for value in values], pa.string()))
    return _Frame(pa.RecordBatch.from_arrays(arrays, names=[str(column) for column in names]), is_inferred=True)


def _unified(frames: Iterable[_Frame], name: str, declared: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    """All batches with the columns and types of the first, where a column of dicts has the type that the contract declares, if it can.

    A later batch is cast to them. One with other columns, or with values that don't cast without loss, is refused.
    """
    import pyarrow as pa

    schema: pa.Schema | None = None
    for frame in frames:
        batch = frame.batch
        if schema is None:
            schema = _settled(frame, declared)
        new = [column for column in batch.schema.names if column not in schema.names]
        if new:
            raise SourceDataInvalid(
                f"the function of {name} gave new columns midway: {', '.join(new)}",
                expected=", ".join(schema.names),
                hint="give every row all columns",
            )
        arrays = []
        for field in schema:
            if field.name not in batch.schema.names:
                arrays.append(pa.nulls(batch.num_rows, field.type))
                continue
            try:
                arrays.append(batch.column(field.name).cast(field.type, safe=True))
            except pa.ArrowException:
                found = batch.schema.field(field.name).type
                raise SourceDataInvalid(
                    f"the function of {name} changed the type of {field.name} midway",
                    expected=str(field.type),
                    found=str(found),
                    hint="declare the column's type in the stream, or yield Arrow data with one schema",
                ) from None
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _settled(frame: _Frame, declared: Mapping[str, pa.DataType]) -> pa.Schema:
    """The types that all batches will have. Those of dicts are only what the first rows showed: null so far is text, a decimal gets room to grow."""
    import pyarrow as pa

    fields = []
    for field in frame.batch.schema:
        kind = field.type
        if frame.is_inferred and field.name in declared and _casts(frame.batch.column(field.name), declared[field.name]):
            kind = declared[field.name]
        elif pa.types.is_null(kind):
            kind = pa.string()
        elif frame.is_inferred and pa.types.is_decimal(kind):
            kind = pa.decimal128(_DECIMAL_DIGITS, max(kind.scale, min(_DECIMAL_SCALE, _DECIMAL_DIGITS - (kind.precision - kind.scale))))
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _casts(values: pa.Array[Any], kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        values.cast(kind, safe=True)
    except pa.ArrowException:
        return False
    return True


def _chosen(batch: pa.RecordBatch, request: ReadRequest, name: str) -> pa.RecordBatch:
    stream = request.stream
    if not stream.select and not stream.exclude:
        return batch
    present = {column.lower(): column for column in batch.schema.names}
    missing = [column for column in stream.select if column.lower() not in present]
    if missing:
        raise SourceDataInvalid(f"{name} has no column {', '.join(missing)}", found=", ".join(batch.schema.names))
    wanted = {column.lower() for column in stream.select} or set(present)
    dropped = {column.lower() for column in stream.exclude}
    return batch.select([column for column in batch.schema.names if column.lower() in wanted - dropped])


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
