"""The log of what people agreed to and asked for, with its evidence. It names no address."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select
from sqlalchemy import insert as plain_insert

from subscribers.model import Evidence, What, plain
from subscribers.schema import consent, list_, subscriber, subscription, suppression
from subscribers.sql import in_force


def note(
    db: Connection,
    what: What,
    *,
    address_hash: bytes,
    subscriber: int | None,
    evidence: Evidence,
    lists: Iterable[str | None] = (None,),
    detail: str = "",
    untold: int | None = None,
) -> None:
    """Add one row for each list; None stands for all of them.

    It is news of the subscriber (of *untold*, where the row is not to name them), for `news.pass_on`.
    """
    rows = [
        {
            "address_hash": address_hash,
            "subscriber": subscriber,
            "list": name,
            "what": what,
            "source": evidence.source,
            "at": evidence.at,
            "ip": plain(evidence.ip, at_most=50) or None,
            "agent": plain(evidence.agent, at_most=300) or None,
            "wording": plain(evidence.wording, at_most=1000) or None,
            "detail": plain("; ".join(filter(None, (detail, evidence.detail))), at_most=500) or None,
            "untold": untold or subscriber,
        }
        for name in lists
    ]
    if rows:
        db.execute(plain_insert(consent), rows)


def personal_data(db: Connection, id_: int, *, now: datetime) -> dict[str, Any] | None:
    """All that the audience knows of a person, as JSON takes it; None when there is no such person."""
    person = db.execute(
        select(subscriber).where(subscriber.c.id == id_, subscriber.c.replaces.is_(None))
    ).first()
    if person is None:
        return None
    of_address = suppression.c.address_hash == person.address_hash
    silence = db.execute(select(suppression).where(of_address, in_force(now))).first()
    pending = select(subscriber.c.address).where(subscriber.c.replaces == id_).order_by(subscriber.c.id)
    return {
        "address": person.address,
        "name": person.name,
        "timezone": person.timezone,
        "hour": person.hour,
        "locale": person.locale,
        "attributes": person.attributes or {},
        "created_at": _told(person.created_at),
        "asked_at": _told(person.asked_at),
        "addresses_to_be_confirmed": list(db.scalars(pending)),
        "suppression": {
            "reason": silence.reason,
            "since": _told(silence.created_at),
            "until": _told(silence.until),
        }
        if silence
        else None,
        "subscriptions": _subscriptions(db, id_),
        "consents": _consents(db, id_, person.address_hash),
    }


def _subscriptions(db: Connection, id_: int) -> list[dict[str, Any]]:
    query = (
        select(subscription, list_.c.name)
        .join(list_, list_.c.id == subscription.c.list)
        .where(subscription.c.subscriber == id_)
        .order_by(list_.c.name)
    )
    return [
        {
            "list": row.name,
            "state": row.state,
            "cadence": row.cadence,
            "topics": list(filter(None, row.topics.split(","))),
            "created_at": _told(row.created_at),
            "asked_at": _told(row.asked_at),
            "confirmed_at": _told(row.confirmed_at),
            "paused_until": _told(row.paused_until),
            "left_at": _told(row.left_at),
        }
        for row in db.execute(query)
    ]


def _consents(db: Connection, id_: int, address_hash: bytes) -> list[dict[str, Any]]:
    names = ("what", "list", "source", "ip", "agent", "wording", "detail")
    return [
        {"at": _told(row.at), **{name: row._mapping[name] for name in names}}
        for row in db.execute(select(consent).where(of_person(id_, address_hash)).order_by(consent.c.id))
    ]


def of_person(id_: int, address_hash: bytes) -> ColumnElement[bool]:
    """What is noted of a person, and of their address before it was theirs."""
    of_nobody = and_(consent.c.subscriber.is_(None), consent.c.address_hash == address_hash)
    return or_(consent.c.subscriber == id_, of_nobody)


def _told(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
