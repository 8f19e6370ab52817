"""`derive_lineage`: column lineage of one statement, or table lineage where columns can't be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from headwater.engine import parse_statements, parse_tree, tables_named, with_room
from headwater.errors import SqlSyntaxError
from headwater.project.lineage.macros import Macro, parse_macros
from headwater.project.lineage.names import bound_columns
from headwater.project.lineage.relations import Relation, Unresolvable
from headwater.project.lineage.statement import ColumnsOf, Statement
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName

#: In the words of an expression: what the tree doesn't keep as it was written, so that DuckDB words it otherwise.
_RETOLD = ("CAST(", "->")


def derive_lineage(sql: str, columns_of: ColumnsOf, *, macros: Iterable[str] = ()) -> Lineage:
    """The lineage of one DuckDB query.

    `columns_of` gives the columns of a table it reads (names, or a mapping of names to DuckDB types), or None where they aren't known; a
    name without schema is asked for in the schema `main`. `macros` are the project's CREATE MACRO statements, all of them, table macros too: a
    function that is neither DuckDB's nor among them makes the lineage conservative.

    Where columns can't be told the result is `Lineage.conservative`, with the reason; so it is complete or says that it isn't, and never raises
    for what DuckDB parses. Raises SqlSyntaxError for what it doesn't. Columns of a struct that UNNEST spreads out, or of a function like
    `read_csv`, aren't known before it runs: `columns_known` is False, and `reconcile` settles the result when they are.
    """
    statements = tuple(macros)
    return with_room(lambda: _derive(sql, columns_of, statements))  # an expression may be thousands of operators deep


def _derive(sql: str, columns_of: ColumnsOf, macros: tuple[str, ...]) -> Lineage:
    known_macros = parse_macros(macros)
    tree = parse_tree(sql)
    if tree is None:
        if parse_statements(sql)[-1].type not in ("SELECT", "MULTI"):  # such a PIVOT is a CREATE TYPE and a SELECT
            return Lineage.conservative(frozenset(), "it is not a query")
        return _fall_back(sql, columns_of, macros, frozenset(), "its columns aren't known before it runs (a PIVOT without values)", binds=False)
    if len(tree["statements"]) != 1:
        return _fall_back(sql, columns_of, macros, frozenset(), "it is not one query", binds=False)
    statement = Statement(columns_of, known_macros)
    try:
        relation = statement.derive(tree["statements"][0]["node"])
    except Unresolvable as gap:
        hidden = _tables_hidden(tree, columns_of, known_macros)
        return _fall_back(sql, columns_of, macros, statement.inputs.tables | hidden, str(gap), binds=True)
    return _decoded(sql, statement, relation, macros)


def _decoded(sql: str, statement: Statement, relation: Relation, macros: tuple[str, ...]) -> Lineage:
    """The relation as Lineage, its names settled with DuckDB where the syntax tree leaves a doubt."""
    decode = statement.inputs.columns
    names = tuple(str(column.name) for column in relation.columns)
    tables = statement.inputs.tables
    influence = decode(relation.influence | (relation.rest or 0))
    if relation.is_open:
        bound = _bind(sql, tables, statement.columns_of, macros, needs_types=True)
        edges = {name.lower(): column.mask for name, column in zip(names, relation.columns, strict=True)}
        further = relation.everything()
        value = {name: edges.get(name.lower(), further) | (relation.rest or 0) for name in bound or names}
        return Lineage(tables, {name: decode(mask) for name, mask in value.items()}, influence, columns_known=bool(bound))
    columns_known = True
    if any(mark in name for name in names for mark in _RETOLD):
        bound = _bind(sql, tables, statement.columns_of, macros)
        columns_known = len(bound) == len(names)
        names = bound if columns_known else names
    value = {name: column.mask for name, column in zip(names, relation.columns, strict=True)}
    return Lineage(tables, {name: decode(mask) for name, mask in value.items()}, influence, columns_known=columns_known)


def reconcile(lineage: Lineage, columns: Iterable[str]) -> Lineage:
    """The lineage with the columns the result turned out to have: those not foreseen are fed by all columns of all inputs.

    Unchanged when they are the foreseen ones.
    """
    actual = tuple(columns)
    if actual == lineage.columns:
        return replace(lineage, columns_known=True)
    known = {name.lower(): edges for name, edges in lineage.value.items()}
    everything = frozenset(ColumnName(table, "*") for table in lineage.tables)
    value = {name: known.get(name.lower(), everything) for name in actual}
    foreseen = all(name.lower() in known for name in actual)
    influence = lineage.influence if foreseen else lineage.influence | everything
    reason = lineage.reason or (None if foreseen else "its columns weren't known before it ran")
    return Lineage(lineage.tables, value, influence, lineage.is_complete and foreseen, reason)


def respell(lineage: Lineage, own_name: Callable[[TableName], TableName | None]) -> Lineage:
    """The lineage with tables named as they spell themselves (`own_name`; None for a table it doesn't know) rather than as the SQL does."""
    names = {table: own_name(table) or table for table in lineage.tables}
    if all(table == name for table, name in names.items()):
        return lineage

    def spelled(columns: Iterable[ColumnName]) -> frozenset[ColumnName]:
        return frozenset(ColumnName(names.get(column.table, column.table), column.column) for column in columns)

    value = {name: spelled(columns) for name, columns in lineage.value.items()}
    return replace(lineage, tables=frozenset(names.values()), value=value, influence=spelled(lineage.influence))


def _fall_back(
    sql: str, columns_of: ColumnsOf, macros: tuple[str, ...], tables: frozenset[TableName], reason: str, *, binds: bool
) -> Lineage:  # fmt: skip
    try:
        tables |= {TableName(parts[-2] if len(parts) > 1 else "main", parts[-1]) for parts in tables_named(sql)}
    except SqlSyntaxError:
        reason += "; the tables it reads can't be told either"
    columns = _bind(sql, tables, columns_of, macros) if binds else ()
    return Lineage.conservative(tables, reason, columns)


def _bind(
    sql: str, tables: Iterable[TableName], columns_of: ColumnsOf, macros: tuple[str, ...], *, needs_types: bool = False
) -> tuple[str, ...]:  # fmt: skip
    """The output's names as DuckDB gives them; empty when it can't tell, with `needs_types` also when a column's type isn't known."""
    known: dict[TableName, Mapping[str, str | None]] = {}
    for table in tables:
        columns = columns_of(table)
        if columns is None or (needs_types and not isinstance(columns, Mapping)):
            return ()
        known[table] = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns)
    return bound_columns(sql, known, macros)


