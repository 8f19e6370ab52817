"""Runs, tasks, events and leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("environment", sa.String, nullable=False),
        sa.Column("command", sa.String, nullable=False),
        sa.Column("selection", sa.JSON, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("heartbeat_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32)),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process", sa.String, nullable=False),
        sa.Column("git_commit", sa.String(64)),
        sa.Column("git_dirty", sa.Boolean),
        sa.Column("author", sa.String),
        sa.Column("snapshot_id", sa.BigInteger),
    )
    op.create_index("runs_started", "runs", ["environment", "started_at"])
    op.create_index("runs_status", "runs", ["status"])
    op.create_table(
        "tasks",
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
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("table_name", sa.String),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_index("events_run", "events", ["run_id", "table_name"])
    op.create_table(
        "leases",
        sa.Column("environment", sa.String, primary_key=True),
        sa.Column("table_key", sa.String, primary_key=True),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(40)),
        sa.Column("ttl_seconds", sa.Float),
        sa.Column("expires_at", sa.String(32)),
    )
    op.create_index("leases_holder", "leases", ["holder"])
