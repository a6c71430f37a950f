"""Where Hugo puts a page: https://gohugo.io/content-management/urls/

Compared with Hugo 0.111 itself by the tests; where that version and later ones differ, the later one's way.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus, unquote_to_bytes

if TYPE_CHECKING:
    from distributor.articles.hugo import HugoSite, Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a content file lies, and what Hugo makes of that."""

    path: str  # relative to the content folder, POSIX
    folder: str  # where the page belongs: a bundle's own folder is not part of it
    name: str  # the file's name without extension and language, or its bundle's
    bundle: str | None  # the folder of its resources
    language: Language

    @property
    def section(self) -> str:
        """Its folder at the top."""
        return self.folder.partition("/")[0]

    @property
    def page(self) -> str:
        """What a path in a `cascade` target is compared with, in lower case."""
        return posixpath.join("/", self.folder, self.name).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a page says about its own address."""

    title: str = ""
    slug: str = ""
    url: str = ""
    date: datetime | None = None  # in its own offset: `:day` is the author's day


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a page is found, as paths below the base address; both are escaped."""

    link: str  # starts with a slash
    folder: str  # where its bundle's files are; no slash at the end


def address_of(site: HugoSite, place: Place, names: Names) -> Address:
    """The page's address, from its `url`, the site's permalink patterns, or its place."""
    if names.url:
        link, folder = _from_url(_expanded(names.url, site, place, names), place)
    else:
        link, folder = _from_place(site, place, names)
        link, folder = sanitized(site, link), sanitized(site, folder)
    return Address(link=escaped(_rooted(link)), folder=escaped(_rooted(folder).rstrip("/")))


def alias_of(alias: str, address: Address) -> str:
    """The path of an old address: from the root, or beside the page."""
    if not alias.startswith("/"):
        alias = posixpath.join(posixpath.dirname(address.folder), alias)
    path = cleaned(alias)
    return escaped(path if path.endswith((".html", "/")) else path + "/")


def _from_url(url: str, place: Place) -> tuple[str, str]:
    """A `url` is kept letter by letter; only its end is made an address."""
    path = cleaned(url)
    is_file = "." in url and not url.endswith("/")
    link = path if is_file and not path.endswith("/index.html") else path.rstrip("/") + "/"
    folder = posixpath.dirname(path) if is_file else path
    if place.language.prefix and not url.startswith("/"):
        link, folder = f"/{place.language.prefix}{link}", f"/{place.language.prefix}{folder}"
    return link, folder


def _from_place(site: HugoSite, place: Place, names: Names) -> tuple[str, str]:
    name = names.slug or place.name
    pattern = site.permalink_pattern(place)
    expanded = unquote_plus(_expanded(pattern, site, place, names)) if pattern else ""
    path = cleaned(expanded or f"{place.folder}/{name}")
    is_index = name == "index"  # Hugo's own name for a folder's page
    folder = path.removesuffix("index") if is_index else path
    link = folder.rstrip("/") + "/"
    if site.is_ugly(place) or (is_index and not expanded):
        file = path.strip("/") + ".html"
        link = link if file.endswith("/index.html") else "/" + file
    prefix = f"/{place.language.prefix}" if place.language.prefix else ""
    return prefix + link, prefix + folder


def cleaned(path: str) -> str:
    """*path* from the root, its dots and doubled slashes resolved; one slash at the end is kept."""
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def _rooted(link: str) -> str:
    inner = link.strip("/")
    return f"/{inner}/" if inner and link.endswith("/") else f"/{inner}"


_TOKEN = re.compile(r":(\w+)(\[.+?\])?", re.ASCII)


def _expanded(pattern: str, site: HugoSite, place: Place, names: Names) -> str:
    """*pattern* with its tokens filled; those Hugo does not know stay as they are."""
    if ":" not in pattern:
        return pattern

    def fill(found: re.Match[str]) -> str:
        value = _token(found[1], found[2] or "", site, place, names)
        return found[0] if value is None else value

    return _TOKEN.sub(fill, pattern)


def unknown_tokens(pattern: str) -> list[str]:
    """The tokens of *pattern* that Hugo would refuse."""
    return [f":{name}" for name, _ in _TOKEN.findall(pattern) if name not in _KNOWN and not _is_layout(name)]


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NO_DATE = datetime(1, 1, 1, tzinfo=UTC)  # the year of pages without a date, to Hugo
_DATES: dict[str, Callable[[datetime], str]] = {
    "year": lambda date: str(date.year),
    "month": lambda date: f"{date.month:02}",
    "monthname": lambda date: _MONTHS[date.month - 1],
    "day": lambda date: f"{date.day:02}",
    "weekday": lambda date: str(date.isoweekday() % 7),
    "weekdayname": lambda date: _WEEKDAYS[date.weekday()],
    "yearday": lambda date: str(date.timetuple().tm_yday),
}
_TEXTS = frozenset(
    (
        "section",
        "sections",
        "title",
        "slug",
        "slugorfilename",
        "filename",
        "contentbasename",
        "slugorcontentbasename",
    )
)
_KNOWN = _TEXTS | set(_DATES)


