"""Hooks are told what becomes of readers and campaigns: signed, at least once, and each for itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import orjson
import pytest
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from distributor.app import App
from distributor.config import load
from distributor.errors import ConfigError
from distributor.reception import Wish
from distributor.store.schema import news, outgoing
from subscribers import store as audience
from subscribers.model import Entry, Evidence
from subscribers.schema import consent
from tests.receiver import OTHER, SECRET, Receiver, hook, receiver
from tests.workspace import Clock, mails, opened, subscribe, workspace, write_article

ADA = "ada@example.org"


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC).replace(microsecond=0))  # the library verifies by the real time


@pytest.fixture
def crm() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@contextmanager
def telling(folder: Path, database: str, clock: Clock, config: str) -> Iterator[App]:
    with opened(workspace(folder, database=database, config=config), clock) as app:
        app.scan()
        yield app


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock, crm: Receiver) -> Iterator[App]:
    with telling(tmp_path, database_url, clock, hook(crm)) as found:
        yield found


def evidence(clock: Clock) -> Evidence:
    return Evidence(source="form", at=clock(), ip="192.0.2.7")


def add(app: App, address: str = ADA) -> int:
    """One reader by hand: that is news."""
    app.add_subscriber(Entry(address=address, lists=("morning",), state="confirmed"))
    return app.subscriber(address).id


def rows(app: App, *columns: str) -> list[tuple[Any, ...]]:
    with app.database.read() as db:
        query = select(*(outgoing.c[name] for name in columns)).order_by(outgoing.c.number)
        return [tuple(row) for row in db.execute(query)]


# --- what is told ---


def test_a_readers_life_is_told_without_their_address(app: App, crm: Receiver, clock: Clock):
    """Each step by its own name, with the reader's number, and no address anywhere."""
    app.reception.subscribe(Wish(address=ADA, newsletters=("morning",)), evidence(clock))
    person = app.subscriber(ADA).id
    with app.database.write() as db:
        audience.confirm(db, subscriber=person, evidence=evidence(clock), now=clock())
        audience.choose(db, subscriber=person, hour=7, evidence=evidence(clock), now=clock())
        audience.unsubscribe(
            db, subscriber=person, list_name="morning", evidence=evidence(clock), now=clock()
        )
        until = clock() + timedelta(days=1)
        audience.suppress(db, ADA, reason="soft bounces", until=until, now=clock())
    app.deliver()
    assert sorted(crm.types) == sorted(
        f"subscriber.{what}" for what in ("subscribed", "confirmed", "changed", "unsubscribed", "silenced")
    )
    assert crm.data("subscriber.confirmed") == {
        "subscriber": person,
        "newsletter": "morning",
        "what": "confirmed",
        "source": "form",
        "detail": None,
    }
    assert crm.data("subscriber.silenced")["reason"] == "soft bounces"
    app.erase_subscriber(ADA)
    app.deliver()
    assert crm.data("subscriber.erased")["subscriber"] == person
    assert "@" not in orjson.dumps(crm.told).decode()


def test_a_library_for_it_believes_what_is_told(app: App, crm: Receiver, clock: Clock):
    """Signature, id and time are those of Standard Webhooks, and the time is that of the attempt."""
    add(app)
    app.deliver()
    [(body, headers)] = crm.requests
    told = Webhook(SECRET).verify(body, headers)
    assert told["type"] == "subscriber.subscribed"
    assert told["timestamp"] == clock().strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("distributor/")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


def test_the_address_is_told_where_that_is_wanted(
    tmp_path: Path, database_url: str, clock: Clock, crm: Receiver
):
    """The one that the reader has when it is told; of who was forgotten meanwhile, none."""
    with telling(tmp_path, database_url, clock, hook(crm, addresses=True)) as app:
        add(app)
        app.deliver()
        assert crm.data("subscriber.subscribed")["email"] == ADA
        app.erase_subscriber(ADA)
        app.deliver()
        assert crm.data("subscriber.erased")["email"] is None
        assert ADA not in str(rows(app, "data"))


