"""Postmark: https://postmarkapp.com/developer/api/email-api#send-batch-emails"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from distributor.config import Provider
from distributor.errors import AccountTrouble, SendError, SomeRefused, TryLater, Unclear
from distributor.model import Answer, Batch, BounceClass, Digest, Email, Event, EventType, RejectReason
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address, list_headers, shown_mailbox
from distributor.providers.protocol import EmailLimits, Hook, Media
from distributor.providers.reasons import reason
from distributor.slots import split

BASE_URL = "https://api.postmarkapp.com"

# What its ErrorCode means (https://postmarkapp.com/developer/api/overview#error-codes, read 2026-11-23).
# These are not HTTP statuses, though some have the same numbers.
ACCOUNT = {
    10: "bad token",
    400: "sender signature not found",
    401: "sender signature not confirmed",
    405: "not allowed to send: no credits",
    412: "account pending approval",
    413: "account may not send",
    1235: "no such message stream",
    1236: "not a message stream for sending",
}
LATER = {100: "maintenance", 429: "rate limit"}
ADDRESS = {300: "invalid email request", 406: "inactive recipient"}
INACTIVE = "will not deliver to these inactive addresses"  # stands in the message of an ErrorCode of 0


@dataclass(frozen=True, slots=True)
class Postmark:
    """Each message is complete. Metadata carries our keys, comes back with every event, and can be searched.

    In a broadcast stream Postmark replaces List-Unsubscribe by its own, unless its support has let the
    account manage unsubscribes itself
    (https://postmarkapp.com/support/article/1299-how-to-include-a-list-unsubscribe-header, read 2026-11-23).
    """

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None

    # It takes 500 messages and 50 MB; with 100 of some 60 kB the request stays near 5 MB. There is no request
    # key: a call again is a mail again. How soon the search shows a message is not published: ten minutes are
    # a judgement.
    limits = EmailLimits(recipients_per_call=100, found_after=timedelta(minutes=10))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URL
        headers = {
            "Accept": "application/json",
            "X-Postmark-Server-Token": self.settings.key.get_secret_value(),
        }
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened, self.settings.stream)


@dataclass(frozen=True, slots=True)
class Calls:
    """Postmark, while there are connections to it."""

    _http: httpx.AsyncClient
    _stream: str

    async def probe(self) -> None:
        """Whether the key opens the account: https://postmarkapp.com/developer/api/server-api"""
        await http.get(self._http, "/server")

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        told = payload(batch, digest, emails, sender, media, stream=self._stream)
        answer = await http.post(self._http, "/email/batch", told, judge=judge)
        return replace(results(http.body(answer), emails), pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """One page has 500 messages, five times what a call carries.

        https://postmarkapp.com/support/article/1125-custom-metadata-faq (read 2026-11-23): one metadata field
        at a time. Without a stream only the transactional one is searched.
        """
        http.called_at(batch, kept=KEPT)
        asked = {"count": "500", "offset": "0", "messagestream": self._stream, "metadata_batch": batch.key}
        return found(await http.get(self._http, "/messages/outbound", asked, judge=judge), emails)


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media, *, stream: str
) -> list[dict[str, Any]]:
    html, text = split(digest.html).in_json(), split(digest.text).in_json()
    same: dict[str, Any] = {
        "From": shown_mailbox(sender.from_),
        "Subject": digest.subject,
        "MessageStream": stream,
    }
    if sender.reply_to:
        same["ReplyTo"] = shown_mailbox(sender.reply_to)
    if digest.pictures:
        same["Attachments"] = attachments(digest, media)
    return [
        {
            **same,
            "To": ascii_address(email.address),
            "HtmlBody": html.fill(email.slots),
            "TextBody": text.fill(email.slots, escape=False),
            "Headers": [{"Name": n, "Value": v} for n, v in list_headers(sender, email).items()],
            "Metadata": {"delivery": email.key, "batch": batch.key},
        }
        for email in emails
    ]


def attachments(digest: Digest, media: Media) -> list[dict[str, str]]:
    return [
        {
            "Name": picture.name,
            "Content": b64encode(media(picture)).decode(),
            "ContentType": picture.media_type,
            "ContentID": f"cid:{picture.hash}",
        }
        for picture in digest.pictures
    ]


def results(body: Any, emails: Sequence[Email]) -> Answer:
    """What each message came to: the answer has them in the order of the request.

    Raises:
        AccountTrouble: all of them wait for a person.
        Unclear: the answer has another form.
    """
    with http.reading(body):
        told = [(email, told["ErrorCode"], told) for email, told in zip(emails, body, strict=True)]
        answer = Answer(
            receipts={e.recipient: one["MessageID"] for e, code, one in told if _accepted(code, one)},
            refused={e.recipient: _said(one) for e, code, one in told if _refused(code, one)},
            later={e.recipient: _said(one) for e, code, one in told if code in ACCOUNT or code in LATER},
            unclear={e.recipient: _said(one) for e, code, one in told if not _known(code)},
        )
    if told and all(code in ACCOUNT for _, code, _ in told):
        raise AccountTrouble(_said(told[0][2]))
    return answer


def _accepted(code: int, told: Mapping[str, Any]) -> bool:
    return code == 0 and INACTIVE not in told["Message"]


def _refused(code: int, told: Mapping[str, Any]) -> bool:
    return code in ADDRESS or (code == 0 and INACTIVE in told["Message"])


def _known(code: int) -> bool:
    return code == 0 or code in ADDRESS or code in ACCOUNT or code in LATER


def _said(told: Mapping[str, Any]) -> str:
    return reason(f"ErrorCode {told['ErrorCode']}: {told['Message']}")


KEPT = timedelta(days=6)  # accounts choose from 7 to 365 days (page on the Messages API, read 2026-11-23)


def found(body: Any, emails: Sequence[Email]) -> dict[int, str]:
    """By our keys; a page that does not have all there is says nothing of those who are not on it."""
    with http.reading(body):
        shown = {one["Metadata"].get("delivery"): one["MessageID"] for one in body["Messages"]}
        if body["TotalCount"] > len(body["Messages"]):
            raise Unclear(f"Postmark has {body['TotalCount']} messages of one call on more than a page")
        return {email.recipient: shown[email.key] for email in emails if email.key in shown}


def judge(answer: httpx.Response) -> SendError | None:
    """A 422 is told by its ErrorCode; one that is not here is about the call itself, as 422 says."""
    if answer.status_code != 422:
        return None
    try:
        code = orjson.loads(answer.content)["ErrorCode"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    if code in ACCOUNT:
        return AccountTrouble(http.said(answer))
    if code in LATER:
        return TryLater(http.said(answer))
    return SomeRefused(http.said(answer)) if code in ADDRESS else None


# --- what it reports: https://postmarkapp.com/developer/webhooks/webhooks-overview (read 2026-11-23) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

RECORDS = {  # RecordType -> ours, and where it says when and to whom
    "Delivery": (EventType.DELIVERED, "DeliveredAt", "Recipient"),
    "Bounce": (EventType.BOUNCED, "BouncedAt", "Email"),
    "SpamComplaint": (EventType.COMPLAINED, "BouncedAt", "Email"),
    "Open": (EventType.OPENED, "ReceivedAt", "Recipient"),
    "Click": (EventType.CLICKED, "ReceivedAt", "Recipient"),
    "SubscriptionChange": (EventType.UNSUBSCRIBED, "ChangedAt", "Recipient"),
}
BOUNCES: Mapping[str, Kind] = {  # Type of a bounce -> ours
    # https://postmarkapp.com/developer/api/bounce-api#bounce-types (read 2026-11-23)
    "HardBounce": (EventType.BOUNCED, "hard", RejectReason.BOUNCED),
    "BadEmailAddress": (EventType.BOUNCED, "hard", RejectReason.INVALID),
    "SoftBounce": (EventType.BOUNCED, "soft", RejectReason.BOUNCED),
    "Transient": (EventType.DEFERRED, "soft", RejectReason.TIMED_OUT),
    "DnsError": (EventType.BOUNCED, "soft", RejectReason.TIMED_OUT),
    "Blocked": (EventType.BOUNCED, "soft", RejectReason.BLOCKED),
    "DMARCPolicy": (EventType.REJECTED, None, RejectReason.BLOCKED),
    "SpamNotification": (EventType.BOUNCED, "soft", RejectReason.SPAM),
    "SpamComplaint": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "ManuallyDeactivated": (EventType.REJECTED, None, RejectReason.BLOCKED),
    "Unsubscribe": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "SMTPApiError": (EventType.FAILED, None, RejectReason.OTHER),
    "TemplateRenderingFailed": (EventType.FAILED, None, RejectReason.OTHER),
}  # any other bounce is a soft one: an address is silenced only on a word that we know
SUPPRESSIONS: Mapping[str, Kind] = {  # SuppressionReason, where it was not the reader who left -> ours
    # https://postmarkapp.com/developer/webhooks/subscription-change-webhook (read 2026-11-23)
    "HardBounce": (EventType.BOUNCED, "hard", RejectReason.BOUNCED),
    "SpamComplaint": (EventType.COMPLAINED, None, RejectReason.SPAM),
}


@dataclass(frozen=True, slots=True)
class PostmarkWebhook:
    """Signs nothing: a name and password stand in the address of the webhook.

    Only bounces have an id of their own.
    """

    settings: Provider
    stops_with = 403

    async def events(self, hook: Hook) -> Sequence[Event]:
        hooks.known_by_password(hook, self.settings.webhook)
        return hooks.each(hook, event_of)


def event_of(told: Mapping[str, Any], received_at: datetime) -> Event:
    said = hooks.text_of(told["RecordType"])
    type_, when, whom = RECORDS.get(said, (EventType.UNKNOWN, "ReceivedAt", "Recipient"))
    kind: Kind = (type_, None, None)
    if said == "Bounce":
        kind = _bounce(told)
        said = f"Bounce {hooks.text_of(told['Type'])}"
    elif said == "SubscriptionChange":
        kind = _suppression(told)
    agent, link = hooks.text_of(told.get("UserAgent")), hooks.text_of(told.get("OriginalLink"), most=2000)
    message, address = hooks.text_of(told.get("MessageID")), hooks.text_of(told.get(whom))
    apart = (said, kind[0], message, address, hooks.text_of(told.get(when)), link)
    return Event(
        type=kind[0],
        id=hooks.own_id(told.get("ID")) or hooks.id_of(*apart),
        occurred_at=hooks.when(told.get(when), received_at),
        said=said,
        address=address,
        key=hooks.text_of(hooks.object_of(told.get("Metadata")).get("delivery")),
        message_id=message,
        reject_reason=kind[2],
        bounce_class=kind[1],
        description=hooks.text_of(told.get("Details") or told.get("Description")),
        link=link,
        user_agent=agent,
        by=hooks.hand(agent) if kind[0] in (EventType.OPENED, EventType.CLICKED) else None,
        raw=hooks.raw_of(told),
    )


def _bounce(told: Mapping[str, Any]) -> Kind:
    kind = BOUNCES.get(told["Type"], (EventType.BOUNCED, "soft", RejectReason.OTHER))
    if told.get("Inactive") is True and kind[0] is EventType.BOUNCED:  # it sends there no more
        return (kind[0], "hard", kind[2])
    return kind


def _suppression(told: Mapping[str, Any]) -> Kind:
    if told.get("SuppressSending") is not True:
        return (EventType.SUBSCRIBED, None, None)
    why = hooks.text_of(told.get("SuppressionReason"))
    return SUPPRESSIONS.get(why, (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED))
