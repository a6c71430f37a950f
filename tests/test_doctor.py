"""What the outside says of a set-up: each fault with its remedy, and an answer in any case."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import dns.resolver
import httpx
import pytest

from distributor.app import App
from distributor.config import load
from distributor.delivery.routes import EmailWay, Route
from distributor.doctor import Finding
from distributor.providers.email.resend import Resend
from tests.cli.conftest import Cli, cli, house  # noqa: F401
from tests.simulator.control import simulator
from tests.workspace import MONDAY, Clock, workspace

CONFIG = """
[providers.resend]
type = "resend"
key = "re_a-key-that-is-secret"
base_url = "{base_url}"
"""
GOOD = {
    "news.example": ["v=spf1 include:amazonses.com ~all", "google-site-verification=1"],
    "_dmarc.news.example": ["v=DMARC1; p=none"],
    "resend._domainkey.news.example": ["v=DKIM1; p=MIGf"],
}


class Outside:
    """DNS, the web and certificates, as a test wants them."""

    def __init__(self, records: Mapping[str, Sequence[str]] = GOOD, *, now: datetime = MONDAY) -> None:
        self.records = records
        self.date = now
        self.alive = "alive\n"
        self.until = now + timedelta(days=60)
        self.is_away = False

    async def texts(self, name: str) -> Sequence[str]:
        if self.is_away:
            raise dns.resolver.NoNameservers
        return self.records.get(name, [])

    async def certificate(self, host: str, port: int) -> datetime:
        if self.is_away:
            raise OSError("no route to host")
        return self.until

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("no route to host")
        headers = {"date": format_datetime(self.date, usegmt=True)}
        return httpx.Response(200, headers=headers, text=self.alive)


def asked(folder: Path, outside: Outside, *, base_url: str = "http://127.0.0.1:9") -> dict[str, Finding]:
    """The findings by what they are about."""
    path = workspace(folder, config=CONFIG.format(base_url=base_url))
    text = path.read_text().replace('["outbox"]', '["resend"]\npictures = "link"')
    path.write_text(text.replace("[web]\n", '[web]\nlisten = "127.0.0.1:0"\n'))
    app = App(load(path, {}), clock=Clock())
    app.open()
    try:
        found = app.doctor(
            texts=outside.texts,
            transport=httpx.MockTransport(outside.answer),
            certificate=outside.certificate,
        )
    finally:
        app.close()
    return {one.about: one for one in found}


def test_a_set_up_in_which_nothing_is_wrong(tmp_path: Path):
    """Each question is answered, and each answer is good, but for what only a sent mail can show."""
    with simulator(tmp_path / "accepted.tsv") as vendor:
        found = asked(tmp_path / "site", Outside(), base_url=vendor.url("resend"))
    states = {about: one.state for about, one in found.items() if about != "provider resend"}
    assert set(states) == {
        "SPF of news.example",
        "DMARC of news.example",
        "DKIM of news.example for resend",
        "public_url",
        "certificate",
        "clock",
    }
    assert set(states.values()) == {"ok"}


@pytest.mark.parametrize(
    ("records", "about", "state", "says"),
    [
        ({"news.example": ["v=spf1 -all", "v=spf1 ~all"]}, "SPF of news.example", "wrong", "2 records"),
        ({}, "SPF of news.example", "warning", "none"),
        ({}, "DMARC of news.example", "wrong", "none"),
        ({"_dmarc.news.example": ["v=DMARC1;p=reject"]}, "DMARC of news.example", "ok", "reject"),
        ({}, "DKIM of news.example for resend", "warning", "resend"),
    ],
)
def test_what_dns_lacks_is_told_with_its_remedy(
    tmp_path: Path, records: dict[str, list[str]], about: str, state: str, says: str
):
    """Two SPF records count as none; without DMARC large mail services refuse."""
    found = asked(tmp_path, Outside(records))[about]
    assert (found.state, says in found.told) == (state, True)
    assert found.remedy or state == "ok"


def test_a_wrong_clock_an_old_certificate_and_a_stranger_at_our_address(tmp_path: Path):
    """Each is told by itself."""
    outside = Outside(now=MONDAY + timedelta(minutes=10))
    outside.until = MONDAY + timedelta(days=3)
    outside.alive = "<h1>Welcome to nginx</h1>"
    found = asked(tmp_path, outside)
    assert (found["clock"].state, "600 s" in found["clock"].told) == ("wrong", True)
    assert (found["certificate"].state, "2026-06-04" in found["certificate"].told) == ("warning", True)
    assert found["public_url"].state == "wrong"


def test_a_key_that_opens_nothing_is_told_without_it(tmp_path: Path):
    """Whatever the far end repeats of it."""

    class Refusing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(401, text=f"no such key: {request.headers['authorization']}")

    path = workspace(tmp_path, config=CONFIG.format(base_url="http://127.0.0.1:9"))
    path.write_text(path.read_text().replace('["outbox"]', '["resend"]\npictures = "link"'))
    app = App(load(path, {}), clock=Clock())
    app.open()
    [way] = app.routes["morning"].ways
    assert isinstance(way, EmailWay)
    assert isinstance(way.provider, Resend)
    refused = replace(way, provider=replace(way.provider, transport=Refusing()))
    app.routes["morning"] = Route(ways=(refused,))
    found = {one.about: one for one in app.doctor(texts=Outside().texts, certificate=Outside().certificate)}
    app.close()
    assert (found["provider resend"].state, found["provider resend"].remedy is not None) == ("wrong", True)
    assert "no such key: Bearer …" in found["provider resend"].told


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_an_address_that_apprise_does_not_understand_is_told_by_its_place(tmp_path: Path):
    """It may hold a password, so it is not shown."""
    path = workspace(tmp_path, config='[alerts]\nto = ["json://127.0.0.1:9", "nonsense-with-a-password"]\n')
    path.write_text(path.read_text().replace("https://mail.news.example", "http://127.0.0.1:9"))
    app = App(load(path, {}), clock=Clock())
    app.open()
    found = app.doctor(transport=httpx.MockTransport(Outside().answer), texts=Outside().texts)
    app.close()
    [alerts] = [one for one in found if one.about == "alerts"]
    assert (alerts.state, alerts.told) == ("wrong", "no. 2 of to is not understood")


def test_without_a_network_everything_is_said_in_words(tmp_path: Path):
    """No traceback, and no waiting for ever."""
    outside = Outside()
    outside.is_away = True
    found = asked(tmp_path, outside)
    assert {one.state for one in found.values()} == {"wrong"}
    assert all(one.remedy for one in found.values())
    assert found["SPF of news.example"].told.startswith("DNS does not answer")
    assert found["public_url"].told == "not reached: no route to host"
    assert found["provider resend"].told.startswith("no connection")


def test_the_command_says_it_as_json_and_by_its_code(cli: Cli, house: Path):  # noqa: F811
    """Where only folders are written to there is nothing to ask but the site, which is not there."""
    path = house / "distributor.toml"
    site = 'content = "content"\nbase_url = "http://127.0.0.1:9"'
    path.write_text(
        path.read_text().replace('content = "content"', site).replace("https://mail", "http://mail")
    )
    said = cli("doctor", "--json")
    [clock] = [one for one in json.loads(said.out)["findings"] if one["about"] == "clock"]
    assert (clock["state"], said.code) == ("wrong", 1)
    assert "not reached" in clock["told"]
    assert "wrong   clock: not reached" in cli("doctor").out
