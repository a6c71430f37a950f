"""Past editions: lists, feeds, the edition itself, and its pictures."""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from xml.etree import ElementTree

import feedparser
import pytest

from tests.web.visits import READER, Visit, heading, visited
from tests.workspace import Clock, subscribe, text_of, write_article

FEED = "/archive/morning/feed.xml"


def number(visit: Visit) -> int:
    """The newest campaign."""
    return max(campaign.id for campaign in visit.app.campaigns(channel="morning"))


def test_an_edition_is_listed_once_it_went_out(visit: Visit):
    """In the archive of all, in that of its newsletter, under its title; before that nowhere."""
    assert "There is none yet." in visit.get("/archive").text
    visit.edition('Bread & "butter"')
    for path in ("/archive", "/archive/", "/archive/morning", "/archive/morning/"):
        page = visit.get(path)
        assert page.status_code == 200
        assert "Bread &amp; &#34;butter&#34;" in page.text
        assert f'href="/archive/{number(visit)}"' in page.text
        assert "Monday, June 1, 2026" in page.text
    assert heading(visit.get("/archive/morning/")) == "The Morning"


def test_what_is_not_out_is_not_shown(tmp_path: Path):
    """An edition that waits for approval is nobody's to read yet."""
    with visited(tmp_path, Clock(), newsletter='approval = "required"\n') as visit:
        subscribe(visit.app, READER)
        write_article(visit.folder, "secret", title="Secret", published_at=visit.clock())
        visit.clock.go_on(hours=1)
        visit.app.run_once()
        waiting = number(visit)
        assert visit.get(f"/archive/{waiting}").status_code == 404
        assert "Secret" not in visit.get("/archive").text + visit.get(FEED).text
        visit.app.approve(waiting)
        visit.app.deliver()
        assert "Secret" in visit.get(f"/archive/{waiting}").text


def test_an_edition_is_read_in_the_browser(visit: Visit):
    """The link in the mail opens it; what was the reader's own in it is nobody's there."""
    subscribe(visit.app, READER, name="Ada")
    mail = visit.edition("Bread")
    path = re.findall(r"https://mail\.news\.example(/archive/\S+)", text_of(mail))[0]
    page = visit.get(path)
    assert page.status_code == 200
    assert "Bread" in page.text
    for theirs in (READER, "Ada", visit.token(), "@@", "cid:"):
        assert theirs not in page.text
    assert 'href="/unsubscribe"' in page.text
    assert "sandbox" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert visit.get(path, headers={"if-none-match": page.headers["etag"]}).status_code == 304


def test_a_question_is_in_no_archive(visit: Visit):
    """A confirmation mail is a campaign as well, and nobody's to read but its reader's."""
    visit.ask()
    visit.app.deliver()
    found = [campaign.id for campaign in visit.app.campaigns()]
    assert found
    assert {visit.get(f"/archive/{id_}").status_code for id_ in found} == {404}


@pytest.mark.parametrize(
    "path",
    ["0", "-1", "1e3", "999", "9" * 30, "evening", "morning/feed", "../admin", "%2e%2e", "%00", "١", "1/2"],
)
def test_what_there_is_not_is_not_found(visit: Visit, path: str):
    """Whatever is asked for."""
    assert visit.get(f"/archive/{path}").status_code == 404


def test_a_long_archive_has_pages(visit: Visit):
    """Twenty editions on one; the next begins where the last ended."""
    subscribe(visit.app, READER)
    for day in range(23):
        visit.edition(f"Day {day}")
    first = visit.get("/archive/morning/")
    assert re.findall(r"Day (\d+)", first.text) == [str(day) for day in range(22, 2, -1)]
    older = re.findall(r'href="([^"]+before=\d+)"', first.text)
    second = visit.get(older[0])
    assert re.findall(r"Day (\d+)", second.text) == ["2", "1", "0"]
    assert "Older" not in second.text
    assert "Newest" in second.text
    for nonsense in ("x", "-1", "9" * 40, "", "١"):
        assert visit.get("/archive/morning/", params={"before": nonsense}).status_code == 200


