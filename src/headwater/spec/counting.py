"""Things counted in words, for messages and notes."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """`1 table`, `2 tables`, `1,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
