"""What the schedule will ask for, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from distributor.app import App
from tests.workspace import MONDAY, Clock, opened, subscribe, workspace, write_article

QUOTA = """
[channels.short]
network = "mastodon"
max_per_day = 1
overflow = "newest"
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        yield app


def at(hour: int, minute: int = 0, *, day: int = 1) -> datetime:
    return MONDAY.replace(day=day, hour=hour, minute=minute)


def test_the_next_slot_is_what_comes_next(app: App, clock: Clock):
    """Without anything else, the daemon may sleep until the newsletter's next slot."""
    assert app.next_due_at() == at(7)
    assert app.next_due_at(after=at(7)) == at(7, day=2)


def test_publish_dates_and_embargoes_are_due_to_the_second(app: App, tmp_path: Path, clock: Clock):
    """An article in the future, and one under embargo, each wake the daemon at their very moment."""
    embargo = (MONDAY + timedelta(minutes=12, seconds=34)).isoformat()
    write_article(tmp_path, "later", published_at=MONDAY + timedelta(minutes=30, seconds=5))
    write_article(tmp_path, "secret", distributor={"embargo": embargo})
    app.scan()
    for name in ("secret", "later"):
        due_at = app.next_due_at()
        assert due_at is not None
        clock.time = due_at - timedelta(seconds=1)
        assert app.scan().registered.published == []
        clock.time = due_at
        assert app.scan().registered.published == [f"https://news.example/{name}/"]
    assert app.next_due_at() == at(7)


def test_a_day_without_room_wakes_at_midnight(tmp_path: Path, database_url: str, clock: Clock):
    """What waits for an account's next day is looked at when that begins."""
    clock.time = at(8)
    with opened(workspace(tmp_path, database=database_url, config=QUOTA), clock) as app:
        app.scan()
        assert app.next_due_at() == at(0, day=2)


OWN = 'timezone = "subscriber"\n'


def test_readers_own_hours_have_a_line_for_each_clock(tmp_path: Path, database_url: str, clock: Clock):
    """A forecast of editions in many zones has one line a day and hour, with how many have them, and when."""
    with opened(workspace(tmp_path, database=database_url, newsletter=OWN), clock) as app:
        app.scan()
        subscribe(app, "tokyo@example.org", timezone="Asia/Tokyo")
        subscribe(app, "la@example.org", timezone="America/Los_Angeles")
        subscribe(app, "nine@example.org", timezone="America/Los_Angeles", hour="9")
        app.plan()
        lines = [(one.local, one.readers, one.zones, one.at, one.until) for one in app.forecast(days=2)]
        assert lines == [
            ("2026-06-01 07:00", 1, 1, at(14), at(14)),
            ("2026-06-01 09:00", 1, 1, at(16), at(16)),
            ("2026-06-02 07:00", 2, 2, at(22), at(14, day=2)),
            ("2026-06-02 09:00", 1, 1, at(16, day=2), at(16, day=2)),
            ("2026-06-03 07:00", 1, 1, at(22, day=2), at(22, day=2)),
        ]
        assert app.forecast(days=2) == app.forecast(days=2)


def test_explain_says_when_it_is_their_hour(tmp_path: Path, database_url: str, clock: Clock):
    """Of a reader in another zone it says by their own clock when the next edition comes."""
    with opened(workspace(tmp_path, database=database_url, newsletter=OWN), clock) as app:
        app.scan()
        subscribe(app, "tokyo@example.org", timezone="Asia/Tokyo")
        app.plan()
        write_article(tmp_path, "news")
        app.scan()
        [reason] = app.explain("https://news.example/news/", "tokyo@example.org")
        assert reason.verdict == (
            "it is waiting for their next daily edition, at 2026-06-02 07:00 where they are (Asia/Tokyo)"
        )
