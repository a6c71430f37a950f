"""A year in the life of a newsletter that comes at each reader's own hour, told beforehand by an oracle.

The oracle knows the policy and nothing of the program: wall clocks, days, and who has had what. It says of
every reader when which articles come; the program has to do exactly that.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import httpx
import pytest

from distributor.app import App
from distributor.config import load
from distributor.errors import ContentError
from distributor.model import Answer, Batch, Digest, Email
from subscribers import store as audience
from subscribers.model import Evidence
from tests.far_end import Recorder, through
from tests.workspace import Clock, workspace, write_article

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEVER = datetime.min.replace(tzinfo=UTC)
IS_LONG = (
    "YEAR" in os.environ
)  # every Sunday, and chances by that seed; else those on which clocks are changed
MONTHS = tuple(range(1, 13)) if IS_LONG else (3, 10, 11)
DAYS = "0" if IS_LONG else "0#1,0L"  # as cron has it: the Sundays of a month, or the first and the last
SUNDAYS = [
    day
    for day in (date(2026, 1, 4) + timedelta(weeks=week) for week in range(52))
    if IS_LONG or (day.month in MONTHS and (day.day <= 7 or (day + timedelta(weeks=1)).month != day.month))
]
ZONES = sorted(available_timezones() - {"localtime", "Factory"})
FEW = ("Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")
PLAIN = (
    "<mjml><mj-body><mj-section><mj-column><mj-text>{{ stories[0].title }}</mj-text>"
    "</mj-column></mj-section></mj-body></mjml>"
)
SETTINGS = """timezone = "subscriber"
audience_guard = 0
max_articles = 100
"""


# --- the oracle ---


@dataclass
class Piece:
    """An article: what the site says of it, and its number once the program could see it."""

    name: str
    key: str
    published_at: datetime
    number: int | None = None
    is_there: bool = True


@dataclass
class Person:
    """A reader, their clock, and what they had."""

    address: str
    zone: str
    hour: int | None
    cadence: str
    mark: datetime = NEVER  # the slot that last served them
    had: set[str] = field(default_factory=set)
    expected: list[tuple[datetime, frozenset[str]]] = field(default_factory=list)


@cache
def moment(wall: datetime, zone: str) -> datetime:
    """When a clock on a wall in *zone* first shows this, or first shows more, should it skip it."""
    there = ZoneInfo(zone)
    found = wall.replace(tzinfo=there).astimezone(UTC)
    if found.astimezone(there).replace(tzinfo=None) == wall:
        return found
    found -= timedelta(hours=3)
    while found.astimezone(there).replace(tzinfo=None) < wall:
        found += timedelta(minutes=1)
    return found


@cache
def slots(zone: str, hour: int | None) -> list[datetime]:
    at = time(2 if hour is None else hour, 30)
    return [moment(datetime.combine(day, at), zone) for day in SUNDAYS]


@cache
def window(at: datetime, zone: str, cadence: str) -> datetime:
    """When the day, or the month, of a slot began."""
    day = at.astimezone(ZoneInfo(zone)).date()
    return moment(datetime.combine(day.replace(day=1) if cadence == "monthly" else day, time()), zone)


def told_by(at: datetime, now: datetime, numbered: Sequence[Piece]) -> list[str]:
    """What an edition tells by *now*: up to the first article that is younger than its slot."""
    return [p.key for p in takewhile(lambda p: not at < p.published_at <= now, numbered)]


class Oracle:
    """What the policy says."""

    def __init__(self, people: list[Person]) -> None:
        self.people = people
        self.pieces: list[Piece] = []
        self.last = 0

    def see(self, now: datetime, *, is_site_up: bool) -> None:
        """Number what the site shows by now, and was not numbered."""
        fresh = [p for p in self.pieces if p.number is None and p.is_there and p.published_at <= now]
        for piece in sorted(fresh, key=lambda p: (p.published_at, p.key)) if is_site_up else ():
            self.last += 1
            piece.number = self.last

    def serve(self, now: datetime) -> None:
        """Give each reader whose slot has come what they have not had, once in a window."""
        numbered = sorted((p for p in self.pieces if p.number and p.is_there), key=lambda p: p.number or 0)
        told: dict[datetime, list[str]] = {}
        for person in self.people:
            own = slots(person.zone, person.hour)
            if not (place := bisect_right(own, now)):
                continue
            at = own[place - 1]
            if person.mark >= window(at, person.zone, person.cadence):
                continue
            person.mark = at
            if at not in told:
                told[at] = told_by(at, now, numbered)
            if new := frozenset(told[at]) - person.had:
                person.had |= new
                person.expected.append((now, new))


# --- the world ---


class Taken(Recorder):
    """Remembers when it took which articles for whom."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path, recipients_per_call=1000)
        self.clock = clock
        self.got: dict[str, list[tuple[datetime, frozenset[str]]]] = {}

    async def send(self, batch: Batch, digest: Digest, emails: Sequence[Email], **named: Any) -> Answer:
        told = frozenset(carried.key for carried in digest.articles)
        for email in emails:
            self.got.setdefault(email.address, []).append((self.clock(), told))
        return Answer(receipt=batch.key)


