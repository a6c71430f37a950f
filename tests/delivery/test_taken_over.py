"""What others may do between any two steps of a worker, and what it may conclude from what it saw before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from distributor.app import App
from distributor.delivery.desk import LEASE
from distributor.errors import TryLater, Unclear
from distributor.model import Answer, Batch, Campaign, Email
from distributor.providers.protocol import EmailLimits
from distributor.store import ledger
from distributor.store.ledger import Lane
from tests.far_end import Recorder, through
from tests.workspace import Clock, leave, opened, subscribe, workspace, write_article

LANE = Lane(provider="recorder", channels=("morning",))
READERS = tuple(f"reader{n}@example.org" for n in range(4))
ME = "here/space/1/own"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    """An article that waits for its edition, and four readers."""
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        yield app


class Findable(Recorder):
    """Takes everything, answers nothing, and can be asked an hour later."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, recipients_per_call=4, answer=_silence)
        self.limits = EmailLimits(recipients_per_call=4, found_after=timedelta(hours=1))
        self.asked: list[str] = []

    async def find(self, batch: Batch, emails: Sequence[Email]) -> dict[int, str]:
        self.asked += [email.address for email in emails]
        return {email.recipient: "found" for email in emails[:1]}


def _silence(batch: Batch, emails: Sequence[Email]) -> Answer:
    raise Unclear("timeout")


class Meanwhile:
    """Nothing to iterate over; but somebody else acts at the moment when it is looked at."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def __iter__(self) -> Iterator[Any]:
        self._act()
        return iter(())


def planned(app: App) -> Campaign:
    [campaign] = app.plan()
    return campaign


def claimed(db: Any, clock: Clock) -> Batch:
    batch = ledger.claim(db, LANE, worker=ME, now=clock(), lease=LEASE)
    assert batch is not None
    ledger.calling(db, batch, provider="recorder", now=clock())
    return batch


def test_whoever_leaves_before_the_look_up_stays_unclear(app: App, tmp_path: Path, clock: Clock):
    """Of a reader who left, nobody asks the provider: so the ledger does not say that they got nothing."""
    recorder = Findable(tmp_path / "taken.log")
    through(app, recorder)
    campaign = planned(app)
    app.deliver()
    leave(app, READERS[3])
    clock.go_on(hours=2)
    app.deliver()
    assert recorder.asked[:3] == list(READERS[:3])
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.skipped, balance.gap) == (1, 0, 0)
    [reason] = app.explain("news", READERS[3])
    assert reason.verdict == "it is unclear whether it reached the provider"


def test_what_is_claimed_during_the_look_is_not_handed_back(app: App, tmp_path: Path, clock: Clock):
    """A claim that another lane of the same worker commits meanwhile is being called, not forgotten."""
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=4))
    campaign = planned(app)
    with app.database.write() as db:
        held = Meanwhile(lambda: claimed(db, clock))
        assert ledger.hand_back(db, worker=ME, held=held, now=clock()) == 0
    assert app.balance(campaign.id).sending == 4


def test_what_is_claimed_again_during_the_look_is_not_handed_back(app: App, tmp_path: Path, clock: Clock):
    """What was recorded and claimed once more since it was seen is another call."""
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=4))
    campaign = planned(app)
    with app.database.write() as db:
        first = claimed(db, clock)

        def record_and_claim() -> None:
            ledger.put_back(db, first, due_at=clock(), reason="busy", called_at=None, provider=first.provider)
            assert claimed(db, clock).attempt == first.attempt + 1

        ledger.hand_back(db, worker=ME, held=Meanwhile(record_and_claim), now=clock())
    assert app.balance(campaign.id).sending == 4


def test_a_claim_that_a_dead_worker_still_commits_is_repeated_too(app: App, tmp_path: Path, clock: Clock):
    """The server may finish what the dead sent it: that is not unclear where repeating is harmless."""
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=4, repeatable=True))
    campaign = planned(app)
    with app.database.write() as db:
        late: Any = Meanwhile(lambda: claimed(db, clock))
        ledger.take_over(db, now=clock(), dead=[ME], repeatable={"recorder": timedelta(days=1)}, resend=late)
    assert app.balance(campaign.id).unclear == 0
    assert app.deliver().accepted == 0  # its lease runs
    clock.go_on(seconds=LEASE.total_seconds() + 1)
    assert app.deliver().accepted == 4


def test_a_worker_that_slept_too_long_makes_no_call(app: App, tmp_path: Path, clock: Clock):
    """Before a call is tried again after the lease, it is asked whether the batch is still one's own."""

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        clock.go_on(minutes=20)  # a machine that was suspended
        with app.database.write() as db:
            ledger.take_over(db, now=clock(), dead=[], repeatable={})
        raise TryLater("busy")

    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=4, answer=answer)
    through(app, recorder)
    campaign = planned(app)
    app.deliver()
    assert len(recorder.calls) == 1
    assert app.balance(campaign.id).unclear == 4