def _token(name: str, part: str, site: HugoSite, place: Place, names: Names) -> str | None:
    date = names.date or _NO_DATE
    if name in _DATES:
        return _DATES[name](date) + part
    if name == "section":
        return place.section + part
    if name == "sections":
        return "/".join(_slice(site.sections_of(place), part))
    if name in _TEXTS:
        return sanitized(site, _text(name, place, names)) + part
    return _layout(name, date) + part if _is_layout(name) else None


def _text(name: str, place: Place, names: Names) -> str:
    if name == "title":
        return names.title
    if name == "slug":
        return names.slug or names.title
    return names.slug or place.name if name.startswith("slug") else place.name


def _slice(sections: list[str], part: str) -> list[str]:
    """`[1]`, `[last]`, `[1:]`, `[:2]`, `[1:last]` of *sections*; none where there are too few."""
    if not part or not sections:
        return sections
    low, colon, high = part[1:-1].strip().lower().partition(":")
    first = _position(low, sections, 0)
    if first >= len(sections):
        return []
    return sections[first : _position(high, sections, len(sections))] if colon else [sections[first]]


def _position(text: str, sections: list[str], default: int) -> int:
    if text == "last":
        return len(sections) - 1
    return int(text) if text.isdecimal() else 0 if text else default


_LAYOUT = re.compile(r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|2006|002|0[1-6]|15|PM|pm|[1-5]")


def _is_layout(name: str) -> bool:
    return bool(_LAYOUT.search(name))


def _layout(name: str, date: datetime) -> str:
    """*date* by a layout of Go's package time: https://pkg.go.dev/time#pkg-constants"""
    values = {
        "January": _MONTHS[date.month - 1],
        "Jan": _MONTHS[date.month - 1][:3],
        "Monday": _WEEKDAYS[date.weekday()],
        "Mon": _WEEKDAYS[date.weekday()][:3],
        "2006": f"{date.year:04}",
        "002": f"{date.timetuple().tm_yday:03}",
        "01": f"{date.month:02}",
        "02": f"{date.day:02}",
        "03": f"{(date.hour % 12) or 12:02}",
        "04": f"{date.minute:02}",
        "05": f"{date.second:02}",
        "06": f"{date.year % 100:02}",
        "15": f"{date.hour:02}",
        "PM": "PM" if date.hour >= 12 else "AM",
        "pm": "pm" if date.hour >= 12 else "am",
        "1": str(date.month),
        "2": str(date.day),
        "3": str((date.hour % 12) or 12),
        "4": str(date.minute),
        "5": str(date.second),
    }
    return _LAYOUT.sub(lambda found: values[found[0]], name)


_PLAIN = re.compile(r"[a-z0-9./_#+~@-]*")
_KEPT = frozenset("./\\_#+~-@")
_HEX = frozenset("0123456789abcdefABCDEF")


def sanitized(site: HugoSite, path: str) -> str:
    """*path* with what Hugo lets into addresses: letters, digits, marks, a few signs; spaces are hyphens."""
    if _PLAIN.fullmatch(path):
        return path
    if site.remove_accents:
        path = _without_accents(path)
    kept = _kept(path)
    return _lower(kept) if site.lower_paths else kept


def _without_accents(text: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return unicodedata.normalize("NFC", bare)


def _kept(path: str) -> str:
    target: list[str] = []
    gap = hyphen = False
    for place, character in enumerate(path):
        if _is_kept(path, place, character):
            hyphen = character == "-"
            if gap and not hyphen:
                target.append("-")
            gap = False
            target.append(character)
        elif target and not hyphen and character.isspace():
            gap = True
    return "".join(target)


def _is_kept(path: str, place: int, character: str) -> bool:
    if character in _KEPT or (character.isascii() and character.isalnum()):
        return True
    if character == "%":
        return len(path) > place + 2 and path[place + 1] in _HEX and path[place + 2] in _HEX
    category = unicodedata.category(character)
    return category[0] in "LM" or category == "Nd"


def _lower(text: str) -> str:
    """As Go lowers, letter by letter: no final sigma, one letter for the dotted capital I."""
    return text.lower() if text.isascii() else "".join(map(str.lower, text.replace("İ", "i")))


_CLEAR = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:@\[\]%/]*")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def escaped(link: str) -> str:
    """*link* as Go's net/url writes it: what is clear already is kept, anything else escaped afresh."""
    if _PLAIN.fullmatch(link) and "#" not in link:
        return link
    link = _STRAY_PERCENT.sub("%25", link)
    path, mark, fragment = link.partition("#")
    path, question, query = path.partition("?")
    return _escaped(path) + question + quote(query, safe="%/?:@!$&'()*+,;=[]~") + mark + _escaped(fragment)


def _escaped(part: str) -> str:
    return part if _CLEAR.fullmatch(part) else quote(unquote_to_bytes(part), safe="$&+,/:;=@~")
