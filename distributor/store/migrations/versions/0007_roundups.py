"""The articles that a roundup names, each with a place of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("post", sa.Column("roundup", sa.BigInteger(), nullable=True))
    op.create_index("ix_post_roundup", "post", ["roundup"])


def downgrade() -> None:
    op.drop_index("ix_post_roundup", "post")
    op.drop_column("post", "roundup")
