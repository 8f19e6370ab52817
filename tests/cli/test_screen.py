"""How values are written on the screen."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from headwater.cli.progress import figures
from headwater.cli.screen import format_bytes, format_seconds, to_json
from headwater.errors import Location, Problem
from headwater.spec.counting import plural
from headwater.spec.names import ColumnName, TableName
from headwater.spec.runs import TaskResult


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12.3 kB"),
        (99_449, "99.4 kB"),
        (123_456, "123 kB"),
        (999_900, "1.0 MB"),
        (5 * 10**12, "5.0 TB"),
    ],
)
def test_bytes_are_written_in_three_digits(size: int, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_seconds_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_json_keeps_what_it_can_and_never_becomes_invalid() -> None:
    value = {
        "table": TableName("a", "b"),
        "column": ColumnName(TableName("a", "b"), "c"),
        "at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "lag": timedelta(minutes=2),
        "exact": Decimal("10.50"),
        "whole": Decimal("12345678901234567890123"),
        "fine": Decimal("0.12345678901234567890123"),
        "nan": float("nan"),
        "bytes": b"\x00\xff",
        "path": Path("x/y"),
        "set": {"b", "a"},
    }
    assert to_json(value) == {
        "table": "a.b",
        "column": "a.b.c",
        "at": "2026-01-02T03:04:00+00:00",
        "day": "2026-01-02",
        "lag": 120.0,
        "exact": 10.5,
        "whole": 12345678901234567890123,
        "fine": "0.12345678901234567890123",
        "nan": None,
        "bytes": "00ff",
        "path": "x/y",
        "set": ["a", "b"],
    }


def test_results_become_objects_by_their_fields() -> None:
    problem = to_json(Problem("unknown-table", "there is none", Location("a.sql", 3)))
    assert problem["location"] == {"path": "a.sql", "line": 3, "column": None}
    assert to_json(TaskResult(TableName("a", "b"), "held"))["table"] == "a.b"


def test_figures_leave_out_what_is_nothing() -> None:
    assert figures({"rows_written": 1234, "size_bytes": 0, "rows_rejected": 2}) == "1,234 rows, 2 to quarantine"
    assert figures({}) == ""
    assert [plural(count, "row") for count in (0, 1, 1000)] == ["0 rows", "1 row", "1,000 rows"]
    assert [plural(count, "batch", "batches") for count in (0, 1, 2)] == ["0 batches", "1 batch", "2 batches"]
