"""What providers report: who is believed, what is kept, and what follows."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import orjson
import psycopg
import pytest
from sqlalchemy import func, select

from distributor import outcomes
from distributor.app import App
from distributor.errors import TryLater, Unclear
from distributor.model import Answer, Batch, Campaign, Email, Outcome
from distributor.providers.by_type import webhook
from distributor.providers.protocol import Hook
from distributor.store import events
from distributor.store.schema import event
from tests.far_end import Recorder, through
from tests.web.reports import (
    POSTMARK,
    bounced,
    complained,
    delivered,
    endpoint,
    followed_up,
    left,
    machine,
    outcome,
    report,
)
from tests.workspace import Clock, opened, subscribe, write_article

READERS = tuple(f"reader{n}@example.org" for n in range(4))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[tuple[App, httpx.Client]]:
    """Four readers, and an article that waits for its edition."""
    with endpoint(tmp_path, clock, database_url) as (app, client):
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        yield app, client


def planned(app: App) -> Campaign:
    [campaign] = app.plan()
    return campaign


def keys(app: App, campaign: Campaign) -> dict[str, tuple[int, str]]:
    """Address -> subscriber and the key of their message."""
    people = {person.address: person.id for person in app.everybody()}
    return {address: (id_, f"{campaign.id}-{id_}-{app.mark}") for address, id_ in people.items()}


def count(app: App) -> int:
    with app.database.read() as db:
        return db.scalar(select(func.count()).select_from(event)) or 0


def test_who_is_not_known_is_refused_and_nothing_is_kept(site: tuple[App, httpx.Client], clock: Clock):
    """Without the right password a report is answered 401, and asked for one, as Amazon SNS wants it."""
    app, client = site
    told = delivered("1-1-x", READERS[0], clock())
    answer = report(client, told, password="guessed")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert client.post("/webhooks/email/postmark", json=told).status_code == 401
    assert client.post("/webhooks/email/outbox", json=told).status_code == 404
    assert client.get("/webhooks/email/postmark").status_code == 405
    assert count(app) == 0


def test_both_passwords_of_an_exchange_are_taken(site: tuple[App, httpx.Client], clock: Clock):
    """While the old password is exchanged for the new one, reports with either come in."""
    app, client = site
    for number, password in enumerate(("new-password", "old-password")):
        told = delivered(f"1-{number}-x", READERS[number], clock())
        assert report(client, told, password=password).status_code == 200
    assert count(app) == 2


def test_what_can_never_be_read_stops_the_vendor(site: tuple[App, httpx.Client]):
    """What is theirs and no event is answered so that it does not come again; what is too large, too."""
    _, client = site
    header = {"authorization": "Basic cG9zdG1hcms6bmV3LXBhc3N3b3Jk"}
    for body in (b"", b"no JSON", b"[1, 2]", b'"text"'):
        assert client.post("/webhooks/email/postmark", content=body, headers=header).status_code == 403
    large = client.post("/webhooks/email/postmark", content=b" " * 5_000_001, headers=header)
    assert large.status_code == 413


def test_a_report_is_kept_once(site: tuple[App, httpx.Client], clock: Clock):
    """Vendors send again what was answered too late; it counts once."""
    app, client = site
    told = delivered("1-1-x", READERS[0], clock())
    assert {report(client, told).status_code for _ in range(3)} == {200}
    assert count(app) == 1


def test_the_database_being_away_is_no_loss(tmp_path: Path, clock: Clock):
    """While nothing can be kept the answer is 503 with a time to come again, and then it is taken."""
    with endpoint(tmp_path, clock, f"sqlite:///{tmp_path}/distributor.db") as (app, client):
        told = delivered("1-1-x", READERS[0], clock())
        place = tmp_path / "distributor.db"
        app.database.engine.dispose()
        place.rename(tmp_path / "away")
        place.mkdir()
        answer = report(client, told)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        place.rmdir()
        (tmp_path / "away").rename(place)
        assert report(client, told).status_code == 200
        assert count(app) == 1


@pytest.mark.parametrize("make", [bounced, complained])
def test_an_address_is_silent_from_the_next_call_on(
    site: tuple[App, httpx.Client],
    clock: Clock,
    tmp_path: Path,
    make: Callable[..., dict[str, object]],
):
    """A hard bounce or a complaint in the middle of a campaign keeps the address out of its next batch.

    It counts from when its vendor is answered, whether or not anything followed from it by then.
    """
    app, client = site
    campaign = planned(app)
    told = keys(app, campaign)
    silenced = READERS[3]

    def answer(batch, emails):
        if len(recorder.calls) == 1:  # the first of two calls
            report(client, make(told[silenced][1], silenced, clock()))
        return Answer(receipt=batch.key)

    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=2, answer=answer)
    recorder.limits = replace(
        recorder.limits, in_flight=1
    )  # or the second is claimed before the report comes
    app.__dict__.pop("editions", None)
    through(app, recorder)
    app.deliver()
    assert silenced not in {address for _, address, _ in recorder.taken()}
    assert app.balance(campaign.id).skipped == 1
    followed_up(app)
    assert app.subscriber(silenced).suppressed


def test_who_hangs_up_in_the_middle_is_no_fault_of_ours(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    """Nothing is logged of a vendor, or a form, that goes away before its body is here."""
    with endpoint(tmp_path, clock, f"sqlite:///{tmp_path}/distributor.db") as (app, client):
        for path in ("/webhooks/email/postmark", "/webhooks/subscribers", "/subscribe", "/api/v1/campaigns"):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as vendor:
                vendor.sendall(f"{head}half".encode())
        assert report(client, delivered("1-1-x", READERS[0], clock())).status_code == 200
        assert count(app) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_that_is_away_is_no_loss(site: tuple[App, httpx.Client], clock: Clock, database_url: str):
    """While PostgreSQL takes nobody a vendor and a reader are told to come again, and then it is kept."""
    app, client = site
    bounce = bounced("1-1-elsewhere", READERS[0], clock())
    name, address = str(app.database.engine.url.database), database_url.replace("+psycopg", "")
    with psycopg.connect(address.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        assert report(client, bounce).status_code == 503
        assert (
            client.post("/subscribe", data={"email": "new@example.org", "list": "morning"}).status_code == 503
        )
        assert client.get("/readyz").status_code == 503
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    assert report(client, bounce).status_code == 200
    assert count(app) == 1


def test_a_reader_who_leaves_at_the_provider_leaves_that_newsletter(
    site: tuple[App, httpx.Client], clock: Clock
):
    """The vendor's own unsubscribe ends the subscription whose mail it was in, and silences nothing."""
    app, client = site
    campaign = planned(app)
    id_, key = keys(app, campaign)[READERS[1]]
    report(client, left(key, READERS[1], clock()))
    followed_up(app)
    person = app.subscriber(READERS[1])
    assert [place.state for place in person.subscriptions] == ["unsubscribed"]
    assert person.suppressed is None
    assert outcome(app, campaign.id, id_) == "unsubscribed"


