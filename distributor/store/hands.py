"""The statements behind a person's hands on a campaign: cancel, try again, settle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson
from sqlalchemy import (
    Connection,
    and_,
    func,
    insert,
    select,
    update,
)

from distributor.model import CampaignState, DeliveryState
from distributor.store.schema import article as article_table
from distributor.store.schema import batch, campaign, delivery, rendition_article
from subscribers.schema import list_, position, subscription


def cancel(db: Connection, campaign_id: int, *, reason: str) -> int:
    """Skip what was not claimed yet, and let its readers' positions go back; how many deliveries it was."""
    waiting = and_(batch.c.campaign == campaign_id, batch.c.state == "queued")
    rows = db.execute(select(batch.c.rendition, batch.c.recipients, batch.c.size).where(waiting)).all()
    db.execute(update(batch).where(waiting).values(state=DeliveryState.SKIPPED, reason=reason))
    for row in rows:
        _move_back(db, campaign_id, row.rendition, orjson.loads(row.recipients))
    return sum(row.size for row in rows)


def _move_back(db: Connection, campaign_id: int, rendition: str, recipients: Sequence[int]) -> None:
    """Let readers stand before the first article of a rendition they will not get."""
    first = db.scalar(
        select(func.min(article_table.c.sequence))
        .join(rendition_article, rendition_article.c.article == article_table.c.id)
        .where(rendition_article.c.rendition == rendition)
    )
    its_channel = select(campaign.c.channel).where(campaign.c.id == campaign_id).scalar_subquery()
    newsletter = select(list_.c.id).where(list_.c.name == its_channel).scalar_subquery()
    if first is None:
        return
    stands = (
        select(func.coalesce(subscription.c.served_through, position.c.served_through))
        .where(position.c.list == subscription.c.list, position.c.cadence == subscription.c.cadence)
        .scalar_subquery()
    )
    db.execute(
        update(subscription)
        .where(subscription.c.list == newsletter, subscription.c.subscriber.in_(recipients), stands >= first)
        .values(served_through=first - 1)
    )
    # Editions that these readers got since lie beyond where they stand now.
    db.execute(
        update(campaign)
        .where(campaign.c.channel == its_channel, campaign.c.through >= first)
        .values(overlaps=True)
    )


def queue_refused(db: Connection, campaign_id: int, *, now: datetime) -> int:
    """Queue again those who were refused, and only those; how many."""
    whole = db.execute(
        update(batch)
        .where(batch.c.campaign == campaign_id, batch.c.state == "refused")
        .values(state=DeliveryState.QUEUED, due_at=now, provider=None, called_at=None, reason=None)
        .returning(batch.c.size)
    ).all()
    rows = db.execute(
        select(delivery.c.recipient, batch.c.rendition, batch.c.priority)
        .join(batch, and_(batch.c.campaign == delivery.c.campaign, batch.c.number == delivery.c.batch))
        .where(delivery.c.campaign == campaign_id, delivery.c.state == "refused")
        .order_by(delivery.c.recipient)
    ).all()
    number = db.scalar(select(func.max(batch.c.number)).where(batch.c.campaign == campaign_id)) or 0
    for rendition in dict.fromkeys(row.rendition for row in rows):
        number += 1
        ids = [row.recipient for row in rows if row.rendition == rendition]
        _queue_again(db, campaign_id, number, rendition, ids, rows[0].priority, now)
    if whole or rows:
        db.execute(update(campaign).where(campaign.c.id == campaign_id).values(state=CampaignState.SENDING))
    return sum(int(row.size) for row in whole) + len(rows)


def _queue_again(
    db: Connection,
    campaign_id: int,
    number: int,
    rendition: str,
    recipients: Sequence[int],
    priority: int,
    now: datetime,
) -> None:
    db.execute(
        insert(batch).values(
            campaign=campaign_id,
            number=number,
            rendition=rendition,
            recipients=orjson.dumps(recipients).decode(),
            size=len(recipients),
            priority=priority,
            state=DeliveryState.QUEUED,
            due_at=now,
        )
    )
    left = select(batch.c.number, batch.c.recipients, batch.c.size).where(
        batch.c.campaign == campaign_id, batch.c.number < number
    )
    moved = set(recipients)
    for row in db.execute(left).all():
        kept = [id_ for id_ in orjson.loads(row.recipients) if id_ not in moved]
        if len(kept) != row.size:
            db.execute(
                update(batch)
                .where(batch.c.campaign == campaign_id, batch.c.number == row.number)
                .values(recipients=orjson.dumps(kept).decode(), size=len(kept))
            )
    db.execute(
        update(delivery)
        .where(delivery.c.campaign == campaign_id, delivery.c.recipient.in_(recipients))
        .values(batch=number, state=None, reason=None)
    )


def settle(db: Connection, campaign_id: int, state: DeliveryState, *, now: datetime) -> int:
    """Settle what is unclear as a person found it: accepted, refused, or to be queued again; how many."""
    rows = db.execute(
        update(batch)
        .where(batch.c.campaign == campaign_id, batch.c.state == "unclear")
        .values(state=state, due_at=now, called_at=None, reason="settled by hand")
        .returning(batch.c.size)
    ).all()
    return sum(int(row.size) for row in rows)
