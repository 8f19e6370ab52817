"""What comes out of a whole `headwater serve`, gate and audit included, beside its floors in the same run.

    python benchmarks/bench_wire.py [--rows 1000000] [--rounds 3] [--seconds 10] [--readers 20] [--url postgresql://postgres@127.0.0.1/test]

The encoder alone, by the core; 1 M x 8 rows by psql's `\\copy`, psycopg, Flight SQL and HTTP Arrow beside bare DuckLake; point queries on 50
connections, of a table in files beside bare DuckLake and of a hot one; a dashboard of 12 aggregates for many readers while a run writes, beside
PostgreSQL on the same box (left out where there is none, or no psql); the memory of 500 idle connections.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import bare
import measure
import psycopg
from fetch_all import BARE, COPY, FLIGHT, HTTP

from headwater.engine import Engine
from headwater.serving.postgres.encode import Encoder
from headwater.serving.postgres.fields import fields

IDLE_MB = 500
TARGETS = {FLIGHT: "<= 1.5", HTTP: "<= 2", COPY: ">= 200 k rows/s"}
CONNECTIONS, IDLE = 50, 500

ROWS = """
SELECT i AS id, (i % 100000)::INTEGER AS customer_id, (hash(i) % 100000 / 100)::DECIMAL(12, 2) AS amount, i % 3 = 0 AS is_paid,
       TIMESTAMP '2024-01-01' + to_seconds(i) AS ordered_at, DATE '2024-01-01' + (i % 365)::INTEGER AS day,
       hash(i) / 1e19 AS score, 'customer' || (i % 100000) || '@example.org' AS email
FROM range({rows}) t(i)
"""
PG_ROWS = """
SELECT i AS id, (i % 100000)::int AS customer_id, ((i * 7919) % 100000 / 100.0)::numeric(12, 2) AS amount, i % 3 = 0 AS is_paid,
       timestamp '2024-01-01' + i * interval '1 second' AS ordered_at, date '2024-01-01' + (i % 365)::int AS day,
       random() AS score, 'customer' || (i % 100000) || '@example.org' AS email
