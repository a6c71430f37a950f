"""Feeds in their three formats, whole, poor and broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.articles.body import body_html
from distributor.articles.feed import MAX_BYTES, FeedResult, fetch_feed, read_feed
from distributor.articles.page import Page
from distributor.errors import ContentError
from distributor.model import Article, ArticleState
from tests.articles.sites import NOW

URL = "https://feeds.example/news.xml"

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
  xmlns:media="http://search.yahoo.com/mrss/" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>
<title>The Example</title><link>https://example.org/</link><language>nb</language>
<item>
  <title>Storm &amp;amp; fjord</title><link>https://example.org/storm/</link>
  <guid isPermaLink="false">urn:storm:1</guid>
  <pubDate>Fri, 01 May 2026 10:00:00 GMT</pubDate>
  <description>&lt;p&gt;Waves of &lt;b&gt;nine&lt;/b&gt; metres.&lt;/p&gt;</description>
  <content:encoded><![CDATA[<p>Waves of nine metres hit <a href="/pier/">the pier</a>.</p>
    <script>x()</script>]]></content:encoded>
  <dc:creator>Ida Berg</dc:creator><category>Weather</category><category>Sea</category>
  <media:content url="/storm.jpg" medium="image"/>
  <source url="https://wire.example/feed">Harbour Wire</source>
</item></channel></rss>"""

ATOM = """<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="nb"><title>The Example</title>
<link href="https://example.org/"/><updated>2026-05-01T10:00:00Z</updated>
<entry><title type="html">Storm &amp;amp; fjord</title><id>urn:storm:1</id>
  <link href="https://example.org/storm/"/><published>2026-05-01T12:00:00+02:00</published>
  <updated>2026-05-02T10:00:00Z</updated>
  <summary type="html">&lt;p&gt;Waves of &lt;b&gt;nine&lt;/b&gt; metres.&lt;/p&gt;</summary>
  <content type="html">&lt;p&gt;Waves of nine metres hit
    &lt;a href="/pier/"&gt;the pier&lt;/a&gt;.&lt;/p&gt;</content>
  <author><name>Ida Berg</name></author><category term="Weather"/><category term="Sea"/>
  <link rel="enclosure" type="image/jpeg" href="https://example.org/storm.jpg"/>
  <source><title>Harbour Wire</title><link href="https://wire.example/feed"/></source>
</entry></feed>"""

JSON_FEED = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "The Example",
    "language": "nb",
    "items": [
        {
            "id": "urn:storm:1",
            "url": "https://example.org/storm/",
            "title": "Storm & fjord",
            "summary": "Waves of nine metres.",
            "content_html": '<p>Waves of nine metres hit <a href="/pier/">the pier</a>.</p>',
            "image": "https://example.org/storm.jpg",
            "date_published": "2026-05-01T12:00:00+02:00",
            "authors": [{"name": "Ida Berg"}],
            "tags": ["Weather", "Sea"],
        }
    ],
}


def _rss(item: str, head: str = "") -> bytes:
    return f'<rss version="2.0"><channel><title>T</title>{head}<item>{item}</item></channel></rss>'.encode()


def _json(**item: object) -> bytes:
    return json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": [item]}).encode()


def _only(result: FeedResult) -> Page:
    assert len(result.pages) == 1, result.problems
    return result.pages[0]


@pytest.mark.parametrize("data", [RSS.encode(), ATOM.encode(), json.dumps(JSON_FEED).encode()])
def test_three_formats_give_the_same_article(data: bytes) -> None:
    """RSS, Atom and JSON Feed give one page, its identity the entry's address."""
    result = read_feed(URL, data)
    assert result.problems == ()
    page = _only(result)
    article = page.at(NOW)
    has_source = article.source is not None  # JSON Feed knows none
    assert article == Article(
        key="https://example.org/storm/",
        url="https://example.org/storm/",
        title="Storm & fjord",
        summary="Waves of nine metres.",
        published_at=datetime(2026, 5, 1, 10, tzinfo=UTC),
        path="urn:storm:1",
        markup="html",
        source="Harbour Wire" if has_source else None,
        source_link="https://wire.example/feed" if has_source else None,
        authors=("Ida Berg",),
        tags=("Weather", "Sea"),
        language="nb",
        banner="https://example.org/storm.jpg",
    )
    html = body_html(None, article, text=page.body)
    words = " ".join(html.split())
    assert words == '<p>Waves of nine metres hit <a href="https://example.org/pier/">the pier</a>.</p>'
    assert Page.load(page.dump()) == page


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("<pubDate>Fri, 01 May 2026 10:00:00 +0200</pubDate>", datetime(2026, 5, 1, 8, tzinfo=UTC)),
        ("<pubDate>Fri, 01 May 2026 10:00:00 EST</pubDate>", datetime(2026, 5, 1, 15, tzinfo=UTC)),
        ("<pubDate>2026-05-01T10:00:00</pubDate>", datetime(2026, 5, 1, 8, tzinfo=UTC)),
        ("<pubDate>2026-05-01</pubDate>", datetime(2026, 4, 30, 22, tzinfo=UTC)),
        (
            "<updated xmlns='http://www.w3.org/2005/Atom'>2026-05-01T10:00:00Z</updated>",
            datetime(2026, 5, 1, 10, tzinfo=UTC),
        ),
    ],
)
def test_a_date_without_offset_is_the_sites(date: str, moment: datetime) -> None:
    """Each form of date is read; only where no zone is told the site's counts."""
    data = _rss(f"<title>T</title><link>https://e.org/a</link>{date}")
    assert _only(read_feed(URL, data, timezone="Europe/Oslo")).publish_at == moment


