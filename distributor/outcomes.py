"""What becomes of what providers report: an outcome on the delivery, a silence on the address.

Events are kept first and followed up here, oldest first, in chunks of one transaction each. Whatever order
they come in, the same follows: outcomes only rise, silences only add up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from distributor import reputation
from distributor.config import Reputation
from distributor.model import Event, EventType, Outcome
from distributor.store import campaigns, events, tallies
from distributor.store.database import Database
from distributor.store.events import EventRow, Place
from distributor.tracing import span
from subscribers import store as audience
from subscribers.model import address_hash, normal_address

CHUNK = 500  # events a transaction: others who want to write wait for a few of its milliseconds
SOFT_BOUNCES, WITHIN = 3, timedelta(days=30)  # of so many editions, and nothing is sent for as long again

OUTCOMES = {  # what is reported -> what became of the message
    EventType.QUEUED: Outcome.TAKEN,
    EventType.SENT: Outcome.TAKEN,
    EventType.DEFERRED: Outcome.DEFERRED,
    EventType.DELIVERED: Outcome.DELIVERED,
    EventType.OPENED: Outcome.OPENED,
    EventType.CLICKED: Outcome.CLICKED,
    EventType.UNSUBSCRIBED: Outcome.UNSUBSCRIBED,
    EventType.REJECTED: Outcome.REJECTED,
    EventType.FAILED: Outcome.FAILED,
    EventType.BOUNCED: Outcome.BOUNCED,
    EventType.COMPLAINED: Outcome.COMPLAINED,
}  # an unknown kind says nothing, and a new subscription is not of the message


SILENCING = (EventType.BOUNCED, EventType.COMPLAINED, EventType.REJECTED, EventType.UNSUBSCRIBED)


def rows_of(provider: str, told: Iterable[Event], *, mark: str, received_at: datetime) -> list[EventRow]:
    """Events as they are kept; *mark* tells this installation's messages from every other's."""
    return [_row(provider, one, mark, received_at) for one in told]


def _row(provider: str, event: Event, mark: str, received_at: datetime) -> EventRow:
    place = delivery_of(event.key, mark)
    return EventRow(
        provider=provider,
        id=event.id,
        type=event.type,
        said=event.said,
        occurred_at=event.occurred_at,
        received_at=received_at,
        campaign=place[0] if place else None,
        recipient=place[1] if place else None,
        address_hash=_hash_of(event.address),
        message_id=event.message_id,
        bounce_class=event.bounce_class,
        reject_reason=event.reject_reason,
        by=event.by,
        link=event.link,
        description=event.description,
        user_agent=event.user_agent,
        raw=event.raw,
    )


def delivery_of(key: str, mark: str) -> Place | None:
    """The delivery that a message's key names; None for one that is no message of this installation."""
    found = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(.+)", key, re.ASCII)
    return (int(found[1]), int(found[2])) if found and found[3] == mark else None


def _hash_of(address: str) -> bytes | None:
    try:
        return address_hash(normal_address(address))
    except ValueError:
        return None


def follow_up(database: Database, now: datetime, *, limits: Reputation | None = None) -> int:
    """Do what follows from the events that wait; how many they were."""
    count = 0
    while True:
        with span("events"), database.write() as db:
            found = events.waiting(db, limit=CHUNK)
            if found:
                _follow(db, found, now)
                reputation.guard(db, _judged(found), limits or Reputation())
            else:
                events.settle_late(db)
        count += len(found)
        if not found:
            return count


def _judged(found: Iterable[EventRow]) -> set[int]:
    """The campaigns of which something bad is reported."""
    bad = (EventType.BOUNCED, EventType.COMPLAINED, EventType.REJECTED)
    return {event.campaign for event in found if event.type in bad and event.campaign is not None}


def _follow(db: Connection, found: Sequence[EventRow], now: datetime) -> None:
    people = _people(db, found)
    outcomes: dict[Place, Outcome] = {}
    for event in found:
        outcome = outcome_of(event)
        if event.campaign is None or event.recipient is None or outcome is None:
            continue
        place = (event.campaign, event.recipient)
        outcomes[place] = max(outcome, outcomes.get(place, outcome))
    events.raise_outcomes(db, outcomes)
    events.settle(db, outcomes)
    _silence(db, found, people, now)
    tallies.count_reports(db, found)
    events.applied(db, people, now=now)


def outcome_of(event: EventRow) -> Outcome | None:
    """What an event says of its message; that a machine opened it says that it arrived."""
    if event.by == "bot" and event.type in (EventType.OPENED, EventType.CLICKED):
        return Outcome.DELIVERED
    return OUTCOMES.get(event.type)


def _people(db: Connection, found: Sequence[EventRow]) -> dict[int, int | None]:
    """Event -> the subscriber it is about: by our key, else by the address."""
    unnamed = {event.address_hash for event in found if event.recipient is None and event.address_hash}
    known = audience.by_hash(db, unnamed)
    return {
        event.number: event.recipient or (known.get(event.address_hash) if event.address_hash else None)
        for event in found
    }


def _silence(db: Connection, found: Sequence[EventRow], people: dict[int, int | None], now: datetime) -> None:
    """Let nobody be written to whose address takes nothing, or who wants nothing."""
    softly: dict[int, EventRow] = {}
    for event in found:
        person = people[event.number]
        if event.type is EventType.COMPLAINED:
            _suppress(db, event, person, audience.COMPLAINED, now)
        elif event.type in (EventType.BOUNCED, EventType.REJECTED) and event.bounce_class == "hard":
            _suppress(db, event, person, audience.BOUNCED, now)
        elif event.type is EventType.BOUNCED and person is not None:
            softly[person] = event
        elif event.type is EventType.UNSUBSCRIBED and person is not None:
            _unsubscribe(db, event, person, now)
    counted = events.soft_bounces(db, softly, since=now - WITHIN)
    for person, event in softly.items():
        if counted.get(person, 0) >= SOFT_BOUNCES:
            _suppress(db, event, person, audience.BOUNCED_SOFTLY, now, until=now + WITHIN)


def _suppress(
    db: Connection,
    event: EventRow,
    person: int | None,
    reason: str,
    now: datetime,
    until: datetime | None = None,
) -> None:
    """The address that the event names: its person may have another by now."""
    if person is None:
        return  # of somebody who is none of our readers: the account serves others too
    hash_ = event.address_hash or audience.hash_of(db, person)
    if hash_ is not None:
        audience.suppress_hash(db, hash_, reason=reason, until=until, evidence=_evidence(event), now=now)


def _unsubscribe(db: Connection, event: EventRow, person: int, now: datetime) -> None:
    """From the newsletter whose mail it was; from all, where that is not known."""
    campaign = campaigns.campaign_of(db, event.campaign) if event.campaign is not None else None
    name = campaign.channel if campaign else None
    audience.unsubscribe(db, subscriber=person, list_name=name, evidence=_evidence(event), now=now)


def _evidence(event: EventRow) -> audience.Evidence:
    return audience.Evidence(
        source="provider", at=event.occurred_at, detail=f"{event.provider}: {event.said} {event.id}"
    )
