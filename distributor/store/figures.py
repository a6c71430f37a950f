"""The statements behind what is measured: each a small table or an index, never every delivery or event."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from distributor.model import DeliveryState
from distributor.store.ledger import is_state
from distributor.store.schema import (
    alert,
    article,
    batch,
    campaign,
    credential,
    event,
    gate,
    page,
    post,
    welcome,
)
from subscribers.schema import subscriber, suppression


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is queued for a channel."""

    channel: str
    batches: int
    recipients: int
    since: datetime  # when the first of it was or is due


def queue(db: Connection) -> list[Waiting]:
    query = (
        select(
            campaign.c.channel,
            func.count().label("batches"),
            func.sum(batch.c.size).label("recipients"),
            func.min(batch.c.due_at).label("since"),
        )
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(is_state(DeliveryState.QUEUED))
        .group_by(campaign.c.channel)
    )
    return [Waiting(**row._mapping) for row in db.execute(query)]


def sending(db: Connection) -> dict[str, int]:
    """Provider -> batches that are being sent."""
    return _counted(db, batch.c.provider, where=is_state(DeliveryState.SENDING))


def campaigns_by_state(db: Connection) -> dict[tuple[str, str], int]:
    """(kind, state) -> campaigns."""
    query = select(campaign.c.kind, campaign.c.state, func.count()).group_by(
        campaign.c.kind, campaign.c.state
    )
    return {(row[0], row[1]): row[2] for row in db.execute(query)}


def posts_by_state(db: Connection) -> dict[tuple[str, str], int]:
    """(channel, state) -> posts."""
    query = select(post.c.channel, post.c.state, func.count()).group_by(post.c.channel, post.c.state)
    return {(row[0], row[1]): row[2] for row in db.execute(query)}


def articles_by_state(db: Connection, now: datetime) -> dict[str, int]:
    """Articles that are or were public; and pages that will change by themselves, or cannot be read."""
    public = {
        row[0]: row[1]
        for row in db.execute(select(article.c.is_public, func.count()).group_by(article.c.is_public))
    }
    return {
        "public": public.get(True, 0),
        "withdrawn": public.get(False, 0),
        "changing": _count(db, select(page.c.path).where(page.c.changes_at > now)),
        "unreadable": _count(db, select(page.c.path).where(page.c.data.is_(None))),
    }


def newest_article(db: Connection) -> tuple[int, datetime | None]:
    """The last sequence number, and when that article was first seen public."""
    query = select(article.c.sequence, article.c.first_public_at).order_by(article.c.sequence.desc()).limit(1)
    row = db.execute(query).first()
    return (row[0], row[1]) if row else (0, None)


def alerts_open(db: Connection) -> dict[tuple[str, str], int]:
    """(kind, told or untold) -> alerts that are so still."""
    found: Counter[tuple[str, str]] = Counter()
    for key, told_at in db.execute(select(alert.c.key, alert.c.told_at).where(alert.c.cleared_at.is_(None))):
        found[key.partition(" ")[0], "untold" if told_at is None else "told"] += 1
    return found


def events_waiting(db: Connection) -> int:
    return _count(db, select(event.c.number).where(event.c.applied_at.is_(None)))


def at_the_gate(db: Connection) -> tuple[int, datetime | None]:
    """How many articles wait until the public site shows them, and since when the first of them does."""
    query = select(func.count(), func.min(gate.c.since)).where(gate.c.passed_at.is_(None))
    count, since = db.execute(query).one()
    return count, since


def welcomes_waiting(db: Connection) -> int:
    return _count(db, select(welcome.c.subscriber))


def keys_end_at(db: Connection) -> dict[str, datetime]:
    """Account -> when its key ends, where the network says so."""
    query = select(credential.c.account, credential.c.expires_at).where(credential.c.expires_at.is_not(None))
    return {row[0]: row[1] for row in db.execute(query)}


def subscribers(db: Connection) -> int:
    return _count(db, select(subscriber.c.id))


def suppressions(db: Connection) -> dict[str, int]:
    """Reason -> addresses to which nothing may be sent."""
    return _counted(db, suppression.c.reason)


def _count(db: Connection, query: Select[Any]) -> int:
    return db.scalar(select(func.count()).select_from(query.subquery())) or 0


def _counted(db: Connection, column: Any, *, where: Any = None) -> dict[str, int]:
    query = select(func.coalesce(column, ""), func.count()).group_by(column)
    query = query if where is None else query.where(where)
    return {row[0]: row[1] for row in db.execute(query)}
