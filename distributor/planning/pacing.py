"""When a post may go out: an account's quiet hours, gap and daily maximum. Later is not never."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def next_time(
    now: datetime,
    taken: Sequence[datetime],
    *,
    zone: ZoneInfo,
    min_gap: timedelta = timedelta(0),
    max_per_day: int | None = None,
    quiet_hours: str | None = None,  # "22:00-07:00", in *zone*
) -> datetime:
    """The earliest moment from *now* on that keeps to the account's limits, given when others go out."""
    candidate = max([now, *(moment + min_gap for moment in taken)]) if min_gap else now
    while True:
        moved = _after_quiet_hours(candidate, zone, quiet_hours)
        if max_per_day is not None and _on_day_of(moved, taken, zone) >= max_per_day:
            moved = _midnight_after(moved, zone)
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


def _midnight_after(moment: datetime, zone: ZoneInfo) -> datetime:
    day = moment.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(day, time(), zone).astimezone(UTC)
