"""MailerSend's own words: what its bulk call is sent, and what it answers."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import AccountTrouble, Forged, Refused, SomeRefused, TryLater
from distributor.model import EventType
from distributor.providers.email.mailersend import PING_SECRET, MailerSend
from distributor.providers.protocol import Hook
from tests.providers.contract import BATCH, DIGEST, EMAILS, FarEnd, Message, Vendor, body, email, send
from tests.providers.hooks import KEY, NEW, NOW, OLD, READER, Example, InHeader, Reported, encoded

SETTINGS = Provider(type="mailersend", key=SecretStr("mlsn.123"))

STATUS = {  # from the vendor's page on the status of a bulk email
    "id": "614470d1588b866d0454f3e2",
    "state": "completed",
    "total_recipients_count": 3,
    "suppressed_recipients_count": 0,
    "suppressed_recipients": None,
    "validation_errors_count": 0,
    "validation_errors": None,
    "messages_id": ["61487a14608b1d0b4d506633"],
}
TAKEN = {"message": "The bulk email is being processed.", "bulk_email_id": STATUS["id"]}


def accepted(request: httpx.Request) -> httpx.Response:
    if request.method == "GET":
        return httpx.Response(200, json={"data": STATUS})
    return httpx.Response(202, json=TAKEN)


def messages(request: httpx.Request) -> list[Message]:
    return [
        Message(
            address=item["to"][0]["email"],
            subject=rendered(item["subject"], item),
            html=rendered(item["html"], item),
            text=rendered(item["text"], item),
            headers={},
            keys=item["tags"],
            inline={one["id"]: b64decode(one["content"]) for one in item.get("attachments", ())},
        )
        for item in body(request)
    ]


TOKEN = re.compile(r"(\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|\{\$.*?\})")


def rendered(template: str, item: dict[str, Any]) -> str:
    """As MailerSend compiles it for its one recipient; what it was given no value for is an error."""
    [personal] = item["personalization"]
    assert personal["email"] == item["to"][0]["email"]
    out = TOKEN.split(template)
    out[1::2] = [personal["data"][token.strip("{}$ ")] for token in out[1::2]]
    return "".join(out)


VENDOR = Vendor(
    name="mailersend",
    provider=lambda transport: MailerSend(SETTINGS, transport=transport, patience=0),
    accepted=accepted,
    messages=messages,
    spec="derived/mailersend.send.json",
)


def became(**status: Any) -> FarEnd:
    """MailerSend takes the batch, and says this of it when it is asked."""

    def told(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json=TAKEN)
        return httpx.Response(200, json={"data": STATUS | status})

    return FarEnd(told)


@pytest.mark.anyio
async def test_the_batch_is_signed_tagged_and_asked_for_once():
    """The account's token, both our keys as tags, and one question what became of it."""
    far_end = FarEnd(accepted)
    sent = await send(VENDOR, far_end)
    posted, asked = far_end.requests
    assert str(posted.url) == "https://api.mailersend.com/v1/bulk-email"
    assert posted.headers["authorization"] == "Bearer mlsn.123"
    assert body(posted)[0]["tags"] == [EMAILS[0].key, BATCH.key]
    assert (asked.method, str(asked.url)) == ("GET", f"{posted.url}/{STATUS['id']}")
    assert sent.receipt == STATUS["id"]


@pytest.mark.anyio
async def test_a_batch_of_which_nothing_was_made_is_not_accepted():
    """A domain that is not verified shows only after the 202; it waits for a person."""
    said = {"0": {"from.email": ["The from.email domain must be verified in your account. #MS42207"]}}
    with pytest.raises(AccountTrouble, match="must be verified"):
        await send(VENDOR, became(validation_errors_count=3, validation_errors=said, messages_id=None))