class World:
    """A site, its readers and a program that runs most of the time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.clock = Clock(BEGIN)
        self.is_site_up = True
        config = workspace(folder, newsletter=SETTINGS)
        hours = f'schedule = "30 2 * {",".join(map(str, MONTHS))} {DAYS}"'
        text = config.read_text().replace('schedule = "0 7 * * *"', hours)
        config.write_text(text.replace('content = "content"', 'content = "content"\ngate = "page"'))
        (folder / "templates/email").mkdir(parents=True)
        (folder / "templates/email/digest.mjml.j2").write_text(PLAIN)
        http = httpx.Client(transport=httpx.MockTransport(self.answer))
        self.app = App(load(config, {}), clock=self.clock, sleep=self.clock.sleep, http=http)
        self.app.open()
        self.app.scan()
        self.taken = Taken(folder / "taken.log", self.clock)
        through(self.app, self.taken)
        self.oracle = Oracle([self.somebody(number) for number in range(1000)])
        rows = (
            f"{p.address},{p.zone},{'' if p.hour is None else p.hour},{p.cadence}\n"
            for p in self.oracle.people
        )
        said = self.app.import_subscribers(
            ["email,timezone,hour,cadence\n", *rows], default_lists=["morning"]
        )
        assert said.added == 1000, said

    def somebody(self, number: int) -> Person:
        zone = ZONES[number % len(ZONES)]
        hour = 9 if zone in FEW and number % 2 else None
        cadence = "monthly" if number % 5 == 0 else "daily"
        return Person(address=f"reader{number}@example.org", zone=zone, hour=hour, cadence=cadence)

    def answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if self.is_site_up else 503)

    def run(self) -> None:
        """One round, of the program and of the oracle."""
        self.oracle.see(self.clock(), is_site_up=self.is_site_up)
        self.oracle.serve(self.clock())
        before = self.clock()
        self.app.run_once()
        self.clock.time = before

    def write(self, piece: Piece, **front_matter: Any) -> None:
        write_article(
            self.folder, piece.name, published_at=piece.published_at, title=piece.name, **front_matter
        )

    def publish(self, number: int, published_at: datetime) -> None:
        name = f"news-{number}"
        piece = Piece(name=name, key=f"https://news.example/{name}/", published_at=published_at)
        self.oracle.pieces.append(piece)
        self.write(piece)

    def withdraw_or_bring_back(self) -> None:
        piece = self.chance.choice(self.oracle.pieces)
        piece.is_there, piece.number = not piece.is_there, None
        self.write(piece, draft=not piece.is_there)
        self.app.scan()

    def rename(self) -> None:
        there = [p for p in self.oracle.pieces if p.is_there and p.number and not p.name.endswith("x")]
        if there:
            piece = self.chance.choice(there)
            before, piece.name = piece.name, f"{piece.name}x"
            (self.folder / f"content/{before}.md").unlink()
            self.write(piece, aliases=[f"/{before}/"])

    def move(self, person: Person) -> None:
        person.zone = self.chance.choice(ZONES)
        person.hour = 9 if person.zone in FEW else None
        evidence = Evidence(source="preferences", at=self.clock())
        hour = audience.ANY_HOUR if person.hour is None else person.hour
        id_ = self.app.subscriber(person.address).id
        with self.app.database.write() as db:
            audience.choose(
                db, subscriber=id_, timezone=person.zone, hour=hour, evidence=evidence, now=self.clock()
            )

    def lose_the_content(self) -> None:
        """The folder is not mounted, and then an empty one is: nothing is concluded from either."""
        content, away, now = self.folder / "content", self.folder / "away", self.clock()
        content.rename(away)
        with pytest.raises(ContentError):
            self.app.run_once()
        content.mkdir()
        with pytest.raises(ContentError):
            self.app.run_once()
        content.rmdir()
        away.rename(content)
        self.clock.time = now

    def compare(self) -> None:
        """What everybody had, beside what the oracle said."""
        for person in self.oracle.people:
            assert self.taken.got.get(person.address, []) == person.expected, person

    def wednesday(self, week: int) -> None:
        """What editors and readers do in a week."""
        now = self.clock()
        self.publish(3 * week, now - timedelta(minutes=1))
        self.publish(3 * week + 1, now - timedelta(days=self.chance.randint(5, 20)))  # back-dated
        self.publish(3 * week + 2, now + timedelta(days=self.chance.randint(1, 9), seconds=7))
        if week % 3 == 1:
            self.withdraw_or_bring_back()
        if week % 4 == 2:
            self.rename()
        for person in self.chance.sample(self.oracle.people, 8):
            self.move(person)

    def sunday(self, day: date) -> Iterator[datetime]:
        """The moments at which it is somebody's hour, from Saturday to Monday."""
        place = SUNDAYS.index(day)
        yield from sorted({slots(person.zone, person.hour)[place] for person in self.oracle.people})