def test_a_campaigns_states_are_told(app: App, crm: Receiver, tmp_path: Path, clock: Clock):
    """From its planning to its end, each once."""
    subscribe(app, ADA)
    write_article(tmp_path, "news", published_at=clock())
    clock.go_on(days=1)
    app.scan()
    [campaign] = app.plan()
    app.pause(campaign.id)
    app.resume(campaign.id)
    app.deliver()
    states = ["scheduled", "paused", "sending", "done"]
    assert sorted(crm.types) == sorted(f"campaign.{state}" for state in states)
    told = crm.data("campaign.done")
    assert (told["campaign"], told["channel"], told["kind"]) == (campaign.id, "morning", "newsletter")
    app.deliver()
    assert len(crm.types) == 4


def test_a_campaign_that_waits_for_a_person_says_so(
    tmp_path: Path, database_url: str, clock: Clock, crm: Receiver
):
    """Approval can be asked for by a program, and a campaign that is cancelled is told of too."""
    newsletter = 'approval = "required"\n'
    path = workspace(tmp_path, database=database_url, newsletter=newsletter, config=hook(crm))
    with opened(path, clock) as app:
        app.scan()
        subscribe(app, ADA)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(days=1)
        [campaign] = app.run_once().planned
        assert crm.types == ["campaign.awaiting_approval"]
        app.cancel(campaign.id, reason="not today")
        app.deliver()
        assert crm.types == ["campaign.awaiting_approval", "campaign.cancelled"]
        assert crm.data("campaign.cancelled")["reason"] == "not today"


def test_a_million_rows_are_no_news(app: App, crm: Receiver, tmp_path: Path, clock: Clock):
    """Who is imported is not told of, nor a mail to each reader, nor a question that is mailed."""
    subscribe(app, *(f"reader{number}@example.org" for number in range(20)))
    app.deliver()
    assert (crm.told, rows(app, "id")) == ([], [])
    app.reception.subscribe(Wish(address=ADA, newsletters=("morning",)), evidence(clock))
    app.deliver()
    assert len(mails(tmp_path)) == 1
    assert crm.types == ["subscriber.subscribed"]
    assert crm.data("subscriber.subscribed")["what"] == "asked"


def test_what_did_not_happen_is_not_told(app: App, crm: Receiver, clock: Clock):
    """The news are in the transaction of the thing itself: undone with it."""
    person = add(app)
    app.deliver()

    def leave() -> None:
        with app.database.write() as db:
            audience.unsubscribe(db, subscriber=person, evidence=evidence(clock), now=clock())
            raise InterruptedError

    with pytest.raises(InterruptedError):
        leave()
    app.deliver()
    assert crm.types == ["subscriber.subscribed"]


def test_a_hook_is_told_what_it_wants(tmp_path: Path, database_url: str, clock: Clock, crm: Receiver):
    """Of two hooks each has its own events, and what both want has one id."""
    with receiver(OTHER) as other:
        config = hook(crm, events=["subscriber.erased", "campaign.*"]) + hook(other, "other", secret=OTHER)
        with telling(tmp_path, database_url, clock, config) as app:
            add(app)
            app.erase_subscriber(ADA)
            app.deliver()
        assert crm.types == ["subscriber.erased"]
        assert other.types == ["subscriber.erased"]  # what came before it is forgotten with its reader
        assert crm.ids == other.ids


def test_who_comes_later_is_not_told_of_the_past(tmp_path: Path, clock: Clock, crm: Receiver):
    """What happened before a hook was configured is passed on to nobody, and does not wait."""
    database = f"sqlite:///{tmp_path}/distributor.db"
    with telling(tmp_path, database, clock, "") as app:
        add(app)
        app.deliver()
        with app.database.read() as db:
            assert db.scalars(select(consent.c.id).where(consent.c.untold.is_not(None))).all() == []
            assert db.scalars(select(news.c.number)).all() == []
        path = app.config.path
        path.write_text(path.read_text() + hook(crm))
    with opened(path, clock) as app:
        app.deliver()
    assert crm.told == []


# --- at least once ---


