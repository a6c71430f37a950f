"""What a reader is told: position, topics, wishes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributor.model import Article, Wishes
from distributor.planning.selection import (
    NOTHING_NEW,
    TOO_FEW,
    Reader,
    is_for_channels,
    is_for_newsletters,
    label,
    labels_of,
    matches_any,
    select,
    wanted,
)

NEWS = Article(
    key="a-7",
    url="https://news.example/town/bridge/",
    title="The bridge is open",
    published_at=datetime(2026, 6, 1, tzinfo=UTC),
    path="town/bridge.md",
    sequence=7,
    section="town",
    source="Press Office",
    tags=("Ferries", "Économie"),
    categories=("Traffic",),
)


@pytest.mark.parametrize(
    "topic",
    [
        "ferries",
        "FERRIES",
        " Ferries ",
        "#ferries",
        "Traffic",
        "town",
        "press-office",
        "Press_Office",
        "économie",
    ],
)
def test_a_topic_is_a_tag_category_section_or_source(topic: str):
    """A reader's topic matches whatever the article is filed under, however it is written."""
    assert matches_any(NEWS, wanted([topic], {}))


@pytest.mark.parametrize("topic", ["ferry", "bridge", "press", "economie", "news.example", "None", ""])
def test_a_topic_is_not_a_part_of_a_word(topic: str):
    """Titles, parts of words and words with other letters do not count."""
    assert not matches_any(NEWS, wanted([topic], {}))


def test_a_table_of_topics_stands_for_many_labels():
    """A topic the newsletter defines is what it lists, and no longer its own name."""
    topics = {"sea": ["ferries", "lighthouses"], "town": ["council"]}
    assert matches_any(NEWS, wanted(["sea"], topics))
    assert not matches_any(NEWS, wanted(["town"], topics))
    assert matches_any(NEWS, wanted(["town", "sea"], topics))


def test_a_topic_that_is_not_defined_any_more_stands_for_itself():
    """Whoever chose a topic before the table changed goes on to get what is filed under its name."""
    assert matches_any(NEWS, wanted(["ferries"], {"culture": ["opera"]}))


def test_an_empty_definition_does_not_mean_everything():
    """A topic with nothing behind it is its own name: its reader is not sent the whole site."""
    assert wanted(["opera"], {"opera": []}) == frozenset({"opera"})
    assert not matches_any(NEWS, wanted(["opera"], {"opera": []}))


def test_no_topics_mean_everything():
    """A reader who chose none is told all."""
    assert wanted([], {"sea": ["ferries"]}) is None
    assert matches_any(replace(NEWS, tags=(), categories=(), section="", source=None), None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("24/7 Press", "24-7  press"),
        ("Straße", "STRASSE"),
        ("cafe\N{COMBINING ACUTE ACCENT}", "café"),
        ("ＮＥＷＳ", "news"),
        ("ΟΔΟΣ", "οδός".replace("ό", "ο")),
        ("  Town  Hall ", "town_hall"),
        ("#ferry", "Ferry"),
    ],
)
def test_spellings_of_one_topic(one: str, other: str):
    """Case, width, spacing, punctuation and the way an accent is encoded make no difference."""
    assert label(one) == label(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C", "C++"),
        ("C#", "C++"),
        ("काल", "कील"),  # Hindi: time, nail; told apart by a mark alone
        ("กิน", "กัน"),  # Thai
        ("政治", "政府"),
        ("שָׁלוֹם", "שלום עולם"),
        ("🎉", "🔥"),
        ("cafe", "café"),
    ],
)
def test_different_topics_stay_different(one: str, other: str):
    """In no script do two words become one."""
    assert label(one) != label(other)


@given(st.text())
def test_a_label_is_settled(text: str):
    """A label is its own label, in lower case, and empty only where the text is blank."""
    once = label(text)
    assert label(once) == once
    assert once or not text.strip()


def test_an_article_without_labels_matches_no_topic():
    """Blank tags and a missing source are no labels that two articles could share."""
    bare = replace(NEWS, tags=("", "  "), categories=(), section="", source=None)
    assert labels_of(bare) == frozenset()
    assert not matches_any(bare, wanted(["  "], {}))


def test_an_edition_has_what_lies_beyond_the_position():
    """Only numbered articles beyond the reader's position that they have not had, in the given order."""
    articles = [replace(NEWS, key=f"a-{n}", sequence=n) for n in (9, 6, 8, 7)]
    articles.append(replace(NEWS, key="unnumbered", sequence=None))
    reader = Reader(topics=(), position=6, received={"a-8"})
    assert [a.key for a in _chosen(reader, articles)] == ["a-9", "a-7"]


def test_why_there_is_no_edition():
    """Nothing new and too little new are told apart, for only the latter lets a reader's articles wait."""
    reader = Reader(topics=("ferries",), position=6)
    assert select(reader, [NEWS], topics={}) == (NEWS,)
    assert select(reader, [NEWS], topics={}, at_least=2) == TOO_FEW
    assert select(replace(reader, position=7), [NEWS], topics={}, at_least=2) == NOTHING_NEW
    assert select(replace(reader, topics=("opera",)), [NEWS], topics={}) == NOTHING_NEW
    assert select(replace(reader, received=frozenset({NEWS.key})), [NEWS], topics={}) == NOTHING_NEW


def test_an_article_may_wish_to_stay_out():
    """Front matter keeps an article from newsletters, from channels, or from neither."""
    assert is_for_newsletters(NEWS)
    assert is_for_channels(NEWS, [])
    assert is_for_channels(NEWS, ["Ferries"])
    assert not is_for_channels(NEWS, ["opera"])
    quiet = replace(NEWS, wishes=Wishes(newsletter="skip"))
    assert not is_for_newsletters(quiet)
    assert is_for_channels(quiet, [])
    unsocial = replace(NEWS, wishes=Wishes(newsletter="lead", social="skip"))
    assert is_for_newsletters(unsocial)
    assert not is_for_channels(unsocial, [])


def _chosen(reader: Reader, articles: list[Article]) -> tuple[Article, ...]:
    found = select(reader, articles, topics={})
    assert not isinstance(found, str)
    return found
