"""What EXPLAIN tells: a query's parts as its writer put them, and each table with what the rules do to it.

Made of the syntax tree as it was written alone. What the engine would do, in which order, from which files and of how many rows isn't asked: all of
that follows from rows that a reader may not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headwater.storage.gate import functions
from headwater.storage.gate.tree import Node, texts_of

#: Characters of an expression that are told.
_MOST_CHARACTERS: Final = 300


@dataclass(slots=True)
class _Line:
    depth: int
    words: str
    expressions: Sequence[Node] = ()
    #: What stands behind each expression.
    ends: Sequence[str] = ()


def outline(query: Node, notes: Mapping[str, str]) -> list[str]:
    """One line a part, the last done first, each indented under what it is given to. `notes` are told of tables, by their names in small letters."""
    parts = _Parts(notes)
    parts.query(query, 0)
    texts = iter(texts_of([{**one, "alias": ""} for line in parts.lines for one in line.expressions]))
    return [_text(line, [next(texts) for _ in line.expressions]) for line in parts.lines]


def _text(line: _Line, texts: Sequence[str]) -> str:
    ends = line.ends or [""] * len(texts)
    told = ", ".join(text + end for text, end in zip(texts, ends, strict=True)).replace("\n", " ")
    if len(told) > _MOST_CHARACTERS:
        told = f"{told[:_MOST_CHARACTERS]} .."
    return "  " * line.depth + " ".join(part for part in (line.words, told) if part)


@dataclass(slots=True)
class _Parts:
    notes: Mapping[str, str]
    lines: list[_Line] = field(default_factory=list)

    def query(self, node: Node, depth: int) -> None:
        start = depth
        for modifier in reversed(node["modifiers"]):
            self._modifier(modifier, depth)
            depth += 1
        match node["type"]:
            case "SELECT_NODE":
                self._select(node, depth)
            case "SET_OPERATION_NODE":
                self._add(depth, f"{str(node['setop_type']).capitalize()}{' all' if node['setop_all'] else ''}")
                for side in node.get("children") or (node["left"], node["right"]):
                    self.query(side, depth + 1)
            case _:
                self._add(depth, "Recursive union")
                self.query(node["left"], depth + 1)
                self.query(node["right"], depth + 1)
        for entry in node["cte_map"]["map"]:
            self._add(start, f"With {entry['key']}")
            self.query(entry["value"]["query"]["node"], start + 1)

    def _add(self, depth: int, words: str, expressions: Sequence[Node] = (), ends: Sequence[str] = ()) -> None:
        self.lines.append(_Line(depth, words, expressions, ends))

    def _modifier(self, modifier: Node, depth: int) -> None:
        match modifier["type"]:
            case "ORDER_MODIFIER":
                orders = modifier["orders"]
                ends = [" descending" if "DESC" in str(order["type"]) else "" for order in orders]
                self._add(depth, "Sort by", [order["expression"] for order in orders], ends)
            case "DISTINCT_MODIFIER":
                self._add(depth, "Distinct", modifier["distinct_on_targets"] or ())
            case kind:
                unit = " percent" if kind == "LIMIT_PERCENT_MODIFIER" else ""
                given = [(modifier[name], name) for name in ("limit", "offset") if modifier.get(name) is not None]
                ends = [unit if name == "limit" else " left out" for _, name in given]
                self._add(depth, "Limit", [expression for expression, _ in given], ends)

    def _select(self, node: Node, depth: int) -> None:
        groups = node["group_expressions"]
        is_grouped = groups or node["aggregate_handling"] == "FORCE_AGGREGATES" or _aggregates(node["select_list"]) or node["having"] is not None
        for words, expressions, is_there in (
            ("Filter windows by", [node["qualify"]], node["qualify"] is not None),
            ("Filter groups by", [node["having"]], node["having"] is not None),
            ("Group by" if groups else "Aggregate", groups, is_grouped),
            ("Filter by", [node["where_clause"]], node["where_clause"] is not None),
            ("Sample", [], node["sample"] is not None),
        ):
            if is_there:
                self._add(depth, words, expressions)
                depth += 1
        self._ref(node["from_table"], depth)
        for subquery in _subqueries([node[key] for key in ("select_list", "where_clause", "group_expressions", "having", "qualify")]):
            self._add(depth, "Subquery in an expression")
            self.query(subquery, depth + 1)

    def _ref(self, node: Node, depth: int) -> None:
        named = f" as {node['alias']}" if node.get("alias") else ""
        match node["type"]:
            case "BASE_TABLE":
                name = f"{node['schema_name']}.{node['table_name']}" if node["schema_name"] else str(node["table_name"])
                note = self.notes.get(name.lower(), "")
                self._add(depth, f"Read {name}{named}{f': {note}' if note else ''}")
            case "SUBQUERY":
                self._add(depth, f"Subquery{named}")
                self.query(node["subquery"]["node"], depth + 1)
            case "JOIN":
                kind = f"{node['ref_type']} {node['join_type']}".lower().removeprefix("regular ").replace("cross inner", "cross")
                using = f" using {', '.join(node['using_columns'])}" if node["using_columns"] else ""
                condition = node["condition"]
                self._add(depth, f"Join, {kind}{using}{', on' if condition is not None else ''}", [] if condition is None else [condition])
                self._ref(node["left"], depth + 1)
                self._ref(node["right"], depth + 1)
                for subquery in _subqueries(condition):
                    self._add(depth + 1, "Subquery in an expression")
                    self.query(subquery, depth + 2)
            case "TABLE_FUNCTION":
                self._add(depth, f"Call {node['function']['function_name']}{named}")
                for subquery in _subqueries(node["function"]):
                    self._add(depth + 1, "Subquery in an expression")
                    self.query(subquery, depth + 2)
            case "EXPRESSION_LIST":
                self._add(depth, f"Values{named}")
            case "PIVOT":
                self._add(depth, f"{'Unpivot' if node['unpivot_names'] else 'Pivot'}{named}")
                self._ref(node["source"], depth + 1)
            case "SHOW_REF":
                self._add(depth, str(node["show_type"]).capitalize())
                self.query(node["query"], depth + 1)
            case _:
                self._add(depth, "No table")


def _subqueries(value: Any) -> list[Node]:
    """The outermost queries in expressions."""
    if isinstance(value, list):
        return [found for item in value for found in _subqueries(item)]
    if not isinstance(value, dict):
        return []
    if value.get("class") == "SUBQUERY":
        return [value["subquery"]["node"], *_subqueries(value["child"])]
    return [found for item in value.values() if isinstance(item, dict | list) for found in _subqueries(item)]


def _aggregates(value: Any) -> bool:
    """Whether an aggregate function is called, outside a query of an expression's own."""
    if isinstance(value, list):
        return any(_aggregates(item) for item in value)
    if not isinstance(value, dict) or value.get("class") in ("SUBQUERY", "WINDOW"):
        return False
    is_call = value.get("class") == "FUNCTION" and str(value["function_name"]).lower() in functions.AGGREGATES
    return is_call or any(_aggregates(item) for item in value.values() if isinstance(item, dict | list))
