"""An article's body as HTML that may stand in a mail."""

from __future__ import annotations

import html as entities
import re
from pathlib import Path
from urllib.parse import urlsplit

import nh3

from distributor.articles import links, markdown, shortcodes
from distributor.articles.frontmatter import FrontMatterError, read_document
from distributor.articles.hugo import HugoSite
from distributor.articles.reader import read_page
from distributor.articles.tree import MARKDOWN
from distributor.errors import ContentError
from distributor.model import Article

MAX_BODY = 400_000  # characters; no mail carries more, and the rest is on the site

TAGS = frozenset(
    (
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "u",
        "ul",
        "var",
        "wbr",
    )
)
DROPPED = frozenset(  # with all that is in them
    (
        "audio",
        "button",
        "canvas",
        "form",
        "iframe",
        "math",
        "noscript",
        "object",
        "script",
        "select",
        "style",
        "svg",
        "template",
        "textarea",
        "title",
        "video",
    )
)
ATTRIBUTES = {
    "*": {"lang", "dir", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "style"},
    "ol": {"start"},
    "td": {"colspan", "rowspan", "align", "style"},
    "th": {"colspan", "rowspan", "align", "style"},
    "time": {"datetime"},
}
SCHEMES = frozenset(("http", "https", "mailto", "tel"))


def body_html(site: HugoSite | None, article: Article, *, text: str | None = None) -> str:
    """The article's body as sanitised HTML, its links and pictures absolute.

    *text* is the body of a feed entry, which is HTML; without it the article's own file is read.
    Scripts, forms, frames, event handlers and tracking pixels are gone.

    Raises:
        ContentError: the file has vanished, cannot be read or does not parse.
    """
    if text is not None:
        return _sanitized(_videos_linked(text[:MAX_BODY]), _Links(site, article))
    if site is None:
        raise ContentError(f"The body of {article.path} is neither in a file nor in a feed.")
    links_of = _Links(site, article)
    source = shortcodes.expanded(_read(site, article.path), links_of.page)
    made = source if article.markup == "html" else markdown.to_html(source)
    return _sanitized(_videos_linked(made), links_of)


def _read(site: HugoSite, path: str) -> str:
    try:
        document = read_document(_inside(site.content, path).read_bytes())
    except OSError as error:
        raise ContentError(f"{path} cannot be read: {error.strerror}.") from error
    except FrontMatterError as error:
        raise ContentError(f"{path} cannot be read: {error}.") from error
    return document.body.decode(errors="replace")[:MAX_BODY].replace("\0", "")


def _inside(content: Path, path: str) -> Path:
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ContentError(f"{path!r} is not a file of the content folder.")
    return content / path


class _Links:
    """What the links of one article's body lead to."""

    def __init__(self, site: HugoSite | None, article: Article) -> None:
        self._site = site
        self._article = article

    def absolute(self, value: str) -> str | None:
        """*value* as an absolute address; None where it cannot be one."""
        value = value.strip()
        scheme = value.partition(":")[0].lower()
        if scheme in ("mailto", "tel"):
            return value
        try:
            if self._site and self._site.canonify and value.startswith("/") and value[1:2] != "/":
                value = links.from_root(self._site.base_url, value)
            return links.web_address(value, self._article.url)
        except ValueError:
            return None

    def page(self, name: str) -> str:
        """The address of the page that a `ref` names; the article's own where there is none."""
        path, mark, anchor = name.partition("#")
        page = self._file(path) if path else None
        return (page or self._article.url) + mark + anchor

    def _file(self, name: str) -> str | None:
        site = self._site
        if site is None:
            return None
        folder = self._article.path.rpartition("/")[0]
        inner = name.strip("/")
        ends = ("",) if inner.endswith(MARKDOWN) else (".md", "/index.md")
        starts = ("",) if name.startswith("/") else (f"{folder}/" if folder else "", "")
        for path in (f"{start}{inner}{end}" for start in starts for end in ends):
            try:
                page, _ = read_page(site, path, _inside(site.content, path).read_bytes())
            except (OSError, ContentError):
                continue
            return page.article.url if page else None
        return None


def _sanitized(made: str, links_of: _Links) -> str:
    def kept(tag: str, name: str, value: str) -> str | None:
        return links_of.absolute(value) if name in ("href", "src") else value

    cleaned = nh3.clean(
        made,
        tags=set(TAGS),
        clean_content_tags=set(DROPPED),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=kept,
        filter_style_properties={"text-align", "width", "height", "display"},
        link_rel=None,
        url_schemes=set(SCHEMES),
    )
    return _IMG.sub(_picture, cleaned).strip()


_IMG = re.compile(r'<img((?:\s+[\w-]+(?:="[^"]*")?)*)\s*/?>')
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_UNSEEN = re.compile(r"(?:width|height)\s*:\s*[0-2](?:px)?\s*(?:;|$)|display\s*:\s*none", re.IGNORECASE)


def _picture(found: re.Match[str]) -> str:
    """The picture with an alternative text; nothing where it has no address or is too small to be seen."""
    own = dict(_ATTRIBUTE.findall(found[1]))
    style = entities.unescape(own.pop("style", ""))
    sizes = (own.get("width", ""), own.get("height", ""))
    if not own.get("src") or _UNSEEN.search(style):
        return ""
    if any(re.fullmatch(r"\s*[0-2](?:px)?\s*", size) for size in sizes):
        return ""
    return "<img" + "".join(f' {name}="{value}"' for name, value in ({"alt": ""} | own).items()) + ">"


_FRAME = re.compile(
    r"""<iframe\b[^>]*?\bsrc\s*=\s*["']?((?:https?:)?//[^"'\s>]+)[^>]*>(?:\s*</iframe\s*>)?""", re.IGNORECASE
)
_VIDEO_HOSTS = {
    "www.youtube.com": "https://www.youtube.com/watch?v={}",
    "www.youtube-nocookie.com": "https://www.youtube.com/watch?v={}",
    "youtube.com": "https://www.youtube.com/watch?v={}",
    "player.vimeo.com": "https://vimeo.com/{}",
}


def _videos_linked(made: str) -> str:
    """A mail shows no frames: a video in one becomes a link, any other frame goes."""

    def linked(frame: re.Match[str]) -> str:
        try:
            parts = urlsplit(entities.unescape(frame[1]))
            address = _VIDEO_HOSTS.get(parts.hostname or "")
        except ValueError:
            return ""
        known = parts.path.rstrip("/").rpartition("/")[2]
        if not address or not re.fullmatch(r"[\w-]{1,100}", known):
            return ""
        url = address.format(known)
        return f'<p><a href="{url}">{url}</a></p>'

    return _FRAME.sub(linked, made) if "iframe" in made.lower() else made
