"""A model's table kept in memory: the kinds' outcomes applied as a commit would, without a lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from headwater.engine import Connection, describe_query
from headwater.spec.models import IncrementalKind, Model, SnapshotKind
from headwater.spec.names import TableName, quote
from headwater.spec.runs import Interval
from headwater.transformation import kinds
from headwater.transformation.output import output_columns

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def model_of(kind: object, sql: str, **header: Any) -> Model:
    return Model.model_validate({"name": TableName("marts", "result"), "path": "models/marts/result.sql", "sql": sql, "kind": kind, **header})


@dataclass
class MemoryTable:
    """The table of one model."""

    connection: Connection
    model: Model
    exists: bool = False
    loaded_at: datetime | None = None
    outcomes: list[kinds.Outcome] = field(default_factory=list)

    def build(self, *, clock: datetime = NOON, full: bool = False, interval: Interval | None = None) -> kinds.Outcome:
        """One build, and what it does to the rows."""
        model, connection = self.model, self.connection
        columns = output_columns(connection, model, model.sql)
        existing = None
        if self.exists and not full:
            existing = kinds.Existing("target", tuple(describe_query(connection, "FROM target")))
        if isinstance(model.kind, SnapshotKind):
            outcome = kinds.plan_snapshot(connection, model, model.sql, columns, existing, clock=clock)
        else:
            assert isinstance(model.kind, IncrementalKind)
            outcome = kinds.plan_incremental(connection, model, model.sql, columns, existing, interval=interval, loaded_at=self.loaded_at)
        self._apply(outcome)
        self.exists, self.loaded_at = True, clock
        self.outcomes.append(outcome)
        return outcome

    def _apply(self, outcome: kinds.Outcome) -> None:
        if outcome.is_unchanged:
            return
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE added AS\n{outcome.query}")
        match outcome.delete:
            case kinds.DeleteRange(condition=condition):
                self.connection.execute(f"DELETE FROM target WHERE {condition}")
            case kinds.DeleteMatching(columns=columns):
                same = " AND ".join(f"a.{quote(c)} IS NOT DISTINCT FROM target.{quote(c)}" for c in columns)
                self.connection.execute(f"DELETE FROM target WHERE EXISTS (SELECT 1 FROM added a WHERE {same})")
            case _:
                self.connection.execute("CREATE OR REPLACE TEMP TABLE target AS SELECT * FROM added LIMIT 0")
        self.connection.execute("CREATE OR REPLACE TEMP TABLE target AS SELECT * FROM target UNION ALL BY NAME SELECT * FROM added")

    def rows(self, columns: str = "*") -> list[tuple[Any, ...]]:
        return sorted(self.connection.execute(f"SELECT {columns} FROM target").fetchall(), key=repr)


def give(connection: Connection, rows: Sequence[dict[str, Any]], schema: pa.Schema, name: str = "staging.input") -> None:
    """Replaces the rows of an input table."""
    schema_name, _, table = name.rpartition(".")
    connection.register("given", pa.Table.from_pylist(list(rows), schema))
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema_name}")
    connection.execute(f"CREATE OR REPLACE TABLE {schema_name}.{quote(table)} AS FROM given")
    connection.unregister("given")
