"""A content file's bytes, read as Hugo reads them, into a `Page` and what a person should mend."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from distributor.articles import links, summaries
from distributor.articles.dates import in_utc, read_date
from distributor.articles.frontmatter import Document, FrontMatterError, read_document
from distributor.articles.hugo import HugoSite
from distributor.articles.page import UNDATED, Page
from distributor.articles.permalinks import Address, Names, Place, address_of, alias_of
from distributor.articles.text import (
    GIVEN_SUMMARY_LIMIT,
    SUMMARY_LIMIT,
    TITLE_LIMIT,
    one_line,
    plain_line,
    shortened,
    text_of,
)
from distributor.articles.tree import HTML
from distributor.articles.wishes import Unclear, read_wishes
from distributor.errors import Problem
from distributor.model import Article, Wishes

MAX_LIST = 200  # tags, authors, aliases of one page
MAX_NAME = 200  # characters of each


def read_page(
    site: HugoSite, path: str, data: bytes, *, modified_at: datetime | None = None
) -> tuple[Page | None, tuple[Problem, ...]]:
    """The page in the file at *path* (relative to the content folder) with the content *data*.

    A file whose front matter does not parse gives no page, for nothing is known of it. A page with a date,
    draft or address that cannot be told is held. *modified_at* is the file's, for sites that date pages so.
    """
    reading = Reading(site=site, place=site.place_of(path))
    try:
        reading.document = read_document(data)
    except FrontMatterError as error:
        remedy = "mend its front matter; until then the page is not known"
        return None, (Problem(path=path, line=error.line, reason=str(error), remedy=remedy),)
    return _page(reading, modified_at), tuple(reading.problems)


@dataclass(slots=True, kw_only=True)
class Reading:
    """A page being read: what is known of it, and what is wrong with it so far."""

    site: HugoSite
    place: Place
    document: Document = field(
        default_factory=lambda: Document(values={}, source="", first_line=1, body=b"", body_line=1)
    )
    values: dict[str, Any] = field(default_factory=dict)  # front matter with what cascades add
    custom: dict[str, Any] = field(default_factory=dict)  # the same with the `params` table's members
    problems: list[Problem] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def report(self, name: str, reason: str, remedy: str | None = None) -> None:
        """Note a problem with the front matter's *name*, a path with dots."""
        line = self.document.line_of(*name.split(".")) if name else None
        said = f"{name} {reason}" if name else reason
        self.problems.append(Problem(path=self.place.path, line=line, reason=said, remedy=remedy))

    def hold(self, name: str, reason: str, remedy: str | None = None) -> None:
        """Note a problem that makes announcing the page a guess."""
        self.report(name, reason, remedy)
        self.held.append(f"{name} {reason}" if name else reason)


def _page(reading: Reading, modified_at: datetime | None) -> Page:
    _inherit(reading)
    dates = _Dates.of(reading, modified_at)
    is_draft = _is_draft(reading)
    _hold_unlisted(reading)
    names = _names(reading, dates)
    address = address_of(reading.site, reading.place, names)
    wishes = _wishes(reading)
    if not dates.published and not reading.held:
        reading.held.append("it has no date, so nobody can tell whether it is new; give it one")
    body = _body(reading)
    return Page(
        article=_article(reading, address, dates, wishes, body),
        is_draft=is_draft,
        held="; ".join(reading.held) or None,
        publish_at=dates.published,
        expires_at=dates.expires,
    )


