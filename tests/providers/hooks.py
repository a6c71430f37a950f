"""What every vendor's webhook is tested for, and how a vendor tells the suite about itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Protocol

from distributor.config import Provider
from distributor.model import Event
from distributor.providers.by_type import webhook
from distributor.providers.protocol import Hook, Webhook
from distributor.vendors import VENDORS

NOW = datetime(2026, 6, 1, 7, tzinfo=UTC)
KEY = "7-1-abcdef01"  # the delivery that the examples are of
READER = "reader1@example.org"

# Names for the secrets of an endpoint: the first two are configured, as while one is exchanged.
NEW, OLD, OTHER = "new-secret-of-the-endpoint", "old-secret-of-the-endpoint", "secret-of-somebody-else"


class Seal(Protocol):
    """Where in a request its signature, password or token stands."""

    def read(self, hook: Hook) -> str: ...

    def put(self, hook: Hook, value: str | None) -> Hook:
        """The same request with another one; None: without."""
        ...


@dataclass(frozen=True)
class InHeader:
    """A seal in a header of this name."""

    name: str

    def read(self, hook: Hook) -> str:
        return hook.headers[self.name]

    def put(self, hook: Hook, value: str | None) -> Hook:
        others = {name: one for name, one in hook.headers.items() if name != self.name}
        return replace(hook, headers=others if value is None else {**others, self.name: value})


@dataclass(frozen=True, kw_only=True)
class Example:
    """One event in the vendor's shape, and what is to be read from it."""

    told: Any
    says: Mapping[str, Any]  # fields of Event; the others are not compared


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A vendor's webhook, and how the vendor calls it.

    *signed* makes a request of a body, as the vendor makes one with the secret of that name at that time. The
    same body has the same id, whenever it is sent; where a signature stands in the body, *signed* puts the
    body inside.
    """

    settings: Provider  # knows NEW and OLD
    signed: Callable[[bytes, str, datetime], Hook]
    seal: Seal
    examples: Sequence[Example]  # of different events, KEY's among them
    unknown: Any  # an event of a kind that the vendor has not thought of yet
    in_lists: bool = False  # events come as a list, one or many
    make: Callable[[], Webhook] | None = None  # where it needs a far end; else as the configuration says
    covers_body: bool = True  # other bytes need another signature
    window: timedelta | None = None  # how old a signed request may be; None: the time is not signed
    forgeries: Callable[[str], Sequence[str]] = lambda seal: ()  # like this seal, and not right
    pings: Sequence[Any] = ()  # bodies that only ask whether we are there
    malformed: Sequence[bytes] = (b"{}",)  # bodies without an event, besides those of every vendor

    def webhook(self) -> Webhook:
        if self.make is not None:
            return self.make()
        found = webhook(self.settings)
        assert found is not None
        return found

    def body(self, *told: Any) -> bytes:
        return encoded(list(told) if self.in_lists else told[0])

    def hook(self, *told: Any, secret: str = NEW, at: datetime = NOW) -> Hook:
        return self.signed(self.body(*told), secret, at)


# Every vendor, and those that come in another way besides, which has another name in the vendor's tests.
OTHER_WAYS = ("brevo BY_TOKEN", "ses EVENT_BRIDGE", "sparkpost BY_TOKEN")
NAMES = sorted([*(name for name, vendor in VENDORS.items() if vendor.hook), *OTHER_WAYS])


def described(name: str) -> Reported:
    """A vendor's webhook as its own test module describes it."""
    module, _, way = name.partition(" ")
    found: Reported = getattr(import_module(f"tests.providers.test_{module}"), way or "REPORTED")
    return found


def encoded(told: Any) -> bytes:
    """JSON with all that Python's own writer lets through: NaN, halves of characters, endless numbers."""
    return json.dumps(told).encode()


# What a field may be set to by somebody who means harm, as JSON.
HOSTILE = (
    "null",
    "true",
    "[]",
    "{}",
    '""',
    "-1",
    "0.5",
    "253402300800",  # the year 10000
    "9223372036854775808",
    "-99999999999999999",
    "1e308",
    "1e400",
    "9" * 400,
    "NaN",
    '"99999-01-01T00:00:00Z"',
    '"0001-01-01T00:00:00+23:59"',
    '"' + "9" * 400 + '"',
    r'"\u0000"',
    r'"\ud800 \udc00\ud83d"',
    r'"a\u0000\u0007\u202e\r\nBcc: b@example.org"',
    '"Ünïcödé ÿ 日本"',
    '["a"]',
    '{"a": {"b": null}}',
    '[{"delivery": 1}]',
    "[" * 60 + "]" * 60,
    "[" * 400 + "]" * 400,
    '{"a":' * 900 + "1" + "}" * 900,
    "[" * 5000 + "]" * 5000,
)
NOT_EVENTS = (
    b"",
    b" ",
    b"{",
    b"null",
    b"true",
    b"17",
    b'"text"',
    b"[1, 2]",
    b"[[]]",
    b"\xff\xfe\x00",
    b"a=b&c=d",
)

_PLACE = "a place for what stands here"


def spoiled(told: Any) -> Iterator[tuple[str, str]]:
    """A name, and JSON in which one field has the text `…` to be replaced, for every field of *told*."""
    for path in _paths(told):
        copied = copy.deepcopy(told)
        inside = copied
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = _PLACE
        yield ".".join(map(str, path)), json.dumps(copied)


def with_value(text: str, value: str) -> bytes:
    return text.replace(json.dumps(_PLACE), value).encode()


def _paths(told: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    for step, member in members:
        yield (*above, step)
        yield from _paths(member, (*above, step))


def can_be_kept(event: Event) -> bool:
    """Whether a database takes it: no NUL, no half of a character, a time that is one, nothing endless."""
    texts = (event.id, event.said, event.address, event.key, event.message_id, event.description, event.link)
    return (
        bool(event.id)
        and all("\0" not in text and len(text.encode()) <= 8000 for text in (*texts, event.user_agent))
        and event.occurred_at.tzinfo is UTC
        and 2000 <= event.occurred_at.year < 2100
        and isinstance(event.raw, bytes)
    )
