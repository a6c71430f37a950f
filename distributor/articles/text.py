"""Texts for a person: one line, without marks, cut where a reader would cut."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import nh3

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

TITLE_LIMIT = 500  # characters
SUMMARY_LIMIT = 300  # characters of a summary we make ourselves
GIVEN_SUMMARY_LIMIT = 2000  # characters of a summary the author wrote

# C0 and C1 controls, and the marks that turn the direction of what follows (UAX #9), which could
# rearrange a subject line. Joiners stay: emoji and Persian need them.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_ABSENT = frozenset(("", "none", "null"))
_MARKS = re.compile(r"[*`\\~]|</?[A-Za-z!?]|&#?\w+;|\]\(|(?<!\w)_|_(?!\w)")
_STRIKE = re.compile(r"~~(?=\S)(.+?)(?<=\S)~~")


def text_of(value: Any) -> str:
    """*value* as Hugo casts it to a string: numbers in full, words as they are; other kinds are nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e21 else repr(value)
    return ""


def one_line(value: Any) -> str:
    """*value* as one line of text: no control characters, single spaces; "None" and "null" are nothing."""
    if value is None:
        return ""
    text = text_of(value)
    if not text.isprintable() or "  " in text or "\ufeff" in text:
        text = _SPACES.sub(" ", _CONTROLS.sub("", text))
    text = text.strip()
    return "" if text.lower() in _ABSENT else text


def plain_line(value: Any, limit: int) -> str:
    """*value* as one line at most *limit* characters long, its Markdown and HTML read and taken away."""
    text = one_line(value if value is None else text_of(value)[: limit * 20])
    if _MARKS.search(text):
        text = one_line(unmarked(_inline().renderInline(_STRIKE.sub(r"\1", text))))
    return shortened(text, limit)


@cache
def _inline() -> MarkdownIt:
    from markdown_it import MarkdownIt  # most runs read no page that needs it, and importing it takes longer

    return MarkdownIt("commonmark", {"html": True})


def unmarked(markup: str) -> str:
    """The text of an HTML fragment, its characters as they are meant."""
    return html.unescape(nh3.clean(markup, tags=set()))


_SENTENCE_END = re.compile(r"""[.!?…؟۔]["'”’»)\]]*(?=\s)|[。！？][”’」』）]*""")


def shortened(text: str, limit: int) -> str:
    """*text*, or its beginning of at most *limit* characters: to a sentence's end, else a word's.

    No character that a reader sees as one is cut apart; a cut inside a sentence is marked with `…`.
    """
    if len(text) <= limit:
        return text
    least = limit * 3 // 5
    ends = [found.end() for found in _SENTENCE_END.finditer(text[: limit + 1]) if found.end() <= limit]
    if ends and ends[-1] >= least:
        return text[: ends[-1]]
    space = text.rfind(" ", least, limit)
    if space > 0:
        return text[:space].rstrip(" ,;:–—-") + "…"
    return _whole_graphemes(text, limit - 1) + "…"


def _whole_graphemes(text: str, limit: int) -> str:
    import regex  # as above: only texts without spaces need it

    end = 0
    for grapheme in regex.finditer(r"\X", text[: limit * 2]):
        if grapheme.end() > limit:
            break
        end = grapheme.end()
    return text[: end or limit]