def test_the_same_follows_in_any_order(site: tuple[App, httpx.Client], clock: Clock):
    """A bounce that comes before the delivery it ended is still what became of the message."""
    app, client = site
    campaign = planned(app)
    told = keys(app, campaign)
    now = clock()
    report(client, bounced(told[READERS[0]][1], READERS[0], now))
    report(client, delivered(told[READERS[0]][1], READERS[0], now))
    report(
        client, delivered(told[READERS[1]][1], READERS[1], now), machine(told[READERS[1]][1], READERS[1], now)
    )
    followed_up(app)
    assert outcome(app, campaign.id, told[READERS[0]][0]) == "bounced"
    assert outcome(app, campaign.id, told[READERS[1]][0]) == "delivered"  # a machine's opening is no reader's
    with app.database.read() as db:
        assert events.outcome_counts(db, campaign.id) == {Outcome.BOUNCED: 1, Outcome.DELIVERED: 1}


def test_an_unclear_message_is_settled_by_what_is_reported_of_it(
    site: tuple[App, httpx.Client], clock: Clock, tmp_path: Path
):
    """Nobody could say whether it was taken; then reports come for three, and the fourth stays open."""
    app, client = site
    campaign = planned(app)

    def silent(batch, emails):
        raise Unclear("silence")

    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=10, answer=silent))
    app.deliver()
    assert app.balance(campaign.id).unclear == 4
    told = keys(app, campaign)
    for address in READERS[:3]:
        report(client, delivered(told[address][1], address, clock()))
    followed_up(app)
    found = app.balance(campaign.id)
    assert (found.accepted, found.unclear, found.gap) == (3, 1, 0)
    assert app.campaign(campaign.id).state == "sending"
    report(client, delivered(told[READERS[3]][1], READERS[3], clock()))
    followed_up(app)
    found = app.balance(campaign.id)
    assert (found.accepted, found.unclear, found.gap) == (4, 0, 0)
    assert app.campaign(campaign.id).state == "done"


