"""What the schedule will ask for: who gets what, when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from distributor.editions import EVERYBODY
from distributor.planning.pacing import midnight_after
from distributor.planning.places import next_slot
from distributor.planning.slots import due_cadences, slots_after, slots_between
from distributor.store import accounts, campaigns, gate
from distributor.store import articles as article_store
from subscribers import store as audience

if TYPE_CHECKING:
    from distributor.app import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An edition that the schedule will ask for."""

    newsletter: str
    at: datetime  # aware, UTC
    cadences: tuple[str, ...]  # that are due then, of those that readers may choose or have
    readers: int
    articles: int | None  # that are waiting now; None for all but the next slot
    # Of editions at readers' own hours, which have one line for all who have them by the same clock.
    local: str | None = None  # "2026-12-01 07:00", on the clocks of its readers
    until: datetime | None = None  # the last of them, as *at* is the first
    zones: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostAhead:
    """A post that is to come."""

    channel: str
    at: datetime | None  # aware, UTC; None: the next round plans it
    title: str


def next_due_at(app: App, *, after: datetime) -> datetime | None:
    """The first moment beyond *after* at which time alone makes something due; None: only a person can.

    Whoever looked at *after* need not look again before it for the sake of the schedule: a publish date,
    an embargo's or an article's end, a question to the public site, a slot of a newsletter, a new day's room
    on a channel.
    """
    with app.database.read() as db:
        moments = [article_store.next_change(db, after=after)]
        ask_at = gate.next_ask_at(db)
    if ask_at is not None:  # what is claimed by another process, or too much for one round, is soon enough
        moments.append(max(ask_at, after + timedelta(seconds=1)))
    moments += _next_slots(app, after)
    moments += _next_days(app, after)
    return min((moment for moment in moments if moment), default=None)


def _next_slots(app: App, after: datetime) -> Iterator[datetime | None]:
    for name, newsletter in app.config.newsletters.items():
        if newsletter.is_by_place:
            with app.database.read() as db:
                served = audience.marks(db, name)
            yield next_slot(app.editions.timetable(name), served, after)
        else:
            yield next(slots_after(newsletter.schedule, app.editions.zone(newsletter), after), None)


def _next_days(app: App, after: datetime) -> Iterator[datetime]:
    """When the accounts whose posts wait for a day with room have a new one."""
    for name, channel in app.config.channels.items():
        if channel.max_per_day is not None and channel.overflow != "spread":
            yield midnight_after(after, app.posts.zone(name))


def forecast(app: App, *, days: int) -> list[Expected]:
    """The editions of the next *days*: when, for whom, and what is waiting for the next of each."""
    now = app.clock()
    expected: list[Expected] = []
    with app.database.read() as db:
        readers = audience.counts(db)
        known = campaigns.channels(db)
        for name, newsletter in app.config.newsletters.items():
            if newsletter.is_by_place:
                expected += _where_they_are(app, db, name, now + timedelta(days=days))
                continue
            zone = app.editions.zone(newsletter)
            begin = known[name].handled_at if name in known else now
            end = now + timedelta(days=days)
            for place, slot in enumerate(slots_between(newsletter.schedule, zone, begin, end)):
                cadences = due_cadences(slot, EVERYBODY, zone)
                served = readers.get(name, {})
                count = sum(served.get(cadence, 0) for cadence in cadences)
                waiting = _waiting(app, db, name, cadences) if not place and name in known else None
                shown = tuple(c for c in cadences if c in newsletter.cadences or served.get(c))
                expected.append(
                    Expected(newsletter=name, at=slot.at, cadences=shown, readers=count, articles=waiting)
                )
    return sorted(expected, key=lambda entry: (entry.at, entry.newsletter, entry.local or ""))


def _where_they_are(app: App, db: Connection, name: str, end: datetime) -> Iterator[Expected]:
    """The editions of a newsletter at readers' own hours, by what those clocks show."""
    timetable, marks = app.editions.timetable(name), audience.marks(db, name)
    counts = audience.place_counts(db, name)
    groups: dict[str, list[tuple[datetime, str, str]]] = {}
    for place, cadence in counts:
        mark = marks.get((place, cadence)) or timetable.last(place, cadence, app.clock())
        for at, _ in timetable.slots(place, cadence, mark, end, "send"):
            local = f"{at.astimezone(timetable.zone(place)):%Y-%m-%d %H:%M}"
            groups.setdefault(local, []).append((at, place, cadence))
    for number, (local, served) in enumerate(sorted(groups.items())):
        cadences = tuple(c for c in EVERYBODY if c in {cadence for _, _, cadence in served})
        is_next = not number and name in campaigns.channels(db)
        yield Expected(
            newsletter=name,
            at=min(at for at, _, _ in served),
            cadences=cadences,
            readers=sum(counts[place, cadence] for _, place, cadence in served),
            articles=_waiting(app, db, name, cadences) if is_next else None,
            local=local,
            until=max(at for at, _, _ in served),
            zones=len({timetable.zone(place).key for _, place, _ in served}),
        )


def _waiting(app: App, db: Connection, name: str, cadences: tuple[str, ...]) -> int:
    order = app.editions.by_hand(name, app.clock())
    draft = app.editions.draft(db, replace(order, cadences=cadences), app.clock())
    return len({key for choice in draft.chosen() for key in choice})


def posts_ahead(app: App) -> list[PostAhead]:
    """The posts that are queued, and those that the next round will plan (their `at` is None)."""
    now = app.clock()
    with app.database.read() as db:
        ahead = [
            PostAhead(channel=name, at=due_at, title=title)
            for name, due_at, title in accounts.posts_queued(db)
        ]
        for name, row in campaigns.channels(db).items():
            if row.kind == "post" and name in app.config.channels:
                entries = app.shelf.public(db, beyond=row.start, now=now)
                wanted = app.posts.wanted(name, entries)
                ahead += (PostAhead(channel=name, at=None, title=a.title) for _, a in wanted)
    return ahead
