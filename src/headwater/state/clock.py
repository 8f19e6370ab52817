"""The time, and the names of runs, which begin with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock, aware."""
    return datetime.now(UTC)


def new_run_id(started_at: datetime) -> str:
    """Sorts by time, and is unlike any other even where clocks agree: `20260719T101530-5f2c9a1b`."""
    return f"{started_at.astimezone(UTC):%Y%m%dT%H%M%S}-{os.urandom(4).hex()}"
