"""SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import httpx
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from distributor.config import Provider, mailbox
from distributor.errors import (
    AccountTrouble,
    ConfigError,
    Forged,
    Problem,
    Refused,
    SendError,
    SomeRefused,
    Unclear,
)
from distributor.model import (
    Answer,
    Batch,
    BounceClass,
    Digest,
    Email,
    Event,
    EventType,
    Hand,
    Picture,
    RejectReason,
)
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address, list_headers, one_line
from distributor.providers.email.readers import Blank, all_but, blanks, contact, marks, once_each, values
from distributor.providers.protocol import EmailLimits, Hook, Media
from distributor.slots import translate

BASE_URLS = {"": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}  # by region


@dataclass(frozen=True, slots=True)
class SendGrid:
    """One digest a call, filled in by SendGrid from each reader's `substitutions`.

    It has no idempotency key, and no `find`: its Email Activity API is an extra that most accounts lack.
    """

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None

    limits = EmailLimits(recipients_per_call=1000)  # how often mail/send may be called is not published

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URLS[self.settings.region]
        headers = {"Authorization": f"Bearer {self.settings.key.get_secret_value()}"}
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """SendGrid, while there are connections to it."""

    _http: httpx.AsyncClient

    async def probe(self) -> None:
        """Whether the key opens the account: https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions"""
        await http.get(self._http, "/v3/scopes")

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        asked, twice = once_each(emails)
        told = payload(batch, digest, asked, sender, media)
        answer = await http.post(
            self._http, "/v3/mail/send", told, judge=judge, telling=lambda answer: bool(places(answer))
        )
        if not answer.is_success:
            spoilt = all_but(places(answer), asked)
            return replace(spoilt, later={**spoilt.later, **twice})
        receipt = answer.headers.get("x-message-id")  # an event's sg_message_id begins with it
        return Answer(receipt=receipt, later=twice, pause=http.pause(answer))


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> dict[str, Any]:
    tag = _tags(batch)
    open_ = blanks(digest, tag)
    told: dict[str, Any] = {
        "personalizations": [_personalization(email, open_, sender) for email in emails],
        "from": contact(*mailbox(sender.from_)),
        "subject": digest.subject,
        "content": [  # plain text has to come first
            {"type": "text/plain", "value": translate(digest.text, marks("text", tag))},
            {"type": "text/html", "value": translate(digest.html, marks("html", tag))},
        ],
        # Left on in the account, it adds an unsubscribe link and List-Unsubscribe of SendGrid's own, and
        # reads `<% %>` in an article as the place for it.
        "tracking_settings": {"subscription_tracking": {"enable": False}},
    }
    if sender.reply_to:
        told["reply_to"] = contact(*mailbox(sender.reply_to))
    if digest.pictures:
        told["attachments"] = [_attachment(picture, media) for picture in digest.pictures]
    return told


def _tags(batch: Batch) -> Callable[[str, str], str]:
    """How SendGrid is told each slot of the content: words that no article can contain.

    It replaces them wherever they stand, and knows no escape.
    """
    mark = batch.key.replace("-", "")[-12:]
    return lambda part, slot: f"-{mark}.{part}.{slot}-"


def _personalization(email: Email, open_: Sequence[Blank], sender: Sender) -> dict[str, Any]:
    return {
        "to": [contact(one_line(_UNFIT.sub(" ", email.name)), ascii_address(email.address))],
        "headers": list_headers(sender, email),
        "substitutions": values(email, open_),
        "custom_args": {"delivery": email.key},  # every event has it
    }


# In the names of recipients commas and semicolons are not quoted (sendgrid/sendgrid-python #291).
_UNFIT = re.compile("[,;]")


def _attachment(picture: Picture, media: Media) -> dict[str, str]:
    return {
        "content": b64encode(media(picture)).decode(),
        "type": picture.media_type,
        "filename": picture.name,
        "disposition": "inline",
        "content_id": picture.hash,
    }


def judge(answer: httpx.Response) -> SendError | None:
    """SendGrid's own answers; the others (401, 403, 413, 429, 5xx) mean what they usually do.

    401 is also "Maximum credits exceeded", and 403 a sender who is not verified: both wait for a person.
    https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors (read 2026-11)
    """
    reason = http.said(answer)
    if answer.is_success and answer.status_code != 202:  # accepted is 202; 200 is said by its sandbox
        return Unclear(f"an answer of another form: {reason}")
    return _bad_request(_errors(answer), reason) if answer.status_code == 400 else None


def _bad_request(errors: Sequence[tuple[str, str]], reason: str) -> SendError:
    if any(field.startswith("from") or "verified Sender" in message for field, message in errors):
        return AccountTrouble(reason)
    about_readers = errors and all(_ABOUT_READERS.fullmatch(field) for field, _ in errors)
    return SomeRefused(reason) if about_readers else Refused(reason)


def places(answer: httpx.Response) -> dict[int, str]:
    """The places of the readers for whose sake a 400 refuses all; none, if anything else is wrong."""
    errors = _errors(answer) if answer.status_code == 400 else []
    found = [_ABOUT_ONE.match(field) for field, _ in errors]
    if not all(found):
        return {}
    return {int(one[1]): said for one, (_, said) in zip(found, errors, strict=True) if one}


# `personalizations.3.to.0.email` and `….substitutions` (too large) are a reader's own; the same address twice
# is told of `personalizations.3` or of all. What is wrong with `….headers` is wrong with everybody's.
_ABOUT_READERS = re.compile(r"personalizations(\.\d+(\.(to|substitutions)\b.*)?)?")
_ABOUT_ONE = re.compile(r"personalizations\.(\d+)\.(?:to|substitutions)\b")


def _errors(answer: httpx.Response) -> list[tuple[str, str]]:
    """Field and message of each error: `{"errors": [{"message": …, "field": …, "help": …}]}`."""
    try:
        told = orjson.loads(answer.content)["errors"]
        return [(str(error.get("field") or ""), str(error["message"])) for error in told]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


# --- what it reports: twilio.com/docs/sendgrid/for-developers/tracking-events/event (read 2026-11-23) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

EVENTS: Mapping[str, Kind] = {  # event -> ours
    "processed": (EventType.QUEUED, None, None),
    "deferred": (EventType.DEFERRED, "soft", None),
    "delivered": (EventType.DELIVERED, None, None),
    "bounce": (EventType.BOUNCED, "hard", RejectReason.BOUNCED),  # see BOUNCES
    "dropped": (EventType.REJECTED, None, RejectReason.OTHER),  # see DROPS
    "open": (EventType.OPENED, None, None),
    "click": (EventType.CLICKED, None, None),
    "spamreport": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "unsubscribe": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "group_unsubscribe": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "group_resubscribe": (EventType.SUBSCRIBED, None, None),
}
BOUNCES: Mapping[str, tuple[BounceClass, RejectReason]] = {  # type of a bounce -> ours
    "bounce": ("hard", RejectReason.BOUNCED),
    "blocked": ("soft", RejectReason.BLOCKED),
    "expired": ("soft", RejectReason.TIMED_OUT),  # it had tried for 72 hours
}  # any other is a soft one: an address is silenced only on a word that we know
DROPS: Mapping[str, tuple[BounceClass | None, RejectReason]] = {  # reason of a drop, in lower case -> ours
    "bounced address": ("hard", RejectReason.BOUNCED),
    "invalid": ("hard", RejectReason.INVALID),
    "spam reporting address": (None, RejectReason.SPAM),
    "unsubscribed address": (None, RejectReason.UNSUBSCRIBED),
    "spam content": (None, RejectReason.SPAM),
}  # any other is our own error: a header, a quota

# Nothing published says that a request which is sent again is signed anew, and it is sent again for 24 hours.
WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SendGridWebhook:
    """Signs the time and the body with a key of its own; its public half is configured.

    https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    (read 2026-11-23): ECDSA on P-256 with SHA-256, in base64.

    Raises:
        ConfigError: the configured key is none.
    """

    settings: Provider
    stops_with = 400

    def __post_init__(self) -> None:
        for key in self.settings.webhook.public_key:
            public_key(key)

    async def events(self, hook: Hook) -> Sequence[Event]:
        known_by_signature(hook, self.settings.webhook.public_key)
        return hooks.each(hook, event_of)


@lru_cache(maxsize=16)
def public_key(text: str) -> ec.EllipticCurvePublicKey:
    """The key as SendGrid shows it, in base64; with or without the frame of PEM."""
    try:
        found = load_der_public_key(b64decode(re.sub(r"-----[A-Z ]+-----|\s", "", text), validate=True))
        if isinstance(found, ec.EllipticCurvePublicKey):
            return found
        reason = "is a key, but not for ECDSA"
    except ValueError as error:
        reason = f"is no public key: {error}"
    remedy = "copy it from Settings > Mail Settings > Event Webhooks > Signature verification"
    raise ConfigError([Problem(path="[providers.….webhook] public_key", reason=reason, remedy=remedy)])


def known_by_signature(hook: Hook, keys: Sequence[str]) -> None:
    sent = hook.headers.get("x-twilio-email-event-webhook-timestamp", "")
    signature = hook.headers.get("x-twilio-email-event-webhook-signature", "")
    if not (sent and signature):
        raise Forged("is not signed: switch on Signature verification for the webhook at SendGrid")
    if not re.fullmatch(r"\d{1,12}", sent, re.ASCII):
        raise Forged("has a timestamp that is no number of seconds")
    if abs(hook.received_at.timestamp() - int(sent)) > WINDOW.total_seconds():
        raise Forged("was signed more than a day ago, or ahead; check the clock of this machine")
    try:
        made = b64decode(signature, validate=True)
    except ValueError:  # no base64, or not even ASCII
        raise Forged("has a signature that cannot be read") from None
    if not any(_is_of(public_key(key), made, sent.encode() + hook.body) for key in keys):
        raise Forged("is signed with another key than [providers.….webhook] public_key")


def _is_of(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def event_of(told: Mapping[str, Any], received_at: datetime) -> Event:
    said = hooks.text_of(told["event"])
    type_, class_, why = kind_of(said, told)
    agent, raw = hooks.text_of(told.get("useragent")), hooks.raw_of(told)
    return Event(
        type=type_,
        id=hooks.own_id(told.get("sg_event_id")) or hooks.id_of(raw),  # a drop was seen without
        occurred_at=hooks.when(told.get("timestamp"), received_at),
        said=said,
        address=hooks.text_of(told.get("email")),
        key=hooks.text_of(told.get("delivery")),  # custom_args stand among its own fields
        message_id=hooks.text_of(told.get("sg_message_id")).partition(".")[0],  # as mail/send answered
        reject_reason=why,
        bounce_class=class_,
        description=hooks.text_of(told.get("reason") or told.get("response")),
        link=hooks.text_of(told.get("url"), most=2000),
        user_agent=agent,
        by=_hand(told, agent) if type_ in (EventType.OPENED, EventType.CLICKED) else None,
        raw=raw,
    )


def kind_of(said: str, told: Mapping[str, Any]) -> Kind:
    type_, class_, why = EVENTS.get(said, (EventType.UNKNOWN, None, None))
    if said == "bounce":
        type_name = hooks.text_of(told.get("type"))
        return (type_, *BOUNCES.get(type_name, ("soft", RejectReason.OTHER)))
    if said == "dropped":
        reason = hooks.text_of(told.get("reason")).lower()
        return (type_, *DROPS.get(reason, (None, RejectReason.OTHER)))
    return (type_, class_, why)


def _hand(told: Mapping[str, Any], agent: str) -> Hand:
    return "bot" if told.get("sg_machine_open") is True else hooks.hand(agent)
