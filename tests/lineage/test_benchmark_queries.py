"""All queries of TPC-DS and TPC-H: complete, named as DuckDB names them, and no column that DuckDB must scan is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from headwater.engine import Connection, Engine, describe_query, parse_statements
from headwater.project.lineage import derive_lineage
from headwater.project.lineage.relations import distinct_names
from headwater.spec.names import ColumnName, TableName

COUNTS = {"tpcds": 99, "tpch": 22}


@pytest.fixture(scope="module", params=COUNTS)
def benchmark(request: pytest.FixtureRequest) -> Iterator[tuple[Connection, dict[int, str], Mapping[str, list[str]]]]:
    name: str = request.param
    with Engine(threads=1) as engine, engine.connection() as connection:
        engine.load(name)
        connection.execute("CALL dsdgen(sf = 0)" if name == "tpcds" else "CALL dbgen(sf = 0)")
        rows = connection.execute(f"SELECT query_nr, query FROM {name}_queries()").fetchall()
        queries = {number: parse_statements(sql)[0].sql for number, sql in rows}
        assert len(queries) == COUNTS[name]
        schema: dict[str, list[str]] = {}
        known = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY table_oid, column_index"
        for table, column in connection.execute(known).fetchall():
            schema.setdefault(table, []).append(column)
        yield connection, queries, schema


def scanned(plan: Any, schema: Mapping[str, list[str]]) -> set[ColumnName]:
    """The columns that the scans of a plan give."""
    found: set[ColumnName] = set()
    if isinstance(plan, list):
        for part in plan:
            found |= scanned(part, schema)
    elif isinstance(plan, dict):
        info = plan.get("extra_info") or {}
        table = str(info.get("Table", "")).rpartition(".")[2]
        projected = info.get("Projections") or []
        for column in [projected] if isinstance(projected, str) else projected:
            if column in schema.get(table, ()):
                found.add(ColumnName(TableName("main", table), column))
        found |= scanned(plan.get("children") or [], schema)
    return found


def test_every_query_is_complete_and_named_as_duckdb_names_it(benchmark: Any) -> None:
    connection, queries, schema = benchmark
    for number, sql in queries.items():
        lineage = derive_lineage(sql, lambda table: schema.get(table.name))
        assert lineage.is_complete, f"{number}: {lineage.reason}"
        assert lineage.columns == tuple(distinct_names(column.name for column in describe_query(connection, sql))), number


def test_every_column_that_duckdb_must_scan_has_an_edge(benchmark: Any) -> None:
    connection, queries, schema = benchmark
    connection.execute("SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'")
    seen = 0
    for number, sql in queries.items():
        lineage = derive_lineage(sql, lambda table: schema.get(table.name))
        row = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchone()
        needed = scanned(json.loads(row[1]), schema)
        seen += len(needed)
        assert needed <= lineage.influence.union(*lineage.value.values()), number
    assert seen > 4 * len(queries)
