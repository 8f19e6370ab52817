"""Pieces of DuckDB's syntax tree: making them, comparing them, and turning a tree back into SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from headwater.engine import parse_tree, unparse_trees
from headwater.errors import StatementRefused
from headwater.spec.names import quote_literal

Node = dict[str, Any]

_NOWHERE: Final = 18446744073709551615
#: Where a node stands in its text, in a tree's JSON; within a string its quotes would have backslashes.
_PLACE: Final = re.compile(r'"query_location": \d+')
_TRUE: Final[Node] = {"type": {"id": "BOOLEAN", "type_info": None}, "is_null": False, "value": True}
_FALSE: Final[Node] = {**_TRUE, "value": False}
EMPTY_SELECT: Final[Node] = {
    "type": "SELECT_NODE",
    "modifiers": [],
    "cte_map": {"map": []},
    "select_list": [],
    "from_table": {"type": "EMPTY", "alias": "", "sample": None, "query_location": 0},
    "where_clause": None,
    "group_expressions": [],
    "group_sets": [],
    "aggregate_handling": "STANDARD_HANDLING",
    "having": None,
    "sample": None,
    "qualify": None,
}


def query_of(sql: str) -> Node:
    """The query node of one SELECT of our own making."""
    tree = parse_tree(sql)
    if tree is None or len(tree["statements"]) != 1:
        raise StatementRefused("a rule or a view can't be read as one query", hint="headwater lint says which")
    node: Node = tree["statements"][0]["node"]
    return node


def expression_of(sql: str) -> Node:
    """The expression node of SQL of our own making."""
    node: Node = query_of(f"SELECT {sql}")["select_list"][0]
    return node


def texts_of(expressions: Sequence[Node]) -> list[str]:
    """How DuckDB writes each expression out."""
    if not expressions:
        return []
    trees = [json.dumps(statement({**EMPTY_SELECT, "select_list": [expression]})) for expression in expressions]
    return [text.removeprefix("SELECT ") for text in unparse_trees(trees)]


def text_constant(text: str) -> Node:
    return expression_of(quote_literal(text))


def texts_constant(texts: Sequence[str]) -> Node:
    """A VARCHAR[]."""
    return expression_of(f"CAST([{', '.join(map(quote_literal, texts))}] AS VARCHAR[])")


def subquery_ref(node: Node, alias: str, *, columns: Sequence[str] = (), sample: object = None) -> Node:
    return {
        "type": "SUBQUERY",
        "alias": alias,
        "sample": sample,
        "query_location": _NOWHERE,
        "subquery": {"node": node, "named_param_map": []},
        "column_name_alias": list(columns),
    }


def statement(node: Node, parameters: object = ()) -> Node:
    return {"error": False, "statements": [{"node": node, "named_param_map": parameters or []}]}


def to_sql(node: Node, parameters: object = ()) -> str | None:
    """SQL that DuckDB reads as this very tree; None where what it would read differs in anything but where things stand in the text.

    The comparison is what makes the walk's verdict hold for the text that runs.
    """
    text = _written(node, parameters)
    return text if text is not None else _written(_with_doubles_as_casts(node), parameters)


def _written(node: Node, parameters: object) -> str | None:
    (text,) = unparse_trees([json.dumps(statement(node, parameters))])
    again = parse_tree(text, keep=False)
    if again is None or len(again["statements"]) != 1 or not _are_alike(again["statements"][0]["node"], node):
        return None
    return text


def _are_alike(one: Node, other: Node) -> bool:
    """As texts they are compared in a tenth of the time, where nothing is written otherwise."""
    without_places = (_PLACE.sub("", json.dumps(node)) for node in (one, other))
    return next(without_places) == next(without_places) or _plain(one) == _plain(other)


def _with_doubles_as_casts(value: Any) -> Any:
    """DuckDB writes `1e5` out as `100000.0`, and would read a DECIMAL."""
    if isinstance(value, list):
        return [_with_doubles_as_casts(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "VALUE_CONSTANT" and value["value"]["type"]["id"] == "DOUBLE" and not value["value"]["is_null"]:
        return {**expression_of(f"CAST({quote_literal(repr(value['value']['value']))} AS DOUBLE)"), "alias": value["alias"]}
    return {key: _with_doubles_as_casts(item) for key, item in value.items()}


def _plain(value: Any) -> Any:
    """Without places in the text; a list of VALUES as if it stood in brackets of its own, as it is written out; and `true` as the cast that
    DuckDB reads in it: `IS TRUE` alone makes a constant of it.
    """
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _plain(item) for key, item in value.items() if key != "query_location"}
    if found.get("type") == "VALUE_CONSTANT" and found["value"] in (_TRUE, _FALSE):
        return {**_plain(expression_of("true" if found["value"]["value"] else "false")), "alias": found["alias"]}
    if found.get("type") == "SUBQUERY" and found.get("alias") == "valueslist" and found.get("column_name_alias") == []:
        inner = found["subquery"]["node"]
        if _is_bare_values(inner):
            return {**inner["from_table"], "sample": found["sample"]}
    return found


def _is_bare_values(node: Node) -> bool:
    source = node.get("from_table") or {}
    stars = node.get("select_list") or []
    return (
        node.get("type") == "SELECT_NODE"
        and source.get("type") == "EXPRESSION_LIST"
        and not node["modifiers"]
        and not node["cte_map"]["map"]
        and len(stars) == 1
        and stars[0].get("class") == "STAR"
        and not any(
            stars[0][key] for key in ("relation_name", "exclude_list", "replace_list", "columns", "expr", "qualified_exclude_list", "rename_list")
        )
        and not any(node[key] for key in ("where_clause", "group_expressions", "group_sets", "having", "sample", "qualify"))
    )