def test_what_is_not_taken_is_told_again_with_its_id(app: App, crm: Receiver, clock: Clock):
    """Later each time, and signed anew; the receiver knows it by its id."""
    add(app)
    crm.answer = lambda told: (500, {})
    waits = []
    for _ in range(3):
        app.deliver()
        [(due_at, reason)] = rows(app, "due_at", "reason")
        assert reason == "it answered 500"
        waits.append((due_at - clock()).total_seconds() / 60)
        app.deliver()  # not before
        clock.go_on(minutes=waits[-1])
    assert waits == [1, 2, 4]
    assert len(crm.ids) == 3
    crm.answer = lambda told: (200, {})
    app.deliver()
    app.deliver()
    assert crm.types == ["subscriber.subscribed"]
    assert len(set(crm.ids)) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_is_asked_for_is_kept(app: App, crm: Receiver, clock: Clock, status: int):
    """Retry-After goes before our own doubling, for all that the hook is to be told."""
    add(app)
    crm.answer = lambda told: (status, {"retry-after": "240"})
    app.deliver()
    add(app, "ben@example.org")
    clock.go_on(seconds=200)
    app.deliver()
    assert len(crm.ids) == 1
    crm.answer = lambda told: (204, {})
    clock.go_on(seconds=41)
    app.deliver()
    assert crm.types == ["subscriber.subscribed"] * 2


def test_after_days_it_is_given_up_and_a_person_is_told(app: App, crm: Receiver, clock: Clock):
    """What waited as long is given up too; it is kept, and can be told after all."""
    crm.answer = lambda told: (404, {})
    for number in range(3):
        add(app, f"reader{number}@example.org")
    started = clock()
    app.deliver()
    while clock() - started < timedelta(days=4) and ("waiting",) in rows(app, "state"):
        clock.go_on(minutes=90)
        app.deliver()
    assert timedelta(days=3) <= clock() - started < timedelta(days=3, hours=8)
    assert {row[0] for row in rows(app, "state")} == {"given up"}
    *early, alert = app.alerts()
    assert len(early) in (3, 4)  # one a day
    assert all("not taken for an hour (it answered 404)" in one.text for one in early)
    assert "hooks.crm: some of what it was to be told is given up (it answered 404)" in alert.text
    crm.answer = lambda told: (204, {})
    assert app.retry_hook("crm") == 3
    clock.go_on(hours=1)
    app.deliver()
    assert len(crm.told) == 3


def test_who_is_gone_is_told_no_more_of_it(app: App, crm: Receiver, clock: Clock):
    """410 Gone is final (Standard Webhooks), and a person learns of it."""
    add(app)
    crm.answer = lambda told: (410, {})
    app.deliver()
    assert rows(app, "state") == [("given up",)]
    assert len(app.alerts()) == 1


def test_a_redirection_is_not_followed(app: App, crm: Receiver):
    """What is signed for one address is no other's."""
    add(app)
    with receiver() as elsewhere:
        crm.answer = lambda told: (307, {"location": elsewhere.url})
        app.deliver()
        assert elsewhere.ids == []
    assert rows(app, "state", "reason") == [("waiting", "it answered 307")]


def test_killed_before_it_is_noted_it_is_told_again(
    tmp_path: Path, database_url: str, clock: Clock, crm: Receiver
):
    """Nobody knows whether it was taken, so it is told once more under its id: by then its lease is over."""
    config = hook(crm)
    with telling(tmp_path, database_url, clock, config) as app:
        add(app)
        program = f"from tests.delivery.test_teller import deliver; deliver({str(app.config.path)!r})"
        teller = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])

        def kill(told: dict[str, Any]) -> tuple[int, dict[str, str]]:
            os.kill(teller.pid, signal.SIGKILL)
            teller.wait()
            return 204, {}

        crm.answer = kill
        assert teller.wait(timeout=60) == -signal.SIGKILL
        crm.answer = lambda told: (204, {})
        clock.go_on(seconds=50)
        app.deliver()
        assert len(crm.ids) == 1
        clock.go_on(seconds=70)
        app.deliver()
        assert len(crm.ids) == 2
        assert len(set(crm.ids)) == 1
        assert rows(app, "state", "attempt") == [("told", 2)]


def deliver(path: str) -> None:
    """For a process that is killed."""
    App(load(Path(path), {})).deliver()