def test_a_report_that_comes_before_the_silence_settles_too(
    site: tuple[App, httpx.Client], clock: Clock, tmp_path: Path
):
    """The vendor reported a mail while the call that brought it was still waiting for an answer."""
    app, client = site
    campaign = planned(app)
    told = keys(app, campaign)

    def silent(batch, emails):
        for email in emails:
            report(client, delivered(told[email.address][1], email.address, clock()))
        followed_up(app)
        raise Unclear("silence")

    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=10, answer=silent))
    app.deliver()
    followed_up(app)
    found = app.balance(campaign.id)
    assert (found.accepted, found.unclear, found.gap) == (4, 0, 0)


def test_who_has_it_by_the_vendors_word_is_not_sent_it_again(
    site: tuple[App, httpx.Client], clock: Clock, tmp_path: Path
):
    """A vendor said "later" and sent two of the mails all the same; the repeat goes to the other two."""
    app, client = site
    campaign = planned(app)
    told = keys(app, campaign)

    def answer(batch, emails):
        if len(recorder.calls) > 1:
            return Answer(receipt=batch.key)
        for address in READERS[:2]:
            report(client, delivered(told[address][1], address, clock()))
        raise TryLater("busy", after=1)

    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=10, answer=answer)
    through(app, recorder)
    app.deliver()
    clock.go_on(minutes=5)
    followed_up(app)
    app.deliver()
    assert {address for _, address, _ in recorder.taken()} == set(READERS[2:])
    found = app.balance(campaign.id)
    assert (found.accepted, found.gap) == (4, 0)


def test_three_soft_bounces_of_different_editions_are_a_rest(tmp_path: Path, database_url: str, clock: Clock):
    """An address whose mails of three editions came back softly within a month rests for a month."""
    with endpoint(tmp_path, clock, database_url) as (app, client):
        subscribe(app, READERS[0])
        for number in range(3):
            assert app.subscriber(READERS[0]).suppressed is None
            write_article(tmp_path, f"news{number}", published_at=clock())
            clock.go_on(days=1)
            app.scan()
            campaign = planned(app)
            told = keys(app, campaign)
            for _ in range(2):  # of one edition it counts once
                report(client, bounced(told[READERS[0]][1], READERS[0], clock(), kind="SoftBounce"))
            followed_up(app)
        assert app.subscriber(READERS[0]).suppressed
        clock.go_on(days=31)
        assert app.subscriber(READERS[0]).suppressed is None


def test_other_installations_mails_are_none_of_ours(site: tuple[App, httpx.Client], clock: Clock):
    """An account may send for others too: their events are kept, and nobody here is silenced by them."""
    app, client = site
    campaign = planned(app)
    report(client, complained(f"{campaign.id}-1-othermark", "stranger@example.net", clock()))
    report(client, delivered("no key of ours", "stranger@example.net", clock()))
    followed_up(app)
    assert count(app) == 2
    with app.database.read() as db:
        assert events.outcome_counts(db, campaign.id) == {}


def test_an_old_address_that_bounces_says_nothing_of_the_new_one(
    site: tuple[App, httpx.Client], clock: Clock
):
    """A report names the address that it is of; its reader may have another by now."""
    app, client = site
    campaign = planned(app)
    told = keys(app, campaign)
    report(client, bounced(told[READERS[0]][1], "before@example.org", clock()))
    followed_up(app)
    assert app.subscriber(READERS[0]).suppressed is None


def test_the_site_says_that_it_was_deployed(tmp_path: Path, database_url: str, clock: Clock):
    """The deploy hook has the site looked at now, and nobody without its token."""
    secret = 'published_secret = "deployed-token"\n'
    with endpoint(tmp_path, clock, database_url, web=secret) as (app, client):
        write_article(tmp_path, "news", published_at=clock() - timedelta(minutes=1))
        assert client.post("/webhooks/published").status_code == 401
        header = {"authorization": "Bearer deployed-token"}
        assert client.post("/webhooks/published", headers=header).status_code == 202
        for _ in range(200):
            if app.articles(new=True)[0]:
                break
            client.get("/healthz")
        assert [article.title for article in app.articles(new=True)[0]] == ["news"]


