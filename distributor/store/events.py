"""The statements about what providers reported, and what becomes of it in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from distributor.model import DeliveryState, EventType, Outcome
from distributor.store import hands, ledger
from distributor.store.articles import chunks
from distributor.store.dialect import upsert
from distributor.store.schema import batch, campaign, delivery, event

Place = tuple[int, int]  # campaign and recipient: a delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event as it is kept; its address is the audience's to know."""

    provider: str
    id: str
    type: EventType
    said: str
    occurred_at: datetime
    received_at: datetime
    campaign: int | None = None
    recipient: int | None = None
    address_hash: bytes | None = None
    message_id: str = ""
    bounce_class: str | None = None
    reject_reason: str | None = None
    by: str | None = None
    link: str = ""
    description: str = ""
    user_agent: str = ""
    raw: bytes | None = None
    applied_at: datetime | None = None
    number: int = 0  # in the order of their coming; 0 before it is kept


_KEPT = tuple(field.name for field in fields(EventRow) if field.name != "number")


def keep(db: Connection, rows: Iterable[EventRow]) -> None:
    """Keep events; those that are there already, by provider and id, stay as they are."""
    values = [{name: getattr(row, name) for name in _KEPT} for row in rows]
    upsert(db, event, values, key=["provider", "id"], change=False)


def waiting(db: Connection, *, limit: int) -> list[EventRow]:
    """The oldest events from which nothing followed yet, held until the transaction ends; without raw."""
    query = (
        select(*(event.c[name] for name in _FOLLOWED))
        .where(event.c.applied_at.is_(None))
        .order_by(event.c.number)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_followed(row) for row in db.execute(query)]


def urgent(db: Connection) -> list[EventRow]:
    """Events that let an address be silent at once, and from which nothing followed yet; without raw."""
    by_type = event.c.type.in_([EventType.COMPLAINED, EventType.UNSUBSCRIBED])
    query = (
        select(*(event.c[name] for name in _FOLLOWED))
        .where(event.c.applied_at.is_(None), or_(by_type, event.c.bounce_class == "hard"))
        .order_by(event.c.number)
    )
    return [_followed(row) for row in db.execute(query)]


def _followed(row: Row[Any]) -> EventRow:
    return EventRow(**dict(zip(_FOLLOWED, row, strict=True)) | {"type": EventType(row.type)})


_FOLLOWED = tuple(
    name for name in (*_KEPT, "number") if name not in ("raw", "description", "user_agent", "link")
)


def applied(db: Connection, people: Mapping[int, int | None], *, now: datetime) -> None:
    """Note that what follows from these events was done: number -> whom it is about."""
    rows = [{"its_number": number, "whom": person} for number, person in people.items()]
    if rows:
        its = event.c.number == bindparam("its_number")
        whom = func.coalesce(event.c.recipient, bindparam("whom", type_=event.c.recipient.type))
        db.execute(update(event).where(its).values(applied_at=now, recipient=whom), rows)


def raise_outcomes(db: Connection, outcomes: Mapping[Place, Outcome]) -> None:
    """Let each delivery have the highest outcome that was reported of it."""
    rows = [{"c": place[0], "r": place[1], "new": int(outcome)} for place, outcome in outcomes.items()]
    if rows:
        is_lower = or_(delivery.c.outcome.is_(None), delivery.c.outcome < bindparam("new"))
        its = and_(delivery.c.campaign == bindparam("c"), delivery.c.recipient == bindparam("r"))
        db.execute(update(delivery).where(its, is_lower).values(outcome=bindparam("new")), rows)


# --- what an event says of a delivery that is still open ---


def settle(db: Connection, outcomes: Mapping[Place, Outcome]) -> None:
    """Settle what is open of these deliveries, by what was reported of them."""
    for state in (DeliveryState.ACCEPTED, DeliveryState.REFUSED):
        places = [place for place, outcome in outcomes.items() if settles(outcome) is state]
        settled = _settle_as(db, places, state)
        if state is DeliveryState.REFUSED:
            for campaign_id in sorted({place[0] for place in settled}):
                hands.refused_after_cancel(db, campaign_id)


def settle_late(db: Connection, *, limit: int = 100) -> None:
    """Settle unclear batches by reports that came before they were known to be unclear."""
    query = (
        select(batch.c.campaign, batch.c.number, batch.c.recipients)
        .join(campaign, campaign.c.id == batch.c.campaign)
        .where(ledger.is_state(DeliveryState.UNCLEAR), campaign.c.kind == "newsletter")
        .limit(limit)
    )
    for row in db.execute(query).all():
        open_ = ledger.as_their_batch(db, row.campaign, row.number, row.recipients)
        settle(db, {(row.campaign, id_): told for id_, told in reported(db, row.campaign, open_).items()})


