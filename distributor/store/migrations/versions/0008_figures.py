"""What became of campaigns that are over and what was reported of them, added up; and signs of life."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("tallied", sa.Boolean(), nullable=False, server_default=sa.false()))
    open_ = sa.column("tallied").is_(False)
    op.create_index("ix_campaign_untallied", "campaign", ["id"], sqlite_where=open_, postgresql_where=open_)
    op.create_table(
        "tally",
        sa.Column("campaign", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("campaign", "provider", "state", name=op.f("pk_tally")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "report",
        sa.Column("campaign", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("bounce_class", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("campaign", "provider", "type", "bounce_class", name=op.f("pk_report")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pulse",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pulse")),
    )
    # What took effect before is counted once, here.
    op.execute(
        "INSERT INTO report (campaign, provider, type, bounce_class, count)"
        " SELECT coalesce(campaign, 0), provider, type, coalesce(bounce_class, ''), count(*) FROM event"
        " WHERE applied_at IS NOT NULL GROUP BY 1, 2, 3, 4"
    )


def downgrade() -> None:
    op.drop_table("pulse")
    op.drop_table("report")
    op.drop_table("tally")
    op.drop_index("ix_campaign_untallied", "campaign")
    op.drop_column("campaign", "tallied")
