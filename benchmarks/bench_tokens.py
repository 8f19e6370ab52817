"""What tokens cost: making them through the gate, beside the same query bare; and turning distinct ones back.

    python benchmarks/bench_tokens.py [--rows 10000000] [--distinct 1000000] [--rounds 3]

Everything runs in one process on one lake, in turn. Prints a Markdown table; the ratio is what to carry, not the seconds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from headwater.engine import Engine
from headwater.security import MaskKeys, Principal
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.project import LakeConfig
from headwater.spec.tables import Column
from headwater.storage import Access, Definition, Lake, LoadRecord, TableChange

ROWS = "SELECT i AS id, 'user' || i || '@example.org' AS email FROM range({rows}) t(i)"
COLUMNS = (Column("id", "BIGINT"), Column("email", "VARCHAR", labels=("pii.email",)))
GRANTS = [{"select": "shop.*"}, {"detokenize": {"label": "pii.email"}, "purpose": ["benchmark"]}]


def reader(mask: str, purpose: str | None = None) -> Access:
    policies = Policies.model_validate({"roles": {"r": {"grants": GRANTS}}, "masks": {"pii.email": mask}, "version": mask})
    keys = MaskKeys("a" * 64, "b" * 64, "c" * 64)
    return Access(Principal("ada", roles=frozenset({"r"}), purpose=purpose), policies, keys, datetime.now(UTC), audit=lambda record: None)


def build(folder: Path, engine: Engine, rows: int, distinct: int) -> Lake:
    lake = Lake.open(LakeConfig(catalog="lake.sqlite", data="data"), engine, project_dir=folder, environment="prod")
    with engine.connection() as connection:

        def put(name: str, sql: str, columns: tuple[Column, ...]) -> None:
            table = TableName("shop", name)
            staged = lake.stage(connection, table, sql)
            load = LoadRecord(f"load-{name}", "build", "run", datetime.now(UTC))
            lake.commit([TableChange(table, Definition("table", "f"), load, 1, staged=staged, columns=columns)])

        put("people", ROWS.format(rows=rows), COLUMNS)
        put("few", ROWS.format(rows=distinct), COLUMNS)
        tokens = lake.read_as(reader("token"), "SELECT email AS token FROM shop.few").arrow()
        connection.register("tokens", tokens)
        put("tokens", "SELECT token FROM tokens", (Column("token", "VARCHAR"),))
    return lake


def seconds(rounds: int, ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            found[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--distinct", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Engine(temp_directory=Path(name) / "temp") as engine:
        lake = build(Path(name), engine, arguments.rows, arguments.distinct)
        turning = reader("token", "benchmark")
        with engine.connection() as connection:
            bare = f"SELECT count(DISTINCT id), max(email) FROM {lake.database}.shop.people"
            through = "SELECT count(DISTINCT id), max(email) FROM shop.people"
            plain = f"SELECT count(token), max(token) FROM {lake.database}.shop.tokens"
            back = "SELECT count(value), max(value) FROM (SELECT detokenize(token) AS value FROM shop.tokens)"
            found = seconds(
                arguments.rounds,
                {
                    "bare": lambda: connection.execute(bare).fetchall(),
                    "hash": lambda: lake.read_as(reader("hash"), through).fetchall(),
                    "token": lambda: lake.read_as(reader("token"), through).fetchall(),
                    "tokens, bare": lambda: connection.execute(plain).fetchall(),
                    "detokenize": lambda: lake.read_as(turning, back).fetchall(),
                },
            )
    print(f"### Tokens made in {arguments.rows:,} rows, and {arguments.distinct:,} turned back (medians of {arguments.rounds})\n")
    print("| what | rows | s | rows/s | beside bare |\n|---|---|---|---|---|")
    for what, floor, rows in (
        ("bare", "bare", arguments.rows),
        ("hash", "bare", arguments.rows),
        ("token", "bare", arguments.rows),
        ("tokens, bare", "tokens, bare", arguments.distinct),
        ("detokenize", "tokens, bare", arguments.distinct),
    ):
        print(f"| {what} | {rows:,} | {found[what]:.2f} | {rows / found[what]:,.0f} | {found[what] / found[floor]:.1f} |")


if __name__ == "__main__":
    main()
