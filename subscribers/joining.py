"""The statements by which people come by themselves: they ask, and confirm from their own mailbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, or_, select, update

from subscribers import consent
from subscribers.leaving import locked, suppression_of
from subscribers.model import UNSUBSCRIBED, Cadence, Entry, Evidence, address_hash, plain, topic_text
from subscribers.schema import list_, subscriber, subscription, suppression
from subscribers.sql import common_position, insert

UNDO = timedelta(days=1)  # whoever comes back sooner never left, and goes on from where they stood


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a stranger's wish came to. None of it may be told to them: it would say who reads what."""

    subscriber: int | None  # None: nobody was made of a suppressed address
    to_confirm: tuple[str, ...] = ()  # lists
    confirmed: tuple[str, ...] = ()  # lists whose reader the address is already; nothing of these changed
    suppressed: str | None = None  # why nothing may be sent there, not even a question
    may_mail: bool = False  # whether a question may go there now; it was noted that it does


def ask(
    db: Connection,
    entry: Entry,
    *,
    usual: Mapping[str, Cadence] = {},
    evidence: Evidence,
    now: datetime,
    again_after: timedelta = timedelta(days=1),
) -> Asked:
    """Note that somebody wants the lists of *entry* for an address, which may be a stranger's.

    Of a reader nothing changes. Whoever left stays so until they confirm. An address is sent a question at
    most once in *again_after*, whoever asks, wherever, and however often at the same moment. Who names no
    cadence gets the *usual* one of the list, or daily.
    """
    hash_ = address_hash(entry.address)
    reason = suppression_of(db, hash_, now=now)
    if reason == UNSUBSCRIBED:
        reason = None  # they may come back
    person = _known(db, hash_) if reason else _known_or_new(db, entry, hash_, now)
    if person is None:
        return Asked(subscriber=None, suppressed=reason)
    before = _places(db, person, entry.lists)
    confirmed = tuple(row.name for row in before.values() if row.state == "confirmed")
    if reason:
        return Asked(subscriber=person, confirmed=confirmed, suppressed=reason)
    waiting = _wait(db, person, entry, usual, now)
    may_mail = bool(waiting) and _may_ask(db, person, now, again_after)
    news = [name for name in waiting if may_mail or name not in before]
    consent.note(db, "asked", address_hash=hash_, subscriber=person, evidence=evidence, lists=news)
    return Asked(subscriber=person, to_confirm=tuple(waiting), confirmed=confirmed, may_mail=may_mail)


def _known(db: Connection, hash_: bytes) -> int | None:
    its = (subscriber.c.address_hash == hash_, subscriber.c.replaces.is_(None))
    found: int | None = db.scalar(select(subscriber.c.id).where(*its))
    return found


def _known_or_new(db: Connection, entry: Entry, hash_: bytes, now: datetime) -> int:
    """The subscriber of the address. What is said of them counts only until anything was confirmed."""
    new = insert(db, subscriber)
    said = {
        "name": plain(entry.name, at_most=200),
        "timezone": entry.timezone,
        "locale": entry.locale,
        "hour": entry.hour,
        "attributes": dict(entry.attributes) or None,
    }
    row = {"address": entry.address, "address_hash": hash_, "created_at": now, **said}
    # A reader's new address that was not confirmed yet is its owner's from here on.
    upsert = new.on_conflict_do_update(index_elements=["address_hash"], set_={"replaces": None})
    id_: int = db.execute(upsert.values(row).returning(subscriber.c.id)).scalar_one()
    is_settled = (
        select(subscription.c.list)
        .where(subscription.c.subscriber == id_, subscription.c.state != "unconfirmed")
        .exists()
    )
    told = {name: value for name, value in said.items() if value not in (None, "")}
    if told:
        db.execute(update(subscriber).where(subscriber.c.id == id_, ~is_settled).values(told))
    return id_


def _places(db: Connection, person: int, lists: Iterable[str]) -> dict[str, Any]:
    query = (
        select(subscription.c.state, list_.c.name)
        .join(list_, list_.c.id == subscription.c.list)
        .where(subscription.c.subscriber == person, list_.c.name.in_(list(lists)))
        .order_by(list_.c.name)
    )
    return {str(row.name): row for row in db.execute(query).all()}


def _wait(
    db: Connection, person: int, entry: Entry, usual: Mapping[str, Cadence], now: datetime
) -> list[str]:
    """Let the lists wait for a confirmation; those that do."""
    rows = db.execute(select(list_.c.name, list_.c.id).where(list_.c.name.in_(entry.lists)))
    ids: dict[str, int] = {row.name: row.id for row in rows}
    if not ids:
        return []
    new = insert(db, subscription)
    changes: dict[str, Any] = {"asked_at": now, "served_through": _stand_of_who_left()}
    if entry.topics is not None:
        changes["topics"] = new.excluded.topics
    if entry.cadence is not None:
        changes["cadence"] = new.excluded.cadence
    upsert = new.on_conflict_do_update(
        index_elements=["list", "subscriber"], set_=changes, where=subscription.c.state != "confirmed"
    ).returning(subscription.c.list)
    names = {id_: name for name, id_ in ids.items()}
    found = []
    for id_ in sorted(names):
        row = {
            "list": id_,
            "subscriber": person,
            "state": "unconfirmed",
            "cadence": entry.cadence or usual.get(names[id_], "daily"),
            "topics": topic_text(entry.topics or ()),
            "created_at": now,
            "asked_at": now,
        }
        found += [names[id_] for id_ in db.scalars(upsert.values(row))]
    return sorted(found)


