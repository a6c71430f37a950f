"""Lint says what is wrong with a rendition, and nothing of one that is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from distributor.config import Channel, Newsletter
from distributor.errors import NotFound
from distributor.model import Article, Digest, Picture, Post, Publication
from distributor.rendering import limits, qr
from distributor.rendering.digest import digest
from distributor.rendering.environment import environment
from distributor.rendering.lint import (
    Finding,
    addresses_of,
    codes_in,
    dead_links,
    held_back,
    lint_digest,
    lint_post,
)
from distributor.rendering.post import post

PUBLIC = "https://mail.quay.example"
PICTURE = Picture(hash="a" * 64, media_type="image/png", width=600, height=315, size=9_000, alt="The bridge")
ARTICLE = Article(
    key="41",
    url="https://quay.example/bridge/",
    title="Swing bridge opens to cyclists",
    summary="From Monday the old bridge carries a cycle lane and a footpath.",
    published_at=datetime(2026, 11, 20, 7, tzinfo=UTC),
    path="bridge.md",
)
MORNING = Newsletter.model_validate(
    {
        "title": "Morning Tide",
        "from": "Morning Tide <tide@quay.example>",
        "providers": ["outbox"],
        "schedule": "0 7 * * *",
    }
)
QUAY = Publication(title="The Quay", base_url="https://quay.example")
MAIL = digest(
    QUAY,
    MORNING,
    [ARTICLE],
    {ARTICLE.key: PICTURE},
    edition_at=datetime(2026, 11, 21, 7, tzinfo=UTC),
    media_url=lambda picture: f"cid:{picture.hash}",
    environment=environment(None, "email"),
)


def found(mail: Digest, **more: Any) -> list[Finding]:
    return lint_digest(mail, **{"public_url": PUBLIC, **more})


def said(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.rule, finding.severity, finding.where) for finding in findings]


EMPTY = [("link", "error", "HTML")]


def adding(html: str) -> Digest:
    return replace(MAIL, html=MAIL.html.replace("</body>", f"{html}</body>"))


def test_what_is_shipped_passes() -> None:
    """A mail of the shipped templates, its picture inside, has nothing wrong."""
    assert found(MAIL) == []


@pytest.mark.parametrize(("size", "severities"), [(89_000, []), (91_000, ["warning"]), (103_000, ["error"])])
def test_a_mail_that_gmail_clips_is_an_error(size: int, severities: list[str]) -> None:
    """Near 102 kB of HTML is a warning, and more is an error."""
    room = size - len(MAIL.html.encode())
    assert [finding.severity for finding in found(adding("x" * room)) if finding.rule == "size"] == severities


def test_readers_links_count_as_long_as_they_become() -> None:
    """A mail that only its many readers' links make too large is too large."""
    links = '<a href="@@view_url@@">x</a>' * 1_500
    assert len(adding(links).html) < 90_000
    assert ("size", "error", "HTML") in said(found(adding(links), public_url=PUBLIC + "/" + "p" * 80))


@pytest.mark.parametrize(
    ("subject", "rules"),
    [
        (" \n", [("subject", "error", "subject")]),
        ("x" * 91, [("subject", "warning", "subject")]),
        ("FERRIES SAIL AGAIN", [("subject", "warning", "subject")]),
        ("Ferries sail!!", [("subject", "warning", "subject")]),
        ("Oh! No! Yes!", [("subject", "warning", "subject")]),
        ("Hello @@name@@", [("mark", "error", "subject")]),
        ("Hello {{ name }}", [("mark", "warning", "subject")]),
        ("NASA", []),
        ("Sails again!", []),
        ("渡し船が再び運航を始めた港の朝", []),
    ],
)
def test_subjects(subject: str, rules: list[tuple[str, str, str]]) -> None:
    """Empty or with a slot is an error; too long, shouting or a template's mark is a warning."""
    assert said(found(replace(MAIL, subject=subject))) == rules


@pytest.mark.parametrize(
    ("length", "is_right"), [(0, False), (29, False), (30, True), (150, True), (151, False)]
)
def test_preheaders(length: int, is_right: bool) -> None:
    """Thirty to a hundred and fifty characters are what an inbox shows well."""
    rules = said(found(replace(MAIL, preheader="x" * length)))
    assert rules == ([] if is_right else [("preheader", "warning", "preheader")])


