"""The opaque part of a reader's links: names no address, cannot be guessed, needs no table.

A token is base64url(subscriber, list, first 16 bytes of HMAC-SHA256 over both). It does not expire: an
unsubscribe link must work in the oldest mail. One that answers a question does, and serves that alone.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

_FORM = struct.Struct(">QI")
_EXPIRING = struct.Struct(">QIQ")  # the same, and the second in which it ends
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A subscriber's place on a list."""

    subscriber: int
    list: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a token for one purpose says."""

    subscriber: int
    number: int  # of a list, or of whatever the purpose is about


class Tokens:
    """Makes and reads tokens under one secret."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret that signs readers' links needs at least 16 bytes")
        # A key of its own for each purpose, so that a token for one is none for another.
        self._secret = secret
        self._mac = hmac.new(hmac.digest(secret, b"subscription links", "sha256"), digestmod=hashlib.sha256)

    def make(self, place: Place) -> str:
        return self.maker(place.list)(place.subscriber)

    def maker(self, list_: int) -> Callable[[int], str]:
        """What makes the token of a subscriber's place on one list, for a thousand in a row."""
        copy, pack = self._mac.copy, _FORM.pack

        def make(subscriber: int) -> str:
            body = pack(subscriber, list_)
            mac = copy()
            mac.update(body)
            return _text(body + mac.digest()[:_MAC_BYTES])

        return make

    def read(self, token: str) -> Place | None:
        """The place a token stands for; None for anything we did not make, to the last character."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            return None
        if len(raw) != _FORM.size + _MAC_BYTES:
            return None
        person, place = _FORM.unpack_from(raw)
        found = Place(subscriber=person, list=place)
        # Decoding overlooks characters that do not belong to the alphabet, so the text itself is compared.
        return found if hmac.compare_digest(token, self.make(found)) else None

    def expiring(self, purpose: str, subscriber: int, number: int, until: datetime) -> str:
        """A token that says both numbers, until the second of *until*, for this purpose and no other."""
        body = _EXPIRING.pack(subscriber, number, int(until.timestamp()))
        return _text(body + _mac(self._secret, purpose, body))

    def read_expiring(self, purpose: str, token: str, now: datetime) -> Ticket | None:
        """What a token says; None for one that is over, or of another purpose, or not ours."""
        found = self._known(purpose, token)
        return found[0] if found and now < found[1] else None

    def has_expired(self, purpose: str, token: str, now: datetime) -> bool:
        """Whether it is a token of ours for this purpose that is over."""
        found = self._known(purpose, token)
        return found is not None and now >= found[1]

    def _known(self, purpose: str, token: str) -> tuple[Ticket, datetime] | None:
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            return None
        if len(raw) != _EXPIRING.size + _MAC_BYTES:
            return None
        body = raw[: _EXPIRING.size]
        if not hmac.compare_digest(token, _text(body + _mac(self._secret, purpose, body))):
            return None
        subscriber, number, until = _EXPIRING.unpack(body)
        return Ticket(subscriber=subscriber, number=number), datetime.fromtimestamp(until, UTC)


def _mac(secret: bytes, purpose: str, body: bytes) -> bytes:
    key = hmac.digest(secret, b"expiring " + purpose.encode(), "sha256")
    return hmac.digest(key, body, "sha256")[:_MAC_BYTES]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
