"""Titles and summaries for pages that have none of their own."""

from __future__ import annotations

import re

from distributor.articles import shortcodes
from distributor.articles.text import TITLE_LIMIT, one_line, plain_line, unmarked

_READ = 12_000  # characters of a body that are looked at
_ENOUGH = 400  # characters of text, somewhat more than a summary needs

_MORE = re.compile(r"<!--\s*more\s*-->", re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(?P<atx>[^\n]*?)[ \t]*#*[ \t]*$"
    r"|^(?P<setext>[^\s#>*+\n-][^\n]*)\n {0,3}(?:=+|-{3,})[ \t]*$"
    r"|<h[1-6]\b[^>]*>(?P<html>.*?)</h[1-6]",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTES = re.compile(r"[ \t]*\{[#.][^{}\n]*\}[ \t]*$")  # Goldmark's `{#id .class}`


def first_heading(body: str) -> str:
    """The first heading of a Markdown or HTML text, as plain text; empty without one."""
    text = _FENCE.sub("", body[:_READ].replace("\r\n", "\n"))
    for found in _HEADING.finditer(text):
        words = found["atx"] or found["setext"] or found["html"] or ""
        if title := plain_line(_ATTRIBUTES.sub("", shortcodes.dropped(words)), TITLE_LIMIT):
            return title
    return ""


def readable_name(name: str) -> str:
    """A title from a file's name: no date before it, spaces for hyphens, a capital first."""
    words = re.sub(r"^\d{4}-\d\d-\d\d[-_ ]+", "", name)
    words = one_line(re.sub(r"[-_]+", " ", words)) or one_line(name) or name
    return words[:1].upper() + words[1:]


_PARAGRAPH_ENDS = re.compile(r"</p>|\n[ \t]*\n", re.IGNORECASE)
_ASIDE = re.compile(
    r"<(h[1-6]|pre|table|figure|aside|nav|form|script|style|svg|video|audio)\b.*?</\1\s*>",
    re.DOTALL | re.IGNORECASE,
)
_BREAK = re.compile(r"<(?:/p|/li|/div|/blockquote|br|hr)\b[^>]*>", re.IGNORECASE)


def beginning(body: str, markup: str) -> str:
    """The text before `<!--more-->`, or else the first paragraphs, as one line of plain text.

    Headings, tables, code and pictures are left out. It may be longer than a summary.
    """
    body = body[:_READ].replace("\r\n", "\n").replace("\0", "").lstrip()
    body = _ASIDE.sub(" ", body if markup == "html" else _FENCE.sub("", body))
    if divider := _MORE.search(body):
        return _text(body[: divider.start()], markup)
    text = ""
    start = 0
    while start < len(body) and len(text) < _ENOUGH:
        end = _paragraphs_end(body, start)
        text = f"{text} {_text(body[start:end], markup)}".strip()
        start = end
    return text


def _paragraphs_end(body: str, start: int) -> int:
    """The end of the first paragraph that lies at least a summary's length beyond *start*."""
    for found in _PARAGRAPH_ENDS.finditer(body, start + _ENOUGH):
        return found.end()
    return len(body)


def _text(part: str, markup: str) -> str:
    made = part if markup == "html" else _from_markdown(part)
    return one_line(unmarked(_BREAK.sub(" ", _ASIDE.sub(" ", made))))


def _from_markdown(part: str) -> str:
    from distributor.articles import markdown  # most pages have a summary, and importing takes longer

    return markdown.to_html(part)
