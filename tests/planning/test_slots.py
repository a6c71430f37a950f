"""When editions are due, in time zones whose clocks jump."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributor.planning.slots import (
    LATE,
    MOST_SLOTS,
    Slot,
    due_cadences,
    due_slots,
    slots_after,
    slots_between,
)

CatchUp = Literal["send", "merge", "drop"]

BERLIN = ZoneInfo("Europe/Berlin")  # 2026: on at 02:00 on 29 March, back at 03:00 on 25 October
NEW_YORK = ZoneInfo("America/New_York")  # 2026: on at 02:00 on 8 March, back at 02:00 on 1 November
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # by half an hour; 2026: back on 5 April, on again on 4 October
ZONES = (ZoneInfo("UTC"), BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Asia/Kathmandu"), ZoneInfo("Pacific/Apia"))
EVERY = ("instant", "daily", "weekly", "monthly")


def local(slots: list[Slot], zone: ZoneInfo) -> list[str]:
    return [slot.at.astimezone(zone).strftime("%d %H:%M") for slot in slots]


@pytest.mark.parametrize(
    ("zone", "begin", "before", "after"),
    [
        (BERLIN, date(2026, 3, 28), "06:00", "05:00"),
        (NEW_YORK, date(2026, 3, 7), "12:00", "11:00"),
        (LORD_HOWE, date(2026, 4, 4), "20:00", "20:30"),
    ],
)
def test_a_schedule_keeps_the_clock_on_the_wall(zone: ZoneInfo, begin: date, before: str, after: str):
    """Seven in the morning stays seven for the readers, on whichever side of the change it is."""
    start = datetime(begin.year, begin.month, begin.day, tzinfo=zone)
    slots = slots_between("0 7 * * *", zone, start, start + timedelta(days=2))
    assert [slot.at.strftime("%H:%M") for slot in slots] == [before, after]
    assert {slot.at.tzinfo for slot in slots} == {UTC}
    assert [slot.at.astimezone(zone).hour for slot in slots] == [7, 7]


@pytest.mark.parametrize(
    ("zone", "schedule", "day", "due"),
    [
        (BERLIN, "30 2 * * *", date(2026, 3, 29), "03:00"),
        (NEW_YORK, "30 2 * * *", date(2026, 3, 8), "03:00"),
        (LORD_HOWE, "15 2 * * *", date(2026, 10, 4), "02:30"),
    ],
)
def test_a_time_that_the_clock_skips_is_due_after_the_gap(zone: ZoneInfo, schedule: str, day: date, due: str):
    """Without a half past two that day, the edition comes right after the gap, once, to daily readers too."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    [slot] = slots_between(schedule, zone, start, start + timedelta(hours=20))
    assert slot.at.astimezone(zone).strftime("%H:%M") == due
    assert slot.at - slot.previous < timedelta(hours=25)
    assert "daily" in due_cadences(slot, EVERY, zone)
    assert slots_between(schedule, zone, slot.at, start + timedelta(hours=20)) == []


@pytest.mark.parametrize(
    ("zone", "schedule", "day"),
    [
        (BERLIN, "30 2 * * *", date(2026, 10, 25)),
        (NEW_YORK, "30 1 * * *", date(2026, 11, 1)),
        (LORD_HOWE, "45 1 * * *", date(2026, 4, 5)),
    ],
)
def test_a_time_that_the_clock_repeats_is_due_once(zone: ZoneInfo, schedule: str, day: date):
    """Half past two comes twice that night; its edition comes the first time only, whenever one asks."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    [slot] = slots_between(schedule, zone, start, start + timedelta(hours=20))
    assert slot.at.astimezone(zone).fold == 0
    for minutes in range(0, 12 * 60, 5):
        asked = slot.at + timedelta(minutes=minutes)
        following = next(slots_after(schedule, zone, asked))
        assert following - slot.at > timedelta(hours=22)


def test_an_hourly_schedule_goes_on_through_both_changes():
    """With a star for the hour, every real hour has its slot: 23 in spring, 25 in autumn."""
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25)):
        start = datetime(day.year, day.month, day.day, tzinfo=BERLIN)
        end = start + timedelta(days=1)  # the same hour of the next day on the wall
        found = slots_between("0 * * * *", BERLIN, start.astimezone(UTC), end.astimezone(UTC))
        assert len(found) == hours
        assert len({slot.key for slot in found}) == hours


def test_the_key_is_the_same_on_every_machine():
    """A slot's name in the ledger is in UTC, whatever zone its moment is told in."""
    at = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    for moment in (at, at.astimezone(NEW_YORK), at.astimezone(UTC)):
        assert Slot(at=moment, previous=moment).key == "2026-10-25T00:30Z"


