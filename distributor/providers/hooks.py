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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import crawleruseragents
import orjson
from pydantic import SecretStr

from distributor.config import WebhookSettings
from distributor.errors import Forged, Unreadable
from distributor.model import Event, EventType, Hand
from distributor.providers.protocol import Hook

# Of a request. A body of 5 MB has room for fewer that say anything; of empty ones it would have a million,
# and nobody else would be answered for a minute.
MOST_EVENTS = 20_000
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
    except ValueError:  # no base64, or not even ASCII
        raise Forged("has a name and password that cannot be read") from None
    # Both are compared, whatever the first came to: how long it takes shall not tell which was wrong.
    is_name = not settings.username or any(_same(name, known.encode()) for known in settings.username)
    if not (_is_one_of(password, settings.password) and is_name):
        raise Forged("has another name or password than [providers.….webhook]")


def known_by_token(hook: Hook, settings: WebhookSettings) -> None:
    """HTTP Bearer with one of the configured tokens.

    Raises:
        Forged: it has another, or none.
    """
    known_by_token_of(hook, settings.token)


def known_by_token_of(hook: Hook, tokens: Iterable[SecretStr]) -> None:
    """HTTP Bearer (RFC 6750) with one of *tokens*.

    Raises:
        Forged: it has another, or none.
    """
    scheme, _, token = hook.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _is_one_of(_bytes(token.strip()), tokens):
        raise Forged("has no header `Authorization: Bearer …`, or another token than is configured here")


def known_by_password_or_token(hook: Hook, settings: WebhookSettings) -> None:
    """HTTP Bearer or Basic, whichever the request brings; each only where it is configured.

    Raises:
        Forged: it has another, or none.
    """
    if hook.headers.get("authorization", "").lower().startswith("bearer "):
        known_by_token(hook, settings)
    else:
        known_by_password(hook, settings)


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
    if abs(hook.received_at.timestamp() - int(sent)) > TOLERANCE.total_seconds():
        raise Forged("was signed more than five minutes ago, or ahead; check the clock of this machine")
    told = [text.removeprefix("v1,") for text in signatures.split(" ") if text.startswith("v1,")]
    message = b".".join((_bytes(id_), sent.encode(), hook.body))
    made = [_signed_with(secret, message) for secret in secrets]
    if not any(_same(_bytes(one), known) for one in told for known in made if known):
        raise Forged("is signed with another secret")
    return id_


def _signed_with(secret: SecretStr, message: bytes) -> bytes:
    try:
        return standard_signature(secret.get_secret_value(), message)
    except binascii.Error:  # a token of one's own making: nobody can sign with it
        return b""


def standard_signature(secret: str, message: bytes) -> bytes:
    """The base64 of the HMAC over `id.timestamp.body`; a secret is base64 behind "whsec_".

    Raises:
        binascii.Error: it is not.
    """
    key = b64decode(secret.removeprefix("whsec_") + "==")
    return binascii.b2a_base64(hmac.digest(key, message, "sha256"), newline=False)


def _is_one_of(value: bytes, secrets: Iterable[SecretStr]) -> bool:
    return any(_same(value, secret.get_secret_value().encode()) for secret in secrets)


def _same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # whatever a header or a body has, it is compared


# --- what it says ---


def json_of(hook: Hook) -> Any:
    """The body as JSON.

    Raises:
        Unreadable: it is none.
    """
    try:
        return orjson.loads(hook.body)
    except orjson.JSONDecodeError as error:
        problem = f"is no JSON: {error}"
    try:
        return orjson.loads(_mended(hook.body))
    except orjson.JSONDecodeError:
        raise Unreadable(problem) from None


def _mended(body: bytes) -> bytes:
    """JSON without broken characters: an answer cut in the middle of a sign is not to lose the rest."""
    text = body.decode(errors="replace")
    return _HALF_A_PAIR.sub(lambda found: "\\ufffd" if found["half"] else found[0], text).encode()


# Escapes that are right come first, so that what is left is half of a pair (RFC 8259, section 8.2).
_HALF_A_PAIR = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def only(hook: Hook) -> Mapping[str, Any]:
    """The one event of a request.

    Raises:
        Unreadable: it has none, or several.
    """
    told = json_of(hook)
    if not isinstance(told, dict):
        raise Unreadable("is no event")
    return told


