"""Everything that Prometheus is told: the tables' figures, true for all processes together, and our own.

The tables are asked when they are scraped, but never all the time: an answer is kept for a while, and the
longer it took the longer, so that scraping takes a twentieth of one processor at most, however much there is.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.samples import Sample
from sqlalchemy import Connection

from distributor import __version__
from distributor.delivery.quota import Window
from distributor.delivery.routes import Way, limits_of
from distributor.errors import DatabaseError, DistributorError
from distributor.metrics import LOCAL
from distributor.store import campaigns, figures, health, tallies
from distributor.store.database import VERSION
from distributor.store.tallies import GAP
from subscribers import store as audience

if TYPE_CHECKING:
    from distributor.app import App

QUICK, SLOW = 15.0, 300.0  # seconds for which figures are kept at least: of work in hand, and of stocks
SHARE = 20  # and for so many times as long as they took
MOST = 200  # series of one kind: beyond it there is something wrong with our names
RECENTLY = timedelta(days=7)

Labels = Sequence[str]
Rows = Iterable[tuple[Labels, float]]


@dataclass(slots=True)
class _Kept:
    """Figures as they were at a moment."""

    found: list[Metric]
    at: float
    seconds: float

    def is_fresh(self, now: float, least: float) -> bool:
        return now - self.at < max(least, self.seconds * SHARE)


class Measures:
    """What is scraped; one for a process."""

    def __init__(self, app: App, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._ticks = ticks
        self._kept: dict[str, _Kept] = {}
        self._lock = Lock()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All of it as text, in the form that *accept* asks for, and the form's name."""
        encode, content_type = choose_encoder(accept)
        return encode(self), content_type

    def collect(self) -> Iterator[Metric]:
        """Every figure; without the database, those that need none."""
        yield from LOCAL.collect()
        yield _info(
            "distributor_build", "The program.", version=__version__, python=platform.python_version()
        )
        with self._lock:
            try:
                for group, least, read in (("work", QUICK, _work), ("stock", SLOW, _stock)):
                    self._refresh(group, least, read)
                is_there = True
            except DatabaseError:
                is_there = False
            yield _gauge("distributor_database_up", "Whether the database answers.", (), [((), is_there)])
            for one in self._kept.values() if is_there else ():
                yield from one.found
            yield from self._of_figures()

    def _refresh(self, group: str, least: float, read: Callable[[App, Connection], Iterator[Metric]]) -> None:
        kept = self._kept.get(group)
        begun = self._ticks()
        if kept is not None and kept.is_fresh(begun, least):
            return
        with self._app.database.read() as db:
            found = list(read(self._app, db))
        ended = self._ticks()
        self._kept[group] = _Kept(found, at=ended, seconds=ended - begun)

    def _of_figures(self) -> Iterator[Metric]:
        now, kept = self._ticks(), self._kept
        yield _gauge(
            "distributor_figures_age_seconds",
            "How old the figures of the tables are.",
            ["group"],
            (([name], now - one.at) for name, one in kept.items()),
        )
        yield _gauge(
            "distributor_figures_seconds",
            "How long it took to read them.",
            ["group"],
            (([name], one.seconds) for name, one in kept.items()),
        )


# --- work in hand ---


def _work(app: App, db: Connection) -> Iterator[Metric]:
    now = app.clock()
    yield from _signs_of_life(app, db, now)
    yield from _campaigns(db)
    yield from _queue(db, now)
    yield from _providers(app, db, now)
    yield from _told(db, now)


def _signs_of_life(app: App, db: Connection, now: datetime) -> Iterator[Metric]:
    pulses = tallies.pulses(db).values()
    yield _gauge(
        "distributor_last_done_timestamp_seconds",
        "When a kind of work was last done, by whichever process: look, delivery.",
        ["what"],
        (([one.name], one.at.timestamp()) for one in pulses),
    )
    yield _gauge(
        "distributor_last_took_seconds",
        "How long it took the last time.",
        ["what"],
        (([one.name], one.seconds) for one in pulses if one.seconds is not None),
    )
    due_at = None
    with suppress(DistributorError):  # the site is away, or a template broken: the rest is true all the same
        due_at = app.next_due_at(after=now)
    yield _gauge(
        "distributor_next_due_timestamp_seconds",
        "When the schedule next asks for something.",
        (),
        [((), due_at.timestamp())] if due_at else [],
    )
    found = app.database.version() or "0"
    yield _info("distributor_schema", "The database.", version=found, expected=VERSION)
    sequence, published_at = figures.newest_article(db)
    yield _gauge("distributor_last_sequence", "The newest article's number.", (), [((), sequence)])
    yield _gauge(
        "distributor_last_published_timestamp_seconds",
        "When the newest article was first seen public.",
        (),
        [((), published_at.timestamp())] if published_at else [],
    )


