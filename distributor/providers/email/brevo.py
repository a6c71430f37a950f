"""Brevo: https://developers.brevo.com/reference/sendtransacemail"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, SendError, SomeRefused, Unclear
from distributor.model import (
    Answer,
    Batch,
    BounceClass,
    Digest,
    Email,
    Event,
    EventType,
    RejectReason,
)
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address, list_headers, one_line
from distributor.providers.email.readers import blanks, contact, marks, values
from distributor.providers.protocol import EmailLimits, Hook, Media
from distributor.slots import translate

BASE_URL = "https://api.brevo.com"

# What `code` means (the vendor's description of its API, errorModel, 2024-11-25).
ACCOUNT = frozenset({"unauthorized", "permission_denied", "not_enough_credits", "account_under_validation"})
USED = frozenset({"duplicate_parameter", "duplicate_request"})  # the request key came before

# Brevo escapes values for HTML by itself, in text too; autoescape turns that off
# (https://help.brevo.com/hc/en-us/articles/360018252080, read 2026-11-23).
RAW = "{%% autoescape off %%}{{ params.%s }}{%% endautoescape %%}"

# An article's own "{{", "{%" or "{#" is no template: its first brace comes back as a value. Brevo's
# "verbatim" would end at an article's own "endverbatim".
BRACE = "{{ params.brace }}"
OPENS = re.compile(r"\{(?=[{%#]|\Z)")

LONGEST_NAME = 70  # characters


@dataclass(frozen=True, slots=True)
class Brevo:
    """Content travels once; each reader is a version of it with values and headers of their own."""

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None

    # 2000 versions fit, but all values together stay below 1000 kB: with 250, 4 kB a reader. The key is kept
    # for 30 minutes (https://developers.brevo.com/docs/heterogenous-versions-batch-emails, read 2026-11-23).
    # The rate is the vendor's for this call. How soon the events show a message is not published: fifteen
    # minutes are a judgement.
    limits = EmailLimits(
        recipients_per_call=250,
        repeatable_for=timedelta(minutes=25),
        calls_per_second=1000,
        found_after=timedelta(minutes=15),
    )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URL
        headers = {"Accept": "application/json", "api-key": self.settings.key.get_secret_value()}
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """Brevo, while there are connections to it."""

    _http: httpx.AsyncClient

    async def probe(self) -> None:
        """Whether the key opens the account: https://developers.brevo.com/reference/getaccount"""
        await http.get(self._http, "/v3/account", judge=judge)

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        told = payload(batch, digest, emails, sender)
        answer = await http.post(self._http, "/v3/smtp/email", told, judge=judge)
        return replace(receipts(http.body(answer), emails), pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """Brevo's events have the tag of the call and each reader's address."""
        http.called_at(batch, kept=KEPT)
        asked = {"event": "requests", "tags": batch.key, "days": "30", "limit": str(MOST_EVENTS)}
        return found(await http.get(self._http, "/v3/smtp/statistics/events", asked), batch, emails)


def payload(batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender) -> dict[str, Any]:
    content = {
        "subject": literal(digest.subject),
        "htmlContent": translate(digest.html, marks("html", mark), literal),
        "textContent": translate(digest.text, marks("text", mark), literal),
    }
    open_ = blanks(digest, variable)
    common = {"brace": "{"} if any(BRACE in part for part in content.values()) else {}
    return {
        "sender": person(*mailbox(sender.from_)),
        **({"replyTo": person(*mailbox(sender.reply_to))} if sender.reply_to else {}),
        **content,
        "headers": {"idempotencyKey": batch.key},
        "tags": [batch.key],
        "messageVersions": [
            {
                "to": [person(email.name, email.address)],
                "params": common | values(email, open_),
                "headers": {**list_headers(sender, email), "X-Mailin-custom": email.key},
            }
            for email in emails
        ],
    }


def variable(part: str, slot: str) -> str:
    return f"{part}_{slot}"


def mark(part: str, slot: str) -> str:
    return RAW % variable(part, slot)


def literal(text: str) -> str:
    return OPENS.sub(BRACE, text)


def person(name: str, address: str) -> dict[str, str]:
    """Of a name that has special characters and others than ASCII Brevo sends nothing at all.

    Seen by django-anymail (backends/brevo.py): the special ones are left out.
    """
    if not name.isascii():
        name = re.sub(r'[()<>@,;:\\".\[\]]+', " ", name)
    return contact(one_line(name)[:LONGEST_NAME].strip(), ascii_address(address))


def receipts(body: Any, emails: Sequence[Email]) -> Answer:
    """The ids of the versions in their order, or one for a call of one."""
    with http.reading(body):
        ids = body["messageIds"] if "messageIds" in body else [body["messageId"]]
        return Answer(receipts={email.recipient: given for email, given in zip(emails, ids, strict=True)})


# Events of 30 days are shown, and this many at once: a call has a tenth of them
# (https://developers.brevo.com/reference/get-email-event-report, read 2026-11-23).
KEPT = timedelta(days=29)
MOST_EVENTS = 2500


def found(body: Any, batch: Batch, emails: Sequence[Email]) -> dict[int, str]:
    """Only events with our tag count: an older edition's say nothing of this one."""
    with http.reading(body):
        told = body.get("events") or ()
        ours = [event for event in told if batch.key in str(event.get("tag"))]
        seen = {event["email"].lower(): event["messageId"] for event in ours}
    if len(told) >= MOST_EVENTS:
        raise Unclear(f"Brevo has {MOST_EVENTS} events and more of one call")
    asked = {email.recipient: ascii_address(email.address).lower() for email in emails}
    as_written = {email.recipient: email.address.lower() for email in emails}
    return {
        recipient: seen[form]
        for recipient in asked
        for form in (asked[recipient], as_written[recipient])
        if form in seen
    }


def judge(answer: httpx.Response) -> SendError | None:
    """Brevo's own codes; whoever is not accepted, the call is taken whole or not at all."""
    code, message = _told(answer)
    if code in USED:  # by a call that was taken, or failed later on: the events will tell
        return Unclear(f"the request key was used before: {http.said(answer)}")
    if code in ACCOUNT or (code == "invalid_parameter" and "sender" in message):
        return AccountTrouble(http.said(answer))
    if code == "invalid_parameter" and "email" in message:  # "email is not valid in to", and not whose
        return SomeRefused(http.said(answer))
    return None


def _told(answer: httpx.Response) -> tuple[str, str]:
    if not 400 <= answer.status_code < 500:
        return "", ""
    try:
        body = orjson.loads(answer.content)
        return str(body["code"]), str(body.get("message", "")).lower()
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return "", ""


# --- what it reports: https://developers.brevo.com/docs/transactional-webhooks (read 2026-11-29) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

EVENTS: Mapping[str, Kind] = {  # event -> ours
    "request": (EventType.QUEUED, None, None),  # of those that are blocked afterwards, too
    "delivered": (EventType.DELIVERED, None, None),
    "deferred": (EventType.DEFERRED, "soft", None),
    "hard_bounce": (EventType.BOUNCED, "hard", RejectReason.BOUNCED),
    "soft_bounce": (EventType.BOUNCED, "soft", RejectReason.BOUNCED),
    "invalid_email": (EventType.BOUNCED, "hard", RejectReason.INVALID),
    "blocked": (EventType.REJECTED, None, RejectReason.BLOCKED),  # for what, or by whose hand, is not told
    "error": (EventType.FAILED, None, RejectReason.OTHER),
    "spam": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "complaint": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "unsubscribed": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "unsubscribe": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),  # as its own example spells it
    "opened": (EventType.OPENED, None, None),
    "unique_opened": (EventType.OPENED, None, None),
    "proxy_open": (EventType.OPENED, None, None),
    "unique_proxy_open": (EventType.OPENED, None, None),
    "click": (EventType.CLICKED, None, None),
}
BY_PROXY = frozenset({"proxy_open", "unique_proxy_open"})  # a mail service fetched the pictures

