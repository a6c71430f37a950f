"""What is let go of in time: who exactly was in an edition of long ago, and what providers reported.

Of an edition its counts are kept, its calls without their recipients, and the number of its last reader.
Numbers only ascend, so whoever has a higher one came later; everybody else counts as having its articles. So
nobody can get one of them twice, though the ledger no longer knows who got it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, func, null, select, update

from distributor.model import CampaignState
from distributor.store import accounts, events
from distributor.store.freezing import REACHED, Memory
from distributor.store.schema import batch, campaign, delivery, event, rendition_article

ENDED = (CampaignState.DONE, CampaignState.CANCELLED)
OPEN = ("queued", "sending", "unclear")
COUNTED = ("queued", "sending", "accepted", "refused", "skipped", "unclear")


def ripe(db: Connection, *, before: datetime) -> int | None:
    """An edition that ended, was due before that moment, and of which every reader is still known."""
    its_batch, its_delivery = batch.c.campaign == campaign.c.id, delivery.c.campaign == campaign.c.id
    query = (
        select(campaign.c.id)
        .where(
            campaign.c.kind == "newsletter",
            campaign.c.notice.is_(None),
            campaign.c.state.in_(ENDED),
            campaign.c.due_at < before,
            campaign.c.aged.is_(None),
            exists().where(its_batch),
            ~exists().where(its_batch, batch.c.state.in_(OPEN)),
            ~exists().where(its_delivery, delivery.c.state.is_not(None), delivery.c.state.in_(OPEN)),
        )
        .order_by(campaign.c.id)
        .limit(1)
    )
    found: int | None = db.scalar(query)
    return found


def age(db: Connection, campaign_id: int) -> bool:
    """Keep of an edition's readers only the counts and the last; False when another process did so first."""
    counts = asdict(accounts.balance(db, campaign_id))
    through = db.scalar(select(func.max(delivery.c.recipient)).where(delivery.c.campaign == campaign_id))
    aged = {
        "through": through or 0,
        "counts": {name: counts[name] for name in COUNTED},
        "outcomes": {int(outcome): n for outcome, n in events.outcome_counts(db, campaign_id).items()},
    }
    mine = update(campaign).where(campaign.c.id == campaign_id, campaign.c.aged.is_(None)).values(aged=aged)
    if not db.execute(mine).rowcount:
        return False
    db.execute(update(batch).where(batch.c.campaign == campaign_id).values(recipients="[]", kept=null()))
    return True


def emptying(db: Connection) -> list[int]:
    """The editions that are aged, and have deliveries all the same."""
    has_some = exists().where(delivery.c.campaign == campaign.c.id)
    return list(db.scalars(select(campaign.c.id).where(campaign.c.aged.is_not(None), has_some)))


def forget_deliveries(db: Connection, campaign_id: int, *, limit: int) -> int:
    """Let go of so many deliveries of an edition that is aged; how many there were."""
    some = select(delivery.c.recipient).where(delivery.c.campaign == campaign_id)
    some = some.order_by(delivery.c.recipient).limit(limit)
    gone = delete(delivery).where(delivery.c.campaign == campaign_id, delivery.c.recipient.in_(some))
    return db.execute(gone).rowcount


def forget_events(db: Connection, *, before: datetime, limit: int) -> int:
    """Let go of the oldest reports, as far as everything followed from them; how many there were."""
    oldest = select(event.c.number).order_by(event.c.number).limit(limit)
    gone = delete(event).where(
        event.c.number.in_(oldest), event.c.received_at < before, event.c.applied_at.is_not(None)
    )
    return db.execute(gone).rowcount


def memories(db: Connection, campaigns: Sequence[int]) -> list[Memory]:
    """What is still known of the readers of those that are aged."""
    rows = db.execute(
        select(campaign.c.id, campaign.c.aged)
        .where(campaign.c.id.in_(campaigns), campaign.c.aged.is_not(None))
        .order_by(campaign.c.id)
    ).all()
    return [
        Memory(campaign=row.id, through=row.aged["through"], renditions=_reached(db, row.id)) for row in rows
    ]


def _reached(db: Connection, campaign_id: int) -> tuple[str, ...]:
    """The renditions that anybody has."""
    query = (
        select(batch.c.rendition)
        .distinct()
        .where(batch.c.campaign == campaign_id, batch.c.state.in_(REACHED))
        .order_by(batch.c.rendition)
    )
    return tuple(db.scalars(query))


@dataclass(frozen=True, slots=True, kw_only=True)
class Faded:
    """An edition that carried an article, and of which nobody knows any more who got it."""

    campaign: int
    due_at: datetime


def faded(db: Connection, recipient: int, *, article: int, channel_name: str) -> list[Faded]:
    """The aged editions of a newsletter that had an article, while a recipient was among its readers."""
    carrying = (
        select(batch.c.campaign)
        .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
        .where(rendition_article.c.article == article)
    )
    query = (
        select(campaign.c.id, campaign.c.due_at, campaign.c.aged)
        .where(campaign.c.id.in_(carrying), campaign.c.channel == channel_name, campaign.c.aged.is_not(None))
        .order_by(campaign.c.id)
    )
    return [
        Faded(campaign=row.id, due_at=row.due_at)
        for row in db.execute(query)
        if recipient <= _through(row.aged)
    ]


def _through(aged: Mapping[str, Any]) -> int:
    return int(aged["through"])
