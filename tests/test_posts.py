"""Posts over time: full days, ages, budgets, roundups, threads, corrections, and articles taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from distributor.app import App
from distributor.config import Channel
from distributor.delivery.routes import Route, SocialWay
from distributor.errors import Refused, TryLater, Unclear, WrongState
from distributor.model import Campaign, Post, Receipt
from distributor.store import campaigns, posts
from distributor.ways import routes
from tests.wall import Wall, on
from tests.workspace import MONDAY, Clock, opened, workspace, write_article

FIRST = MONDAY + timedelta(minutes=1)  # when the first article of a test is published
CHANNEL = """
[channels.news]
network = "{network}"
media = "none"
{more}
"""


@contextmanager
def newsroom(folder: Path, clock: Clock, *, network: str = "mastodon", more: str = "") -> Iterator[App]:
    """A site with one channel, which has looked once."""
    config = workspace(folder, config=CHANNEL.format(network=network, more=more))
    write_article(folder, "about")  # a folder without any article is taken for one that is not mounted
    with opened(config, clock) as app:
        app.run_once()
        yield app


def channel_campaigns(app: App) -> dict[str, Campaign]:
    return {campaign.slot: campaign for campaign in app.campaigns(channel="news", limit=1000)}


def by_state(app: App) -> dict[str, int]:
    found: dict[str, int] = {}
    for campaign in channel_campaigns(app).values():
        found[str(campaign.state)] = found.get(str(campaign.state), 0) + 1
    return found


def words(app: App, name: str = "post.txt") -> list[str]:
    """What lies in the outbox, in the order of the folders' age."""
    files = app.config.home.joinpath("var/outbox/social/news").glob(f"*/{name}")
    return [file.read_text() for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]


def publish(app: App, clock: Clock, *names: str, **front_matter: Any) -> None:
    """Write articles a minute apart, and go on until all are public."""
    for name in names:
        clock.go_on(minutes=1)
        write_article(app.config.home, name, published_at=clock(), **front_matter)
    clock.go_on(minutes=1)


def test_the_newest_go_out_where_a_day_has_no_room(tmp_path: Path):
    """With overflow = "newest" the day's room goes to the newest; the others say why they were left out."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='max_per_day = 2\noverflow = "newest"') as app:
        publish(app, clock, "one", "two", "three", "four", "five")
        app.run_once()
        assert [text.split()[0] for text in words(app)] == ["four", "five"]
        left_out = [c.reason for c in channel_campaigns(app).values() if c.state == "skipped"]
        assert left_out == ["the account's day had no room for it: max_per_day"] * 3


def test_what_is_featured_goes_before_what_is_newer(tmp_path: Path):
    """With overflow = "featured" an article that is featured has its place, however old."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='max_per_day = 2\noverflow = "featured"') as app:
        publish(app, clock, "one", featured=True)
        publish(app, clock, "two", "three", "four")
        app.run_once()
        assert [text.split()[0] for text in words(app)] == ["one", "four"]


def test_a_roundup_names_what_has_no_post_of_its_own(tmp_path: Path):
    """With overflow = "roundup" the last post of the day lists the rest, and each of them says where."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='max_per_day = 2\noverflow = "roundup"') as app:
        publish(app, clock, "one", "two", "three", "four")
        app.run_once()
        alone, together = words(app)
        assert alone.startswith("four")
        assert all(f"• {name}" in together for name in ("one", "two", "three"))
        assert "https://news.example" in together
        reasons = {c.reason for c in channel_campaigns(app).values() if c.state == "skipped"}
        assert len(reasons) == 1
        assert "in the roundup of 2026-06-01" in str(reasons)
        app.run_once()
        assert len(words(app)) == 2


def test_articles_wait_for_a_day_that_has_room(tmp_path: Path):
    """A full day decides nothing: with the next one, the newest of all that wait are chosen."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='max_per_day = 1\noverflow = "newest"') as app:
        publish(app, clock, "one")
        app.run_once()
        publish(app, clock, "two", "three")
        app.run_once()
        assert [text.split()[0] for text in words(app)] == ["one"]
        assert by_state(app) == {"done": 1}
        clock.go_on(days=1)
        app.run_once()
        assert [text.split()[0] for text in words(app)] == ["one", "three"]
        assert by_state(app) == {"done": 2, "skipped": 1}


def test_breaking_news_waits_for_nothing(tmp_path: Path):
    """Quiet hours, gaps and full days are for everything else."""
    clock = Clock()
    more = 'max_per_day = 1\nmin_gap = 3600\nquiet_hours = "00:00-23:59"\noverflow = "newest"'
    with newsroom(tmp_path, clock, more=more) as app:
        publish(app, clock, "one", "two")
        publish(app, clock, "flood", distributor={"breaking": True})
        app.run_once()
        assert [text.split()[0] for text in words(app)] == ["flood"]


