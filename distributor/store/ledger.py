"""Every SQL statement about batches and deliveries: who gets what, and what became of it.

A delivery without a state of its own stands as its batch does, so a call of a thousand recipients is claimed
by one row and finished by one row.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    and_,
    case,
    column,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    update,
)
from sqlalchemy import Text as TextType

from distributor.errors import DatabaseError
from distributor.model import Answer, Batch, CampaignState, DeliveryState
from distributor.store.schema import article as article_table
from distributor.store.schema import batch, campaign, delivery, fact, rendition_article
from distributor.store.schema import rendition as rendition_table
from subscribers.schema import list_, position, subscriber, subscription

REACHED = (
    "queued",
    "sending",
    "accepted",
    "unclear",
)  # the states in which a reader has, or may get, a rendition


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Which readers of a newsletter an edition is for."""

    newsletter: str
    cadences: tuple[str, ...]
    start: int  # nobody stands before it
    overlapping: tuple[int, ...] = ()  # campaigns whose recipients are told apart
    subscriber: int | None = None  # only this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Readers who are told alike: the same topics, position, and renditions beyond that position."""

    topics: str  # with commas between; empty: everything
    position: int
    received: str  # hashes of renditions, with commas between
    size: int = 0

    @property
    def key(self) -> tuple[str, int, str]:
        return (self.topics, self.position, self.received)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A cohort and the rendition it gets."""

    cohort: Cohort
    rendition: str


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


# --- planning ---------------------------------------------------------------------------------------------


def cohorts(db: Connection, audience: Audience) -> list[Cohort]:
    """The audience, counted by what tells its readers apart."""
    readers = _readers(audience).subquery()
    told_apart = (readers.c.topics, readers.c.position, readers.c.received)
    rows = db.execute(select(*told_apart, func.count()).group_by(*told_apart).order_by(*told_apart))
    return [Cohort(topics=row[0], position=row[1], received=row[2], size=row[3]) for row in rows]


def lowest_position(db: Connection, audience: Audience) -> int:
    """A sequence number that nobody in the audience stands before."""
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
        )
    )
    stand = [found for found in (common, own) if found is not None]
    return max(min(stand, default=0), audience.start)


def _readers(audience: Audience) -> Select[Any]:
    stands = func.coalesce(subscription.c.served_through, position.c.served_through, 0)
    query = (
        select(
            subscription.c.subscriber,
            subscription.c.topics,
            case((stands > audience.start, stands), else_=audience.start).label("position"),
            _received(audience.overlapping).label("received"),
        )
        .outerjoin(
            position,
            and_(position.c.list == subscription.c.list, position.c.cadence == subscription.c.cadence),
        )
        .where(
            subscription.c.list
            == select(list_.c.id).where(list_.c.name == audience.newsletter).scalar_subquery(),
            subscription.c.state == "confirmed",
            subscription.c.cadence.in_(audience.cadences),
        )
    )
    if audience.subscriber is not None:
        query = query.where(subscription.c.subscriber == audience.subscriber)
    return query


def _received(campaigns: Sequence[int]) -> ColumnElement[str]:
    """The renditions of these campaigns that a reader has or may get, with commas between."""
    received: ColumnElement[str] = literal("", TextType)
    for campaign_id in campaigns:
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
    priority: int,
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
    written = _write_batches(db, campaign_id, firsts, priority=priority, due_at=due_at)
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
    place = func.row_number().over(partition_by=_share.c.number, order_by=readers.c.subscriber) - 1
    numbered = select(
        literal(campaign_id, BigInteger), readers.c.subscriber, _share.c.first + place // literal(batch_size)
    ).join(
        _share,
        and_(
            _share.c.topics == readers.c.topics,
            _share.c.position == readers.c.position,
            _share.c.received == readers.c.received,
        ),
    )
    db.execute(insert(delivery).from_select(["campaign", "recipient", "batch"], numbered))


def _write_batches(
    db: Connection, campaign_id: int, firsts: Mapping[str, int], *, priority: int, due_at: datetime
) -> int:
    by_first = sorted(firsts.items(), key=lambda item: item[1], reverse=True)
    rows: list[dict[str, Any]] = [
        {
            "campaign": campaign_id,
            "number": number,
            "rendition": next(hash_ for hash_, first in by_first if first <= number),
            "recipients": recipients,
            "size": size,
            "priority": priority,
            "state": DeliveryState.QUEUED,
            "due_at": due_at,
        }
        for number, size, recipients in _batches_of(db, campaign_id)
    ]
    if rows:
        db.execute(insert(batch), rows)
    return sum(row["size"] for row in rows)


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


def freeze_post(db: Connection, *, campaign_id: int, rendition: str, priority: int, due_at: datetime) -> None:
    """Write the one delivery of a post: to its channel, which stands as recipient 0."""
    db.execute(
        insert(batch).values(
            campaign=campaign_id,
            number=1,
            rendition=rendition,
            recipients="[0]",
            size=1,
            priority=priority,
            state=DeliveryState.QUEUED,
            due_at=due_at,
        )
    )
    db.execute(insert(delivery).values(campaign=campaign_id, recipient=0, batch=1))


def move_positions(db: Connection, audience: Audience, *, held: Iterable[Cohort], through: int) -> None:
    """Serve the audience through *through*, but for the *held* cohorts, who stay where they stand."""
    on_list = (
        subscription.c.list == select(list_.c.id).where(list_.c.name == audience.newsletter).scalar_subquery()
    )
    readers = _readers(audience).subquery()
    stays = or_(literal(False), *(_is_of(readers.c, cohort) for cohort in held))
    if audience.subscriber is not None:  # one reader runs ahead of the others
        alone = and_(on_list, subscription.c.subscriber == audience.subscriber)
        db.execute(update(subscription).where(alone).values(served_through=through))
        return
    # Those who stay get a position of their own before the common one moves on; the others lose theirs.
    staying = select(readers.c.subscriber).where(stays)
    own = (
        select(readers.c.position).where(readers.c.subscriber == subscription.c.subscriber).scalar_subquery()
    )
    db.execute(
        update(subscription)
        .where(on_list, subscription.c.subscriber.in_(staying), subscription.c.served_through.is_(None))
        .values(served_through=own)
    )
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
        .values(served_through=None)
    )
    db.execute(
        update(position)
        .where(
            position.c.list
            == select(list_.c.id).where(list_.c.name == audience.newsletter).scalar_subquery(),
            position.c.cadence.in_(audience.cadences),
            position.c.served_through < through,
        )
        .values(served_through=through)
    )


def _is_of(readers: Any, cohort: Cohort) -> ColumnElement[bool]:
    return and_(
        readers.topics == cohort.topics,
        readers.position == cohort.position,
        readers.received == cohort.received,
    )


# --- sending ----------------------------------------------------------------------------------------------


def claim(
    db: Connection,
    *,
    worker: str,
    now: datetime,
    lease: timedelta,
    campaigns: Sequence[int] = (),
) -> Batch | None:
    """Take the next due batch for *worker*, marking it as being sent in the same statement.

    *campaigns*: only these, if any are named.
    """
    due = (
        select(batch.c.campaign, batch.c.number)
        .where(_is(DeliveryState.QUEUED), batch.c.due_at <= now, _is_running())
        .order_by(batch.c.priority, batch.c.due_at, batch.c.campaign, batch.c.number)
        .limit(1)
        .with_for_update(skip_locked=True, of=batch)  # PostgreSQL; SQLite has one writer and ignores it
    )
    if campaigns:
        due = due.where(batch.c.campaign.in_(campaigns))
    next_one = due.cte("due")
    taken = (
        update(batch)
        .where(batch.c.campaign == next_one.c.campaign, batch.c.number == next_one.c.number)
        .values(
            state=DeliveryState.SENDING,
            lease_owner=worker,
            lease_until=now + lease,
            attempt=batch.c.attempt + 1,
            reason=None,
        )
        .returning(batch)
    )
    row = db.execute(taken).one_or_none()
    if row is None:
        return None
    db.execute(
        update(campaign)
        .where(campaign.c.id == row.campaign, campaign.c.state == CampaignState.SCHEDULED)
        .values(state=CampaignState.SENDING)
    )
    return _batch(db, row)


def _is(*states: DeliveryState) -> ColumnElement[bool]:
    """A condition on a batch's state, its values written out so that a partial index on them serves."""
    written: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in states]
    return batch.c.state == written[0] if len(written) == 1 else batch.c.state.in_(written)


