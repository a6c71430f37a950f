"""A look before sending, and what is held back when nobody looked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from distributor.app import App
from distributor.config import load
from distributor.previews import Look, look
from tests.workspace import Clock, mails, subscribe, workspace, write_article

CHANNELS = """
[channels.toots]
network = "mastodon"
media = "none"
{channel}

[channels.codes]
network = "mastodon"
media = "qr"
link = "none"
{channel}
"""
REAL = """
[site]
content = "{content}"

[providers.outbox]
type = "outbox"

[newsletters.news]
title = "The News"
from = "The News <news@news.example>"
providers = ["outbox"]
schedule = "0 7 * * *"
pictures = "inline"
""" + CHANNELS.format(channel="")
Open = Callable[..., App]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Open the program on a site with one article and one reader, with these settings and that network."""
    with ExitStack() as closing:

        def open_app(
            *,
            newsletter: str = "",
            channel: str = "",
            site: str = "",
            answer: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(404),
        ) -> App:
            path = workspace(tmp_path, config=CHANNELS.format(channel=channel), newsletter=newsletter)
            path.write_text(path.read_text().replace("[site]\n", f"[site]\n{site}\n"))
            http = httpx.Client(transport=httpx.MockTransport(answer))
            app = App(load(path, {}), clock=clock, http=http)
            closing.callback(app.close)
            app.open()
            app.scan()
            subscribe(app, "ada@example.org")
            clock.go_on(minutes=10)
            write_article(
                tmp_path,
                "bridge",
                title="The swing bridge opens to cyclists",
                summary="From Monday the old bridge carries a cycle lane.",
                published_at=clock(),
            )
            app.scan()
            return app

        yield open_app


def own_template(folder: Path, name: str, says: str) -> None:
    path = folder / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(says)


def said(seen: Look) -> list[str]:
    return [f"{finding.severity} {finding.rule}" for finding in seen.findings]


def test_an_edition_that_is_right_has_no_findings(open_: Open, tmp_path: Path):
    """The shipped templates on a plain article pass, for mails and for posts."""
    app = open_()
    for name in ("morning", "toots", "codes"):
        seen = look(app, name, [], tmp_path / "look")
        assert (said(seen), seen.is_linted) == ([], True), name


def test_what_is_wrong_is_shown(open_: Open, tmp_path: Path):
    """A finding names the edition or post it is about, on the page too."""
    own_template(tmp_path, "email/digest.txt.j2", "Read it on the site.")
    own_template(tmp_path, "social/post.txt.j2", "{{ '{{ title }}' }} {{ link }}")
    app = open_()
    seen = look(app, "morning", [], tmp_path / "look")
    assert said(seen) == ["error unsubscribe", "warning text"]
    assert set(seen.findings.values()) == {("everything",)}
    assert "has no link to unsubscribe" in seen.page.read_text()
    seen = look(app, "toots", [], tmp_path / "look")
    assert said(seen) == ["warning mark"]
    assert set(seen.findings.values()) == {("The swing bridge opens to cyclists",)}


def test_nobody_looks_where_lint_is_off(open_: Open, tmp_path: Path):
    """With lint = "off" a preview shows the edition, and says nothing of it."""
    own_template(tmp_path, "email/digest.txt.j2", "Read it on the site.")
    app = open_(newsletter='lint = "off"', channel='lint = "off"')
    for name in ("morning", "toots"):
        seen = look(app, name, [], tmp_path / "look")
        assert (said(seen), seen.is_linted) == ([], False)
        assert "Lint" not in seen.page.read_text()


