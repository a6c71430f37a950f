"""Readers' own zones and hours: positions by place, and by which slot they were served."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from subscribers.schema import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PLACE = "rtrim(coalesce(timezone, '') || ' ' || coalesce(CAST(hour AS TEXT), ''))"


def upgrade() -> None:
    # SQLite adds none that is stored, and PostgreSQL takes no other into an index.
    computed = sa.Computed(_PLACE, persisted=op.get_bind().dialect.name == "postgresql")
    op.add_column("subscriber", sa.Column("place", sa.Text(), computed, nullable=True))
    op.create_index("ix_subscriber_place", "subscriber", ["place"])
    op.add_column("subscription", sa.Column("served_at", Instant(), nullable=True))
    moved = sa.text("served_at IS NOT NULL")
    op.create_index(
        "ix_subscription_moved",
        "subscription",
        ["list", "subscriber"],
        sqlite_where=moved,
        postgresql_where=moved,
    )
    place = sa.Column("place", sa.Text(), server_default="", nullable=False)
    _rekey(("list", "cadence", "place"), place, sa.Column("served_at", Instant(), nullable=True))


def downgrade() -> None:
    op.get_bind().execute(sa.text("DELETE FROM position WHERE place <> ''"))
    _rekey(("list", "cadence"))
    op.drop_index("ix_subscription_moved", "subscription")
    op.drop_column("subscription", "served_at")
    op.drop_index("ix_subscriber_place", "subscriber")
    op.drop_column("subscriber", "place")


def _rekey(key: tuple[str, ...], *columns: sa.Column[Any]) -> None:
    """Make the positions anew, a few rows, under another key: SQLite changes none in place."""
    found = sa.text("SELECT list, cadence, served_through FROM position")
    before = [dict(row._mapping) for row in op.get_bind().execute(found)]
    op.drop_table("position")
    position = op.create_table(
        "position",
        sa.Column("list", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cadence", sa.Text(), nullable=False),
        sa.Column("served_through", sa.BigInteger(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["list"], ["list.id"], name=op.f("fk_position_list")),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_position")),
        sqlite_with_rowid=False,
    )
    op.bulk_insert(position, before)
