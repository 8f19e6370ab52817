"""Types of a statement's parameters: those its author gave, else those of what they are compared with, which wire protocols have to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from headwater.engine import Connection, describe_query
from headwater.errors import HeadwaterError
from headwater.spec.tables import Column
from headwater.storage.gate.tree import EMPTY_SELECT, Node, expression_of, to_sql

#: Of a parameter of which nothing else can be told.
UNKNOWN_TYPE: Final = "VARCHAR"
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "//", "%"})
_TEXTUAL: Final = frozenset({"~~", "!~~", "~~*", "!~~*", "~~~", "||", "regexp_matches", "regexp_full_match", "like_escape", "ilike_escape"})


def infer_types(node: Node, names: Sequence[str], given: Mapping[str, str | None], connection: Connection) -> dict[str, str]:
    """A DuckDB type for each parameter. What a type is inferred from is bound on `connection`, never run."""
    found: dict[str, str] = {name: type_name for name in names if (type_name := given.get(name))}
    if len(found) < len(names):
        _Search(found, connection).look(node, None, [])
    return {name: found.get(name, UNKNOWN_TYPE) for name in names}


def described_columns(node: Node, types: Mapping[str, str], connection: Connection) -> list[Column] | None:
    """What a query gives whose parameters are of these types; None for one that can't be written out. Binds on `connection` and runs nothing.

    DuckDB takes what is computed of a constant null for an INTEGER, of whatever type the null is: price + NULL::DECIMAL. Not so of a subquery, which
    in turn can't stand where a constant must.
    """
    text = to_sql(_with_nulls(node, types, "(SELECT CAST(NULL AS {}))"))
    if text is None:
        return None
    try:
        return describe_query(connection, text)
    except HeadwaterError:
        constant = to_sql(_with_nulls(node, types, "CAST(NULL AS {})"))
        if constant is None:
            raise
        return describe_query(connection, constant)


def _with_nulls(node: Any, types: Mapping[str, str], form: str) -> Any:
    """The tree with a null of its type in place of each parameter, written as `form` says."""
    if isinstance(node, list):
        return [_with_nulls(item, types, form) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("class") == "PARAMETER":
        return {**expression_of(form.format(types[node["identifier"]])), "alias": node["alias"]}
    return {key: _with_nulls(value, types, form) for key, value in node.items()}


class _Search:
    def __init__(self, found: dict[str, str], connection: Connection) -> None:
        self._found = found
        self._connection = connection

    def look(self, node: Any, select: Node | None, withs: list[Node]) -> None:
        if isinstance(node, list):
            for item in node:
                self.look(item, select, withs)
            return
        if not isinstance(node, dict):
            return
        if node.get("type") == "SELECT_NODE":
            select = node
            withs = [*withs, *node["cte_map"]["map"]]
        if node.get("type") in ("LIMIT_MODIFIER",):
            for part in ("limit", "offset"):
                self._put(node.get(part), "BIGINT")
        self._judge(node, select, withs)
        for value in node.values():
            self.look(value, select, withs)

    def _judge(self, node: Node, select: Node | None, withs: list[Node]) -> None:
        match node.get("class"):
            case "CAST":
                self._cast(node)
            case "COMPARISON":
                self._pair([node["left"], node["right"]], select, withs)
            case "BETWEEN":
                self._pair([node["input"], node["lower"], node["upper"]], select, withs)
            case "OPERATOR" if node["type"] in ("COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_COALESCE"):
                self._pair(node["children"], select, withs)
            case "FUNCTION" if node["function_name"] in _ARITHMETIC:
                self._pair(node["children"], select, withs)
            case "FUNCTION" if node["function_name"] in _TEXTUAL:
                for child in node["children"]:
                    self._put(child, "VARCHAR")
            case "SUBQUERY" if node["subquery_type"] == "ANY" and node["child"] is not None:
                inner = node["subquery"]["node"]
                if inner.get("type") == "SELECT_NODE" and len(inner["select_list"]) == 1 and _is_parameter(node["child"]):
                    self._put(node["child"], self._type_of(inner["select_list"][0], inner, [*withs, *inner["cte_map"]["map"]]))
            case _:
                pass

    def _cast(self, node: Node) -> None:
        if _is_parameter(node["child"]) and node["child"]["identifier"] not in self._found:
            text = to_sql({**EMPTY_SELECT, "select_list": [_with_nulls(node, {node["child"]["identifier"]: "VARCHAR"}, "CAST(NULL AS {})")]})
            if text is not None:
                self._put(node["child"], self._described(text))

    def _pair(self, sides: Sequence[Node], select: Node | None, withs: list[Node]) -> None:
        """A parameter has the type of the first of its companions that has one."""
        if not any(_is_parameter(side) and side["identifier"] not in self._found for side in sides):
            return
        for other in sides:
            if not _has_parameter(other):
                type_name = self._type_of(other, select, withs)
                if type_name is not None:
                    for side in sides:
                        self._put(side, type_name)
                    return

    def _type_of(self, expression: Node, select: Node | None, withs: list[Node]) -> str | None:
        if select is None or _has_parameter(select["from_table"]):
            return None
        entries = [entry for entry in withs if not _has_parameter(entry)]
        query = {**EMPTY_SELECT, "select_list": [expression], "from_table": select["from_table"], "cte_map": {"map": entries}}
        try:
            text = to_sql(query)
        except HeadwaterError:
            return None
        return None if text is None else self._described(text)

    def _described(self, text: str) -> str | None:
        try:
            return describe_query(self._connection, text)[0].type
        except HeadwaterError:
            return None

    def _put(self, node: Node | None, type_name: str | None) -> None:
        if _is_parameter(node) and type_name is not None and node is not None:
            self._found.setdefault(node["identifier"], "INTEGER" if type_name == "INTEGER_LITERAL" else type_name)


def _is_parameter(node: Node | None) -> bool:
    return node is not None and node.get("class") == "PARAMETER"


def _has_parameter(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_has_parameter, node))
    return isinstance(node, dict) and (node.get("class") == "PARAMETER" or any(map(_has_parameter, node.values())))
