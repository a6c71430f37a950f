"""What Prometheus is told: the truth of all processes together, whoever is asked, and cheaply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import update

from distributor.app import App
from distributor.measures import QUICK, SHARE, Measures
from distributor.model import Answer
from distributor.store import tallies
from distributor.store.schema import campaign
from tests.far_end import Recorder, through
from tests.web.reports import bounced, complained, endpoint, followed_up, report
from tests.workspace import Clock, opened, subscribe, workspace, write_article

CHANNEL = '[channels.toots]\nnetwork = "mastodon"\nmedia = "none"\n'
TOKEN = "a-token-that-scrapes"


class Ticks:
    """A clock of seconds that goes when told to, and by itself with every look at it."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def scraped(measures: Measures) -> dict[str, dict[tuple[str, ...], float]]:
    """Name -> values of the labels -> value."""
    text, _ = measures.exposition()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parsed(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, clock: Clock, database_url: str) -> Iterator[App]:
    with opened(workspace(tmp_path, config=CHANNEL, database=database_url), clock) as app:
        app.look()
        subscribe(app, "ada@example.org", "lin@example.org", "max@example.org")
        yield app


def an_edition(app: App, clock: Clock, folder: Path, name: str = "ferry") -> None:
    """Publish an article, and freeze what is due then."""
    write_article(folder, name, published_at=clock())
    clock.go_on(days=1)
    app.look()


def test_there_are_forty_series_and_each_says_what_it_is(app: App, clock: Clock, tmp_path: Path):
    """Names and labels as Prometheus wants them, with words for people."""
    an_edition(app, clock, tmp_path)
    app.deliver()
    text, content_type = Measures(app).exposition()
    families = {
        family.name: family for family in parsed(text.decode()) if family.name.startswith("distributor_")
    }
    assert content_type.startswith("text/plain")
    assert len(families) >= 40
    assert all(re.fullmatch("[a-z_]+", name) and family.documentation for name, family in families.items())
    with_samples = [name for name, family in families.items() if family.samples]
    assert len(with_samples) >= 35, families.keys() - set(with_samples)


def test_where_recipients_are_is_true_before_and_after_a_campaign_is_over(
    app: App, clock: Clock, tmp_path: Path
):
    """Accepted, refused and queued are counted the same from batches and from the tally that is kept."""
    refuse = lambda batch, mails: Answer(receipt="r", refused={mails[0].recipient: "no such box"})  # noqa: E731
    recorder = Recorder(tmp_path / "log", recipients_per_call=10, answer=refuse)
    through(app, recorder)
    an_edition(app, clock, tmp_path)
    queued = scraped(Measures(app))
    assert queued["distributor_deliveries"]["morning", "", "queued"] == 3
    assert queued["distributor_queue_recipients"]["morning",] == 3
    app.deliver()
    open_ = scraped(Measures(app))["distributor_deliveries"]
    assert open_["morning", "recorder", "accepted"] == 2
    assert open_["morning", "recorder", "refused"] == 1
    app.look()
    closed = scraped(Measures(app))
    assert closed["distributor_deliveries"] == open_
    assert closed["distributor_accounting_gap"][()] == 0
    with app.database.write() as db:
        assert tallies.close(db) == 0


def test_a_campaign_that_is_taken_up_again_is_counted_anew(app: App, clock: Clock, tmp_path: Path):
    """A retry after the tally moves its recipients, and none is counted twice."""
    answers = iter([Answer(refused={1: "full", 2: "full", 3: "full"}), Answer(receipt="r")])
    recorder = Recorder(tmp_path / "log", recipients_per_call=10, answer=lambda batch, mails: next(answers))
    through(app, recorder)
    an_edition(app, clock, tmp_path)
    app.deliver()
    app.look()
    [edition] = [found for found in app.campaigns() if found.channel == "morning"]
    assert app.retry(edition.id) == 3
    assert scraped(Measures(app))["distributor_deliveries"]["morning", "", "queued"] == 3
    app.deliver()
    app.look()
    mornings = {
        labels: count
        for labels, count in scraped(Measures(app))["distributor_deliveries"].items()
        if labels[0] == "morning" and count
    }
    assert mornings == {("morning", "recorder", "accepted"): 3}