def test_an_article_that_grew_too_old_is_left_out_with_the_reason(tmp_path: Path):
    """max_age is measured at the moment at which the post would go out."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='max_age = "PT2H"\nmin_gap = 5400') as app:
        publish(app, clock, "one", "two", "three")
        app.run_once()
        assert by_state(app) == {"done": 1, "scheduled": 1, "skipped": 1}
        [late] = [c for c in channel_campaigns(app).values() if c.state == "skipped"]
        assert "older than max_age" in str(late.reason)


def test_a_gap_is_kept_after_an_outage(tmp_path: Path):
    """Posts that were to go out hour by hour do not go out together when the machine was off meanwhile."""
    clock = Clock()
    with newsroom(tmp_path, clock, more="min_gap = 3600") as app:
        wall = on(app, Wall())
        publish(app, clock, "one", "two", "three", "four")
        app.run_once()
        clock.go_on(hours=10)
        app.run_once()
        assert len(wall.did) <= 2


def test_quiet_hours_are_kept_after_an_outage(tmp_path: Path):
    """What was due before they began, while the machine was off, waits until they end."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='quiet_hours = "12:00-20:00"\nmin_gap = 3600') as app:
        wall = on(app, Wall())
        publish(app, clock, "one", "two")
        app.run_once()
        assert len(wall.did) == 1
        clock.go_on(hours=8)
        app.run_once()
        assert len(wall.did) == 1


def test_what_grew_too_old_in_an_outage_is_not_posted(tmp_path: Path):
    """An account that was away for days does not make up with old news."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='max_age = "PT2H"\nquiet_hours = "05:00-07:00"') as app:
        wall = on(app, Wall())
        publish(app, clock, "one")
        app.run_once()
        clock.go_on(days=3)
        app.run_once()
        assert wall.did == []


def test_a_day_takes_its_maximum_after_an_outage(tmp_path: Path):
    """What was due on the days before goes out a day at a time, in its order, as its article says by then."""
    clock = Clock()
    with newsroom(tmp_path, clock, more="max_per_day = 1") as app:
        wall = on(app, Wall())
        publish(app, clock, "one", "two", "three")
        app.run_once()
        clock.go_on(days=5)
        app.run_once()
        assert len(wall.did) == 2
        write_article(tmp_path, "three", published_at=FIRST, summary="After three weeks.")
        app.run_once()
        clock.go_on(days=1)
        app.run_once()
        assert [did.split()[1] for did in wall.did] == ["one", "two", "three"]
        assert "three weeks" in wall.did[2]


def test_breaking_news_waits_for_nothing_after_an_outage(tmp_path: Path):
    """It was to go out at once, and goes out as soon as there is somebody to do it."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='quiet_hours = "12:00-20:00"') as app:
        wall = on(app, Wall())
        publish(app, clock, "flood", distributor={"breaking": True})
        app.look()
        clock.go_on(hours=8)
        app.run_once()
        assert len(wall.did) == 1


def test_a_month_that_is_spent_asks_a_person(tmp_path: Path):
    """On X every post costs money; beyond the month's budget nothing goes out by itself."""
    clock = Clock()
    with newsroom(tmp_path, clock, network="x", more="monthly_budget = 0.5") as app:
        publish(app, clock, "one", "two", "three")
        app.run_once()
        assert by_state(app) == {"done": 2, "awaiting approval": 1}
        [waits] = [c for c in channel_campaigns(app).values() if c.state == "awaiting approval"]
        assert waits.reason == "monthly_budget: $0.40 of $0.50 are spent, and this post costs $0.200"
        clock.go_on(days=31)
        publish(app, clock, "four")
        app.run_once()
        assert by_state(app) == {"done": 3, "awaiting approval": 1}


def test_posts_without_a_link_are_cheaper(tmp_path: Path):
    """With the link left out, thirteen posts cost what one with it does."""
    clock = Clock()
    with newsroom(tmp_path, clock, network="x", more='monthly_budget = 0.2\nlink = "none"') as app:
        publish(app, clock, *(f"article{number}" for number in range(15)))
        app.run_once()
        assert by_state(app) == {"done": 13, "awaiting approval": 2}


def test_own_words_that_are_too_long_become_a_thread(tmp_path: Path):
    """Where the channel wants one: nothing is lost, and no word is broken."""
    clock = Clock()
    said = " ".join(f"sentence{number}" for number in range(120))
    with newsroom(tmp_path, clock, more="thread = 5") as app:
        publish(app, clock, "long", distributor={"social_text": said})
        app.run_once()
        [campaign] = channel_campaigns(app).values()
        with app.database.read() as db:
            [hash_] = campaigns.renditions_of(db, campaign.id)
            post = campaigns.rendition_of(db, hash_)
        assert isinstance(post, Post)
        parts = [post.text, *(str(part["status"]) for part in post.more)]
        assert len(parts) == 3
        told = [
            word for part in parts for word in part.replace("…", " ").split() if word.startswith("sentence")
        ]
        assert told == said.split()


# --- corrections ---


