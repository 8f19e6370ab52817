"""Types of a statement's parameters: those its author gave, else those of what they are compared with, which wire protocols have to tell.
And nulls of these types in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from headwater.engine import Connection, describe_query
from headwater.errors import HeadwaterError
from headwater.spec.tables import Column
from headwater.storage.gate.tree import EMPTY_SELECT, Node, expression_of, to_sql

#: Of a parameter of which nothing else can be told.
UNKNOWN_TYPE: Final = "VARCHAR"
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "//", "%"})
_OF_ONE_TYPE: Final = frozenset({"greatest", "least", "list_value", "nullif"})
_TEXTUAL: Final = frozenset({"~~", "!~~", "~~*", "!~~*", "~~~", "||", "regexp_matches", "regexp_full_match", "like_escape", "ilike_escape"})


def infer_types(node: Node, names: Sequence[str], given: Mapping[str, str | None], connection: Connection) -> dict[str, str]:
    """A DuckDB type for each parameter. What a type is inferred from is bound on `connection`, never run."""
    found: dict[str, str] = {name: type_name for name in names if (type_name := given.get(name))}
    if len(found) < len(names):
        _Search(found, connection).look(node, None, [])
    return {name: found.get(name, UNKNOWN_TYPE) for name in names}


@dataclass(frozen=True, slots=True)
class TypedNulls:
    """A query with nulls in the place of some of its parameters, and those that it still has."""

    sql: str
    parameters: frozenset[str]


def described_columns(node: Node, types: Mapping[str, str], connection: Connection) -> list[Column] | None:
    """What a query gives whose parameters are of these types; None for one that can't be written out. Binds on `connection` and runs nothing."""
    return _bound(node, types, connection)[1]


def with_typed_nulls(node: Node, names: Sequence[str], nulls: AbstractSet[str], connection: Connection) -> TypedNulls | None:
    """What runs where the parameters `nulls` are null, so that the columns are of the types that `described_columns` says; None for the query itself.

    Binds on `connection` and runs nothing.
    """
    if not any(is_deciding and name in nulls for name, is_deciding in _parameters(node)):
        return None
    try:
        types = infer_types(node, names, {}, connection)
        form, _ = _bound(node, types, connection)
        alike = form.deciding if form.other == form.deciding else None
        written = _with_nulls(node, {name: types[name] for name in nulls}, _Form(form.deciding, alike))
        text = to_sql(written)
    except HeadwaterError:
        return None
    return None if text is None else TypedNulls(text, frozenset(name for name, _ in _parameters(written)))


@dataclass(frozen=True, slots=True)
class _Form:
    """How a null of a type is written where it decides the type of a column, and where it doesn't; None: the parameter stays."""

    deciding: str
    other: str | None


#: DuckDB takes what is computed of a constant null for an INTEGER, of whatever type the null is: price + NULL::DECIMAL.
_CONSTANT: Final = "CAST(NULL AS {})"
#: Not so of a subquery. It can't stand where a constant must, nor in a lambda.
_SUBQUERY: Final = "(SELECT CAST(NULL AS {}))"
#: Slower than a subquery. It can stand in a lambda.
_COMPUTED: Final = "CASE WHEN random() > 2 THEN CAST(NULL AS {}) END"
#: The first that binds is taken. A subquery takes its time to plan; what HAVING says again of a group has to be written alike.
_FORMS: Final = (_Form(_SUBQUERY, _CONSTANT), _Form(_SUBQUERY, _SUBQUERY), _Form(_COMPUTED, _CONSTANT), _Form(_CONSTANT, _CONSTANT))
#: Says which rows there are, and in what order.
_OF_ROWS: Final = frozenset({"where_clause", "having", "qualify", "modifiers", "condition", "when_expr", "filter", "filter_expr"})
_CONDITIONS: Final = frozenset({"COMPARISON", "BETWEEN", "CONJUNCTION"})
_CONDITIONAL: Final = frozenset({"COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_NOT"})


def _bound(node: Node, types: Mapping[str, str], connection: Connection) -> tuple[_Form, list[Column] | None]:
    """The form of nulls with which a query is bound, and its columns, None where it can't be written out. Raises what binding raises."""
    tried: set[str] = set()
    failure: HeadwaterError | None = None
    for form in _FORMS:
        text = to_sql(_with_nulls(node, types, form))
        if text is None:
            return form, None
        if text in tried:
            continue
        tried.add(text)
        try:
            return form, describe_query(connection, text)
        except HeadwaterError as error:
            failure = error
    assert failure is not None
    raise failure


def _with_nulls(node: Any, types: Mapping[str, str], form: _Form, is_deciding: bool = True) -> Any:
    """The tree with a null of its type in the place of each parameter that has one."""
    if isinstance(node, list):
        return [_with_nulls(item, types, form, is_deciding) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("class") == "PARAMETER":
        text, type_name = form.deciding if is_deciding else form.other, types.get(node["identifier"])
        return node if text is None or type_name is None else {**expression_of(text.format(type_name)), "alias": node["alias"]}
    return {key: _with_nulls(value, types, form, is_deciding and _is_deciding(node, key)) for key, value in node.items()}


def _parameters(node: Any, is_deciding: bool = True) -> Iterator[tuple[str, bool]]:
    """Each place of a parameter: its name, and whether it may decide the type of a column."""
    if isinstance(node, list):
        for item in node:
            yield from _parameters(item, is_deciding)
    elif isinstance(node, dict):
        if node.get("class") == "PARAMETER":
            yield node["identifier"], is_deciding
        for key, value in node.items():
            yield from _parameters(value, is_deciding and _is_deciding(node, key))


def _is_deciding(node: Node, key: str) -> bool:
    """Whether what stands there may decide the type of a column."""
    is_condition = node.get("class") in _CONDITIONS or (node.get("class") == "OPERATOR" and node["type"] in _CONDITIONAL)
    return key not in _OF_ROWS and not is_condition


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
            case "CASE":
                self._pair([*(branch["then_expr"] for branch in node["case_checks"]), node["else_expr"]], select, withs)
            case "FUNCTION" if node["function_name"] in _ARITHMETIC | _OF_ONE_TYPE:
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
            text = to_sql({**EMPTY_SELECT, "select_list": [_with_nulls(node, {node["child"]["identifier"]: "VARCHAR"}, _FORMS[-1])]})
            if text is not None:
                self._put(node["child"], self._described(text))

    def _pair(self, sides: Sequence[Node], select: Node | None, withs: list[Node]) -> None:
        """A parameter has the type of the first of its companions that has one."""
        if not any(_is_parameter(side) and side["identifier"] not in self._found for side in sides):
            return
        for other in sides:
            if other.get("class") == "CAST" and not _is_parameter(other):
                other = {**other, "child": expression_of("NULL")}  # its type is its own, whatever it is of
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
