"""Brevo's own words: what its versions are sent, and what it answers."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import AccountTrouble, Refused, SomeRefused, Unclear
from distributor.model import EventType, RejectReason
from distributor.providers.email.brevo import Brevo
from distributor.providers.protocol import Hook
from tests.providers.contract import BATCH, CALLED, DIGEST, EMAILS, FarEnd, Message, Vendor, body, email, send
from tests.providers.hooks import KEY, NEW, NOW, OLD, READER, Example, InHeader, Reported, encoded

SETTINGS = Provider(type="brevo", key=SecretStr("xkeysib-123"))


def accepted(request: httpx.Request) -> httpx.Response:
    ids = [f"<{n}@relay.example>" for n, _ in enumerate(body(request)["messageVersions"])]
    return httpx.Response(201, json={"messageIds": ids})


def messages(request: httpx.Request) -> list[Message]:
    told = body(request)
    return [
        Message(
            address=version["to"][0]["email"],
            subject=rendered(told["subject"], version["params"]),
            html=rendered(told["htmlContent"], version["params"]),
            text=rendered(told["textContent"], version["params"]),
            headers=version["headers"],
            keys=[version["headers"]["X-Mailin-custom"]],
        )
        for version in told["messageVersions"]
    ]


TOKEN = re.compile(r"(\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\})")


def rendered(template: str, params: dict[str, str]) -> str:
    """As Brevo's template language has it: values are escaped unless that is off; unknown ones fail."""
    escaping, out = True, []
    for place, token in enumerate(TOKEN.split(template)):
        words = token.strip("{%} ").split()
        if place % 2 == 0:
            out.append(token)
        elif words[0] in ("autoescape", "endautoescape"):
            escaping = words != ["autoescape", "off"]
        else:
            value = params[words[0].removeprefix("params.")]
            out.append(escape(value) if escaping else value)
    return "".join(out)


VENDOR = Vendor(
    name="brevo",
    provider=lambda transport: Brevo(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="brevo.v3.json",
    # Not in the description of 2024; django-anymail and swoosh send them, and mails carry them.
    allowed=frozenset({"messageVersions.headers"}),
)


def answering(status: int, told: object) -> FarEnd:
    return FarEnd(lambda request: httpx.Response(status, json=told))


@pytest.mark.anyio
async def test_the_call_is_signed_and_has_its_key_in_the_body():
    """The account's key, and our request's as `idempotencyKey` and as the tag by which it is found again."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    [request] = far_end.requests
    assert str(request.url) == "https://api.brevo.com/v3/smtp/email"
    assert request.headers["api-key"] == "xkeysib-123"
    assert body(request)["headers"] == {"idempotencyKey": BATCH.key}
    assert body(request)["tags"] == [BATCH.key]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "literal", ["{{x}}", "{% verbatim %}{% endverbatim %}", "{# note #}", "{{{", "@media{#a{b:c}}", "{% if"]
)
async def test_an_articles_own_templates_arrive_unchanged(literal: str):
    """Whatever of Brevo's syntax an article has, also right before a slot, is text to its readers."""
    far_end = FarEnd(accepted)
    digest = replace(
        DIGEST, subject=literal, text=f"{literal}@@name@@", html=f"<p>{literal}@@name@@ {literal}"
    )
    await send(VENDOR, far_end, [email(1, name="{{y}} & co")], digest=digest)
    [message] = messages(far_end.requests[0])
    assert message.subject == literal
    assert message.text == literal + "{{y}} & co"
    assert message.html == f"<p>{literal}{{{{y}}}} &amp; co {literal}"


@pytest.mark.anyio
async def test_the_content_travels_once():
    """With every reader the call grows by their values only."""
    few, many = FarEnd(accepted), FarEnd(accepted)
    digest = replace(DIGEST, html=DIGEST.html + "x" * 50_000)
    await send(VENDOR, few, digest=digest)
    await send(VENDOR, many, [email(n) for n in range(1, 251)], digest=digest)
    assert len(few.requests[0].content) < 53_000
    assert (len(many.requests[0].content) - len(few.requests[0].content)) / 247 < 1000


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("", None),
        ("Ada, née Byron", "Ada née Byron"),
        ("Ada, of London", "Ada, of London"),
        ("x" * 90, "x" * 70),
    ],
)
async def test_names_are_such_as_brevo_sends(name: str, sent: str | None):
    """At most 70 characters; special ones beside others than ASCII would cost the whole name."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end, [email(1, name=name)])
    assert body(far_end.requests[0])["messageVersions"][0]["to"][0].get("name") == sent


@pytest.mark.anyio
async def test_a_call_of_one_has_one_id():
    """The vendor's page shows `messageId` for one and `messageIds` for many."""
    answer = await send(VENDOR, answering(201, {"messageId": "<201798300811.5787683@relay>"}), EMAILS[:1])
    assert answer.receipts == {1: "<201798300811.5787683@relay>"}


