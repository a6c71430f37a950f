"""Articles are announced once the public site shows them."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from distributor.app import App
from distributor.config import load
from distributor.logs import logging_to
from distributor.measures import Measures
from distributor.model import ArticleState
from tests.workspace import Clock, subscribe, titles_by_reader, workspace, write_article

PAGE = "https://news.example/news/"
BANNER = "https://pictures.example/news.png"


class Site:
    """The public site: answers as it is told, and counts what it is asked."""

    def __init__(self) -> None:
        self.shown: dict[str, int] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.is_down = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked[request.method, str(request.url)] += 1
        if self.is_down:
            raise httpx.ConnectError("refused")
        return httpx.Response(self.shown.get(str(request.url), 404))

    @property
    def total(self) -> int:
        return sum(self.asked.values())


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def gated(folder: Path, settings: str = 'gate = "all"', **named: str) -> Path:
    config = workspace(folder, **named)
    config.write_text(config.read_text().replace('content = "content"', f'content = "content"\n{settings}'))
    return config


def begun(config: Path, clock: Clock, site: Site) -> App:
    http = httpx.Client(transport=httpx.MockTransport(site))
    app = App(load(config, {}), clock=clock, sleep=clock.sleep, http=http)
    app.open()
    app.scan()
    return app


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock, site: Site) -> Iterator[App]:
    with closing(begun(gated(tmp_path, database=database_url), clock, site)) as app:
        yield app


def published(app: App) -> list[str]:
    return app.scan().registered.published


def test_an_article_waits_for_its_page_and_its_banner(app: App, tmp_path: Path, clock: Clock, site: Site):
    """It is numbered, and so announced, when both answer; until then it says what is missing."""
    write_article(tmp_path, "news", enclosure=BANNER)
    assert published(app) == []
    [article] = app.articles()[0]
    assert article.state is ArticleState.HELD
    assert "its page answered 404 (asked 1 times" in (article.reason or "")
    site.shown[PAGE] = 200
    clock.go_on(seconds=10)
    assert published(app) == []
    assert "its banner answered 404" in (app.articles()[0][0].reason or "")
    site.shown[BANNER] = 200
    clock.go_on(seconds=20)
    assert published(app) == [PAGE]
    assert site.asked == {("HEAD", PAGE): 2, ("HEAD", BANNER): 2}  # the page, once there, is not asked for
    assert app.articles()[0][0].state is ArticleState.PUBLIC


def test_what_waits_is_passed_by_by_nobody(app: App, tmp_path: Path, clock: Clock, site: Site):
    """While it waits an edition goes out without it; the next one has it, whatever its date."""
    subscribe(app, "ada@example.org")
    write_article(tmp_path, "news", title="Waits")
    write_article(tmp_path, "quick", title="Quick")
    site.shown["https://news.example/quick/"] = 200
    clock.go_on(hours=1)
    app.run_once()
    assert titles_by_reader(tmp_path, ["Waits", "Quick"]) == {"ada@example.org": ["Quick"]}
    site.shown[PAGE] = 200
    clock.go_on(days=1)
    app.run_once()
    assert titles_by_reader(tmp_path, ["Waits", "Quick"]) == {"ada@example.org": ["Quick", "Waits"]}


def test_the_site_is_asked_seldom_however_often_one_looks(app: App, tmp_path: Path, clock: Clock, site: Site):
    """Pauses double up to ten minutes; looking all the time, by two processes, asks no more."""
    write_article(tmp_path, "news")
    other = begun(app.config.path, clock, site)
    moments = []
    for _ in range(6 * 40):
        before = site.total
        app.scan()
        other.scan()
        if site.total > before:
            moments.append(clock.time)
        clock.go_on(seconds=10)
    other.close()
    pauses = [(b - a).total_seconds() for a, b in pairwise(moments)]
    assert pauses[:5] == [20, 40, 80, 160, 320]  # the first ten seconds passed as the other began
    assert max(pauses) == 600
    assert site.total == 1 + len(moments) < 15


def test_a_deployment_is_asked_about_at_once(app: App, tmp_path: Path, clock: Clock, site: Site):
    """Whoever deploys the site says so, and what waits need not wait for the next pause to end."""
    write_article(tmp_path, "news")
    for _ in range(8):
        app.scan()
        clock.go_on(minutes=5)
    app.scan()
    site.shown[PAGE] = 200
    clock.go_on(seconds=1)
    assert published(app) == []
    app.deployed()
    assert published(app) == [PAGE]


def test_a_site_that_is_down_is_asked_once_for_all(app: App, tmp_path: Path, clock: Clock, site: Site):
    """Thirty articles wait for a server that does not answer: one question tells it of all of them."""
    site.is_down = True
    for number in range(30):
        write_article(tmp_path, f"news-{number}")
    app.scan()
    assert site.total == 1
    assert all("cannot be reached" in (article.reason or "") for article in app.articles()[0])


@pytest.mark.parametrize(
    ("settings", "shown", "goes"),
    [
        ('gate = "all"', {PAGE: 200}, True),
        ('gate = "all"', {}, False),
        ('gate = "page"\ngate_overdue = "announce"', {}, True),
    ],
)
def test_what_becomes_of_it_when_the_time_is_up(
    tmp_path: Path,
    database_url: str,
    clock: Clock,
    site: Site,
    settings: str,
    shown: dict[str, int],
    goes: bool,
):
    """Without its banner it goes after an hour; without its page only where that is wished; both are told."""
    site.shown = shown
    with closing(begun(gated(tmp_path, settings, database=database_url), clock, site)) as app:
        write_article(tmp_path, "news", enclosure=BANNER)
        begin = clock.time
        got: list[str] = []
        while not got and clock.time < begin + timedelta(hours=2):
            got = published(app)
            clock.time = min(app.next_due_at() or begin, begin + timedelta(hours=2))
        assert (got == [PAGE]) is goes
        [alert] = app.alerts()
        assert ("announced all the same" if goes else "not announced before") in alert.text
        if not goes:
            site.shown = {PAGE: 200, BANNER: 200}
            clock.go_on(minutes=10)
            assert published(app) == [PAGE]


def test_a_server_without_head_is_asked_with_get(app: App, tmp_path: Path, clock: Clock):
    """Some answer 405 to HEAD; they are asked again, with GET, in the same breath."""
    site = Site()
    app.http._transport = httpx.MockTransport(
        lambda request: httpx.Response(405) if request.method == "HEAD" else site(request)
    )
    site.shown[PAGE] = 200
    write_article(tmp_path, "news")
    assert published(app) == [PAGE]
    assert site.asked == {("GET", PAGE): 1}


def test_an_article_may_change_its_address_or_vanish_while_it_waits(
    app: App, tmp_path: Path, clock: Clock, site: Site
):
    """It is then asked for under the new address, and not at all when it has gone."""
    path = write_article(tmp_path, "news")
    app.scan()
    path.rename(path.with_name("moved.md"))
    app.scan()
    assert ("HEAD", "https://news.example/moved/") in site.asked
    path.with_name("moved.md").unlink()
    write_article(tmp_path, "other")
    app.scan()
    before = site.asked["HEAD", "https://news.example/moved/"]
    clock.go_on(hours=1)
    app.scan()
    assert site.asked["HEAD", "https://news.example/moved/"] == before


def test_what_was_announced_and_returns_waits_again(app: App, tmp_path: Path, clock: Clock, site: Site):
    """A page that was taken back and comes again is new again only when the site shows it again."""
    site.shown[PAGE] = 200
    path = write_article(tmp_path, "news")
    assert published(app) == [PAGE]
    text = path.read_text()
    path.write_text(text.replace("+++\n", "+++\ndraft = true\n", 1))
    assert app.scan().registered.withdrawn == [PAGE]
    site.shown.clear()
    path.write_text(text + "\nback\n")
    assert published(app) == []
    assert app.articles()[0][0].state is ArticleState.HELD
    site.shown[PAGE] = 200
    clock.go_on(seconds=10)
    assert published(app) == [PAGE]


def test_nothing_waits_at_a_gate_that_is_taken_away(app: App, tmp_path: Path, clock: Clock, site: Site):
    """With the gate off again, what waited is announced at the next look."""
    write_article(tmp_path, "news")
    app.scan()
    config = app.config.path
    config.write_text(config.read_text().replace('gate = "all"', ""))
    with closing(App(load(config, {}), clock=clock)) as other:
        assert other.scan().registered.published == [PAGE]


def test_what_is_public_before_the_first_look_waits_for_nothing(
    tmp_path: Path, database_url: str, clock: Clock, site: Site
):
    """It counts as known, as ever, and the site is not asked for years of articles."""
    config = gated(tmp_path, database=database_url)
    write_article(tmp_path, "old")
    with closing(begun(config, clock, site)) as app:
        assert [article.state for article in app.articles()[0]] == [ArticleState.PUBLIC]
        assert site.total == 0


def test_private_addresses_are_not_asked(tmp_path: Path, database_url: str, clock: Clock):
    """A page at an address of the publisher's own network is not knocked at, and says so."""
    config = gated(tmp_path, 'gate = "page"\nbase_url = "http://127.0.0.1:1"', database=database_url)
    with closing(App(load(config, {}), clock=clock)) as app:
        app.open()
        app.scan()
        write_article(tmp_path, "news")
        app.scan()
        assert "is at a private address" in (app.articles()[0][0].reason or "")


def test_what_waits_is_told_in_the_log_and_counted(app: App, tmp_path: Path, clock: Clock, site: Site):
    """Each answer of the site is a line with its reason; how many wait, and for how long, is a figure."""
    write_article(tmp_path, "news")
    out = io.StringIO()
    with logging_to(out, app.config):
        app.scan()
        clock.go_on(seconds=20)
        text = Measures(app).exposition()[0].decode()
        assert "distributor_gate_waiting 1.0" in text
        assert "distributor_gate_age_seconds 20.0" in text
        site.shown[PAGE] = 200
        app.scan()
    said = [(line["event"], line.get("reason")) for line in map(json.loads, out.getvalue().splitlines())]
    assert said == [("held at the gate", "its page answered 404"), ("passed the gate", None)]
    assert "distributor_gate_waiting 0.0" in Measures(app).exposition()[0].decode()
