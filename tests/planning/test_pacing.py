"""When a post may go out: quiet hours, gaps and daily maxima, over clock changes too."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributor.model import Article, Wishes
from distributor.planning.pacing import Overflow, Pace, choose, next_time, room

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata")


def berlin(text: str, *, fold: int = 0) -> datetime:
    """A moment by Berlin's clock, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def test_without_limits_now_is_the_time():
    """An account that asks for nothing is posted on at once."""
    now = berlin("2026-06-01T12:00")
    assert next_time(now, [now, now], Pace(zone=BERLIN)) == now


def test_the_gap_is_kept_to_all_others():
    """The next post waits behind the last that is queued, and not for one that is long past."""
    now, gap = berlin("2026-06-01T12:00"), timedelta(minutes=30)
    taken = [now - timedelta(minutes=10), now + timedelta(minutes=20), now - timedelta(hours=5)]
    assert next_time(now, taken, Pace(zone=BERLIN, min_gap=gap)) == now + timedelta(minutes=50)
    assert next_time(now, taken[2:], Pace(zone=BERLIN, min_gap=gap)) == now


def test_a_full_day_means_the_next():
    """A day takes its maximum, and what is left goes out from the account's own midnight on."""
    now = berlin("2026-06-01T23:30")
    taken = [now, now - timedelta(hours=3), berlin("2026-06-02T09:00"), berlin("2026-06-03T00:00")]
    assert next_time(now, taken[:1], Pace(zone=BERLIN, max_per_day=2)) == now
    assert next_time(now, taken[:2], Pace(zone=BERLIN, max_per_day=2)) == berlin("2026-06-02T00:00")
    assert next_time(now, taken, Pace(zone=BERLIN, max_per_day=1)) == berlin("2026-06-04T00:00")


@pytest.mark.parametrize(
    ("quiet_hours", "now", "then"),
    [
        ("22:00-07:00", "2026-06-01T21:59", "2026-06-01T21:59"),
        ("22:00-07:00", "2026-06-01T22:00", "2026-06-02T07:00"),
        ("22:00-07:00", "2026-06-02T03:00", "2026-06-02T07:00"),
        ("22:00-07:00", "2026-06-02T07:00", "2026-06-02T07:00"),
        ("12:00-14:00", "2026-06-02T13:00", "2026-06-02T14:00"),
        ("12:00-14:00", "2026-06-02T23:00", "2026-06-02T23:00"),
        ("00:00-06:00", "2026-06-02T00:00", "2026-06-02T06:00"),
        ("22:00-00:00", "2026-06-02T22:30", "2026-06-03T00:00"),
        ("09:00-09:00", "2026-06-02T09:00", "2026-06-02T09:00"),  # no hours at all
        ("22:00-07:00", "2026-03-28T23:00", "2026-03-29T07:00"),  # eight hours on the wall, seven in truth
        ("22:00-07:00", "2026-10-24T23:00", "2026-10-25T07:00"),
    ],
)
def test_quiet_hours_are_kept_over_midnight(quiet_hours: str, now: str, then: str):
    """What would go out in the quiet hours waits for their end, on the account's own clock."""
    assert next_time(berlin(now), [], Pace(zone=BERLIN, quiet_hours=quiet_hours)) == berlin(then)


def test_quiet_hours_that_end_twice_are_kept_both_times():
    """When half past two is repeated in autumn, the second quarter past two is quiet like the first."""
    for fold in (0, 1):
        now = berlin("2026-10-25T02:15", fold=fold)
        then = next_time(now, [], Pace(zone=BERLIN, quiet_hours="22:00-02:30"))
        assert then == berlin("2026-10-25T02:30", fold=fold)


def test_quiet_hours_that_end_in_the_gap_end_after_it():
    """Where there is no half past two in spring, nothing goes out before the clock has passed it."""
    then = next_time(berlin("2026-03-29T01:00"), [], Pace(zone=BERLIN, quiet_hours="22:00-02:30"))
    assert berlin("2026-03-29T03:00") <= then <= berlin("2026-03-29T03:30")