def _settle_as(db: Connection, places: Iterable[Place], as_: DeliveryState) -> list[Place]:
    """Settle those of the deliveries that are queued or unclear; which they were.

    One that is queued was handed over before, to no answer or a wrong one; sending it again would be twice.
    """
    open_: tuple[DeliveryState, ...] = (DeliveryState.QUEUED, DeliveryState.UNCLEAR)
    if as_ is DeliveryState.REFUSED:  # a queued one may be on its way to another provider by now
        open_ = (DeliveryState.UNCLEAR,)
    settled: list[Place] = []
    batches: set[Place] = set()
    for campaign_id, group in groupby(sorted(places), key=lambda place: place[0]):
        for some in chunks([recipient for _, recipient in group]):
            rows = db.execute(_having(campaign_id, some, open_)).all()
            if not rows:
                continue
            own = and_(
                delivery.c.campaign == campaign_id, delivery.c.recipient.in_([row.recipient for row in rows])
            )
            db.execute(update(delivery).where(own).values(state=as_, reason=ledger.REPORTED))
            settled += [(campaign_id, row.recipient) for row in rows]
            batches |= {(campaign_id, row.batch) for row in rows}
    for campaign_id, number in sorted(batches):
        _end_if_settled(db, campaign_id, number)
    for campaign_id in sorted({campaign_id for campaign_id, _ in batches}):
        ledger.close_finished(db, campaign_id)
    return settled


def _having(campaign_id: int, recipients: Sequence[int], states: Sequence[DeliveryState]) -> Any:
    # An earlier call is what a report can be of: before the first there is none.
    was_called = or_(batch.c.attempt > 0, delivery.c.state.is_not(None))
    return (
        select(delivery.c.recipient, delivery.c.batch)
        .join(batch, and_(batch.c.campaign == delivery.c.campaign, batch.c.number == delivery.c.batch))
        .where(
            delivery.c.campaign == campaign_id,
            delivery.c.recipient.in_(recipients),
            func.coalesce(delivery.c.state, batch.c.state).in_(states),
            was_called,
        )
        .with_for_update(of=batch)
    )


def _end_if_settled(db: Connection, campaign_id: int, number: int) -> None:
    """A batch in which nobody's state is the batch's own any more is not open."""
    its = and_(batch.c.campaign == campaign_id, batch.c.number == number)
    recipients = db.scalar(select(batch.c.recipients).where(its))
    if recipients is None or ledger.as_their_batch(db, campaign_id, number, recipients):
        return
    open_ = batch.c.state.in_([DeliveryState.QUEUED, DeliveryState.UNCLEAR])
    freed = {"state": DeliveryState.ACCEPTED, "reason": ledger.REPORTED}
    db.execute(update(batch).where(its, open_).values(freed))


def reported(db: Connection, campaign_id: int, recipients: Sequence[int]) -> dict[int, Outcome]:
    """What was reported already, by recipient, of deliveries of a campaign."""
    found: dict[int, Outcome] = {}
    for some in chunks(recipients):
        query = select(delivery.c.recipient, delivery.c.outcome).where(
            delivery.c.campaign == campaign_id,
            delivery.c.recipient.in_(some),
            delivery.c.outcome.is_not(None),
        )
        found |= {row.recipient: Outcome(row.outcome) for row in db.execute(query)}
    return found


def settles(outcome: Outcome) -> DeliveryState:
    """What a report of that outcome makes of a delivery of which nobody could say whether it was accepted."""
    is_refused = outcome in (Outcome.REJECTED, Outcome.FAILED)
    return DeliveryState.REFUSED if is_refused else DeliveryState.ACCEPTED


# --- looking ---


def events_of(db: Connection, campaign_id: int, recipient: int, *, limit: int = 20) -> list[EventRow]:
    """What was reported of one delivery, as it happened."""
    query = (
        select(*(event.c[name] for name in (*_KEPT, "number")))
        .where(event.c.campaign == campaign_id, event.c.recipient == recipient)
        .order_by(event.c.occurred_at, event.c.number)
        .limit(limit)
    )
    return [EventRow(**{**row._mapping, "type": EventType(row.type)}) for row in db.execute(query)]


LOOKED_AT = 10_000  # rows of a page, of which few may be wanted: what it costs is bounded


