"""Hugo's shortcodes in a text that Hugo does not render: https://gohugo.io/shortcodes/

Those that come with Hugo become what they show, or a link to it; of others only the text between them stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

Resolve = Callable[[str], str]  # the page a `ref` names -> its address

_HIGHLIGHT = re.compile(
    r"\{\{[<%]\s*highlight\s+([\w+#-]*)[^\n]*?[>%]\}\}\n?(.*?)\{\{[<%]\s*/\s*highlight\s*[>%]\}\}", re.DOTALL
)
_CALL = re.compile(r"\{\{(?:<(?P<plain>.{0,4000}?)>|%(?P<marked>.{0,4000}?)%)\}\}", re.DOTALL)


def expanded(text: str, resolve: Resolve) -> str:
    """*text* with each shortcode replaced; one in a comment (`{{</* x */>}}`) is shown as written."""
    if "{{" not in text:
        return text
    return _CALL.sub(lambda call: _replaced(call, resolve), _HIGHLIGHT.sub(_fenced, text))


def dropped(text: str) -> str:
    """*text* without its shortcodes: for summaries."""
    return _CALL.sub("", text) if "{{" in text else text


def _fenced(found: re.Match[str]) -> str:
    return f"\n~~~~~~~~ {found[1]}\n{found[2].rstrip()}\n~~~~~~~~\n"


def _replaced(call: re.Match[str], resolve: Resolve) -> str:
    inner = (call["plain"] if call["plain"] is not None else call["marked"]).strip()
    if inner.startswith("/*") and inner.endswith("*/"):
        shown = f"{call[0][:3]}{inner[2:-2]}{call[0][-3:]}"
        return escape(shown)
    shortcode = _parsed(inner)
    if shortcode.name == "figure":
        return _figure(shortcode)
    if shortcode.name in ("ref", "relref"):
        return resolve(shortcode.first("path"))
    if address := _VIDEOS.get(shortcode.name):
        return _link(address, shortcode)
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shortcode:
    name: str
    words: tuple[str, ...]
    named: dict[str, str]

    def first(self, name: str) -> str:
        return self.named.get(name) or (self.words[0] if self.words else "")


_ARGUMENT = re.compile(r"""(?:(\w+)=)?(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|([^\s"`=]+))""", re.DOTALL)


def _parsed(inner: str) -> _Shortcode:
    name, _, rest = inner.removesuffix("/").strip().partition(" ")
    words: list[str] = []
    named: dict[str, str] = {}
    for key, quoted, raw, bare in _ARGUMENT.findall(rest):
        value = quoted.replace('\\"', '"') or raw or bare
        if key:
            named[key.lower()] = value
        else:
            words.append(value)
    return _Shortcode(name=name.lower(), words=tuple(words), named=named)


def _figure(shortcode: _Shortcode) -> str:
    source = shortcode.first("src")
    if not source:
        return ""
    caption = " ".join(filter(None, (shortcode.named.get("title"), shortcode.named.get("caption"))))
    alt = shortcode.named.get("alt") or caption
    picture = f'<img src="{escape(source)}" alt="{escape(alt)}">'
    if link := shortcode.named.get("link"):
        picture = f'<a href="{escape(link)}">{picture}</a>'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"\n\n<figure>{picture}{below}</figure>\n\n"


_VIDEOS = {
    "youtube": "https://www.youtube.com/watch?v={}",
    "vimeo": "https://vimeo.com/{}",
    "instagram": "https://www.instagram.com/p/{}/",
    "gist": "https://gist.github.com/{}",
    "tweet": "https://x.com/i/status/{}",
    "x": "https://x.com/i/status/{}",
}


def _link(address: str, shortcode: _Shortcode) -> str:
    """A link to what a mail cannot show; without a usable id, nothing."""
    known = shortcode.first("id")
    if shortcode.name == "gist" and len(shortcode.words) > 1:
        known = "/".join(shortcode.words[:2])
    if not re.fullmatch(r"[\w/-]{1,100}", known):
        return ""
    url = address.format(known)
    return f'\n\n<p><a href="{url}">{url}</a></p>\n\n'