def _is_running() -> ColumnElement[bool]:
    """Whether a batch's campaign may send: as a subquery, so that batches are looked through first."""
    state = select(campaign.c.state).where(campaign.c.id == batch.c.campaign).scalar_subquery()
    return state.in_((CampaignState.SCHEDULED, CampaignState.SENDING))


OPEN = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.UNCLEAR)


def _batch(db: Connection, row: Row[Any]) -> Batch:
    # Before its first claim nobody in a batch differs from it.
    differing = _differing(db, row.campaign, row.number) if row.attempt > 1 else set()
    return Batch(
        campaign=row.campaign,
        number=row.number,
        rendition=row.rendition,
        recipients=tuple(id_ for id_ in orjson.loads(row.recipients) if id_ not in differing),
        state=DeliveryState(row.state),
        attempt=row.attempt,
        provider=row.provider,
        key=request_key(db, row.campaign, row.number),
        due_at=row.due_at,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        reason=row.reason,
    )


def _differing(db: Connection, campaign_id: int, number: int) -> set[int]:
    query = select(delivery.c.recipient).where(
        delivery.c.campaign == campaign_id, delivery.c.batch == number, delivery.c.state.is_not(None)
    )
    return set(db.scalars(query))


def request_key(db: Connection, campaign_id: int, number: int) -> str:
    """A UUID that is the same for every repetition of a call, and no other installation's."""
    return str(uuid.uuid5(installation(db), f"{campaign_id}/{number}"))


