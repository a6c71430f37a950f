"""The statements that plan an edition: whom it is for, and who gets which rendition.

A batch holds its recipients' numbers, so that a call of a thousand is claimed by reading one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    ScalarSelect,
    Select,
    Subquery,
    and_,
    case,
    column,
    func,
    insert,
    literal,
    or_,
    select,
    table,
    text,
    update,
    values,
)
from sqlalchemy import Text as TextType

from distributor.errors import DatabaseError
from distributor.model import DeliveryState, Due
from distributor.store.articles import chunks
from distributor.store.schema import batch, delivery
from subscribers import segments
from subscribers.schema import Instant, list_, position, subscriber, subscription
from subscribers.segments import Segment
from subscribers.sql import common_position

REACHED = (
    "queued",
    "sending",
    "accepted",
    "unclear",
)  # the states in which a reader has, or may get, a rendition


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """An edition of long ago: whoever was a reader by then counts as having what anybody got in it."""

    campaign: int
    through: int  # the last reader that was in it; who has a higher number came later
    renditions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Which readers of a newsletter an edition is for."""

    newsletter: str
    cadences: tuple[str, ...]
    start: int  # nobody stands before it
    at: datetime  # whoever takes a break then stays where they stand
    overlapping: tuple[int, ...] = ()  # campaigns whose recipients are told apart
    remembered: tuple[Memory, ...] = ()  # such campaigns, where nobody knows any more who got what
    subscriber: int | None = None  # only this one
    segment: Segment | None = None  # only these
    has_places: bool = False  # its readers stand each where their own place does
    due: tuple[Due, ...] = ()  # only readers of these places, who were not served in this window
    slot_at: datetime | None = None  # the slot that it is for

    @property
    def runs_ahead(self) -> bool:
        """Whether it is for some only, who are then served further than the others."""
        return self.subscriber is not None or self.segment is not None


PAUSED = "paused"  # what tells readers who take a break from all others, instead of what they received


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Readers who are told alike: the same topics, position, and renditions beyond that position."""

    topics: str  # with commas between; empty: everything
    position: int
    received: str  # hashes of renditions, with commas between; or PAUSED
    size: int = 0

    @property
    def is_paused(self) -> bool:
        return self.received == PAUSED

    @property
    def key(self) -> tuple[str, int, str]:
        return (self.topics, self.position, self.received)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A cohort and the rendition it gets."""

    cohort: Cohort
    rendition: str


def cohorts(db: Connection, audience: Audience) -> list[Cohort]:
    """The audience, counted by what tells its readers apart."""
    readers = _readers(audience).subquery()
    told_apart = (readers.c.topics, readers.c.position, readers.c.received)
    rows = db.execute(select(*told_apart, func.count()).group_by(*told_apart).order_by(*told_apart))
    return [Cohort(topics=row[0], position=row[1], received=row[2], size=row[3]) for row in rows]


def lowest_position(db: Connection, audience: Audience) -> int:
    """A sequence number that nobody in the audience stands before, but for those who take a break."""
    on_list = select(list_.c.id).where(list_.c.name == audience.newsletter).scalar_subquery()
    common = db.scalar(
        select(func.min(position.c.served_through)).where(
            position.c.list == on_list, position.c.cadence.in_(audience.cadences)
        )
    )
    own = db.scalar(
        select(func.min(subscription.c.served_through)).where(
            subscription.c.list == on_list,
            subscription.c.served_through.is_not(None),
            subscription.c.state == "confirmed",
            subscription.c.cadence.in_(audience.cadences),
            ~_is_paused(audience),
        )
    )
    stand = [found for found in (common, own) if found is not None]
    return max(min(stand, default=0), audience.start)


def _readers(audience: Audience) -> Select[Any]:
    query = select(
        subscription.c.subscriber,
        subscription.c.topics,
        _from_start(audience, _stands(audience)).label("position"),
        case((_is_paused(audience), PAUSED), else_=_received(audience)).label("received"),
    ).where(subscription.c.state == "confirmed")
    query = _at_their_place(query, audience) if audience.due else _wherever_they_are(query, audience)
    if audience.subscriber is not None:
        query = query.where(subscription.c.subscriber == audience.subscriber)
    if audience.segment is not None:
        chosen = select(subscriber.c.id).where(segments.where(audience.segment, now=audience.at))
        query = query.where(subscription.c.subscriber.in_(chosen))
    return query


