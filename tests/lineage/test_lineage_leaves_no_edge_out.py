"""The promise: a column without an edge never changes the result.

For random queries, one input column's values are replaced by others. If any output column's values (as a bag) change, that column must have a
value edge or an influence edge from the one replaced; and if only the rows as a whole change, some column must.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.lineage.random_queries import TABLES, QueryMaker

from headwater.engine import Connection, Engine
from headwater.errors import HeadwaterError
from headwater.project.lineage import derive_lineage
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName

Data = dict[str, list[list[int | None]]]


def columns_of(table: TableName) -> tuple[str, ...] | None:
    return TABLES.get(str(table))


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with Engine(threads=1) as engine, engine.connection() as connection:
        # row order then depends on the query and its data alone, not on a plan chosen by statistics
        connection.execute("PRAGMA disable_optimizer; SET scalar_subquery_error_on_multiple_rows = false; CREATE SCHEMA r")
        for table, columns in TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(f'{column} INT' for column in columns)})")
        yield connection


def random_data(random: Random) -> Data:
    return {
        table: [[random.choice((0, 1, 1, 2, 2, 3, None)) for _ in columns] for _ in range(random.randint(3, 6))] for table, columns in TABLES.items()
    }


def store(connection: Connection, table: str, rows: list[list[int | None]]) -> None:
    values = ", ".join("(" + ", ".join("NULL" if value is None else str(value) for value in row) + ")" for row in rows)
    connection.execute(f"DELETE FROM {table}; INSERT INTO {table} VALUES {values}")


def answer(connection: Connection, sql: str) -> list[tuple[Any, ...]] | None:
    """The rows; None when the query fails on this data (an overflow, say)."""
    try:
        return connection.execute(sql).fetchmany(20_000)
    except HeadwaterError:
        return None


def edges_missing(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]], lineage: Lineage, column: ColumnName) -> list[str]:
    """The outputs that changed although they have no edge from the column."""
    if column in lineage.influence:
        return []
    missing = []
    for index, (name, edges) in enumerate(lineage.value.items()):
        if column not in edges and Counter(row[index] for row in before) != Counter(row[index] for row in after):
            missing.append(name)
    if not any(column in edges for edges in lineage.value.values()) and Counter(before) != Counter(after):
        missing.append("(the rows)")
    return missing


def is_settled(connection: Connection, sql: str, data: Data) -> bool:
    """Whether the query gives one answer on one data set: some leave an order open, and DuckDB then gives now this answer, now that."""
    answers = []
    for _ in range(12):
        for table, rows in data.items():
            store(connection, table, rows)
        answers.append(Counter(answer(connection, sql) or []))
    return all(one == answers[0] for one in answers)


def violations(connection: Connection, seed: int, lineage_of: Any = derive_lineage) -> list[str]:
    """What one seed's query shows to be missing, in words. Empty when nothing is."""
    random = Random(seed)
    sql = QueryMaker(random).statement()
    data = random_data(random)
    for table, rows in data.items():
        store(connection, table, rows)
    before = answer(connection, sql)
    if before is None:
        return []
    lineage = lineage_of(sql, columns_of)
    assert lineage.is_complete, f"not derived: {lineage.reason}\n{sql}"
    found = []
    for table, columns in TABLES.items():
        for index, column in enumerate(columns):
            for _ in range(2):
                store(connection, table, [[*row[:index], random.choice((0, 1, 2, 3, 4, None)), *row[index + 1 :]] for row in data[table]])
                after = answer(connection, sql)
                if after is not None:
                    missing = edges_missing(before, after, lineage, ColumnName(TableName.parse(table), column))
                    found += [f"seed {seed}: {table}.{column} changes {name} of\n{sql}" for name in missing]
        store(connection, table, data[table])
    return found if found and is_settled(connection, sql, data) else []


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], database=None)
@given(seed=st.integers(0, 2**63))
def test_a_column_without_an_edge_never_changes_the_result(connection: Connection, seed: int) -> None:
    assert violations(connection, seed) == []


@pytest.mark.stress
def test_nor_does_it_in_thousands_of_queries(connection: Connection) -> None:
    for seed in range(10_000):
        assert violations(connection, seed) == []


@pytest.mark.parametrize("lost", ["influence", "value"])
def test_the_property_would_notice_edges_left_out(connection: Connection, lost: str) -> None:
    def careless(sql: str, columns: Any) -> Lineage:
        lineage = derive_lineage(sql, columns)
        if lost == "influence":
            return Lineage(lineage.tables, lineage.value)
        return Lineage(lineage.tables, dict.fromkeys(lineage.value, frozenset()), lineage.influence)

    noticed = sum(bool(violations(connection, seed, careless)) for seed in range(40))
    assert noticed >= 8


def test_the_random_queries_mostly_run(connection: Connection) -> None:
    for table, rows in random_data(Random(1)).items():
        store(connection, table, rows)
    ran = sum(answer(connection, QueryMaker(Random(seed)).statement()) is not None for seed in range(200))
    assert ran >= 160
