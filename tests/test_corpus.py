"""Thirty days of a real site and a thousand readers: each gets exactly what topics and dates allow."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import rtoml

from distributor.app import App
from distributor.config import load
from tests.far_end import Recorder, through
from tests.workspace import Clock

SOURCES = ("citybiz", "NewMediaWire", "24-7 Press Release", "Press Services", "Newsworthy.ai")
BEGIN = datetime(2025, 7, 22, 6, tzinfo=UTC)  # a Tuesday, an hour before the first slot
DAYS = 30

CONFIG = """
[site]
content = "{content}"

[providers.outbox]
type = "outbox"

[newsletters.morning]
title = "The Morning"
from = "The Morning <news@news.example>"
providers = ["outbox"]
schedule = "0 7 * * *"
topics = {topics}
"""


def test_a_month_of_a_real_site(corpus: Path, tmp_path: Path):
    """Every reader's union of articles is what their topics and dates allow, and no article comes twice."""
    config = tmp_path / "distributor.toml"
    config.write_text(CONFIG.format(content=corpus / "content", topics=rtoml.dumps(list(SOURCES))))
    clock = Clock(BEGIN)
    nowhere = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(404)))
    app = App(load(config, {}), clock=clock, http=nowhere)
    app.open()
    through(app, Recorder(tmp_path / "taken.log", recipients_per_call=500))
    assert app.scan().problems == []
    readers = _readers()
    rows = [f'{address},"{";".join(topics)}",{cadence}\n' for address, (topics, cadence) in readers.items()]
    app.import_subscribers(["email,topics,cadence\n", *rows], default_lists=["morning"])

    slots = [BEGIN + timedelta(days=day, hours=1) for day in range(DAYS)]
    for slot in slots:
        clock.time = slot
        app.run_once()
        assert all(app.balance(campaign.id).gap == 0 for campaign in app.campaigns(limit=1))

    articles = _articles(corpus)
    got: dict[str, list[str]] = {}
    for _, address, told in Recorder(tmp_path / "taken.log").taken():
        got.setdefault(address, []).extend(told)
    app.close()
    for address, (topics, cadence) in readers.items():
        last = _last_slot(slots, cadence)
        wanted = {
            key
            for key, (source, published_at) in articles.items()
            if published_at > BEGIN and last and published_at <= last and (not topics or source in topics)
        }
        received = Counter(got.get(address, []))
        assert set(received) == wanted, (address, topics, cadence)
        assert max(received.values(), default=1) == 1, address


def _readers() -> dict[str, tuple[tuple[str, ...], str]]:
    """Address -> topics and cadence: a dozen choices of topics, spread over a thousand people."""
    chance = random.Random(7)
    choices = [()] + [tuple(sorted(chance.sample(SOURCES, chance.randint(1, 4)))) for _ in range(11)]
    cadences = ("instant", "daily", "weekly", "monthly")
    return {f"r{n}@example.org": (chance.choice(choices), chance.choice(cadences)) for n in range(1000)}


def _articles(corpus: Path) -> dict[str, tuple[str, datetime]]:
    """article_id -> source and date, read without any of our own code."""
    found = {}
    for path in (corpus / "content").rglob("*.md"):
        front = rtoml.loads(path.read_text(encoding="utf-8").split("+++")[1])
        found[str(front["article_id"])] = (front["source"], datetime.fromisoformat(front["date"]))
    return found


def _last_slot(slots: list[datetime], cadence: str) -> datetime | None:
    """The last of the slots that serves a cadence: every day, Mondays, the first of a month."""
    serves: dict[str, Callable[[datetime], bool]] = {
        "instant": lambda slot: True,
        "daily": lambda slot: True,
        "weekly": lambda slot: slot.weekday() == 0,
        "monthly": lambda slot: slot.day == 1,
    }
    return max((slot for slot in slots if serves[cadence](slot)), default=None)
