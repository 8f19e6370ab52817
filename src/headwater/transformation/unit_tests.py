"""Unit tests of models: given rows in, expected rows out, in a workspace of their own; the lake isn't touched."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from headwater.engine import Connection, Engine, Workspace, describe_query
from headwater.errors import HeadwaterError, ModelOutputInvalid, SqlDataError, UsageError
from headwater.project import LoadedProject
from headwater.spec.models import IncrementalKind, Model, SnapshotKind
from headwater.spec.names import TableName, quote
from headwater.spec.tables import Column, storage_type
from headwater.spec.unit_tests import THIS, GivenTable, UnitTest
from headwater.transformation import kinds
from headwater.transformation.build import located, require_unique, typed_query
from headwater.transformation.differences import describe_differences
from headwater.transformation.output import find_column
from headwater.transformation.python_models import PythonOutput, python_query

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class UnitTestResult:
    """How one unit test came out. `message` says what differs, by row and column, or what went wrong; it holds the test's own values only."""

    name: str
    model: TableName
    path: str
    line: int
    passed: bool
    message: str = ""
    seconds: float = 0.0


def run_unit_tests(project: LoadedProject, selection: Collection[TableName] | None = None) -> list[UnitTestResult]:
    """Runs the unit tests of the selected models (None: of all), in the project's order. Never raises for a test that fails, in whatever way.

    A given table has the columns its rows name, those under the test's `columns:`, and those the project declares of it; what a row leaves
    out is null. Types are the test's, else the declared ones, else those of the values. An incremental or snapshot model is tested as a full
    build; with rows given for `this` (or its own name) the build goes on from them, and the expected rows are the whole table
    after it.
    """
    chosen = [test for test in project.unit_tests if selection is None or test.model in selection]
    results: list[UnitTestResult] = []
    if not chosen:
        return results
    with Engine(threads=project.config.threads, timezone=project.config.timezone) as engine:
        for test in chosen:
            started = time.perf_counter()
            try:
                message = _run_one(engine, project, test)
            except HeadwaterError as error:
                message = str(error)
            results.append(UnitTestResult(test.name, test.model, test.path, test.line, not message, message, time.perf_counter() - started))
    return results


def _run_one(engine: Engine, project: LoadedProject, test: UnitTest) -> str:
    """What differs; "" when nothing does."""
    model = project.model(test.model)
    clock = test.now
    if clock is not None and clock.tzinfo is None:
        clock = clock.replace(tzinfo=ZoneInfo(project.config.timezone))
    macros = project.macros
    with located(model), Workspace(engine, clock=clock, macros=macros) as workspace, workspace.connection() as connection:
        own = test.given.get(THIS)
        for table, given in test.inputs.items():
            workspace.define(table, _create(connection, str(table), given, _declared_types(project, table)), connection)
        for macro in project.table_macros(model.name):
            connection.execute(macro)
        is_python = model.language == "python"
        with python_query(connection, workspace, model, project.directory) if is_python else nullcontext(PythonOutput(model.sql)) as output:
            relation = _result(connection, model, output.sql, own, clock or datetime.now(UTC))
            return _compare(connection, relation, test)


def _result(connection: Connection, model: Model, sql: str, own: GivenTable | None, clock: datetime) -> str:
    """The table as it is after the build, as a relation's name."""
    query = typed_query(connection, model, sql, None)
    if not isinstance(model.kind, (IncrementalKind, SnapshotKind)):
        if own is not None:
            raise UsageError(
                f"rows are given for {model.name} itself, which is built whole", hint="leave them out: only incremental and snapshot models go on"
            )
        return _materialize(connection, query.sql)
    assert query.columns is not None
    existing = _existing(connection, model, query.columns, own) if own is not None else None
    if isinstance(model.kind, SnapshotKind):
        outcome = kinds.plan_snapshot(connection, model, query.sql, query.columns, existing, clock=clock)
    else:
        outcome = kinds.plan_incremental(connection, model, query.sql, query.columns, existing, interval=None, loaded_at=None)
    added = _materialize(connection, outcome.query)
    if outcome.unique_key:
        require_unique(connection, model, outcome.unique_key, added)
    return added if existing is None else _materialize(connection, _after(existing, outcome, added))


def _after(existing: kinds.Existing, outcome: kinds.Outcome, added: str) -> str:
    """The rows that stay, and the added ones: what a commit would leave."""
    match outcome.delete:
        case kinds.DeleteRange(condition=condition):
            kept = f"SELECT * FROM {existing.relation} WHERE NOT coalesce({condition}, false)"
        case kinds.DeleteMatching(columns=columns):
            same = " AND ".join(f"a.{quote(name)} IS NOT DISTINCT FROM e.{quote(name)}" for name in columns)
            kept = f"SELECT * FROM {existing.relation} e WHERE NOT EXISTS (SELECT 1 FROM {added} a WHERE {same})"
        case _:
            return f"SELECT * FROM {added}"
    return f"{kept}\nUNION ALL BY NAME\nSELECT * FROM {added}"


def _existing(connection: Connection, model: Model, columns: Sequence[Column], own: GivenTable) -> kinds.Existing:
    types = {column.name: storage_type(column.type) for column in columns}
    if isinstance(model.kind, SnapshotKind):
        time_column = find_column(model.kind.updated_at, columns) if model.kind.updated_at else None
        stamp = "TIMESTAMP" if time_column is not None and time_column.type != "TIMESTAMP WITH TIME ZONE" else "TIMESTAMP WITH TIME ZONE"
        types |= {model.kind.valid_from: stamp, model.kind.valid_to: stamp}
    relation = _materialize(connection, _create(connection, THIS, own, types))
    return kinds.Existing(relation, tuple(describe_query(connection, f"FROM {relation}")))