def test_links_are_asked_only_where_that_is_wanted(open_: Open, tmp_path: Path):
    """With check_links, a page that is not there is found in mails and posts; our own pages are not asked."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(404 if "bridge" in request.url.path else 200)

    app = open_(site="check_links = true", answer=answer)
    assert said(look(app, "morning", [], tmp_path / "look")) == ["warning answer"]
    assert sorted(asked) == ["https://news.example", "https://news.example/bridge/"]
    assert said(look(app, "toots", [], tmp_path / "look")) == ["warning answer"]
    app.config = app.config.model_copy(
        update={"site": app.config.site.model_copy(update={"check_links": False})}
    )
    asked.clear()
    assert said(look(app, "morning", [], tmp_path / "look")) == []
    assert asked == []


@pytest.mark.parametrize(("score", "findings"), [("7.5/5.0", ["warning spam"]), ("0.1/5.0", []), (None, [])])
def test_a_spam_checker_is_asked_where_there_is_one(
    open_: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: str | None, findings: list[str]
):
    """It gets the mail as a reader would; its score stands on the page, and no checker is not an error."""
    app = open_()
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    if score:
        checker = folder / "spamc"
        checker.write_text(
            f"#!{sys.executable}\nimport sys\n"
            "mail = sys.stdin.buffer.read()\n"
            "assert b'Subject: The swing bridge' in mail and b'List-Unsubscribe' in mail\n"
            f"print({score!r})\n"
        )
        checker.chmod(0o755)
    seen = look(app, "morning", [], tmp_path / "look")
    assert said(seen) == findings
    page = seen.page.read_text()
    assert ("spam begins at 5" in page) == bool(score)
    assert ("There is no spam checker here" in page) == (score is None)


def test_frozen_campaigns_are_looked_through_too(open_: Open, tmp_path: Path):
    """The page of what was planned says of each campaign what is wrong with it."""
    own_template(tmp_path, "email/digest.txt.j2", "Read it on the site.")
    app = open_()
    campaign = app.make(app.order("morning"))
    posted = app.post("https://news.example/bridge/", ["codes"])
    assert campaign is not None
    page = app.preview_campaigns([campaign.id, posted[0].id], tmp_path / "look", title="All")
    shown = page.read_text()
    assert "has no link to unsubscribe" in shown
    assert shown.count("Lint found nothing.") == 1


def test_a_real_site_has_nothing_wrong(corpus: Path, tmp_path: Path):
    """Lint is quiet about editions, single articles and posts of a site that is as sites are."""
    config = tmp_path / "distributor.toml"
    config.write_text(REAL.format(content=corpus / "content"))
    nowhere = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(404)))
    app = App(load(config, {}), clock=Clock(datetime(2025, 12, 1, tzinfo=UTC)), http=nowhere)
    app.open()
    app.scan(since=datetime(2025, 1, 1, tzinfo=UTC))
    newest = [article.key for article in app.articles()[0]][:3]
    for name, keys in (
        ("news", []),
        *(("news", [key]) for key in newest),
        ("toots", newest),
        ("codes", newest),
    ):
        assert said(look(app, name, keys, tmp_path / "look")) == [], (name, keys)
    app.close()


# --- blocking ---


def test_an_edition_with_errors_waits_for_a_person(open_: Open, tmp_path: Path, clock: Clock):
    """With lint = "block", errors keep an edition until somebody approves it, and the reason names them."""
    own_template(tmp_path, "email/digest.txt.j2", "Read it on the site.")
    app = open_(newsletter='lint = "block"')
    clock.go_on(days=1)
    app.run_once()
    [campaign] = app.campaigns(channel="morning")
    assert campaign.state == "awaiting approval"
    assert campaign.reason == "lint found: text: has no link to unsubscribe (slots.unsubscribe_url)"
    assert mails(tmp_path) == []
    app.approve(campaign.id)
    app.run_once()
    assert [mail["To"] for mail in mails(tmp_path)] == ["ada@example.org"]


@pytest.mark.parametrize("lint", ["warn", "off"])
def test_only_block_holds_back(open_: Open, tmp_path: Path, clock: Clock, lint: str):
    """Otherwise an edition goes out with its errors."""
    own_template(tmp_path, "email/digest.txt.j2", "Read it on the site.")
    app = open_(newsletter=f'lint = "{lint}"')
    clock.go_on(days=1)
    app.run_once()
    assert len(mails(tmp_path)) == 1


def test_warnings_hold_nothing_back(open_: Open, tmp_path: Path, clock: Clock):
    """What a person might look at is no reason to wait."""
    own_template(tmp_path, "email/digest.subject.j2", "READ THIS NOW!!")
    app = open_(newsletter='lint = "block"')
    assert said(look(app, "morning", [], tmp_path / "look")) == ["warning subject", "warning subject"]
    clock.go_on(days=1)
    app.run_once()
    assert len(mails(tmp_path)) == 1


def test_an_edition_for_nobody_is_skipped_all_the_same(open_: Open, tmp_path: Path, clock: Clock):
    """Without articles there is nothing to look through, and nothing to approve."""
    app = open_(newsletter='lint = "block"')
    clock.go_on(days=1)
    app.run_once()
    clock.go_on(days=1)
    app.run_once()
    assert [campaign.state for campaign in app.campaigns(channel="morning")] == ["skipped", "done"]


def test_a_post_with_errors_waits_for_a_person(open_: Open, tmp_path: Path, clock: Clock):
    """A channel that blocks keeps a post with errors until it is approved; others are posted."""
    own_template(tmp_path, "social/post.txt.j2", "@@name@@ {{ title }} {{ link }}")
    app = open_(channel='lint = "block"')
    app.run_once()
    posted = tmp_path / "var/outbox/social/toots"
    [campaign] = app.campaigns(channel="toots")
    assert campaign.state == "awaiting approval"
    assert campaign.reason == "lint found: text: has a slot that nothing fills: @@name@@"
    assert not posted.exists()
    app.approve(campaign.id)
    clock.go_on(minutes=1)
    app.run_once()
    assert len(list(posted.iterdir())) == 1
