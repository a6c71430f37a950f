"""Editions: who gets what and when, in the cases that are easily got wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from distributor.app import App
from distributor.config import load
from distributor.errors import Refused, TemplateError, WrongState
from distributor.model import Answer, Batch, CampaignState, Digest, Email
from distributor.store import campaigns, hands, schema
from tests.far_end import Recorder, through
from tests.workspace import MONDAY, Clock, opened, subscribe, workspace, write_article

TEMPLATES = Path(__file__).parent.parent / "templates/email"
ADA, LIN = "ada@example.org", "lin@example.org"
CONFIG = """
topics = ["harbour", "sport"]
cadences = ["instant", "daily", "weekly", "monthly"]
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    """A newsletter without readers on a site without articles, on a Monday at six."""
    with opened(workspace(tmp_path, database=database_url, newsletter=CONFIG), clock) as app:
        app.scan()
        through(app, Recorder(tmp_path / "taken.log", recipients_per_call=100))
        yield app


def got(app: App) -> dict[str, list[str]]:
    """Address -> the names of the articles it got, in order."""
    provider = app.routes["morning"].ways[0].provider
    assert isinstance(provider, Recorder)
    found: dict[str, list[str]] = {}
    for _, address, told in provider.taken():
        found.setdefault(address, []).extend(
            key.removeprefix("https://news.example/").strip("/") for key in told
        )
    return found


def configured(app: App, **settings: object) -> None:
    """Change settings of the newsletter "morning"."""
    changed = app.config.newsletters["morning"].model_copy(update=settings)
    app.config = app.config.model_copy(update={"newsletters": {"morning": changed}})
    app.__dict__.pop("editions", None)


def news(app: App, folder: Path, name: str, **front_matter: Any) -> None:
    write_article(folder, name, published_at=app.clock(), **front_matter)


def morning(app: App, clock: Clock, *, days: int = 1) -> None:
    """Let the next slot of so many days come by, each with a round of the program."""
    for _ in range(days):
        clock.time = (clock() + timedelta(days=1)).replace(hour=7, minute=5)
        app.run_once()


def test_topics_decide(app: App, tmp_path: Path, clock: Clock):
    """A reader of one topic gets its articles; one who chose none gets everything."""
    subscribe(app, ADA, topics="harbour")
    subscribe(app, LIN)
    news(app, tmp_path, "boats", tags=["Harbour"])
    news(app, tmp_path, "goals", tags=["sport"])
    morning(app, clock)
    assert {address: sorted(names) for address, names in got(app).items()} == {
        ADA: ["boats"],
        LIN: ["boats", "goals"],
    }


def test_a_newcomer_gets_the_next_edition_as_everybody_does(app: App, tmp_path: Path, clock: Clock):
    """Whoever joins between two editions gets what is new since the last, and nothing older."""
    subscribe(app, ADA)
    news(app, tmp_path, "one")
    morning(app, clock)
    news(app, tmp_path, "two")
    app.scan()
    subscribe(app, LIN)
    morning(app, clock)
    assert got(app) == {ADA: ["one", "two"], LIN: ["two"]}


def test_too_few_articles_wait(app: App, tmp_path: Path, clock: Clock):
    """Below min_articles a reader waits, keeps their place, and later gets all of it at once."""
    configured(app, min_articles=2)
    subscribe(app, ADA, topics="harbour")
    subscribe(app, LIN)
    news(app, tmp_path, "boats", tags=["harbour"])
    news(app, tmp_path, "goals", tags=["sport"])
    morning(app, clock)
    assert set(got(app)) == {LIN}
    news(app, tmp_path, "ferries", tags=["harbour"])
    morning(app, clock)
    assert sorted(got(app)[ADA]) == ["boats", "ferries"]
    assert sorted(got(app)[LIN]) == ["boats", "goals"]  # one new article is too few for them now


