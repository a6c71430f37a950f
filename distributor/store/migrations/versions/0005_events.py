"""What providers report and what it came to, notices to single readers, who may use the API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("campaign", sa.Column("notice", sa.Text(), nullable=True))
    op.add_column("delivery", sa.Column("outcome", sa.Integer(), nullable=True))
    op.create_table(
        "event",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("occurred_at", Instant(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("campaign", sa.BigInteger(), nullable=True),
        sa.Column("recipient", sa.BigInteger(), nullable=True),
        sa.Column("address_hash", sa.LargeBinary(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("bounce_class", sa.Text(), nullable=True),
        sa.Column("reject_reason", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("applied_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_event")),
        sa.UniqueConstraint("provider", "id", name=op.f("uq_event_provider_id")),
    )
    waiting = sa.text("applied_at IS NULL")
    op.create_index("ix_event_waiting", "event", ["number"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_index("ix_event_recipient", "event", ["recipient", "campaign"])
    op.create_index("ix_event_address_hash", "event", ["address_hash"])
    op.create_table(
        "welcome",
        sa.Column("newsletter", sa.Text(), nullable=False),
        sa.Column("subscriber", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("newsletter", "subscriber", name=op.f("pk_welcome")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "api_token",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("used_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("name", name=op.f("uq_api_token_name")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_token_hash")),
    )


def downgrade() -> None:
    op.drop_table("api_token")
    op.drop_table("welcome")
    op.drop_table("event")
    op.drop_column("delivery", "outcome")
    op.drop_column("campaign", "notice")
