"""The story: one article, from a file that an editor saves to the mail that a reader opens.

Read this first: it is the whole program in the order in which it happens.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.workspace import MONDAY, Clock, mails, opened, subscribe, text_of, workspace, write_article

CHANNEL = """
[channels.mastodon]
network = "mastodon"
media = "card"
"""


def test_an_article_becomes_a_mail_and_a_post(tmp_path: Path):
    """An article that goes live on the site is, a little later, with its readers: once."""
    config = workspace(tmp_path, config=CHANNEL)
    clock = Clock(MONDAY)

    with opened(config, clock) as app:
        # The site has an article already when distributor comes. It is known, and is not announced.
        write_article(tmp_path, "town/old-news", title="Old news", published_at=MONDAY)
        first = app.scan()
        assert first.registered.is_first
        assert first.registered.published == ["https://news.example/town/old-news/"]

        # Two people subscribe.
        subscribe(app, "ada@example.org", "lin@example.org")

        # An hour later an editor saves a new one.
        clock.go_on(minutes=30)
        write_article(
            tmp_path,
            "town/bridge",
            title="The bridge is open",
            published_at=clock(),
            summary="After eleven years the ferry has a rival.",
            tags=["Traffic"],
        )
        assert app.scan().registered.published == ["https://news.example/town/bridge/"]
        article = app.article("bridge")
        assert (article.title, article.state, article.sequence) == ("The bridge is open", "public", 2)

        # Nobody's edition is due before seven, but a post goes out at once.
        [post] = app.plan()
        assert (post.channel, post.kind, post.state) == ("mastodon", "post", "scheduled")
        assert app.deliver().accepted == 1

        # At seven the morning edition is planned: rendered once, frozen for both readers in one transaction.
        clock.go_on(minutes=31)
        [edition] = app.plan()
        assert (edition.channel, edition.slot, edition.candidates) == ("morning", "2026-06-01T07:00Z", 2)
        balance = app.balance(edition.id)
        assert (balance.queued, balance.accepted, balance.gap) == (2, 0, 0)

        # Planning again, here or on another machine, is planning once.
        assert app.plan() == []

        # A worker claims the batch, fills each reader's own links, and hands it to the provider.
        delivered = app.deliver()
        assert (delivered.accepted, delivered.refused, delivered.unclear) == (2, 0, 0)
        assert app.campaign(edition.id).state == "done"
        assert app.balance(edition.id).accepted == 2

        # And the program can say why.
        [reason] = app.explain("bridge", "ada@example.org")
        assert reason.verdict == "the provider accepted it for them"
        [reason] = app.explain("old-news", "ada@example.org")
        assert "before the newsletter began" in reason.verdict

    # What the readers have.
    ada, lin = sorted(mails(tmp_path), key=lambda mail: str(mail["To"]))
    assert ada["To"] == "ada@example.org"
    assert ada["Subject"] == "The bridge is open"
    assert ada["List-Id"] == "The Morning <morning.news.example>"
    assert ada["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "After eleven years the ferry has a rival." in text_of(ada)
    assert "Old news" not in text_of(ada)
    assert ada["List-Unsubscribe"] != lin["List-Unsubscribe"]

    # What the network would have been sent.
    [folder] = (tmp_path / "var/outbox/social/mastodon").iterdir()
    assert "The bridge is open" in (folder / "post.txt").read_text()
    payload = json.loads((folder / "post.json").read_text())
    assert "https://news.example/town/bridge/" in payload["status"]
    assert "#Traffic" in payload["status"]
    assert (folder / "alt.txt").read_text().strip()


def test_the_next_day_brings_only_what_is_new(tmp_path: Path):
    """A reader's second edition has nothing of the first, and a day without news brings none."""
    config = workspace(tmp_path)
    clock = Clock(MONDAY)
    with opened(config, clock) as app:
        app.scan()
        subscribe(app, "ada@example.org")
        for day, title in ((1, "First"), (2, "Second")):
            write_article(tmp_path, f"day-{day}", title=title, published_at=clock())
            clock.go_on(days=1)
            app.run_once()
        clock.go_on(days=1)
        ran = app.run_once()
    assert [mail["Subject"] for mail in mails(tmp_path)] == ["First", "Second"]
    assert [(campaign.state, campaign.reason) for campaign in ran.planned] == [
        ("skipped", "nothing new in their topics")
    ]


def test_what_is_frozen_goes_out_while_the_site_is_away(tmp_path: Path):
    """A machine that comes up without the site's folder delivers all the same, by the site's own hours."""
    quiet = CHANNEL + 'quiet_hours = "22:00-06:00"\n'
    site = workspace(tmp_path, config=quiet, newsletter='schedule = "30 13 * * *"\n')
    site.write_text(site.read_text().replace('schedule = "0 7 * * *"\n', ""))
    (tmp_path / "hugo.toml").write_text('baseURL = "https://news.example"\ntimeZone = "Asia/Tokyo"\n')
    clock = Clock(MONDAY)  # 15:00 in Tokyo
    with opened(site, clock) as app:
        app.look()
        subscribe(app, "ada@example.org")
        write_article(tmp_path, "bridge", published_at=clock())
        clock.go_on(hours=22, minutes=30)
        app.look()
        (tmp_path / "content").rename(tmp_path / "elsewhere")
    with opened(site, clock) as app:
        assert app.routes["mastodon"].pace is not None
        assert str(app.routes["mastodon"].pace.zone) == "Asia/Tokyo"
        app.deliver()
    assert [mail["Subject"] for mail in mails(tmp_path)] == ["bridge"]
