"""SendGrid's own words: what mail/send is sent, and what it answers."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import AccountTrouble, ConfigError, Forged, Refused, SomeRefused, TryLater
from distributor.model import Digest, EventType, RejectReason
from distributor.providers.email.sendgrid import SendGrid, SendGridWebhook, payload
from distributor.providers.protocol import Hook
from tests.providers.contract import BATCH, DIGEST, EMAILS, SENDER, FarEnd, Message, Vendor, body, send
from tests.providers.hooks import KEY, NEW, NOW, OLD, OTHER, READER, Example, InHeader, Reported

SETTINGS = Provider(type="sendgrid", key=SecretStr("SG.123"))


def accepted(request: httpx.Request) -> httpx.Response:
    return httpx.Response(202, headers={"X-Message-Id": "14c5d75ce93"})


def messages(request: httpx.Request) -> list[Message]:
    told = body(request)
    parts = {part["type"]: part["value"] for part in told["content"]}
    inline = {
        picture["content_id"]: base64.b64decode(picture["content"]) for picture in told.get("attachments", ())
    }
    return [
        Message(
            address=one["to"][0]["email"],
            subject=filled(told["subject"], one),
            html=filled(parts["text/html"], one).replace("&quot;", "&#34;"),  # the same in HTML
            text=filled(parts["text/plain"], one),
            headers=one["headers"],
            keys=list(one["custom_args"].values()),
            inline=inline,
        )
        for one in told["personalizations"]
    ]


def filled(text: str, personalization: dict[str, Any]) -> str:
    """What SendGrid makes of the text: every tag replaced, one after the other."""
    for tag, value in personalization["substitutions"].items():
        text = text.replace(tag, value)
    return text


VENDOR = Vendor(
    name="sendgrid",
    provider=lambda transport: SendGrid(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="sendgrid.mail.v3.json",
)


def answering(status: int, *errors: tuple[str, str | None]) -> FarEnd:
    told = {"errors": [{"message": message, "field": field, "help": None} for message, field in errors]}
    return FarEnd(lambda request: httpx.Response(status, json=told))


@pytest.mark.anyio
async def test_the_receipt_is_the_message_id():
    """An accepted call has an empty body; its id stands in a header, and the call is signed."""
    far_end = FarEnd(accepted)
    answer = await send(VENDOR, far_end)
    assert answer.receipt == "14c5d75ce93"
    [request] = far_end.requests
    assert str(request.url) == "https://api.sendgrid.com/v3/mail/send"
    assert request.headers["authorization"] == "Bearer SG.123"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"region": "eu"}, "api.eu.sendgrid.com"),
        ({"region": "eu", "base_url": "https://other.example"}, "other.example"),
    ],
)
async def test_the_call_goes_where_the_settings_say(settings: dict[str, str], host: str):
    """A region has its own host, and `base_url` stands above it."""
    configured = SETTINGS.model_copy(update=settings)
    vendor = replace(VENDOR, provider=lambda transport: SendGrid(configured, transport=transport))
    far_end = FarEnd(accepted)
    await send(vendor, far_end)
    assert far_end.requests[0].url.host == host


@pytest.mark.anyio
async def test_who_is_named_is_refused_and_the_others_go_later():
    """A bad address makes SendGrid refuse all; only the one it names is refused for good."""
    far_end = answering(400, ("Does not contain a valid address.", "personalizations.1.to.0.email"))
    answer = await send(VENDOR, far_end)
    assert answer.refused == {2: "Does not contain a valid address."}
    assert set(answer.later) == {1, 3}
    assert not answer.receipt
    assert not answer.receipts


@pytest.mark.anyio
async def test_who_is_named_is_found_past_an_address_that_was_left_out():
    """The places that SendGrid names are those of the request, not those of the batch."""
    twin = replace(EMAILS[1], address=EMAILS[0].address)
    far_end = answering(400, ("Does not contain a valid address.", "personalizations.1.to.0.email"))
    answer = await send(VENDOR, far_end, [EMAILS[0], twin, EMAILS[2]])
    assert set(answer.refused) == {3}
    assert set(answer.later) == {1, 2}


@pytest.mark.anyio
async def test_one_address_stands_in_a_call_once():
    """SendGrid refuses a call with the same address twice, so the second reader goes later."""
    far_end = FarEnd(accepted)
    answer = await send(VENDOR, far_end, [EMAILS[0], replace(EMAILS[1], address="READER1@example.org")])
    assert [message.address for message in messages(far_end.requests[0])] == ["reader1@example.org"]
    assert set(answer.later) == {2}


DUPLICATE = (
    "Each email address in the personalization block should be unique between to, cc, and bcc."
    " We found the first duplicate instance of [reader1@example.org] in the personalizations.0.to field."
)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "message", "field", "error"),
    [
        (400, "The subject is required.", "subject", Refused),
        (400, "Bad Request", None, Refused),
        (400, "The headers must not include List-Id.", "personalizations.0.headers", Refused),
        (400, DUPLICATE, "personalizations.0", SomeRefused),
        (400, "Does not contain a valid address.", "personalizations.3.to.0.email", SomeRefused),
        (400, "There is a limit of 1000 total recipients per request.", "personalizations", SomeRefused),
        (400, "The from email does not contain a valid address.", "from.email", AccountTrouble),
        (
            403,
            "The from address does not match a verified Sender Identity.",
            "from",
            AccountTrouble,
        ),
        (401, "Maximum credits exceeded", None, AccountTrouble),
        (401, "The provided authorization grant is invalid, expired, or revoked", None, AccountTrouble),
        (404, "not found", None, AccountTrouble),
        (413, "content too large", None, SomeRefused),
        (429, "too many requests", None, TryLater),
    ],
)
async def test_errors_say_what_to_do_next(status: int, message: str, field: str | None, error: type):
    """What is wrong with the message is final; the account's trouble waits for a person."""
    with pytest.raises(error) as raised:
        await send(VENDOR, answering(status, (message, field)))
    assert type(raised.value) is error
    assert "SG.123" not in str(raised.value)


