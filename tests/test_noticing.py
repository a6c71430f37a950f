"""When the daemon looks, and what makes it look sooner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest
from watchfiles import Change

from distributor.noticing import Looks, Noticing, may_be_a_page, may_be_settings, remote

WITHIN = 30  # seconds: what does not happen in so long does not happen
NEVER = timedelta(days=1)


@contextmanager
def looking(looks: Looks) -> Iterator[Looks]:
    looks.start()
    try:
        yield looks
    finally:
        looks.stop()
        assert looks.join(WITHIN)


def test_a_look_comes_when_something_is_due() -> None:
    """The moment that a look gives is when the next one begins, not before."""
    looked: SimpleQueue[datetime] = SimpleQueue()
    due = datetime.now(UTC) + timedelta(seconds=0.3)

    def look() -> datetime | None:
        looked.put(datetime.now(UTC))
        return due

    with looking(Looks(look, every=NEVER)):
        looked.get(timeout=WITHIN)
        assert looked.get(timeout=WITHIN) >= due


def test_looks_go_on_whatever_they_find() -> None:
    """Nothing due, or a failure: the next look comes after the usual time."""
    looked: SimpleQueue[int] = SimpleQueue()

    def look() -> datetime | None:
        looked.put(1)
        if looked.qsize() == 2:
            raise ZeroDivisionError("a fault of ours")
        return datetime.now(UTC) + NEVER

    with looking(Looks(look, every=timedelta(milliseconds=10))):
        for _ in range(4):
            looked.get(timeout=WITHIN)


def test_what_rings_during_a_look_is_looked_at_after_it() -> None:
    """A change that comes while a look is under way may have come too late for it."""
    begun, goes_on = SimpleQueue[int](), Event()

    def look() -> datetime | None:
        begun.put(1)
        assert goes_on.wait(WITHIN)
        return None

    with looking(Looks(look, every=NEVER)) as looks:
        begun.get(timeout=WITHIN)
        looks.soon()
        looks.soon()
        goes_on.set()
        begun.get(timeout=WITHIN)
        assert looks.join(WITHIN)
    assert begun.empty()


def test_a_change_rings(tmp_path: Path) -> None:
    """A page in any folder rings, and so does the site's own configuration."""
    content = tmp_path / "content"
    (content / "news").mkdir(parents=True)
    rung: SimpleQueue[int] = SimpleQueue()
    said: list[str] = []
    noticing = Noticing(content, tmp_path, ring=lambda: rung.put(1), tell=said.append, every=NEVER)
    noticing.start()
    try:
        for file in (content / "news/a.md", tmp_path / "hugo.toml"):
            while rung.empty():  # watching begins in threads of its own
                file.write_text("x")
            rung.get(timeout=WITHIN)
    finally:
        noticing.stop()
    assert said == []


def test_a_folder_that_cannot_be_watched_is_said_once(tmp_path: Path) -> None:
    """What cannot be noticed at once is found by the looks, and a person is told that."""
    said: SimpleQueue[str] = SimpleQueue()
    every = timedelta(seconds=10)
    noticing = Noticing(tmp_path / "gone", tmp_path, ring=lambda: None, tell=said.put, every=every)
    noticing.start()
    told = said.get(timeout=WITHIN)
    noticing.stop()
    assert "gone cannot be watched" in told
    assert "noticed within 10 s, not at once" in told


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("a.md", True),
        ("büro.html", True),
        ("folder", True),
        ("a.org", True),
        (".a.md.swp", False),
        ("a.md~", False),
        ("#a.md#", False),
        (".#a.md", False),
        ("a.md.tmp", False),
        ("banner.jpg", False),
        ("4913", True),  # vim's probe has a name like a folder's: a look too many harms nobody
    ],
)
def test_an_editors_own_files_ring_nothing(tmp_path: Path, name: str, matters: bool) -> None:
    """Swap files, backups, locks and pictures are no pages."""
    assert may_be_a_page(Change.modified, str(tmp_path / name)) is matters


def test_only_its_own_configuration_is_the_sites(tmp_path: Path) -> None:
    """hugo.* and config.* beside the content, and what is in the folder `config`."""
    for name, matters in (
        ("hugo.yaml", True),
        ("config.toml", True),
        ("config/_default/params.toml", True),
        ("README.md", False),
    ):
        assert may_be_settings(Change.modified, str(tmp_path / name)) is matters, name


@pytest.mark.parametrize(
    ("folder", "kind"), [("/srv/site/content", "nfs4"), ("/srv/own", None), ("/srv/with space/x", "cifs")]
)
def test_a_folder_of_another_machine_is_known(tmp_path: Path, folder: str, kind: str | None) -> None:
    """The nearest mount decides; only kinds that come over a network count."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 22 0:40 / /srv/site rw,relatime shared:2 - nfs4 host:/site rw\n"
        "41 22 0:41 / /srv/with\\040space rw - cifs //host/x rw\n"
    )
    assert remote(Path(folder), mounts) == kind
