"""The statements about posts: what can be seen of an article on which channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, update

from distributor.model import Post, Receipt
from distributor.store.schema import post


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