def test_weekly_readers_get_a_week_on_monday(app: App, tmp_path: Path, clock: Clock):
    """A weekly reader has all of the week in the first edition of the next, whatever daily readers had."""
    subscribe(app, ADA, cadence="weekly")
    subscribe(app, LIN, cadence="daily")
    for day in range(7):
        news(app, tmp_path, f"day-{day}")
        morning(app, clock)
    assert clock().weekday() == 0
    assert sorted(got(app)[ADA]) == sorted(got(app)[LIN]) == [f"day-{day}" for day in range(7)]


def test_a_change_of_cadence_loses_and_repeats_nothing(app: App, tmp_path: Path, clock: Clock):
    """From weekly to daily in mid-week, and back again."""
    subscribe(app, ADA, cadence="weekly")
    for day in range(10):
        news(app, tmp_path, f"day-{day}")
        if day == 3:
            subscribe(app, ADA, cadence="daily")
        if day == 5:
            subscribe(app, ADA, cadence="weekly")
        morning(app, clock)
    morning(app, clock, days=7)
    assert sorted(got(app)[ADA]) == [f"day-{day}" for day in range(10)]


def test_breaking_news_goes_to_instant_readers_at_once_and_is_not_repeated(
    app: App, tmp_path: Path, clock: Clock
):
    """An instant reader has it now; the next edition has it for the others only."""
    subscribe(app, ADA, cadence="instant")
    subscribe(app, LIN, cadence="daily")
    news(app, tmp_path, "storm", distributor={"breaking": True})
    news(app, tmp_path, "calm")
    app.run_once()
    assert got(app) == {ADA: ["storm"]}
    app.run_once()
    morning(app, clock)
    assert {address: sorted(names) for address, names in got(app).items()} == {
        ADA: ["calm", "storm"],
        LIN: ["calm", "storm"],
    }


def test_breaking_news_without_instant_readers_can_still_be_sent_by_hand(
    app: App, tmp_path: Path, clock: Clock
):
    """Nothing is used up by having had nobody to tell."""
    subscribe(app, ADA, cadence="daily")
    news(app, tmp_path, "storm", distributor={"breaking": True})
    app.run_once()
    assert app.campaigns() == []
    app.make(app.order("morning", ["storm"]))
    app.deliver()
    assert got(app) == {ADA: ["storm"]}
    morning(app, clock)
    assert got(app) == {ADA: ["storm"]}


def test_sending_one_article_reaches_those_who_have_not_had_it(app: App, tmp_path: Path, clock: Clock):
    """Sent by itself again after somebody joined, it goes to them alone."""
    subscribe(app, ADA)
    news(app, tmp_path, "storm")
    app.scan()
    for address in (ADA, LIN):
        clock.go_on(minutes=1)
        subscribe(app, address)
        app.make(app.order("morning", ["storm"]))
        app.deliver()
    assert got(app) == {ADA: ["storm"], LIN: ["storm"]}
    assert app.make(app.order("morning", ["storm"])) is None


def test_sending_to_one_reader_changes_nothing_for_the_others(app: App, tmp_path: Path, clock: Clock):
    """One reader runs ahead; the next edition has the rest for everybody."""
    subscribe(app, ADA, LIN)
    news(app, tmp_path, "one")
    app.scan()
    app.make(app.order("morning", to=ADA))
    app.deliver()
    assert got(app) == {ADA: ["one"]}
    news(app, tmp_path, "two")
    morning(app, clock)
    assert {address: sorted(names) for address, names in got(app).items()} == {
        ADA: ["one", "two"],
        LIN: ["one", "two"],
    }


def test_what_was_withdrawn_during_an_edition_is_not_missed(app: App, tmp_path: Path, clock: Clock):
    """An article that is away while an edition passes, and returns, goes into the next."""
    subscribe(app, ADA)
    news(app, tmp_path, "story")
    news(app, tmp_path, "other")
    app.scan()
    path = tmp_path / "content/story.md"
    text = path.read_text()
    path.unlink()
    morning(app, clock)
    assert got(app) == {ADA: ["other"]}
    path.write_text(text)
    morning(app, clock)
    assert got(app) == {ADA: ["other", "story"]}


