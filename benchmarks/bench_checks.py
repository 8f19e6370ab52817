"""20 checks on 10 million rows: `judge` beside SQL written by hand (`sql/checks_by_hand.sql`), medians of interleaved rounds.

    python benchmarks/bench_checks.py [--rows 10000000] [--rounds 5]

The rows lie in Parquet, as staged results and the lake's own tables do. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import measure

from headwater.engine import Connection, Engine
from headwater.governance.checks import judge
from headwater.spec.checks import Check, Verdict, parse_checks

BY_HAND = measure.HERE / "sql" / "checks_by_hand.sql"
LIMIT = 1.2

ROWS = """
SELECT i AS id,
       i // 4 AS customer,
       i % 4 AS line,
       TIMESTAMP '2021-01-01' + to_seconds(i) AS ordered_at,
       (i % 100 + 1)::INTEGER AS quantity,
       ((i * 7919) % 1000000 / 100)::DECIMAL(10, 2) AS amount,
       (i % 50) / 100.0::DOUBLE AS discount,
       0.25::DOUBLE AS tax,
       ['new', 'paid', 'sent', 'done', 'void'][(i % 5 + 1)::INTEGER] AS status,
       ['NO', 'SE', 'DK', 'FI', 'IS'][(i % 5 + 1)::INTEGER] AS country,
       'user' || (i % 100000) || '@example.org' AS email
FROM range({rows}) t(i)
"""

CHECKS: tuple[Check, ...] = parse_checks(
    [
        *({"not_null": column} for column in ("id", "customer", "ordered_at", "amount", "status", "country")),
        {"range": {"column": "quantity", "min": 1, "max": 100}},
        {"range": {"column": "amount", "min": 0, "max": 10000}},
        {"range": {"column": "discount", "min": 0, "max": 1}},
        {"range": {"column": "ordered_at", "min": "2020-01-01", "max": "2030-01-01"}},
        {"range": {"column": "customer", "min": 0}},
        {"range": {"column": "tax", "min": 0, "max": 0.5}},
        {"accepted_values": {"column": "status", "values": ["new", "paid", "sent", "done", "void"]}},
        {"accepted_values": {"column": "country", "values": ["NO", "SE", "DK", "FI", "IS"]}},
        {"matches": {"column": "email", "pattern": r"^[a-z0-9]+@[a-z]+\.[a-z]+$"}},
        {"expression": {"name": "net", "sql": "amount * (1 - discount) <= 10000"}},
        {"expression": {"name": "void", "sql": "status <> 'void' OR quantity > 0"}},
        {"rows": {"min": 1}},
        {"unique": "id"},
        {"unique": ["customer", "line"]},
    ]
)


def by_hand(connection: Connection) -> None:
    for statement in BY_HAND.read_text().split(";"):
        if statement.strip():
            for row in connection.execute(statement).fetchall():
                assert not any(row[1:]), "no row fails"


def by_headwater(connection: Connection) -> None:
    verdicts: tuple[Verdict, ...] = judge(connection, "orders", CHECKS)
    assert len(verdicts) == 20
    assert all(verdict.passed for verdict in verdicts), "no row fails"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Engine(temp_directory=Path(folder)) as engine, engine.connection() as connection:
        connection.execute(f"COPY ({ROWS.format(rows=arguments.rows)}) TO '{folder}/orders.parquet' (COMPRESSION zstd)")
        connection.execute(f"CREATE VIEW orders AS FROM '{folder}/orders.parquet'")
        costs = measure.interleaved(
            arguments.rounds,
            {
                "by hand": lambda: measure.timed(lambda: by_hand(connection)),
                "headwater": lambda: measure.timed(lambda: by_headwater(connection)),
            },
        )
    hand, ours = costs["by hand"], costs["headwater"]
    print(f"### 20 checks on {arguments.rows:,} rows beside hand-written SQL (medians of {arguments.rounds} rounds)\n")
    rows = [[name, cost.wall, cost.cpu] for name, cost in costs.items()]
    rows.append([f"ratio (limit {LIMIT})", ours.wall / hand.wall, ours.cpu / hand.cpu])
    print(measure.table(["", "wall s", "CPU s"], rows))
    return 0 if ours.wall <= LIMIT * hand.wall else 1


if __name__ == "__main__":
    sys.exit(main())