@pytest.mark.anyio
async def test_ids_for_fewer_than_were_sent_are_unclear():
    """Nobody can say whose id is missing."""
    with pytest.raises(Unclear):
        await send(VENDOR, answering(201, {"messageIds": ["<1@relay>"]}))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "code", "message", "error"),
    [
        (400, "duplicate_parameter", "…", Unclear),
        (402, "not_enough_credits", "Not enough credits", AccountTrouble),
        (400, "account_under_validation", "Your account is under validation", AccountTrouble),
        (400, "invalid_parameter", "Sender is invalid / inactive", AccountTrouble),
        (400, "invalid_parameter", "email is not valid in to", SomeRefused),
        (400, "missing_parameter", "htmlContent is missing", Refused),
    ],
)
async def test_a_code_says_whom_it_is_about(status: int, code: str, message: str, error: type[Exception]):
    """Our key, the account, somebody's address or the message itself."""
    with pytest.raises(error) as raised:
        await send(VENDOR, answering(status, {"code": code, "message": message}))
    assert type(raised.value) is error


@pytest.mark.anyio
async def test_what_became_of_a_call_is_found_in_the_events():
    """Events with our tag tell who was accepted; an older edition's are not taken for this one's."""
    event = {"event": "requests", "date": "2017-03-12T12:30:00Z", "from": "news@news.example"}
    told = {
        "events": [
            event | {"email": "Reader1@example.org", "messageId": "<1@relay>", "tag": BATCH.key},
            event | {"email": "reader2@example.org", "messageId": "<2@relay>", "tag": "another"},
            event | {"email": "stranger@example.org", "messageId": "<3@relay>", "tag": BATCH.key},
        ]
    }
    far_end = answering(200, told)
    async with Brevo(SETTINGS, transport=far_end.transport()).connected() as calls:
        assert await calls.find(CALLED, EMAILS) == {1: "<1@relay>"}
    asked = far_end.requests[0].url
    assert (asked.path, asked.params["tags"]) == ("/v3/smtp/statistics/events", BATCH.key)


@pytest.mark.anyio
async def test_a_call_that_left_nothing_is_found_as_nothing():
    """Brevo leaves `events` out where there are none."""
    async with Brevo(SETTINGS, transport=answering(200, {}).transport()).connected() as calls:
        assert await calls.find(CALLED, EMAILS) == {}


@pytest.mark.anyio
async def test_the_key_never_stands_in_a_message():
    """What is recorded of a failure does not give the account away."""
    with pytest.raises(AccountTrouble) as raised:
        await send(VENDOR, answering(401, {"code": "unauthorized", "message": "Key not found"}))
    assert "xkeysib" not in str(raised.value)


# --- what it reports ---

SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML) Version/17.1"


def by_password(told: bytes, secret: str, at: datetime) -> Hook:
    credentials = b64encode(f"brevo:{secret}".encode()).decode()
    return Hook(body=told, headers={"authorization": f"Basic {credentials}"}, received_at=at)


def by_token(told: bytes, secret: str, at: datetime) -> Hook:
    return Hook(body=told, headers={"authorization": f"Bearer {secret}"}, received_at=at)


def told(event: str, **fields: Any) -> dict[str, Any]:
    """An event in the shape of Brevo's page on transactional webhooks (read 2026-11-29)."""
    return {
        "event": event,
        "email": READER,
        "id": 26224,  # the webhook's
        "date": "2026-06-01 08:59:00",
        "ts": 1780297140,
        "message-id": "<202606010659.12345678900@relay.example>",
        "ts_event": 1780297140,
        "subject": "News",
        "X-Mailin-custom": KEY,
        "sending_ip": "192.0.2.1",
        "ts_epoch": 1780297140250,
        "tags": ["7-1"],
        **fields,
    }


