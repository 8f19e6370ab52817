"""A process that writes a lake, for tests that run several or kill them.

python writer.py CATALOG DATA TABLE TOKEN COUNT, or `write` in the test's own process: commits COUNT loads of one row each to shop.TABLE; the n-th
carries the position {"n": n} and needs n - 1 before it, so nothing can be lost or doubled without being seen. Tells a line for each commit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from headwater.engine import Engine
from headwater.errors import Fenced
from headwater.spec.names import TableName
from headwater.spec.project import LakeConfig
from headwater.storage import LAKE_EXTENSIONS, Definition, Lake, LoadRecord, Position, TableChange


def write(catalog: str, data: str, name: str, token: int, count: int) -> Iterator[str]:
    """Gives the line of each commit when it is done."""
    table = TableName("shop", name)
    with Engine(threads=1, extensions=LAKE_EXTENSIONS) as engine:
        lake = Lake.open(LakeConfig(catalog=catalog, data=data), engine, project_dir=Path(data).parent, environment="prod")
        yield "open"
        for _ in range(count):
            known = lake.state().find(table)
            previous = known.position if known else None
            number = int(previous["n"]) + 1 if previous else 0
            with engine.connection() as connection:
                staged = lake.stage(connection, table, f"SELECT {number} AS n, {token} AS token", as_files=number % 2 == 0)
            change = TableChange(
                table,
                Definition("stream", "f"),
                LoadRecord(f"{name}-{token}-{number}", "load", "run", datetime.now(UTC)),
                token,
                staged=staged,
                position=Position({"n": number}),
                previous_position=previous,
            )
            try:
                commit = lake.commit([change])
                yield f"committed {number} {commit.snapshot_id}"
            except Fenced:
                yield f"fenced {number}"
                lake.drop_staged(staged)
                break
            lake.drop_staged(staged)
        lake.close()


if __name__ == "__main__":
    catalog, data, name, token, count = sys.argv[1:6]
    for line in write(catalog, data, name, int(token), int(count)):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
