"""An edition as a mail: what is in it, how much of it, and that it always fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser
from pydantic import ValidationError

from distributor.articles.body import body_html
from distributor.articles.hugo import read_site
from distributor.articles.scan import scan
from distributor.config import Newsletter, Site
from distributor.errors import TemplateError
from distributor.model import Article, Digest, Picture, Publication, Wishes
from distributor.rendering.body import plain_body
from distributor.rendering.color import contrast
from distributor.rendering.digest import LINK_BYTES, MAX_BYTES, digest
from distributor.rendering.environment import environment
from distributor.slots import MARKS, split

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
QUAY = Publication(title="The Quay", base_url="https://quay.example", color="#ffb000")
MORNING = Newsletter.model_validate(
    {
        "title": "Morning Tide",
        "from": "Morning Tide <tide@quay.example>",
        "description": "Every morning, before the first ferry.",
        "providers": ["outbox"],
        "schedule": "0 7 * * *",
        "max_articles": 5,
        "utm": {"source": "tide", "medium": "email"},
    }
)
VOID = {"br", "hr", "img", "meta", "link", "input", "col", "wbr", "area", "base", "source"}


def article(number: int, **fields: Any) -> Article:
    """The *number*th newest article."""
    known: dict[str, Any] = {
        "key": f"a{number}",
        "url": f"https://quay.example/story-{number}/",
        "title": f"Story number {number}",
        "summary": f"What happened in story {number}, told in one sentence.",
        "published_at": NOON - timedelta(hours=number),
        "path": f"story-{number}.md",
        "source": "Harbour Desk",
    }
    return Article(**known | fields)


def picture(number: int, **fields: Any) -> Picture:
    known: dict[str, Any] = {
        "hash": f"{number:064x}",
        "media_type": "image/jpeg",
        "width": 1200,
        "height": 630,
        "size": 90_000,
    }
    return Picture(**known | fields)


def made(
    articles: Sequence[Article],
    pictures: Mapping[str, Picture] | None = None,
    *,
    publication: Publication = QUAY,
    newsletter: Newsletter = MORNING,
    templates: Path | None = None,
    **more: Any,
) -> Digest:
    known: dict[str, Any] = {"edition_at": NOON, "media_url": lambda p: f"https://media.example/{p.name}"}
    env = environment(templates, "email")
    return digest(publication, newsletter, articles, pictures or {}, environment=env, **known | more)


@dataclass
class Page(HTMLParser):
    """A mail as its reader's program sees it; reading one that does not nest is an error."""

    html: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: dict[str, list[str]] = field(default_factory=dict)  # element -> the text of each
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
            self.words.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.words[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """(level, text) of each, in the order of the mail."""
        found = re.findall(r"<h([1-6])[^>]*>(.*?)</h\1>", self.html, re.DOTALL)
        return [(int(level), re.sub(r"<[^>]*>", "", text).strip()) for level, text in found]


def roles(mail: Digest) -> dict[str, str]:
    return {carried.key: carried.role for carried in mail.articles}


def room(mail: Digest) -> int:
    """The bytes of the HTML with long links in its marks."""
    links = dict.fromkeys(MARKS, "https://mail.quay.example/" + "x" * (LINK_BYTES - 26))
    return len(split(mail.html).fill(links).encode())


def test_a_digest_has_its_masthead_stories_and_footer() -> None:
    """From top to bottom: title, lead, items, headlines, why it came and how to end it."""
    mail = made([article(n) for n in range(8)], {"a0": picture(0), "a1": picture(1)})
    page = Page(mail.html)
    assert [text for _, text in page.headings] == [
        "Morning Tide",
        *(f"Story number {n}" for n in range(5)),
        "In brief",
    ]
    text = page.words["body"][0]
    for words in (
        "The Quay",
        "Saturday, March 14, 2026",
        "Harbour Desk",
        "Mar 14",
        "What happened in story 4",
    ):
        assert words in text
    assert "What happened in story 5" not in text
    assert "Story number 7" in text
    assert "subscribed to Morning Tide from The Quay" in text
    assert MORNING.description in text


def test_each_article_has_its_role() -> None:
    """The first leads, up to the maximum are items, the rest are headlines."""
    mail = made([article(n) for n in reversed(range(8))])
    assert list(roles(mail)) == [f"a{n}" for n in range(8)]
    assert list(roles(mail).values()) == ["lead", *["item"] * 4, *["headline"] * 3]


def test_leads_come_first_and_newest_first() -> None:
    """What asks to lead, is breaking or featured goes before all newer articles, three at most as leads."""
    wished = [
        article(9, wishes=Wishes(newsletter="lead")),
        article(8, featured=True),
        article(7, wishes=Wishes(breaking=True)),
        article(6, featured=True),
    ]
    mail = made([*(article(n) for n in range(3)), *wished])
    assert list(roles(mail)) == ["a6", "a7", "a8", "a9", "a0", "a1", "a2"]
    assert Counter(roles(mail).values()) == {"lead": 3, "item": 2, "headline": 2}
    assert "Breaking" in mail.html


def test_the_readers_slots_are_marked_exactly_once_each() -> None:
    """View, preferences and unsubscribe links are in both forms of the mail, and nothing else is a mark."""
    for mail in (made([article(n) for n in range(9)]), made([article(0)], body="<p>All of it.</p>")):
        for text in (mail.html, mail.text):
            names = split(text).names
            assert sorted(names) == ["preferences_url", "unsubscribe_url", "view_url"]
        links = [link["href"] for link in Page(mail.html).all("a")]
        assert MARKS["unsubscribe_url"] in links


def test_sections_by_topic() -> None:
    """Items and their headlines stand under the newsletter's topics in its order, the rest at the end."""
    topics = {"port": ("harbour", "ships"), "town": ("Town",), "sport": ("football",)}
    newsletter = MORNING.model_copy(update={"sections": "topic", "topics": topics, "max_articles": 4})
    tags = [(), ("town",), ("x",), ("Ships",), ("town", "harbour"), ("TOWN",)]
    mail = made([article(n, tags=tag) for n, tag in enumerate(tags)], newsletter=newsletter)
    assert Page(mail.html).headings == [
        (1, "Morning Tide"),
        (2, "Story number 0"),
        (2, "Port"),
        (3, "Story number 3"),
        (2, "Town"),
        (3, "Story number 1"),
        (2, "More stories"),
        (3, "Story number 2"),
    ]
    port, town, other = (mail.text.index(title) for title in ("\nPort\n", "\nTown\n", "\nMore stories\n"))
    assert port < mail.text.index("- Story number 4") < town < mail.text.index("- Story number 5") < other


def test_topics_that_were_found_elsewhere_count_first() -> None:
    """Who planned the edition may say what an article is about."""
    newsletter = MORNING.model_copy(update={"sections": "topic", "topics": {"port": ("x",), "town": ("x",)}})
    mail = made([article(0), article(1, tags=("x",))], newsletter=newsletter, topics={"a1": ("town",)})
    assert (2, "Town") in Page(mail.html).headings


def test_sections_by_source() -> None:
    """Each source has its heading, written as it writes itself."""
    newsletter = MORNING.model_copy(update={"sections": "source"})
    sources = ["a", "citydesk", None, "Reuters", "citydesk"]
    mail = made([article(n, source=source) for n, source in enumerate(sources)], newsletter=newsletter)
    titles = [text for level, text in Page(mail.html).headings if level == 2]
    assert titles == ["Story number 0", "citydesk", "Reuters", "More stories"]


def test_pictures_are_shown_in_proportion() -> None:
    """The lead's is large, an item's small, none larger than it is, and headlines have none."""
    pictures = {f"a{n}": picture(n, width=w, height=h) for n, (w, h) in enumerate(SIZES)}
    mail = made([article(n) for n in range(len(SIZES))], pictures)
    shown = Page(mail.html).all("img")
    assert [image["width"] for image in shown] == ["576", "152", "63", "90", "152"]
    assert mail.pictures == ()


SIZES = [(1200, 630), (1200, 630), (400, 1200), (90, 60), (4000, 1), (1200, 630)]


def test_pictures_that_travel_along_are_named() -> None:
    """A picture shown as cid: is listed once for the mail to carry; one that is not shown is not."""
    pictures = {"a0": picture(1), "a1": picture(1), "a2": picture(2), "a6": picture(6)}
    mail = made([article(n) for n in range(7)], pictures, media_url=lambda p: f"cid:{p.hash}")
    assert [p.hash for p in mail.pictures] == [picture(1).hash, picture(2).hash]
    assert mail.html.count(f'src="cid:{picture(1).hash}"') == 2


def test_items_show_thumbnails_and_leads_do_not() -> None:
    """Beside a teaser stands the small picture; the mail carries what it shows and nothing else."""
    pictures = {f"a{n}": picture(n, alt=f"Banner {n}") for n in range(7)}
    small = {
        f"a{n}": picture(100 + n, width=304, height=160, size=9_000, alt=f"Small {n}") for n in (0, 1, 2, 6)
    }
    mail = made(
        [article(n) for n in range(7)], pictures, thumbnails=small, media_url=lambda p: f"cid:{p.hash}"
    )
    expected = [pictures["a0"], small["a1"], small["a2"], pictures["a3"], pictures["a4"]]
    shown = Page(mail.html).all("img")
    assert [image["src"] for image in shown] == [f"cid:{each.hash}" for each in expected]
    assert [image["alt"] for image in shown] == [each.alt for each in expected]
    assert [image["width"] for image in shown] == ["576", *["152"] * 4]
    assert list(mail.pictures) == expected


def test_an_article_by_itself_shows_its_banner() -> None:
    """Breaking news has no small picture, whether one was made or not."""
    mail = made(
        [article(0), article(1)],
        {"a0": picture(0), "a1": picture(1)},
        body="<p>All of it.</p>",
        thumbnails={"a0": picture(100), "a1": picture(101)},
        media_url=lambda p: f"cid:{p.hash}",
    )
    assert mail.pictures == (picture(0),)


def test_a_thumbnail_that_no_mail_can_show_gives_way_to_the_banner() -> None:
    """Better heavy than broken."""
    mail = made(
        [article(0), article(1)],
        {"a1": picture(1)},
        thumbnails={"a1": picture(2)},
        media_url=lambda p: "" if p == picture(2) else f"https://media.example/{p.name}",
    )
    assert [image["src"] for image in Page(mail.html).all("img")] == [
        f"https://media.example/{picture(1).name}"
    ]


@pytest.mark.parametrize("address", ["", "javascript:alert(1)", "file:///etc/passwd", "cid:other", "data:,x"])
def test_a_picture_that_no_mail_can_show_is_left_out(address: str) -> None:
    """No broken frame, no local file."""
    mail = made([article(0)], {"a0": picture(0)}, media_url=lambda _: address)
    assert Page(mail.html).all("img") == []


def test_alternative_texts() -> None:
    """A picture is described by its article's own words, else its own, else the title; never not at all."""
    articles = [article(0, wishes=Wishes(alt='The "old" crane')), article(1), article(2)]
    pictures = {"a0": picture(0, alt="x"), "a1": picture(1, alt="A seal"), "a2": picture(2)}
    alts = [image["alt"] for image in Page(made(articles, pictures).html).all("img")]
    assert alts == ['The "old" crane', "A seal", "Story number 2"]


def test_links_to_the_site_carry_the_campaign() -> None:
    """Every link to the site has the newsletter's parameters, in HTML and in text."""
    mail = made([article(n) for n in range(7)])
    links = [link["href"] for link in Page(mail.html).all("a") if "story" in link["href"]]
    assert len(links) == 8  # the lead's title and button, and one each
    for link in links + re.findall(r"https://quay\S+story\S+", mail.text):
        assert parse_qs(urlsplit(link).query) == {"utm_source": ["tide"], "utm_medium": ["email"]}


@pytest.mark.parametrize(
    ("titles", "subject"),
    [
        (["Only one"], "Only one"),
        (["First", "Second", "Third"], "First, and 2 more"),
        (["The ferry " * 20, "x"], "The ferry " * 7 + "The…, and 1 more"),
    ],
)
def test_the_subject_names_the_first_and_counts_the_rest(titles: list[str], subject: str) -> None:
    """At most 90 characters, cut between words, the count never cut off."""
    mail = made([article(n, title=title) for n, title in enumerate(titles)])
    assert mail.subject == subject
    assert len(mail.subject) <= 90


def test_the_preheader_goes_on_where_the_subject_ends() -> None:
    """It shows the next titles, and nothing of the body is drawn in after it."""
    mail = made([article(n) for n in range(6)])
    assert mail.preheader == "Story number 1 · Story number 2 · Story number 3"
    hidden = re.search(r'<div style="display:none[^>]*>(.*?)</div>', mail.html)
    assert hidden
    assert hidden[1].startswith(mail.preheader)
    assert len(hidden[1]) > 250
    assert made([article(0)]).preheader == article(0).summary


IMPRINT = "The Quay & Sons <Ltd>\r\n\n  1 Quay   Street\u2028Tidewick \n"


@pytest.mark.parametrize("body", [None, "<p>All of it.</p>"])
def test_the_imprint_ends_every_mail(body: str | None) -> None:
    """Who publishes, and where, stands line by line at the foot of both forms, in nothing but text."""
    mail = made([article(0)], publication=replace(QUAY, imprint=IMPRINT), body=body)
    assert mail.text.endswith("\n\nThe Quay & Sons <Ltd>\n1 Quay Street\nTidewick\n")
    last = re.findall(r"<p\b[^>]*>(.*?)</p>", mail.html, re.DOTALL)[-1]
    lines = ["The Quay &amp; Sons &lt;Ltd&gt;", "1 Quay Street", "Tidewick"]
    assert last.strip() == "<br />".join(f"<bdi>{line}</bdi>" for line in lines)


@pytest.mark.parametrize("imprint", ["", " \n\t\u2028\n"])
def test_without_an_imprint_nothing_is_left_for_it(imprint: str) -> None:
    """No empty paragraph, no lines of nothing."""
    mail = made([article(0)], publication=replace(QUAY, imprint=imprint))
    assert mail == made([article(0)])
    assert mail.text.endswith(f"{MARKS['unsubscribe_url']}\n")
    assert "<bdi></bdi>" not in mail.html


def test_an_imprint_of_any_length_fits() -> None:
    """What the settings would not take is cut here, whoever calls; in text its long lines are wrapped."""
    mail = made(
        [article(n) for n in range(500)], publication=replace(QUAY, imprint="Quay 漢字 @@name@@ " * 9_000)
    )
    assert room(mail) <= MAX_BYTES
    assert mail.html.count("Quay 漢字") == 59  # in 1,000 characters
    assert "name" not in split(mail.html).names
    assert max(map(len, mail.text.partition("@unsubscribe_url@@")[2].splitlines())) <= 72


@pytest.mark.parametrize(
    "logo", ["logo.png", "file:///logo.png", "javascript:x", "https://", 'https://x"y', ""]
)
def test_a_logo_is_a_web_address(logo: str) -> None:
    """Mail programs fetch it, so a file on the publisher's disk is told as a mistake."""
    with pytest.raises(ValidationError):
        Site.model_validate({"content": "content", "logo": logo})


def test_the_site_s_face_is_bounded() -> None:
    """A logo at an address is taken, and so is an imprint with lines, up to what a mail has room for."""
    logo = "https://quay.example/logo.png"
    site = Site.model_validate({"content": "content", "logo": logo, "imprint": IMPRINT})
    assert (site.logo, site.imprint) == (logo, IMPRINT)
    mail = made([article(0)], publication=replace(QUAY, logo=site.logo))
    assert [image["src"] for image in Page(mail.html).all("img")] == [logo]
    with pytest.raises(ValidationError):
        Site.model_validate({"content": "content", "imprint": "x" * 1_001})


def test_the_text_twin_reads_well() -> None:
    """Titles, teasers and links in lines of 72 columns, nothing escaped, no gaps of blank lines."""
    long = article(1, title="A & B " * 20, summary="Salt & vinegar. " * 9)
    text = made([article(0), long, *(article(n) for n in range(2, 9))]).text
    assert text.startswith("Morning Tide\nThe Quay\nSaturday, March 14, 2026\n")
    assert max(len(line) for line in text.splitlines() if "https://" not in line) <= 72
    assert "&amp;" not in text
    assert "\n\n\n" not in text
    assert not re.search(r"[ \t]\n", text)
    assert "\n- Story number 8 (Harbour Desk)\n  https://quay.example/story-8/" in text


def test_accessible_to_screen_readers() -> None:
    """A language, headings in order, tables marked as layout, words for every picture and link."""
    newsletter = MORNING.model_copy(update={"sections": "source"})
    pictures = {f"a{n}": picture(n) for n in range(9)}
    page = Page(made([article(n, language="de") for n in range(9)], pictures, newsletter=newsletter).html)
    assert page.all("html")[0]["lang"] == "en"
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert {table.get("role") for table in page.all("table")} == {"presentation"}
    assert all(image["alt"] for image in page.all("img"))
    assert sum(tag.get("lang") == "de" for _, tag in page.tags) >= 9
    buttons = [link["aria-label"] for link in page.all("a") if "aria-label" in link]
    assert buttons == ["Read the full story: Story number 0"]


@pytest.mark.parametrize("color", ["#ffb000", "#000000", "#ffffff", "#1a4f8b", "#00ff00", "no colour"])
def test_every_text_is_legible(color: str) -> None:
    """Whatever the site's colour, text has a contrast of 4.5 by day and by night, and 14 pixels at least."""
    html = made([article(n) for n in range(9)], publication=replace(QUAY, color=color)).html
    night = re.search(r"prefers-color-scheme:dark\)\{.*?\}\}", html)
    assert night
    for shade in set(re.findall(r"[;\"]color:(#\w{6})", html.split("<body")[1])) - {"#ffffff"}:
        assert contrast(rgb(shade), rgb("#f3f2ee")) >= 4.5
    for shade in set(re.findall(r"[{;]color:(#\w{6})", night[0])) - {"#121314"}:
        assert contrast(rgb(shade), rgb("#1c1e20")) >= 4.5
    for button in re.findall(r'class="bt" bgcolor="(#\w{6})"', html):
        assert contrast(rgb(button), rgb("#ffffff")) >= 4.5
    visible = re.sub(r'<div style="display:none.*?</div>', "", html.split("<body")[1])
    assert (
        min(int(size) for size in re.findall(r"font(?:-size)?:[^;\"]*?(\d+)px", visible) if size != "0") >= 14
    )


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def test_written_from_right_to_left() -> None:
    """An Arabic paper's mail is mirrored and speaks Arabic; each article keeps its own direction."""
    arabic = replace(QUAY, title="الرصيف", language="ar")
    arabic = replace(arabic, imprint="دار الرصيف\n1 Quay Street, Tidewick.")
    mail = made([article(0, title="عبّارة جديدة"), article(1)], {"a1": picture(1)}, publication=arabic)
    page = Page(mail.html)
    assert page.all("html")[0] | {"dir": "rtl", "lang": "ar"} == page.all("html")[0]
    assert "text-align:right" in mail.html
    assert "إلغاء الاشتراك" in mail.html
    assert "إلغاء الاشتراك" in mail.text
    assert mail.subject == "عبّارة جديدة، و1 غيرها"
    assert "مارس" in mail.text
    assert "<bdi>دار الرصيف</bdi><br /><bdi>1 Quay Street, Tidewick.</bdi>" in mail.html
    assert {tag["dir"] for name, tag in page.tags if name in ("h2", "p") and "dir" in tag} == {"auto"}


def test_dark_mode_reaches_every_client_that_has_one() -> None:
    """The colour scheme is declared, and dark colours are given for Apple Mail and for Outlook's web view."""
    html = made([article(0)]).html
    assert '<meta name="color-scheme" content="light dark"' in html
    assert "@media (prefers-color-scheme:dark)" in html
    assert "[data-ogsc] .tx{" in html


@pytest.mark.parametrize("count", [1, 2, 5, 6, 60, 500, 1_500])
def test_any_number_of_articles_fits(count: int) -> None:
    """The mail stays below its limit with the readers' links in it, and says how many more there are."""
    mail = made([article(n) for n in range(count)])
    assert room(mail) <= MAX_BYTES
    counts = Counter(carried.role for carried in mail.articles)
    assert counts.total() == count
    assert counts["lead"] + counts["item"] == min(count, 5)
    assert (f"{counts['folded']} more stories on the site" in mail.html) == (counts["folded"] > 0)
    assert counts["folded"] == 0 or room(mail) > MAX_BYTES - 1_000  # no more is left out than has to be


HUGE = {
    "title": "Größe & <Maß> " * 9_000,
    "summary": "漢字 " * 90_000,
    "source": "@" * 9_000,
    "url": "https://quay.example/" + "x" * 1_990,
    "authors": ("A" * 9_000,) * 900,
}


def test_huge_fields_fit() -> None:
    """Five hundred articles of enormous everything still make a mail within the limit."""
    mail = made(
        [article(n, **HUGE) for n in range(500)],
        {f"a{n}": picture(n) for n in range(500)},
        newsletter=MORNING.model_copy(update={"max_articles": 400, "title": "T" * 9_000}),
    )
    assert room(mail) <= MAX_BYTES
    assert roles(mail)["a0"] == "lead"
    assert len(mail.subject) <= 90


@pytest.mark.parametrize(
    ("most", "items", "headlines", "teaser"),
    [
        (9, [9], range(1, 71), 170),  # headlines had to go
        (31, [31], [0], 60),  # all of them, and words of the teasers
        (36, range(2, 36), range(1, 35), 0),  # all teasers, and some items became headlines
        (60, [1], range(1, 59), 0),  # all but the lead did, and some of them went
    ],
)
def test_less_is_shown_in_the_right_order(
    most: int, items: Sequence[int], headlines: Sequence[int], teaser: int
) -> None:
    """Headlines go first, then teasers grow shorter, then items become headlines, and these go last."""
    url = "https://quay.example/" + "x" * 1_750
    summary = "All the words of a teaser, again and again. " * 9
    articles = [article(n, url=f"{url}{n}", summary=summary) for n in range(80)]
    mail = made(articles, newsletter=MORNING.model_copy(update={"max_articles": most}))
    counts = Counter(roles(mail).values())
    assert counts["lead"] + counts["item"] in items
    assert counts["headline"] in headlines
    shown = [text for text in Page(mail.html).words["p"] if text.startswith("All the")]
    assert bool(shown) == bool(teaser)
    assert all(teaser <= len(text) < teaser + 110 for text in shown[1:])  # of items: the lead's is longer


HOSTILE = (
    "</a></td><script>alert(1)</script>{{ 7*7 }}{% raw %}@@name@@@@unsubscribe_url@@"
    "<mj-raw>&amp;]]>-->\x00\x1b\ud800\u202e"
)


def test_hostile_fields_are_only_text() -> None:
    """Markup, template code, marks and controls in an article are shown or dropped, never obeyed."""
    wishes = Wishes(alt=HOSTILE)
    hostile = article(
        0, title=HOSTILE, summary=HOSTILE, source=HOSTILE, authors=(HOSTILE,), language='"><b>', wishes=wishes
    )
    paper = replace(QUAY, title=HOSTILE, language=HOSTILE, color=HOSTILE, logo=HOSTILE, imprint=HOSTILE)
    newsletter = MORNING.model_copy(update={"title": HOSTILE, "description": HOSTILE})
    for body in (None, f"<p>{HOSTILE}</p>"):
        mail = made([hostile], {"a0": picture(0)}, publication=paper, newsletter=newsletter, body=body)
        page = Page(mail.html)
        assert page.all("script") == page.all("mj-raw") == page.all("b") == []
        assert "{{ 7*7 }}" in mail.html
        assert sorted(split(mail.html).names) == ["preferences_url", "unsubscribe_url", "view_url"]
        assert sorted(split(mail.text).names) == ["preferences_url", "unsubscribe_url", "view_url"]
        assert split(mail.subject).names == split(mail.preheader).names == ()
        assert "\x00" not in mail.html + mail.text + mail.subject


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "https://quay.example/" + "x" * 4_000])
def test_an_article_that_cannot_be_linked_is_told_without_a_link(url: str) -> None:
    """Its title is there, and no link that leads nowhere."""
    mail = made([article(0, url=url), article(1, url=url)], {"a0": picture(0)})
    page = Page(mail.html)
    assert "Story number 1" in page.words["body"][0]
    assert {link["href"] for link in page.all("a")} <= {*MARKS.values(), "https://quay.example"}


