"""Where the audit's chain has been: its heads, kept in the lake, where whoever may write the state store alone can't reach them.

They stand in a table of their own beside the system tables, made by the first of them; rows are only ever added.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Final

from headwater.engine import Connection
from headwater.errors import SqlBindError
from headwater.security.audited import AuditHead
from headwater.spec.names import quote
from headwater.storage import boundaries
from headwater.storage.commit import finish_commit
from headwater.storage.core import Core, rollback
from headwater.storage.system import to_json

_TABLE: Final = "audit_heads"
_COLUMNS: Final = "snapshot_id BIGINT, chain VARCHAR, seq BIGINT, hash VARCHAR, signature VARCHAR, recorded_at TIMESTAMPTZ, author VARCHAR"


def read_anchors(core: Core) -> list[AuditHead]:
    """All heads that were ever put into the lake, the oldest first."""
    with core.reading() as (connection, _):
        return _anchors_on(core, connection)


def _anchors_on(core: Core, connection: Connection) -> list[AuditHead]:
    """Those that the transaction of `connection` sees."""
    query = f"SELECT chain, seq, hash, signature FROM {core.system}.{_TABLE} ORDER BY snapshot_id, seq"
    try:
        return [AuditHead(*row) for row in connection.execute(query).fetchall()]
    except SqlBindError:
        return []


def anchor(core: Core, head: AuditHead, author: str) -> int | None:
    """See `Lake.anchor_audit`."""
    mark = uuid.uuid4().hex

    def attempt() -> int | None:
        with core.engine.connection() as connection:
            base = core.begin(connection)
            try:
                if head in _anchors_on(core, connection):
                    rollback(connection)
                    return None
                connection.execute(f"CREATE TABLE IF NOT EXISTS {core.system}.{_TABLE} ({_COLUMNS})")
                connection.execute(
                    f"INSERT INTO {core.system}.{_TABLE} VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [base + 1, head.chain, head.seq, head.hash, head.signature, datetime.now(UTC), author],
                )
                extra = to_json({"headwater": 1, "commit": mark, "environment": core.environment, "audit": {"seq": head.seq, "hash": head.hash}})
                connection.execute(f"CALL {quote(core.database)}.set_commit_message(?, ?, extra_info => ?)", [author, "anchor the audit", extra])
                boundaries.reached("anchor.before")
                finish_commit(core, connection, base, mark)
            except BaseException:
                rollback(connection)
                raise
        return base + 1

    return core.write(attempt, "anchoring the audit")
