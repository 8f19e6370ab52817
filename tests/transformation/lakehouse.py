"""A lake and the models built into it one by one, as a run would: for the tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headwater.engine import Connection, Engine, Workspace
from headwater.spec.lineage import Lineage
from headwater.spec.models import Model
from headwater.spec.names import TableName
from headwater.spec.project import LakeConfig
from headwater.storage import LAKE_EXTENSIONS, Lake, TableChange
from headwater.transformation import BuildContext, build_model

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
_numbers = itertools.count(1)


def sql_model(sql: str, name: str = "marts.result", **header: Any) -> Model:
    table = TableName.parse(name)
    return Model.model_validate({"name": table, "path": f"models/{table.schema}/{table.name}.sql", "sql": sql, **header})


def python_model(function: str, name: str = "marts.scores", path: str = "models/marts/scores.py", **header: Any) -> Model:
    arguments = {"rows": TableName("staging", "rows")}
    return Model.model_validate(
        {"name": TableName.parse(name), "path": path, "language": "python", "function": function, "arguments": arguments, **header}
    )


@dataclass
class House:
    """`inputs` maps table names to the SQL they stand for in the workspace of a build."""

    lake: Lake
    directory: Path
    inputs: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def workspace(self, clock: datetime = NOON) -> Iterator[Workspace]:
        with Workspace(self.lake.engine, clock=clock) as workspace:
            for name, sql in self.inputs.items():
                workspace.define(TableName.parse(name), sql)
            yield workspace

    def context(self, model: Model, **more: Any) -> BuildContext:
        number = next(_numbers)
        inputs = {TableName.parse(name): 1 for name in self.inputs}
        given: dict[str, Any] = {
            "run_id": "run",
            "load_id": f"load-{number}",
            "started_at": NOON,
            "fingerprint": model.sql or model.function,
            "token": number,
            "project_dir": self.directory,
            "state": self.lake.state().find(model.name),
            "inputs": inputs,
            "lineage": Lineage.conservative(frozenset(inputs), "a test"),
        }
        return BuildContext(**{**given, **more})

    def change(self, model: Model, **more: Any) -> TableChange:
        context = self.context(model, **more)
        with self.workspace(context.started_at) as workspace:
            return build_model(self.lake, workspace, model, context)

    def build(self, model: Model, **more: Any) -> TableChange:
        """Builds and commits."""
        change = self.change(model, **more)
        self.lake.commit([replace(change, publish="now")])
        if change.staged is not None:
            self.lake.drop_staged(change.staged)
        return change

    def rows(self, name: str = "marts.result", columns: str = "*") -> list[tuple[Any, ...]]:
        with self.lake.engine.connection() as connection:
            return sorted(connection.execute(f"SELECT {columns} FROM ({self.lake.head_sql(TableName.parse(name))})").fetchall(), key=repr)

    def connection(self) -> Connection:
        return self.lake.engine.connection()

    def write(self, path: str, text: str) -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@contextmanager
def open_house(directory: Path, **config: Any) -> Iterator[House]:
    with (
        Engine(threads=1, extensions=LAKE_EXTENSIONS) as engine,
        Lake.open(LakeConfig(**config), engine, project_dir=directory, environment="prod") as lake,
    ):
        yield House(
            lake, directory, {"staging.rows": "SELECT i AS id, DATE '2024-01-01' + (i % 10)::INTEGER AS day, i * 2 AS v FROM range(100) t(i)"}
        )
