"""Resend: https://resend.com/docs/api-reference/emails/send-batch-emails"""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from distributor.config import Provider
from distributor.errors import AccountTrouble, ConfigError, Problem, SendError, TryLater, Unclear
from distributor.model import Answer, Batch, BounceClass, Digest, Email, Event, EventType, RejectReason
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address, list_headers, shown_mailbox
from distributor.providers.protocol import EmailLimits, Hook, Media
from distributor.providers.reasons import reason
from distributor.slots import split

BASE_URL = "https://api.resend.com"


@dataclass(frozen=True, slots=True)
class Resend:
    """Each message is complete: Resend's batch call substitutes nothing."""

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None

    # An Idempotency-Key is kept for 24 hours; the last of them is left alone, for clocks and slow calls.
    limits = EmailLimits(recipients_per_call=100, repeatable_for=timedelta(hours=23), calls_per_second=2)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URL
        headers = {"Authorization": f"Bearer {self.settings.key.get_secret_value()}"}
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """Resend, while there are connections to it."""

    _http: httpx.AsyncClient

    async def probe(self) -> None:
        """Whether the key opens the account: https://resend.com/docs/api-reference/domains/list-domains"""
        await http.get(self._http, "/domains", judge=judge)

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        headers = {"Idempotency-Key": batch.key, "x-batch-validation": "permissive"}
        told = payload(digest, emails, sender)
        answer = await http.post(self._http, "/emails/batch", told, headers=headers, judge=judge)
        return replace(receipts(http.body(answer), emails), pause=http.pause(answer))


def payload(digest: Digest, emails: Sequence[Email], sender: Sender) -> list[dict[str, Any]]:
    html, text = split(digest.html).in_json(), split(digest.text).in_json()
    same = {"from": shown_mailbox(sender.from_), "subject": digest.subject}
    if sender.reply_to:
        same["reply_to"] = shown_mailbox(sender.reply_to)
    return [
        {
            **same,
            "to": [ascii_address(email.address)],
            "html": html.fill(email.slots),
            "text": text.fill(email.slots, escape=False),
            "headers": list_headers(sender, email),
            "tags": [{"name": "delivery", "value": email.key}],
        }
        for email in emails
    ]


def receipts(body: Any, emails: Sequence[Email]) -> Answer:
    """The ids of the accepted and the reasons of the others; with permissive validation both are in a 200."""
    with http.reading(body):
        errors = {error["index"]: reason(error["message"]) for error in body.get("errors") or ()}
        refused = {emails[place].recipient: why for place, why in errors.items()}
        accepted = [email.recipient for email in emails if email.recipient not in refused]
        ids = [item["id"] for item in body["data"]]
        return Answer(receipts=dict(zip(accepted, ids, strict=True)), refused=refused)


# By the names of https://resend.com/docs/api-reference/errors (read 2026-11-23).
FULL = frozenset({"daily_quota_exceeded", "monthly_quota_exceeded"})  # 429, as any haste
AN_HOUR = 3600.0  # seconds


def judge(answer: httpx.Response) -> SendError | None:
    """409 is about our key, and 429 may be about more than a moment."""
    if answer.is_success:
        return None
    name, said = _name(answer), http.said(answer)
    if name == "concurrent_idempotent_requests":  # the first call of the same key is still under way
        return TryLater(said)
    if (
        name == "invalid_idempotent_request"
    ):  # for another body: a reader left since, or a ledger was put back
        return Unclear(f"the request key was used before: {said}", can_clear=False)
    return AccountTrouble(said, after=AN_HOUR) if name in FULL else None


def _name(answer: httpx.Response) -> str:
    if not 400 <= answer.status_code < 500:
        return ""
    try:
        return str(orjson.loads(answer.content)["name"])
    except (KeyError, TypeError, ValueError):
        return ""


# --- what it reports: https://resend.com/docs/webhooks/event-types (read 2026-11-23) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

