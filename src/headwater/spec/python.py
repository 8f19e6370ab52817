"""What a Python model or source is written with: `@model`, `table()`, `@source`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from headwater.spec.names import TableName

F = TypeVar("F", bound=Callable[..., Any])

MODEL_ATTRIBUTE = "__headwater_model__"
#: In a file's globals: the functions decorated there, in order. A loop gives several one name.
MODELS_OF_FILE = "__headwater_models__"


@dataclass(frozen=True, slots=True)
class TableInput:
    """The default of a model's parameter: which table it stands for, and how it is handed over.

    `as_` is "relation" (a DuckDB relation, nothing read yet), "arrow" (pyarrow.Table), "batches" (iterator of pyarrow.RecordBatch, for what
    doesn't fit in memory), "polars" or "pandas" (a data frame).
    """

    name: TableName
    as_: str = "relation"


@dataclass(frozen=True, slots=True)
class ModelDecoration:
    """What `@model` was given. `name` is None for the file's own name."""

    name: str | None
    header: dict[str, Any]


def table(name: str, *, as_: str = "relation") -> Any:
    """Declares that a model's parameter is a table: `def scores(customers=table("staging.customers"))`.

    `as_` is one of "relation", "arrow", "batches", "polars", "pandas". Raises ValueError for another, or a name that isn't `schema.table`.
    """
    if as_ not in ("relation", "arrow", "batches", "polars", "pandas"):
        raise ValueError(f"as_={as_!r}: expected relation, arrow, batches, polars or pandas")
    return TableInput(TableName.parse(name), as_)


def model(*, name: str | None = None, **header: Any) -> Callable[[F], F]:
    """Makes a function a model. Keys are those of a SQL model's header (`kind`, `description`, `checks`, `columns`, ..).

    The function's parameters have `table(..)` as defaults. It returns a relation, a pyarrow Table, RecordBatchReader or iterator of
    RecordBatches, or a Polars or pandas frame. `name` is `schema.table`; without it the file's own (`models/marts/scores.py` is
    `marts.scores`). A file may hold several decorated functions with names, made in a loop too.
    """

    def decorate(function: F) -> F:
        setattr(function, MODEL_ATTRIBUTE, ModelDecoration(name, header))
        getattr(function, "__globals__", {}).setdefault(MODELS_OF_FILE, []).append(function)
        return function

    return decorate