@pytest.mark.parametrize(
    ("html", "rules"),
    [
        ('<img src="https://a.example/x.png">', [("alt", "error", "HTML")]),
        ('<img src="https://a.example/x.png" alt>', [("alt", "error", "HTML")]),
        ('<img src="https://a.example/x.png" alt="">', []),
        (f'<img src="cid:{"b" * 64}" alt="A">', [("picture", "error", "HTML")]),
        ('<img src="/x.png" alt="A">', [("link", "error", "HTML")]),
        ('<img alt="A">', [("link", "error", "HTML")]),
        ('<a href="/news/">news</a>', [("link", "error", "HTML")]),
        ('<a href="">news</a>', [("link", "error", "HTML")]),
        ('<a href="javascript:go()">news</a>', [("link", "error", "HTML")]),
        ('<a href="https://[">news</a>', [("link", "error", "HTML")]),
        ('<a href="http://">news</a>', [("link", "error", "HTML")]),
        ('<a name="here">news</a>', []),
        ('<a href="mailto:a@b.example">a</a><a href="tel:+49">b</a><a href="#top">c</a>', []),
        ('<a href="http://localhost:1313/x/">x</a>', [("link", "error", "link")]),
        ('<a href="http://127.0.0.2/x/">x</a>', [("link", "error", "link")]),
        ('<a href="http://[::1]/x/">x</a>', [("link", "error", "link")]),
        ('<img src="http://10.0.0.7/x.png" alt="A">', [("link", "warning", "link")]),
        ('<a href="http://desk/x/">x</a>', [("link", "warning", "link")]),
        ('<a href="http://desk.local/x/">x</a>', [("link", "warning", "link")]),
        ('<a href="http://[fd00::1]/x/">x</a>', [("link", "warning", "link")]),
        ('<a href="http://1.1.1.1/x/">x</a>', []),
        ("<p>@@first_name@@</p>", [("mark", "error", "HTML")]),
        ("<p>&#64;&#64;first_name&#64;&#64;</p>", []),
        ("<p>{{ first_name }}</p>", [("mark", "warning", "HTML")]),
        ("<p>{% if x %}</p>", [("mark", "warning", "HTML")]),
        ("<style>@media{a{b:c}}.x{{}}</style>", []),
        (
            "<![]]><![x]><!--[if mso]><a href=''>x</a><![endif]--><![if !mso]><a href=''>x</a><![endif]>",
            EMPTY,
        ),
    ],
)
def test_html(html: str, rules: list[tuple[str, str, str]]) -> None:
    """Every picture has words and bytes, every address leads somewhere, and nothing is left unfilled."""
    assert said(found(adding(html))) == rules


def test_a_mail_without_a_way_to_unsubscribe_is_an_error() -> None:
    """HTML and text each need the reader's own link, in the HTML as one that can be clicked."""
    written_only = MAIL.html.replace('href="@@unsubscribe_url@@"', "").replace(
        "</body>", "@@unsubscribe_url@@</body>"
    )
    without = replace(MAIL, html=written_only, text=MAIL.text.replace("@@unsubscribe_url@@", ""))
    assert said(found(without)) == [("unsubscribe", "error", "HTML"), ("unsubscribe", "error", "text")]


def test_the_text_says_what_the_html_says() -> None:
    """A text of addresses alone is an error, one that says far less than the HTML a warning."""
    bare = replace(MAIL, text="@@unsubscribe_url@@\n")
    short = replace(adding("<p>" + "word " * 500 + "</p>"), text="Read it there: @@unsubscribe_url@@")
    assert said(found(bare)) == [("text", "error", "text")]
    assert said(found(short)) == [("text", "warning", "text")]


def test_our_own_pages_must_be_where_readers_reach_them() -> None:
    """Links to this machine are an error where mails go out, once for all of them; in a folder they work."""
    home = "http://127.0.0.1:8080"
    [finding] = found(MAIL, public_url=home)
    assert said([finding]) == [("link", "error", "link")]
    assert "[web] public_url" in finding.message
    assert found(MAIL, public_url=home, is_outbox=True) == []
    assert said(found(MAIL, public_url="https://desk.local")) == [("link", "warning", "link")]


def test_many_of_a_kind_are_one_finding() -> None:
    """A hundred pictures without words are one line, with the first of them named."""
    [finding] = found(adding("".join(f'<img src="https://a.example/{n}.png">' for n in range(100))))
    assert "100 pictures have no alternative text" in finding.message
    assert finding.message.endswith("and 97 more")


def test_errors_come_first_and_hold_a_campaign_back() -> None:
    """What holds an edition back names its errors and no warning."""
    findings = found(replace(adding('<img src="https://a.example/x.png">'), preheader=""))
    assert [finding.severity for finding in findings] == ["error", "warning"]
    reason = held_back(findings)
    assert reason is not None
    assert "x.png" in reason
    assert "preheader" not in reason
    assert held_back(findings[1:]) is None


def test_addresses_of_a_mail_are_those_that_can_be_asked() -> None:
    """Each once, without fragments; readers' own links, mail addresses and pictures are not asked."""
    mail = adding(
        '<a href="https://a.example/x#one">1</a><a href="https://a.example/x#two">2</a>'
        '<a href="mailto:desk@a.example">3</a>'
    )
    assert addresses_of(mail) == ["https://quay.example", ARTICLE.url, "https://a.example/x"]
    [finding] = dead_links(
        mail, {"https://a.example/x": "answered 404", "https://b.example/": "answered 404"}
    )
    assert str(finding) == "link: https://a.example/x answered 404"


