"""What a load is asked with and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.spec.checks import Check
from headwater.spec.names import TableName
from headwater.spec.sources import Stream
from headwater.storage.changes import TableChange, TableState


@dataclass(frozen=True, slots=True)
class LoadContext:
    """One attempt at one load. `state` is the table as deployed (None at the first load), `token` the lease's fencing token.

    `full_refresh` reads everything and rebuilds the rows. `reload_from` is a cursor value as text to read from again. `allow_drop`
    drops columns that neither the definition nor the source has any more. `on_progress` gets the rows and bytes staged so far, now and then;
    `is_cancelled` is asked a few times a second, and a load that is cancelled raises Interrupted. `resolve` gives a stream with its
    references resolved.
    """

    run_id: str
    load_id: str
    started_at: datetime
    fingerprint: str
    state: TableState | None
    token: int
    full_refresh: bool = False
    reload_from: str | None = None
    allow_drop: bool = False
    on_progress: Callable[[int, int], None] = lambda rows, size: None
    is_cancelled: Callable[[], bool] = lambda: False
    resolve: Callable[[Stream], Stream] = lambda stream: stream


@dataclass(frozen=True, slots=True)
class PreparedLoad:
    """A load computed outside the lake. `change` None: there is nothing new, nothing needs a commit.

    `checks` are the table's checks still to be judged on the rows as they will be (`lake.future_sql(change)`); the caller puts their verdicts into
    `change.verdicts`. `position` is what to acknowledge to the connector after the commit. `note` says in a few words what was found.
    """

    table: TableName
    change: TableChange | None
    rows_read: int = 0
    rows_rejected: int = 0
    checks: tuple[Check, ...] = ()
    position: Mapping[str, Any] | None = None
    note: str = ""