def _stand_of_who_left() -> Any:
    """Where somebody who left stood, kept before another cadence would say something else."""
    stood = func.coalesce(subscription.c.served_through, common_position())
    return case((subscription.c.state == "unsubscribed", stood), else_=None)


def _may_ask(db: Connection, id_: int, now: datetime, again_after: timedelta) -> bool:
    is_due = or_(subscriber.c.asked_at.is_(None), subscriber.c.asked_at <= now - again_after)
    asked = update(subscriber).where(subscriber.c.id == id_, is_due).values(asked_at=now)
    return db.execute(asked).rowcount > 0


def waiting(db: Connection, id_: int) -> tuple[str, ...]:
    """The lists that wait for the subscriber's confirmation."""
    query = (
        select(list_.c.name)
        .join(subscription, subscription.c.list == list_.c.id)
        .where(subscription.c.subscriber == id_, _waits())
        .order_by(list_.c.name)
    )
    return tuple(db.scalars(query))


def _waits() -> Any:
    """Whoever left after they had asked does not wait any more."""
    return or_(
        subscription.c.state == "unconfirmed",
        and_(subscription.c.state == "unsubscribed", subscription.c.asked_at.is_not(None)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What a confirmation came to."""

    lists: tuple[str, ...] = ()  # newly confirmed
    suppressed: str | None = None  # why nothing may be sent to the address even so


def confirm(
    db: Connection,
    *,
    subscriber: int,
    lists: Iterable[str] | None = None,
    usual: Mapping[str, Cadence] = {},
    evidence: Evidence,
    now: datetime,
) -> Confirmed:
    """Let the owner of the address be a reader of these lists, or of all that wait for their confirmation.

    A link that asks for a confirmation should leave *lists* out: pressed again after its reader left, it then
    does nothing. With names, they are readers whatever was before.

    They stand where their cadence stands now, so they get what is new from here on, and nothing that went out
    before. Only whoever left less than `UNDO` ago stands where they stood.
    """
    hash_ = locked(db, subscriber)
    if hash_ is None:
        return Confirmed()
    names = list(waiting(db, subscriber) if lists is None else lists)
    if lists is not None:
        _make_missing(db, subscriber, names, usual, now)
    names = _made_readers(db, subscriber, names, now)
    consent.note(db, "confirmed", address_hash=hash_, subscriber=subscriber, evidence=evidence, lists=names)
    if names:
        lift_leaving(db, hash_)
    return Confirmed(lists=tuple(names), suppressed=suppression_of(db, hash_, now=now))


def _made_readers(db: Connection, subscriber: int, lists: Sequence[str], now: datetime) -> list[str]:
    """Of which of these lists somebody became a reader just now."""
    new = db.scalars(
        update(subscription)
        .where(
            subscription.c.subscriber == subscriber,
            subscription.c.state != "confirmed",
            subscription.c.list.in_(select(list_.c.id).where(list_.c.name.in_(lists))),
        )
        .values(
            state="confirmed",
            confirmed_at=now,
            asked_at=None,
            paused_until=None,
            left_at=None,
            served_through=_stand_anew(now),
        )
        .returning(subscription.c.list)
    ).all()
    return list(db.scalars(select(list_.c.name).where(list_.c.id.in_(new)).order_by(list_.c.name)))


def take(
    db: Connection,
    entry: Entry,
    *,
    usual: Mapping[str, Cadence] = {},
    evidence: Evidence,
    now: datetime,
) -> Confirmed:
    """Let somebody who confirmed elsewhere be a reader of the lists of *entry*.

    Only of lists that they never left: whoever left one, or everything, or was erased, has to be asked
    themselves. Of a list whose reader they are already nothing changes.
    """
    hash_ = address_hash(entry.address)
    reason = suppression_of(db, hash_, now=now)
    if reason is not None:
        return Confirmed(suppressed=reason)
    person = _known_or_new(db, entry, hash_, now)
    left = {name for name, row in _places(db, person, entry.lists).items() if row.state == "unsubscribed"}
    names = [name for name in entry.lists if name not in left]
    _wait(db, person, replace(entry, lists=tuple(names)), usual, now)
    return confirm(db, subscriber=person, lists=names, evidence=evidence, now=now)


def _make_missing(
    db: Connection, person: int, names: list[str], usual: Mapping[str, Cadence], now: datetime
) -> None:
    new = insert(db, subscription).on_conflict_do_nothing()
    lists = select(list_.c.id, list_.c.name).where(list_.c.name.in_(names)).order_by(list_.c.id)
    for id_, name in db.execute(lists).all():
        row = {
            "list": id_,
            "subscriber": person,
            "state": "unconfirmed",
            "cadence": usual.get(name, "daily"),
            "topics": "",
            "created_at": now,
        }
        db.execute(new.values(row))


def _stand_anew(now: datetime) -> Any:
    """Where a reader begins: null for where their cadence stands.

    Whoever left may have been served further than that, when theirs was another cadence then.
    """
    own, common = subscription.c.served_through, common_position()
    just_left = subscription.c.left_at > now - UNDO
    came_back = and_(subscription.c.state == "unsubscribed", or_(just_left, own > common))
    return case((came_back, own), else_=None)


def lift_leaving(db: Connection, hash_: bytes) -> None:
    """Whoever confirms has not left any more; what else stands against their address stays."""
    db.execute(
        delete(suppression).where(suppression.c.address_hash == hash_, suppression.c.reason == UNSUBSCRIBED)
    )
