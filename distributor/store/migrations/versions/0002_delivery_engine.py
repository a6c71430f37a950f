"""Providers' health and quotas; campaigns with a priority, an audience and an approval."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")


def upgrade() -> None:
    op.add_column("campaign", sa.Column("priority", sa.Integer(), server_default="20", nullable=False))
    op.add_column("campaign", sa.Column("audience", sa.BigInteger(), nullable=True))
    op.add_column("campaign", sa.Column("approved_at", Instant(), nullable=True))
    op.add_column("campaign", sa.Column("approved_content", sa.Text(), nullable=True))
    op.execute(
        "UPDATE campaign SET priority = coalesce("
        "(SELECT min(batch.priority) FROM batch WHERE batch.campaign = campaign.id), 20)"
    )
    op.drop_index("ix_batch_waiting", table_name="batch")
    op.drop_column("batch", "priority")
    # What is queued goes to whichever provider is well, unless an earlier call may have been accepted.
    op.execute("UPDATE batch SET provider = NULL WHERE state = 'queued' AND called_at IS NULL")
    op.create_index(
        "ix_batch_waiting",
        "batch",
        ["campaign", "due_at", "number"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
    op.create_table(
        "provider",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("held_until", Instant(), nullable=True),
        sa.Column("is_down", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_provider")),
    )
    op.create_table(
        "quota",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("history", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "counts", "seconds", name=op.f("pk_quota")),
    )


def downgrade() -> None:
    op.drop_table("quota")
    op.drop_table("provider")
    op.drop_index("ix_batch_waiting", table_name="batch", sqlite_where=QUEUED, postgresql_where=QUEUED)
    op.add_column("batch", sa.Column("priority", sa.Integer(), server_default="20", nullable=False))
    op.create_index(
        "ix_batch_waiting",
        "batch",
        ["priority", "due_at", "campaign", "number"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
    for column in ("approved_content", "approved_at", "audience", "priority"):
        op.drop_column("campaign", column)