def _list(audience: Audience) -> ScalarSelect[Any]:
    return select(list_.c.id).where(list_.c.name == audience.newsletter).scalar_subquery()


def _from_start(audience: Audience, stands: ColumnElement[int]) -> ColumnElement[int]:
    return case((stands > audience.start, stands), else_=audience.start)


def _stands(audience: Audience) -> ColumnElement[int]:
    """Where a reader stands; `position` is in the statement, unless each is looked up at their place."""
    is_looked_up = audience.has_places and not audience.due
    common = common_position() if is_looked_up else position.c.served_through
    return func.coalesce(subscription.c.served_through, common, 0)


def _wherever_they_are(query: Select[Any], audience: Audience) -> Select[Any]:
    query = query.where(subscription.c.list == _list(audience), subscription.c.cadence.in_(audience.cadences))
    if audience.has_places:
        return query.select_from(subscription)
    usual = and_(
        position.c.list == subscription.c.list,
        position.c.cadence == subscription.c.cadence,
        position.c.place == "",
    )
    return query.select_from(subscription).outerjoin(position, usual)


def _at_their_place(query: Select[Any], audience: Audience) -> Select[Any]:
    """Those whom a slot serves now: their last one lies before the window that it is in."""
    due = _due(audience)
    served_at = func.coalesce(subscription.c.served_at, position.c.served_at)
    # The list seems to hang on the reader, so that SQLite, which keeps no statistics, finds readers by their
    # place, rather than reading the whole list for each place.
    of_theirs = and_(
        subscription.c.list == _list(audience) + 0 * subscriber.c.id,
        subscription.c.subscriber == subscriber.c.id,
        subscription.c.cadence == due.c.cadence,
    )
    return (
        query.add_columns(
            (position.c.served_at < due.c.begin).label("is_in_step"),  # their position moves on with them
            position.c.served_through.label("common"),
        )
        .select_from(due)
        .join(subscriber, subscriber.c.place == due.c.place)
        .join(subscription, of_theirs)
        .join(position, _of_due(due, audience))
        .where(served_at < due.c.begin)
    )


def _due(audience: Audience) -> CTE:
    rows = [(one.place, one.cadence, one.begin) for one in audience.due]
    columns = (column("place", TextType), column("cadence", TextType), column("begin", Instant))
    return values(*columns, name="due").data(rows).cte("due")


def _of_due(due: CTE, audience: Audience) -> ColumnElement[bool]:
    return and_(
        position.c.list == _list(audience),
        position.c.place == due.c.place,
        position.c.cadence == due.c.cadence,
    )


def _is_paused(audience: Audience) -> ColumnElement[bool]:
    until = subscription.c.paused_until
    return and_(until.is_not(None), until > audience.at)


def _received(audience: Audience) -> ColumnElement[str]:
    """The renditions of overlapping campaigns that a reader has or may get, with commas between."""
    received: ColumnElement[str] = literal("", TextType)
    for memory in audience.remembered:
        all_of_it = "".join(f"{hash_}," for hash_ in memory.renditions)
        received = received + case((subscription.c.subscriber <= memory.through, all_of_it), else_="")
    for campaign_id in audience.overlapping:
        one = (
            select(batch.c.rendition + ",")
            .join(delivery, and_(delivery.c.campaign == batch.c.campaign, delivery.c.batch == batch.c.number))
            .where(
                delivery.c.campaign == campaign_id,
                delivery.c.recipient == subscription.c.subscriber,
                func.coalesce(delivery.c.state, batch.c.state).in_(REACHED),
            )
            .scalar_subquery()
        )
        received = received + func.coalesce(one, "")
    return received


_share = table(
    "share",
    column("topics", TextType),
    column("position", BigInteger),
    column("received", TextType),
    column("number", Integer),  # of the rendition
    column("first", Integer),  # its first batch
)


