"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from distributor.config import Provider, mailbox
from distributor.errors import (
    AccountTrouble,
    Forged,
    SendError,
    SomeRefused,
    TryLater,
    Unclear,
)
from distributor.model import (
    Answer,
    Batch,
    BounceClass,
    Digest,
    Email,
    Event,
    EventType,
    RejectReason,
)
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address, list_id, one_line
from distributor.providers.email.readers import Blank, blanks, marks, once_each, values
from distributor.providers.protocol import EmailLimits, Hook, Media
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

    async def probe(self) -> None:
        """Whether the key opens the account: https://documentation.mailgun.com/docs/mailgun/api-reference"""
        await http.get(self._http, self._path.replace("/v3/", "/v3/domains/", 1))

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


# --- what it reports: documentation.mailgun.com/docs/mailgun/user-manual/webhooks (read 2026-11-23) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

EVENTS: Mapping[str, Kind] = {  # event -> ours
    "accepted": (EventType.QUEUED, None, None),
    "rejected": (EventType.REJECTED, None, RejectReason.OTHER),  # by Mailgun itself
    "delivered": (EventType.DELIVERED, None, None),
    "failed": (EventType.BOUNCED, "soft", RejectReason.OTHER),  # see _failed
    "opened": (EventType.OPENED, None, None),
    "clicked": (EventType.CLICKED, None, None),
    "unsubscribed": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "complained": (EventType.COMPLAINED, None, RejectReason.SPAM),
}
FAILURES: Mapping[str, Kind] = {  # reason of a permanent failure -> ours
    # Addresses that Mailgun sends nothing to any more; it tells so as codes 605 to 607, too.
    "suppress-bounce": (EventType.REJECTED, "hard", RejectReason.BOUNCED),
    "suppress-unsubscribe": (EventType.REJECTED, None, RejectReason.UNSUBSCRIBED),
    "suppress-complaint": (EventType.REJECTED, None, RejectReason.SPAM),
    "old": (EventType.BOUNCED, "soft", RejectReason.TIMED_OUT),  # it had tried for hours
    "espblock": (EventType.BOUNCED, "soft", RejectReason.BLOCKED),  # for the sake of the sender
}
CODES = {605: "suppress-bounce", 606: "suppress-unsubscribe", 607: "suppress-complaint"}

# How old a signature may be is left to us, and a request is sent again for eight hours.
WINDOW = timedelta(hours=24)
MOST_TOKENS = 50_000  # some 10 MB


@dataclass(frozen=True, slots=True)
class MailgunWebhook:
    """Signs a time and a token, and not what it says: so a token is good for what it first came with.

    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks (read 2026-11-23)

    Tokens are remembered while the program runs, the newest *most* of them.
    """

    settings: Provider
    most: int = MOST_TOKENS
    stops_with = 406
    _seen: OrderedDict[str, bytes] = field(default_factory=OrderedDict, init=False, repr=False)

    async def events(self, hook: Hook) -> Sequence[Event]:
        told = hooks.only(hook)
        token = self._token(hooks.object_of(told.get("signature")), hook.received_at)
        with hooks.reading():
            event = event_of(told["event-data"], hook.received_at)
        self._once(token, event.raw)
        return [event]

    def _token(self, signed: Mapping[str, Any], received_at: datetime) -> str:
        """The token of a right signature."""
        sent, token, signature = (signed.get(name) for name in ("timestamp", "token", "signature"))
        if not (isinstance(sent, str) and isinstance(token, str) and isinstance(signature, str)):
            raise Forged("is not signed")
        # Nothing stands between the two, so that the first may have but one length.
        if not re.fullmatch(r"\d{10}", sent, re.ASCII) or not token.isascii():
            raise Forged("has no time and token as Mailgun writes them")
        if abs(received_at.timestamp() - int(sent)) > WINDOW.total_seconds():
            raise Forged("was signed more than a day ago, or ahead; check the clock of this machine")
        if not hooks.is_signed(f"{sent}{token}".encode(), signature, self.settings.webhook.secret):
            raise Forged("is signed with another key than [providers.….webhook] secret")
        return token

    def _once(self, token: str, content: bytes) -> None:
        """Note what a token came with.

        Raises:
            Forged: it came with something else before.
        """
        digest = hashlib.sha256(content).digest()
        if self._seen.setdefault(token, digest) != digest:
            raise Forged("has a token that came with another event before")
        self._seen.move_to_end(token)
        while len(self._seen) > self.most:
            self._seen.popitem(last=False)


def event_of(told: Mapping[str, Any], received_at: datetime) -> Event:
    said = hooks.text_of(told["event"])
    type_, class_, why = (
        _failed(told) if said == "failed" else EVENTS.get(said, (EventType.UNKNOWN, None, None))
    )
    status, client = hooks.object_of(told.get("delivery-status")), hooks.object_of(told.get("client-info"))
    agent, address = hooks.text_of(client.get("user-agent")), hooks.text_of(told.get("recipient"))
    hand = "bot" if client.get("bot") else hooks.hand(agent)  # "apple", "gmail", "generic"
    raw = hooks.raw_of(told)
    id_ = hooks.own_id(told.get("id"))  # no other of the day has it
    return Event(
        type=type_,
        id=hooks.id_of(id_, said, address, hooks.text_of(told.get("timestamp"))) if id_ else hooks.id_of(raw),
        occurred_at=hooks.when(told.get("timestamp"), received_at),
        said=f"failed {hooks.text_of(told.get('severity'))}".strip() if said == "failed" else said,
        address=address,
        key=hooks.text_of(hooks.object_of(told.get("user-variables")).get("delivery")),
        message_id=_message_id(told),
        reject_reason=why,
        bounce_class=class_,
        description=hooks.text_of(
            status.get("message") or status.get("description") or _reject(told) or told.get("reason")
        ),
        link=hooks.text_of(told.get("url"), most=2000),
        user_agent=agent,
        by=hand if type_ in (EventType.OPENED, EventType.CLICKED) else None,
        raw=raw,
    )


def _failed(told: Mapping[str, Any]) -> Kind:
    """Severity is Mailgun's own word on whether it goes on trying; an address may be right even if not."""
    status, severity = hooks.object_of(told.get("delivery-status")), told.get("severity")
    if severity == "temporary":
        return (EventType.DEFERRED, "soft", None)
    if severity != "permanent":
        return EVENTS["failed"]
    code = status.get("code")
    reason = CODES.get(code, "") if isinstance(code, int) else ""
    known = FAILURES.get(reason or hooks.text_of(told.get("reason")))
    class_: BounceClass = "soft" if status.get("bounce-type") == "soft" else "hard"
    return known or (EventType.BOUNCED, class_, RejectReason.BOUNCED)


def _message_id(told: Mapping[str, Any]) -> str:
    """In angle brackets, as the call was answered."""
    headers = hooks.object_of(hooks.object_of(told.get("message")).get("headers"))
    id_ = hooks.text_of(headers.get("message-id"))
    return f"<{id_}>" if id_ and not id_.startswith("<") else id_


def _reject(told: Mapping[str, Any]) -> Any:
    return hooks.object_of(told.get("reject")).get("reason")
