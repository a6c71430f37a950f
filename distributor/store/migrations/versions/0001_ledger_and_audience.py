"""The ledger and the audience"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "article",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("published_at", Instant(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("first_public_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_article")),
        sa.UniqueConstraint("key", name=op.f("uq_article_key")),
        sa.UniqueConstraint("sequence", name=op.f("uq_article_sequence")),
    )
    op.create_table(
        "channel",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("handled_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_channel")),
    )
    op.create_table(
        "delivery",
        sa.Column("campaign", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("campaign", "recipient", name=op.f("pk_delivery")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_delivery_differing",
        "delivery",
        ["campaign", "batch", "recipient"],
        unique=False,
        sqlite_where=sa.text("state IS NOT NULL"),
        postgresql_where=sa.text("state IS NOT NULL"),
    )
    op.create_table(
        "fact",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fact")),
    )
    op.create_table(
        "list",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_list")),
        sa.UniqueConstraint("name", name=op.f("uq_list_name")),
    )
    op.create_table(
        "media",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("picture", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_media")),
    )
    op.create_table(
        "rendition",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_rendition")),
    )
    op.create_table(
        "subscriber",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("attributes", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber")),
        sa.UniqueConstraint("address_hash", name=op.f("uq_subscriber_address_hash")),
    )
    op.create_table(
        "suppression",
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_suppression")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "address",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("article", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name=op.f("fk_address_article")),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_address")),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("candidates", sa.BigInteger(), nullable=False),
        sa.Column("excluded", sa.JSON(), nullable=False),
        sa.Column("overlaps", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('newsletter', 'post')", name=op.f("ck_campaign_kind")),
        sa.ForeignKeyConstraint(["channel"], ["channel.name"], name=op.f("fk_campaign_channel")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("channel", "slot", name=op.f("uq_campaign_channel_slot")),
    )
    op.create_index("ix_campaign_state", "campaign", ["state"], unique=False)
    op.create_table(
        "page",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("article", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("changes_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name=op.f("fk_page_article")),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_page")),
    )
    op.create_index("ix_page_article", "page", ["article"], unique=False)
    op.create_index("ix_page_changes_at", "page", ["changes_at"], unique=False)
    op.create_table(
        "position",
        sa.Column("list", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cadence", sa.Text(), nullable=False),
        sa.Column("served_through", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["list"], ["list.id"], name=op.f("fk_position_list")),
        sa.PrimaryKeyConstraint("list", "cadence", name=op.f("pk_position")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rendition_article",
        sa.Column("article", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rendition", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name=op.f("fk_rendition_article_article")),
        sa.ForeignKeyConstraint(
            ["rendition"], ["rendition.hash"], name=op.f("fk_rendition_article_rendition")
        ),
        sa.PrimaryKeyConstraint("article", "rendition", name=op.f("pk_rendition_article")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "subscription",
        sa.Column("list", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subscriber", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cadence", sa.Text(), nullable=False),
        sa.Column("topics", sa.Text(), nullable=False),
        sa.Column("served_through", sa.BigInteger(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.CheckConstraint(
            "cadence IN ('instant', 'daily', 'weekly', 'monthly')", name=op.f("ck_subscription_cadence")
        ),
        sa.CheckConstraint(
            "state IN ('unconfirmed', 'confirmed', 'unsubscribed')", name=op.f("ck_subscription_state")
        ),
        sa.ForeignKeyConstraint(["list"], ["list.id"], name=op.f("fk_subscription_list")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.id"], name=op.f("fk_subscription_subscriber")),
        sa.PrimaryKeyConstraint("list", "subscriber", name=op.f("pk_subscription")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_subscription_own_position",
        "subscription",
        ["list", "subscriber"],
        unique=False,
        sqlite_where=sa.text("served_through IS NOT NULL"),
        postgresql_where=sa.text("served_through IS NOT NULL"),
    )
    op.create_index("ix_subscription_subscriber", "subscription", ["subscriber"], unique=False)
    op.create_table(
        "batch",
        sa.Column("campaign", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rendition", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("called_at", Instant(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'accepted', 'refused', 'skipped', 'unclear')",
            name=op.f("ck_batch_state"),
        ),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.id"], name=op.f("fk_batch_campaign")),
        sa.ForeignKeyConstraint(["rendition"], ["rendition.hash"], name=op.f("fk_batch_rendition")),
        sa.PrimaryKeyConstraint("campaign", "number", name=op.f("pk_batch")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_batch_open",
        "batch",
        ["campaign", "state"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'sending', 'unclear')"),
        postgresql_where=sa.text("state IN ('queued', 'sending', 'unclear')"),
    )
    op.create_index("ix_batch_rendition", "batch", ["rendition"], unique=False)
    op.create_index(
        "ix_batch_waiting",
        "batch",
        ["priority", "due_at", "campaign", "number"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_batch_waiting",
        table_name="batch",
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.drop_index("ix_batch_rendition", table_name="batch")
    op.drop_index(
        "ix_batch_open",
        table_name="batch",
        sqlite_where=sa.text("state IN ('queued', 'sending', 'unclear')"),
        postgresql_where=sa.text("state IN ('queued', 'sending', 'unclear')"),
    )
    op.drop_table("batch")
    op.drop_index("ix_subscription_subscriber", table_name="subscription")
    op.drop_index(
        "ix_subscription_own_position",
        table_name="subscription",
        sqlite_where=sa.text("served_through IS NOT NULL"),
        postgresql_where=sa.text("served_through IS NOT NULL"),
    )
    op.drop_table("subscription")
    op.drop_table("rendition_article")
    op.drop_table("position")
    op.drop_index("ix_page_changes_at", table_name="page")
    op.drop_index("ix_page_article", table_name="page")
    op.drop_table("page")
    op.drop_index("ix_campaign_state", table_name="campaign")
    op.drop_table("campaign")
    op.drop_table("address")
    op.drop_table("suppression")
    op.drop_table("subscriber")
    op.drop_table("rendition")
    op.drop_table("media")
    op.drop_table("list")
    op.drop_table("fact")
    op.drop_index(
        "ix_delivery_differing",
        table_name="delivery",
        sqlite_where=sa.text("state IS NOT NULL"),
        postgresql_where=sa.text("state IS NOT NULL"),
    )
    op.drop_table("delivery")
    op.drop_table("channel")
    op.drop_table("article")
