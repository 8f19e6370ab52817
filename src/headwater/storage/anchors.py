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
from headwater.storage.core import Core, patiently, rollback
from headwater.storage.system import to_json

_TABLE: Final = "audit_heads"
_COLUMNS: Final = "snapshot_id BIGINT, chain VARCHAR, seq BIGINT, hash VARCHAR, recorded_at TIMESTAMPTZ, author VARCHAR, signature VARCHAR"


def read_anchors(core: Core) -> list[AuditHead]:
    """All heads that were ever put into the lake, the oldest first."""
    with core.engine.connection() as connection:
        try:
            return patiently(lambda: _heads(core, connection))
        except SqlBindError:
            return []


def _heads(core: Core, connection: Connection) -> list[AuditHead]:
    found = connection.execute(f"SELECT * FROM {core.system}.{_TABLE} ORDER BY snapshot_id, seq")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    return [AuditHead(row["chain"], row["seq"], row["hash"], row.get("signature")) for row in rows]


def anchor(core: Core, head: AuditHead, author: str) -> int | None:
    """See `Lake.anchor_audit`."""
    mark = uuid.uuid4().hex

    def attempt() -> int | None:
        if head in read_anchors(core):
            return None
        with core.engine.connection() as connection:
            base = core.begin(connection)
            try:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {core.system}.{_TABLE} ({_COLUMNS})")
                if head in _heads(core, connection):  # somebody else's came between
                    rollback(connection)
                    return None
                columns = connection.execute(f"SELECT * FROM {core.system}.{_TABLE} LIMIT 0").columns
                if "signature" not in columns:  # the table is from before there were any
                    connection.execute(f"ALTER TABLE {core.system}.{_TABLE} ADD COLUMN signature VARCHAR")
                connection.execute(
                    f"""
                    INSERT INTO {core.system}.{_TABLE} BY NAME
                    SELECT ? AS snapshot_id, ? AS chain, ? AS seq, ? AS hash, ? AS recorded_at, ? AS author, ? AS signature
                    """,
                    [base + 1, head.chain, head.seq, head.hash, datetime.now(UTC), author, head.signature],
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
