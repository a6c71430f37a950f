"""Readers come and go by themselves: what they asked for, agreed to, and when they want nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ADDED = {
    "subscriber": (("hour", sa.Integer()), ("asked_at", Instant())),
    "subscription": (
        ("asked_at", Instant()),
        ("confirmed_at", Instant()),
        ("paused_until", Instant()),
        ("left_at", Instant()),
    ),
    "suppression": (("until", Instant()),),
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for name, type_ in columns:
            op.add_column(table, sa.Column(name, type_, nullable=True))
    # Both databases take a column together with what it refers to; Alembic would make two statements of it.
    number = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(
        f"ALTER TABLE subscriber ADD COLUMN replaces {number} "
        "CONSTRAINT fk_subscriber_replaces_subscriber REFERENCES subscriber (id)"
    )
    is_one = sa.text("replaces IS NOT NULL")
    op.create_index(
        "ix_subscriber_replaces", "subscriber", ["replaces"], sqlite_where=is_one, postgresql_where=is_one
    )
    op.create_table(
        "consent",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("subscriber", sa.BigInteger(), nullable=True),
        sa.Column("list", sa.Text(), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("wording", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    of_nobody = sa.text("subscriber IS NULL")
    op.create_index(
        "ix_consent_address_hash",
        "consent",
        ["address_hash"],
        sqlite_where=of_nobody,
        postgresql_where=of_nobody,
    )
    is_known = sa.text("subscriber IS NOT NULL")
    op.create_index(
        "ix_consent_subscriber", "consent", ["subscriber"], sqlite_where=is_known, postgresql_where=is_known
    )


def downgrade() -> None:
    op.drop_table("consent")
    op.drop_index("ix_subscriber_replaces", "subscriber")
    for table, columns in _ADDED.items():
        for name, _ in columns:
            op.drop_column(table, name)
    # SQLite cannot drop a column that refers to another; there it stays, and an older program ignores it.
    if op.get_bind().dialect.name != "sqlite":
        op.drop_column("subscriber", "replaces")
