"""A process that writes a lake, for tests that run several or kill them.

python writer.py CATALOG DATA TABLE TOKEN COUNT: commits COUNT loads of one row each to shop.TABLE; the n-th carries the position {"n": n} and needs
n - 1 before it, so nothing can be lost or doubled without being seen. Prints a line for each commit.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from headwater.engine import Engine
from headwater.errors import Fenced
from headwater.spec.names import TableName
from headwater.spec.project import LakeConfig
from headwater.storage import Definition, Lake, LoadRecord, Position, TableChange


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    catalog, data, name, token, count = sys.argv[1:6]
    table = TableName("shop", name)
    with Engine(threads=1) as engine:
        lake = Lake.open(LakeConfig(catalog=catalog, data=data), engine, project_dir=Path.cwd(), environment="prod")
        say("open")
        for _ in range(int(count)):
            known = lake.state().find(table)
            previous = known.position if known else None
            number = int(previous["n"]) + 1 if previous else 0
            with engine.connection() as connection:
                staged = lake.stage(connection, table, f"SELECT {number} AS n, {token} AS token", as_files=number % 2 == 0)
            change = TableChange(
                table,
                Definition("stream", "f"),
                LoadRecord(f"{name}-{token}-{number}", "load", "run", datetime.now(UTC)),
                int(token),
                staged=staged,
                position=Position({"n": number}),
                previous_position=previous,
            )
            try:
                commit = lake.commit([change])
                say("committed", number, commit.snapshot_id)
            except Fenced:
                say("fenced", number)
                lake.drop_staged(staged)
                break
            lake.drop_staged(staged)
        lake.close()


if __name__ == "__main__":
    main()
