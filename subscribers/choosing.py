"""The statements by which readers change what they get, how often, where to, and rest from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select, update
from sqlalchemy.engine import Row

from subscribers import consent, lists
from subscribers.joining import lift_leaving
from subscribers.leaving import locked, suppression_of
from subscribers.model import (
    UNSUBSCRIBED,
    Cadence,
    Evidence,
    address_hash,
    plain,
    topic_text,
)
from subscribers.schema import list_, subscriber, subscription
from subscribers.sql import common_position, insert

ANY_HOUR = -1  # for `choose`: no hour of their own any more


def choose(
    db: Connection,
    *,
    subscriber: int,
    list_name: str | None = None,
    topics: tuple[str, ...] | None = None,
    cadence: Cadence | None = None,
    hour: int | None = None,
    timezone: str | None = None,
    locale: str | None = None,
    name: str | None = None,
    attributes: Mapping[str, str | None] | None = None,
    evidence: Evidence,
    now: datetime,
) -> bool:
    """Change what a reader chose: of themselves, and on one list topics and cadence. What is None stays.

    An empty *timezone* or *locale*, and `ANY_HOUR`, take the choice back; so does None for one of the
    *attributes*. Who changes cadence goes on from where they stand. True when something changed.
    """
    hash_ = locked(db, subscriber)
    if hash_ is None:
        return False
    own = {
        "name": None if name is None else plain(name, at_most=200),
        "timezone": timezone,
        "locale": locale,
        "hour": hour,
        "attributes": _told_over(db, subscriber, attributes or {}),
    }
    changed = [
        *_change_person(db, subscriber, own),
        *_change_place(db, subscriber, list_name, topics, cadence),
    ]
    if changed:
        told = ", ".join(changed)
        of_list = list_name if {"topics", "cadence"} & {*changed} else None
        consent.note(
            db,
            "changed",
            address_hash=hash_,
            subscriber=subscriber,
            evidence=evidence,
            lists=[of_list],
            detail=told,
        )
    return bool(changed)


def _told_over(db: Connection, id_: int, said: Mapping[str, str | None]) -> dict[str, str] | None:
    """A person's attributes, changed as *said*; None when that changes nothing."""
    query = select(subscriber.c.attributes).where(subscriber.c.id == id_)
    before: dict[str, str] = (db.scalar(query) if said else None) or {}
    after = {name: value for name, value in {**before, **said}.items() if value is not None}
    return after if after != before else None


def _change_person(db: Connection, id_: int, said: dict[str, Any]) -> list[str]:
    wanted = {name: value for name, value in said.items() if value is not None}
    values = {
        name: None if value in ("", ANY_HOUR) and name != "name" else value for name, value in wanted.items()
    }
    before = db.execute(select(subscriber).where(subscriber.c.id == id_)).one()._mapping
    values = {name: value for name, value in values.items() if before[name] != value}
    if {"timezone", "hour"} & values.keys():
        lists.keep_places(db, select(subscriber.c.id).where(subscriber.c.id == id_))
    if values:
        db.execute(update(subscriber).where(subscriber.c.id == id_).values(values))
    return sorted(values)


def _change_place(
    db: Connection, person: int, name: str | None, topics: tuple[str, ...] | None, cadence: Cadence | None
) -> list[str]:
    if name is None or (topics is None and cadence is None):
        return []
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    place = (subscription.c.list == on_list, subscription.c.subscriber == person)
    row = db.execute(select(subscription).where(*place)).first()
    return change_place(db, row, topics=topics, cadence=cadence) if row else []


def change_place(
    db: Connection, row: Row[Any], *, topics: tuple[str, ...] | None, cadence: Cadence | None
) -> list[str]:
    """Give a subscription other topics or another cadence; the names of what changed.

    A reader of another cadence keeps the place they have, and no edition moves it meanwhile.
    """
    if cadence not in (None, row.cadence) and row.state != "unconfirmed":
        row = lists.held(db, row)
    values: dict[str, Any] = {}
    if topics is not None and topic_text(topics) != row.topics:
        values["topics"] = topic_text(topics)
    if cadence not in (None, row.cadence):
        values["cadence"] = cadence
    if not values:
        return []
    changed = sorted(values)
    if "cadence" in values and row.served_through is None and row.state != "unconfirmed":
        values["served_through"] = common_position()
    place = (subscription.c.list == row.list, subscription.c.subscriber == row.subscriber)
    db.execute(update(subscription).where(*place).values(values))
    return changed