def _campaigns(db: Connection) -> Iterator[Metric]:
    yield _gauge(
        "distributor_campaigns",
        "Editions and posts.",
        ["kind", "state"],
        figures.campaigns_by_state(db).items(),
    )
    placed = tallies.placed(db)
    yield _gauge(
        "distributor_deliveries",
        "Where all recipients are that ever were planned.",
        ["channel", "provider", "state"],
        (([p.channel, p.provider, p.state], p.count) for p in placed if p.state != GAP),
    )
    unclear: dict[str, int] = {}
    for one in placed:
        unclear[one.channel] = unclear.get(one.channel, 0) + (one.count if one.state == "unclear" else 0)
    yield _gauge(
        "distributor_unclear",
        "Recipients of whom nobody can say whether they were reached.",
        ["channel"],
        (([channel], count) for channel, count in unclear.items()),
    )
    yield _gauge(
        "distributor_accounting_gap",
        "Candidates that are neither excluded nor in any state: 0, or the ledger is wrong.",
        (),
        [((), sum(one.count for one in placed if one.state == GAP))],
    )


def _queue(db: Connection, now: datetime) -> Iterator[Metric]:
    waiting = {one.channel: one for one in figures.queue(db)}
    for name in campaigns.channels(db):
        waiting.setdefault(name, figures.Waiting(channel=name, batches=0, recipients=0, since=now))
    yield _gauge(
        "distributor_queue_recipients",
        "Recipients that wait.",
        ["channel"],
        (([one.channel], one.recipients) for one in waiting.values()),
    )
    yield _gauge(
        "distributor_queue_batches",
        "Calls that wait.",
        ["channel"],
        (([one.channel], one.batches) for one in waiting.values()),
    )
    yield _gauge(
        "distributor_queue_age_seconds",
        "For how long the first of a queue has been due; 0: it is for later.",
        ["channel"],
        (([one.channel], max(0.0, (now - one.since).total_seconds())) for one in waiting.values()),
    )
    yield _gauge(
        "distributor_sending_batches",
        "Calls under way.",
        ["provider"],
        (([name], count) for name, count in figures.sending(db).items()),
    )


def _providers(app: App, db: Connection, now: datetime) -> Iterator[Metric]:
    ways = {way.name: way for route in app.routes.values() for way in route.ways}
    healths = health.healths(db)
    known = [(name, healths[name]) for name in ways if name in healths]
    yield _gauge(
        "distributor_provider_up",
        "Whether a provider is called: 0 while it rests after failures, or its key is wrong.",
        ["provider"],
        (([name], not (name in healths and healths[name].is_out(now))) for name in ways),
    )
    yield _gauge(
        "distributor_provider_failures",
        "Calls in a row that came to nothing.",
        ["provider"],
        (([name], healths[name].failures if name in healths else 0) for name in ways),
    )
    yield _gauge(
        "distributor_provider_held_seconds",
        "For how long nobody calls it yet.",
        ["provider"],
        (
            ([name], (one.held_until - now).total_seconds())
            for name, one in known
            if one.held_until and one.is_held(now)
        ),
    )
    yield _gauge(
        "distributor_key_end_timestamp_seconds",
        "When the key of an account ends.",
        ["account"],
        (([name], at.timestamp()) for name, at in figures.keys_end_at(db).items()),
    )
    yield from _quotas(db, ways.values(), now)


def _quotas(db: Connection, ways: Iterable[Way], now: datetime) -> Iterator[Metric]:
    windows = [
        Window(limit=limit, history=health.history(db, (limit.name, limit.counts, limit.seconds))).at(
            now.timestamp()
        )
        for way in ways
        for limit in limits_of(way, None, now)
    ]
    of_limit = ["name", "counts", "seconds"]
    named = {(w.limit.name, w.limit.counts, str(w.limit.seconds)): w for w in windows}
    yield _gauge(
        "distributor_quota",
        "What a limit allows.",
        of_limit,
        ((key, w.limit.most) for key, w in named.items()),
    )
    yield _gauge(
        "distributor_quota_left", "What is left of it.", of_limit, ((key, w.free) for key, w in named.items())
    )


