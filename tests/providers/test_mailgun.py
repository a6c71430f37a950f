"""Mailgun's own words: the form of its batch call, its answers, and its events."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import AccountTrouble, Forged, Refused, SomeRefused, TryLater, Unclear
from distributor.model import Event, EventType, RejectReason
from distributor.providers.email import mailgun
from distributor.providers.email.mailgun import Mailgun, MailgunWebhook
from distributor.providers.protocol import Hook
from tests.providers.contract import BATCH, DIGEST, EMAILS, NOW, SENDER, FarEnd, Message, Vendor, send
from tests.providers.hooks import KEY, NEW, OLD, OTHER, READER, Example, Reported, encoded

SETTINGS = Provider(type="mailgun", key=SecretStr("key-123"), domain="mg.news.example")


def accepted(request: httpx.Request) -> httpx.Response:
    told = {"id": "<20260601070000.1.AB@mg.news.example>", "message": "Queued. Thank you."}
    return httpx.Response(200, json=told)


def form(request: httpx.Request) -> list[tuple[str, str | None, bytes]]:
    """Name, file name and content of each field."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    read = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + request.content)
    return [
        (
            str(part.get_param("name", header="content-disposition")),
            part.get_filename(),
            bytes(part.get_payload(decode=True)),
        )
        for part in read.iter_parts()
    ]


def messages(request: httpx.Request) -> list[Message]:
    fields = {name: content.decode() for name, file, content in form(request) if file is None}
    everybody = json.loads(fields["recipient-variables"])
    addresses = re.findall(r"[^\s<>]+@[^\s<>,]+", fields["to"])
    assert list(everybody) == addresses
    inline = {file: content for name, file, content in form(request) if name == "inline" and file}
    return [
        Message(
            address=address,
            subject=filled(fields["subject"], everybody[address]),
            html=filled(fields["html"], everybody[address]).replace("&quot;", "&#34;"),  # the same in HTML
            text=filled(fields["text"], everybody[address]),
            headers={
                name.removeprefix("h:"): filled(content, everybody[address])
                for name, content in fields.items()
                if name.startswith("h:")
            },
            keys=[filled(v, everybody[address]) for name, v in fields.items() if name.startswith("v:")],
            inline=inline,
        )
        for address in addresses
    ]


def filled(text: str, variables: dict[str, str]) -> str:
    """What Mailgun makes of the text: its own variables in one pass, those that it does not know left out."""
    own = r"%recipient\.(\w+)%|%recipient(?:_\w+)?%|%(?:tag_|mailing_list_)?unsubscribe_\w+%"
    return re.sub(own, lambda found: variables.get(found[1] or "", ""), text)


VENDOR = Vendor(
    name="mailgun",
    provider=lambda transport: Mailgun(SETTINGS, transport=transport, clock=lambda: NOW),
    accepted=accepted,
    messages=messages,
    spec="mailgun.json",
)


def answering(status: int, message: str, **headers: str) -> FarEnd:
    return FarEnd(lambda request: httpx.Response(status, json={"message": message}, headers=headers))


@pytest.mark.anyio
async def test_the_receipt_is_the_id_of_the_whole_call():
    """The call goes to the sending domain, signed with the key; one id stands for all its messages."""
    far_end = FarEnd(accepted)
    answer = await send(VENDOR, far_end)
    assert answer.receipt == "<20260601070000.1.AB@mg.news.example>"
    [request] = far_end.requests
    assert str(request.url) == "https://api.mailgun.net/v3/mg.news.example/messages"
    assert request.headers["authorization"] == f"Basic {b64encode(b'api:key-123').decode()}"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"region": "eu"}, "api.eu.mailgun.net"),
        ({"region": "eu", "base_url": "https://other.example"}, "other.example"),
    ],
)
async def test_the_call_goes_where_the_settings_say(settings: dict[str, str], host: str):
    """A region has its own host, and `base_url` stands above it."""
    configured = SETTINGS.model_copy(update=settings)
    vendor = replace(VENDOR, provider=lambda transport: Mailgun(configured, transport=transport))
    far_end = FarEnd(accepted)
    await send(vendor, far_end)
    assert far_end.requests[0].url.host == host


