"""Statements that the engine would work at for minutes before it has run anything, and can't be stopped in."""

from __future__ import annotations

from typing import Any, Final

from headwater.errors import StatementRefused
from headwater.storage.gate.tree import Node

#: The sum over a statement's expressions of how deep each stands, squared: a chain of 290 additions, which takes the engine a third of a
#: second, or some sixty quotients of numerics in Postgres' words.
_MOST_ENTANGLED: Final = 8_000_000
#: Subqueries in expressions, one in another.
_MOST_SUBQUERIES: Final = 12


def refuse_entangled(node: Node) -> None:
    """Raises StatementRefused. The engine's time for an expression grows with the third power of its depth, and doubles with each subquery in it,
    before anything could interrupt it: a thousand additions, or thirty subqueries, keep a core for minutes.
    """
    found = 0
    waiting: list[tuple[Any, int, int]] = [(node, 0, 0)]
    while waiting:
        value, depth, subqueries = waiting.pop()
        if isinstance(value, list):
            waiting.extend((item, depth, subqueries) for item in value if isinstance(item, (dict, list)))
        elif isinstance(value, dict):
            if str(value.get("type", "")).endswith("_NODE"):
                depth = 0
            elif value.get("class") == "CONSTANT":
                continue
            elif "class" in value:
                depth += 1
                found += depth * depth
                subqueries += value["class"] == "SUBQUERY"
            waiting.extend((item, depth, subqueries) for item in value.values() if isinstance(item, (dict, list)))
        if found > _MOST_ENTANGLED or subqueries > _MOST_SUBQUERIES:
            raise too_deep()


def too_deep() -> StatementRefused:
    return StatementRefused("the query's expressions are nested too deeply", hint="give parts of them names in a subquery of FROM")