def test_a_future_entry_is_scheduled() -> None:
    """An entry is judged like a page: it may name a moment that is still to come."""
    data = _json(id="1", url="https://e.org/a", title="T", date_published="2099-01-01T00:00:00Z")
    assert _only(read_feed(URL, data)).at(NOW).state is ArticleState.SCHEDULED


@pytest.mark.parametrize("date", ["", "<pubDate>soon</pubDate>", "<pubDate>None</pubDate>"])
def test_an_entry_without_date_is_held(date: str) -> None:
    """Nobody can tell whether it is new, so it waits and is told."""
    result = read_feed(URL, _rss(f"<title>T</title><link>https://e.org/a</link>{date}"))
    assert _only(result).at(NOW).state is ArticleState.HELD
    assert any("no date" in problem.reason for problem in result.problems)


@pytest.mark.parametrize(
    ("item", "url"),
    [
        ("<guid>https://e.org/by-guid</guid>", "https://e.org/by-guid"),
        ("<link>/relative</link>", "https://feeds.example/relative"),
        ("<link>//cdn.example/x</link>", "https://cdn.example/x"),
        ("<link>javascript:alert(1)</link>", None),
        ("<guid isPermaLink='false'>17</guid>", None),
        ("<title>Only a title</title>", None),
    ],
)
def test_an_entry_needs_an_address(item: str, url: str | None) -> None:
    """Its link, or a guid that is one; an entry without is left out and told."""
    result = read_feed(URL, _rss(item + "<pubDate>Fri, 01 May 2026 10:00:00 GMT</pubDate>"))
    assert [page.article.url for page in result.pages] == ([url] if url else [])
    assert bool(result.problems) == (url is None)


def test_an_entry_without_title_or_text_still_reads() -> None:
    """A title is made from the text, else from the address."""
    date = "2026-05-01T10:00:00Z"
    page = _only(
        read_feed(URL, _json(url="https://e.org/a", content_html="<p>First words.</p>", date_published=date))
    )
    assert (page.article.title, page.article.summary) == ("First words.", "First words.")
    bare = _only(read_feed(URL, _json(url="https://e.org/a", date_published=date)))
    assert bare.article.title == "https://e.org/a"


def test_a_description_that_is_the_article_is_cut() -> None:
    """Many feeds put everything in the description: the body has it all, the summary its beginning."""
    text = "<p>" + "A sentence of the article. " * 80 + "</p>"
    item = f"<link>https://e.org/a</link><description><![CDATA[{text}]]></description>"
    page = _only(read_feed(URL, _rss(item)))
    assert page.body == text
    assert len(page.article.summary) <= 300
    assert page.article.summary.endswith(".")


def test_an_entry_given_twice_is_one() -> None:
    """The first entry of an address counts."""
    one = "<title>A</title><link>https://e.org/a</link></item><item><title>B</title><link>https://e.org/a</link>"
    assert [page.article.title for page in read_feed(URL, _rss(one)).pages] == ["A"]


@pytest.mark.parametrize(
    "picture",
    [
        '<enclosure url="https://p.example/x.png" type="image/png" length="1"/>',
        '<media:content xmlns:media="http://search.yahoo.com/mrss/" url="https://p.example/x.png"/>',
        '<media:thumbnail xmlns:media="http://search.yahoo.com/mrss/" url="https://p.example/x.png"/>',
        '<itunes:image xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" href="https://p.example/x.png"/>',
    ],
)
def test_a_banner_is_found_in_each_of_its_places(picture: str) -> None:
    """An enclosure, media:content, media:thumbnail or an image element."""
    article = _only(read_feed(URL, _rss(f"<link>https://e.org/a</link>{picture}"))).article
    assert article.banner == "https://p.example/x.png"


def test_what_is_no_picture_is_no_banner() -> None:
    """A film or a data address is not shown as a banner; the latter is told."""
    film = '<enclosure url="https://p.example/x.mp4" type="video/mp4" length="1"/>'
    assert _only(read_feed(URL, _rss(f"<link>https://e.org/a</link>{film}"))).article.banner is None
    data = _json(
        url="https://e.org/a", image="data:image/png;base64,AA", date_published="2026-05-01T10:00:00Z"
    )
    result = read_feed(URL, data)
    assert _only(result).article.banner is None
    assert "scheme data:" in result.problems[0].reason


