"""Whether the condition of an incremental model spares work: whether it comes down to where tables are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from headwater.engine import Connection, Workspace
from headwater.spec.models import IncrementalKind, Model
from headwater.spec.tables import Column
from headwater.transformation.kinds.incremental import condition_from, restricted
from headwater.transformation.output import need_column, output_columns, with_declared_types

#: Far from all data, so that no plan is made without the condition.
_MARK = {"DATE": "2999-12-31", "TIMESTAMP": "2999-12-31 23:59:59"}
_STOPS = {
    "WINDOW": "a window function that isn't partitioned by the time column",
    "STREAMING_WINDOW": "a window function that isn't partitioned by the time column",
    "GROUP": "an aggregate that doesn't group by the time column",
    "AGGREGATE": "an aggregate that doesn't group by the time column",
    "TOP_N": "a LIMIT",
    "LIMIT": "a LIMIT",
    "ORDER_BY": "an ORDER BY with LIMIT",
    "CTE": "a CTE that is read more than once",
}


def pushdown_reaches_scan(workspace: Workspace, model: Model) -> bool | str:
    """Whether DuckDB brings an incremental model's condition down to a scan: True, or the reason why not in words.

    Only plans; the workspace's tables may be empty. True for models of other kinds, which have no condition.
    Raises the errors of SQL, and ModelOutputInvalid where the definition doesn't fit the query.
    """
    if not isinstance(model.kind, IncrementalKind):
        return True
    if model.language == "python":
        return "a Python function computes all rows before the condition is applied"
    with workspace.connection() as connection:
        columns = output_columns(connection, model, model.sql)
        query = with_declared_types(model, model.sql, columns)
        time = need_column(model, "time_column", model.kind.time_column, output_columns(connection, model, query))
        mark = _mark(time)
        sql = restricted(query, condition_from(time, mark))
        plan = _plan(connection, sql)
    nodes = list(_nodes(plan))
    if any(mark in str(node["extra_info"].get("Filters", "")) or node["name"].strip() == "EMPTY_RESULT" for node in nodes):
        return True
    filters = [node for node in nodes if node["name"].strip() == "FILTER" and mark in str(node["extra_info"])]
    if any(_is_on_a_scan(node) for node in filters):
        return True
    return f"it stops above {_what_stops(filters)}"


def _plan(connection: Connection, sql: str) -> Any:
    """DuckDB's plan, made without the tables' statistics: these show that nothing is as late as the mark, and the plan would be empty."""
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    try:
        return json.loads(connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()[0][1])
    finally:
        connection.execute("RESET disabled_optimizers")


def _mark(time: Column) -> str:
    if time.type.startswith("DATE"):
        return _MARK["DATE"]
    if time.type.startswith("TIMESTAMP"):
        return _MARK["TIMESTAMP"]
    return {"TINYINT": "119", "UTINYINT": "249", "SMALLINT": "32719", "USMALLINT": "65479"}.get(time.type, "2147479999")


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    for node in plan if isinstance(plan, list) else [plan]:
        yield node
        yield from _nodes(node["children"])


def _is_on_a_scan(node: dict[str, Any]) -> bool:
    """Whether nothing but projections lies between a filter and where rows are read."""
    while len(node["children"]) == 1:
        node = node["children"][0]
        if node["name"].strip() not in ("PROJECTION", "FILTER"):
            return str(node["name"]).strip().endswith("SCAN")
    return False


def _what_stops(filters: list[dict[str, Any]]) -> str:
    for node in filters:
        for below in _nodes(node["children"]):
            for name, words in _STOPS.items():
                if name in below["name"]:
                    return words
    return "what DuckDB computes first"
