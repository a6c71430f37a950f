"""What vendors' webhooks share: how a request is known to be theirs, and how what it says is read.

Signatures are checked over the bytes as they came, and compared in constant time as bytes
(`hmac.compare_digest` refuses text that is not ASCII).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import crawleruseragents
import orjson
from pydantic import SecretStr

from distributor.config import WebhookSettings
from distributor.errors import Forged, Unreadable
from distributor.model import Hand
from distributor.providers.protocol import Hook

TOLERANCE = timedelta(minutes=5)  # of a signed time: what the libraries of Svix and Standard Webhooks allow


def known_by_password(hook: Hook, settings: WebhookSettings) -> None:
    """HTTP Basic (RFC 7617) with a configured name, or none, and one of the configured passwords.

    Raises:
        Forged: it has another, or none.
    """
    scheme, _, credentials = hook.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise Forged("has no name and password: write them into the address of the webhook at the vendor's")
    try:
        name, _, password = b64decode(credentials, validate=True).partition(b":")
    except binascii.Error:
        raise Forged("has a name and password that cannot be read") from None
    # Both are compared, whatever the first came to: how long it takes shall not tell which was wrong.
    is_name = not settings.username or any(_same(name, known.encode()) for known in settings.username)
    if not (_is_one_of(password, settings.password) and is_name):
        raise Forged("has another name or password than [providers.….webhook]")


def known_by_token(hook: Hook, settings: WebhookSettings) -> None:
    """HTTP Bearer (RFC 6750) with one of the configured tokens.

    Raises:
        Forged: it has another, or none.
    """
    scheme, _, token = hook.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _is_one_of(_bytes(token.strip()), settings.token):
        raise Forged("has another token than [providers.….webhook], or none")


def is_signed(
    message: bytes, signature: str, secrets: Iterable[SecretStr], *, digest: str = "sha256"
) -> bool:
    """Whether *signature* is the HMAC of *message*, in hexadecimal, under one of the secrets."""
    made = (hmac.digest(_bytes(s.get_secret_value()), message, digest).hex() for s in secrets)
    return any(_same(_bytes(signature.lower()), one.encode()) for one in made)


def known_by_standard_webhooks(hook: Hook, secrets: Sequence[SecretStr], *, prefix: str = "webhook") -> str:
    """Check a signature as Standard Webhooks (and Svix, with its own *prefix*) have it; the message's id.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

    Raises:
        Forged: it is not signed, by another, or too long ago.
    """
    id_, sent, signatures = (
        hook.headers.get(f"{prefix}-{one}", "") for one in ("id", "timestamp", "signature")
    )
    if not (id_ and sent and signatures):
        raise Forged(f"is not signed: there is no {prefix}-id, {prefix}-timestamp or {prefix}-signature")
    if not re.fullmatch(r"\d{1,12}", sent, re.ASCII):
        raise Forged(f"has a {prefix}-timestamp that is no number of seconds")
    if abs(hook.received_at - datetime.fromtimestamp(int(sent), UTC)) > TOLERANCE:
        raise Forged("was signed more than five minutes ago, or ahead; check the clock of this machine")
    told = [text.removeprefix("v1,") for text in signatures.split(" ") if text.startswith("v1,")]
    message = b".".join((_bytes(id_), sent.encode(), hook.body))
    made = [standard_signature(secret.get_secret_value(), message) for secret in secrets]
    if not any(_same(_bytes(one), known) for one in told for known in made):
        raise Forged("is signed with another secret")
    return id_


def standard_signature(secret: str, message: bytes) -> bytes:
    """The base64 of the HMAC over `id.timestamp.body`; a secret is base64 behind "whsec_"."""
    key = b64decode(secret.removeprefix("whsec_") + "==")
    return binascii.b2a_base64(hmac.digest(key, message, "sha256"), newline=False)


def _is_one_of(value: bytes, secrets: Iterable[SecretStr]) -> bool:
    return any(_same(value, secret.get_secret_value().encode()) for secret in secrets)


def _same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


# --- what it says ---


def json_of(hook: Hook) -> Any:
    """The body as JSON.

    Raises:
        Unreadable: it is none.
    """
    try:
        return orjson.loads(hook.body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"is no JSON: {error}") from None


@contextmanager
def reading() -> Iterator[None]:
    """What lacks a field, or has one of another type, is no event.

    Raises:
        Unreadable: in place of what Python says.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, OSError) as error:
        raise Unreadable(f"is no event of theirs: {type(error).__name__}: {error}") from error


def objects(told: Any) -> list[Mapping[str, Any]]:
    """Events that come one by one, or several in a list."""
    found = told if isinstance(told, list) else [told]
    if not all(isinstance(one, dict) for one in found):
        raise Unreadable("is neither an event nor a list of events")
    return found


def raw_of(told: Mapping[str, Any]) -> bytes:
    """One event of several, by itself."""
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def id_of(*parts: object) -> str:
    """What tells one event from every other, where its vendor gives none: a hash of what it says."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()[:40]


def text_of(value: Any, *, most: int = 500) -> str:
    """A field that should be text, without what no database takes, and not without end."""
    return (
        ""
        if value is None
        else re.sub(r"[\x00\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", str(value))[:most]
    )


def moment(value: Any) -> datetime:
    """A time as vendors write them: seconds or milliseconds since 1970, ISO 8601, aware or in UTC.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, int | float) or re.fullmatch(r"\d+(\.\d+)?", str(value), re.ASCII):
        seconds = float(value)
        # In seconds the year 5138; in milliseconds 1973.
        return datetime.fromtimestamp(seconds / 1000 if seconds > 99_999_999_999 else seconds, UTC)
    found = datetime.fromisoformat(str(value).strip())
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@lru_cache(maxsize=4096)
def hand(user_agent: str) -> Hand:
    """Whose open or click it was, as far as the name of the program tells.

    Pictures that a mail service fetches for its users, or before they look, tell nothing of the reader.
    """
    if not user_agent:
        return "unknown"
    if crawleruseragents.is_crawler(user_agent) or _MACHINES.search(user_agent):
        return "bot"
    return "unknown" if _PROXIES.search(user_agent) or user_agent == "Mozilla/5.0" else "human"


# Apple's privacy proxy calls itself just "Mozilla/5.0" (seen 2026-11-23 in vendors' own lists).
_PROXIES = re.compile(r"GoogleImageProxy|YahooMailProxy|ImageProxy", re.IGNORECASE)
_MACHINES = re.compile(
    r"barracuda|proofpoint|mimecast|symantec|microsoft.*preview|python|curl/|wget|headless", re.I
)
