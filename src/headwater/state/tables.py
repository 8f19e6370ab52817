"""The control plane's tables. Losing them harms no data: positions, loads and publications live in the lake. Users, approved access and the audit
live here alone; that an audit went missing is seen by the heads of it that stand in the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware instant as ISO text in UTC with microseconds: sorts as text, reads well in any client."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("environment", sa.String, nullable=False),
    sa.Column("command", sa.String, nullable=False),
    sa.Column("selection", sa.JSON, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("heartbeat_at", UtcTime, nullable=False),
    sa.Column("finished_at", UtcTime),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process", sa.String, nullable=False),
    sa.Column("git_commit", sa.String(64)),
    sa.Column("git_dirty", sa.Boolean),
    sa.Column("author", sa.String),
    sa.Column("principal", sa.String(128)),
    sa.Column("snapshot_id", sa.BigInteger),
    sa.Index("runs_started", "environment", "started_at"),
    sa.Index("runs_status", "status"),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("run_id", sa.String(40), primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("operation", sa.String(12), nullable=False),
    sa.Column("rows_written", sa.BigInteger, nullable=False),
    sa.Column("rows_deleted", sa.BigInteger, nullable=False),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("error_code", sa.String(10)),
    sa.Column("error_text", sa.String),
    sa.Column("verdicts", sa.JSON, nullable=False),
    sa.Column("load_id", sa.String(64)),
    sa.Column("snapshot_id", sa.BigInteger),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.String(40), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("table_name", sa.String),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("events_run", "run_id", "table_name"),
)

#: One row a table ever leased; it stays after the release, for its token.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("environment", sa.String, primary_key=True),
    sa.Column("table_key", sa.String, primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.String(40)),
    sa.Column("ttl_seconds", sa.Float),
    sa.Column("expires_at", UtcTime),
    sa.Index("leases_holder", "holder"),
)

#: People and service accounts. `name_key` is the name in lower case: no two names differ by case alone.
users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("name_key", sa.String(128), nullable=False, unique=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("is_admin", sa.Boolean, nullable=False),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("password_hash", sa.String),
    sa.Column("password_is_generated", sa.Boolean, nullable=False),
    #: StoredKey and ServerKey of SCRAM for a generated password; a password that a person chose never has them.
    sa.Column("scram", sa.String),
    sa.Column("password_changed_at", UtcTime),
    sa.Column("must_rotate", sa.Boolean, nullable=False),
    sa.Column("oidc_subject", sa.String),
    #: The groups that a provider named at the last login by it, and when that was. For looking at: nobody comes in with them.
    sa.Column("claimed_groups", sa.JSON),
    sa.Column("claimed_at", UtcTime),
    sa.Column("is_disabled", sa.Boolean, nullable=False),
    sa.Column("failed_attempts", sa.Integer, nullable=False),
    sa.Column("locked_until", UtcTime),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("last_login_at", UtcTime),
)

#: Of a token only hashes are kept.
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("user_name", sa.String(128), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("scram", sa.String, nullable=False),
    sa.Column("scope", sa.JSON),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime),
    sa.Column("last_used_at", UtcTime),
    sa.Column("revoked_at", UtcTime),
    sa.Index("tokens_user", "user_name"),
)

#: What the store made up once for itself, such as the key that salts come from.
identity = sa.Table("identity", metadata, sa.Column("name", sa.String(32), primary_key=True), sa.Column("value", sa.String, nullable=False))

#: Access for a time: asked for, approved or refused, taken back.
access_requests = sa.Table(
    "access_requests",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("environment", sa.String, nullable=False),
    sa.Column("user_name", sa.String(128), nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("action", sa.String(16)),
    sa.Column("role", sa.String),
    sa.Column("columns", sa.JSON, nullable=False),
    sa.Column("unmask", sa.JSON, nullable=False),
    sa.Column("purpose", sa.JSON, nullable=False),
    sa.Column("until", UtcTime, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("requested_by", sa.String(128), nullable=False),
    sa.Column("requested_at", UtcTime, nullable=False),
    sa.Column("approved_by", sa.String(128)),
    sa.Column("approved_at", UtcTime),
    sa.Column("revoked_by", sa.String(128)),
    sa.Column("revoked_at", UtcTime),
    sa.Index("access_requests_user", "environment", "user_name"),
)

#: One row of the audit after the other; each holds the hash of the one before.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("environment", sa.String, nullable=False),
    sa.Column("query_id", sa.String, nullable=False),
    sa.Column("principal", sa.String, nullable=False),
    #: Who really asked, where it was under another's rights. Nothing of it is in the hash where it is null: older rows have no such column.
    sa.Column("asked_by", sa.String),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("door", sa.String(16), nullable=False),
    sa.Column("address", sa.String),
    sa.Column("purpose", sa.String),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("sql", sa.String, nullable=False),
    sa.Column("tables", sa.JSON, nullable=False),
    sa.Column("columns", sa.JSON, nullable=False),
    sa.Column("rows", sa.BigInteger),
    sa.Column("decision", sa.String(8), nullable=False),
    sa.Column("error", sa.String, nullable=False),
    sa.Column("policy_version", sa.String, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("audit_at", "at"),
    sa.Index("audit_principal", "principal", "at"),
    sa.Index("audit_asked_by", "asked_by", "at"),
)

#: One row: which chain the audit is, and where it ends.
audit_chain = sa.Table(
    "audit_chain",
    metadata,
    sa.Column("chain", sa.String(32), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

#: Runs of exports. `id` is the plan's in the lake; `epoch` is the same for tries of one difference. No value of a row stands here.
export_runs = sa.Table(
    "export_runs",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("environment", sa.String, nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("snapshot_id", sa.BigInteger),
    sa.Column("principal", sa.String(128), nullable=False),
    sa.Column("target", sa.String(64), nullable=False),
    sa.Column("columns", sa.JSON, nullable=False),
    sa.Column("batches", sa.BigInteger, nullable=False),
    sa.Column("acknowledged", sa.BigInteger, nullable=False),
    sa.Column("inserted", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=False),
    sa.Column("dead", sa.BigInteger, nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("finished_at", UtcTime),
    sa.Column("error_code", sa.String(10)),
    sa.Column("error_text", sa.String),
    sa.Index("export_runs_name", "environment", "name", "started_at"),
)

#: Rows that a destination refused in a run: their places in its plan, never their keys.
export_refusals = sa.Table(
    "export_refusals",
    metadata,
    sa.Column("plan_id", sa.String(40), primary_key=True),
    sa.Column("ordinal", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
