"""Mailjet's own words: what its call is sent, and what it answers."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import AccountTrouble, Refused, SomeRefused, TryLater, Unclear
from distributor.model import EventType, RejectReason
from distributor.providers.email.mailjet import Mailjet
from distributor.providers.protocol import Hook
from tests.providers.contract import (
    BATCH,
    CALLED,
    DIGEST,
    EMAILS,
    SENDER,
    FarEnd,
    Message,
    Vendor,
    body,
    send,
)
from tests.providers.hooks import KEY, NEW, NOW, OLD, READER, Example, InHeader, Reported, encoded

SETTINGS = Provider(type="mailjet", key=SecretStr("public-1"), secret=SecretStr("private-2"))


def success(number: int) -> dict[str, Any]:
    """From the vendor's guide to Send API v3.1."""
    to = {
        "Email": "passenger1@mailjet.com",
        "MessageUUID": "123",
        "MessageID": number,
        "MessageHref": f"https://api.mailjet.com/v3/REST/message/{number}",
    }
    return {"Status": "success", "To": [to]}


def error(code: str, status: int, message: str = "…", about: str = "To[0].Email") -> dict[str, Any]:
    told = {
        "ErrorIdentifier": "f480a5a2-0334-4e08-b2b7-f372ce5669e0",
        "ErrorCode": code,
        "StatusCode": status,
        "ErrorMessage": message,
        "ErrorRelatedTo": [about],
    }
    return {"Status": "error", "Errors": [told]}


def accepted(request: httpx.Request) -> httpx.Response:
    told = [success(1152921526533428000 + n) for n, _ in enumerate(body(request)["Messages"])]
    return httpx.Response(200, json={"Messages": told})


def messages(request: httpx.Request) -> list[Message]:
    return [
        Message(
            address=item["To"][0]["Email"],
            subject=item["Subject"],
            html=item["HTMLPart"],
            text=item["TextPart"],
            headers=item["Headers"],
            keys=[item["CustomID"]],
            inline={
                one["ContentID"]: b64decode(one["Base64Content"])
                for one in item.get("InlinedAttachments", ())
            },
        )
        for item in body(request)["Messages"]
    ]


VENDOR = Vendor(
    name="mailjet",
    provider=lambda transport: Mailjet(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="derived/mailjet.send.v3.1.json",
)


def telling(*told: dict[str, Any], status: int = 400) -> FarEnd:
    return FarEnd(lambda request: httpx.Response(status, json={"Messages": list(told)}))


@pytest.mark.anyio
async def test_the_call_is_signed_with_both_halves_of_the_key():
    """Basic authentication, and no template language, so that content stays as it is."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    [request] = far_end.requests
    assert str(request.url) == "https://api.mailjet.com/v3.1/send"
    assert request.headers["authorization"] == f"Basic {b64encode(b'public-1:private-2').decode()}"
    assert "TemplateLanguage" not in body(request)["Messages"][0]


@pytest.mark.anyio
async def test_the_good_messages_of_a_400_are_accepted():
    """One invalid address makes the whole answer a 400, and the others are sent all the same."""
    refusal = error("mj-0013", 400, '"reader2@example" is an invalid email address.')
    answer = await send(VENDOR, telling(success(456), refusal, success(457)))
    assert answer.receipts == {1: "456", 3: "457"}
    assert answer.refused == {2: 'mj-0013: "<address>" is an invalid email address.'}


@pytest.mark.anyio
async def test_busy_and_broken_messages_are_not_refused():
    """429 inside an answer means later; a 500, or an error without a code, may be anything."""
    answer = await send(VENDOR, telling(error("mj-0029", 429), error("mj-9999", 500), {"Status": "error"}))
    assert set(answer.later) == {1}
    assert set(answer.unclear) == {2, 3}
    assert answer.refused == {}


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 400, 403])
async def test_a_sender_that_is_not_validated_waits_for_a_person(status: int):
    """send-0008 on every message is the account's trouble, whatever the status of the answer."""
    told = error("send-0008", 403, '"news@news.example" is not an authorized sender email address', "From")
    with pytest.raises(AccountTrouble, match="not an authorized sender"):
        await send(VENDOR, telling(told, told, told, status=status))


@pytest.mark.anyio
async def test_trouble_in_the_middle_of_a_call_loses_nobody():
    """Who was not accepted for the account's sake comes later; the others have their receipts."""
    answer = await send(VENDOR, telling(success(1), error("mj-0001", 401), success(3)))
    assert set(answer.receipts) == {1, 3}
    assert set(answer.later) == {2}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "error"),
    [("mj-0002", Refused), ("mj-0011", SomeRefused), ("mj-0001", AccountTrouble)],
)
async def test_an_error_of_the_whole_call_has_no_messages(code: str, error: type[Exception]):
    """Malformed JSON is final, too many bytes may fit in halves, a suspended key waits for a person."""
    told = {"ErrorIdentifier": "06df1144", "ErrorCode": code, "ErrorMessage": "…", "StatusCode": 400}
    with pytest.raises(error) as raised:
        await send(VENDOR, FarEnd(lambda request: httpx.Response(400, json=told)))
    assert type(raised.value) is error


