"""A destination in memory that fails on demand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from headwater.destinations.destination import Batch, DestinationContext, Refusal, Sent, Shape
from headwater.errors import DestinationRefused, DestinationUnreachable

#: A row, by column, as text.
Row = dict[str, str | None]


class FakeDestination:
    """Keeps rows as text by their keys, in `rows`, and every batch in `batches`.

    `refuses` says of a row whether it is refused, alone (`refuses_alone`) or with its whole batch. `is_reachable` False makes everything raise
    DestinationUnreachable; `fails_next` counts down the batches that do. `before` and `after` are called around each batch that is written.
    """

    type: ClassVar[str] = "fake"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext | None = None) -> None:
        self.context = context or DestinationContext("fake", Path())
        self.identity = "fake"
        self.rows: dict[tuple[str | None, ...], Row] = {}
        self.batches: list[Batch] = []
        self.refuses: Callable[[Row], bool] = lambda row: False
        self.refuses_alone = False
        self.is_reachable = True
        self.fails_next = 0
        self.wait_seconds: float | None = None
        self.unknown_columns: tuple[str, ...] = ()
        self.before: Callable[[Batch], None] = lambda batch: None
        self.after: Callable[[Batch], None] = lambda batch: None
        self.shape: Shape | None = None

    def check(self) -> str:
        self._reach()
        return "a fake"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        self._reach()
        for column in shape.columns:
            if column.name in self.unknown_columns:
                raise DestinationRefused(f"there is no column {column.name}", state="nothing was sent")
        self.shape = shape

    def send(self, batch: Batch) -> Sent:
        self._reach()
        assert self.shape is not None
        self.before(batch)
        names = [column.name for column in batch.columns]
        rows = [dict(zip(names, row, strict=True)) for row in batch.tuples()]
        bad = [index for index, row in enumerate(rows) if self.refuses(row)]
        if bad and not self.refuses_alone:
            return Sent(because="refused by the fake")
        self.batches.append(batch)
        for index, row in enumerate(rows):
            if index in bad:
                continue
            key = tuple(row[name] for name in self.shape.key)
            if batch.is_delete:
                self.rows.pop(key, None)
            else:
                self.rows[key] = {**self.rows.get(key, {}), **row}
        self.after(batch)
        return Sent(tuple(Refusal(index, "refused by the fake") for index in bad))

    def _reach(self) -> None:
        if self.fails_next > 0 or not self.is_reachable:
            self.fails_next = max(0, self.fails_next - 1)
            error = DestinationUnreachable("the fake doesn't answer")
            error.wait_seconds = self.wait_seconds
            raise error

    def close(self) -> None:
        """Nothing is held."""


def as_text(value: Any) -> str | None:
    """A value as destinations that take text are given it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ") + "+00"
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
