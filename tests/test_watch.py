"""What a person is told, and that it is told once."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from distributor.app import App
from distributor.errors import AccountTrouble, Unclear
from distributor.model import Answer, DeliveryState
from distributor.store import alerts, ledger
from distributor.store.ledger import Lane
from distributor.store.schema import campaign
from tests.far_end import Recorder, through
from tests.wall import Wall, on
from tests.workspace import Clock, opened, subscribe, workspace, write_article

ACCOUNT = """
[channels.chat]
network = "telegram"
account = "@news"
key = "123456:a-token-of-a-bot"
media = "none"
base_url = "http://127.0.0.1:9"
{more}
"""


def test_an_unclear_post_is_told_with_the_command_that_settles_it(tmp_path: Path):
    """A worker died while it called a network that cannot be asked: a person looks, and is told once."""
    clock = Clock()
    with opened(workspace(tmp_path, config=ACCOUNT.format(more="")), clock) as app:
        app.look()
        write_article(tmp_path, "ferry", title="The ferry sails again", published_at=clock())
        clock.go_on(minutes=1)
        app.look()
        lane = Lane(provider="telegram @news", channels=("chat",), campaigns=())
        with app.database.write() as db:
            batch = ledger.claim(db, lane, worker="gone", now=clock(), lease=timedelta(seconds=20))
            assert batch
            ledger.calling(db, batch, provider=lane.provider, now=clock())
        assert app.alerts() == []
        clock.go_on(minutes=1)
        with app.database.write() as db:
            ledger.take_over(db, now=clock(), dead=[], repeatable={})
        [alert] = app.alerts()
        assert "The ferry sails again" in alert.text
        assert f"distributor campaigns settle {batch.campaign} --as accepted" in alert.text
        assert app.told(alert)
        assert app.alerts() == []
        assert app.balance(batch.campaign).unclear == 1
        app.settle(batch.campaign, "accepted")
        assert app.balance(batch.campaign).accepted == 1
        assert DeliveryState.UNCLEAR not in {row.state for row in app.open_batches(batch.campaign)}


def test_a_refused_post_is_told_until_it_is_tried_again(tmp_path: Path):
    """With the reason, and the command that tries it again; each refusal once."""
    clock = Clock()
    with opened(workspace(tmp_path, config=ACCOUNT.format(more="")), clock) as app:
        app.look()
        write_article(tmp_path, "ferry", title="The ferry sails again", published_at=clock())
        clock.go_on(minutes=1)
        app.look()
        lane = Lane(provider="telegram @news", channels=("chat",), campaigns=())
        for heard in (1, 2):
            with app.database.write() as db:
                batch = ledger.claim(db, lane, worker="w", now=clock(), lease=timedelta(seconds=20))
                assert batch
                ledger.finish(db, batch, DeliveryState.REFUSED, reason="400 the chat takes no links")
            [alert] = app.alerts()
            assert "the chat takes no links" in alert.text
            assert f"distributor campaigns retry {batch.campaign}" in alert.text
            assert app.told(alert)
            assert app.alerts() == []
            assert app.retry(batch.campaign) == 1, heard


def test_an_account_that_takes_nothing_is_told_of(tmp_path: Path):
    """Nobody answers there: after some tries the channel is left alone, and a person hears of it that day."""
    clock = Clock()
    with opened(workspace(tmp_path, config=ACCOUNT.format(more="")), clock) as app:
        app.look()
        for name in ("ferry", "storm", "harbour"):
            write_article(tmp_path, name, published_at=clock())
        clock.go_on(minutes=1)
        app.look()
        heard = []
        for _ in range(4):
            app.deliver()
            heard += [alert.text for alert in app.alerts() if app.told(alert)]
            clock.go_on(minutes=5)
        assert any("@news on telegram takes nothing now: no connection" in text for text in heard)
        assert all("token-of-a-bot" not in text for text in heard)


def test_a_post_that_awaits_approval_is_told(tmp_path: Path):
    """What is over the budget does not wait unseen."""
    clock = Clock()
    money = '[channels.news]\nnetwork = "x"\nmedia = "none"\nmonthly_budget = 0.1'
    with opened(workspace(tmp_path, config=money), clock) as app:
        app.look()
        write_article(tmp_path, "ferry", published_at=clock())
        clock.go_on(minutes=1)
        app.look()
        [alert] = app.alerts()
        assert "monthly_budget" in alert.text
        assert "distributor campaigns approve" in alert.text


@pytest.mark.parametrize(
    ("days", "told"),
    [(30, 0), (13.9, 1), (6.9, 1), (0.9, 1), (-1, 1)],
)
def test_a_key_that_ends_is_told_in_time(tmp_path: Path, days: float, told: int):
    """Fourteen, seven and one day before, and when it has ended; each once."""
    last_day = datetime(2026, 7, 15, 23, 59, tzinfo=UTC)
    more = (
        ACCOUNT.replace("telegram", "threads")
        .replace("@news", "17841400000000000")
        .format(more="expires = 2026-07-15")
    )
    clock = Clock(last_day - timedelta(days=days))
    with opened(workspace(tmp_path, config=more), clock) as app:
        assert len(app.alerts()) == told
        for alert in app.alerts():
            assert "17841400000000000" in alert.text
            app.told(alert)
        assert app.alerts() == []


def test_a_key_is_told_of_at_each_of_its_moments(tmp_path: Path):
    """From two weeks before to the end a person hears of it four times."""
    more = ACCOUNT.replace("telegram", "threads").replace("@news", "1784").format(more="expires = 2026-07-15")
    clock = Clock(datetime(2026, 6, 20, tzinfo=UTC))
    heard = 0
    with opened(workspace(tmp_path, config=more), clock) as app:
        for _ in range(40):
            clock.go_on(days=1)
            for alert in app.alerts():
                heard += app.told(alert)
    assert heard == 4


def test_posts_of_a_channel_that_is_gone_are_told_of(tmp_path: Path):
    """Once for the channel, however many wait."""
    clock = Clock()
    waiting = '[channels.news]\nnetwork = "mastodon"\nmedia = "none"\nquiet_hours = "05:00-12:00"'
    with opened(workspace(tmp_path, config=waiting), clock) as app:
        app.look()
        for name in ("ferry", "storm"):
            write_article(tmp_path, name, published_at=clock())
        clock.go_on(minutes=1)
        app.look()
    path = tmp_path / "distributor.toml"
    path.write_text(path.read_text().replace("[channels.news]", "[channels.chronicle]"))
    clock.go_on(hours=8)
    with opened(path, clock) as app:
        app.run_once()
        [alert] = app.alerts()
        assert alert.text.startswith("news: 2 of its posts wait")


def test_a_post_that_its_network_never_answers_is_told_of(tmp_path: Path):
    """It is looked for and tried again for ever; with others that go out, the account seems well."""
    clock = Clock()
    channel = '[channels.news]\nnetwork = "mastodon"\nmedia = "none"'
    with opened(workspace(tmp_path, config=channel), clock) as app:
        app.look()
        wall = on(app, Wall(found_after=timedelta(seconds=5)))
        wall.says = lambda action, text: Unclear("500") if "ferry" in text else None
        write_article(tmp_path, "ferry", published_at=clock())
        heard = []
        for number in range(20):
            write_article(tmp_path, f"other{number}", published_at=clock())
            clock.go_on(minutes=1)
            app.run_once()
            heard += [alert.text for alert in app.alerts() if app.told(alert)]
        assert len(wall.up) == 20
        [text] = heard
        assert "“ferry” was tried 5 times and is not there" in text
        assert "500" in text


def test_an_edition_that_awaits_approval_is_told_until_it_has_it(tmp_path: Path):
    """Once, with the command; and it is over when a person has approved it."""
    clock = Clock()
    with opened(workspace(tmp_path, newsletter='approval = "required"'), clock) as app:
        app.look()
        subscribe(app, "ada@example.org")
        write_article(tmp_path, "ferry", published_at=clock())
        clock.go_on(days=1)
        [edition] = app.look().planned
        [alert] = app.alerts()
        assert f"distributor campaigns approve {edition.id}" in alert.text
        assert open_alerts(app) == {"awaiting"}
        app.approve(edition.id)
        assert app.alerts() == []
        assert open_alerts(app) == set()


def test_mails_that_are_unclear_are_told_with_the_command_that_settles_them(tmp_path: Path):
    """Where the provider cannot be asked, at once; settled, they are over."""
    clock = Clock()
    with opened(workspace(tmp_path), clock) as app:
        app.look()
        subscribe(app, "ada@example.org", "lin@example.org")
        write_article(tmp_path, "ferry", published_at=clock())
        clock.go_on(days=1)
        app.look()
        through(app, Recorder(tmp_path / "log", answer=silent))
        app.deliver()
        [alert] = app.alerts()
        assert "nobody can say whether 2 mails of campaign" in alert.text
        assert "distributor campaigns settle" in alert.text
        [edition] = app.campaigns()
        app.settle(edition.id, "accepted")
        app.alerts()
        assert open_alerts(app) == set()


def silent(*_: object) -> Answer:
    raise Unclear("silence", can_clear=False)


def test_a_silent_site_a_full_disk_and_a_gap_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each once, by kind; and what is mended is over."""
    clock = Clock()
    with opened(workspace(tmp_path), clock) as app:
        write_article(tmp_path, "ferry", published_at=clock())
        app.look()
        subscribe(app, "ada@example.org")
        assert app.alerts() == []
        write_article(tmp_path, "storm", published_at=clock())
        clock.go_on(days=1)
        [edition] = app.look().planned
        clock.go_on(days=15)
        with app.database.write() as db:
            db.execute(update(campaign).where(campaign.c.id == edition.id).values(candidates=3))
        full = SimpleNamespace(total=10**11, free=10**9)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
        told = {alert.kind: alert.text for alert in app.alerts() if app.told(alert)}
        assert set(told) == {"silent", "disk", "gap"}
        assert "1,000 MB left (1.0 %)" in told["disk"]
        assert "2 readers are neither" in told["gap"]
        write_article(tmp_path, "harbour", published_at=clock())
        app.look()
        clock.go_on(minutes=6)
        assert app.alerts() == []
        assert open_alerts(app) == {"disk", "gap"}


