"""The words of the audit: what is written down, and what stands for all that was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["allowed", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Audited:
    """One thing that was done, or refused. A query has a row before its first result leaves (`rows` None), and one more of the same `query_id` at
    its end.

    `tables` are `schema.table`, `columns` `schema.table.column`. `error` is the full text, which the one who asked may not have been shown.
    `seconds` None: not over yet.
    """

    at: datetime
    query_id: str
    principal: str
    action: str
    decision: Outcome
    door: str = "local"
    address: str | None = None
    purpose: str | None = None
    sql: str = ""
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: int | None = None
    error: str | None = None
    policy_version: str = ""
    seconds: float | None = None
    #: The groups they were in, a provider's among them: what decisions are replayed with.
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where a chain ends: its name, its last row's number and hash; and who says so, where it is signed."""

    chain: str
    seq: int
    hash: str
    signature: str | None = None