@pytest.mark.anyio
async def test_a_bad_message_is_refused_whoever_is_named_besides():
    """One error about the message itself is enough: nobody will ever get it."""
    far_end = answering(
        400,
        ("Does not contain a valid address.", "personalizations.1.to.0.email"),
        ("The content value must be a string at least one character in length.", "content.0.value"),
    )
    with pytest.raises(Refused) as raised:
        await send(VENDOR, far_end)
    assert type(raised.value) is Refused


@pytest.mark.anyio
async def test_the_waits_of_its_own_headers_are_kept():
    """With no call left in the window, the next one waits until it ends."""
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12"}
    answer = await send(VENDOR, FarEnd(lambda request: httpx.Response(202, headers=spent)))
    assert answer.pause == 12


@pytest.mark.anyio
async def test_names_have_neither_commas_nor_semicolons():
    """SendGrid does not quote the names of recipients: `Ada, B` would become two addresses."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end, [replace(EMAILS[0], name="Lovelace, Ada;\nCountess")])
    [one] = body(far_end.requests[0])["personalizations"]
    assert one["to"] == [{"email": "reader1@example.org", "name": "Lovelace Ada Countess"}]


def test_the_newsletter_is_named_however_long_its_title_is():
    """Sender and answers as configured; List-Id on one line, in ASCII, for each reader."""
    sender = replace(SENDER, reply_to="Ed, the Editor <ed@news.example>", list_name="Großer Morgen " * 9)
    told = payload(BATCH, DIGEST, EMAILS, sender, lambda picture: b"")
    assert told["from"] == {"email": "news@news.example", "name": "The Morning"}
    assert told["reply_to"] == {"email": "ed@news.example", "name": "Ed, the Editor"}
    for one in told["personalizations"]:
        list_id = one["headers"]["List-Id"]
        assert list_id.isascii()
        assert list_id.isprintable()
        assert list_id.endswith("<m.news.example>")


@pytest.mark.anyio
async def test_who_has_too_much_to_fill_in_is_refused_alone():
    """Substitutions may have 10 000 bytes a reader: who has more is named, and is the only one."""
    far_end = answering(
        400, ("The substitutions may not exceed 10000 bytes.", "personalizations.0.substitutions")
    )
    answer = await send(VENDOR, far_end)
    assert set(answer.refused) == {1}
    assert set(answer.later) == {2, 3}


@pytest.mark.anyio
async def test_what_a_value_says_is_not_read_as_a_tag():
    """A reader who calls themselves like a slot is shown under that name."""
    name = "@@unsubscribe_url@@ -html.name-"
    far_end = FarEnd(accepted)
    email = replace(EMAILS[0], name=name, slots={**EMAILS[0].slots, "name": name})
    await send(VENDOR, far_end, [email])
    assert f"Hello {name}," in messages(far_end.requests[0])[0].text


@pytest.mark.anyio
async def test_sendgrid_adds_no_unsubscribe_link_of_its_own():
    """Two ways to leave, of which one does not reach us, would be one too many."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    assert body(far_end.requests[0])["tracking_settings"] == {"subscription_tracking": {"enable": False}}