def each(hook: Hook, read: Callable[[Any, datetime], Event | None]) -> list[Event]:
    """The events of a list; one of them that cannot be read is kept as it is, and takes no other with it.

    Where *read* finds that something tells nothing, it is left out.

    Raises:
        Unreadable: there is no list, too long a one, or nothing in it that could be an event.
    """
    told = json_of(hook)
    if isinstance(told, dict):
        with reading():
            return [event for event in [read(told, hook.received_at)] if event is not None]
    if not isinstance(told, list) or (told and not any(isinstance(one, dict) for one in told)):
        raise Unreadable("is neither an event nor a list of events")
    if len(told) > MOST_EVENTS:
        raise Unreadable(f"has more than {MOST_EVENTS:,} events")
    found = [_read(one, place, hook, read) for place, one in enumerate(told)]
    return [event for event in found if event is not None]


def _read(told: Any, place: int, hook: Hook, read: Callable[[Any, datetime], Event | None]) -> Event | None:
    try:
        with reading():
            return read(told, hook.received_at)
    except Unreadable:
        pass
    try:
        raw = raw_of(told)
    except TypeError:  # nested deeper than it writes
        raw = b""
    id_ = id_of(raw or f"{place} {hashlib.sha256(hook.body).hexdigest()}")
    return Event(type=EventType.UNKNOWN, id=id_, occurred_at=hook.received_at, said="", raw=raw)


@contextmanager
def reading() -> Iterator[None]:
    """What lacks a field, or has one of another type, is no event.

    Raises:
        Unreadable: in place of what Python says.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Unreadable(f"is no event of theirs: {type(error).__name__}: {str(error)[:200]}") from error


def object_of(told: Any) -> Mapping[str, Any]:
    """An object, or an empty one where there is none: vendors write `null` and `[]` for it."""
    return told if isinstance(told, dict) else {}


def objects(told: Any) -> list[Mapping[str, Any]]:
    """Events that come one by one, or several in a list."""
    found = told if isinstance(told, list) else [told]
    if not all(isinstance(one, dict) for one in found):
        raise Unreadable("is neither an event nor a list of events")
    return found


def raw_of(told: Any) -> bytes:
    """One event of several, by itself.

    Raises:
        TypeError: it is nested too deep.
    """
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def id_of(*parts: object) -> str:
    """What tells one event from every other, where its vendor gives none: a hash of what it says."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()[:40]


def own_id(value: Any) -> str:
    """The id that a vendor gives an event, in the form that fits a database; nothing where it gives none."""
    id_ = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return id_ if id_.isprintable() and len(id_) <= 200 else id_of(id_)


def text_of(value: Any, *, most: int = 500) -> str:
    """A field that should be text, without what no database takes, and not without end.

    What is no text and no number is left to `Event.raw`.
    """
    text = str(value) if isinstance(value, str | int | float) else ""
    return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text[:most])


_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def when(value: Any, received_at: datetime) -> datetime:
    """The time that an event tells; that of its coming, where it tells none, or one that cannot be."""
    try:
        told = moment(value)
    except (ValueError, OverflowError, OSError):
        return received_at
    return told if EARLIEST <= told <= received_at + timedelta(days=1) else received_at


EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def moment(value: Any) -> datetime:
    """A time as vendors write them: seconds or milliseconds since 1970, ISO 8601, aware or in UTC.

    Raises:
        ValueError, OverflowError, OSError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{type(value).__name__} is no time")
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
    if not user_agent or user_agent == "Mozilla/5.0" or _PROXIES.search(user_agent):
        return "unknown"  # proxies come first: they are in the list of crawlers, too
    is_machine = crawleruseragents.is_crawler(user_agent) or _MACHINES.search(user_agent)
    return "bot" if is_machine else "human"


# Apple's privacy proxy calls itself just "Mozilla/5.0" (seen 2026-11-23 in vendors' own lists).
_PROXIES = re.compile(r"GoogleImageProxy|YahooMailProxy|ImageProxy", re.IGNORECASE)
_MACHINES = re.compile(
    r"barracuda|proofpoint|mimecast|symantec|microsoft.*preview|python|curl/|wget|headless", re.I
)
