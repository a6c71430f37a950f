"""The values of the audience."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from disposable_email_domains import blocklist
from email_validator import EmailNotValidError, ValidatedEmail, validate_email

Cadence = Literal["instant", "daily", "weekly", "monthly"]
SubscriptionState = Literal["unconfirmed", "confirmed", "unsubscribed"]
CADENCES: tuple[Cadence, ...] = get_args(Cadence)

What = Literal[
    "asked",  # for a subscription, or for a new address, that their owner has to confirm
    "subscribed",  # by the publisher, whom they told so
    "confirmed",
    "changed",
    "paused",
    "unsubscribed",
    "suppressed",
    "imported",
    "address changed",
    "erased",
]
Source = Literal["form", "import", "api", "webhook", "one-click", "provider", "hand", "preferences"]

# Why nothing may be sent to an address. The publisher may have reasons of their own, in their own words.
UNSUBSCRIBED = "unsubscribed"  # from everything
BOUNCED = "hard bounce"
BOUNCED_SOFTLY = "soft bounces"
COMPLAINED = "complained"
BY_HAND = "by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How we know that somebody wanted what was done: when, from where, and what they had read."""

    source: Source
    at: datetime  # aware, UTC
    ip: str = ""
    agent: str = ""
    wording: str = ""  # what stood beside the button
    detail: str = ""  # names no address


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What somebody tells us of a subscriber and their subscription to one list."""

    address: str  # as `normal_address` gives it
    lists: tuple[str, ...]
    name: str = ""
    # Of what is None here, a subscription keeps what it has; a new one is confirmed, daily, of everything.
    topics: tuple[str, ...] | None = None  # empty: everything
    cadence: Cadence | None = None
    state: SubscriptionState | None = None
    timezone: str | None = None  # IANA name
    locale: str | None = None
    hour: int | None = None  # 0 to 23, of their own day
    attributes: Mapping[str, str] = field(default_factory=dict)
    # Of an import alone.
    joined_at: datetime | None = None  # when they came, where another program knew it
    confirmed_at: datetime | None = None
    ip: str = ""  # that they came from
    suppress: str | None = None  # why nothing may be sent to the address


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscriber's place on one list."""

    list: str
    state: SubscriptionState
    cadence: Cadence
    topics: tuple[str, ...]
    served_through: int  # the sequence number up to which the reader has been served
    created_at: datetime | None = None
    asked_at: datetime | None = None  # a form asked for it, and they did not answer yet
    confirmed_at: datetime | None = None
    paused_until: datetime | None = None
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """One person, by address."""

    id: int
    address: str
    name: str
    timezone: str | None
    locale: str | None
    created_at: datetime  # aware, UTC
    suppressed: str | None  # why nothing may be sent to the address
    subscriptions: tuple[Subscription, ...]
    hour: int | None = None  # 0 to 23: of their own day, at which they want digests
    attributes: Mapping[str, str] = field(default_factory=dict)
    asked_at: datetime | None = None  # when the address was last sent a question
    suppressed_until: datetime | None = None  # None: for ever, if at all


def normal_address(text: str) -> str:
    """The address as mail servers understand it: ASCII or UTF-8 local part, domain in lower case.

    Raises:
        ValueError: it cannot be an address; the message says why.
    """
    address = text.strip()
    if ordinary := _ORDINARY.fullmatch(address):
        return f"{ordinary[1]}@{_checked(f'a@{ordinary[2]}').domain}"
    return _checked(address).normalized


# Of such an address only the domain needs looking at, and most of a list is at few domains.
_ORDINARY = re.compile(r"([a-z0-9_+-]{1,20}(?:\.[a-z0-9_+-]{1,20}){0,2})@([a-z0-9.-]{1,190})")


@lru_cache(maxsize=10_000)
def _checked(address: str) -> ValidatedEmail:
    try:
        return validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"is no e-mail address: {error}") from None


def address_hash(address: str) -> bytes:
    """SHA-256 of the address without regard to case: what makes two spellings one person.

    Not of the folded case, in which two people, `groß@` and `gross@`, would be one.
    """
    return hashlib.sha256(address.lower().encode(errors="surrogatepass")).digest()


def is_disposable(address: str) -> bool:
    """Whether the address is at a host that gives them away for minutes (disposable-email-domains)."""
    labels = address.rpartition("@")[2].lower().split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels) - 1))


def plain(text: str, *, at_most: int) -> str:
    """Text on one line, cut, that every database takes and that breaks no mail header."""
    return _UNPRINTABLE.sub(" ", text).strip()[:at_most]


# Spaces, controls, marks that turn the direction of what follows, halves of characters.
_UNPRINTABLE = re.compile("[\\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def topic_text(topics: tuple[str, ...]) -> str:
    """Topics as they are stored: sorted, so that readers of the same topics share a cohort."""
    return ",".join(sorted({topic.strip() for topic in topics if topic.strip()}))


def known_zone(name: str) -> str:
    """*name* if it is an IANA time zone.

    Raises:
        ValueError: it is none.
    """
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{name[:60]!r} is no time zone; write one like Europe/Berlin") from None
    return name