def test_a_changed_article_changes_its_post(tmp_path: Path):
    """Where the network has edits: once for each change, however often the site is looked at."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        write_article(tmp_path, "ferry", published_at=FIRST, summary="After three weeks.")
        app.run_once()
        app.run_once()
        assert "three weeks" in words(app, "edited.txt")[0]
        assert by_state(app) == {"done": 2}


def test_a_change_that_no_post_shows_is_none(tmp_path: Path):
    """Of another body nothing is said on a network."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        write_article(
            tmp_path,
            "ferry",
            published_at=FIRST,
            summary="After two weeks.",
            body="Quite another story, but the same summary.",
        )
        app.run_once()
        assert by_state(app) == {"done": 1}


def test_a_post_that_waits_says_what_its_article_says_now(tmp_path: Path):
    """A mistake that is mended before the quiet hours end is never posted."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='quiet_hours = "05:00-12:00"') as app:
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        write_article(tmp_path, "ferry", published_at=FIRST, summary="After three weeks.")
        app.run_once()
        clock.go_on(hours=8)
        app.run_once()
        [text] = words(app)
        assert "three weeks" in text
        assert by_state(app) == {"done": 1}


@pytest.mark.parametrize(("policy", "posts_made"), [("reply", 2), ("repost", 2), ("none", 1)])
def test_corrections_are_said_as_the_channel_wants_them(tmp_path: Path, policy: str, posts_made: int):
    """An answer begins with "Updated"; a post that is made anew replaces the old one; or nothing is said."""
    clock = Clock()
    with newsroom(tmp_path, clock, more=f'corrections = "{policy}"') as app:
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        write_article(tmp_path, "ferry", published_at=FIRST, summary="After three weeks.")
        app.run_once()
        texts = words(app)
        assert len(texts) == posts_made
        if policy == "reply":
            assert texts[1].startswith("Updated: ferry")
        assert bool(words(app, "deleted.txt")) == (policy == "repost")


def test_what_a_network_cannot_do_is_told(tmp_path: Path):
    """Bluesky has no edits: the correction stands in the list with the reason, and a person is told once."""
    clock = Clock()
    account = 'account = "news.example"\nkey = "app-password-1234"\nbase_url = "http://127.0.0.1:9"'
    with newsroom(tmp_path, clock, network="bluesky", more=account) as app:
        publish(app, clock, "ferry", summary="After two weeks.")
        app.look()
        [campaign] = channel_campaigns(app).values()
        with app.database.write() as db:
            [hash_] = campaigns.renditions_of(db, campaign.id)
            content = campaigns.rendition_of(db, hash_)
            assert isinstance(content, Post)
            posts.accepted(db, campaign.id, content, Receipt(id="at://x", url="https://bsky.app/x"))
        write_article(tmp_path, "ferry", published_at=FIRST, summary="After three weeks.")
        app.look()
        app.look()
        told = [alert for alert in app.alerts() if "has no edits" in alert.text]
        assert len(told) == 1
        assert app.told(told[0])
        assert not app.told(told[0])
        assert app.alerts() == []


# --- taking back ---


def test_an_article_that_is_taken_back_leaves_the_networks(tmp_path: Path):
    """A draft again, or a file that is gone: its post is deleted, once."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        publish(app, clock, "ferry", "storm")
        app.run_once()
        write_article(tmp_path, "ferry", published_at=FIRST, draft=True)
        (tmp_path / "content" / "storm.md").unlink()
        app.run_once()
        app.run_once()
        assert len(words(app, "deleted.txt")) == 2
        assert by_state(app) == {"done": 4}


def test_an_article_that_is_taken_back_in_time_is_never_posted(tmp_path: Path):
    """What waits for the quiet hours to end is cancelled."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='quiet_hours = "05:00-12:00"') as app:
        publish(app, clock, "ferry")
        app.run_once()
        (tmp_path / "content" / "ferry.md").unlink()
        app.run_once()
        clock.go_on(hours=8)
        app.run_once()
        assert words(app) == []
        assert by_state(app) == {"cancelled": 1}


def test_an_article_that_comes_back_is_posted_again(tmp_path: Path):
    """Its first post is gone, so nobody sees it twice."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        publish(app, clock, "ferry")
        app.run_once()
        (tmp_path / "content" / "ferry.md").unlink()
        app.run_once()
        publish(app, clock, "ferry")
        app.run_once()
        app.run_once()
        assert len(words(app)) == 2
        assert len(words(app, "deleted.txt")) == 1


def test_many_that_vanish_at_once_ask_a_person(tmp_path: Path):
    """A folder that was emptied by mistake must not empty the accounts."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        names = [f"article{number}" for number in range(7)]
        publish(app, clock, *names)
        app.run_once()
        for name in names:
            (tmp_path / "content" / f"{name}.md").unlink()
        app.run_once()
        assert words(app, "deleted.txt") == []
        assert by_state(app) == {"done": 7, "awaiting approval": 7}


def test_a_channel_may_keep_what_was_taken_back(tmp_path: Path):
    """withdraw = "keep" leaves the posts; by hand they go all the same."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='withdraw = "keep"') as app:
        publish(app, clock, "ferry")
        app.run_once()
        key = app.articles()[0][0].key
        (tmp_path / "content" / "ferry.md").unlink()
        app.run_once()
        assert words(app, "deleted.txt") == []
        made = app.withdraw(key, ["news"])
        app.deliver([campaign.id for campaign in made])
        assert len(words(app, "deleted.txt")) == 1


