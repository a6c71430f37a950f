"""Mailjet: https://dev.mailjet.com/email/guides/send-api-v31/"""

from __future__ import annotations

import re
from base64 import b64encode
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
from distributor.providers.email.mime import Sender, ascii_address, one_click_headers
from distributor.providers.protocol import EmailLimits, Hook, Media
from distributor.providers.reasons import reason
from distributor.slots import split

BASE_URL = "https://api.mailjet.com"

# Error codes for a person (table "Send API errors" of the page above, read 2026-11-23): the key suspended,
# no credentials, and a sender that is not validated. All others there have a StatusCode of 400: final.
ACCOUNT = frozenset({"mj-0001", "mj-0015", "send-0006", "send-0007", "send-0008"})
TOO_MUCH = frozenset({"mj-0008", "mj-0011"})  # messages or bytes: half of it may fit


@dataclass(frozen=True, slots=True)
class Mailjet:
    """Each message is complete: without its template language an article's own "{{x}}" is only text."""

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None

    # 50 messages a call (mj-0008). How soon the look-up shows a message is not published: ten minutes are a
    # judgement.
    limits = EmailLimits(recipients_per_call=50, found_after=timedelta(minutes=10))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URL
        auth = (self.settings.key.get_secret_value(), self.settings.secret.get_secret_value())
        async with http.client(base_url, auth=auth, transport=self.transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """Mailjet, while there are connections to it."""

    _http: httpx.AsyncClient

    async def probe(self) -> None:
        """Whether the key opens the account: https://dev.mailjet.com/email/reference/sender-addresses-and-domains/sender/"""
        await http.get(self._http, "/v3/REST/sender", {"Limit": "1"})

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        told = {"Messages": payload(batch, digest, emails, sender, media)}
        answer = await http.post(self._http, "/v3.1/send", told, judge=judge, telling=is_one_by_one)
        return replace(results(http.body(answer), emails), pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """One request for each reader, one after another; a call has at most 50."""
        http.called_at(batch, kept=KEPT)
        shown: dict[int, str] = {}
        for email in emails:
            asked = {"CustomID": email.key, "ShowCustomID": "true", "Limit": "1"}
            if given := found(await http.get(self._http, "/v3/REST/message", asked), email):
                shown[email.recipient] = given
        return shown


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> list[dict[str, Any]]:
    """List-Id is among the headers that Mailjet forbids.

    A message whose recipient has one of the same campaign already is blocked ("duplicate in campaign"):
    nobody has the same content twice, even when the look-up was too early. That is no leave to repeat a call:
    Mailjet does not say how long it remembers, nor what two calls at once do.
    """
    html, text = split(digest.html).in_json(), split(digest.text).in_json()
    same: dict[str, Any] = {
        "From": person(sender.from_),
        "Subject": digest.subject,
        "CustomCampaign": campaign(batch, sender),
        "DeduplicateCampaign": True,
    }
    if sender.reply_to:
        same["ReplyTo"] = person(sender.reply_to)
    if digest.pictures:
        same["InlinedAttachments"] = attachments(digest, media)
    return [
        {
            **same,
            "To": [{"Email": ascii_address(email.address)}],
            "HTMLPart": html.fill(email.slots),
            "TextPart": text.fill(email.slots, escape=False),
            "Headers": one_click_headers(email),
            "CustomID": email.key,
        }
        for email in emails
    ]


def campaign(batch: Batch, sender: Sender) -> str:
    """What Mailjet's statistics call the edition; letters, digits, spaces, "-" and "_" are allowed there."""
    label = re.sub(r"[^A-Za-z0-9 _-]+", "-", sender.list_label)
    return f"{label} {batch.campaign} {batch.rendition[:16]}"


def person(text: str) -> dict[str, str]:
    name, address = mailbox(text)
    return {"Email": address} | ({"Name": name} if name else {})


def attachments(digest: Digest, media: Media) -> list[dict[str, str]]:
    return [
        {
            "ContentType": picture.media_type,
            "Filename": picture.name,
            "ContentID": picture.hash,
            "Base64Content": b64encode(media(picture)).decode(),
        }
        for picture in digest.pictures
    ]


def results(body: Any, emails: Sequence[Email]) -> Answer:
    """What each message came to, in the order of the request.

    Raises:
        AccountTrouble: all of them wait for a person.
        Unclear: the answer has another form.
    """
    receipts, kinds = {}, {}
    with http.reading(body):
        for email, told in zip(emails, body["Messages"], strict=True):
            if told["Status"] == "success":
                receipts[email.recipient] = str(told["To"][0]["MessageID"])
            else:
                kinds[email.recipient] = kind(told.get("Errors") or ())
    if kinds and not receipts and all(one == "account" for one, _ in kinds.values()):
        raise AccountTrouble(next(iter(kinds.values()))[1])
    return Answer(
        receipts=receipts,
        refused={recipient: said for recipient, (one, said) in kinds.items() if one == "final"},
        later={recipient: said for recipient, (one, said) in kinds.items() if one in ("account", "later")},
        unclear={recipient: said for recipient, (one, said) in kinds.items() if one == "unclear"},
    )


def kind(errors: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """What a message's errors ask for, and what they say; 4xx is definite, what has no such code is not."""
    codes = {error.get("ErrorCode") for error in errors}
    statuses = {int(error.get("StatusCode") or 0) for error in errors}
    said = "; ".join(f"{one.get('ErrorCode')}: {one.get('ErrorMessage')}" for one in errors)
    said = reason(said) or "an error without a reason"
    if codes & ACCOUNT or statuses & {401, 403}:
        return "account", said
    if 429 in statuses:
        return "later", said
    definite = bool(statuses) and all(400 <= status < 500 for status in statuses)
    return ("final" if definite else "unclear"), said


# For how long a message can be looked up is not published; a week is a judgement.
KEPT = timedelta(days=7)


def found(body: Any, email: Email) -> str | None:
    """The id of the message; of a duplicate that was blocked, the first is found as well."""
    with http.reading(body):
        rows = body["Data"]
        if rows and (rows[0].get("CustomID") or email.key) != email.key:
            raise Unclear("Mailjet shows a message that it was not asked for")
        return str(rows[0]["ID"]) if rows else None


def is_one_by_one(answer: httpx.Response) -> bool:
    """In a 400 with messages the good ones are accepted, and each message has its own outcome."""
    return isinstance(_told(answer).get("Messages"), list)


def judge(answer: httpx.Response) -> SendError | None:
    """A failure without messages is about the whole call."""
    code = _told(answer).get("ErrorCode")
    if code in ACCOUNT:
        return AccountTrouble(http.said(answer))
    return SomeRefused(http.said(answer)) if code in TOO_MUCH else None


def _told(answer: httpx.Response) -> dict[str, Any]:
    """What a 4xx says; nothing, if it is of another form."""
    if not 400 <= answer.status_code < 500:
        return {}
    try:
        told = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


# --- what it reports: https://dev.mailjet.com/email/guides/webhooks/ (read 2026-11-29) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

EVENTS: Mapping[str, Kind] = {  # event -> ours
    "sent": (EventType.DELIVERED, None, None),  # the receiving server took it
    "open": (EventType.OPENED, None, None),
    "click": (EventType.CLICKED, None, None),
    "bounce": (EventType.BOUNCED, "soft", RejectReason.OTHER),  # see kind_of
    "blocked": (EventType.REJECTED, None, RejectReason.OTHER),  # see kind_of
    "spam": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "unsub": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
}
REASONS: Mapping[str, RejectReason] = {  # error of a bounce or a block -> ours
    "user unknown": RejectReason.BOUNCED,
    "mailbox inactive": RejectReason.BOUNCED,
    "quota exceeded": RejectReason.BOUNCED,
    "invalid domain": RejectReason.INVALID,
    "no mail host": RejectReason.INVALID,
    "typofix": RejectReason.INVALID,
    "relay/access denied": RejectReason.BLOCKED,
    "sender blocked": RejectReason.BLOCKED,
    "policy issue": RejectReason.BLOCKED,
    "preblocked": RejectReason.BLOCKED,
    "blacklisted": RejectReason.BLOCKED,
    "content blocked": RejectReason.SPAM,
    "spam reporter": RejectReason.SPAM,
    "connection issue": RejectReason.TIMED_OUT,
}
LATER = "greylisted"  # Mailjet tries again
# Of a reader's second copy, which has the key of the first: it says that the first was accepted.
DUPLICATE = "duplicate in campaign"
APART = ("event", "MessageID", "email", "time", "url", "error", "mj_list_id")  # no event has an id


@dataclass(frozen=True, slots=True)
class MailjetWebhook:
    """Signs nothing: a name and password stand in the address. Events come grouped, or one by one.

    Whatever is not answered 200 comes again for 24 hours.
    """

    settings: Provider
    stops_with = 400

    async def events(self, hook: Hook) -> Sequence[Event]:
        hooks.known_by_password(hook, self.settings.webhook)
        return hooks.each(hook, event_of)


def event_of(told: Mapping[str, Any], received_at: datetime) -> Event:
    said, error = hooks.text_of(told["event"]), hooks.text_of(told.get("error"))
    type_, class_, why = kind_of(said, error, told)
    agent = hooks.text_of(told.get("agent"))
    related = hooks.text_of(told.get("error_related_to"))
    return Event(
        type=type_,
        id=hooks.id_of(*(hooks.text_of(told.get(name), most=2000) for name in APART)),
        occurred_at=hooks.when(told.get("time"), received_at),
        said=" ".join(filter(None, (said, error))),
        address=hooks.text_of(told.get("email")),
        key=hooks.text_of(told.get("CustomID")),
        message_id=hooks.text_of(told.get("MessageID")),
        reject_reason=why,
        bounce_class=class_,
        description=hooks.text_of(told.get("comment") or told.get("smtp_reply")) or related,
        link=hooks.text_of(told.get("url"), most=2000),
        user_agent=agent,
        by=hooks.hand(agent) if type_ in (EventType.OPENED, EventType.CLICKED) else None,
        raw=hooks.raw_of(told),
    )


def kind_of(said: str, error: str, told: Mapping[str, Any]) -> Kind:
    type_, class_, why = EVENTS.get(said, (EventType.UNKNOWN, None, None))
    if said not in ("bounce", "blocked"):
        return (type_, class_, why)
    is_hard = told.get("hard_bounce") is True
    if error == DUPLICATE:
        return (EventType.UNKNOWN, None, None)
    if error == LATER and not is_hard:
        return (EventType.DEFERRED, "soft", None)
    class_ = "hard" if is_hard and said == "bounce" else class_
    return (type_, class_, REASONS.get(error, RejectReason.OTHER))
