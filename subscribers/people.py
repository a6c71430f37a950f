"""The statements that find people, and say to whom something may be sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select
from sqlalchemy.engine import Row

from subscribers import segments
from subscribers.model import UNSUBSCRIBED, Subscriber, Subscription, address_hash, normal_address
from subscribers.schema import Instant, list_, subscriber, subscription, suppression
from subscribers.segments import Segment
from subscribers.sql import among, among_value, common_position, in_force


def find(db: Connection, address: str, *, now: datetime) -> Subscriber | None:
    """The subscriber of that address, however it is written."""
    return _one(db, subscriber.c.address_hash == hash_of_address(address), now)


def person(db: Connection, id_: int, *, now: datetime) -> Subscriber | None:
    """The subscriber of that number."""
    return _one(db, subscriber.c.id == id_, now)


def _one(db: Connection, condition: Any, now: datetime) -> Subscriber | None:
    row = db.execute(select(subscriber).where(condition, subscriber.c.replaces.is_(None))).first()
    return next(_with_subscriptions(db, [row], now)) if row else None


def waiting_address(db: Connection, id_: int) -> str | None:
    """A new address that waits to be confirmed; None when it does not, or not any more."""
    waits = (subscriber.c.id == id_, subscriber.c.replaces.is_not(None))
    found: str | None = db.scalar(select(subscriber.c.address).where(*waits))
    return found


def by_hash(db: Connection, hashes: Iterable[bytes]) -> dict[bytes, int]:
    """Hash of an address -> its subscriber."""
    query = select(subscriber.c.address_hash, subscriber.c.id).where(
        subscriber.c.address_hash.in_(list(hashes)), subscriber.c.replaces.is_(None)
    )
    return {row.address_hash: row.id for row in db.execute(query)}


def hash_of(db: Connection, id_: int) -> bytes | None:
    """The hash of the address that a subscriber has now; None when there is no such subscriber."""
    found: bytes | None = db.scalar(select(subscriber.c.address_hash).where(subscriber.c.id == id_))
    return found


def hash_of_address(address: str) -> bytes:
    """The hash of an address that somebody wrote; of one that is none, too."""
    try:
        return address_hash(normal_address(address))
    except ValueError:
        return address_hash(address)


def everybody(
    db: Connection,
    *,
    now: datetime,
    name: str | None = None,
    segment: Segment | None = None,
    after: int = 0,
    page_size: int = 1000,
) -> Iterator[Subscriber]:
    """All subscribers (of one list, of one segment, beyond the number *after*) by number, streamed."""
    while True:
        query = (
            select(subscriber)
            .where(subscriber.c.id > after, subscriber.c.replaces.is_(None))
            .order_by(subscriber.c.id)
            .limit(page_size)
        )
        if name is not None:
            on_list = (
                select(subscription.c.subscriber).join(list_, list_.c.id == subscription.c.list)
            ).where(list_.c.name == name, subscription.c.subscriber > after)
            query = query.where(subscriber.c.id.in_(on_list))
        if segment is not None:
            query = query.where(segments.where(segment, now=now))
        rows = db.execute(query).all()
        yield from _with_subscriptions(db, rows, now)
        if len(rows) < page_size:
            return
        after = rows[-1].id


def page(
    db: Connection, *, after: int, limit: int, name: str | None = None, now: datetime
) -> list[Subscriber]:
    """The next subscribers (of one list, whatever became of their place on it) beyond the number *after*."""
    query = select(subscriber).where(subscriber.c.replaces.is_(None))
    if name is None:
        query = query.where(subscriber.c.id > after).order_by(subscriber.c.id).limit(limit)
    else:
        # Along the list's own key: beside a long list, the planners walk that one for a short one.
        on_list = subscription.c.list == select(list_.c.id).where(list_.c.name == name).scalar_subquery()
        ids = select(subscription.c.subscriber).where(on_list, subscription.c.subscriber > after)
        some = ids.order_by(subscription.c.subscriber).limit(limit)
        query = query.where(subscriber.c.id.in_(some)).order_by(subscriber.c.id)
    return list(_with_subscriptions(db, db.execute(query).all(), now))


def _with_subscriptions(db: Connection, rows: Sequence[Row[Any]], now: datetime) -> Iterator[Subscriber]:
    places: dict[int, list[Subscription]] = {}
    stands = func.coalesce(subscription.c.served_through, common_position(), 0)
    for row in db.execute(
        select(subscription, list_.c.name, stands.label("stands"))
        .join(list_, list_.c.id == subscription.c.list)
        .where(subscription.c.subscriber.in_([row.id for row in rows]))
        .order_by(list_.c.name)
    ):
        places.setdefault(row.subscriber, []).append(_subscription(row))
    hashes = [row.address_hash for row in rows]
    silenced = {
        row.address_hash: row
        for row in db.execute(
            select(suppression).where(suppression.c.address_hash.in_(hashes), in_force(now))
        )
    }
    for row in rows:
        silence = silenced.get(row.address_hash)
        yield Subscriber(
            id=row.id,
            address=row.address,
            name=row.name,
            timezone=row.timezone,
            locale=row.locale,
            hour=row.hour,
            attributes=row.attributes or {},
            created_at=row.created_at,
            asked_at=row.asked_at,
            suppressed=silence.reason if silence else None,
            suppressed_until=silence.until if silence else None,
            subscriptions=tuple(places.get(row.id, ())),
        )


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(
        list=row.name,
        state=row.state,
        cadence=row.cadence,
        topics=tuple(filter(None, row.topics.split(","))),
        served_through=row.stands,
        created_at=row.created_at,
        asked_at=row.asked_at,
        confirmed_at=row.confirmed_at,
        paused_until=row.paused_until,
        left_at=row.left_at,
    )


def reachable(
    db: Connection, name: str, ids: Collection[int], *, now: datetime
) -> dict[int, tuple[str, str]]:
    """Address and name of those of *ids* to whom the list may be sent at this moment."""
    is_sqlite = db.dialect.name == "sqlite"
    values = {"its_name": name, "among": among_value(ids, is_sqlite=is_sqlite), "moment": now}
    rows = db.execute(_reachable(is_sqlite=is_sqlite), values)
    return {id_: (address, shown) for id_, address, shown in rows.all()}


@cache  # every claim asks, and making the statement takes longer than executing it
def _reachable(*, is_sqlite: bool) -> Select[Any]:
    moment = bindparam("moment", type_=Instant)
    return (
        select(subscriber.c.id, subscriber.c.address, subscriber.c.name)
        .select_from(subscriber)
        .join(subscription, subscription.c.subscriber == subscriber.c.id)
        .outerjoin(
            suppression, and_(suppression.c.address_hash == subscriber.c.address_hash, in_force(moment))
        )
        .where(
            subscription.c.list.in_(select(list_.c.id).where(list_.c.name == bindparam("its_name"))),
            among(subscriber.c.id, is_sqlite=is_sqlite),
            subscription.c.state == "confirmed",
            or_(subscription.c.paused_until.is_(None), subscription.c.paused_until <= moment),
            suppression.c.address_hash.is_(None),
        )
    )


def may_be_asked(db: Connection, ids: Collection[int], *, now: datetime) -> dict[int, tuple[str, str]]:
    """Address of those of *ids* who may be sent a question, and "" for the name.

    Whoever left may be asked whether they come back, when somebody with their address says so; a new address,
    whether it is its owner's. The name is left out: until the address is confirmed, a stranger wrote it.
    """
    is_sqlite = db.dialect.name == "sqlite"
    is_final = and_(
        suppression.c.address_hash == subscriber.c.address_hash,
        in_force(now),
        suppression.c.reason != UNSUBSCRIBED,
    )
    query = (
        select(subscriber.c.id, subscriber.c.address)
        .outerjoin(suppression, is_final)
        .where(among(subscriber.c.id, is_sqlite=is_sqlite), suppression.c.address_hash.is_(None))
    )
    rows = db.execute(query, {"among": among_value(ids, is_sqlite=is_sqlite)})
    return {id_: (address, "") for id_, address in rows}
