"""Alerts reach people, and end; a campaign that is badly received is paused, unless a person knows better."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ADDED = ("sent_at", "held_until", "cleared_at")


def upgrade() -> None:
    for name in ADDED:
        op.add_column("alert", sa.Column(name, Instant(), nullable=True))
    op.add_column("alert", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE alert SET sent_at = told_at")  # whoever was told is not told again
    op.add_column("campaign", sa.Column("overruled", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("campaign", "overruled")
    op.drop_column("alert", "tries")
    for name in reversed(ADDED):
        op.drop_column("alert", name)
