"""The reader's slots: the few places of a frozen mail that differ from reader to reader.

A slot is written as a mark, `@@unsubscribe_url@@`. Its characters pass unchanged through MJML, HTML
escaping, URL attributes and quoted-printable; only a soft line break may fall into a mark there, so content
is split at its marks before it is encoded for transport.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from markupsafe import escape as escaped

EVERY_MAIL = ("name", "unsubscribe_url", "preferences_url", "view_url")
SLOTS = (*EVERY_MAIL, "confirm_url")  # the last only in notices

MARKS: Mapping[str, str] = {slot: f"@@{slot}@@" for slot in SLOTS}  # `slots` of a notice
DIGEST_MARKS: Mapping[str, str] = {slot: MARKS[slot] for slot in EVERY_MAIL}  # `slots` of an edition

_MARK = re.compile(f"@@({'|'.join(SLOTS)})@@")

_PAIR = re.compile(r"@(?=@|\Z)")  # with none of these in any piece, no joining of pieces makes a "@@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slotted:
    """Content cut at its marks, to be joined again around each reader's values."""

    pieces: tuple[str, ...]  # what stands between the marks, and at every odd place the name of a slot

    @property
    def names(self) -> tuple[str, ...]:
        """The slots, in the order of their marks; one may come more than once."""
        return self.pieces[1::2]

    def fill(self, values: Mapping[str, str], escape: bool = True) -> str:
        """The content for one reader; *escape* the values for HTML, and not for plain text.

        What a value says is never read as a mark again.

        Raises:
            KeyError: when *values* lack a slot that the content has.
        """
        pieces = list(self.pieces)
        if escape:
            pieces[1::2] = [escaped(values[name]) for name in pieces[1::2]]
        else:
            pieces[1::2] = [values[name] for name in pieces[1::2]]
        return "".join(pieces)

    def in_json(self) -> JsonSlotted:
        """The same as a JSON string, for requests that hold every reader's mail whole."""
        first, *rest = map(_json, self.pieces[0::2])
        pieces = [b'"' + first, *rest]
        pieces[-1] += b'"'
        return JsonSlotted(pieces=tuple(pieces), names=self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSlotted:
    """A JSON string cut at its marks: what all readers have is escaped once, not again for each."""

    pieces: tuple[bytes, ...]  # what stands between the marks, and the quotes around it all
    names: tuple[str, ...]

    def fill(self, values: Mapping[str, str], escape: bool = True) -> orjson.Fragment:
        """What `Slotted.fill` gives, as a part of what `orjson.dumps` writes.

        Raises:
            KeyError: when *values* lack a slot that the content has.
        """
        filled = [self.pieces[0]]
        for name, piece in zip(self.names, self.pieces[1:], strict=True):
            filled += _json(escaped(values[name]) if escape else values[name]), piece
        return orjson.Fragment(b"".join(filled))


def _json(text: str) -> bytes:
    return orjson.dumps(text)[1:-1]


def split(text: str) -> Slotted:
    """Cut *text* at its marks, once for all readers."""
    return Slotted(pieces=tuple(_MARK.split(text)))


def translate(text: str, table: Mapping[str, str], literal: Callable[[str], str] = str) -> str:
    """*text* with every mark in a vendor's own substitution syntax, for vendors that fill in themselves.

    *table* says how the vendor writes each slot; *literal* is applied to everything between the marks, so
    that an article which happens to contain the vendor's syntax can be escaped as the vendor wants it.

    Raises:
        KeyError: when *table* lacks a slot that the content has.
    """
    pieces = list(split(text).pieces)
    pieces[0::2] = [literal(piece) for piece in pieces[0::2]]
    pieces[1::2] = [table[name] for name in pieces[1::2]]
    return "".join(pieces)


def neutral(text: str) -> str:
    """Plain *text* that cannot act as a mark, whatever stands beside it; readers see no difference."""
    return _PAIR.sub("@\N{WORD JOINER}", text)


def neutral_url(url: str) -> str:
    """An address that cannot act as a mark and leads to the same place (RFC 3986, 2.1)."""
    return _PAIR.sub("%40", url)


def neutral_html(html: str) -> str:
    """HTML that cannot act as a mark, in text and in attributes, and means the same."""
    return _PAIR.sub("&#64;", html)
