"""Articles that wait until the public site shows them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gate",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("banner", sa.Text(), nullable=True),
        sa.Column("qr", sa.Text(), nullable=True),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("ask_at", Instant(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("answered", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("passed_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_gate")),
    )


def downgrade() -> None:
    op.drop_table("gate")
