"""The edges of an expression: every column named in it, wherever in it. What the walk doesn't know it descends into, so it misses none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from headwater.project.lineage.macros import Macro
from headwater.project.lineage.names import known_functions
from headwater.project.lineage.relations import Node, Scope, Unresolvable

if TYPE_CHECKING:
    from headwater.project.lineage.statement import Statement

#: Functions whose second argument is a lambda. (`x -> y` anywhere else is the JSON operator, which the syntax tree writes the same way.)
_TAKES_LAMBDA: Final = frozenset(
    f"{kind}{name}" for kind in ("list_", "array_", "") for name in ("transform", "apply", "filter", "reduce")
) | {"list_comprehension"}  # fmt: skip
UNNEST: Final = frozenset({"unnest", "unlist"})
_MAKES_LIST: Final = frozenset(
    {
        *("array_agg", "array_value", "flatten", "generate_series", "generate_subscripts", "list", "list_apply", "list_concat", "list_distinct"),
        *("list_filter", "list_sort", "list_transform", "list_value", "map_entries", "map_keys", "map_values", "range", "regexp_extract_all"),
        *("regexp_split_to_array", "split", "str_split", "str_split_regex", "string_split", "string_split_regex"),
    }
)
_MACRO_DEPTH: Final = 50


def functions_in(node: Any) -> Iterator[Node]:
    """All function calls of an expression, those of subqueries left out."""
    if isinstance(node, list):
        for item in node:
            yield from functions_in(item)
    elif isinstance(node, dict) and node.get("class") != "SUBQUERY":
        if node.get("class") == "FUNCTION":
            yield node
        for value in node.values():
            if value.__class__ is dict or value.__class__ is list:
                yield from functions_in(value)


def stars_in(node: Any, *, packed: bool = True) -> Iterator[Node]:
    """All `*` and COLUMNS(..) of an expression, those of subqueries left out; without `packed`, those under `*COLUMNS(..)` too."""
    if isinstance(node, list):
        for item in node:
            yield from stars_in(item, packed=packed)
    elif isinstance(node, dict):
        kind = node.get("class")
        if kind == "STAR":
            yield node
        elif kind != "SUBQUERY" and (packed or node.get("type") != "OPERATOR_UNPACK"):
            for value in node.values():
                if value.__class__ is dict or value.__class__ is list:
                    yield from stars_in(value, packed=packed)


class Expressions:
    """Walks the expressions of one statement."""

    def __init__(self, statement: Statement, macros: Mapping[str, tuple[Macro, ...]]) -> None:
        self._statement = statement
        self._macros = macros
        self._depth = 0

    def mask(self, node: Any, scope: Scope) -> int:
        """The edges of a node, or of a list of them. Raises Unresolvable."""
        if node.__class__ is list:
            mask = 0
            for item in node:
                if item.__class__ is dict or item.__class__ is list:
                    mask |= self.mask(item, scope)
            return mask
        if node.__class__ is not dict:
            return 0
        match node.get("class"):
            case "COLUMN_REF":
                return self._statement.names.resolve(node["column_names"], scope)
            case "CONSTANT" | "PARAMETER" | "DEFAULT":
                return 0
            case "FUNCTION" | "WINDOW":
                return self._function(node, scope)
            case "SUBQUERY":
                return self._subquery(node, scope)
            case "LAMBDA":
                return self._arrow(node, scope)
            case "STAR":
                return self._star(node, scope)
            case "POSITIONAL_REFERENCE":
                return self._position(node, scope)
        if "select_list" in node or node.get("type") in ("SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"):
            relation = self._statement.query(node, scope.ctes, scope)
            return relation.everything() | relation.influence
        mask = 0
        for value in node.values():
            if value.__class__ is dict or value.__class__ is list:
                mask |= self.mask(value, scope)
        return mask

    def _children(self, node: Node, scope: Scope) -> int:
        mask = 0
        for value in node.values():
            if value.__class__ is dict or value.__class__ is list:
                mask |= self.mask(value, scope)
        return mask

    def _function(self, node: Node, scope: Scope) -> int:
        name = node["function_name"].lower()
        children = node["children"]
        mask = 0
        receiver = [part for part in (node.get("catalog"), node.get("schema")) if part]
        if receiver:  # `column.function()` is written as if the column were the function's schema
            mask = self._statement.names.find(receiver, scope) or 0
        lambda_at = 0 if mask and receiver else 1
        if name in _TAKES_LAMBDA and len(children) > lambda_at and children[lambda_at].get("class") == "LAMBDA":
            mask |= self._lambda(children[lambda_at], scope)
            mask |= self.mask([child for index, child in enumerate(children) if index != lambda_at], scope)
            rest = {key: value for key, value in node.items() if key != "children"}
            mask |= self._children(rest, scope)
        else:
            mask |= self._children(node, scope)
        if name in self._macros:
            mask |= self._scalar_macro(name, node, scope)
        elif node["class"] == "FUNCTION" and name not in known_functions():
            raise Unresolvable(f"the function {name} isn't known")
        if name in UNNEST:
            scope.row_mask |= mask
        if node["class"] == "WINDOW":
            scope.window_masks.append(self.mask([node["partitions"], node["orders"]], scope))
        return mask

    @staticmethod
    def _parameters(lhs: Node) -> list[str]:
        """The names before a lambda's arrow; empty when it can't be a lambda."""
        items = lhs["children"] if lhs.get("function_name") == "row" else [lhs]
        if all(item.get("class") == "COLUMN_REF" and len(item["column_names"]) == 1 for item in items):
            return [item["column_names"][0].lower() for item in items]
        return []

    def _lambda(self, node: Node, scope: Scope) -> int:
        # the parameters hold values of the list, whose own edges are those of the function's first argument
        return self.mask(node["expr"], scope.within(dict.fromkeys(self._parameters(node["lhs"]), 0)))

    def _arrow(self, node: Node, scope: Scope) -> int:
        """`a -> b` outside the known functions: JSON's operator, or a lambda given to a macro. Read as both."""
        parameters = self._parameters(node["lhs"])
        found = [self._statement.names.find([name], scope) for name in parameters]
        if not parameters or None not in found:
            return self._children(node, scope)
        known = {name: mask or 0 for name, mask in zip(parameters, found, strict=True)}
        return self.mask(node["expr"], scope.within(known))

    def _subquery(self, node: Node, scope: Scope) -> int:
        relation = self._statement.query(node["subquery"]["node"], scope.ctes, scope)
        mask = relation.influence | self.mask(node.get("child"), scope)
        if node["subquery_type"] not in ("EXISTS", "NOT_EXISTS"):
            mask |= relation.everything()
        return mask

    def _star(self, node: Node, scope: Scope) -> int:
        frame = scope.frame
        if frame is None:
            raise Unresolvable("a * without FROM")
        mask = (frame.rest or 0) | self.mask(node.get("replace_list"), scope)
        for source in frame.sources:
            mask |= source.relation.everything()
        return mask

    @staticmethod
    def _position(node: Node, scope: Scope) -> int:
        frame = scope.frame
        index: int = node["index"]
        if frame is None or frame.rest is not None or index > len(frame.visible):
            raise Unresolvable(f"#{index} means no known column")
        return frame.visible[index - 1].column.mask

    def arguments(self, macro: Macro, node: Node, scope: Scope) -> dict[str, int] | None:
        """The edges of each of the macro's parameters in a call; None when this overload doesn't take such a call."""
        masks = dict.fromkeys(macro.parameters, 0)
        position = 0
        for child in node["children"]:
            alias = (child.get("alias") or "").lower()
            if alias in masks:
                masks[alias] |= self.mask(child, scope)
            elif child.get("type") == "COMPARE_EQUAL" and child["left"].get("column_names", [""])[-1].lower() in masks:
                masks[child["left"]["column_names"][-1].lower()] |= self.mask(child["right"], scope)
            elif position < len(macro.parameters):
                masks[macro.parameters[position]] |= self.mask(child, scope)
                position += 1
            else:
                return None
        return masks

    def _scalar_macro(self, name: str, node: Node, scope: Scope) -> int:
        mask = 0
        self._depth += 1
        if self._depth > _MACRO_DEPTH:
            raise Unresolvable(f"the macro {name} calls itself")
        for macro in self._macros[name]:
            if macro.body is None:
                raise Unresolvable(f"the macro {name} can't be read")
            masks = None if macro.is_table else self.arguments(macro, node, scope)
            if masks is not None:
                relation = self._statement.query(macro.body, {}, scope.within(masks))
                mask |= relation.everything() | relation.influence
        self._depth -= 1
        return mask

    def makes_list(self, node: Node, scope: Scope) -> bool:
        """Whether an expression is known to give a list (or an array): UNNEST of a struct gives a column for each of its fields."""
        if len(node["children"]) > 1:  # recursive := true, max_depth := 2
            return False
        argument = node["children"][0] if node["children"] else {}
        match argument.get("class"):
            case "FUNCTION":
                name = argument["function_name"].lower()
                return name in _MAKES_LIST
            case "COLUMN_REF":
                return (self._statement.names.column_type(argument["column_names"], scope) or "").endswith("]")
            case "CAST":
                return bool(argument["cast_type"]["id"] in ("LIST", "ARRAY"))
            case "OPERATOR":
                return bool(argument["type"] == "ARRAY_CONSTRUCTOR")
        return False