@pytest.mark.anyio
async def test_fields_are_those_of_the_description(specs: Path):
    """Mailgun's form is open to any name; ours are described, or one of its open kinds."""
    description = json.loads((specs / "mailgun.json").read_text(encoding="utf-8"))
    schemas = description["components"]["schemas"]
    known = schemas["POST-v3-domain_name-messages-multipart-form-data-RequestBody"]["properties"]
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    assert {name for name, _, _ in form(far_end.requests[0]) if name[:2] not in ("h:", "v:")} <= set(known)


@pytest.mark.anyio
async def test_options_stay_small_however_many_readers_there_are():
    """Mailgun takes 16 kB of options in a call: what differs from reader to reader is in variables."""
    far_end = FarEnd(accepted)
    many = [replace(EMAILS[0], recipient=n, address=f"reader{n}@example.org") for n in range(1000)]
    await send(VENDOR, far_end, many)
    options = [f for f in form(far_end.requests[0]) if f[0][:2] in ("h:", "v:", "o:", "t:")]
    assert sum(len(name) + len(content) for name, _, content in options) < 1000


@pytest.mark.anyio
async def test_mailguns_own_syntax_in_an_article_is_only_text():
    """Whatever variable an article names, readers see what was written, and not their address or a link."""
    words = "%recipient.name% %recipient% %recipient_email% %unsubscribe_url% %tag_unsubscribe_url% 100%"
    words += " %mailing_list_unsubscribe_url% %20recipient%"
    far_end = FarEnd(accepted)
    digest = replace(DIGEST, subject=words, html=f"<p>{words} @@name@@</p>", text=f"{words} @@name@@")
    await send(VENDOR, far_end, EMAILS[:1], digest=digest)
    [message] = messages(far_end.requests[0])
    name = EMAILS[0].name
    assert message.subject == words
    assert unescape(message.html) == f"<p>{words} {name}</p>"
    assert message.text == f"{words} {name}"


def test_the_newsletter_is_named_however_long_its_title_is():
    """Sender and answers as configured, quoted; List-Id on one line, in ASCII."""
    sender = replace(SENDER, reply_to="Ed, the Editor <ed@news.example>", list_name="Großer Morgen " * 9)
    fields = mailgun.form(BATCH, DIGEST, EMAILS, sender, lambda picture: b"")
    told = {name: value[1].decode() for name, value in fields}
    assert told["from"] == '"The Morning" <news@news.example>'
    assert told["h:Reply-To"] == '"Ed, the Editor" <ed@news.example>'
    list_id = told["h:List-Id"]
    assert list_id.isascii()
    assert list_id.isprintable()
    assert list_id.endswith("<m.news.example>")


