"""An article's own HTML, made fit for a mail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributor.rendering.body import mail_body, plain_body
from distributor.slots import split

BASE = "https://quay.example/2026/crane/"


def body(html: str, limit: int = 50_000) -> str:
    return mail_body(html, base=BASE, limit=limit)


def test_what_mail_programs_show_is_kept() -> None:
    """Paragraphs, emphasis, lists, links, tables and pictures come through, styled in their own tags."""
    html = body(
        "<h1>Big</h1><p>A <em>fine</em> <a href='https://x.example/?a=1&b=2'>link</a></p><ul><li>One</li></ul>"
        "<table><tr><td colspan=2>cell</td></tr></table><img src='https://x.example/p.jpg' alt='A <crane>'>"
    )
    assert re.findall(r"<(\w+)", html) == [
        "h2",
        "p",
        "em",
        "a",
        "ul",
        "li",
        "table",
        "tbody",
        "tr",
        "td",
        "img",
    ]
    assert '<p style="' in html
    assert 'href="https://x.example/?a=1&amp;b=2"' in html
    assert 'colspan="2"' in html
    assert "max-width:100%" in html


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<style>p{color:red}</style>",
        "<iframe src='https://evil.example'></iframe>",
        "<p onclick='alert(1)'>x</p>",
        "<a href='javascript:alert(1)'>x</a>",
        "<img src='data:image/svg+xml,evil' onerror='alert(1)'>",
        "<form action='https://evil.example'><input name=evil></form>",
        "<svg><script>alert(1)</script></svg>",
        "<!-- evil --><!--[if mso]>evil<![endif]-->",
        "</div></td></table><mj-raw>evil</mj-raw>",
        "<p style='position:fixed'>x</p>",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    ],
)
def test_nothing_acts_or_breaks_out(html: str) -> None:
    """No script, style, form, frame or stray end tag of an article gets into a mail."""
    cleaned = body(html)
    for word in (
        "alert",
        "evil.example",
        "<!--",
        "<mj-",
        "javascript",
        "onclick",
        "fixed",
        "</div>",
        "<input",
    ):
        assert word not in cleaned


def test_addresses_are_those_of_the_article() -> None:
    """A link or picture that is relative on the site leads to the site from the mail too."""
    html = body("<a href='/people/'>x</a><a href='../next/'>y</a><img src='crane.jpg'>")
    assert re.findall(r'(?:href|src)="([^"]*)"', html) == [
        "https://quay.example/people/",
        "https://quay.example/2026/next/",
        "https://quay.example/2026/crane/crane.jpg",
    ]


def test_a_picture_that_cannot_be_had_leaves_no_frame() -> None:
    """A local or unknown address takes its picture with it; the words around it stay."""
    assert "<img" not in body("<p>One<img src='file:///x.jpg' alt='x > y'> two<img alt='z'></p>")


def test_an_article_keeps_its_direction() -> None:
    """Passages in another script stay marked as such."""
    html = body("<p dir='rtl' lang='he'>שלום</p><ol start=3><li>x</li></ol>")
    assert 'dir="rtl"' in html
    assert 'lang="he"' in html
    assert 'start="3"' in html


def test_links_are_tagged() -> None:
    """What is done to the digest's links is done to those of the article."""
    html = mail_body(
        "<a href='https://x.example/'>x</a>", base=BASE, limit=500, link=lambda url: url + "?utm=1"
    )
    assert 'href="https://x.example/?utm=1"' in html


def test_wide_pictures_are_no_wider_than_the_mail() -> None:
    """Outlook knows no max-width, so a picture's own width is bounded."""
    assert 'width="576"' in body("<img src='https://x.example/p.jpg' width=4000>")
    assert 'width="90"' in body("<img src='https://x.example/p.jpg' width=90>")
    assert " width=" not in body("<img src='https://x.example/p.jpg' width='100%'>")


def test_a_long_body_ends_with_a_whole_block() -> None:
    """What does not fit is cut after a paragraph, never inside a tag or a word."""
    html = body("<p>The <b>crane</b> turned.</p>" * 200, 2_000)
    assert len(html.encode()) <= 2_000
    assert html.endswith("turned.</p>")
    assert html.count("<p") == html.count("</p>") > 10


@pytest.mark.parametrize(
    "html",
    ["<p>" + "word " * 9_000, "漢字" * 9_000, "<p>" + "&amp;" * 9_000, "x" * 9_000, "<i>y</i>" * 2_000],
)
def test_one_endless_block_is_cut_too(html: str) -> None:
    """Without any end of a block near, the cut is marked, and what was open is closed."""
    cut = body(html, 3_000)
    assert 1_500 < len(cut.encode()) < 3_100
    assert cut.removesuffix("</p>").endswith("…")
    assert not re.search(r"&[^;\s]*…", cut)
    assert cut.count("<p") == cut.count("</p>")


def test_a_tower_of_tags_is_no_trap() -> None:
    """Tags nested beyond reason cost neither the stack nor more than a moment."""
    html = body("<blockquote>" * 9_000 + "x", 5_000)
    assert html.count("<blockquote") == html.count("</blockquote>")
    plain_body(html)


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "@@", "@", "name@@", "<a href='@@", "'>", "é", "<", "&", "x "]))
)
def test_no_mark_is_left(pieces: list[str]) -> None:
    """An article's body cannot act as a reader's slot, in text or in an address."""
    assert split(body("".join(pieces)) + "@@").names == ()


@given(st.text(max_size=300), st.integers(0, 200))
def test_any_text_can_be_a_body(html: str, limit: int) -> None:
    """No input is too strange to be shown, as HTML or as text."""
    plain_body(body(f"<p>{html}</p><table><tr><td>{html}", limit))


def test_a_body_reads_well_as_plain_text() -> None:
    """Lines hold 72 columns, lists have their bullets, and links say where they go."""
    text = plain_body(
        body(
            f"<h2>The crane</h2><p>{'It turned and turned. ' * 9}</p><ul><li>One {'more ' * 20}</li></ul>"
            "<p><a href='https://x.example/a'>the plan</a>, <a href='https://x.example/b'>https://x.example/b</a></p>"
        )
    )
    lines = text.split("\n")
    assert max(map(len, lines)) <= 72
    assert any(line.lstrip().startswith("* One") for line in lines)
    assert lines[-1] == "[the plan](https://x.example/a), https://x.example/b"
    assert plain_body("") == ""
