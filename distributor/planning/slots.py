"""When an edition is due: cron slots in a time zone, and what becomes of those that were missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

LATE = timedelta(hours=1)  # a slot missed for so long is dropped, where that is wished
MOST_SLOTS = 1000  # looked at in one go: after years of silence the oldest are merged into the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A moment at which an edition is due, and the one before it."""

    at: datetime  # aware, UTC
    previous: datetime

    @property
    def key(self) -> str:
        """Its name in the ledger, the same on every machine."""
        return self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def slots_after(schedule: str, zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    """The schedule's moments after *moment*, in UTC.

    A wall-clock time that a change to summer time skips is due right after the gap; one that a change back
    repeats is due once (Debian's cron, as cronsim does it).

    On Lord Howe Island, whose clock moves by half an hour, a schedule of every so many hours lacks one on the
    day of the change (cronsim 2.8, seen 2026-11-23); the next serves its readers.
    """
    for found in CronSim(schedule, moment.astimezone(zone)):
        at = found.astimezone(UTC)
        if at > moment:  # in an hour that repeats, cronsim may begin again with the first pass
            yield at


def slots_between(schedule: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[Slot]:
    """The schedule's slots after the one moment and up to the other, oldest first, `MOST_SLOTS` at most."""
    moments = list(takewhile(lambda at: at <= until, islice(slots_after(schedule, zone, after), MOST_SLOTS)))
    if not moments:
        return []
    before = slot_before(schedule, zone, moments[0])
    return [Slot(at=at, previous=previous) for previous, at in zip([before, *moments], moments, strict=False)]


def slot_before(schedule: str, zone: ZoneInfo, moment: datetime) -> datetime:
    """The last of the schedule's moments before *moment*, in UTC."""
    backwards = (found.astimezone(UTC) for found in CronSim(schedule, moment.astimezone(zone), reverse=True))
    # Backwards too, a time that the clock skips is due after the gap, which is where *moment* may stand.
    return next(at for at in backwards if at < moment)


def due_slots(
    schedule: str,
    zone: ZoneInfo,
    *,
    handled_at: datetime,
    now: datetime,
    catch_up: Literal["send", "merge", "drop"],
) -> list[Slot]:
    """The slots after *handled_at* for which an edition is due by *now*, oldest first.

    "send" is all of them. "merge" is the last, in place of all; so is "drop", unless it is too late for it.
    Either way, readers of a missed slot have the next edition, and not only that of the next week or month.
    """
    slots = slots_between(schedule, zone, handled_at, now)
    if catch_up == "send" or not slots:
        return slots
    if catch_up == "drop":
        latest = slots_between(schedule, zone, max(handled_at, now - LATE), now)[-1:]
    else:
        latest = slots[-1:]
    return [Slot(at=slot.at, previous=slots[0].previous) for slot in latest]


def due_cadences(slot: Slot, cadences: Sequence[str], zone: ZoneInfo) -> tuple[str, ...]:
    """The cadences whose readers this slot serves: a weekly reader's is the first of a week, and so on.

    A slot that stands for missed ones serves whoever any of them would have served.
    """
    at, previous = slot.at.astimezone(zone), slot.previous.astimezone(zone)
    begins = {
        "instant": True,
        "daily": at.date() != previous.date(),
        "weekly": at.isocalendar()[:2] != previous.isocalendar()[:2],
        "monthly": (at.year, at.month) != (previous.year, previous.month),
    }
    return tuple(cadence for cadence in cadences if begins[cadence])