def test_all_limits_hold_together():
    """A full day that ends in quiet hours leads past both."""
    now = berlin("2026-06-01T20:00")
    then = next_time(
        now,
        [now - timedelta(hours=1)],
        Pace(zone=BERLIN, min_gap=timedelta(hours=2), max_per_day=1, quiet_hours="22:00-07:00"),
    )
    assert then == berlin("2026-06-02T07:00")


days = st.timedeltas(timedelta(0), timedelta(days=40))  # around the changes of the clock
moments = st.builds(datetime.__add__, st.sampled_from([berlin("2026-03-01"), berlin("2026-10-01")]), days)
clock_times = st.times().map(lambda at: at.replace(second=0, microsecond=0))


@given(
    now=moments,
    offsets=st.lists(st.timedeltas(timedelta(days=-2), timedelta(days=3)), max_size=8),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    min_gap=st.timedeltas(timedelta(0), timedelta(hours=30)),
    max_per_day=st.none() | st.integers(1, 4),
    quiet=st.none() | st.tuples(clock_times, clock_times),
)
def test_every_limit_is_kept(
    now: datetime,
    offsets: list[timedelta],
    zone: ZoneInfo,
    min_gap: timedelta,
    max_per_day: int | None,
    quiet: tuple[time, time] | None,
):
    """Never before now, never in the quiet hours, never too close, never too many on a day; and it ends."""
    taken = [now + offset for offset in offsets]
    quiet_hours = f"{quiet[0]:%H:%M}-{quiet[1]:%H:%M}" if quiet else None
    pace = Pace(zone=zone, min_gap=min_gap, max_per_day=max_per_day, quiet_hours=quiet_hours)
    then = next_time(now, taken, pace)
    assert then >= now
    assert then < now + timedelta(days=3 + len(taken) + 3) + min_gap
    assert all(abs(then - other) >= min_gap for other in taken)
    local = then.astimezone(zone)
    if max_per_day is not None:
        same_day = [other for other in taken if other.astimezone(zone).date() == local.date()]
        assert len(same_day) < max_per_day
    if quiet:
        begin, end = quiet
        at = local.time()
        is_quiet = begin <= at < end if begin <= end else at >= begin or at < end
        assert not is_quiet


def article(number: int, *, featured: bool = False, breaking: bool = False) -> tuple[int, Article]:
    published_at = berlin("2026-06-01T00:00") + timedelta(minutes=number)
    wishes = Wishes(breaking=breaking)
    key = str(number)
    told = Article(
        key=key,
        url=f"https://news.example/{key}/",
        title=key,
        published_at=published_at,
        path=key,
        featured=featured,
        wishes=wishes,
    )
    return number, told


def test_a_day_has_room_for_its_maximum():
    """What is due that day counts, yesterday's does not; without a maximum there is no end of it."""
    now = berlin("2026-06-01T12:00")
    taken = [now - timedelta(hours=13), now - timedelta(hours=2), now + timedelta(hours=3)]
    assert room(now, taken, Pace(zone=BERLIN, max_per_day=5)) == 3
    assert room(now, taken, Pace(zone=BERLIN, max_per_day=1)) == 0
    assert room(now, taken, Pace(zone=BERLIN)) is None


@given(
    featured=st.sets(st.integers(0, 11)),
    breaking=st.sets(st.integers(0, 11)),
    policy=st.sampled_from(("spread", "newest", "featured", "roundup")),
    left=st.none() | st.integers(0, 14),
)
def test_every_article_has_one_fate(
    featured: set[int], breaking: set[int], policy: Overflow, left: int | None
):
    """Posted, in a roundup, left out or waiting: never two of these, never none, and within the room."""
    entries = [article(n, featured=n in featured, breaking=n in breaking) for n in range(12)]
    choice = choose(entries, policy, left)
    fates = (*choice.posted, *choice.together, *choice.left_out, *choice.waiting)
    assert sorted(id_ for id_, _ in fates) == list(range(12))
    assert breaking <= {id_ for id_, _ in choice.posted}
    if policy != "spread" and left is not None:
        usual = [one for one in choice.posted if one[0] not in breaking]
        assert len(usual) + bool(choice.together) <= left
    if policy == "featured" and choice.left_out:
        posted = {id_ for id_, _ in choice.posted}
        assert featured <= posted or len(featured - breaking) > (left or 0)