@pytest.mark.anyio
async def test_an_answer_with_too_few_results_is_unclear():
    """Nobody can say whose result is missing."""
    with pytest.raises(Unclear):
        await send(VENDOR, telling(success(1), status=200))


@pytest.mark.anyio
async def test_mailjet_keeps_the_same_content_from_coming_twice():
    """All messages of a rendition are one campaign without duplicates; another rendition is another."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    told = body(far_end.requests[0])["Messages"]
    assert {(item["CustomCampaign"], item["DeduplicateCampaign"]) for item in told} == {("m 7 r", True)}


@pytest.mark.anyio
async def test_a_campaigns_name_has_only_characters_that_mailjet_takes():
    """A newsletter may be called as it likes in the configuration."""
    far_end = FarEnd(accepted)
    async with Mailjet(SETTINGS, transport=far_end.transport()).connected() as calls:
        sender = replace(SENDER, list_label="café/tägl.ich")
        await calls.send(BATCH, DIGEST, EMAILS, sender=sender, media=lambda picture: b"")
    assert body(far_end.requests[0])["Messages"][0]["CustomCampaign"] == "caf-t-gl-ich 7 r"


@pytest.mark.anyio
async def test_what_became_of_a_call_is_asked_reader_by_reader():
    """The look-up by CustomID tells whose message there is."""

    def told(request: httpx.Request) -> httpx.Response:
        known = request.url.params["CustomID"] == EMAILS[1].key
        data = [{"ID": 1152921526533428000, "Status": "sent"}] if known else []
        return httpx.Response(200, json={"Count": len(data), "Data": data, "Total": len(data)})

    far_end = FarEnd(told)
    async with Mailjet(SETTINGS, transport=far_end.transport()).connected() as calls:
        assert await calls.find(CALLED, EMAILS) == {2: "1152921526533428000"}
    assert [request.url.path for request in far_end.requests] == ["/v3/REST/message"] * 3


@pytest.mark.anyio
async def test_a_look_up_that_is_throttled_says_nothing():
    """Half an answer is none: the rest might be taken for not accepted."""
    far_end = FarEnd(lambda request: httpx.Response(429))
    async with Mailjet(SETTINGS, transport=far_end.transport()).connected() as calls:
        with pytest.raises(TryLater):
            await calls.find(CALLED, EMAILS)


@pytest.mark.anyio
async def test_the_key_never_stands_in_a_message():
    """What is recorded of a failure does not give the account away."""
    told = {"ErrorMessage": "API key authentication/authorization failure.", "StatusCode": 401}
    with pytest.raises(AccountTrouble) as raised:
        await send(VENDOR, FarEnd(lambda request: httpx.Response(401, json=told)))
    assert "public-1" not in str(raised.value)
    assert "private-2" not in str(raised.value)


# --- what it reports ---

SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML) Version/17.1"


def signed(told: bytes, secret: str, at: datetime) -> Hook:
    credentials = b64encode(f"mailjet:{secret}".encode()).decode()
    return Hook(body=told, headers={"authorization": f"Basic {credentials}"}, received_at=at)


def told(event: str, **fields: Any) -> dict[str, Any]:
    """An event in the shape of Mailjet's guide to webhooks (read 2026-11-29)."""
    return {
        "event": event,
        "time": 1780297140,
        "MessageID": 19421777835146490,
        "Message_GUID": "1ab23cd4-e567-8901-2345-6789f0gh1i2j",
        "email": READER,
        "mj_campaign_id": 7257,
        "mj_contact_id": 4,
        "customcampaign": "news 7 0123456789abcdef",
        "CustomID": KEY,
        "Payload": "",
        **fields,
    }


