"""Every SQL statement about the audience alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Result,
    Select,
    bindparam,
    case,
    cast,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from subscribers.model import (
    CADENCES,
    Entry,
    Subscriber,
    Subscription,
    address_hash,
    normal_address,
    topic_text,
)
from subscribers.schema import list_, position, subscriber, subscription, suppression


@dataclass(slots=True)
class Added:
    """What a set of entries changed, counted by subscription."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    left_alone: int = 0  # they unsubscribed, or their address is suppressed


def ensure_list(db: Connection, name: str, *, served_through: int) -> int:
    """The id of the list, made if need be with every cadence served through *served_through*."""
    found: int | None = db.scalar(select(list_.c.id).where(list_.c.name == name))
    if found is None:
        insert = _insert(db, list_).values(name=name).on_conflict_do_nothing()
        db.execute(insert)
        found = db.scalar(select(list_.c.id).where(list_.c.name == name))
        assert found is not None
    rows = [{"list": found, "cadence": cadence, "served_through": served_through} for cadence in CADENCES]
    db.execute(_insert(db, position).on_conflict_do_nothing(), rows)
    return found


def add(db: Connection, entries: Sequence[Entry], *, list_ids: Mapping[str, int], now: datetime) -> Added:
    """Add the entries, or change what is there; nobody who left is brought back.

    A new subscription stands where its cadence stands, so its reader gets the next edition as everybody does.
    """
    hashes = [address_hash(entry.address) for entry in entries]
    unique = dict(zip(hashes, entries, strict=True))
    blocked = set(
        db.scalars(select(suppression.c.address_hash).where(suppression.c.address_hash.in_(unique)))
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
    insert = _insert(db, subscriber)
    new = insert.excluded
    # What an entry leaves out keeps what is known.
    upsert = insert.on_conflict_do_update(
        index_elements=["address_hash"],
        set_={
            "name": case((new.name == "", subscriber.c.name), else_=new.name),
            "timezone": func.coalesce(new.timezone, subscriber.c.timezone),
            "locale": func.coalesce(new.locale, subscriber.c.locale),
            "attributes": func.coalesce(new.attributes, subscriber.c.attributes),
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
            "created_at": now,
        }
        for hash_, entry in entries.items()
    ]
    if not rows:
        return {}
    upsert = upsert.returning(subscriber.c.address_hash, subscriber.c.id)
    return {row.address_hash: row.id for row in _write(db, upsert, rows)}


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
        elif _change(db, row, entry):
            result.changed += 1
        else:
            result.unchanged += 1
    if fresh:
        _write(db, _insert(db, subscription).returning(subscription.c.subscriber), fresh)


def _subscription_row(place: tuple[int, int], entry: Entry, now: datetime) -> dict[str, Any]:
    return {
        "list": place[0],
        "subscriber": place[1],
        "state": entry.state or "confirmed",
        "cadence": entry.cadence or "daily",
        "topics": topic_text(entry.topics or ()),
        "created_at": now,
    }


def _change(db: Connection, row: Row[Any], entry: Entry) -> bool:
    """Bring a subscription up to its entry; a reader who changes cadence keeps the place they have."""
    values: dict[str, Any] = {
        "topics": row.topics if entry.topics is None else topic_text(entry.topics),
        "cadence": entry.cadence or row.cadence,
        "state": entry.state or row.state,
    }
    if row.state == "confirmed" and entry.state == "unconfirmed":  # never takes back a confirmation
        values["state"] = row.state
    if (row.topics, row.cadence, row.state) == tuple(values.values()):
        return False
    if values["cadence"] != row.cadence and row.state == "confirmed":
        row = _held(db, row)
    if values["cadence"] != row.cadence and row.served_through is None and row.state == "confirmed":
        values["served_through"] = db.scalar(
            select(position.c.served_through).where(
                position.c.list == row.list, position.c.cadence == row.cadence
            )
        )
    db.execute(
        update(subscription)
        .where(subscription.c.list == row.list, subscription.c.subscriber == row.subscriber)
        .values(values)
    )
    return True


def hold(db: Connection, name: str) -> None:
    """Let no reader of the list change cadence until the transaction ends; fails, if one just did."""
    db.execute(select(list_.c.id).where(list_.c.name == name).with_for_update(key_share=True))


def _held(db: Connection, row: Row[Any]) -> Row[Any]:
    """The subscription as it is once no edition moves its list's positions any more.

    The list's own row is written, though nothing in it changes: an edition under way on PostgreSQL that began
    before sees a conflict, and begins again.
    """
    db.execute(update(list_).where(list_.c.id == row.list).values(name=list_.c.name))
    place = (subscription.c.list == row.list, subscription.c.subscriber == row.subscriber)
    return db.execute(select(subscription).where(*place).with_for_update()).one()


def stand_back(db: Connection, name: str, *, through: int) -> None:
    """Let everybody on the list stand at *through* again, who stood beyond it."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    db.execute(
        update(position)
        .where(position.c.list == on_list, position.c.served_through > through)
        .values(served_through=through)
    )
    db.execute(
        update(subscription)
        .where(subscription.c.list == on_list, subscription.c.served_through > through)
        .values(served_through=None)
    )


def list_id(db: Connection, name: str) -> int:
    """The id of a list that exists."""
    found: int = db.execute(select(list_.c.id).where(list_.c.name == name)).scalar_one()
    return found


def counts(db: Connection) -> dict[str, dict[str, int]]:
    """How many confirmed readers each list has, by cadence."""
    rows = db.execute(
        select(list_.c.name, subscription.c.cadence, func.count())
        .join(subscription, subscription.c.list == list_.c.id)
        .where(subscription.c.state == "confirmed")
        .group_by(list_.c.name, subscription.c.cadence)
    )
    found: dict[str, dict[str, int]] = {}
    for name, cadence, count in rows:
        found.setdefault(name, {})[cadence] = count
    return found


def count(db: Connection, name: str) -> int:
    """How many confirmed readers a list has."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    query = select(func.count()).where(subscription.c.list == on_list, subscription.c.state == "confirmed")
    return db.scalar(query) or 0


def find(db: Connection, address: str) -> Subscriber | None:
    """The subscriber of that address, however it is written."""
    row = db.execute(select(subscriber).where(subscriber.c.address_hash == _hash_of(address))).first()
    return next(_with_subscriptions(db, [row])) if row else None


def everybody(db: Connection, *, name: str | None = None, page_size: int = 1000) -> Iterator[Subscriber]:
    """All subscribers (of one list, if named) by id, streamed."""
    after = 0
    while True:
        query = select(subscriber).where(subscriber.c.id > after).order_by(subscriber.c.id).limit(page_size)
        if name is not None:
            on_list = (
                select(subscription.c.subscriber).join(list_, list_.c.id == subscription.c.list)
            ).where(list_.c.name == name, subscription.c.subscriber > after)
            query = query.where(subscriber.c.id.in_(on_list))
        rows = db.execute(query).all()
        yield from _with_subscriptions(db, rows)
        if len(rows) < page_size:
            return
        after = rows[-1].id


def _with_subscriptions(db: Connection, rows: Sequence[Row[Any]]) -> Iterator[Subscriber]:
    places: dict[int, list[Subscription]] = {}
    stands = func.coalesce(subscription.c.served_through, position.c.served_through, 0)
    for row in db.execute(
        select(subscription, list_.c.name, stands.label("stands"))
        .join(list_, list_.c.id == subscription.c.list)
        .outerjoin(
            position,
            (position.c.list == subscription.c.list) & (position.c.cadence == subscription.c.cadence),
        )
        .where(subscription.c.subscriber.in_([row.id for row in rows]))
        .order_by(list_.c.name)
    ):
        places.setdefault(row.subscriber, []).append(
            Subscription(
                list=row.name,
                state=row.state,
                cadence=row.cadence,
                topics=tuple(filter(None, row.topics.split(","))),
                served_through=row.stands,
            )
        )
    hashes = [row.address_hash for row in rows]
    reasons = {
        row.address_hash: row.reason
        for row in db.execute(select(suppression).where(suppression.c.address_hash.in_(hashes)))
    }
    for row in rows:
        yield Subscriber(
            id=row.id,
            address=row.address,
            name=row.name,
            timezone=row.timezone,
            locale=row.locale,
            created_at=row.created_at,
            suppressed=reasons.get(row.address_hash),
            subscriptions=tuple(places.get(row.id, ())),
        )


def reachable(db: Connection, name: str, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Address and name of those of *ids* to whom the list may be sent at this moment."""
    is_sqlite = db.dialect.name == "sqlite"
    among = json.dumps(ids) if is_sqlite else list(ids)
    rows = db.execute(_reachable(is_sqlite=is_sqlite), {"its_name": name, "among": among})
    return {id_: (address, shown) for id_, address, shown in rows.all()}


@cache  # every claim asks, and making the statement takes longer than executing it
def _reachable(*, is_sqlite: bool) -> Select[Any]:
    return (
        select(subscriber.c.id, subscriber.c.address, subscriber.c.name)
        .select_from(subscriber)
        .join(subscription, subscription.c.subscriber == subscriber.c.id)
        .outerjoin(suppression, suppression.c.address_hash == subscriber.c.address_hash)
        .where(
            subscription.c.list.in_(select(list_.c.id).where(list_.c.name == bindparam("its_name"))),
            _among(subscriber.c.id, is_sqlite=is_sqlite),
            subscription.c.state == "confirmed",
            suppression.c.address_hash.is_(None),
        )
    )


def _among(id_: ColumnElement[int], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether it is one of those given, as one parameter instead of a thousand."""
    if is_sqlite:
        each = func.json_each(bindparam("among")).table_valued("value")
        return id_.in_(select(each.c.value))
    return id_ == func.any(bindparam("among", type_=ARRAY(BigInteger)))


def unsubscribe(db: Connection, name: str, subscriber_id: int) -> bool:
    """End the subscription; True when it was not ended before."""
    changed = db.execute(
        update(subscription)
        .where(
            subscription.c.list.in_(select(list_.c.id).where(list_.c.name == name)),
            subscription.c.subscriber == subscriber_id,
            subscription.c.state != "unsubscribed",
        )
        .values(state="unsubscribed")
    )
    return changed.rowcount > 0


def suppress(db: Connection, address: str, *, reason: str, now: datetime) -> None:
    """Let nothing be sent to the address from now on; the first reason stays."""
    row = {"address_hash": _hash_of(address), "reason": reason, "created_at": now}
    db.execute(_insert(db, suppression).values(row).on_conflict_do_nothing())


def _hash_of(address: str) -> bytes:
    """The hash of an address that somebody wrote; of one that is none, too."""
    try:
        return address_hash(normal_address(address))
    except ValueError:
        return address_hash(address)


def _insert(db: Connection, table: Any) -> Any:
    """An INSERT that knows ON CONFLICT, which both databases spell alike and SQLAlchemy apart."""
    return (sqlite if db.dialect.name == "sqlite" else postgresql).insert(table)


def _write(db: Connection, insert: Any, rows: Sequence[Mapping[str, Any]]) -> Result[Any]:
    """Insert many rows by few statements; *insert* has a RETURNING, without which SQLAlchemy makes many.

    PostgreSQL gets each column as one array: its driver takes longer to find a thousand parameters in a
    statement than the server takes to insert the rows.
    """
    if db.dialect.name == "sqlite":
        return db.execute(insert, rows)
    names = list(rows[0])
    types = [insert.table.c[name].type for name in names]
    arrays = [
        cast([row[name] for row in rows], ARRAY(type_)) for name, type_ in zip(names, types, strict=True)
    ]
    each = func.unnest(*arrays).table_valued(*map(column, names)).render_derived()
    return db.execute(insert.from_select(names, select(each)))
