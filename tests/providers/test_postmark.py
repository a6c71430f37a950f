"""Postmark's own words: what its batch call is sent, and what it answers."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import AccountTrouble, Refused, SomeRefused, TryLater, Unclear
from distributor.model import EventType, RejectReason
from distributor.providers.email.postmark import Postmark, PostmarkWebhook
from distributor.providers.protocol import Hook
from tests.providers.contract import BATCH, CALLED, EMAILS, FarEnd, Message, Vendor, body, send
from tests.providers.hooks import KEY, NEW, NOW, OLD, READER, Example, InHeader, Reported, encoded

SETTINGS = Provider(type="postmark", key=SecretStr("token-123"))

# From the vendor's page on the batch call and an answer seen in the wild (pastebin.com/04peBCvB).
GOOD = {
    "ErrorCode": 0,
    "Message": "OK",
    "MessageID": "b7bc2f4a-e38e-4336-af7d-e6c392c2f817",
    "SubmittedAt": "2010-11-26T12:01:05.1794748-05:00",
    "To": "reader1@example.org",
}
INACTIVE = {
    "ErrorCode": 406,
    "Message": "You tried to send to a recipient that has been marked as inactive. "
    "Found inactive addresses: reader2@example.org.",
}


def accepted(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=[GOOD | {"MessageID": f"id-{n}"} for n, _ in enumerate(body(request))])


def messages(request: httpx.Request) -> list[Message]:
    return [
        Message(
            address=item["To"],
            subject=item["Subject"],
            html=item["HtmlBody"],
            text=item["TextBody"],
            headers={header["Name"]: header["Value"] for header in item["Headers"]},
            keys=list(item["Metadata"].values()),
            inline={
                one["ContentID"].removeprefix("cid:"): b64decode(one["Content"])
                for one in item.get("Attachments", ())
            },
        )
        for item in body(request)
    ]


VENDOR = Vendor(
    name="postmark",
    provider=lambda transport: Postmark(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="postmark.server.json",
    # The description is older than both: https://postmarkapp.com/developer/api/email-api (read 2026-11-23).
    allowed=frozenset({"MessageStream", "Metadata"}),
)


def telling(*told: dict[str, object]) -> FarEnd:
    return FarEnd(lambda request: httpx.Response(200, json=list(told)))


@pytest.mark.anyio
async def test_the_call_is_signed_and_goes_to_the_stream_of_the_newsletter():
    """The server's token, the message stream, and both our keys as metadata."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    [request] = far_end.requests
    assert str(request.url) == "https://api.postmarkapp.com/email/batch"
    assert request.headers["x-postmark-server-token"] == "token-123"
    assert [item["MessageStream"] for item in body(request)] == ["broadcast"] * 3
    assert body(request)[0]["Metadata"] == {"delivery": EMAILS[0].key, "batch": BATCH.key}


@pytest.mark.anyio
async def test_each_message_of_an_accepted_call_has_its_own_outcome():
    """An inactive reader is refused, a throttled one comes later, an unknown code is nobody's guess."""
    far_end = telling(GOOD, INACTIVE, {"ErrorCode": 4711, "Message": "new"})
    answer = await send(VENDOR, far_end)
    assert answer.receipts == {1: "b7bc2f4a-e38e-4336-af7d-e6c392c2f817"}
    assert "inactive" in answer.refused[2]
    assert answer.unclear == {3: "ErrorCode 4711: new"}


@pytest.mark.anyio
async def test_an_ok_that_delivers_to_nobody_is_a_refusal():
    """ErrorCode 0 can say that the address is inactive (seen by django-anymail)."""
    told = GOOD | {"Message": "OK, but will not deliver to these inactive addresses: reader2@example.org"}
    answer = await send(VENDOR, telling(GOOD, told, GOOD))
    assert set(answer.receipts) == {1, 3}
    assert set(answer.refused) == {2}


@pytest.mark.anyio
async def test_an_unknown_sender_waits_for_a_person():
    """ErrorCode 400 inside a 200 is the account's trouble, not the reader's."""
    told = {"ErrorCode": 400, "Message": "The 'From' address you supplied is not a Sender Signature."}
    with pytest.raises(AccountTrouble, match="Sender Signature"):
        await send(VENDOR, telling(told, told, told))


