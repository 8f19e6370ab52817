"""A lake with a table, an export of it, and runs that can be made to die at any of their instants."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lakes import Place, change, make_place

from headwater.destinations import Destination
from headwater.exporting import ExportJob, ExportResult, run_export
from headwater.security import Principal
from headwater.security.audit import AuditLog
from headwater.security.masks import MaskKeys
from headwater.spec.exports import Export
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.state.exports import ExportRuns
from headwater.state.store import StateStore
from headwater.storage import Access, Definition, DeleteAll, Lake
from headwater.testing import FakeDestination

TABLE = TableName("marts", "customers")
KEYS = MaskKeys("a" * 64, "b" * 64, "c" * 64)
BOT = Principal("crm_bot", "service", frozenset({"exporter"}))
OPEN = {"grants": [{"action": "export", "on": ["marts.*"]}]}
Rows = Mapping[int, tuple[str | None, str | None]]


class Died(BaseException):
    """Stands for the end of the process."""


def policies(version: str, *, where: str | None = None, mask: str | None = None, **more: Any) -> Policies:
    grant = {**OPEN["grants"][0], "where": where}
    masks = {"marts.customers.name": None if mask == "null" else mask} if mask else {}
    return Policies.model_validate({"roles": {"exporter": {"grants": [grant]}}, "masks": masks, "version": version, **more})


def export(**changes: Any) -> Export:
    given = {"name": "crm", "table": "marts.customers", "as": "crm_bot", "key": ["id"], "to": "fake", "batch": 2, "max_deletes": 1, "max_dead": 1}
    return Export.model_validate({**given, **changes})


@dataclass
class Bench:
    """`rows` puts rows into the table; `run` runs the export; `seen` is what the principal sees of the table."""

    lake: Lake
    state: StateStore
    folder: Path
    destination: Any = field(default_factory=FakeDestination)
    policies: Policies = field(default_factory=lambda: policies("v1"))
    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)
    count: int = 0

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=7)
        return self.now

    def rows(self, rows: Rows, columns: str = "id BIGINT, name VARCHAR, city VARCHAR") -> None:
        def literal(value: object) -> str:
            return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"

        names = [part.split()[0] for part in columns.split(", ")]
        types = [part.split(maxsplit=1)[1] for part in columns.split(", ")]
        listed = [(key, *values) for key, values in rows.items()] or [tuple([None] * len(names))]
        values = ", ".join("(" + ", ".join(literal(value) for value in row) + ")" for row in listed)
        cast = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in zip(names, types, strict=True))
        self.sql(f"SELECT {cast} FROM (VALUES {values}) t({', '.join(names)}) WHERE id IS NOT NULL")

    def sql(self, sql: str) -> None:
        one = change(
            self.lake, sql, TABLE, delete=DeleteAll() if self.lake.state().find(TABLE) else None, definition=Definition("table", f"f{self.count}")
        )
        self.count += 1
        self.lake.commit([one])

    def access(self, principal: Principal = BOT) -> Access:
        audit = AuditLog(self.state, "prod")
        return Access(principal, self.policies, KEYS, self.clock(), audit=audit.append, action="export")

    def seen(self) -> dict[str, tuple[str | None, ...]]:
        found = self.lake.read_as(self.access(), f"SELECT * FROM {TABLE.sql}").fetchall()
        return {str(row[0]): tuple(None if value is None else str(value) for value in row) for row in found}

    def held(self) -> dict[str, tuple[str | None, ...]]:
        """What is at the fake destination."""
        return {str(key[0]): tuple(row.values()) for key, row in self.destination.rows.items()}

    def run(self, spec: Export | None = None, *, destination: Destination | None = None, **how: Any) -> ExportResult:
        self.count += 1
        access = how.pop("access", None) or self.access()
        return run_export(
            ExportJob(
                id=f"run-{self.count}-{id(how)}",
                export=spec or export(),
                lake=self.lake,
                access=access,
                runs=how.pop("runs", None) or ExportRuns(self.state, "prod"),
                destination=destination or self.destination,
                secret="secret",
                clock=self.clock,
                sleep=self.slept.append,
                **how,
            )
        )

    def die(self, at: int, spec: Export | None = None, **how: Any) -> bool:
        """Runs the export, and dies at the instant of that number; False when it was over before."""
        seen = 0

        def reached(name: str) -> None:
            nonlocal seen
            if name.startswith("export."):
                seen += 1
                if seen > at:
                    raise Died

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("headwater.storage.boundaries.reached", reached)
            if isinstance(self.destination, FakeDestination):
                patch.setattr(self.destination, "after", lambda batch: reached("export.applied"))
            try:
                self.run(spec, **how)
            except Died:
                return True
        return False


@contextmanager
def open_bench(folder: Path) -> Iterator[Bench]:
    with make_place(folder, "sqlite") as place, StateStore.open("state.sqlite", folder) as state:
        yield bench_of(place, state, folder)


def bench_of(place: Place, state: StateStore, folder: Path) -> Bench:
    return Bench(place.open(), state, folder)


# -- a project whose exports the installed command runs -----------------------------------------------------------------

SHOP = {
    "headwater.yaml": "name: shop\nthreads: 1\n",
    "sources/shop.yaml": "type: files\nstreams:\n  customers: {path: data/customers.csv, write_disposition: replace, columns: {id: bigint}}\n",
    "models/marts/customers.sql": "SELECT id, name, city FROM shop.customers\n",
    "policies/all.yaml": "roles:\n  exporter:\n    grants: [{export: marts.*}]\ngroups:\n  exporters: {roles: [exporter]}\n",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def customers(folder: Path, rows: dict[int, str]) -> None:
    write(folder, {"data/customers.csv": "id,name,city\n" + "".join(f"{key},{name},Oslo\n" for key, name in rows.items())})


def define(folder: Path, to: dict[str, Any], **more: Any) -> None:
    spec = {"table": "marts.customers", "as": "crm_bot", "key": ["id"], "to": to, "batch": 5, "max_deletes": 1, **more}
    write(folder, {"exports/crm.yaml": json.dumps({"exports": {"crm": spec}})})
