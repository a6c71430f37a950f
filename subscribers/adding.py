"""The statements by which a publisher adds people, one or a million."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.engine import Row

from subscribers.choosing import change_place
from subscribers.model import Entry, Source, address_hash, topic_text
from subscribers.schema import subscriber, subscription, suppression
from subscribers.sql import in_force, insert, write


@dataclass(slots=True)
class Added:
    """What a set of entries changed, counted by subscription."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    left_alone: int = 0  # they unsubscribed, or their address is suppressed


def add(
    db: Connection,
    entries: Sequence[Entry],
    *,
    list_ids: Mapping[str, int],
    now: datetime,
    source: Source = "import",
    detail: str = "",
) -> Added:
    """Add the entries, or change what is there; nobody who left is brought back.

    A new subscription stands where its cadence stands, so its reader gets the next edition as everybody does.
    """
    hashes = [address_hash(entry.address) for entry in entries]
    unique = dict(zip(hashes, entries, strict=True))
    blocked = set(
        db.scalars(
            select(suppression.c.address_hash).where(suppression.c.address_hash.in_(unique), in_force(now))
        )
    )
    ids = _add_people(db, unique, now)
    result = Added()
    wanted = {
        (list_ids[name], ids[hash_]): (entry, hash_ in blocked)
        for hash_, entry in zip(hashes, entries, strict=True)
        for name in entry.lists
    }
    _add_subscriptions(db, wanted, result, now)
    return result


def _add_people(db: Connection, entries: Mapping[bytes, Entry], now: datetime) -> dict[bytes, int]:
    """The id of each entry's subscriber, by the hash of the address."""
    new_row = insert(db, subscriber)
    new = new_row.excluded
    # What an entry leaves out keeps what is known.
    upsert = new_row.on_conflict_do_update(
        index_elements=["address_hash"],
        set_={
            "name": case((new.name == "", subscriber.c.name), else_=new.name),
            "timezone": func.coalesce(new.timezone, subscriber.c.timezone),
            "locale": func.coalesce(new.locale, subscriber.c.locale),
            "attributes": func.coalesce(new.attributes, subscriber.c.attributes),
            "replaces": None,
        },
    )
    rows = [
        {
            "address": entry.address,
            "address_hash": hash_,
            "name": entry.name,
            "timezone": entry.timezone,
            "locale": entry.locale,
            "attributes": dict(entry.attributes) or None,
            "created_at": entry.joined_at or now,
        }
        for hash_, entry in entries.items()
    ]
    if not rows:
        return {}
    upsert = upsert.returning(subscriber.c.address_hash, subscriber.c.id)
    return {row.address_hash: row.id for row in write(db, upsert, rows)}


def _add_subscriptions(
    db: Connection, wanted: Mapping[tuple[int, int], tuple[Entry, bool]], result: Added, now: datetime
) -> None:
    known = {
        (row.list, row.subscriber): row
        for row in db.execute(
            select(subscription).where(
                subscription.c.list.in_({place for place, _ in wanted}),
                subscription.c.subscriber.in_({person for _, person in wanted}),
            )
        )
    }
    fresh = []
    for place, (entry, is_blocked) in wanted.items():
        row = known.get(place)
        if is_blocked or (row is not None and row.state == "unsubscribed"):
            result.left_alone += 1
        elif row is None:
            fresh.append(_subscription_row(place, entry, now))
            result.added += 1
        elif _change(db, row, entry, now):
            result.changed += 1
        else:
            result.unchanged += 1
    if fresh:
        write(db, insert(db, subscription).returning(subscription.c.subscriber), fresh)


def _subscription_row(place: tuple[int, int], entry: Entry, now: datetime) -> dict[str, Any]:
    return {
        "list": place[0],
        "subscriber": place[1],
        "state": entry.state or "confirmed",
        "cadence": entry.cadence or "daily",
        "topics": topic_text(entry.topics or ()),
        "created_at": now,
        "confirmed_at": (entry.confirmed_at or now) if entry.state in (None, "confirmed") else None,
    }


def _change(db: Connection, row: Row[Any], entry: Entry, now: datetime) -> bool:
    """Bring a subscription up to its entry; a reader who changes cadence keeps the place they have."""
    changed = change_place(db, row, topics=entry.topics, cadence=entry.cadence)
    is_taken_back = row.state == "confirmed" and entry.state == "unconfirmed"
    if entry.state not in (None, row.state) and not is_taken_back:
        place = (subscription.c.list == row.list, subscription.c.subscriber == row.subscriber)
        moments = {"confirmed": {"confirmed_at": now}, "unsubscribed": {"left_at": now}}.get(entry.state, {})
        db.execute(update(subscription).where(*place).values(state=entry.state, **moments))
        return True
    return bool(changed)
