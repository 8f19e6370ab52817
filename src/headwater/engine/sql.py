"""Parsing and binding with DuckDB's own parser: what it accepts is what runs."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from headwater.engine.connection import Connection
from headwater.engine.deep import with_room
from headwater.engine.failures import translated
from headwater.errors import SqlSyntaxError
from headwater.spec.names import quote_literal
from headwater.spec.tables import Column

# sqlglot's warnings repeat the statement, with all that stands in it
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One parsed statement: its text without the semicolon, and its type in DuckDB's words (`SELECT`, `INSERT`, `CREATE`, ..)."""

    sql: str
    type: str


def parse_statements(sql: str) -> list[Statement]:
    """The statements of a text. Raises SqlSyntaxError. Needs no tables to exist. (A PIVOT without IN counts as one MULTI statement.)"""
    with translated():
        return [
            Statement(s.query.rstrip().rstrip(";"), str(s.type).rpartition(".")[2].removesuffix("_STATEMENT")) for s in duckdb.extract_statements(sql)
        ]


def parse_tree(sql: str, *, keep: bool = True) -> dict[str, Any] | None:
    """DuckDB's syntax tree of one query, as `json_serialize_sql` gives it; None for what it can't serialize (a PIVOT without IN).

    The newest trees are kept for whoever asks again; not with `keep` False. Raises SqlSyntaxError.
    """
    text = _kept.get(sql)
    if text is None:
        with translated():
            row = _parser().execute(f"SELECT json_serialize_sql({quote_literal(sql)})").fetchone()
        assert row is not None
        text = str(row[0])
        if keep:
            _kept.put(sql, text)
    tree: dict[str, Any] = json.loads(text)
    if not tree["error"]:
        return tree
    if tree["error_type"] == "not implemented":
        parse_statements(sql)
        return None
    raise SqlSyntaxError("the SQL can't be parsed", found=tree["error_message"])


def unparse_trees(trees: Sequence[str]) -> list[str]:
    """SQL of each syntax tree, given as JSON. Raises QueryError kinds for what is no tree."""
    listed = ", ".join(map(quote_literal, trees))
    with translated():
        rows = _parser().execute(f"SELECT json_deserialize_sql(tree::JSON) FROM (SELECT unnest([{listed}]) AS tree)").fetchall()
    return [str(row[0]) for row in rows]


def parse_ahead(statements: Iterable[str]) -> None:
    """Parses many statements at once, for those who ask for their trees soon: one by one they take six times as long.

    Raises nothing: a statement's mistake is told to whoever asks for its tree.
    """
    new = [sql for sql in dict.fromkeys(statements) if _kept.get(sql) is None]
    for start in range(0, len(new), _PARSED_AT_ONCE):
        listed = ", ".join(map(quote_literal, new[start : start + _PARSED_AT_ONCE]))
        try:
            rows = _parser().execute(f"SELECT sql, json_serialize_sql(sql)::VARCHAR FROM (SELECT unnest([{listed}]) AS sql)").fetchall()
        except duckdb.Error:
            continue
        for sql, text in rows:
            _kept.put(sql, text)


class _KeptTrees:
    """The newest syntax trees, as JSON: a model's is asked for when its file is read and again when its lineage is derived."""

    def __init__(self, most_characters: int) -> None:
        self._most = most_characters
        self._characters = 0
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(self, sql: str) -> str | None:
        return self._texts.get(sql)

    def put(self, sql: str, text: str) -> None:
        with self._lock:
            if sql in self._texts or len(text) > self._most:
                return
            self._texts[sql] = text
            self._characters += len(text)
            while self._characters > self._most:
                self._characters -= len(self._texts.pop(next(iter(self._texts))))


_PARSED_AT_ONCE = 100
_kept = _KeptTrees(32_000_000)


def tables_named(sql: str) -> set[tuple[str, ...]]:
    """Names of the tables a query reads, as tuples of their written parts (`("staging", "orders")`); its own CTEs are left out.

    A file in FROM (`'a.parquet'`) comes as one part; table functions (`read_csv(..)`) don't count. Nothing is bound: the tables need not
    exist. Raises SqlSyntaxError.
    """
    return with_room(lambda: _tables_named(sql))


def _tables_named(sql: str) -> set[tuple[str, ...]]:
    tree = parse_tree(sql)
    if tree is None:
        return _tables_by_sqlglot(sql)
    found: set[tuple[str, ...]] = set()
    _collect_tables(tree["statements"], frozenset(), found)
    return found


def _tables_by_sqlglot(sql: str) -> set[tuple[str, ...]]:
    """The second route, for what DuckDB's parser accepts and doesn't serialize."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, read="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise SqlSyntaxError("the tables this SQL reads can't be found out", found=str(error).splitlines()[0]) from error
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    names = {tuple(part.name for part in table.parts) for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)}
    return {name for name in names if len(name) > 1 or name[0].lower() not in ctes}


def _collect_tables(node: Any, ctes: frozenset[str], found: set[tuple[str, ...]]) -> None:
    if isinstance(node, list):
        for item in node:
            _collect_tables(item, ctes, found)
        return
    if not isinstance(node, dict):
        return
    own = node.get("cte_map")
    if isinstance(own, dict) and own.get("map"):
        ctes = ctes | {entry["key"].lower() for entry in own["map"]}
    if node.get("type") in ("RECURSIVE_CTE_NODE", "CTE_NODE") and "cte_name" in node:
        ctes = ctes | {node["cte_name"].lower()}
    if node.get("type") == "BASE_TABLE":
        parts = tuple(part for part in (node.get("catalog_name"), node.get("schema_name"), node["table_name"]) if part)
        if len(parts) > 1 or parts[0].lower() not in ctes:
            found.add(parts)
    for value in node.values():
        _collect_tables(value, ctes, found)


_parsers: list[duckdb.DuckDBPyConnection] = []


def _parser() -> duckdb.DuckDBPyConnection:
    """A cursor on an empty instance of its own, so that parsing waits for nobody's transaction."""
    if not _parsers:
        _parsers.append(duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}))
    return _parsers[0].cursor()


def describe_query(connection: Connection, sql: str) -> list[Column]:
    """Binds a query without running it and gives its columns. Raises SqlSyntaxError or SqlBindError."""
    return [Column(row[0], row[1], row[2] == "YES") for row in connection.execute(f"DESCRIBE (\n{sql}\n)").fetchall()]
