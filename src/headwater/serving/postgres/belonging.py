"""Whether a query asks the lake or the system catalogs: by the relations and functions that it reads, not by what it calls them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import sqlglot
from sqlglot import exp

from headwater.serving.postgres.context import table_parts
from headwater.serving.postgres.reading import MOST_TABLES, folded, is_cte, read_postgres
from headwater.serving.postgres.statements import tokens
from headwater.serving.session import VisibleTable

_SCHEMAS: Final = frozenset({"pg_catalog", "information_schema"})


def is_catalog_query(sql: str, tables: Iterable[VisibleTable]) -> bool:
    """Whether a text asks for the catalog or for nothing but the session itself."""
    found = tokens(sql)
    words = {text.strip('"').lower() for kind, text, _ in found if kind in ("word", "quoted")}
    is_of_session = "from" not in words and _asks_of_session(found)
    if not (words & _SCHEMAS or any(word.startswith("pg_") for word in words)):
        return is_of_session
    try:
        trees = read_postgres(sql)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return True  # a tool's own words, or of neither
    relations = [table for tree in trees if tree is not None for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
    if len(relations) > MOST_TABLES:
        return False
    own = {table_parts(table)[1].lower() for table in tables}
    if any(_is_of_catalog(table, own) for table in relations):
        return True
    if any(not is_cte(table) for table in relations):
        return False
    ctes = {folded(cte.args["alias"].this) for tree in trees if tree is not None for cte in tree.find_all(exp.CTE)}
    return is_of_session or _calls_catalog(found, ctes)


def _is_of_catalog(table: exp.Table, own: set[str]) -> bool:
    if table.db:
        return folded(table.args["db"]) in _SCHEMAS
    name = folded(table.this)
    return name.startswith("pg_") and name not in own and not is_cte(table)


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
