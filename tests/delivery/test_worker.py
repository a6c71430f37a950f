"""Claim, call, record: what becomes of a batch, whatever the provider says and whoever dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from distributor.app import App
from distributor.delivery.desk import LEASE
from distributor.delivery.worker import is_dead, worker_name
from distributor.errors import AccountTrouble, Refused, TryLater, Unclear, WrongState
from distributor.model import Answer, Batch, Campaign, Email
from distributor.providers.protocol import EmailLimits
from distributor.store import ledger
from distributor.store.ledger import Lane
from subscribers import store as audience
from tests.far_end import Recorder, through
from tests.workspace import MONDAY, Clock, leave, opened, subscribe, workspace, write_article

LANE = Lane(provider="recorder", channels=("morning",))

READERS = tuple(f"reader{n}@example.org" for n in range(5))


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


def planned(app: App) -> Campaign:
    [campaign] = app.plan()
    return campaign


def answering(error: Exception, *, times: int = 99):
    """A provider's answer that fails so often, and then accepts."""
    left = [error] * times

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        if left:
            raise left.pop()
        return Answer(receipt=batch.key)

    return answer


def test_a_batch_is_at_most_what_the_provider_takes(app: App, tmp_path: Path):
    """Five readers through a provider that takes two at a call are three calls."""
    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=2)
    through(app, recorder)
    campaign = planned(app)
    assert app.deliver().accepted == 5
    assert len(recorder.calls) == 3
    assert sorted(address for _, address, _ in recorder.taken()) == sorted(READERS)
    assert app.campaign(campaign.id).state == "done"


def test_a_final_refusal_of_one_recipient_leaves_the_others_accepted(app: App, tmp_path: Path):
    """What a provider refuses inside an accepted call is refused for it alone, with the reason."""

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        bad = {email.recipient: "no such mailbox" for email in emails if email.address == READERS[2]}
        return Answer(receipts={e.recipient: f"id-{e.recipient}" for e in emails}, refused=bad)

    through(app, Recorder(tmp_path / "taken.log", answer=answer))
    campaign = planned(app)
    app.deliver()
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.refused, balance.gap) == (4, 1, 0)
    [reason] = app.explain("news", READERS[2])
    assert reason.verdict == "the provider refused it"
    assert "no such mailbox" in reason.details[0]
    [reason] = app.explain("news", READERS[0])
    assert "id-" in reason.details[0]


def test_only_those_refused_are_tried_again(app: App, tmp_path: Path):
    """A retry reaches those who were refused, and nobody who was accepted."""
    refused_once = {READERS[1], READERS[4]}

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        bad = {email.recipient: "busy" for email in emails if email.address in refused_once}
        refused_once.difference_update(email.address for email in emails)
        return Answer(refused=bad)

    through(app, Recorder(tmp_path / "taken.log", answer=answer))
    campaign = planned(app)
    app.deliver()
    assert app.retry(campaign.id) == 2
    assert app.balance(campaign.id).gap == 0
    app.deliver()
    taken = [address for _, address, _ in Recorder(tmp_path / "taken.log").taken()]
    assert sorted(taken) == sorted(READERS)
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.refused, balance.gap) == (5, 0, 0)


def test_later_means_later(app: App, tmp_path: Path, clock: Clock):
    """What the provider puts off waits in the ledger for as long as it asked, and then goes out once."""
    busy = answering(TryLater("quota", after=600), times=1)
    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=5, answer=busy)
    through(app, recorder)
    campaign = planned(app)
    assert app.deliver().later == 5
    assert app.balance(campaign.id).queued == 5
    assert app.deliver().accepted == 0
    assert "quota" in {batch.reason for batch in app.open_batches(campaign.id)}
    clock.go_on(seconds=601)
    assert app.deliver().accepted == 5
    assert len(recorder.taken()) == 5


