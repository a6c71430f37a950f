"""Several providers: who carries what when one of them refuses, is busy, silent, slow or gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from sqlalchemy import update

from distributor.app import App
from distributor.delivery.quota import Limit
from distributor.delivery.routes import EmailWay, Route
from distributor.errors import AccountTrouble, DistributorError, Refused, SomeRefused, TryLater, Unclear
from distributor.model import Answer, Batch, Campaign, Digest, Email
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import EmailLimits
from distributor.store import campaigns, health, schema
from tests.far_end import Recorder
from tests.workspace import Clock, opened, subscribe, workspace, write_article

READERS = tuple(f"reader{n}@example.org" for n in range(6))
SENDER = Sender(from_="news@news.example", reply_to=None, list_name="The Morning", list_label="morning")

Answering = Callable[[Batch, Sequence[Email]], Answer]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    """Six readers, and an article that waits for its edition."""
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        yield app


class Findable(Recorder):
    """A provider that can be asked, an hour later, what it accepted."""

    def __init__(self, path: Path, **settings: Any) -> None:
        super().__init__(path, **settings)
        self.limits = EmailLimits(
            recipients_per_call=self.limits.recipients_per_call, found_after=timedelta(hours=1)
        )

    async def find(self, batch: Batch, emails: Sequence[Email]) -> dict[int, str]:
        known = {key for key, _, _ in self.taken()}
        return {email.recipient: f"found-{email.key}" for email in emails if email.key in known}


def says(*answers: Exception | Answer | None) -> Answering:
    """These answers one after another (None: accepted), and from then on the last."""
    left = list(answers)

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        told = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(told, Exception):
            raise told
        return told or Answer(receipt=batch.key)

    return answer


def ways(app: App, *providers: Recorder, names: Sequence[str] = ("first", "second"), **route: Any) -> None:
    """Let the newsletter go out through *providers*, in this order."""
    app.routes["morning"] = Route(
        ways=tuple(
            EmailWay(name=name, provider=provider, sender=SENDER)
            for name, provider in zip(names, providers, strict=False)
        ),
        **route,
    )


def planned(app: App) -> Campaign:
    [campaign] = app.plan()
    return campaign


def addresses(*recorders: Recorder) -> list[str]:
    return sorted(address for recorder in recorders for _, address, _ in recorder.taken())


def log(tmp_path: Path, name: str, answer: Answering | None = None, size: int = 2) -> Recorder:
    return Recorder(tmp_path / f"{name}.log", recipients_per_call=size, answer=answer or says(None))


@pytest.mark.parametrize("trouble", [Refused("domain not known"), AccountTrouble("401 wrong key")])
def test_the_next_provider_takes_what_the_first_definitely_does_not(
    app: App, tmp_path: Path, clock: Clock, trouble: Exception
):
    """A refusal moves a batch on, a useless account all of them; every reader gets one mail."""
    first, second = log(tmp_path, "first", says(trouble)), log(tmp_path, "second")
    ways(app, first, second)
    campaign = planned(app)
    app.deliver()
    clock.go_on(minutes=16)
    app.deliver()
    assert addresses(second) == sorted(READERS)
    assert (app.balance(campaign.id).accepted, app.balance(campaign.id).gap) == (6, 0)
    assert app.campaign(campaign.id).state == "done"


def test_what_all_providers_refuse_is_refused_with_the_last_reason(app: App, tmp_path: Path):
    """Each is asked once, in the order of the list."""
    first, second = (
        log(tmp_path, "first", says(Refused("no"))),
        log(tmp_path, "second", says(Refused("never"))),
    )
    ways(app, first, second)
    campaign = planned(app)
    app.deliver()
    assert app.balance(campaign.id).refused == 6
    assert (len(first.calls), len(second.calls)) == (3, 3)
    assert {batch.reason for batch in app.open_batches(campaign.id)} == {"never"}


def test_a_down_provider_is_left_alone_and_tried_with_one_call(app: App, tmp_path: Path, clock: Clock):
    """After five failures in a row the second takes over; later one call asks whether the first is back."""
    first = log(tmp_path, "first", says(*[TryLater("503")] * 15, None), size=1)
    second = log(tmp_path, "second", size=1)
    ways(app, first, second)
    campaign = planned(app)
    app.deliver()
    asked = len(first.calls)
    assert asked >= 5
    for _ in range(4):
        clock.go_on(minutes=20)
        app.deliver()
    assert addresses(first, second) == sorted(READERS)
    assert app.balance(campaign.id).accepted == 6
    with app.database.read() as db:
        assert not health.healths(db)["first"].is_out(clock())


def test_silence_never_moves_a_batch_to_another_provider(app: App, tmp_path: Path, clock: Clock):
    """What the first may have accepted stays unclear; the second gets only what the first was never given."""
    first, second = log(tmp_path, "first", says(Unclear("timeout")), size=1), log(tmp_path, "second", size=1)
    ways(app, first, second)
    campaign = planned(app)
    for _ in range(3):
        app.deliver()
        clock.go_on(hours=1)
    balance = app.balance(campaign.id)
    assert balance.unclear == len(first.calls)
    assert balance.accepted == len(second.calls)
    assert (balance.unclear + balance.accepted, balance.gap) == (6, 0)
    assert not {call for call in first.calls if call in second.calls}


def test_unclear_mails_are_sent_again_where_the_publisher_prefers_it(app: App, tmp_path: Path, clock: Clock):
    """on_unclear = "resend": nobody is missed, at the risk of a second copy."""
    first = log(tmp_path, "first", says(Unclear("timeout"), None), size=6)
    ways(app, first, resends=True)
    campaign = planned(app)
    app.deliver()
    clock.go_on(minutes=5)
    app.deliver()
    assert app.balance(campaign.id).accepted == 6
    assert len(first.calls) == 2


def test_a_key_that_was_used_for_another_call_is_unclear_at_once(app: App, tmp_path: Path, clock: Clock):
    """Where the same call again would only meet the same answer, a person is told at once."""
    used = Unclear("the request key was used before", can_clear=False)
    first = Recorder(tmp_path / "first.log", recipients_per_call=1, repeatable=True, answer=says(used))
    ways(app, first)
    campaign = planned(app)
    app.deliver()
    assert (app.balance(campaign.id).unclear, len(first.calls)) == (6, 6)
    assert app.standings() == []  # the provider is well


def test_a_provider_that_can_be_asked_settles_what_is_unclear(app: App, tmp_path: Path, clock: Clock):
    """Who is found was accepted, who is not is sent the mail now: nobody twice, nobody missed."""
    told: list[str] = []

    def lose_the_answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        if told:
            return Answer(receipt=batch.key)
        told.append(batch.key)
        lines = "".join(f"{email.key}\t{email.address}\t\n" for email in emails[:2])
        (tmp_path / "first.log").write_text(lines)  # it accepted two, and was cut off
        raise Unclear("timeout")

    first = Findable(tmp_path / "first.log", recipients_per_call=6, answer=lose_the_answer)
    ways(app, first)
    campaign = planned(app)
    assert app.deliver().unclear == 6
    clock.go_on(minutes=30)
    app.deliver()
    assert app.balance(campaign.id).unclear == 6  # too early to ask
    clock.go_on(minutes=31)
    app.deliver()
    assert addresses(first) == sorted(READERS)
    assert (app.balance(campaign.id).accepted, app.balance(campaign.id).gap) == (6, 0)
    [reason] = app.explain("news", first.taken()[0][1])
    assert "found-" in reason.details[0]


def test_one_bad_address_is_found_in_halves(app: App, tmp_path: Path):
    """Where a call is taken whole or not at all, everybody else gets their mail and one is refused."""

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        if any(email.address == READERS[3] for email in emails):
            raise SomeRefused("'to' is not a valid address")
        return Answer(receipt=batch.key)

    first = log(tmp_path, "first", answer, size=6)
    ways(app, first)
    campaign = planned(app)
    app.deliver()
    assert addresses(first) == sorted(set(READERS) - {READERS[3]})
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.refused, balance.gap) == (5, 1, 0)
    assert len(set(first.calls)) == len(first.calls)  # another call has another key


def test_an_answer_may_put_off_and_leave_open_single_recipients(app: App, tmp_path: Path, clock: Clock):
    """Of one call some are accepted, one is refused, one goes later and one is unclear."""
    seen: list[int] = []

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        ids = [email.recipient for email in emails]
        if seen:
            return Answer(receipt="again")
        seen.extend(ids)
        return Answer(
            receipt="some",
            refused={ids[0]: "no such mailbox"},
            later={ids[1]: "throttled", ids[2]: "throttled"},
            unclear={ids[3]: "FAILED"},
            pause=30,
        )

    first = log(tmp_path, "first", answer, size=6)
    ways(app, first)
    campaign = planned(app)
    done = app.deliver()
    assert (done.accepted, done.refused, done.later, done.unclear) == (2, 1, 2, 1)
    balance = app.balance(campaign.id)
    assert (balance.queued, balance.unclear, balance.gap) == (2, 1, 0)
    clock.go_on(minutes=5)
    app.deliver()
    assert app.balance(campaign.id).accepted == 4
    assert app.settle(campaign.id, "again") == 1
    app.deliver()
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.refused, balance.gap) == (5, 1, 0)
    assert len(first.calls) == 3


def test_while_a_provider_asks_for_time_nobody_calls_it(app: App, tmp_path: Path, clock: Clock):
    """A Retry-After holds every batch of the provider, in every worker, also after a restart."""
    first = log(tmp_path, "first", says(TryLater("429", after=40), None), size=6)
    ways(app, first)
    campaign = planned(app)
    app.deliver()
    write_article(tmp_path, "more", published_at=clock() + timedelta(seconds=1))
    clock.go_on(seconds=20)
    app.scan()
    app.make(app.order("morning", ["more"]))
    app.deliver()
    assert len(first.calls) == 1
    clock.go_on(seconds=21)
    app.deliver()
    assert len(first.calls) == 3
    assert app.balance(campaign.id).accepted == 6


def test_the_program_says_why_a_provider_takes_nothing(app: App, tmp_path: Path, clock: Clock):
    """Until when, and in the provider's own words; or which limit is used up (listmonk #905)."""
    first = log(tmp_path, "first", says(AccountTrouble("401: the key was revoked")), size=6)
    ways(app, first)
    planned(app)
    assert app.standings() == []
    app.deliver()
    [standing] = app.standings()
    assert (standing.provider, standing.reason, standing.is_down) == (
        "first",
        "401: the key was revoked",
        True,
    )
    assert standing.until == clock() + timedelta(minutes=15)
    limit = Limit(name="second", counts="messages", seconds=86_400, most=2)
    second = EmailWay(name="second", provider=log(tmp_path, "second"), sender=SENDER, limits=(limit,))
    app.routes["morning"] = Route(ways=(second,))
    clock.go_on(hours=1)
    app.deliver()
    [standing] = app.standings()
    assert standing.reason == "the limit of 2 messages in 24 hours is used up"
    assert timedelta(hours=23) < standing.until - clock() < timedelta(hours=25)
    assert addresses(first) == []


