"""The statements that carry batches out: claim, hold, record, take over.

A delivery without a state of its own stands as its batch does, so a call of a thousand recipients is claimed
by one row and finished by one row.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    exists,
    literal_column,
    or_,
    select,
    text,
    update,
)

from distributor.model import Answer, Batch, CampaignState, DeliveryState
from distributor.store.schema import batch, campaign, delivery, fact


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
        .where(is_state(DeliveryState.QUEUED), batch.c.due_at <= now, _is_running())
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
    # A person who has their hands on it has the say, and may be waiting for this very batch.
    begun = (
        select(campaign.c.id)
        .where(campaign.c.id == row.campaign, campaign.c.state == CampaignState.SCHEDULED)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    db.execute(update(campaign).where(campaign.c.id == begun).values(state=CampaignState.SENDING))
    return _batch(db, row)


def is_state(*states: DeliveryState) -> ColumnElement[bool]:
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
    as_it = as_their_batch(db, row.campaign, row.number, row.recipients) if row.attempt > 1 else None
    return Batch(
        campaign=row.campaign,
        number=row.number,
        rendition=row.rendition,
        recipients=tuple(orjson.loads(row.recipients) if as_it is None else as_it),
        state=DeliveryState(row.state),
        attempt=row.attempt,
        provider=row.provider,
        key=request_key(db, row.campaign, row.number),
        due_at=row.due_at,
        called_at=row.called_at,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        reason=row.reason,
    )


def as_their_batch(db: Connection, campaign_id: int, number: int, recipients: str) -> list[int]:
    """Those of a batch's recipients (as its JSON) who have no state of their own."""
    query = select(delivery.c.recipient).where(
        delivery.c.campaign == campaign_id, delivery.c.batch == number, delivery.c.state.is_not(None)
    )
    differing = set(db.scalars(query))
    return [id_ for id_ in orjson.loads(recipients) if id_ not in differing]


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
    _set_own(db, taken, unsent(taken), reasons)


def unsent(taken: Batch, state: DeliveryState = DeliveryState.SKIPPED) -> DeliveryState:
    """The state of what was not sent this time: unclear, where an earlier call may have been accepted."""
    return state if taken.called_at is None else DeliveryState.UNCLEAR


def accept(db: Connection, taken: Batch, answer: Answer, *, provider: str) -> bool:
    """Record what a provider accepted; False when the batch went another way meanwhile.

    An answer that comes after the lease ran out still settles what would stay unclear, or be repeated.
    """
    if not _finish(
        db,
        taken,
        states=("sending", "unclear", "queued"),
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
    provider = provider or taken.provider
    return _finish(db, taken, states=("sending",), state=state, reason=reason, provider=provider)


def put_back(
    db: Connection, taken: Batch, *, due_at: datetime, reason: str, called_at: datetime | None
) -> bool:
    """Queue a claimed batch again, for later.

    *called_at* is the first call that may have been accepted; None when it is certain that none was.
    """
    return _finish(
        db,
        taken,
        states=("sending",),
        state=DeliveryState.QUEUED,
        due_at=due_at,
        reason=reason,
        called_at=called_at,
    )


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
    return set(db.scalars(select(batch.c.lease_owner).distinct().where(is_state(DeliveryState.SENDING))))


def take_over(
    db: Connection, *, now: datetime, dead: Iterable[str], repeatable: Mapping[str, timedelta]
) -> tuple[int, int]:
    """Free the batches whose lease ran out or whose worker is dead: how many (queued again, unclear).

    What a dead worker was sending may have been accepted: it is repeated only where the provider makes
    repetition harmless (*repeatable*, by name, for how long after the first call), and unclear elsewhere. A
    batch without a provider never left.
    """
    lost = and_(
        is_state(DeliveryState.SENDING),
        or_(batch.c.lease_until < now, batch.c.lease_owner.in_(tuple(dead))),
    )
    harmless = or_(
        batch.c.provider.is_(None),
        *(
            and_(batch.c.provider == name, batch.c.called_at > now - span)
            for name, span in repeatable.items()
        ),
    )
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


def calling(db: Connection, taken: Batch, *, provider: str, now: datetime) -> bool:
    """Note, before the call, whom it goes to; False when the lease is no longer ours."""
    return _finish(
        db,
        taken,
        states=("sending",),
        provider=provider,
        called_at=taken.called_at or now,
        lease_until=taken.lease_until,
    )


def close_finished(db: Connection, campaign_id: int | None = None) -> bool:
    """End a campaign that has nothing queued, sending or unclear left; without a number, all such.

    Two workers that finish the last two batches at one moment do not see each other's, so whoever runs out
    of work asks again for all.
    """
    is_open = exists().where(batch.c.campaign == campaign.c.id, is_state(*OPEN))
    is_over = and_(campaign.c.state.in_((CampaignState.SCHEDULED, CampaignState.SENDING)), ~is_open)
    query = select(campaign.c.id).where(is_over)
    if campaign_id is not None:
        query = query.where(campaign.c.id == campaign_id)
    # Locked first and looked at again then: what a person queued meanwhile is not in the first look.
    found = db.scalars(query.order_by(campaign.c.id).with_for_update()).all()
    done = update(campaign).where(campaign.c.id.in_(found), is_over).values(state=CampaignState.DONE)
    return bool(found) and db.execute(done).rowcount > 0
