"""Models: one file, one table. As written in SQL headers, sidecar YAML and `@model`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from headwater.spec._base import Duration, Resource, Strings
from headwater.spec.checks import Check, HasChecks, parse_checks
from headwater.spec.names import TableName


class ViewKind(Resource):
    """Stored nowhere; expanded where it is read."""

    type: Literal["view"] = "view"


class TableKind(Resource):
    """Built whole when its code or inputs changed."""

    type: Literal["table"] = "table"


class IncrementalKind(Resource):
    """The SQL of a full build; Headwater adds the condition.

    With `time_column` alone, the interval [last - lookback, now) is replaced. With `unique_key`, rows at or after the same bound replace
    those of equal key.
    """

    type: Literal["incremental"] = "incremental"
    time_column: str
    unique_key: Strings = ()
    lookback: Duration | int | None = None


class SnapshotKind(Resource):
    """SCD type 2: each version of a `key` with `valid_from` and `valid_to` (null while current). By `updated_at`, or by comparing `check`."""

    type: Literal["snapshot"] = "snapshot"
    key: Strings = Field(min_length=1)
    updated_at: str | None = None
    #: The columns compared; ("*",) stands for all.
    check: Strings = ()
    valid_from: str = "valid_from"
    valid_to: str = "valid_to"
    #: What happens to a key that is gone from the input: its current version ends, or stays.
    on_delete: Literal["close", "keep"] = "close"

    @model_validator(mode="after")
    def _one_strategy(self) -> SnapshotKind:
        if bool(self.updated_at) == bool(self.check):
            raise ValueError("a snapshot takes either updated_at or check")
        return self


Kind = ViewKind | TableKind | IncrementalKind | SnapshotKind
KINDS: dict[str, type[Kind]] = {"view": ViewKind, "table": TableKind, "incremental": IncrementalKind, "snapshot": SnapshotKind}


def parse_kind(value: Any) -> Any:
    """`table`, `view`, or a mapping of one kind to its arguments. Raises ValueError with what was expected."""
    if isinstance(value, str):
        if value in ("table", "view"):
            return TableKind() if value == "table" else ViewKind()
        if value == "incremental":
            raise ValueError(
                "incremental without arguments is reserved for maintenance by changes; expected {incremental: {time_column: .., lookback: ..}}"
            )
        if value == "snapshot":
            raise ValueError("snapshot needs arguments: {snapshot: {key: [..], updated_at: .. or check: [..]}}")
        raise ValueError(f"there is no kind {value!r}; expected one of {', '.join(KINDS)}")
    if isinstance(value, dict) and "type" not in value:
        if len(value) != 1:
            raise ValueError("a kind is one name with its arguments")
        name, arguments = next(iter(value.items()))
        if name not in KINDS:
            raise ValueError(f"there is no kind {name!r}; expected one of {', '.join(KINDS)}")
        if not isinstance(arguments, dict):
            raise ValueError(f"kind {name} takes a mapping of its arguments")
        return KINDS[name].model_validate(arguments)
    return value


def _fill_columns(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    filled: dict[str, Any] = {}
    for name, column in value.items():
        if isinstance(column, str):
            column = {"description": column}
        elif column is None:
            column = {}
        if isinstance(column, dict) and "checks" in column:
            column = {**column, "checks": parse_checks(column["checks"], str(name))}
        filled[str(name)] = column
    return filled


class ModelColumn(HasChecks):
    """What a model says of one of its columns. The short form is the description alone."""

    description: str | None = None
    type: str | None = None
    labels: Strings = ()
    renamed_from: str | None = None


class ModelHeader(HasChecks):
    """The part of a model that a header, a sidecar or `@model` may set."""

    kind: Annotated[Kind, BeforeValidator(parse_kind)] = TableKind()
    description: str | None = None
    owner: str | None = None
    tags: Strings = ()
    columns: Annotated[dict[str, ModelColumn], BeforeValidator(_fill_columns)] = Field(default_factory=dict)
    partition_by: Strings = ()
    sort_by: Strings = ()
    publish_group: str | None = None
    renamed_from: str | None = None
    #: Whether servers keep its published rows in memory.
    hot: bool = False

    @model_validator(mode="after")
    def _has_rows_to_keep(self) -> ModelHeader:
        if self.hot and isinstance(self.kind, ViewKind):
            raise ValueError("a view is stored nowhere; mark the tables it reads as hot, or make it a table")
        return self


class Model(ModelHeader):
    """A model with its code.

    `sql` is the statement as written, header taken off and `${var:}` resolved; `sql_line` is the file's line it starts on (1-based).
    For Python models `sql` is empty, and `function` names the function in the file; `arguments` maps its parameters to the tables they stand for.
    `code_hash` covers whatever decides the result besides the inputs (for Python: the file and the project's files it imports).
    """

    name: TableName
    language: Literal["sql", "python"] = "sql"
    path: str
    sql: str = ""
    sql_line: int = 1
    function: str = ""
    arguments: dict[str, TableName] = Field(default_factory=dict)
    code_hash: str = ""

    @property
    def table_checks(self) -> tuple[Check, ...]:
        """The model's checks and those under its columns."""
        return self.checks + tuple(c for column in self.columns.values() for c in column.checks)
