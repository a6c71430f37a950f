"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, SendError, SomeRefused, TryLater, Unclear
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import http
from distributor.providers.email.mime import Sender, ascii_address, list_id, one_line
from distributor.providers.email.readers import Blank, blanks, marks, once_each, values
from distributor.providers.protocol import EmailLimits, Media
from distributor.providers.reasons import reason
from distributor.slots import translate

BASE_URLS = {"": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}  # by region

Field = tuple[str, tuple[None, bytes] | tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True)
class Mailgun:
    """One digest a call, filled in by Mailgun from each reader's `recipient-variables`.

    It has no idempotency key; its Events API tells what it accepted.
    """

    # Events take different ways to where they can be asked for, so a page is to be trusted when it is half
    # an hour old (user manual, "Event Polling", read 2026-11); the rest is for a call that took its time.
    limits = EmailLimits(recipients_per_call=1000, found_after=timedelta(minutes=35))

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URLS[self.settings.region]
        auth = ("api", self.settings.key.get_secret_value())
        async with http.client(base_url, auth=auth, transport=self.transport) as opened:
            yield Calls(opened, f"/v3/{quote(self.settings.domain, safe='')}", self.clock)


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
        wanted = {email.key: email.recipient for email in emails}
        found: dict[int, str] = {}
        page = self._events(http.called_at(batch, kept=KEPT, now=self._clock()))
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


def form(batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media) -> list[Field]:
    """The call's fields. Options (`h:`, `v:`) may have 16 kB in all, so what differs stands in variables."""
    told: dict[str, str | bytes] = {
        "from": _mailbox(*mailbox(sender.from_)),
        "to": ", ".join(_mailbox(email.name, ascii_address(email.address)) for email in emails),
        "subject": _plain(digest.subject),
        "text": translate(digest.text, marks("text", _mark), _plain),
        "html": translate(digest.html, marks("html", _mark), _html),
        "recipient-variables": variables(digest, emails),
        "h:List-Id": list_id(sender),
        "h:List-Unsubscribe": "<%recipient.unsubscribe%>",
        "h:List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "v:delivery": "%recipient.delivery%",  # every event has it
    }
    if sender.reply_to:
        told["h:Reply-To"] = _mailbox(*mailbox(sender.reply_to))
    fields: list[Field] = [(n, (None, v.encode() if isinstance(v, str) else v)) for n, v in told.items()]
    for picture in digest.pictures:  # its file name is what the html calls it: cid:HASH
        fields.append(("inline", (picture.hash, media(picture), picture.media_type)))
    return fields


def _mark(part: str, slot: str) -> str:
    return f"%recipient.{_variable(part, slot)}%"


def _variable(part: str, slot: str) -> str:
    return f"{part}_{slot}"


def variables(digest: Digest, emails: Sequence[Email]) -> bytes:
    """Each address with what stands for the variables; with none, everybody would see all addresses."""
    open_ = blanks(digest, _variable)
    return orjson.dumps({ascii_address(email.address): _variables(email, open_) for email in emails})


def _variables(email: Email, open_: Sequence[Blank]) -> dict[str, str]:
    headers = {"delivery": email.key, "unsubscribe": email.slots["unsubscribe_url"]}
    return values(email, open_) | headers | {"percent": "%"}


# What begins one of Mailgun's own variables: %recipient.x%, %recipient_email%, %unsubscribe_url% and others.
_SYNTAX = re.compile("%(?=recipient|unsubscribe|tag_unsubscribe|mailing_list)", re.IGNORECASE)


def _plain(text: str) -> str:
    """Mailgun's syntax in an article: it knows no escape, so the sign comes from a variable."""
    return _SYNTAX.sub("%recipient.percent%", text)


def _html(text: str) -> str:
    return _SYNTAX.sub("&#37;", text)


def _mailbox(name: str, address: str) -> str:
    """`"Name" <address>`, with nothing in the name that could end it."""
    shown = one_line(_UNFIT.sub(" ", name))
    return f'"{_plain(shown)}" <{address}>' if shown else address


_UNFIT = re.compile(r'["\\]')


def receipt(told: Any) -> str:
    """`{"id": "<2026…@news.example>", "message": "Queued. Thank you."}`: one id for all."""
    given = told.get("id") if isinstance(told, dict) else None
    if not isinstance(given, str) or not given:
        raise Unclear(reason(f"an answer of another form: {told}"))
    return given


def events(told: Any) -> tuple[dict[str, str], str | None]:
    """Delivery key -> message id, of those events that have a key; and where the next page is, if it may have
    more."""
    with http.reading(told):
        ids = {
            event["user-variables"]["delivery"]: f"<{event['message']['headers']['message-id']}>"
            for event in told["items"]
            if "delivery" in (event.get("user-variables") or {})
        }
        return ids, told["paging"]["next"] if told["items"] else None


def judge(answer: httpx.Response, recipients: int, *, now: datetime) -> SendError | None:
    """Mailgun's own answers; the others (401, 404, 413, 429, 5xx) mean what they usually do."""
    said, words = http.said(answer), http.words(answer)
    if answer.is_success:  # said for any address that is none of its API's (django-anymail, 2026-11)
        return AccountTrouble(said) if "Mailgun Magnificent API" in words else None
    if not 400 <= answer.status_code < 500:  # a 500 may have been accepted (feedback.mailgun.com)
        return None
    means = next((means for pattern, means in ERRORS if re.search(pattern, words)), None)
    if means is TryLater or answer.status_code == 420:
        return TryLater(said, after=_asked(answer, now))
    if means is SomeRefused and recipients == 1 and answer.status_code == 403:
        return AccountTrouble(said)  # not even one is a small enough batch
    return means(said) if means else None


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
    found = re.search(r"try again after (?:(\d+) seconds|(\w{3}, [\w :]+))", http.words(answer))
    if not found:
        return None
    try:
        until = parsedate_to_datetime(found[2].replace("UTC", "GMT")) if found[2] else None
        return http.wait((until - now).total_seconds() if until else float(found[1]))
    except (TypeError, ValueError):
        return None