def test_missing_fields_leave_no_gaps() -> None:
    """No title, no summary, no source, no date to speak of: the mail has words where words must be."""
    bare = Article(
        key="x",
        url="https://quay.example/the-crane/",
        title="",
        published_at=datetime.min.replace(tzinfo=UTC),
        path="",
    )
    nameless = Publication(title="", base_url="")
    for body in (None, ""):
        mail = made([bare, replace(bare, key="y", summary="Only a summary")], publication=nameless, body=body)
        page = Page(mail.html)
        assert mail.subject
        assert all(text for _, text in page.headings)
        assert not re.search(r"<(p|h1|h2|h3|a)\b[^>]*>\s*</\1>", mail.html)
        assert "None" not in mail.html + mail.text
    assert made([replace(bare, url="")], publication=nameless).subject == "Morning Tide"


def test_breaking_news_carries_the_article_itself() -> None:
    """One article by itself: its title is the first heading, its body is there, and the way to the site."""
    one = article(0, authors=("Ada Jansen", "Bo Li"), wishes=Wishes(breaking=True))
    mail = made([one], {"a0": picture(0)}, body="<p>It <b>moved</b>.</p><p><a href='/crane/'>Why</a></p>")
    page = Page(mail.html)
    assert page.headings == [(1, "Story number 0")]
    assert "It <b>moved</b>." in mail.html
    assert 'href="https://quay.example/crane/?utm_source=tide&amp;utm_medium=email"' in mail.html
    for words in ("Breaking", "By Ada Jansen, Bo Li", "Read it at The Quay"):
        assert words in page.words["body"][0]
    assert mail.subject == "Breaking: Story number 0"
    assert mail.preheader == one.summary
    assert "It moved." in mail.text
    assert "[Why](https://quay.example/crane/?utm_source=tide&utm_medium=email)" in mail.text


