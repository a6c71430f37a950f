"""Editions at readers' own hours, in their own zones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy import event as sa_event

from distributor.app import App
from subscribers import store as audience
from subscribers.model import Evidence
from subscribers.schema import subscriber, subscription
from tests.workspace import (
    Clock,
    mails,
    opened,
    subscribe,
    text_of,
    titles_by_reader,
    workspace,
    write_article,
)

OWN = 'timezone = "subscriber"\n'
TITLES = ["Alpha", "Bravo", "Carol"]


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 6, 1, tzinfo=UTC))  # a Monday


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    with opened(workspace(tmp_path, database=database_url, newsletter=OWN), clock) as app:
        app.scan()
        yield app


Got = list[tuple[datetime, str, list[str]]]


def live(app: App, clock: Clock, until: datetime) -> Got:
    """Run now, and whenever the program says that something is due, up to *until*: who got which titles."""
    folder = app.config.home
    seen = titles_by_reader(folder, TITLES)
    found = []
    while clock.time <= until:
        app.run_once()
        now = titles_by_reader(folder, TITLES)
        for reader, titles in sorted(now.items()):
            if fresh := titles[len(seen.get(reader, [])) :]:
                found.append((clock.time, reader, fresh))
        seen = now
        clock.time = app.next_due_at() or until + timedelta(days=1)
    clock.time = until
    return found


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 6, day, hour, minute, tzinfo=UTC)


def choose(app: App, clock: Clock, address: str, *, zone: str | None = None, hour: int | None = None) -> None:
    """Let a reader change their zone or hour on their page."""
    person = app.subscriber(address).id
    evidence = Evidence(source="preferences", at=clock())
    with app.database.write() as db:
        audience.choose(db, subscriber=person, timezone=zone, hour=hour, evidence=evidence, now=clock())


def test_seven_is_seven_where_the_reader_is(app: App, tmp_path: Path, clock: Clock):
    """Each reader has the day's edition at seven of their own clock, or at the hour they chose."""
    subscribe(app, "tokyo@example.org", timezone="Asia/Tokyo")
    subscribe(app, "la@example.org", timezone="America/Los_Angeles")
    subscribe(app, "nine@example.org", timezone="America/Los_Angeles", hour="9")
    subscribe(app, "nepal@example.org", timezone="Asia/Kathmandu")
    subscribe(app, "usual@example.org")
    subscribe(app, "late@example.org", hour="23")
    write_article(tmp_path, "Alpha", published_at=clock())
    assert live(app, clock, at(2, 6)) == [
        (at(1, 1, 15), "nepal@example.org", ["Alpha"]),
        (at(1, 7), "usual@example.org", ["Alpha"]),
        (at(1, 14), "la@example.org", ["Alpha"]),
        (at(1, 16), "nine@example.org", ["Alpha"]),
        (at(1, 22), "tokyo@example.org", ["Alpha"]),
        (at(1, 23), "late@example.org", ["Alpha"]),
    ]
    assert app.database_status()["accounting_gap"] == 0


def test_the_day_in_a_mail_is_that_of_its_readers(app: App, tmp_path: Path, clock: Clock):
    """At one moment it is Monday in Honolulu and Tuesday on Kiritimati, and their mails say so."""
    subscribe(app, "honolulu@example.org", timezone="Pacific/Honolulu")
    subscribe(app, "kiritimati@example.org", timezone="Pacific/Kiritimati")
    write_article(tmp_path, "Alpha", published_at=clock())
    live(app, clock, at(1, 17))
    said = {str(mail["To"]): text_of(mail) for mail in mails(tmp_path)}
    assert "Monday, June 1" in said["honolulu@example.org"]
    assert "Tuesday, June 2" in said["kiritimati@example.org"]


def test_who_moves_east_past_the_slot_has_the_day_s_edition_at_once(app: App, tmp_path: Path, clock: Clock):
    """Seven is past in the new place, and they had none that day: it comes now, and the next at seven."""
    subscribe(app, "stays@example.org", timezone="Asia/Tokyo")
    subscribe(app, "moves@example.org", timezone="America/Los_Angeles")
    write_article(tmp_path, "Alpha", published_at=clock())
    live(app, clock, at(1, 20))
    write_article(tmp_path, "Bravo", published_at=clock())
    live(app, clock, at(2, 13))  # it is 22:00 in Tokyo; the last edition for Los Angeles was at 23:00 there
    choose(app, clock, "moves@example.org", zone="Asia/Tokyo")
    write_article(tmp_path, "Carol", published_at=clock())
    assert live(app, clock, at(3, 21)) == [
        (at(2, 13), "moves@example.org", ["Bravo"]),
        (at(2, 22), "moves@example.org", ["Carol"]),
        (at(2, 22), "stays@example.org", ["Carol"]),
    ]


