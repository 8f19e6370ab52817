"""What a kind makes of a model's query."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.spec.tables import Column


@dataclass(frozen=True, slots=True)
class Existing:
    """The rows the table holds: `relation` is SQL for FROM, with the names of renamed columns already the new ones."""

    relation: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class DeleteAllRows:
    """All rows go."""


@dataclass(frozen=True, slots=True)
class DeleteRange:
    """Rows go for which `condition`, over the table's own columns, is true."""

    condition: str


@dataclass(frozen=True, slots=True)
class DeleteMatching:
    """Rows go that equal a new one in `columns` (nulls are equal)."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`query` gives the rows to add, `delete` says which go before. `is_unchanged`: there are none of either.

    `interval` is the half-open range restated, as text; an empty end is open. `unique_key` must be unique among the rows added.
    """

    query: str
    delete: DeleteAllRows | DeleteRange | DeleteMatching | None = None
    interval: tuple[str, str] | None = None
    unique_key: tuple[str, ...] = ()
    is_unchanged: bool = False
