"""The project that is crashed: a source that grows, models of every kind, and the truth to compare with."""

from __future__ import annotations

import json
import random
import sqlite3
import textwrap
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

_FILES = {
    "sources/web.yaml": """
        type: files
        streams:
          visits:
            path: data/visits*.csv
            columns: {id: {type: bigint, not_null: true}, day: date, pages: {type: bigint, checks: [range: {min: 0}]}}
        """,
    "sources/shop.yaml": """
        type: sqlite
        connection: shop.sqlite
        streams:
          orders: {table: orders, primary_key: id, cursor: {column: version, lag: 2}}
          customers: {table: customers, write_disposition: replace}
        """,
    "models/staging/orders.sql": "SELECT id, customer, day, amount, version FROM shop.orders\n",
    "models/staging/shown.sql": "-- headwater\n-- kind: view\nSELECT id, customer, amount FROM staging.orders WHERE amount > 0\n",
    "models/marts/by_customer.sql": """
        -- headwater
        -- checks: [unique: customer]
        SELECT customer, count(*) AS n, sum(amount)::BIGINT AS amount FROM staging.orders GROUP BY ALL
        """,
    "models/marts/total.sql": "SELECT count(*) AS n, sum(amount)::BIGINT AS amount FROM staging.orders\n",
    "models/marts/named.sql": """
        -- headwater
        -- publish_group: names
        SELECT o.id, c.name, o.amount FROM staging.shown o LEFT JOIN shop.customers c ON c.id = o.customer
        """,
    "models/marts/names.sql": """
        -- headwater
        -- publish_group: names
        SELECT count(*) AS n FROM marts.named
        """,
    "models/marts/visits.sql": """
        -- headwater
        -- kind: {incremental: {time_column: day, lookback: 400 days}}
        SELECT id, day, pages FROM web.visits
        """,
    "models/marts/history.sql": """
        -- headwater
        -- kind: {snapshot: {key: [id], check: [amount], on_delete: keep}}
        SELECT id, amount FROM staging.orders
        """,
}


@dataclass
class Shop:
    """A project's folder with a source beside it. All growth comes from `seed`. `threads` are the engine's; None for one a core."""

    directory: Path
    catalog: str = ".headwater/lake.sqlite"
    seed: int = 1
    rounds: int = 0
    threads: int | None = None

    def create(self) -> Shop:
        for path, text in _FILES.items():
            file = self.directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text).lstrip())
        (self.directory / "data").mkdir()
        threads = "" if self.threads is None else f"threads: {self.threads}\n"
        (self.directory / "headwater.yaml").write_text(f"name: crashed\n{threads}lake: {{catalog: {json.dumps(self.catalog)}}}\n")
        with self._connect() as connection:
            connection.executescript(
                """
                CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, day TEXT, amount INTEGER, version INTEGER);
                CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT);
                """
            )
        return self

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.directory / "shop.sqlite")

    def grow(self) -> None:
        """One more round of orders, changes of older ones, customers, and files, some rows of which break their contract."""
        self.rounds += 1
        chance = random.Random(self.seed * 1_000_003 + self.rounds)
        day = (datetime(2026, 1, 1) + timedelta(days=self.rounds % 300)).date().isoformat()
        with self._connect() as connection:
            known = [row[0] for row in connection.execute("SELECT id FROM orders")]
            version = self.rounds * 10
            for number in range(chance.randint(1, 6)):
                connection.execute(
                    "INSERT INTO orders VALUES (?, ?, ?, ?, ?)", (len(known) + number + 1, number % 5, day, chance.randint(1, 99), version)
                )
            for order in chance.sample(known, min(len(known), chance.randint(0, 3))):
                connection.execute("UPDATE orders SET amount = ?, version = ? WHERE id = ?", (chance.randint(100, 999), version + 1, order))
            connection.execute("INSERT INTO customers VALUES (?, ?)", (self.rounds - 1, f"customer {self.rounds}"))
        lines = [f"{self.rounds * 100 + number},{day},{chance.randint(0, 50)}" for number in range(chance.randint(1, 4))]
        if chance.random() < 0.5:
            lines.append(f"{self.rounds * 100 + 90},{day},-1")
        if chance.random() < 0.3:
            lines.append(f"{self.rounds * 100 + 91},{day},many")
        (self.directory / f"data/visits{self.rounds}.csv").write_text("id,day,pages\n" + "\n".join(lines) + "\n")

    # -- the truth ---------------------------------------------------------------------------------------------------

    def orders(self) -> list[tuple[Any, ...]]:
        with self._connect() as connection:
            return sorted(connection.execute("SELECT id, customer, day, amount, version FROM orders").fetchall())

    def customers(self) -> list[tuple[Any, ...]]:
        with self._connect() as connection:
            return sorted(connection.execute("SELECT id, name FROM customers").fetchall())

    def visits(self) -> tuple[list[tuple[int, str, int]], list[int]]:
        """The good rows of all files, and the ids of those that break the contract."""
        good, broken = [], []
        for file in sorted((self.directory / "data").glob("visits*.csv")):
            for line in file.read_text().splitlines()[1:]:
                key, day, pages = line.split(",")
                if pages.isdigit():
                    good.append((int(key), day, int(pages)))
                else:
                    broken.append(int(key))
        return sorted(good), sorted(broken)