@pytest.mark.anyio
async def test_names_cannot_add_a_recipient():
    """A name is quoted, and has nothing in it that ends a quotation."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end, [replace(EMAILS[0], name='Ada", <eve@example.org>\r\nBcc: x\\')])
    [to] = [content for name, _, content in form(far_end.requests[0]) if name == "to"]
    assert to == b'"Ada , <eve@example.org> Bcc: x" <reader1@example.org>'


@pytest.mark.anyio
async def test_one_address_stands_in_a_call_once():
    """Mailgun leaves out an address that comes again, so the second reader goes later."""
    far_end = FarEnd(accepted)
    answer = await send(VENDOR, far_end, [EMAILS[0], replace(EMAILS[1], address="READER1@example.org")])
    assert [message.address for message in messages(far_end.requests[0])] == ["reader1@example.org"]
    assert set(answer.later) == {2}


UNVERIFIED = "Domain mg.news.example is not allowed to send: The domain is unverified and requires DNS"
BATCHES = "Domain mg.news.example is not allowed to send large batches yet"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (400, "Need at least one of 'text' or 'html' parameters specified", Refused),
        (400, "'recipient-variables' parameter is not a valid JSON", Refused),
        (400, "to parameter is not a valid address. please check documentation", SomeRefused),
        (400, "'to' parameter is not a valid address. please check documentation", SomeRefused),
        (400, "Too many recipients; max is 1000", SomeRefused),
        (400, "from parameter is not a valid address. please check documentation", AccountTrouble),
        (400, UNVERIFIED, AccountTrouble),
        (403, UNVERIFIED, AccountTrouble),
        (403, BATCHES, SomeRefused),
        (401, "Forbidden", AccountTrouble),
        (402, "Payment Required", AccountTrouble),
        (404, "Domain not found: mg.news.example", AccountTrouble),
        (413, "request size exceeds 52.4MiB limit", SomeRefused),
        (400, "Domain mg.news.example is not allowed to send: recipient limit exceeded", TryLater),
        (500, "Internal Server Error", Unclear),
        (200, "Mailgun Magnificent API", AccountTrouble),
    ],
)
async def test_errors_say_what_to_do_next(status: int, message: str, error: type[Exception]):
    """What is wrong with the message is final; the account's trouble waits for a person."""
    with pytest.raises(error) as raised:
        await send(VENDOR, answering(status, message))
    assert type(raised.value) is error
    assert "key-123" not in str(raised.value)


@pytest.mark.anyio
async def test_a_domain_that_may_not_even_send_one_waits_for_a_person():
    """Batches are halved while Mailgun calls them large; one reader is no large batch."""
    with pytest.raises(AccountTrouble):
        await send(VENDOR, answering(403, BATCHES), EMAILS[:1])


@pytest.mark.anyio
@pytest.mark.parametrize("status", [429, 420])
@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        ("try again after Mon, 01 Jun 2026 07:20:00 UTC", 1200),
        ("try again after Mon, 01 Jun 2026 06:00:00 UTC", 0),
        ("try again after 120 seconds", 120),
        ("try again after a while", None),
    ],
)
async def test_the_wait_is_read_from_the_words(status: int, wait: str, seconds: float | None):
    """Mailgun names the end of a quota in its message, as a date or in seconds."""
    message = f"Domain mg.news.example is not allowed to send: recipient limit exceeded, {wait}"
    with pytest.raises(TryLater) as raised:
        await send(VENDOR, answering(status, message))
    assert type(raised.value) is TryLater
    assert raised.value.after == seconds


# --- what became of a call to which no answer came ---


def event(key: str | None) -> dict[str, Any]:
    return {
        "event": "accepted",
        "user-variables": {"delivery": key} if key else {},
        "message": {"headers": {"message-id": "20260601070000.1.AB@mg.news.example"}},
    }


def pages(*contents: list[dict[str, Any]], host: str = "api.mailgun.net") -> FarEnd:
    """Mailgun's pages of events, each with the address of the next, for ever."""

    def answer(request: httpx.Request) -> httpx.Response:
        place = int(request.url.path.partition("/page")[2] or 0)
        following = f"https://{host}/v3/mg.news.example/events/page{place + 1}"
        items = contents[place] if place < len(contents) else []
        return httpx.Response(200, json={"items": items, "paging": {"next": following}})

    return FarEnd(answer)


async def find(far_end: FarEnd, *, called_at: datetime = NOW, now: datetime = NOW) -> dict[int, str]:
    provider = Mailgun(SETTINGS, transport=far_end.transport(), clock=lambda: now)
    async with provider.connected() as calls:
        return dict(await calls.find(replace(BATCH, called_at=called_at), EMAILS))


