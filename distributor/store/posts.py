"""The statements about posts: what can be seen of an article on which channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from distributor.model import CampaignState, DeliveryState, Post, Receipt
from distributor.store.ledger import is_state
from distributor.store.schema import article, batch, campaign, post


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRow:
    """An article's post on a channel."""

    campaign: int  # that announced it
    channel: str
    article: int
    rendition: str  # hash of what is to be seen, or will be
    told: bytes
    state: str  # planned, up, gone
    receipt: Receipt | None


def add_post(
    db: Connection, *, campaign_id: int, channel: str, article_id: int, rendition: str, told: bytes
) -> None:
    """Note a post that is planned; *told* is the hash of what its article says."""
    values = {"campaign": campaign_id, "channel": channel, "article": article_id, "rendition": rendition}
    db.execute(insert(post).values(values | {"told": told, "state": "planned"}))


def accepted(db: Connection, campaign_id: int, content: Post, receipt: Receipt) -> None:
    """Note what a network took: the campaign announced, changed or took back a post."""
    values: dict[str, Any] = {"state": "gone" if content.action == "delete" else "up"}
    if content.action in ("post", "edit", "repost"):  # a reply's own receipt stands in its batch
        values |= {"receipt": asdict(receipt), "rendition": content.hash}
    root = content.of_campaign or campaign_id
    db.execute(update(post).where(post.c.campaign == root).values(values))


def post_of(db: Connection, campaign_id: int) -> PostRow | None:
    """The post that a campaign announced."""
    row = db.execute(select(post).where(post.c.campaign == campaign_id)).first()
    return _row(row) if row else None


def renditions_since(db: Connection, channel: str, since: datetime) -> list[str]:
    """What a channel posted or will, of what was due since then: one hash for each post."""
    query = (
        select(batch.c.rendition)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(
            campaign.c.channel == channel,
            batch.c.due_at >= since,
            batch.c.state.not_in((DeliveryState.SKIPPED, DeliveryState.REFUSED)),
            campaign.c.state != CampaignState.AWAITING_APPROVAL,
        )
    )
    return list(db.scalars(query))


def changed(db: Connection, channel: str) -> list[tuple[PostRow, str, bool]]:
    """The channel's posts whose article says something else by now, or is public no more: with its key, and
    whether it is public."""
    is_other = and_(article.c.told.is_not(None), article.c.told != post.c.told)
    query = (
        select(post, article.c.key, article.c.is_public)
        .join(article, article.c.id == post.c.article)
        .where(
            post.c.channel == channel, post.c.state != "gone", or_(is_other, article.c.is_public.is_(False))
        )
        .order_by(post.c.campaign)
    )
    return [(_row(row), row.key, row.is_public) for row in db.execute(query)]


def posts_on(db: Connection, channel: str, article_id: int) -> list[PostRow]:
    """An article's posts on a channel that are planned or up."""
    query = select(post).where(
        post.c.channel == channel, post.c.article == article_id, post.c.state != "gone"
    )
    return [_row(row) for row in db.execute(query.order_by(post.c.campaign))]


def seen(db: Connection) -> list[tuple[str, str, str, Receipt]]:
    """All posts that can be seen: their article's key and address, their channel, and the receipt."""
    query = (
        select(article.c.key, article.c.url, post.c.channel, post.c.receipt)
        .join(article, article.c.id == post.c.article)
        .where(post.c.state == "up", post.c.receipt.is_not(None))
        .order_by(article.c.sequence, post.c.campaign)
    )
    return [
        (row.key, row.url, row.channel, Receipt(**row.receipt)) for row in db.execute(query) if row.receipt
    ]


def know(db: Connection, campaign_id: int, told: bytes) -> None:
    """Note that what an article says now has been looked at."""
    db.execute(update(post).where(post.c.campaign == campaign_id).values(told=told))


def replace_waiting(db: Connection, campaign_id: int, *, rendition: str, told: bytes) -> bool:
    """Let a post that was never tried say something else; False when a worker has been at it."""
    untried = and_(batch.c.campaign == campaign_id, is_state(DeliveryState.QUEUED), batch.c.attempt == 0)
    if db.execute(update(batch).where(untried).values(rendition=rendition)).rowcount == 0:
        return False
    db.execute(update(post).where(post.c.campaign == campaign_id).values(rendition=rendition, told=told))
    return True


def gone(db: Connection, campaign_id: int) -> None:
    """Note that nothing of a post is, or will be, to be seen."""
    db.execute(update(post).where(post.c.campaign == campaign_id).values(state="gone"))


def settled(db: Connection, campaign_id: int) -> None:
    """Note that a person saw it there; where, nobody knows."""
    mine = and_(post.c.campaign == campaign_id, post.c.state == "planned")
    db.execute(update(post).where(mine).values(state="up"))


def last_correction(db: Connection, channel: str, root: int) -> int | None:
    """The newest campaign that corrects or takes back what *root* announced."""
    about = or_(campaign.c.slot.like(f"correct {root} %"), campaign.c.slot == f"withdraw {root}")
    found: int | None = db.scalar(
        select(func.max(campaign.c.id)).where(
            campaign.c.channel == channel, about, campaign.c.state != CampaignState.SKIPPED
        )
    )
    return found


def _row(row: Row[Any]) -> PostRow:
    receipt = Receipt(**row.receipt) if row.receipt else None
    return PostRow(
        campaign=row.campaign,
        channel=row.channel,
        article=row.article,
        rendition=row.rendition,
        told=row.told,
        state=row.state,
        receipt=receipt,
    )