def test_a_long_body_is_cut_and_others_are_headlines() -> None:
    """With more articles the first given is told, the others follow by title, and it all fits."""
    mail = made([article(3), article(0)], body="<p>All of it.</p>")
    assert roles(mail) == {"a3": "lead", "a0": "headline"}
    assert (2, "Also new") in Page(mail.html).headings
    long = made([article(3), article(0)], body="<p>It went on and on.</p>" * 20_000)
    assert MAX_BYTES - 6_000 < room(long) <= MAX_BYTES
    assert Page(long.html).words["p"].count("It went on and on.") > 1_000


def test_the_same_articles_make_the_same_digest() -> None:
    """Two renderings of one edition are one rendition, whatever the order of arrival."""
    articles = [article(n) for n in range(20)]
    assert made(articles).hash == made(articles[::-1]).hash


def test_a_newsletters_own_template(tmp_path: Path) -> None:
    """A newsletter may have its own look; what it does not bring is the shipped one's."""
    (tmp_path / "email").mkdir()
    own = '{% extends "shipped/digest.mjml.j2" %}{% block name %}<h1>Tide!</h1>{% endblock %}'
    (tmp_path / "email" / "tide.mjml.j2").write_text(own, encoding="utf-8")
    newsletter = MORNING.model_copy(update={"template": "tide"})
    mail = made([article(0)], newsletter=newsletter, templates=tmp_path)
    assert (1, "Tide!") in Page(mail.html).headings
    assert mail.subject == "Story number 0"
    with pytest.raises(TemplateError, match=r"no template tide\.mjml\.j2"):
        made([article(0)], newsletter=newsletter)


