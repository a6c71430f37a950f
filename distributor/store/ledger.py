"""The statements that carry batches out: claim, hold, record, take over.

A delivery without a state of its own stands as its batch does, so a call of a thousand recipients is claimed
by one row and finished by one row.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningUpdate

from distributor.model import Answer, Batch, CampaignState, DeliveryState
from distributor.store import campaigns
from distributor.store.articles import chunks
from distributor.store.schema import batch, campaign, delivery, fact
from subscribers.schema import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What one provider is to carry now."""

    provider: str
    channels: tuple[str, ...]  # whose batches go its way, unless they are bound elsewhere
    campaigns: tuple[int, ...] = ()  # only these, if any are named


def claim(db: Connection, lane: Lane, *, worker: str, now: datetime, lease: timedelta) -> Batch | None:
    """Take the next due batch of a lane for *worker*, marking it as being sent in the same statement.

    A batch that may have been accepted by a provider, or was refused by the one before it, is bound to that
    provider by name. Campaigns go by their priority, then by age.
    """
    for campaign_id, state, is_its_way in _campaigns(db, lane, now):
        given = {"its_campaign": campaign_id, "by": lane.provider, "now": now}
        held = {"owner": worker, "until": now + lease}
        if row := db.execute(_taking(is_its_way), given | held).one_or_none():
            if state == CampaignState.SCHEDULED:
                _begin(db, campaign.c.id == campaign_id)
            return _batch(db, row)
    return None


@cache  # what each claim and record executes is made once: making it takes longer than executing it
def _taking(is_its_way: bool) -> ReturningUpdate[Any]:
    mine = batch.c.provider == bindparam("by")
    due = (
        select(batch.c.campaign, batch.c.number)
        .where(
            batch.c.campaign == bindparam("its_campaign"),
            is_state(DeliveryState.QUEUED),
            batch.c.due_at <= bindparam("now"),
            or_(batch.c.provider.is_(None), mine) if is_its_way else mine,
        )
        .order_by(batch.c.due_at, batch.c.number)
        .limit(1)
        .with_for_update(skip_locked=True)  # PostgreSQL; SQLite has one writer and ignores it
    ).cte("due")
    return (
        update(batch)
        .where(batch.c.campaign == due.c.campaign, batch.c.number == due.c.number)
        .values(
            state=DeliveryState.SENDING,
            lease_owner=bindparam("owner"),
            lease_until=bindparam("until"),
            attempt=batch.c.attempt + 1,
            reason=None,
        )
        .returning(batch)
    )


def _campaigns(db: Connection, lane: Lane, now: datetime) -> list[tuple[int, str, bool]]:
    """The campaigns that have something due for a lane, in their order: their state, and whether all is its.

    More than one, because other workers may hold what is due of the first.
    """
    given = {"by": lane.provider, "its_channels": lane.channels, "now": now}
    only = {"only": lane.campaigns} if lane.campaigns else {}
    rows = db.execute(_having_due(is_bounded=bool(only)), given | only)
    return [(row[0], row[1], bool(row[2])) for row in rows]


@cache
def _having_due(*, is_bounded: bool) -> Select[Any]:
    is_its_way = campaign.c.channel.in_(bindparam("its_channels", expanding=True))
    is_due = exists().where(
        batch.c.campaign == campaign.c.id,
        is_state(DeliveryState.QUEUED),
        batch.c.due_at <= bindparam("now"),
        or_(batch.c.provider == bindparam("by"), and_(batch.c.provider.is_(None), is_its_way)),
    )
    query = (
        select(campaign.c.id, campaign.c.state, is_its_way)
        .where(campaign.c.state.in_((CampaignState.SCHEDULED, CampaignState.SENDING)), is_due)
        .order_by(campaign.c.priority, campaign.c.due_at, campaign.c.id)
        .limit(4)
    )
    return query.where(campaign.c.id.in_(bindparam("only", expanding=True))) if is_bounded else query


def _begin(db: Connection, *those: ColumnElement[bool]) -> None:
    """Note that campaigns are being sent, unless somebody has hands on one and waits for this batch."""
    begun = (
        select(campaign.c.id)
        .where(*those, campaign.c.state == CampaignState.SCHEDULED)
        .with_for_update(skip_locked=True, key_share=True)  # beside whoever adds a batch to it
    )
    campaigns.move(db, CampaignState.SENDING, campaign.c.id.in_(begun))


