"""What a person has to be told: each thing once, however many workers see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from distributor.store.dialect import upsert
from distributor.store.schema import alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing to be told, named by *key*."""

    key: str
    text: str
    raised_at: datetime
    told_at: datetime | None = None


def raise_alert(db: Connection, key: str, text: str, *, now: datetime) -> None:
    """Note it, unless it was noted before."""
    upsert(db, alert, [{"key": key, "text": text, "raised_at": now}], key=["key"], change=False)


def untold(db: Connection) -> list[Alert]:
    query = select(alert).where(alert.c.told_at.is_(None)).order_by(alert.c.raised_at, alert.c.key)
    return [Alert(**row._mapping) for row in db.execute(query)]


def alerts(db: Connection, *, limit: int = 100) -> list[Alert]:
    """The newest first."""
    query = select(alert).order_by(alert.c.raised_at.desc(), alert.c.key).limit(limit)
    return [Alert(**row._mapping) for row in db.execute(query)]


def told(db: Connection, key: str, *, now: datetime) -> bool:
    """Note that a person was told; False when another process has done so."""
    mine = update(alert).where(alert.c.key == key, alert.c.told_at.is_(None)).values(told_at=now)
    return db.execute(mine).rowcount > 0
