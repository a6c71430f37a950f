"""SparkPost's own words: what a transmission is sent and answered, and what its events tell later."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, TryLater, Unclear
from distributor.model import Batch, EventType, RejectReason
from distributor.providers.email.sparkpost import SparkPost
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
    email,
    send,
)
from tests.providers.hooks import KEY as DELIVERY
from tests.providers.hooks import NEW, NOW, OLD, READER, Example, InHeader, Reported, encoded

KEY = "14ac5499cfdd2bb2859e4476d2e5b1d2bad079bf"
SETTINGS = Provider(type="sparkpost", key=SecretStr(KEY))


def accepted(request: httpx.Request) -> httpx.Response:
    return counted(len(body(request)["recipients"]), 0)


def counted(accepted: int, rejected: int) -> httpx.Response:
    """An answer as in https://developers.sparkpost.com/api/transmissions/#transmissions-post-send-a-template"""
    wrong = {
        "code": "1400",
        "message": "required field is missing",
        "description": "address.email is required",
    }
    results = {
        "total_accepted_recipients": accepted,
        "total_rejected_recipients": rejected,
        "id": "11668787484950529",
    }
    return httpx.Response(200, json={"results": results | ({"rcpt_to_errors": [wrong]} if rejected else {})})


def messages(request: httpx.Request) -> list[Message]:
    asked = body(request)
    return [_message(asked, recipient) for recipient in asked["recipients"]]


def _message(asked: dict[str, Any], recipient: dict[str, Any]) -> Message:
    content, data = asked["content"], asked["substitution_data"] | recipient["substitution_data"]
    return Message(
        address=recipient["address"]["email"],
        subject=rendered(content["subject"], data),
        html=rendered(content["html"], data, escape),
        text=rendered(content["text"], data),
        headers={"List-Id": asked["override"]["list_id"]},
        keys=list(recipient["metadata"].values()),
        inline={i["name"]: b64decode(i["data"]) for i in content.get("inline_images", ())},
    )


def rendered(template: str, data: Mapping[str, str], write: Callable[[str], str] = str) -> str:
    """What SparkPost makes of a template: three braces write a value as it is, two escape it in HTML."""
    between = re.split(r"(\{\{\{\w+\}\}\}|\{\{\w+\}\})", template)
    for place, piece in enumerate(between[0::2]):
        assert not re.search(r"[{}]{2}", piece), piece
        assert place == 0 or not re.match(r"[{}]", piece), piece
        assert place == len(between) // 2 or not re.search(r"[{}]\Z", piece), piece
    for place, found in enumerate(between):
        if place % 2:
            value = data[found.strip("{}")]
            between[place] = value if found.startswith("{{{") else write(value)
    return "".join(between)


VENDOR = Vendor(
    name="sparkpost",
    provider=lambda transport: SparkPost(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="derived/sparkpost.transmissions.json",
)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("settings", "host"),
    [
        (SETTINGS, "https://api.sparkpost.com"),
        (SETTINGS.model_copy(update={"region": "eu"}), "https://api.eu.sparkpost.com"),
        (SETTINGS.model_copy(update={"base_url": "https://mail.example"}), "https://mail.example"),
    ],
)
async def test_the_call_goes_to_the_region_with_its_key(settings: Provider, host: str):
    """Two services with accounts of their own, and any other address by hand."""
    far_end = FarEnd(accepted)
    async with SparkPost(settings, transport=far_end.transport()).connected() as calls:
        await calls.send(BATCH, DIGEST, EMAILS, sender=SENDER, media=lambda picture: b"")
    [request] = far_end.requests
    assert str(request.url) == f"{host}/api/v1/transmissions"
    assert request.headers["authorization"] == KEY
    assert KEY not in request.content.decode()


@pytest.mark.anyio
async def test_what_is_common_stands_once():
    """Sender, list, batch and tracking are of the transmission, and a sender's braces are its own."""
    far_end = FarEnd(accepted)
    sender = replace(SENDER, from_="The {{Morning}} <news@news.example>", reply_to="desk@news.example")
    async with VENDOR.provider(far_end.transport()).connected() as calls:
        await calls.send(BATCH, DIGEST, EMAILS, sender=sender, media=lambda picture: b"")
    asked = body(far_end.requests[0])
    assert rendered(asked["content"]["from"]["name"], asked["substitution_data"]) == "The {{Morning}}"
    assert asked["content"]["from"]["email"] == "news@news.example"
    assert asked["content"]["reply_to"] == "desk@news.example"
    assert asked["override"] == {"list_id": "<m.news.example>"}
    assert asked["campaign_id"] == BATCH.key
    assert asked["options"] == {"open_tracking": False, "click_tracking": False}


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["{{{x}}}", "{{{{", "{@@name@@}", "}@@name@@{", "@media{a{b:c}}", "}", "{"])
async def test_what_looks_like_the_vendors_syntax_arrives_as_it_is(text: str):
    """Braces of any number and place are the article's own, and a reader's too."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end, [email(1, name="{{x}}")], digest=replace(DIGEST, html=text, text=text))
    [message] = messages(far_end.requests[0])
    assert message.html == message.text == text.replace("@@name@@", "{{x}}")


@pytest.mark.anyio
async def test_an_accepted_call_has_one_receipt():
    """The transmission's id stands for all of them."""
    answer = await send(VENDOR, FarEnd(accepted))
    assert answer.receipt == "11668787484950529"
    assert answer.unclear == answer.later == answer.refused == {}


