"""The lists of what may be called and written are complete: what the pinned engine has is either on them or refused for a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.engine import Engine
from headwater.errors import StatementRefused
from headwater.storage import LAKE_EXTENSIONS
from headwater.storage.gate import functions
from headwater.storage.gate.walk import Walk

#: They are the parser's own: operators or functions that never stand in the catalog, and the gate's.
_NOT_IN_THE_CATALOG = {"!", "->", "<", "<=", "<>", "=", ">", ">=", "coalesce", "current_groups", "if", "ifnull", "unnest"}


def _catalog(what: str, *kinds: str) -> set[str]:
    with Engine(extensions=[*LAKE_EXTENSIONS, "httpfs"]) as engine, engine.connection() as connection:
        listed = ", ".join(f"'{kind}'" for kind in kinds)
        rows = connection.execute(f"SELECT DISTINCT lower({what}) FROM duckdb_functions() WHERE function_type IN ({listed})").fetchall()
    return {row[0] for row in rows}


def test_every_function_of_the_engine_is_allowed_or_refused_for_a_reason() -> None:
    have = _catalog("function_name", "scalar", "aggregate", "macro")
    new = {name for name in have - functions.ALLOWED - functions.REFUSED if not name.startswith(functions.REFUSED_PREFIXES)}
    assert new == set(), "functions nobody has thought about: put each on a list of storage/gate/functions.py"
    assert functions.ALLOWED - have == _NOT_IN_THE_CATALOG, "functions that are gone"
    assert functions.REFUSED - have == set()
    assert not functions.ALLOWED & functions.REFUSED


def test_what_is_unsafe_or_calls_by_name_is_on_the_list_at_all() -> None:
    assert functions.UNSAFE_ON_FILTERED <= functions.ALLOWED
    assert functions.CALL_BY_NAME <= functions.ALLOWED
    assert functions.AGGREGATES <= functions.ALLOWED


def test_no_table_function_that_is_allowed_reads_anything() -> None:
    named = {
        name for name in functions.TABLE_FUNCTIONS if any(word in name for word in ("read", "scan", "query", "duckdb", "lake", "glob", "pragma"))
    }
    assert named == set()


def test_every_allowed_and_refused_group_stands_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gate.md").read_text()
    for name in functions.UNSAFE_ON_FILTERED | functions.TABLE_FUNCTIONS:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize(
    "node",
    [
        {"type": "NEW_NODE", "modifiers": [], "cte_map": {"map": []}},
        {"type": "RECURSIVE_CTE_NODE", "modifiers": [], "cte_map": {"map": []}},
        {"type": "SET_OPERATION_NODE", "modifiers": [{"type": "NEW_MODIFIER"}], "cte_map": {"map": []}},
        {"type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "new_field": 1},
    ],
)
def test_a_node_that_a_newer_engine_brings_is_refused(node: dict[str, object]) -> None:
    with pytest.raises(StatementRefused):
        Walk("reader", lambda name: {}).query(node)