def test_a_refused_call_is_final(app: App, tmp_path: Path):
    """A call that the provider will never accept is not repeated."""
    recorder = Recorder(tmp_path / "taken.log", answer=answering(Refused("sender unknown")))
    through(app, recorder)
    campaign = planned(app)
    assert app.deliver().refused == 5
    assert app.deliver().refused == 0
    assert app.balance(campaign.id).refused == 5
    assert len(recorder.calls) == 3
    assert app.campaign(campaign.id).state == "done"


def test_silence_is_unclear_and_never_guessed(app: App, tmp_path: Path, clock: Clock):
    """Without a handle that makes repetition harmless, an unclear call waits for a person."""
    recorder = Recorder(tmp_path / "taken.log", answer=answering(Unclear("timeout")))
    through(app, recorder)
    campaign = planned(app)
    assert app.deliver().unclear == 5
    clock.go_on(days=2)
    assert app.deliver().accepted == 0
    assert len(recorder.calls) == 3
    assert app.balance(campaign.id).unclear == 5
    assert app.campaign(campaign.id).state == "sending"
    [reason] = app.explain("news", READERS[0])
    assert f"campaigns settle {campaign.id}" in reason.details[0]
    assert app.settle(campaign.id, "accepted") == 5
    assert app.campaign(campaign.id).state == "done"


def test_silence_is_repeated_under_the_same_key_where_that_is_harmless(
    app: App, tmp_path: Path, clock: Clock
):
    """A provider that knows the key of a call is asked again with it."""
    recorder = Recorder(
        tmp_path / "taken.log", repeatable=True, answer=answering(Unclear("timeout"), times=3)
    )
    through(app, recorder)
    campaign = planned(app)
    app.deliver()
    clock.go_on(hours=1)
    app.deliver()
    assert app.balance(campaign.id).accepted == 5
    assert len(recorder.calls) == 6
    assert len(set(recorder.calls)) == 3


def test_it_is_not_repeated_when_the_provider_has_forgotten_the_key(app: App, tmp_path: Path, clock: Clock):
    """Once a key may have expired, repeating could be a second mail: a person decides."""
    recorder = Recorder(
        tmp_path / "taken.log", recipients_per_call=5, answer=answering(Unclear("timeout"), times=1)
    )
    recorder.limits = EmailLimits(recipients_per_call=5, repeatable_for=timedelta(hours=23))
    through(app, recorder)
    campaign = planned(app)
    app.deliver()
    assert app.balance(campaign.id).queued == 5
    clock.go_on(hours=24)
    app.deliver()
    assert len(recorder.calls) == 1
    assert app.balance(campaign.id).unclear == 5
    assert "no longer knows its key" in (app.open_batches(campaign.id)[0].reason or "")
    app.settle(campaign.id, "again")
    assert app.deliver().accepted == 5


def test_what_one_provider_may_have_accepted_goes_to_no_other(app: App, tmp_path: Path, clock: Clock):
    """A newsletter that changes its provider does not send an unclear batch through the new one."""
    through(app, Recorder(tmp_path / "taken.log", repeatable=True, answer=answering(Unclear("timeout"))))
    campaign = planned(app)
    app.deliver()
    other = Recorder(tmp_path / "other.log", repeatable=True)
    through(app, other, name="other")
    clock.go_on(hours=1)
    app.deliver()
    assert other.calls == []
    assert app.balance(campaign.id).unclear == 5


def test_a_wrong_key_keeps_everything_waiting(app: App, tmp_path: Path, clock: Clock):
    """While the account is refused nothing is given up, however often it is tried."""
    recorder = Recorder(
        tmp_path / "taken.log", recipients_per_call=5, answer=answering(AccountTrouble("401"), times=20)
    )
    through(app, recorder)
    campaign = planned(app)
    for _ in range(20):
        app.deliver()
        clock.go_on(hours=1)
    assert app.balance(campaign.id).queued == 5
    assert app.deliver().accepted == 5