@pytest.mark.parametrize(
    ("catch_up", "due"),
    [
        ("send", ["02 07:00", "03 07:00", "04 07:00"]),
        ("merge", ["04 07:00"]),
        ("drop", ["04 07:00"]),
    ],
)
def test_what_becomes_of_missed_slots(catch_up: CatchUp, due: list[str]):
    """After three days down: each of the editions, one for all, or only the one that is still on time."""
    zone = ZoneInfo("UTC")
    handled_at, now = datetime(2026, 6, 1, 7, tzinfo=UTC), datetime(2026, 6, 4, 7, 20, tzinfo=UTC)
    slots = due_slots("0 7 * * *", zone, handled_at=handled_at, now=now, catch_up=catch_up)
    assert local(slots, zone) == due
    assert slots[0].previous == handled_at


@pytest.mark.parametrize(("late", "due"), [(LATE - timedelta(seconds=1), 1), (LATE, 0)])
def test_a_late_slot_is_dropped_where_that_is_wished(late: timedelta, due: int):
    """An hour after its time an edition is not sent any more, and the next one serves its readers."""
    zone = ZoneInfo("UTC")
    handled_at, at = datetime(2026, 5, 31, 7, tzinfo=UTC), datetime(2026, 6, 1, 7, tzinfo=UTC)
    slots = due_slots("0 7 * * *", zone, handled_at=handled_at, now=at + late, catch_up="drop")
    assert len(slots) == due
    tomorrow = at + timedelta(days=1)
    [after] = due_slots("0 7 * * *", zone, handled_at=handled_at, now=tomorrow, catch_up="drop")
    assert after.at == tomorrow
    assert due_cadences(after, EVERY, zone) == EVERY  # 1 June was a Monday: a week and a month began in it


def test_dropping_ends_however_long_it_was_down():
    """Where more slots were missed than are looked at in one go, the one that is on time is still found."""
    zone = ZoneInfo("UTC")
    handled_at = datetime(2026, 1, 1, tzinfo=UTC)
    now = handled_at + timedelta(minutes=3 * MOST_SLOTS)
    [slot] = due_slots("* * * * *", zone, handled_at=handled_at, now=now, catch_up="drop")
    assert slot.at == now


@pytest.mark.parametrize("catch_up", ["send", "merge"])
def test_years_of_silence_are_caught_up_with_in_portions(catch_up: CatchUp):
    """However many slots were missed, going on from the last one due comes to now, in order, and ends."""
    zone = ZoneInfo("UTC")
    handled_at = datetime(2026, 1, 1, tzinfo=UTC)
    now = handled_at + timedelta(minutes=2 * MOST_SLOTS + 1)
    rounds = 0
    while slots := due_slots("* * * * *", zone, handled_at=handled_at, now=now, catch_up=catch_up):
        assert handled_at < slots[0].at <= slots[-1].at <= now
        handled_at, rounds = slots[-1].at, rounds + 1
    assert (handled_at, rounds) == (now, 3)


def test_the_first_slot_of_all_serves_daily_readers():
    """On the day it is installed, a newsletter's first edition goes to daily readers: they had none."""
    installed = datetime(2026, 6, 3, 6, tzinfo=UTC)  # a Wednesday
    [slot] = due_slots(
        "0 7 * * *", ZoneInfo("UTC"), handled_at=installed, now=installed.replace(hour=7), catch_up="merge"
    )
    assert due_cadences(slot, EVERY, ZoneInfo("UTC")) == ("instant", "daily")


@pytest.mark.parametrize(
    ("previous", "at", "cadences"),
    [
        ("2026-06-03T07:00", "2026-06-03T18:00", ["instant"]),
        ("2026-06-03T18:00", "2026-06-04T07:00", ["instant", "daily"]),
        ("2026-06-07T18:00", "2026-06-08T07:00", ["instant", "daily", "weekly"]),
        ("2026-06-30T18:00", "2026-07-01T07:00", ["instant", "daily", "monthly"]),
        ("2026-05-31T18:00", "2026-06-01T07:00", ["instant", "daily", "weekly", "monthly"]),
        ("2025-12-28T07:00", "2026-01-04T07:00", ["instant", "daily", "weekly", "monthly"]),
        ("2025-12-31T07:00", "2026-01-01T07:00", ["instant", "daily", "monthly"]),  # both in week 1 of 2026
        ("2025-06-09T07:00", "2026-06-08T07:00", ["instant", "daily", "weekly", "monthly"]),  # a year missed
    ],
)
def test_whom_a_slot_serves(previous: str, at: str, cadences: list[str]):
    """Weekly readers have the first slot of an ISO week, monthly ones that of a month, over gaps as well."""
    slot = Slot(
        at=datetime.fromisoformat(at).replace(tzinfo=UTC),
        previous=datetime.fromisoformat(previous).replace(tzinfo=UTC),
    )
    assert due_cadences(slot, EVERY, ZoneInfo("UTC")) == tuple(cadences)
    assert due_cadences(slot, ("weekly",), ZoneInfo("UTC")) == tuple(c for c in cadences if c == "weekly")


