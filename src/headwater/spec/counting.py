"""Things counted in words, for messages and notes."""

from __future__ import annotations


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 table`, `2 tables`, `1,000 rows`; `nouns` where it isn't made with an s."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"
