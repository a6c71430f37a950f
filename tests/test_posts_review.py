"""Faults of posts that a reader showed and did not mend; each says what should be so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_posts import newsroom, publish, take_back
from tests.wall import Wall, on
from tests.workspace import Clock


def unmended(why: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=why)


@unmended("a roundup has no row in `post`, so nothing that becomes of its articles changes it")
def test_a_roundup_that_waits_names_nothing_that_was_taken_back(tmp_path: Path):
    """An article that is withdrawn before the roundup goes out is not in it."""
    clock = Clock()
    more = 'max_per_day = 1\noverflow = "roundup"\nquiet_hours = "05:00-12:00"'
    with newsroom(tmp_path, clock, more=more) as app:
        wall = on(app, Wall())
        publish(app, clock, "one", "two", "three")
        app.run_once()
        take_back(app, "two")
        app.run_once()
        clock.go_on(hours=8)
        app.run_once()
        [text] = wall.up.values()
        assert "two" not in text
