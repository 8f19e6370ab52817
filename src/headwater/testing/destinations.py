"""The suite that every destination of exports passes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pytest

from headwater.destinations import Batch, Column, Destination, DestinationContext, Shape
from headwater.errors import DestinationRefused, DestinationUnreachable
from headwater.testing.fake_destination import as_text

#: The columns that the suite sends, `id` being the key.
SHAPE: Final = Shape(
    (
        Column("id", "BIGINT"),
        Column("name", "VARCHAR"),
        Column("amount", "DECIMAL(12,2)"),
        Column("ratio", "DOUBLE"),
        Column("is_open", "BOOLEAN"),
        Column("happened_at", "TIMESTAMP WITH TIME ZONE"),
    ),
    ("id",),
)
_TYPES: Final[tuple[Any, ...]] = (pa.int64(), pa.string(), pa.decimal128(12, 2), pa.float64(), pa.bool_(), pa.timestamp("us", tz="UTC"))
#: One of each plain type, nulls, quotes, other scripts, big numbers, an empty text.
ROWS: Final[tuple[tuple[Any, ...], ...]] = (
    (1, "one", Decimal("1.25"), 0.5, True, datetime(2024, 1, 1, 12, tzinfo=UTC)),
    (2, 'two, "quoted"\\ %s %(x)s \\N', Decimal("-0.01"), -1e300, False, datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)),
    (3, "trois: é ü ß 漢字 🙂", Decimal("1234567890.90"), 0.1, True, datetime(2001, 1, 1, tzinfo=UTC)),
    (4, None, None, None, None, None),
    (9007199254740993, "line\nbreak\ttab", Decimal("0.00"), 2.0, False, datetime(2037, 1, 19, 3, 14, 7, tzinfo=UTC)),
    (6, "", Decimal("7.00"), 1e-7, True, datetime(2024, 7, 1, tzinfo=UTC)),
)
Held = Mapping[int, tuple[Any, ...]]


class DestinationContract:
    """Subclass it in a test module, as `class TestMyDestination(DestinationContract)`, and give it what the methods below ask for."""

    #: The destination's class.
    destination: type[Destination]
    #: Text that stands in the options and must stand in no message.
    secret: str | None = None

    def context(self, directory: Path) -> DestinationContext:
        """The context to open it with, on a place that takes SHAPE and holds no row."""
        raise NotImplementedError

    def held(self, directory: Path) -> Held:
        """What is there now, as rows of SHAPE's columns by `id`. Of a log of changes: what applying them in order gives."""
        raise NotImplementedError

    def broken_context(self, directory: Path) -> DestinationContext | None:
        """A context that can't connect, with `secret` in it; None where there is nothing to connect to."""
        return None

    def bad_row(self) -> tuple[Any, ...] | None:
        """A row that the place refuses; None where it takes every row."""
        return None

    # -- sending -----------------------------------------------------------------------------------------------------

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Destination]:
        destination = self.destination(self.context(tmp_path))
        yield destination
        destination.close()

    def send(self, destination: Destination, rows: Sequence[tuple[Any, ...]], operation: Literal["insert", "update", "delete"] = "insert") -> Any:
        return destination.send(batch_of(destination, rows, operation))

    def test_it_says_what_it_is(self, opened: Destination) -> None:
        assert self.destination.type == self.destination.type.lower()
        assert self.secret is None or self.secret not in opened.identity
        assert opened.identity == opened.identity

    def test_check_says_what_answered_in_one_line(self, opened: Destination) -> None:
        answer = opened.check()
        assert answer
        assert "\n" not in answer
        assert self.secret is None or self.secret not in answer

    def test_what_is_sent_is_there_as_it_was(self, opened: Destination, tmp_path: Path) -> None:
        opened.prepare(SHAPE)
        assert self.send(opened, ROWS).because is None
        assert self.held(tmp_path) == {row[0]: row for row in ROWS}

    def test_a_batch_sent_twice_is_there_once(self, opened: Destination, tmp_path: Path) -> None:
        opened.prepare(SHAPE)
        for _ in range(3):
            self.send(opened, ROWS)
        assert self.held(tmp_path) == {row[0]: row for row in ROWS}
        for _ in range(2):
            self.send(opened, ROWS[:2], "delete")
        assert self.held(tmp_path) == {row[0]: row for row in ROWS[2:]}

    def test_an_insert_does_for_an_update_and_an_update_for_an_insert(self, opened: Destination, tmp_path: Path) -> None:
        opened.prepare(SHAPE)
        self.send(opened, ROWS[:2], "update")
        changed = (1, "other", None, 3.5, False, None)
        self.send(opened, [changed, ROWS[2]], "insert")
        assert self.held(tmp_path) == {1: changed, 2: ROWS[1], 3: ROWS[2]}

    def test_deleting_what_is_not_there_is_no_error(self, opened: Destination, tmp_path: Path) -> None:
        opened.prepare(SHAPE)
        self.send(opened, ROWS[:1])
        assert self.send(opened, [ROWS[0], ROWS[1]], "delete").because is None
        assert self.held(tmp_path) == {}

    def test_it_can_be_used_after_it_was_closed(self, opened: Destination, tmp_path: Path) -> None:
        opened.prepare(SHAPE)
        self.send(opened, ROWS[:1])
        opened.close()
        opened.close()
        self.send(opened, ROWS[1:2])
        assert sorted(self.held(tmp_path)) == [1, 2]

    def test_a_dry_look_changes_nothing(self, opened: Destination, tmp_path: Path) -> None:
        opened.prepare(SHAPE, dry_run=True)
        assert self.held(tmp_path) == {}

    def test_a_refused_batch_leaves_the_good_rows_to_smaller_ones(self, opened: Destination, tmp_path: Path) -> None:
        bad = self.bad_row()
        if bad is None:
            return
        opened.prepare(SHAPE)
        sent = self.send(opened, [ROWS[0], bad, ROWS[1]])
        if sent.because is not None:
            assert self.held(tmp_path) == {}
            assert self.send(opened, [bad]).because
            self.send(opened, ROWS[:2])
            reasons = [sent.because]
        else:
            assert [one.index for one in sent.refused] == [1]
            reasons = [one.reason for one in sent.refused]
        assert self.held(tmp_path) == {row[0]: row for row in ROWS[:2]}
        assert not any(str(value) in reason for reason in reasons for value in bad if isinstance(value, str) and len(value) > 3)

    def test_what_cannot_be_reached_is_said_without_secrets(self, tmp_path: Path) -> None:
        context = self.broken_context(tmp_path)
        if context is None:
            return
        destination = self.destination(context)
        with pytest.raises((DestinationUnreachable, DestinationRefused)) as caught:
            destination.check()
        assert self.secret is None or self.secret not in str(caught.value)
        with pytest.raises((DestinationUnreachable, DestinationRefused)) as caught:
            _prepare_and_send(destination)
        assert self.secret is None or self.secret not in str(caught.value)
        destination.close()


