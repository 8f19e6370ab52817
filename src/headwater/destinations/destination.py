"""What a destination is: the contract between `exporting` and the world. One a file, found by entry point `headwater.destinations`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Operation = Literal["insert", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the destination is to hold it. `type` is DuckDB's name of what comes."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What will come: all columns in order, and the names of those that are the key."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """In the order of `columns`: the order of a delete's."""
        return tuple(column for column in self.columns if column.name in self.key)


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one kind, in order: rows to be there from now on (`insert`, `update`: which one is a guess, so each must do for the other), or keys
    to be gone (`delete`).

    `id` is the same when the same batch is sent again, and no later batch has it; `row_ids` likewise for each row. `number` counts from 0 within a
    run, `sequence` orders the batches of all runs. `rows` has the shape's columns, in order; of a delete those of the key. Where the destination
    asks for text, every value is text: instants in UTC, bytes in hexadecimal, nested values as JSON.
    """

    id: str
    row_ids: tuple[str, ...]
    number: int
    sequence: str
    operations: tuple[Operation, ...]
    columns: tuple[Column, ...]
    rows: pa.Table

    @property
    def is_delete(self) -> bool:
        return self.operations[0] == "delete"

    def __len__(self) -> int:
        return len(self.operations)

    def part(self, start: int, end: int) -> Batch:
        """Some of its rows, as a batch with an id of its own."""
        return Batch(
            f"{self.id}-{start}-{end}",
            self.row_ids[start:end],
            self.number,
            f"{self.sequence}-{start:06}",
            self.operations[start:end],
            self.columns,
            self.rows.slice(start, end - start),
        )

    def tuples(self) -> list[tuple[Any, ...]]:
        """The rows as tuples."""
        return list(zip(*(column.to_pylist() for column in self.rows.columns), strict=True))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of a batch, by its place in it, that the destination will not take, and why: words that hold no value of a row."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a batch. All rows were taken but those `refused`; with `because` none was, and its rows are to be tried in smaller batches to
    find the guilty ones. `because` holds no value of a row."""

    refused: tuple[Refusal, ...] = ()
    because: str | None = None


@dataclass(frozen=True, slots=True)
class DestinationContext:
    """What a destination is opened with. `options` have their references resolved; treat them as secret."""

    name: str
    project_dir: Path
    options: Mapping[str, Any] = field(default_factory=dict)


class Destination(Protocol):
    """A system that exports write to. Opened for one run; `close` is always called. Called by one thread.

    Methods raise DestinationUnreachable (trying again may help), DestinationRefused (it won't), MissingDependency; never a driver's own exception,
    never with a secret or a value of a row in the message.
    """

    type: ClassVar[str]

    def __init__(self, context: DestinationContext) -> None: ...

    @property
    def identity(self) -> str:
        """Where it writes, without secrets, the same from run to run: `postgres crm:5432/crm public.customers`."""
        ...

    @property
    def takes_text(self) -> bool:
        """Whether batches come as text rather than typed."""
        ...

    def check(self) -> str:
        """Connects and says what answered, in a line."""
        ...

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        """Looks whether it can take what will come; DestinationRefused names the column that it can't. Makes what is missing where it was asked to,
        unless `dry_run`."""
        ...

    def send(self, batch: Batch) -> Sent:
        """Writes a batch durably before it returns. Sending the same one again, or after others, leaves the same state as sending it once did
        unless these others touched its keys."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...
