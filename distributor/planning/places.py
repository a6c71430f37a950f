"""When an edition is due where its readers are: a schedule is read by the clock on their own wall.

A reader's *place* is their time zone and the hour they chose, as `subscribers.schema` writes it:
"Asia/Tokyo 7", "Asia/Tokyo", " 7"; empty where they chose neither. Each place and cadence has a *mark*: the
last slot that served it. A slot serves it when the mark lies before the window that the slot is in: for daily
readers their day, for weekly ones their week, for monthly ones their month, for instant ones the slot itself.
So whoever is served late, or moved to another place with the mark they had, is served once a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from distributor.model import Due
from distributor.planning.slots import LATE, slot_before, slots_after, slots_between

Marks = Mapping[tuple[str, str], datetime]  # by place and cadence


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSlot:
    """A moment at which editions are due, and the day that it is where their readers are."""

    at: datetime  # aware, UTC
    day: date

    @property
    def key(self) -> str:
        """Its name in the ledger. At one moment it may be two days, on either side of the date line."""
        name = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
        return name if self.day == self.at.date() else f"{name} on {self.day}"


class Timetable:
    """A schedule as it is read in each place; it remembers between which two slots of each it was asked."""

    def __init__(self, schedule: str, usual: ZoneInfo) -> None:
        self._schedule = schedule
        self._usual = usual  # of readers who chose no zone, or one that is none any more
        self._around: dict[tuple[str, str], tuple[datetime, datetime]] = {}
        self._zones: dict[str, ZoneInfo] = {"": usual}

    def zone(self, place: str) -> ZoneInfo:
        name = place.rpartition(" ")[0] if _hour(place) else place
        if name not in self._zones:
            self._zones[name] = _zone(name) or self._usual
        return self._zones[name]

    def schedule(self, place: str, cadence: str) -> str:
        """A reader's own hour stands for the schedule's, unless they want everything at once."""
        minute, hours, rest = self._schedule.split(maxsplit=2)
        chosen = _hour(place)
        return f"{minute} {hours if cadence == 'instant' or not chosen else chosen} {rest}"

    def around(self, place: str, cadence: str, now: datetime) -> tuple[datetime, datetime]:
        """The last slot up to *now*, and the first one after it."""
        schedule, zone = self.schedule(place, cadence), self.zone(place)
        last, following = self._around.get((schedule, zone.key), (now, now))
        if not last <= now < following:
            following = next(slots_after(schedule, zone, now))
            # Backwards, clocks that jump lead to other moments than forwards; only the latter are slots.
            begin = slot_before(schedule, zone, following) - JUMP
            last = slots_between(schedule, zone, begin, now)[-1].at
            self._around[schedule, zone.key] = (last, following)
        return last, following

    def last(self, place: str, cadence: str, now: datetime) -> datetime:
        """The last slot up to *now*."""
        return self.around(place, cadence, now)[0]

    def next_for(self, place: str, cadence: str, mark: datetime, now: datetime) -> datetime:
        """The slot that serves next who was last served by *mark*; one that is past serves them now."""
        zone, (last, _) = self.zone(place), self.around(place, cadence, now)
        if window_begin(last, cadence, zone) > mark:
            return last
        coming = slots_after(self.schedule(place, cadence), zone, now)
        return next(at for at in coming if window_begin(at, cadence, zone) > mark)

    def slots(
        self,
        place: str,
        cadence: str,
        mark: datetime,
        now: datetime,
        catch_up: Literal["send", "merge", "drop"],
    ) -> Iterator[tuple[datetime, datetime]]:
        """The slots up to *now* that serve who was last served by *mark*, oldest first, and their windows."""
        zone = self.zone(place)
        last, _ = self.around(place, cadence, now)
        if catch_up == "send" and mark < last:
            schedule = self.schedule(place, cadence)
            moments = [slot.at for slot in slots_between(schedule, zone, mark, now)]
        else:
            moments = [] if catch_up == "drop" and now - last >= LATE else [last]
        for at in moments:
            if (begin := window_begin(at, cadence, zone)) > mark:
                yield at, begin
                mark = at


JUMP = timedelta(hours=3)  # farther than any clock is put forward or back within a zone


def window_begin(at: datetime, cadence: str, zone: ZoneInfo) -> datetime:
    """When the window of a slot began for readers of a cadence, in UTC."""
    day = at.astimezone(zone).date()
    if cadence == "weekly":
        day -= timedelta(days=day.weekday())
    elif cadence == "monthly":
        day = day.replace(day=1)
    elif cadence == "instant":
        return at
    return datetime.combine(day, time(), zone).astimezone(UTC)


def due(
    timetable: Timetable, marks: Marks, *, now: datetime, catch_up: Literal["send", "merge", "drop"]
) -> dict[LocalSlot, list[Due]]:
    """The slots that are due by *now*, oldest first, and whom each serves."""
    found: dict[LocalSlot, list[Due]] = {}
    for (place, cadence), mark in sorted(marks.items()):
        for at, begin in timetable.slots(place, cadence, mark, now, catch_up):
            slot = LocalSlot(at=at, day=at.astimezone(timetable.zone(place)).date())
            found.setdefault(slot, []).append(Due(place=place, cadence=cadence, begin=begin))
    return dict(sorted(found.items(), key=lambda item: (item[0].at, item[0].day)))


def next_slot(timetable: Timetable, served: Iterable[tuple[str, str]], now: datetime) -> datetime | None:
    """The first slot after *now* of any of these places and cadences."""
    return min((timetable.around(place, cadence, now)[1] for place, cadence in served), default=None)


def place_of(timezone: str | None, hour: int | None) -> str:
    """The place of a reader who chose these."""
    return f"{timezone or ''} {'' if hour is None else hour}".rstrip()


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return None


def _hour(place: str) -> str:
    """The hour in a place, "" where none was chosen."""
    hour = place.rpartition(" ")[2]
    return hour if hour.isdecimal() else ""