@pytest.mark.anyio
async def test_who_is_rejected_with_everybody_else_is_refused():
    """Nobody was accepted, so no names are needed."""
    answer = await send(VENDOR, FarEnd(lambda request: counted(0, 3)))
    assert set(answer.refused) == {1, 2, 3}
    assert "address.email is required" in answer.refused[1]
    assert answer.receipt is None


@pytest.mark.anyio
@pytest.mark.parametrize("numbers", [(2, 1), (3, 1), (2, 0)])
async def test_some_rejected_without_a_name_leaves_all_unclear(numbers: tuple[int, int]):
    """Who was accepted is for events to say; numbers that are not ours say nothing at all."""
    with pytest.raises(Unclear, match=f"{numbers[0]} accepted and {numbers[1]} rejected"):
        await send(VENDOR, FarEnd(lambda request: counted(*numbers)))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "told", "error", "after"),
    [
        (420, {"message": "Exceed Sending Limit (hourly)", "code": "2101"}, AccountTrouble, 3600),
        (429, {"message": "Too many requests"}, TryLater, None),
        (
            400,
            {
                "message": "Invalid domain",
                "description": "Unconfigured or unverified sending domain.",
                "code": "7001",
            },
            AccountTrouble,
            900,
        ),
        (400, {"message": "Server resources unavailable", "code": 1502}, TryLater, None),
        (401, {"message": "Unauthorized."}, AccountTrouble, 900),
        (403, {"message": "permission denied", "code": "1100"}, AccountTrouble, 900),
        (
            422,
            {
                "message": "required field is missing",
                "description": "address.email is required for each recipient",
                "code": "1400",
            },
            SomeRefused,
            None,
        ),
        (
            422,
            {
                "message": "required field is missing",
                "description": "content object or template_id required",
                "code": "1400",
            },
            Refused,
            None,
        ),
        (400, {"message": "At least one valid recipient is required", "code": "5002"}, Refused, None),
        (422, {"message": "template language syntax error", "code": "3000"}, Refused, None),
        (500, {"message": "Failed to update database", "code": "1500"}, Unclear, None),
        (503, {"message": "Message generation module not available", "code": "1900"}, TryLater, None),
    ],
)
async def test_errors_of_a_call_say_what_to_do_next(
    status: int, told: dict[str, Any], error: type[SendError], after: float | None
):
    """By the codes of SparkPost's list; a limit of the account loses nothing and is tried hourly."""
    answer = httpx.Response(status, json={"errors": [told]})
    with pytest.raises(SendError) as raised:
        await send(VENDOR, FarEnd(lambda request: answer))
    assert type(raised.value) is error
    assert getattr(raised.value, "after", None) == after
    assert KEY not in str(raised.value)


# --- what became of a call ---


def event(number: int, kind: str = "injection", **other: Any) -> dict[str, Any]:
    """Of https://developers.sparkpost.com/api/events/#events-get-search-for-message-events"""
    return {
        "type": kind,
        "campaign_id": BATCH.key,
        "message_id": f"000443ee14578172be2{number}",
        "rcpt_meta": {"delivery": f"7-{number}-abcdef01"},
        "rcpt_to": f"reader{number}@example.org",
        "transmission_id": "65832150921904138",
    } | other


async def find(far_end: FarEnd, batch: Batch = CALLED) -> Mapping[int, str]:
    async with VENDOR.provider(far_end.transport()).connected() as calls:
        found: Mapping[int, str] = await calls.find(batch, EMAILS)
        return found


