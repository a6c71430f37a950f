"""What templates can do to a value: cut it, wrap it, date it, tag its link, make its colour readable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import regex
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton
from jinja2 import pass_context
from jinja2.runtime import Context

from distributor.rendering import color as colors

ELLIPSIS = "…"

MAX_URL = 2048  # characters; longer addresses are cut by some mail programs and gateways

_GRAPHEME = regex.compile(r"\X")

# Controls, lone surrogates and noncharacters stand in no XML; embeddings and overrides of direction
# (Unicode Bidi, 2.1 and 2.2) would leak into the words after them.
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)


def tidy(text: str | None, limit: int) -> str:
    """*text* as one line of at most about *limit* characters, without what cannot be shown or sent."""
    if not text:
        return ""
    return clip(printable(text[: limit * 4]), limit)


def printable(text: str) -> str:
    """*text* without what cannot be shown or sent; line breaks and tabs stay."""
    return _UNFIT.sub(" ", text)


def clip(text: str, limit: int) -> str:
    """*text* in one line of at most *limit* characters, cut between words, or else between graphemes."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    if limit < 2:
        return ELLIPSIS[:limit]
    cut = _last_boundary(line[: limit + 1], limit - 1)
    space = line.rfind(" ", 0, cut + 1)
    if space > limit // 2:  # scripts without spaces, and endless words, are cut where they are
        cut = space
    return line[:cut].rstrip(" ,;:·–—-") + ELLIPSIS


def _last_boundary(text: str, limit: int) -> int:
    """Where the last grapheme ends that ends by *limit*; a single endless one is cut."""
    ends = (match.end() for match in _GRAPHEME.finditer(text))
    return max((end for end in ends if end <= limit), default=limit)


SMALL_KANA = (
    "ーゝゞヽヾ々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ"  # which go on with what is before them
)

_IDEOGRAPH = r"[\p{Han}\p{Hiragana}\p{Katakana}]"

# What a line may be broken at: spaces, and between ideographs or kana with the marks that open and close
# around them (JIS X 4051).
_WORD = regex.compile(
    rf"[\p{{Ps}}\p{{Pi}}]{{0,4}}{_IDEOGRAPH}[\p{{Pe}}\p{{Pf}}\p{{Po}}\p{{Mn}}{SMALL_KANA}]*"
    rf"|(?:(?![\p{{Ps}}\p{{Pi}}]{{0,4}}{_IDEOGRAPH})\S)+|\s+"
)


def wrap(text: str, width: int = 72, indent: str = "") -> str:
    """*text* in lines of at most *width* columns, the second and later ones after *indent*.

    An ideograph takes two columns (UAX 11). A word longer than a line, such as an address, stays whole.
    """
    lines = [""]
    for word in _WORD.findall(text):
        if lines[-1].strip() and _columns(lines[-1]) + _columns(word.rstrip()) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append(indent)
        if word.strip() or lines[-1].strip():
            lines[-1] += " " if word.isspace() else word
    return "\n".join(lines).rstrip()


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


@pass_context
def date(context: Context, value: datetime, style: str = "long") -> str:
    """*value* as the publication writes dates: in its language and time zone.

    *style* is full, long, medium or short, or a CLDR skeleton such as MMMd.
    """
    publication = context.get("publication")
    return local_date(
        value, style, getattr(publication, "language", "en"), getattr(publication, "timezone", "UTC")
    )


def local_date(value: datetime, style: str, language: str, timezone: str) -> str:
    """*value* as a date of *language* (BCP 47) in *timezone* (IANA)."""
    with suppress(OverflowError):  # the first and last day of the calendar have no neighbour
        value = value.astimezone(_zone(timezone))
    if style in ("full", "long", "medium", "short"):
        return format_date(value, style, locale=locale_of(language))
    return format_skeleton(style, value, locale=locale_of(language))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=256)
def locale_of(language: str) -> Locale:
    """The nearest locale we have words for; English where there is none."""
    subtags = language.replace("_", "-").split("-")[:5]
    for size in range(len(subtags), 0, -1):
        with suppress(ValueError, TypeError, UnknownLocaleError):
            return Locale.parse("-".join(subtags[:size]), sep="-")
    return Locale("en")


def direction(language: str) -> str:
    """Which way *language* is written: ltr or rtl."""
    return locale_of(language).text_direction


@pass_context
def utm(context: Context, url: str, **parameters: str) -> str:
    """*url* with the campaign's parameters, if it leads to the publication's own site.

    They are those of the variable `utm`, and *parameters*, which go before them.
    """
    publication = context.get("publication")
    wanted: Mapping[str, str] = {**(context.get("utm") or {}), **parameters}
    return with_utm(url, wanted, getattr(publication, "base_url", ""))


UTM = frozenset({"source", "medium", "campaign", "term", "content", "id"})


def with_utm(url: str, parameters: Mapping[str, str], base_url: str) -> str:
    """*url* with campaign *parameters* if its host is that of *base_url*; `source` means `utm_source`.

    Its fragment stays last, and a parameter it already has stays as it is.
    """
    try:
        parts, site = urlsplit(url), urlsplit(base_url)
    except ValueError:
        return url
    if not parameters or not parts.hostname or parts.hostname != site.hostname:
        return url
    present = {pair.split("=", 1)[0] for pair in parts.query.split("&")}
    named = {f"utm_{name}" if name in UTM else name: value for name, value in parameters.items()}
    added = (f"{quote_plus(n)}={quote_plus(v)}" for n, v in named.items() if v and n not in present)
    return urlunsplit(parts._replace(query="&".join([*filter(None, [parts.query]), *added])))


_SAFE = "%/:?#[]!$&'()*+,;=~@"  # RFC 3986, 2.2, and escapes that are there already


def web_address(url: str | None) -> str:
    """*url* in ASCII, as mail programs know a link; empty if it is none, or longer than 2048 characters."""
    try:
        parts = urlsplit((url or "")[: MAX_URL * 2].strip())
        if not parts.netloc.isascii():
            host = (parts.hostname or "").encode("idna").decode()
            parts = parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host)
    except ValueError:
        return ""
    address = quote(urlunsplit(parts), safe=_SAFE, errors="replace")
    fits = parts.scheme in ("http", "https") and parts.hostname and len(address) <= MAX_URL
    return address if fits else ""


def readable(color: str, background: str, ratio: float = colors.LEGIBLE) -> str:
    """*color*, made darker or lighter until its contrast with *background* is at least *ratio*."""
    start, ground = _rgb(color), _rgb(background)
    goal = max(colors.BLACK, colors.WHITE, key=lambda end: colors.contrast(end, ground))
    shades = (colors.mix(start, goal, step / 20) for step in range(21))
    legible = (shade for shade in shades if colors.contrast(shade, ground) >= ratio)
    return "#{:02x}{:02x}{:02x}".format(*next(legible, goal))


def _rgb(text: str) -> colors.Color:
    digits = text if re.fullmatch("#[0-9a-fA-F]{6}", text) else colors.FALLBACK
    red, green, blue = bytes.fromhex(digits[1:])
    return red, green, blue


FILTERS: Mapping[str, Any] = {
    "clip": clip,
    "date": date,
    "direction": direction,
    "readable": readable,
    "utm": utm,
    "wrap": wrap,
}