# --- posts ---


def posted(network: str, **fields: Any) -> Post:
    made = post(
        QUAY, Channel.model_validate({"network": network}), ARTICLE, [PICTURE], environment(None, "social")
    )
    return replace(made, **fields)


@pytest.mark.parametrize("network", limits.networks())
def test_posts_as_they_are_shipped_pass(network: str) -> None:
    """On every network, what the shipped template makes has nothing wrong."""
    assert lint_post(posted(network), link="url") == []


@pytest.mark.parametrize(
    ("network", "fields", "rules"),
    [
        ("bluesky", {"text": "x" * 301}, [("size", "error", "text")]),
        ("mastodon", {"text": "@@name@@"}, [("mark", "error", "text")]),
        ("mastodon", {"text": "{{ title }}"}, [("mark", "warning", "text")]),
        ("mastodon", {"text": " ", "payload": {}}, [("text", "error", "text")]),
        ("mastodon", {"pictures": (replace(PICTURE, alt=" "),)}, [("alt", "error", "picture")]),
        ("mastodon", {"pictures": (replace(PICTURE, alt="x" * 1501),)}, [("alt", "error", "picture")]),
        ("telegram", {"pictures": (replace(PICTURE, alt=""),)}, []),
        ("mastodon", {"link": None}, [("link", "warning", "text")]),
        ("instagram", {"link": None}, []),
        ("mastodon", {"link": "/bridge/"}, [("link", "error", "link")]),
        ("mastodon", {"link": "http://localhost:1313/bridge/"}, [("link", "warning", "link")]),
    ],
)
def test_posts(network: str, fields: dict[str, Any], rules: list[tuple[str, str, str]]) -> None:
    """A post keeps to its network's limits, describes its pictures where it can, and carries its link."""
    assert said(lint_post(posted(network, **fields), link="url")) == rules


def test_too_many_addresses_are_an_error() -> None:
    """A network that takes few links refuses a post with more."""
    few = next(network for network in limits.networks() if limits.network(network).links_at_most is not None)
    most = limits.network(few).links_at_most or 0
    text = " ".join(f"https://a.example/{n}" for n in range(most + 1))
    assert ("size", "error", "text") in said(lint_post(posted(few, text=text)))


def test_a_link_that_is_not_wanted_is_not_missed() -> None:
    """Where the channel says that there is no link, there need be none."""
    assert lint_post(posted("mastodon", link=None), link="none") == []


@pytest.mark.parametrize(
    ("codes", "rules"),
    [
        (None, []),
        (["https://quay.example/bridge?utm_source=qr"], []),
        (["https://tickets.example/", "http://quay.example/bridge/"], []),
        (["https://quay.example/ferry/"], [("qr", "warning", "picture")]),
        ([], [("qr", "error", "picture")]),
    ],
)
def test_a_qr_code_can_be_read_and_leads_to_the_article(
    codes: list[str] | None, rules: list[tuple[str, str, str]]
) -> None:
    """A code that nobody can read is an error, one that leads elsewhere a warning."""
    shown = posted("mastodon", link=None)
    assert said(lint_post(shown, link="qr", codes=codes, address=ARTICLE.url)) == rules
    known = [rule for rule in rules if rule[1] == "error"]  # of a post whose article nobody knows any more
    assert said(lint_post(shown, link="qr", codes=codes)) == known


def test_a_code_beside_a_link_is_a_bonus() -> None:
    """Where readers can click, a code that nobody can read is a warning."""
    assert said(lint_post(posted("mastodon"), link="url", codes=[])) == [("qr", "warning", "picture")]


def test_codes_are_read_out_of_pictures() -> None:
    """Every QR code of every picture, in their order."""
    drawn = {"a" * 64: ARTICLE.url, "b" * 64: "https://quay.example/ferry/"}

    def read(picture: Picture) -> bytes:
        file = BytesIO()
        qr.draw(drawn[picture.hash]).save(file, "PNG")
        return file.getvalue()

    assert codes_in([replace(PICTURE, hash=hash_) for hash_ in drawn], read) == list(drawn.values())


def test_a_picture_that_is_gone_has_no_code() -> None:
    """What cannot be read is no reason to stop."""

    def gone(picture: Picture) -> bytes:
        raise NotFound(f"{picture.name} is gone")

    assert codes_in([PICTURE], gone) == []


def test_addresses_of_a_post_are_its_link_and_those_in_its_text() -> None:
    """A link that stands in the text too is asked once."""
    shown = posted("mastodon", text=f"{ARTICLE.url} https://a.example/x", link=ARTICLE.url)
    assert addresses_of(shown) == [ARTICLE.url, "https://a.example/x"]
