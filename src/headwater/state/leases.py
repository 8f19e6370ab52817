"""Who may write a table: pure decisions over lease rows, and the sentence that names a holder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.spec.names import TableName


@dataclass(frozen=True, slots=True)
class Lease:
    """Leave to write some tables until it expires. `tokens` are the fencing tokens, higher than any before for that table.

    `taken_over` are the tables whose former holder's time had run out though it may still live: what it commits is refused by its token.
    """

    environment: str
    holder: str
    tokens: Mapping[TableName, int]
    ttl_seconds: float
    taken_over: tuple[TableName, ...] = ()


@dataclass(frozen=True, slots=True)
class HolderInfo:
    """What is known of a lease's holder. `is_alive` is None for a process on another machine."""

    run_id: str
    host: str
    pid: int | None
    started_at: datetime | None
    is_alive: bool | None

    def __str__(self) -> str:
        process = f" (process {self.pid} on {self.host})" if self.pid is not None else ""
        return f"run {self.run_id}{process}"


def is_free(*, holder: str | None, expires_at: datetime | None, ttl_seconds: float | None, holder_alive: bool | None, now: datetime) -> bool:
    """Whether a lease may be taken: nobody holds it, its holder is gone, its time is over, or it ends further away than it ever
    lasted (the clock jumped back since)."""
    if holder is None or expires_at is None or holder_alive is False:
        return True
    if now >= expires_at:
        return True
    return expires_at - now > timedelta(seconds=(ttl_seconds or 0.0) * 1.5) and holder_alive is not True


def table_key(table: TableName) -> str:
    """A table's name as leases keep it: names that differ by case alone are one table."""
    schema, name = table.key
    return f"{schema}.{name}"
