"""The audience's tables: the only ones that hold addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(TypeDecorator[datetime]):
    """A moment, kept as whole microseconds since 1970 UTC: the same order and equality in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# BIGINT counts in PostgreSQL, and INTEGER is what SQLite needs to number rows by itself.
Identity = BigInteger().with_variant(Integer, "sqlite")

PLACE = "rtrim(coalesce(timezone, '') || ' ' || coalesce(CAST(hour AS TEXT), ''))"

subscriber = Table(
    "subscriber",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("address", Text, nullable=False),
    Column("address_hash", LargeBinary, nullable=False, unique=True),  # see model.address_hash
    Column("name", Text, nullable=False, default=""),
    Column("timezone", Text),
    Column("locale", Text),
    Column("attributes", JSON(none_as_null=True)),
    Column("created_at", Instant, nullable=False),
    Column("hour", Integer),  # 0 to 23: the hour of their own day at which they want digests
    # When they want digests: a zone and an hour of its day, "Europe/Berlin 7". Either may be missing; empty
    # is when everybody gets them.
    Column("place", Text, Computed(PLACE)),
    Column("asked_at", Instant),  # when the address was last sent a question
    # The row only keeps a new address of that subscriber until it is confirmed, and is nobody by itself.
    Column("replaces", ForeignKey("subscriber.id")),
)
Index(
    "ix_subscriber_replaces",
    subscriber.c.replaces,
    sqlite_where=subscriber.c.replaces.is_not(None),
    postgresql_where=subscriber.c.replaces.is_not(None),
)

Index("ix_subscriber_place", subscriber.c.place)

list_ = Table(
    "list",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

# How far each cadence of a list has been served, and by which slot; of a list whose editions come at readers'
# own times, in each place. Nearly every subscription stands exactly there, so one row moves for all of them:
# a subscription has a number of its own only while it differs.
position = Table(
    "position",
    metadata,
    Column("list", ForeignKey("list.id"), primary_key=True),
    Column("cadence", Text, primary_key=True),
    Column("place", Text, primary_key=True, server_default=""),
    Column("served_through", BigInteger, nullable=False),
    Column("served_at", Instant),  # the last slot that served it; null: none did
    sqlite_with_rowid=False,
)

subscription = Table(
    "subscription",
    metadata,
    Column("list", ForeignKey("list.id"), primary_key=True),
    Column("subscriber", ForeignKey("subscriber.id"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("cadence", Text, nullable=False),
    Column("topics", Text, nullable=False),  # sorted, with commas between; empty: everything
    Column("served_through", BigInteger),  # null: as the position of its cadence
    Column("served_at", Instant),  # of who moved to another zone or hour since; null: as that position
    Column("created_at", Instant, nullable=False),
    Column("asked_at", Instant),  # a form asked for it, and its reader did not answer yet
    Column("confirmed_at", Instant),
    Column("paused_until", Instant),
    Column("left_at", Instant),
    CheckConstraint("state IN ('unconfirmed', 'confirmed', 'unsubscribed')", name="state"),
    CheckConstraint("cadence IN ('instant', 'daily', 'weekly', 'monthly')", name="cadence"),
    sqlite_with_rowid=False,
)
Index("ix_subscription_subscriber", subscription.c.subscriber)
Index(
    "ix_subscription_own_position",
    subscription.c.list,
    subscription.c.subscriber,
    sqlite_where=subscription.c.served_through.is_not(None),
    postgresql_where=subscription.c.served_through.is_not(None),
)

Index(
    "ix_subscription_moved",
    subscription.c.list,
    subscription.c.subscriber,
    sqlite_where=subscription.c.served_at.is_not(None),
    postgresql_where=subscription.c.served_at.is_not(None),
)

suppression = Table(
    "suppression",
    metadata,
    Column("address_hash", LargeBinary, primary_key=True),  # outlives the erasure of its subscriber
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("until", Instant),  # null: for ever
    sqlite_with_rowid=False,
)

# What somebody agreed to or asked for, and how we know: a log in the order of its writing, without addresses.
consent = Table(
    "consent",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("address_hash", LargeBinary, nullable=False),
    Column("subscriber", BigInteger),  # null once they are erased; no foreign key: it outlives them
    Column("list", Text),  # its name; null: all of them
    Column("what", Text, nullable=False),  # see model.What
    Column("source", Text, nullable=False),  # see model.Source
    Column("at", Instant, nullable=False),
    Column("ip", Text),
    Column("agent", Text),
    Column("wording", Text),  # what the person saw beside the button
    Column("detail", Text),
    Column("untold", BigInteger),  # whose it is, until it was passed on; null: it was, or is no news
)
Index(
    "ix_consent_untold",
    consent.c.id,
    sqlite_where=consent.c.untold.is_not(None),
    postgresql_where=consent.c.untold.is_not(None),
)
# What is somebody's is found by them; and by the address, what is nobody's yet or any more.
Index(
    "ix_consent_address_hash",
    consent.c.address_hash,
    sqlite_where=consent.c.subscriber.is_(None),
    postgresql_where=consent.c.subscriber.is_(None),
)
Index(
    "ix_consent_subscriber",
    consent.c.subscriber,
    sqlite_where=consent.c.subscriber.is_not(None),
    postgresql_where=consent.c.subscriber.is_not(None),
)