def _prepare_and_send(destination: Destination) -> None:
    destination.prepare(SHAPE)
    destination.send(batch_of(destination, ROWS[:1], "insert"))


def batch_of(destination: Destination, rows: Sequence[tuple[Any, ...]], operation: Literal["insert", "update", "delete"]) -> Batch:
    """Rows of SHAPE as a destination is given them; the same rows make the same batch."""
    width = 1 if operation == "delete" else len(SHAPE.columns)
    columns = list(zip(*(row[:width] for row in rows), strict=True))
    name = hashlib.sha256(repr((operation, rows)).encode()).hexdigest()[:40]
    if destination.takes_text:
        arrays = [pa.array([as_text(value) for value in column], pa.string()) for column in columns]
    else:
        arrays = [pa.array(column, kind) for column, kind in zip(columns, _TYPES, strict=False)]
    table = pa.table(dict(zip([f"c{index}" for index in range(width)], arrays, strict=True)))
    number = _numbers.setdefault(name, len(_numbers))
    ids = tuple(f"{name}-{row[0]}" for row in rows)
    return Batch(name, ids, 0, f"{number:015}", (operation,) * len(rows), SHAPE.columns[:width], table)


#: Batches, numbered in the order in which they were first made.
_numbers: dict[str, int] = {}