def test_the_day_begins_at_the_publishers_midnight():
    """Which day, week and month a slot is of is read on the clock of its zone."""
    slot = Slot(
        at=datetime(2026, 5, 31, 22, 30, tzinfo=UTC),  # 00:30 on Monday 1 June in Berlin
        previous=datetime(2026, 5, 31, 21, 30, tzinfo=UTC),
    )
    assert due_cadences(slot, EVERY, BERLIN) == EVERY
    assert due_cadences(slot, EVERY, ZoneInfo("UTC")) == ("instant",)


EVERY_SIX_HOURS = "0 */6 * * *"
schedules = st.sampled_from(
    ["0 7 * * *", "30 2 * * *", "0 7,18 * * 1-5", "0 9 * * 5", "15 1 1 * *", EVERY_SIX_HOURS, "45 2 * * SUN"]
)
# See `slots_after` for the one island where every sixth hour is not always one.
places = st.tuples(schedules, st.sampled_from(ZONES)).filter(
    lambda place: place != (EVERY_SIX_HOURS, LORD_HOWE)
)
ticks = st.lists(st.integers(1, 40 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes)), max_size=12)
starts = st.timedeltas(timedelta(0), timedelta(days=480)).map(
    lambda later: datetime(2025, 9, 1, tzinfo=UTC) + later
)


@given(place=places, start=starts, pauses=ticks)
def test_every_slot_is_handled_once(place: tuple[str, ZoneInfo], start: datetime, pauses: list[timedelta]):
    """Whenever the program looks, "send" has each slot of the whole time once, in order."""
    schedule, zone = place
    handled_at = now = start
    handled: list[Slot] = []
    for pause in pauses:
        now += pause
        due = due_slots(schedule, zone, handled_at=handled_at, now=now, catch_up="send")
        handled += due
        handled_at = due[-1].at if due else handled_at
    expected = slots_between(schedule, zone, start, now)
    assert [slot.at for slot in handled] == [slot.at for slot in expected]
    assert [slot.previous for slot in handled] == [slot.previous for slot in expected]
    assert len({slot.key for slot in handled}) == len(handled)
    assert all(slot.previous < slot.at for slot in handled)


@given(
    place=places,
    start=starts,
    pauses=ticks,
    catch_up=st.sampled_from(get_args(CatchUp)),
)
def test_nobody_is_served_twice_in_their_time(
    place: tuple[str, ZoneInfo], start: datetime, pauses: list[timedelta], catch_up: CatchUp
):
    """A day has one slot for daily readers at most, an ISO week one for weekly, a month one for monthly."""
    schedule, zone = place
    handled_at = now = start
    served: dict[str, list[object]] = {cadence: [] for cadence in EVERY}
    for pause in pauses:
        now += pause
        for slot in due_slots(schedule, zone, handled_at=handled_at, now=now, catch_up=catch_up):
            at = slot.at.astimezone(zone)
            times = {"daily": at.date(), "weekly": at.isocalendar()[:2], "monthly": (at.year, at.month)}
            for cadence in due_cadences(slot, ("daily", "weekly", "monthly"), zone):
                served[cadence].append(times[cadence])
            handled_at = slot.at
    assert all(len(times) == len(set(times)) for times in served.values())


@given(zone=st.sampled_from(ZONES), start=starts, pauses=ticks)
def test_every_week_with_a_slot_has_one_for_weekly_readers(
    zone: ZoneInfo, start: datetime, pauses: list[timedelta]
):
    """When all slots are handled, each ISO week that has any has exactly one that is weekly readers' own."""
    handled_at = now = start
    weeks: list[tuple[int, int]] = []
    served: list[tuple[int, int]] = []
    for pause in pauses:
        now += pause
        for slot in due_slots("30 2 * * *", zone, handled_at=handled_at, now=now, catch_up="send"):
            week = slot.at.astimezone(zone).isocalendar()[:2]
            weeks.append(week)
            served += [week] if due_cadences(slot, ("weekly",), zone) else []
            handled_at = slot.at
    begun_before = weeks[:1] if weeks and served[:1] != weeks[:1] else []  # its slot was before the start
    assert served == [week for week in dict.fromkeys(weeks) if week not in begun_before]
