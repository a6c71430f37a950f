"""What the statements of this package have in common."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.schema import position, suppression

T = TypeVar("T")


def insert(db: Connection, table: Any) -> Any:
    """An INSERT that knows ON CONFLICT, which both databases spell alike and SQLAlchemy apart."""
    return (sqlite if db.dialect.name == "sqlite" else postgresql).insert(table)


def inserted(db: Connection, statement: Any) -> int:
    """How many rows an INSERT wrote, which SQLAlchemy knows only where it is told to look."""
    return db.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def in_force(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Whether a suppression counts: one that is over counts for nothing anywhere."""
    return or_(suppression.c.until.is_(None), suppression.c.until > now)


def common_position() -> ColumnElement[int]:
    """Where the cadence of a subscription stands; to be used where `subscription` is in the statement."""
    return _of_its_place(position.c.served_through)


def common_slot() -> ColumnElement[datetime | None]:
    """The last slot that served the cadence of a subscription; to be used as `common_position`."""
    return _of_its_place(position.c.served_at)


def _of_its_place(wanted: ColumnElement[T]) -> ColumnElement[T]:
    """What the position of its reader's place says, or else that of everybody.

    Columns are written out: in ON CONFLICT … SET, SQLAlchemy would bring in the whole tables once more.
    """
    on_list: ColumnElement[int] = literal_column("subscription.list")
    its_cadence: ColumnElement[str] = literal_column("subscription.cadence")
    its_place: ColumnElement[str] = literal_column(
        "(SELECT its.place FROM subscriber AS its WHERE its.id = subscription.subscriber)"
    )
    return (
        select(wanted)
        .where(
            position.c.list == on_list,
            position.c.cadence == its_cadence,
            position.c.place.in_([literal_column("''"), its_place]),
        )
        .order_by(position.c.place.desc())
        .limit(1)
        .scalar_subquery()
    )


def among(id_: ColumnElement[int], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether it is one of the parameter "among" (see `among_value`), instead of one of a thousand."""
    if is_sqlite:
        each = func.json_each(bindparam("among")).table_valued("value")
        return id_.in_(select(each.c.value))
    return id_ == func.any(bindparam("among", type_=ARRAY(BigInteger)))


def among_value(ids: Collection[int], *, is_sqlite: bool) -> str | list[int]:
    return json.dumps(list(ids)) if is_sqlite else list(ids)
