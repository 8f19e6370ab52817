"""A clock that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Called, it gives the time it stands at (aware, UTC by default). It may be moved back, as real ones sometimes are."""

    def __init__(self, at: datetime = datetime(2024, 1, 1, tzinfo=UTC)) -> None:
        if at.tzinfo is None:
            raise ValueError("a clock's time is aware; give it a timezone")
        self._at = at

    def __call__(self) -> datetime:
        return self._at

    def advance(self, by: timedelta) -> datetime:
        """Moves the clock (back, where `by` is negative) and gives the new time."""
        self._at += by
        return self._at

    def set(self, at: datetime) -> None:
        self._at = at