def test_a_fault_of_the_program_is_unclear_too(app: App, tmp_path: Path):
    """An error nobody foresaw during a call leaves it open what the provider did."""
    through(app, Recorder(tmp_path / "taken.log", answer=answering(ZeroDivisionError("oops"))))
    campaign = planned(app)
    app.deliver()
    assert app.balance(campaign.id).unclear == 5
    assert {batch.reason for batch in app.open_batches(campaign.id)} == {"ZeroDivisionError: oops"}


def test_whoever_leaves_gets_nothing_from_the_next_call_on(app: App, tmp_path: Path, clock: Clock):
    """Unsubscribing and suppression between planning and the call are seen at the claim."""
    recorder = Recorder(tmp_path / "taken.log")
    through(app, recorder)
    campaign = planned(app)
    leave(app, READERS[0])
    with app.database.write() as db:
        audience.suppress(db, READERS[1], reason="complained", now=clock())
    assert app.deliver().accepted == 3
    assert {address for _, address, _ in recorder.taken()} == set(READERS[2:])
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.skipped, balance.gap) == (3, 2, 0)
    [reason] = app.explain("news", READERS[0])
    assert "unsubscribed or suppressed" in reason.details[0]


def test_a_batch_that_nobody_is_left_in_needs_no_call(app: App, tmp_path: Path, clock: Clock):
    """When all readers of a campaign have left, it is done without a call."""
    recorder = Recorder(tmp_path / "taken.log")
    through(app, recorder)
    campaign = planned(app)
    with app.database.write() as db:
        for address in READERS:
            audience.suppress(db, address, reason="bounced", now=clock())
    app.deliver()
    assert recorder.calls == []
    assert app.campaign(campaign.id).state == "done"
    assert app.balance(campaign.id).skipped == 5


def claim(app: App, worker: str, clock: Clock) -> Batch:
    with app.database.write() as db:
        batch = ledger.claim(db, LANE, worker=worker, now=clock(), lease=LEASE)
        assert batch is not None
        ledger.calling(db, batch, provider="recorder", now=clock())
    return batch


def test_a_silent_workers_batch_is_taken_over_when_its_lease_ends(app: App, tmp_path: Path, clock: Clock):
    """Nobody touches a leased batch; after the lease it is unclear, or repeated where that is harmless."""
    recorder = Recorder(tmp_path / "taken.log", repeatable=True, recipients_per_call=5)
    through(app, recorder)
    campaign = planned(app)
    claim(app, "elsewhere/1/2/3", clock)
    assert app.deliver().accepted == 0
    clock.go_on(seconds=LEASE.total_seconds() + 1)
    assert app.deliver().accepted == 5
    assert app.balance(campaign.id).accepted == 5


def test_an_answer_after_the_lease_still_settles_what_was_unclear(app: App, tmp_path: Path, clock: Clock):
    """A worker that was only slow records what it knows."""
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=5))
    campaign = planned(app)
    batch = claim(app, "elsewhere/1/2/3", clock)
    clock.go_on(seconds=LEASE.total_seconds() + 1)
    app.deliver()
    assert app.balance(campaign.id).unclear == 5
    with app.database.write() as db:
        assert ledger.accept(db, batch, Answer(receipt="late"), provider="recorder")
    assert app.balance(campaign.id).accepted == 5


def test_a_worker_that_lost_its_claim_cannot_overwrite_the_next_ones(app: App, tmp_path: Path, clock: Clock):
    """Of two claims of one batch, only the later has the say."""
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=5, repeatable=True))
    planned(app)
    first = claim(app, "elsewhere/1/2/3", clock)
    clock.go_on(seconds=LEASE.total_seconds() + 1)
    with app.database.write() as db:
        assert ledger.take_over(db, now=clock(), dead=[], repeatable={"recorder": timedelta(days=1)}) == (
            1,
            0,
        )
    second = claim(app, "elsewhere/4/5/6", clock)
    assert second.key == first.key
    with app.database.write() as db:
        assert not ledger.accept(db, first, Answer(), provider="recorder")
        assert not ledger.renew(db, first, until=clock() + LEASE)
        assert ledger.renew(db, second, until=clock() + LEASE)


