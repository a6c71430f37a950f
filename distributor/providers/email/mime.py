"""A digest as an internet message (RFC 5322, RFC 2045 ff.): built once, spliced for each reader.

Building a message with the standard library takes milliseconds; joining pre-encoded pieces takes
microseconds. Quoted-printable allows a soft line break anywhere, so each piece between two slots is encoded
once, and a reader's values stand on lines of their own.
"""

from __future__ import annotations

import quopri
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape

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
        self._domain = parseaddr(sender.from_)[1].rpartition("@")[2] or "localhost"
        skeleton = _skeleton(digest, sender, self._domain, date, media)
        self._pieces = _spliced(skeleton, digest)

    def to(self, email: Email) -> bytes:
        """The whole message for one reader, CRLF between lines."""
        values = {"text": email.slots, "html": {k: escape(v) for k, v in email.slots.items()}}
        body = b"".join(
            piece if isinstance(piece, bytes) else _quoted(values[piece[0]][piece[1]], own_line=True)
            for piece in self._pieces
        )
        return self._own_headers(email) + body

    def _own_headers(self, email: Email) -> bytes:
        lines = [
            f"Message-ID: <{email.key}@{self._domain}>",
            f"To: {_mailbox(email.name, email.address)}",
            # RFC 8058: both headers, an HTTPS address that names no reader, no other value.
            f"List-Unsubscribe: <{email.slots['unsubscribe_url']}>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ]
        return "".join(line + "\r\n" for line in lines).encode()


def _mailbox(name: str, address: str) -> str:
    """A display name and address that no header can be smuggled through."""
    local, _, domain = address.rpartition("@")
    clean = re.sub(r"[\x00-\x1f\x7f]+", " ", name).strip()
    message = EmailMessage(policy=SMTP.clone(utf8=not address.isascii(), max_line_length=78))
    message["To"] = Address(display_name=clean, username=local, domain=domain)
    return message.as_bytes().split(b"\r\n\r\n", 1)[0].decode().removeprefix("To: ").rstrip("\r\n")


_Slot = tuple[str, str]  # text or html, and the slot's name


def _skeleton(
    digest: Digest,
    sender: Sender,
    domain: str,
    date: datetime,
    media: Callable[[Picture], bytes],
) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender.from_
    if sender.reply_to:
        message["Reply-To"] = sender.reply_to
    message["Subject"] = digest.subject
    message["Date"] = format_datetime(date)
    # RFC 2919: stable for as long as the newsletter keeps its name.
    message["List-Id"] = f"{_phrase(sender.list_name)} <{_label(sender.list_label)}.{domain}>"
    message["Content-Language"] = digest.language
    message.set_content(_PLACES["text"], cte="quoted-printable")
    message.add_alternative(_PLACES["html"], subtype="html", cte="quoted-printable")
    html = message.get_payload(1)
    assert isinstance(html, MIMEPart)
    for picture in digest.pictures:
        main, _, kind = picture.media_type.partition("/")
        html.add_related(
            media(picture), main, kind, cid=f"<{picture.hash}>", filename=picture.name, disposition="inline"
        )
    seed = digest.hash
    _fix_boundaries(message, seed)
    return message.as_bytes()


_PLACES = {"text": "PLACE-OF-TEXT-9e1b4a", "html": "PLACE-OF-HTML-9e1b4a"}


def _phrase(text: str) -> str:
    return re.sub(r"[<>\r\n]+", " ", text).strip()


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-") or "list"


def _fix_boundaries(message: EmailMessage, seed: str) -> None:
    """The same boundaries every time, so that repeating a delivery repeats its bytes."""
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{uuid.uuid5(uuid.NAMESPACE_OID, f'{seed}/{number}').hex}")


def _spliced(skeleton: bytes, digest: Digest) -> list[bytes | _Slot]:
    pieces: list[bytes | _Slot] = []
    rest = skeleton
    for kind, content in (("text", digest.text), ("html", digest.html)):
        before, rest = rest.split(_PLACES[kind].encode(), 1)
        pieces.append(before)
        parts: Sequence[str] = split(content).pieces
        for index, part in enumerate(parts):
            pieces.append((kind, part) if index % 2 else _quoted(part))
    return [*pieces, rest]


def _quoted(text: str, *, own_line: bool = False) -> bytes:
    """Quoted-printable with CRLF; *own_line*: between soft line breaks, which a decoder drops."""
    plain = text.replace("\r\n", "\n").encode()
    encoded = quopri.encodestring(plain, quotetabs=False).replace(b"\n", b"\r\n")
    return b"=\r\n" + encoded + b"=\r\n" if own_line else encoded
