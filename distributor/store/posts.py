"""The statements about posts: what can be seen of an article on which channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    and_,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from distributor.model import CampaignState, DeliveryState, Post, Receipt, is_begun
from distributor.store.campaigns import unpack
from distributor.store.ledger import OPEN, is_state
from distributor.store.schema import article, batch, campaign, post, rendition


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRow:
    """An article's post on a channel."""

    campaign: int  # in whose slot its article had its turn
    roundup: int | None  # that names it among others
    channel: str
    article: int
    rendition: str  # hash of what is to be seen, or will be
    told: bytes
    state: str  # planned, up, gone
    receipt: Receipt | None

    @property
    def root(self) -> int:
        """The campaign that announced it."""
        return self.roundup or self.campaign


def add_post(
    db: Connection,
    *,
    campaign_id: int,
    channel: str,
    article_id: int,
    rendition: str,
    told: bytes,
    roundup: int | None = None,
) -> None:
    """Note a post that is planned; *told* is the hash of what its article says."""
    values = {"campaign": campaign_id, "channel": channel, "article": article_id, "rendition": rendition}
    db.execute(insert(post).values(values | {"told": told, "state": "planned", "roundup": roundup}))


def accepted(db: Connection, campaign_id: int, content: Post, receipt: Receipt) -> None:
    """Note what a network took: the campaign announced, changed or took back a post."""
    root = content.of_campaign or campaign_id
    here = or_(post.c.campaign == root, and_(post.c.roundup == root, post.c.state != "gone"))
    seen = asdict(receipt)
    match content.action:
        case "post" | "repost":
            values = {"state": "up", "receipt": seen, "rendition": content.hash}
            db.execute(update(post).where(here).values(values))
            _unnamed(db, root, content)
        case "edit":  # of what is gone by now nothing came back
            db.execute(update(post).where(here).values(receipt=seen, rendition=content.hash))
            _unnamed(db, root, content)
        case "delete":
            before = db.scalars(select(post.c.receipt).where(here)).first()
            if before is None or content.of is None or before["id"] == content.of.id:
                gone(db, root)  # else it was posted anew meanwhile
        case "reply":  # its own receipt stands in its batch
            pass


def _unnamed(db: Connection, root: int, content: Post) -> None:
    """Note that a roundup names an article no more."""
    named = select(article.c.id).where(article.c.key.in_([carried.key for carried in content.articles]))
    db.execute(update(post).where(post.c.roundup == root, post.c.article.not_in(named)).values(state="gone"))


def _is_of(root: int) -> ColumnElement[bool]:
    """The post that a campaign announced; or all the articles that it named."""
    return or_(post.c.campaign == root, post.c.roundup == root)


def post_of(db: Connection, campaign_id: int) -> PostRow | None:
    """The post of the article that had its turn in a campaign's slot."""
    row = db.execute(select(post).where(post.c.campaign == campaign_id)).first()
    return _row(row) if row else None


def renditions_due(db: Connection, channel: str, since: datetime, until: datetime) -> list[str]:
    """What a channel posted or will, of what was or is due then: one hash for each post."""
    query = (
        select(batch.c.rendition)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(
            campaign.c.channel == channel,
            batch.c.due_at >= since,
            batch.c.due_at < until,
            batch.c.state.not_in((DeliveryState.SKIPPED, DeliveryState.REFUSED)),
            campaign.c.state != CampaignState.AWAITING_APPROVAL,
        )
    )
    return list(db.scalars(query))


def changed(db: Connection, channel: str) -> list[tuple[PostRow, str, bool]]:
    """The channel's posts whose article says something else by now, or is public no more: with its key, and
    whether it is public."""
    is_other = and_(article.c.told.is_not(None), article.c.told != post.c.told)
    is_withdrawn = and_(article.c.is_public.is_(False), post.c.told != TAKEN_BACK)
    query = (
        select(post, article.c.key, article.c.is_public)
        .join(article, article.c.id == post.c.article)
        .where(post.c.channel == channel, post.c.state != "gone", or_(is_other, is_withdrawn))
        .order_by(post.c.campaign)
    )
    return [(_row(row), row.key, row.is_public) for row in db.execute(query)]


TAKEN_BACK = b""  # told of an article in a roundup, once it is looked at that it was taken back


