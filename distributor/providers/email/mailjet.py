"""Mailjet: https://dev.mailjet.com/email/guides/send-api-v31/"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import orjson

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, Unclear
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import http
from distributor.providers.email.mime import Sender, one_click_headers
from distributor.providers.protocol import EmailLimits, Media
from distributor.slots import split

BASE_URL = "https://api.mailjet.com"

# Error codes for a person (table "Send API errors" of the page above, read 2026-11-23): the key suspended,
# no credentials, and a sender that is not validated. All others there have a StatusCode of 400: final.
ACCOUNT = frozenset({"mj-0001", "mj-0015", "send-0006", "send-0007", "send-0008"})
TOO_MUCH = frozenset({"mj-0008", "mj-0011"})  # messages or bytes: half of it may fit


class Mailjet:
    """Each message is complete: without its template language an article's own "{{x}}" is only text."""

    # 50 messages a call (mj-0008). How soon the look-up shows a message is not published: ten minutes are a
    # judgement.
    limits = EmailLimits(recipients_per_call=50, found_after=timedelta(minutes=10))

    def __init__(self, settings: Provider, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self._settings.base_url or BASE_URL
        auth = (self._settings.key.get_secret_value(), self._settings.secret.get_secret_value())
        async with http.client(base_url, auth=auth, transport=self._transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """Mailjet, while there are connections to it."""

    _http: httpx.AsyncClient

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        request = self._http.build_request(
            "POST",
            "/v3.1/send",
            content=orjson.dumps({"Messages": payload(batch, digest, emails, sender, media)}),
            headers={"Content-Type": "application/json"},
        )
        try:
            answer = await http.exchange(self._http, request, judge=judge)
        except OneByOne as told:
            answer = told.answer
        return replace(results(http.body(answer), emails), pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """One request for each reader, one after another; a call has at most 50."""
        shown: dict[int, str] = {}
        for email in emails:
            asked = {"CustomID": email.key, "Limit": "1"}
            request = self._http.build_request("GET", "/v3/REST/message", params=asked)
            if given := found(http.body(await http.exchange(self._http, request))):
                shown[email.recipient] = given
        return shown


class OneByOne(Refused):
    """A failure that is none: the good messages of the call are accepted, and each has its own outcome."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        super().__init__(http.said(answer))


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> list[dict[str, Any]]:
    """List-Id is among the headers that Mailjet forbids.

    A message whose recipient has one of the same campaign already is blocked ("duplicate in campaign"):
    nobody has the same content twice, even when the look-up was too early. That is no leave to repeat a call:
    Mailjet does not say how long it remembers, nor what two calls at once do.
    """
    html, text = split(digest.html), split(digest.text)
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
            "To": [{"Email": email.address}],
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
    try:
        for email, told in zip(emails, body["Messages"], strict=True):
            if told["Status"] == "success":
                receipts[email.recipient] = str(told["To"][0]["MessageID"])
            else:
                kinds[email.recipient] = kind(told.get("Errors") or ())
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise Unclear(f"an answer of another form: {str(body)[:200]}") from error
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
    said = said[: http.LONGEST_REASON] or "an error without a reason"
    if codes & ACCOUNT or statuses & {401, 403}:
        return "account", said
    if 429 in statuses:
        return "later", said
    definite = bool(statuses) and all(400 <= status < 500 for status in statuses)
    return ("final" if definite else "unclear"), said


def found(body: Any) -> str | None:
    """The id of the message; of a duplicate that was blocked, the first is found as well."""
    try:
        rows = body["Data"]
        return str(rows[0]["ID"]) if rows else None
    except (KeyError, TypeError) as error:
        raise Unclear(f"an answer of another form: {str(body)[:200]}") from error


def judge(answer: httpx.Response) -> SendError | None:
    """In a 400 with messages the good ones are accepted; one without is about the whole call."""
    if not 400 <= answer.status_code < 500:
        return None
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return None
    if isinstance(body, dict) and isinstance(body.get("Messages"), list):
        return OneByOne(answer)
    code = body.get("ErrorCode") if isinstance(body, dict) else None
    if code in ACCOUNT:
        return AccountTrouble(http.said(answer))
    return SomeRefused(http.said(answer)) if code in TOO_MUCH else None
