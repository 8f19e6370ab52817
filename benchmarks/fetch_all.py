"""One client that fetches a whole table by one way, again for each line on its standard input. Run as a process of its own by bench_wire.

BENCH_TOKEN=.. python benchmarks/fetch_all.py WAY FOLDER PORTS ROWS
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import bare

BARE, FLIGHT, HTTP, COPY = "bare DuckLake's Arrow", "Flight SQL, ADBC", "HTTP Arrow", "psql's \\copy"
SQL = "SELECT * FROM m.orders"
Fetch = Callable[[], int]


def by_bare(folder: Path) -> Fetch:
    lake = bare.attach(folder)
    return lambda: lake.execute("SELECT * FROM lake.m.orders").to_arrow_table().num_rows


def by_flight(port: int, token: str) -> Fetch:
    import adbc_driver_flightsql.dbapi as dbapi

    warnings.simplefilter("ignore")  # that there are no transactions
    connection = dbapi.connect(f"grpc+tcp://127.0.0.1:{port}", db_kwargs={"adbc.flight.sql.authorization_header": f"Bearer {token}"})

    def fetch() -> int:
        with connection.cursor() as cursor:
            return int(cursor.execute(SQL).fetch_arrow_table().num_rows)

    return fetch


def by_http(port: int, token: str) -> Fetch:
    import headwater

    client = headwater.connect(f"http://127.0.0.1:{port}", token)
    return lambda: client.query(SQL).arrow().num_rows


def by_psycopg(port: int, token: str) -> Fetch:
    import psycopg

    def fetch() -> int:
        with (
            psycopg.connect(host="127.0.0.1", port=port, user="ada", password=token, dbname="bench", autocommit=True) as connection,
            connection.cursor(binary=True) as cursor,
        ):
            return len(cursor.execute(SQL).fetchall())

    return fetch


def by_copy(port: int, token: str, rows: int) -> Fetch:
    address = f"host=127.0.0.1 port={port} user=ada dbname=bench"
    command = ["psql", address, "-X", "-q", "-c", f"\\copy ({SQL}) to '{os.devnull}'"]

    def fetch() -> int:
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": token})
        return rows

    return fetch


def way_of(name: str, folder: Path, ports: Mapping[str, int], rows: int) -> Fetch:
    token = os.environ["BENCH_TOKEN"]
    ways: dict[str, Callable[[], Fetch]] = {
        BARE: lambda: by_bare(folder),
        FLIGHT: lambda: by_flight(ports["Flight SQL"], token),
        HTTP: lambda: by_http(ports["HTTP"], token),
        "psycopg": lambda: by_psycopg(ports["Postgres"], token),
        COPY: lambda: by_copy(ports["Postgres"], token, rows),
    }
    return ways[name]()


def main() -> None:
    way, folder, ports, rows = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])
    fetch = way_of(way, folder, ports, rows)
    for _ in sys.stdin:
        assert fetch() == rows
        print("done", flush=True)


if __name__ == "__main__":
    main()
