"""Articles from a feed (RSS, Atom, JSON Feed), for a site whose content folder is elsewhere."""

from __future__ import annotations

import io
import re
import time
from calendar import timegm
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import feedparser
import httpx
import orjson

from distributor.articles import links
from distributor.articles.body import MAX_BODY
from distributor.articles.dates import in_utc, read_date
from distributor.articles.page import UNDATED, Page
from distributor.articles.reader import MAX_LIST, MAX_NAME
from distributor.articles.summaries import beginning
from distributor.articles.text import (
    SUMMARY_LIMIT,
    TITLE_LIMIT,
    one_line,
    shortened,
    unmarked,
)
from distributor.errors import ContentError, Problem
from distributor.model import Article

MAX_BYTES = 20 * 1024 * 1024  # of a feed, unpacked
MAX_ENTRIES = 5_000
MAX_SECONDS = 60.0  # for a whole feed, however slowly its bytes come
_UNDATED = "it has no date, so nobody can tell whether it is new; let the feed say one"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedResult:
    """A feed's entries as pages, in its own order, and what is wrong with it."""

    pages: tuple[Page, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a server answered; `data` is None where nothing changed since the last time."""

    data: bytes | None
    etag: str | None = None  # to pass next time
    modified: str | None = None


def fetch_feed(
    http: httpx.Client, url: str, *, etag: str | None = None, modified: str | None = None
) -> Fetched:
    """Fetch the feed at *url*, asking only for what changed since *etag* and *modified* were given.

    Raises:
        ContentError: no answer, an answer that is no feed, or one beyond MAX_BYTES or MAX_SECONDS.
    """
    headers = {"Accept": "application/feed+json, application/atom+xml, application/rss+xml, */*;q=0.5"}
    headers |= {"If-None-Match": etag} if etag else {}
    headers |= {"If-Modified-Since": modified} if modified else {}
    try:
        with http.stream("GET", url, headers=headers, follow_redirects=True) as answer:
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                return Fetched(data=None, etag=etag, modified=modified)
            if answer.status_code != httpx.codes.OK:
                raise ContentError(f"The feed {url} answered {answer.status_code} {answer.reason_phrase}.")
            data = _limited(answer, url)
            return Fetched(
                data=data, etag=answer.headers.get("ETag"), modified=answer.headers.get("Last-Modified")
            )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = str(error) or type(error).__name__
        raise ContentError(f"The feed {url} cannot be fetched: {said}.") from error


def _limited(answer: httpx.Response, url: str) -> bytes:
    data = bytearray()
    end = time.monotonic() + MAX_SECONDS
    for chunk in answer.iter_bytes():
        data += chunk
        if len(data) > MAX_BYTES:
            raise ContentError(f"The feed {url} is longer than {MAX_BYTES // 1024**2} MiB.")
        if time.monotonic() > end:
            raise ContentError(f"The feed {url} took longer than {MAX_SECONDS:.0f} seconds.")
    return bytes(data)


def read_feed(url: str, data: bytes, *, timezone: str = "UTC") -> FeedResult:
    """The articles of the feed with the content *data*, which came from *url*.

    An entry without an address is left out; one without a date is held. Dates without an offset are in
    *timezone*.

    Raises:
        ContentError: *data* is no feed at all.
    """
    zone = ZoneInfo(timezone)
    start = data[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    read = _json_entries if start.startswith(b"{") else _xml_entries
    pages: dict[str, Page] = {}
    problems: list[Problem] = []
    for number, entry in enumerate(read(url, data, problems), 1):
        if number > MAX_ENTRIES:
            problems.append(Problem(path=url, reason=f"only the first {MAX_ENTRIES} entries are read"))
            break
        page = _page(url, number, entry, zone, problems)
        if page:
            pages.setdefault(page.key, page)
    return FeedResult(pages=tuple(pages.values()), problems=tuple(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An entry in whatever format, as its publisher wrote it."""

    id: str
    link: str
    title: str  # may be HTML
    summary: str  # HTML
    body: str  # HTML
    published: Any  # a text, or a moment
    updated: Any
    banner: str
    authors: tuple[str, ...]
    tags: tuple[str, ...]
    language: str
    source: str
    source_link: str


def _page(url: str, number: int, entry: _Entry, zone: tzinfo, problems: list[Problem]) -> Page | None:
    path = one_line(entry.id)[: links.MAX_LENGTH] or one_line(entry.link) or f"{url}#{number}"

    def report(reason: str, remedy: str | None = None) -> None:
        problems.append(Problem(path=path, reason=reason, remedy=remedy))

    link = _address(entry, url)
    if not link:
        report("the entry has no web address", "give it a link, or a permalink as its guid")
        return None
    published = _moment(entry.published, zone, report) or _moment(entry.updated, zone, report)
    if not published:
        report("the entry has no date it can be placed by", "give it a date of publication")
    return Page(
        article=_article(entry, path, link, published, report),
        publish_at=published,
        held=None if published else _UNDATED,
        body=(entry.body or entry.summary)[:MAX_BODY],
    )


def _address(entry: _Entry, url: str) -> str | None:
    for value in (entry.link, entry.id if re.match(r"https?://", entry.id) else ""):
        if value := one_line(value):
            try:
                return links.web_address(value, url)
            except ValueError:
                continue
    return None


def _moment(value: Any, zone: tzinfo, report: Any) -> datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value
    try:
        return in_utc(read_date(value, zone))
    except ValueError as error:
        report(f"the entry's date {str(value)[:60]!r} {error}")
        return None


def _article(entry: _Entry, path: str, link: str, published: datetime | None, report: Any) -> Article:
    summary = _summary(entry)
    return Article(
        key=link,
        url=link,
        title=shortened(one_line(unmarked(entry.title)), TITLE_LIMIT) or shortened(summary, 100) or link,
        summary=summary,
        published_at=published or UNDATED,
        path=path,
        markup="html",
        source=one_line(entry.source) or None,
        source_link=_optional(entry.source_link, link, "source", report),
        authors=entry.authors,
        tags=entry.tags,
        language=one_line(entry.language) or None,
        banner=_optional(entry.banner, link, "picture", report),
    )


def _summary(entry: _Entry) -> str:
    """The entry's own summary; one as long as an article is cut like an article's beginning."""
    given = beginning(entry.summary, "html") or beginning(entry.body, "html")
    return given if len(given) <= 2 * SUMMARY_LIMIT else shortened(given, SUMMARY_LIMIT)


def _optional(value: str, base: str, what: str, report: Any) -> str | None:
    address = one_line(value)
    if not address:
        return None
    try:
        return links.web_address(address, base)
    except ValueError as error:
        report(f"the entry's {what} {address[:60]!r} {error}")
        return None


def _xml_entries(url: str, data: bytes, problems: list[Problem]) -> Iterator[_Entry]:
    feed = _parsed(url, data)
    broken = feed.get("bozo_exception")
    if broken and not isinstance(broken, _HARMLESS):
        reason = f"the feed is not well-formed: {one_line(str(broken))[:200]}"
        problems.append(Problem(path=url, reason=reason, remedy="entries may be missing from it"))
    language = str(feed.feed.get("language") or "")
    for entry in feed.entries:
        yield _xml_entry(entry, language)


_HARMLESS = (feedparser.CharacterEncodingOverride, feedparser.NonXMLContentType)


def _parsed(url: str, data: bytes) -> Any:
    headers = {"content-location": url, "content-type": "application/xml"}
    try:
        # Nothing is shown without going through `body_html`, which sanitises, and knows links as seen from
        # the entry rather than from the feed.
        feed = feedparser.parse(
            io.BytesIO(data), response_headers=headers, sanitize_html=False, resolve_relative_uris=False
        )
    except Exception as error:  # feedparser lets any error of its parsers through on hostile input
        raise ContentError(f"The feed {url} cannot be read: {type(error).__name__}.") from error
    if not feed.get("version") and not feed.entries:
        raise ContentError(f"What {url} answered is no feed: neither RSS, Atom nor JSON Feed.")
    return feed


def _xml_entry(entry: Any, language: str) -> _Entry:
    contents = entry.get("content") or [{}]
    source = entry.get("source") or {}
    updated = "updated" in entry  # asking for one that is not there makes feedparser warn
    return _Entry(
        id=_text(entry.get("id")),
        link=_text(entry.get("link")),
        title=_markup(entry.get("title"), entry.get("title_detail")),
        summary=_markup(entry.get("summary"), entry.get("summary_detail")),
        body=_markup(contents[0].get("value"), contents[0]),
        published=_xml_moment(entry.get("published"), entry.get("published_parsed")),
        updated=_xml_moment(entry.get("updated"), entry.get("updated_parsed")) if updated else None,
        banner=_xml_banner(entry),
        authors=_names(entry.get("authors") or [entry.get("author")]),
        tags=_names(tag.get("term") for tag in entry.get("tags") or []),
        language=_text((entry.get("title_detail") or {}).get("language")) or language,
        source=_text(source.get("title")) if isinstance(source, Mapping) else "",
        source_link=_text(source.get("link") or source.get("href")) if isinstance(source, Mapping) else "",
    )


def _markup(value: Any, detail: Any) -> str:
    """*value* as HTML; a plain text's own angle brackets are no tags."""
    text = _text(value)
    is_plain = isinstance(detail, Mapping) and detail.get("type") == "text/plain"
    return text.replace("<", "&lt;") if is_plain else text


_WITHOUT_OFFSET = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d+)?)?")