def test_the_feed_is_one(visit: Visit):
    """RSS 2.0 that a reader of feeds takes without complaint, newest first, with whole addresses."""
    for title in ("Bread & <i>butter</i>", "Ελλάδα\\u000b\\u202e 日本 ]]>"):
        visit.edition(title)
    answer = visit.get(FEED)
    assert answer.headers["content-type"] == "application/rss+xml; charset=utf-8"
    feed = feedparser.parse(answer.content)
    assert not feed.bozo
    assert feed.version == "rss20"
    assert feed.feed.title == "The Morning"
    assert feed.feed.link == "https://mail.news.example/archive/morning/"
    assert "Bread" in feed.entries[1].title
    assert feed.entries[0].link == f"https://mail.news.example/archive/{number(visit)}"
    root = ElementTree.fromstring(answer.content)
    own = root.find("channel/{http://www.w3.org/2005/Atom}link")
    assert own is not None
    assert own.attrib == {
        "href": f"https://mail.news.example{FEED}",
        "rel": "self",
        "type": "application/rss+xml",
    }
    dates = [parsedate_to_datetime(str(item.text)) for item in root.iter("pubDate")]
    assert dates == sorted(dates, reverse=True)


def test_an_empty_feed_is_one(visit: Visit):
    """Before the first edition; another newsletter's is not there."""
    assert not feedparser.parse(visit.get(FEED).content).bozo
    assert visit.get("/archive/evening/feed.xml").status_code == 404


def test_a_feed_is_not_sent_twice(visit: Visit):
    """Who has it already is told so, by its tag or by its date."""
    visit.edition()
    answer = visit.get(FEED)
    tag, date = answer.headers["etag"], answer.headers["last-modified"]
    later = format_datetime(parsedate_to_datetime(date) + timedelta(days=1), usegmt=True)
    for has in (
        {"if-none-match": f'"x", W/{tag}'},
        {"if-modified-since": date},
        {"if-modified-since": later},
    ):
        assert visit.get(FEED, headers=has).status_code == 304
    for lacks in ({"if-none-match": '"x"'}, {"if-modified-since": "yesterday"}):
        assert visit.get(FEED, headers=lacks).status_code == 200
    visit.edition("More news")
    assert visit.get(FEED, headers={"if-none-match": tag, "if-modified-since": date}).status_code == 200


def test_pictures_are_there_for_everybody(visit: Visit):
    """Under the hash of their bytes, for ever, on anybody's page; nothing else of the folder is."""
    subscribe(visit.app, READER)
    mail = visit.edition()
    folder = visit.app.config.pictures.path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("a" * 64 + ".png")).write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "notes.txt").write_text("private")
    assert mail["To"] == READER
    picture = visit.get(f"/media/{'a' * 64}.png")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert picture.headers["cross-origin-resource-policy"] == "cross-origin"
    assert visit.client.head(f"/media/{'a' * 64}.png").headers["content-length"] == "8"
    names = (
        "notes.txt",
        "..%2fnotes.txt",
        "../distributor.toml",
        f"{'b' * 64}.png",
        f"{'a' * 64}.svg",
        "%00",
    )
    for name in names:
        assert visit.get(f"/media/{name}").status_code == 404


def test_robots_keep_to_what_is_public(visit: Visit):
    """They may read past editions, and nothing with a token in it."""
    lines = visit.get("/robots.txt").text.splitlines()
    assert lines[0] == "User-agent: *"
    assert {"Allow: /archive", "Allow: /media/", "Disallow: /"} <= {*lines}


def test_pages_may_stand_under_a_path(tmp_path: Path):
    """`public_url = "https://news.example/letters"`: every link of a page begins with it."""
    with visited(tmp_path, Clock(), public_url="https://news.example/letters") as visit:
        subscribe(visit.app, READER)
        for page in (visit.get("/"), visit.get("/subscribe"), visit.get(f"/preferences/{visit.token()}")):
            own = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
            assert own
            assert all(place.startswith("/letters/") for place in own), own
