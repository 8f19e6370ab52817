"""1 M rows x 8 columns out of each door, beside DuckDB's own Arrow in the same run.

python benchmarks/bench_doors.py [--rows 1000000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as dbapi
import httpx
import measure
import pyarrow.flight as flight

import headwater
from headwater.serving.server import Running, serve_all
from headwater.spec.project import ServeConfig

sys.path.insert(0, str(measure.ROOT / "tests"))
from serving.doors_service import PlainService

SQL = "SELECT * FROM bench"
FORMATS = {
    "HTTP Parquet": "application/vnd.apache.parquet",
    "HTTP CSV": "text/csv",
    "HTTP JSON": "application/json",
    "HTTP NDJSON": "application/x-ndjson",
}


def fill(service: PlainService, rows: int) -> None:
    service.execute(
        f"""
        CREATE TABLE bench AS
        SELECT i AS id, (i % 100000)::INTEGER AS customer_id, (hash(i) % 100000 / 100)::DECIMAL(12, 2) AS amount, i % 3 = 0 AS is_paid,
               TIMESTAMP '2024-01-01' + to_seconds(i) AS ordered_at, DATE '2024-01-01' + (i % 365)::INTEGER AS day,
               hash(i) / 1e19 AS score, 'customer' || (i % 100000) || '@example.org' AS email
        FROM range({rows}) t(i)
        """
    )


def readers(service: PlainService, running: Running, rows: int) -> dict[str, Callable[[], measure.Cost]]:
    token = service.bobs_token
    client = headwater.connect(running.url("http"), token)
    headers = {"Authorization": f"Bearer {token}"}
    bare = flight.connect(running.url("flight"))
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
    address = running.url("flight").replace("grpc://", "grpc+tcp://")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no transactions
        adbc = dbapi.connect(address, db_kwargs={"adbc.flight.sql.authorization_header": f"Bearer {token}"})

    def floor() -> None:
        with service.engine.connection() as connection:
            assert connection.execute(SQL).arrow().num_rows == rows

    def by_adbc() -> None:
        with adbc.cursor() as cursor:
            assert cursor.execute(SQL).fetch_arrow_table().num_rows == rows

    def by_pyarrow() -> None:
        from headwater.serving.flight.protobuf import pack, write

        info = bare.get_flight_info(flight.FlightDescriptor.for_command(pack("CommandStatementQuery", write({1: SQL.encode()}))), options)
        assert bare.do_get(info.endpoints[0].ticket, options).read_all().num_rows == rows

    def by_client() -> None:
        assert client.query(SQL).arrow().num_rows == rows

    def by_http(accept: str) -> None:
        with httpx.stream("POST", f"{running.url('http')}/v1/query", json={"sql": SQL}, headers={**headers, "Accept": accept}, timeout=300) as answer:
            assert answer.status_code == 200
            assert sum(map(len, answer.iter_raw())) > rows

    work: dict[str, Callable[[], Any]] = {
        "DuckDB's Arrow": floor,
        "Flight SQL, ADBC": by_adbc,
        "Flight SQL, pyarrow": by_pyarrow,
        "HTTP Arrow": by_client,
    }
    work |= {name: lambda accept=accept: by_http(accept) for name, accept in FORMATS.items()}
    return {name: lambda one=one: measure.timed(one) for name, one in work.items()}


def benchmark(rows: int, rounds: int) -> str:
    service = PlainService()
    fill(service, rows)
    config = ServeConfig.model_validate({"http_port": 0, "flight_port": 0, "pg_port": None})
    with tempfile.TemporaryDirectory(prefix="headwater-doors-") as folder, serve_all(service, config, directory=Path(folder)) as running:
        costs = measure.interleaved(rounds, readers(service, running, rows))
    floor = costs["DuckDB's Arrow"].wall
    lines: list[Sequence[object]] = [(name, cost.wall, cost.cpu, round(rows / cost.wall / 1000), cost.wall / floor) for name, cost in costs.items()]
    title = f"### {rows:,} rows x 8 columns out of each door (medians of {rounds}; server and client in one process, no gate)\n\n"
    note = "\n\nTargets: Flight SQL 1.5 times, HTTP Arrow 2 times DuckDB's own Arrow."
    return title + measure.table(("", "wall s", "cpu s", "k rows/s", "x DuckDB"), lines) + note


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(benchmark(arguments.rows, arguments.rounds))