def test_who_moves_west_has_no_second_edition_that_day(app: App, tmp_path: Path, clock: Clock):
    """What they had at seven in Tokyo came on the same day in Berlin: the next comes on the day after."""
    subscribe(app, "moves@example.org", timezone="Asia/Tokyo")
    subscribe(app, "stays@example.org", timezone="Europe/Berlin")
    write_article(tmp_path, "Alpha", published_at=clock())
    live(app, clock, at(1, 22))  # it is the 2nd, 7:00, in Tokyo, and 0:00 in Berlin
    choose(app, clock, "moves@example.org", zone="Europe/Berlin")
    write_article(tmp_path, "Bravo", published_at=clock())
    assert live(app, clock, at(3, 6)) == [
        (at(2, 5), "stays@example.org", ["Bravo"]),
        (at(3, 5), "moves@example.org", ["Bravo"]),
    ]
    with app.database.read() as db:  # and stands where everybody does there
        own = select(subscription.c.served_through, subscription.c.served_at)
        assert set(db.execute(own)) == {(None, None)}


def test_a_change_of_hour_moves_the_next_edition(app: App, tmp_path: Path, clock: Clock):
    """From twenty to seven in the morning, after the day's edition: the next is tomorrow's, at seven."""
    subscribe(app, "moves@example.org", hour="20")
    write_article(tmp_path, "Alpha", published_at=clock())
    live(app, clock, at(1, 21))
    write_article(tmp_path, "Bravo", published_at=clock())
    choose(app, clock, "moves@example.org", hour=7)
    assert live(app, clock, at(2, 12)) == [(at(2, 7), "moves@example.org", ["Bravo"])]
    choose(app, clock, "moves@example.org", hour=20)
    write_article(tmp_path, "Carol", published_at=clock())
    assert live(app, clock, at(3, 23)) == [(at(3, 20), "moves@example.org", ["Carol"])]


def test_a_week_has_one_edition_wherever_its_readers_go(app: App, tmp_path: Path, clock: Clock):
    """Weekly readers who move past Monday's slot, either way, have one edition that week."""
    subscribe(app, "east@example.org", timezone="America/Los_Angeles", cadence="weekly")
    subscribe(app, "west@example.org", timezone="Asia/Tokyo", cadence="weekly")
    write_article(tmp_path, "Alpha", published_at=clock() - timedelta(hours=3))
    live(app, clock, at(1, 1))
    choose(app, clock, "east@example.org", zone="Asia/Tokyo")
    choose(app, clock, "west@example.org", zone="America/Los_Angeles")
    got = live(app, clock, at(7, 23))
    assert sorted(reader for _, reader, _ in got) == ["east@example.org", "west@example.org"]


def test_an_import_moves_readers_as_their_own_page_does(app: App, tmp_path: Path, clock: Clock):
    """A file that gives everybody a zone takes no article from anybody, and repeats none."""
    subscribe(app, "ada@example.org", "bea@example.org")
    write_article(tmp_path, "Alpha", published_at=clock())
    live(app, clock, at(1, 8))
    write_article(tmp_path, "Bravo", published_at=clock())
    subscribe(app, "ada@example.org", timezone="Asia/Tokyo")
    subscribe(app, "bea@example.org", timezone="America/Los_Angeles")
    assert live(app, clock, at(2, 23)) == [
        (at(1, 22), "ada@example.org", ["Bravo"]),
        (at(2, 14), "bea@example.org", ["Bravo"]),  # that at 7:00 came at 0:00 of the first day there
    ]


def test_a_new_place_waits_for_its_slot(app: App, tmp_path: Path, clock: Clock):
    """Whoever is the first of their zone misses nothing, and has no edition before their hour."""
    subscribe(app, "old@example.org")
    live(app, clock, at(2, 10))
    write_article(tmp_path, "Alpha", published_at=clock())
    subscribe(app, "first@example.org", timezone="Asia/Tokyo")
    live_until = at(3, 8)
    assert live(app, clock, live_until) == [
        (at(2, 22), "first@example.org", ["Alpha"]),
        (at(3, 7), "old@example.org", ["Alpha"]),
    ]