def test_many_workers_share_one_ledger(app: App, tmp_path: Path):
    """Workers that claim at the same time never claim the same batch."""
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=1))
    campaign = planned(app)
    with ThreadPoolExecutor(3) as pool:
        counts = [done.accepted for done in pool.map(lambda _: app.deliver(), range(3))]
    assert sum(counts) == 5
    taken = Recorder(tmp_path / "taken.log").taken()
    assert sorted(address for _, address, _ in taken) == sorted(READERS)
    assert app.balance(campaign.id).gap == 0


def test_planning_at_the_same_moment_is_planning_once(app: App, tmp_path: Path, clock: Clock):
    """Of several daemons that plan one slot together, one does."""
    through(app, Recorder(tmp_path / "taken.log"))
    [order] = app.editions.due(clock())
    with ThreadPoolExecutor(4) as pool:
        made = [campaign for campaign in pool.map(lambda _: app.make(order), range(4)) if campaign]
    assert len(made) == 1
    assert app.balance(made[0].id).queued == 5


def test_pause_stops_and_resume_goes_on(app: App, tmp_path: Path):
    """A paused campaign is not claimed; resumed, it goes on where it stopped."""
    through(app, Recorder(tmp_path / "taken.log"))
    campaign = planned(app)
    app.pause(campaign.id)
    assert app.deliver().accepted == 0
    app.resume(campaign.id)
    assert app.deliver().accepted == 5
    with pytest.raises(WrongState, match="is done"):
        app.pause(campaign.id)


def test_cancelled_readers_get_the_articles_with_their_next_edition(app: App, tmp_path: Path, clock: Clock):
    """What was cancelled before it was claimed is not lost: the next edition has it."""
    through(app, Recorder(tmp_path / "taken.log"))
    campaign = planned(app)
    assert app.cancel(campaign.id, reason="wrong picture") == 5
    assert app.balance(campaign.id).skipped == 5
    write_article(tmp_path, "more", published_at=clock())
    clock.go_on(days=1)
    app.run_once()
    told = {(address, articles) for _, address, articles in Recorder(tmp_path / "taken.log").taken()}
    both = ("https://news.example/news/", "https://news.example/more/")
    assert {(address, tuple(sorted(articles))) for address, articles in told} == {
        (address, tuple(sorted(both))) for address in READERS
    }


def test_a_batch_of_a_channel_that_left_the_configuration_waits(app: App, tmp_path: Path, clock: Clock):
    """Work whose newsletter was removed is kept, and says why it does not move."""
    campaign = planned(app)
    del app.routes["morning"]
    app.deliver()
    [batch] = app.open_batches(campaign.id)
    assert (batch.state, "no longer in the configuration" in (batch.reason or "")) == ("queued", True)
    assert app.balance(campaign.id).queued == 5


def test_a_dead_worker_is_known_by_its_process():
    """This process lives; one with its name and a number that no process has does not; strangers may."""
    host, space, _, mark = worker_name().split("/")
    assert not is_dead(worker_name())
    assert is_dead("/".join((host, space, str(2**22 + 1), mark)))
    assert not is_dead("/".join(("elsewhere", space, str(2**22 + 1), mark)))
    assert not is_dead("/".join((host, "another container", str(2**22 + 1), mark)))


def test_priority_goes_before_age(app: App, tmp_path: Path, clock: Clock):
    """A single article sent by itself overtakes a running edition."""
    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=5)
    through(app, recorder)
    planned(app)
    write_article(tmp_path, "breaking", published_at=MONDAY + timedelta(minutes=1))
    clock.go_on(minutes=1)
    app.scan()
    app.make(app.order("morning", ["breaking"]))
    with app.database.write() as db:
        first = ledger.claim(db, LANE, worker="w/1/2/3", now=clock(), lease=LEASE)
    assert first is not None
    assert app.campaign(first.campaign).slot.startswith("articles ")