def begin_begun(db: Connection) -> None:
    """Note of all campaigns that they are being sent, where it was not noted as their batches were claimed.

    Of two claims at one moment only one notes it, and may be undone after the other is done.
    """
    on_its_way = and_(is_state(*OPEN), is_state(DeliveryState.SENDING, DeliveryState.UNCLEAR))
    _begin(db, exists(batch.c.number).where(batch.c.campaign == campaign.c.id, on_its_way))


def is_state(*states: DeliveryState) -> ColumnElement[bool]:
    """A condition on a batch's state, its values written out so that a partial index on them serves.

    Where one of OPEN is asked for, all of them are named too: SQLite takes the index on them for nothing less
    (https://sqlite.org/partialindex.html, section 3), and would read all batches there ever were.
    """
    one = batch.c.state == _written(states[0])
    if len(states) > 1:
        return batch.c.state.in_([_written(state) for state in states])
    return and_(is_state(*OPEN), one) if states[0] in OPEN else one


def _written(state: DeliveryState) -> ColumnElement[str]:
    return literal_column(f"'{state}'")


OPEN = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.UNCLEAR)


def _batch(db: Connection, row: Row[Any]) -> Batch:
    return Batch(
        campaign=row.campaign,
        number=row.number,
        rendition=row.rendition,
        recipients=tuple(as_their_batch(db, row.campaign, row.number, row.recipients)),
        state=DeliveryState(row.state),
        attempt=row.attempt,
        provider=row.provider,
        key=request_key(db, row.campaign, row.number, row.size),
        due_at=row.due_at,
        called_at=row.called_at,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        reason=row.reason,
        kept=row.kept or {},
    )


def as_their_batch(db: Connection, campaign_id: int, number: int, recipients: str) -> list[int]:
    """Those of a batch's recipients (as its JSON) who have no state of their own."""
    query = _DIFFERING_ON_SQLITE if db.dialect.name == "sqlite" else _DIFFERING
    differing = set(db.scalars(query, {"campaign": campaign_id, "number": number}))
    return [id_ for id_ in orjson.loads(recipients) if id_ not in differing]


_DIFFERING = text(
    "SELECT recipient FROM delivery WHERE campaign = :campaign AND batch = :number AND state IS NOT NULL"
)
# By itself SQLite reads the whole campaign: it keeps no statistics, and this index does not have the state.
_DIFFERING_ON_SQLITE = text(
    "SELECT recipient FROM delivery INDEXED BY ix_delivery_differing"
    " WHERE campaign = :campaign AND batch = :number AND state IS NOT NULL"
)


def request_key(db: Connection, campaign_id: int, number: int, size: int) -> str:
    """A UUID that is the same for every repetition of a call, and no other installation's.

    A batch that is divided says something else from then on, so it has another key.
    """
    return str(uuid.uuid5(installation(db), f"{campaign_id}/{number}/{size}"))


def installation(db: Connection) -> uuid.UUID:
    """What tells this ledger from every other."""
    if "installation" not in db.info:  # it never changes, so each connection asks once
        found = db.scalar(select(fact.c.value).where(fact.c.name == "installation"))
        db.info["installation"] = uuid.UUID(found)
    known: uuid.UUID = db.info["installation"]
    return known


def renew(db: Connection, taken: Batch, *, until: datetime) -> bool:
    """Hold a lease longer; False when it is no longer ours."""
    return _finish(db, taken, states=("sending",), lease_until=until)


def skip(db: Connection, taken: Batch, reasons: Mapping[int, str]) -> None:
    """Leave out recipients of a claimed batch, each for a reason."""
    _set_own(db, taken, unsent(taken), reasons)


def settle_own(db: Connection, taken: Batch, states: Mapping[int, DeliveryState]) -> None:
    """Give recipients of a claimed batch the states that their provider's reports mean."""
    for state in set(states.values()):
        _set_own(db, taken, state, {id_: REPORTED for id_, one in states.items() if one is state})


REPORTED = "no answer came that said so; its provider reported it later"


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
    accept_own(db, taken, answer.receipts)
    return True


def accept_own(db: Connection, taken: Batch, receipts: Mapping[int, str]) -> None:
    """Keep the ids that recipients of a batch have of their own."""
    rows = [{"c": taken.campaign, "r": recipient, "id": id_} for recipient, id_ in receipts.items()]
    if rows:
        db.execute(
            text("UPDATE delivery SET receipt = :id WHERE campaign = :c AND recipient = :r"),
            rows,
        )


