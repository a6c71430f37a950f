"""The statements behind a person's hands on a campaign: cancel, try again, settle.

Each begins with `hold`, so that no edition is being planned meanwhile from what they change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    Select,
    and_,
    exists,
    func,
    select,
    update,
)

from distributor.model import CampaignState, DeliveryState
from distributor.store import accounts, aging, articles, campaigns, ledger, posts
from distributor.store.freezing import REACHED
from distributor.store.ledger import is_state
from distributor.store.schema import article as article_table
from distributor.store.schema import batch, campaign, delivery, rendition_article
from subscribers.schema import list_, subscription
from subscribers.sql import common_position


def hold(db: Connection, campaign_id: int) -> None:
    """Keep plans, and other hands on the campaign, waiting until the transaction ends."""
    articles.lock(db)
    db.execute(select(campaign.c.id).where(campaign.c.id == campaign_id).with_for_update())


def cancel(db: Connection, campaign_id: int, *, reason: str) -> int:
    """Skip what is queued, and let its readers' positions go back; how many deliveries were queued.

    What is queued to be repeated may have been accepted: it is unclear instead, and its readers stay.
    """
    waiting = and_(batch.c.campaign == campaign_id, is_state(DeliveryState.QUEUED))
    db.execute(
        update(batch)
        .where(waiting, batch.c.called_at.is_not(None))
        .values(state=DeliveryState.UNCLEAR, reason=f"{reason}; an earlier call may have been accepted")
    )
    rows = db.execute(
        update(batch)
        .where(waiting)
        .values(state=DeliveryState.SKIPPED, reason=reason)
        .returning(batch.c.rendition, batch.c.recipients, batch.c.size)
    ).all()
    for row in rows:
        _move_back(db, campaign_id, row.rendition, orjson.loads(row.recipients))
    _move_refused_back(db, campaign_id)
    return sum(row.size for row in rows)


def refused_after_cancel(db: Connection, campaign_id: int) -> None:
    """What was refused while, or after, its campaign was cancelled comes with the next edition too.

    The campaign's row is locked first: a person who is cancelling it does not see yet what is recorded here.
    """
    own = select(campaign.c.state).where(campaign.c.id == campaign_id).with_for_update()
    if db.scalar(own) == CampaignState.CANCELLED:
        _move_refused_back(db, campaign_id)


def _move_refused_back(db: Connection, campaign_id: int) -> None:
    """Who was refused will not be tried again once a campaign is cancelled: their next edition carries it."""
    for row in db.execute(_batches(campaign_id)).all():
        ids = _refused_alone(db, campaign_id, row.number)
        if row.state == DeliveryState.REFUSED:
            ids += ledger.as_their_batch(db, campaign_id, row.number, row.recipients)
        if ids:
            _move_back(db, campaign_id, row.rendition, ids)


def cancel_returned(db: Connection) -> None:
    """Skip what came back to the queue of a campaign that was cancelled during the call."""
    has_queued = exists().where(batch.c.campaign == campaign.c.id, is_state(DeliveryState.QUEUED))
    cancelled = select(campaign.c.id, campaign.c.reason).where(
        campaign.c.state == CampaignState.CANCELLED, has_queued
    )
    for row in db.execute(cancelled).all():
        hold(db, row.id)
        cancel(db, row.id, reason=row.reason or "cancelled")


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
    stands = func.coalesce(subscription.c.served_through, common_position())
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
    """Queue again those who were refused, and only those; how many.

    Who has got one of the articles in another way since is left out; the rest comes with their next edition.
    """
    count = 0
    if aging.memories(db, [campaign_id]):  # who was refused is no longer known
        return 0
    for row in db.execute(_batches(campaign_id).where(batch.c.state == "refused")).all():
        ids = ledger.as_their_batch(db, campaign_id, row.number, row.recipients)
        count += len(ids) - len(_leave_out(db, campaign_id, row.rendition, ids))
    db.execute(
        update(batch)
        .where(batch.c.campaign == campaign_id, batch.c.state == "refused")
        .values(state=DeliveryState.QUEUED, due_at=now, provider=None, called_at=None, reason=None)
    )
    partly = exists().where(
        delivery.c.campaign == batch.c.campaign,
        delivery.c.batch == batch.c.number,
        delivery.c.state == "refused",
    )
    for row in db.execute(_batches(campaign_id).where(partly)).all():
        refused = _refused_alone(db, campaign_id, row.number)
        left_out = _leave_out(db, campaign_id, row.rendition, refused)
        again = [id_ for id_ in refused if id_ not in left_out]
        if again:
            ledger.divide(db, campaign_id, row.number, again, due_at=now)
        count += len(again)
    db.execute(update(campaign).where(campaign.c.id == campaign_id).values(tallied=False))
    if count:
        campaigns.move(db, CampaignState.SENDING, campaign.c.id == campaign_id)
    return count


def _batches(campaign_id: int) -> Select[Any]:
    columns = (batch.c.number, batch.c.rendition, batch.c.recipients, batch.c.state)
    return select(*columns).where(batch.c.campaign == campaign_id).order_by(batch.c.number)


def _refused_alone(db: Connection, campaign_id: int, number: int) -> list[int]:
    """The recipients whom a provider refused in a call that it accepted, ascending."""
    query = select(delivery.c.recipient).where(
        delivery.c.campaign == campaign_id, delivery.c.batch == number, delivery.c.state == "refused"
    )
    return sorted(db.scalars(query))


def _leave_out(db: Connection, campaign_id: int, rendition: str, ids: Sequence[int]) -> set[int]:
    """Skip those of *ids* who have, or may get, one of a rendition's articles from another campaign."""
    carried = select(rendition_article.c.article).where(rendition_article.c.rendition == rendition)
    own = campaigns.campaign_of(db, campaign_id)
    if own is None or own.kind == "post":  # a channel's earlier post of the article was taken back
        return set()
    others = set(campaigns.carrying(db, own.channel, db.scalars(carried).all())) - {campaign_id}
    if not others:
        return set()
    got = (
        select(delivery.c.recipient)
        .join(batch, and_(batch.c.campaign == delivery.c.campaign, batch.c.number == delivery.c.batch))
        .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
        .where(
            delivery.c.campaign.in_(others),
            func.coalesce(delivery.c.state, batch.c.state).in_(REACHED),
            rendition_article.c.article.in_(carried),
        )
    )
    long_known = max((one.through for one in aging.memories(db, list(others)) if one.renditions), default=0)
    left_out: set[int] = set()
    for part in articles.chunks(ids):
        found = set(db.scalars(got.where(delivery.c.recipient.in_(part))))
        found |= {id_ for id_ in part if id_ <= long_known}
        theirs = and_(delivery.c.campaign == campaign_id, delivery.c.recipient.in_(found))
        db.execute(update(delivery).where(theirs).values(state=DeliveryState.SKIPPED, reason=HAD_IT))
        _move_back(db, campaign_id, rendition, list(found))
        left_out |= found
    return left_out


HAD_IT = "got an article of it in another way since they were refused"


def settle(db: Connection, campaign_id: int, state: DeliveryState, *, now: datetime) -> int:
    """Settle what is unclear as a person found it: accepted, refused, or to be queued again; how many."""
    count = accounts.balance(db, campaign_id).unclear
    anew = {"provider": None} if state is DeliveryState.QUEUED else {}
    db.execute(
        update(batch)
        .where(batch.c.campaign == campaign_id, batch.c.state == "unclear")
        .values(state=state, due_at=now, called_at=None, reason=BY_HAND, **anew)
    )
    # Who is unclear alone had left before the call was repeated, and is not written to again.
    alone = DeliveryState.SKIPPED if state is DeliveryState.QUEUED else state
    db.execute(
        update(delivery)
        .where(delivery.c.campaign == campaign_id, delivery.c.state == "unclear")
        .values(state=alone, reason=BY_HAND)
    )
    if state is DeliveryState.ACCEPTED:
        posts.settled(db, campaign_id)
    elif state is DeliveryState.REFUSED:
        posts.stands(db, campaign_id)
    return count


BY_HAND = "settled by hand"
