"""The relations of one statement, bottom up in one pass over DuckDB's own syntax tree: every query gives its columns with their edges, and the
inputs that decided its rows.

Window columns (PARTITION BY, ORDER BY, FILTER) count as value edges of the column they compute. What orders the rows, ORDER BY or a window, counts as
influence wherever something after it may see the order (a LIMIT, another window, `list()` in an outer query): only the order of the finished
result is nobody's business, since a table has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headwater.project.lineage.expressions import Expressions, functions_in
from headwater.project.lineage.froms import Froms
from headwater.project.lineage.items import Items
from headwater.project.lineage.lookup import Lookup
from headwater.project.lineage.macros import Macro
from headwater.project.lineage.names import aggregate_functions, name_columns, rename
from headwater.project.lineage.relations import Column, Inputs, Node, Relation, Scope, Source, Unresolvable, widest
from headwater.spec.names import TableName

#: The columns of a table, in order: names, or a mapping of names to DuckDB types. None when they aren't known.
Columns = Sequence[str] | Mapping[str, str]
ColumnsOf = Callable[[TableName], Columns | None]

_LIMITS = ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER")


class Cte:
    """A common table expression; its relation is derived where it is first read."""

    def __init__(self, statement: Statement, node: Node, aliases: Sequence[str], ctes: Mapping[str, Any], outer: Scope | None) -> None:
        self._statement = statement
        self._node = node
        self._aliases = aliases
        self._ctes = ctes
        self._outer = outer
        self._relation: Relation | None = None

    @property
    def relation(self) -> Relation:
        if self._relation is None:
            self._relation = self._statement.query(self._node, self._ctes, self._outer)
            rename(self._relation, self._aliases)
        return self._relation


class Ready:
    """A recursive CTE as far as it has been derived."""

    def __init__(self, relation: Relation) -> None:
        self.relation = relation


class Statement:
    """One statement being derived."""

    def __init__(self, columns_of: ColumnsOf, macros: Mapping[str, tuple[Macro, ...]]) -> None:
        self.columns_of = columns_of
        self.inputs = Inputs()
        self.names = Lookup(self.inputs)
        self.expressions = Expressions(self, macros)
        self.items = Items(self)
        self.froms = Froms(self, macros)
        self._unread: list[Cte] = []

    def derive(self, tree: Node) -> Relation:
        """The relation of a whole statement, its columns named. Raises Unresolvable."""
        relation = self.query(tree, {}, None, is_whole=True)
        name_columns(relation.columns)
        for cte in self._unread:  # they add nothing to the edges but their tables count as read
            _ = cte.relation
        return relation

    def query(self, node: Node, ctes: Mapping[str, Any], outer: Scope | None, *, is_whole: bool = False) -> Relation:
        """The relation of a query node. Names in it are looked up in it first, then in `outer`."""
        entries = node["cte_map"]["map"]
        if entries:
            visible = dict(ctes)
            for entry in entries:
                cte = Cte(self, entry["value"]["query"]["node"], entry["value"].get("aliases") or (), dict(visible), outer)
                visible[entry["key"].lower()] = cte
                self._unread.append(cte)
            ctes = visible
        match node["type"]:
            case "SELECT_NODE":
                return self._select(node, ctes, outer, is_whole)
            case "SET_OPERATION_NODE":
                return self._set_operation(node, ctes, outer, is_whole)
            case "RECURSIVE_CTE_NODE":
                return self._recursive(node, ctes, outer)
            case "CTE_NODE":
                cte = Cte(self, node["query"], node.get("aliases") or (), ctes, outer)
                return self.query(node["child"], {**ctes, node["cte_name"].lower(): cte}, outer, is_whole=is_whole)
        raise Unresolvable(f"a query of the kind {node['type']}")

    def _select(self, node: Node, ctes: Mapping[str, Any], outer: Scope | None, is_whole: bool) -> Relation:
        frame = self.froms.frame(node["from_table"], ctes, outer)
        scope = Scope(frame.sources, ctes, outer, frame)
        relation = self.items.relation(node["select_list"], scope)
        relation.influence = frame.influence | scope.row_mask
        scope.in_clause = True
        mask = self.expressions.mask
        if node["where_clause"]:
            relation.influence |= mask(node["where_clause"], scope)
        for expression in node["group_expressions"]:
            relation.influence |= self._by_position(expression, relation) or mask(expression, scope)
        if node["aggregate_handling"] == "FORCE_AGGREGATES":
            relation.influence |= self._group_all(node["select_list"], scope)
        for clause in ("having", "qualify"):
            if node[clause]:
                relation.influence |= mask(node[clause], scope)
        is_order_seen = not is_whole or node["qualify"] or len(set(scope.window_masks)) > 1 or any(m["type"] in _LIMITS for m in node["modifiers"])
        if is_order_seen:  # a window sorts the rows for whatever comes after it and leaves their order open
            for window in scope.window_masks:
                relation.influence |= window
        self._modify(relation, node["modifiers"], scope, is_whole)
        return relation

    def _by_position(self, expression: Node, relation: Relation) -> int:
        """The edges of `1` in GROUP BY 1 or ORDER BY 1; 0 for what isn't a position."""
        if expression.get("class") != "CONSTANT" or not isinstance(expression["value"].get("value"), int):
            return 0
        position: int = expression["value"]["value"]
        if relation.is_open or not 1 <= position <= len(relation.columns):
            return relation.everything()
        return relation.columns[position - 1].mask

    def _group_all(self, items: list[Node], scope: Scope) -> int:
        """The edges of the keys of GROUP BY ALL: the items without an aggregate."""
        mask = 0
        for item in items:
            if not any(call["function_name"].lower() in aggregate_functions() for call in functions_in(item)):
                mask |= self.expressions.mask(item, scope)
        return mask

    def _modify(self, relation: Relation, modifiers: list[Node], scope: Scope, is_whole: bool) -> None:
        kinds = {modifier["type"] for modifier in modifiers}
        for modifier in modifiers:
            match modifier["type"]:
                case "ORDER_MODIFIER":
                    if not is_whole or kinds & {*_LIMITS, "DISTINCT_MODIFIER"}:
                        relation.influence |= self._order(modifier, relation, scope)
                case "DISTINCT_MODIFIER":
                    targets = modifier["distinct_on_targets"]
                    for target in targets:
                        relation.influence |= self._by_position(target, relation) or self.expressions.mask(target, scope)
                    if not targets:
                        relation.influence |= relation.everything()
                case "LIMIT_MODIFIER" | "LIMIT_PERCENT_MODIFIER":
                    relation.influence |= self.expressions.mask([modifier.get("limit"), modifier.get("offset")], scope)
                case other:
                    raise Unresolvable(f"a clause of the kind {other}")

    def _order(self, modifier: Node, relation: Relation, scope: Scope) -> int:
        mask = 0
        for order in modifier["orders"]:
            expression = order["expression"]
            if expression.get("class") == "STAR":
                mask |= relation.everything()
                continue
            mask |= self._by_position(expression, relation) or self.expressions.mask(expression, scope)
        return mask

    def _set_operation(self, node: Node, ctes: Mapping[str, Any], outer: Scope | None, is_whole: bool) -> Relation:
        branches = node.get("children") or [node["left"], node["right"]]
        parts = [self.query(branch, ctes, outer) for branch in branches]
        kind = node["setop_type"]
        relation = _united_by_name(parts) if kind == "UNION_BY_NAME" else _united(parts)
        for part in parts:
            relation.influence |= part.influence
        if kind not in ("UNION", "UNION_BY_NAME") or not node.get("setop_all", True):
            relation.influence |= relation.everything()
        scope = Scope([Source("", "", relation)], ctes, outer)
        try:
            self._modify(relation, node["modifiers"], scope, is_whole)
        except Unresolvable:  # ORDER BY may name a column as any of the branches has it
            relation.influence |= relation.everything() | self.expressions.mask(
                [[modifier.get("limit"), modifier.get("offset")] for modifier in node["modifiers"]], scope
            )
        return relation

    def _recursive(self, node: Node, ctes: Mapping[str, Any], outer: Scope | None) -> Relation:
        """The least fixed point: the recursive part is derived over what is known of the whole until it adds nothing."""
        name = node["cte_name"].lower()
        relation = self.query(node["left"], ctes, outer)
        rename(relation, node.get("aliases") or ())
        name_columns(relation.columns)
        while True:
            step = self.query(node["right"], {**ctes, name: Ready(_copied(relation))}, outer)
            united = _united([relation, step])
            united.influence = relation.influence | step.influence
            if not node.get("union_all", True) or node.get("key_targets"):
                united.influence |= united.everything()
            if _edges(united) == _edges(relation):
                return united
            relation = united


