"""Posts and what became of them, accounts' credentials, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batch", sa.Column("kept", sa.JSON(), nullable=True))
    op.add_column("article", sa.Column("told", sa.LargeBinary(), nullable=True))
    op.create_table(
        "post",
        sa.Column("campaign", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("article", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rendition", sa.Text(), nullable=False),
        sa.Column("told", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=True),
        sa.CheckConstraint("state IN ('planned', 'up', 'gone')", name=op.f("ck_post_state")),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name=op.f("fk_post_article")),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_post_campaign")),
        sa.PrimaryKeyConstraint("campaign", name=op.f("pk_post")),
    )
    op.create_index("ix_post_article", "post", ["article"])
    op.create_table(
        "credential",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("renewing_until", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_credential")),
    )
    op.create_table(
        "alert",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("raised_at", Instant(), nullable=False),
        sa.Column("told_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_alert")),
    )


def downgrade() -> None:
    op.drop_table("alert")
    op.drop_table("credential")
    op.drop_table("post")
    op.drop_column("article", "told")
    op.drop_column("batch", "kept")
