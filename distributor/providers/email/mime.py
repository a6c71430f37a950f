"""A digest as an internet message (RFC 5322, RFC 2045 ff.): built once, spliced for each reader.

Building a message with the standard library takes milliseconds; joining pre-encoded pieces takes
microseconds. Quoted-printable allows a soft line break anywhere, so each piece between two slots is encoded
once, and a reader's values stand on lines of their own.
"""

from __future__ import annotations

import quopri
import re
import textwrap
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.header import Header
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache
from html import escape

from distributor.config import mailbox
from distributor.model import Digest, Email, Picture
from distributor.slots import split


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The newsletter as its mail's headers name it."""

    from_: str  # "Name <address>"
    reply_to: str | None
    list_name: str  # the newsletter's title
    list_label: str  # its name in the configuration


class Message:
    """One digest's message, but for what differs from reader to reader."""

    def __init__(
        self, digest: Digest, sender: Sender, *, date: datetime, media: Callable[[Picture], bytes]
    ) -> None:
        self._domain = mailbox(sender.from_)[1].rpartition("@")[2]
        self._headers = _common_headers(digest, sender, date)
        self._pieces = _spliced(digest, media)

    def to(self, email: Email) -> bytes:
        """The whole message for one reader, CRLF between lines."""
        values = {"text": email.slots, "html": {k: escape(v) for k, v in email.slots.items()}}
        body = b"".join(
            piece if isinstance(piece, bytes) else _quoted(values[piece[0]][piece[1]], own_line=True)
            for piece in self._pieces
        )
        return _lines({**self._own_headers(email), **self._headers}) + body

    def _own_headers(self, email: Email) -> dict[str, str]:
        return {
            "Message-ID": f"<{email.key}@{self._domain}>",
            "To": _mailbox(email.name, email.address),
            **one_click_headers(email),
        }


def one_click_headers(email: Email) -> dict[str, str]:
    """RFC 8058: both headers, an HTTPS address that names no reader, no other value."""
    return {
        "List-Unsubscribe": f"<{email.slots['unsubscribe_url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def list_headers(sender: Sender, email: Email) -> dict[str, str]:
    """What a provider is to add to one reader's message, all ASCII."""
    return {"List-Id": list_id(sender), **one_click_headers(email)}


@lru_cache(maxsize=64)
def list_id(sender: Sender) -> str:
    """List-Id on one line, for a vendor who folds lines himself and who may read templates in headers.

    What could begin one is written in encoded words. SES takes 995 characters of a header.
    """
    short = replace(sender, list_name=one_line(sender.list_name)[:LONGEST_LIST_NAME])
    return _list_id(short, unfit="{%").replace("\r\n", "")


LONGEST_LIST_NAME = 100  # characters; encoded they may be five times as many


def shown_mailbox(text: str) -> str:
    """A sender `Name <address>` for a vendor who reads mailboxes: quoted where it has to be, not encoded."""
    name, address = mailbox(text)
    shown = one_line(name.translate(_NO_QUOTES))
    if not shown:
        return address
    return f"{shown} <{address}>" if _ATOMS.fullmatch(shown) else f'"{shown}" <{address}>'


_NO_QUOTES = str.maketrans('"\\', "  ")  # vendors differ in how they read what is escaped in quotes


def ascii_address(address: str) -> str:
    """*address* with its domain in ASCII, unless its local part is not (RFC 5890, RFC 6531)."""
    return address if address.isascii() else mailbox(address)[1]


def _list_id(sender: Sender, *, unfit: str = "") -> str:
    """RFC 2919: stable for as long as the newsletter keeps its name."""
    domain = mailbox(sender.from_)[1].rpartition("@")[2]
    return _named(sender.list_name, f"{_label(sender.list_label)}.{domain}", unfit=unfit)


def _common_headers(digest: Digest, sender: Sender, date: datetime) -> dict[str, str]:
    headers = {"From": _mailbox(*mailbox(sender.from_))}
    if sender.reply_to:
        headers["Reply-To"] = _mailbox(*mailbox(sender.reply_to))
    headers["Subject"] = _unstructured(one_line(digest.subject))
    headers["Date"] = format_datetime(date)
    headers["List-Id"] = _list_id(sender)
    if re.fullmatch(r"[A-Za-z0-9-]+", digest.language):
        headers["Content-Language"] = digest.language
    return headers


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def _mailbox(name: str, address: str) -> str:
    """A display name and address that no header can be smuggled through."""
    address = ascii_address(address)
    return _named(name, address) if one_line(name) else address


def _named(name: str, address: str, *, unfit: str = "") -> str:
    """`Name <address>`, the name an atom, a quoted string or encoded words (RFC 5322, RFC 2047).

    A name with an *unfit* character is written in encoded words.
    """
    shown = one_line(name)
    if len(shown) > _WIDTH or not shown.isascii() or "=?" in shown or set(shown) & set(unfit):
        shown = _encoded(shown)
    elif not _ATOMS.fullmatch(shown):
        shown = '"' + re.sub(r'(["\\])', r"\\\1", shown) + '"'
    gap = " " if len(shown) + len(address) < _WIDTH else "\r\n "
    return f"{shown}{gap}<{address}>".lstrip()


_ATOMS = re.compile(r"[\w !#$%&'*+/=?^`{|}~-]*")  # words that need no quotes
_WIDTH = 64  # characters of a header's first line: with the header's name they stay below 78


def _unstructured(text: str) -> str:
    """Words for a header, on lines of at most 78 characters (RFC 5322, 2.1.1)."""
    if not text.isascii() or "=?" in text or max(map(len, text.split()), default=0) > _WIDTH:
        return _encoded(text)
    wrapped = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\r\n ".join(wrapped)


def _encoded(text: str) -> str:
    return Header(text, "utf-8", maxlinelen=_WIDTH, header_name="").encode(linesep="\r\n")


def one_line(text: str) -> str:
    """Text on one line, without characters that control anything."""
    return " ".join(re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text).split())