def test_a_year(tmp_path: Path) -> None:
    """A thousand readers in every zone, and all that happens in a year: each has what the policy says."""
    world = World(tmp_path, seed=int(os.environ.get("YEAR", "2026")))
    for week in range(52):
        day = date(2026, 1, 4) + timedelta(weeks=week)
        trouble = TROUBLES[SUNDAYS.index(day) % len(TROUBLES)] if day in SUNDAYS else ""
        world.clock.time = datetime.combine(day - timedelta(days=4), time(13), UTC) if week else BEGIN
        world.is_site_up = trouble != "the site is down"  # so nothing new is shown before the next week
        world.wednesday(week)
        if trouble == "down for two weeks":
            continue
        world.run()
        if day in SUNDAYS:
            live_through(world, list(world.sunday(day)), trouble)
            world.compare()
    assert sum(map(len, world.taken.got.values())) > 4 * len(world.oracle.people)
    assert world.app.database_status()["accounting_gap"] == 0
    world.app.close()


TROUBLES = (
    "the clock is fast",
    "not mounted",
    "down for a day",
    "down for two weeks",
    "the site is down",
    "down for an hour",
)


def live_through(world: World, moments: list[datetime], trouble: str) -> None:
    """A Sunday, on which not all goes well."""
    if trouble == "the clock is fast":
        world.clock.time = moments[0] + timedelta(hours=12)
        world.run()
    if trouble == "down for a day":
        moments = [moments[-1] + timedelta(hours=9)]
    if trouble == "down for an hour":
        moments = [at for at in moments if not moments[9] < at < moments[9] + timedelta(hours=1)]
    for number, at in enumerate(moments):
        world.clock.time = at
        if trouble == "not mounted" and number == 5:
            world.lose_the_content()
        world.run()
