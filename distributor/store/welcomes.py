"""Readers who are new, and are to be sent what the others have read already."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from distributor.store.dialect import insert_new
from distributor.store.schema import welcome


def ask(db: Connection, newsletter: str, subscriber: int, *, now: datetime) -> None:
    """Note that a reader is to be welcomed, once."""
    row = {"newsletter": newsletter, "subscriber": subscriber, "asked_at": now}
    insert_new(db, welcome, row, key=["newsletter", "subscriber"])


def waiting(db: Connection, *, limit: int = 200) -> list[tuple[str, int, datetime]]:
    """Newsletter, subscriber and when they came, of those who wait, the first first."""
    query = select(welcome.c.newsletter, welcome.c.subscriber, welcome.c.asked_at)
    rows = db.execute(query.order_by(welcome.c.asked_at, welcome.c.subscriber).limit(limit))
    return [(row.newsletter, row.subscriber, row.asked_at) for row in rows]


def done(db: Connection, newsletter: str, subscriber: int) -> None:
    db.execute(delete(welcome).where(welcome.c.newsletter == newsletter, welcome.c.subscriber == subscriber))