def test_a_torn_feed_gives_what_it_has() -> None:
    """Entries before the fault are read, and the fault is told."""
    result = read_feed(URL, RSS[: RSS.index("</item>") + 7].encode() + b"<item><title>torn")
    assert result.pages[0].article.url == "https://example.org/storm/"
    assert "not well-formed" in result.problems[0].reason


def test_another_encoding_is_read() -> None:
    """The encoding a feed declares is the one it is read in."""
    data = '<?xml version="1.0" encoding="ISO-8859-1"?><rss version="2.0"><channel><item>'
    data += "<title>Blåbær</title><link>https://e.org/a</link></item></channel></rss>"
    assert _only(read_feed(URL, data.encode("latin-1"))).article.title == "Blåbær"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><body>Not found</body></html>",
        b"words",
        b"{}",
        b'{"version": 1}',
        b"{torn",
        b"\x00\x01",
        b'{"version": "https://example.org/", "items": []}',
    ],
)
def test_what_is_no_feed_is_an_error(data: bytes) -> None:
    """An error page or a torn document never looks like a feed that became empty."""
    with pytest.raises(ContentError, match=r"feeds\.example"):
        read_feed(URL, data)


def test_an_entity_bomb_does_not_go_off() -> None:
    """Entities of entities, which would fill all memory, are not followed."""
    bomb = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a0 "xxxxxxxxxx">'
    bomb += "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    bomb += "]><rss version='2.0'><channel><item><title>&a11;</title><link>https://e.org/a</link></item>"
    bomb += "</channel></rss>"
    try:
        result = read_feed(URL, bomb.encode())
    except ContentError:
        return
    assert all(len(page.article.title) <= 500 for page in result.pages)


def test_a_local_file_is_not_read_through_a_feed() -> None:
    """An entity that names a file of this machine stays empty."""
    data = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    data += "<rss version='2.0'><channel><item><title>a&x;b</title>"
    data += "<link>https://e.org/a</link></item></channel></rss>"
    for page in read_feed(URL, data.encode()).pages:
        assert "root:" not in page.article.title


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=10)
    | st.sampled_from(["https://e.org/a", "2026-05-01"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "url"]), inner, max_size=2)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(
    (
        *("id", "url", "external_url", "title", "summary", "content_html", "content_text", "image"),
        *("date_published", "authors", "author", "tags", "language"),
    )
)


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_no_item_breaks_a_json_feed(item: dict[str, object]) -> None:
    """Members of any type give a page that can be kept, or a problem."""
    result = read_feed(URL, _json(**item))
    assert result.pages or result.problems
    for page in result.pages:
        assert Page.load(page.dump()) == page


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet=st.sampled_from("<>/&;!-[]CDATA\"'= link:titem\n\0é"), max_size=80))
def test_no_markup_breaks_an_xml_feed(text: str) -> None:
    """Anything inside an item gives pages, problems or a clear error."""
    try:
        result = read_feed(URL, _rss(f"<link>https://e.org/a</link>{text}"))
    except ContentError:
        return
    for page in result.pages:
        assert Page.load(page.dump()) == page


def _client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


def test_a_feed_is_asked_for_what_changed() -> None:
    """The second time the server may answer that nothing did."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("If-None-Match") == '"v1"' and request.headers.get("If-Modified-Since"):
            return httpx.Response(304)
        headers = {"ETag": '"v1"', "Last-Modified": "Fri, 01 May 2026 10:00:00 GMT"}
        return httpx.Response(200, headers=headers, content=RSS.encode())

    with _client(answer) as http:
        first = fetch_feed(http, URL)
        assert first.data == RSS.encode()
        again = fetch_feed(http, URL, etag=first.etag, modified=first.modified)
    assert (again.data, again.etag, again.modified) == (None, first.etag, first.modified)


def test_a_moved_feed_is_followed() -> None:
    """A redirect leads to the feed's new address."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/news.xml":
            return httpx.Response(301, headers={"Location": "/new.xml"})
        return httpx.Response(200, content=b"feed")

    with _client(answer) as http:
        assert fetch_feed(http, URL).data == b"feed"


def _endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 1_000_000


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(404), "answered 404 Not Found"),
        (httpx.Response(500), "answered 500"),
        (httpx.Response(302, headers={"Location": "ftp://x"}), "cannot be fetched"),
        (httpx.Response(301, headers={"Location": URL}), "cannot be fetched"),
        (httpx.Response(200, content=_endless()), f"longer than {MAX_BYTES // 1024**2} MiB"),
        (httpx.ConnectError("no route to host"), "no route to host"),
        (httpx.ReadTimeout("timed out"), "timed out"),
    ],
)
def test_a_failed_fetch_says_why(answer: httpx.Response | Exception, reason: str) -> None:
    """An error, silence or endless bytes are one clear error; nothing is concluded from them."""

    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with _client(handler) as http, pytest.raises(ContentError, match=reason):
        fetch_feed(http, URL)


def test_an_impossible_address_is_an_error() -> None:
    """A feed address that cannot be one is told like any other failure."""
    with _client(lambda request: httpx.Response(200)) as http, pytest.raises(ContentError):
        fetch_feed(http, "https://e.org/\0")
