"""The floor: bare DuckDB into DuckLake, the statements and nothing else. Run as a process of its own by the benchmarks.

    python benchmarks/bare.py PLAN.json

The plan: {"catalog": path, "data": path, "mode": "ctas" | "rebuild", "transaction": bool, "threads": n or null, "setup": [sql ..],
"tables": [[schema, name, query] ..]}. Queries name tables as `lake.schema.table`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

EXTENSIONS = ("ducklake", "sqlite_scanner")


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB with the lake's extensions from their wheels."""
    import importlib.util

    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    for name in EXTENSIONS:
        spec = importlib.util.find_spec(f"duckdb_extension_{name}")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        folder = Path(next(iter(spec.submodule_search_locations)))
        connection.execute(f"LOAD '{folder / 'extensions' / f'v{duckdb.__version__}' / f'{name}.duckdb_extension'}'")
    return connection


def attach(folder: Path) -> duckdb.DuckDBPyConnection:
    """A connection on the lake of the project in `folder`, attached as `lake`."""
    connection = connect()
    home = folder / ".headwater"
    settings = f"DATA_PATH '{home / 'data'}', META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000"
    connection.execute(f"ATTACH 'ducklake:sqlite:{home / 'lake.sqlite'}' AS lake ({settings})")
    return connection


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    connection = connect()
    if plan.get("threads"):
        connection.execute(f"SET threads = {plan['threads']}")
    connection.execute(
        f"ATTACH 'ducklake:sqlite:{plan['catalog']}' AS lake (DATA_PATH '{plan['data']}', META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT 5000)"
    )
    for statement in plan.get("setup", ()):
        connection.execute(statement)
    if plan["transaction"]:
        connection.execute("BEGIN")
    for schema in sorted({schema for schema, _, _ in plan["tables"]}):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{schema}")
    for schema, name, query in plan["tables"]:
        if plan["mode"] == "ctas":
            connection.execute(f"CREATE TABLE lake.{schema}.{name} AS {query}")
        else:
            connection.execute(f"DELETE FROM lake.{schema}.{name}")
            connection.execute(f"INSERT INTO lake.{schema}.{name} {query}")
    if plan["transaction"]:
        connection.execute("COMMIT")
    connection.execute("DETACH lake")


if __name__ == "__main__":
    main()
