"""An edition of a newsletter as a mail: selected articles in, frozen subject, HTML and text out.

What a mail can hold is bounded, what a day can bring is not: an edition is laid out again, with less of
each article, until its HTML fits.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from jinja2 import Environment

from distributor.config import Newsletter
from distributor.model import Article, Carried, Digest, Picture, Publication
from distributor.rendering.body import mail_body, plain_body
from distributor.rendering.environment import exists, render
from distributor.rendering.filters import clip, direction, printable, tidy, web_address, with_utm
from distributor.slots import DIGEST_MARKS, MARKS, neutral, neutral_url

MAX_BYTES = 95_000  # of HTML: Gmail clips a mail above some 102 kB, and its unsubscribe link with it

LINK_BYTES = 200  # kept free for what each mark becomes

SUBJECT = 90  # characters

IMPRINT = 1_000  # characters

Role = Literal["lead", "item", "headline", "folded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture as a mail shows it."""

    src: str
    width: int  # pixels
    height: int
    alt: str

    def fit(self, width: int, height: int) -> Shown:
        """It, no larger than *width* x *height* pixels and no larger than it is."""
        scale = min(1, width / self.width, height / self.height)
        return replace(self, width=max(1, int(self.width * scale)), height=max(1, int(self.height * scale)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An article as templates see it: every text is one clean line of bounded length, and no mark."""

    key: str
    url: str  # empty when it has none that a mail can carry
    title: str  # never empty
    summary: str
    source: str
    authors: tuple[str, ...]
    published_at: datetime
    language: str
    breaking: bool
    section: str  # the heading under which it belongs; empty: under none
    picture: Shown | None
    thumbnail: Shown | None  # the same, small and light where one was made


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Stories under one heading; an empty title is the heading of what has no other."""

    title: str
    items: tuple[Story, ...]
    headlines: tuple[Story, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """How much of an edition is shown."""

    leads: int  # with a large picture
    items: int  # with teaser and picture, leads included
    headlines: int  # after them, by title only
    summary: float = 1.0  # share of a teaser's usual length
    body: int = MAX_BYTES  # bytes of the article's own text

    def role(self, place: int) -> Role:
        if place < self.leads:
            return "lead"
        if place < self.items:
            return "item"
        return "headline" if place < self.items + self.headlines else "folded"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edition:
    """All that the templates of one mail may say."""

    publication: Publication
    newsletter: Newsletter
    stories: tuple[Story, ...]
    count: int  # of articles, more than stories on an endless day
    edition_at: datetime
    body: str | None  # HTML that is fit for a mail
    environment: Environment

    @property
    def preheader(self) -> str:
        """What a mail program shows after the subject: what the subject leaves out."""
        titles = " · ".join(story.title for story in self.stories[1:4])
        summary = self.stories[0].summary
        return clip(titles or summary if self.body is None else summary or titles, 140)

    def html(self, plan: _Plan, subject: str) -> str:
        body = self._body(plan)
        values = self._values(plan) | {"subject": subject, "preheader": self.preheader}
        values["body"] = _BODY if body else ""
        # MJML never sees the article's own HTML: its parser wants XML, and its time grows with it.
        return render(self.environment, self._template("mjml"), **values).replace(_BODY, body)

    def text(self, plan: _Plan) -> str:
        values = self._values(plan) | {"body": neutral(plain_body(self._body(plan)))}
        text = render(self.environment, self._template("txt"), **values)
        return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"

    def subject(self, plan: _Plan) -> str:
        subject = render(self.environment, self._template("subject"), **self._values(plan))
        return tidy(subject, SUBJECT) or self.newsletter.title

    def _template(self, kind: str) -> str:
        """The newsletter's own template, or the shipped one where it has none of this kind."""
        usual = "digest" if self.body is None else "breaking"
        own = self.newsletter.template if self.body is None else f"{self.newsletter.template}-breaking"
        name = f"{own}.{kind}.j2"
        must_be = self.body is None and kind == "mjml"
        return name if must_be or exists(self.environment, name) else f"{usual}.{kind}.j2"

    def _values(self, plan: _Plan) -> dict[str, object]:
        language = self.publication.language
        shown = [
            replace(story, summary=clip(story.summary, int(_SUMMARY[plan.role(place)] * plan.summary)))
            for place, story in enumerate(self.stories[: plan.items + plan.headlines])
        ]
        return {
            "publication": self.publication,
            "newsletter": self.newsletter,
            "edition_at": self.edition_at,
            "language": language,
            "direction": direction(language),
            "words_file": words_of(self.environment, language),
            "site_url": neutral_url(web_address(self.publication.base_url)),
            "logo": neutral_url(web_address(self.publication.logo)),
            "utm": self.newsletter.utm,
            "slots": DIGEST_MARKS,
            "count": self.count,
            "stories": shown,
            "leads": shown[: plan.leads],
            "groups": _groups(shown, plan, self._headings()),
            "folded": self.count - len(shown),
        }

    def _headings(self) -> Iterable[str]:
        return map(_heading, self.newsletter.topics) if self.newsletter.sections == "topic" else ()

    def _body(self, plan: _Plan) -> str:
        if self.body is None or plan.body == MAX_BYTES:
            return self.body or ""
        return mail_body(self.body, base=self.publication.base_url, limit=plan.body)


def words_of(environment: Environment, language: str) -> str:
    """The file of the fixed words in a language (BCP 47), or in English."""
    names = (f"words.{language}.j2", f"words.{language.split('-')[0]}.j2")
    return next((name for name in names if exists(environment, name)), "words.j2")


_BODY = "@@body@@"  # no article can say this either

_SUMMARY: Mapping[Role, int] = {"lead": 320, "item": 180, "headline": 0, "folded": 0}  # characters


def digest(
    publication: Publication,
    newsletter: Newsletter,
    articles: Sequence[Article],
    pictures: Mapping[str, Picture],
    *,
    edition_at: datetime,
    media_url: Callable[[Picture], str],
    environment: Environment,
    body: str | None = None,
    topics: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    thumbnails: Mapping[str, Picture] = MappingProxyType({}),
) -> Digest:
    """The edition of *newsletter* that carries *articles*, of which there is at least one.

    *pictures* are banners by article key, *thumbnails* the small ones to stand beside teasers, where there
    are any; *media_url* says what the HTML calls each of them: an address, or `cid:HASH` for one that
    travels in the mail. *topics* are an article's by its key; where it has none there, the newsletter's own
    table of topics decides. With *body* (HTML), the first article is told in full and the others are
    headlines below it.

    Raises:
        TemplateError: when a template does not render.
    """
    ordered = _ordered(articles) if body is None else list(articles)
    media = _Media(banners=pictures, thumbnails=thumbnails, url=media_url)
    most = newsletter.max_articles  # more are never shown with a picture
    edition = _Edition(
        publication=_plain_publication(publication),
        newsletter=_plain_newsletter(newsletter),
        stories=tuple(
            _story(article, publication, newsletter, topics, media if place < most else None)
            for place, article in enumerate(ordered[:_MOST])
        ),
        count=len(ordered),
        edition_at=edition_at,
        body=None if body is None else _body(body, ordered[0], publication, newsletter),
        environment=environment,
    )
    return _frozen(edition, ordered, media)


def _frozen(edition: _Edition, ordered: Sequence[Article], media: _Media) -> Digest:
    """The fullest digest of *edition* that fits."""
    plans = list(_plans(edition, ordered))
    subject = edition.subject(plans[0])
    html = cache(lambda number: edition.html(plans[number], subject))
    # The plans grow ever smaller, so the first that fits is found by halving; mostly it is the very first.
    first = 0 if _fits(html(0)) else bisect_left(range(len(plans) - 1), True, key=lambda n: _fits(html(n)))
    plan = plans[first]
    return Digest(
        subject=subject,
        preheader=edition.preheader,
        html=html(first),
        text=edition.text(plan),
        language=edition.publication.language,
        pictures=media.attached(edition.stories[: plan.items], html(first)),
        articles=tuple(Carried(key=a.key, role=plan.role(place)) for place, a in enumerate(ordered)),
    )


def _fits(html: str) -> bool:
    return len(html.encode()) + LINK_BYTES * sum(map(html.count, MARKS.values())) <= MAX_BYTES


def _ordered(articles: Iterable[Article]) -> list[Article]:
    """Leads before all others, and each newest first."""
    newest = sorted(articles, key=lambda article: (article.published_at, article.key), reverse=True)
    return sorted(newest, key=lambda article: not _leads(article))


def _leads(article: Article) -> bool:
    return article.wishes.newsletter == "lead" or article.wishes.breaking or article.featured


_MOST = 1_000  # stories; that many headlines never fit, so no time is spent on more


def _plans(edition: _Edition, ordered: Sequence[Article]) -> Iterator[_Plan]:
    """Ever less: headlines go first, then teasers grow short, then items become headlines and go too."""
    count = len(edition.stories)
    most = 1 if edition.body is not None else min(count, edition.newsletter.max_articles)
    leads = min(most, 3, max(1, sum(map(_leads, ordered[:3]))))
    full = _Plan(leads=leads, items=most, headlines=count - most)
    for headlines in range(count - most, 0, -1):
        yield replace(full, headlines=headlines)
    full = replace(full, headlines=0)
    if edition.body is not None:
        yield from (replace(full, body=size) for size in range(MAX_BYTES, 0, -2_500))
        full = replace(full, body=0)
    yield from (replace(full, summary=share / 10) for share in (10, 8, 6, 4, 0))
    for items in range(most - 1, 0, -1):
        yield _Plan(leads=min(leads, items), items=items, headlines=most - items, summary=0, body=0)
    for headlines in range(most - 2, -1, -1):
        yield _Plan(leads=1, items=1, headlines=headlines, summary=0, body=0)


def _groups(stories: Sequence[Story], plan: _Plan, headings: Iterable[str]) -> list[Group]:
    """What follows the leads, under its headings in the order of *headings*; those without one come last."""
    items = stories[plan.leads : plan.items]
    headlines = stories[plan.items :]
    found = dict.fromkeys(story.section for story in (*items, *headlines))
    order = [*(heading for heading in headings if heading in found), *filter(None, found), ""]
    groups = (
        Group(
            title=title,
            items=tuple(story for story in items if story.section == title),
            headlines=tuple(story for story in headlines if story.section == title),
        )
        for title in dict.fromkeys(order)
    )
    return [group for group in groups if group.items or group.headlines]


def _story(
    article: Article,
    publication: Publication,
    newsletter: Newsletter,
    topics: Mapping[str, tuple[str, ...]],
    media: _Media | None,
) -> Story:
    picture, thumbnail = media.shown(article) if media else (None, None)
    title = _title(article) or neutral(tidy(publication.title, 200) or tidy(newsletter.title, 200))
    summary = neutral(tidy(article.summary, 400))
    return Story(
        key=article.key,
        url=neutral_url(web_address(article.url)),
        title=title,
        summary="" if summary == title else summary,
        source=neutral(tidy(article.source, 60)),
        authors=tuple(neutral(tidy(author, 60)) for author in article.authors[:5]),
        published_at=article.published_at,
        language=_language(article.language or publication.language),
        breaking=article.wishes.breaking,
        section=_section(article, newsletter, topics),
        picture=picture,
        thumbnail=thumbnail,
    )


def _title(article: Article) -> str:
    """The article's title, or what else names it."""
    path = urlsplit(web_address(article.url)).path.strip("/")
    return neutral(tidy(article.title, 200) or tidy(article.summary, 80) or tidy(path, 80))


def _section(article: Article, newsletter: Newsletter, topics: Mapping[str, tuple[str, ...]]) -> str:
    if newsletter.sections == "source":
        return neutral(tidy(article.source, 60))
    if newsletter.sections == "none":
        return ""
    known = topics.get(article.key) or tuple(_matching(article, newsletter.topics))
    return next((_heading(topic) for topic in newsletter.topics if topic in known), "")


def _heading(topic: str) -> str:
    """A topic's name above its section; it is shown as readers choose it, only with a capital letter."""
    return neutral(tidy(topic[:1].upper() + topic[1:], 60))


def _matching(article: Article, topics: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    words = (*article.tags, *article.categories, article.section, article.source or "")
    own = {word.casefold() for word in words if word}
    for topic, words in topics.items():
        if not own.isdisjoint(word.casefold() for word in words):
            yield topic


@dataclass(frozen=True, slots=True, kw_only=True)
class _Media:
    """The pictures of an edition by article key, and what its HTML calls each."""

    banners: Mapping[str, Picture]
    thumbnails: Mapping[str, Picture]
    url: Callable[[Picture], str]

    def shown(self, article: Article) -> tuple[Shown | None, Shown | None]:
        """An article's banner and thumbnail; a banner without one is its own."""
        banner, small = self.banners.get(article.key), self.thumbnails.get(article.key)
        large = _shown(banner, article, self.url) if banner else None
        return large, (_shown(small, article, self.url) if small else None) or large

    def attached(self, stories: Iterable[Story], html: str) -> tuple[Picture, ...]:
        """The pictures that *html* names as `cid:HASH`, each once."""
        own = (known.get(story.key) for story in stories for known in (self.banners, self.thumbnails))
        named = {picture.hash: picture for picture in own if picture}
        return tuple(picture for picture in named.values() if f'"cid:{picture.hash}"' in html)


def _shown(picture: Picture, article: Article, media_url: Callable[[Picture], str]) -> Shown | None:
    """*picture* under an address that a mail can show, or nothing."""
    url = media_url(picture)
    src = url if url == f"cid:{picture.hash}" else neutral_url(web_address(url))
    alt = neutral(tidy(article.wishes.alt or picture.alt, 250)) or _title(article)
    return (
        Shown(src=src, width=max(1, picture.width), height=max(1, picture.height), alt=alt) if src else None
    )


def _body(html: str, article: Article, publication: Publication, newsletter: Newsletter) -> str:
    site = publication.base_url
    base = web_address(article.url) or site
    return mail_body(html, base=base, limit=MAX_BYTES, link=lambda url: with_utm(url, newsletter.utm, site))


def _plain_publication(publication: Publication) -> Publication:
    return replace(
        publication,
        title=neutral(tidy(publication.title, 100)),
        language=_language(publication.language),
        imprint="\n".join(_lines(publication.imprint)),
    )


def _lines(text: str) -> Iterator[str]:
    """The lines of *text* that say something, bounded as the settings bound it."""
    for line in printable(text[:IMPRINT]).splitlines():
        if words := " ".join(line.split()):
            yield neutral(words)


def _plain_newsletter(newsletter: Newsletter) -> Newsletter:
    return newsletter.model_copy(
        update={
            "title": neutral(tidy(newsletter.title, 100)),
            "description": neutral(tidy(newsletter.description, 300)),
        }
    )


def _language(tag: str) -> str:
    """A language tag that may stand in an attribute and in a file name."""
    return tag if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,5}", tag) else "en"
