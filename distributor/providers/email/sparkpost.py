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

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, SendError, SomeRefused, TryLater, Unclear
from distributor.model import (
    Answer,
    Batch,
    BounceClass,
    Digest,
    Email,
    Event,
    EventType,
    Hand,
    RejectReason,
)
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address, list_id, shown_mailbox
from distributor.providers.email.readers import blanks, contact, marks, values
from distributor.providers.protocol import EmailLimits, Hook, Media
from distributor.providers.reasons import reason
from distributor.slots import translate

BASE_URLS = {"": "https://api.sparkpost.com", "eu": "https://api.eu.sparkpost.com"}  # by region


@dataclass(frozen=True, slots=True)
class SparkPost:
    """One transmission with the values of each reader: SparkPost fills them in itself."""

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None

    # 2,000 recipients a call are advised: https://support.sparkpost.com/docs/tech-resources/smtp-rest-api-performance
    # (read 2026-11-23; with 1 kB for each, some 2 MB). No idempotency key, no rate limit on posting.
    # Events come "generally within 1 minute" (/api/message-events); an hour is a judgement: what was accepted
    # is worked off afterwards, and late is better than twice.
    limits = EmailLimits(recipients_per_call=2000, found_after=timedelta(hours=1))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URLS[self.settings.region]
        headers = {"Authorization": self.settings.key.get_secret_value()}
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """SparkPost, while there are connections to it."""

    _http: httpx.AsyncClient

    async def probe(self) -> None:
        """Whether the key opens the account: https://developers.sparkpost.com/api/sending-domains/"""
        await http.get(self._http, "/api/v1/sending-domains")

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        told = payload(batch, digest, emails, sender, media)
        answer = await http.post(self._http, "/api/v1/transmissions", told, judge=judge)
        return replace(results(http.body(answer), emails), pause=http.pause(answer))

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """Those of whom there is an event: https://developers.sparkpost.com/api/events/ (read 2026-11-23)."""
        asked = question(batch)
        keys: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            answer = await http.get(self._http, "/api/v1/events/message", asked, judge=judge_of_events)
            told, cursor = page(answer)
            keys |= told
            if cursor is None:
                return {email.recipient: keys[email.key] for email in emails if email.key in keys}
            asked["cursor"] = cursor
        raise Unclear(f"more events than {MOST_PAGES} pages of {asked['per_page']} have room for")