def test_a_gap_in_the_accounts_shows(app: App, clock: Clock, tmp_path: Path):
    """Whether the campaign is open or over: a candidate that is nowhere is one too many."""
    an_edition(app, clock, tmp_path)
    with app.database.write() as db:
        db.execute(update(campaign).where(campaign.c.channel == "morning").values(candidates=5))
    assert scraped(Measures(app))["distributor_accounting_gap"][()] == 2
    app.deliver()
    app.look()
    assert scraped(Measures(app))["distributor_accounting_gap"][()] == 2
    assert app.database_status()["accounting_gap"] == 2


def test_figures_are_kept_for_longer_the_longer_they_take(app: App):
    """Scraped every second, the tables are asked four times a minute; a slow database far less often."""
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    sqlalchemy_event.listen(app.database.engine, "before_cursor_execute", count)
    ticks = Ticks()
    measures = Measures(app, ticks=ticks)
    measures.exposition()
    first, statements = statements, 0
    ticks.now += QUICK - 1
    measures.exposition()
    assert (first > 0, statements) == (True, 0)
    ticks.now += 1
    measures.exposition()
    assert 0 < statements < first
    slow = Ticks(step=10.0)
    measures = Measures(app, ticks=slow)
    measures.exposition()
    statements, slow.step = 0, 0.0
    slow.now += 10 * (SHARE - 5)
    measures.exposition()
    assert statements == 0


def test_what_was_reported_is_counted_once(tmp_path: Path, clock: Clock, database_url: str):
    """An event that comes twice counts once; bounces and complaints are rates of what was accepted."""
    web = f'metrics_token = "{TOKEN}"\n'
    with endpoint(tmp_path, clock, database_url, web=web) as (app, client):
        subscribe(app, "ada@example.org", "lin@example.org")
        recorder = Recorder(tmp_path / "log", recipients_per_call=10)
        through(app, recorder, name="postmark")
        an_edition(app, clock, tmp_path)
        app.deliver()
        keys = {address: key for key, address, _ in recorder.taken()}
        told = [
            bounced(keys["ada@example.org"], "ada@example.org", clock()),
            complained(keys["lin@example.org"], "lin@example.org", clock()),
        ]
        for _ in range(2):
            assert report(client, *told).status_code == 200
        followed_up(app)
        found = scraped(Measures(app))
        assert found["distributor_events_total"]["postmark", "bounced"] == 1
        assert found["distributor_events_total"]["postmark", "complained"] == 1
        assert found["distributor_bounce_ratio"]["postmark",] == 0.5
        assert found["distributor_complaint_ratio"]["postmark",] == 0.5
        assert found["distributor_suppressions"] == {("hard bounce",): 1, ("complained",): 1}


def test_nobody_scrapes_without_the_token(tmp_path: Path, clock: Clock, database_url: str):
    """Not from this machine either, for there may be a web server in front."""
    with endpoint(tmp_path, clock, database_url, web=f'metrics_token = "{TOKEN}"\n') as (_, client):
        assert client.get("/metrics").status_code == 401
        answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, "distributor_build_info" in answer.text) == (200, True)
        client.get("/wp-login.php")
        answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert 'distributor_web_requests_total{route="other",status="404"}' in answer.text
        assert "wp-login" not in answer.text


def test_without_a_token_there_is_nothing_to_scrape(tmp_path: Path, clock: Clock, database_url: str):
    """Who does not ask for it does not publish it."""
    with endpoint(tmp_path, clock, database_url) as (_, client):
        assert client.get("/metrics").status_code == 404


def test_a_database_that_is_away_is_a_figure(tmp_path: Path, clock: Clock):
    """What needs no table is told all the same, and nothing old for new."""
    with opened(workspace(tmp_path), clock) as app:
        measures = Measures(app)
        assert scraped(measures)["distributor_database_up"][()] == 1
        app.database.close()
        for file in (tmp_path / "var").glob("distributor.db*"):
            file.unlink()
        (tmp_path / "var/distributor.db").write_text("no database")
        measures = Measures(app)
        found = scraped(measures)
        assert found["distributor_database_up"][()] == 0
        assert "distributor_deliveries" not in found
        assert "distributor_build_info" in found


def test_a_site_that_is_away_keeps_no_figure_away(tmp_path: Path, clock: Clock):
    """Whoever is to find out why nothing is announced needs them then."""
    path = workspace(tmp_path)
    with opened(path, clock) as app:
        app.look()
    (tmp_path / "content").rmdir()
    with opened(path, clock) as app:
        found = scraped(Measures(app))
        assert found["distributor_database_up"][()] == 1
        assert found["distributor_accounting_gap"][()] == 0
        assert app.alerts() == []
