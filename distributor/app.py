"""The story: scan, plan, render, freeze, deliver. Composed once; the CLI, the daemon and the web call it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO
from zoneinfo import ZoneInfo

import anyio
import httpx
from sqlalchemy import Connection

from distributor import controls
from distributor.articles import feed, registry
from distributor.articles.hugo import HugoSite, read_site
from distributor.articles.page import Page
from distributor.articles.registry import Registered
from distributor.articles.scan import NEVER, ScannedFile, Stamp, scan
from distributor.articles.shelf import FEED, Shelf
from distributor.config import Config
from distributor.delivery.worker import Delivered, EmailRoute, SocialRoute, Worker
from distributor.editions import EVERYBODY, Choice, Draft, Editions, Order
from distributor.errors import ContentError, DistributorError, NotFound, Problem
from distributor.explain import Reason, explain
from distributor.model import Article, ArticleState, Campaign, Digest, Email, Post, Publication
from distributor.planning.slots import due_cadences, slots_between
from distributor.posts import Posts
from distributor.providers.email import outbox as email_outbox
from distributor.providers.email.mime import Sender
from distributor.providers.social import outbox as social_outbox
from distributor.rendering import fetch
from distributor.rendering.digest import digest
from distributor.rendering.environment import environment
from distributor.rendering.faults import faults
from distributor.rendering.pictures import MemoryIndex, Pictures
from distributor.rendering.preview import PreviewDigest, PreviewPost, write_preview
from distributor.store import accounts, campaigns, ledger
from distributor.store import articles as article_store
from distributor.store.accounts import Balance, BatchRow
from distributor.store.database import VERSION, Database
from distributor.store.freezing import Cohort
from distributor.store.media import MediaIndex
from subscribers import store as audience
from subscribers import transfer
from subscribers.model import Subscriber
from subscribers.tokens import Place, Tokens
from subscribers.transfer import Imported


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class Read:
    """What was read of the site and its feeds, before it is registered."""

    files: list[ScannedFile] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    unchanged: int = 0
    problems: list[Problem] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)  # to be kept with it, or not at all


@dataclass(slots=True, kw_only=True)
class Scanned:
    """What a scan found."""

    registered: Registered
    files: int  # that the site has
    read: int  # of these, that were new or changed
    problems: list[Problem] = field(default_factory=list)
    rewound: list[str] = field(default_factory=list)  # channels that `since` moved back
    kept: list[str] = field(default_factory=list)  # channels that have announced already


@dataclass(slots=True, kw_only=True)
class Ran:
    """What one round of the daemon did."""

    scanned: Scanned
    planned: list[Campaign]
    delivered: Delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An edition that the schedule will ask for."""

    newsletter: str
    at: datetime  # aware, UTC
    cadences: tuple[str, ...]
    readers: int
    articles: int | None  # that are waiting now; None for all but the next slot


@dataclass(frozen=True, slots=True, kw_only=True)
class PostAhead:
    """A post that is to come."""

    channel: str
    at: datetime | None  # aware, UTC; None: the next round plans it
    title: str