@pytest.mark.parametrize("make", [bounced, complained, left])
def test_a_report_that_was_only_kept_before_a_crash_silences_all_the_same(
    tmp_path: Path, database_url: str, clock: Clock, make: Callable[..., dict[str, object]]
):
    """The vendor was answered, and the program killed before anything followed: the next call knows of it."""
    with endpoint(tmp_path, clock, database_url) as (app, _):
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        campaign = planned(app)
        told = make(keys(app, campaign)[READERS[3]][1], READERS[3], clock())
    with opened(tmp_path / "distributor.toml", clock) as app:  # nobody else follows up
        kept(app, [delivered(f"{n}-1-other", READERS[0], clock()) for n in range(600)])  # a chunk and more
        kept(app, [told])
        recorder = Recorder(tmp_path / "taken.log", recipients_per_call=2)
        through(app, recorder)
        app.deliver()
        assert READERS[3] not in {address for _, address, _ in recorder.taken()}
        assert app.balance(campaign.id).skipped == 1


def test_what_was_reported_before_a_crash_is_not_sent_again(tmp_path: Path, database_url: str, clock: Clock):
    """The vendor said "later", sent two of the mails and reported them; then the program was killed."""
    with endpoint(tmp_path, clock, database_url) as (app, _):
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        told = keys(app, planned(app))
    with opened(tmp_path / "distributor.toml", clock) as app:
        through(app, Recorder(tmp_path / "first.log", recipients_per_call=10, answer=busy))
        app.deliver()
        kept(app, [delivered(told[address][1], address, clock()) for address in READERS[:2]])
    clock.go_on(minutes=30)
    with opened(tmp_path / "distributor.toml", clock) as app:
        recorder = Recorder(tmp_path / "taken.log", recipients_per_call=10)
        through(app, recorder)
        app.deliver()
        assert {address for _, address, _ in recorder.taken()} == set(READERS[2:])
        [campaign] = app.campaigns()
        assert (app.balance(campaign.id).accepted, app.balance(campaign.id).gap) == (4, 0)


def busy(_batch: Batch, _emails: Sequence[Email]) -> Answer:
    raise TryLater("busy", after=1200)


def test_what_is_not_followed_up_yet_silences_nobody_else(tmp_path: Path, database_url: str, clock: Clock):
    """A soft bounce, a former address, another newsletter's reader, a stranger: the others get their mail."""
    with endpoint(tmp_path, clock, database_url, config=POSTMARK + EVENING) as (app, _):
        subscribe(app, *READERS)
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=1)
        app.scan()
        campaigns = {campaign.channel: campaign for campaign in app.plan()}
        told, other = keys(app, campaigns["morning"]), keys(app, campaigns["evening"])
        now = clock()
    with opened(tmp_path / "distributor.toml", clock) as app:
        reports = [
            bounced(told[READERS[0]][1], READERS[0], now, kind="SoftBounce"),
            bounced(told[READERS[1]][1], "before@example.org", now),
            left(other[READERS[2]][1], READERS[2], now),
            complained("no key of ours", "stranger@example.net", now),
        ]
        kept(app, reports)
        recorder = Recorder(tmp_path / "taken.log", recipients_per_call=2)
        through(app, recorder)
        app.deliver([campaigns["morning"].id])
        assert {address for _, address, _ in recorder.taken()} == set(READERS)


EVENING = """
[newsletters.evening]
title = "The Evening"
from = "The Evening <news@news.example>"
providers = ["outbox"]
schedule = "0 7 * * *"
"""


def kept(app: App, told: list[dict[str, object]]) -> None:
    """Write reports down as the endpoint does before it answers, and no more."""
    found = webhook(app.config.providers["postmark"])
    assert found is not None
    headers = {"authorization": f"Basic {b64encode(b'postmark:new-password').decode()}"}
    hook = Hook(body=orjson.dumps(told), headers=headers, received_at=app.clock())
    read = anyio.run(found.events, hook)
    with app.database.write() as db:
        events.keep(db, outcomes.rows_of("postmark", read, mark=app.mark, received_at=hook.received_at))