def _xml_moment(value: Any, parsed: Any) -> Any:
    """The moment feedparser made of *value*; the text itself where it guessed the zone or knew none."""
    text = _text(value).strip()
    if not parsed or _WITHOUT_OFFSET.fullmatch(text):
        return text
    try:
        return datetime.fromtimestamp(timegm(parsed), UTC)
    except (ValueError, OverflowError, OSError):
        return text


def _xml_banner(entry: Any) -> str:
    """A picture from media:content, media:thumbnail, an enclosure, or an image element."""
    for media in entry.get("media_content") or []:
        kind = _text(media.get("medium")) or _text(media.get("type")).partition("/")[0]
        if media.get("url") and (kind or "image") == "image":
            return _text(media["url"])
    for file in entry.get("enclosures") or []:
        if _text(file.get("type")).startswith("image/") and file.get("href"):
            return _text(file["href"])
    for thumbnail in entry.get("media_thumbnail") or []:
        if thumbnail.get("url"):
            return _text(thumbnail["url"])
    image = entry.get("image")
    return _text(image.get("href") or image.get("url")) if isinstance(image, Mapping) else ""


def _json_entries(url: str, data: bytes, problems: list[Problem]) -> Iterator[_Entry]:
    try:
        feed = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise ContentError(f"The feed {url} is not JSON: {error}.") from error
    if not _text(feed.get("version")).startswith("https://jsonfeed.org/version/"):
        raise ContentError(f"What {url} answered is JSON, but no JSON Feed.")
    items = feed.get("items")
    for number, item in enumerate(items if isinstance(items, list) else [], 1):
        if isinstance(item, dict):
            yield _json_entry(item, feed)
        else:
            problems.append(Problem(path=url, reason=f"item {number} of the feed is not an object"))