def _told(db: Connection, now: datetime) -> Iterator[Metric]:
    yield _gauge(
        "distributor_alerts",
        "What people were told and is so still, and what they are to be told yet.",
        ["kind", "state"],
        figures.alerts_open(db).items(),
    )
    yield _gauge(
        "distributor_events_waiting",
        "Reports that took no effect yet.",
        (),
        [((), figures.events_waiting(db))],
    )
    waiting, since = figures.at_the_gate(db)
    yield _gauge(
        "distributor_gate_waiting", "Articles that the public site does not show yet.", (), [((), waiting)]
    )
    age = (now - since).total_seconds() if since else 0.0
    yield _gauge(
        "distributor_gate_age_seconds", "For how long the first of them has waited.", (), [((), age)]
    )
    yield _gauge(
        "distributor_welcomes_waiting",
        "New readers to be welcomed.",
        (),
        [((), figures.welcomes_waiting(db))],
    )
    yield _counter(
        "distributor_events",
        "What providers reported.",
        ["provider", "type"],
        tallies.reported(db).items(),
    )


# --- stocks ---


def _stock(app: App, db: Connection) -> Iterator[Metric]:
    now = app.clock()
    yield _gauge(
        "distributor_articles",
        "Articles, and pages that will change by themselves or cannot be read.",
        ["state"],
        (([state], count) for state, count in figures.articles_by_state(db, now).items()),
    )
    yield _gauge(
        "distributor_posts",
        "Posts on networks.",
        ["channel", "state"],
        figures.posts_by_state(db).items(),
    )
    yield _gauge("distributor_subscribers", "Addresses that are known.", (), [((), figures.subscribers(db))])
    yield _gauge(
        "distributor_subscriptions",
        "Readers of each newsletter.",
        ["list", "state"],
        (
            ([name, state], count)
            for name, counts in audience.state_counts(db).items()
            for state, count in counts.items()
        ),
    )
    yield _gauge(
        "distributor_suppressions",
        "Addresses to which nothing may be sent.",
        ["reason"],
        (([reason], count) for reason, count in figures.suppressions(db).items()),
    )
    yield from _reception(db, now)
    yield from _disk(app)


def _reception(db: Connection, now: datetime) -> Iterator[Metric]:
    found = tallies.standings_since(db, now - RECENTLY)
    yield _gauge(
        "distributor_bounce_ratio",
        "Of the mails accepted in 7 days, those that no address took, for good.",
        ["provider"],
        (([provider], one.bounce_rate) for provider, one in found.items()),
    )
    yield _gauge(
        "distributor_complaint_ratio",
        "Of the mails accepted in 7 days, those that readers called spam.",
        ["provider"],
        (([provider], one.complaint_rate) for provider, one in found.items()),
    )


def _disk(app: App) -> Iterator[Metric]:
    """The disk that pictures, and a database that is a file, are on."""
    try:
        usage = shutil.disk_usage(app.config.home)
    except OSError:
        return
    yield _gauge("distributor_disk_bytes", "The disk of the workspace.", (), [((), usage.total)])
    yield _gauge("distributor_disk_free_bytes", "What is free of it.", (), [((), usage.free)])
    if (size := app.database.size()) is not None:
        yield _gauge("distributor_database_bytes", "The size of the database.", (), [((), size)])


# --- families ---


def _gauge(name: str, words: str, labels: Labels, rows: Rows) -> Metric:
    return _family(name, words, "gauge", labels, rows)


def _counter(name: str, words: str, labels: Labels, rows: Rows) -> Metric:
    return _family(name, words, "counter", labels, rows)


def _info(name: str, words: str, **values: str) -> Metric:
    return _gauge(f"{name}_info", words, list(values), [(list(values.values()), 1)])


def _family(name: str, words: str, kind: str, labels: Labels, rows: Rows) -> Metric:
    family = Metric(name, words, kind)
    sample = f"{name}_total" if kind == "counter" else name
    for values, value in islice(rows, MOST):
        family.samples.append(Sample(sample, dict(zip(labels, values, strict=True)), float(value)))
    return family
