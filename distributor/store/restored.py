"""A ledger that was restored knows nothing of what was sent since its copy was made.

So nothing that was open then is sent by itself, and nothing that came to be public since is news.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from distributor.model import CampaignState
from distributor.store import alerts, articles
from distributor.store.schema import article, batch, campaign, channel, page, welcome

RESTORED = "restored"  # the fact that makes the next scan take everything for known
OPEN = (
    CampaignState.AWAITING_APPROVAL,
    CampaignState.SCHEDULED,
    CampaignState.SENDING,
    CampaignState.PAUSED,
)
REASON = "the database was restored from a copy: it may have been sent since that was made"


@dataclass(slots=True, kw_only=True)
class Held:
    """What is not sent by itself any more."""

    campaigns: list[int] = field(default_factory=list)  # that were open: unclear now
    articles: dict[str, list[str]] = field(default_factory=dict)  # newsletter or channel -> keys that waited


def hold(db: Connection, *, now: datetime) -> Held:
    """Let nothing be sent that may have been sent since the copy was made."""
    held = Held(campaigns=_unclear(db), articles=_waiting(db))
    last = articles.last_sequence(db)
    db.execute(update(channel).values(handled_at=now))
    db.execute(update(channel).where(channel.c.start < last).values(start=last))
    db.execute(delete(welcome))
    # What was not public yet, or waited at the gate, is looked at by the next scan whatever its file says.
    db.execute(update(page).where(page.c.article.is_(None)).values(changes_at=now))
    articles.keep_fact(db, RESTORED, now.isoformat())
    if held.campaigns or any(held.articles.values()):
        alerts.raise_alert(db, f"restored {now:%Y-%m-%d %H:%M}", told(held), now=now)
    return held


def told(held: Held) -> str:
    numbers = ", ".join(map(str, held.campaigns[:20])) or "none"
    return (
        f"The database was restored from a copy. Campaigns that were open then are unclear now: {numbers}. "
        "Say of each what became of it: distributor campaigns settle NUMBER --as accepted, or --as again"
    )


def _unclear(db: Connection) -> list[int]:
    """Make what was queued or under way unclear; the campaigns that had any."""
    waits = batch.c.state.in_(("queued", "sending"))
    is_open = campaign.c.state.in_(OPEN)
    found = list(
        db.scalars(
            select(campaign.c.id)
            .distinct()
            .join(batch, batch.c.campaign == campaign.c.id)
            .where(is_open, or_(waits, batch.c.state == "unclear"))
            .order_by(campaign.c.id)
        )
    )
    theirs = batch.c.campaign.in_(select(campaign.c.id).where(is_open))
    unclear = {"state": "unclear", "reason": REASON, "lease_owner": None, "lease_until": None}
    db.execute(update(batch).where(theirs, waits).values(**unclear))
    return found


def _waiting(db: Connection) -> dict[str, list[str]]:
    """The articles that no edition or post of a channel had looked at yet, by key."""
    through = (
        select(campaign.c.channel, func.max(campaign.c.through).label("through"))
        .group_by(campaign.c.channel)
        .subquery()
    )
    beyond = func.coalesce(through.c.through, 0)
    query = (
        select(channel.c.name, article.c.key)
        .outerjoin(through, through.c.channel == channel.c.name)
        .join(
            article,
            and_(article.c.sequence > channel.c.start, article.c.sequence > beyond, article.c.is_public),
        )
        .order_by(channel.c.name, article.c.sequence)
    )
    found: dict[str, list[str]] = {}
    for name, key in db.execute(query):
        found.setdefault(name, []).append(key)
    return found