def installation(db: Connection) -> uuid.UUID:
    """What tells this ledger from every other."""
    return uuid.UUID(db.scalar(select(fact.c.value).where(fact.c.name == "installation")))


def renew(db: Connection, taken: Batch, *, until: datetime) -> bool:
    """Hold a lease longer; False when it is no longer ours."""
    return _finish(db, taken, states=("sending",), lease_until=until)


def skip(db: Connection, taken: Batch, reasons: Mapping[int, str]) -> None:
    """Leave out recipients of a claimed batch, each for a reason."""
    _set_own(db, taken, DeliveryState.SKIPPED, reasons)


def accept(db: Connection, taken: Batch, answer: Answer, *, provider: str) -> bool:
    """Record what a provider accepted; False when the batch went another way meanwhile.

    An answer that comes after the lease ran out still settles what would otherwise stay unclear.
    """
    if not _finish(
        db,
        taken,
        states=("sending", "unclear"),
        state=DeliveryState.ACCEPTED,
        provider=provider,
        receipt=answer.receipt,
        reason=None,
    ):
        return False
    _set_own(db, taken, DeliveryState.REFUSED, answer.refused)
    rows = [{"c": taken.campaign, "r": recipient, "id": id_} for recipient, id_ in answer.receipts.items()]
    if rows:
        db.execute(
            text("UPDATE delivery SET receipt = :id WHERE campaign = :c AND recipient = :r"),
            rows,
        )
    return True


def finish(
    db: Connection, taken: Batch, state: DeliveryState, *, reason: str, provider: str | None = None
) -> bool:
    """End a claimed batch as refused, skipped or unclear."""
    return _finish(db, taken, states=("sending",), state=state, reason=reason, provider=provider)


def put_back(db: Connection, taken: Batch, *, due_at: datetime, reason: str) -> bool:
    """Queue a claimed batch again, for later."""
    return _finish(db, taken, states=("sending",), state=DeliveryState.QUEUED, due_at=due_at, reason=reason)


def _finish(db: Connection, taken: Batch, *, states: Sequence[str], **values: Any) -> bool:
    if "lease_until" not in values:
        values |= {"lease_until": None, "lease_owner": None}
    changed = db.execute(
        update(batch)
        .where(
            batch.c.campaign == taken.campaign,
            batch.c.number == taken.number,
            batch.c.attempt == taken.attempt,  # whoever claimed it since has the say
            batch.c.state.in_(states),
        )
        .values(values)
    )
    return changed.rowcount > 0


def _set_own(db: Connection, taken: Batch, state: DeliveryState, reasons: Mapping[int, str]) -> None:
    rows = [
        {"c": taken.campaign, "r": recipient, "state": state, "reason": reason}
        for recipient, reason in reasons.items()
    ]
    if rows:
        db.execute(
            text(
                "UPDATE delivery SET state = :state, reason = :reason WHERE campaign = :c AND recipient = :r"
            ),
            rows,
        )


def owners(db: Connection) -> set[str]:
    """Who holds leases now."""
    return set(db.scalars(select(batch.c.lease_owner).distinct().where(_is(DeliveryState.SENDING))))


