"""The opaque part of a reader's links: names no address, cannot be guessed, needs no table.

A token is base64url(subscriber, list, first 16 bytes of HMAC-SHA256 over both). It does not expire: an
unsubscribe link must work in the oldest mail.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass

_FORM = struct.Struct(">QI")
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A subscriber's place on a list."""

    subscriber: int
    list: int


class Tokens:
    """Makes and reads tokens under one secret."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret that signs readers' links needs at least 16 bytes")
        # A key of its own for this purpose, so that the secret can serve others too.
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
            return urlsafe_b64encode(body + mac.digest()[:_MAC_BYTES]).decode().rstrip("=")

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