def test_an_edition_asks_nobody_anything(tmp_path: Path) -> None:
    """The link of a notice is unknown in an edition: told when it is made, not when it is to be sent."""
    folder = tmp_path / "email"
    folder.mkdir()
    (folder / "digest.txt.j2").write_text("Yes: {{ slots.confirm_url }}\n")
    with pytest.raises(TemplateError, match=r"digest\.txt\.j2:1: .*confirm_url"):
        made([article(0)], templates=tmp_path)


def test_a_real_sites_articles(corpus: Path) -> None:
    """All of a real site in one edition, by source; and each by itself, with all of its body."""
    site = read_site(corpus / "content")
    pages = [found.page.article for found in scan(site, {}).read if found.page]
    newsletter = MORNING.model_copy(update={"sections": "source"})
    paper = replace(QUAY, base_url="https://newswriter.ai/news")
    mail = made(pages, newsletter=newsletter, publication=paper)
    assert room(mail) <= MAX_BYTES
    assert {carried.role for carried in mail.articles} == {"lead", "item", "headline"}
    titles = [text for level, text in Page(mail.html).headings if level == 2]
    assert {"citybiz", "NewMediaWire"} <= set(titles)
    assert "None" not in titles
    for one in pages[::9]:
        whole = made([one], publication=paper, body=body_html(site, one))
        last = plain_body(body_html(site, one)).split()[-1]
        assert last in whole.text
        assert room(whole) <= MAX_BYTES


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_nothing_an_article_says_breaks_the_mail(data: st.DataObject) -> None:
    """For any text in any field: no error, no forged mark, nothing unbalanced, nothing too large."""
    text = st.text(max_size=40) | st.sampled_from(["@", "@@", "name@@", HOSTILE, "漢字" * 900, "שלום"])
    size = st.integers(0, 9_000)
    articles = [
        article(
            n,
            **data.draw(
                st.fixed_dictionaries(
                    {
                        "key": st.just(f"a{n}"),
                        "title": text,
                        "summary": text,
                        "url": text.map("https://quay.example/".__add__) | text,
                        "source": text,
                        "authors": st.tuples(text),
                        "tags": st.tuples(text),
                        "language": st.none() | text,
                        "featured": st.booleans(),
                        "published_at": st.datetimes(timezones=st.just(UTC)),
                        "wishes": st.builds(Wishes, alt=st.none() | text, breaking=st.booleans()),
                    }
                )
            ),
        )
        for n in range(data.draw(st.integers(1, 7)))
    ]
    pictures = {
        a.key: picture(n, width=data.draw(size), height=data.draw(size), alt=data.draw(text))
        for n, a in enumerate(articles[::2])
    }
    names = ("title", "base_url", "language", "color", "logo", "imprint")
    paper = data.draw(st.builds(Publication, **dict.fromkeys(names, text)))
    newsletter = MORNING.model_copy(
        update={
            "title": data.draw(text),
            "utm": data.draw(st.dictionaries(text, text, max_size=2)),
            "sections": data.draw(st.sampled_from(["topic", "source", "none"])),
            "topics": data.draw(st.dictionaries(text, st.tuples(text), max_size=2)),
        }
    )
    mail = made(
        articles,
        pictures,
        publication=paper,
        newsletter=newsletter,
        body=data.draw(st.none() | text),
        media_url=lambda p: p.alt,
    )
    assert room(mail) <= MAX_BYTES
    assert sorted(split(mail.html).names) == ["preferences_url", "unsubscribe_url", "view_url"]
    assert sorted(split(mail.text).names) == ["preferences_url", "unsubscribe_url", "view_url"]
    assert len(mail.articles) == len(articles)
    assert "\n" not in mail.subject + mail.preheader
    Page(mail.html)


