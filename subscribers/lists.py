"""The statements about lists, and where their readers stand."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.engine import Row

from subscribers.model import CADENCES
from subscribers.schema import list_, position, subscription
from subscribers.sql import insert


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
