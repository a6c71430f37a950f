from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser

from distributor.config import Channel
from distributor.model import Article, Carried, Digest, Picture, Post, Publication
from distributor.rendering import limits
from distributor.rendering.environment import environment
from distributor.rendering.lint import Finding
from distributor.rendering.post import post
from distributor.rendering.preview import PreviewDigest, PreviewPost, linked, write_preview

PUBLICATION = Publication(title="The Quay Gazette", base_url="https://quay.example.com")
ARTICLE = Article(
    key="41",
    url="https://quay.example.com/town/2026/swing-bridge/",
    title="Swing bridge opens to <em>cyclists</em>",
    summary="From Monday the old bridge carries a cycle lane & a footpath.",
    published_at=datetime(2026, 11, 20, 7, 30, tzinfo=UTC),
    path="town/swing-bridge.md",
    tags=("harbour", "Cycle lanes"),
)


def drawn(color: str) -> tuple[Picture, bytes]:
    file = io.BytesIO()
    Image.new("RGB", (120, 63), color).save(file, "PNG")
    data = file.getvalue()
    picture = Picture(
        hash=sha256(data).hexdigest(),
        media_type="image/png",
        width=120,
        height=63,
        size=len(data),
        alt='A "red" <bridge>',
        note="drawn: the banner answered 404",
    )
    return picture, data


PICTURE, PIXELS = drawn("#a33")
LINKED, LINKED_PIXELS = drawn("#3a3")
DIGEST = Digest(
    subject="Bridge & quay, @@name@@",
    preheader="What <happens> today",
    html=f"""<!doctype html><html lang="en"><head><title>x</title></head><body>
    <p>Good morning @@name@@</p><img src="cid:{PICTURE.hash}" alt="">
    <img src="https://news.example.com/media/{PICTURE.hash}" alt="">
    <img src="https://cdn.example.com/b.png?a=1&amp;b=2" alt="">
    <a href="@@unsubscribe_url@@">Unsubscribe</a></body></html>""",
    text="Good morning @@name@@\n@@unsubscribe_url@@",
    pictures=(PICTURE,),
    articles=(Carried(key="41", role="lead"), Carried(key="42", role="headline")),
)
EDITION = PreviewDigest(
    newsletter="Morning <Gazette>",
    cohort="daily · harbour",
    digest=DIGEST,
    readers=1200,
    pictures=(replace(LINKED, url="https://cdn.example.com/b.png?a=1&b=2"),),
)


def posts(**changes: Any) -> list[PreviewPost]:
    article = replace(ARTICLE, **changes)
    made = [
        post(PUBLICATION, Channel(network=name), article, [PICTURE], environment(None, "social"))
        for name in limits.networks()
    ]
    return [PreviewPost(channel=p.network, account=PUBLICATION.title, post=p) for p in made]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / PICTURE.name).write_bytes(PIXELS)
    (folder / LINKED.name).write_bytes(LINKED_PIXELS)
    return folder


@pytest.fixture
def page(tmp_path: Path, media: Path) -> Path:
    return write_preview(tmp_path / "out", title="Gazette", digests=[EDITION], posts=posts(), media=media)


class _Page(HTMLParser):
    """All texts, and every address that a page loads or leads to."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            value or "" for name, value in attrs if name == "src" or (tag == "link" and name == "href")
        ]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_shows_all_that_would_be_sent(page: Path) -> None:
    """Every digest with its facts, every post with its count, in words a person can check."""
    said = " ".join(" ".join(_Page(page.read_text(encoding="utf-8")).text).split())
    assert "Bridge & quay, Robin Reader" in said
    assert "What <happens> today" in said
    assert "1,200 readers" in said
    assert "of 95 kB" in said
    assert "1 lead" in said
    assert "drawn: the banner answered 404" in said
    for name, network in limits.networks().items():
        assert network.name in said, name
    assert "of 300 graphemes" in said
    assert "of 280 weighted characters" in said
    assert "Telegram takes no alternative text" in said


def test_the_page_needs_no_network(page: Path) -> None:
    """Everything that is loaded lies beside the page."""
    for file in [page, *page.parent.glob("digests/*.html")]:
        for address in _Page(file.read_text(encoding="utf-8")).loads:
            assert "://" not in address, address
            assert (file.parent / address).is_file(), address


def test_digests_lie_beside_the_page(page: Path) -> None:
    """HTML and text are files of their own, with a sample reader's values in the slots."""
    html = (page.parent / "digests" / "01-morning-gazette.html").read_text(encoding="utf-8")
    text = (page.parent / "digests" / "01-morning-gazette.txt").read_text(encoding="utf-8")
    assert html.count(f"../media/{PICTURE.name}") == 2
    assert html.count(f"../media/{LINKED.name}") == 1
    assert "@@" not in html + text
    assert text.startswith("Good morning Robin Reader\nhttps://")