def test_the_last_word_is_the_newest(tmp_path: Path):
    """Of two corrections that wait, the older is never made after the newer."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        for weeks in ("three", "four"):
            write_article(tmp_path, "ferry", published_at=FIRST, summary=f"After {weeks} weeks.")
            app.look()
        app.deliver()
        [text] = words(app, "edited.txt")
        assert "four weeks" in text
        assert by_state(app) == {"done": 3}
        first, second = sorted(
            c.id for slot, c in channel_campaigns(app).items() if slot.startswith("correct")
        )
        assert app.balance(first).skipped == 1
        assert app.balance(second).accepted == 1


# --- back to the site ---


def test_the_site_learns_where_its_articles_are_posted(tmp_path: Path):
    """Article by article; what is only a folder, or was deleted, is not there."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        publish(app, clock, "ferry", "storm")
        app.run_once()
        assert app.syndication() == {}
        with app.database.write() as db:
            for campaign in app.campaigns(channel="news"):
                seen = Receipt(id="1", url=f"https://social.example/@news/{campaign.id}")
                posts.accepted(db, campaign.id, Post(network="mastodon", text="x"), seen)
        found = app.syndication()
        assert sorted(found) == ["https://news.example/ferry/", "https://news.example/storm/"]
        [one] = found["https://news.example/ferry/"]
        assert one["network"] == "mastodon"
        assert json.dumps(found)


# --- what becomes of a post while something else is done to it ---


def ferry(folder: Path, weeks: str) -> None:
    write_article(folder, "ferry", published_at=FIRST, summary=f"After {weeks} weeks.")


@contextmanager
def posted(folder: Path, clock: Clock, wall: Wall, *, more: str = "") -> Iterator[App]:
    """The ferry's post is up, after two weeks."""
    with newsroom(folder, clock, more=more) as app:
        on(app, wall)
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        assert len(wall.up) == 1
        yield app


def take_back(app: App, *names: str) -> None:
    for name in names:
        (app.config.home / "content" / f"{name}.md").unlink()


def test_what_is_taken_back_between_two_tries_is_not_posted(tmp_path: Path):
    """A network that was busy at first gets nothing of an article that was withdrawn since."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        wall = on(app, Wall())
        wall.says = lambda action, text: TryLater("busy", after=3600)
        publish(app, clock, "ferry")
        app.run_once()
        wall.says = lambda action, text: None
        take_back(app, "ferry")
        for _ in range(2):
            clock.go_on(hours=5)
            app.run_once()
        assert wall.did == []
        assert by_state(app) == {"cancelled": 1}


def test_what_was_refused_and_taken_back_is_not_tried_again(tmp_path: Path):
    """A retry by hand says that the campaign is over; once the article returns, it has a post of its own."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        wall = on(app, Wall())
        wall.says = lambda action, text: Refused("no")
        publish(app, clock, "ferry")
        app.run_once()
        wall.says = lambda action, text: None
        take_back(app, "ferry")
        app.run_once()
        [campaign] = channel_campaigns(app).values()
        with pytest.raises(WrongState, match="cancelled"):
            app.retry(campaign.id)
        app.deliver()
        assert wall.did == []
        ferry(tmp_path, "two")
        app.run_once()
        assert len(wall.up) == 1


def test_an_article_that_changes_to_and_fro_is_followed(tmp_path: Path):
    """The third change is the first once more, and is made all the same."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall) as app:
        for weeks in ("three", "two", "three"):
            ferry(tmp_path, weeks)
            app.run_once()
            app.run_once()
            [text] = wall.up.values()
            assert f"{weeks} weeks" in text
        assert by_state(app) == {"done": 4}


def test_a_change_that_was_undone_in_time_is_not_made(tmp_path: Path):
    """The correction that waits is cancelled with its cause."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall) as app:
        for weeks in ("three", "two"):
            ferry(tmp_path, weeks)
            app.look()
        app.deliver()
        [text] = wall.up.values()
        assert "two weeks" in text
        assert by_state(app) == {"done": 1, "cancelled": 1}


