"""Editions and posts as files to look at, before or after they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from distributor import controls
from distributor.editions import Choice
from distributor.errors import NotFound
from distributor.model import Campaign, Digest, Post
from distributor.rendering.preview import PreviewDigest, PreviewPost, write_preview
from distributor.store import articles as article_store
from distributor.store import campaigns
from distributor.store.freezing import Cohort

if TYPE_CHECKING:
    from distributor.app import App


def preview(app: App, name: str, articles: Sequence[str], folder: Path) -> Path:
    """Show a newsletter's next edition, or a channel's posts, as files; the page to open.

    Raises:
        NotFound: there is no newsletter or channel of that name, or nothing to show.
    """
    if name in app.config.newsletters:
        return _written(app, folder, name, _digests(app, name, articles), [])
    if name not in app.config.channels:
        known = ", ".join((*app.config.newsletters, *app.config.channels)) or "(none)"
        raise NotFound(f"there is no newsletter or channel {name!r}; there are: {known}")
    with app.database.read() as db:
        keys = [app.shelf.key_of(db, article) for article in articles] or _newest(db)
        entries = app.shelf.named(db, keys, now=app.clock())
    posts = [app.posts.render(name, article, app.clock()) for _, article in entries]
    return _written(app, folder, name, [], [_shown(app, name, post) for post in posts])


def _newest(db: Connection) -> list[str]:
    found = article_store.public_beyond(db, max(article_store.last_sequence(db) - 12, 0))
    if not found:
        raise NotFound("no article is public, so there is nothing to show")
    return [row.key for row in reversed(found[-6:])]


def _digests(app: App, name: str, articles: Sequence[str]) -> list[PreviewDigest]:
    """The editions its readers would get now; for a newsletter without news, one of what is newest."""
    newsletter = app.config.newsletters[name]
    order = app.order(name, articles)
    draft = app.draft(order)
    if not draft.chosen():
        with app.database.read() as db:
            keys = [app.shelf.key_of(db, article) for article in articles] or _newest(db)
            order = app.editions.single(name, app.shelf.named(db, keys, now=app.clock()), app.clock())
            draft = app.editions.draft_of(db, order, keys, app.clock())
    readers: dict[Choice, list[Cohort]] = {}
    for cohort in draft.cohorts:
        if not isinstance(choice := draft.choices[cohort.key], str):
            readers.setdefault(choice, []).append(cohort)
    return [
        PreviewDigest(
            newsletter=newsletter.title,
            cohort=_who(cohorts),
            digest=app.editions.render(order, draft, choice),
            readers=sum(cohort.size for cohort in cohorts),
            pictures=app.editions.banners(draft, choice),
        )
        for choice, cohorts in readers.items()
    ]


def preview_campaigns(app: App, ids: Sequence[int], folder: Path, *, title: str) -> Path:
    """Show what was frozen for these campaigns."""
    digests, posts = [], []
    with app.database.read() as db:
        for id_ in ids:
            campaign = controls.the_campaign(db, id_)
            for hash_, readers in campaigns.renditions_of(db, id_).items():
                content = campaigns.rendition_of(db, hash_)
                if isinstance(content, Post):
                    posts.append(_shown(app, campaign.channel, content))
                elif content is not None:
                    digests.append(_frozen(app, campaign, content, readers))
    return _written(app, folder, title, digests, posts)


def _frozen(app: App, campaign: Campaign, content: Digest, readers: int) -> PreviewDigest:
    newsletter = app.config.newsletters[campaign.channel]
    when = campaign.due_at.astimezone(app.zone)
    return PreviewDigest(
        newsletter=newsletter.title, cohort=f"{when:%A %d %B %Y, %H:%M}", digest=content, readers=readers
    )


def _shown(app: App, name: str, content: Post) -> PreviewPost:
    return PreviewPost(channel=name, account=app.publication.title, post=content)


def _written(
    app: App, folder: Path, title: str, digests: Sequence[PreviewDigest], posts: Sequence[PreviewPost]
) -> Path:
    return write_preview(folder, title=title, digests=digests, posts=posts, media=app.config.pictures.path)


def _who(cohorts: Sequence[Cohort]) -> str:
    """The readers of one digest, by topics."""
    topics = [cohort.topics.replace(",", ", ") or "everything" for cohort in cohorts]
    return " · ".join(dict.fromkeys(topics))
