"""Segments: saved filters, as a condition in SQL that both databases understand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select, true

from subscribers.model import Cadence, SubscriptionState
from subscribers.schema import list_, subscriber, subscription, suppression
from subscribers.sql import in_force


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Readers who have all of this in common; what is None or empty is not asked for."""

    list: str | None = None  # with one subscription that has all of these: the list,
    state: SubscriptionState | None = None  # the state,
    cadence: Cadence | None = None  # the cadence,
    topics: tuple[str, ...] = ()  # and one of these topics, or everything
    locale: str | None = None  # "de" means de-AT too
    timezone: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    joined_from: datetime | None = None
    joined_before: datetime | None = None
    suppressed: bool | None = None  # whether nothing may be sent to the address


def where(segment: Segment, *, now: datetime) -> ColumnElement[bool]:
    """The condition for a row of `subscriber`."""
    conditions = [*_of_the_person(segment), *_of_a_subscription(segment)]
    if segment.suppressed is not None:
        silence = exists(
            select(suppression.c.reason)
            .where(suppression.c.address_hash == subscriber.c.address_hash, in_force(now))
            .correlate(subscriber)
        )
        conditions.append(silence if segment.suppressed else ~silence)
    return and_(true(), *conditions)


def _of_the_person(segment: Segment) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if segment.locale is not None:
        found.append(_is_or_begins(subscriber.c.locale, segment.locale))
    if segment.timezone is not None:
        found.append(subscriber.c.timezone == segment.timezone)
    if segment.joined_from is not None:
        found.append(subscriber.c.created_at >= segment.joined_from)
    if segment.joined_before is not None:
        found.append(subscriber.c.created_at < segment.joined_before)
    found += (
        subscriber.c.attributes[name].as_string() == value for name, value in segment.attributes.items()
    )
    return found


def _is_or_begins(locale: ColumnElement[Any], wanted: str) -> ColumnElement[bool]:
    wanted = wanted.replace("_", "-").lower()
    said = func.lower(func.replace(locale, "_", "-"))
    return or_(said == wanted, func.substr(said, 1, len(wanted) + 1) == f"{wanted}-")


def _of_a_subscription(segment: Segment) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if segment.list is not None:
        its_id = select(list_.c.id).where(list_.c.name == segment.list).scalar_subquery()
        conditions.append(subscription.c.list == its_id)
    if segment.state is not None:
        conditions.append(subscription.c.state == segment.state)
    if segment.cadence is not None:
        conditions.append(subscription.c.cadence == segment.cadence)
    if segment.topics:
        wanted = (_has_topic(topic) for topic in segment.topics)
        conditions.append(or_(subscription.c.topics == "", *wanted))
    if not conditions:
        return []
    one = select(subscription.c.list).where(subscription.c.subscriber == subscriber.c.id, *conditions)
    return [exists(one.correlate(subscriber))]


def _has_topic(topic: str) -> ColumnElement[bool]:
    """Not by LIKE, which tells upper case from lower in one of the databases only."""
    theirs = literal(",") + subscription.c.topics + ","
    return func.replace(theirs, f",{topic},", "") != theirs
