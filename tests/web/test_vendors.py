"""Every vendor's reports, posted to the endpoint as the vendor posts them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import rtoml
from pydantic import SecretStr
from sqlalchemy import select

from distributor.app import App
from distributor.errors import Unclear
from distributor.model import EventType
from distributor.providers.protocol import Hook
from distributor.store.schema import event
from distributor.vendors import VENDORS
from distributor.web import hooks
from tests.far_end import Recorder, through
from tests.providers.hooks import KEY, NAMES, NEW, OLD, OTHER, READER, Reported, described
from tests.simulator.control import simulator
from tests.web.reports import endpoint, followed_up
from tests.workspace import Clock, subscribe, write_article

READERS = tuple(f"someone{n}@example.org" for n in range(4))
HEADERS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense")


class AtVendor:
    """A vendor whose webhook is the endpoint's, with its own way to prove itself."""

    def __init__(self, vendor: Reported, app: App, client: httpx.Client, clock: Clock) -> None:
        self.vendor, self.app = vendor, app
        self.clock = clock
        self._client = client

    def post(self, *told: Any, secret: str = NEW, **headers: str) -> httpx.Response:
        return self.send(self.vendor.hook(*told, secret=secret, at=self.clock()), **headers)

    def send(self, hook: Hook, **headers: str) -> httpx.Response:
        name = {key.replace("_", "-"): value for key, value in headers.items()}
        return self._client.post("/webhooks/email/daily", content=hook.body, headers={**hook.headers, **name})

    def example(self, *types: EventType, **says: Any) -> Any:
        """What it tells in an event of one of these types that carries our key; None: it tells none."""
        for one in self.vendor.examples:
            wanted = one.says["type"] in types and says.items() <= one.says.items()
            if wanted and KEY in json.dumps(one.told):
                return one.told
        return None

    def kept(self) -> list[str]:
        with self.app.database.read() as db:
            return list(db.scalars(select(event.c.type).order_by(event.c.number)))


@pytest.fixture(params=NAMES)
def vendor(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AtVendor]:
    """An endpoint that knows the vendor as "daily"; test_hooks.py has both databases.

    Where the vendor has to be asked, as SNS for its certificate, a stand-in answers.
    """
    described_as, clock = described(request.param), Clock()
    if described_as.make is not None:
        monkeypatch.setattr(hooks, "webhook", lambda settings: described_as.webhook())
    url = f"sqlite:///{tmp_path}/distributor.db"
    with endpoint(tmp_path, clock, url, config=table(described_as)) as (app, client):
        yield AtVendor(described_as, app, client, clock)


def table(vendor: Reported, **more: str) -> str:
    """The vendor's settings, as somebody writes them."""
    own = vendor.settings
    settings = {name: plain(getattr(own, name)) for name in VENDORS[own.type].needs} | more
    webhook = {name: plain(value) for name, value in vars(own.webhook).items() if value}
    return rtoml.dumps({"providers": {"daily": {"type": own.type, **settings, "webhook": webhook}}})


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def about(told: Any, key: str, address: str) -> Any:
    """The same report of another delivery and reader."""
    return json.loads(json.dumps(told).replace(KEY, key).replace(READER, address))


def test_a_kind_that_nobody_knows_is_kept_once(vendor: AtVendor):
    """What a vendor thought of since is no error: it is answered 200, however often it comes."""
    for secret in (NEW, OLD, NEW):
        assert vendor.post(vendor.vendor.unknown, secret=secret).status_code == 200
    assert vendor.kept() == [EventType.UNKNOWN]


def test_a_stranger_is_refused(vendor: AtVendor):
    """Under another secret, or without one, nothing is kept."""
    told = vendor.vendor.examples[0].told
    assert vendor.post(told, secret=OTHER).status_code == 401
    assert vendor.send(vendor.vendor.seal.put(vendor.vendor.hook(told), None)).status_code == 401
    assert vendor.kept() == []


def test_what_a_request_calls_itself_does_not_matter(vendor: AtVendor):
    """A report is read for what it is: SNS calls JSON text, and others may call it anything."""
    for place, kind in enumerate(HEADERS):
        told = vendor.vendor.examples[place].told
        assert vendor.post(told, content_type=kind).status_code == 200
    assert len(vendor.kept()) == len(HEADERS)


def test_what_is_no_json_or_too_much_is_the_senders_fault(vendor: AtVendor):
    """Forms, text, nothing, and more than the endpoint takes: a 4xx with a plain sentence."""
    signed = vendor.vendor.signed
    for body in (b"", b"a=b&c=d", b"--x\r\n\r\n{}\r\n--x--", b"\xff\xfe{\x00}\x00", b"[" * 100_000):
        answer = vendor.send(signed(body, NEW, vendor.clock()))
        assert 400 <= answer.status_code < 500, body[:20]
        assert answer.text.startswith("This ")
    assert vendor.send(signed(b" " * 5_000_001, NEW, vendor.clock())).status_code == 413
    assert vendor.kept() == []