def test_a_change_that_may_have_been_made_is_undone_there_too(tmp_path: Path):
    """A network that said nothing may show the new words; so the old ones are told again."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall) as app:
        ferry(tmp_path, "three")
        wall.says = lambda action, text: Unclear("silence")
        app.run_once()
        wall.up = dict.fromkeys(wall.up, "After three weeks.")  # for it was made
        wall.says = lambda action, text: None
        ferry(tmp_path, "two")
        for _ in range(3):
            app.run_once()
            clock.go_on(minutes=10)
        [text] = wall.up.values()
        assert "two weeks" in text


def test_a_second_repost_waits_for_what_became_of_the_first(tmp_path: Path):
    """Else the first, of which no answer came, would stay up beside it."""
    clock, wall = Clock(), Wall(found_after=timedelta(minutes=5))
    with posted(tmp_path, clock, wall, more='corrections = "repost"') as app:
        wall.is_silent = True
        ferry(tmp_path, "three")
        app.run_once()
        wall.is_silent = False
        ferry(tmp_path, "four")
        for _ in range(4):
            app.run_once()
            clock.go_on(minutes=6)
        [text] = wall.up.values()
        assert "four weeks" in text


def test_a_repost_that_is_found_later_is_taken_back_too(tmp_path: Path):
    """What is deleted is what stands there, not what stood there when the article was withdrawn."""
    clock, wall = Clock(), Wall(found_after=timedelta(minutes=5))
    with posted(tmp_path, clock, wall, more='corrections = "repost"') as app:
        wall.is_silent = True
        ferry(tmp_path, "three")
        app.run_once()
        take_back(app, "ferry")
        for _ in range(4):
            app.run_once()
            clock.go_on(minutes=6)
        assert wall.up == {}


def test_nothing_is_answered_to_what_was_taken_back(tmp_path: Path):
    """An answer that waits is cancelled with the post."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall, more='corrections = "reply"') as app:
        wall.says = lambda action, text: TryLater("busy", after=600)
        ferry(tmp_path, "three")
        app.run_once()
        wall.says = lambda action, text: None
        take_back(app, "ferry")
        for _ in range(3):
            app.run_once()
            clock.go_on(hours=5)
        assert [did.split()[0] for did in wall.did] == ["post", "delete"]


def test_answers_that_stay_behind_are_told(tmp_path: Path):
    """A post is deleted without what was answered to it, so a person hears where that stands."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall, more='corrections = "reply"') as app:
        ferry(tmp_path, "three")
        app.run_once()
        take_back(app, "ferry")
        app.run_once()
        [(id_, text)] = wall.up.items()
        assert text.startswith("Updated")
        [alert] = app.alerts()
        assert f"https://wall.example/{id_}" in alert.text


def test_an_article_that_returns_in_time_keeps_its_post(tmp_path: Path):
    """A folder was away for a look: what was to be deleted stays."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall) as app:
        take_back(app, "ferry")
        app.look()
        ferry(tmp_path, "two")
        app.run_once()
        app.run_once()
        assert [did.split()[0] for did in wall.did] == ["post"]
        assert by_state(app) == {"done": 1, "cancelled": 1}


def test_an_article_that_returns_too_late_is_posted_again(tmp_path: Path):
    """Of a deletion that may have happened the end is awaited; then the article is new on the channel."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall) as app:
        wall.says = lambda action, text: TryLater("busy", after=600) if action == "delete" else None
        take_back(app, "ferry")
        app.run_once()
        wall.says = lambda action, text: None
        ferry(tmp_path, "two")
        app.run_once()
        clock.go_on(hours=5)
        for _ in range(3):
            app.run_once()
            clock.go_on(minutes=1)
        assert [did.split()[0] for did in wall.did] == ["post", "delete", "post"]


def test_an_article_can_be_taken_back_another_time(tmp_path: Path):
    """A person kept the posts when a folder was away by mistake; later one of them goes in earnest."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        wall = on(app, Wall())
        names = [f"article{number}" for number in range(6)]
        publish(app, clock, *names)
        app.run_once()
        (tmp_path / "content").rename(tmp_path / "away")
        (tmp_path / "content").mkdir()
        (tmp_path / "content" / "about.md").write_text((tmp_path / "away" / "about.md").read_text())
        app.run_once()
        for slot, campaign in channel_campaigns(app).items():
            if slot.startswith("withdraw"):
                app.cancel(campaign.id, reason="the folder was away")
        (tmp_path / "content" / "about.md").unlink()
        (tmp_path / "content").rmdir()
        (tmp_path / "away").rename(tmp_path / "content")
        app.run_once()
        assert len(wall.up) == 6
        take_back(app, "article0")
        app.run_once()
        assert len(wall.up) == 5


def test_what_was_taken_back_before_does_not_count_as_many_at_once(tmp_path: Path):
    """Only what is about to be deleted does."""
    clock = Clock()
    with newsroom(tmp_path, clock, more='quiet_hours = "05:00-12:00"') as app:
        wall = on(app, Wall())
        names = [f"article{number}" for number in range(6)]
        publish(app, clock, *names)
        app.run_once()
        for campaign in channel_campaigns(app).values():
            app.cancel(campaign.id, reason="no")
        take_back(app, *names)
        app.run_once()
        clock.go_on(hours=8)
        publish(app, clock, "ferry")
        app.run_once()
        assert len(wall.up) == 1
        take_back(app, "ferry")
        app.run_once()
        assert wall.up == {}


