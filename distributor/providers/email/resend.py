"""Resend: https://resend.com/docs/api-reference/emails/send-batch-emails"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx

from distributor.config import Provider
from distributor.errors import SendError, TryLater, Unclear
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import http
from distributor.providers.email.mime import Sender, list_headers
from distributor.providers.protocol import EmailLimits, Media
from distributor.slots import split

BASE_URL = "https://api.resend.com"


class Resend:
    """Each message is complete: Resend's batch call substitutes nothing."""

    # An Idempotency-Key is kept for 24 hours; the last of them is left alone, for clocks and slow calls.
    limits = EmailLimits(recipients_per_call=100, repeatable_for=timedelta(hours=23), calls_per_second=2)

    def __init__(self, settings: Provider, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self._settings.base_url or BASE_URL
        headers = {"Authorization": f"Bearer {self._settings.key.get_secret_value()}"}
        async with http.client(base_url, headers=headers, transport=self._transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """Resend, while there are connections to it."""

    _http: httpx.AsyncClient

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        request = self._http.build_request(
            "POST",
            "/emails/batch",
            json=payload(digest, emails, sender),
            headers={"Idempotency-Key": batch.key, "x-batch-validation": "permissive"},
        )
        answer = await http.exchange(self._http, request, judge=judge)
        return replace(receipts(http.body(answer), emails), pause=http.pause(answer))


def payload(digest: Digest, emails: Sequence[Email], sender: Sender) -> list[dict[str, Any]]:
    html, text = split(digest.html), split(digest.text)
    return [
        {
            "from": sender.from_,
            "to": [email.address],
            "subject": digest.subject,
            "html": html.fill(email.slots),
            "text": text.fill(email.slots, escape=False),
            "headers": list_headers(sender, email),
            "tags": [{"name": "delivery", "value": email.key}],
        }
        | ({"reply_to": sender.reply_to} if sender.reply_to else {})
        for email in emails
    ]


def receipts(body: Any, emails: Sequence[Email]) -> Answer:
    """The ids of the accepted and the reasons of the others; with permissive validation both are in a 200."""
    try:
        errors = {error["index"]: error["message"] for error in body.get("errors", ())}
        ids = iter([item["id"] for item in body["data"]])
        accepted = {e.recipient: next(ids) for place, e in enumerate(emails) if place not in errors}
        return Answer(
            receipts=accepted, refused={emails[place].recipient: reason for place, reason in errors.items()}
        )
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError) as error:
        raise Unclear(f"an answer of another form: {str(body)[:200]}") from error


def judge(answer: httpx.Response) -> SendError | None:
    """409 with this name: the first call of the same key is still under way."""
    if answer.status_code == 409 and "concurrent_idempotent_requests" in answer.text:
        return TryLater(http.said(answer))
    return None
