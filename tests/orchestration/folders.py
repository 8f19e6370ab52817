"""Small projects on disk, run for real."""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from headwater.orchestration import RunOptions, Session, execute, open_session
from headwater.project import load_project
from headwater.spec.names import TableName
from headwater.spec.runs import Event, RunSummary
from headwater.storage import Access


@dataclass
class Folder:
    """A project's folder. Times are the test's own."""

    directory: Path
    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    events: list[Event] = field(default_factory=list)

    def write(self, path: str, text: str) -> Folder:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip())
        return self

    def remove(self, path: str) -> Folder:
        (self.directory / path).unlink()
        return self

    def model(self, name: str, sql: str, *header: str) -> Folder:
        schema, _, table = name.partition(".")
        lines = "".join(f"-- {line}\n" for line in header)
        return self.write(f"models/{schema}/{table}.sql", f"{'-- headwater' + chr(10) if header else ''}{lines}{sql}\n")

    def csv(self, name: str, rows: Sequence[Sequence[Any]], columns: str = "id,amount") -> Folder:
        return self.write(f"data/{name}", columns + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def session(self) -> Session:
        return open_session(load_project(self.directory), clock=self.clock)

    def run(self, *include: str, listener: Callable[[Event], None] | None = None, **options: Any) -> RunSummary:
        """One run, of two tasks side by side unless it is told otherwise; its events are added to `events`."""

        def listen(event: Event) -> None:
            self.events.append(event)
            if listener is not None:
                listener(event)

        with self.session() as session:
            return execute(session, RunOptions(include=include, **{"threads": 2, **options}), listener=listen)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What readers see."""
        with self.session() as session:
            reading = session.lake.read_as(Access.owner(), sql)
            try:
                return sorted(reading.fetchall())
            finally:
                reading.close()

    def head(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the lake itself, `lake.schema.table`."""
        with self.session() as session:
            return sorted(session.lake.read_as_system(sql).fetchall())

    def sqlite(self, statement: str, rows: Sequence[Sequence[Any]] = ()) -> Folder:
        with sqlite3.connect(self.directory / "shop.sqlite") as connection:
            connection.executemany(statement, rows) if rows else connection.executescript(statement)
        connection.close()
        return self


def small_project(directory: Path) -> Folder:
    """A project with a source `shop` whose stream `orders` is the CSV files `data/orders*.csv`, appended."""
    project = Folder(directory)
    project.write("headwater.yaml", "name: tests\nthreads: 1\n")  # the engine's: a second one would only be woken in vain
    project.write("sources/shop.yaml", "type: files\nstreams:\n  orders: {path: data/orders*.csv, columns: {id: bigint, amount: bigint}}\n")
    return project.csv("orders1.csv", [(1, 10), (2, 20)])


def statuses(summary: RunSummary) -> dict[str, str]:
    return {str(task.table): task.status for task in summary.tasks}


def reason(summary: RunSummary, table: str) -> str:
    return next(task.reason for task in summary.tasks if task.table == TableName.parse(table))
