"""Sources and their streams, as written in `sources/*.yaml`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from headwater.spec._base import Duration, Resource, Strings
from headwater.spec.checks import Check, HasChecks, parse_checks
from headwater.spec.names import TableName

WriteDisposition = Literal["append", "merge", "replace", "scd2"]
#: What one part of a contract does with what it didn't promise: take it, refuse the load, or leave out the row or the value.
ContractMode = Literal["evolve", "freeze", "discard_row", "discard_value"]


class Cursor(Resource):
    """Reads only rows whose `column` is at least the highest value loaded, less `lag` (a duration for times, a number for numbers)."""

    column: str
    lag: Duration | int | float | None = None
    start: date | datetime | int | float | str | None = None


class Parallel(Resource):
    """Splits a read into `parts` ranges of the numeric or time column `column`."""

    column: str
    parts: int = Field(ge=2, le=64)


class SchemaContract(Resource):
    """`enforced` is {evolve... freeze} for all parts, `evolve` takes additions and widenings, `agnostic` keeps what comes as text and JSON."""

    tables: Literal["evolve", "freeze"] = "evolve"
    columns: ContractMode = "evolve"
    data_type: ContractMode = "evolve"
    is_agnostic: bool = False


_CONTRACTS = {
    "enforced": {"tables": "freeze", "columns": "freeze", "data_type": "freeze"},
    "evolve": {},
    "agnostic": {"is_agnostic": True},
}


def _parse_contract(value: Any) -> Any:
    if isinstance(value, str):
        if value not in _CONTRACTS:
            raise ValueError(f"expected one of {', '.join(_CONTRACTS)}, or a mapping of tables, columns, data_type")
        return _CONTRACTS[value]
    return value


class StreamColumn(HasChecks):
    """What the contract says of one column. Row-wise checks of severity error are contract terms: rows that fail go to quarantine."""

    type: str | None = None
    not_null: bool = False
    labels: Strings = ()
    description: str | None = None
    renamed_from: str | None = None


def parse_share(value: Any) -> Any:
    """`1%` or 0.01."""
    is_percentage = isinstance(value, str) and value.strip().endswith("%")
    try:
        share = float(value.strip().removesuffix("%")) / 100 if is_percentage else float(value)
    except (TypeError, ValueError):
        share = -1.0
    if isinstance(value, bool) or not 0 <= share <= 1:
        raise ValueError(f"{value!r} is no share of the rows; expected 0% to 100%, or 0 to 1")
    return share


_Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "examples": ["1%"]}]}),
]


class Stream(HasChecks):
    """One table, file set, query or generator of a source. Connector-specific keys (`table`, `query`, `path`, `format`, ..) stand in `options`."""

    table: str | None = None
    query: str | None = None
    path: Strings = ()
    function: str | None = None
    format: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    select: Strings = ()
    exclude: Strings = ()
    primary_key: Strings = ()
    cursor: Annotated[Cursor | None, BeforeValidator(lambda v: {"column": v} if isinstance(v, str) else v)] = None
    deleted_when: str | None = None
    parallel: Parallel | None = None
    write_disposition: WriteDisposition | None = None
    schema_contract: Annotated[SchemaContract, BeforeValidator(_parse_contract)] = SchemaContract()
    max_rejected: Annotated[_Share, Field(ge=0, le=1)] | None = None
    columns: dict[str, StreamColumn] = Field(default_factory=dict)
    description: str | None = None
    owner: str | None = None
    tags: Strings = ()
    partition_by: Strings = ()
    sort_by: Strings = ()
    publish_group: str | None = None
    renamed_from: str | None = None
    #: Whether servers keep its published rows in memory.
    hot: bool = False

    @field_validator("columns", mode="before")
    @classmethod
    def _fill_columns(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        filled: dict[str, Any] = {}
        for name, column in value.items():
            if isinstance(column, str):
                column = {"type": column}
            elif column is None:
                column = {}
            if isinstance(column, dict) and "checks" in column:
                column = {**column, "checks": parse_checks(column["checks"], str(name))}
            filled[str(name)] = column
        return filled

    @model_validator(mode="after")
    def _agrees(self) -> Stream:
        if self.select and self.exclude:
            raise ValueError("select and exclude can't be used together")
        if self.write_disposition in ("merge", "scd2") and not self.primary_key:
            raise ValueError(f"write_disposition {self.write_disposition} needs a primary_key")
        if self.deleted_when and self.disposition != "merge":
            raise ValueError("deleted_when works with write_disposition merge only")
        return self

    @property
    def disposition(self) -> WriteDisposition:
        """The write disposition in force: `merge` with a primary key, else `append`, unless one is given."""
        return self.write_disposition or ("merge" if self.primary_key else "append")

    @property
    def contract_checks(self) -> tuple[Check, ...]:
        """The row-wise checks under columns that send a failing row to quarantine."""
        return tuple(c for column in self.columns.values() for c in column.checks if c.is_row_wise and c.severity == "error")

    @property
    def table_checks(self) -> tuple[Check, ...]:
        """The checks that give a verdict on the table: those of the stream, and the columns' that aren't contract terms."""
        return self.checks + tuple(c for column in self.columns.values() for c in column.checks if not c.is_row_wise or c.severity == "warn")


class Source(Resource):
    """A system data comes from. `connection` keeps its `${..}` references unresolved; it is never printed or stored."""

    name: str = ""
    type: str
    connection: str | dict[str, Any] | None = None
    streams: dict[str, Stream] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    description: str | None = None
    owner: str | None = None
    tags: Strings = ()
    statement_timeout: Duration | None = None
    #: Where it is defined, relative to the project; set by the loader.
    path: str = ""

    @field_validator("streams", mode="before")
    @classmethod
    def _fill_streams(cls, value: Any) -> Any:
        return {str(k): ({} if v is None else v) for k, v in value.items()} if isinstance(value, dict) else value

    def table_name(self, stream: str) -> TableName:
        """The table a stream is loaded into: `source.stream`."""
        return TableName(self.name, stream)
