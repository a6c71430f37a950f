"""Brevo: https://developers.brevo.com/reference/sendtransacemail"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import orjson
from markupsafe import escape

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, SendError, SomeRefused, Unclear
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import http
from distributor.providers.email.mime import Sender, list_id, one_click_headers
from distributor.providers.protocol import EmailLimits, Media
from distributor.slots import SLOTS, split, translate

BASE_URL = "https://api.brevo.com"

# What `code` means (the vendor's description of its API, errorModel, 2024-11-25).
ACCOUNT = frozenset({"unauthorized", "permission_denied", "not_enough_credits", "account_under_validation"})
USED = frozenset({"duplicate_parameter", "duplicate_request"})  # the request key came before

# Brevo escapes values for HTML by itself, in text too; autoescape turns that off
# (https://help.brevo.com/hc/en-us/articles/360018252080, read 2026-11-23).
RAW = "{%% autoescape off %%}{{ params.%s }}{%% endautoescape %%}"
IN_TEXT: Mapping[str, str] = {slot: RAW % slot for slot in SLOTS}
IN_HTML: Mapping[str, str] = {slot: RAW % f"{slot}_html" for slot in SLOTS}

# An article's own "{{", "{%" or "{#" is no template: its first brace comes back as a value. Brevo's
# "verbatim" would end at an article's own "endverbatim".
BRACE = "{{ params.brace }}"
OPENS = re.compile(r"\{(?=[{%#]|\Z)")

LONGEST_NAME = 70  # characters


class Brevo:
    """Content travels once; each reader is a version of it with values and headers of their own."""

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

    def __init__(self, settings: Provider, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self._settings.base_url or BASE_URL
        headers = {"Accept": "application/json", "api-key": self._settings.key.get_secret_value()}
        async with http.client(base_url, headers=headers, transport=self._transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """Brevo, while there are connections to it."""

    _http: httpx.AsyncClient

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        request = self._http.build_request(
            "POST",
            "/v3/smtp/email",
            content=orjson.dumps(payload(batch, digest, emails, sender)),
            headers={"Content-Type": "application/json"},
        )
        answer = await http.exchange(self._http, request, judge=judge)
        return replace(receipts(http.body(answer), emails), pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """Brevo's events have the tag of the call and each reader's address."""
        asked = {"event": "requests", "tags": batch.key, "limit": "2500"}
        request = self._http.build_request("GET", "/v3/smtp/statistics/events", params=asked)
        return found(http.body(await http.exchange(self._http, request)), batch, emails)


def payload(batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender) -> dict[str, Any]:
    content = {
        "subject": literal(digest.subject),
        "htmlContent": translate(digest.html, IN_HTML, literal),
        "textContent": translate(digest.text, IN_TEXT, literal),
    }
    in_html, in_text = set(split(digest.html).names), set(split(digest.text).names)
    common = {"brace": "{"} if any(BRACE in part for part in content.values()) else {}
    same = {"List-Id": list_id(sender)}
    return {
        "sender": person(*mailbox(sender.from_)),
        **({"replyTo": person(*mailbox(sender.reply_to))} if sender.reply_to else {}),
        **content,
        "headers": {"idempotencyKey": batch.key},
        "tags": [batch.key],
        "messageVersions": [
            {
                "to": [person(email.name, email.address)],
                "params": {
                    **common,
                    **{slot: email.slots[slot] for slot in in_text},
                    **{f"{slot}_html": str(escape(email.slots[slot])) for slot in in_html},
                },
                "headers": {**same, **one_click_headers(email), "X-Mailin-custom": email.key},
            }
            for email in emails
        ],
    }


def literal(text: str) -> str:
    return OPENS.sub(BRACE, text)


def person(name: str, address: str) -> dict[str, str]:
    """Of a name that has special characters and others than ASCII Brevo sends nothing at all.

    Seen by django-anymail (backends/brevo.py): the special ones are left out.
    """
    if not name.isascii():
        name = re.sub(r'[()<>@,;:\\".\[\]]+', " ", name)
    name = " ".join(name.split())[:LONGEST_NAME].strip()
    return {"email": address} | ({"name": name} if name else {})


def receipts(body: Any, emails: Sequence[Email]) -> Answer:
    """The ids of the versions in their order, or one for a call of one."""
    try:
        ids = body["messageIds"] if "messageIds" in body else [body["messageId"]]
        return Answer(receipts={email.recipient: given for email, given in zip(emails, ids, strict=True)})
    except (KeyError, TypeError, ValueError) as error:
        raise Unclear(f"an answer of another form: {str(body)[:200]}") from error


def found(body: Any, batch: Batch, emails: Sequence[Email]) -> dict[int, str]:
    """Only events with our tag count: an older edition's say nothing of this one."""
    recipients = {email.address.lower(): email.recipient for email in emails}
    try:
        events = [event for event in body.get("events") or () if batch.key in str(event.get("tag"))]
        seen = {event["email"].lower(): event["messageId"] for event in events}
        return {recipients[address]: seen[address] for address in seen if address in recipients}
    except (AttributeError, KeyError, TypeError) as error:
        raise Unclear(f"an answer of another form: {str(body)[:200]}") from error


def judge(answer: httpx.Response) -> SendError | None:
    """Brevo's own codes; whoever is not accepted, the call is taken whole or not at all."""
    code, message = _told(answer)
    if code in USED:  # by a call that was taken, or failed later on: the events will tell
        return Unclear(f"the request key was used before: {http.said(answer)}")
    if code in ACCOUNT or (code == "invalid_parameter" and "sender" in message):
        return AccountTrouble(http.said(answer))
    if (
        code == "invalid_parameter" and "email" in message
    ):  # "email is not valid in to": it does not say whose
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
