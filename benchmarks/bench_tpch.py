"""TPC-H as a project: 8 Parquet sources, the 22 queries as models; beside bare DuckDB doing the same loads and CTAS into DuckLake.

python benchmarks/bench_tpch.py [--scale 1] [--rounds 3]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path

import duckdb
import measure
import sqlglot
from sqlglot import exp

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")


def _load_tpch(connection: duckdb.DuckDBPyConnection) -> None:
    spec = importlib.util.find_spec("duckdb_extension_tpch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(next(iter(spec.submodule_search_locations)))
    connection.execute(f"LOAD '{folder / 'extensions' / f'v{duckdb.__version__}' / 'tpch.duckdb_extension'}'")


def _qualified(query: str, schema: str) -> str:
    tree = sqlglot.parse_one(query, read="duckdb")
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.name not in ctes:
            catalog, _, database = schema.rpartition(".")
            table.set("db", exp.to_identifier(database))
            if catalog:
                table.set("catalog", exp.to_identifier(catalog))
    return tree.sql(dialect="duckdb")


def make(folder: Path, scale: float) -> tuple[Path, list[tuple[str, str]]]:
    """The Parquet files and the project; gives the project's folder and the queries (name, SQL as TPC-H has it)."""
    data = folder / "parquet"
    data.mkdir(parents=True)
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    _load_tpch(connection)
    connection.execute(f"CALL dbgen(sf={scale})")
    for name in TABLES:
        connection.execute(f"COPY {name} TO '{data / name}.parquet'")
    queries = [
        (f"q{number:02}", query.rstrip().rstrip(";")) for number, query in connection.execute("SELECT query_nr, query FROM tpch_queries()").fetchall()
    ]
    connection.close()
    project = folder / "project"
    (project / "sources").mkdir(parents=True)
    (project / "models" / "marts").mkdir(parents=True)
    (project / "headwater.yaml").write_text("name: tpch\n")
    streams = "".join(f"  {name}:\n    path: {data / name}.parquet\n" for name in TABLES)
    (project / "sources" / "tpch.yaml").write_text(f"type: files\nstreams:\n{streams}")
    for name, query in queries:
        (project / "models" / "marts" / f"{name}.sql").write_text(_qualified(query, "tpch") + "\n")
    return project, queries


def bare_plan(folder: Path, queries: list[tuple[str, str]], lake: Path) -> Path:
    tables = [["tpch", name, f"FROM '{folder / 'parquet' / name}.parquet'"] for name in TABLES]
    tables += [["marts", name, _qualified(query, "lake.tpch")] for name, query in queries]
    plan = lake / "plan.json"
    plan.write_text(
        json.dumps({"catalog": str(lake / "lake.sqlite"), "data": str(lake / "data"), "mode": "ctas", "transaction": False, "tables": tables})
    )
    return plan


def compare_answers(project: Path, lake: Path, queries: list[tuple[str, str]]) -> int:
    """Raises when a query's answer differs between the two lakes; gives the number compared."""
    import bare

    connection = bare.connect()
    connection.execute(f"ATTACH 'ducklake:sqlite:{lake / 'lake.sqlite'}' AS lake (DATA_PATH '{lake / 'data'}', READ_ONLY)")
    connection.execute(f"ATTACH 'ducklake:sqlite:{project / '.headwater/lake.sqlite'}' AS ours (READ_ONLY)")
    for name, _ in queries:
        left = sorted(map(repr, connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM lake.marts.{name}").fetchall()))
        right = sorted(map(repr, connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ours.marts.{name}").fetchall()))
        same = len(left) == len(right) and all(_close(a, b) for a, b in zip(left, right, strict=True))
        assert same, f"{name}: the answers differ"
    connection.close()
    return len(queries)


def _close(a: str, b: str) -> bool:
    if a == b:
        return True
    for x, y in zip(eval(a), eval(b), strict=True):
        try:
            if abs(float(x) - float(y)) > 1e-9 * max(1.0, abs(float(x))):
                return False
        except (TypeError, ValueError):
            if x != y:
                return False
    return True


def benchmark(scale: float, rounds: int) -> str:
    with tempfile.TemporaryDirectory(prefix="headwater-tpch-") as temp:
        folder = Path(temp)
        project, queries = make(folder, scale)
        lake = folder / "bare"

        def ours() -> measure.Cost:
            shutil.rmtree(project / ".headwater", ignore_errors=True)
            return measure.run([measure.headwater(), "run"], cwd=project)

        def floor() -> measure.Cost:
            shutil.rmtree(lake, ignore_errors=True)
            lake.mkdir()
            return measure.run([sys.executable, str(measure.HERE / "bare.py"), str(bare_plan(folder, queries, lake))])

        costs = measure.interleaved(rounds, {"floor": floor, "ours": ours})
        compared = compare_answers(project, lake, queries)
    floor_cost, our_cost = costs["floor"], costs["ours"]
    rows = [
        ("bare DuckDB", floor_cost.wall, floor_cost.cpu, round(floor_cost.peak_mib), "", ""),
        ("Headwater", our_cost.wall, our_cost.cpu, round(our_cost.peak_mib), our_cost.wall / floor_cost.wall, our_cost.cpu / floor_cost.cpu),
    ]
    title = f"### TPC-H SF{scale:g}: 8 loads and 22 models (medians of {rounds}; {compared} answers equal; target 1.25)\n\n"
    return title + measure.table(("", "wall s", "cpu s", "peak MiB", "wall ratio", "cpu ratio"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(benchmark(arguments.scale, arguments.rounds))