def beyond(
    db: Connection,
    after: int,
    *,
    limit: int,
    until: datetime,
    type_: str | None = None,
    provider: str | None = None,
    campaign_id: int | None = None,
) -> tuple[list[EventRow], int | None]:
    """Events in the order of their coming, beyond the number *after*; and where to go on, None at the end.

    It ends at the first that came after *until*: on PostgreSQL one with a lower number than the newest may be
    about to be written by another process. Where only some are wanted, a page may be empty without being the
    last.
    """
    wanted = [
        event.c[name] == value
        for name, value in (("type", type_), ("provider", provider), ("campaign", campaign_id))
        if value is not None
    ]
    size = LOOKED_AT if wanted else limit
    window = select(event.c.number, event.c.received_at).where(event.c.number > after)
    looked = window.order_by(event.c.number).limit(size).subquery()
    early = select(func.min(looked.c.number)).where(looked.c.received_at > until)
    last, count, end = db.execute(
        select(func.max(looked.c.number), func.count(), early.scalar_subquery()).select_from(looked)
    ).one()
    if last is None:
        return [], None
    its = (event.c.number > after, event.c.number <= last, event.c.number < (end or last + 1))
    query = select(*(event.c[name] for name in _SHOWN)).where(*its, *wanted).order_by(event.c.number)
    rows = [
        EventRow(**{**row._mapping, "type": EventType(row.type)}) for row in db.execute(query.limit(limit))
    ]
    if len(rows) == limit:
        return rows, rows[-1].number
    return rows, None if end or count < size else last


_SHOWN = tuple(name for name in (*_KEPT, "number") if name not in ("raw", "address_hash"))


def messages_of(db: Connection, recipient: int, *, limit: int = 10_000) -> list[dict[str, Any]]:
    """Every message to a recipient and what became of it, as JSON can say it, the newest first."""
    query = (
        select(
            delivery.c.campaign,
            campaign.c.channel,
            campaign.c.slot,
            batch.c.due_at,
            func.coalesce(delivery.c.state, batch.c.state).label("state"),
            delivery.c.outcome,
        )
        .join(campaign, campaign.c.id == delivery.c.campaign)
        .join(batch, and_(batch.c.campaign == delivery.c.campaign, batch.c.number == delivery.c.batch))
        .where(delivery.c.recipient == recipient, campaign.c.kind == "newsletter")
        .order_by(delivery.c.campaign.desc())
        .limit(limit)
    )
    return [
        {
            "newsletter": row.channel,
            "edition": row.slot,
            "due_at": row.due_at.isoformat(),
            "state": row.state,
            "outcome": Outcome(row.outcome).name.lower() if row.outcome is not None else None,
        }
        for row in db.execute(query)
    ]


def outcome_counts(db: Connection, campaign_id: int) -> dict[Outcome, int]:
    """How many of a campaign's deliveries came to what."""
    aged = db.scalar(select(campaign.c.aged).where(campaign.c.id == campaign_id))
    if aged is not None:
        return {Outcome(int(outcome)): count for outcome, count in aged["outcomes"].items()}
    query = (
        select(delivery.c.outcome, func.count())
        .where(delivery.c.campaign == campaign_id, delivery.c.outcome.is_not(None))
        .group_by(delivery.c.outcome)
    )
    return {Outcome(outcome): count for outcome, count in db.execute(query)}


def soft_bounces(db: Connection, recipients: Iterable[int], *, since: datetime) -> dict[int, int]:
    """Recipient -> of how many campaigns their mail bounced softly since."""
    found: dict[int, int] = {}
    for some in chunks(recipients):
        query = (
            select(event.c.recipient, func.count(event.c.campaign.distinct()))
            .where(
                event.c.recipient.in_(some),
                event.c.type == EventType.BOUNCED,
                event.c.bounce_class == "soft",
                event.c.occurred_at >= since,
            )
            .group_by(event.c.recipient)
        )
        found |= {row[0]: row[1] for row in db.execute(query)}
    return found


def forget(db: Connection, recipient: int, address_hash: bytes) -> None:
    """Leave nothing in a person's events that names them."""
    theirs = or_(event.c.recipient == recipient, event.c.address_hash == address_hash)
    nothing = {"raw": None, "description": "", "user_agent": "", "message_id": "", "link": ""}
    # A complaint that is not applied yet still has its hash to silence the address by.
    kept = case((event.c.applied_at.is_(None), event.c.address_hash), else_=None)
    db.execute(update(event).where(theirs).values(**nothing, address_hash=kept))
