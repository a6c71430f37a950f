"""Resend: https://resend.com/docs/api-reference/emails/send-batch-emails"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import orjson

from distributor.config import Provider
from distributor.errors import AccountTrouble, SendError, TryLater, Unclear
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import http
from distributor.providers.email.mime import Sender, ascii_address, list_headers, shown_mailbox
from distributor.providers.protocol import EmailLimits, Media
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

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        headers = {"Idempotency-Key": batch.key, "x-batch-validation": "permissive"}
        told = payload(digest, emails, sender)
        answer = await http.post(self._http, "/emails/batch", told, headers=headers, judge=judge)
        return replace(receipts(http.body(answer), emails), pause=http.pause(answer))


def payload(digest: Digest, emails: Sequence[Email], sender: Sender) -> list[dict[str, Any]]:
    html, text = split(digest.html), split(digest.text)
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
