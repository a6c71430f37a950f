"""Every SQL statement about the gate: articles that wait until the public site shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from distributor.store.articles import chunks
from distributor.store.dialect import upsert
from distributor.store.schema import gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An article at the gate."""

    key: str
    title: str
    url: str
    banner: str | None
    qr: str | None
    since: datetime
    ask_at: datetime  # when the site is next asked
    asked: int = 0  # how often it was
    answered: tuple[str, ...] = ()  # those of its addresses that did answer
    reason: str | None = None  # why it does not pass
    passed_at: datetime | None = None  # from when on it may be numbered


def waiting(db: Connection) -> dict[str, Waiting]:
    """Key -> what waits, or has passed and was not numbered yet; longest first."""
    return {row.key: _waiting(row) for row in db.execute(select(gate).order_by(gate.c.since, gate.c.key))}


def keep(db: Connection, rows: Sequence[Waiting]) -> None:
    """Let just these articles wait; of those that do already, and are asked for as before, all stays."""
    before = waiting(db)
    gone = before.keys() - {row.key for row in rows}
    for part in chunks(gone):
        db.execute(delete(gate).where(gate.c.key.in_(part)))
    changed = [row for row in rows if row.key not in before or _asked_for(row) != _asked_for(before[row.key])]
    names = ("key", "title", "url", "banner", "qr", "since", "ask_at", "asked", "reason", "passed_at")
    values = [{name: getattr(row, name) for name in names} | {"answered": []} for row in changed]
    upsert(db, gate, values, key=["key"])


def _asked_for(row: Waiting) -> tuple[str | None, ...]:
    return (row.url, row.banner, row.qr)


def next_ask_at(db: Connection) -> datetime | None:
    found: datetime | None = db.scalar(select(func.min(gate.c.ask_at)).where(gate.c.passed_at.is_(None)))
    return found


def claim(db: Connection, *, now: datetime, until: datetime, limit: int) -> list[Waiting]:
    """Take articles for which the site is to be asked; nobody else does so before *until*."""
    due = (
        select(gate.c.key)
        .where(gate.c.passed_at.is_(None), gate.c.ask_at <= now)
        .order_by(gate.c.ask_at, gate.c.key)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = update(gate).where(gate.c.key.in_(due.scalar_subquery())).values(ask_at=until).returning(gate)
    return sorted(map(_waiting, db.execute(taken)), key=lambda row: (row.since, row.key))


def note(db: Connection, rows: Iterable[Waiting]) -> None:
    """Keep what the site answered; an article that is asked for in another way meanwhile begins anew."""
    for row in rows:
        same = (gate.c.key == row.key, gate.c.url == row.url)
        db.execute(
            update(gate)
            .where(*same)
            .values(
                ask_at=row.ask_at,
                asked=row.asked,
                answered=list(row.answered),
                reason=row.reason,
                passed_at=row.passed_at,
            )
        )


def ask_anew(db: Connection, *, now: datetime) -> None:
    """Ask for all that waits at once: the site was just deployed."""
    db.execute(update(gate).where(gate.c.passed_at.is_(None), gate.c.ask_at > now).values(ask_at=now))


def _waiting(row: Any) -> Waiting:
    return Waiting(**{**row._mapping, "answered": tuple(row.answered)})