def kind(event: str, type_: EventType, class_: str | None, why: RejectReason | None) -> Example:
    return Example(
        told=told(event, reason="no such mailbox"),
        says={
            "type": type_,
            "bounce_class": class_,
            "reject_reason": why,
            "description": "no such mailbox",
        },
    )


def opened(event: str, agent: str, by: str) -> Example:
    return Example(
        told=told(event, user_agent=agent, device_used="DESKTOP"),
        says={"type": EventType.OPENED, "by": by, "user_agent": agent},
    )


EXAMPLES = [
    Example(
        told=told("delivered"),
        says={
            "type": EventType.DELIVERED,
            "said": "delivered",
            "address": READER,
            "key": KEY,
            "message_id": "<202606010659.12345678900@relay.example>",
            "occurred_at": datetime(2026, 6, 1, 6, 59, 0, 250000, UTC),
            "bounce_class": None,
        },
    ),
    Example(told=told("request"), says={"type": EventType.QUEUED, "key": KEY}),
    kind("deferred", EventType.DEFERRED, "soft", None),
    kind("hard_bounce", EventType.BOUNCED, "hard", RejectReason.BOUNCED),
    kind("soft_bounce", EventType.BOUNCED, "soft", RejectReason.BOUNCED),
    kind("invalid_email", EventType.BOUNCED, "hard", RejectReason.INVALID),
    kind("blocked", EventType.REJECTED, None, RejectReason.BLOCKED),
    Example(
        # Others saw it in seconds here.
        told=told("error", ts_epoch=1780297140),
        says={"type": EventType.FAILED, "occurred_at": datetime(2026, 6, 1, 6, 59, tzinfo=UTC)},
    ),
    Example(told=told("spam"), says={"type": EventType.COMPLAINED, "reject_reason": RejectReason.SPAM}),
    Example(told=told("complaint"), says={"type": EventType.COMPLAINED}),
    Example(told=told("unsubscribed"), says={"type": EventType.UNSUBSCRIBED}),
    Example(told=told("unsubscribe"), says={"type": EventType.UNSUBSCRIBED}),
    opened("unique_opened", SAFARI, "human"),
    opened("opened", "Googlebot/2.1", "bot"),
    opened("proxy_open", SAFARI, "unknown"),
    opened("unique_proxy_open", "", "unknown"),
    Example(
        told=told("click", link="https://news.example/a", user_agent=SAFARI),
        says={"type": EventType.CLICKED, "by": "human", "link": "https://news.example/a"},
    ),
]
UNKNOWN = told("list_addition", list_id=[3], key="xkeysib-…")

REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(username=("brevo",), password=(SecretStr(NEW), SecretStr(OLD)))}
    ),
    signed=by_password,
    seal=InHeader("authorization"),
    covers_body=False,
    in_lists=True,
    forgeries=lambda seal: [seal.replace("Basic", "Bearer"), f"Bearer {NEW}"],
    examples=EXAMPLES,
    unknown=UNKNOWN,
)
BY_TOKEN = replace(
    REPORTED,
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(token=(SecretStr(NEW), SecretStr(OLD)))},
    ),
    signed=by_token,
    in_lists=False,
    forgeries=lambda seal: [seal.replace("Bearer", "Basic"), seal.removeprefix("Bearer "), "Bearer"],
)


@pytest.mark.anyio
@pytest.mark.parametrize("way", [REPORTED, BY_TOKEN])
async def test_events_come_alone_and_in_batches(way: Reported):
    """The same event is the same, whether it comes by itself or in a batch of five minutes."""
    one, other = (example.told for example in EXAMPLES[:2])
    reader = way.webhook()
    [alone] = await reader.events(way.signed(encoded(one), NEW, NOW))
    batch = await reader.events(way.signed(encoded([other, one] * 250), NEW, NOW))
    assert len(batch) == 500
    assert len({event.id for event in batch}) == 2
    assert alone == batch[1]


@pytest.mark.anyio
async def test_marketing_mails_are_nobodys_delivery():
    """Brevo's own campaigns report to the same webhook: without our key, an event is of an address alone."""
    fields = {name: value for name, value in told("hard_bounce").items() if name != "X-Mailin-custom"}
    [event] = await REPORTED.webhook().events(REPORTED.hook(fields | {"camp_id": 7, "campaign name": "x"}))
    assert (event.type, event.key, event.address) == (EventType.BOUNCED, "", READER)
