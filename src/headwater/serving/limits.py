"""What one server takes and gives at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Bytes of a request's body (and of a statement), of its headers; seconds of a query, and of waiting for a client that doesn't read or send;
    queries at once and how long, in seconds, one waits for its turn; connections of HTTP; rows of a page."""

    body: int = 2**20
    headers: int = 32 * 2**10
    seconds: float = 300.0
    idle: float = 60.0
    queries: int = 32
    wait: float = 10.0
    connections: int = 1000
    page: int = 10_000
    default_page: int = 1000