def test_no_width_needs_scrolling_sideways(browser: Browser) -> None:
    """From 320 to 700 pixels nothing sticks out, not even an endless word, by day or by night."""
    endless = article(1, title="Supercalifragilistic" * 10, summary="x" * 400, source="y" * 90)
    pictures = {f"a{n}": picture(n, width=w, height=h) for n, (w, h) in enumerate(SIZES)}
    newsletter = MORNING.model_copy(update={"title": "Tide" * 20, "description": "z" * 300})
    paper = replace(QUAY, imprint="i" * 1_000)
    articles = [article(0), endless, *(article(n) for n in range(2, 9))]
    mail = made(articles, pictures, newsletter=newsletter, publication=paper)
    body = f"<p>{'w' * 500}</p><pre>{'v ' * 300}</pre><table><tr>{'<td>cell</td>' * 6}</tr></table>"
    korean = replace(QUAY, language="ko", imprint="항구" * 400)
    hangul = article(1, title="항구" * 90, summary="바다" * 200)
    for html in (mail.html, made([endless], body=body).html, made([hangul], publication=korean).html):
        for width in (320, 375, 700):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark")
            page.route(re.compile("^https?:"), lambda route: route.abort())
            page.set_content(html, wait_until="commit")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert shade == "rgb(18, 19, 20)"
            page.close()