@pytest.mark.anyio
async def test_accepted_messages_are_found_by_our_keys():
    """Every page is read up to an empty one; other campaigns' events and foreign ones are passed over."""
    far_end = pages(
        [event("8-1-abcdef01"), event(None), {"event": "accepted"}], [event(EMAILS[2].key)], [], [event("x")]
    )
    assert await find(far_end) == {3: "<20260601070000.1.AB@mg.news.example>"}
    assert len(far_end.requests) == 3


@pytest.mark.anyio
async def test_events_are_asked_for_around_the_call():
    """The time asked for begins before the call, for clocks, and ends some time after it."""
    far_end = pages([event(email.key) for email in EMAILS])
    assert set(await find(far_end)) == {1, 2, 3}
    [request] = far_end.requests
    assert request.url.path == "/v3/mg.news.example/events"
    asked = request.url.params
    assert (asked["event"], asked["ascending"]) == ("accepted", "yes")
    assert int(asked["begin"]) < NOW.timestamp() < int(asked["end"])


@pytest.mark.anyio
async def test_what_mailgun_has_forgotten_is_not_taken_for_refused():
    """Events are kept for a day: after that an empty page says nothing."""
    far_end = pages([])
    with pytest.raises(Unclear):
        await find(far_end, now=NOW + timedelta(days=1))
    assert far_end.requests == []


@pytest.mark.anyio
async def test_pages_come_from_the_same_host_only():
    """The account's key is not sent wherever an answer says."""
    far_end = pages([event(None)], host="elsewhere.example")
    with pytest.raises(Unclear, match=r"elsewhere\.example"):
        await find(far_end)
    assert len(far_end.requests) == 1


@pytest.mark.anyio
async def test_endless_pages_come_to_an_end():
    """A look-up that cannot be finished says nothing, rather than that nothing was accepted."""
    far_end = pages(*[[event(None)]] * 2000)
    with pytest.raises(Unclear, match="pages"):
        await find(far_end)
    assert len(far_end.requests) == 1000


@pytest.mark.anyio
@pytest.mark.parametrize("told", ["surprise", {}, {"items": [event("x")]}, {"items": ["x"]}])
async def test_events_of_another_form_say_nothing(told: Any):
    """What cannot be read is not taken for an empty page."""
    with pytest.raises(Unclear):
        await find(FarEnd(lambda request: httpx.Response(200, json=told)))


@pytest.mark.anyio
async def test_a_look_up_that_fails_says_so():
    """The usual failures are told as those of any call."""
    with pytest.raises(TryLater):
        await find(FarEnd(httpx.ConnectError("refused")))


# --- what it reports ---


@dataclass(frozen=True)
class Inside:
    """The signature, which stands in the body beside the event."""

    def read(self, hook: Hook) -> str:
        return str(json.loads(hook.body)["signature"]["signature"])

    def put(self, hook: Hook, value: str | None) -> Hook:
        told = json.loads(hook.body)
        told["signature"]["signature"] = value
        return replace(hook, body=json.dumps(told).encode())


def signed(told: bytes, secret: str, at: datetime, *, token: str = "") -> Hook:
    """The same event has the same token, as when it is sent again."""
    signature = {
        "timestamp": f"{at.timestamp():.0f}",
        "token": token or hashlib.sha256(told).hexdigest()[:50],
    }
    message = f"{signature['timestamp']}{signature['token']}".encode()
    signature["signature"] = hmac.digest(secret.encode(), message, "sha256").hex()
    body = b'{"signature": ' + json.dumps(signature).encode() + b', "event-data": ' + told + b"}"
    return Hook(body=body, headers={"content-type": "application/json"}, received_at=at)


def report(kind: str, id_: str, **fields: Any) -> dict[str, Any]:
    """An event in the shape of Mailgun's page "Webhook Payloads" (read 2026-11-23)."""
    told = {
        "event": kind,
        "id": id_,
        "timestamp": 1780297140.5,
        "log-level": "info",
        "recipient": READER,
        "recipient-domain": "example.org",
        "message": {"headers": {"message-id": "20260601065900.1.AB@mg.news.example", "subject": "News"}},
        "user-variables": {"delivery": KEY},
        "tags": [],
        "flags": {"is-authenticated": True, "is-test-mode": False},
    }
    return told | {name.replace("_", "-"): value for name, value in fields.items()}


