"""The statements behind the archive: which editions went out, and what most of their readers got."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, desc, func, or_, select

from distributor.model import CampaignState, DeliveryState
from distributor.store.schema import batch, campaign

MOST = 2**63 - 1  # numbers that the database knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """An edition that anybody may read."""

    campaign: int
    newsletter: str
    due_at: datetime  # aware, UTC
    rendition: str  # hash of what most of its readers got


def editions(
    db: Connection, newsletter: str, *, limit: int, before: int | None = None, slot_words: str = " to "
) -> list[Edition]:
    """A newsletter's editions older than *before*, newest first; of those to one reader alone none."""
    query = _open().where(campaign.c.channel == newsletter, campaign.c.slot.not_like(f"%{slot_words}%"))
    if before is not None:
        query = query.where(campaign.c.id < min(max(before, 0), MOST))
    newest = query.order_by(campaign.c.id.desc()).limit(limit).subquery()
    return _with_renditions(db, select(newest.c.id))


def edition(db: Connection, campaign_id: int) -> Edition | None:
    """The edition of that number, whoever its readers are; None while nobody was sent it."""
    if not 0 < campaign_id <= MOST:
        return None
    found = _with_renditions(db, _open().where(campaign.c.id == campaign_id))
    return found[0] if found else None


def _open() -> Select[tuple[int]]:
    """The editions that have begun to go out; what was called off on the way is shown to nobody."""
    was_begun = (
        select(batch.c.number)
        .where(batch.c.campaign == campaign.c.id, batch.c.state == DeliveryState.ACCEPTED)
        .exists()
    )
    is_open = or_(
        campaign.c.state.in_((CampaignState.SENDING, CampaignState.DONE)),
        and_(campaign.c.state == CampaignState.PAUSED, was_begun),
    )
    return select(campaign.c.id).where(campaign.c.kind == "newsletter", campaign.c.notice.is_(None), is_open)


def _with_renditions(db: Connection, ids: Select[tuple[int]]) -> list[Edition]:
    readers: ColumnElement[int] = func.sum(batch.c.size)
    place = func.row_number().over(partition_by=batch.c.campaign, order_by=(desc(readers), batch.c.rendition))
    counted = (
        select(batch.c.campaign, batch.c.rendition, place.label("place"))
        .where(batch.c.campaign.in_(ids))
        .group_by(batch.c.campaign, batch.c.rendition)
        .subquery()
    )
    query = (
        select(campaign.c.id, campaign.c.channel, campaign.c.due_at, counted.c.rendition)
        .join(counted, counted.c.campaign == campaign.c.id)
        .where(counted.c.place == 1)
        .order_by(campaign.c.id.desc())
    )
    return [
        Edition(campaign=row.id, newsletter=row.channel, due_at=row.due_at, rendition=row.rendition)
        for row in db.execute(query)
    ]
