"""The control plane's tables. What they hold can be lost without harm: positions, loads and publications live in the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

#: The newest migration in `migrations/versions`; a store at this version is opened without looking at the migrations at all.
VERSION = "0001"
#: All versions this code knows, oldest first. A store at any other was written by newer code.
KNOWN_VERSIONS = ("0001",)


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

version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