def _tables_hidden(tree: Any, columns_of: ColumnsOf, macros: Mapping[str, tuple[Macro, ...]]) -> frozenset[TableName]:
    """Tables that stand in no FROM: those of the macros called, and texts or names given to functions that happen to be tables."""
    found: set[TableName] = set()
    seen: set[str] = set()

    def look(node: Any, in_macro: bool) -> None:
        if isinstance(node, list):
            for item in node:
                look(item, in_macro)
            return
        if not isinstance(node, dict):
            return
        if node.get("type") == "BASE_TABLE" and in_macro:
            found.add(TableName(node.get("schema_name") or "main", node["table_name"]))
        if node.get("class") == "FUNCTION":
            name = node["function_name"].lower()
            if name in macros and name not in seen:
                seen.add(name)
                look([macro.body for macro in macros[name]], True)
        candidate = _table_of(node)
        if candidate is not None and columns_of(candidate) is not None:
            found.add(candidate)
        for value in node.values():
            look(value, in_macro)

    look(tree, False)
    return frozenset(found)


def _table_of(node: Mapping[str, Any]) -> TableName | None:
    if node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 2:
        return TableName(*node["column_names"])
    if node.get("class") == "CONSTANT" and isinstance(node["value"].get("value"), str):
        try:
            return TableName.parse(node["value"]["value"])
        except ValueError:
            return None
    return None
