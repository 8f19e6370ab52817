"""Users and their tokens, access for a time, and the audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("name_key", sa.String(128), nullable=False, unique=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("password_hash", sa.String),
        sa.Column("password_is_generated", sa.Boolean, nullable=False),
        sa.Column("scram", sa.String),
        sa.Column("password_changed_at", sa.String(32)),
        sa.Column("must_rotate", sa.Boolean, nullable=False),
        sa.Column("oidc_subject", sa.String),
        sa.Column("is_disabled", sa.Boolean, nullable=False),
        sa.Column("failed_attempts", sa.Integer, nullable=False),
        sa.Column("locked_until", sa.String(32)),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("last_login_at", sa.String(32)),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("user_name", sa.String(128), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scram", sa.String, nullable=False),
        sa.Column("scope", sa.JSON),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32)),
        sa.Column("last_used_at", sa.String(32)),
        sa.Column("revoked_at", sa.String(32)),
    )
    op.create_index("tokens_user", "tokens", ["user_name"])
    op.create_table(
        "access_requests",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("environment", sa.String, nullable=False),
        sa.Column("user_name", sa.String(128), nullable=False),
        sa.Column("table_name", sa.String, nullable=False),
        sa.Column("action", sa.String(16)),
        sa.Column("role", sa.String),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("unmask", sa.JSON, nullable=False),
        sa.Column("purpose", sa.JSON, nullable=False),
        sa.Column("until", sa.String(32), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("requested_at", sa.String(32), nullable=False),
        sa.Column("approved_by", sa.String(128)),
        sa.Column("approved_at", sa.String(32)),
        sa.Column("revoked_by", sa.String(128)),
        sa.Column("revoked_at", sa.String(32)),
    )
    op.create_index("access_requests_user", "access_requests", ["environment", "user_name"])
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("environment", sa.String, nullable=False),
        sa.Column("query_id", sa.String, nullable=False),
        sa.Column("principal", sa.String, nullable=False),
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
    )
    op.create_index("audit_at", "audit", ["at"])
    op.create_index("audit_principal", "audit", ["principal", "at"])
    op.create_table(
        "audit_chain",
        sa.Column("chain", sa.String(32), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table("identity", sa.Column("name", sa.String(32), primary_key=True), sa.Column("value", sa.String, nullable=False))
