"""What the schedule will ask for, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from distributor.app import App
from tests.workspace import MONDAY, Clock, opened, workspace, write_article

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
