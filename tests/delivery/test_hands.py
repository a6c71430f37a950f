"""Cancel, retry, settle: a person's hands on a campaign neither double nor lose an article."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from distributor.app import App
from distributor.delivery.desk import LEASE
from distributor.errors import Refused, TryLater, Unclear
from distributor.model import Answer, Batch, Campaign, Email
from distributor.providers.protocol import EmailLimits
from distributor.store import ledger
from distributor.store.ledger import Lane
from tests.far_end import Recorder, through
from tests.workspace import Clock, leave, opened, subscribe, workspace, write_article

LANE = Lane(provider="recorder", channels=("morning",))

READERS = tuple(f"reader{n}@example.org" for n in range(5))
NEWS, MORE = "https://news.example/news/", "https://news.example/more/"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    """A newsletter with five readers, at a moment when one article is waiting for its edition."""
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        yield app


class Script:
    """A far end that takes the mail, and then answers as the next line says."""

    def __init__(self, *lines: Exception | Answer | None) -> None:
        self.lines = list(lines)

    def __call__(self, batch: Batch, emails: Sequence[Email]) -> Answer:
        line = self.lines.pop(0) if self.lines else None
        if isinstance(line, Exception):
            raise line
        return line or Answer(receipt=batch.key)


def played(app: App, tmp_path: Path, *lines: Exception | Answer | None, size: int = 5) -> Recorder:
    """The newsletter's provider, which forgets a call's key after a day."""
    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=size, answer=Script(*lines))
    recorder.limits = EmailLimits(recipients_per_call=size, repeatable_for=timedelta(hours=23))
    through(app, recorder)
    return recorder


def planned(app: App) -> Campaign:
    [campaign] = app.plan()
    return campaign


def told(recorder: Recorder) -> set[tuple[str, tuple[str, ...]]]:
    """Address and articles of every mail; each has another delivery key."""
    return {(address, tuple(sorted(articles))) for _, address, articles in recorder.taken()}


def the_next_morning(app: App, tmp_path: Path, clock: Clock) -> None:
    """Another article appears, and its edition goes out."""
    write_article(tmp_path, "more", published_at=clock())
    clock.go_on(days=1)
    app.run_once()


def test_cancelling_does_not_plan_again_what_may_have_been_accepted(app: App, tmp_path: Path, clock: Clock):
    """After silence a batch waits to be repeated; cancelled then, it is unclear, and in no other edition."""
    recorder = played(app, tmp_path, Unclear("timeout"))
    campaign = planned(app)
    app.deliver()
    assert app.cancel(campaign.id, reason="a mistake") == 0
    balance = app.balance(campaign.id)
    assert (balance.unclear, balance.skipped, balance.gap) == (5, 0, 0)
    the_next_morning(app, tmp_path, clock)
    assert told(recorder) == {(address, (MORE,)) for address in READERS}


@pytest.mark.parametrize("then", [Refused("409 another payload"), TryLater("busy", after=1)])
def test_a_refusal_after_silence_leaves_the_silence_unclear(
    app: App, tmp_path: Path, clock: Clock, then: Exception
):
    """That a repetition was not accepted says nothing of the first call."""
    played(app, tmp_path, Unclear("timeout"), *[then] * 16)
    campaign = planned(app)
    for _ in range(40):
        app.deliver()
        clock.go_on(hours=1)
    balance = app.balance(campaign.id)
    assert (balance.unclear, balance.refused, balance.gap) == (5, 0, 0)


def test_what_comes_back_to_a_cancelled_campaign_goes_into_the_next_edition(
    app: App, tmp_path: Path, clock: Clock
):
    """A call under way at the cancelling, that is put off then, is not left in a queue nobody looks at."""
    campaign = planned(app)
    recorder = played(app, tmp_path)

    def cancelled_meanwhile(batch: Batch, emails: Sequence[Email]) -> Answer:
        if batch.campaign != campaign.id:
            return Answer(receipt=batch.key)
        app.cancel(campaign.id, reason="a mistake")
        raise TryLater("busy", after=60)

    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=5, answer=cancelled_meanwhile))
    app.deliver()
    the_next_morning(app, tmp_path, clock)
    balance = app.balance(campaign.id)
    assert (balance.skipped, balance.queued, balance.gap) == (5, 0, 0)
    assert told(recorder) == {(address, (MORE, NEWS)) for address in READERS}


def test_unclear_settled_as_again_in_a_cancelled_campaign_goes_into_the_next_edition(
    app: App, tmp_path: Path, clock: Clock
):
    """A person who found that nothing arrived is believed, though the campaign itself is over."""
    recorder = played(app, tmp_path, Unclear("timeout"))
    campaign = planned(app)
    app.deliver()
    app.cancel(campaign.id, reason="a mistake")
    assert app.settle(campaign.id, "again") == 5
    the_next_morning(app, tmp_path, clock)
    assert app.balance(campaign.id).skipped == 5
    assert told(recorder) == {(address, (MORE, NEWS)) for address in READERS}


def test_a_retry_leaves_out_who_has_had_the_article_since(app: App, tmp_path: Path, clock: Clock):
    """A reader who was refused, and got the article by itself, is not sent the edition too."""
    recorder = played(app, tmp_path, Refused("sender unknown"))
    first = planned(app)
    app.deliver()
    clock.go_on(minutes=1)
    app.make(app.order("morning", [NEWS], to=READERS[0]))
    app.deliver()
    assert app.retry(first.id) == 4
    app.deliver()
    assert sorted(address for _, address, _ in recorder.taken()) == sorted(READERS)
    balance = app.balance(first.id)
    assert (balance.accepted, balance.skipped, balance.gap) == (4, 1, 0)


def test_what_such_a_reader_lacks_comes_with_their_next_edition(app: App, tmp_path: Path, clock: Clock):
    """Of an edition's two articles one came by itself since: the other is the next edition's."""
    write_article(tmp_path, "other", published_at=clock())
    clock.go_on(days=1)
    app.scan()
    recorder = played(app, tmp_path, Refused("sender unknown"))
    first = app.plan()[0]
    app.deliver()
    clock.go_on(minutes=1)
    app.make(app.order("morning", [NEWS], to=READERS[0]))
    app.deliver()
    app.retry(first.id)
    app.deliver()
    the_next_morning(app, tmp_path, clock)
    got = sorted(key for _, address, keys in recorder.taken() for key in keys if address == READERS[0])
    assert got == sorted([NEWS, MORE, "https://news.example/other/"])


def test_a_retry_keeps_to_what_the_provider_takes_at_a_call(app: App, tmp_path: Path):
    """Recipients refused one by one in several calls are not put into one."""
    sizes = []

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        sizes.append(len(emails))
        return Answer(refused={} if len(sizes) > 3 else {email.recipient: "full" for email in emails})

    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=2, answer=answer))
    campaign = planned(app)
    app.deliver()
    assert app.retry(campaign.id) == 5
    assert app.balance(campaign.id).gap == 0
    app.deliver()
    assert max(sizes) == 2
    assert app.balance(campaign.id).accepted == 5


def test_a_late_answer_counts_until_somebody_claims_again(app: App, tmp_path: Path, clock: Clock):
    """A worker that was taken for dead says what was accepted before the call is repeated."""
    recorder = played(app, tmp_path)
    campaign = planned(app)
    with app.database.write() as db:
        batch = ledger.claim(db, LANE, worker="elsewhere/1/2/3", now=clock(), lease=LEASE)
        assert batch is not None
        ledger.calling(db, batch, provider="recorder", now=clock())
    clock.go_on(minutes=1)
    with app.database.write() as db:
        ledger.take_over(db, now=clock(), dead=[], repeatable={"recorder": timedelta(hours=23)})
        assert ledger.accept(db, batch, Answer(receipt="late"), provider="recorder")
    app.deliver()
    assert recorder.calls == []
    assert app.balance(campaign.id).accepted == 5
    assert app.campaign(campaign.id).state == "done"


def test_who_leaves_after_silence_may_have_been_reached(app: App, tmp_path: Path, clock: Clock):
    """A reader left out of the repetition of a call is unclear, and settled like the others."""
    played(app, tmp_path, Unclear("timeout"))
    campaign = planned(app)
    app.deliver()
    leave(app, READERS[0])
    clock.go_on(hours=1)
    app.deliver()
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.unclear, balance.gap) == (4, 1, 0)
    assert app.settle(campaign.id, "accepted") == 1
    assert app.balance(campaign.id).accepted == 5