def test_what_was_sent_withdrawn_and_returns_is_not_sent_again(app: App, tmp_path: Path, clock: Clock):
    """Those who have it do not get it again; those who joined since do get it."""
    subscribe(app, ADA)
    news(app, tmp_path, "story")
    morning(app, clock)
    path = tmp_path / "content/story.md"
    text = path.read_text()
    path.write_text(text.replace("+++\n", "+++\ndraft = true\n", 1))
    app.scan()
    subscribe(app, LIN)
    path.write_text(text)
    news(app, tmp_path, "other")
    morning(app, clock)
    assert {address: sorted(names) for address, names in got(app).items()} == {
        ADA: ["other", "story"],
        LIN: ["other", "story"],
    }


def test_a_cancelled_edition_and_the_next_one_do_not_overlap(app: App, tmp_path: Path, clock: Clock):
    """Cancelled after a later edition was planned, its articles still come, and nothing comes twice."""
    subscribe(app, ADA)
    news(app, tmp_path, "one")
    clock.time = clock().replace(hour=7, minute=5) + timedelta(days=1)
    app.scan()
    [first] = app.plan()
    app.pause(first.id)
    news(app, tmp_path, "two")
    morning(app, clock)
    assert got(app) == {ADA: ["two"]}
    assert app.cancel(first.id, reason="a mistake") == 1
    news(app, tmp_path, "three")
    morning(app, clock)
    assert sorted(got(app)[ADA]) == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("catch_up", "editions"),
    [("send", [["one"], ["two"], ["three"]]), ("merge", [["one", "three", "two"]]), ("drop", [])],
)
def test_slots_that_were_missed(
    app: App, tmp_path: Path, clock: Clock, catch_up: str, editions: list[list[str]]
):
    """After three days of silence: each edition as it would have been, one for all, or none."""
    configured(app, catch_up=catch_up)
    subscribe(app, ADA)
    for days, name in ((0, "one"), (1, "two"), (2, "three")):
        write_article(tmp_path, name, published_at=MONDAY + timedelta(days=days, hours=2))
    clock.time = MONDAY + timedelta(days=3, hours=12)
    app.run_once()
    provider = app.routes["morning"].ways[0].provider
    assert isinstance(provider, Recorder)
    told = [sorted(key.split("/")[3] for key in articles) for _, _, articles in provider.taken()]
    assert sorted(told) == sorted(editions)  # calls run side by side
    clock.time = MONDAY + timedelta(days=4, hours=1, minutes=5)
    app.run_once()
    assert sorted(got(app)[ADA]) == ["one", "three", "two"]


def test_what_needs_approval_waits_for_it(app: App, tmp_path: Path, clock: Clock):
    """Nothing of an edition leaves before somebody has approved it."""
    configured(app, approval="required")
    subscribe(app, ADA)
    news(app, tmp_path, "story")
    morning(app, clock)
    [campaign] = app.campaigns()
    assert (campaign.state, got(app)) == ("awaiting approval", {})
    app.approve(campaign.id)
    app.run_once()
    assert got(app) == {ADA: ["story"]}


def test_an_edition_is_frozen(app: App, tmp_path: Path, clock: Clock):
    """What was planned is sent, whatever happens to the article or the list before it leaves."""
    subscribe(app, ADA)
    news(app, tmp_path, "story", title="As it was")
    clock.time = clock().replace(hour=7, minute=5) + timedelta(days=1)
    app.scan()
    [campaign] = app.plan()
    news(app, tmp_path, "story", title="As it is now")
    subscribe(app, LIN)
    app.scan()
    app.deliver()
    assert set(got(app)) == {ADA}
    with app.database.read() as db:
        [hash_] = campaigns.renditions_of(db, campaign.id)
        content = campaigns.rendition_of(db, hash_)
    assert isinstance(content, Digest)
    assert (content.subject, content.hash) == ("As it was", hash_)