def test_several_workers_tell_once(app: App, crm: Receiver, clock: Clock):
    """What one has claimed no other tells; what one passes on no other does."""
    for number in range(30):
        add(app, f"reader{number}@example.org")
    others = [App(app.config, clock=clock) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.deliver(), [app, *others]))
    for other in others:
        other.close()
    assert len(crm.ids) == len(set(crm.ids)) == 30
    assert {row[0] for row in rows(app, "state")} == {"told"}


# --- each for itself ---


def test_a_dead_hook_keeps_no_other_waiting(tmp_path: Path, database_url: str, clock: Clock, crm: Receiver):
    """Nobody listens at one of them: the other has everything, and soon the dead one is left alone."""
    config = hook("http://127.0.0.1:9/", "dead") + hook(crm)
    with telling(tmp_path, database_url, clock, config) as app:
        for number in range(8):
            add(app, f"reader{number}@example.org")
        app.deliver()
        assert len(crm.told) == 8
        for _ in range(30):
            clock.go_on(seconds=1)
            app.deliver()
        attempts = sum(row[1] for row in rows(app, "hook", "attempt") if row[0] == "dead")
        assert attempts < 12


def test_mail_does_not_wait_for_a_hook_that_hangs(
    tmp_path: Path, database_url: str, clock: Clock, crm: Receiver
):
    """While the daemon's worker waits for a hook's answer, an edition goes out."""
    hangs, is_called, is_mailed = Event(), Event(), Event()

    def answer(told: dict[str, Any]) -> tuple[int, dict[str, str]]:
        is_called.set()
        hangs.wait(60)
        return 204, {}

    crm.answer = answer
    with telling(tmp_path, database_url, clock, hook(crm, events=["subscriber.*"])) as app:
        worker = app.worker(progress=lambda recipients: is_mailed.set())
        run = Thread(target=lambda: app.deliver(worker=worker, until_stopped=True))
        try:
            add(app)
            write_article(tmp_path, "news", published_at=clock())
            run.start()
            assert is_called.wait(60)
            clock.go_on(days=1)
            app.look()
            assert is_mailed.wait(60)
            assert crm.told == []
        finally:
            hangs.set()
            worker.stop()
            run.join()
        assert len(mails(tmp_path)) == 1
        assert crm.types == ["subscriber.subscribed"]


# --- where to, and who believes it ---


@pytest.mark.parametrize(
    "url", ["https://10.0.0.7/told", "https://[::ffff:192.168.0.1]/", "https://169.254.169.254/"]
)
def test_a_private_address_is_told_nothing(tmp_path: Path, clock: Clock, url: str):
    """Unless the publisher says that the hook is meant to be there."""
    database = f"sqlite:///{tmp_path}/distributor.db"
    with telling(tmp_path, database, clock, hook(url)) as app:
        add(app)
        app.deliver()
        assert rows(app, "state", "reason") == [("waiting", "it is at a private address")]


def test_while_keys_are_exchanged_either_is_enough(
    tmp_path: Path, database_url: str, clock: Clock, crm: Receiver
):
    """Two keys make two signatures, so the receiver may change when it likes."""
    with receiver(OTHER) as other:
        config = "".join(
            hook(to, name, secret=[SECRET, OTHER]) for to, name in ((crm, "one"), (other, "two"))
        )
        with telling(tmp_path, database_url, clock, config) as app:
            add(app)
            app.deliver()
        assert crm.types == other.types == ["subscriber.subscribed"]


@pytest.mark.parametrize(
    "wrong",
    [
        hook("http://crm.example/told"),
        hook("https:///told"),
        hook("ftp://127.0.0.1/"),
        hook("https://crm.example:port/"),
        hook("https://crm.example/a b"),
        hook("https://crm.example/", secret="too short"),
        hook("https://crm.example/", secret=[]),
        hook("https://crm.example/", secret=[SECRET, OTHER, SECRET]),
        hook("https://crm.example/", events=[]),
        hook("https://crm.example/", events=["subscriber.devoured"]),
    ],
)
def test_a_hook_that_cannot_be_is_said_so(tmp_path: Path, wrong: str):
    """With the line of its table, before anything runs."""
    path = workspace(tmp_path, config=wrong)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.problems[0].line
    assert "hooks.crm" in str(caught.value)
    assert "too short" not in str(caught.value)