def failure(id_: str, reason: str, severity: str, **status: Any) -> dict[str, Any]:
    told = {"attempt-no": 1, "message": "no", "description": None, **status}
    return report("failed", id_, reason=reason, severity=severity, delivery_status=told)


def client(agent: str, bot: str) -> dict[str, str]:
    return {"client-name": "unknown", "device-type": "unknown", "user-agent": agent, "bot": bot}


SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1"
)
HARD: dict[str, Any] = {"code": 550, "enhanced-code": "5.1.1", "bounce-type": "hard"}
SOFT: dict[str, Any] = {"code": 552, "enhanced-code": "5.2.2", "bounce-type": "soft"}


def failed(told: dict[str, Any], type_: EventType, class_: str | None, why: RejectReason | None) -> Example:
    return Example(told=told, says={"type": type_, "bounce_class": class_, "reject_reason": why})


REPORTED = Reported(
    settings=SETTINGS.model_copy(
        update={"webhook": WebhookSettings(secret=(SecretStr(NEW), SecretStr(OLD)))}
    ),
    signed=signed,
    seal=Inside(),
    covers_body=False,
    window=timedelta(hours=24),
    malformed=(b"{}", b'{"id": "no event"}'),
    examples=[
        Example(
            told=report("delivered", "d1", delivery_status={"code": 250, "message": "OK", "tls": True}),
            says={
                "type": EventType.DELIVERED,
                "said": "delivered",
                "address": READER,
                "key": KEY,
                "message_id": "<20260601065900.1.AB@mg.news.example>",
                "occurred_at": datetime(2026, 6, 1, 6, 59, 0, 500000, UTC),
                "bounce_class": None,
                "description": "OK",
            },
        ),
        Example(told=report("accepted", "a1", method="HTTP"), says={"type": EventType.QUEUED}),
        Example(
            told=report("rejected", "r1", reject={"reason": "Sandbox subdomains", "description": ""}),
            says={"type": EventType.REJECTED, "bounce_class": None, "description": "Sandbox subdomains"},
        ),
        Example(
            told=failure("f1", "bounce", "permanent", **HARD),
            says={
                "type": EventType.BOUNCED,
                "said": "failed permanent",
                "bounce_class": "hard",
                "reject_reason": RejectReason.BOUNCED,
                "description": "no",
            },
        ),
        failed(
            failure("f2", "generic", "permanent", code=554), EventType.BOUNCED, "hard", RejectReason.BOUNCED
        ),
        failed(failure("f3", "bounce", "permanent", **SOFT), EventType.BOUNCED, "soft", RejectReason.BOUNCED),
        failed(
            failure("f4", "old", "permanent", code=421), EventType.BOUNCED, "soft", RejectReason.TIMED_OUT
        ),
        failed(failure("f5", "espblock", "permanent"), EventType.BOUNCED, "soft", RejectReason.BLOCKED),
        failed(
            failure("f6", "suppress-bounce", "permanent"), EventType.REJECTED, "hard", RejectReason.BOUNCED
        ),
        failed(failure("f7", "", "permanent", code=605), EventType.REJECTED, "hard", RejectReason.BOUNCED),
        failed(failure("f8", "", "permanent", code=606), EventType.REJECTED, None, RejectReason.UNSUBSCRIBED),
        failed(failure("f9", "suppress-complaint", "permanent"), EventType.REJECTED, None, RejectReason.SPAM),
        failed(failure("g1", "generic", "temporary", code=452), EventType.DEFERRED, "soft", None),
        failed(failure("g2", "generic", "something new"), EventType.BOUNCED, "soft", RejectReason.OTHER),
        Example(
            told=report("opened", "o1", client_info=client(SAFARI, "")),
            says={"type": EventType.OPENED, "by": "human", "user_agent": SAFARI},
        ),
        Example(
            told=report("opened", "o2", client_info=client("Mozilla/5.0", "apple")),
            says={"type": EventType.OPENED, "by": "bot"},
        ),
        Example(
            told=report("opened", "o3", client_info=client("", "")),
            says={"type": EventType.OPENED, "by": "unknown"},
        ),
        Example(
            told=report("clicked", "c1", client_info=client(SAFARI, ""), url="https://news.example/a"),
            says={"type": EventType.CLICKED, "by": "human", "link": "https://news.example/a"},
        ),
        Example(told=report("unsubscribed", "u1"), says={"type": EventType.UNSUBSCRIBED}),
        Example(
            told=report("complained", "s1", user_variables=[]),
            says={"type": EventType.COMPLAINED, "key": "", "address": READER},
        ),
    ],
    unknown=report("something_new", "n1"),
)


