"""What is to be told to hooks: noted with the thing itself, passed on to each hook, told, or given up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from distributor.model import CampaignState
from distributor.store.schema import campaign, news, outgoing

KEPT = timedelta(days=30)  # what was told, or given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One thing to be told to one hook."""

    number: int
    hook: str
    id: str
    type: str
    data: Mapping[str, Any]
    occurred_at: datetime
    kept_at: datetime
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A state that a campaign came to."""

    campaign: int
    state: str
    channel: str
    kind: str
    slot: str
    due_at: datetime
    reason: str | None


def note(db: Connection, campaigns: Iterable[int], state: CampaignState) -> None:
    """Note that these campaigns came to a state, in the transaction in which they do."""
    if rows := [{"campaign": id_, "state": state} for id_ in campaigns]:
        db.execute(insert(news), rows)


def any_news(db: Connection) -> bool:
    """Whether there is anything to pass on."""
    return db.scalar(select(news.c.number).limit(1)) is not None


def pass_on(db: Connection, *, limit: int) -> list[Moved]:
    """What campaigns came to since, the oldest first; with this transaction it is passed on."""
    query = (
        select(news.c.number, news.c.campaign, news.c.state)
        .add_columns(*(campaign.c[name] for name in ("channel", "kind", "slot", "due_at", "reason")))
        .join(campaign, campaign.c.id == news.c.campaign)
        .order_by(news.c.number)
        .limit(limit)
        .with_for_update(skip_locked=True, of=news)
    )
    rows = db.execute(query).all()
    if rows:
        db.execute(delete(news).where(news.c.number.in_([row.number for row in rows])))
    return [
        Moved(**{name: value for name, value in row._mapping.items() if name != "number"}) for row in rows
    ]


def add(db: Connection, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """Keep what is to be told now; what was settled long ago is forgotten."""
    if rows:
        db.execute(insert(outgoing), [{**row, "kept_at": now, "due_at": now} for row in rows])
        db.execute(delete(outgoing).where(outgoing.c.kept_at < now - KEPT))


def due_at(db: Connection, hook: str) -> datetime | None:
    """When the next of what waits for a hook is due."""
    query = select(outgoing.c.due_at).where(*_waiting(hook)).order_by(outgoing.c.due_at).limit(1)
    found: datetime | None = db.scalar(query)
    return found


def claim(db: Connection, hook: str, *, now: datetime, lease: timedelta, limit: int) -> list[Outgoing]:
    """What a hook is to be told next; nobody else tells it before the lease ends."""
    query = (
        select(*(outgoing.c[field.name] for field in fields(Outgoing)))
        .where(*_waiting(hook), outgoing.c.due_at <= now)
        .order_by(outgoing.c.due_at, outgoing.c.number)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = db.execute(query).all()
    ours = outgoing.c.number.in_([row.number for row in rows])
    if rows:
        leased = update(outgoing).where(ours)
        db.execute(leased.values(due_at=now + lease, attempt=outgoing.c.attempt + 1))
    return [Outgoing(**{**row._mapping, "attempt": row.attempt + 1}) for row in rows]


def _waiting(hook: str) -> tuple[Any, Any]:
    return outgoing.c.hook == hook, outgoing.c.state == "waiting"


def told(db: Connection, number: int) -> None:
    """Note that a hook took it, whoever else is telling it again by now."""
    db.execute(update(outgoing).where(outgoing.c.number == number).values(state="told", reason=None))


def later(db: Connection, one: Outgoing, *, due_at: datetime, reason: str) -> None:
    """Have it told again, unless another process took it over meanwhile."""
    ours = (outgoing.c.number == one.number, outgoing.c.attempt == one.attempt, outgoing.c.state == "waiting")
    db.execute(update(outgoing).where(*ours).values(due_at=due_at, reason=reason))


def give_up(
    db: Connection, hook: str, *, reason: str, before: datetime | None = None, only: int | None = None
) -> int:
    """Give up what has waited for a hook since *before*, or one thing alone; how much that is."""
    those = outgoing.c.kept_at <= before if only is None else outgoing.c.number == only
    given_up = update(outgoing).where(*_waiting(hook), those).values(state="given up", reason=reason)
    return db.execute(given_up).rowcount


def queue_given_up(db: Connection, hook: str, *, now: datetime) -> int:
    """Have a hook told what was given up; how much that is."""
    given_up = (outgoing.c.hook == hook, outgoing.c.state == "given up")
    again = {"state": "waiting", "due_at": now, "kept_at": now, "attempt": 0}
    return db.execute(update(outgoing).where(*given_up).values(again)).rowcount


def counts(db: Connection) -> dict[str, dict[str, int]]:
    """Hook -> state -> how much of what it was to be told is in it."""
    query = select(outgoing.c.hook, outgoing.c.state, func.count()).group_by(
        outgoing.c.hook, outgoing.c.state
    )
    found: dict[str, dict[str, int]] = {}
    for hook, state, count in db.execute(query):
        found.setdefault(hook, {})[state] = count
    return found
