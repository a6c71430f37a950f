"""SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import httpx
import orjson

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, ConfigError, Problem, Refused, SendError, SomeRefused, Unclear
from distributor.model import Answer, Batch, Digest, Email, Picture
from distributor.providers import http
from distributor.providers.email.mime import Sender, list_id, one_click_headers
from distributor.providers.protocol import EmailLimits, Media
from distributor.slots import split, translate

HOSTS = {"": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}  # by region


class SendGrid:
    """One digest a call, filled in by SendGrid from each reader's `substitutions`.

    It has no idempotency key, and no `find`: its Email Activity API is an extra that most accounts lack.
    """

    limits = EmailLimits(recipients_per_call=1000)  # how often mail/send may be called is not published

    def __init__(self, settings: Provider, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._base_url = settings.base_url or _host(settings.region)
        self._key = settings.key
        self._transport = transport

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"}
        async with http.client(self._base_url, headers=headers, transport=self._transport) as opened:
            yield Calls(opened)


def _host(region: str) -> str:
    if region in HOSTS:
        return HOSTS[region]
    reason = f"SendGrid has no region {region!r}"
    raise ConfigError([Problem(path="distributor.toml", reason=reason, remedy='"eu", or leave it out')])


@dataclass(frozen=True, slots=True)
class Calls:
    """SendGrid, while there are connections to it."""

    _http: httpx.AsyncClient

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        asked, twice = once_each(emails)
        request = self._http.build_request(
            "POST",
            "/v3/mail/send",
            content=orjson.dumps(payload(batch, digest, asked, sender, media)),
            headers={"Content-Type": "application/json"},
        )
        try:
            answer = await http.exchange(self._http, request, judge=judge)
        except Named as error:
            if max(error.places) >= len(asked):
                raise SomeRefused(str(error)) from error
            return without(error.places, asked, twice)
        return Answer(
            receipt=answer.headers.get("x-message-id"), later=twice, pause=http.pause(answer)
        )  # an event's sg_message_id begins with it


def once_each(emails: Sequence[Email]) -> tuple[list[Email], dict[int, str]]:
    """Those to ask for now, and why not the others: an address may stand in a request once, in any case."""
    first: dict[str, Email] = {}
    for email in emails:
        first.setdefault(email.address.lower(), email)
    asked = list(first.values())
    if len(asked) == len(emails):
        return asked, {}
    now = {email.recipient for email in asked}
    return asked, {e.recipient: TWICE for e in emails if e.recipient not in now}


TWICE = "the same address is in the same call already"


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> dict[str, Any]:
    html, text = _tags(batch, digest.html, "html"), _tags(batch, digest.text, "text")
    common = {"List-Id": "".join(list_id(sender).splitlines())}  # not folded: that is SendGrid's to do
    told: dict[str, Any] = {
        "personalizations": [_personalization(email, html, text, common) for email in emails],
        "from": _contact(*reversed(mailbox(sender.from_))),
        "subject": digest.subject,
        "content": [  # plain text has to come first
            {"type": "text/plain", "value": translate(digest.text, text)},
            {"type": "text/html", "value": translate(digest.html, html)},
        ],
        # Left on in the account, it adds an unsubscribe link and List-Unsubscribe of SendGrid's own, and
        # reads `<% %>` in an article as the place for it.
        "tracking_settings": {"subscription_tracking": {"enable": False}},
    }
    if sender.reply_to:
        told["reply_to"] = _contact(*reversed(mailbox(sender.reply_to)))
    if digest.pictures:
        told["attachments"] = [_attachment(picture, media) for picture in digest.pictures]
    return told


def _tags(batch: Batch, content: str, kind: str) -> dict[str, str]:
    """How SendGrid is told each slot of the content: words that no article can contain.

    It replaces them wherever they stand, and knows no escape.
    """
    mark = batch.key.replace("-", "")[-12:]
    return {slot: f"-{mark}.{kind}.{slot}-" for slot in dict.fromkeys(split(content).names)}


def _personalization(
    email: Email, html: Mapping[str, str], text: Mapping[str, str], common: Mapping[str, str]
) -> dict[str, Any]:
    slots = email.slots
    values = {tag: escape(slots[slot]) for slot, tag in html.items()}
    for slot, tag in text.items():
        values[tag] = slots[slot]
    return {
        "to": [_contact(email.address, _UNFIT.sub(" ", email.name).strip())],
        "headers": {**common, **one_click_headers(email)},
        "substitutions": values,
        "custom_args": {"delivery": email.key},  # every event has it
    }


# In the names of recipients commas and semicolons are not quoted (sendgrid/sendgrid-python #291).
_UNFIT = re.compile(r"[,;\x00-\x1f\x7f]+")


def _contact(address: str, name: str) -> dict[str, str]:
    return {"email": address, "name": name} if name else {"email": address}


def _attachment(picture: Picture, media: Media) -> dict[str, str]:
    return {
        "content": b64encode(media(picture)).decode(),
        "type": picture.media_type,
        "filename": picture.name,
        "disposition": "inline",
        "content_id": picture.hash,
    }


class Named(SomeRefused):
    """None was accepted, and SendGrid says who is to blame: place in the request -> why."""

    def __init__(self, reason: str, places: Mapping[int, str]) -> None:
        super().__init__(reason)
        self.places = places


def without(places: Mapping[int, str], asked: Sequence[Email], twice: Mapping[int, str]) -> Answer:
    """Who was named is refused; everybody else was not accepted for their sake, and may be later."""
    refused = {asked[place].recipient: why for place, why in places.items()}
    others = {e.recipient: "somebody else in the call was refused" for e in asked}
    return Answer(refused=refused, later={r: w for r, w in {**others, **twice}.items() if r not in refused})


def judge(answer: httpx.Response) -> SendError | None:
    """SendGrid's own answers; the others (401, 403, 413, 429, 5xx) mean what they usually do.

    401 is also "Maximum credits exceeded", and 403 a sender who is not verified: both wait for a person.
    https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors (read 2026-11)
    """
    reason = http.said(answer)
    if answer.is_success and answer.status_code != 202:  # accepted is 202; 200 is said by its sandbox
        return Unclear(f"an answer of another form: {reason}")
    if answer.status_code in (404, 405):  # there is one path: the region or base_url is wrong
        return AccountTrouble(reason)
    return _bad_request(_errors(answer), reason) if answer.status_code == 400 else None


def _bad_request(errors: Sequence[tuple[str, str]], reason: str) -> SendError:
    if any(field.startswith("from") or "verified Sender" in message for field, message in errors):
        return AccountTrouble(reason)
    if not errors or not all(_ABOUT_READERS.fullmatch(field) for field, _ in errors):
        return Refused(reason)
    named = {int(found[1]): message for field, message in errors if (found := _ABOUT_ONE.match(field))}
    return Named(reason, named) if len(named) == len(errors) else SomeRefused(reason)


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