def members(db: Connection, roundup: int) -> list[tuple[PostRow, str, bool]]:
    """What a roundup names, or will: with each article's key, and whether it is public."""
    query = (
        select(post, article.c.key, article.c.is_public)
        .join(article, article.c.id == post.c.article)
        .where(post.c.roundup == roundup, post.c.state != "gone")
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


def replace_waiting(db: Connection, root: int, *, rendition: str, even_tried: bool = False) -> bool:
    """Let a post say something else of which nothing can be seen; False when it is too late for that.

    One that was tried, and is to be tried again, keeps its words unless *even_tried*.
    """
    row = db.execute(select(batch).where(batch.c.campaign == root).with_for_update()).first()
    if row is None or not _is_replaceable(row, even_tried=even_tried):
        return False
    # With what its network noted goes what it made of the old words: Meta keeps them in a container.
    db.execute(update(batch).where(batch.c.campaign == root).values(rendition=rendition, kept=None))
    db.execute(update(post).where(_is_of(root), post.c.state != "gone").values(rendition=rendition))
    return True


def _is_replaceable(row: Row[Any], *, even_tried: bool) -> bool:
    if row.state == DeliveryState.REFUSED:  # a person may have it tried again
        return not is_begun(None, row.kept)
    is_waiting = row.state == DeliveryState.QUEUED and not is_begun(row.called_at, row.kept)
    return is_waiting and (even_tried or row.attempt == 0)


def gone(db: Connection, campaign_id: int) -> None:
    """Note that nothing of a post is, or will be, to be seen; of a roundup, of all that it named."""
    db.execute(update(post).where(_is_of(campaign_id)).values(state="gone"))


def standing(db: Connection, campaign_id: int) -> tuple[Receipt, int] | None:
    """What stands of a thread that is not whole: the receipt of its first parts, and how many they are."""
    kept = db.scalar(select(batch.c.kept).where(batch.c.campaign == campaign_id, batch.c.number == 1))
    if not kept or not kept.get("standing"):
        return None
    values = dict(kept["standing"])
    count = values.pop("count")
    return Receipt(**values), count


def stands(db: Connection, campaign_id: int) -> None:
    """Note that the first parts of a thread can be seen, and that nobody is at the others."""
    if (found := standing(db, campaign_id)) is None:
        return
    query = select(rendition.c.hash, rendition.c.content).join(batch, batch.c.rendition == rendition.c.hash)
    row = db.execute(query.where(batch.c.campaign == campaign_id)).one()
    content = unpack(row.content)
    if isinstance(content, Post) and content.action in ("post", "repost"):
        here = post.c.campaign == (content.of_campaign or campaign_id)
        values = {"state": "up", "receipt": asdict(found[0]), "rendition": row.hash}
        db.execute(update(post).where(here).values(values))


def settled(db: Connection, campaign_id: int) -> None:
    """Note that a person saw it there; where, nobody knows, but for a thread's first parts."""
    stands(db, campaign_id)
    mine = and_(_is_of(campaign_id), post.c.state == "planned")
    db.execute(update(post).where(mine).values(state="up"))


def last_correction(db: Connection, channel: str, root: int) -> int | None:
    """The newest campaign that corrects or takes back what *root* announced."""
    found: int | None = db.scalar(
        select(func.max(campaign.c.id)).where(
            campaign.c.channel == channel, _is_about(root), campaign.c.state != CampaignState.SKIPPED
        )
    )
    return found


def _is_about(root: int) -> ColumnElement[bool]:
    slot = campaign.c.slot
    withdraws = or_(slot == f"withdraw {root}", slot.like(f"withdraw {root} %"))
    return or_(slot.like(f"correct {root} %"), and_(withdraws, slot.not_like("% undone")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What is still to be done to a post, or being done."""

    campaign: int
    action: str
    is_tried: bool  # a call was begun, whatever came of it
    is_under_way: bool  # it is being called, or may have been accepted


def open_on(db: Connection, channel: str, root: int, *, itself: bool = False) -> list[Open]:
    """What is open of the corrections and withdrawals of a post; or, with *itself*, of its announcement.

    Until the transaction ends no worker takes up any of it.
    """
    query = (
        select(batch, rendition.c.content)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .join(rendition, rendition.c.hash == batch.c.rendition)
        .where(campaign.c.channel == channel, campaign.c.id == root if itself else _is_about(root))
        .where(is_state(*OPEN))
        .order_by(batch.c.campaign)
        .with_for_update(of=batch)
    )
    return [_open(row) for row in db.execute(query)]


def _open(row: Row[Any]) -> Open:
    content = unpack(row.content)
    assert isinstance(content, Post)
    is_under_way = row.state != DeliveryState.QUEUED or is_begun(row.called_at, row.kept)
    return Open(
        campaign=row.campaign,
        action=content.action,
        is_tried=row.attempt > 0,
        is_under_way=is_under_way,
    )


def unfit(db: Connection, channel: str, network: str) -> list[tuple[PostRow, str]]:
    """The channel's posts that wait untried and were made for another network: with their article's key."""
    query = (
        select(post, article.c.key, rendition.c.content)
        .join(article, article.c.id == post.c.article)
        .join(batch, batch.c.campaign == _root())
        .join(rendition, rendition.c.hash == post.c.rendition)
        .where(post.c.channel == channel, post.c.state == "planned", article.c.is_public)
        .where(is_state(DeliveryState.QUEUED), batch.c.attempt == 0)
        .order_by(post.c.campaign)
    )
    found = ((_row(row), row.key, unpack(row.content)) for row in db.execute(query))
    return [(row, key) for row, key, one in found if isinstance(one, Post) and one.network != network]


def answers(db: Connection, channel: str, root: int) -> list[str]:
    """Where the answers to a post stand, or their ids."""
    query = (
        select(batch.c.receipt, rendition.c.content)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .join(rendition, rendition.c.hash == batch.c.rendition)
        .where(campaign.c.channel == channel, campaign.c.slot.like(f"correct {root} %"))
        .where(batch.c.state == DeliveryState.ACCEPTED)
        .order_by(batch.c.campaign)
    )
    found = ((row.receipt, unpack(row.content)) for row in db.execute(query))
    return [str(receipt) for receipt, one in found if isinstance(one, Post) and one.action == "reply"]


def returned(db: Connection, channel: str) -> list[tuple[PostRow, int]]:
    """Posts that are up and were to go with their article, which is public again: with that campaign."""
    query = (
        select(post, campaign.c.id.label("withdrawal"))
        .join(article, article.c.id == post.c.article)
        .join(campaign, and_(campaign.c.channel == post.c.channel, campaign.c.slot == _withdrawal()))
        .where(post.c.channel == channel, post.c.state == "up", article.c.is_public)
        .order_by(post.c.campaign)
    )
    return [(_row(row), row.withdrawal) for row in db.execute(query)]


def _withdrawal() -> ColumnElement[str]:
    return literal("withdraw ") + cast(_root(), Text)


def _root() -> ColumnElement[int]:
    return func.coalesce(post.c.roundup, post.c.campaign)


def undo_withdrawal(db: Connection, root: int, campaign_id: int) -> None:
    """Let the post be taken back another time."""
    slot = f"withdraw {root} {campaign_id} undone"
    db.execute(update(campaign).where(campaign.c.id == campaign_id).values(slot=slot))


def is_leaving(db: Connection, channel: str, article_id: int) -> bool:
    """Whether a post of an article is still up, but being taken back."""
    query = (
        select(batch.c.campaign)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .join(post, and_(campaign.c.channel == post.c.channel, campaign.c.slot == _withdrawal()))
        .where(post.c.channel == channel, post.c.article == article_id, post.c.state == "up")
        .where(is_state(*OPEN))
    )
    return db.scalar(query.limit(1)) is not None


def newest_in(db: Connection, campaign_id: int) -> datetime | None:
    """When the newest article that a campaign announces was published."""
    query = select(func.max(article.c.published_at)).join(post, post.c.article == article.c.id)
    found: datetime | None = db.scalar(query.where(_is_of(campaign_id)))
    return found


def posted_through(db: Connection, root: int) -> str | None:
    """The way by which a post went out."""
    found: str | None = db.scalar(
        select(batch.c.provider).where(batch.c.campaign == root).order_by(batch.c.number).limit(1)
    )
    return found


def _row(row: Row[Any]) -> PostRow:
    receipt = Receipt(**row.receipt) if row.receipt else None
    return PostRow(
        campaign=row.campaign,
        roundup=row.roundup,
        channel=row.channel,
        article=row.article,
        rendition=row.rendition,
        told=row.told,
        state=row.state,
        receipt=receipt,
    )