def take_over(
    db: Connection, *, now: datetime, dead: Iterable[str], repeatable: Iterable[str]
) -> tuple[int, int]:
    """Free the batches whose lease ran out or whose worker is dead: how many (queued again, unclear).

    What a dead worker was sending may have been accepted: it is repeated only where the provider makes
    repetition harmless (*repeatable*, by name), and unclear elsewhere. A batch without a provider never left.
    """
    lost = and_(
        _is(DeliveryState.SENDING),
        or_(batch.c.lease_until < now, batch.c.lease_owner.in_(tuple(dead))),
    )
    harmless = or_(batch.c.provider.is_(None), batch.c.provider.in_(tuple(repeatable)))
    freed = {"lease_owner": None, "lease_until": None}
    again = db.execute(
        update(batch)
        .where(lost, harmless)
        .values(freed | {"state": DeliveryState.QUEUED, "due_at": now, "reason": "its worker was lost"})
    )
    unclear = db.execute(
        update(batch)
        .where(lost)
        .values(freed | {"state": DeliveryState.UNCLEAR, "reason": "its worker was lost during the call"})
    )
    return again.rowcount, unclear.rowcount


def calling(db: Connection, taken: Batch, *, provider: str) -> bool:
    """Note, before the call, whom it goes to; False when the lease is no longer ours."""
    return _finish(db, taken, states=("sending",), provider=provider, lease_until=taken.lease_until)


def close_finished(db: Connection, campaign_id: int) -> bool:
    """End a campaign that has nothing queued, sending or unclear left."""
    is_open = exists().where(batch.c.campaign == campaign.c.id, _is(*OPEN))
    changed = db.execute(
        update(campaign)
        .where(
            campaign.c.id == campaign_id,
            campaign.c.state.in_((CampaignState.SCHEDULED, CampaignState.SENDING)),
            ~is_open,
        )
        .values(state=CampaignState.DONE)
    )
    return changed.rowcount > 0


def next_due(db: Connection, *, campaigns: Sequence[int] = ()) -> datetime | None:
    """When the next queued batch of a running campaign is due."""
    query = (
        select(batch.c.due_at)
        .where(_is(DeliveryState.QUEUED), _is_running())
        .order_by(batch.c.due_at)
        .limit(1)
    )
    if campaigns:
        query = query.where(batch.c.campaign.in_(campaigns))
    found: datetime | None = db.scalar(query)
    return found


# --- people at the controls ------------------------------------------------------------------------------


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
        .values(state=DeliveryState.QUEUED, due_at=now, provider=None, reason=None)
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
        .values(state=state, due_at=now, reason="settled by hand")
        .returning(batch.c.size)
    ).all()
    return sum(int(row.size) for row in rows)


# --- looking ----------------------------------------------------------------------------------------------


def balance(db: Connection, campaign_id: int) -> Balance:
    """Where a campaign's candidates are; its `gap` is checked to be 0."""
    plan = db.execute(
        select(campaign.c.candidates, campaign.c.excluded).where(campaign.c.id == campaign_id)
    ).one()
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
    return Balance(candidates=plan.candidates, excluded=sum(plan.excluded.values()), **counts)


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


def deliveries_differing(db: Connection, campaign_id: int, *, limit: int = 50) -> list[DeliveryRow]:
    """The deliveries of a campaign that went another way than their batch."""
    query = _deliveries().where(delivery.c.campaign == campaign_id, delivery.c.state.is_not(None))
    return [_delivery(row) for row in db.execute(query.order_by(delivery.c.recipient).limit(limit))]


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
        )
        .join(batch, and_(batch.c.campaign == delivery.c.campaign, batch.c.number == delivery.c.batch))
        .join(campaign, campaign.c.id == delivery.c.campaign)
    )


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
    """When the posts of a channel since *after* were or are due, in order."""
    query = (
        select(batch.c.due_at)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(campaign.c.channel == channel_name, batch.c.due_at >= after, batch.c.state != "skipped")
        .order_by(batch.c.due_at)
    )
    return list(db.scalars(query))


def posts_queued(db: Connection) -> list[tuple[str, datetime, str]]:
    """Channel, due time and article's title of every post that is queued, the next first."""
    query = (
        select(campaign.c.channel, batch.c.due_at, article_table.c.title)
        .join(batch, batch.c.campaign == campaign.c.id)
        .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
        .join(article_table, article_table.c.id == rendition_article.c.article)
        .where(campaign.c.kind == "post", _is(DeliveryState.QUEUED))
        .order_by(batch.c.due_at, campaign.c.id)
    )
    return [(row[0], row[1], row[2]) for row in db.execute(query)]


def row_counts(db: Connection) -> dict[str, int]:
    """How many rows the larger tables have."""
    counted = (article_table, campaign, rendition_table, batch, delivery, subscriber, subscription)
    return {each.name: db.scalar(select(func.count()).select_from(each)) or 0 for each in counted}