@pytest.mark.anyio
async def test_credits_that_run_out_in_the_middle_lose_nobody():
    """Who was not accepted for the account's sake comes later; the others have their receipts."""
    told = {"ErrorCode": 405, "Message": "Not allowed to send: ran out of credits"}
    answer = await send(VENDOR, telling(GOOD, told, {"ErrorCode": 429, "Message": "Rate limit exceeded"}))
    assert set(answer.receipts) == {1}
    assert set(answer.later) == {2, 3}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (405, AccountTrouble),
        (413, AccountTrouble),
        (1235, AccountTrouble),
        (100, TryLater),
        (406, SomeRefused),
        (410, Refused),
    ],
)
async def test_a_422_is_told_by_its_error_code(code: int, error: type[Exception]):
    """Postmark's codes say more than the status, and some collide with other statuses."""
    answer = httpx.Response(422, json={"ErrorCode": code, "Message": "…"})
    with pytest.raises(error) as raised:
        await send(VENDOR, FarEnd(lambda request: answer))
    assert type(raised.value) is error


@pytest.mark.anyio
async def test_an_answer_with_too_few_results_is_unclear():
    """Nobody can say whose result is missing."""
    with pytest.raises(Unclear):
        await send(VENDOR, telling(GOOD, GOOD))


@pytest.mark.anyio
async def test_what_became_of_a_call_is_found_by_our_keys():
    """The search by the request key tells who was accepted, and of others nothing."""
    shown = {
        "TotalCount": 2,
        "Messages": [
            {"MessageID": "a", "Status": "Sent", "Metadata": {"delivery": EMAILS[0].key}},
            {"MessageID": "x", "Status": "Sent", "Metadata": {"delivery": "7-99-somebody"}},
        ],
    }
    far_end = FarEnd(lambda request: httpx.Response(200, json=shown))
    async with Postmark(SETTINGS, transport=far_end.transport()).connected() as calls:
        assert await calls.find(CALLED, EMAILS) == {1: "a"}
    asked = far_end.requests[0].url
    assert asked.path == "/messages/outbound"
    assert asked.params["metadata_batch"] == BATCH.key
    assert asked.params["messagestream"] == "broadcast"


@pytest.mark.anyio
async def test_a_search_that_fails_says_nothing():
    """Silence about a call is not the absence of its messages."""
    far_end = FarEnd(lambda request: httpx.Response(200, json={"oops": 1}))
    async with Postmark(SETTINGS, transport=far_end.transport()).connected() as calls:
        with pytest.raises(Unclear):
            await calls.find(CALLED, EMAILS)


@pytest.mark.anyio
async def test_the_token_never_stands_in_a_message():
    """What is recorded of a failure does not give the account away."""
    told = {"ErrorCode": 10, "Message": "The Server Token you provided is not valid."}
    with pytest.raises(AccountTrouble) as raised:
        await send(VENDOR, FarEnd(lambda request: httpx.Response(401, json=told)))
    assert "token-123" not in str(raised.value)


# --- what it reports ---

# In the shape of the examples at https://postmarkapp.com/developer/webhooks (read 2026-11-23).
SAME = {
    "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
    "MessageStream": "broadcast",
    "ServerID": 23,
    "Tag": "",
    "Metadata": {"delivery": KEY, "batch": BATCH.key},
}


def record(kind: str, **fields: Any) -> dict[str, Any]:
    return {"RecordType": kind, **SAME, **fields}


def bounce(id_: int, kind: str, *, inactive: bool = False, **fields: Any) -> dict[str, Any]:
    told = {"ID": id_, "Type": kind, "Inactive": inactive, "Email": READER}
    return record("Bounce", **told, Details="smtp;550 5.1.1", BouncedAt="2026-06-01T06:59:00Z", **fields)


def changed(id_: int, *, off: bool, why: str | None = None) -> dict[str, Any]:
    at = f"2026-06-01T06:5{id_}:00Z"
    return record(
        "SubscriptionChange", Recipient=READER, SuppressSending=off, SuppressionReason=why, ChangedAt=at
    )


SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1"
)
CLICK = {
    "OriginalLink": "https://news.example/a",
    "UserAgent": SAFARI,
    "Recipient": READER,
    "ReceivedAt": "2026-06-01T06:59:00Z",
}
OPEN = {"FirstOpen": True, "Recipient": READER, "ReceivedAt": "2026-06-01T06:59:00Z"}


def signed(told: bytes, secret: str, at: datetime) -> Hook:
    credentials = b64encode(f"postmark:{secret}".encode()).decode()
    return Hook(body=told, headers={"authorization": f"Basic {credentials}"}, received_at=at)


REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(username=("postmark",), password=(SecretStr(NEW), SecretStr(OLD)))}
    ),
    signed=signed,
    seal=InHeader("authorization"),
    covers_body=False,
    forgeries=lambda seal: [
        seal.replace("Basic", "Bearer"),
        b64encode(f"postmark:{NEW}".encode()).decode(),
        f"Basic {b64encode(f'other:{NEW}'.encode()).decode()}",
        f"Basic {b64encode(NEW.encode()).decode()}",
        f"Basic {b64encode(b'postmark:').decode()}",
    ],
    examples=[
        Example(
            told=record(
                "Delivery", Recipient=READER, DeliveredAt="2026-06-01T06:59:00.1794748Z", Details="Test"
            ),
            says={
                "type": EventType.DELIVERED,
                "said": "Delivery",
                "key": KEY,
                "address": READER,
                "message_id": SAME["MessageID"],
                "occurred_at": datetime(2026, 6, 1, 6, 59, 0, 179474, UTC),
                "bounce_class": None,
            },
        ),
        Example(
            told=bounce(42, "HardBounce", inactive=True),
            says={
                "type": EventType.BOUNCED,
                "id": "42",
                "said": "Bounce HardBounce",
                "bounce_class": "hard",
                "reject_reason": RejectReason.BOUNCED,
                "address": READER,
                "description": "smtp;550 5.1.1",
            },
        ),
        Example(told=bounce(43, "Transient"), says={"type": EventType.DEFERRED, "bounce_class": "soft"}),
        Example(told=bounce(44, "SoftBounce"), says={"type": EventType.BOUNCED, "bounce_class": "soft"}),
        Example(
            told=bounce(45, "Blocked", inactive=True),
            says={"type": EventType.BOUNCED, "bounce_class": "hard"},
        ),
        Example(told=bounce(46, "DMARCPolicy"), says={"type": EventType.REJECTED, "bounce_class": None}),
        Example(told=bounce(47, "SomethingNew"), says={"type": EventType.BOUNCED, "bounce_class": "soft"}),
        Example(
            told=record("SpamComplaint", ID=48, Email=READER, BouncedAt="2026-06-01T06:59:00Z"),
            says={"type": EventType.COMPLAINED, "key": KEY, "address": READER},
        ),
        Example(told=record("Open", **OPEN), says={"type": EventType.OPENED, "by": "unknown"}),
        Example(
            told=record(
                "Open", Recipient=READER, ReceivedAt="2026-06-01T06:58:00Z", UserAgent="Googlebot/2.1"
            ),
            says={"type": EventType.OPENED, "by": "bot"},
        ),
        Example(
            told=record("Click", **CLICK),
            says={"type": EventType.CLICKED, "by": "human", "link": CLICK["OriginalLink"]},
        ),
        Example(told=changed(1, off=True, why="ManualSuppression"), says={"type": EventType.UNSUBSCRIBED}),
        Example(told=changed(2, off=False), says={"type": EventType.SUBSCRIBED}),
        Example(
            told=changed(3, off=True, why="HardBounce"),
            says={"type": EventType.BOUNCED, "bounce_class": "hard"},
        ),
        Example(told=changed(4, off=True, why="SpamComplaint"), says={"type": EventType.COMPLAINED}),
    ],
    unknown=record("Inbound", ReceivedAt="2026-06-01T06:59:00Z", Subject="?"),
)


@pytest.mark.anyio
@pytest.mark.parametrize("missing", ["DeliveredAt", "Recipient", "MessageID", "Metadata"])
async def test_a_report_that_lacks_something_is_still_one(missing: str):
    """What is missing is not known, and the same report again is the same event."""
    told = {name: value for name, value in REPORTED.examples[0].told.items() if name != missing}
    ids = set()
    for at in (NOW, NOW + timedelta(hours=6)):
        [event] = await REPORTED.webhook().events(signed(encoded(told), NEW, at))
        assert event.type is EventType.DELIVERED
        ids.add(event.id)
    assert len(ids) == 1


@pytest.mark.anyio
async def test_a_name_is_asked_for_only_where_one_is_set():
    """With a password alone, any name will do."""
    webhook = WebhookSettings(password=(SecretStr(NEW),))
    reader = PostmarkWebhook(SETTINGS.model_copy(update={"webhook": webhook}))
    assert await reader.events(REPORTED.hook(REPORTED.examples[0].told))
