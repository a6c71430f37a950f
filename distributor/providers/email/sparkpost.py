"""SparkPost: https://developers.sparkpost.com/api/transmissions/"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
from markupsafe import escape

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, ConfigError, Problem, SendError, SomeRefused, TryLater, Unclear
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import http
from distributor.providers.email.mime import Sender, list_id
from distributor.providers.protocol import EmailLimits, Media
from distributor.slots import SLOTS, split, translate

HOSTS = {"": "https://api.sparkpost.com", "eu": "https://api.eu.sparkpost.com"}  # by region


class SparkPost:
    """One transmission with the values of each reader: SparkPost fills them in itself."""

    # 2,000 recipients a call are advised: https://support.sparkpost.com/docs/tech-resources/smtp-rest-api-performance
    # (read 2026-11-23; with 1 kB for each, some 2 MB). No idempotency key, no rate limit on posting.
    # Events come "generally within 1 minute" (/api/message-events); an hour is a judgement: what was accepted
    # is worked off afterwards, and late is better than twice.
    limits = EmailLimits(recipients_per_call=2000, found_after=timedelta(hours=1))

    def __init__(self, settings: Provider, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._base_url = settings.base_url or _host(settings.region)
        self._key = settings.key
        self._transport = transport

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        headers = {"Authorization": self._key.get_secret_value()}
        async with http.client(self._base_url, headers=headers, transport=self._transport) as opened:
            yield Calls(opened)


def _host(region: str) -> str:
    if region in HOSTS:
        return HOSTS[region]
    reason = f"SparkPost has no region {region!r}"
    raise ConfigError([Problem(path="distributor.toml", reason=reason, remedy='"eu", or leave it out')])


@dataclass(frozen=True, slots=True)
class Calls:
    """SparkPost, while there are connections to it."""

    _http: httpx.AsyncClient

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        request = self._http.build_request(
            "POST",
            "/api/v1/transmissions",
            content=orjson.dumps(payload(batch, digest, emails, sender, media)),
            headers={"Content-Type": "application/json"},
        )
        answer = await http.exchange(self._http, request, judge=judge)
        return replace(results(http.body(answer), emails), pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """Those of whom there is an event: https://developers.sparkpost.com/api/events/ (read 2026-11-23)."""
        asked = question(batch)
        keys: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            request = self._http.build_request("GET", "/api/v1/events/message", params=asked)
            answer = await http.exchange(self._http, request, judge=judge_of_events)
            told, cursor = page(http.body(answer))
            keys |= told
            if cursor is None:
                return {email.recipient: keys[email.key] for email in emails if email.key in keys}
            asked["cursor"] = cursor
        raise Unclear(f"more events than {MOST_PAGES} pages of {asked['per_page']} have room for")


# --- what is asked ---


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> dict[str, Any]:
    open_ = blanks(digest)
    return {
        "options": {"open_tracking": False, "click_tracking": False},  # links arrive as they were written
        "campaign_id": batch.key,  # what events can be asked for
        "override": {"list_id": f"<{list_id(sender).rpartition('<')[2]}"},
        "substitution_data": LITERALS,
        "content": content(digest, sender, media),
        "recipients": [
            {
                "address": {"email": email.address},
                "metadata": {"delivery": email.key},
                "substitution_data": {name: write(email.slots[slot]) for name, slot, write in open_},
            }
            for email in emails
        ],
    }


def content(digest: Digest, sender: Sender, media: Media) -> dict[str, Any]:
    """What all have in common. Its headers and sender are templates too."""
    name, address = mailbox(sender.from_)
    pictures = [
        {"name": p.hash, "type": p.media_type, "data": b64encode(media(p)).decode()} for p in digest.pictures
    ]
    shared: dict[str, Any] = {
        "from": {"email": address} | ({"name": literal(name)} if name else {}),
        "subject": literal(digest.subject),
        "html": translate(digest.html, marks("html"), literal_html),
        "text": translate(digest.text, marks("text"), literal),
    }
    if sender.reply_to:
        shared["reply_to"] = literal(sender.reply_to)
    return shared | ({"inline_images": pictures} if pictures else {})


Blank = tuple[str, str, Callable[[str], str]]  # a variable, the slot it stands for, how a value is written


def blanks(digest: Digest) -> list[Blank]:
    """What the content leaves open."""
    html, text = (dict.fromkeys(split(part).names) for part in (digest.html, digest.text))
    return [(variable("html", slot), slot, escape) for slot in html] + [
        (variable("text", slot), slot, str) for slot in text
    ]


def marks(part: str) -> dict[str, str]:
    return {slot: mark(variable(part, slot), part) for slot in SLOTS}


def variable(part: str, slot: str) -> str:
    return f"{part}_{slot}"


def mark(name: str, part: str) -> str:
    """Three braces write a value as it is: between two, SparkPost would escape it a second time in HTML.

    https://developers.sparkpost.com/api/template-language/#header-html-escaping (read 2026-11-23)
    """
    return f"{{{{{{{name}}}}}}}" if part == "html" else f"{{{{{name}}}}}"


