"""What a reader is told: the articles beyond their position that match their topics."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

import regex

from distributor.model import Article

NOTHING_NEW = "nothing new in their topics"
TOO_FEW = "fewer new articles than min_articles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What tells one cohort of readers from another."""

    topics: tuple[str, ...]  # none: everything
    position: int
    received: Set[str] = frozenset()  # keys of articles beyond that position that they have already


def select(
    reader: Reader, articles: Sequence[Article], *, topics: Mapping[str, Sequence[str]], at_least: int = 1
) -> tuple[Article, ...] | str:
    """The articles for a reader, in their order of appearance; or why there is no edition for them."""
    matches = wanted(reader.topics, topics)
    found = tuple(
        article
        for article in articles
        if article.sequence is not None
        and article.sequence > reader.position
        and article.key not in reader.received
        and matches_any(article, matches)
    )
    if not found:
        return NOTHING_NEW
    return found if len(found) >= at_least else TOO_FEW


def wanted(chosen: Iterable[str], topics: Mapping[str, Sequence[str]]) -> frozenset[str] | None:
    """What the chosen topics stand for, as labels; None for everything.

    A topic the newsletter does not define stands for itself, so that one a reader chose before it was
    renamed goes on to match.
    """
    labels = frozenset(label(part) for topic in chosen for part in topics.get(topic) or (topic,))
    return labels or None


def topics_of(article: Article, topics: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The newsletter's topics that an article belongs to, in the newsletter's order."""
    return tuple(topic for topic in topics if matches_any(article, wanted([topic], topics)))


def matches_any(article: Article, labels: frozenset[str] | None) -> bool:
    return labels is None or not labels.isdisjoint(labels_of(article))


def labels_of(article: Article) -> frozenset[str]:
    """All that a topic can match: tags, categories, the section and the source."""
    named = (*article.tags, *article.categories, article.section, article.source or "")
    return frozenset(filter(None, map(label, named)))


@lru_cache(maxsize=10_000)
def label(text: str) -> str:
    """A topic's name without regard to case, spacing and punctuation: "24-7 Press" and "24/7 press" match.

    Letters keep their marks, which tell words apart in many scripts; so do "C++", "C#" and emoji.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _BETWEEN.sub("-", folded).lstrip("-#").rstrip("-") or folded.strip()


_BETWEEN = regex.compile(r"[^\p{L}\p{M}\p{N}\p{S}#]+")


def is_for_newsletters(article: Article) -> bool:
    return article.wishes.newsletter != "skip"


def is_for_channels(article: Article, topics: Sequence[str]) -> bool:
    return article.wishes.social != "skip" and matches_any(article, wanted(topics, {}))