def pause(
    db: Connection,
    *,
    subscriber: int,
    list_name: str | None = None,
    until: datetime | None,
    evidence: Evidence,
    now: datetime,
) -> bool:
    """Send a reader nothing of a list, or of all, until *until*; None ends the pause. True when that is news.

    Their place stays where it is: the first edition after the pause has what is new to them since, as many
    articles in full as everybody gets, and the others as headlines. So nothing is lost, and there is no heap.
    """
    hash_ = locked(db, subscriber)
    if hash_ is None:
        return False
    ids = select(list_.c.id) if list_name is None else select(list_.c.id).where(list_.c.name == list_name)
    until = until if until and until > now else None
    is_other = (
        subscription.c.paused_until.is_not(None)
        if until is None
        else or_(subscription.c.paused_until.is_(None), subscription.c.paused_until != until)
    )
    paused = db.execute(
        update(subscription)
        .where(
            subscription.c.subscriber == subscriber,
            subscription.c.list.in_(ids),
            subscription.c.state == "confirmed",
            is_other,
        )
        .values(paused_until=until)
    ).rowcount
    if paused:
        consent.note(
            db,
            "paused",
            address_hash=hash_,
            subscriber=subscriber,
            evidence=evidence,
            lists=[list_name],
            detail=f"until {until:%Y-%m-%d %H:%M} UTC" if until else "no longer",
        )
    return paused > 0


def ask_change(
    db: Connection,
    *,
    subscriber: int,
    address: str,
    evidence: Evidence,
    now: datetime,
    again_after: timedelta = timedelta(days=1),
) -> int | None:
    """Keep a new address of a subscriber until it is confirmed: the number to which the question is mailed.

    None when no question may go there: it is somebody's already, it is suppressed, or it was asked less than
    a day ago. Whoever wanted the change must not learn which. *address* is as `normal_address` gives it.
    """
    if locked(db, subscriber) is None:
        return None
    hash_ = address_hash(address)
    if suppression_of(db, hash_, now=now) not in (None, UNSUBSCRIBED):
        return None
    new = insert(db, table)
    is_due = or_(table.c.asked_at.is_(None), table.c.asked_at <= now - again_after)
    upsert = new.on_conflict_do_update(
        index_elements=["address_hash"],
        set_={"address": new.excluded.address, "replaces": subscriber, "asked_at": now},
        where=and_(table.c.replaces.is_not(None), is_due),
    ).returning(table.c.id)
    row = {
        "address": address,
        "address_hash": hash_,
        "name": "",
        "created_at": now,
        "asked_at": now,
        "replaces": subscriber,
    }
    id_: int | None = db.scalar(upsert.values(row))
    if id_ is not None:
        consent.note(
            db,
            "asked",
            address_hash=hash_,
            subscriber=subscriber,
            evidence=evidence,
            detail="change of address",
        )
    return id_


table = subscriber  # where a parameter has its name


def confirm_change(db: Connection, *, new: int, evidence: Evidence, now: datetime) -> bool:
    """Let a subscriber have the address they asked for; they keep number, subscriptions and history.

    False when that is not, or no longer, a new address that waits: it was confirmed already, somebody took it
    meanwhile, or it takes nothing.
    """
    asked = select(table).where(table.c.id == new, table.c.replaces.is_not(None))
    person: int | None = db.scalar(asked.with_only_columns(table.c.replaces))
    if person is None or locked(db, person) is None:
        return False
    row = db.execute(asked.where(table.c.replaces == person).with_for_update()).first()
    if row is None or suppression_of(db, row.address_hash, now=now) not in (None, UNSUBSCRIBED):
        return False
    db.execute(delete(table).where(table.c.replaces == person))
    values = {"address": row.address, "address_hash": row.address_hash, "asked_at": row.asked_at}
    db.execute(update(table).where(table.c.id == person).values(values))
    lift_leaving(db, row.address_hash)
    consent.note(db, "address changed", address_hash=row.address_hash, subscriber=person, evidence=evidence)
    return True