@pytest.mark.anyio
async def test_events_tell_who_was_accepted():
    """By our keys, whatever became of the message then; other people's events say nothing of ours."""
    told = [event(1), event(3, "generation_rejection"), event(9), event(2, rcpt_meta=None)]
    far_end = FarEnd(
        lambda request: httpx.Response(200, json={"results": told, "total_count": 4, "links": []})
    )
    called_at = datetime.now(UTC) - timedelta(hours=2)
    assert await find(far_end, replace(BATCH, called_at=called_at)) == {
        1: "65832150921904138",
        3: "65832150921904138",
    }
    [request] = far_end.requests
    assert request.url.path == "/api/v1/events/message"
    asked = dict(request.url.params)
    assert asked["campaigns"] == BATCH.key
    assert asked["events"] == "injection,generation_failure,generation_rejection,policy_rejection"
    since = datetime.strptime(asked["from"], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    assert timedelta(minutes=9) < called_at - since < timedelta(minutes=12)


@pytest.mark.anyio
async def test_further_pages_are_read_too():
    """The address of the next page has its cursor; the last page names none."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params["cursor"] == "initial":
            following = "/api/v1/events/message?per_page=10000&cursor=WycyMDE4J10%3D"
            links = [{"href": following, "rel": "next"}, {"href": "/api/v1/events/message", "rel": "first"}]
            return httpx.Response(200, json={"results": [event(1)], "links": links})
        assert request.url.params["cursor"] == "WycyMDE4J10="
        assert request.url.params["campaigns"] == BATCH.key
        return httpx.Response(200, json={"results": [event(2)], "links": []})

    assert set(await find(FarEnd(answer))) == {1, 2}


@pytest.mark.anyio
async def test_pages_without_end_are_no_answer():
    """A list that was not read to its end would take accepted messages for lost."""
    links = [{"href": "/api/v1/events/message?cursor=again", "rel": "next"}]
    far_end = FarEnd(lambda request: httpx.Response(200, json={"results": [], "links": links}))
    with pytest.raises(Unclear):
        await find(far_end)
    assert len(far_end.requests) == 10


@pytest.mark.anyio
async def test_events_that_are_gone_are_no_answer():
    """SparkPost keeps them for ten days; after that, none does not mean nobody."""
    far_end = FarEnd(lambda request: httpx.Response(200, json={"results": []}))
    with pytest.raises(Unclear, match="too long ago"):
        await find(far_end, replace(BATCH, called_at=datetime.now(UTC) - timedelta(days=10)))
    assert far_end.requests == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(403, json={"errors": [{"message": "Forbidden."}]}), Unclear),
        (httpx.Response(401, json={"errors": [{"message": "Unauthorized."}]}), AccountTrouble),
        (httpx.Response(429), TryLater),
        (httpx.Response(200, json={"surprise": 1}), Unclear),
    ],
)
async def test_events_that_are_not_told_are_no_answer(answer: httpx.Response, error: type[SendError]):
    """A key that may send but not read events is no trouble with the account."""
    with pytest.raises(SendError) as raised:
        await find(FarEnd(lambda request: answer))
    assert type(raised.value) is error


# --- what it reports ---

SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML) Version/17.1"


def by_password(told: bytes, secret: str, at: datetime) -> Hook:
    credentials = b64encode(f"sparkpost:{secret}".encode()).decode()
    headers = {"authorization": f"Basic {credentials}", "x-messagesystems-batch-id": "7b2f"}
    return Hook(body=told, headers=headers, received_at=at)


def by_token(told: bytes, secret: str, at: datetime) -> Hook:
    return Hook(body=told, headers={"authorization": f"Bearer {secret}"}, received_at=at)


def reported(kind: str, place: int, *, class_: str = "message_event", **fields: Any) -> dict[str, Any]:
    """An event in the shape of SparkPost's samples (read 2026-11-29)."""
    about = {
        "type": kind,
        "campaign_id": "7-1",
        "customer_id": "1",
        "event_id": f"923569276938138{place:02}",
        "friendly_from": "news@news.example",
        "ip_pool": "example-ip-pool",
        "message_id": "000443ee14578172be22",
        "msg_from": "bounces@news.example",
        "rcpt_meta": {"delivery": DELIVERY},
        "rcpt_tags": [],
        "rcpt_to": READER.lower(),
        "raw_rcpt_to": READER,
        "recipient_domain": "example.org",
        "subject": "News",
        "timestamp": "1780297140",
        "transmission_id": "65832150921904138",
        **fields,
    }
    return {"msys": {class_: about}}


def bounced(place: int, code: str, type_: EventType, class_: str | None, why: RejectReason | None) -> Example:
    return Example(
        told=reported("bounce", place, bounce_class=code, error_code="550", raw_reason="550 5.1.1 unknown"),
        says={
            "type": type_,
            "said": "bounce",
            "bounce_class": class_,
            "reject_reason": why,
            "description": "550 5.1.1 unknown",
        },
    )


def opened(place: int, kind: str, by: str, **parsed: bool) -> Example:
    told = reported(kind, place, class_="track_event", user_agent=SAFARI, user_agent_parsed=parsed)
    return Example(told=told, says={"type": EventType.OPENED, "by": by, "user_agent": SAFARI})


REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={
            "webhook": WebhookSettings(username=("sparkpost",), password=(SecretStr(NEW), SecretStr(OLD)))
        }
    ),
    signed=by_password,
    seal=InHeader("authorization"),
    covers_body=False,
    in_lists=True,
    forgeries=lambda seal: [seal.replace("Basic", "Bearer"), f"Bearer {NEW}"],
    pings=[[{"msys": {}}], {"msys": {}}, []],
    malformed=(b"{}", b'{"msys": []}', b'{"msys": {"a": {}, "b": {}}}', b'{"msys": {"message_event": 17}}'),
    examples=[
        Example(
            told=reported("delivery", 1, delv_method="esmtp", queue_time="12"),
            says={
                "type": EventType.DELIVERED,
                "said": "delivery",
                "id": "92356927693813801",
                "address": READER,
                "key": DELIVERY,
                "message_id": "65832150921904138",
                "occurred_at": datetime(2026, 6, 1, 6, 59, tzinfo=UTC),
                "bounce_class": None,
            },
        ),
        Example(told=reported("injection", 2), says={"type": EventType.QUEUED, "key": DELIVERY}),
        Example(
            told=reported("delay", 3, bounce_class="22", raw_reason="452 4.2.2 full"),
            says={"type": EventType.DEFERRED, "bounce_class": "soft", "description": "452 4.2.2 full"},
        ),
        bounced(4, "10", EventType.BOUNCED, "hard", RejectReason.INVALID),
        bounced(5, "30", EventType.BOUNCED, "hard", RejectReason.BOUNCED),
        bounced(6, "22", EventType.BOUNCED, "soft", RejectReason.BOUNCED),
        bounced(7, "24", EventType.BOUNCED, "soft", RejectReason.TIMED_OUT),
        bounced(8, "51", EventType.BOUNCED, "soft", RejectReason.SPAM),
        bounced(9, "25", EventType.REJECTED, None, RejectReason.BLOCKED),
        bounced(10, "1", EventType.BOUNCED, "soft", RejectReason.OTHER),
        bounced(11, "something new", EventType.BOUNCED, "soft", RejectReason.OTHER),
        bounced(12, "60", EventType.UNKNOWN, None, None),
        bounced(13, "90", EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED),
        Example(
            told=reported("out_of_band", 14, bounce_class="10"),
            says={"type": EventType.BOUNCED, "bounce_class": "hard"},
        ),
        Example(
            told=reported("policy_rejection", 15, bounce_class="10", reason="550 suppressed"),
            says={"type": EventType.REJECTED, "bounce_class": None, "description": "550 suppressed"},
        ),
        Example(told=reported("generation_failure", 16, class_="gen_event"), says={"type": EventType.FAILED}),
        Example(
            told=reported("generation_rejection", 17, class_="gen_event"), says={"type": EventType.REJECTED}
        ),
        Example(
            told=reported("spam_complaint", 18, fbtype="abuse", report_by="server.email.example"),
            says={"type": EventType.COMPLAINED, "address": READER, "key": DELIVERY},
        ),
        Example(
            told=reported("list_unsubscribe", 19, class_="unsubscribe_event", mailfrom=READER),
            says={"type": EventType.UNSUBSCRIBED},
        ),
        Example(
            told=reported("link_unsubscribe", 20, class_="unsubscribe_event", user_agent=SAFARI),
            says={"type": EventType.UNSUBSCRIBED},
        ),
        opened(21, "open", "human", is_mobile=False, is_proxy=False, is_prefetched=False),
        opened(22, "initial_open", "bot", is_proxy=True, is_prefetched=True),
        opened(23, "amp_open", "unknown", is_proxy=True),
        Example(
            told=reported("click", 24, class_="track_event", target_link_url="https://news.example/a"),
            says={"type": EventType.CLICKED, "by": "unknown", "link": "https://news.example/a"},
        ),
    ],
    unknown=reported("something_new", 99, class_="something_event"),
)
BY_TOKEN = replace(
    REPORTED,
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(token=(SecretStr(NEW), SecretStr(OLD)))},
    ),
    signed=by_token,
    forgeries=lambda seal: [seal.replace("Bearer", "Basic"), seal.removeprefix("Bearer "), "Bearer"],
)


@pytest.mark.anyio
async def test_an_empty_envelope_among_events_is_left_out():
    """SparkPost tries an address with an envelope that has nothing in it."""
    one = REPORTED.examples[0].told
    found = await REPORTED.webhook().events(REPORTED.hook({"msys": {}}, one, {"msys": {}}))
    assert [event.type for event in found] == [EventType.DELIVERED]


@pytest.mark.anyio
async def test_an_event_without_an_id_is_told_by_what_it_says():
    """The same one is known again, and another is another."""
    one = reported("delivery", 1, event_id=None)
    other = reported("delivery", 1, event_id=None, timestamp="1780297141")
    found = await REPORTED.webhook().events(by_password(encoded([one, other, one]), NEW, NOW))
    assert found[0].id == found[2].id != found[1].id