def test_a_mail_provider_that_takes_nothing_is_told(tmp_path: Path):
    """With what it said, and no more than once a day."""
    clock = Clock()
    with opened(workspace(tmp_path), clock) as app:
        app.look()
        subscribe(app, "ada@example.org")
        write_article(tmp_path, "ferry", published_at=clock())
        clock.go_on(days=1)
        app.look()
        through(app, Recorder(tmp_path / "log", answer=wrong_key), name="outbox")
        app.deliver()
        [alert] = app.alerts()
        assert alert.text.startswith("outbox takes no mail now: 401 the key is revoked")


def wrong_key(*_: object) -> Answer:
    raise AccountTrouble("401 the key is revoked")


def open_alerts(app: App) -> set[str]:
    """The kinds of what is so still."""
    with app.database.read() as db:
        return {alert.kind for alert in alerts.alerts(db) if alert.cleared_at is None}


def test_what_happened_once_ends_by_its_age(tmp_path: Path):
    """A configuration that was wrong last month is no alert today, and the list does not grow for ever."""
    clock = Clock()
    with opened(workspace(tmp_path), clock) as app:
        app.alert("reload 1", "it was wrong")
        app.alerts()
        assert open_alerts(app) == {"reload"}
        clock.go_on(days=8)
        app.alerts()
        assert open_alerts(app) == set()
        clock.go_on(days=200)
        app.alerts()
        with app.database.read() as db:
            assert alerts.alerts(db) == []


def test_a_clock_that_is_behind_is_told(tmp_path: Path):
    """Set back by two days, the clock doubles nothing; a person is told, until it is right."""
    clock = Clock()
    with opened(workspace(tmp_path), clock) as app:
        app.scan()
        subscribe(app, "ada@example.org")
        write_article(tmp_path, "news", published_at=clock())
        clock.go_on(hours=2)
        assert [campaign.state for campaign in app.look().planned] == ["scheduled"]
        clock.go_on(days=-2)
        assert app.look().planned == []
        [alert] = app.alerts()
        assert "The clock here shows 2026-05-30 08:00 UTC" in alert.text
        clock.go_on(days=2)
        assert app.alerts() == []