def _json_entry(item: dict[str, Any], feed: dict[str, Any]) -> _Entry:
    """https://www.jsonfeed.org/version/1.1/"""
    plain = _text(item.get("content_text")).replace("<", "&lt;").replace("\n", "<br>\n")
    authors = item.get("authors") or [item.get("author")]
    return _Entry(
        id=str(item["id"]) if isinstance(item.get("id"), int) else _text(item.get("id")),
        link=_text(item.get("url")) or _text(item.get("external_url")),
        title=_text(item.get("title")).replace("<", "&lt;"),
        summary=_text(item.get("summary")).replace("<", "&lt;"),
        body=_text(item.get("content_html")) or plain,
        published=_text(item.get("date_published")),
        updated=_text(item.get("date_modified")),
        banner=_text(item.get("banner_image")) or _text(item.get("image")),
        authors=_names(authors if isinstance(authors, list) else []),
        tags=_names(item.get("tags") if isinstance(item.get("tags"), list) else []),
        language=_text(item.get("language")) or _text(feed.get("language")),
        source="",
        source_link=_text(item.get("external_url")) if item.get("url") else "",
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _names(given: Any) -> tuple[str, ...]:
    names = (item.get("name") if isinstance(item, Mapping) else item for item in given or [])
    lines = (one_line(name)[:MAX_NAME] for name in names if isinstance(name, str))
    return tuple(dict.fromkeys(line for line in lines if line))[:MAX_LIST]