def freeze(
    db: Connection,
    *,
    campaign_id: int,
    audience: Audience,
    shares: Sequence[Share],
    batch_size: int,
    due_at: datetime,
) -> int:
    """Write a delivery for every reader of the shares, grouped in batches; how many there are.

    Raises:
        DatabaseError: the readers are no longer those that were counted; nothing may be committed.
    """
    renditions = list(dict.fromkeys(share.rendition for share in shares))
    sizes = {hash_: sum(s.cohort.size for s in shares if s.rendition == hash_) for hash_ in renditions}
    firsts: dict[str, int] = {}
    next_number = 1
    for hash_ in renditions:
        firsts[hash_] = next_number
        next_number += -(-sizes[hash_] // batch_size)
    _write_shares(db, shares, renditions, firsts)
    _write_deliveries(db, campaign_id, audience, batch_size)
    db.execute(text("DROP TABLE share"))
    written = _write_batches(db, campaign_id, firsts, due_at=due_at)
    if written != sum(sizes.values()):
        raise DatabaseError(
            "the audience changed while its edition was being frozen; nothing was kept, plan again"
        )
    return written


def _write_shares(
    db: Connection, shares: Sequence[Share], renditions: Sequence[str], firsts: Mapping[str, int]
) -> None:
    db.execute(
        text(
            "CREATE TEMPORARY TABLE share"
            " (topics TEXT, position BIGINT, received TEXT, number INTEGER, first INTEGER)"
        )
    )
    if db.dialect.name == "sqlite":  # PostgreSQL hashes the shares itself, and bounds what an index may hold
        db.execute(text("CREATE INDEX temp.share_cohort ON share (topics, position, received)"))
    rows = [
        {
            "topics": share.cohort.topics,
            "position": share.cohort.position,
            "received": share.cohort.received,
            "number": renditions.index(share.rendition),
            "first": firsts[share.rendition],
        }
        for share in shares
    ]
    db.execute(insert(_share), rows)


def _write_deliveries(db: Connection, campaign_id: int, audience: Audience, batch_size: int) -> None:
    readers = _readers(audience).subquery()
    # As an integer it is divided by the database itself, not by a function called back for each row.
    place = func.row_number(type_=Integer).over(
        partition_by=_share.c.number, order_by=readers.c.subscriber
    ) - literal(1)
    numbered = (
        select(
            literal(campaign_id, BigInteger),
            readers.c.subscriber,
            _share.c.first + place // literal(batch_size),
        )
        .join(
            _share,
            and_(
                _share.c.topics == readers.c.topics,
                _share.c.position == readers.c.position,
                _share.c.received == readers.c.received,
            ),
        )
        .order_by(readers.c.subscriber)  # a table is written fastest, and smallest, in the order of its key
    )
    db.execute(insert(delivery).from_select(["campaign", "recipient", "batch"], numbered))


def _write_batches(db: Connection, campaign_id: int, firsts: Mapping[str, int], *, due_at: datetime) -> int:
    by_first = sorted(firsts.items(), key=lambda item: item[1], reverse=True)
    written = 0
    for part in chunks(_batches_of(db, campaign_id), 100):
        rows: list[dict[str, Any]] = [
            {
                "campaign": campaign_id,
                "number": number,
                "rendition": next(hash_ for hash_, first in by_first if first <= number),
                "recipients": recipients,
                "size": size,
                "state": DeliveryState.QUEUED,
                "due_at": due_at,
            }
            for number, size, recipients in part
        ]
        db.execute(insert(batch), rows)
        written += sum(row["size"] for row in rows)
    return written


def _batches_of(db: Connection, campaign_id: int) -> Iterator[tuple[int, int, str]]:
    """Number, size and recipients (ascending, as JSON) of each batch of the deliveries just written."""
    gather = func.json_group_array if db.dialect.name == "sqlite" else func.json_agg
    query = (
        select(delivery.c.batch, func.count(), func.cast(gather(delivery.c.recipient), TextType))
        .where(delivery.c.campaign == campaign_id)
        .group_by(delivery.c.batch)
        .order_by(delivery.c.batch)
    )
    for number, size, recipients in db.execute(query):
        yield number, size, orjson.dumps(sorted(orjson.loads(recipients))).decode()


def freeze_post(db: Connection, *, campaign_id: int, rendition: str, due_at: datetime) -> None:
    """Write the one delivery of a post: to its channel, which stands as recipient 0."""
    db.execute(
        insert(batch).values(
            campaign=campaign_id,
            number=1,
            rendition=rendition,
            recipients="[0]",
            size=1,
            state=DeliveryState.QUEUED,
            due_at=due_at,
        )
    )
    db.execute(insert(delivery).values(campaign=campaign_id, recipient=0, batch=1))


def move_positions(db: Connection, audience: Audience, *, held: Iterable[Cohort], through: int) -> None:
    """Serve the audience through *through*, but for the *held* cohorts, who stay where they stand.

    So does whoever takes a break.
    """
    readers = _readers(audience).subquery()
    stays = or_(readers.c.received == PAUSED, *(_is_of(readers.c, cohort) for cohort in held))
    if audience.due:
        _move_places(db, audience, readers, stays, through)
    elif audience.runs_ahead:
        served = select(readers.c.subscriber).where(~stays)
        alone = and_(subscription.c.list == _list(audience), subscription.c.subscriber.in_(served))
        db.execute(update(subscription).where(alone).values(served_through=through))
    else:
        _move_everybody(db, audience, readers, stays, through)


def _move_everybody(
    db: Connection, audience: Audience, readers: Subquery, stays: ColumnElement[bool], through: int
) -> None:
    """Those who stay get a position of their own before the common one moves on; the others lose theirs."""
    on_list = subscription.c.list == _list(audience)
    staying = select(readers.c.subscriber).where(stays)
    own = (
        select(readers.c.position).where(readers.c.subscriber == subscription.c.subscriber).scalar_subquery()
    )
    db.execute(
        update(subscription)
        .where(on_list, subscription.c.subscriber.in_(staying), subscription.c.served_through.is_(None))
        .values(served_through=own)
    )
    is_slot = audience.slot_at is not None
    db.execute(
        update(subscription)
        .where(
            on_list,
            subscription.c.served_through.is_not(None),
            subscription.c.served_through <= through,
            subscription.c.state == "confirmed",
            subscription.c.cadence.in_(audience.cadences),
            subscription.c.subscriber.not_in(staying),
        )
        .values(
            served_through=case((common_position() > through, literal(through, BigInteger)), else_=None),
            **({"served_at": None} if is_slot else {}),
        )
    )
    common = and_(position.c.list == _list(audience), position.c.cadence.in_(audience.cadences))
    db.execute(
        update(position).where(common, position.c.served_through < through).values(served_through=through)
    )
    if is_slot:
        db.execute(update(position).where(common).values(served_at=audience.slot_at))


def _move_places(
    db: Connection, audience: Audience, readers: Subquery, stays: ColumnElement[bool], through: int
) -> None:
    """As for everybody; but readers may stand before or beyond the others of a place that they moved to."""
    own = subscription.c
    # As in `_at_their_place`, the list seems to hang on the reader.
    theirs = (own.list == _list(audience) + 0 * readers.c.subscriber, own.subscriber == readers.c.subscriber)
    slot_at = literal(audience.slot_at, Instant)
    db.execute(
        update(subscription)
        .where(*theirs, stays, or_(own.served_through.is_(None), own.served_at.is_not(None)))
        .values(served_through=readers.c.position, served_at=case((own.served_at.is_not(None), slot_at)))
    )
    joins = and_(readers.c.is_in_step, readers.c.common <= through)
    db.execute(
        update(subscription)
        .where(*theirs, ~stays, or_(own.served_through.is_not(None), own.served_at.is_not(None)))
        .values(
            served_through=case(
                (own.served_through > through, own.served_through),
                (joins, None),
                else_=literal(through, BigInteger),
            ),
            served_at=case((readers.c.is_in_step, None), else_=slot_at),
        )
    )
    due = _due(audience)
    db.execute(
        update(position)
        .where(_of_due(due, audience), position.c.served_at < due.c.begin)
        .values(
            served_through=case(
                (position.c.served_through < through, literal(through, BigInteger)),
                else_=position.c.served_through,
            ),
            served_at=slot_at,
        )
    )


def _is_of(readers: Any, cohort: Cohort) -> ColumnElement[bool]:
    return and_(
        readers.topics == cohort.topics,
        readers.position == cohort.position,
        readers.received == cohort.received,
    )
