"""The story: scan, plan, render, freeze, deliver. Composed once; the CLI, the daemon and the web call it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from distributor import access, controls
from distributor.articles import registry
from distributor.articles.hugo import HugoSite, read_site
from distributor.articles.page import Page
from distributor.articles.shelf import Shelf
from distributor.config import Config
from distributor.controls import Overview
from distributor.errors import ContentError, DatabaseError, DistributorError, NotFound, Problem
from distributor.logs import Log
from distributor.model import Article, ArticleState, Campaign, DeliveryState, Publication
from distributor.scanning import Scanned, register_passed, scan_site
from distributor.signals import stopped_by_signals
from distributor.store import accounts, campaigns, ledger, outgoing, tallies, welcomes
from distributor.store import alerts as alert_store
from distributor.store import articles as article_store
from distributor.store import events as event_store
from distributor.store import gate as gate_store
from distributor.store import posts as post_store
from distributor.store import tokens as token_store
from distributor.store.accounts import Balance, BatchRow, DeliveryRow
from distributor.store.alerts import Alert
from distributor.store.articles import ArticleRow, PageRow, Registered
from distributor.store.database import VERSION, Database
from distributor.store.events import EventRow
from distributor.store.gate import Waiting
from distributor.store.media import MediaIndex
from distributor.store.posts import PostRow
from distributor.store.tokens import TokenRow
from distributor.tracing import span
from subscribers import store as audience
from subscribers import transfer
from subscribers.adding import Added
from subscribers.model import Entry, Evidence, Subscriber
from subscribers.tokens import Tokens
from subscribers.transfer import Imported

# What only some commands need is imported where it is composed: together it takes most of a second.
if TYPE_CHECKING:
    import httpx

    from distributor.ahead import Expected, PostAhead
    from distributor.alarm import Alarm
    from distributor.backups import Restored
    from distributor.corrections import Corrections
    from distributor.delivery.routes import Route
    from distributor.delivery.worker import Delivered, Worker
    from distributor.doctor import Finding
    from distributor.editions import Draft, Editions, Order
    from distributor.explain import Reason
    from distributor.measures import Measures
    from distributor.posts import Posts
    from distributor.reception import Joined, Reception, Wish
    from distributor.rendering.pictures import Pictures
    from distributor.retention import Pruned
    from distributor.standing import Standing


log = Log(__name__)
SETTLED = timedelta(seconds=10)  # after which no event with a lower number is about to be kept elsewhere

TIMEZONE = "timezone"  # the fact that says the site's
THOROUGHLY = timedelta(minutes=5)  # between looks for what changes seldom


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class Looked:
    """What was new on the site, and what was planned."""

    scanned: Scanned
    planned: list[Campaign]


@dataclass(slots=True, kw_only=True)
class Ran(Looked):
    """What one round did."""

    delivered: Delivered


class App:
    """Everything the program does, on one configuration."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        http: httpx.Client | None = None,
        database: Database | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self._sleep = sleep
        self.database = database or Database(config.database.url)
        self._http = http
        self._watched_at: datetime | None = None

    def close(self) -> None:
        self.database.close()

    def under(self, config: Config) -> App:
        """Another app on the same database, composed anew by another configuration."""
        return App(config, clock=self.clock, sleep=self._sleep, http=self._http, database=self.database)

    @classmethod
    @contextmanager
    def rehearsing(cls, config: Config, *, clock: Callable[[], datetime] = utc_now) -> Iterator[App]:
        """An app that may do everything but deliver, and of which nothing stays: for --dry-run."""
        with TemporaryDirectory() as folder:
            pictures = config.pictures.model_copy(update={"path": Path(folder)})
            app = cls(config.model_copy(update={"pictures": pictures}), clock=clock)
            if not app.database.exists():
                app.database = Database("sqlite://")  # in memory
            try:
                with app.database.rehearse():
                    app.open()
                    yield app
            finally:
                app.close()

    # --- what it is composed of ---

    @cached_property
    def site(self) -> HugoSite | None:
        """The Hugo site, as its own configuration describes it; None where there are only feeds."""
        site = self.config.site
        if site.content is None:
            return None
        return read_site(site.content, base_url=site.base_url, timezone=site.timezone)

    @cached_property
    def publication(self) -> Publication:
        own, site = self.config.site, self.site
        return Publication(
            title=own.title or (site.title if site else ""),
            base_url=site.base_url if site else own.base_url or "",
            language=own.language or (site.language if site else "en"),
            timezone=site.timezone if site else own.timezone or "UTC",
            color=own.color,
            imprint=own.imprint,
            logo=own.logo,
            font=str(own.font) if own.font else None,
        )

    @cached_property
    def pictures(self) -> Pictures:
        from distributor.rendering.pictures import MemoryIndex, Pictures

        limits = self.config.pictures
        index = MemoryIndex() if self.database.is_rehearsing else MediaIndex(self.database)
        return Pictures(limits.path, index, self.http, limits, self.publication)

    @cached_property
    def http(self) -> httpx.Client:
        """For pictures and feeds: guards the publisher's own network."""
        from distributor.rendering import fetch

        return self._http or fetch.client(self.config.pictures)

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(self.site)

    @cached_property
    def editions(self) -> Editions:
        from distributor.editions import Editions
        from distributor.rendering.environment import environment

        return Editions(
            self.config,
            self.database,
            self.shelf,
            publication=self.publication,
            pictures=self.pictures,
            environment=environment(self.config.templates, "email"),
            batch_size=self._batch_size,
        )

    @cached_property
    def posts(self) -> Posts:
        from distributor.instances import Instances
        from distributor.posts import Posts
        from distributor.rendering.environment import environment

        return Posts(
            self.config,
            self.database,
            self.shelf,
            publication=self.publication,
            pictures=self.pictures,
            environment=environment(self.config.templates, "social"),
            instances=Instances(self.database, clock=self.clock),
        )

    @cached_property
    def corrections(self) -> Corrections:
        from distributor.corrections import Corrections

        return Corrections(self.database, self.shelf, self.posts)

    @cached_property
    def reception(self) -> Reception:
        from distributor.notices import Notices
        from distributor.reception import Reception
        from distributor.rendering.environment import environment

        mails = environment(self.config.templates, "email")
        return Reception(
            self.database,
            self.tokens,
            Notices(self.config, publication=self.publication, environment=mails),
            self.config.newsletters,
            clock=self.clock,
        )

    @cached_property
    def routes(self) -> dict[str, Route]:
        """Newsletter or channel -> its ways out."""
        from distributor.ways import routes

        return routes(self.config, timezone=self._timezone)

    @property
    def _timezone(self) -> str:
        """The site's; while the site is away, the one that it had: what is frozen goes out all the same."""
        try:
            return self.publication.timezone
        except ContentError:
            with self.database.read() as db:
                return article_store.read_fact(db, TIMEZONE) or "UTC"

    @cached_property
    def tokens(self) -> Tokens:
        """Signs readers' links: under the configured secret, else under one that the database keeps."""
        secret = self.config.web.secret.get_secret_value()
        if not secret:
            with self.database.write() as db:
                secret = _once(db, "secret", lambda: secrets.token_urlsafe(32))
        return Tokens(secret.encode())

    def _batch_size(self, name: str) -> int:
        from distributor.ways import batch_size

        return batch_size(self.routes[name])

    def open(self) -> None:
        """Make sure that the tables are there, and are ours."""
        self.database.upgrade()
        with self.database.write() as db:
            _once(db, "installation", lambda: str(uuid.uuid4()))

    # --- scan ---

    def look_at_site_anew(self) -> None:
        """Its configuration may have changed since; what was composed of it is then composed again."""
        before = self.__dict__.pop("site", None)
        if before is not None and self.site != before:
            for part in ("publication", "pictures", "shelf", "editions", "posts", "reception"):
                self.__dict__.pop(part, None)

    def scan(self, *, since: datetime | None = None, settle: timedelta = timedelta(0)) -> Scanned:
        """Read what changed on the site, and number what came to be public.

        *settle*: files that were written to so shortly ago are left for the next time.

        Raises:
            ContentError: the content cannot be read; nothing is concluded from it.
        """
        scanned = scan_site(self, since=since, settle=settle)
        if scanned.registered.waiting and not self.database.is_rehearsing:
            from distributor import gate

            if gate.ask(self):
                register_passed(self, scanned)
        return scanned

    def deployed(self) -> None:
        """The site was deployed: what waits for it to show an article asks anew at the next look."""
        if self.config.site.gate != "off":
            with self.database.write() as db:
                gate_store.ask_anew(db, now=self.clock())

    # --- look ---

    def articles(self, *, new: bool = False) -> tuple[list[Article], list[Problem]]:
        """Every article the site has, as it stands now, newest first; and what is wrong with files.

        *new*: only those that are public and in no edition or post yet.
        """
        now = self.clock()
        with self.database.read() as db:
            rows = list(article_store.pages(db))
            registered = article_store.registered(db)
            starts = [row.start for row in campaigns.channels(db).values() if row.kind == "newsletter"]
            baseline = int(article_store.read_fact(db, registry.BASELINE) or 0)
            wanted = article_store.unannounced(db, min(starts, default=baseline))
            waiting = gate_store.waiting(db)
        found: dict[str, Article] = {}
        for row in rows:
            if row.data is None:
                continue
            known = registered.get(row.article or 0)
            article = _as_it_stands(row, known, waiting, now)
            if article.key not in found or (known and known.path == row.path):  # the page that speaks for it
                found[article.key] = article
        listed = sorted(found.values(), key=lambda article: (article.published_at, article.key), reverse=True)
        if new:
            listed = [a for a in listed if a.key in wanted and a.state is ArticleState.PUBLIC]
        return listed, [problem for row in rows for problem in row.problems]

    def next_due_at(self, *, after: datetime | None = None) -> datetime | None:
        """The first moment beyond *after* (else now) at which time alone makes something due, if any."""
        from distributor.ahead import next_due_at

        return next_due_at(self, after=after or self.clock())

    def forecast(self, *, days: int) -> list[Expected]:
        """The editions of the next *days*: when, for whom, and what is waiting for the next of each."""
        from distributor.ahead import forecast

        return forecast(self, days=days)

    def posts_ahead(self) -> list[PostAhead]:
        """The posts that are queued, and those that the next round will plan (their `at` is None)."""
        from distributor.ahead import posts_ahead

        return posts_ahead(self)

    def waiting(self) -> list[Article]:
        """What waits for the public site to show it, and why; longest first."""
        with self.database.read() as db:
            keys = gate_store.waiting(db)
        listed = {article.key: article for article in self.articles()[0]} if keys else {}
        return [listed[key] for key in keys if key in listed and listed[key].state is ArticleState.HELD]

    def explain(self, article: str, reader: str | int) -> list[Reason]:
        """Why a reader, by address or number, has, will have or will not have an article, by newsletter."""
        from distributor.explain import explain

        now = self.clock()
        found = self.article(article)
        with self.database.read() as db:
            ids = self.shelf.ids(db, [found.key])
            look = audience.person if isinstance(reader, int) else audience.find
            person = look(db, reader, now=now)  # type: ignore[arg-type]
            return explain(db, self.config, ids.get(found.key), found, person, zone=self.zone, now=now)

    def article(self, name: str) -> Article:
        """The article that a person names by key, address, path or words of its title.

        Raises:
            NotFound: none is named so, or several are.
        """
        if (registered := self._registered_as(name)) is not None:
            return registered
        listed, _ = self.articles()
        for article in listed:
            if name.rstrip("/") in (article.key, article.path, article.url.rstrip("/")):
                return article
        with self.database.read() as db:
            key = self.shelf.key_of(db, name)
        for article in listed:
            if article.key == key:
                return article
        raise NotFound(f"the site has no article {key!r} any more")

    def _registered_as(self, name: str) -> Article | None:
        """The article of that key, path or address, found without reading all there are."""
        with self.database.read() as db:
            known = self.shelf.registered(db, name)
            pages = article_store.pages_of(db, [known.id]) if known else []
            waiting = gate_store.waiting(db)
        readable = [row for row in pages if row.data is not None]
        readable.sort(key=lambda row: known is None or row.path != known.path)
        return _as_it_stands(readable[0], known, waiting, self.clock()) if readable else None

    def deliveries(
        self, campaign_id: int, *, after: int, limit: int, state: DeliveryState | None = None
    ) -> tuple[list[DeliveryRow], int | None]:
        """What became of a campaign for each recipient beyond *after*, and where to go on.

        Raises:
            NotFound: there is no such campaign.
        """
        with self.database.read() as db:
            controls.the_campaign(db, campaign_id)
            return accounts.deliveries_in(db, campaign_id, after=after, limit=limit, state=state)

    def events(
        self,
        *,
        after: int,
        limit: int,
        type_: str | None = None,
        provider: str | None = None,
        campaign_id: int | None = None,
    ) -> tuple[list[EventRow], int | None]:
        """What providers reported, in the order of its coming, beyond *after*; and where to go on."""
        until = self.clock() - SETTLED
        with self.database.read() as db:
            return event_store.beyond(
                db,
                after,
                limit=limit,
                until=until,
                type_=type_,
                provider=provider,
                campaign_id=campaign_id,
            )

    def campaign(self, campaign_id: int) -> Campaign:
        with self.database.read() as db:
            return controls.the_campaign(db, campaign_id)

    def campaigns(self, *, channel: str | None = None, limit: int = 50) -> list[Campaign]:
        """The newest first."""
        with self.database.read() as db:
            return campaigns.campaigns(db, channel_name=channel, limit=limit)

    def overview(self, campaign_id: int) -> Overview:
        """A campaign as programs are told of it.

        Raises:
            NotFound: there is none of that number.
        """
        with self.database.read() as db:
            return controls.overview(db, controls.the_campaign(db, campaign_id))

    def overviews(
        self, *, channel: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Overview]:
        """The newest first; *before*: only those of lower numbers."""
        with self.database.read() as db:
            found = campaigns.campaigns(db, channel_name=channel, before=before, limit=limit)
            return [controls.overview(db, campaign) for campaign in found]

    def titles(self, found: Iterable[Campaign]) -> dict[int, str]:
        """Campaign -> the article's title, for those that carry just one."""
        with self.database.read() as db:
            return accounts.titles_of(db, [campaign.id for campaign in found])

    def balance(self, campaign_id: int) -> Balance:
        """Where a campaign's candidates are; its gap is 0."""
        with self.database.read() as db:
            controls.the_campaign(db, campaign_id)
            return accounts.balance(db, campaign_id)

    def open_batches(self, campaign_id: int) -> list[BatchRow]:
        with self.database.read() as db:
            return accounts.batches_open(db, campaign_id)

    def standings(self) -> list[Standing]:
        """What holds providers up now."""
        from distributor.standing import standings

        with self.database.read() as db:
            return standings(db, self.routes, self.clock())

    def database_status(self) -> dict[str, int | str]:
        """The version, and how many rows of each kind; `accounting_gap` is 0 unless the ledger is wrong."""
        with self.database.read() as db:
            gaps = sum(placed.count for placed in tallies.placed(db) if placed.state == tallies.GAP)
            counts = accounts.row_counts(db)
        return {"version": VERSION, **counts, "accounting_gap": gaps}

    @property
    def zone(self) -> ZoneInfo:
        """The publisher's own time zone."""
        return ZoneInfo(self.publication.timezone)

    # --- plan and send ---

    def plan(self) -> list[Campaign]:
        """Freeze every edition and post that is due now.

        Raises:
            DistributorError: the first of those that could not be made; the others were.
        """
        now = self.clock()
        made: list[Campaign | None] = []
        failed: dict[str, DistributorError] = {}
        for order in self.editions.due(now):
            if order.name in failed:  # its slots are made in their order
                continue
            try:
                made.append(self.editions.make(order, now))
            except DistributorError as error:
                failed[order.name] = error
        for what, plan in (
            ("welcomes", self._welcome),
            ("corrections", self.corrections.plan),
            ("posts", self.posts.plan),
        ):
            try:
                made += plan(now)
            except DistributorError as error:
                failed[what] = error
        if failed:
            raise next(iter(failed.values()))
        return [_told(campaign) for campaign in made if campaign is not None]

    def _welcome(self, now: datetime) -> list[Campaign | None]:
        """Freeze what new readers are sent at once."""
        with self.database.read() as db:
            waiting = welcomes.waiting(db)
        made = []
        for name, subscriber, asked_at in waiting:
            if name in self.config.newsletters:
                order = self.editions.welcome(name, subscriber, asked_at, now)
                made.append(self.editions.make(order, now) if order else None)
            with self.database.write() as db:  # its slot says that it was made, should this not be kept
                welcomes.done(db, name, subscriber)
        return made

    def order(
        self,
        newsletter: str,
        articles: Sequence[str] = (),
        *,
        to: str | None = None,
        segment: str | None = None,
    ) -> Order:
        """An edition by hand: of what is new to each reader, or of these articles by themselves.

        Raises:
            NotFound: there is no such newsletter, article, subscriber or segment.
        """
        now = self.clock()
        self.editions.newsletter(newsletter)
        person = self.subscriber(to).id if to else None
        some = self.segment(segment) if segment else None
        if not articles:
            return self.editions.by_hand(newsletter, now, subscriber=person, segment=some)
        with self.database.read() as db:
            keys = [self.shelf.key_of(db, name) for name in articles]
            chosen = self.shelf.named(db, keys, now=now)
        return self.editions.single(newsletter, chosen, now, subscriber=person, segment=some)

    def draft(self, order: Order) -> Draft:
        """Who would get what, if an order were made now."""
        with self.database.read() as db:
            return self.editions.draft(db, order, self.clock())

    def make(self, order: Order) -> Campaign | None:
        """Render and freeze an edition; None when it was made before."""
        made = self.editions.make(order, self.clock())
        return made and _told(made)

    def post(self, key: str, channels: Sequence[str]) -> list[Campaign]:
        """Freeze a post of an article on each channel that has not had it."""
        now = self.clock()
        with self.database.read() as db:
            [(id_, article)] = self.shelf.named(db, [key], now=now)
        made = [self.posts.make(name, id_, article, now) for name in channels]
        return [_told(campaign) for campaign in made if campaign is not None]

    def withdraw(self, key: str, channels: Sequence[str]) -> list[Campaign]:
        """Take an article's posts back on these channels: what waits is cancelled, what is up deleted."""
        with self.database.read() as db:
            id_ = self.shelf.ids(db, [key])[key]
        return self.corrections.withdraw(id_, channels, self.clock())

    def posts_of(self, key: str, channels: Sequence[str]) -> list[PostRow]:
        """An article's posts on these channels that wait or are up."""
        with self.database.read() as db:
            id_ = self.shelf.ids(db, [key]).get(key)
            return [row for name in channels for row in post_store.posts_on(db, name, id_ or 0)]

    def syndication(self) -> dict[str, list[dict[str, str]]]:
        """Article's address -> its posts on networks: channel, network and address of each."""
        found: dict[str, list[dict[str, str]]] = {}
        with self.database.read() as db:
            for _, url, name, receipt in post_store.seen(db):
                channel = self.config.channels.get(name)
                if channel and receipt.url and receipt.url.startswith("https://"):
                    one = {"channel": name, "network": channel.network, "url": receipt.url}
                    found.setdefault(url, []).append(one)
        return found

    def follow_up(self) -> int:
        """Do what follows from the events that providers reported; how many were waiting."""
        from distributor.outcomes import follow_up

        count = follow_up(self.database, self.clock(), limits=self.config.reputation)
        if count:
            log.info("followed up", events=count)
        return count

    @cached_property
    def measures(self) -> Measures:
        """What Prometheus is told."""
        from distributor.measures import Measures

        return Measures(self)

    def alerts(self) -> list[Alert]:
        """What a person has to be told and was not; whoever tells it notes so with `told`.

        People who are named in `[alerts]` are told by the way, in a thread of its own.
        """
        from distributor.watch import watch

        now = self.clock()
        routes = self.routes
        is_thorough = self._watched_at is None or now - self._watched_at >= THOROUGHLY
        with self.database.write() as db:
            watch(db, self.config, routes, now, is_thorough=is_thorough)
            untold = alert_store.untold(db)
        self._watched_at = now if is_thorough else self._watched_at
        self.alarm.ring()
        return untold

    @cached_property
    def alarm(self) -> Alarm:
        """How people are told."""
        from distributor.alarm import Alarm

        title = self.config.site.title or ""
        with suppress(DistributorError):  # that the site is away is one of the things to be told
            title = self.publication.title
        return Alarm(self.config, self.database, title=title, clock=self.clock)

    def alert(self, key: str, text: str) -> None:
        """Note what a person has to be told."""
        with self.database.write() as db:
            alert_store.raise_alert(db, key, text, now=self.clock())

    def told(self, alert: Alert) -> bool:
        """Note that a person was told; False when another process did it first."""
        with self.database.write() as db:
            return alert_store.told(db, alert.key, now=self.clock())

    @property
    def backups(self) -> Path:
        """The folder that copies of the database go into, unless another file is named."""
        return self.config.home / "var/backup"

    def back_up(self, target: Path | None = None) -> Path:
        """Copy the database, whatever is written meanwhile; the file."""
        from distributor.backups import back_up
        from distributor.store.backups import write

        if target is None:
            return back_up(self.database, self.backups, self.clock())
        write(self.database, target)
        return target

    def restore(self, source: Path, *, replace: bool = False, is_up_to_date: bool = False) -> Restored:
        """Put a copy in the place of the database; see `distributor.backups.restore`."""
        from distributor.backups import restore

        return restore(
            self.database,
            source,
            self.backups,
            self.clock(),
            replace=replace,
            is_up_to_date=is_up_to_date,
        )

    def prune(self) -> Pruned:
        """Let go of what is older than it is to be kept."""
        from distributor.retention import prune

        return prune(self.database, self.config.retention, self.clock())

    def approve(
        self, campaign_id: int, *, content: str | None = None, once: access.Once | None = None
    ) -> None:
        now = self.clock()
        self._by_hand(once, lambda db: controls.approve(db, campaign_id, content=content, now=now))
        log.info("approved", campaign=campaign_id)

    def content_of(self, campaign_id: int) -> str:
        """The hash of all that was frozen for a campaign."""
        with self.database.read() as db:
            return campaigns.content_of(db, campaign_id)

    def pause(self, campaign_id: int, *, once: access.Once | None = None) -> None:
        self._by_hand(once, lambda db: controls.pause(db, campaign_id))
        log.info("paused", campaign=campaign_id)

    def resume(self, campaign_id: int, *, once: access.Once | None = None) -> None:
        self._by_hand(once, lambda db: controls.resume(db, campaign_id))
        log.info("resumed", campaign=campaign_id)

    def cancel(self, campaign_id: int, *, reason: str, once: access.Once | None = None) -> int:
        count = self._by_hand(once, lambda db: controls.cancel(db, campaign_id, reason=reason))
        log.info("cancelled", campaign=campaign_id, recipients=count, reason=reason)
        return count

    def retry(self, campaign_id: int, *, once: access.Once | None = None) -> int:
        count = self._by_hand(once, lambda db: controls.retry(db, campaign_id, now=self.clock()))
        log.info("queued again", campaign=campaign_id, recipients=count)
        return count

    def hooks(self) -> dict[str, dict[str, int]]:
        """Hook -> how much of what it was to be told is waiting, told or given up."""
        with self.database.read() as db:
            counts = outgoing.counts(db)
        return {name: counts.get(name, {}) for name in self.config.hooks}

    def retry_hook(self, name: str) -> int:
        """Have a hook told what was given up, from the next delivery on; how much that is.

        Raises:
            NotFound: there is no such hook.
        """
        if name not in self.config.hooks:
            known = ", ".join(self.config.hooks) or "(none)"
            raise NotFound(f"there is no hook {name!r}; there are: {known}")
        with self.database.write() as db:
            return outgoing.queue_given_up(db, name, now=self.clock())

    def settle(self, campaign_id: int, as_: str, *, once: access.Once | None = None) -> int:
        count = self._by_hand(once, lambda db: controls.settle(db, campaign_id, as_, now=self.clock()))
        log.info("settled", campaign=campaign_id, recipients=count, settled_as=as_)
        return count

    def _by_hand(self, once: access.Once | None, act: Callable[[Connection], int | None]) -> int:
        with self.database.write() as db:
            if once is None:
                return act(db) or 0
            return access.once(db, once, lambda: act(db) or 0, now=self.clock())

    def deliver(
        self,
        only: Sequence[int] = (),
        *,
        progress: Callable[[int], None] = lambda recipients: None,
        worker: Worker | None = None,
        until_stopped: bool = False,
    ) -> Delivered:
        """Hand everything that is due (of these campaigns, if any are named) to its provider.

        *worker*: one that somebody else may stop; *until_stopped*: and whatever comes to be due. Without
        either, Ctrl-C and SIGTERM end it when the calls under way are answered.
        """
        import anyio

        self.follow_up()  # a report that was kept before a crash may say that a call need not be repeated

        mine = worker or self.worker(progress=progress)
        try:
            with nullcontext() if worker else stopped_by_signals(mine.stop):
                return anyio.run(self._deliver, mine, tuple(only), until_stopped)
        except ExceptionGroup as group:  # several calls were under way, and fail of one cause
            raise _first_cause(group) from group

    async def _deliver(self, worker: Worker, only: tuple[int, ...], until_stopped: bool) -> Delivered:
        """Run a worker, and tell hooks beside it; or after it, where it ends by itself."""
        import anyio

        from distributor.delivery.teller import Teller

        teller = Teller(self.database, self.config.hooks, clock=self.clock)
        async with anyio.create_task_group() as beside:
            if until_stopped:
                beside.start_soon(partial(teller.run, until_stopped=True))
            try:
                delivered = await worker.run(only, until_stopped=until_stopped)
            finally:
                teller.stop()
        if not until_stopped and not only:
            await Teller(self.database, self.config.hooks, clock=self.clock).run()
        return delivered

    def worker(self, *, progress: Callable[[int], None] = lambda recipients: None) -> Worker:
        from distributor.addressing import Addressing
        from distributor.delivery.worker import Worker
        from distributor.rendering.pictures import stored

        readers = Addressing(
            self.tokens, public_url=self.config.web.public_url, mark=self.mark, clock=self.clock
        )
        return Worker(
            self.database,
            self.routes,
            readers,
            media=partial(stored, self.config.pictures.path),
            clock=self.clock,
            **({"sleep": self._sleep} if self._sleep else {}),
            progress=progress,
        )

    @cached_property
    def mark(self) -> str:
        """What tells this installation's message ids from every other's."""
        with self.database.read() as db:
            return ledger.installation(db).hex[:8]

    def run_once(
        self,
        *,
        since: datetime | None = None,
        progress: Callable[[int], None] = lambda recipients: None,
    ) -> Ran:
        """One round: scan, plan, deliver."""
        try:
            looked = self.look(since=since)
        except DistributorError:
            self.deliver(progress=progress)  # what is frozen does not wait for what cannot be made
            raise
        return Ran(scanned=looked.scanned, planned=looked.planned, delivered=self.deliver(progress=progress))

    def look(self, *, since: datetime | None = None, settle: timedelta = timedelta(0)) -> Looked:
        """Follow up what providers reported, scan, and plan what is due."""
        with self._looking():
            self.follow_up()
            scanned = self.scan(since=since, settle=settle)
            for key in scanned.registered.published:
                log.info("published", article=key)
            for key in scanned.registered.withdrawn:
                log.info("withdrawn", article=key)
            with span("plan"):
                return Looked(scanned=scanned, planned=self.plan())

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Around a look: how long it took, and that it was done; what is over is tallied."""
        from distributor.metrics import LOOKS

        begun, outcome = monotonic(), "failed"
        try:
            with span("look"):
                yield
            with self.database.write() as db:
                tallies.close(db)
                tallies.beat(db, "look", now=self.clock(), seconds=monotonic() - begun)
                article_store.keep_fact(db, TIMEZONE, self.publication.timezone)
            outcome = "done"
        finally:
            LOOKS.labels(outcome).observe(monotonic() - begun)

    # --- look before sending ---

    def preview(self, name: str, articles: Sequence[str], folder: Path) -> Path:
        """Show a newsletter's next edition, or a channel's posts, as files; the page to open.

        Raises:
            NotFound: there is no newsletter or channel of that name, or nothing to show.
        """
        from distributor.previews import preview

        return preview(self, name, articles, folder)

    def preview_campaigns(self, ids: Sequence[int], folder: Path, *, title: str) -> Path:
        """Show what was frozen for these campaigns."""
        from distributor.previews import preview_campaigns

        return preview_campaigns(self, ids, folder, title=title)

    def check(self) -> list[Problem]:
        """Whatever would keep this set-up from working: content, templates, database."""
        from distributor.checks import check

        return check(self)

    def check_settings(self) -> list[Problem]:
        """Whatever would keep this configuration from working, without a look at the content."""
        from distributor.checks import check_settings

        return check_settings(self)

    def doctor(self, **outside: Any) -> list[Finding]:
        """What the outside says of this set-up: accounts, DNS, web address, clock."""
        import anyio

        from distributor.config import secrets_of
        from distributor.doctor import Doctor, hidden
        from distributor.masking import hiding

        site = self.config.site.base_url or ""
        with suppress(DistributorError):
            site = self.publication.base_url
        one = Doctor(self.config, self.database, self.routes, site=site, clock=self.clock, **outside)
        return hidden(anyio.run(one.examine), hiding(secrets_of(self.config)))

    # --- the audience ---

    def import_subscribers(
        self,
        lines: Iterable[str],
        *,
        default_lists: Sequence[str] = (),
        seen: Callable[[int], None] = lambda rows: None,
    ) -> Imported:
        """Take subscribers from CSV onto the configured newsletters."""
        now = self.clock()
        with self.database.write() as db:
            lists = self._lists(db)
        return transfer.read_csv(
            self.database.write, lines, list_ids=lists, default_lists=default_lists, now=now, seen=seen
        )

    def _lists(self, db: Connection) -> dict[str, int]:
        """The id of each newsletter's list; one that was never scanned stands at the very beginning."""
        known = campaigns.channels(db)
        return {
            name: audience.ensure_list(db, name, served_through=known[name].start if name in known else 0)
            for name in self.config.newsletters
        }

    def add_subscriber(self, entry: Entry) -> Added:
        """Take one subscriber, who told the publisher so, onto configured newsletters."""
        with self.database.write() as db:
            lists = self._lists(db)
            return audience.add(db, [entry], list_ids=lists, now=self.clock(), source="hand")

    def export_subscribers(
        self, file: TextIO, *, newsletter: str | None = None, segment: str | None = None
    ) -> int:
        return transfer.write_csv(self.everybody(newsletter=newsletter, segment=segment), file)

    def subscriber(self, address: str) -> Subscriber:
        """The subscriber of that address.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as db:
            found = audience.find(db, address, now=self.clock())
        if found is None:
            raise NotFound(f"nobody subscribes as {address}")
        return found

    def person(self, number: int) -> Subscriber:
        """The subscriber of that number.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as db:
            found = audience.person(db, number, now=self.clock())
        if found is None:
            raise NotFound(f"there is no subscriber {number}")
        return found

    def people(self, *, after: int, limit: int, newsletter: str | None = None) -> list[Subscriber]:
        """The next subscribers (of one newsletter) by number, beyond *after*."""
        with self.database.read() as db:
            return audience.page(db, after=after, limit=limit, name=newsletter, now=self.clock())

    def add_reader(self, wish: Wish, evidence: Evidence) -> Joined:
        """Let somebody who agreed, as *evidence* says, be a reader of newsletters.

        Raises:
            ValueError: the wish cannot be granted to anybody.
            WrongState: they left, or nothing may be sent to them.
        """
        with self.database.write() as db:
            self._lists(db)
        return self.reception.join(wish, evidence)

    def reader_counts(self) -> dict[str, dict[str, int]]:
        """Newsletter -> cadence -> confirmed readers."""
        with self.database.read() as db:
            return audience.counts(db)

    def everybody(self, *, newsletter: str | None = None, segment: str | None = None) -> Iterator[Subscriber]:
        some = self.segment(segment) if segment else None
        with self.database.read() as db:
            yield from audience.everybody(db, name=newsletter, segment=some, now=self.clock())

    def segment(self, name: str) -> audience.Segment:
        """The segment of that name; its days are those of the site's time zone.

        Raises:
            NotFound: there is none.
        """
        if name not in self.config.segments:
            known = ", ".join(self.config.segments) or "(none)"
            raise NotFound(f"there is no segment {name!r}; there are: {known}")
        said = self.config.segments[name].model_dump()
        for day in ("joined_from", "joined_before"):
            if said[day] is not None:
                said[day] = datetime.combine(said[day], time(), self.zone)
        return audience.Segment(**said)

    def personal_data(self, address: str) -> dict[str, Any]:
        """All that is known of a subscriber, as JSON takes it.

        Raises:
            NotFound: there is no such subscriber.
        """
        found = self.reception.data_of(self.subscriber(address).id)
        assert found is not None
        return found

    def erase_subscriber(self, address: str) -> audience.Proof:
        """Forget a person, but for what keeps them from being brought back.

        Raises:
            NotFound: there is no such subscriber.
        """
        return self.erase_person(self.subscriber(address).id, Evidence(source="hand", at=self.clock()))

    def erase_person(self, number: int, evidence: Evidence) -> audience.Proof:
        """Forget the person of that number.

        Raises:
            NotFound: there is none.
        """
        proof = self.reception.erase_person(number, evidence)
        if proof is None:
            raise NotFound(f"there is no subscriber {number}")
        return proof

    def lists(self) -> list[str]:
        """The lists of the configured newsletters, and those of newsletters that were."""
        with self.database.read() as db:
            known = audience.list_names(db).values()
        return list(dict.fromkeys([*self.config.newsletters, *sorted(known)]))

    def readers_of(self, name: str) -> dict[str, int]:
        """State -> how many subscriptions to that list.

        Raises:
            NotFound: there is no such list.
        """
        if name not in (known := self.lists()):
            raise NotFound(f"there is no list {name!r}; there are: {', '.join(known)}")
        with self.database.read() as db:
            return audience.states_on(db, name)

    # --- who may use the API ---

    def add_token(self, name: str, scopes: Iterable[str], *, expires_at: datetime | None = None) -> str:
        """Make a token for the API; it is never shown again.

        Raises:
            NotFound: a scope is none.
            ValueError: there is a token of that name, or it would be over already.
        """
        with self.database.write() as db:
            return access.add(db, name, scopes, expires_at=expires_at, now=self.clock())

    def api_tokens(self) -> list[TokenRow]:
        """All tokens, by name."""
        with self.database.read() as db:
            return token_store.every(db)

    def api_token(self, name: str) -> TokenRow:
        """The token of that name.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as db:
            found = token_store.by_name(db, name)
        if found is None:
            raise NotFound(f"there is no token {name!r}; `distributor tokens list` shows them")
        return found

    def revoke_token(self, name: str) -> None:
        """End a token at once.

        Raises:
            NotFound: there is none of that name.
        """
        token = self.api_token(name)
        with self.database.write() as db:
            token_store.revoke(db, token.id)

    def token_holder(self, text: str) -> TokenRow | None:
        """Whose token it is, even if its time is over; that it was used is noted, to the hour."""
        now = self.clock()
        with self.database.read() as db:
            found = access.holder(db, text)
        if found is not None and not found.is_over(now) and access.is_use_news(found, now):
            # A database that is read only for now is no reason to refuse who only reads.
            with suppress(DatabaseError), self.database.write() as db:
                token_store.used(db, found.id, now=now)
        return found


def _told(campaign: Campaign) -> Campaign:
    """*campaign*, its planning having been told: what became of it, and why."""
    log.info(
        "planned",
        channel=campaign.channel,
        slot=campaign.slot,
        campaign=campaign.id,
        state=str(campaign.state),
        recipients=campaign.candidates - sum(campaign.excluded.values()),
        excluded=dict(campaign.excluded) or None,
        reason=campaign.reason,
    )
    return campaign


def _as_it_stands(
    row: PageRow, known: ArticleRow | Registered | None, waiting: Mapping[str, Waiting], now: datetime
) -> Article:
    """The article of a page, with its number; held, while it waits at the gate."""
    assert row.data is not None
    place = {"key": known.key, "sequence": known.sequence} if known else {"sequence": None}
    article = Page.load(row.data, path=row.path, **place).at(now)
    if article.state is not ArticleState.PUBLIC or article.key not in waiting:
        return article
    gate = waiting[article.key]
    times = f"asked {gate.asked} times since {gate.since:%Y-%m-%d %H:%M} UTC"
    reason = f"held: waits for the public site to show it: {gate.reason or 'not asked yet'} ({times})"
    return replace(article, state=ArticleState.HELD, reason=reason)


def _once(db: Connection, name: str, make: Callable[[], str]) -> str:
    """A fact that is made up the first time it is asked for, and stays."""
    found = article_store.read_fact(db, name)
    if found is None:
        article_store.lock(db)
        found = article_store.read_fact(db, name) or make()
        article_store.keep_fact(db, name, found)
    return found


def _first_cause(error: Exception) -> Exception:
    """What went wrong first; task groups stand in one another, and each wraps what went wrong in it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
