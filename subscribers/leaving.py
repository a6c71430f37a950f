"""The statements by which people leave, and by which addresses fall silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, literal, or_, select, update

from subscribers import consent
from subscribers.model import BOUNCED, COMPLAINED, UNSUBSCRIBED, Evidence
from subscribers.people import by_hash, hash_of_address
from subscribers.schema import Instant, list_, subscriber, subscription, suppression
from subscribers.schema import consent as consent_table
from subscribers.sql import in_force, insert, inserted


def unsubscribe(
    db: Connection, *, subscriber: int, list_name: str | None = None, evidence: Evidence, now: datetime
) -> bool:
    """End the subscription to a list, or to all; True when there was something to end.

    Whoever leaves all of them is not put on another one later: their address is suppressed too, until they
    confirm something anew.
    """
    hash_ = locked(db, subscriber)
    if hash_ is None:
        return False
    lists = select(list_.c.id) if list_name is None else select(list_.c.id).where(list_.c.name == list_name)
    has_left = subscription.c.state == "unsubscribed"
    ended = db.execute(
        update(subscription)
        .where(
            subscription.c.list.in_(lists),
            subscription.c.subscriber == subscriber,
            or_(~has_left, subscription.c.asked_at.is_not(None)),
        )
        .values(
            state="unsubscribed",
            left_at=case((has_left, subscription.c.left_at), else_=literal(now, Instant)),
            asked_at=None,
            paused_until=None,
        )
    ).rowcount
    silenced = list_name is None and _suppress(db, hash_, UNSUBSCRIBED, None, now)
    if ended or silenced:
        consent.note(
            db,
            "unsubscribed",
            address_hash=hash_,
            subscriber=subscriber,
            evidence=evidence,
            lists=[list_name],
        )
    return bool(ended or silenced)


def locked(db: Connection, id_: int) -> bytes | None:
    """The hash of a subscriber's address, who stays as they are until the transaction ends; None: nobody."""
    query = select(subscriber.c.address_hash).where(subscriber.c.id == id_, subscriber.c.replaces.is_(None))
    found: bytes | None = db.scalar(query.with_for_update())
    return found


def suppress(
    db: Connection,
    address: str,
    *,
    reason: str,
    now: datetime,
    until: datetime | None = None,
    evidence: Evidence | None = None,
) -> bool:
    """Let nothing be sent to the address from now on, or until *until*; see `suppress_hash`."""
    return suppress_hash(db, hash_of_address(address), reason=reason, now=now, until=until, evidence=evidence)


def suppress_hash(
    db: Connection,
    hash_: bytes,
    *,
    reason: str,
    now: datetime,
    until: datetime | None = None,
    evidence: Evidence | None = None,
) -> bool:
    """Let nothing be sent to the address of that hash; True when this is news.

    In whatever order they come, the weightiest reason stays: a complaint, then what a person or a hard bounce
    says, then that somebody left, then what is for a while only, the longest of those.
    """
    is_new = _suppress(db, hash_, reason, until, now)
    if is_new:
        consent.note(
            db,
            "suppressed",
            address_hash=hash_,
            subscriber=by_hash(db, [hash_]).get(hash_),
            evidence=evidence or Evidence(source="hand", at=now),
            detail=f"{reason}, until {until:%Y-%m-%d %H:%M} UTC" if until else reason,
        )
    return is_new


def _suppress(db: Connection, hash_: bytes, reason: str, until: datetime | None, now: datetime) -> bool:
    values = {"address_hash": hash_, "reason": reason, "until": until, "created_at": now}
    return inserted(db, heavier(insert(db, suppression).values(values))) > 0


def heavier(new: Any) -> Any:
    """The INSERT of suppressions, by which one that is there already gives way only to a weightier one."""
    old, row = suppression.c, new.excluded
    longer = and_(old.until.is_not(None), row.until > old.until)
    return new.on_conflict_do_update(
        index_elements=["address_hash"],
        set_={"reason": row.reason, "until": row.until, "created_at": row.created_at},
        where=or_(_weight(row.reason, row.until) > _weight(old.reason, old.until), longer),
    )


def _weight(reason: ColumnElement[str], until: ColumnElement[datetime]) -> ColumnElement[int]:
    weights = {UNSUBSCRIBED: 1, BOUNCED: 3, COMPLAINED: 4}
    return case(
        (until.is_not(None), 0), *((reason == known, weight) for known, weight in weights.items()), else_=2
    )


def suppression_of(db: Connection, hash_: bytes, *, now: datetime) -> str | None:
    """Why nothing may be sent to the address of that hash at this moment."""
    query = select(suppression.c.reason).where(suppression.c.address_hash == hash_, in_force(now))
    found: str | None = db.scalar(query)
    return found


def lift(db: Connection, address: str, *, now: datetime, evidence: Evidence | None = None) -> str | None:
    """End a suppression, whatever its reason, which it gives; None when there was none."""
    hash_ = hash_of_address(address)
    ended = delete(suppression).where(suppression.c.address_hash == hash_).returning(suppression.c.reason)
    reason: str | None = db.scalar(ended)
    if reason is not None:
        consent.note(
            db,
            "changed",
            address_hash=hash_,
            subscriber=by_hash(db, [hash_]).get(hash_),
            evidence=evidence or Evidence(source="hand", at=now),
            detail=f"no longer suppressed: {reason}",
        )
    return reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That a person was erased; it names them to nobody who does not know the address already."""

    subscriber: int  # the number they had, which stands in the ledger's deliveries
    address_hash: str  # SHA-256, hexadecimal
    erased_at: datetime
    subscriptions: int  # how many rows went
    consents: int  # how many rows keep only what was agreed to, and when


def erase(db: Connection, id_: int, *, now: datetime, evidence: Evidence | None = None) -> Proof | None:
    """Forget a person; None when there is no such person.

    What stays is the hash of the address: so that no later import brings them back, and as a proof.
    """
    hash_ = locked(db, id_)
    if hash_ is None:
        return None
    blank = dict.fromkeys(("subscriber", "list", "ip", "agent", "wording", "detail", "untold"))
    consents = db.execute(update(consent_table).where(consent.of_person(id_, hash_)).values(blank)).rowcount
    subscriptions = db.execute(delete(subscription).where(subscription.c.subscriber == id_)).rowcount
    db.execute(delete(subscriber).where(subscriber.c.replaces == id_))
    db.execute(delete(subscriber).where(subscriber.c.id == id_))
    _suppress(db, hash_, UNSUBSCRIBED, None, now)
    source = evidence.source if evidence else "hand"
    evidence = Evidence(source=source, at=now)
    consent.note(db, "erased", address_hash=hash_, subscriber=None, evidence=evidence, untold=id_)
    return Proof(
        subscriber=id_,
        address_hash=hash_.hex(),
        erased_at=now,
        subscriptions=subscriptions,
        consents=consents,
    )


def erasures(db: Connection, address: str) -> list[datetime]:
    """When the person of that address was erased, should somebody ask."""
    query = select(consent_table.c.at).where(
        consent_table.c.address_hash == hash_of_address(address), consent_table.c.what == "erased"
    )
    return list(db.scalars(query.order_by(consent_table.c.id)))
