"""What is written down of every query, before its first row leaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headwater.spec.policies import Action, Door


@dataclass(frozen=True, slots=True)
class Audited:
    """One thing somebody did, or tried.

    `tables` are those named, `columns` (`schema.table.column`) those the statement may have read of them; `rows` is None where the number isn't
    known before the rows leave. `error` is the whole text of what went wrong: it may hold values and physical names, and is for auditors alone.
    """

    at: datetime
    query_id: str
    principal: str
    door: Door
    address: str | None
    purpose: str | None
    action: Action
    sql: str
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int | None
    decision: Literal["allowed", "refused", "failed"]
    error: str | None
    policy_version: str
    seconds: float
