"""Why a reader has, will have or will not have an article: the ledger's own words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from distributor.config import Config
from distributor.model import Article, DeliveryState
from distributor.planning import selection
from distributor.planning.places import Timetable, place_of
from distributor.store import accounts, aging, campaigns
from distributor.store.accounts import DeliveryRow
from subscribers import store as audience
from subscribers.model import Subscriber, Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What holds for one newsletter."""

    newsletter: str
    verdict: str
    details: tuple[str, ...] = ()


def explain(
    db: Connection,
    config: Config,
    article_id: int | None,
    article: Article,
    person: Subscriber | None,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> list[Reason]:
    """A reason for every configured newsletter; times are told as in *zone*."""
    if person is None:
        return [
            Reason(newsletter=name, verdict="nobody subscribes as that address")
            for name in config.newsletters
        ]
    places = {place.list: place for place in person.subscriptions}
    return [
        _reason(db, config, name, article_id, article, person, places.get(name), zone, now)
        for name in config.newsletters
    ]


def _reason(
    db: Connection,
    config: Config,
    name: str,
    article_id: int | None,
    article: Article,
    person: Subscriber,
    place: Subscription | None,
    zone: ZoneInfo,
    now: datetime,
) -> Reason:
    rows = (
        accounts.deliveries_of(db, person.id, article=article_id, channel_name=name)
        if article_id is not None
        else []
    )
    details = tuple(_told(row, zone) for row in rows)
    old = aging.faded(db, person.id, article=article_id, channel_name=name) if article_id is not None else []
    if old and not rows:
        told = tuple(f"campaign {one.campaign}, due {one.due_at.astimezone(zone):%Y-%m-%d}" for one in old)
        return Reason(newsletter=name, verdict=OLDER_THAN_KEPT, details=told)
    if not rows:
        return Reason(newsletter=name, verdict=_why_not(db, config, name, article, person, place, zone, now))
    verdict = VERDICTS[rows[-1].state]
    if rows[-1].state is DeliveryState.SKIPPED:
        verdict += f"; now: {_why_not(db, config, name, article, person, place, zone, now)}"
    return Reason(newsletter=name, verdict=verdict, details=details)


OLDER_THAN_KEPT = "it was in an edition older than kept, and whoever was a reader by then counts as having it"
VERDICTS = {
    DeliveryState.QUEUED: "it is queued for them",
    DeliveryState.SENDING: "it is being sent to them now",
    DeliveryState.ACCEPTED: "the provider accepted it for them",
    DeliveryState.REFUSED: "the provider refused it",
    DeliveryState.SKIPPED: "it was planned for them and then left out",
    DeliveryState.UNCLEAR: "it is unclear whether it reached the provider",
}


def _told(row: DeliveryRow, zone: ZoneInfo) -> str:
    through = f" through {row.provider}" if row.provider else ""
    under = f" as {row.receipt}" if row.receipt else ""
    because = f": {row.reason}" if row.reason else ""
    remedy = (
        f"; settle it with `distributor campaigns settle {row.campaign} --as …`"
        if row.state is DeliveryState.UNCLEAR
        else ""
    )
    return (
        f"campaign {row.campaign}, due {row.due_at.astimezone(zone):%Y-%m-%d %H:%M}, as {row.role}: "
        f"{row.state}{through}{under}{because}{remedy}"
    )


def _why_not(
    db: Connection,
    config: Config,
    name: str,
    article: Article,
    person: Subscriber,
    place: Subscription | None,
    zone: ZoneInfo,
    now: datetime,
) -> str:
    """The first thing that stands between an article and a reader who was never planned for it."""
    if place is None:
        return "they have no subscription to it"
    if person.suppressed:
        return f"their address is suppressed: {person.suppressed}"
    if place.state != "confirmed":
        return f"their subscription is {place.state}"
    if place.paused_until and place.paused_until > now:
        return f"they take a break until {place.paused_until.astimezone(zone):%Y-%m-%d %H:%M}"
    if article.sequence is None or article.state != "public":
        return f"the article is not public: {article.reason or article.state}"
    if not selection.is_for_newsletters(article):
        return 'its front matter says newsletter = "skip"'
    newsletter = config.newsletters[name]
    if not selection.matches_any(article, selection.wanted(place.topics, newsletter.topics)):
        has = ", ".join(sorted(selection.labels_of(article))) or "none"
        return f"it matches none of their topics ({', '.join(place.topics)}); its own are {has}"
    channel = campaigns.channels(db).get(name)
    if channel and article.sequence <= channel.start:
        return "it was public before the newsletter began, so it counts as known"
    if article.sequence <= place.served_through:
        return f"they had been served through number {place.served_through}; it is number {article.sequence}"
    waits = f"it is waiting for their next {place.cadence} edition"
    return waits + _when(db, config, name, person, place, zone, now)


def _when(
    db: Connection,
    config: Config,
    name: str,
    person: Subscriber,
    place: Subscription,
    zone: ZoneInfo,
    now: datetime,
) -> str:
    """When that is, where readers have editions at their own hours."""
    newsletter = config.newsletters[name]
    if not newsletter.is_by_place:
        return ""
    timetable, where = Timetable(newsletter.schedule, zone), place_of(person.timezone, person.hour)
    mark = audience.last_slot(db, name, person.id) or timetable.last(where, place.cadence, now)
    at = timetable.next_for(where, place.cadence, mark, now)
    if at <= now:
        return ", which is due now"
    there = timetable.zone(where)
    return f", at {at.astimezone(there):%Y-%m-%d %H:%M} where they are ({there.key})"
