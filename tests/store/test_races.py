"""Two transactions at one moment, interleaved step by step, on a server that runs them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from distributor import controls
from distributor.app import App
from distributor.errors import Conflict
from distributor.model import DeliveryState, EventType
from distributor.store import articles, events, freezing, hands, ledger
from distributor.store.events import EventRow
from distributor.store.ledger import Lane
from subscribers import store as audience
from subscribers.model import address_hash
from tests.far_end import Recorder, through
from tests.workspace import Clock, opened, subscribe, workspace, write_article

# SQLite has one writer at a time.
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

ADA, LIN = "ada@example.org", "lin@example.org"


LANE = Lane(provider="recorder", channels=("morning",))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    """A weekly and a daily reader, at a moment when one article is waiting for its edition."""
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        through(app, Recorder(tmp_path / "taken.log"))
        subscribe(app, ADA, cadence="weekly")
        subscribe(app, LIN, cadence="daily")
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        yield app


def test_whoever_changes_cadence_while_an_edition_is_frozen_gets_it_once(app: App, clock: Clock):
    """The edition that began before the change is begun again after it."""

    def freeze_around_the_change() -> None:
        with app.database.write(snapshot=True) as edition:
            articles.lock(edition)
            edition.execute(text("SELECT count(*) FROM subscription"))  # its moment
            subscribe(app, ADA, cadence="daily")
            audience.hold(edition, "morning")

    with pytest.raises(Conflict):
        freeze_around_the_change()


def test_a_change_of_cadence_waits_for_an_edition(app: App, clock: Clock):
    """A reader who changes during a freeze stands, after it, where that left them."""
    with ThreadPoolExecutor(1) as pool, app.database.write(snapshot=True) as edition:
        audience.hold(edition, "morning")
        everybody = freezing.Audience(newsletter="morning", cadences=("weekly",), start=0, at=clock())
        freezing.move_positions(edition, everybody, held=[], through=7)
        change = pool.submit(subscribe, app, ADA, cadence="daily")
        edition.commit()
        change.result(timeout=10)
    [place] = app.subscriber(ADA).subscriptions
    assert (place.cadence, place.served_through) == ("daily", 7)


def test_a_first_claim_does_not_wait_for_whoever_cancels(app: App, clock: Clock):
    """A claim and a cancelling of one campaign do not wait for each other's rows."""
    [campaign] = app.plan()
    with app.database.write() as person:
        hands.hold(person, campaign.id)
        with app.database.write() as worker:
            batch = ledger.claim(worker, LANE, worker="w/1/2/3", now=clock(), lease=timedelta(seconds=20))
        assert batch is not None
        assert hands.cancel(person, campaign.id, reason="a mistake") == 0


def test_a_plan_waits_for_whoever_cancels(app: App, tmp_path: Path, clock: Clock):
    """An edition that is planned while another is cancelled has the articles of that one too."""
    [campaign] = app.plan()
    write_article(tmp_path, "more", published_at=clock())
    clock.go_on(days=1)
    app.scan()
    with ThreadPoolExecutor(1) as pool:
        with app.database.write() as person:
            hands.hold(person, campaign.id)
            planned = pool.submit(app.plan)
            while not planned.done() and not _waits(person):
                continue
            assert controls.cancel(person, campaign.id, reason="a mistake") == 2
        [edition] = planned.result(timeout=10)
    app.deliver()
    [line] = Recorder(tmp_path / "taken.log").taken()
    assert (line[1], set(line[2])) == (LIN, {"https://news.example/news/", "https://news.example/more/"})
    assert app.balance(edition.id).accepted == 1


def _waits(db: Connection) -> bool:
    """Whether somebody on this server waits for a lock."""
    return bool(db.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_what_is_queued_while_a_campaign_closes_keeps_it_open(app: App, clock: Clock):
    """A worker that finishes the last batch waits for a person's retry, and sees what that queued."""
    [campaign] = app.plan()
    with app.database.write() as db:
        batch = ledger.claim(db, LANE, worker="w/1/2/3", now=clock(), lease=timedelta(seconds=20))
        assert batch is not None
        ledger.finish(db, batch, DeliveryState.REFUSED, reason="full")

    def close() -> bool:
        with app.database.write() as worker:
            return ledger.close_finished(worker, campaign.id)

    with ThreadPoolExecutor(1) as pool:
        with app.database.write() as person:
            hands.hold(person, campaign.id)
            closed = pool.submit(close)
            assert hands.queue_refused(person, campaign.id, now=clock()) == 2
        assert not closed.result(timeout=10)
    assert app.campaign(campaign.id).state == "sending"


def test_a_beginning_that_was_undone_is_noted_later(app: App, clock: Clock):
    """Whoever claims a batch beside another first claim leaves the note to it, which may never come."""
    [campaign] = app.plan()
    with app.database.write() as other:
        hands.hold(other, campaign.id)  # as the other claim does, before it is undone
        with app.database.write() as worker:
            assert ledger.claim(worker, LANE, worker="w/1/2/3", now=clock(), lease=timedelta(seconds=20))
        other.rollback()
    assert app.campaign(campaign.id).state == "scheduled"
    with app.database.write() as worker:
        ledger.begin_begun(worker)
    assert app.campaign(campaign.id).state == "sending"


def test_a_complaint_that_is_followed_up_during_a_claim_counts(
    app: App, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """A claim reads which reports wait, and who is silent: whatever happens between, one of them has it."""
    [campaign] = app.plan()
    complaint = EventRow(
        provider="recorder",
        id="1",
        type=EventType.COMPLAINED,
        said="complaint",
        occurred_at=clock(),
        received_at=clock(),
        campaign=campaign.id,
        recipient=app.subscriber(LIN).id,
        address_hash=address_hash(LIN),
    )
    done: list[int] = []

    def between(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(*arguments: Any, **named: Any) -> Any:
            if not done:
                with app.database.write() as db:
                    events.keep(db, [complaint])
            found = read(*arguments, **named)
            if not done:
                done.append(app.follow_up())
            return found

        return reading

    monkeypatch.setattr(events, "urgent", between(events.urgent))
    monkeypatch.setattr(audience, "reachable", between(audience.reachable))
    app.deliver()
    assert done == [1]
    assert [line[1] for line in Recorder(tmp_path / "taken.log").taken()] == [ADA]
