"""MailerSend: https://developers.mailersend.com/api/v1/email.html#send-bulk-emails"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import orjson
from pydantic import SecretStr

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, Forged, Refused, SendError, SomeRefused, TryLater
from distributor.model import Answer, Batch, BounceClass, Digest, Email, Event, EventType, RejectReason
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address
from distributor.providers.email.readers import all_but, contact
from distributor.providers.protocol import EmailLimits, Hook, Media
from distributor.providers.reasons import reason
from distributor.slots import JsonSlotted, Slotted, split

BASE_URL = "https://api.mailersend.com"

# The codes at the end of its sentences (https://developers.mailersend.com/general, read 2026-11-23).
ACCOUNT = frozenset(
    {
        "MS42204",  # email quota of the account
        "MS42207",  # domain not verified
        "MS42216",  # needs another plan
        "MS42222",  # quota of a trial domain
        "MS42225",  # recipients of a trial domain
        "MS42226",  # domain of a template not verified
    }
)
ADDRESS = frozenset({"MS42201", "MS42208"})  # twice in a list; no valid address
DAILY = "MS42901"  # of API calls, till midnight UTC
AN_HOUR = 3600.0  # seconds

# MailerSend fills in "{{x}}" and compiles "{%" in every mail, and knew "{$x}" before: in an article they are
# text, so their first brace comes back as a value.
BRACE = "{{brace}}"
OPENS = re.compile(r"\{(?=[{%#$]|\Z)")


@dataclass(frozen=True, slots=True)
class MailerSend:
    """Each message is complete: its batch call is many single mails.

    List-Unsubscribe is MailerSend's own below its Professional plan
    (https://www.mailersend.com/help/custom-headers, read 2026-11-23), so none is asked for.
    """

    # 500 mails fit; with 100 of some 60 kB the request stays near 5 MB. There may be ten calls a minute, and
    # a batch takes two: it is asked once what became of it. There is no request key: a call again is a mail
    # again.
    limits = EmailLimits(recipients_per_call=100, calls_per_minute=5)

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None
    patience: float = 5  # seconds from a batch to the question what became of it

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or BASE_URL
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self.settings.key.get_secret_value()}",
        }
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened, self.patience)


@dataclass(frozen=True, slots=True)
class Calls:
    """MailerSend, while there are connections to it."""

    _http: httpx.AsyncClient
    _patience: float

    async def probe(self) -> None:
        """Whether the key opens the account: https://developers.mailersend.com/api/v1/api-quota.html"""
        await http.get(self._http, "/v1/api-quota")

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        told = payload(batch, digest, emails, sender, media)
        answer = await http.post(
            self._http, "/v1/bulk-email", told, judge=judge, telling=lambda answer: bool(places(answer))
        )
        if not answer.is_success:
            return all_but(places(answer), emails)
        id_ = bulk_id(http.body(answer))
        return replace(outcome(await self._status(id_), id_, emails), pause=http.pause(answer))

    async def _status(self, id_: str) -> Mapping[str, Any]:
        """What MailerSend has made of the batch so far; nothing, if it does not say.

        It checks the messages after its 202. Without this question a domain that is not verified would look
        like an edition that everybody has. Asked once: the rest is told by events.
        """
        await anyio.sleep(self._patience)
        try:
            body = await http.get(self._http, f"/v1/bulk-email/{quote(id_, safe='')}")
            return dict(body["data"]) if isinstance(body, dict) else {}
        except (SendError, KeyError, TypeError, ValueError):
            return {}


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> list[dict[str, Any]]:
    html, text = plain_pieces(digest.html).in_json(), plain_pieces(digest.text).in_json()
    same: dict[str, Any] = {"from": contact(*mailbox(sender.from_)), "subject": plain(digest.subject)}
    if sender.reply_to:
        same["reply_to"] = contact(*mailbox(sender.reply_to))
    if digest.pictures:
        same["attachments"] = attachments(digest, media)
    return [_message(batch, email, same, html, text) for email in emails]


def _message(
    batch: Batch, email: Email, same: Mapping[str, Any], html: JsonSlotted, text: JsonSlotted
) -> dict[str, Any]:
    address = ascii_address(email.address)
    values = {slot: plain(value) for slot, value in email.slots.items()}
    return {
        **same,
        "to": [contact("", address)],
        "html": html.fill(values),
        "text": text.fill(values, escape=False),
        "personalization": [{"email": address, "data": {"brace": "{"}}],
        "tags": [email.key, batch.key],
    }


def plain(text: str) -> str:
    """*text* that MailerSend's templates give back as it is."""
    return OPENS.sub(BRACE, text)


def plain_pieces(text: str) -> Slotted:
    pieces = list(split(text).pieces)
    pieces[0::2] = [plain(piece) for piece in pieces[0::2]]
    return Slotted(pieces=tuple(pieces))


def attachments(digest: Digest, media: Media) -> list[dict[str, str]]:
    return [
        {
            "content": b64encode(media(picture)).decode(),
            "disposition": "inline",
            "filename": picture.name,
            "id": picture.hash,
        }
        for picture in digest.pictures
    ]


def bulk_id(body: Any) -> str:
    with http.reading(body):
        return str(body["bulk_email_id"])


def outcome(status: Mapping[str, Any], id_: str, emails: Sequence[Email]) -> Answer:
    """Who is accepted, by the batch's status.

    How its errors name a message is not documented: a reader counts as suppressed when their address is told,
    and what cannot be attributed is unclear for all.

    Raises:
        AccountTrouble: no message was made, and a person can mend it.
        Refused: no message was made.
    """
    errors = orjson.dumps(status.get("validation_errors")).decode()
    said = reason(f"of batch {id_}: {errors}")
    if not status.get("validation_errors_count"):
        told = orjson.dumps(status.get("suppressed_recipients")).decode().lower()
        gone = {e.recipient: SUPPRESSED for e in emails if f'"{ascii_address(e.address).lower()}"' in told}
        return Answer(receipt=id_, refused=gone)
    if status.get("messages_id") or status.get("state") != "completed":  # or there will be some yet
        return Answer(unclear={email.recipient: said for email in emails})
    raise AccountTrouble(said) if codes(errors) & ACCOUNT else Refused(said)


SUPPRESSED = "suppressed by MailerSend"


def judge(answer: httpx.Response) -> SendError | None:
    """A 422 says by a code whom it is about."""
    found = codes(http.words(answer)) if answer.status_code in (422, 429) else set()
    if DAILY in found:
        return TryLater(http.said(answer), after=http.retry_after(answer) or AN_HOUR)
    if found & ACCOUNT:
        return AccountTrouble(http.said(answer))
    return SomeRefused(http.said(answer)) if found & ADDRESS else None


def codes(text: str) -> set[str]:
    return set(re.findall(r"#(MS\d+)", text))


def places(answer: httpx.Response) -> dict[int, str]:
    """The places of the messages whose recipients a 422 calls wrong: `3.to.0.email`; none, if more is."""
    if answer.status_code != 422:
        return {}
    try:
        errors = orjson.loads(answer.content)["errors"]
        if all(re.match(r"\d+\.to\.", field) for field in errors):
            return {int(field.partition(".")[0]): str(said) for field, said in errors.items()}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        pass  # of another form: its status says enough
    return {}


# --- what it reports: https://developers.mailersend.com/api/v1/account/webhooks (read 2026-11-23) ---

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

ACTIVITIES: Mapping[str, Kind] = {  # type, behind "activity." -> ours
    "sent": (EventType.SENT, None, None),
    "delivered": (EventType.DELIVERED, None, None),
    "soft_bounced": (EventType.BOUNCED, "soft", RejectReason.BOUNCED),
    "hard_bounced": (EventType.BOUNCED, "hard", RejectReason.BOUNCED),
    "deferred": (EventType.DEFERRED, "soft", None),
    "opened": (EventType.OPENED, None, None),
    "opened_unique": (EventType.OPENED, None, None),  # the first
    "clicked": (EventType.CLICKED, None, None),
    "clicked_unique": (EventType.CLICKED, None, None),
    "unsubscribed": (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
    "spam_complaint": (EventType.COMPLAINED, None, RejectReason.SPAM),
    "suppressed": (EventType.REJECTED, None, RejectReason.BLOCKED),  # it sends nothing to the address
}  # surveys, maintenance, lists and mail that comes in are none of ours

# It signs its first request to a new address with a secret that everybody knows, and keeps the webhook only
# if that is answered well: the secret stands in its documentation, and is good for nothing else.
PING = "webhook.test"
PING_SECRET = (SecretStr("test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G"),)


@dataclass(frozen=True, slots=True)
class MailerSendWebhook:
    """Signs the body, and no time: an event that comes again is known by its id."""

    settings: Provider
    stops_with = 400

    async def events(self, hook: Hook) -> Sequence[Event]:
        signature = hook.headers.get("signature", "")
        is_ours = hooks.is_signed(hook.body, signature, self.settings.webhook.secret)
        if not is_ours and not hooks.is_signed(hook.body, signature, PING_SECRET):
            raise Forged("is not signed with [providers.….webhook] secret")
        told = hooks.only(hook)
        if told.get("type") == PING:
            return ()
        if not is_ours:
            raise Forged("is signed with the secret that everybody knows")
        with hooks.reading():
            return [event_of(told, hook.received_at)]


def event_of(told: Mapping[str, Any], received_at: datetime) -> Event:
    said, data = hooks.text_of(told["type"]), hooks.object_of(told.get("data"))
    type_, class_, why = (EventType.UNKNOWN, None, None)
    if said.startswith("activity."):
        type_, class_, why = ACTIVITIES.get(said.removeprefix("activity."), (type_, None, None))
    whom, tags, message = _message_of(data)
    meta = hooks.object_of(data.get("meta")) or hooks.object_of(data.get("morph"))
    agent, raw = hooks.text_of(meta.get("user_agent")), hooks.raw_of(told)
    own_id = hooks.own_id(data.get("id")) if type_ is not EventType.UNKNOWN else ""  # else of other things
    return Event(
        type=type_,
        id=own_id or hooks.id_of(raw),
        occurred_at=hooks.when(data.get("created_at") or told.get("created_at"), received_at),
        said=said,
        address=hooks.text_of(whom),
        key=_key(tags),
        message_id=hooks.text_of(message),
        reject_reason=why,
        bounce_class=class_,
        description=hooks.text_of(next((meta[name] for name in REASONS if meta.get(name)), None)),
        link=hooks.text_of(meta.get("url"), most=2000),
        user_agent=agent,
        by=hooks.hand(agent) if type_ in (EventType.OPENED, EventType.CLICKED) else None,
        raw=raw,
    )


REASONS = (  # where it says why, in its newer form and then in its older one
    "bounce_reason",
    "reject_reason",
    "suppression_reason",
    "unsubscribe_reason",
    "readable_reason",
    "reason",
)


def _message_of(data: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Whom a message was for, its tags, and its id; in the form of older webhooks all are inside."""
    email = data.get("email")
    if not isinstance(email, dict):
        return data.get("recipient") or email, data.get("tags"), data.get("message_id")
    whom, message = hooks.object_of(email.get("recipient")), hooks.object_of(email.get("message"))
    return whom.get("email"), email.get("tags"), message.get("id")


def _key(tags: Any) -> str:
    """The tag that is a delivery's; the other one is its batch's, a UUID."""
    texts = [hooks.text_of(tag) for tag in tags] if isinstance(tags, list) else []
    return next((tag for tag in texts if re.fullmatch(r"\d+-\d+-[^-]+", tag, re.ASCII)), "")
