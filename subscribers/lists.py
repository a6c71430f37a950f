"""The statements about lists, and where their readers stand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, update
from sqlalchemy.engine import Row

from subscribers.model import CADENCES
from subscribers.schema import Instant, list_, position, subscriber, subscription
from subscribers.sql import common_position, common_slot, insert

Mark = tuple[str, str]  # a place and a cadence


def ensure_list(db: Connection, name: str, *, served_through: int) -> int:
    """The id of the list, made if need be with every cadence served through *served_through*."""
    found: int | None = db.scalar(select(list_.c.id).where(list_.c.name == name))
    if found is None:
        db.execute(insert(db, list_).values(name=name).on_conflict_do_nothing())
        found = list_id(db, name)
    rows = [{"list": found, "cadence": cadence, "served_through": served_through} for cadence in CADENCES]
    db.execute(insert(db, position).on_conflict_do_nothing(), rows)
    return found


def list_id(db: Connection, name: str) -> int:
    """The id of a list that exists."""
    found: int = db.execute(select(list_.c.id).where(list_.c.name == name)).scalar_one()
    return found


def list_names(db: Connection) -> dict[int, str]:
    """Id -> name of every list there ever was."""
    return {row.id: row.name for row in db.execute(select(list_.c.id, list_.c.name))}


def hold(db: Connection, name: str) -> None:
    """Let no reader of the list change cadence until the transaction ends; fails, if one just did."""
    db.execute(select(list_.c.id).where(list_.c.name == name).with_for_update(key_share=True))


def held(db: Connection, row: Row[Any]) -> Row[Any]:
    """The subscription as it is once no edition moves its list's positions any more.

    The list's own row is written, though nothing in it changes: an edition under way on PostgreSQL that began
    before sees a conflict, and begins again.
    """
    hold_positions(db, row.list)
    place = (subscription.c.list == row.list, subscription.c.subscriber == row.subscriber)
    return db.execute(select(subscription).where(*place).with_for_update()).one()


def hold_positions(db: Connection, id_: int) -> None:
    """Let no edition move the list's positions until the transaction ends."""
    db.execute(update(list_).where(list_.c.id == id_).values(name=list_.c.name))


def lacks_places(db: Connection, name: str) -> bool:
    """Whether readers have places that the list has not, or it never noted by which slot any was served."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    unmarked = select(position.c.place).where(position.c.list == on_list, position.c.served_at.is_(None))
    return bool(_missing(db, on_list) or db.execute(unmarked.limit(1)).first())


def _missing(db: Connection, id_: Any) -> set[str]:
    """The places that readers have and the list has not."""
    known = db.scalars(select(position.c.place).where(position.c.list == id_).distinct())
    return set(db.scalars(select(subscriber.c.place).distinct())) - set(known)


def ensure_places(
    db: Connection,
    name: str,
    *,
    last_slot: Callable[[str, str, datetime], datetime],
    since: datetime,
    now: datetime,
) -> None:
    """Let every place of readers have its positions on the list.

    A place that is new stands where everybody stands, and waits for its next slot: its mark is its last one
    by *now*, as *last_slot* tells for a place and a cadence. The first places of a list go on from the slot
    that last served everybody; where that was never noted, from their last one by *since*.
    """
    id_ = list_id(db, name)
    hold_positions(db, id_)
    is_first = not has_places(db, name)
    usual = [dict(row._mapping) for row in db.execute(select(position).where(*_usual(id_)))]
    rows = [row for row in usual if row["served_at"] is None]
    for place in sorted(_missing(db, id_)):
        rows += [row | {"place": place, "served_at": row["served_at"] if is_first else now} for row in usual]
    for row in rows:
        if row["served_at"] in (None, now):
            row["served_at"] = last_slot(row["place"], row["cadence"], row["served_at"] or since)
    if rows:
        new = insert(db, position)
        key = ["list", "cadence", "place"]
        upsert = new.on_conflict_do_update(index_elements=key, set_={"served_at": new.excluded.served_at})
        db.execute(upsert, rows)


def _usual(id_: int) -> tuple[ColumnElement[bool], ...]:
    """Where everybody stands who chose no place."""
    return (position.c.list == id_, position.c.place == "")


def has_places(db: Connection, name: str) -> bool:
    """Whether editions of the list have come at readers' own times."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    query = select(position.c.place).where(position.c.list == on_list, position.c.place != "").limit(1)
    return db.execute(query).first() is not None