def _inherit(reading: Reading) -> None:
    """What sections hand down fills what the page does not say."""
    values = dict(reading.document.values)
    for cascade in reading.site.cascades_for(reading.place):
        if cascade.is_broken:
            where = cascade.folder or "the content folder"
            reading.held.append(f"the _index file of {where} cannot be read, and may make it a draft")
        for name, value in cascade.values.items():
            own = values.setdefault(name, value)
            if name == "params" and isinstance(own, dict) and isinstance(value, dict):
                values[name] = {**value, **own}
    reading.values = reading.custom = values
    if isinstance(params := values.get("params"), dict):
        told = {name: value for name, value in values.items() if value is not None}
        reading.custom = {str(name).lower(): value for name, value in params.items()} | told


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dates:
    date: datetime | None  # in its own offset
    published: datetime | None  # UTC
    expires: datetime | None  # UTC
    slug: str = ""  # from a dated file name

    @staticmethod
    def of(reading: Reading, modified_at: datetime | None) -> _Dates:
        """The page's dates by the site's rules; one that cannot be read holds the page."""
        chains = reading.site.dates
        read: dict[str, datetime | None] = {}
        date, slug = _first_date(reading, chains["date"], modified_at, read)
        published, _ = _first_date(reading, chains["publishdate"], modified_at, read)
        expires, _ = _first_date(reading, chains["expirydate"], modified_at, read)
        _report_unused(reading, read)
        # Without a publishDate Hugo 0.111 takes a date from the file name for none and publishes at once;
        # later versions, and we, wait for it.
        published = published or date
        return _Dates(
            date=date,
            published=in_utc(published) if published else None,
            expires=in_utc(expires) if expires else None,
            slug=slug,
        )


def _first_date(
    reading: Reading, names: Sequence[str], modified_at: datetime | None, read: dict[str, datetime | None]
) -> tuple[datetime | None, str]:
    """The first of *names* that has a date, and the slug a dated file name leaves."""
    for name in names:
        if name[0] == ":":
            found, slug = _implied_date(reading, name, modified_at)
            if found:
                return found, slug
        elif moment := _date(reading, name, read):
            return moment, ""
    return None, ""


def _implied_date(reading: Reading, name: str, modified_at: datetime | None) -> tuple[datetime | None, str]:
    if name == ":filemodtime":
        return modified_at, ""
    if name != ":filename":
        return None, ""  # :git needs the repository's history, which a content folder need not have
    try:
        date = read_date(reading.place.name[:10], reading.site.zone)
    except ValueError:
        return None, ""
    return date, reading.place.name[10:].strip(" -_")


def _date(reading: Reading, name: str, read: dict[str, datetime | None]) -> datetime | None:
    if name not in read:
        value = reading.values.get(name)
        read[name] = None if value is None else _read_date(reading, name, value, reading.hold)
    return read[name]


def _report_unused(reading: Reading, read: dict[str, datetime | None]) -> None:
    """Dates that decide nothing are told where they cannot be read: newer versions of Hugo stop at them."""
    for names in reading.site.dates.values():
        for name in names:
            if name not in read and (value := reading.values.get(name)) is not None:
                read[name] = _read_date(reading, name, value, reading.report)


def _read_date(
    reading: Reading, name: str, value: Any, tell: Callable[[str, str, str], None]
) -> datetime | None:
    if isinstance(value, str) and not one_line(value):
        return None
    if name == "published" and _boolean(value) is not None:
        return None  # the other meaning of that name: no draft
    try:
        return read_date(value, reading.site.zone)
    except ValueError as error:
        remedy = "write it like 2026-12-01T09:00:00Z; Hugo itself may publish it at once, or stop"
        tell(name, f"{_shown(value)} {error}", remedy)
        return None


_TRUE = frozenset(("true", "1", "t"))
_FALSE = frozenset(("false", "0", "f", "no", "off", "n"))