# What an article has of the template language is the value of a variable: values are not read as templates.
LITERALS = {"opening": "{", "closing": "}"}
_SYNTAX = re.compile(r"[{}](?:[{}]+|\Z|(?<=\A.))")


def literal(text: str, part: str = "text") -> str:
    """What stands between two marks, so that SparkPost reads nothing into it."""
    written = {character: mark(name, part) for name, character in LITERALS.items()}
    return _SYNTAX.sub(lambda found: "".join(map(written.__getitem__, found[0])), text)


def literal_html(text: str) -> str:
    return literal(text, "html")


# --- what is answered ---


def results(body: Any, emails: Sequence[Email]) -> Answer:
    """A 200 has numbers and no names, so it is clear only if all were taken or none.

    Who of some was rejected, events tell later (`find`): for who was accepted there is one. The rest is then
    sent once more, and rejected alone.

    Raises:
        Unclear: some were accepted and others not.
    """
    try:
        told = body["results"]
        accepted, rejected = told["total_accepted_recipients"], told["total_rejected_recipients"]
        receipt, errors = str(told["id"]), told.get("rcpt_to_errors") or "rejected without a reason"
    except (AttributeError, KeyError, TypeError) as error:
        raise Unclear(f"an answer of another form: {str(body)[:200]}") from error
    if (accepted, rejected) == (len(emails), 0):
        return Answer(receipt=receipt)
    reason = str(errors)[: http.LONGEST_REASON]
    if (accepted, rejected) == (0, len(emails)):
        return Answer(refused={email.recipient: reason for email in emails})
    raise Unclear(f"{accepted} accepted and {rejected} rejected, without names: {reason}")


# https://support.sparkpost.com/docs/tech-resources/extended-error-codes (read 2026-11-23)
ERRORS: Mapping[str, Callable[[str], SendError]] = {
    "1100": AccountTrouble,  # permission denied
    "1502": TryLater,  # a 400: server resources unavailable, retry later
    "1601": AccountTrouble,  # no license
    "7000": AccountTrouble,  # sending domain blocked
    "7001": AccountTrouble,  # sending domain unknown or not verified
}
WRONG_FIELDS = frozenset({"1300", "1400"})  # of the wrong form, or missing


def judge(answer: httpx.Response) -> SendError | None:
    if answer.is_success:
        return None
    reason = http.said(answer)
    if answer.status_code == 420:  # the hour's, day's or month's limit: nothing of the call was taken
        return AccountTrouble(reason, after=3600)
    for error in errors_of(answer):
        code, words = str(error.get("code")), f"{error.get('message')} {error.get('description')}"
        if code in ERRORS:
            return ERRORS[code](reason)
        if code in WRONG_FIELDS and re.search(r"recipient|\baddress\b", words):
            return SomeRefused(reason)
    return None


def judge_of_events(answer: httpx.Response) -> SendError | None:
    """A key that may send need not be one that may read events: nothing is wrong with the account then."""
    return Unclear(f"no grant for events: {http.said(answer)}") if answer.status_code == 403 else None


def errors_of(answer: httpx.Response) -> list[dict[str, Any]]:
    try:
        told = orjson.loads(answer.content)["errors"]
        return [error for error in told if isinstance(error, dict)]
    except (KeyError, TypeError, orjson.JSONDecodeError):
        return []


# --- what became of a call ---

# Of every message that was accepted there is one of these, whatever becomes of it then:
# https://support.sparkpost.com/docs/faq/messages-attempted (read 2026-11-23)
EVENTS = "injection,generation_failure,generation_rejection,policy_rejection"
KEPT = timedelta(days=10)
MARGIN = timedelta(minutes=10)  # our clock beside theirs
MOST_PAGES = 10


def question(batch: Batch) -> dict[str, str]:
    """Which events to ask for; by itself SparkPost looks back for a day.

    Raises:
        Unclear: there are none any more.
    """
    asked = {"campaigns": batch.key, "events": EVENTS, "per_page": "10000", "cursor": "initial"}
    if batch.called_at is None:
        return asked
    if datetime.now(UTC) - batch.called_at > KEPT - MARGIN:
        raise Unclear(f"SparkPost keeps events for {KEPT.days} days")
    return asked | {"from": f"{batch.called_at.astimezone(UTC) - MARGIN:%Y-%m-%dT%H:%M}"}


def page(body: Any) -> tuple[dict[str, str], str | None]:
    """Delivery keys with the ids of their transmissions, and where there are more."""
    try:
        events = [(event.get("rcpt_meta") or {}, event) for event in body["results"]]
        told = {m["delivery"]: str(e.get("transmission_id", "")) for m, e in events if "delivery" in m}
        following = [link["href"] for link in body.get("links") or () if link.get("rel") == "next"]
        return told, httpx.URL(following[0]).params["cursor"] if following else None
    except (AttributeError, KeyError, TypeError) as error:
        raise Unclear(f"an answer of another form: {str(body)[:200]}") from error
