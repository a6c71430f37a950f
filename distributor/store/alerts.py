"""What a person has to be told: each thing once, whoever sees it, and again when it comes back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, or_, select, update

from distributor.store.dialect import upsert
from distributor.store.schema import alert

CALM = timedelta(hours=1)  # what comes and goes within it is one thing
STAYS = timedelta(days=7)  # for so long what happened once counts as being so
KEPT = timedelta(days=180)  # after its end
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)  # between tries to reach people


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing to be told, named by *key*: its kind, and what it is about."""

    key: str
    text: str
    raised_at: datetime
    told_at: datetime | None = None  # in the log
    sent_at: datetime | None = None  # to people
    tries: int = 0
    cleared_at: datetime | None = None  # it is so no more

    @property
    def kind(self) -> str:
        return self.key.partition(" ")[0]


_COLUMNS = tuple(alert.c[field.name] for field in fields(Alert))


def raise_alert(db: Connection, key: str, text: str, *, now: datetime) -> None:
    """Note it, unless it was noted before and is so still, or was until a moment ago."""
    upsert(db, alert, [{"key": key, "text": text, "raised_at": now}], key=["key"], change=False)
    anew = {"text": text, "raised_at": now, "told_at": None, "sent_at": None, "held_until": None, "tries": 0}
    over = update(alert).where(alert.c.key == key, alert.c.cleared_at.is_not(None))
    db.execute(over.where(alert.c.raised_at <= now - CALM).values(anew))
    db.execute(over.values(cleared_at=None))


def clear(db: Connection, kinds: Collection[str], *, but: Collection[str], now: datetime) -> list[str]:
    """Note that alerts of these kinds are so no more, but for those whose keys are given; their keys."""
    query = select(alert.c.key).where(alert.c.cleared_at.is_(None))
    over = [key for key in db.scalars(query) if key.partition(" ")[0] in kinds and key not in but]
    for key in over:
        db.execute(update(alert).where(alert.c.key == key).values(cleared_at=now))
    return over


def age_out(db: Connection, kinds: Collection[str], *, now: datetime) -> None:
    """End alerts of kinds of which nobody notices the end, and forget what ended long ago."""
    query = select(alert.c.key).where(alert.c.cleared_at.is_(None), alert.c.raised_at < now - STAYS)
    old = [key for key in db.scalars(query) if key.partition(" ")[0] in kinds]
    for key in old:
        db.execute(update(alert).where(alert.c.key == key).values(cleared_at=now))
    db.execute(delete(alert).where(alert.c.cleared_at < now - KEPT))


def untold(db: Connection) -> list[Alert]:
    query = select(*_COLUMNS).where(alert.c.told_at.is_(None), alert.c.cleared_at.is_(None))
    return [Alert(**row._mapping) for row in db.execute(query.order_by(alert.c.raised_at, alert.c.key))]


def alerts(db: Connection, *, limit: int = 100) -> list[Alert]:
    """The newest first."""
    query = select(*_COLUMNS).order_by(alert.c.raised_at.desc(), alert.c.key).limit(limit)
    return [Alert(**row._mapping) for row in db.execute(query)]


def told(db: Connection, key: str, *, now: datetime) -> bool:
    """Note that a person was told; False when another process has done so."""
    mine = update(alert).where(alert.c.key == key, alert.c.told_at.is_(None)).values(told_at=now)
    return db.execute(mine).rowcount > 0


# --- sending them to people ---


def take(db: Connection, *, now: datetime, until: datetime) -> list[Alert]:
    """The alerts that people are to be sent now; they are nobody else's *until* then."""
    is_due = or_(alert.c.held_until.is_(None), alert.c.held_until <= now)
    taken = (
        update(alert)
        .where(alert.c.sent_at.is_(None), alert.c.cleared_at.is_(None), is_due)
        .values(held_until=until)
        .returning(*_COLUMNS)
    )
    found = [Alert(**row._mapping) for row in db.execute(taken)]
    return sorted(found, key=lambda one: (one.raised_at, one.key))


def sent(db: Connection, keys: Sequence[str], *, now: datetime) -> None:
    """Note that people have them."""
    own = update(alert).where(alert.c.key.in_(keys))
    db.execute(own.values(sent_at=now, held_until=None, tries=0))


def not_sent(db: Connection, found: Sequence[Alert], *, now: datetime) -> None:
    """Nobody could be reached: they are tried again later, after ever longer waits."""
    for one in found:
        wait = min(FIRST_WAIT * 2 ** min(one.tries, 10), LONGEST_WAIT)
        values = {"held_until": now + wait, "tries": one.tries + 1}
        db.execute(update(alert).where(alert.c.key == one.key).values(values))