def _boolean(value: Any) -> bool | None:
    """A clear yes or no, else None: Hugo's versions disagree on `yes`, while `no` means no to all of them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value != 0
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else None
    return None


def _is_draft(reading: Reading) -> bool:
    values = reading.values
    name = "draft" if "draft" in values else "published"
    if name not in values:
        return False
    clear = _boolean(values[name])
    if name == "published":
        return clear is False
    if clear is None:
        remedy = "write draft = true or draft = false; Hugo's versions disagree about anything else"
        reading.hold("draft", f"{_shown(values['draft'])} is neither true nor false", remedy)
    return bool(clear)


def _hold_unlisted(reading: Reading) -> None:
    """Pages that Hugo renders without listing them, or not at all, are no news."""
    values = reading.values
    if _boolean(values.get("headless")) and reading.place.bundle is not None:
        reading.held.append("headless: Hugo renders no page for it")
    for name in ("build", "_build"):
        table = values.get(name)
        if not isinstance(table, dict):
            continue
        told = {str(key).lower(): text_of(value).strip().lower() for key, value in table.items()}
        if told.get("render") in ("never", "false", "link"):
            reading.held.append(f"{name}.render = {told['render']}: Hugo renders no page for it")
        if told.get("list") in ("never", "false", "local"):
            reading.held.append(f"{name}.list = {told['list']}: the site does not list it")


_URL_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def _names(reading: Reading, dates: _Dates) -> Names:
    url = _address_text(reading.values.get("url"))
    if url[:4].lower() == "http" and re.match(r"https?://", url, re.IGNORECASE):
        remedy = "write the path only, from the site's root"
        reading.hold("url", "is a whole address, which Hugo refuses", remedy)
        url = re.sub(r"(?i)^https?://[^/]*", "", url)
    return Names(
        title=text_of(reading.values.get("title")),
        slug=_address_text(reading.values.get("slug")).strip("-") or dates.slug,
        url=url,
        date=dates.date,
    )


def _address_text(value: Any) -> str:
    """*value* as it may stand in an address; absent is nothing."""
    if value is None:
        return ""
    text = text_of(value)[: links.MAX_LENGTH]
    return text if text.isprintable() else _URL_CONTROLS.sub("", text)


def _wishes(reading: Reading) -> Wishes:
    table = reading.custom.get("distributor")
    if table is None:
        return _NO_WISHES

    def report(name: str, reason: str, remedy: str) -> None:
        reading.report(f"distributor.{name}" if name else "distributor", reason, remedy)

    try:
        return read_wishes(table, reading.site.zone, report)
    except Unclear as error:
        reading.held.append(str(error))
        return _NO_WISHES


_NO_WISHES = Wishes()


def _body(reading: Reading) -> str:
    data = reading.document.body
    try:
        body = data.decode()
    except UnicodeDecodeError as error:
        body = data.decode(errors="replace")
        line = reading.document.body_line + data.count(b"\n", 0, error.start)
        _report_body(reading, line, "the text is not UTF-8", "save the file as UTF-8")
    if "\0" in body:
        line = reading.document.body_line + body[: body.index("\0")].count("\n")
        _report_body(reading, line, "the text has NUL bytes", "see whether the file is damaged")
    return body


def _report_body(reading: Reading, line: int, reason: str, remedy: str) -> None:
    reading.problems.append(Problem(path=reading.place.path, line=line, reason=reason, remedy=remedy))


def _article(reading: Reading, address: Address, dates: _Dates, wishes: Wishes, body: str) -> Article:
    place, base_url = reading.place, reading.place.language.base_url
    url = base_url + address.link
    markup = _markup(reading)
    banner, banner_file = _picture(reading, url, base_url + address.folder, _banners(reading))
    qr, qr_file = _picture(
        reading, url, base_url + address.folder, [("qrcode", reading.custom.get("qrcode"))]
    )
    return Article(
        key=_identity(reading) or url,
        url=url,
        title=_title(reading, body),
        summary=_summary(reading, body, markup),
        published_at=dates.published or UNDATED,
        path=place.path,
        markup=markup,
        section=place.section,
        source=one_line(reading.custom.get("source"))[:TITLE_LIMIT] or None,
        source_link=_link(reading, "source_link", url),
        authors=_authors(reading),
        tags=_list(reading, "tags"),
        categories=_list(reading, "categories"),
        language=_language(reading),
        featured=_boolean(reading.custom.get("featured")) is True,
        banner=banner,
        banner_file=banner_file,
        qr=qr,
        qr_file=qr_file,
        aliases=_aliases(reading, address, url),
        wishes=wishes,
    )


def _markup(reading: Reading) -> Any:
    told = text_of(reading.values.get("markup")).strip().lower()
    if told in ("html", "htm") or reading.place.path.endswith(HTML):
        return "html"
    return "markdown"


def _identity(reading: Reading) -> str:
    value = reading.custom.get("article_id")
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return one_line(value)[:TITLE_LIMIT]
    if isinstance(value, float) and value.is_integer():
        return one_line(value)
    reading.report("article_id", f"{_shown(value)} is neither a number nor a text", "write one of them")
    return ""


def _title(reading: Reading, body: str) -> str:
    return (
        plain_line(reading.values.get("title"), TITLE_LIMIT)
        or summaries.first_heading(body)
        or summaries.readable_name(reading.place.name)
    )


def _summary(reading: Reading, body: str, markup: str) -> str:
    for name in ("summary", "description"):
        if given := plain_line(reading.custom.get(name), GIVEN_SUMMARY_LIMIT):
            return given
    return shortened(summaries.beginning(body, markup), SUMMARY_LIMIT)


def _link(reading: Reading, name: str, url: str) -> str | None:
    value = one_line(reading.custom.get(name))
    if not value:
        return None
    try:
        return links.web_address(value, url)
    except ValueError as error:
        reading.report(name, f"{_shown(value)} {error}", "write an https:// address, or leave it out")
        return None


def _banners(reading: Reading) -> Iterator[tuple[str, Any]]:
    """Where a page names its picture, ours first, then what widely used themes read."""
    for name in ("enclosure", "banner", "images", "featured_image", "cover", "image", "thumbnail"):
        value = reading.custom.get(name)
        for one in value if isinstance(value, list) else [value]:
            yield name, one


_PICTURE_NAMES = ("url", "image", "src", "href", "path")


def _picture(
    reading: Reading, url: str, folder: str, given: Iterator[tuple[str, Any]] | list[tuple[str, Any]]
) -> tuple[str | None, str | None]:
    """The first of the named pictures that can be one: its address, and its file."""
    for name, value in given:
        if isinstance(value, dict):
            own = {str(key).lower(): inner for key, inner in value.items()}
            value = next((own[key] for key in _PICTURE_NAMES if own.get(key)), None)
        address = one_line(value) if isinstance(value, str) else ""
        if not address:
            continue
        try:
            return links.picture_address(reading.site, reading.place, url, folder, address)
        except ValueError as error:
            reading.report(name, f"{_shown(address)} {error}", "name a picture, or leave it out")
    return None, None


def _authors(reading: Reading) -> tuple[str, ...]:
    return _list(reading, "authors") or _list(reading, "author")


def _list(reading: Reading, name: str) -> tuple[str, ...]:
    """A list of names; one text with commas is several, a table is the one it names."""
    value = reading.custom.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(",")
    items = value if isinstance(value, list) else [value]
    texts = (one_line(_name_of(item))[:MAX_NAME] for item in items[:MAX_LIST])
    return tuple(dict.fromkeys(text for text in texts if text))


def _name_of(item: Any) -> Any:
    if isinstance(item, dict):
        return next((item[key] for key in ("name", "Name", "title", "Title") if item.get(key)), "")
    return item


def _language(reading: Reading) -> str | None:
    """The page's own language; None where it is simply the site's."""
    told = one_line(reading.custom.get("language") or reading.custom.get("lang")).replace("_", "-")
    if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", told):
        return told
    return reading.place.language.tag if len(reading.site.languages) > 1 else None


def _aliases(reading: Reading, address: Address, url: str) -> tuple[str, ...]:
    base_url = reading.place.language.base_url
    made = []
    for alias in _list(reading, "aliases"):
        if re.match(r"https?://", alias):
            made.append(alias)
        else:
            made.append(base_url + alias_of(alias, address))
    return tuple(alias for alias in dict.fromkeys(made) if alias != url)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"