@pytest.mark.anyio
async def test_a_batch_that_does_not_compile_is_refused():
    """What is wrong with every message stays wrong."""
    said = {"0": {"html": ["The value you provided in html failed to compile. #MS42213"]}}
    with pytest.raises(Refused, match="MS42213") as raised:
        await send(VENDOR, became(validation_errors_count=3, validation_errors=said, messages_id=[]))
    assert type(raised.value) is Refused


@pytest.mark.anyio
async def test_errors_of_nobody_knows_whom_are_unclear():
    """Some messages were made and some not, and the vendor's page does not say how it names them."""
    answer = await send(VENDOR, became(validation_errors_count=1, validation_errors={"?": "…"}))
    assert set(answer.unclear) == {1, 2, 3}
    assert "?" in answer.unclear[1]


@pytest.mark.anyio
async def test_suppressed_readers_are_refused():
    """An address on MailerSend's own lists gets nothing, and no event tells."""
    told = {"61487a14": [{"email": "Reader2@example.org", "reasons": ["hard_bounced"]}]}
    answer = await send(VENDOR, became(suppressed_recipients_count=1, suppressed_recipients=told))
    assert set(answer.refused) == {2}
    assert answer.receipt == STATUS["id"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "silence", [httpx.Response(429), httpx.Response(200, json=[]), httpx.Response(200, text="…")]
)
async def test_a_batch_that_cannot_be_asked_for_is_accepted_all_the_same(silence: httpx.Response):
    """The 202 stands; what happens later is told by events."""
    far_end = FarEnd(lambda r: httpx.Response(202, json=TAKEN) if r.method == "POST" else silence)
    answer = await send(VENDOR, far_end)
    assert answer.receipt == STATUS["id"]
    assert answer.refused == answer.unclear == {}


@pytest.mark.anyio
@pytest.mark.parametrize("literal", ["{{x}}", "{% if a %}", "{# note #}", "{$x}", "{{{", "{"])
async def test_an_articles_own_templates_arrive_unchanged(literal: str):
    """Whatever of MailerSend's syntax an article or a name has is text to its readers."""
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
async def test_who_is_named_in_a_422_is_refused_alone():
    """None of the call was accepted: the others come again."""
    errors = {"1.to.0.email": ["The 1.to.0.email must be a valid email address. #MS42208"]}
    told = {"message": "The given data was invalid.", "errors": errors}
    answer = await send(VENDOR, FarEnd(lambda request: httpx.Response(422, json=told)))
    assert set(answer.refused) == {2}
    assert set(answer.later) == {1, 3}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "field", "code", "error"),
    [
        (422, "from.email", "MS42207", AccountTrouble),
        (422, "message", "MS42204", AccountTrouble),
        (422, "to", "MS42208", SomeRefused),
        (422, "html", "MS42213", Refused),
        (422, "9.to.0.email", "MS42208", SomeRefused),  # a message that was not in the call
        (421, "", "", TryLater),
    ],
)
async def test_a_code_says_whom_it_is_about(status: int, field: str, code: str, error: type[Exception]):
    """The account, somebody's address, the message itself, or the hour."""
    told = {"message": "The given data was invalid.", "errors": {field: [f"… #{code}"]}}
    with pytest.raises(error) as raised:
        await send(VENDOR, FarEnd(lambda request: httpx.Response(status, json=told)))
    assert type(raised.value) is error


@pytest.mark.anyio
async def test_a_days_quota_of_calls_is_waited_for():
    """The rest of the day is longer than the rest of a minute."""
    told = {"message": "Your account reached its API daily quota limit. #MS42901"}
    with pytest.raises(TryLater) as raised:
        await send(VENDOR, FarEnd(lambda request: httpx.Response(429, json=told)))
    assert raised.value.after == 3600


@pytest.mark.anyio
async def test_the_token_never_stands_in_a_message():
    """What is recorded of a failure does not give the account away."""
    with pytest.raises(AccountTrouble) as raised:
        await send(VENDOR, FarEnd(lambda request: httpx.Response(401, json={"message": "Unauthenticated."})))
    assert "mlsn" not in str(raised.value)