@pytest.mark.anyio
async def test_slots_that_a_digest_lacks_are_not_sent():
    """Substitutions may have 10 000 bytes a reader, and a call of a thousand readers stays small."""
    far_end = FarEnd(accepted)
    digest: Digest = replace(DIGEST, html="<p>Hello @@name@@</p>", text="Hello")
    await send(VENDOR, far_end, digest=digest)
    for one in body(far_end.requests[0])["personalizations"]:
        assert len(one["substitutions"]) == 1


# --- what it reports ---

# An endpoint's key pairs, by the names of its secrets.
KEYS = {
    name: ec.derive_private_key(7 + place, ec.SECP256R1()) for place, name in enumerate((NEW, OLD, OTHER))
}


def shown(name: str) -> str:
    """A public key as SendGrid's settings show it."""
    der = KEYS[name].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def signed(told: bytes, secret: str, at: datetime) -> Hook:
    sent = f"{at.timestamp():.0f}"
    signature = KEYS[secret].sign(sent.encode() + told, ec.ECDSA(SHA256()))
    headers = {
        "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": sent,
        "content-type": "application/json",
    }
    return Hook(body=told, headers=headers, received_at=at)


def event(kind: str, place: int, **fields: Any) -> dict[str, Any]:
    """An event in the shape of SendGrid's reference (read 2026-11-23)."""
    return {
        "email": READER,
        "timestamp": 1780297140,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": kind,
        "category": ["cat facts"],
        "delivery": KEY,
        "sg_event_id": f"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9B{place}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        **fields,
    }


SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1"
)


def bounce(place: int, kind: str | None, class_: str, why: RejectReason) -> Example:
    return Example(
        told=event(
            "bounce", place, reason="550 5.1.1 unknown", status="5.1.1", **({"type": kind} if kind else {})
        ),
        says={"type": EventType.BOUNCED, "bounce_class": class_, "reject_reason": why},
    )


def drop(place: int, said: str, class_: str | None, why: RejectReason) -> Example:
    return Example(
        told=event("dropped", place, reason=said, status="5.0.0"),
        says={
            "type": EventType.REJECTED,
            "bounce_class": class_,
            "reject_reason": why,
            "description": said,
        },
    )


REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={
            "webhook": WebhookSettings(public_key=(shown(NEW), f"-----BEGIN PUBLIC KEY-----\n{shown(OLD)}"))
        }
    ),
    signed=signed,
    seal=InHeader("x-twilio-email-event-webhook-signature"),
    window=timedelta(hours=24),
    in_lists=True,
    examples=[
        Example(
            told=event("processed", 1),
            says={
                "type": EventType.QUEUED,
                "said": "processed",
                "id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9B1",
                "occurred_at": datetime(2026, 6, 1, 6, 59, tzinfo=UTC),
                "address": READER,
                "key": KEY,
                "message_id": "14c5d75ce93",
            },
        ),
        Example(
            told=event("deferred", 2, response="400 try again later", attempt="5"),
            says={"type": EventType.DEFERRED, "description": "400 try again later", "bounce_class": "soft"},
        ),
        Example(
            told=event("delivered", 3, response="250 OK"),
            says={"type": EventType.DELIVERED, "bounce_class": None, "reject_reason": None},
        ),
        bounce(4, "bounce", "hard", RejectReason.BOUNCED),
        bounce(5, "blocked", "soft", RejectReason.BLOCKED),
        bounce(6, "something new", "soft", RejectReason.OTHER),
        bounce(7, None, "soft", RejectReason.OTHER),
        drop(8, "Bounced Address", "hard", RejectReason.BOUNCED),
        drop(9, "Invalid", "hard", RejectReason.INVALID),
        drop(10, "Spam Reporting Address", None, RejectReason.SPAM),
        drop(11, "Unsubscribed Address", None, RejectReason.UNSUBSCRIBED),
        drop(12, "Recipient List over Package Quota", None, RejectReason.OTHER),
        Example(
            told=event("open", 13, useragent=SAFARI, ip="255.255.255.255", sg_machine_open=False),
            says={"type": EventType.OPENED, "by": "human", "user_agent": SAFARI},
        ),
        Example(
            told=event("open", 14, useragent=SAFARI, sg_machine_open=True),
            says={"type": EventType.OPENED, "by": "bot"},
        ),
        Example(
            told=event("click", 15, useragent="", url="https://news.example/a?utm=1"),
            says={"type": EventType.CLICKED, "by": "unknown", "link": "https://news.example/a?utm=1"},
        ),
        Example(told=event("spamreport", 16), says={"type": EventType.COMPLAINED}),
        Example(told=event("unsubscribe", 17), says={"type": EventType.UNSUBSCRIBED}),
        Example(told=event("group_unsubscribe", 18, asm_group_id=10), says={"type": EventType.UNSUBSCRIBED}),
        Example(told=event("group_resubscribe", 19, asm_group_id=10), says={"type": EventType.SUBSCRIBED}),
    ],
    unknown={"event": "account_status_change", "type": "compliance_suspend", "timestamp": 1780297140},
)


@pytest.mark.anyio
async def test_the_line_end_after_the_list_is_signed_with_it():
    """SendGrid ends its body with a line; who cuts it off finds no signature right."""
    told = REPORTED.body(REPORTED.examples[0].told) + b"\r\n"
    assert await REPORTED.webhook().events(signed(told, NEW, NOW))


@pytest.mark.anyio
@pytest.mark.parametrize("sent", ["", "now", "1e9", "-1", "١٢٣", "9" * 12, "9" * 99, "1780297140.5"])
async def test_a_time_that_is_none_is_not_signed(sent: str):
    """The time is a number of seconds, and part of what is signed."""
    hook = InHeader("x-twilio-email-event-webhook-timestamp").put(REPORTED.hook(REPORTED.unknown), sent)
    with pytest.raises(Forged):
        await REPORTED.webhook().events(hook)


ED25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="  # RFC 8410, section 10.1


@pytest.mark.parametrize("key", ["", "not base64!", "Zm9v", shown(NEW)[:-8], ED25519])
def test_a_key_that_is_none_is_told_at_once(key: str):
    """A wrong setting is an error at the start, not a refusal of every event."""
    with pytest.raises(ConfigError, match="public_key"):
        SendGridWebhook(SETTINGS.model_copy(update={"webhook": WebhookSettings(public_key=(key,))}))


@pytest.mark.anyio
async def test_half_a_character_in_one_event_does_not_lose_the_others():
    """What a server answered may be cut anywhere, even in the middle of a sign."""
    told = REPORTED.body(REPORTED.examples[0].told, event("bounce", 99, type="bounce", reason="no 😀"))
    cut = told.replace(rb"\ude00", b"")
    events = await REPORTED.webhook().events(signed(cut, NEW, NOW))
    assert [one.type for one in events] == [EventType.QUEUED, EventType.BOUNCED]
    assert events[1].description == "no \N{REPLACEMENT CHARACTER}"


@pytest.mark.anyio
async def test_an_event_without_an_id_is_told_by_what_it_says():
    """Old kinds have no sg_event_id: the same one is still known again, and another is another."""
    told = {name: value for name, value in REPORTED.examples[0].told.items() if name != "sg_event_id"}
    other = told | {"timestamp": 1780297141}
    found = await REPORTED.webhook().events(REPORTED.hook(told, other, told))
    assert found[0].id == found[2].id != found[1].id