def test_nothing_is_lost_while_the_database_is_away(vendor: AtVendor, tmp_path: Path):
    """It is answered 503 and a time to come again; the same request, sent again, is kept."""
    place, hook = tmp_path / "distributor.db", vendor.vendor.hook(vendor.vendor.unknown, at=vendor.clock())
    vendor.app.database.engine.dispose()
    place.rename(tmp_path / "away")
    place.mkdir()
    answer = vendor.send(hook)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    place.rmdir()
    (tmp_path / "away").rename(place)
    assert vendor.send(hook).status_code == 200
    assert vendor.kept() == [EventType.UNKNOWN]


def test_what_it_reports_settles_what_is_unclear(vendor: AtVendor, tmp_path: Path):
    """After a silent call of four, each is settled by its own report: it arrived, bounced, or was refused.

    No message's id is known then: the key that the message carried is all there is.
    """
    app = vendor.app
    subscribe(app, *READERS)
    write_article(tmp_path, "news", published_at=app.clock())
    vendor.clock.go_on(hours=1)
    app.scan()
    [campaign] = app.plan()
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=10, answer=silent))
    app.deliver()
    assert app.balance(campaign.id).unclear == 4

    ids = {person.address: person.id for person in app.everybody()}
    reports: Mapping[str, Any] = {
        READERS[0]: vendor.example(EventType.DELIVERED),
        READERS[1]: vendor.example(EventType.BOUNCED, bounce_class="hard"),
        READERS[2]: vendor.example(EventType.REJECTED, EventType.FAILED, bounce_class=None),
    }
    assert None not in (reports[READERS[0]], reports[READERS[1]])
    told = [
        about(one, f"{campaign.id}-{ids[address]}-{app.mark}", address)
        for address, one in reports.items()
        if one is not None
    ]
    for batch in [told] if vendor.vendor.in_lists else [[one] for one in told]:
        assert vendor.post(*batch).status_code == 200
    followed_up(app)
    found = app.balance(campaign.id)
    refused = 0 if reports[READERS[2]] is None else 1
    assert (found.accepted, found.refused, found.unclear, found.gap) == (2, refused, 2 - refused, 0)
    assert [address for address in READERS if app.subscriber(address).suppressed] == [READERS[1]]


def silent(_batch: Any, _emails: Any) -> Any:
    raise Unclear("silence")


EVENING = """
[newsletters.evening]
title = "The Evening"
from = "The Evening <news@news.example>"
providers = ["daily"]
schedule = "0 7 * * *"
"""


@pytest.mark.parametrize(("name", "id_"), [("ses EVENT_BRIDGE", "id"), ("sendgrid", "sg_event_id")])
def test_a_call_that_nobody_answered_is_settled_all_the_way(tmp_path: Path, name: str, id_: str):
    """The mails went out and the answer was lost; the vendor tells nothing of a call but by its reports.

    What it accepted it reports by the keys that the mails carried: nobody is sent a second one.
    """
    described_as, clock = described(name), Clock()
    with simulator(tmp_path / "accepted.tsv") as far_end:
        far_end.faults([{"effect": "reset_after", "count": 1}])
        config = table(described_as, base_url=far_end.url(described_as.settings.type)) + EVENING
        url = f"sqlite:///{tmp_path}/distributor.db"
        with endpoint(tmp_path, clock, url, config=config) as (app, client):
            app.import_subscribers(["email\n", *(f"{one}\n" for one in READERS)], default_lists=["evening"])
            write_article(tmp_path, "news", published_at=clock())
            clock.go_on(hours=1)
            app.run_once()
            [campaign] = [one for one in app.campaigns() if one.channel == "evening"]
            assert app.balance(campaign.id).unclear == len(READERS)

            vendor = AtVendor(described_as, app, client, clock)
            delivered = vendor.example(EventType.DELIVERED)
            for place, taken in enumerate(far_end.taken()):
                told = about(delivered, taken.key, taken.address) | {id_: f"report {place}"}
                assert vendor.post(told).status_code == 200
            followed_up(app)
            clock.go_on(days=1)
            app.run_once()
            found = app.balance(campaign.id)
            assert (found.accepted, found.unclear, found.gap) == (len(READERS), 0, 0)
            assert app.campaign(campaign.id).state == "done"
        assert sorted(one.address for one in far_end.taken()) == sorted(READERS)
