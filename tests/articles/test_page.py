"""A page at a moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.articles.page import Page
from distributor.model import Article, ArticleState, Wishes

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ARTICLE = Article(key="k", url="https://example.org/k/", title="T", published_at=NOON, path="news/k.md")
PAGE = Page(article=ARTICLE, publish_at=NOON)


def _embargoed(until: datetime) -> Page:
    return replace(PAGE, article=replace(ARTICLE, wishes=Wishes(embargo=until)))


@pytest.mark.parametrize(
    ("page", "state", "reason"),
    [
        (PAGE, ArticleState.PUBLIC, None),
        (replace(PAGE, publish_at=None), ArticleState.PUBLIC, None),
        (replace(PAGE, publish_at=NOON + HOUR), ArticleState.SCHEDULED, "publishDate 2026-06-01 13:00 UTC"),
        (replace(PAGE, expires_at=NOON), ArticleState.EXPIRED, "expiryDate 2026-06-01 12:00 UTC"),
        (replace(PAGE, expires_at=NOON + HOUR), ArticleState.PUBLIC, None),
        (replace(PAGE, is_draft=True, held="odd"), ArticleState.DRAFT, "draft"),
        (replace(PAGE, held="it is odd", expires_at=NOON), ArticleState.HELD, "it is odd"),
        (_embargoed(NOON + HOUR), ArticleState.HELD, "embargo until 2026-06-01 13:00 UTC"),
        (_embargoed(NOON), ArticleState.PUBLIC, None),
    ],
)
def test_a_page_says_what_it_is_and_why(page: Page, state: ArticleState, reason: str | None) -> None:
    """Both edges are exact: out at publishDate, gone at expiryDate; what is not public has a reason."""
    article = page.at(NOON)
    assert article.state is state
    assert (article.reason is None) == (state is ArticleState.PUBLIC)
    assert not reason or reason in (article.reason or "")


def test_a_public_article_costs_nothing() -> None:
    """While public, the article is the one that was read."""
    assert PAGE.at(NOON) is ARTICLE


@pytest.mark.parametrize(
    ("page", "moment"),
    [
        (PAGE, None),
        (replace(PAGE, publish_at=NOON + HOUR), NOON + HOUR),
        (replace(PAGE, expires_at=NOON + HOUR), NOON + HOUR),
        (replace(PAGE, publish_at=NOON + 2 * HOUR, expires_at=NOON + HOUR), NOON + HOUR),
        (replace(PAGE, is_draft=True, publish_at=NOON + HOUR), None),
        (replace(PAGE, held="odd", expires_at=NOON + HOUR), None),
        (replace(PAGE, expires_at=NOON), None),
        (_embargoed(NOON + HOUR), NOON + HOUR),
        (replace(_embargoed(NOON + 2 * HOUR), publish_at=NOON + HOUR), NOON + HOUR),
    ],
)
def test_a_page_knows_when_it_changes_by_itself(page: Page, moment: datetime | None) -> None:
    """The next change of state is told; one that only an edit can bring is not."""
    assert page.changes_at(NOON) == moment


MOMENTS = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(max_size=30)
NAMES = st.lists(TEXTS, max_size=3).map(tuple)
OPTIONAL = st.none() | TEXTS
WISHES = st.just(Wishes()) | st.builds(
    Wishes,
    newsletter=st.sampled_from(["", "skip", "lead"]),
    social_text=OPTIONAL,
    alt=OPTIONAL,
    breaking=st.booleans(),
    embargo=st.none() | MOMENTS,
    text=st.dictionaries(TEXTS, TEXTS, max_size=2),
)
ARTICLES = st.builds(
    Article,
    key=TEXTS,
    url=TEXTS,
    title=TEXTS,
    summary=TEXTS,
    published_at=MOMENTS,
    path=TEXTS,
    markup=st.sampled_from(["markdown", "html"]),
    source=OPTIONAL,
    authors=NAMES,
    tags=NAMES,
    aliases=NAMES,
    featured=st.booleans(),
    banner=OPTIONAL,
    banner_file=OPTIONAL,
    wishes=WISHES,
)
PAGES = st.builds(
    Page,
    article=ARTICLES,
    is_draft=st.booleans(),
    held=OPTIONAL,
    publish_at=st.none() | MOMENTS,
    expires_at=st.none() | MOMENTS,
    body=OPTIONAL,
)


@settings(deadline=None)  # the machine may be busy
@given(PAGES)
def test_a_page_survives_the_index(page: Page) -> None:
    """What is loaded equals what was dumped, whatever its fields hold."""
    assert Page.load(page.dump()) == page


@settings(deadline=None)  # the machine may be busy
@given(PAGES, MOMENTS)
def test_nothing_changes_before_the_moment_it_names(page: Page, now: datetime) -> None:
    """At the named moment the state differs, and just before it does not."""
    moment = page.changes_at(now)
    if moment is None:
        assert page.at(datetime.max.replace(tzinfo=UTC)).state is page.at(now).state
    else:
        assert moment > now
        assert page.at(moment).state is not page.at(now).state
        assert page.at(moment - timedelta(microseconds=1)).state is page.at(now).state


@pytest.mark.parametrize("data", [b"", b"x", b"null", b"[]", b"{}", b'{"article": {}}', b'{"article": 5}'])
def test_what_is_no_page_does_not_load(data: bytes) -> None:
    """Bytes of another kind are a ValueError, never half a page."""
    with pytest.raises(ValueError, match=r"\w"):
        Page.load(data)
