"""The statements that look at the ledger: where everybody is, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    select,
)

from distributor.model import CampaignState, DeliveryState, Outcome
from distributor.store.ledger import is_state
from distributor.store.schema import article as article_table
from distributor.store.schema import batch, campaign, delivery, rendition_article
from distributor.store.schema import rendition as rendition_table
from subscribers.schema import subscriber, subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Where a campaign's candidates are; `gap` is 0 after every transaction."""

    candidates: int
    excluded: int
    queued: int = 0
    sending: int = 0
    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    unclear: int = 0

    @property
    def planned(self) -> int:
        return self.queued + self.sending + self.accepted + self.refused + self.skipped + self.unclear

    @property
    def gap(self) -> int:
        return self.candidates - self.excluded - self.planned


def balance(db: Connection, campaign_id: int) -> Balance:
    """Where a campaign's candidates are; its `gap` is checked to be 0."""
    plan = db.execute(
        select(campaign.c.candidates, campaign.c.excluded, campaign.c.aged).where(
            campaign.c.id == campaign_id
        )
    ).one()
    excluded = sum(plan.excluded.values())
    if plan.aged is not None:
        return Balance(candidates=plan.candidates, excluded=excluded, **plan.aged["counts"])
    by_batch = db.execute(
        select(batch.c.state, func.sum(batch.c.size))
        .where(batch.c.campaign == campaign_id)
        .group_by(batch.c.state)
    )
    counts: dict[str, int] = {state: int(size) for state, size in by_batch}
    differing = db.execute(
        select(batch.c.state, delivery.c.state, func.count())
        .join(batch, and_(batch.c.campaign == delivery.c.campaign, batch.c.number == delivery.c.batch))
        .where(delivery.c.campaign == campaign_id, delivery.c.state.is_not(None))
        .group_by(batch.c.state, delivery.c.state)
    )
    for theirs, own, count in differing:
        counts[theirs] -= count
        counts[own] = counts.get(own, 0) + count
    return Balance(candidates=plan.candidates, excluded=excluded, **counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """What the ledger knows of one message to one recipient."""

    campaign: int
    recipient: int
    rendition: str
    state: DeliveryState
    provider: str | None
    receipt: str | None
    reason: str | None
    attempt: int
    due_at: datetime
    role: str | None = None  # of the article asked for, in the rendition
    outcome: Outcome | None = None  # what its provider reported since


def deliveries_of(db: Connection, recipient: int, *, article: int, channel_name: str) -> list[DeliveryRow]:
    """A channel's deliveries to a recipient that carry the article, oldest first."""
    query = (
        _deliveries()
        .add_columns(rendition_article.c.role)
        .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
        .where(
            rendition_article.c.article == article,
            campaign.c.channel == channel_name,
            delivery.c.recipient == recipient,
        )
        .order_by(delivery.c.campaign)
    )
    return [_delivery(row, role=row.role) for row in db.execute(query)]


def _deliveries() -> Select[Any]:
    return (
        select(
            delivery.c.campaign,
            delivery.c.recipient,
            batch.c.rendition,
            func.coalesce(delivery.c.state, batch.c.state).label("state"),
            batch.c.provider,
            func.coalesce(delivery.c.receipt, batch.c.receipt).label("receipt"),
            func.coalesce(delivery.c.reason, batch.c.reason).label("reason"),
            batch.c.attempt,
            batch.c.due_at,
            delivery.c.outcome,
        )
        .join(batch, and_(batch.c.campaign == delivery.c.campaign, batch.c.number == delivery.c.batch))
        .join(campaign, campaign.c.id == delivery.c.campaign)
    )


LOOKED_AT = 10_000  # deliveries of a page, of which few may be wanted: what it costs is bounded


def deliveries_in(
    db: Connection, campaign_id: int, *, after: int, limit: int, state: DeliveryState | None = None
) -> tuple[list[DeliveryRow], int | None]:
    """A campaign's deliveries beyond the recipient *after*; and where to go on, None at the end.

    Where only those in *state* are wanted, a page may be empty without being the last.
    """
    size = LOOKED_AT if state else limit
    of_campaign = (delivery.c.campaign == campaign_id, delivery.c.recipient > after)
    looked = (
        select(delivery.c.recipient).where(*of_campaign).order_by(delivery.c.recipient).limit(size).subquery()
    )
    last, count = db.execute(select(func.max(looked.c.recipient), func.count()).select_from(looked)).one()
    if last is None:
        return [], None
    query = _deliveries().where(*of_campaign, delivery.c.recipient <= last)
    if state:
        query = query.where(func.coalesce(delivery.c.state, batch.c.state) == state)
    rows = [_delivery(row) for row in db.execute(query.order_by(delivery.c.recipient).limit(limit))]
    if len(rows) == limit:
        return rows, rows[-1].recipient
    return rows, None if count < size else last


def _delivery(row: Row[Any], *, role: str | None = None) -> DeliveryRow:
    return DeliveryRow(
        campaign=row.campaign,
        recipient=row.recipient,
        rendition=row.rendition,
        state=DeliveryState(row.state),
        provider=row.provider,
        receipt=row.receipt,
        reason=row.reason,
        attempt=row.attempt,
        due_at=row.due_at,
        role=role,
        outcome=None if row.outcome is None else Outcome(row.outcome),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A batch that is not simply accepted, for a person to look at."""

    number: int
    size: int
    state: str
    attempt: int
    provider: str | None
    due_at: datetime
    reason: str | None


def batches_open(db: Connection, campaign_id: int, *, limit: int = 20) -> list[BatchRow]:
    """The batches of a campaign that are not accepted: why it does not move."""
    names = [field.name for field in fields(BatchRow)]
    query = (
        select(*(batch.c[name] for name in names))
        .where(batch.c.campaign == campaign_id, batch.c.state != "accepted")
        .order_by(batch.c.number)
        .limit(limit)
    )
    return [BatchRow(**row._mapping) for row in db.execute(query)]


def times_due(db: Connection, channel_name: str, *, after: datetime) -> list[datetime]:
    """When the posts of a channel since *after* went out, or are due, in order."""
    at = func.coalesce(batch.c.called_at, batch.c.due_at)
    query = _announced(channel_name, at, after).where(batch.c.state != DeliveryState.SKIPPED)
    return list(db.scalars(query))


def times_out(db: Connection, channel_name: str, *, after: datetime, but: int) -> list[datetime]:
    """When the posts of a channel since *after* went out, or may have, but for campaign *but*; in order."""
    query = _announced(channel_name, batch.c.called_at, after).where(
        campaign.c.id != but, batch.c.state.not_in((DeliveryState.SKIPPED, DeliveryState.REFUSED))
    )
    return list(db.scalars(query))


def _announced(channel_name: str, at: ColumnElement[Any], after: datetime) -> Select[Any]:
    """Since *after*, without what was changed, answered or taken back."""
    return (
        select(at)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(
            campaign.c.channel == channel_name,
            campaign.c.slot.not_like("correct %"),
            campaign.c.slot.not_like("withdraw %"),
            at >= after,
        )
        .order_by(at)
    )


def posts_queued(db: Connection) -> list[tuple[str, datetime, str]]:
    """Channel, due time and article's title of every post that is queued, the next first."""
    query = (
        select(campaign.c.channel, batch.c.due_at, article_table.c.title)
        .join(batch, batch.c.campaign == campaign.c.id)
        .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
        .join(article_table, article_table.c.id == rendition_article.c.article)
        .where(campaign.c.kind == "post", is_state(DeliveryState.QUEUED))
        .order_by(batch.c.due_at, campaign.c.id)
    )
    return [(row[0], row[1], row[2]) for row in db.execute(query)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRow:
    """A post that a person may have to look at."""

    campaign: int
    channel: str
    title: str
    provider: str | None
    attempt: int
    called_at: datetime | None
    reason: str | None


def posts_in(db: Connection, state: DeliveryState) -> list[PostRow]:
    """The posts that are in *state* now, by campaign."""
    query = _posts(batch.c.reason).where(is_state(state))
    return [PostRow(**row._mapping) for row in db.execute(query)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnclearMails:
    """Mails of a campaign of which nobody can say whether a provider accepted them."""

    campaign: int
    channel: str
    provider: str | None
    recipients: int
    called_at: datetime | None  # the last of the calls
    reason: str | None


def mails_unclear(db: Connection) -> list[UnclearMails]:
    query = (
        select(
            batch.c.campaign,
            campaign.c.channel,
            batch.c.provider,
            func.sum(batch.c.size).label("recipients"),
            func.max(batch.c.called_at).label("called_at"),
            func.max(batch.c.reason).label("reason"),
        )
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(is_state(DeliveryState.UNCLEAR), campaign.c.kind == "newsletter")
        .group_by(batch.c.campaign, campaign.c.channel, batch.c.provider)
        .order_by(batch.c.campaign)
    )
    return [UnclearMails(**row._mapping) for row in db.execute(query)]


def posts_awaiting(db: Connection) -> list[PostRow]:
    """The posts that are held back for approval, with what holds them."""
    query = _posts(campaign.c.reason).where(campaign.c.state == CampaignState.AWAITING_APPROVAL)
    return [PostRow(**row._mapping) for row in db.execute(query)]


def _posts(reason: ColumnElement[str | None]) -> Select[Any]:
    title = (
        select(func.min(article_table.c.title))
        .join(rendition_article, rendition_article.c.article == article_table.c.id)
        .where(rendition_article.c.rendition == batch.c.rendition)
        .scalar_subquery()
    )
    return (
        select(
            batch.c.campaign,
            campaign.c.channel,
            func.coalesce(title, campaign.c.slot).label("title"),
            batch.c.provider,
            batch.c.attempt,
            batch.c.called_at,
            reason.label("reason"),
        )
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(campaign.c.kind == "post")
        .order_by(batch.c.campaign)
    )


def titles_of(db: Connection, campaigns: Iterable[int]) -> dict[int, str]:
    """Campaign -> the title of the article, for those that carry just one."""
    query = (
        select(batch.c.campaign, func.min(article_table.c.title))
        .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
        .join(article_table, article_table.c.id == rendition_article.c.article)
        .where(batch.c.campaign.in_(tuple(campaigns)))
        .group_by(batch.c.campaign)
        .having(func.count(article_table.c.id.distinct()) == 1)
    )
    return {row[0]: row[1] for row in db.execute(query)}


def row_counts(db: Connection) -> dict[str, int]:
    """How many rows the larger tables have."""
    counted = (article_table, campaign, rendition_table, batch, delivery, subscriber, subscription)
    return {each.name: db.scalar(select(func.count()).select_from(each)) or 0 for each in counted}
