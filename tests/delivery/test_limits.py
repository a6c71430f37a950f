"""Limits as a worker keeps them: what goes out in a second and a day, and who waits when a vendor says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from distributor.app import App
from distributor.config import Limits
from distributor.delivery.desk import LEASE
from distributor.delivery.routes import EmailWay, Route
from distributor.errors import TryLater, Unclear
from distributor.model import Answer, Batch, Campaign, Email
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import Allowance
from distributor.ways import limits
from tests.far_end import Recorder
from tests.workspace import Clock, opened, subscribe, workspace, write_article

READERS = [f"reader{n}@example.org" for n in range(250)]
SENDER = Sender(from_="news@news.example", reply_to=None, list_name="The Morning", list_label="morning")


class Vendor(Recorder):
    """Remembers when each call was granted, takes one at a time, and answers its next calls as *said*."""

    def __init__(self, path: Path, *said: Answer | Exception, size: int = 100, **settings: Any) -> None:
        super().__init__(path, answer=self._say, **settings)
        self.limits = replace(self.limits, recipients_per_call=size, in_flight=1)
        self.granted: list[tuple[datetime, int]] = []
        self.said = list(said)

    async def send(self, batch: Batch, *args: Any, **named: Any) -> Answer:
        assert batch.lease_until
        self.granted.append((batch.lease_until - LEASE, len(batch.recipients)))
        return await super().send(batch, *args, **named)

    def _say(self, batch: Batch, emails: Sequence[Email]) -> Answer:
        told = self.said.pop(0) if self.said else Answer(receipt=batch.key)
        if isinstance(told, Exception):
            raise told
        return told

    def busiest(self, seconds: float) -> int:
        """The most messages in any such span."""
        span = timedelta(seconds=seconds)
        return max(sum(n for at, n in self.granted if end - span <= at <= end) for end, _ in self.granted)

    @property
    def sent(self) -> int:
        return sum(count for _, count in self.granted)


class Allowing(Vendor):
    """A vendor that tells what the account may send."""

    allowed = Allowance()

    async def allowance(self) -> Allowance:
        return self.allowed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> Path:
    return workspace(tmp_path, database=database_url)


@pytest.fixture
def app(config: Path, tmp_path: Path, clock: Clock) -> Iterator[App]:
    """A newsletter with 250 readers, and an article that waits for its edition."""
    with opened(config, clock) as app:
        app.scan()
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        yield app


@contextmanager
def another(config: Path, clock: Clock, vendor: Vendor, **allowed: int) -> Iterator[App]:
    """The program once more, in another process for all it knows."""
    with opened(config, clock) as app:
        through(app, vendor, **allowed)
        yield app


def through(app: App, vendor: Vendor, **allowed: int) -> None:
    """Let the newsletter go out through *vendor*, which allows so much (settings as under `limits`)."""
    bounds = limits("vendor", Limits(**allowed), vendor.limits)
    way = EmailWay(name="vendor", provider=vendor, sender=SENDER, limits=bounds)
    app.routes["morning"] = Route(ways=(way,))


def planned(app: App) -> Campaign:
    [campaign] = app.plan()
    return campaign


def assert_complete(app: App, campaign: Campaign, vendor: Vendor) -> None:
    """Every reader has it once, and the books say so."""
    assert sorted(address for _, address, _ in vendor.taken()) == sorted(READERS)
    balance = app.balance(campaign.id)
    assert (balance.accepted, balance.gap) == (len(READERS), 0)
    assert app.campaign(campaign.id).state == "done"


def test_a_rate_is_kept_and_used(app: App, tmp_path: Path):
    """40 a second: 250 readers are served in seven seconds, and no second has more than 40."""
    vendor = Vendor(tmp_path / "taken.log")
    through(app, vendor, per_second=40)
    campaign = planned(app)
    assert app.deliver().accepted == 250
    assert vendor.busiest(1) == 40
    assert vendor.granted[-1][0] - vendor.granted[0][0] < timedelta(seconds=6.1)
    assert_complete(app, campaign, vendor)


def test_a_batch_that_is_larger_than_a_limit_is_parted(app: App, tmp_path: Path):
    """Frozen in hundreds before the limit was known, they go out in thirties, each reader once."""
    vendor = Vendor(tmp_path / "taken.log")
    through(app, vendor)
    campaign = planned(app)
    through(app, vendor, per_second=30, per_minute=1000)
    assert app.deliver().accepted == 250
    assert (vendor.busiest(1), vendor.busiest(60)) == (30, 250)
    assert len(set(vendor.calls)) == len(vendor.calls), "a part is a call with a key of its own"
    assert_complete(app, campaign, vendor)


def test_calls_are_counted_too(app: App, tmp_path: Path, clock: Clock):
    """Three calls a minute carry thirty readers; the rest waits for a later minute."""
    vendor = Vendor(tmp_path / "taken.log", size=10)
    through(app, vendor, calls_per_minute=3)
    campaign = planned(app)
    for minute in range(1, 10):
        app.deliver()
        assert len(vendor.calls) == min(25, 3 * minute)
        clock.go_on(minutes=1, seconds=1)
    assert_complete(app, campaign, vendor)


def test_a_day_leaves_the_rest_for_tomorrow_whoever_restarts(
    app: App, config: Path, tmp_path: Path, clock: Clock
):
    """100 a day: started again in the evening nothing more goes out, the next day another hundred does."""
    vendor = Vendor(tmp_path / "taken.log")
    through(app, vendor, per_day=100)
    campaign = planned(app)
    assert app.deliver().accepted == 100
    clock.go_on(hours=23, minutes=59)
    with another(config, clock, vendor, per_day=100) as restarted:
        assert restarted.deliver().accepted == 0
        balance = restarted.balance(campaign.id)
        assert (balance.queued, balance.gap) == (150, 0)
    clock.go_on(minutes=2)
    with another(config, clock, vendor, per_day=100) as next_day:
        assert next_day.deliver().accepted == 100
    clock.go_on(days=1, seconds=1)
    assert app.deliver().accepted == 50
    assert vendor.busiest(24 * 3600) == 100
    assert_complete(app, campaign, vendor)


def test_a_second_and_a_day_bound_together(app: App, tmp_path: Path, clock: Clock):
    """20 a second and 90 a day: the day is full after five seconds."""
    vendor = Vendor(tmp_path / "taken.log")
    through(app, vendor, per_second=20, per_day=90)
    planned(app)
    assert app.deliver().accepted == 90
    assert (vendor.busiest(1), vendor.busiest(24 * 3600)) == (20, 90)
    assert vendor.granted[-1][0] - vendor.granted[0][0] < timedelta(seconds=5)


def test_what_may_be_there_already_is_repeated_as_it_was(app: App, tmp_path: Path, clock: Clock):
    """A call of 80 without an answer is repeated under its key, even where only 30 a second may go by now."""
    vendor = Vendor(tmp_path / "taken.log", Unclear("silence"), size=80, repeatable=True)
    through(app, vendor)
    campaign = planned(app)
    app.deliver()
    assert vendor.granted[0][1] == 80
    through(app, vendor, per_second=30)
    clock.go_on(hours=1)
    app.deliver()
    assert vendor.calls.count(vendor.calls[0]) == 2
    assert_complete(app, campaign, vendor)


# --- what vendors say ---


@pytest.mark.parametrize("said", [Answer(receipt="1", pause=120), TryLater("429", after=120)], ids=repr)
def test_a_vendor_that_wants_a_pause_has_it_from_all_workers(
    app: App, config: Path, tmp_path: Path, clock: Clock, said: Answer | Exception
):
    """No calls are left by its headers, or it says 429: neither this worker nor another calls too early."""
    vendor = Vendor(tmp_path / "taken.log", said)
    through(app, vendor)
    campaign = planned(app)
    with another(config, clock, vendor) as other:
        app.deliver()
        assert len(vendor.calls) == 1
        for minute in range(2):
            other.deliver()
            app.deliver()
            assert len(vendor.calls) == 1, minute
            clock.go_on(seconds=59)  # so that in the end it is worth waiting for
        other.deliver()
    assert vendor.granted[1][0] - vendor.granted[0][0] >= timedelta(seconds=120)
    assert_complete(app, campaign, vendor)


def test_a_short_pause_is_waited_for(app: App, tmp_path: Path, clock: Clock):
    """A vendor that wants two seconds after every call gets a call every two seconds in one run."""
    vendor = Vendor(tmp_path / "taken.log", *[Answer(receipt=str(n), pause=2) for n in range(3)])
    through(app, vendor)
    campaign = planned(app)
    assert app.deliver().accepted == 250
    assert vendor.busiest(1.9) == 100
    assert_complete(app, campaign, vendor)


def test_a_pause_is_one_providers(app: App, tmp_path: Path):
    """While one provider wants a pause, batches that are bound to another go on."""
    held = Vendor(tmp_path / "held.log", Answer(receipt="1", pause=600))
    free = Vendor(tmp_path / "free.log")
    through(app, held)
    planned(app)
    app.deliver()
    [way] = app.routes["morning"].ways
    app.routes["morning"] = Route(ways=(EmailWay(name="free", provider=free, sender=SENDER), way))
    app.deliver()
    assert (held.sent, free.sent) == (100, 150)


def test_an_account_sends_what_the_vendor_allows_it(app: App, tmp_path: Path, clock: Clock):
    """What Amazon SES says of an account bounds it as a setting does; and is asked for again."""
    vendor = Allowing(tmp_path / "taken.log", size=50)
    vendor.allowed = Allowance(per_second=14, per_day=100)
    through(app, vendor)
    campaign = planned(app)
    assert app.deliver().accepted == 100
    assert (vendor.busiest(1), vendor.busiest(24 * 3600)) == (14, 100)
    vendor.allowed = Allowance(per_second=50, per_day=50_000)
    clock.go_on(minutes=6)
    assert app.deliver().accepted == 150
    assert vendor.busiest(1) == 50
    assert_complete(app, campaign, vendor)


def test_the_tighter_of_setting_and_allowance_counts(app: App, tmp_path: Path):
    """An account of 100 a second that is set to 20 sends 20, and the other way round."""
    for number, (setting, allowance) in enumerate([(20, 100), (100, 20)]):
        vendor = Allowing(tmp_path / f"{number}.log", size=50)
        vendor.allowed = Allowance(per_second=allowance, per_day=125)
        through(app, vendor, per_second=setting)
        [way] = app.routes["morning"].ways
        assert isinstance(way, EmailWay)
        app.routes["morning"] = Route(ways=(replace(way, name=f"vendor {number}"),))
        app.plan()
        assert app.deliver().accepted == 125
        assert vendor.busiest(1) == 20


def test_an_allowance_of_nothing_sends_nothing(app: App, tmp_path: Path):
    """An account that may send none a day is not called, and everything stays queued."""
    vendor = Allowing(tmp_path / "taken.log")
    vendor.allowed = Allowance(per_day=0)
    through(app, vendor)
    campaign = planned(app)
    assert app.deliver().accepted == 0
    assert (vendor.calls, app.balance(campaign.id).queued) == ([], 250)


def test_a_new_domain_is_warmed_up_by_all_its_providers_together(app: App, tmp_path: Path, clock: Clock):
    """Of 250 readers a domain's first day takes 200, whichever provider carries them (listmonk #123)."""
    first, second = Vendor(tmp_path / "first.log"), Vendor(tmp_path / "second.log")
    way = EmailWay(
        name="first", provider=first, sender=SENDER, domain="news.example", warmed_since=clock().date()
    )
    first.said = [TryLater("429", after=3600)]  # so that the second takes over, its call counted
    app.routes["morning"] = Route(ways=(way, replace(way, name="second", provider=second)))
    planned(app)
    app.deliver()
    assert (first.sent, second.sent) == (100, 100)
    clock.go_on(hours=2)
    app.deliver()
    assert first.sent + second.sent == 200
    clock.go_on(days=1)
    app.deliver()
    assert len(first.taken()) + len(second.taken()) == 250
