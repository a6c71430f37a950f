"""What is let go of in time, and what must not be lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from distributor.app import App
from distributor.config import Retention
from distributor.model import EventType, Outcome
from distributor.retention import Pruned, prune
from distributor.store import aging, events
from distributor.store.events import EventRow
from distributor.store.schema import batch, delivery
from tests.workspace import Clock, mails, opened, subscribe, text_of, workspace, write_article

POLICY = Retention(deliveries_days=60, events_days=60)
READERS = ("ada@example.org", "ben@example.org", "cem@example.org")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    """Three readers who had an edition with the article "harbour" long ago."""
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        write_article(tmp_path, "about")
        app.scan()
        subscribe(app, *READERS)
        write_article(tmp_path, "harbour", published_at=clock())
        clock.go_on(hours=1)
        app.run_once()
        clock.go_on(days=100)
        yield app


def let_go(app: App, *, at_once: int = 2) -> Pruned:
    return prune(app.database, POLICY, app.clock(), at_once=at_once)


def deliveries(app: App) -> int:
    with app.database.read() as db:
        return db.scalar(select(func.count()).select_from(delivery)) or 0


def received(folder: Path, title: str) -> list[str]:
    """Who has mails with that article, once for each."""
    return sorted(str(mail["To"]) for mail in mails(folder) if title in text_of(mail))


def test_counts_stay_when_deliveries_go(app: App) -> None:
    """What an edition came to is said as before, though nobody knows who was in it."""
    [edition] = app.campaigns()
    with app.database.write() as db:
        events.raise_outcomes(db, {(edition.id, 1): Outcome.DELIVERED})
        before = events.outcome_counts(db, edition.id)
    balance = app.balance(edition.id)
    assert let_go(app) == Pruned(campaigns=1, deliveries=3, events=0)
    assert deliveries(app) == 0
    assert app.balance(edition.id) == balance
    assert (balance.accepted, balance.gap) == (3, 0)
    with app.database.read() as db:
        assert events.outcome_counts(db, edition.id) == before
    assert app.database_status()["accounting_gap"] == 0
    assert let_go(app) == Pruned()


def test_what_is_young_or_open_stays(app: App, clock: Clock, tmp_path: Path) -> None:
    """Neither an edition of yesterday nor one that still waits for somebody is touched."""
    write_article(tmp_path, "later", published_at=clock())
    clock.go_on(days=1)
    app.scan()
    [waiting] = [campaign for campaign in app.plan() if campaign.state != "skipped"]
    clock.go_on(days=200)
    assert let_go(app).campaigns == 1
    assert app.balance(waiting.id).queued == 3
    app.deliver()
    clock.go_on(days=-199)
    assert let_go(app) == Pruned()
    assert deliveries(app) == 3


def test_what_was_broken_off_is_gone_on_with(app: App) -> None:
    """An edition whose counts were kept, and whose deliveries are there in part, adds up all the same."""
    [edition] = app.campaigns()
    with app.database.write() as db:
        assert aging.age(db, edition.id)
        assert not aging.age(db, edition.id)
        aging.forget_deliveries(db, edition.id, limit=1)
    assert app.balance(edition.id).gap == 0
    assert let_go(app).deliveries == 2


def test_an_article_that_comes_back_goes_to_newer_readers_only(
    app: App, clock: Clock, tmp_path: Path
) -> None:
    """Withdrawn and published anew, years later: whoever may have had it does not get it twice."""
    let_go(app)
    file = tmp_path / "content/harbour.md"
    text = file.read_text()
    file.unlink()
    app.run_once()
    subscribe(app, "new@example.org")
    file.write_text(text)
    clock.go_on(days=1)
    app.run_once()
    assert received(tmp_path, "harbour") == sorted([*READERS, "new@example.org"])


def test_an_article_sent_by_hand_goes_to_newer_readers_only(app: App, tmp_path: Path) -> None:
    """The same holds for `send --article`."""
    let_go(app)
    subscribe(app, "new@example.org")
    app.make(app.order("morning", ["harbour"]))
    app.deliver()
    assert received(tmp_path, "harbour") == sorted([*READERS, "new@example.org"])


def test_explain_says_that_it_is_older_than_kept(app: App) -> None:
    """For a reader of then the edition is named; for one who came later nothing of the kind is said."""
    let_go(app)
    subscribe(app, "new@example.org")
    [reason] = app.explain("harbour", READERS[0])
    assert "older than kept" in reason.verdict
    assert reason.details == ("campaign 1, due 2026-06-01",)
    [other] = app.explain("harbour", "new@example.org")
    assert "older than kept" not in other.verdict


def test_nobody_of_an_old_edition_is_queued_again(app: App) -> None:
    """Who was refused then is no longer known, so a retry finds nobody, and changes nothing."""
    [edition] = app.campaigns()
    with app.database.write() as db:
        db.execute(batch.update().values(state="refused"))
    let_go(app)
    with app.database.write() as db:
        from distributor.store import hands

        assert hands.queue_refused(db, edition.id, now=app.clock()) == 0
        assert db.scalar(select(batch.c.state)) == "refused"


def test_reports_go_once_everything_followed_from_them(app: App, clock: Clock) -> None:
    """Old events go; one that nothing followed from yet stays until it did, and so do young ones."""
    with app.database.write() as db:
        events.keep(db, [_event(n, clock) for n in range(5)])
    assert let_go(app).events == 0
    app.follow_up()
    clock.go_on(days=61)
    with app.database.write() as db:
        events.keep(db, [_event(9, clock)])
    app.follow_up()
    assert let_go(app).events == 5


def _event(number: int, clock: Clock) -> EventRow:
    return EventRow(
        provider="outbox",
        id=str(number),
        type=EventType.OPENED,
        said="opened",
        occurred_at=clock() - timedelta(minutes=1),
        received_at=clock(),
    )
