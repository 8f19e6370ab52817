"""Lakes to test on: a SQLite or a Postgres catalog, plain or encrypted."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from headwater.engine import Engine
from headwater.spec.names import TableName
from headwater.spec.project import LakeConfig
from headwater.storage import LAKE_EXTENSIONS, Access, Definition, Lake, LoadRecord, TableChange

POSTGRES = os.environ.get("HEADWATER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
T = TableName("shop", "orders")
_numbers = itertools.count(1)


@dataclass
class Place:
    """Where one test's lake lives; opened as often as the test likes.

    `threads` are the engine's: rows as few as a test's give a second one nothing to do but to be woken, which doubles the cost of a commit.
    """

    folder: Path
    config: LakeConfig
    schema: str | None = None
    threads: int = 1
    _engines: list[Engine] = field(default_factory=list)
    _lakes: list[Lake] = field(default_factory=list)

    def open(self, *, environment: str = "prod", read_only: bool = False, create: bool = True) -> Lake:
        engine = Engine(threads=self.threads, temp_directory=self.folder / "temp", extensions=LAKE_EXTENSIONS)
        self._engines.append(engine)
        lake = Lake.open(self.config, engine, project_dir=self.folder, environment=environment, read_only=read_only, create=create)
        self._lakes.append(lake)
        return lake

    def close(self) -> None:
        for lake in self._lakes:
            lake.close()
        for engine in self._engines:
            engine.close()
        self._lakes.clear()
        self._engines.clear()


@contextmanager
def make_place(folder: Path, catalog: str, *, encrypted: bool = False, data: str = "data") -> Iterator[Place]:
    folder.mkdir(parents=True, exist_ok=True)
    schema = None
    address = "lake.sqlite"
    if catalog == "postgres":
        schema = f"hw_storage_{uuid.uuid4().hex[:12]}"
        address = f"{POSTGRES}?schema={schema}"
    place = Place(folder, LakeConfig(catalog=address, data=data, encrypted=encrypted), schema)
    try:
        yield place
    finally:
        place.close()
        if schema is not None:
            drop_schema(schema)


def drop_schema(schema: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def definition(kind: str = "table", **changes: Any) -> Definition:
    return Definition(kind=kind, fingerprint=changes.pop("fingerprint", "f1"), **changes)


def load(operation: str = "build", **changes: Any) -> LoadRecord:
    number = next(_numbers)
    return LoadRecord(
        load_id=changes.pop("load_id", f"load-{number}"),
        operation=operation,  # type: ignore[arg-type]
        run_id=changes.pop("run_id", "run-1"),
        started_at=NOW,
        **changes,
    )


def change(lake: Lake, sql: str | None, table: TableName = T, *, token: int = 1, as_files: bool | None = None, **fields: Any) -> TableChange:
    """A change that writes the rows of `sql` to `table`."""
    staged = None
    if sql is not None:
        with lake.engine.connection() as connection:
            staged = lake.stage(connection, table, sql, as_files=as_files)
    fields.setdefault("definition", definition())
    fields.setdefault("load", load())
    return TableChange(table=table, token=token, staged=staged, **fields)


def put(lake: Lake, sql: str | None, table: TableName = T, **fields: Any) -> int:
    """Commits `change(..)`; returns the snapshot."""
    return lake.commit([change(lake, sql, table, **fields)]).snapshot_id


def keep_hot(lake: Lake) -> None:
    """All tables of the lake are read from memory from now on, on connections handed from reader to reader."""
    lake.keep_connections()
    lake.choose_hot(lake.state().tables, 10**9)
    report = lake.refresh_hot()
    assert report.kept
    assert not report.left_out


def rows(lake: Lake, table: TableName = T, **how: Any) -> list[tuple[Any, ...]]:
    """The table's rows as `read_as` gives them, sorted."""
    return sorted(lake.read_as(Access.owner(), f"SELECT * FROM {table.sql}", **how).fetchall(), key=repr)


def query(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    return lake.read_as_system(sql).fetchall()


def one(row: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)
