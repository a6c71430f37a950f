"""Editions and posts as files to look at, before or after they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from distributor import controls
from distributor.editions import Choice
from distributor.errors import NotFound
from distributor.model import Campaign, Digest, Email, Post
from distributor.providers.email.mime import Message, Sender
from distributor.rendering.asking import MOST_LINKS, SpamScore, spam_score, unanswered
from distributor.rendering.lint import Finding, addresses_of, dead_links
from distributor.rendering.preview import SAMPLE, PreviewDigest, PreviewPost, write_preview
from distributor.store import articles as article_store
from distributor.store import campaigns
from distributor.store.freezing import Cohort

if TYPE_CHECKING:
    from distributor.app import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A page to look at, and what lint found in what it shows."""

    page: Path
    findings: Mapping[Finding, tuple[str, ...]]  # each with the digests or posts it is about
    is_linted: bool


def preview(app: App, name: str, articles: Sequence[str], folder: Path) -> Path:
    """The page of `look`."""
    return look(app, name, articles, folder).page


def look(app: App, name: str, articles: Sequence[str], folder: Path) -> Look:
    """Show a newsletter's next edition, or a channel's posts, as files, and look through them.

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
    posts = [
        _shown(app, name, app.posts.render(name, article, app.clock()), article.url) for _, article in entries
    ]
    return _written(app, folder, name, [], posts)


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
    digests = [
        PreviewDigest(
            newsletter=newsletter.title,
            cohort=_who(cohorts),
            digest=app.editions.render(order, draft, choice),
            readers=sum(cohort.size for cohort in cohorts),
            pictures=app.editions.banners(draft, choice),
        )
        for choice, cohorts in readers.items()
    ]
    return [_linted(app, name, shown, place) for place, shown in enumerate(digests)]


def preview_campaigns(app: App, ids: Sequence[int], folder: Path, *, title: str) -> Path:
    """Show what was frozen for these campaigns."""
    digests: list[PreviewDigest] = []
    posts: list[PreviewPost] = []
    with app.database.read() as db:
        for id_ in ids:
            campaign = controls.the_campaign(db, id_)
            for hash_, readers in campaigns.renditions_of(db, id_).items():
                content = campaigns.rendition_of(db, hash_)
                if isinstance(content, Post):
                    posts.append(_shown(app, campaign.channel, content, content.link))
                elif content is not None:
                    shown = _frozen(app, campaign, content, readers)
                    digests.append(_linted(app, campaign.channel, shown, len(digests)))
    return _written(app, folder, title, digests, posts).page


def _frozen(app: App, campaign: Campaign, content: Digest, readers: int) -> PreviewDigest:
    newsletter = app.config.newsletters[campaign.channel]
    when = campaign.due_at.astimezone(app.zone)
    return PreviewDigest(
        newsletter=newsletter.title, cohort=f"{when:%A %d %B %Y, %H:%M}", digest=content, readers=readers
    )


SPAM_CHECKS = 5  # mails of one preview, as each takes some seconds


def _linted(app: App, name: str, shown: PreviewDigest, place: int) -> PreviewDigest:
    if app.config.newsletters[name].lint == "off":
        return shown
    score = spam_score(_message(app, name, shown.digest)) if place < SPAM_CHECKS else None
    spam = (_as_spam(score),) if score and score.is_spam else ()
    return replace(
        shown,
        findings=(*app.editions.lint(name, shown.digest), *spam),
        remarks=(f"{score}.",) if score else (),
    )


def _message(app: App, name: str, content: Digest) -> bytes:
    """The mail as somebody would get it, but for its pictures, whose bytes spam filters do not read."""
    newsletter = app.config.newsletters[name]
    sender = Sender(
        from_=newsletter.from_,
        reply_to=newsletter.reply_to,
        list_name=newsletter.title,
        list_label=name,
    )
    message = Message(content, sender, date=app.clock(), media=lambda picture: b"")
    reader = Email(key="preview", recipient=0, address="robin@example.org", name=SAMPLE["name"], slots=SAMPLE)
    return message.to(reader)


def _as_spam(score: SpamScore) -> Finding:
    because = f": {', '.join(score.reasons)}" if score.reasons else ""
    return Finding(rule="spam", severity="warning", where="mail", message=f"is spam to {score}{because}")


def _shown(app: App, name: str, content: Post, address: str | None) -> PreviewPost:
    shown = PreviewPost(
        channel=name, account=app.publication.title, post=content, network=app.posts.network(name)
    )
    if app.config.channels[name].lint == "off":
        return shown
    return replace(shown, findings=tuple(app.posts.lint(name, content, address)))


def _written(
    app: App, folder: Path, title: str, digests: Sequence[PreviewDigest], posts: Sequence[PreviewPost]
) -> Look:
    remarks = []
    linted = [shown for shown in digests if shown.findings is not None]
    if linted and not any(shown.remarks for shown in linted):
        remarks.append("There is no spam checker here (spamc or spamassassin).")
    if app.config.site.check_links:
        digests, posts, remark = _answered(app, digests, posts)
        remarks += remark
    page = write_preview(
        folder, title=title, digests=digests, posts=posts, media=app.config.pictures.path, remarks=remarks
    )
    names = [(shown.cohort, shown.findings) for shown in digests]
    names += [(shown.post.title, shown.findings) for shown in posts]
    findings: dict[Finding, tuple[str, ...]] = {}
    for name, found in names:
        for finding in found or ():
            findings[finding] = (*findings.get(finding, ()), name)
    is_linted = any(found is not None for _, found in names)
    return Look(page=page, findings=findings, is_linted=is_linted)


def _answered(
    app: App, digests: Sequence[PreviewDigest], posts: Sequence[PreviewPost]
) -> tuple[list[PreviewDigest], list[PreviewPost], list[str]]:
    """The same, with the links that do not answer among their findings; and what is to be said of that."""
    contents: list[Digest | Post] = [
        *(shown.digest for shown in digests if shown.findings is not None),
        *(shown.post for shown in posts if shown.findings is not None),
    ]
    addresses = list(dict.fromkeys(address for content in contents for address in addresses_of(content)))
    wrong = unanswered(app.http, addresses)
    remark = [f"Only the first {MOST_LINKS} of {len(addresses)} links were asked whether they answer."]

    def more(found: tuple[Finding, ...] | None, content: Digest | Post) -> tuple[Finding, ...] | None:
        return None if found is None else (*found, *dead_links(content, wrong))

    return (
        [replace(shown, findings=more(shown.findings, shown.digest)) for shown in digests],
        [replace(shown, findings=more(shown.findings, shown.post)) for shown in posts],
        remark if len(addresses) > MOST_LINKS else [],
    )


def _who(cohorts: Sequence[Cohort]) -> str:
    """The readers of one digest, by topics."""
    topics = [cohort.topics.replace(",", ", ") or "everything" for cohort in cohorts]
    return " · ".join(dict.fromkeys(topics))
