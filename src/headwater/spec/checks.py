"""Checks: statements about a table's data, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from headwater.spec._base import Duration, Resource, Strings

Severity = Literal["error", "warn"]
Scalar = bool | int | float | str | date | datetime | None
_Bounded = TypeVar("_Bounded", "Range", "Rows")


class Check(Resource):
    """What all checks have. `tolerance` is the share of rows (0 to 1) that may fail before the check does."""

    type: ClassVar[str]
    #: Whether each row passes or fails by itself. Such checks stand as contract terms under a stream's column: rows that fail go to quarantine.
    is_row_wise: ClassVar[bool] = False
    severity: Severity = "error"
    tolerance: float = Field(0.0, ge=0, le=1)

    @property
    def label(self) -> str:
        """Short and stable within its table: `range(revenue)`, `expression(net_positive)`, `rows`. The key of its verdicts."""
        return f"{self.type}({', '.join(self.subject)})" if self.subject else self.type

    @property
    def subject(self) -> tuple[str, ...]:
        """The columns (or the given name) the check speaks of."""
        raise NotImplementedError


class _ColumnCheck(Check):
    column: str

    @property
    def subject(self) -> tuple[str, ...]:
        return (self.column,)


class NotNull(_ColumnCheck):
    type = "not_null"
    is_row_wise = True


class Unique(Check):
    """The combination of `columns` occurs once. Rows with a null among them don't count, as in SQL."""

    type = "unique"
    columns: Strings = Field(min_length=1)

    @property
    def subject(self) -> tuple[str, ...]:
        return self.columns


class AcceptedValues(_ColumnCheck):
    """Null passes; add `not_null` where it must not."""

    type = "accepted_values"
    is_row_wise = True
    values: tuple[Scalar, ...] = Field(min_length=1)


class Relationships(_ColumnCheck):
    """Every non-null value of `column` is a value of `field` in the table `to`."""

    type = "relationships"
    to: str
    field: str

    @property
    def label(self) -> str:
        return f"relationships({self.column} -> {self.to}.{self.field})"


def _need_bound(check: _Bounded) -> _Bounded:
    if check.min is None and check.max is None:
        raise ValueError("without min and max it would pass always; expected at least one of them")
    return check


class Range(_ColumnCheck):
    """`min` and `max` are allowed values themselves. Null passes."""

    type = "range"
    is_row_wise = True
    min: Scalar = None
    max: Scalar = None

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        return _need_bound(self)


class Matches(_ColumnCheck):
    """The regular expression (RE2) is found somewhere in the text. Null passes."""

    type = "matches"
    is_row_wise = True
    pattern: str


class Rows(Check):
    """How many rows the table holds after the write."""

    type = "rows"
    min: int | None = None
    max: int | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Rows:
        return _need_bound(self)

    @property
    def subject(self) -> tuple[str, ...]:
        return ()


class Fresh(_ColumnCheck):
    """The newest value of `column` is at most `within` old. Judged by `status` against the clock; never holds a table."""

    type = "fresh"
    within: Duration


class Expression(Check):
    """`sql` is true (or null) for every row."""

    type = "expression"
    is_row_wise = True
    name: str
    sql: str

    @property
    def subject(self) -> tuple[str, ...]:
        return (self.name,)


class Query(Check):
    """`sql` returns the rows that fail; it may name other tables."""

    type = "query"
    name: str
    sql: str

    @property
    def subject(self) -> tuple[str, ...]:
        return (self.name,)


CHECK_TYPES: dict[str, type[Check]] = {
    kind.type: kind for kind in (NotNull, Unique, AcceptedValues, Relationships, Range, Matches, Rows, Fresh, Expression, Query)
}
#: What a check given as a bare value (not a mapping) means: `unique: [a, b]`, `matches: '@'`, `not_null: id`.
CHECK_SHORT_FORMS = {
    "not_null": "column",
    "unique": "columns",
    "accepted_values": "values",
    "matches": "pattern",
    "expression": "sql",
    "query": "sql",
    "rows": "min",
    "fresh": "within",
}


def read_check(item: object, column: str | None = None) -> tuple[type[Check], dict[str, Any]]:
    """One check as written in YAML, taken apart: its class and its arguments in full, not validated yet.

    `item` is a name (`not_null`), or a mapping of one name to a bare value (`unique: [a, b]`) or to the check's keys; `severity` and
    `tolerance` stand among the keys or beside the name. Under a column, `column` is that column's name and need not be repeated.
    Raises ValueError with what was expected.
    """
    beside: dict[str, Any] = {}
    if isinstance(item, str):
        name, value = item, None
    elif isinstance(item, Mapping):
        beside = {key: item[key] for key in ("severity", "tolerance") if key in item and len(item) > 1}
        rest = [key for key in item if key not in beside]
        if len(rest) != 1:
            raise ValueError(f"a check is one name with its arguments; found {', '.join(map(str, rest)) or 'nothing'}")
        name, value = str(rest[0]), item[rest[0]]
    else:
        raise ValueError("a check is a name, or a name with its arguments")
    kind = CHECK_TYPES.get(name)
    if kind is None:
        raise ValueError(f"there is no check {name!r}; expected one of {', '.join(CHECK_TYPES)}")
    arguments: dict[str, Any]
    if value is None or value is True:
        arguments = {}
    elif isinstance(value, Mapping):
        arguments = dict(value)
    elif name in CHECK_SHORT_FORMS:
        arguments = {CHECK_SHORT_FORMS[name]: value}
    else:
        raise ValueError(f"{name} takes a mapping of its arguments")
    if column is not None:
        if "column" in kind.model_fields:
            arguments.setdefault("column", column)
        elif kind is Unique:
            arguments.setdefault("columns", (column,))
    if kind in (Expression, Query):
        arguments.setdefault("name", column or str(arguments.get("sql", ""))[:40])
    return kind, {**arguments, **beside}


def parse_check(item: object, column: str | None = None) -> Check:
    """One check as written in YAML, in any form `read_check` takes. Raises ValueError with what was expected."""
    kind, arguments = read_check(item, column)
    try:
        return kind.model_validate(arguments)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{kind.type}: {where + ': ' if where else ''}{first['msg']}") from None


def parse_checks(items: object, column: str | None = None) -> tuple[Check, ...]:
    """A list of checks as written in YAML; None is an empty list."""
    if items is None:
        return ()
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise ValueError("checks are a list, each beginning with '- '")
    return tuple(item if isinstance(item, Check) else parse_check(item, column) for item in items)


def dump_check(check: Check) -> dict[str, Any]:
    """The check as `parse_check` reads it back, JSON-compatible."""
    return {check.type: check.model_dump(mode="json", exclude_defaults=True)}


class HasChecks(Resource):
    """A resource with a list `checks:`."""

    checks: tuple[Check, ...] = ()

    @field_validator("checks", mode="before")
    @classmethod
    def _parse_checks(cls, value: object) -> object:
        return parse_checks(value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one check came out on one load of a table.

    `failed` counts failing rows (None where the check doesn't speak of rows), `total` the rows looked at. `sample` holds up to a few
    failing rows as JSON texts: they carry the table's labels and must not leave the lake.
    """

    check: str
    type: str
    severity: Severity
    passed: bool
    failed: int | None
    total: int | None
    tolerance: float = 0.0
    message: str = ""
    sample: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether this verdict keeps the load from being published."""
        return not self.passed and self.severity == "error"
