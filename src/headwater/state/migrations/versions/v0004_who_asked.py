"""Who asked under somebody else's rights; and the groups that a provider named at somebody's last login."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("asked_by", sa.String))
    op.create_index("audit_asked_by", "audit", ["asked_by", "at"])
    op.add_column("users", sa.Column("claimed_groups", sa.JSON))
    op.add_column("users", sa.Column("claimed_at", sa.String(32)))