def finish(
    db: Connection,
    taken: Batch,
    state: DeliveryState,
    *,
    reason: str,
    provider: str | None = None,
    due_at: datetime | None = None,
) -> bool:
    """End a claimed batch as refused, skipped or unclear; from *due_at* its provider can be asked of it."""
    values = {"provider": provider or taken.provider, "due_at": due_at or taken.due_at}
    return _finish(db, taken, states=("sending",), state=state, reason=reason, **values)


def put_back(
    db: Connection,
    taken: Batch,
    *,
    due_at: datetime,
    reason: str,
    called_at: datetime | None,
    provider: str | None,
) -> bool:
    """Queue a claimed batch again, for later.

    *called_at* is the first call that may have been accepted, by *provider*; None when it is certain that
    none was. *provider* is then the one that it is bound to, if any.
    """
    return _finish(
        db,
        taken,
        states=("sending",),
        state=DeliveryState.QUEUED,
        due_at=due_at,
        reason=reason,
        called_at=called_at,
        provider=provider,
    )


def postpone(db: Connection, taken: Batch, *, due_at: datetime, reason: str) -> bool:
    """Undo the claim of a batch whose time has not come: it counts as no attempt."""
    return _finish(
        db,
        taken,
        states=("sending",),
        state=DeliveryState.QUEUED,
        attempt=taken.attempt - 1,
        due_at=due_at,
        reason=reason,
    )


def part(db: Connection, taken: Batch, ids: Sequence[int], **values: Any) -> Batch:
    """Move recipients of a batch into one of their own, with *values*; what is left of it, re-keyed."""
    if not ids:
        return taken
    kept = divide(db, taken.campaign, taken.number, ids, **values)
    moved = set(ids)
    return replace(
        taken,
        recipients=tuple(id_ for id_ in taken.recipients if id_ not in moved),
        key=request_key(db, taken.campaign, taken.number, kept),
    )


def divide(db: Connection, campaign_id: int, number: int, ids: Sequence[int], **values: Any) -> int:
    """Move *ids* from a batch into a new one, queued unless *values* say otherwise; how many stay."""
    its_row = and_(batch.c.campaign == campaign_id, batch.c.number == number)
    whole = db.execute(select(batch).where(its_row)).one()
    new = {
        "campaign": campaign_id,
        "rendition": whole.rendition,
        "recipients": orjson.dumps(sorted(ids)).decode(),
        "size": len(ids),
        "state": DeliveryState.QUEUED,
        "attempt": whole.attempt,
    }
    new_number = add_batch(db, new | values)
    moved = set(ids)
    kept = [id_ for id_ in orjson.loads(whole.recipients) if id_ not in moved]
    db.execute(update(batch).where(its_row).values(recipients=orjson.dumps(kept).decode(), size=len(kept)))
    for some in chunks(ids):
        db.execute(
            update(delivery)
            .where(delivery.c.campaign == campaign_id, delivery.c.recipient.in_(some))
            .values(batch=new_number, state=None, reason=None)
        )
    return len(kept)


def add_batch(db: Connection, values: Mapping[str, Any]) -> int:
    """Insert a batch under the next number of its campaign; which it is."""
    last = select(func.coalesce(func.max(batch.c.number), 0)).where(batch.c.campaign == values["campaign"])
    while True:
        number = (db.scalar(last) or 0) + 1
        try:
            with db.begin_nested():
                db.execute(insert(batch).values({**values, "number": number}))
        except IntegrityError:  # another worker took the number; now it can be seen
            continue
        return number


def _finish(db: Connection, taken: Batch, *, states: Sequence[str], **values: Any) -> bool:
    if "lease_until" not in values:
        values |= {"lease_until": None, "lease_owner": None}
    its = {"its_campaign": taken.campaign, "its_number": taken.number, "its_attempt": taken.attempt}
    new = {f"new_{name}": value for name, value in values.items()}
    return db.execute(_finishing(tuple(states), tuple(values)), its | new).rowcount > 0