def bounced(error: str, why: RejectReason, *, hard: bool) -> Example:
    fields = {"blocked": hard, "hard_bounce": hard, "error_related_to": "recipient", "error": error}
    return Example(
        told=told("bounce", comment=f"550 {error}", **fields),
        says={
            "type": EventType.BOUNCED,
            "said": f"bounce {error}",
            "bounce_class": "hard" if hard else "soft",
            "reject_reason": why,
            "description": f"550 {error}",
        },
    )


def blocked(error: str, why: RejectReason) -> Example:
    return Example(
        told=told("blocked", error_related_to="mailjet", error=error),
        says={"type": EventType.REJECTED, "bounce_class": None, "reject_reason": why, "key": KEY},
    )


REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(username=("mailjet",), password=(SecretStr(NEW), SecretStr(OLD)))}
    ),
    signed=signed,
    seal=InHeader("authorization"),
    covers_body=False,
    in_lists=True,
    forgeries=lambda seal: [
        seal.replace("Basic", "Bearer"),
        f"Basic {b64encode(f'other:{NEW}'.encode()).decode()}",
    ],
    examples=[
        Example(
            told=told("sent", mj_message_id="19421777835146490", smtp_reply="sent (250 2.0.0 OK)"),
            says={
                "type": EventType.DELIVERED,
                "said": "sent",
                "address": READER,
                "key": KEY,
                "message_id": "19421777835146490",
                "occurred_at": datetime(2026, 6, 1, 6, 59, tzinfo=UTC),
                "description": "sent (250 2.0.0 OK)",
                "bounce_class": None,
            },
        ),
        bounced("user unknown", RejectReason.BOUNCED, hard=True),
        bounced("no mail host", RejectReason.INVALID, hard=True),
        bounced("quota exceeded", RejectReason.BOUNCED, hard=False),
        bounced("content blocked", RejectReason.SPAM, hard=False),
        bounced("something new", RejectReason.OTHER, hard=False),
        Example(
            told=told("bounce", blocked=False, hard_bounce=False, error="greylisted"),
            says={"type": EventType.DEFERRED, "bounce_class": "soft"},
        ),
        blocked("preblocked", RejectReason.BLOCKED),
        blocked("spam reporter", RejectReason.SPAM),
        blocked("error in template language", RejectReason.OTHER),
        Example(
            told=told("blocked", error_related_to="mailjet", error="duplicate in campaign"),
            says={"type": EventType.UNKNOWN, "reject_reason": None},
        ),
        Example(
            told=told("spam", source="JMRPP"),
            says={"type": EventType.COMPLAINED, "reject_reason": RejectReason.SPAM},
        ),
        Example(
            told=told("unsub", mj_list_id=1, ip="127.0.0.1", geo="FR", agent=SAFARI),
            says={"type": EventType.UNSUBSCRIBED},
        ),
        Example(
            told=told("open", ip="127.0.0.1", geo="US", agent=SAFARI),
            says={"type": EventType.OPENED, "by": "human", "user_agent": SAFARI},
        ),
        Example(
            told=told("open", time=1780297141, agent="Mozilla/5.0 (via ggpht.com GoogleImageProxy)"),
            says={"type": EventType.OPENED, "by": "unknown"},
        ),
        Example(
            told=told("click", url="https://news.example/a", agent="python-requests/2.32"),
            says={"type": EventType.CLICKED, "by": "bot", "link": "https://news.example/a"},
        ),
    ],
    unknown=told("something_new"),
)


@pytest.mark.anyio
async def test_events_come_alone_and_in_groups():
    """Grouped or not is a choice in the webhook's settings; the event is the same."""
    one, other = (example.told for example in REPORTED.examples[:2])
    reader = REPORTED.webhook()
    [alone] = await reader.events(signed(encoded(one), NEW, NOW))
    grouped = await reader.events(signed(encoded([other, one]), NEW, NOW))
    assert alone == grouped[1] != grouped[0]
    assert await reader.events(signed(b"[]", NEW, NOW)) == []


@pytest.mark.anyio
async def test_only_a_bounce_can_be_a_hard_one():
    """What Mailjet itself blocked silences nobody, whatever else it says of it."""
    [event] = await REPORTED.webhook().events(
        REPORTED.hook(told("blocked", error="preblocked", hard_bounce=True))
    )
    assert (event.type, event.bounce_class) == (EventType.REJECTED, None)
    [event] = await REPORTED.webhook().events(
        REPORTED.hook(told("bounce", error="greylisted", hard_bounce=True))
    )
    assert (event.type, event.bounce_class) == (EventType.BOUNCED, "hard")