class App:
    """Everything the program does, on one configuration."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], datetime] = utc_now,
        http: httpx.Client | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.database = Database(config.database.url)
        self._http = http

    def close(self) -> None:
        self.database.close()

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
            logo=own.logo,
            font=str(own.font) if own.font else None,
        )

    @cached_property
    def pictures(self) -> Pictures:
        limits = self.config.pictures
        http = self._http or fetch.client(limits)
        index = MemoryIndex() if self.database.is_rehearsing else MediaIndex(self.database)
        return Pictures(limits.path, index, http, limits, self.publication)

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(self.site)

    @cached_property
    def editions(self) -> Editions:
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
        return Posts(
            self.config,
            self.database,
            self.shelf,
            publication=self.publication,
            pictures=self.pictures,
            environment=environment(self.config.templates, "social"),
        )

    @cached_property
    def routes(self) -> dict[str, EmailRoute | SocialRoute]:
        """Newsletter or channel -> its way out."""
        routes: dict[str, EmailRoute | SocialRoute] = {}
        for name, newsletter in self.config.newsletters.items():
            provider = newsletter.providers[0]
            sender = Sender(
                from_=newsletter.from_,
                reply_to=newsletter.reply_to,
                list_name=newsletter.title,
                list_label=name,
            )
            outbox = email_outbox.Outbox(self.config.providers[provider].path)
            routes[name] = EmailRoute(name=provider, provider=outbox, sender=sender)
        for name, channel in self.config.channels.items():
            account = social_outbox.Outbox(channel.path, channel=name)
            routes[name] = SocialRoute(name=f"{channel.network} outbox", provider=account)
        return routes

    @cached_property
    def tokens(self) -> Tokens:
        """Signs readers' links: under the configured secret, else under one that the database keeps."""
        secret = self.config.web.secret.get_secret_value()
        if not secret:
            with self.database.write() as db:
                secret = _once(db, "secret", lambda: secrets.token_urlsafe(32))
        return Tokens(secret.encode())

    def _batch_size(self, name: str) -> int:
        route = self.routes[name]
        assert isinstance(route, EmailRoute)
        return route.provider.limits.recipients_per_call

    def open(self) -> None:
        """Make sure that the tables are there, and are ours."""
        self.database.upgrade()
        with self.database.write() as db:
            _once(db, "installation", lambda: str(uuid.uuid4()))

    # --- scan ---

    def scan(self, *, since: datetime | None = None) -> Scanned:
        """Read what changed on the site, and number what came to be public.

        The first scan of a site announces nothing: what is public by then is taken as known, but for what was
        published at *since* or later. After that, *since* moves back the channels that announced nothing yet.

        Raises:
            ContentError: the content cannot be read; nothing is concluded from it.
        """
        now = self.clock()
        found = self._read_site(now) if self.site else Read()
        for url in self.config.site.feeds:
            self._read_feed(url, found)
        with self.database.write() as db:
            registered = registry.register(db, found.files, found.gone, now=now, since=since)
            for name, value in found.facts.items():
                article_store.keep_fact(db, name, value)
            self._begin_channels(db, now, registered)
            scanned = Scanned(
                registered=registered,
                files=len(found.files) + found.unchanged,
                read=len(found.files),
                problems=found.problems,
            )
            if since is not None and not registered.is_first:
                self._rewind(db, since, scanned)
        return scanned

    def _read_site(self, now: datetime) -> Read:
        """What changed in the content folder; everything, when the site itself changed."""
        self._look_at_site_anew()
        site = self.site
        assert site is not None
        with self.database.read() as db:
            stamps = article_store.stamps(db)
            is_current = article_store.read_fact(db, "fingerprint") == site.fingerprint
        known = {
            path: Stamp(mtime_ns=mtime_ns, size=size) if is_current else NEVER
            for path, (mtime_ns, size) in stamps.items()
            if not path.startswith(FEED)
        }
        found = scan(site, known, now=now)
        return Read(
            files=list(found.read),
            gone=set(found.gone),
            unchanged=found.unchanged,
            problems=[
                *site.problems,
                *found.problems,
                *(problem for file in found.read for problem in file.problems),
            ],
            facts={"fingerprint": site.fingerprint},
        )

    def _look_at_site_anew(self) -> None:
        """Its configuration may have changed since; what was composed of it is then composed again."""
        before = self.__dict__.pop("site", None)
        if before is not None and self.site != before:
            for part in ("publication", "pictures", "shelf", "editions", "posts"):
                self.__dict__.pop(part, None)

    def _read_feed(self, url: str, found: Read) -> None:
        """Add a feed's entries; one that cannot be had is a problem, and stops nothing."""
        with self.database.read() as db:
            etag, _, modified = (article_store.read_fact(db, f"tags of {url}") or "").partition("\n")
        http = self._http or fetch.client(self.config.pictures)
        try:
            answer = feed.fetch_feed(http, url, etag=etag or None, modified=modified or None)
            if answer.data is None:
                return
            result = feed.read_feed(url, answer.data, timezone=self.publication.timezone)
        except ContentError as error:
            found.problems.append(Problem(path=url, reason=str(error)))
            return
        found.files += (ScannedFile(path=FEED + page.path, stamp=NEVER, page=page) for page in result.pages)
        found.problems += result.problems
        found.facts[f"tags of {url}"] = f"{answer.etag or ''}\n{answer.modified or ''}"

    def _begin_channels(self, db: Connection, now: datetime, registered: Registered) -> None:
        baseline = int(article_store.read_fact(db, registry.BASELINE) or 0)
        start = baseline if registered.is_first else article_store.last_sequence(db)
        for name in self.config.newsletters:
            campaigns.ensure_channel(db, name, "newsletter", start=start, now=now)
            audience.ensure_list(db, name, served_through=start)
        for name in self.config.channels:
            campaigns.ensure_channel(db, name, "post", start=start, now=now)

    def _rewind(self, db: Connection, since: datetime, scanned: Scanned) -> None:
        first = article_store.first_sequence_since(db, since)
        if first is None:
            return
        for name, row in campaigns.channels(db).items():
            if row.start < first:
                continue
            if campaigns.campaigns(db, channel_name=name, limit=1):
                scanned.kept.append(name)
                continue
            campaigns.handled(db, name, through=first - 1)
            if row.kind == "newsletter":
                audience.stand_back(db, name, through=first - 1)
            scanned.rewound.append(name)

    # --- look ---

    def articles(self, *, new: bool = False) -> tuple[list[Article], list[Problem]]:
        """Every article the site has, as it stands now, newest first; and what is wrong with files.

        *new*: only those that are public and in no edition or post yet.
        """
        now = self.clock()
        with self.database.read() as db:
            rows = list(article_store.pages(db))
            registered = article_store.every_article(db)
            starts = [row.start for row in campaigns.channels(db).values() if row.kind == "newsletter"]
            baseline = int(article_store.read_fact(db, registry.BASELINE) or 0)
            wanted = article_store.unannounced(db, min(starts, default=baseline))
        found: dict[str, Article] = {}
        for row in rows:
            if row.data is None:
                continue
            article = Page.load(row.data).at(now)
            known = registered.get(row.article or 0)
            key = known.key if known else article.key
            if key not in found or (known and known.path == row.path):  # the page that speaks for it
                sequence = known.sequence if known else None
                found[key] = replace(article, key=key, path=row.path, sequence=sequence)
        listed = sorted(found.values(), key=lambda article: (article.published_at, article.key), reverse=True)
        if new:
            listed = [a for a in listed if a.key in wanted and a.state is ArticleState.PUBLIC]
        return listed, [problem for row in rows for problem in row.problems]

    def forecast(self, *, days: int) -> list[Expected]:
        """The editions of the next *days*: when, for whom, and what is waiting for the next of each."""
        now = self.clock()
        expected: list[Expected] = []
        with self.database.read() as db:
            readers = audience.counts(db)
            known = campaigns.channels(db)
            for name, newsletter in self.config.newsletters.items():
                zone = self.editions.zone(newsletter)
                begin = known[name].handled_at if name in known else now
                end = now + timedelta(days=days)
                for place, slot in enumerate(slots_between(newsletter.schedule, zone, begin, end)):
                    cadences = due_cadences(slot, EVERYBODY, zone)
                    count = sum(readers.get(name, {}).get(cadence, 0) for cadence in cadences)
                    waiting = self._waiting(db, name, cadences) if not place and name in known else None
                    expected.append(
                        Expected(
                            newsletter=name, at=slot.at, cadences=cadences, readers=count, articles=waiting
                        )
                    )
        return sorted(expected, key=lambda entry: (entry.at, entry.newsletter))

    def _waiting(self, db: Connection, name: str, cadences: tuple[str, ...]) -> int:
        order = self.editions.by_hand(name, self.clock())
        draft = self.editions.draft(db, replace(order, cadences=cadences), self.clock())
        return len({key for choice in draft.chosen() for key in choice})

    def posts_ahead(self) -> list[PostAhead]:
        """The posts that are queued, and those that the next round will plan (their `at` is None)."""
        now = self.clock()
        with self.database.read() as db:
            ahead = [
                PostAhead(channel=name, at=due_at, title=title)
                for name, due_at, title in accounts.posts_queued(db)
            ]
            for name, row in campaigns.channels(db).items():
                if row.kind == "post" and name in self.config.channels:
                    entries = self.shelf.public(db, beyond=row.start, now=now)
                    wanted = self.posts.wanted(name, entries)
                    ahead += (PostAhead(channel=name, at=None, title=a.title) for _, a in wanted)
        return ahead

    def explain(self, article: str, address: str) -> list[Reason]:
        """Why a reader has, will have or will not have an article, newsletter by newsletter."""
        found = self.article(article)
        with self.database.read() as db:
            ids = self.shelf.ids(db, [found.key])
            person = audience.find(db, address)
            return explain(db, self.config, ids.get(found.key), found, person)

    def article(self, name: str) -> Article:
        """The article that a person names by key, address, path or words of its title.

        Raises:
            NotFound: none is named so, or several are.
        """
        listed, _ = self.articles()
        for article in listed:
            if name.rstrip("/") in (article.key, article.path, article.url.rstrip("/")):
                return article
        with self.database.read() as db:
            key = self.shelf.key_of(db, name)
        return next(article for article in listed if article.key == key)

    def campaign(self, campaign_id: int) -> Campaign:
        with self.database.read() as db:
            return controls.the_campaign(db, campaign_id)

    def campaigns(self, *, channel: str | None = None, limit: int = 50) -> list[Campaign]:
        """The newest first."""
        with self.database.read() as db:
            return campaigns.campaigns(db, channel_name=channel, limit=limit)

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

    def database_status(self) -> dict[str, int | str]:
        """The version, and how many rows of each kind; `accounting_gap` is 0 unless the ledger is wrong."""
        with self.database.read() as db:
            gaps = sum(abs(accounts.balance(db, c.id).gap) for c in campaigns.campaigns(db, limit=1000))
            counts = accounts.row_counts(db)
        return {"version": VERSION, **counts, "accounting_gap": gaps}

    @property
    def zone(self) -> ZoneInfo:
        """The publisher's own time zone."""
        return ZoneInfo(self.publication.timezone)

    # --- plan and send ---

    def plan(self) -> list[Campaign]:
        """Freeze every edition and post that is due now."""
        now = self.clock()
        made = [self.editions.make(order, now) for order in self.editions.due(now)]
        return [campaign for campaign in made if campaign is not None] + self.posts.plan(now)

    def order(self, newsletter: str, articles: Sequence[str] = (), *, to: str | None = None) -> Order:
        """An edition by hand: of what is new to each reader, or of these articles by themselves.

        Raises:
            NotFound: there is no such newsletter, article or subscriber.
        """
        now = self.clock()
        self.editions.newsletter(newsletter)
        person = self.subscriber(to).id if to else None
        if not articles:
            return self.editions.by_hand(newsletter, now, subscriber=person)
        with self.database.read() as db:
            keys = [self.shelf.key_of(db, name) for name in articles]
            chosen = self.shelf.named(db, keys, now=now)
        return self.editions.single(newsletter, chosen, now, subscriber=person)

    def draft(self, order: Order) -> Draft:
        """Who would get what, if an order were made now."""
        with self.database.read() as db:
            return self.editions.draft(db, order, self.clock())

    def make(self, order: Order) -> Campaign | None:
        """Render and freeze an edition; None when it was made before."""
        return self.editions.make(order, self.clock())

    def post(self, key: str, channels: Sequence[str]) -> list[Campaign]:
        """Freeze a post of an article on each channel that has not had it."""
        now = self.clock()
        with self.database.read() as db:
            [(id_, article)] = self.shelf.named(db, [key], now=now)
        made = [self.posts.make(name, id_, article, now) for name in channels]
        return [campaign for campaign in made if campaign is not None]

    def approve(self, campaign_id: int) -> None:
        with self.database.write() as db:
            controls.approve(db, campaign_id)

    def pause(self, campaign_id: int) -> None:
        with self.database.write() as db:
            controls.pause(db, campaign_id)

    def resume(self, campaign_id: int) -> None:
        with self.database.write() as db:
            controls.resume(db, campaign_id)

    def cancel(self, campaign_id: int, *, reason: str) -> int:
        with self.database.write() as db:
            return controls.cancel(db, campaign_id, reason=reason)

    def retry(self, campaign_id: int) -> int:
        with self.database.write() as db:
            return controls.retry(db, campaign_id, now=self.clock())

    def settle(self, campaign_id: int, as_: str) -> int:
        with self.database.write() as db:
            return controls.settle(db, campaign_id, as_, now=self.clock())

    def deliver(
        self, only: Sequence[int] = (), *, progress: Callable[[int], None] = lambda recipients: None
    ) -> Delivered:
        """Hand everything that is due (of these campaigns, if any are named) to its provider."""
        worker = self.worker(progress=progress)
        try:
            return anyio.run(worker.run, tuple(only))
        except ExceptionGroup as group:  # several calls were under way, and fail of one cause
            raise group.exceptions[0] from group

    def worker(self, *, progress: Callable[[int], None] = lambda recipients: None) -> Worker:
        reach = partial(self.reach, tokens=self.tokens, mark=self._mark)
        return Worker(
            self.database,
            self.routes,
            reach=reach,
            media=self.pictures.read,
            clock=self.clock,
            progress=progress,
        )

    def reach(
        self, db: Connection, campaign: Campaign, recipients: Sequence[int], *, tokens: Tokens, mark: str
    ) -> Mapping[int, Email]:
        """The readers of a newsletter who may be written to at this moment, each with their slots."""
        list_id = audience.list_id(db, campaign.channel)
        public = self.config.web.public_url
        view = f"{public}/archive/{campaign.id}"
        found = {}
        for id_, (address, name) in audience.reachable(db, campaign.channel, recipients).items():
            token = tokens.make(Place(subscriber=id_, list=list_id))
            found[id_] = Email(
                key=f"{campaign.id}-{id_}-{mark}",
                recipient=id_,
                address=address,
                name=name,
                slots={
                    "name": name,
                    "unsubscribe_url": f"{public}/unsubscribe/{token}",
                    "preferences_url": f"{public}/preferences/{token}",
                    "view_url": view,
                },
            )
        return found

    @cached_property
    def _mark(self) -> str:
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
        scanned = self.scan(since=since)
        planned = self.plan()
        return Ran(scanned=scanned, planned=planned, delivered=self.deliver(progress=progress))

    # --- look before sending ---

    def preview(self, name: str, articles: Sequence[str], folder: Path) -> Path:
        """Show a newsletter's next edition, or a channel's posts, as files; the page to open.

        Raises:
            NotFound: there is no newsletter or channel of that name, or nothing to show.
        """
        if name in self.config.newsletters:
            return self._write_preview(folder, name, self._preview_digests(name, articles), [])
        if name not in self.config.channels:
            known = ", ".join((*self.config.newsletters, *self.config.channels)) or "(none)"
            raise NotFound(f"there is no newsletter or channel {name!r}; there are: {known}")
        with self.database.read() as db:
            keys = [self.shelf.key_of(db, article) for article in articles] or self._newest(db)
            entries = self.shelf.named(db, keys, now=self.clock())
        posts = [self.posts.render(name, article, self.clock()) for _, article in entries]
        return self._write_preview(folder, name, [], [self._shown(name, post) for post in posts])

    def _newest(self, db: Connection) -> list[str]:
        found = article_store.public_beyond(db, max(article_store.last_sequence(db) - 12, 0))
        if not found:
            raise NotFound("no article is public, so there is nothing to show")
        return [row.key for row in reversed(found[-6:])]

    def _preview_digests(self, name: str, articles: Sequence[str]) -> list[PreviewDigest]:
        """The editions its readers would get now; for a newsletter without news, one of what is newest."""
        newsletter = self.config.newsletters[name]
        order = self.order(name, articles)
        draft = self.draft(order)
        if not draft.chosen():
            with self.database.read() as db:
                keys = [self.shelf.key_of(db, article) for article in articles] or self._newest(db)
                order = self.editions.single(name, self.shelf.named(db, keys, now=self.clock()), self.clock())
                draft = self.editions.draft_of(db, order, keys, self.clock())
        readers: dict[Choice, list[Cohort]] = {}
        for cohort in draft.cohorts:
            if not isinstance(choice := draft.choices[cohort.key], str):
                readers.setdefault(choice, []).append(cohort)
        return [
            PreviewDigest(
                newsletter=newsletter.title,
                cohort=_who(cohorts),
                digest=self.editions.render(order, draft, choice),
                readers=sum(cohort.size for cohort in cohorts),
                pictures=self.editions.banners(draft, choice),
            )
            for choice, cohorts in readers.items()
        ]

    def preview_campaigns(self, ids: Sequence[int], folder: Path, *, title: str) -> Path:
        """Show what was frozen for these campaigns."""
        digests, posts = [], []
        with self.database.read() as db:
            for id_ in ids:
                campaign = controls.the_campaign(db, id_)
                for hash_, readers in campaigns.renditions_of(db, id_).items():
                    content = campaigns.rendition_of(db, hash_)
                    if isinstance(content, Post):
                        posts.append(self._shown(campaign.channel, content))
                    elif content is not None:
                        digests.append(self._frozen(campaign, content, readers))
        return self._write_preview(folder, title, digests, posts)

    def _frozen(self, campaign: Campaign, content: Digest, readers: int) -> PreviewDigest:
        newsletter = self.config.newsletters[campaign.channel]
        when = campaign.due_at.astimezone(self.zone)
        return PreviewDigest(
            newsletter=newsletter.title, cohort=f"{when:%A %d %B %Y, %H:%M}", digest=content, readers=readers
        )

    def _shown(self, name: str, content: Post) -> PreviewPost:
        return PreviewPost(channel=name, account=self.publication.title, post=content)

    def _write_preview(
        self, folder: Path, title: str, digests: Sequence[PreviewDigest], posts: Sequence[PreviewPost]
    ) -> Path:
        return write_preview(
            folder, title=title, digests=digests, posts=posts, media=self.config.pictures.path
        )

    def check(self) -> list[Problem]:
        """Whatever would keep this set-up from working: content, templates, database."""
        return [
            problem
            for part in (self._check_content, self._check_templates, self._check_database)
            for problem in part()
        ]

    def _check_content(self) -> list[Problem]:
        try:
            if self.site is not None:
                found = scan(self.site, {}, now=self.clock())
                in_files = [problem for file in found.read for problem in file.problems]
                return [*self.site.problems, *found.problems, *in_files]
        except DistributorError as error:
            return [Problem(path=str(self.config.site.content), reason=str(error))]
        return []

    def _check_templates(self) -> list[Problem]:
        """Compile them all, and render an invented article with those in use."""
        kinds = ("email", "social")
        found = [fault for kind in kinds for fault in faults(environment(self.config.templates, kind))]
        if found:
            return found
        sample = Article(
            key="sample",
            url=f"{self.publication.base_url}/sample/",
            title="A headline",
            summary="What it says.",
            published_at=self.clock(),
            path="sample.md",
        )
        with TemporaryDirectory() as folder:
            return [
                Problem(path=str(self.config.templates), reason=str(error))
                for error in self._rendering_errors(sample, Path(folder))
            ]

    def _rendering_errors(self, sample: Article, folder: Path) -> Iterator[DistributorError]:
        limits = self.config.pictures.model_copy(update={"path": folder})
        drawn = Pictures(folder, MemoryIndex(), fetch.client(limits), limits, self.publication)
        for newsletter in self.config.newsletters.values():
            try:
                digest(
                    self.publication,
                    newsletter,
                    [sample],
                    {sample.key: drawn.banner(sample)},
                    edition_at=self.clock(),
                    media_url=lambda picture: picture.name,
                    environment=environment(self.config.templates, "email"),
                )
            except DistributorError as error:
                yield error
        for name in self.config.channels:
            posts = Posts(
                self.config,
                self.database,
                self.shelf,
                publication=self.publication,
                pictures=drawn,
                environment=environment(self.config.templates, "social"),
            )
            try:
                posts.render(name, sample, self.clock())
            except DistributorError as error:
                yield error

    def _check_database(self) -> list[Problem]:
        try:
            self.database.upgrade()
        except DistributorError as error:
            return [Problem(path=str(self.config.path), reason=str(error))]
        return []

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
                db, lines, list_ids=lists, default_lists=default_lists, now=now, seen=seen
            )

    def _lists(self, db: Connection) -> dict[str, int]:
        """The id of each newsletter's list; one that was never scanned stands at the very beginning."""
        known = campaigns.channels(db)
        return {
            name: audience.ensure_list(db, name, served_through=known[name].start if name in known else 0)
            for name in self.config.newsletters
        }

    def export_subscribers(self, file: TextIO, *, newsletter: str | None = None) -> int:
        with self.database.read() as db:
            return transfer.write_csv(audience.everybody(db, name=newsletter), file)

    def subscriber(self, address: str) -> Subscriber:
        """The subscriber of that address.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as db:
            found = audience.find(db, address)
        if found is None:
            raise NotFound(f"nobody subscribes as {address}")
        return found

    def reader_counts(self) -> dict[str, dict[str, int]]:
        """Newsletter -> cadence -> confirmed readers."""
        with self.database.read() as db:
            return audience.counts(db)

    def everybody(self, *, newsletter: str | None = None) -> Iterator[Subscriber]:
        with self.database.read() as db:
            yield from audience.everybody(db, name=newsletter)


def _who(cohorts: Sequence[Cohort]) -> str:
    """The readers of one digest, by topics."""
    topics = [cohort.topics.replace(",", ", ") or "everything" for cohort in cohorts]
    return " · ".join(dict.fromkeys(topics))


def _once(db: Connection, name: str, make: Callable[[], str]) -> str:
    """A fact that is made up the first time it is asked for, and stays."""
    found = article_store.read_fact(db, name)
    if found is None:
        article_store.lock(db)
        found = article_store.read_fact(db, name) or make()
        article_store.keep_fact(db, name, found)
    return found
