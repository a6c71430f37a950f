"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html import escape
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, ConfigError, Problem, SendError, SomeRefused, TryLater, Unclear
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import http
from distributor.providers.email.mime import Sender, list_id
from distributor.providers.protocol import EmailLimits, Media
from distributor.slots import MARKS, split, translate

HOSTS = {"": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}  # by region

Field = tuple[str, tuple[None, bytes] | tuple[str, bytes, str]]


class Mailgun:
    """One digest a call, filled in by Mailgun from each reader's `recipient-variables`.

    It has no idempotency key; its Events API tells what it accepted.
    """

    # Events take different ways to where they can be asked for, so a page is to be trusted when it is half
    # an hour old (user manual, "Event Polling", read 2026-11); the rest is for a call that took its time.
    limits = EmailLimits(recipients_per_call=1000, found_after=timedelta(minutes=35))

    def __init__(
        self,
        settings: Provider,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._base_url = settings.base_url or _host(settings.region)
        self._path = f"/v3/{quote(settings.domain, safe='')}"
        self._key = settings.key
        self._transport = transport
        self._clock = clock

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        auth = ("api", self._key.get_secret_value())
        async with http.client(self._base_url, auth=auth, transport=self._transport) as opened:
            yield Calls(opened, self._path, self._clock)


def _host(region: str) -> str:
    if region in HOSTS:
        return HOSTS[region]
    reason = f"Mailgun has no region {region!r}"
    raise ConfigError([Problem(path="distributor.toml", reason=reason, remedy='"eu", or leave it out')])


@dataclass(frozen=True, slots=True)
class Calls:
    """Mailgun, while there are connections to it."""

    _http: httpx.AsyncClient
    _path: str
    _clock: Callable[[], datetime]

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        asked, twice = once_each(emails)
        request = self._http.build_request(
            "POST",
            f"{self._path}/messages",
            files=form(batch, digest, asked, sender, media),
            headers={"Content-Type": f"multipart/form-data; boundary=distributor-{batch.key}"},
        )
        request.read()  # joined: else each field goes out in three writes of its own
        answer = await http.exchange(
            self._http, request, judge=lambda answer: judge(answer, len(asked), now=self._clock())
        )
        return Answer(receipt=receipt(http.body(answer)), later=twice, pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """Read the events of the time around the call, and keep those with our keys.

        They are not asked for by recipient: a filter that overlooks one would have the mail sent again.
        """
        called_at = batch.called_at or batch.due_at
        if self._clock() - called_at > KEPT:
            raise Unclear("Mailgun may have forgotten its events of that time")
        wanted = {email.key: email.recipient for email in emails}
        found: dict[int, str] = {}
        page = self._events(called_at)
        for _ in range(MOST_PAGES):
            answer = await http.exchange(self._http, page)
            ids, following = events(http.body(answer))
            found |= {wanted[key]: ids[key] for key in ids if key in wanted}
            if not following or len(found) == len(wanted):
                return found
            page = self._following(following)
        raise Unclear(f"Mailgun has more than {MOST_PAGES} pages of events of that time")

    def _events(self, called_at: datetime) -> httpx.Request:
        asked = {
            "event": "accepted",
            "begin": f"{(called_at - AROUND).timestamp():.0f}",
            "end": f"{(called_at + AROUND).timestamp():.0f}",
            "ascending": "yes",
            "limit": "300",  # the most
        }
        return self._http.build_request("GET", f"{self._path}/events", params=asked)

    def _following(self, url: str) -> httpx.Request:
        """The next page, from the same host only: the account's key goes with it."""
        request, ours = self._http.build_request("GET", url), self._http.base_url
        if (request.url.scheme, request.url.netloc) != (ours.scheme, ours.netloc):
            raise Unclear(f"Mailgun has its next page of events at another host: {request.url.host}")
        return request


# Events are kept for a day on free accounts (user manual, "Events"); 3 days says the API reference.
KEPT = timedelta(hours=23)
AROUND = timedelta(minutes=15)  # for clocks that differ, a slow call, and a queue in front of the event
MOST_PAGES = 1000  # 300 000 events


def once_each(emails: Sequence[Email]) -> tuple[list[Email], dict[int, str]]:
    """Those to ask for now, and why not the others: Mailgun leaves out an address that comes again."""
    first: dict[str, Email] = {}
    for email in emails:
        first.setdefault(email.address.lower(), email)
    asked = list(first.values())
    if len(asked) == len(emails):
        return asked, {}
    now = {email.recipient for email in asked}
    return asked, {e.recipient: TWICE for e in emails if e.recipient not in now}


TWICE = "the same address is in the same call already"


def form(batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media) -> list[Field]:
    """The call's fields. Options (`h:`, `v:`) may have 16 kB in all, so what differs stands in variables."""
    told: dict[str, str | bytes] = {
        "from": _mailbox(*mailbox(sender.from_)),
        "to": ", ".join(_mailbox(email.name, email.address) for email in emails),
        "subject": _plain(digest.subject),
        "text": translate(digest.text, _named("text"), literal=_plain),
        "html": translate(digest.html, _named("html"), literal=_html),
        "recipient-variables": variables(digest, emails),
        "h:List-Id": "".join(list_id(sender).splitlines()),  # not folded: that is Mailgun's to do
        "h:List-Unsubscribe": "<%recipient.text_unsubscribe_url%>",
        "h:List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "v:delivery": "%recipient.delivery%",  # every event has it
    }
    if sender.reply_to:
        told["h:Reply-To"] = _mailbox(*mailbox(sender.reply_to))
    fields: list[Field] = [(n, (None, v.encode() if isinstance(v, str) else v)) for n, v in told.items()]
    for picture in digest.pictures:  # its file name is what the html calls it: cid:HASH
        fields.append(("inline", (picture.hash, media(picture), picture.media_type)))
    return fields


def _named(kind: str) -> dict[str, str]:
    return {slot: f"%recipient.{kind}_{slot}%" for slot in MARKS}


def variables(digest: Digest, emails: Sequence[Email]) -> bytes:
    """Each address with what stands for the variables; with none, everybody would see all addresses."""
    html = {f"html_{slot}": slot for slot in split(digest.html).names}
    text = {f"text_{slot}": slot for slot in ("unsubscribe_url", *split(digest.text).names)}
    return orjson.dumps({email.address: _variables(email, html, text) for email in emails})


def _variables(email: Email, html: Mapping[str, str], text: Mapping[str, str]) -> dict[str, str]:
    slots = email.slots
    values = {name: escape(slots[slot]) for name, slot in html.items()}
    for name, slot in text.items():
        values[name] = slots[slot]
    values["delivery"] = email.key
    values["percent"] = "%"
    return values


# What begins one of Mailgun's own variables: %recipient.x%, %recipient_email%, %unsubscribe_url% and others.
_SYNTAX = re.compile("%(?=recipient|unsubscribe|tag_unsubscribe|mailing_list)", re.IGNORECASE)


def _plain(text: str) -> str:
    """Mailgun's syntax in an article: it knows no escape, so the sign comes from a variable."""
    return _SYNTAX.sub("%recipient.percent%", text)


def _html(text: str) -> str:
    return _SYNTAX.sub("&#37;", text)


def _mailbox(name: str, address: str) -> str:
    """`"Name" <address>`, with nothing in the name that could end it."""
    shown = _UNFIT.sub(" ", name).strip()
    return f'"{shown}" <{address}>' if shown else address


_UNFIT = re.compile(r'["\\\x00-\x1f\x7f]+')


def receipt(told: Any) -> str:
    """`{"id": "<2026…@news.example>", "message": "Queued. Thank you."}`: one id for all."""
    given = told.get("id") if isinstance(told, dict) else None
    if not isinstance(given, str) or not given:
        raise Unclear(f"an answer of another form: {str(told)[:200]}")
    return given


def events(told: Any) -> tuple[dict[str, str], str | None]:
    """Delivery key -> message id, of those events that have a key; and where the next page is, if it may have
    more."""
    try:
        ids = {
            event["user-variables"]["delivery"]: f"<{event['message']['headers']['message-id']}>"
            for event in told["items"]
            if "delivery" in (event.get("user-variables") or {})
        }
        return ids, told["paging"]["next"] if told["items"] else None
    except (AttributeError, KeyError, TypeError) as error:
        raise Unclear(f"events of another form: {str(told)[:200]}") from error


def judge(answer: httpx.Response, recipients: int, *, now: datetime) -> SendError | None:
    """Mailgun's own answers; the others (401, 413, 429, 5xx) mean what they usually do."""
    reason = http.said(answer)
    if answer.is_success:  # said for any address that is none of its API's (django-anymail, 2026-11)
        return AccountTrouble(reason) if "Mailgun Magnificent API" in answer.text else None
    if not 400 <= answer.status_code < 500:  # a 500 may have been accepted (feedback.mailgun.com)
        return None
    means = next((means for pattern, means in ERRORS if re.search(pattern, answer.text)), None)
    if means is TryLater or answer.status_code == 420:
        return TryLater(reason, after=_asked(answer, now))
    if means is SomeRefused and recipients == 1 and answer.status_code == 403:
        return AccountTrouble(reason)  # not even one is a small enough batch
    if means:
        return means(reason)
    return AccountTrouble(reason) if answer.status_code in (402, 404) else None


# What Mailgun says with a 4xx, first match first, and what to do. Read 2026-11 in its list of errors as
# help.gohighlevel.com keeps it, in its OpenAPI description, and in what users saw (420, 403).
ERRORS: tuple[tuple[str, type[SendError]], ...] = (
    (r"limit exceeded|try again after", TryLater),  # requests, bytes or recipients: 429, 420, seen as 400
    (r"not allowed to send large batches", SomeRefused),  # new domains; 9 recipients were still allowed
    (r"is not allowed to send", AccountTrouble),  # sandbox, unverified, not activated, disabled
    (r"\bfrom'? parameter is not a valid address", AccountTrouble),
    (r"\bto'? parameter is not a valid address|Too many recipients", SomeRefused),  # it does not say who
    (r"Domain not found", AccountTrouble),
)


def _asked(answer: httpx.Response, now: datetime) -> float | None:
    """The wait in seconds: `try again after 120 seconds`, or `… after Mon, 20 Dec 2021 20:33:21 UTC`."""
    if (after := http.retry_after(answer)) is not None:
        return after
    found = re.search(r"try again after (?:(\d+) seconds|(\w{3}, [\w :]+))", answer.text)
    if not found:
        return None
    try:
        until = parsedate_to_datetime(found[2].replace("UTC", "GMT")) if found[2] else None
        return max(0.0, (until - now).total_seconds()) if until else float(found[1])
    except (TypeError, ValueError):
        return None