def test_a_batch_whose_provider_left_the_configuration_goes_another_way(
    app: App, tmp_path: Path, clock: Clock
):
    """What the old one certainly did not accept goes through the new one; what it may have stays unclear."""
    silent = says(Unclear("timeout"), TryLater("busy", after=700))
    first = Recorder(tmp_path / "first.log", recipients_per_call=3, repeatable=True, answer=silent)
    ways(app, first)
    campaign = planned(app)
    app.deliver()
    clock.go_on(hours=5)
    second = log(tmp_path, "second", size=3)
    ways(app, second, names=("second",))
    app.deliver()
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.unclear, balance.gap) == (3, 3, 0)
    assert "no longer in the configuration" in str(app.open_batches(campaign.id)[0].reason)


def test_content_that_was_changed_after_it_was_frozen_is_not_sent(app: App, tmp_path: Path):
    """What goes out is what was frozen, byte for byte; anything else pauses its campaign."""
    first = log(tmp_path, "first")
    ways(app, first)
    campaign = planned(app)
    with app.database.write() as db:
        [hash_] = campaigns.renditions_of(db, campaign.id)
        content = campaigns.rendition_of(db, hash_)
        assert content is not None
        assert isinstance(content, Digest)
        forged = campaigns.pack(replace(content, text="Buy this"))
        db.execute(update(schema.rendition).values(content=forged))
    app.deliver()
    assert first.calls == []
    found = app.campaign(campaign.id)
    assert (found.state, "was changed" in str(found.reason)) == ("paused", True)
    assert app.balance(campaign.id).queued == 6