# --- what is asked ---


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> dict[str, Any]:
    open_ = blanks(digest, variable)
    return {
        "options": {"open_tracking": False, "click_tracking": False},  # links arrive as they were written
        "campaign_id": batch.key,  # what events can be asked for
        "override": {"list_id": f"<{list_id(sender).rpartition('<')[2]}"},
        "substitution_data": LITERALS,
        "content": content(digest, sender, media),
        "recipients": [
            {
                "address": contact("", ascii_address(email.address)),
                "metadata": {"delivery": email.key},
                "substitution_data": values(email, open_),
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
        "from": contact(literal(name), address),
        "subject": literal(digest.subject),
        "html": translate(digest.html, marks("html", mark), literal_html),
        "text": translate(digest.text, marks("text", mark), literal),
    }
    if sender.reply_to:
        shared["reply_to"] = literal(shown_mailbox(sender.reply_to))
    return shared | ({"inline_images": pictures} if pictures else {})


def variable(part: str, slot: str) -> str:
    return f"{part}_{slot}"


def mark(part: str, slot: str) -> str:
    return braced(variable(part, slot), part)


def braced(name: str, part: str) -> str:
    """Three braces write a value as it is: between two, SparkPost would escape it a second time in HTML.

    https://developers.sparkpost.com/api/template-language/#header-html-escaping (read 2026-11-23)
    """
    return f"{{{{{{{name}}}}}}}" if part == "html" else f"{{{{{name}}}}}"


# What an article has of the template language is the value of a variable: values are not read as templates.
LITERALS = {"opening": "{", "closing": "}"}
_SYNTAX = re.compile(r"[{}](?:[{}]+|\Z|(?<=\A.))")


def literal(text: str, part: str = "text") -> str:
    """What stands between two marks, so that SparkPost reads nothing into it."""
    written = {character: braced(name, part) for name, character in LITERALS.items()}
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
    with http.reading(body):
        told = body["results"]
        accepted, rejected = told["total_accepted_recipients"], told["total_rejected_recipients"]
        receipt, errors = str(told["id"]), told.get("rcpt_to_errors") or "rejected without a reason"
    if (accepted, rejected) == (len(emails), 0):
        return Answer(receipt=receipt)
    said = reason(errors)
    if (accepted, rejected) == (0, len(emails)):
        return Answer(refused={email.recipient: said for email in emails})
    raise Unclear(f"{accepted} accepted and {rejected} rejected, without names: {said}")


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
    said = http.said(answer)
    if answer.status_code == 420:  # the hour's, day's or month's limit: nothing of the call was taken
        return AccountTrouble(said, after=3600)
    for error in errors_of(answer):
        code, words = str(error.get("code")), f"{error.get('message')} {error.get('description')}"
        if code in ERRORS:
            return ERRORS[code](said)
        if code in WRONG_FIELDS and re.search(r"recipient|\baddress\b", words):
            return SomeRefused(said)
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
    since = http.called_at(batch, kept=KEPT - MARGIN).astimezone(UTC) - MARGIN
    return {
        "campaigns": batch.key,
        "events": EVENTS,
        "from": f"{since:%Y-%m-%dT%H:%M}",
        "per_page": "10000",
        "cursor": "initial",
    }


def page(body: Any) -> tuple[dict[str, str], str | None]:
    """Delivery keys with the ids of their transmissions, and where there are more."""
    with http.reading(body):
        events = [(event.get("rcpt_meta") or {}, event) for event in body["results"]]
        told = {m["delivery"]: str(e.get("transmission_id", "")) for m, e in events if "delivery" in m}
        following = [link["href"] for link in body.get("links") or () if link.get("rel") == "next"]
        return told, httpx.URL(following[0]).params["cursor"] if following else None


# --- what it reports: https://developers.sparkpost.com/api/webhooks/ (read 2026-11-29) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

REPORTS: Mapping[str, Kind] = {  # type -> ours
    "injection": (EventType.QUEUED, None, None),
    "delivery": (EventType.DELIVERED, None, None),
    "delay": (EventType.DEFERRED, "soft", None),
    "bounce": (EventType.BOUNCED, "soft", RejectReason.OTHER),  # see BOUNCES
    "out_of_band": (EventType.BOUNCED, "soft", RejectReason.OTHER),  # see BOUNCES
    "policy_rejection": (EventType.REJECTED, None, RejectReason.BLOCKED),
    "generation_rejection": (EventType.REJECTED, None, RejectReason.BLOCKED),
    "generation_failure": (EventType.FAILED, None, RejectReason.OTHER),
    "spam_complaint": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "list_unsubscribe": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "link_unsubscribe": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    **dict.fromkeys(("open", "initial_open", "amp_open", "amp_initial_open"), (EventType.OPENED, None, None)),
    **dict.fromkeys(("click", "amp_click"), (EventType.CLICKED, None, None)),
}
BOUNCES: Mapping[str, Kind] = {  # bounce_class -> ours
    # https://support.sparkpost.com/docs/deliverability/bounce-classification-codes (read 2026-11-29)
    "10": (EventType.BOUNCED, "hard", RejectReason.INVALID),
    "30": (EventType.BOUNCED, "hard", RejectReason.BOUNCED),
    "24": (EventType.BOUNCED, "soft", RejectReason.TIMED_OUT),
    "25": (EventType.REJECTED, None, RejectReason.BLOCKED),  # by SparkPost's own policies
    "26": (EventType.REJECTED, None, RejectReason.BLOCKED),
    "50": (EventType.BOUNCED, "soft", RejectReason.BLOCKED),
    "51": (EventType.BOUNCED, "soft", RejectReason.SPAM),
    "52": (EventType.BOUNCED, "soft", RejectReason.SPAM),
    "53": (EventType.BOUNCED, "soft", RejectReason.BLOCKED),
    "54": (EventType.BOUNCED, "soft", RejectReason.BLOCKED),
    # Mails that came back, and tell of no failure: an auto-reply, a request, a challenge.
    "60": (EventType.UNKNOWN, None, None),
    "80": (EventType.UNKNOWN, None, None),
    "90": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "100": (EventType.UNKNOWN, None, None),
    **dict.fromkeys(("20", "21", "22", "23", "40", "70"), (EventType.BOUNCED, "soft", RejectReason.BOUNCED)),
}  # any other is a soft one: an address is silenced only on a word that we know


@dataclass(frozen=True, slots=True)
class SparkPostWebhook:
    """Signs nothing: a name and password, or the token of an authorization server, come in a header.

    https://support.sparkpost.com/docs/tech-resources/webhook-authentication (read 2026-11-29). Whatever is
    not answered 200 comes again for eight hours.
    """

    settings: Provider
    stops_with = 400

    async def events(self, hook: Hook) -> Sequence[Event]:
        hooks.known_by_password_or_token(hook, self.settings.webhook)
        return hooks.each(hook, event_of)


def event_of(told: Mapping[str, Any], received_at: datetime) -> Event | None:
    """An event lies in an envelope that names its class; an empty one asks whether we are there."""
    envelope = told["msys"].items()
    if not envelope:
        return None
    [(class_name, about)] = envelope
    said = hooks.text_of(about.get("type")) or hooks.text_of(class_name)
    type_, class_, why = kind_of(said, about)
    agent, raw = hooks.text_of(about.get("user_agent")), hooks.raw_of(told)
    return Event(
        type=type_,
        id=hooks.own_id(about.get("event_id")) or hooks.id_of(raw),
        occurred_at=hooks.when(about.get("timestamp"), received_at),
        said=said,
        address=hooks.text_of(about.get("raw_rcpt_to") or about.get("rcpt_to")),
        key=hooks.text_of(hooks.object_of(about.get("rcpt_meta")).get("delivery")),
        message_id=hooks.text_of(about.get("transmission_id")),  # as the call was answered
        reject_reason=why,
        bounce_class=class_,
        description=hooks.text_of(about.get("raw_reason") or about.get("reason")),
        link=hooks.text_of(about.get("target_link_url"), most=2000),
        user_agent=agent,
        by=_hand(about, agent) if type_ in (EventType.OPENED, EventType.CLICKED) else None,
        raw=raw,
    )


def kind_of(said: str, about: Mapping[str, Any]) -> Kind:
    kind = REPORTS.get(said, (EventType.UNKNOWN, None, None))
    return (
        BOUNCES.get(hooks.text_of(about.get("bounce_class")), kind) if kind[0] is EventType.BOUNCED else kind
    )


def _hand(about: Mapping[str, Any], agent: str) -> Hand:
    """SparkPost tells of pictures that were fetched ahead of a reader, and by a mail service for its own."""
    parsed = hooks.object_of(about.get("user_agent_parsed"))
    if parsed.get("is_prefetched") is True:
        return "bot"
    return "unknown" if parsed.get("is_proxy") is True else hooks.hand(agent)
