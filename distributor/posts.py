"""Posts on channels: choose, render, freeze, and spread them over the day as the account wants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jinja2 import Environment
from sqlalchemy import Connection

from distributor.articles import registry
from distributor.articles.shelf import Entry, Shelf
from distributor.config import Channel, Config
from distributor.errors import DistributorError, NotFound, Refused
from distributor.model import Article, Campaign, CampaignState, Picture, Post, Publication
from distributor.planning import pacing, selection
from distributor.rendering import limits
from distributor.rendering.card import LANDSCAPE, PORTRAIT
from distributor.rendering.fitting import Shape
from distributor.rendering.lint import Finding, codes_in, held_back, lint_post
from distributor.rendering.pictures import Pictures
from distributor.rendering.post import post
from distributor.store import accounts, campaigns, freezing
from distributor.store import articles as article_store
from distributor.store import posts as post_store
from distributor.store.database import Database

POST, BREAKING = 10, 0  # priorities: the lower is claimed first


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
    ) -> None:
        self._config = config
        self._database = database
        self._shelf = shelf
        self._publication = publication
        self._pictures = pictures
        self._environment = environment

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
            failed: list[DistributorError] = []
            for id_, article in self.wanted(name, entries):
                try:
                    made.append(self.make(name, id_, article, now))
                except DistributorError as error:
                    failed.append(error)
            if row and through > row.start and not failed:
                with self._database.write() as db:
                    campaigns.handled(db, name, through=through)
            failures += failed
        if failures:
            raise failures[0]
        return [campaign for campaign in made if campaign is not None]

    def wanted(self, name: str, entries: Sequence[Entry]) -> list[Entry]:
        """Those that the channel announces."""
        topics = self.channel(name).topics
        return [entry for entry in entries if selection.is_for_channels(entry[1], topics)]

    def make(self, name: str, article_id: int, article: Article, now: datetime) -> Campaign | None:
        """Render and freeze one post; None when it was planned before."""
        slot = f"article {article_id}"
        with self._database.read() as db:
            if campaigns.campaign_at(db, name, slot) is not None:
                return None
        content: Post | str
        try:
            content = self.render(name, article, now)
        except Refused as error:
            content = str(error)
        with self._database.write() as db:
            article_store.lock(db)
            return self._freeze(db, name, slot, article_id, article, content, now)

    def render(self, name: str, article: Article, now: datetime) -> Post:
        """The post of an article on a channel.

        Raises:
            Refused: the network cannot take it as the channel is configured.
        """
        channel = self.channel(name)
        shown = self.pictures(channel, article)
        return post(self._publication, channel, article, shown, self._environment, utm=channel.utm, at=now)

    def pictures(self, channel: Channel, article: Article) -> list[Picture]:
        """What the channel shows of an article, within its network's limits."""
        network = limits.network(channel.network)
        shape = _shape(network.pictures)
        if channel.media == "none":
            return []
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
        return lint_post(content, link=channel.link, codes=codes, address=address)

    def _held_back(self, name: str, content: Post, address: str) -> str | None:
        """Why a person has to look at a post before it is sent, if so."""
        if self.channel(name).lint != "block":
            return None
        return held_back(self.lint(name, content, address))

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
        due_at = self._due_at(db, name, now)
        is_post = isinstance(content, Post)
        held = self._held_back(name, content, article.url) if isinstance(content, Post) else None
        planned = CampaignState.AWAITING_APPROVAL if held else CampaignState.SCHEDULED
        campaign = campaigns.add_campaign(
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
        if campaign is None or not isinstance(content, Post):
            return campaign
        hash_ = campaigns.keep_rendition(db, content, {article.key: article_id})
        freezing.freeze_post(db, campaign_id=campaign.id, rendition=hash_, due_at=due_at)
        post_store.add_post(
            db,
            campaign_id=campaign.id,
            channel=name,
            article_id=article_id,
            rendition=hash_,
            told=registry.told(article),
        )
        return campaign

    def _due_at(self, db: Connection, name: str, now: datetime) -> datetime:
        channel = self.channel(name)
        zone = ZoneInfo(channel.timezone or self._publication.timezone)
        return pacing.next_time(
            now,
            accounts.times_due(db, name, after=now - timedelta(days=2)),
            zone=zone,
            min_gap=channel.min_gap,
            max_per_day=channel.max_per_day,
            quiet_hours=channel.quiet_hours,
        )

    def channel(self, name: str) -> Channel:
        try:
            return self._config.channels[name]
        except KeyError:
            known = ", ".join(self._config.channels) or "(none)"
            raise NotFound(f"there is no channel {name!r}; there are: {known}") from None


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