def _materialize(connection: Connection, query: str) -> str:
    name = f"hw_rows_of_test_{next(_numbers)}"
    connection.execute(f"CREATE TEMP TABLE {name} AS\n{query}")
    return name


# -- given rows ------------------------------------------------------------------------------------------------------


def _declared_types(project: LoadedProject, table: TableName) -> dict[str, str]:
    """Columns whose types the project declares: a stream's contract, a model's `columns:`."""
    name = project.find(table)
    declared = project.models[name].columns if name in project.models else project.stream(name)[2].columns
    return {column: said.type for column, said in declared.items() if said.type}


def _create(connection: Connection, label: str, given: GivenTable, declared: Mapping[str, str]) -> str:
    """Makes a table of the given rows; the query that reads it."""
    names: dict[str, str] = {}
    for name in (*(name for row in given.rows for name in row), *given.columns, *declared):
        names.setdefault(name.lower(), str(name))
    if not names:
        raise UsageError(
            f"the columns of {label} aren't known: it is given no rows", hint=f"name them under columns: {{{label}: {{columns: {{id: bigint}}}}}}"
        )
    known = {name.lower(): type_name for source in (declared, given.columns) for name, type_name in source.items()}
    types = {key: known.get(key) or _type_of(connection, [_value(row, key) for row in given.rows]) for key in names}
    name = f"hw_given_{next(_numbers)}"
    columns = ", ".join(f"{quote(names[key])} {type_name or 'INTEGER'}" for key, type_name in types.items())
    connection.execute(f"CREATE TABLE {name} ({columns})")
    for number, row in enumerate(given.rows, 1):
        for key, type_name in types.items():
            _require_fit(connection, label, number, names[key], _value(row, key), type_name)
        casts = ", ".join(f"CAST(? AS {type_name or 'INTEGER'})" for type_name in types.values())
        connection.execute(f"INSERT INTO {name} VALUES ({casts})", [_value(row, key) for key in names])
    # a column of which nothing is known but nulls fits wherever it is used
    selected = ", ".join(quote(names[key]) if type_name else f"NULL AS {quote(names[key])}" for key, type_name in types.items())
    return f"SELECT {selected} FROM {name}"


def _value(row: Mapping[str, Any], key: str) -> Any:
    return next((value for name, value in row.items() if str(name).lower() == key), None)


def _require_fit(connection: Connection, label: str, number: int, column: str, value: Any, type_name: str) -> None:
    if value is None or not type_name:
        return
    try:
        connection.execute(f"SELECT CAST(? AS {type_name})", [value]).fetchall()
    except SqlDataError as error:
        raise UsageError(f"row {number} of {label}: the value of {column} isn't a {type_name}", found=repr(value)) from error


def _type_of(connection: Connection, values: Sequence[Any]) -> str:
    """The DuckDB type that holds all values; "" when they are all null."""
    present = [value for value in values if value is not None]
    if not present:
        return ""
    classes = {type(value) for value in present}
    if classes <= {bool}:
        return "BOOLEAN"
    if classes <= {int}:
        return "BIGINT" if all(-(2**63) <= value < 2**63 for value in present) else "HUGEINT"
    if classes <= {int, float}:
        return "DOUBLE"
    if classes <= {date}:
        return "DATE"
    if classes <= {date, datetime}:
        has_zone = any(isinstance(value, datetime) and value.tzinfo is not None for value in present)
        return "TIMESTAMP WITH TIME ZONE" if has_zone else "TIMESTAMP"
    if classes <= {list, dict}:
        return str(connection.execute("SELECT typeof(?)", [present[0]]).scalar())
    return "VARCHAR"


# -- comparing -------------------------------------------------------------------------------------------------------


def _compare(connection: Connection, relation: str, test: UnitTest) -> str:
    actual_columns = describe_query(connection, f"FROM {relation}")
    names: list[str] = []
    for name in (str(name) for row in test.expect for name in row):
        if name.lower() not in [known.lower() for known in names]:
            names.append(name)
    columns = []
    for name in names:
        column = find_column(name, actual_columns)
        if column is None:
            raise ModelOutputInvalid(
                f"{test.model} gives no column {name!r}, which the test expects", expected=f"one of {', '.join(c.name for c in actual_columns)}"
            )
        columns.append(column)
    if not columns:
        count = connection.execute(f"SELECT count(*) FROM {relation}").scalar()
        return f"expected no rows, found {count:,}" if count else ""
    expected = [tuple(_as_type(connection, number, row, column) for column in columns) for number, row in enumerate(test.expect, 1)]
    selected = ", ".join(quote(column.name) for column in columns)
    actual = connection.execute(f"SELECT {selected} FROM {relation}").fetchall()
    return describe_differences([column.name for column in columns], expected, actual, is_ordered=test.ordered)


def _as_type(connection: Connection, number: int, row: Mapping[str, Any], column: Column) -> Any:
    """An expected value as the model's column would hold it: '2024-01-01' is a date in a column of dates."""
    value = _value(row, column.name.lower())
    if value is None:
        return None
    if isinstance(value, float) and column.type.startswith("DECIMAL"):
        value = Decimal(str(value))
    try:
        return connection.execute(f"SELECT CAST(? AS {column.type})", [value]).scalar()
    except SqlDataError as error:
        raise UsageError(
            f"expected row {number}: the value of {column.name} isn't a {column.type}, as the model gives it", found=repr(value)
        ) from error
