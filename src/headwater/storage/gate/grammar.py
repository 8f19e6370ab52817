"""What a statement may be made of: every kind of node with every field it has, and how that field is walked.

A node, a field, an operator or a type that a newer engine brings is refused until somebody has thought about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from headwater.errors import StatementRefused
from headwater.storage.gate import functions
from headwater.storage.gate.tree import Node

#: Fields: `p` plain value, `e` expression or null, `E` expressions, `t` type, `v` constant, `m` order modifier, `q` query, others by name.
COMMON: Final = frozenset({"class", "type", "alias", "query_location"})
EXPRESSIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "BETWEEN": {"input": "e", "lower": "e", "upper": "e"},
    "CASE": {"case_checks": "cases", "else_expr": "e"},
    "CAST": {"child": "e", "cast_type": "t", "try_cast": "p"},
    "COLLATE": {"child": "e", "collation": "collation"},
    "COLUMN_REF": {"column_names": "p"},
    "COMPARISON": {"left": "e", "right": "e"},
    "CONJUNCTION": {"children": "E"},
    "CONSTANT": {"value": "v"},
    "FUNCTION": {
        "function_name": "p",
        "schema": "p",
        "catalog": "p",
        "children": "E",
        "filter": "e",
        "order_bys": "m",
        "distinct": "p",
        "is_operator": "p",
        "export_state": "p",
    },
    "LAMBDA": {"lhs": "e", "expr": "e"},
    "OPERATOR": {"children": "E"},
    "PARAMETER": {"identifier": "p"},
    "POSITIONAL_REFERENCE": {"index": "p"},
    "STAR": {
        "relation_name": "p",
        "exclude_list": "p",
        "replace_list": "replacements",
        "columns": "p",
        "expr": "e",
        "qualified_exclude_list": "p",
        "rename_list": "p",
    },
    "SUBQUERY": {"subquery_type": "p", "subquery": "q", "child": "e", "comparison_type": "p"},
    "WINDOW": {
        "function_name": "p",
        "schema": "p",
        "catalog": "p",
        "children": "E",
        "partitions": "E",
        "orders": "orders",
        "start": "p",
        "end": "p",
        "start_expr": "e",
        "end_expr": "e",
        "offset_expr": "e",
        "default_expr": "e",
        "ignore_nulls": "p",
        "filter_expr": "e",
        "exclude_clause": "p",
        "distinct": "p",
        "arg_orders": "orders",
    },
}
OPERATORS: Final[Mapping[str, frozenset[str]]] = {
    "BETWEEN": frozenset({"COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN"}),
    "CASE": frozenset({"CASE_EXPR"}),
    "CAST": frozenset({"OPERATOR_CAST"}),
    "COLLATE": frozenset({"COLLATE"}),
    "COLUMN_REF": frozenset({"COLUMN_REF"}),
    "COMPARISON": frozenset(
        {
            "COMPARE_EQUAL",
            "COMPARE_NOTEQUAL",
            "COMPARE_LESSTHAN",
            "COMPARE_GREATERTHAN",
            "COMPARE_LESSTHANOREQUALTO",
            "COMPARE_GREATERTHANOREQUALTO",
            "COMPARE_DISTINCT_FROM",
            "COMPARE_NOT_DISTINCT_FROM",
        }
    ),
    "CONJUNCTION": frozenset({"CONJUNCTION_AND", "CONJUNCTION_OR"}),
    "CONSTANT": frozenset({"VALUE_CONSTANT"}),
    "FUNCTION": frozenset({"FUNCTION"}),
    "LAMBDA": frozenset({"LAMBDA"}),
    "OPERATOR": frozenset(
        {
            "OPERATOR_NOT",
            "OPERATOR_IS_NULL",
            "OPERATOR_IS_NOT_NULL",
            "OPERATOR_COALESCE",
            "OPERATOR_NULLIF",
            "OPERATOR_UNPACK",
            "OPERATOR_TRY",
            "COMPARE_IN",
            "COMPARE_NOT_IN",
            "ARRAY_CONSTRUCTOR",
            "ARRAY_EXTRACT",
            "ARRAY_SLICE",
            "STRUCT_EXTRACT",
            "ARROW",
            "GROUPING_FUNCTION",
        }
    ),
    "PARAMETER": frozenset({"VALUE_PARAMETER"}),
    "POSITIONAL_REFERENCE": frozenset({"POSITIONAL_REFERENCE"}),
    "STAR": frozenset({"STAR"}),
    "SUBQUERY": frozenset({"SUBQUERY"}),
    "WINDOW": frozenset(
        {
            "WINDOW_AGGREGATE",
            "WINDOW_RANK",
            "WINDOW_RANK_DENSE",
            "WINDOW_NTILE",
            "WINDOW_PERCENT_RANK",
            "WINDOW_CUME_DIST",
            "WINDOW_ROW_NUMBER",
            "WINDOW_FIRST_VALUE",
            "WINDOW_LAST_VALUE",
            "WINDOW_LEAD",
            "WINDOW_LAG",
            "WINDOW_NTH_VALUE",
            "WINDOW_FILL",
        }
    ),
}
REFS: Final[Mapping[str, frozenset[str]]] = {
    "BASE_TABLE": frozenset({"schema_name", "table_name", "column_name_alias", "catalog_name", "at_clause"}),
    "SUBQUERY": frozenset({"subquery", "column_name_alias"}),
    "JOIN": frozenset({"left", "right", "condition", "join_type", "ref_type", "using_columns", "delim_flipped", "duplicate_eliminated_columns"}),
    "TABLE_FUNCTION": frozenset({"function", "column_name_alias", "with_ordinality"}),
    "EXPRESSION_LIST": frozenset({"expected_names", "expected_types", "values"}),
    "EMPTY": frozenset(),
    "PIVOT": frozenset({"source", "aggregates", "unpivot_names", "pivots", "groups", "column_name_alias", "include_nulls"}),
    "SHOW_REF": frozenset({"table_name", "query", "show_type", "catalog_name", "schema_name"}),
}
REF_COMMON: Final = frozenset({"type", "alias", "sample", "query_location"})
QUERIES: Final[Mapping[str, frozenset[str]]] = {
    "SELECT_NODE": frozenset(
        {"select_list", "from_table", "where_clause", "group_expressions", "group_sets", "aggregate_handling", "having", "sample", "qualify"}
    ),
    "SET_OPERATION_NODE": frozenset({"setop_type", "left", "right", "setop_all", "children"}),
    "RECURSIVE_CTE_NODE": frozenset({"cte_name", "union_all", "left", "right", "aliases", "key_targets"}),
}
QUERY_COMMON: Final = frozenset({"type", "modifiers", "cte_map"})
MODIFIERS: Final[Mapping[str, frozenset[str]]] = {
    "ORDER_MODIFIER": frozenset({"type", "orders"}),
    "LIMIT_MODIFIER": frozenset({"type", "limit", "offset"}),
    "LIMIT_PERCENT_MODIFIER": frozenset({"type", "limit", "offset"}),
    "DISTINCT_MODIFIER": frozenset({"type", "distinct_on_targets"}),
}
COLLATION: Final = re.compile(r"[A-Za-z_]+(\.[A-Za-z_]+)*")
PLAIN_TYPES: Final = functions.TYPES | {
    "sqlnull",
    "integer_literal",
    "string_literal",
    "any",
    "unknown",
    "list",
    "type",
    "timestamp_tz",
    "time_tz",
    "hugeint",
    "decimal",
    "char",
    "map",
    "invalid",
}


def check_fields(node: Node, allowed: frozenset[str] | set[str], kind: str) -> None:
    if not isinstance(node, dict):
        refuse(f"{kind} of an unknown form")
    unknown = node.keys() - allowed
    if unknown:
        refuse(f"{kind} with {', '.join(sorted(unknown))}")


def check_plain(value: Any) -> None:
    """Raises where something hides a node in what should be names and numbers."""
    if isinstance(value, list):
        for item in value:
            check_plain(item)
    elif isinstance(value, dict):
        if "class" in value or "node" in value or "select_list" in value:
            refuse("a query in an unknown place")
        for item in value.values():
            check_plain(item)


def refuse(what: str, says: str | None = None) -> NoReturn:
    raise StatementRefused(says or "this kind of statement can't be run here", expected="one SELECT over tables of the lake", found=what)


def refuse_function(name: str) -> NoReturn:
    raise StatementRefused(f"a query can't call {name} here", expected="functions of their arguments alone", hint="docs/gate.md lists them")
