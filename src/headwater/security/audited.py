"""The words of the audit: what is written down, and what stands for all that was."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from headwater.security.hiding import hide_passwords

if TYPE_CHECKING:
    from headwater.state import StateStore

Outcome = Literal["allowed", "refused", "failed"]


def new_query_id() -> str:
    """What one statement is called in errors and in the audit."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Audited:
    """One thing that was done, or refused. A query has a row before its first result leaves (`rows` None), and one more of the same `query_id`,
    with the rows that left, at its end.

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
    #: Who really asked, where it was under the rights of `principal`: the owner who tries what a user sees, whoever runs an export.
    asked_by: str | None = None


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where a chain ends: its name, its last row's number and hash. `signature` (of the lake's copy) names the key it was signed with."""

    chain: str
    seq: int
    hash: str
    signature: str = field(default="", compare=False)


def noted_head(state: StateStore) -> AuditHead | None:
    """Where the store's chain ends now; None while nothing is written. Raises StateError kinds."""
    rows = state.select("SELECT chain, seq, hash FROM audit_chain", {})
    return AuditHead(rows[0]["chain"], rows[0]["seq"], rows[0]["hash"]) if rows else None


def without_passwords(sql: str, error: str) -> tuple[str, str]:
    """A statement that didn't run and its error, as they may be written down: the passwords that it sets are hidden (`hide_passwords`), and an error
    that repeats anything of them isn't kept."""
    kept, hidden = hide_passwords(sql)
    words = set(re.findall(r"\w+", "\n".join(hidden)))
    if words.intersection(re.findall(r"\w+", error)):
        error = "(not kept: it repeats what stands behind PASSWORD)"
    return kept, error
