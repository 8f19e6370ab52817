"""A Postgres table of 6 M rows into the lake: beside DuckDB's bare reader writing Parquet, and dlt (its fastest backend) into DuckDB.

python benchmarks/bench_postgres.py [--rows 6000000] [--rounds 3] [--peers PYTHON] [--url postgresql://postgres@127.0.0.1/test]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import measure
import psycopg

TABLE = "headwater_bench_orders"
BARE = """
import sys, importlib.util, pathlib, duckdb
def load(c, n):
    f = pathlib.Path(next(iter(importlib.util.find_spec('duckdb_extension_' + n).submodule_search_locations)))
    c.execute(f"LOAD '{f}/extensions/v{duckdb.__version__}/{n}.duckdb_extension'")
c = duckdb.connect(config={'autoinstall_known_extensions': 'false', 'autoload_known_extensions': 'false'})
load(c, 'postgres_scanner')
c.execute(f"ATTACH '{sys.argv[1]}' AS pg (TYPE postgres, READ_ONLY)")
c.execute(f"COPY (FROM pg.public.{sys.argv[2]}) TO '{sys.argv[3]}' (FORMAT parquet)")
"""
DLT = """
import sys, dlt
from dlt.sources.sql_database import sql_table
url, table, folder, backend = sys.argv[1:]
destination = dlt.destinations.duckdb(folder + '/dlt.duckdb')
pipeline = dlt.pipeline(pipeline_name='bench', pipelines_dir=folder + '/p', destination=destination, dataset_name='d')
extra = {'backend_kwargs': {'return_type': 'arrow_stream', 'conn': url}} if backend == 'connectorx' else {}
resource = sql_table(url.replace('postgresql://', 'postgresql+psycopg2://'), table, backend=backend, chunk_size=100000, **extra)
pipeline.run(resource, write_disposition='replace')
"""


def fill(url: str, rows: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        connection.execute(
            f"""
            CREATE UNLOGGED TABLE {TABLE} AS
            SELECT i AS id, i % 100000 AS customer_id, (i % 1000)::int AS product, (random() * 1000)::numeric(12, 2) AS amount,
                   timestamptz '2024-01-01' + i * interval '1 second' AS ordered_at,
                   date '2024-01-01' + (i % 365)::int AS day, 'customer' || (i % 100000) || '@example.org' AS email,
                   i % 3 = 0 AS is_paid, random() AS score, 'a note of some length ' || i AS note
            FROM generate_series(1, {int(rows)}) i
            """
        )
        connection.execute(f"ALTER TABLE {TABLE} ADD PRIMARY KEY (id)")
        connection.execute(f"ANALYZE {TABLE}")


def make_project(folder: Path) -> None:
    (folder / "sources").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "headwater.yaml").write_text("name: bench\n")
    (folder / "sources" / "shop.yaml").write_text(
        f"type: postgres\nconnection: ${{env:BENCH_URL}}\nstreams:\n  orders:\n    table: public.{TABLE}\n    write_disposition: replace\n"
    )


def benchmark(rows: int, rounds: int, peers: Path | None, url: str) -> str:
    with tempfile.TemporaryDirectory(prefix="headwater-postgres-") as temp:
        folder = Path(temp)
        fill(url, rows)

        def floor() -> measure.Cost:
            return measure.run([sys.executable, "-c", BARE, url, TABLE, str(folder / "bare.parquet")])

        def ours() -> measure.Cost:
            shutil.rmtree(folder / "ours", ignore_errors=True)
            make_project(folder / "ours")
            return measure.run([measure.headwater(), "run"], cwd=folder / "ours", env={"BENCH_URL": url})

        def dlt(backend: str) -> measure.Cost:
            shutil.rmtree(folder / "dlt", ignore_errors=True)
            (folder / "dlt").mkdir()
            return measure.run([str(peers), "-c", DLT, url, TABLE, str(folder / "dlt"), backend], env={"RUNTIME__DLTHUB_TELEMETRY": "false"})

        costs = measure.interleaved(rounds, {"bare": floor, "ours": ours})
        lines: list[tuple[object, ...]] = [
            ("bare reader to Parquet", *_row(costs["bare"], rows), ""),
            ("Headwater", *_row(costs["ours"], rows), costs["ours"].wall / costs["bare"].wall),
        ]
        for backend in ("connectorx", "pyarrow") if peers is not None else ():
            try:
                cost = dlt(backend)
            except measure.Failed as error:
                lines.append((f"dlt {backend}: failed ({str(error).splitlines()[-1][:80]})", "", "", "", "", ""))
                continue
            lines.append((f"dlt {backend} (x of ours)", *_row(cost, rows), cost.wall / costs["ours"].wall))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP TABLE {TABLE}")
    title = f"### A Postgres table of {rows:,} rows x 10 columns to the lake (medians of {rounds}; dlt once, into DuckDB)\n\n"
    note = "\n\nTargets: 1.25 times the bare reader's wall time; 3 times dlt's rows per second; under 1 GiB."
    return title + measure.table(("", "wall s", "cpu s", "peak MiB", "k rows/s", "wall ratio"), lines) + note


def _row(cost: measure.Cost, rows: int) -> tuple[object, ...]:
    return (cost.wall, cost.cpu, round(cost.peak_mib), round(rows / cost.wall / 1000))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--url", default="postgresql://postgres@127.0.0.1/test")
    arguments = parser.parse_args()
    print(benchmark(arguments.rows, arguments.rounds, arguments.peers, arguments.url))
