"""Whether a query asks the lake or the system catalogs: by the relations and functions that it reads, not by what it calls them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlglot
from sqlglot import exp

from headwater.engine import parse_tree
from headwater.errors import SqlSyntaxError
from headwater.serving.postgres.context import table_parts
from headwater.serving.postgres.dialect.reading import MOST_TABLES, folded, is_cte, read_postgres
from headwater.serving.postgres.statements import tokens
from headwater.serving.session import VisibleTable

_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema"})


def is_catalog_query(sql: str, tables: Iterable[VisibleTable], dialect: str = "postgres") -> bool:
    """Whether a text asks for the catalog or for nothing but the session itself. What DuckDB can't read is Postgres' in its dialect too."""
    found = tokens(sql)
    words = {text.strip('"').lower() for kind, text, _ in found if kind in ("word", "quoted")}
    is_of_session = "from" not in words and _asks_of_session(found)
    if not (words & _SCHEMAS or any(word.startswith("pg_") for word in words)):
        return is_of_session
    read = (_read_by_duckdb(sql) if dialect == "duckdb" else None) or _read_by_postgres(sql)
    if read is None:
        return True  # a tool's own words, or of neither
    if len(read.relations) > MOST_TABLES:
        return False
    own = {table_parts(table)[1].lower() for table in tables}
    if any(schema in _SCHEMAS if schema else name.startswith("pg_") and name not in own for schema, name in read.relations):
        return True
    return not read.relations and (is_of_session or _calls_catalog(found, read.ctes))


@dataclass(frozen=True, slots=True)
class _Read:
    """The relations of a query, (schema or "", name), and the names of its WITH queries, which are none; all as its dialect folds them."""

    relations: Sequence[tuple[str, str]]
    ctes: set[str]


def _read_by_postgres(sql: str) -> _Read | None:
    try:
        trees = [tree for tree in read_postgres(sql) if tree is not None]
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    tables = [table for tree in trees for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
    if len(tables) <= MOST_TABLES:
        tables = [table for table in tables if not is_cte(table)]
    ctes = {folded(cte.args["alias"].this) for tree in trees for cte in tree.find_all(exp.CTE)}
    return _Read([(folded(table.args["db"]) if table.db else "", folded(table.this)) for table in tables], ctes)


def _read_by_duckdb(sql: str) -> _Read | None:
    try:
        waiting: list[Any] = [parse_tree(sql)]
    except SqlSyntaxError:
        return None
    if waiting == [None]:
        return None
    relations, ctes = [], set()
    while waiting:
        node = waiting.pop()
        waiting += (item for item in (node.values() if isinstance(node, dict) else node) if isinstance(item, (dict, list)))
        if isinstance(node, dict) and node.get("type") == "BASE_TABLE":
            relations.append((str(node.get("schema_name") or "").lower(), str(node["table_name"]).lower()))
        elif isinstance(node, dict) and isinstance(node.get("cte_map"), dict):
            ctes |= {str(entry["key"]).lower() for entry in node["cte_map"].get("map", ())}
    return _Read([one for one in relations if one[0] or one[1] not in ctes], ctes)


def _calls_catalog(found: list[tuple[str, str, int]], ctes: set[str]) -> bool:
    """Of a query that reads no relation: whether it calls one of the catalog's functions, or casts to one of its types."""
    for (kind, word, _), (_, following, _) in itertools.pairwise(found):
        name = word[1:-1] if kind == "quoted" else word.lower()
        if kind in ("word", "quoted") and (
            (name in _SCHEMAS and following == ".") or (name.startswith("pg_") and following == "(" and name not in ctes)
        ):
            return True
    return False


def _asks_of_session(found: list[tuple[str, str, int]]) -> bool:
    """Whether it calls one of the functions about the session, or casts to a type of the catalog's names. What they are called as doesn't count."""
    before = ""
    for (kind, word, _), (_, following, _) in itertools.pairwise([*found, ("end", "", 0)]):
        name = word.lower()
        if kind == "word" and (before != "as" or name.startswith("reg")) and (following == "(" or name in _BARE) and name in _SESSION_WORDS:
            return True
        before = name
    return False


_SESSION_WORDS: Final = frozenset(
    [
        "version",
        "current_schema",
        "current_schemas",
        "current_database",
        "current_setting",
        "set_config",
        "to_regclass",
        "to_regtype",
        "regclass",
        "regtype",
        "regnamespace",
        "format_type",
        "has_schema_privilege",
        "has_table_privilege",
        "has_database_privilege",
        "has_column_privilege",
        "obj_description",
        "col_description",
        "inet_server_addr",
        "inet_server_port",
        "txid_current",
        "getdatabaseencoding",
        "quote_ident",
    ]
)
#: Of these, what needs no parentheses.
_BARE: Final = frozenset({"current_schema", "regclass", "regtype", "regnamespace"})
