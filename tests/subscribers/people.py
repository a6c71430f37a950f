"""Short words for what people do, at a moment that goes on when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from subscribers import store
from subscribers.model import Entry, Evidence, Subscriber, Subscription
from subscribers.schema import consent, position

NOW = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA = "ada@example.org"
BOTH = ("morning", "weekend")


def click(at: datetime = NOW, **told: str) -> Evidence:
    return Evidence(source="form", at=at, **told)


def ask(db: Connection, address: str = ADA, *lists: str, at: datetime = NOW, **said: Any) -> store.Asked:
    entry = Entry(address=address, lists=lists or ("morning",), **said)
    return store.ask(db, entry, evidence=click(at), now=at)


def confirm(db: Connection, address: str = ADA, *lists: str, at: datetime = NOW) -> store.Confirmed:
    """Of all that waits, or of these lists."""
    wanted = list(lists) or None
    return store.confirm(db, subscriber=number(db, address), lists=wanted, evidence=click(at), now=at)


def leave(db: Connection, address: str = ADA, *, on: str | None = "morning", at: datetime = NOW) -> bool:
    return store.unsubscribe(db, subscriber=number(db, address), list_name=on, evidence=click(at), now=at)


def add(db: Connection, address: str = ADA, *lists: str, at: datetime = NOW, **said: Any) -> store.Added:
    """Import somebody."""
    entry = Entry(address=address, lists=lists or ("morning",), **said)
    return store.add(db, [entry], list_ids={name: store.list_id(db, name) for name in BOTH}, now=at)


def person(db: Connection, address: str = ADA, *, at: datetime = NOW) -> Subscriber:
    found = store.find(db, address, now=at)
    assert found is not None
    return found


def number(db: Connection, address: str = ADA) -> int:
    return person(db, address).id


def place(db: Connection, address: str = ADA, *, on: str = "morning") -> Subscription:
    return next(one for one in person(db, address).subscriptions if one.list == on)


def reached(db: Connection, *, on: str = "morning", at: datetime = NOW) -> set[str]:
    """The addresses to which the list may be sent."""
    ids = [one.id for one in store.everybody(db, now=at)]
    return {address for address, _ in store.reachable(db, on, ids, now=at).values()}


def serve(db: Connection, cadence: str, *, through: int, on: str = "morning") -> None:
    """What an edition does to all who stand where their cadence stands."""
    on_list = position.c.list == store.list_id(db, on)
    db.execute(update(position).where(on_list, position.c.cadence == cadence).values(served_through=through))


def notes(db: Connection) -> list[tuple[str, str | None, str]]:
    """What, of which list and whence, in the order of the log."""
    return [(row.what, row.list, row.source) for row in db.execute(select(consent).order_by(consent.c.id))]