@pytest.mark.parametrize(
    ("catch_up", "got"),
    [
        ("send", [["Alpha"], ["Bravo"], ["Carol"]]),
        ("merge", [["Alpha", "Bravo", "Carol"]]),
        ("drop", []),
    ],
)
def test_slots_that_were_missed_in_every_zone(
    tmp_path: Path, database_url: str, clock: Clock, catch_up: str, got: list[list[str]]
):
    """After three days down: each edition that was missed, one for all, or none before the next slot."""
    settings = f'{OWN}catch_up = "{catch_up}"\n'
    with opened(workspace(tmp_path, database=database_url, newsletter=settings), clock) as app:
        app.scan()
        subscribe(app, "tokyo@example.org", timezone="Asia/Tokyo")
        subscribe(app, "berlin@example.org", timezone="Europe/Berlin")
        live(app, clock, at(1, 23))
        for day, title in enumerate(TITLES):
            write_article(tmp_path, title, published_at=at(2 + day, 3))
        clock.time = at(4, 23)
        app.run_once()
        for reader in ("tokyo", "berlin"):
            theirs = [m for m in mails(tmp_path) if str(m["To"]) == f"{reader}@example.org"]
            assert [[t for t in TITLES if t in text_of(mail)] for mail in theirs] == got
        live(app, clock, at(5, 23))
        assert titles_by_reader(tmp_path, TITLES) == {
            f"{reader}@example.org": TITLES for reader in ("tokyo", "berlin")
        }


def test_who_has_too_little_waits_in_their_place(tmp_path: Path, database_url: str, clock: Clock):
    """Readers held back by min_articles stand where they stood, whoever else of their place goes on."""
    settings = f"{OWN}min_articles = 2\n"
    with opened(workspace(tmp_path, database=database_url, newsletter=settings), clock) as app:
        app.scan()
        subscribe(app, "ada@example.org", timezone="Asia/Tokyo")
        write_article(tmp_path, "Alpha", published_at=clock())
        assert live(app, clock, at(2, 0)) == []
        write_article(tmp_path, "Bravo", published_at=clock())
        assert live(app, clock, at(3, 0)) == [(at(2, 22), "ada@example.org", ["Alpha", "Bravo"])]


def test_a_newsletter_may_change_whose_clock_it_goes_by(tmp_path: Path, database_url: str, clock: Clock):
    """From the site's zone to the readers' own and back again, everybody has everything once."""
    config = workspace(tmp_path, database=database_url)
    text = config.read_text()
    for days, settings in enumerate(("", OWN, "", OWN), start=1):
        config.write_text(text + settings)
        with opened(config, clock) as app:
            app.scan()
            if days == 1:
                subscribe(app, "la@example.org", timezone="America/Los_Angeles")
                subscribe(app, "tokyo@example.org", timezone="Asia/Tokyo")
                subscribe(app, "usual@example.org")
            for hour in (1, 12, 21):
                name = f"a{days}-{hour}"
                write_article(tmp_path, name, title=f"[{name}]", published_at=at(days, hour))
            live(app, clock, at(days + 1, 4))
    titles = [f"[a{days}-{hour}]" for days in range(1, 5) for hour in (1, 12, 21)]
    with opened(config, clock) as app:
        live(app, clock, at(7, 0))
    got = titles_by_reader(tmp_path, titles)
    assert {reader: sorted(theirs) for reader, theirs in got.items()} == {
        f"{reader}@example.org": sorted(titles) for reader in ("la", "tokyo", "usual")
    }


def test_whose_edition_was_cancelled_has_it_with_the_next(app: App, tmp_path: Path, clock: Clock):
    """Cancelling one zone's edition moves its readers back, and nobody else."""
    subscribe(app, "la@example.org", timezone="America/Los_Angeles")
    subscribe(app, "tokyo@example.org", timezone="Asia/Tokyo")
    write_article(tmp_path, "Alpha", published_at=clock())
    live(app, clock, at(1, 13))
    clock.time = at(1, 14)
    [campaign] = app.look().planned
    app.cancel(campaign.id, reason="a mistake")
    assert live(app, clock, at(2, 15)) == [
        (at(1, 22), "tokyo@example.org", ["Alpha"]),
        (at(2, 14), "la@example.org", ["Alpha"]),
    ]


def test_an_unknown_zone_counts_as_the_site_s(app: App, tmp_path: Path, clock: Clock):
    """A zone that the time zone database lost, or never had, is read as none."""
    subscribe(app, "lost@example.org")
    with app.database.write() as db:
        db.execute(update(subscriber).values(timezone="Mars/Olympus_Mons"))
    write_article(tmp_path, "Alpha", published_at=clock())
    assert live(app, clock, at(2, 0)) == [(at(1, 7), "lost@example.org", ["Alpha"])]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_place_has_the_whole_list_read(app: App, tmp_path: Path, clock: Clock):
    """Readers are found by their place: a list of a million is not gone through for each of some hundred."""
    subscribe(app, "tokyo@example.org", timezone="Asia/Tokyo")
    write_article(tmp_path, "Alpha", published_at=clock())
    plans: list[str] = []

    def explain(db: Connection, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("WITH due"):
            found = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append("\n".join(row[3] for row in found))

    sa_event.listen(app.database.engine, "before_cursor_execute", explain)
    clock.go_on(days=1)
    app.run_once()
    assert len(mails(tmp_path)) == 1
    assert len(plans) > 3
    assert [plan for plan in plans if re.search(r"subscription USING \w+ \w+ \(list=\?\)", plan)] == []