@cache
def _finishing(states: tuple[str, ...], names: tuple[str, ...]) -> Update:
    return (
        update(batch)
        .where(
            batch.c.campaign == bindparam("its_campaign"),
            batch.c.number == bindparam("its_number"),
            batch.c.attempt == bindparam("its_attempt"),  # whoever claimed it since has the say
            batch.c.state.in_(states),
        )
        .values({name: bindparam(f"new_{name}") for name in names})
    )


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
    db: Connection,
    *,
    now: datetime,
    dead: Iterable[str],
    repeatable: Mapping[str, timedelta],
    found_after: Mapping[str, timedelta] = MappingProxyType({}),
    resend: Sequence[str] = (),
) -> tuple[int, int]:
    """Free the batches whose lease ran out or whose worker is dead: how many (queued again, unclear).

    What a dead worker was sending may have been accepted: it is repeated only where the provider makes
    repetition harmless (*repeatable*, by name, for how long after the first call), and unclear elsewhere; its
    provider can be asked about it *found_after* so long. On the channels in *resend* it is sent again.
    """
    lost = and_(
        is_state(DeliveryState.SENDING),
        or_(batch.c.lease_until < now, batch.c.lease_owner.in_(tuple(dead))),
    )
    harmless = or_(
        batch.c.called_at.is_(None),  # nothing that could be accepted twice
        *(
            and_(batch.c.provider == name, batch.c.called_at > now - span)
            for name, span in repeatable.items()
        ),
    )
    freed = {"lease_owner": None, "lease_until": None}
    again = db.execute(
        update(batch)
        .where(lost, harmless)
        .values(freed | {"state": DeliveryState.QUEUED, "due_at": now, "reason": LOST})
    )
    on_such = select(campaign.c.id).where(campaign.c.channel.in_(tuple(resend)))
    anew = {"state": DeliveryState.QUEUED, "due_at": now, "reason": LOST, "called_at": None, "provider": None}
    resent = db.execute(
        update(batch)
        .where(lost, batch.c.campaign.in_(on_such), batch.c.provider.not_in(tuple(found_after)))
        .values(freed | anew)
    )
    asked_at = case(
        (false(), batch.c.due_at),  # for a CASE wants one WHEN at least
        *((batch.c.provider == name, literal(now + span, Instant)) for name, span in found_after.items()),
        else_=batch.c.due_at,
    )
    # What a dead worker's last commit adds meanwhile, and can be repeated, is for the next look.
    unclear = db.execute(
        update(batch)
        .where(lost, not_(func.coalesce(harmless, false())))
        .values(freed | {"state": DeliveryState.UNCLEAR, "due_at": asked_at, "reason": LOST})
    )
    return again.rowcount + resent.rowcount, unclear.rowcount


LOST = "its worker was lost during the call"


def hand_back(db: Connection, *, worker: str, held: Iterable[tuple[int, int]], now: datetime) -> int:
    """Queue again what *worker* claimed without knowing it, as the database went away meanwhile; how many.

    *held* are the batches (campaign, number) that it is carrying: for all others it made no call.
    """
    mine = and_(is_state(DeliveryState.SENDING), batch.c.lease_owner == worker)
    freed = {"lease_owner": None, "lease_until": None, "state": DeliveryState.QUEUED, "due_at": now}
    rows = db.execute(select(batch.c.campaign, batch.c.number, batch.c.attempt).where(mine)).all()
    known = set(held)  # looked at last: what is claimed meanwhile is in it before its claim can be seen
    lost = [row for row in rows if (row.campaign, row.number) not in known]
    for row in lost:
        # Of an earlier attempt nothing is known here: its first call stays where it was noted.
        first = {"called_at": None, "provider": None} if row.attempt == 1 else {}
        db.execute(
            update(batch)
            .where(
                batch.c.campaign == row.campaign,
                batch.c.number == row.number,
                batch.c.attempt == row.attempt,  # else recorded since, and claimed again
                mine,
            )
            .values(freed | first | {"reason": "its claim was interrupted"})
        )
    return len(lost)


def release(db: Connection, *, providers: Sequence[str], channels: Sequence[str]) -> None:
    """Tell what becomes of batches whose provider or channel is no longer in the configuration.

    What a provider that is gone may have accepted is unclear; what it certainly did not goes another way. The
    batches of a channel that is gone stay, and say why.
    """
    gone = and_(is_state(DeliveryState.QUEUED), batch.c.provider.not_in(tuple(providers)))
    may_have = batch.c.called_at.is_not(None)
    reason = batch.c.provider + " may have accepted it, and is no longer in the configuration"
    db.execute(update(batch).where(gone, may_have).values(state=DeliveryState.UNCLEAR, reason=reason))
    db.execute(update(batch).where(gone).values(provider=None))
    homeless = select(campaign.c.id).where(
        campaign.c.channel.not_in(tuple(channels)),
        campaign.c.state.in_((CampaignState.SCHEDULED, CampaignState.SENDING)),
    )
    db.execute(
        update(batch)
        .where(batch.c.campaign.in_(homeless), is_state(DeliveryState.QUEUED), batch.c.reason.is_(None))
        .values(reason="its newsletter or channel is no longer in the configuration")
    )