def test_readers_of_one_selection_share_a_rendition(app: App, tmp_path: Path, clock: Clock):
    """Different topics that come to the same articles are rendered once."""
    subscribe(app, ADA, topics="harbour")
    subscribe(app, LIN)
    news(app, tmp_path, "boats", tags=["harbour"])
    clock.time = clock().replace(hour=7, minute=5) + timedelta(days=1)
    app.scan()
    [campaign] = app.plan()
    with app.database.read() as db:
        assert list(campaigns.renditions_of(db, campaign.id).values()) == [2]


def test_a_newsletter_that_is_added_later_begins_then(app: App, tmp_path: Path, clock: Clock):
    """What was public before a newsletter was named in the configuration is not its news."""
    news(app, tmp_path, "before")
    app.scan()
    path = tmp_path / "distributor.toml"
    path.write_text(
        path.read_text()
        + path.read_text().partition("[newsletters.morning]")[2].join(("\n[newsletters.evening]", ""))
    )
    with opened(path, clock) as later:
        later.scan()
        result = later.import_subscribers(["email\n", f"{ADA}\n"], default_lists=["evening"])
        assert result.added == 1
        news(later, tmp_path, "after")
        clock.time = clock().replace(hour=7, minute=5) + timedelta(days=1)
        later.scan()
        [evening] = [campaign for campaign in later.plan() if campaign.channel == "evening"]
        assert (evening.candidates, evening.excluded) == (1, {})
        [reason] = [r for r in later.explain("before", ADA) if r.newsletter == "evening"]
        assert "before the newsletter began" in reason.verdict
        assert load(path, {}).newsletters.keys() == {"morning", "evening"}


def test_one_reader_for_whom_there_is_too_little_stays_where_they_are(app: App, tmp_path: Path, clock: Clock):
    """Sent to alone below min_articles, a reader gets nothing, and loses nothing."""
    configured(app, min_articles=2)
    subscribe(app, ADA)
    news(app, tmp_path, "one")
    app.scan()
    app.make(app.order("morning", to=ADA))
    assert got(app) == {}
    news(app, tmp_path, "two")
    morning(app, clock)
    assert sorted(got(app)[ADA]) == ["one", "two"]


def test_a_slot_caught_up_on_after_a_cancelled_later_edition_loses_nothing(
    app: App, tmp_path: Path, clock: Clock
):
    """Readers whom a slot serves up to before the common place stay there, and have the rest next."""
    subscribe(app, ADA)
    news(app, tmp_path, "early")
    clock.go_on(hours=1.5)  # the slot passes while nothing runs
    news(app, tmp_path, "late")
    app.scan()
    campaign = app.make(app.order("morning"))
    assert campaign is not None
    app.cancel(campaign.id, reason="a mistake")
    app.run_once()
    assert got(app) == {ADA: ["early"]}
    morning(app, clock)
    assert got(app) == {ADA: ["early", "late"]}


def readers(app: App, count: int) -> None:
    subscribe(app, *(f"reader{n}@example.org" for n in range(count)))


@pytest.mark.parametrize(
    ("before", "after", "guard", "state"),
    [
        (100, 121, 20, "awaiting approval"),
        (100, 120, 20, "done"),
        (100, 200, 0, "done"),
        (5, 20, 20, "done"),  # a small list may grow fast
    ],
)
def test_an_audience_that_changed_much_asks_first(
    app: App, tmp_path: Path, clock: Clock, before: int, after: int, guard: int, state: str
):
    """An import that went wrong is seen before a mail goes out; approved, everybody gets theirs."""
    configured(app, audience_guard=guard)
    readers(app, before)
    news(app, tmp_path, "one")
    morning(app, clock)
    readers(app, after)
    news(app, tmp_path, "two")
    morning(app, clock)
    last = app.campaigns()[0]
    assert last.state == state
    if state == "awaiting approval":
        assert last.reason == "121 readers, 21 % more than the 100 of the last edition"
        app.approve(last.id)
        app.deliver()
    assert app.balance(last.id).accepted == after


def test_who_sends_by_hand_is_told_of_an_unusual_audience_and_not_asked_twice(
    app: App, tmp_path: Path, clock: Clock
):
    """The person at the keyboard sees it in the question."""
    readers(app, 100)
    news(app, tmp_path, "one")
    morning(app, clock)
    readers(app, 200)
    news(app, tmp_path, "two")
    app.scan()
    order = app.order("morning")
    assert "100 % more" in str(app.draft(order).unusual)
    campaign = app.make(order)
    assert campaign is not None
    assert campaign.state == "scheduled"


