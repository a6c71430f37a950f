"""What is kept of editions whose deliveries are let go of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("aged", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("campaign", "aged")
