"""DuckDB itself: connections, extensions, settings, parsing, binding, interruption. The only importer of `duckdb`; knows no lake."""

from headwater.engine.connection import Connection, Engine, Result
from headwater.engine.deep import with_room
from headwater.engine.extensions import extension_available, load_extension
from headwater.engine.failures import syntax_error_offset, translated
from headwater.engine.overtime import Overtime
from headwater.engine.sql import Statement, describe_query, parse_ahead, parse_statements, parse_tree, tables_named, unparse_trees
from headwater.engine.workspace import CLOCK_FUNCTIONS, Workspace

__all__ = [
    "CLOCK_FUNCTIONS",
    "Connection",
    "Engine",
    "Overtime",
    "Result",
    "Statement",
    "Workspace",
    "describe_query",
    "extension_available",
    "load_extension",
    "parse_ahead",
    "parse_statements",
    "parse_tree",
    "syntax_error_offset",
    "tables_named",
    "translated",
    "unparse_trees",
    "with_room",
]
