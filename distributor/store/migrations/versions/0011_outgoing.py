"""What is to be told to hooks, and which of the log of consents was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("consent", sa.Column("untold", sa.BigInteger(), nullable=True))
    untold = sa.text("untold IS NOT NULL")
    op.create_index("ix_consent_untold", "consent", ["id"], sqlite_where=untold, postgresql_where=untold)
    op.create_table(
        "news",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("campaign", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_news")),
    )
    op.create_table(
        "outgoing",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("occurred_at", Instant(), nullable=False),
        sa.Column("kept_at", Instant(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outgoing")),
        sa.UniqueConstraint("hook", "id", name=op.f("uq_outgoing_hook_id")),
        sa.CheckConstraint("state IN ('waiting', 'told', 'given up')", name=op.f("ck_outgoing_state")),
    )
    waiting = sa.text("state = 'waiting'")
    columns = ["hook", "due_at", "number"]
    op.create_index(
        "ix_outgoing_waiting", "outgoing", columns, sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_index("ix_outgoing_kept_at", "outgoing", ["kept_at"])


def downgrade() -> None:
    op.drop_table("outgoing")
    op.drop_table("news")
    op.drop_index("ix_consent_untold", "consent")
    op.drop_column("consent", "untold")