# --- what it reports ---


def signed(told: bytes, secret: str, at: datetime) -> Hook:
    signature = hmac.digest(secret.encode(), told, "sha256").hex()
    return Hook(body=told, headers={"signature": signature}, received_at=at)


def report(kind: str, id_: str, meta: Any = (), **fields: Any) -> dict[str, Any]:
    """An event in the form that webhooks have since 2026 (docs, and django-anymail's of 2026-09)."""
    return {
        "type": f"activity.{kind}",
        "created_at": "2026-06-01T06:59:00.000000Z",
        "webhook_id": "23jw7rk8",
        "data": {
            "id": id_,
            "domain_id": "yv69oxl5kl785kw2",
            "message_id": "6892766ae78995a317577aa1",
            "email_id": "6892766a8d52ba62543d5e71",
            "type": kind,
            "subject": "News",
            "recipient": READER,
            "tags": [BATCH.key, KEY],
            "meta": meta or [],
            **fields,
        },
    }


def report_of_old(kind: str, id_: str, morph: Any = None) -> dict[str, Any]:
    """An event in the form of webhooks that were made before (until 2026-12)."""
    return {
        "type": f"activity.{kind}",
        "created_at": "2026-06-01T06:59:02.520507Z",
        "url": "https://mail.news.example/webhooks/email/mailersend",
        "data": {
            "object": "activity",
            "id": id_,
            "type": kind,
            "created_at": "2026-06-01T06:59:01.506000Z",
            "email": {
                "object": "email",
                "status": "sent",
                "tags": [KEY, BATCH.key],
                "message": {"object": "message", "id": "63fd1c1d5f010335ed07066b"},
                "recipient": {"object": "recipient", "id": "63f3bb1965d98aa98c07d6b7", "email": READER},
            },
            "morph": morph,
        },
    }


SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1"
)
PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
HARD = {"bounce_reason": "No such user", "bounce_code": 550, "bounce_type": "hard"}
SOFT = {"bounce_reason": "Mailbox full", "bounce_code": 452, "bounce_type": "soft"}
PING = {
    "type": "webhook.test",
    "message": "This is a ping test message",
    "created_at": "2026-06-01T06:59:00.577080Z",
}

REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(secret=(SecretStr(NEW), SecretStr(OLD)))}
    ),
    signed=signed,
    seal=InHeader("signature"),
    forgeries=lambda seal: [f"sha256={seal}", f"v1,{seal}"],
    examples=[
        Example(
            told=report("sent", "6892766a5b66e2daf3dc9155"),
            says={
                "type": EventType.SENT,
                "said": "activity.sent",
                "id": "6892766a5b66e2daf3dc9155",
                "address": READER,
                "key": KEY,
                "message_id": "6892766ae78995a317577aa1",
                "occurred_at": datetime(2026, 6, 1, 6, 59, tzinfo=UTC),
            },
        ),
        Example(told=report("delivered", "d1"), says={"type": EventType.DELIVERED, "bounce_class": None}),
        Example(
            told=report("hard_bounced", "h1", HARD),
            says={"type": EventType.BOUNCED, "bounce_class": "hard", "description": "No such user"},
        ),
        Example(
            told=report("soft_bounced", "s1", SOFT),
            says={"type": EventType.BOUNCED, "bounce_class": "soft", "description": "Mailbox full"},
        ),
        Example(told=report("deferred", "e1"), says={"type": EventType.DEFERRED, "bounce_class": "soft"}),
        Example(
            told=report("opened", "o1", {"user_agent": PROXY, "ip": "203.0.113.7"}),
            says={"type": EventType.OPENED, "by": "unknown", "user_agent": PROXY},
        ),
        Example(told=report("opened_unique", "o2"), says={"type": EventType.OPENED, "by": "unknown"}),
        Example(
            told=report("clicked", "c1", {"user_agent": SAFARI, "url": "https://news.example/a"}),
            says={"type": EventType.CLICKED, "by": "human", "link": "https://news.example/a"},
        ),
        Example(
            told=report("clicked_unique", "c2", {"user_agent": "Barracuda Sentinel (EE)"}),
            says={"type": EventType.CLICKED, "by": "bot"},
        ),
        Example(
            told=report("unsubscribed", "u1", {"unsubscribe_reason": "NO_LONGER_WANT"}),
            says={"type": EventType.UNSUBSCRIBED, "description": "NO_LONGER_WANT"},
        ),
        Example(told=report("spam_complaint", "p1"), says={"type": EventType.COMPLAINED}),
        Example(
            told=report("suppressed", "x1", {"suppression_reason": "on_hold"}),
            says={"type": EventType.REJECTED, "bounce_class": None, "description": "on_hold"},
        ),
        Example(
            told=report("delivered", "d2", recipient=None, email=READER, tags=None),
            says={"type": EventType.DELIVERED, "address": READER, "key": ""},
        ),
        Example(
            told=report_of_old("delivered", "63fd1c1fcfbe46145d003a7b"),
            says={
                "type": EventType.DELIVERED,
                "id": "63fd1c1fcfbe46145d003a7b",
                "address": READER,
                "key": KEY,
                "message_id": "63fd1c1d5f010335ed07066b",
                "occurred_at": datetime(2026, 6, 1, 6, 59, 1, 506000, UTC),
            },
        ),
        Example(
            told=report_of_old(
                "hard_bounced", "b1", {"object": "recipient_bounce", "reason": "Host not found"}
            ),
            says={"type": EventType.BOUNCED, "bounce_class": "hard", "description": "Host not found"},
        ),
        Example(
            told=report_of_old("clicked", "c3", {"object": "click", "url": "https://news.example/b"}),
            says={"type": EventType.CLICKED, "by": "unknown", "link": "https://news.example/b"},
        ),
    ],
    unknown=report("survey_opened", "y1"),
    pings=(PING,),
)


@pytest.mark.anyio
async def test_the_first_request_to_an_address_is_answered():
    """MailerSend signs it with a secret that everybody knows, and keeps no webhook that refuses it."""
    assert not await REPORTED.webhook().events(signed(encoded(PING), PING_SECRET[0].get_secret_value(), NOW))


@pytest.mark.anyio
@pytest.mark.parametrize("example", REPORTED.examples, ids=lambda example: str(example.told["type"]))
async def test_what_everybody_can_sign_is_no_event(example: Example):
    """The secret of the first request is good for nothing else."""
    with pytest.raises(Forged):
        await REPORTED.webhook().events(signed(encoded(example.told), PING_SECRET[0].get_secret_value(), NOW))


@pytest.mark.anyio
async def test_slashes_are_signed_as_they_came():
    """MailerSend escapes every slash; who writes the JSON anew finds no signature right."""
    told = encoded(report("clicked", "c9", {"url": "https://news.example/a"})).replace(b"/", rb"\/")
    [event] = await REPORTED.webhook().events(signed(told, NEW, NOW))
    assert event.link == "https://news.example/a"


@pytest.mark.anyio
async def test_ids_of_other_things_are_none_of_events():
    """An address that is put on hold and released has one id in both events."""
    told = {"created_at": "2026-06-01 06:59:00", "data": {"id": "recipient", "email": READER}}
    kinds = ("recipient.on_hold_added", "recipient.on_hold_removed")
    found = [
        e for kind in kinds for e in await REPORTED.webhook().events(REPORTED.hook({"type": kind} | told))
    ]
    assert {event.type for event in found} == {EventType.UNKNOWN}
    assert found[0].id != found[1].id
    assert found[0].occurred_at == datetime(2026, 6, 1, 6, 59, tzinfo=UTC)