def test_what_articles_say_is_never_markup(tmp_path: Path, media: Path) -> None:
    """A title with a script in it is shown as it is written, and runs nowhere."""
    hostile = "</title><script>alert(1)</script><img src=x onerror=alert(1)>"
    edition = replace(
        EDITION, newsletter=hostile, cohort=hostile, notes=(hostile,), digest=replace(DIGEST, subject=hostile)
    )
    page = write_preview(
        tmp_path / "out",
        title=hostile,
        digests=[edition],
        posts=[
            replace(shown, channel=hostile, account=hostile)
            for shown in posts(title=hostile, summary=hostile)
        ],
        media=media,
    )
    parsed = _Page(page.read_text(encoding="utf-8"))
    assert "script" not in parsed.tags
    assert "x" not in parsed.loads
    assert hostile in " ".join(parsed.text)


def test_what_lint_found_stands_beside_what_it_is_about(tmp_path: Path, media: Path) -> None:
    """Each finding with its weight, what is clean said to be so, and what nobody looked at without a word."""
    wrong = Finding(rule="alt", severity="error", where="HTML", message="a <picture> has no alternative text")
    doubtful = Finding(rule="subject", severity="warning", where="subject", message="is all capitals")
    page = write_preview(
        tmp_path / "out",
        title="Gazette",
        digests=[replace(EDITION, findings=(wrong, doubtful), remarks=("spamc: 0.3 points.",)), EDITION],
        posts=[replace(posts()[0], findings=()), posts()[1]],
        media=media,
        remarks=["Nobody asked the links."],
    )
    source = page.read_text(encoding="utf-8")
    said = " ".join(" ".join(_Page(source).text).split())
    assert "Lint found 1 error, 1 warning. Nobody asked the links." in said
    assert "error HTML a <picture> has no alternative text" in said
    assert "warning subject is all capitals" in said
    assert said.count("spamc: 0.3 points.") == 1
    assert said.count("Lint found nothing.") == 1
    assert "Lint found" not in (
        write_preview(tmp_path / "other", title="Gazette", digests=[EDITION], posts=posts(), media=media)
    ).read_text(encoding="utf-8")


def test_a_missing_picture_is_said(tmp_path: Path) -> None:
    """A picture that is not in the media folder leaves a sentence, not a broken page."""
    (tmp_path / "empty").mkdir()
    page = write_preview(
        tmp_path / "out", title="Gazette", digests=[EDITION], posts=posts(), media=tmp_path / "empty"
    )
    assert "not in the media folder" in page.read_text(encoding="utf-8")


def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    """On a day without articles the page says so."""
    page = write_preview(tmp_path / "out", title="Gazette", digests=[], posts=[], media=tmp_path)
    assert "nothing to say today" in page.read_text(encoding="utf-8")


def test_writing_again_replaces(media: Path, page: Path) -> None:
    """The same preview written twice is the same folder, without leftovers."""
    before = {file: file.read_bytes() for file in page.parent.rglob("*") if file.is_file()}
    write_preview(page.parent, title="Gazette", digests=[EDITION], posts=posts(), media=media)
    assert {file: file.read_bytes() for file in page.parent.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("network", "said", "link", "shown"),
    [
        ("mastodon", "See https://a.example/?b=1&c <x>", None, '<a href="https://a.example/?b=1&amp;c"'),
        ("mastodon", "a #Tag", None, '<span class="tag">#Tag</span>'),
        ("instagram", "https://a.example/", None, "https://a.example/"),
        ("slack", "a #Tag", None, "a #Tag"),
        ("bluesky", "a.example/b", "https://a.example/b?c", '<a href="https://a.example/b?c"'),
    ],
)
def test_only_what_the_network_makes_clickable_is_a_link(
    network: str, said: str, link: str | None, shown: str
) -> None:
    """Links, hashtags and plain words look as they would there, and all of it is escaped."""
    html = linked(Post(network=network, text=said, link=link))
    assert shown in html
    assert "<x>" not in html
    if network in ("instagram", "slack"):
        assert "<" not in html


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1280, "light")])
def test_a_browser_shows_it_from_the_disk(
    page: Path, browser: Browser, width: int, scheme: Literal["dark", "light"]
) -> None:
    """Opened as a file, the page loads every picture and frame, asks no network, and fits the window."""
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(page.as_uri(), wait_until="load")
    assert complaints == []
    assert {address.partition(":")[0] for address in asked} == {"file"}
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert len(tab.frames) == 3
    for frame in tab.frames[1:]:
        assert "Good morning Robin Reader" in frame.inner_text("body")
        assert frame.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    tab.close()