class Slow(Recorder):
    """Answers only when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, recipients_per_call=1)
        self.limits = EmailLimits(recipients_per_call=1, in_flight=2)
        self.begun: list[str] = []
        self.busy, self.go = anyio.Event(), anyio.Event()

    async def send(self, batch: Batch, *arguments: Any, **settings: Any) -> Answer:
        self.begun.append(batch.key)
        if len(self.begun) == self.limits.in_flight:
            self.busy.set()
        await self.go.wait()
        return await super().send(batch, *arguments, **settings)


@pytest.mark.anyio
async def test_a_worker_that_is_told_to_stop_finishes_what_it_began(app: App, tmp_path: Path):
    """No further call is made, the ones under way are recorded, the rest stays queued and free."""
    slow = Slow(tmp_path / "slow.log")
    ways(app, slow)
    campaign = planned(app)
    worker = app.worker()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await slow.busy.wait()
            worker.stop()
            slow.go.set()
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.queued, balance.sending) == (2, 4, 0)
    assert len(slow.begun) == 2


@pytest.mark.anyio
async def test_a_failure_of_one_call_loses_no_other_answer(app: App, tmp_path: Path):
    """A fault of the program ends its run with its name; what else was under way is recorded all the same."""
    slow = Slow(tmp_path / "slow.log")
    ways(app, slow)
    campaign = planned(app)

    def shown(recipients: int) -> None:
        raise BrokenPipeError("nobody looks any more")

    async def run() -> None:
        with pytest.raises(BrokenPipeError):
            await app.worker(progress=shown).run()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await slow.busy.wait()
            slow.go.set()
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.queued, balance.sending) == (2, 4, 0)


def test_what_was_frozen_for_a_larger_call_is_divided_for_a_smaller_one(app: App, tmp_path: Path):
    """The second provider takes fewer at a time than the first, which refused; every reader gets one mail."""
    first = log(tmp_path, "first", says(Refused("domain not known")), size=6)
    second = log(tmp_path, "second", size=2)
    ways(app, first, second)
    campaign = planned(app)
    app.deliver()
    assert (len(first.calls), len(second.calls)) == (1, 3)
    assert addresses(second) == sorted(READERS)
    assert app.balance(campaign.id).gap == 0


def test_what_is_frozen_goes_out_while_the_site_is_away(app: App, tmp_path: Path):
    """A scan that fails is told, and keeps nobody waiting who was planned for before it."""
    first = log(tmp_path, "first")
    ways(app, first)
    planned(app)
    (tmp_path / "content").rename(tmp_path / "away")
    with pytest.raises(DistributorError):
        app.run_once()
    assert addresses(first) == sorted(READERS)


EVENING = """
[newsletters.evening]
title = "The Evening"
from = "news@news.example"
providers = ["outbox"]
schedule = "0 7 * * *"
"""


@pytest.mark.anyio
async def test_a_silent_provider_keeps_no_other_waiting(tmp_path: Path, database_url: str, clock: Clock):
    """While one provider's calls hang, another's campaign goes out to its end."""
    slow, quick = Slow(tmp_path / "slow.log"), log(tmp_path, "quick", size=1)
    with opened(workspace(tmp_path, database=database_url, config=EVENING), clock) as app:
        app.scan()
        rows = ["email\n", *(f"{address}\n" for address in READERS)]
        app.import_subscribers(rows, default_lists=["morning", "evening"])
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        ways(app, slow, names=("slow",))
        app.routes["evening"] = Route(ways=(EmailWay(name="quick", provider=quick, sender=SENDER),))
        made = {campaign.channel: campaign.id for campaign in app.plan()}
        worker = app.worker()
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(worker.run)
                await slow.busy.wait()
                while len(quick.calls) < 6:
                    await anyio.lowlevel.checkpoint()
                assert slow.taken() == []
                slow.go.set()
        assert app.balance(made["evening"]).accepted == 6
        assert addresses(slow) == sorted(READERS)


@pytest.mark.anyio
async def test_breaking_news_overtakes_a_running_digest(app: App, tmp_path: Path, clock: Clock):
    """What is planned meanwhile with a higher priority goes with the very next call."""
    slow = Slow(tmp_path / "slow.log")
    ways(app, slow)
    digest = planned(app)
    worker = app.worker()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await slow.busy.wait()
            write_article(tmp_path, "breaking", published_at=clock() - timedelta(minutes=1))
            await to_thread.run_sync(app.scan)
            order = await to_thread.run_sync(app.order, "morning", ["breaking"])
            breaking = await to_thread.run_sync(app.make, order)
            slow.go.set()
    assert breaking is not None
    campaigns_in_order = [int(key.split("-")[0]) for key, _, _ in slow.taken()]
    assert campaigns_in_order == [digest.id] * 2 + [breaking.id] * 6 + [digest.id] * 4
