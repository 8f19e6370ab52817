"""Column lineage: the 99 TPC-DS queries beside sqlglot's parse and qualify, and 2,000 models cold and warm beside sqlglot's own lineage.

    python benchmarks/bench_lineage.py [--rounds 5] [--models 2000]

The sqlglot measured is the compiled one where it is installed. Prints Markdown tables; each figure is CPU seconds, the median of the rounds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import sqlglot
import sqlglot.lineage
from sqlglot.optimizer.qualify import qualify

from headwater.engine import Engine
from headwater.project.lineage import LineageCache, derive_lineage
from headwater.spec.names import TableName

Schema = dict[str, dict[str, str]]


def tpcds() -> tuple[list[str], Schema]:
    """The queries and the tables' columns with their types."""
    with Engine(threads=1) as engine, engine.connection() as connection:
        engine.load("tpcds")
        connection.execute("CALL dsdgen(sf = 0)")
        queries = [row[0] for row in connection.execute("SELECT query FROM tpcds_queries() ORDER BY query_nr").fetchall()]
        schema: Schema = {}
        sql = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY table_oid, column_index"
        for table, column, kind in connection.execute(sql).fetchall():
            schema.setdefault(table, {})[column] = kind
    return queries, schema


def models(count: int) -> tuple[list[tuple[TableName, str]], dict[TableName, tuple[str, ...]]]:
    """`count` models of 5 columns: chains and joins over 20 staging tables, five models deep."""
    columns: dict[TableName, tuple[str, ...]] = {TableName("raw", f"s{n}"): ("id", "k", "amount", "status", "seen_at") for n in range(20)}
    made: list[tuple[TableName, str]] = []
    for n in range(count):
        table = TableName("marts", f"m{n}")
        one = f"marts.m{n - 20}" if n >= 20 and n % 100 >= 20 else f"raw.s{n % 20}"
        other = f"raw.s{(n * 7) % 20}"
        match n % 3:
            case 0:
                sql = f"SELECT id, k, amount * 2 AS amount, upper(status) AS status, seen_at FROM {one} WHERE status <> 'void'"
            case 1:
                sql = f"""
                    WITH latest AS (SELECT *, row_number() OVER (PARTITION BY k ORDER BY seen_at DESC) AS place FROM {one})
                    SELECT a.id, a.k, coalesce(a.amount, b.amount) AS amount, b.status, a.seen_at
                    FROM latest AS a LEFT JOIN {other} AS b ON b.id = a.id
                    WHERE a.place = 1
                """
            case _:
                sql = f"""
                    SELECT min(id) AS id, k, sum(amount) AS amount, max(status) AS status, date_trunc('day', seen_at) AS seen_at
                    FROM {one} JOIN (SELECT k FROM {other} WHERE amount > 0) AS f USING (k)
                    GROUP BY k, date_trunc('day', seen_at)
                """
        made.append((table, sql))
        columns[table] = ("id", "k", "amount", "status", "seen_at")
    return made, columns


def bench_queries(rounds: int) -> str:
    queries, schema = tpcds()
    known = {TableName("main", table): tuple(columns) for table, columns in schema.items()}
    mapping = sqlglot.MappingSchema(schema, dialect="duckdb")

    def parse_and_qualify() -> None:
        for sql in queries:
            qualify(sqlglot.parse_one(sql, read="duckdb"), schema=mapping, dialect="duckdb")

    def ours() -> None:
        for sql in queries:
            assert derive_lineage(sql, known.get).is_complete

    def whole_lineage() -> None:
        for sql in queries:
            sqlglot.lineage.lineage(None, sql, schema=mapping, dialect="duckdb", trim_selects=False)

    costs = in_turn(rounds, {"ours": ours, "floor": parse_and_qualify, "peer": whole_lineage})
    floor = costs["floor"].cpu
    rows = [
        ["Headwater: value and influence edges of every column", costs["ours"].cpu, costs["ours"].cpu / floor],
        ["sqlglot: parse + qualify", floor, 1.0],
        ["sqlglot: `lineage(None, .., trim_selects=False)`, value edges", costs["peer"].cpu, costs["peer"].cpu / floor],
    ]
    return "## Lineage of the 99 TPC-DS queries\n\n" + measure.table(["", "CPU s", "times parse + qualify"], rows)


def bench_models(rounds: int, count: int) -> str:
    made, columns = models(count)
    schema = {}
    for table, names in columns.items():
        schema.setdefault(table.schema, {})[table.name] = dict.fromkeys(names, "VARCHAR")
    mapping = sqlglot.MappingSchema(schema, dialect="duckdb")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lineage.json"

        def cold() -> None:
            path.unlink(missing_ok=True)
            with_cache(path)

        def with_cache(path: Path) -> None:
            cache = LineageCache(path)
            for table, sql in made:
                assert cache.derive(sql, columns.get).columns == columns[table]
            cache.save()

        def peer() -> None:
            for _, sql in made:
                sqlglot.lineage.lineage(None, sql, schema=mapping, dialect="duckdb", trim_selects=False)

        costs = in_turn(rounds, {"cold": cold, "warm": lambda: with_cache(path), "peer": peer})
    rows = [
        ["Headwater, cold (nothing cached; the cache is written)", costs["cold"].cpu],
        ["Headwater, warm (file read, every model looked up)", costs["warm"].cpu],
        ["sqlglot: one `lineage(None, .., trim_selects=False)` a model", costs["peer"].cpu],
    ]
    return f"## Lineage of {count:,} models, {count * 5:,} columns\n\n" + measure.table(["", "CPU s"], rows)


def in_turn(rounds: int, work: dict[str, Callable[[], object]]) -> dict[str, measure.Cost]:
    """The medians; one unmeasured round before, so that neither side pays for what is loaded once."""
    for one in work.values():
        one()
    return measure.interleaved(rounds, {name: (lambda one=one: measure.timed(one)) for name, one in work.items()})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=int, default=2000)
    arguments = parser.parse_args()
    print(bench_queries(arguments.rounds), end="\n\n")
    print(bench_models(min(arguments.rounds, 3), arguments.models))


if __name__ == "__main__":
    main()