def test_an_article_that_returned_and_was_refused_can_be_tried_again(tmp_path: Path):
    """Its first post, which is gone, is no reason to leave it out."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall) as app:
        take_back(app, "ferry")
        app.run_once()
        wall.says = lambda action, text: Refused("no")
        clock.go_on(minutes=1)
        ferry(tmp_path, "two")
        app.run_once()
        wall.says = lambda action, text: None
        [again] = [c for slot, c in channel_campaigns(app).items() if "again" in slot]
        assert app.retry(again.id) == 1
        app.deliver()
        assert len(wall.up) == 1


# --- roundups ---

ROUNDUP = 'max_per_day = 1\noverflow = "roundup"'


@contextmanager
def rounded_up(folder: Path, clock: Clock, wall: Wall, *, more: str = "") -> Iterator[App]:
    """A roundup of three articles is up."""
    with newsroom(folder, clock, more=f"{ROUNDUP}\n{more}") as app:
        on(app, wall)
        publish(app, clock, "one", "two", "three")
        app.run_once()
        assert len(wall.up) == 1
        yield app


def test_a_roundup_that_waits_names_nothing_that_was_taken_back(tmp_path: Path):
    """An article that is withdrawn before the roundup goes out is not in it."""
    clock = Clock()
    with newsroom(tmp_path, clock, more=f'{ROUNDUP}\nquiet_hours = "05:00-12:00"') as app:
        wall = on(app, Wall())
        publish(app, clock, "one", "two", "three")
        app.run_once()
        take_back(app, "two")
        app.run_once()
        clock.go_on(hours=8)
        app.run_once()
        [text] = wall.up.values()
        assert "one" in text
        assert "two" not in text


def test_a_roundup_of_nothing_is_not_posted(tmp_path: Path):
    """It is cancelled with the last of its articles; one that returns has a post of its own."""
    clock = Clock()
    with newsroom(tmp_path, clock, more=f'{ROUNDUP}\nquiet_hours = "05:00-12:00"') as app:
        wall = on(app, Wall())
        publish(app, clock, "one", "two")
        app.run_once()
        take_back(app, "one", "two")
        app.run_once()
        write_article(tmp_path, "one", published_at=FIRST)
        app.run_once()
        clock.go_on(hours=20)
        app.run_once()
        assert [did.split()[:2] for did in wall.did] == [["post", "one"]]


def test_a_roundup_that_is_up_names_nothing_that_was_taken_back(tmp_path: Path):
    """It is changed, once; an article that returns after that has a post of its own."""
    clock, wall = Clock(), Wall()
    with rounded_up(tmp_path, clock, wall) as app:
        take_back(app, "two")
        for _ in range(3):
            app.run_once()
        [text] = wall.up.values()
        assert "two" not in text
        assert [did.split()[0] for did in wall.did] == ["post", "edit"]
        clock.go_on(days=1)
        write_article(tmp_path, "two", published_at=FIRST)
        for _ in range(2):
            app.run_once()
        assert [did.split()[:2] for did in wall.did[2:]] == [["post", "two"]]


def test_an_article_that_returns_in_time_stays_in_its_roundup(tmp_path: Path):
    """What was to be changed stays as it is, and nothing is posted beside it."""
    clock, wall = Clock(), Wall()
    with rounded_up(tmp_path, clock, wall) as app:
        take_back(app, "two")
        app.look()
        write_article(tmp_path, "two", published_at=FIRST)
        clock.go_on(days=1)
        for _ in range(3):
            app.run_once()
        assert [did.split()[0] for did in wall.did] == ["post"]


def test_a_roundup_goes_with_the_last_of_its_articles(tmp_path: Path):
    """What names nothing that is there is deleted, and the site does not point to it."""
    clock, wall = Clock(), Wall()
    with rounded_up(tmp_path, clock, wall) as app:
        assert len(app.syndication()) == 3
        take_back(app, "one", "two", "three")
        for _ in range(2):
            app.run_once()
        assert wall.up == {}
        assert app.syndication() == {}


def test_a_roundup_says_what_its_articles_are_called_now(tmp_path: Path):
    """A title that changes is changed where it stands; by hand one of the articles leaves it."""
    clock, wall = Clock(), Wall()
    with rounded_up(tmp_path, clock, wall) as app:
        write_article(tmp_path, "two", title="twelve", published_at=FIRST + timedelta(minutes=1))
        for _ in range(2):
            app.run_once()
        [text] = wall.up.values()
        assert "twelve" in text
        [key] = [one.key for one in app.articles()[0] if one.title == "twelve"]
        app.withdraw(key, ["news"])
        for _ in range(2):
            app.run_once()
        [text] = wall.up.values()
        assert "twelve" not in text
        assert [did.split()[0] for did in wall.did] == ["post", "edit", "edit"]


def test_a_roundup_that_cannot_be_changed_is_for_a_person(tmp_path: Path):
    """Where a network has no edits, somebody hears once that it names what was taken back."""
    clock, wall = Clock(), Wall()
    with newsroom(tmp_path, clock, network="threads", more=ROUNDUP) as app:
        settings(app, account="1789")
        on(app, wall, "threads 1789")
        publish(app, clock, "one", "two", "three")
        app.run_once()
        take_back(app, "two")
        for _ in range(2):
            app.run_once()
        assert len(wall.did) == 1
        [alert] = app.alerts()
        assert "threads has no edits" in alert.text


# --- a thread of which a part was refused ---


@contextmanager
def half_a_thread(folder: Path, clock: Clock, wall: Wall) -> Iterator[App]:
    """The first part is up, and the second was refused."""
    with newsroom(folder, clock, more="thread = 5") as app:
        on(app, wall)
        wall.says = lambda action, text: Refused("too rude") if "sentence100" in text else None
        said = " ".join(f"sentence{number}" for number in range(120))
        publish(app, clock, "ferry", distributor={"social_text": said})
        app.run_once()
        assert len(wall.up) == 2
        wall.says = lambda action, text: None
        yield app


def test_what_stands_of_a_thread_is_said(tmp_path: Path):
    """How many parts, and where: in the campaign, to whoever is told, and to the site."""
    clock, wall = Clock(), Wall()
    with half_a_thread(tmp_path, clock, wall) as app:
        [campaign] = channel_campaigns(app).values()
        [batch] = app.open_batches(campaign.id)
        where = f"https://wall.example/{next(iter(wall.up))}"
        assert batch.reason == f"too rude; 2 of 3 parts stand: {where}"
        [alert] = app.alerts()
        assert where in alert.text
        assert [one["url"] for posts in app.syndication().values() for one in posts] == [where]


def test_a_retry_goes_on_with_the_missing_parts(tmp_path: Path):
    """The first is not posted again, and what is withdrawn after that goes whole."""
    clock, wall = Clock(), Wall()
    with half_a_thread(tmp_path, clock, wall) as app:
        [campaign] = channel_campaigns(app).values()
        assert app.retry(campaign.id) == 1
        app.deliver()
        assert [did.split()[0] for did in wall.did] == ["post"] * 3
        assert len(wall.up) == 3
        take_back(app, "ferry")
        app.run_once()
        assert wall.up == {}


def test_half_a_thread_is_taken_back_with_its_article(tmp_path: Path):
    """What stands is deleted, and a retry that comes too late posts nothing."""
    clock, wall = Clock(), Wall()
    with half_a_thread(tmp_path, clock, wall) as app:
        root = min(campaign.id for campaign in channel_campaigns(app).values())
        take_back(app, "ferry")
        app.run_once()
        assert wall.up == {}
        app.retry(root)
        app.deliver()
        assert wall.up == {}
        assert app.balance(root).skipped == 1


def test_half_a_thread_that_is_tried_again_is_not_deleted_meanwhile(tmp_path: Path):
    """An article that is withdrawn during the retry is taken back after it, with all that stands then."""
    clock, wall = Clock(), Wall()
    with half_a_thread(tmp_path, clock, wall) as app:
        [campaign] = channel_campaigns(app).values()
        app.retry(campaign.id)
        take_back(app, "ferry")
        for _ in range(2):
            app.run_once()
        assert wall.up == {}
        assert [did.split()[0] for did in wall.did] == ["post"] * 3 + ["delete"]


def test_what_was_refused_says_what_its_article_says_when_it_is_tried_again(tmp_path: Path):
    """Whoever mends the words that a network refused sees the mended ones posted."""
    clock = Clock()
    with newsroom(tmp_path, clock) as app:
        wall = on(app, Wall())
        wall.says = lambda action, text: Refused("two is a forbidden number") if "two" in text else None
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        ferry(tmp_path, "three")
        app.run_once()
        [campaign] = channel_campaigns(app).values()
        app.retry(campaign.id)
        app.run_once()
        assert ["three weeks" in text for text in wall.up.values()] == [True]


# --- an account that is another one by now ---


def settings(app: App, **changed: Any) -> None:
    """Change those of the channel."""
    channel = app.config.channels["news"].model_copy(update=changed)
    app.config.channels["news"] = channel  # type: ignore[index]


def test_what_another_account_posted_is_for_a_person(tmp_path: Path):
    """The new one knows no such post, and would call it deleted."""
    clock, old, new = Clock(), Wall(), Wall()
    with newsroom(tmp_path, clock) as app:
        settings(app, account="@old@social.example")
        on(app, old, "mastodon @old@social.example")
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        settings(app, account="@new@social.example")
        on(app, new, "mastodon @new@social.example")
        ferry(tmp_path, "three")
        app.run_once()
        take_back(app, "ferry")
        app.run_once()
        assert new.did == []
        assert len(old.up) == 1
        assert ["mastodon @old" in alert.text for alert in app.alerts()] == [True, True]


def test_a_correction_that_waits_is_not_made_on_another_account(tmp_path: Path):
    """The channel moves between the planning and the call: a person hears where the post stands."""
    clock, old, new = Clock(), Wall(), Wall()
    with newsroom(tmp_path, clock) as app:
        settings(app, account="@old@social.example")
        on(app, old, "mastodon @old@social.example")
        publish(app, clock, "ferry", summary="After two weeks.")
        app.run_once()
        ferry(tmp_path, "three")
        app.look()
        settings(app, account="@new@social.example")
        on(app, new, "mastodon @new@social.example")
        app.deliver()
        assert new.did == []
        [alert] = app.alerts()
        assert "went out through mastodon @old@social.example" in alert.text


def test_a_trial_in_the_outbox_needs_no_correction(tmp_path: Path):
    """What lies in a folder is corrected and taken back nowhere, and nobody is told."""
    clock, wall = Clock(), Wall()
    with posted(tmp_path, clock, wall) as app:
        settings(app, account="@news@social.example")
        on(app, new := Wall(), "mastodon @news@social.example")
        ferry(tmp_path, "three")
        app.run_once()
        take_back(app, "ferry")
        app.run_once()
        assert new.did == []
        assert app.alerts() == []


def test_two_webhooks_under_one_name_are_two_accounts(tmp_path: Path):
    """What is for one Discord channel is not posted to the other; who shares a webhook shares its way."""
    webhook = "https://discord.com/api/webhooks/{}/a-token"
    numbers = {"news": 1, "sports": 2, "more news": 1}
    with newsroom(tmp_path, Clock()) as app:
        channels = {
            name: Channel.model_validate(
                {"network": "discord", "account": "hook", "webhook": webhook.format(number)}
            )
            for name, number in numbers.items()
        }
        found = routes(app.config.model_copy(update={"channels": channels}))
        news, sports, more = (found[name].ways[0] for name in numbers)
        assert news is more
        assert news.name != sports.name
        assert "a-token" not in news.name


def test_posts_that_wait_are_made_anew_for_another_network(tmp_path: Path):
    """A channel that moves takes with it what it has not posted yet."""
    clock = Clock()
    with newsroom(tmp_path, clock, network="x", more='quiet_hours = "05:00-12:00"') as app:
        wall = on(app, Wall())
        publish(app, clock, "ferry")
        app.run_once()
        settings(app, network="mastodon")
        app.routes["news"] = Route(ways=(SocialWay(name="news outbox", network="mastodon", provider=wall),))
        clock.go_on(hours=8)
        app.run_once()
        assert len(wall.up) == 1


def test_a_post_made_for_another_network_is_refused(tmp_path: Path):
    """What reaches a worker all the same is not sent, and a person is told why."""
    clock = Clock()
    with newsroom(tmp_path, clock, network="x", more='quiet_hours = "05:00-12:00"') as app:
        publish(app, clock, "ferry")
        app.run_once()
        way = SocialWay(name="mastodon @news", network="mastodon", provider=(wall := Wall()))
        app.routes["news"] = Route(ways=(way,))
        clock.go_on(hours=8)
        app.deliver()
        assert wall.did == []
        [alert] = app.alerts()
        assert "it was made for x, and its channel posts to mastodon now" in alert.text


def test_a_fault_in_a_correction_leaves_nothing_unclear(tmp_path: Path):
    """An edit may simply be made again; after enough tries a person is told."""
    clock, wall = Clock(), Wall(found_after=timedelta(seconds=5))
    with posted(tmp_path, clock, wall) as app:
        wall.says = lambda action, text: KeyError("parts")
        ferry(tmp_path, "three")
        heard = []
        for _ in range(40):
            app.run_once()
            heard += [alert.text for alert in app.alerts() if app.told(alert)]
            clock.go_on(hours=5)
        assert any("gave up after 16 attempts: KeyError" in text for text in heard)


# --- a network that says nothing ---


def test_what_is_never_there_is_tried_less_and_less(tmp_path: Path):
    """A network that always fails at one post is not asked to take it twice a minute."""
    clock, wall = Clock(), Wall(found_after=timedelta(seconds=5))
    with newsroom(tmp_path, clock) as app:
        on(app, wall)
        tries: list[str] = []

        def silent_about_one(action: str, text: str) -> Exception | None:
            tries.append(text)
            return Unclear("500") if "ferry" in text else None

        wall.says = silent_about_one
        publish(app, clock, "ferry")
        for number in range(60):
            publish(app, clock, f"other{number}")
            app.run_once()
        assert sum("ferry" in text for text in tries) <= 12
        assert channel_campaigns(app)


# --- money ---


def test_a_month_pays_for_what_is_due_in_it(tmp_path: Path):
    """Posts that are spread into the next month are none of this one's."""
    clock = Clock(MONDAY.replace(day=30))
    more = "monthly_budget = 0.5\nmax_per_day = 1"
    with newsroom(tmp_path, clock, network="x", more=more) as app:
        publish(app, clock, "one", "two", "three")
        app.run_once()
        assert by_state(app) == {"done": 1, "scheduled": 2}


def test_posts_that_are_made_anew_cost_as_much(tmp_path: Path):
    """A correction beyond the month's budget awaits approval as a post does."""
    clock = Clock()
    more = 'monthly_budget = 0.3\ncorrections = "repost"'
    with newsroom(tmp_path, clock, network="x", more=more) as app:
        publish(app, clock, "ferry", distributor={"text": {"x": "After two weeks."}})
        app.run_once()
        words_now = {"text": {"x": "After three weeks."}}
        write_article(tmp_path, "ferry", published_at=FIRST, distributor=words_now)
        app.run_once()
        assert by_state(app) == {"done": 1, "awaiting approval": 1}
