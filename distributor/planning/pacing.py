"""When a post may go out: an account's quiet hours, gap and daily maximum. Later is not never."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from distributor.model import Article

Overflow = Literal["spread", "newest", "featured", "roundup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When an account wants posts to go out, and which."""

    zone: ZoneInfo
    min_gap: timedelta = timedelta(0)
    max_per_day: int | None = None
    quiet_hours: str | None = None  # "22:00-07:00", in *zone*
    max_age: timedelta | None = None  # of an article, when its post goes out

    @property
    def looks_back(self) -> timedelta:
        """For how long a post that went out counts."""
        return max(timedelta(days=2), self.min_gap)

    def is_too_old(self, published_at: datetime, due_at: datetime) -> bool:
        return self.max_age is not None and due_at - published_at > self.max_age


def next_time(now: datetime, taken: Sequence[datetime], pace: Pace) -> datetime:
    """The earliest moment from *now* on that keeps to the account's limits, given when others go out."""
    candidate = max([now, *(moment + pace.min_gap for moment in taken)]) if pace.min_gap else now
    while True:
        moved = _after_quiet_hours(candidate, pace.zone, pace.quiet_hours)
        if pace.max_per_day is not None and _on_day_of(moved, taken, pace.zone) >= pace.max_per_day:
            moved = midnight_after(moved, pace.zone)
        if moved == candidate:
            return candidate
        candidate = moved


def _after_quiet_hours(moment: datetime, zone: ZoneInfo, quiet_hours: str | None) -> datetime:
    if quiet_hours is None:
        return moment
    begin, end = (time.fromisoformat(part) for part in quiet_hours.split("-"))
    local = moment.astimezone(zone)
    if begin <= end:
        is_quiet, day = begin <= local.time() < end, local.date()
    else:  # over midnight
        is_quiet = local.time() >= begin or local.time() < end
        day = local.date() + timedelta(days=1 if local.time() >= begin else 0)
    if not is_quiet:
        return moment
    # In an hour that the clock repeats, the quiet ends twice.
    ends = (datetime.combine(day, end.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
    return min(end_at for end_at in ends if end_at > moment)


def _on_day_of(moment: datetime, taken: Sequence[datetime], zone: ZoneInfo) -> int:
    day = moment.astimezone(zone).date()
    return sum(other.astimezone(zone).date() == day for other in taken)


def midnight_after(moment: datetime, zone: ZoneInfo) -> datetime:
    """When the day of *moment* ends in *zone*, in UTC."""
    day = moment.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(day, time(), zone).astimezone(UTC)


def room(now: datetime, taken: Sequence[datetime], pace: Pace) -> int | None:
    """How many more posts the day of *now* takes, given when others go out; None: any number."""
    return None if pace.max_per_day is None else max(0, pace.max_per_day - _on_day_of(now, taken, pace.zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What becomes of the articles that wait for a channel: each stands in just one of these."""

    posted: tuple[tuple[int, Article], ...] = ()
    together: tuple[tuple[int, Article], ...] = ()  # in one post
    left_out: tuple[tuple[int, Article], ...] = ()
    waiting: tuple[tuple[int, Article], ...] = ()  # for a day that has room


def choose(entries: Sequence[tuple[int, Article]], policy: Overflow, left: int | None) -> Choice:
    """What a day that has room for *left* more posts takes of *entries*, which stand in their order.

    Breaking news is posted whatever the room is. With "spread" everything is posted, on later days too.
    """
    breaking = tuple(entry for entry in entries if entry[1].wishes.breaking)
    others = tuple(entry for entry in entries if not entry[1].wishes.breaking)
    if policy == "spread" or left is None or len(others) <= left:
        return Choice(posted=tuple(entries))
    if not left:
        return Choice(posted=breaking, waiting=others)
    ranked = sorted(others, key=lambda entry: entry[1].published_at, reverse=True)
    if policy == "featured":
        ranked.sort(key=lambda entry: not entry[1].featured)
    alone = {id_ for id_, _ in ranked[: left - 1 if policy == "roundup" else left]} | {
        id_ for id_, _ in breaking
    }
    posted = tuple(entry for entry in entries if entry[0] in alone)
    rest = tuple(entry for entry in entries if entry[0] not in alone)
    return (
        Choice(posted=posted, together=rest) if policy == "roundup" else Choice(posted=posted, left_out=rest)
    )
