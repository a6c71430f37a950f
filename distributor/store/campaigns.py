"""Every SQL statement about channels, campaigns and renditions."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from distributor.model import (
    Campaign,
    CampaignState,
    Carried,
    Digest,
    Picture,
    Post,
    Receipt,
    Rendition,
    hash_of,
)
from distributor.store import outgoing
from distributor.store.articles import chunks
from distributor.store.dialect import upsert
from distributor.store.schema import article, batch, campaign, channel, rendition, rendition_article

Kind = Literal["newsletter", "post"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """A newsletter or channel since it was first seen in the configuration."""

    name: str
    kind: Kind
    start: int  # the sequence number beyond which it announces
    handled_at: datetime  # the last slot that was planned, merged or dropped


def ensure_channel(db: Connection, name: str, kind: Kind, *, start: int, now: datetime) -> None:
    """Begin with a channel: what is public by now counts as announced."""
    row = {"name": name, "kind": kind, "start": start, "handled_at": now}
    upsert(db, channel, [row], key=["name"], change=False)


def channels(db: Connection) -> dict[str, ChannelRow]:
    rows = db.execute(select(channel))
    return {row.name: ChannelRow(**row._mapping) for row in rows}


def handled(db: Connection, name: str, *, at: datetime | None = None, through: int | None = None) -> None:
    """Note that a channel's slots up to *at*, or its articles up to *through*, need no more planning."""
    own = update(channel).where(channel.c.name == name)
    if at is not None:  # never back: another machine may have planned a later slot
        db.execute(own.where(channel.c.handled_at < at).values(handled_at=at))
    if through is not None:
        db.execute(own.values(start=through))


def hold_channel(db: Connection, name: str) -> None:
    """Keep others waiting who look when a post of a channel may go out, until the transaction ends."""
    # The key stays free, for whoever writes a campaign of the channel meanwhile.
    db.execute(select(channel.c.name).where(channel.c.name == name).with_for_update(key_share=True))


def add_campaign(db: Connection, new: Campaign) -> Campaign | None:
    """Insert, with an id; None when its key exists: it is planned already."""
    with db.begin_nested():
        exists = select(campaign.c.id).where(campaign.c.channel == new.channel, campaign.c.slot == new.slot)
        if db.scalar(exists) is not None:
            return None
        values = {name: value for name, value in asdict(new).items() if name != "id"}
        found = db.scalar(insert(campaign).values(values).returning(campaign.c.id))
        assert found is not None
        if new.notice is None:
            outgoing.note(db, [found], new.state)
    return campaign_of(db, found)


def campaign_of(db: Connection, campaign_id: int) -> Campaign | None:
    row = db.execute(select(campaign).where(campaign.c.id == campaign_id)).first()
    return _campaign(row) if row else None


def campaign_at(db: Connection, channel_name: str, slot: str) -> Campaign | None:
    query = select(campaign).where(campaign.c.channel == channel_name, campaign.c.slot == slot)
    row = db.execute(query).first()
    return _campaign(row) if row else None


