"""The log of what people did, as news that are passed on once to whoever wants to know.

The log's own row is what is passed on: there is no news without the thing itself, and no thing without news.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from subscribers.model import Source, What
from subscribers.schema import consent


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What became of somebody."""

    subscriber: int
    what: What
    list: str | None  # its name; None: all of them, or none
    source: Source
    at: datetime
    detail: str | None


def any_untold(db: Connection) -> bool:
    """Whether there is anything to pass on."""
    return db.scalar(select(consent.c.id).where(consent.c.untold.is_not(None)).limit(1)) is not None


def pass_on(db: Connection, *, limit: int) -> list[News]:
    """What nobody was told of yet, the oldest first; with this transaction it counts as told.

    What another process passes on at this moment is not among it.
    """
    query = (
        select(consent)
        .where(consent.c.untold.is_not(None))
        .order_by(consent.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = db.execute(query).all()
    ids = [row.id for row in rows]
    if ids:
        db.execute(update(consent).where(consent.c.id.in_(ids)).values(untold=None))
    return [
        News(
            subscriber=row.untold,
            what=row.what,
            list=row.list,
            source=row.source,
            at=row.at,
            detail=row.detail,
        )
        for row in rows
    ]