LINES = """() => {
    const text = [...document.querySelectorAll("h2 a")].at(-1).firstChild, lines = []
    let top = -1
    for (let at = 0; at < text.length; at++) {
        const range = document.createRange()
        range.setStart(text, at)
        range.setEnd(text, at + 1)
        const box = [...range.getClientRects()].at(-1)
        if (box && Math.abs(box.top - top) > 8) { lines.push(""); top = box.top }
        lines[lines.length - 1] += text.data[at]
    }
    return lines
}"""  # of the last article's title, as they are laid out


def lines_of(browser: Browser, language: str, title: str) -> list[str]:
    """The title of an item as a phone shows it."""
    mail = made([article(0), article(1, title=title)], publication=replace(QUAY, language=language))
    page = browser.new_page(viewport={"width": 375, "height": 800})
    page.set_content(mail.html, wait_until="commit")
    lines: list[str] = page.evaluate(LINES)
    page.close()
    return [line.strip() for line in lines]


def test_korean_is_broken_between_words(browser: Browser) -> None:
    """As its readers are used to, and other than Chinese."""
    for title in (
        "한강공원에서 눈썰매장 개장하자마자 " * 3,
        "새해 첫날 " + "한강공원에서 눈썰매장 개장하자마자 " * 3,
    ):
        lines = lines_of(browser, "ko", title)
        assert len(lines) > 2
        assert " ".join(lines) == title.strip()


def test_no_line_of_japanese_begins_with_a_small_kana(browser: Browser) -> None:
    """Wherever the line ends, even if it is full."""
    for title in ("カッ" * 30, "ア" + "カッ" * 30):
        lines = lines_of(browser, "ja", title)
        assert len(lines) > 1
        assert {line[0] for line in lines} <= {"カ", "ア"}
