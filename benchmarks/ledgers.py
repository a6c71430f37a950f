"""Workspaces with readers, and the two halves of an edition: planned and frozen, then delivered.

The functions that are timed run in processes of their own, so they take and return plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, process_time

import anyio

from benchmarks.databases import Databases
from benchmarks.readers import add_readers
from benchmarks.site import NEWSLETTER, NOW, opened, workspace
from distributor.addressing import Addressing
from distributor.app import App
from distributor.delivery.routes import EmailWay, Route
from distributor.delivery.worker import Worker
from distributor.editions import Editions
from distributor.model import Answer, Batch, Digest, Email, Picture
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import EmailLimits
from distributor.rendering.environment import environment

BATCH = 1000  # recipients for each call, as the large providers take them


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a piece of work took, in seconds."""

    began_at: float  # by a clock that all processes share
    ended_at: float
    cpu: float  # of this process

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


@contextmanager
def prepared(
    databases: Databases, *, readers: int, cohorts: int, articles: int = 10
) -> Iterator[tuple[Path, str]]:
    """A workspace and the address of its database: articles scanned, pictures ready, readers waiting."""
    with TemporaryDirectory(prefix="bench-ledger-") as name:
        folder, url = Path(name), databases.new()
        wanted = max(articles, cohorts)
        app = App(workspace(folder, articles=wanted, topics=cohorts, database_url=url), clock=_now)
        app.open()
        app.scan(since=NOW.replace(year=NOW.year - 1))
        app.pictures.prepare_all(app.articles()[0])
        app.close()
        add_readers(url, readers, topics=cohorts)
        yield folder, url
        databases.drop(url)


def freeze(folder: Path, url: str, readers: int) -> Spent:
    """Select, render and freeze an edition for everybody, and check that nobody was left out."""
    app = App(opened(folder, url), clock=_now)
    editions = _editions(app)
    spent = _spent(lambda: editions.make(editions.by_hand(NEWSLETTER, NOW), NOW))
    [campaign] = app.campaigns()
    balance = app.balance(campaign.id)
    assert (balance.queued, balance.gap) == (readers, 0), balance
    app.close()
    return spent


def deliver(folder: Path, url: str) -> Spent:
    """Claim, reach and record every batch that is due, with a provider that accepts at once."""
    app = App(opened(folder, url), clock=_now)
    worker = _worker(app)
    spent = _spent(lambda: anyio.run(worker.run))
    app.close()
    return spent


def accepted(folder: Path, url: str) -> int:
    """How many deliveries of the one campaign were accepted."""
    app = App(opened(folder, url), clock=_now)
    [campaign] = app.campaigns()
    balance = app.balance(campaign.id)
    app.close()
    return balance.accepted


class AcceptsAtOnce:
    """A provider without a network: what is measured is all that happens around it."""

    limits = EmailLimits(recipients_per_call=BATCH)

    def connected(self) -> AbstractAsyncContextManager[AcceptsAtOnce]:
        return nullcontext(self)

    async def send(
        self,
        batch: Batch,
        digest: Digest,
        emails: Sequence[Email],
        *,
        sender: Sender,
        media: Callable[[Picture], bytes],
    ) -> Answer:
        assert len(emails) == len(batch.recipients)
        return Answer(receipt=batch.key)


def _editions(app: App) -> Editions:
    return Editions(
        app.config,
        app.database,
        app.shelf,
        publication=app.publication,
        pictures=app.pictures,
        environment=environment(app.config.templates, "email"),
        batch_size=lambda _: BATCH,
    )


def _worker(app: App) -> Worker:
    newsletter = app.config.newsletters[NEWSLETTER]
    sender = Sender(from_=newsletter.from_, reply_to=None, list_name=newsletter.title, list_label=NEWSLETTER)
    return Worker(
        app.database,
        {NEWSLETTER: Route(ways=(EmailWay(name="at once", provider=AcceptsAtOnce(), sender=sender),))},
        Addressing(app.tokens, public_url=app.config.web.public_url, mark="bench", clock=_now),
        media=app.pictures.read,
        clock=_now,
    )


def _spent(work: Callable[[], object]) -> Spent:
    began_at, cpu = monotonic(), process_time()
    work()
    return Spent(began_at=began_at, ended_at=monotonic(), cpu=process_time() - cpu)


def _now() -> datetime:
    return NOW