async def told_twice(first: Any, second: Any, *, most: int = 9, between: int = 0) -> list[Event]:
    """What is read of a request, others, and one with the token of the first."""
    reader = MailgunWebhook(REPORTED.settings, most=most)
    found = [*await reader.events(signed(encoded(first), NEW, NOW, token="once"))]
    for number in range(between):
        await reader.events(signed(encoded(first), NEW, NOW, token=f"other {number}"))
    return [*found, *await reader.events(signed(encoded(second), NEW, NOW, token="once"))]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change", [{"recipient": "victim@example.org"}, {"event": "complained"}, {"id": "x"}]
)
async def test_a_token_is_good_for_what_it_came_with(change: dict[str, str]):
    """Whoever saw one request cannot use its signature for another event."""
    told = REPORTED.examples[0].told
    with pytest.raises(Forged):
        await told_twice(told, told | change)


@pytest.mark.anyio
async def test_an_event_that_is_sent_again_is_taken_again():
    """The vendor may write the same event in another order, and we may have been away in between."""
    told = REPORTED.examples[0].told
    first, again = await told_twice(told, dict(reversed(told.items())))
    assert first == again


@pytest.mark.anyio
async def test_only_the_newest_tokens_are_remembered():
    """Memory has an end: what is older than so many requests is known by its time alone."""
    told = REPORTED.examples[0].told
    other = told | {"id": "another"}
    with pytest.raises(Forged):
        await told_twice(told, other, most=3, between=2)
    assert len(await told_twice(told, other, most=3, between=3)) == 2


@pytest.mark.anyio
async def test_an_event_that_nobody_signed_takes_no_memory():
    """Strangers cannot push out the tokens that are remembered, nor use one up."""
    reader, told = MailgunWebhook(REPORTED.settings), encoded(REPORTED.examples[0].told)
    with pytest.raises(Forged):
        await reader.events(signed(encoded(REPORTED.unknown), OTHER, NOW, token="once"))
    assert await reader.events(signed(told, NEW, NOW, token="once"))


@pytest.mark.anyio
async def test_time_and_token_cannot_be_cut_elsewhere():
    """Both are signed without anything between them: another length of the time is another token."""
    told = encoded(REPORTED.examples[0].told)
    whole = json.loads(signed(told, NEW, NOW, token="0123").body)
    whole["signature"] |= {"timestamp": whole["signature"]["timestamp"] + "0", "token": "123"}
    with pytest.raises(Forged):
        await REPORTED.webhook().events(Hook(body=encoded(whole), headers={}, received_at=NOW))


@pytest.mark.anyio
async def test_one_id_on_two_days_is_two_events():
    """Mailgun promises that no two events of a day have the same id."""
    told = REPORTED.examples[0].told
    tomorrow = told | {"timestamp": told["timestamp"] + 86400}
    [first] = await REPORTED.webhook().events(REPORTED.hook(told))
    [second] = await REPORTED.webhook().events(REPORTED.hook(tomorrow))
    assert first.id != second.id
