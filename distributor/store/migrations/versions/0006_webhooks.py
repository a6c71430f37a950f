"""What other programs told, so that each message is done once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "heard",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("heard_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heard")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_heard_heard_at", "heard", ["heard_at"])


def downgrade() -> None:
    op.drop_table("heard")