def test_what_is_approved_is_what_was_looked_at(app: App, tmp_path: Path, clock: Clock):
    """An approval names the content; of another it is none, and what was changed since is not sent."""
    configured(app, approval="required")
    subscribe(app, ADA)
    news(app, tmp_path, "one")
    morning(app, clock)
    [campaign] = app.campaigns()
    with pytest.raises(WrongState, match="look at it again"):
        app.approve(campaign.id, content="0123456789ab")
    app.approve(campaign.id, content=app.content_of(campaign.id)[:12])
    with app.database.write() as db:
        db.execute(update(schema.campaign).values(approved_content="something else"))
    app.deliver()
    assert got(app) == {}
    assert app.campaign(campaign.id).state == "paused"


def test_what_cannot_be_made_stops_nothing_else(tmp_path: Path, clock: Clock):
    """A post that fails, and a newsletter that fails, leave the others on their way."""
    channels = '[channels.fediverse]\nnetwork = "mastodon"\nmedia = "none"\n'
    evening = (
        '[newsletters.evening]\ntitle = "E"\nfrom = "news@news.example"\nproviders = ["outbox"]\n'
        'schedule = "0 7 * * *"\ntemplate = "mine"\n'
    )
    config = workspace(tmp_path, newsletter=CONFIG, config=evening + channels)
    own = tmp_path / "templates"
    (own / "social").mkdir(parents=True)
    (own / "email").mkdir()
    (own / "social/post.txt.j2").write_text("{{ 1 // 0 if article.title == 'odd' else article.title }}")
    for name in ("mine.mjml.j2", "mine.txt.j2"):
        (own / "email" / name).write_text("{{ 1 // 0 }}")
    with opened(config, clock) as app:
        app.scan()
        app.import_subscribers(["email\n", f"{ADA}\n"], default_lists=["morning", "evening"])
        for name in ("even", "odd", "plain"):
            news(app, tmp_path, name)
        clock.go_on(hours=1)
        with pytest.raises(TemplateError):
            app.run_once()
        assert {(c.channel, c.state) for c in app.campaigns()} == {("morning", "done"), ("fediverse", "done")}
        assert len(app.campaigns(channel="fediverse")) == 2
        (own / "social/post.txt.j2").unlink()
        for name in ("mine.mjml.j2", "mine.txt.j2"):
            (own / "email" / name).write_text((TEMPLATES / name.replace("mine", "digest")).read_text())
        clock.go_on(minutes=1)
        app.run_once()
        assert len(app.campaigns(channel="fediverse")) == 3
        assert [c.state for c in app.campaigns(channel="evening")] == ["done"]


def test_whoever_was_refused_gets_the_articles_of_a_cancelled_campaign_later(
    app: App, tmp_path: Path, clock: Clock
):
    """Refused before it was cancelled, or by a call that was under way: their next edition has it all."""
    subscribe(app, ADA, LIN)
    news(app, tmp_path, "one")
    clock.go_on(days=1)
    app.scan()
    [campaign] = app.plan()
    moods: list[Exception] = [Refused("mailbox full"), Refused("mailbox full")]

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        if moods:
            if len(moods) == 1:  # somebody cancels while the second call is being made
                with app.database.write() as db:
                    hands.hold(db, campaign.id)
                    campaigns.change_state(
                        db, campaign.id, CampaignState.CANCELLED, only_from=[CampaignState.SENDING]
                    )
                    hands.cancel(db, campaign.id, reason="a mistake")
            raise moods.pop(0)
        return Answer(receipt=batch.key)

    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=1, answer=answer))
    app.deliver()
    news(app, tmp_path, "two")
    morning(app, clock)
    assert {reader: sorted(names) for reader, names in got(app).items()} == {
        ADA: ["one", "two"],
        LIN: ["one", "two"],
    }