# What tells one event from another: there is no id of an event, and "id" is the webhook's. Of the times,
# `date` has the zone of the account, and so had `ts` and `ts_event` where others looked (django-anymail).
APART = ("event", "message-id", "email", "ts_epoch", "ts_event", "ts", "link", "reason")


@dataclass(frozen=True, slots=True)
class BrevoWebhook:
    """Signs nothing: a name and password stand in the address, or a token comes in a header.

    https://developers.brevo.com/docs/username-and-password-authentication (read 2026-11-29). Events come one
    by one, or as a list of up to 500.
    """

    settings: Provider
    stops_with = 400

    async def events(self, hook: Hook) -> Sequence[Event]:
        hooks.known_by_password_or_token(hook, self.settings.webhook)
        return hooks.each(hook, event_of)


def event_of(told: Mapping[str, Any], received_at: datetime) -> Event:
    said = hooks.text_of(told["event"])
    type_, class_, why = EVENTS.get(said, (EventType.UNKNOWN, None, None))
    agent = hooks.text_of(told.get("user_agent"))
    looked = type_ in (EventType.OPENED, EventType.CLICKED)
    return Event(
        type=type_,
        id=hooks.id_of(*(hooks.text_of(told.get(name)) for name in APART)),
        occurred_at=hooks.when(told.get("ts_epoch") or told.get("ts_event"), received_at),
        said=said,
        address=hooks.text_of(told.get("email")),
        key=hooks.text_of(told.get("X-Mailin-custom")),
        message_id=hooks.text_of(told.get("message-id")),
        reject_reason=why,
        bounce_class=class_,
        description=hooks.text_of(told.get("reason")),
        link=hooks.text_of(told.get("link"), most=2000),
        user_agent=agent,
        by=("unknown" if said in BY_PROXY else hooks.hand(agent)) if looked else None,
        raw=hooks.raw_of(told),
    )
