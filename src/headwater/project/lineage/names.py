"""Names of output columns, asked of DuckDB itself: the words of an unnamed expression, what COLUMNS(..) matches, what a PIVOT makes."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Mapping, Sequence
from functools import cache

from headwater.engine import Connection, Engine, Workspace, describe_query, parse_statements, parse_tree
from headwater.errors import HeadwaterError
from headwater.project.lineage.relations import Column, Node, Relation, Unresolvable, distinct_names
from headwater.spec.names import TableName, quote

_lock = threading.Lock()


@cache
def _engine() -> Engine:
    return Engine(threads=1)


@cache
def _connection() -> Connection:
    return _engine().connection()


@cache
def aggregate_functions() -> frozenset[str]:
    """Names that are aggregate functions and nothing else."""
    sql = """
        SELECT function_name
        FROM duckdb_functions()
        GROUP BY function_name
        HAVING bool_and(function_type = 'aggregate')
    """
    with _lock:
        return frozenset(row[0] for row in _connection().execute(sql).fetchall())


@cache
def known_functions() -> frozenset[str]:
    """Names of all functions DuckDB has without further extensions. Any other may be a macro, which may read tables."""
    with _lock:
        rows = _connection().execute("SELECT DISTINCT lower(function_name) FROM duckdb_functions()").fetchall()
    return frozenset(row[0] for row in rows) | {"query", "query_table", "unlist"}


def _sql_of(tree: Node) -> str:
    with _lock:
        return str(_connection().execute("SELECT json_deserialize_sql(?)", [json.dumps(tree)]).scalar())


def _template(sql: str) -> Node:
    tree = parse_tree(sql)
    assert tree is not None
    return tree


_words: dict[str, str] = {}


def words_of(expression: Node) -> str:
    """The expression as DuckDB words it, which is the name of a column without alias."""
    key = json.dumps({**expression, "query_location": 0})
    if key not in _words:
        tree = _template("SELECT 1")
        tree["statements"][0]["node"]["select_list"] = [expression]
        if len(_words) > 10_000:
            _words.clear()
        _words[key] = _sql_of(tree).removeprefix("SELECT ")
    return _words[key]


def name_columns(columns: Sequence[Column]) -> None:
    """Gives every unnamed column its name, and tells equal names apart as a subquery's columns are."""
    for column in columns:
        if column.name is None and column.expression is not None:
            column.name = words_of(column.expression)
    for column, name in zip(columns, distinct_names(column.name or "" for column in columns), strict=True):
        column.name = name


def rename(relation: Relation, aliases: Sequence[str]) -> None:
    """Gives the relation distinct names, the first of them from a list of column aliases."""
    for column, alias in zip(relation.columns, aliases, strict=False):
        column.name, column.expression = alias, None
    if any(column.name is not None for column in relation.columns):
        named = [column for column in relation.columns if column.name is not None]
        if len({str(column.name).lower() for column in named}) < len(named):
            name_columns(relation.columns)
    relation.forget_names()


def _rows_of(names: Sequence[str]) -> str:
    if not names:
        raise Unresolvable("a table without columns")
    return "SELECT " + ", ".join(f"NULL AS {quote(name)}" for name in names)


def _described(tree: Node) -> list[str]:
    try:
        sql = _sql_of(tree)
        with _lock:
            return [column.name for column in describe_query(_connection(), sql)]
    except HeadwaterError as error:
        raise Unresolvable(f"DuckDB doesn't tell the columns: {error.found or error.what}") from error


def matching_columns(item: Node, names: Sequence[str]) -> list[str]:
    """What a select item of one COLUMNS(..) (or `* LIKE ..`) gives over columns of these distinct names."""
    tree = _template(f"SELECT * FROM ({_rows_of(names)})")
    tree["statements"][0]["node"]["select_list"] = [item]
    return _described(tree)


def pivoted_columns(pivot: Node, names: Sequence[str]) -> list[str]:
    """The columns of a PIVOT or UNPIVOT over a source with columns of these distinct names."""
    tree = _template(f"SELECT * FROM ({_rows_of(names)})")
    node = tree["statements"][0]["node"]
    node["from_table"] = {**copy.copy(pivot), "source": node["from_table"], "alias": "", "column_name_alias": []}
    return _described(tree)


def bound_columns(sql: str, tables: Mapping[TableName, Mapping[str, str | None]], macros: Sequence[str] = ()) -> tuple[str, ...]:
    """The output's names by binding the statement over empty tables of these columns (name to type, None where unknown).

    Empty when DuckDB can't bind it so, which a column of unknown type may be the reason for.
    """
    try:
        statement = parse_statements(sql)[0].sql
        with Workspace(_engine()) as workspace:
            for table, columns in tables.items():
                items = (f"{f'CAST(NULL AS {kind})' if kind else 'NULL'} AS {quote(name)}" for name, kind in columns.items())
                workspace.define(table, f"SELECT {', '.join(items)}")
            with workspace.connection() as connection:
                for macro in macros:
                    _create(connection, macro)
                return tuple(distinct_names(column.name for column in describe_query(connection, statement)))
    except HeadwaterError:
        return ()


def _create(connection: Connection, macro: str) -> None:
    try:
        connection.execute(macro)
    except HeadwaterError:
        pass  # it binds tables this statement doesn't read; if it does call it, binding the statement fails