EVENTS: Mapping[str, Kind] = {  # type -> ours
    "email.scheduled": (EventType.QUEUED, None, None),
    "email.sent": (EventType.SENT, None, None),
    "email.delivered": (EventType.DELIVERED, None, None),
    "email.delivery_delayed": (EventType.DEFERRED, "soft", None),
    "email.bounced": (EventType.BOUNCED, "soft", RejectReason.BOUNCED),  # see _bounce
    "email.complained": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "email.opened": (EventType.OPENED, None, None),
    "email.clicked": (EventType.CLICKED, None, None),
    "email.failed": (EventType.FAILED, None, RejectReason.OTHER),  # a quota, a domain, a key
    # After a bounce, a complaint, or by hand: which of them is not told.
    "email.suppressed": (EventType.REJECTED, None, RejectReason.BLOCKED),
}  # contacts, domains and mail that comes in are none of ours
REASONS: Mapping[str, RejectReason] = {  # subType of a bounce, as Amazon has them; others are BOUNCED
    "NoEmail": RejectReason.INVALID,
    "ContentRejected": RejectReason.BLOCKED,
    "AttachmentRejected": RejectReason.BLOCKED,
    "MessageTooLarge": RejectReason.BLOCKED,
}


@dataclass(frozen=True, slots=True)
class ResendWebhook:
    """Signs as Svix does: id, time and body (https://docs.svix.com/receiving/verifying-payloads/how-manual).

    Raises:
        ConfigError: a configured secret is none.
    """

    settings: Provider
    stops_with = 400

    def __post_init__(self) -> None:
        for secret in self.settings.webhook.secret:
            try:
                hooks.standard_signature(secret.get_secret_value(), b"")
            except binascii.Error:
                reason, remedy = "is not base64", "copy it from the webhook's page at Resend: whsec_…"
                place = "[providers.….webhook] secret"
                raise ConfigError([Problem(path=place, reason=reason, remedy=remedy)]) from None

    async def events(self, hook: Hook) -> Sequence[Event]:
        id_ = hooks.known_by_standard_webhooks(hook, self.settings.webhook.secret, prefix="svix")
        with hooks.reading():
            return [event_of(hooks.only(hook), id_, hook.received_at)]


def event_of(told: Mapping[str, Any], id_: str, received_at: datetime) -> Event:
    """An event; *id_* is its message's, which stays the same when it is sent again."""
    said, data = hooks.text_of(told["type"]), hooks.object_of(told.get("data"))
    bounce, failed, click, opened, suppressed = (
        hooks.object_of(data.get(name)) for name in ("bounce", "failed", "click", "open", "suppressed")
    )
    type_, class_, why = EVENTS.get(said, (EventType.UNKNOWN, None, None))
    if said == "email.bounced":
        class_ = "hard" if bounce.get("type") == "Permanent" else "soft"
        why = REASONS.get(hooks.text_of(bounce.get("subType")), RejectReason.BOUNCED)
    agent = hooks.text_of(click.get("userAgent") or opened.get("userAgent"))
    return Event(
        type=type_,
        id=hooks.own_id(id_),
        occurred_at=hooks.when(told.get("created_at"), received_at),
        said=said,
        address=_address(data.get("to")),
        key=_key(data.get("tags")),
        message_id=hooks.text_of(data.get("email_id")),
        reject_reason=why,
        bounce_class=class_,
        description=hooks.text_of(bounce.get("message") or failed.get("reason") or suppressed.get("message")),
        link=hooks.text_of(click.get("link"), most=2000),
        user_agent=agent,
        by=hooks.hand(agent) if type_ in (EventType.OPENED, EventType.CLICKED) else None,
        raw=hooks.raw_of(told),
    )


def _address(told: Any) -> str:
    """Our messages have one recipient."""
    return hooks.text_of(told[0] if isinstance(told, list) and told else told)


def _key(tags: Any) -> str:
    """From an object, as its reference has it; or from a list of names and values, as it is sent."""
    if isinstance(tags, list):
        tags = {
            one["name"]: one["value"]
            for one in tags
            if isinstance(one, dict) and {"name", "value"} <= set(one)
        }
    return hooks.text_of(hooks.object_of(tags).get("delivery"))