def to_ask_about(db: Connection, provider: str, *, now: datetime, again_at: datetime) -> Batch | None:
    """An unclear batch about which *provider* can be asked by now; nobody else asks before *again_at*."""
    due = (
        select(batch.c.campaign, batch.c.number)
        .where(is_state(DeliveryState.UNCLEAR), batch.c.provider == provider, batch.c.due_at <= now)
        .order_by(batch.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).cte("due")
    taken = (
        update(batch)
        .where(batch.c.campaign == due.c.campaign, batch.c.number == due.c.number)
        .values(due_at=again_at)
        .returning(batch)
    )
    row = db.execute(taken).one_or_none()
    return _batch(db, row) if row else None


def found(
    db: Connection, asked: Batch, receipts: Mapping[int, str], *, now: datetime, gone: Collection[int] = ()
) -> bool:
    """Settle an unclear batch by what its provider found of it: accepted, or to be sent after all.

    Who is *gone* since the call was not asked about, is not written to again, and stays unclear.
    """
    if not _finish(db, asked, states=("unclear",), state=DeliveryState.ACCEPTED, reason=FOUND):
        return False
    _set_own(db, asked, DeliveryState.UNCLEAR, dict.fromkeys(gone, GONE))
    missing = [id_ for id_ in asked.recipients if id_ not in receipts and id_ not in gone]
    rest = part(db, asked, missing, due_at=now, reason="its provider does not know of it")
    accept_own(db, rest, receipts)
    return True


FOUND = "no answer came; its provider knows of it"
GONE = "no answer came, and they left before its provider could be asked"


def found_nothing(db: Connection, asked: Batch, *, due_at: datetime) -> bool:
    """Queue an unclear post again, under the same key: its network does not know of it."""
    reason = f"{NOT_FOUND} ({asked.reason})" if asked.reason else NOT_FOUND
    again = {"state": DeliveryState.QUEUED, "due_at": due_at, "called_at": None, "reason": reason}
    return _finish(db, asked, states=("unclear",), **again)


NOT_FOUND = "no answer came, and its network does not know of it"


def calling(db: Connection, taken: Batch, *, provider: str, now: datetime, is_harmless: bool = False) -> bool:
    """Note, before the call, whom it goes to; False when the lease is no longer ours.

    *is_harmless*: doing it twice is doing it once, so it never counts as what may have been accepted.
    """
    return _finish(
        db,
        taken,
        states=("sending",),
        provider=provider,
        called_at=None if is_harmless else taken.called_at or now,
        lease_until=taken.lease_until,
    )


def keep(db: Connection, taken: Batch, values: Mapping[str, Any], *, until: datetime) -> bool:
    """Note what a provider needs for its next call; False when the lease is no longer ours."""
    return _finish(db, taken, states=("sending",), kept=dict(values), lease_until=until)


def close_finished(db: Connection, campaign_id: int | None = None) -> bool:
    """End a campaign that has nothing queued, sending or unclear left; without a number, all such.

    Two workers that finish the last two batches at one moment do not see each other's, so whoever runs out
    of work asks again for all.
    """
    given = {} if campaign_id is None else {"its_id": campaign_id}
    found = db.scalars(_over(is_one=campaign_id is not None), given).all()
    if not found:
        return False
    # Locked first and looked at again now: what a person queued meanwhile is not in the first look.
    return campaigns.move(db, CampaignState.DONE, campaign.c.id.in_(found), _is_over()) > 0


@cache
def _over(*, is_one: bool) -> Select[tuple[int]]:
    query = select(campaign.c.id).where(_is_over()).order_by(campaign.c.id).with_for_update()
    return query.where(campaign.c.id == bindparam("its_id")) if is_one else query


def _is_over() -> ColumnElement[bool]:
    # A column of the index rather than all: then SQLite needs nothing else to answer.
    is_open = exists(batch.c.number).where(batch.c.campaign == campaign.c.id, is_state(*OPEN))
    return and_(campaign.c.state.in_((CampaignState.SCHEDULED, CampaignState.SENDING)), ~is_open)
