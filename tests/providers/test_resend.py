"""Resend's own words: what its batch call is sent, and what it answers."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook as StandardWebhook

from distributor.config import Provider, WebhookSettings
from distributor.errors import ConfigError, Forged, TryLater
from distributor.model import EventType, RejectReason
from distributor.providers.email.resend import Resend, ResendWebhook
from distributor.providers.protocol import Hook
from tests.providers.contract import BATCH, EMAILS, FarEnd, Message, Vendor, body, send
from tests.providers.hooks import KEY, NEW, OLD, READER, Example, InHeader, Reported

SETTINGS = Provider(type="resend", key=SecretStr("re_123"))


def accepted(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"data": [{"id": f"id-{n}"} for n, _ in enumerate(body(request))]})


def messages(request: httpx.Request) -> list[Message]:
    return [
        Message(
            address=item["to"][0],
            subject=item["subject"],
            html=item["html"],
            text=item["text"],
            headers=item["headers"],
            keys=[tag["value"] for tag in item["tags"]],
        )
        for item in body(request)
    ]


VENDOR = Vendor(
    name="resend",
    provider=lambda transport: Resend(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="resend.json",
)


@pytest.mark.anyio
async def test_the_call_is_signed_and_can_be_repeated():
    """The account's key, our request's key, and validation message by message."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    [request] = far_end.requests
    assert str(request.url) == "https://api.resend.com/emails/batch"
    assert request.headers["authorization"] == "Bearer re_123"
    assert request.headers["idempotency-key"] == BATCH.key
    assert request.headers["x-batch-validation"] == "permissive"


@pytest.mark.anyio
async def test_who_is_refused_inside_an_accepted_call_is_refused_alone():
    """With permissive validation a 200 has the ids of the others in their order."""
    told = {"data": [{"id": "a"}, {"id": "c"}], "errors": [{"index": 1, "message": "invalid `to`"}]}
    answer = await send(VENDOR, FarEnd(lambda request: httpx.Response(200, json=told)))
    assert answer.receipts == {1: "a", 3: "c"}
    assert answer.refused == {2: "invalid `to`"}


@pytest.mark.anyio
async def test_a_call_that_is_still_under_way_is_asked_for_later():
    """The same key twice at once is no refusal."""
    told = {"name": "concurrent_idempotent_requests", "message": "…"}
    with pytest.raises(TryLater):
        await send(VENDOR, FarEnd(lambda request: httpx.Response(409, json=told)))


@pytest.mark.anyio
async def test_the_key_never_stands_in_a_message():
    """What is recorded of a failure does not give the account away."""
    far_end = FarEnd(lambda request: httpx.Response(401, json={"message": "API key is invalid"}))
    with pytest.raises(TryLater) as raised:
        await send(VENDOR, far_end, EMAILS)
    assert "re_123" not in str(raised.value)
    assert "re_123" not in json.dumps(body(far_end.requests[0]))


# --- what it reports ---


def of_svix(secret: str) -> str:
    """A secret as Svix writes one."""
    return f"whsec_{b64encode(secret.encode()).decode()}"


def signed(told: bytes, secret: str, at: datetime) -> Hook:
    """By the library of Standard Webhooks, which sign the same under other names."""
    id_ = f"msg_{hashlib.sha256(told).hexdigest()[:27]}"
    signature = StandardWebhook(of_svix(secret)).sign(id_, at, told.decode("latin-1"))
    if not told.isascii():  # the library signs text only
        message = f"{id_}.{at.timestamp():.0f}.".encode() + told
        signature = f"v1,{b64encode(hmac.digest(secret.encode(), message, 'sha256')).decode()}"
    headers = {"svix-id": id_, "svix-timestamp": f"{at.timestamp():.0f}", "svix-signature": signature}
    return Hook(body=told, headers=headers, received_at=at)


def report(kind: str, **fields: Any) -> dict[str, Any]:
    """An event in the shape of https://resend.com/docs/webhooks (read 2026-11-23)."""
    return {
        "type": kind,
        "created_at": "2026-06-01T06:59:00.126Z",
        "data": {
            "created_at": "2026-06-01T06:00:00.894719+00:00",
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
            "from": "The Morning <news@news.example>",
            "to": [READER],
            "subject": "News",
            "tags": {"delivery": KEY},
            **fields,
        },
    }


def bounced(kind: str, sub: str, class_: str, why: RejectReason) -> Example:
    told = report("email.bounced", bounce={"type": kind, "subType": sub, "message": "It came back."})
    says = {
        "type": EventType.BOUNCED,
        "bounce_class": class_,
        "reject_reason": why,
        "description": "It came back.",
    }
    return Example(told=told, says=says)


SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1"
)
CLICK = {"ipAddress": "122.115.53.11", "link": "https://news.example/a", "userAgent": SAFARI}

REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(secret=(SecretStr(of_svix(NEW)), SecretStr(of_svix(OLD))))}
    ),
    signed=signed,
    seal=InHeader("svix-signature"),
    window=timedelta(minutes=5),
    forgeries=lambda seal: [
        seal.removeprefix("v1,"),
        seal.replace("v1,", "v2,"),
        seal.replace("v1,", "v1a,"),
        seal.replace("v1,", "v1,v1,"),
        seal.replace(",", " "),
    ],
    examples=[
        Example(
            told=report("email.sent"),
            says={
                "type": EventType.SENT,
                "said": "email.sent",
                "address": READER,
                "key": KEY,
                "message_id": "56761188-7520-42d8-8898-ff6fc54ce618",
                "occurred_at": datetime(2026, 6, 1, 6, 59, 0, 126000, UTC),
            },
        ),
        Example(told=report("email.scheduled"), says={"type": EventType.QUEUED}),
        Example(told=report("email.delivered"), says={"type": EventType.DELIVERED, "bounce_class": None}),
        Example(
            told=report("email.delivery_delayed"), says={"type": EventType.DEFERRED, "bounce_class": "soft"}
        ),
        bounced("Permanent", "General", "hard", RejectReason.BOUNCED),
        bounced("Permanent", "NoEmail", "hard", RejectReason.INVALID),
        bounced("Transient", "MailboxFull", "soft", RejectReason.BOUNCED),
        bounced("Transient", "ContentRejected", "soft", RejectReason.BLOCKED),
        bounced("Undetermined", "Undetermined", "soft", RejectReason.BOUNCED),
        Example(told=report("email.bounced"), says={"type": EventType.BOUNCED, "bounce_class": "soft"}),
        Example(told=report("email.complained"), says={"type": EventType.COMPLAINED}),
        Example(told=report("email.opened"), says={"type": EventType.OPENED, "by": "unknown"}),
        Example(
            told=report("email.clicked", click=CLICK),
            says={"type": EventType.CLICKED, "by": "human", "link": CLICK["link"], "user_agent": SAFARI},
        ),
        Example(
            told=report("email.clicked", click=CLICK | {"userAgent": "Barracuda Sentinel (EE)"}),
            says={"type": EventType.CLICKED, "by": "bot"},
        ),
        Example(
            told=report("email.failed", failed={"reason": "reached_daily_quota"}),
            says={"type": EventType.FAILED, "bounce_class": None, "description": "reached_daily_quota"},
        ),
        Example(
            told=report(
                "email.suppressed", suppressed={"message": "On the list", "type": "OnAccountSuppressionList"}
            ),
            says={"type": EventType.REJECTED, "bounce_class": None, "description": "On the list"},
        ),
        Example(
            told=report(
                "email.delivered", tags=[{"name": "delivery", "value": KEY}, {"name": "odd"}, 1], to=READER
            ),
            says={"type": EventType.DELIVERED, "key": KEY, "address": READER},
        ),
    ],
    unknown={"type": "contact.created", "created_at": "2026-06-01T06:59:00Z", "data": {"id": "e169"}},
    malformed=(b"{}", b'{"data": {}}', b'[{"type": "email.sent"}]'),
)


@pytest.mark.anyio
async def test_one_right_signature_of_several_is_enough():
    """While Resend exchanges its own secret it signs with both."""
    hook = REPORTED.hook(REPORTED.unknown)
    right = REPORTED.seal.read(hook)
    others = "v1a,AAAA v1, v1,bm8= nonsense"
    for value in (f"{others} {right}", f"{right} {others}", f"  {right}  "):
        assert await REPORTED.webhook().events(REPORTED.seal.put(hook, value))


@pytest.mark.anyio
@pytest.mark.parametrize("header", ["svix-id", "svix-timestamp"])
@pytest.mark.parametrize(
    "value", [None, "", "msg_other", "9" * 12, "9" * 99, "1780297140.5", "-1", "١٢٣", "ÿ"]
)
async def test_id_and_time_are_signed_too(header: str, value: str | None):
    """An event cannot be made another by another id, nor younger by another time."""
    hook = InHeader(header).put(REPORTED.hook(REPORTED.unknown), value)
    with pytest.raises(Forged):
        await REPORTED.webhook().events(hook)


def test_a_secret_that_is_none_is_told_at_once():
    """A wrong setting is an error at the start, not a refusal of every event."""
    wrong = WebhookSettings(secret=(SecretStr("whsec_abcdefghijklmnopq"),))
    with pytest.raises(ConfigError, match="whsec_"):
        ResendWebhook(SETTINGS.model_copy(update={"webhook": wrong}))