def _edges(relation: Relation) -> tuple[int, int | None, list[int]]:
    return relation.influence, relation.rest, [column.mask for column in relation.columns]


def _copied(relation: Relation) -> Relation:
    return Relation([Column(c.name, c.mask, c.type, c.expression) for c in relation.columns], relation.influence, relation.rest, relation.table)


def _united(parts: list[Relation]) -> Relation:
    """Columns by position, named as in the first part."""
    first = parts[0]
    if any(part.is_open for part in parts):
        mask = 0
        for part in parts:
            mask |= part.everything()
        return Relation([Column(c.name, mask, None, c.expression) for c in first.columns], 0, mask)
    if len({len(part.columns) for part in parts}) > 1:
        raise Unresolvable("the parts of a set operation have different numbers of columns")
    columns = []
    for index, column in enumerate(first.columns):
        mask = 0
        for part in parts:
            mask |= part.columns[index].mask
        columns.append(Column(column.name, mask, column.type, column.expression))
    return Relation(columns)


def _united_by_name(parts: list[Relation]) -> Relation:
    columns: dict[str, Column] = {}
    for part in parts:
        name_columns(part.columns)
        for column in part.columns:
            key = str(column.name).lower()
            if key in columns:
                columns[key].mask |= column.mask
            else:
                columns[key] = Column(column.name, column.mask)
    rest = widest(*(part.rest for part in parts))
    if rest is not None:  # a column of one part may be among those not known of another
        for column in columns.values():
            column.mask |= rest
    return Relation(list(columns.values()), 0, rest)
