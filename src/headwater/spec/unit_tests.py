"""Unit tests of models, as written in `tests/*.yaml`: given these input rows, expect those output rows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from headwater.spec._base import Resource
from headwater.spec.names import TableName

_Table = Annotated[
    TableName,
    BeforeValidator(lambda value: TableName.parse(value) if isinstance(value, str) else value),
    WithJsonSchema({"type": "string", "examples": ["staging.orders"]}),
]


#: In `given`: the rows that an incremental or snapshot model's own table holds before the build.
THIS = "this"


class GivenTable(Resource):
    """Rows an input holds during a test. `columns` maps columns to DuckDB types where the rows don't tell them (nulls, dates, an empty table)."""

    rows: tuple[dict[str, Any], ...] = ()
    columns: dict[str, str] = Field(default_factory=dict)


class UnitTest(Resource):
    """One test of one model. `expect` names the columns to compare; columns it leaves out are not looked at.

    The order of rows counts only with `ordered`. `now` is what the clock functions give. `given` holds every table the model reads; for an
    incremental or snapshot model also `this`, the rows its own table holds before the build.
    """

    name: str = ""
    model: _Table
    description: str | None = None
    given: dict[str, GivenTable] = Field(default_factory=dict)
    expect: tuple[dict[str, Any], ...]
    ordered: bool = False
    now: datetime | None = None
    #: Where it is defined, relative to the project, and the line it begins on; set by the loader.
    path: str = ""
    line: int = 1

    @field_validator("given", mode="before")
    @classmethod
    def _fill_given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {str(table): {"rows": rows or ()} if rows is None or isinstance(rows, (list, tuple)) else rows for table, rows in value.items()}

    @property
    def inputs(self) -> dict[TableName, GivenTable]:
        """`given`, its names parsed, without `this`."""
        return {TableName.parse(name): table for name, table in self.given.items() if name != THIS}