FROM generate_series(0::bigint, {rows} - 1) i
"""
#: In words that both understand.
DASHBOARD = [
    "SELECT count(*) FROM {t}",
    "SELECT sum(amount) FROM {t}",
    "SELECT day, sum(amount) FROM {t} GROUP BY day ORDER BY day",
    "SELECT is_paid, count(*), avg(score) FROM {t} GROUP BY is_paid",
    "SELECT customer_id, sum(amount) AS s FROM {t} GROUP BY customer_id ORDER BY s DESC LIMIT 10",
    "SELECT date_trunc('month', ordered_at) AS m, count(*) FROM {t} GROUP BY 1 ORDER BY 1",
    "SELECT count(DISTINCT customer_id) FROM {t}",
    "SELECT day, max(score) FROM {t} WHERE is_paid GROUP BY day ORDER BY day",
    "SELECT min(ordered_at), max(ordered_at) FROM {t}",
    "SELECT count(*) FROM {t} WHERE amount > 500",
    "SELECT customer_id % 10 AS g, avg(amount), count(*) FROM {t} GROUP BY 1 ORDER BY 1",
    "SELECT sum(CASE WHEN is_paid THEN amount ELSE 0 END) / sum(amount) FROM {t} WHERE day >= date '2024-06-01'",
]
POLICIES = "roles: {reader: {grants: [{select: 'm.*'}]}}\ngroups: {readers: {roles: [reader], members: [ada]}}\n"


@dataclass(slots=True)
class Report:
    """Lines of one table."""

    lines: list[Sequence[object]] = field(default_factory=list)

    def add(self, name: str, figure: float, unit: str, ratio: float | str = "", *, target: str = "") -> None:
        self.lines.append((name, figure, unit, ratio, target))


# -- the server --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    folder: Path
    pid: int
    ports: dict[str, int]
    token: str

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(host="127.0.0.1", port=self.ports["Postgres"], user="ada", password=self.token, dbname="bench", autocommit=True)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1000


def make_project(folder: Path, rows: int) -> None:
    (folder / "models" / "m").mkdir(parents=True)
    (folder / "policies").mkdir()
    (folder / "headwater.yaml").write_text("name: bench\nserve: {hot: {memory: 4GB}}\n")
    (folder / "policies" / "all.yaml").write_text(POLICIES)
    (folder / "models" / "m" / "orders.sql").write_text(ROWS.format(rows=rows))
    hot = "-- headwater\n-- hot: true\n-- kind: {incremental: {time_column: ordered_at, unique_key: [id]}}\n"
    (folder / "models" / "m" / "hot.sql").write_text(hot + ROWS.format(rows=rows))
    written = "-- headwater\n-- kind: table\n"
    (folder / "models" / "m" / "written.sql").write_text(written + ROWS.format(rows=rows) + "WHERE random() >= 0\n")


def run_command(folder: Path, *arguments: str) -> str:
    done = subprocess.run([measure.headwater(), *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise measure.Failed(done.stderr)
    return done.stdout


@contextmanager
def serving(folder: Path, rows: int) -> Iterator[Served]:
    make_project(folder, rows)
    run_command(folder, "run")
    run_command(folder, "user", "add", "ada", "--service")
    token = run_command(folder, "user", "token", "ada").strip()
    log = folder / "serve.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [measure.headwater(), "serve", "--pg-port", "0", "--flight-port", "0", "--http-port", "0"],
            cwd=folder,
            stdout=out,
            stderr=out,
            env={**os.environ, "NO_COLOR": "1"},
        )
        try:
            ports: dict[str, int] = {}
            while len(ports) < 3 and process.poll() is None:
                time.sleep(0.1)
                ports = {name: int(port) for name, port in re.findall(r"^(\S+(?: SQL)?)\s+ready at \S+:(\d+)", log.read_text(), re.MULTILINE)}
            served = Served(folder, process.pid, ports, token)
            _wait_for_memory(served)
            yield served
        finally:
            process.terminate()
            process.wait(60)


def _wait_for_memory(served: Served) -> None:
    import httpx

    for _ in range(600):
        if httpx.get(f"http://127.0.0.1:{served.ports['HTTP']}/ready").json().get("hot_tables") == {"in_memory": 1, "not_in_memory": 0}:
            return
        time.sleep(0.1)
    raise measure.Failed((served.folder / "serve.log").read_text())


# -- the encoder -------------------------------------------------------------------------------------------------------


def encode(report: Report, rows: int, rounds: int) -> None:
    with Engine() as engine, engine.connection() as connection:
        result = connection.execute(ROWS.format(rows=rows))
        types = result.types
        batches = list(result.batches(10_000))
    encoder = Encoder()
    names = batches[0].schema.names
    for name, code in (("text", 0), ("binary", 1)):
        columns = fields(names, types, [code])
        seconds = []
        list(encoder.data_rows(batches[0], columns))  # what is set up at first use is left out
        for _ in range(rounds):
            started = time.process_time()
            for batch in batches:
                for _ in encoder.data_rows(batch, columns):
                    pass
            seconds.append(time.process_time() - started)
        speed = rows / statistics.median(seconds)
        report.add(f"Postgres encoder, {name}, by the core", speed / 1000, "k rows/s", target=">= 500")
    encoder.close()


# -- all rows ----------------------------------------------------------------------------------------------------------


def whole_tables(report: Report, served: Served, rows: int, rounds: int) -> None:
    """Each way by a client of its own, as its users have it: in one process the memory that one way frees makes the next one faster."""
    ways = [BARE, FLIGHT, HTTP, "psycopg", *([COPY] if shutil.which("psql") else [])]
    with ExitStack() as stack:
        clients = {way: stack.enter_context(fetching(served, way, rows)) for way in ways}
        costs = measure.interleaved(rounds, {way: lambda one=one: measure.timed(one) for way, one in clients.items()})
    for way, cost in costs.items():
        report.add(f"{rows:,} x 8 rows, {way}", rows / cost.wall / 1000, "k rows/s", cost.wall / costs[BARE].wall, target=TARGETS.get(way, ""))


@contextmanager
def fetching(served: Served, way: str, rows: int) -> Iterator[Callable[[], None]]:
    """A process that has fetched the whole table once; each call makes it fetch again, and returns when it has."""
    command = [sys.executable, str(measure.HERE / "fetch_all.py"), way, str(served.folder), json.dumps(served.ports), str(rows)]
    environment = {**os.environ, "BENCH_TOKEN": served.token}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        asked, answered = process.stdin, process.stdout
        assert asked is not None
        assert answered is not None

        def once() -> None:
            asked.write("again\n")
            asked.flush()
            if answered.readline() != "done\n":
                raise measure.Failed(f"{way} ended")

        once()
        yield once
        asked.close()


# -- point queries -----------------------------------------------------------------------------------------------------


def by_many(count: int, seconds: float, work: Callable[[int], Callable[[], object]]) -> list[float]:
    """`count` threads call what `work` gives each of them, again and again: the seconds that each call took."""
    found: list[float] = []
    lock = threading.Lock()
    ready = threading.Barrier(count)

    def go(number: int) -> None:
        one = work(number)
        one()
        ready.wait()
        until = time.perf_counter() + seconds
        mine = []
        while (started := time.perf_counter()) < until:
            one()
            mine.append(time.perf_counter() - started)
        with lock:
            found.extend(mine)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def points(report: Report, served: Served, rows: int, rounds: int, seconds: float) -> None:
    lake = bare.attach(served.folder)
    with ExitStack() as stack:
        connections = [stack.enter_context(served.connect()) for _ in range(CONNECTIONS)]

        def floor(number: int) -> Callable[[], object]:
            cursor = lake.cursor()

            def one() -> None:
                cursor.execute("BEGIN")
                found = cursor.execute(f"SELECT amount, email FROM lake.m.orders WHERE id = {random.randrange(rows)}").fetchall()
                cursor.execute("COMMIT")
                assert len(found) == 1

            return one

        def through(table: str) -> Callable[[int], Callable[[], object]]:
            def of(number: int) -> Callable[[], object]:
                def one() -> None:
                    sql = f"SELECT amount, email FROM {table} WHERE id = %s"
                    assert len(connections[number].execute(sql, [random.randrange(rows)], prepare=True).fetchall()) == 1

                return one

            return of

        ways = {"bare DuckLake": floor, "in files": through("m.orders"), "hot": through("m.hot")}
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                found = by_many(CONNECTIONS, seconds, way)
                speeds[name].append(len(found) / seconds)
                times[name] += found
    lake.close()
    base = statistics.median(speeds["bare DuckLake"])
    for name, several in speeds.items():
        speed = statistics.median(several)
        target = {"in files": ">= 0.8", "hot": ">= 200 a second"}.get(name, "")
        told = f"point queries, {CONNECTIONS} connections, {name} (p95 {p95(times[name]) * 1000:.0f} ms)"
        report.add(told, speed, "a second", speed / base, target=target)


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)]


# -- a dashboard while a run writes --------------------------------------------------------------------------------------


@contextmanager
def repeated(work: Callable[[], object]) -> Iterator[list[float]]:
    """Meanwhile `work` is done again and again in a thread; gives the seconds that each took."""
    stop = threading.Event()
    found: list[float] = []

    def go() -> None:
        while not stop.is_set():
            started = time.perf_counter()
            work()
            found.append(time.perf_counter() - started)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def dashboards(report: Report, served: Served, rows: int, readers: int, seconds: float, url: str) -> None:
    def looking(connect: Callable[[], psycopg.Connection], table: str) -> list[float]:
        with ExitStack() as stack:
            connections = [stack.enter_context(connect()) for _ in range(readers)]

            def of(number: int) -> Callable[[], object]:
                def one() -> None:
                    for sql in DASHBOARD:
                        connections[number].execute(sql.format(t=table)).fetchall()

                return one

            return by_many(readers, seconds, of)

    with repeated(lambda: run_command(served.folder, "run", "m.written")) as runs:
        ours = looking(served.connect, "m.written")
    theirs, written = _postgres_dashboard(looking, rows, url)
    told = f"dashboard of 12 aggregates, {readers} readers, a run writing, p95 (p50 {statistics.median(ours):.2f} s; {len(runs)} runs)"
    report.add(told, p95(ours), "s", p95(ours) / p95(theirs) if theirs else "")
    if theirs:
        told = f"the same in PostgreSQL, p95 (p50 {statistics.median(theirs):.2f} s; {written} times written)"
        report.add(told, p95(theirs), "s")


def _postgres_dashboard(looking: Callable[[Callable[[], psycopg.Connection], str], list[float]], rows: int, url: str) -> tuple[list[float], int]:
    table = "headwater_bench_dashboard"
    try:
        connection = psycopg.connect(url, autocommit=True)
    except psycopg.Error:
        return [], 0
    with closing(connection):

        def write() -> None:
            with connection.transaction():
                connection.execute(f"DELETE FROM {table}")
                connection.execute(f"INSERT INTO {table} {PG_ROWS.format(rows=rows)}")

        try:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
            connection.execute(f"CREATE TABLE {table} AS {PG_ROWS.format(rows=rows)}")
            connection.execute(f"ANALYZE {table}")
            with repeated(write) as written:
                found = looking(lambda: psycopg.connect(url, autocommit=True), table)
            return found, len(written)
        finally:
            with suppress(psycopg.Error):
                connection.execute(f"DROP TABLE IF EXISTS {table}")


# -- idle connections ----------------------------------------------------------------------------------------------------


def idle(report: Report, served: Served) -> None:
    before = served.memory_mb()
    with ExitStack() as stack:
        for _ in range(IDLE):
            connection = stack.enter_context(served.connect())
            connection.execute("SELECT 1")
        time.sleep(2)
        grown = served.memory_mb() - before
    report.add(f"{IDLE} idle connections, on top of the server's {before:.0f} MB", grown, "MB", target=f"< {IDLE_MB}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--url", default="postgresql://postgres@127.0.0.1:5432/test")
    arguments = parser.parse_args()
    report = Report()
    encode(report, arguments.rows, arguments.rounds)
    with tempfile.TemporaryDirectory(prefix="headwater-wire-") as folder, serving(Path(folder), arguments.rows) as served:
        idle(report, served)
        whole_tables(report, served, arguments.rows, arguments.rounds)
        points(report, served, arguments.rows, arguments.rounds, arguments.seconds)
        dashboards(report, served, arguments.rows, arguments.readers, arguments.seconds * 3, arguments.url)
    print(f"### `headwater serve` over {arguments.rows:,} rows x 8 columns (medians of {arguments.rounds}; gate and audit included)\n")
    print(measure.table(("", "figure", "", "ratio", "target"), report.lines))
    print("\nRatios are to bare DuckLake in the same run: of seconds where rows are fetched, of queries a second for points.")
    print("The dashboard's is to PostgreSQL's.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
