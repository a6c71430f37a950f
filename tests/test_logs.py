"""What the program says while it runs: every decision, and nothing that nobody is to read."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from distributor.app import App
from distributor.config import load
from distributor.logs import Log, logging_to, tell
from subscribers.tokens import Place
from tests.web.reports import bounced, endpoint, followed_up, report
from tests.workspace import Clock, mails, subscribe, workspace, write_article

SECRETS = {
    "TOKEN": "123456:AAF-very/secret+token",
    "MAIL_KEY": "re_a-key-of-a-provider",
    "DISTRIBUTOR_SECRET": "a secret that signs links",
}
CONFIG = """
[providers.gone]
type = "resend"
key = "${MAIL_KEY}"
base_url = "http://127.0.0.1:9"

[channels.chat]
network = "telegram"
account = "@news"
key = "${TOKEN}"
media = "none"
base_url = "http://127.0.0.1:9"

[log]
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def heard(app: App, out: io.StringIO | None = None) -> Iterator[io.StringIO]:
    stream = out or io.StringIO()
    with logging_to(stream, app.config):
        yield stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    clock = Clock()
    path = workspace(tmp_path, config=CONFIG)
    opened = App(load(path, SECRETS), clock=clock, sleep=clock.sleep)
    opened.open()
    yield opened
    opened.close()


def whole_job(app: App, folder: Path) -> None:
    """From a scan to a mail that is accepted, one to a provider that is away, and a post that is, too."""
    clock = app.clock
    assert isinstance(clock, Clock)
    app.look()
    subscribe(app, "ada@example.org", "lin@example.org")
    write_article(folder, "ferry", title="Write to ada@example.org", published_at=clock())
    clock.go_on(hours=2)
    app.run_once()


def test_each_decision_is_a_line_with_its_reason(app: App, tmp_path: Path):
    """Published, planned, claimed, accepted; and what is put off says why."""
    with heard(app) as out:
        whole_job(app, tmp_path)
    said = lines(out)
    assert [one["article"] for one in said if one["event"] == "published"] == ["https://news.example/ferry/"]
    planned = {one["channel"]: one for one in said if one["event"] == "planned"}
    assert planned["morning"]["recipients"] == 2
    assert {one["event"] for one in said if one.get("channel") == "morning"} == {
        "planned",
        "claimed",
        "accepted",
    }
    [put_off, *_] = [one for one in said if one["event"] == "put off"]
    assert (put_off["provider"], put_off["level"]) == ("telegram @news", "warning")
    assert "no connection" in put_off["reason"]
    assert len(mails(tmp_path)) == 2


@pytest.mark.parametrize("shape", ["json", "plain"])
def test_no_address_and_no_secret_stands_in_the_log_of_a_whole_job(app: App, tmp_path: Path, shape: str):
    """Neither of ours nor of what libraries say, in fields, sentences or tracebacks."""
    settings = app.config.log.model_copy(update={"format": shape, "level": "debug"})
    app.config = app.config.model_copy(update={"log": settings})
    with heard(app) as out:
        whole_job(app, tmp_path)
        tell(f"the key {SECRETS['MAIL_KEY']} of Ada <ada@example.org>")
        logging.getLogger("some.library").warning("GET /bot%s/send", "123456%3AAAF-very%2Fsecret%2Btoken")
        try:
            raise ValueError(f"no such thing: lin@example.org {SECRETS['DISTRIBUTOR_SECRET']}")
        except ValueError:
            logging.getLogger("some.library").exception("it failed for %s", "lin@example.org")
    said = out.getvalue()
    assert "Traceback" in said
    assert "<address>" in said
    for hidden in ("ada@example", "lin@example", *SECRETS.values(), "very%2Fsecret"):
        assert hidden not in said


def test_the_web_endpoint_logs_neither_tokens_nor_addresses(tmp_path: Path):
    """Readers' links open their subscriptions, and what providers report names them."""
    with endpoint(tmp_path, Clock(), "sqlite:///var/distributor.db") as (app, client):
        settings = app.config.log.model_copy(update={"level": "debug"})
        app.config = app.config.model_copy(update={"log": settings})
        subscribe(app, "ada@example.org")
        token = app.tokens.make(Place(subscriber=app.subscriber("ada@example.org").id, list=1))
        with heard(app) as out:
            assert client.get(f"/unsubscribe/{token}").status_code == 200
            report(client, bounced("1-1-other", "ada@example.org", app.clock()))
            report(client, bounced("1-1-other", "ada@example.org", app.clock()), password="new-passw0rd")
            followed_up(app)
            logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    said = out.getvalue()
    assert "Invalid HTTP request received." in said
    for hidden in (token, token[:12], "ada@example", "new-password"):
        assert hidden not in said


def test_addresses_stand_there_when_they_are_asked_for(app: App):
    """`addresses = true` shows readers', and the publisher's own are never hidden."""
    with heard(app) as out:
        tell("news@news.example wrote to ada@example.org")
    assert lines(out)[0]["event"] == "news@news.example wrote to <address>"
    settings = app.config.log.model_copy(update={"addresses": True})
    app.config = app.config.model_copy(update={"log": settings})
    with heard(app) as out:
        tell("to ada@example.org")
    assert lines(out)[0]["event"] == "to ada@example.org"


def test_a_terminal_gets_words_and_a_program_gets_json(app: App):
    """`format = "auto"` looks at who reads; control characters and line breaks forge nothing."""
    with heard(app, Terminal()) as out:
        Log("distributor.test").warning("put off", reason="503\x1b[2J\nforged: yes", campaign=12)
    assert out.getvalue().endswith(
        ' warning: put off  reason="503\N{REPLACEMENT CHARACTER}[2J forged: yes" campaign=12\n'
    )
    with heard(app) as out:
        Log("distributor.test").info("posted", title="half a \ud83d")
    [one] = lines(out)
    assert list(one)[:3] == ["at", "level", "event"]
    assert (one["event"], one["title"]) == ("posted", "half a ?")


def test_the_level_is_that_of_the_settings_and_nothing_stays_after_it(app: App):
    """Below it nothing is said; libraries are heard from warnings on; afterwards all is as it was."""
    before = logging.getLogger("distributor").level, list(logging.getLogger().handlers)
    with heard(app) as out:
        Log("distributor.test").debug("too much")
        logging.getLogger("apscheduler").info("Added job")
        Log("distributor.test").info("enough", nothing=None)
    [one] = lines(out)
    assert (one["event"], "nothing" in one) == ("enough", False)
    assert (logging.getLogger("distributor").level, list(logging.getLogger().handlers)) == before