def marks(db: Connection, name: str) -> dict[Mark, datetime]:
    """Place and cadence -> the slot that last served it, or the earliest such of readers who moved there."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    common = select(position.c.place, position.c.cadence, position.c.served_at).where(
        position.c.list == on_list, position.c.served_at.is_not(None)
    )
    moved = (
        select(subscriber.c.place, subscription.c.cadence, func.min(subscription.c.served_at, type_=Instant))
        .join(subscriber, subscriber.c.id == subscription.c.subscriber)
        .where(
            subscription.c.list == on_list,
            subscription.c.served_at.is_not(None),
            subscription.c.state == "confirmed",
        )
        .group_by(subscriber.c.place, subscription.c.cadence)
    )
    found: dict[Mark, datetime] = {}
    for place, cadence, served_at in (*db.execute(common), *db.execute(moved)):
        found[place, cadence] = min(served_at, found.get((place, cadence), served_at))
    return found


def last_slot(db: Connection, name: str, person: int) -> datetime | None:
    """The slot that last served a reader of the list, where it is noted."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    served_at = func.coalesce(subscription.c.served_at, common_slot(), type_=Instant)
    query = select(served_at).where(subscription.c.list == on_list, subscription.c.subscriber == person)
    found: datetime | None = db.scalar(query)
    return found


def place_counts(db: Connection, name: str) -> dict[Mark, int]:
    """Place and cadence -> confirmed readers; whoever takes a break is one of them."""
    rows = db.execute(
        select(subscriber.c.place, subscription.c.cadence, func.count())
        .join(subscription, subscription.c.subscriber == subscriber.c.id)
        .join(list_, list_.c.id == subscription.c.list)
        .where(list_.c.name == name, subscription.c.state == "confirmed")
        .group_by(subscriber.c.place, subscription.c.cadence)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def keep_places(db: Connection, movers: Select[Any]) -> None:
    """Let readers who are about to move to another zone or hour keep their number and their last slot.

    *movers* selects their numbers. No edition moves their lists' positions until the transaction ends.
    """
    theirs = and_(subscription.c.subscriber.in_(movers), subscription.c.state != "unconfirmed")
    ids = select(subscription.c.list).where(theirs).distinct().order_by(subscription.c.list)
    for id_ in db.scalars(ids).all():
        hold_positions(db, id_)
    db.execute(
        update(subscription)
        .where(theirs)
        .values(
            served_through=func.coalesce(subscription.c.served_through, common_position()),
            served_at=func.coalesce(subscription.c.served_at, common_slot()),
        )
    )


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


def counts(db: Connection) -> dict[str, dict[str, int]]:
    """How many confirmed readers each list has, by cadence; whoever takes a break is one of them."""
    rows = db.execute(
        select(list_.c.name, subscription.c.cadence, func.count())
        .join(subscription, subscription.c.list == list_.c.id)
        .where(subscription.c.state == "confirmed")
        .group_by(list_.c.name, subscription.c.cadence)
    )
    found: dict[str, dict[str, int]] = {}
    for name, cadence, number in rows:
        found.setdefault(name, {})[cadence] = number
    return found


def state_counts(db: Connection) -> dict[str, dict[str, int]]:
    """How many subscriptions each list has, by state; lists without any, too."""
    found: dict[str, dict[str, int]] = {name: {} for name in db.scalars(select(list_.c.name))}
    rows = db.execute(
        select(list_.c.name, subscription.c.state, func.count())
        .join(subscription, subscription.c.list == list_.c.id)
        .group_by(list_.c.name, subscription.c.state)
    )
    for name, state, number in rows:
        found[name][state] = number
    return found


def states_on(db: Connection, name: str) -> dict[str, int]:
    """How many subscriptions one list has, by state."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    query = select(subscription.c.state, func.count()).where(subscription.c.list == on_list)
    return {row[0]: row[1] for row in db.execute(query.group_by(subscription.c.state))}


def count(db: Connection, name: str) -> int:
    """How many confirmed readers a list has; whoever takes a break is one of them."""
    on_list = select(list_.c.id).where(list_.c.name == name).scalar_subquery()
    query = select(func.count()).where(subscription.c.list == on_list, subscription.c.state == "confirmed")
    return db.scalar(query) or 0