def campaigns(
    db: Connection,
    *,
    channel_name: str | None = None,
    states: Iterable[CampaignState] = (),
    before: int | None = None,
    limit: int = 50,
) -> list[Campaign]:
    """The newest first, notices among them; *before*: only those of lower numbers."""
    query = select(campaign).order_by(campaign.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(campaign.c.id < before)
    if channel_name is not None:
        query = query.where(campaign.c.channel == channel_name)
    if wanted := tuple(states):
        query = query.where(campaign.c.state.in_(wanted))
    return [_campaign(row) for row in db.execute(query)]


def has_announced(db: Connection, channel_name: str) -> bool:
    """Whether a channel had an edition or a post; a notice is neither."""
    query = (
        select(campaign.c.id).where(campaign.c.channel == channel_name, campaign.c.notice.is_(None)).limit(1)
    )
    return db.scalar(query) is not None


def overlapping(db: Connection, channel_name: str, *, beyond: int) -> list[int]:
    """The campaigns whose articles may lie beyond the position of readers who have them already."""
    query = (
        select(campaign.c.id)
        .distinct()
        .join(batch, batch.c.campaign == campaign.c.id)
        .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
        .join(article, article.c.id == rendition_article.c.article)
        .where(campaign.c.channel == channel_name, campaign.c.overlaps, article.c.sequence > beyond)
        .order_by(campaign.c.id)
    )
    return list(db.scalars(query))


def last_audience(db: Connection, channel_name: str) -> int | None:
    """How many readers a newsletter's list had when its last edition was planned."""
    query = (
        select(campaign.c.audience)
        .where(campaign.c.channel == channel_name, campaign.c.audience.is_not(None))
        .order_by(campaign.c.id.desc())
        .limit(1)
    )
    found: int | None = db.scalar(query)
    return found


def content_of(db: Connection, campaign_id: int) -> str:
    """The hash of all that was frozen for a campaign: what a person approves."""
    hashes = sorted(renditions_of(db, campaign_id))
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def approve(db: Connection, campaign_id: int, *, content: str, now: datetime) -> None:
    """Note what was approved, and when."""
    db.execute(
        update(campaign).where(campaign.c.id == campaign_id).values(approved_content=content, approved_at=now)
    )


def change_state(
    db: Connection,
    campaign_id: int,
    state: CampaignState,
    *,
    only_from: Iterable[CampaignState],
    reason: str | None = None,
) -> bool:
    """Move a campaign to *state*; False when it was in none of *only_from*."""
    is_from = campaign.c.state.in_(tuple(only_from))
    return move(db, state, campaign.c.id == campaign_id, is_from, reason=reason) > 0


def move(db: Connection, state: CampaignState, *those: ColumnElement[bool], **values: Any) -> int:
    """Bring the campaigns for which *those* hold to a state they are not in; how many there were.

    It is noted for the hooks, unless they are notices, which open and close with every reader who is asked.
    """
    moved = update(campaign).where(*those, campaign.c.state != state).values(state=state, **values)
    rows = db.execute(moved.returning(campaign.c.id, campaign.c.notice)).all()
    outgoing.note(db, [row.id for row in rows if row.notice is None], state)
    return len(rows)


def is_guarded(db: Connection, campaign_id: int) -> bool:
    """Whether it is being sent, and pauses when it is badly received; what readers ask for never does."""
    going_on = campaign.c.state.in_((CampaignState.SCHEDULED, CampaignState.SENDING))
    may_pause = (campaign.c.overruled.is_(False), campaign.c.notice.is_(None))
    query = select(campaign.c.id).where(campaign.c.id == campaign_id, going_on, *may_pause)
    return db.scalar(query) is not None


def overrule(db: Connection, campaign_id: int) -> None:
    """A person goes on with it, however it is received."""
    db.execute(update(campaign).where(campaign.c.id == campaign_id).values(overruled=True))


def keep_rendition(db: Connection, content: Rendition, articles: Mapping[str, int]) -> str:
    """Freeze content under its hash; *articles* gives the ids of the keys it carries."""
    hash_ = content.hash
    upsert(db, rendition, [{"hash": hash_, "content": pack(content)}], key=["hash"], change=False)
    rows = [
        {"article": articles[carried.key], "rendition": hash_, "role": carried.role}
        for carried in content.articles
    ]
    upsert(db, rendition_article, rows, key=["article", "rendition"], change=False)
    return hash_


def frozen(db: Connection, hash_: str) -> Rendition | None:
    """The rendition of that hash; None if what is kept under it is not what was frozen."""
    found = db.scalar(select(rendition.c.content).where(rendition.c.hash == hash_))
    if found is None:
        return None
    # Of what is kept, not of what it becomes here: a newer program may know more fields.
    is_same = hash_of(orjson.loads(zlib.decompress(found))["content"]) == hash_
    return unpack(found) if is_same else None


def rendition_of(db: Connection, hash_: str) -> Rendition | None:
    found = db.scalar(select(rendition.c.content).where(rendition.c.hash == hash_))
    return unpack(found) if found is not None else None


def published_at(db: Connection, hash_: str) -> datetime | None:
    """When the newest article in a rendition was first seen public."""
    query = (
        select(func.max(article.c.first_public_at))
        .join(rendition_article, rendition_article.c.article == article.c.id)
        .where(rendition_article.c.rendition == hash_)
    )
    found: datetime | None = db.scalar(query)
    return found


def renditions_of(db: Connection, campaign_id: int) -> dict[str, int]:
    """Hash -> number of recipients, of a campaign's renditions."""
    query = select(batch.c.rendition, func.sum(batch.c.size)).where(batch.c.campaign == campaign_id)
    return {row[0]: row[1] for row in db.execute(query.group_by(batch.c.rendition))}


def articles_in(db: Connection, renditions: Iterable[str]) -> dict[str, set[str]]:
    """Rendition -> the keys of the articles it carries."""
    found: dict[str, set[str]] = {}
    query = select(rendition_article.c.rendition, article.c.key).join(
        article, article.c.id == rendition_article.c.article
    )
    for part in chunks(renditions):
        for hash_, key in db.execute(query.where(rendition_article.c.rendition.in_(part))):
            found.setdefault(hash_, set()).add(key)
    return found


def carrying(db: Connection, channel_name: str, articles: Iterable[int]) -> list[int]:
    """The campaigns of a channel that carry any of these articles."""
    found: set[int] = set()
    for part in chunks(articles):
        query = (
            select(campaign.c.id)
            .join(batch, batch.c.campaign == campaign.c.id)
            .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
            .where(campaign.c.channel == channel_name, rendition_article.c.article.in_(part))
        )
        found |= set(db.scalars(query.distinct()))
    return sorted(found)


def pack(content: Rendition) -> bytes:
    kind = "digest" if isinstance(content, Digest) else "post"
    return zlib.compress(orjson.dumps({"kind": kind, "content": asdict(content)}), 6)


def unpack(data: bytes) -> Rendition:
    found = orjson.loads(zlib.decompress(data))
    content = found["content"]
    content["pictures"] = tuple(Picture(**picture) for picture in content["pictures"])
    content["articles"] = tuple(Carried(**carried) for carried in content["articles"])
    if found["kind"] == "digest":
        return Digest(**content)
    content["of"] = Receipt(**content["of"]) if content.get("of") else None
    for name in ("more", "more_text", "notes"):
        content[name] = tuple(content.get(name, ()))
    return Post(**content)


def _campaign(row: Row[Any]) -> Campaign:
    values = {field.name: getattr(row, field.name) for field in fields(Campaign)}
    return Campaign(**values | {"state": CampaignState(row.state)})
