"""SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import orjson

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, Unclear
from distributor.model import Answer, Batch, Digest, Email, Picture
from distributor.providers import http
from distributor.providers.email.mime import Sender, ascii_address, list_headers, one_line
from distributor.providers.email.readers import Blank, all_but, blanks, contact, marks, once_each, values
from distributor.providers.protocol import EmailLimits, Media
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
