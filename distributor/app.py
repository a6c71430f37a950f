"""The story: scan, plan, render, freeze, deliver. Composed once; the CLI, the daemon and the web call it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TextIO

import anyio
import httpx
from sqlalchemy import Connection

from distributor.articles import feed, registry
from distributor.articles.hugo import HugoSite, read_site
from distributor.articles.page import Page
from distributor.articles.registry import Registered
from distributor.articles.scan import NEVER, ScannedFile, Stamp, scan
from distributor.articles.shelf import FEED, Shelf
from distributor.config import Config
from distributor.delivery.worker import Delivered, EmailRoute, SocialRoute, Worker
from distributor.editions import Editions
from distributor.errors import ContentError, NotFound, Problem
from distributor.model import Article, ArticleState, Campaign, Email, Publication
from distributor.posts import Posts
from distributor.providers.email import outbox as email_outbox
from distributor.providers.email.mime import Sender
from distributor.providers.social import outbox as social_outbox
from distributor.rendering import fetch
from distributor.rendering.environment import environment
from distributor.rendering.pictures import Pictures
from distributor.store import articles as article_store
from distributor.store import campaigns, ledger
from distributor.store.database import Database
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
        return Pictures(limits.path, MediaIndex(self.database), http, limits, self.publication)

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
            problems=[*found.problems, *(problem for file in found.read for problem in file.problems)],
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
            wanted = article_store.unannounced(db, int(article_store.read_fact(db, registry.BASELINE) or 0))
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
        from distributor.planning import slots

        now = self.clock()
        expected: list[Expected] = []
        with self.database.read() as db:
            readers = audience.counts(db)
            known = campaigns.channels(db)
            for name, newsletter in self.config.newsletters.items():
                zone = self.editions.zone(newsletter)
                previous = known[name].handled_at if name in known else now
                for at in slots.slots_between(
                    newsletter.schedule, zone, previous, now + timedelta(days=days)
                ):
                    slot = slots.Slot(at=at, previous=previous)
                    cadences = slots.due_cadences(slot, newsletter.cadences, zone)
                    count = sum(readers.get(name, {}).get(cadence, 0) for cadence in cadences)
                    is_next = all(entry.newsletter != name for entry in expected)
                    waiting = self._waiting(db, name, cadences, at) if is_next and name in known else None
                    expected.append(
                        Expected(newsletter=name, at=at, cadences=cadences, readers=count, articles=waiting)
                    )
                    previous = at
        return sorted(expected, key=lambda entry: (entry.at, entry.newsletter))

    def _waiting(self, db: Connection, name: str, cadences: tuple[str, ...], at: datetime) -> int:
        order = self.editions.by_hand(name, self.clock())
        draft = self.editions.draft(db, replace(order, cadences=cadences), self.clock())
        return len({key for choice in draft.chosen() for key in choice})

    # --- plan and send ---

    def plan(self) -> list[Campaign]:
        """Freeze every edition and post that is due now."""
        now = self.clock()
        made = [self.editions.make(order, now) for order in self.editions.due(now)]
        return [campaign for campaign in made if campaign is not None] + self.posts.plan(now)

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

    def run_once(self, *, since: datetime | None = None) -> Ran:
        """One round: scan, plan, deliver."""
        scanned = self.scan(since=since)
        planned = self.plan()
        return Ran(scanned=scanned, planned=planned, delivered=self.deliver())

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

    def everybody(self, *, newsletter: str | None = None) -> Iterator[Subscriber]:
        with self.database.read() as db:
            yield from audience.everybody(db, name=newsletter)


def _once(db: Connection, name: str, make: Callable[[], str]) -> str:
    """A fact that is made up the first time it is asked for, and stays."""
    found = article_store.read_fact(db, name)
    if found is None:
        article_store.lock(db)
        found = article_store.read_fact(db, name) or make()
        article_store.keep_fact(db, name, found)
    return found
