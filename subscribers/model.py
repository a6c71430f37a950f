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

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

Cadence = Literal["instant", "daily", "weekly", "monthly"]
SubscriptionState = Literal["unconfirmed", "confirmed", "unsubscribed"]
CADENCES: tuple[Cadence, ...] = get_args(Cadence)


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
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscriber's place on one list."""

    list: str
    state: SubscriptionState
    cadence: Cadence
    topics: tuple[str, ...]
    served_through: int  # the sequence number up to which the reader has been served


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