def _label(text: str) -> str:
    """A newsletter's name as a part of a domain name; where letters are lost, a number tells it apart."""
    label = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    return label if label == text.lower() else f"{label}-{zlib.crc32(text.encode()):08x}".lstrip("-")


_Slot = tuple[str, str]  # text or html, and the slot's name


def _spliced(digest: Digest, media: Callable[[Picture], bytes]) -> list[bytes | _Slot]:
    """The message's body from its MIME headers on, cut at the slots."""
    places = {kind: _hidden(digest, kind) for kind in ("text", "html")}
    rest = _skeleton(digest, places, media)
    pieces: list[bytes | _Slot] = []
    for kind, content in (("text", digest.text), ("html", digest.html)):
        before, rest = rest.split(places[kind].encode(), 1)
        pieces.append(before)
        for index, part in enumerate(split(content).pieces):
            pieces.append((kind, part) if index % 2 else _quoted(part))
    return [*pieces, rest]


def _hidden(digest: Digest, what: str) -> str:
    """A mark that no article can contain, for it depends on all of them; the same for every repetition."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{digest.hash}/{what}").hex


def _skeleton(digest: Digest, places: dict[str, str], media: Callable[[Picture], bytes]) -> bytes:
    message = EmailMessage(policy=SMTP)
    message.set_content(places["text"], cte="quoted-printable")
    message.add_alternative(places["html"], subtype="html", cte="quoted-printable")
    html = message.get_payload(1)
    assert isinstance(html, MIMEPart)
    for picture in digest.pictures:
        main, _, kind = picture.media_type.partition("/")
        html.add_related(
            media(picture), main, kind, cid=f"<{picture.hash}>", filename=picture.name, disposition="inline"
        )
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{_hidden(digest, f'boundary {number}')}")
    return message.as_bytes()


def _quoted(text: str, *, own_line: bool = False) -> bytes:
    """Quoted-printable with CRLF; *own_line*: between soft line breaks, which a decoder drops."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").encode(errors="replace")
    encoded = quopri.encodestring(plain, quotetabs=False).replace(b"\n", b"\r\n")
    return b"=\r\n" + encoded + b"=\r\n" if own_line else encoded
