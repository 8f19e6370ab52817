"""What the gate adds to a query: the same statements through it and on bare DuckLake, in one process and on one lake, in turn.

    python benchmarks/bench_gate.py [--rows 10000000] [--rounds 5] [--queries 200]

First small queries, for what the gate itself costs: p50 of each way, with a statement that was seen before and with a new one each time. Then
aggregates over all rows, for what masks and row filters cost. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measure

from headwater.engine import Connection, Engine
from headwater.security import MaskKeys, Principal
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.project import LakeConfig
from headwater.spec.tables import Column
from headwater.storage import Access, Definition, Lake, LoadRecord, TableChange

CACHED_MS, UNCACHED_MS, MASKS, FILTERS = 5.0, 25.0, 1.2, 2.0

ROWS = """
SELECT i AS id, i % 1000 AS customer, 'user' || i || '@example.org' AS email, ['NO', 'SE', 'DK'][1 + i % 3] AS country,
    (i * 7919) % 100000 / 100.0 AS amount, DATE '2020-01-01' + (i % 1000)::INTEGER AS day
FROM range({rows}) t(i)
"""
COLUMNS = (
    Column("id", "BIGINT"),
    Column("customer", "BIGINT"),
    Column("email", "VARCHAR", labels=("pii.email",)),
    Column("country", "VARCHAR"),
    Column("amount", "DOUBLE"),
    Column("day", "DATE", labels=("pii.day",)),
)
POLICIES = Policies.model_validate(
    {
        "roles": {
            "masked": {"grants": [{"select": "shop.*"}]},
            "filtered": {"grants": [{"select": "shop.*", "where": "country <> 'SE'", "unmask": ["pii"]}]},
        },
        "masks": {"pii.email": "redact", "pii.day": {"generalise": "year"}, "pii": "redact"},
        "version": "1",
    }
)
#: A mask at a time, on the column that it is on; `country` has three values, `email` one a row.
SINGLE: dict[str, tuple[str, Any]] = {
    "null": ("email", "null"),
    "redact": ("email", "redact"),
    "partial": ("email", "partial"),
    "hash": ("email", "hash"),
    "prefix:4": ("email", {"generalise": {"prefix": 4}}),
    "partial of few values": ("country", "partial"),
    "hash of few values": ("country", "hash"),
    "year": ("day", {"generalise": "year"}),
    "month": ("day", {"generalise": "month"}),
    "bucket of 10": ("amount", {"generalise": 10}),
    "noise": ("amount", {"noise": 0.1}),
}
ONE_COLUMN = "SELECT customer % 10 AS c, count({column}), min({column}), sum(id) FROM {table} GROUP BY ALL"
POINT = "SELECT amount, country FROM {table} WHERE id = {id}"
MASKED = "SELECT customer % 10 AS c, count(email), min(day), sum(amount) FROM {table} GROUP BY ALL"
FILTERED = "SELECT customer % 10 AS c, count(*), max(id), sum(amount) FROM {table} GROUP BY ALL"


def access(role: str) -> Access:
    keys = MaskKeys("hash", "token", "noise")
    return Access(Principal("ada", roles=frozenset({role})), POLICIES, keys, datetime.now(UTC), audit=lambda record: None)


def single(name: str) -> Access:
    """A reader under one mask alone."""
    column, mask = SINGLE[name]
    labels = {"email": "pii.email", "day": "pii.day"}
    masks = {f"shop.orders.{column}": mask}
    role = {"grants": [{"select": "shop.*", "unmask": [label for on, label in labels.items() if on != column]}]}
    policies = Policies.model_validate({"roles": {"masked": role}, "masks": masks, "version": name})
    return replace(access("masked"), policies=policies)


def bare(connection: Connection, sql: str) -> None:
    """A transaction, as the gate has one: what is read of several tables is of one snapshot."""
    with connection.transaction():
        connection.execute(sql).fetchall()


def build(folder: Path, engine: Engine, rows: int) -> Lake:
    lake = Lake.open(LakeConfig(catalog="lake.sqlite", data="data"), engine, project_dir=folder, environment="prod")
    with engine.connection() as connection:
        changes = []
        for name, count in (("orders", rows), ("few", 1000)):
            staged = lake.stage(connection, TableName("shop", name), ROWS.format(rows=count))
            load = LoadRecord(f"load-{name}", "build", "run", datetime.now(UTC))
            changes.append(TableChange(TableName("shop", name), Definition("table", "f"), load, 1, staged=staged, columns=COLUMNS))
        lake.commit(changes)
    return lake


def p50_ms(count: int, ways: dict[str, Callable[[int], object]]) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(count):
        for name, way in ways.items():
            started = time.perf_counter()
            way(number)
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) * 1000 for name, found in seconds.items()}


def singles(lake: Lake, connection: Connection, table: str) -> list[list[object]]:
    """What every mask costs: CPU, which other work on the machine changes least."""
    found: list[list[object]] = []
    for name, (column, _) in SINGLE.items():
        reader = single(name)
        floor = measure.timed(lambda column=column: bare(connection, ONE_COLUMN.format(column=column, table=table)))  # type: ignore[misc]
        sql = ONE_COLUMN.format(column=column, table="shop.orders")
        cost = measure.timed(lambda reader=reader, sql=sql: lake.read_as(reader, sql).fetchall())  # type: ignore[misc]
        ratio = cost.cpu / floor.cpu
        found.append([f"{name} ({column})", cost.cpu, floor.cpu, ratio, "yes" if ratio <= MASKS else "no"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Engine(temp_directory=Path(name) / "temp") as engine:
        lake = build(Path(name), engine, arguments.rows)
        masked, filtered = access("masked"), access("filtered")
        with engine.connection() as connection:
            few = f"{lake.database}.shop.few"

            def through(reader: Access, sql: str) -> None:
                lake.read_as(reader, sql).fetchall()

            small = p50_ms(
                arguments.queries,
                {
                    "bare": lambda number: bare(connection, POINT.format(table=few, id=number)),
                    "masked, seen before": lambda number: through(masked, POINT.format(table="shop.few", id=7)),
                    "filtered, seen before": lambda number: through(filtered, POINT.format(table="shop.few", id=7)),
                    "masked, new": lambda number: through(masked, POINT.format(table="shop.few", id=number)),
                    "filtered, new": lambda number: through(filtered, POINT.format(table="shop.few", id=number)),
                },
            )
            table = f"{lake.database}.shop.orders"
            large = measure.interleaved(
                arguments.rounds,
                {
                    "bare, the columns masked": lambda: measure.timed(lambda: bare(connection, MASKED.format(table=table))),
                    "masked": lambda: measure.timed(lambda: through(masked, MASKED.format(table="shop.orders"))),
                    "bare, all rows": lambda: measure.timed(lambda: bare(connection, FILTERED.format(table=table))),
                    "filtered": lambda: measure.timed(lambda: through(filtered, FILTERED.format(table="shop.orders"))),
                },
            )
            alone = singles(lake, connection, table)
        lake.close()
    added = {way: milliseconds - small["bare"] for way, milliseconds in small.items() if way != "bare"}
    limits = {way: CACHED_MS if "before" in way else UNCACHED_MS for way in added}
    print("### The gate beside bare DuckLake\n")
    print(f"Point queries, p50 of {arguments.queries}, added to bare DuckLake:\n")
    rows = [[way, milliseconds, added.get(way, ""), limits.get(way, "")] for way, milliseconds in small.items()]
    print(measure.table(["", "ms", "added ms", "limit"], rows))
    ratios = {
        "masked": (large["masked"].wall / large["bare, the columns masked"].wall, MASKS),
        "filtered": (large["filtered"].wall / large["bare, all rows"].wall, FILTERS),
    }
    print(f"\n{arguments.rows:,} rows, aggregates over all of them, medians of {arguments.rounds} rounds:\n")
    print(measure.table(["", "wall s", "CPU s", "ratio", "limit"], [[way, c.wall, c.cpu, *ratios.get(way, ("", ""))] for way, c in large.items()]))
    print(f"\nEach mask by itself, {ONE_COLUMN.split(' FROM')[0]} ..; CPU beside the same over the bare column, one round:\n")
    print(measure.table(["", "CPU s", "bare CPU s", "ratio", f"within {MASKS}"], alone))


if __name__ == "__main__":
    main()
