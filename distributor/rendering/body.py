"""An article's own HTML, made fit for a mail."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import nh3
from inscriptis import get_text
from inscriptis.model.config import ParserConfig

from distributor.rendering.filters import ELLIPSIS, printable, wrap
from distributor.slots import neutral_html

_MOST = 400_000  # characters that are looked at; a mail holds a quarter of it

_WIDTH = 576  # pixels between the margins

# The look of each element, in its tag because some programs keep no style sheet.
_LOOK = {
    "p": "margin:0 0 16px",
    "ul": "margin:0 0 16px;padding-left:24px",
    "ol": "margin:0 0 16px;padding-left:24px",
    "li": "margin:0 0 6px",
    "h2": "margin:28px 0 10px;font-size:22px;line-height:1.3",
    "h3": "margin:24px 0 8px;font-size:19px;line-height:1.3",
    **dict.fromkeys(("h4", "h5", "h6"), "margin:20px 0 8px;font-size:17px;line-height:1.4"),
    "blockquote": "margin:0 0 16px;padding-left:16px;border-left:3px solid #9a9a96",
    "pre": "margin:0 0 16px;white-space:pre-wrap;font-size:15px",
    "img": "max-width:100%;height:auto",
    "table": "margin:0 0 16px;border-collapse:collapse",
    "td": "padding:4px 8px;border:1px solid #9a9a96",
    "th": "padding:4px 8px;border:1px solid #9a9a96",
}

_INLINE = {"a", "abbr", "b", "bdi", "br", "cite", "code", "del", "em", "i", "ins", "kbd", "mark", "q", "s"}

_OTHERS = {"dd", "dl", "dt", "figcaption", "figure", "hr", "small", "strong", "sub", "sup", "u"}

_TABLES = {"tbody", "thead", "tr"}

_ATTRIBUTES = {
    "*": {"dir", "lang"},
    "a": {"href"},
    "img": {"src", "alt", "width"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}

_SCHEMES = {"http", "https", "mailto", "tel"}

_CLEANED_STYLE = {tag: {"style": style} for tag, style in _LOOK.items()}


def mail_body(html: str, *, base: str, limit: int, link: Callable[[str], str] = str) -> str:
    """*html* with only what mail programs show, at most about *limit* bytes, cut after a block.

    Relative addresses are those of *base*; *link* is applied to the address of every link. The article is
    taken as it comes, however it was cleaned before: a mail cannot be called back. No mark is left in it.
    """
    whole = _cleaned(printable(html[:_MOST]), base, link)
    if len(whole.encode()) > limit:
        whole = _cleaned(_cut(whole, limit), base, link)
    return neutral_html(whole)


def plain_body(html: str) -> str:
    """*html* as plain text, 72 columns wide, links as `[text](address)`."""
    if not html:
        return ""
    text = get_text(html, ParserConfig(display_links=True, display_anchors=False))
    text = re.sub(r"\[(https?://[^\s\]]+)\]\((\1[^\s)]*)\)", r"\2", text)  # links that say their address
    return "\n".join(map(_wrapped, text.strip("\n").splitlines()))


def _wrapped(line: str) -> str:
    inset = line[: len(line) - len(line.lstrip())][:20]
    hanging = inset + ("  " if line.lstrip().startswith("* ") else "")
    return inset + wrap(line, 72 - len(inset), hanging)


def _cleaned(html: str, base: str, link: Callable[[str], str]) -> str:
    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "width":
            return str(min(int(value), _WIDTH)) if re.fullmatch("[0-9]{1,5}", value) else None
        if name not in ("href", "src"):
            return value
        address = _absolute(value, base)
        return link(address) if address and name == "href" else address

    cleaned = nh3.clean(
        re.sub(r"<(/?)h1\b", r"<\1h2", html, flags=re.IGNORECASE),  # a mail has one, and it is ours
        tags=_INLINE | _OTHERS | _TABLES | _LOOK.keys(),
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        set_tag_attribute_values=_CLEANED_STYLE,
        url_schemes=_SCHEMES,
        link_rel=None,
    )
    return _UNSEEN.sub("", cleaned).strip()


_UNSEEN = re.compile(r"<img(?![^>]* src=)[^>]*>")  # a picture whose address was refused


def _absolute(url: str, base: str) -> str | None:
    try:
        address = urljoin(base, url)
        return address if urlsplit(address).scheme in _SCHEMES else None
    except ValueError:
        return None


_BLOCK_END = re.compile(r"</(?:p|ul|ol|h[2-6]|blockquote|pre|table|figure|dl)>")


def _cut(html: str, limit: int) -> str:
    """The beginning of cleaned *html*, up to a block's end if one is near, else to a word's."""
    head = html.encode()[:limit].decode(errors="ignore")
    end = max((match.end() for match in _BLOCK_END.finditer(head)), default=0)
    if end > limit // 2:
        return head[:end]
    head = re.sub(r"(<[^<>]*|&[^;\s<>]*)$", "", head)  # half a tag, half an entity
    head = re.sub(r"(?<=\s)[^\s<>]{1,40}$", "", head)  # half a word
    return head.rstrip() + ELLIPSIS if head else ""
