"""Posts on channels: choose, render, freeze, and spread them over the day as the account wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from jinja2 import Environment
from sqlalchemy import Connection

from distributor.articles import registry
from distributor.articles.shelf import Entry, Shelf
from distributor.config import Channel, Config
from distributor.delivery.routes import pace_of
from distributor.errors import DistributorError, NotFound, Refused
from distributor.instances import Usual
from distributor.model import BREAKING, Article, Campaign, CampaignState, Picture, Post, Publication
from distributor.planning import pacing, selection
from distributor.planning.pacing import Choice, Pace
from distributor.rendering import limits
from distributor.rendering.card import LANDSCAPE, PORTRAIT
from distributor.rendering.fitting import Shape
from distributor.rendering.lint import Finding, codes_in, held_back, lint_post
from distributor.rendering.pictures import Pictures
from distributor.rendering.post import cost, post, roundup
from distributor.store import accounts, campaigns, freezing
from distributor.store import articles as article_store
from distributor.store import posts as post_store
from distributor.store.database import Database
from distributor.tracing import span

NO_ROOM = "the account's day had no room for it: max_per_day"
POST = 10  # priority: the lower is claimed first


class Posts:
    """Plans, renders and freezes posts."""

    def __init__(
        self,
        config: Config,
        database: Database,
        shelf: Shelf,
        *,
        publication: Publication,
        pictures: Pictures,
        environment: Environment,
        instances: Usual,
    ) -> None:
        self._config = config
        self._database = database
        self._shelf = shelf
        self._publication = publication
        self._pictures = pictures
        self._environment = environment
        self._instances = instances

    def plan(self, now: datetime) -> list[Campaign]:
        """Freeze a post for each article that each channel has not looked at yet.

        Raises:
            DistributorError: the first of those that could not be made; the others were, and a channel that
                lacks one looks again.
        """
        made: list[Campaign | None] = []
        failures: list[DistributorError] = []
        for name in self._config.channels:
            with self._database.read() as db:
                row = campaigns.channels(db).get(name)
                through = article_store.last_sequence(db)
                entries = self._shelf.public(db, beyond=row.start, now=now) if row else []
                choice = self._choose(db, name, entries, now)
                is_leaving = any(post_store.is_leaving(db, name, id_) for id_, _ in entries)
            failed: list[DistributorError] = []
            for step in self._steps(name, choice, now):
                try:
                    made.append(step())
                except DistributorError as error:
                    failed.append(error)
            if row and through > row.start and not (failed or choice.waiting or is_leaving):
                with self._database.write() as db:
                    campaigns.handled(db, name, through=through)
            failures += failed
        if failures:
            raise failures[0]
        return [campaign for campaign in made if campaign is not None]

    def _choose(self, db: Connection, name: str, entries: Sequence[Entry], now: datetime) -> Choice:
        """What becomes now of the articles that the channel has not looked at."""
        channel = self.channel(name)
        new = [entry for entry in self.wanted(name, entries) if self._slot(db, name, entry[0])]
        pace = self._pace(channel)
        taken = accounts.times_due(db, name, after=now - pace.looks_back)
        return pacing.choose(new, channel.overflow, pacing.room(now, taken, pace))

    def _steps(self, name: str, choice: Choice, now: datetime) -> Iterator[Callable[[], Campaign | None]]:
        for id_, article in choice.posted:
            yield partial(self.make, name, id_, article, now)
        if choice.together:
            yield partial(self._make_roundup, name, choice.together, now)
        for id_, article in choice.left_out:
            yield partial(self._leave_out, name, id_, article, now, NO_ROOM)

    def _slot(self, db: Connection, name: str, article_id: int) -> str | None:
        """The slot of an article's next post on the channel; None while it has one there, or had its turn."""
        slot = f"article {article_id}"
        while (before := campaigns.campaign_at(db, name, slot)) is not None:
            row = post_store.post_of(db, before.id)
            if row is None or row.state != "gone":
                return None
            slot = f"article {article_id} again {before.id}"
        return slot

    def wanted(self, name: str, entries: Sequence[Entry]) -> list[Entry]:
        """Those that the channel announces."""
        topics = self.channel(name).topics
        return [entry for entry in entries if selection.is_for_channels(entry[1], topics)]

    def make(self, name: str, article_id: int, article: Article, now: datetime) -> Campaign | None:
        """Render and freeze one post; None when it was planned before."""
        with self._database.read() as db:
            slot = self._slot(db, name, article_id)
        if slot is None:
            return None
        content: Post | str
        try:
            with span("render", channel=name):
                content = self.render(name, article, now)
        except Refused as error:
            content = str(error)
        with span("freeze", channel=name), self._database.write() as db:
            article_store.lock(db)
            return self._freeze(db, name, slot, article_id, article, content, now)

    def _make_roundup(self, name: str, entries: Sequence[Entry], now: datetime) -> Campaign | None:
        """Freeze one post of what the day has no room for, and note of each article that it is in there."""
        day = now.astimezone(self.zone(name)).date()
        content: Post | str
        try:
            content = self.roundup(name, [article for _, article in entries], now)
        except Refused as error:
            content = str(error)
        with self._database.write() as db:
            article_store.lock(db)
            campaign = self._add(db, name, f"roundup {day} {entries[-1][0]}", entries[-1][1], content, now)
            if campaign is None:
                return None
            reason = f"in the roundup of {day}: campaign {campaign.id}"
            turns = [
                (self._skip(db, name, id_, article, now, reason), id_, article) for id_, article in entries
            ]
            if not isinstance(content, Post):
                return campaign
            hash_ = campaigns.keep_rendition(db, content, {article.key: id_ for id_, article in entries})
            freezing.freeze_post(db, campaign_id=campaign.id, rendition=hash_, due_at=campaign.due_at)
            for turn, id_, article in turns:
                if turn:
                    post_store.add_post(
                        db,
                        campaign_id=turn.id,
                        channel=name,
                        article_id=id_,
                        rendition=hash_,
                        told=registry.told(article),
                        roundup=campaign.id,
                    )
            return campaign

    def roundup(self, name: str, articles: Sequence[Article], now: datetime) -> Post:
        """One post of several articles on a channel.

        Raises:
            Refused: the network cannot take it as the channel is configured.
        """
        channel = self.channel(name)
        return roundup(
            self._publication, channel, articles, self._environment, at=now, network=self.network(name)
        )

    def _leave_out(
        self, name: str, article_id: int, article: Article, now: datetime, reason: str
    ) -> Campaign | None:
        with self._database.write() as db:
            article_store.lock(db)
            return self._skip(db, name, article_id, article, now, reason)

    def _skip(
        self, db: Connection, name: str, article_id: int, article: Article, now: datetime, reason: str
    ) -> Campaign | None:
        """Note that an article had its turn on the channel, and why it is not posted."""
        slot = self._slot(db, name, article_id)
        return self._add(db, name, slot, article, reason, now) if slot else None

    def render(self, name: str, article: Article, now: datetime) -> Post:
        """The post of an article on a channel.

        Raises:
            Refused: the network cannot take it as the channel is configured.
        """
        channel = self.channel(name)
        shown = self.pictures(channel, article)
        return post(
            self._publication,
            channel,
            article,
            shown,
            self._environment,
            utm=channel.utm,
            at=now,
            network=self.network(name),
        )

    def network(self, name: str) -> limits.Network:
        """What the channel's account takes."""
        return self._instances.network(self.channel(name))

    def correction(self, name: str, article: Article, now: datetime) -> Post:
        """What is answered to a post of an article that has changed since."""
        channel = self.channel(name).model_copy(update={"template": "correction", "thread": 1})
        wordless = replace(article, wishes=replace(article.wishes, social_text=None, text={}))
        return post(
            self._publication,
            channel,
            wordless,
            (),
            self._environment,
            utm=channel.utm,
            at=now,
            network=self.network(name),
        )

    def pictures(self, channel: Channel, article: Article) -> list[Picture]:
        """What the channel shows of an article, within its network's limits."""
        network = self._instances.network(channel)
        shape = _shape(network.pictures)
        if channel.media == "none":
            return []
        if channel.media == "link":
            if network.card != "ours" or network.name == "Discord":
                return []  # it makes the card itself, from the page
            in_card = replace(shape, max_bytes=network.card_bytes or shape.max_bytes)
            return [self._pictures.fitted(self._pictures.banner(article), in_card)]
        if channel.media == "card":
            size = _card_size(network.pictures)
            card = self._pictures.card(article, size, qr_target=article.url)
            return [self._pictures.fitted(card, shape)]
        if channel.media == "qr":
            return [self._pictures.fitted(self._pictures.qr(article), shape)]
        shown = [self._pictures.fitted(self._pictures.banner(article), shape)]
        if channel.link == "qr":  # the link itself is a picture then
            shown.append(self._pictures.fitted(self._pictures.qr(article), shape))
        return shown

    def lint(self, name: str, content: Post, address: str | None) -> list[Finding]:
        """What is wrong with a post; *address* is the article's, where that is known."""
        channel = self.channel(name)
        has_code = channel.media in ("card", "qr") or (channel.link == "qr" and channel.media != "none")
        codes = codes_in(content.pictures, self._pictures.read) if has_code else None
        return lint_post(content, link=channel.link, codes=codes, address=address, network=self.network(name))

    def _held_back(
        self, db: Connection, name: str, content: Post, address: str, due_at: datetime
    ) -> str | None:
        """Why a person has to look at a post before it is sent, if so."""
        channel = self.channel(name)
        if (spent := self.over_budget(db, name, content, due_at)) is not None:
            return spent
        return held_back(self.lint(name, content, address)) if channel.lint == "block" else None

    def over_budget(self, db: Connection, name: str, content: Post, due_at: datetime) -> str | None:
        """What a post would cost beyond the budget of the month in which it is due, in words."""
        channel = self.channel(name)
        if channel.monthly_budget is None:
            return None
        first, end = _month_of(due_at, self._pace(channel).zone)
        hashes = post_store.renditions_due(db, name, first, end)
        posts = [campaigns.rendition_of(db, hash_) for hash_ in hashes]
        spent = sum(cost(one) for one in posts if isinstance(one, Post))
        price = cost(content)
        if spent + price <= channel.monthly_budget:
            return None
        return (
            f"monthly_budget: ${spent:.2f} of ${channel.monthly_budget:.2f} are spent, "
            f"and this post costs ${price:.3f}"
        )

    def _freeze(
        self,
        db: Connection,
        name: str,
        slot: str,
        article_id: int,
        article: Article,
        content: Post | str,
        now: datetime,
    ) -> Campaign | None:
        due_at = self._due_at(db, name, article, now)
        if self._pace(self.channel(name)).is_too_old(article.published_at, due_at):
            content = f"older than max_age when it could be posted: {due_at:%Y-%m-%d %H:%M} UTC"
        campaign = self._add(db, name, slot, article, content, now)
        if campaign is None or not isinstance(content, Post):
            return campaign
        hash_ = campaigns.keep_rendition(db, content, {article.key: article_id})
        freezing.freeze_post(db, campaign_id=campaign.id, rendition=hash_, due_at=campaign.due_at)
        post_store.add_post(
            db,
            campaign_id=campaign.id,
            channel=name,
            article_id=article_id,
            rendition=hash_,
            told=registry.told(article),
        )
        return campaign

    def _add(
        self, db: Connection, name: str, slot: str, article: Article, content: Post | str, now: datetime
    ) -> Campaign | None:
        """The campaign of a post, or of the reason why there is none; None when there is one already."""
        is_post = isinstance(content, Post)
        due_at = self._due_at(db, name, article, now) if is_post else now
        held = self._held_back(db, name, content, article.url, due_at) if isinstance(content, Post) else None
        planned = CampaignState.AWAITING_APPROVAL if held else CampaignState.SCHEDULED
        return campaigns.add_campaign(
            db,
            Campaign(
                id=0,
                channel=name,
                kind="post",
                slot=slot,
                state=planned if is_post else CampaignState.SKIPPED,
                created_at=now,
                due_at=due_at,
                priority=BREAKING if article.wishes.breaking else POST,
                through=article.sequence or 0,
                candidates=1,
                excluded={} if is_post else {str(content): 1},
                reason=held if is_post else str(content),
            ),
        )

    def _due_at(self, db: Connection, name: str, article: Article, now: datetime) -> datetime:
        """When the account's limits let a post of the article out; breaking news waits for nothing."""
        if article.wishes.breaking:
            return now
        pace = self._pace(self.channel(name))
        taken = accounts.times_due(db, name, after=now - pace.looks_back)
        return pacing.next_time(now, taken, pace)

    def zone(self, name: str) -> ZoneInfo:
        """Whose days and quiet hours the channel keeps."""
        return self._pace(self.channel(name)).zone

    def _pace(self, channel: Channel) -> Pace:
        return pace_of(channel, self._publication.timezone)

    @property
    def channels(self) -> list[str]:
        return list(self._config.channels)

    def channel(self, name: str) -> Channel:
        try:
            return self._config.channels[name]
        except KeyError:
            known = ", ".join(self._config.channels) or "(none)"
            raise NotFound(f"there is no channel {name!r}; there are: {known}") from None


def _month_of(moment: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The month of a moment: from when, and until when."""
    first = moment.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return first.astimezone(UTC), following.astimezone(UTC)


def _card_size(allowed: limits.PictureLimits) -> tuple[int, int]:
    """As wide as a link's preview, or upright where the network takes nothing so wide."""
    return LANDSCAPE if (allowed.max_ratio or 2) >= LANDSCAPE[0] / LANDSCAPE[1] else PORTRAIT


def _shape(allowed: limits.PictureLimits) -> Shape:
    return Shape(
        max_bytes=allowed.max_bytes,
        max_width=allowed.max_width,
        max_height=allowed.max_height,
        max_pixels=allowed.max_pixels,
        formats=allowed.formats,
        min_ratio=allowed.min_ratio,
        max_ratio=allowed.max_ratio,
    )
