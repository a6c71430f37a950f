"""Amazon's own words: what a bulk call of SES is sent and answers, and signatures that a server checks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider, WebhookSettings
from distributor.errors import (
    AccountTrouble,
    Forged,
    Refused,
    SendError,
    SomeRefused,
    TryLater,
    Unclear,
    Unreadable,
)
from distributor.model import EventType, RejectReason
from distributor.providers import http
from distributor.providers.email.ses import GREETING, Ses, SesWebhook, Signed, judge
from distributor.providers.protocol import Allowance, Hook
from tests.providers.contract import BATCH, DIGEST, SENDER, FarEnd, Message, Vendor, body, email, send
from tests.providers.hooks import KEY, NEW, NOW, OLD, READER, Example, InHeader, Reported
from tests.providers.topics import AtSns, Inside, arn, confirmation, notification, posted

SETTINGS = Provider(
    type="ses",
    region="eu-west-1",
    key=SecretStr("AKIDEXAMPLE"),
    secret=SecretStr("wJalrXUtnFEMI/K7MDENG"),
    configuration_set="news",
)
PARTS = ("Subject", "Html", "Text")


def accepted(request: httpx.Request) -> httpx.Response:
    return entries(*(("SUCCESS", f"id-{n}") for n, _ in enumerate(body(request)["BulkEmailEntries"])))


def entries(*told: tuple[str, str]) -> httpx.Response:
    """An answer with a status for each message, and its id or what was wrong."""
    results = [
        {"Status": status, "MessageId" if status == "SUCCESS" else "Error": said} for status, said in told
    ]
    return httpx.Response(200, json={"BulkEmailEntryResults": results})


def messages(request: httpx.Request) -> list[Message]:
    asked = body(request)
    template = asked["DefaultContent"]["Template"]
    return [_message(template, entry) for entry in asked["BulkEmailEntries"]]


def _message(template: dict[str, Any], entry: dict[str, Any]) -> Message:
    data = json.loads(entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"])
    filled = {part: rendered(template["TemplateContent"][part], data) for part in PARTS}
    headers = [*template["Headers"], *entry["ReplacementHeaders"]]
    return Message(
        address=entry["Destination"]["ToAddresses"][0],
        subject=filled["Subject"],
        html=filled["Html"],
        text=filled["Text"],
        headers={header["Name"]: header["Value"] for header in headers},
        keys=[tag["Value"] for tag in entry["ReplacementTags"]],
        inline={a["ContentId"]: b64decode(a["RawContent"]) for a in template.get("Attachments", ())},
    )


def rendered(template: str, data: dict[str, str]) -> str:
    """What SES makes of an inline template: variables only, and nothing that could be anything else."""
    between = re.split(r"\{\{([A-Za-z]+)\}\}", template)
    for place, piece in enumerate(between[0::2]):
        assert not re.search(r"[{}]{2}|\\\Z", piece), piece
        assert place == 0 or not re.match(r"[{}]", piece), piece
        assert place == len(between) // 2 or not re.search(r"[{}]\Z", piece), piece
    return "".join(data[piece] if place % 2 else piece for place, piece in enumerate(between))


VENDOR = Vendor(
    name="ses",
    provider=lambda transport: Ses(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="derived/amazon-ses-v2.send.json",
)


@pytest.mark.anyio
async def test_the_call_goes_to_the_region_under_its_configuration_set():
    """Host, path, configuration set, sender and the batch's tag stand once; the secret stands nowhere."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    [request] = far_end.requests
    assert str(request.url) == "https://email.eu-west-1.amazonaws.com/v2/email/outbound-bulk-emails"
    assert "Credential=AKIDEXAMPLE/" in request.headers["authorization"]
    assert "/eu-west-1/ses/aws4_request" in request.headers["authorization"]
    assert "wJalrXUtnFEMI" not in str(request.headers.raw)
    asked = body(request)
    assert asked["ConfigurationSetName"] == "news"
    assert asked["FromEmailAddress"] == "The Morning <news@news.example>"
    assert asked["DefaultEmailTags"] == [{"Name": "batch", "Value": BATCH.key}]


@pytest.mark.anyio
async def test_senders_are_named_in_ascii():
    """SES takes other names as encoded words only, and domains in ASCII."""
    far_end = FarEnd(accepted)
    sender = replace(SENDER, from_="Früh am Tag <news@bücher.example>", reply_to='"A, B" <a@b.example>')
    async with VENDOR.provider(far_end.transport()).connected() as calls:
        await calls.send(BATCH, DIGEST, [email(1)], sender=sender, media=lambda picture: b"")
    asked = body(far_end.requests[0])
    assert asked["FromEmailAddress"] == "=?utf-8?q?Fr=C3=BCh_am_Tag?= <news@xn--bcher-kva.example>"
    assert asked["ReplyToAddresses"] == ['"A, B" <a@b.example>']


@pytest.mark.anyio
async def test_a_readers_domain_is_written_in_ascii():
    """SES has no SMTPUTF8, but a domain has another spelling."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end, [replace(email(1), address="ada@bücher.example")])
    assert messages(far_end.requests[0])[0].address == "ada@xn--bcher-kva.example"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "text",
    [
        "{{{x}}}",
        r"\{{x}} \\{{",
        "{@@name@@}",
        "}@@name@@{",
        "\\@@name@@",
        "@media{a{b:c}}",
        "}",
        "{",
        "{\\@@name@@",
    ],
)
async def test_what_looks_like_the_vendors_syntax_arrives_as_it_is(text: str):
    """Braces of any number and place, and a backslash before them, are the article's own."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end, [email(1, name="{{x}}")], digest=replace(DIGEST, html=text, text=text))
    [message] = messages(far_end.requests[0])
    assert message.html == message.text == text.replace("@@name@@", "{{x}}")


@pytest.mark.anyio
async def test_each_message_of_an_accepted_call_has_its_own_fate():
    """In the order of the call: accepted, refused for good, not now, and nobody knows."""
    told = [
        ("SUCCESS", "id-1"),
        ("MESSAGE_REJECTED", "Resources were found to contain a virus"),
        ("ACCOUNT_THROTTLED", "Maximum sending rate exceeded"),
        ("FAILED", "Unable to process"),
        ("SOMETHING_NEW", ""),
        ("INVALID_PARAMETER", "Missing final '@domain'"),
        ("TRANSIENT_FAILURE", ""),
    ]
    answer = await send(VENDOR, FarEnd(lambda request: entries(*told)), [email(n) for n in range(1, 8)])
    assert answer.receipts == {1: "id-1"}
    assert answer.refused == {
        2: "MESSAGE_REJECTED: Resources were found to contain a virus",
        6: "INVALID_PARAMETER: Missing final '@domain'",
    }
    assert answer.later == {3: "ACCOUNT_THROTTLED: Maximum sending rate exceeded", 7: "TRANSIENT_FAILURE"}
    assert answer.unclear == {4: "FAILED: Unable to process", 5: "SOMETHING_NEW"}
    assert answer.pause == 1


@pytest.mark.anyio
async def test_a_quota_reached_within_a_call_rests_the_account():
    """Who was accepted is; the others wait, and no further call is made for an hour."""
    told = [("SUCCESS", "id-1"), ("ACCOUNT_DAILY_QUOTA_EXCEEDED", ""), ("ACCOUNT_DAILY_QUOTA_EXCEEDED", "")]
    answer = await send(VENDOR, FarEnd(lambda request: entries(*told)))
    assert answer.receipts == {1: "id-1"}
    assert set(answer.later) == {2, 3}
    assert answer.pause == 3600


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "said", "error", "after"),
    [
        ("ACCOUNT_SUSPENDED", "", AccountTrouble, 900),
        ("ACCOUNT_SENDING_PAUSED", "", AccountTrouble, 900),
        ("CONFIGURATION_SET_SENDING_PAUSED", "", AccountTrouble, 900),
        ("CONFIGURATION_SET_NOT_FOUND", "", AccountTrouble, 900),
        ("MAIL_FROM_DOMAIN_NOT_VERIFIED", "", AccountTrouble, 900),
        ("MESSAGE_REJECTED", "Email address is not verified. The following …", AccountTrouble, 900),
        ("ACCOUNT_DAILY_QUOTA_EXCEEDED", "", AccountTrouble, 3600),
        ("ACCOUNT_THROTTLED", "", TryLater, None),
    ],
)
async def test_what_is_said_of_every_message_is_said_of_the_call(
    status: str, said: str, error: type[SendError], after: float | None
):
    """Nothing was accepted, nothing is lost: the call is made again when the account may."""
    with pytest.raises(TryLater) as raised:
        await send(VENDOR, FarEnd(lambda request: entries(*[(status, said)] * 3)))
    assert type(raised.value) is error
    assert raised.value.after == after
    assert status in str(raised.value)


@pytest.mark.anyio
async def test_an_answer_for_other_messages_is_unclear():
    """Three messages and two results: nobody can say whose they are."""
    two = entries(("SUCCESS", "id-1"), ("SUCCESS", "id-2"))
    with pytest.raises(Unclear):
        await send(VENDOR, FarEnd(lambda request: two))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "name", "said", "error", "after"),
    [
        (400, "ThrottlingException", "Maximum sending rate exceeded", TryLater, None),
        (400, "ThrottlingException", "Daily message quota exceeded", AccountTrouble, 3600),
        (429, "TooManyRequestsException", "Too many requests", TryLater, None),
        (400, "LimitExceededException", "…", TryLater, None),
        (400, "AccountSuspendedException", "…", AccountTrouble, 900),
        (400, "SendingPausedException", "…", AccountTrouble, 900),
        (400, "MailFromDomainNotVerifiedException", "…", AccountTrouble, 900),
        (404, "NotFoundException", "Configuration set <news> does not exist.", AccountTrouble, 900),
        (400, "MessageRejected", "Email address is not verified. The following …", AccountTrouble, 900),
        (403, "UnrecognizedClientException", "The security token is invalid", AccountTrouble, 900),
        (
            400,
            "AccessDeniedException",
            "… is not authorized to perform ses:SendBulkEmail",
            AccountTrouble,
            900,
        ),
        (400, "RequestExpired", "…", AccountTrouble, 900),
        (400, "MessageRejected", "The message is too long", Refused, None),
        (400, "BadRequestException", "Template contains unsupported operations", Refused, None),
        (400, "BadRequestException", "Missing final '@domain'", SomeRefused, None),
        (400, "BadRequestException", "Illegal address", SomeRefused, None),
        (400, "SomethingNew", "…", Refused, None),
        (500, "InternalFailure", "…", Unclear, None),
    ],
)
async def test_errors_of_a_call_say_what_to_do_next(
    status: int, name: str, said: str, error: type[SendError], after: float | None
):
    """The name is in a header, with an address after it or without."""
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazonaws.sesv2/"}
    answer = httpx.Response(status, headers=headers, json={"message": said})
    with pytest.raises(SendError) as raised:
        await send(VENDOR, FarEnd(lambda request: answer))
    assert type(raised.value) is error
    assert getattr(raised.value, "after", None) == after
    assert "wJalrXUtnFEMI" not in str(raised.value)


ACCOUNT = {  # the answer of https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html
    "EnforcementStatus": "HEALTHY",
    "ProductionAccessEnabled": True,
    "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 120.0},
    "SendingEnabled": True,
}


async def allowance(answer: httpx.Response) -> Allowance:
    async with Ses(SETTINGS, transport=FarEnd(lambda request: answer).transport()).connected() as calls:
        return await calls.allowance()


@pytest.mark.anyio
async def test_the_account_says_what_it_may_send():
    """Its rate, its quota of 24 hours and what of it is used; -1 is no quota."""
    assert await allowance(httpx.Response(200, json=ACCOUNT)) == Allowance(
        per_second=14, per_day=50000, used=120
    )
    free = {"Max24HourSend": -1.0, "MaxSendRate": 200.0, "SentLast24Hours": 9.0}
    told = httpx.Response(200, json={**ACCOUNT, "SendQuota": free})
    assert await allowance(told) == Allowance(per_second=200, per_day=None, used=9)


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [{"EnforcementStatus": "SHUTDOWN"}, {"SendingEnabled": False}])
async def test_an_account_that_may_not_send_is_trouble(trouble: dict[str, Any]):
    """It is known before the first message."""
    with pytest.raises(AccountTrouble):
        await allowance(httpx.Response(200, json=ACCOUNT | trouble))


@pytest.mark.anyio
async def test_an_account_that_says_something_else_is_unclear():
    """An answer without a quota is no allowance."""
    with pytest.raises(Unclear):
        await allowance(httpx.Response(200, json={"SendingEnabled": True}))


# --- signatures, before a server that compares them ---


@dataclass(frozen=True)
class Amazon:
    """A stand-in for Amazon with one key that it knows."""

    url: str
    key: str
    secret: str


@pytest.fixture(scope="module")
def amazon() -> Iterator[Amazon]:
    """moto, which answers a few calls unsigned, to make a key with, and compares all signatures after."""
    unsigned = [
        {"Action": "CreateUser", "UserName": "news"},
        {"Action": "PutUserPolicy", "UserName": "news", "PolicyName": "all", "PolicyDocument": ALLOWED},
        {"Action": "CreateAccessKey", "UserName": "news"},
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(len(unsigned)), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr
    try:
        running = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in islice(server.stderr, 10))
        url = next(found[0] for found in running if found)
        for form in unsigned:
            made = httpx.post(url, data=form, headers={"Authorization": FOR_IAM}, timeout=30)
        yield Amazon(url, *re.findall(r"<(?:AccessKeyId|SecretAccessKey)>(.*?)<", made.text))
    finally:
        server.terminate()
        server.communicate(timeout=30)


ALLOWED = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
FOR_IAM = "AWS4-HMAC-SHA256 Credential=x/20261123/eu-west-1/iam/aws4_request, SignedHeaders=host, Signature=x"


async def sent(amazon: Amazon, secret: str) -> httpx.Response:
    """SendEmail, signed as all our calls are: moto knows no SendBulkEmail, and has verified no sender."""
    content = {"Simple": {"Subject": {"Data": "é"}, "Body": {"Text": {"Data": "Hello"}}}}
    mail = {
        "FromEmailAddress": "a@b.example",
        "Destination": {"ToAddresses": ["c@d.example"]},
        "Content": content,
    }
    async with http.client(amazon.url, auth=Signed(amazon.key, secret, "eu-west-1")) as opened:
        request = opened.build_request("POST", "/v2/email/outbound-emails", json=mail)
        return await http.exchange(opened, request, judge=judge)


@pytest.mark.anyio
async def test_a_right_signature_is_let_in(amazon: Amazon):
    """What comes back is of the mail, no more of the key: the sender is not verified."""
    with pytest.raises(AccountTrouble, match=r"MessageRejected.*not verified"):
        await sent(amazon, amazon.secret)


@pytest.mark.anyio
async def test_a_wrong_secret_is_trouble_with_the_account(amazon: Amazon):
    """403 SignatureDoesNotMatch: a person looks at the key, and nothing is lost."""
    with pytest.raises(AccountTrouble, match=r"403 .*SignatureDoesNotMatch") as raised:
        await sent(amazon, "wrong-secret")
    assert "wrong-secret" not in str(raised.value)


# --- what it reports ---


def by_sns(told: bytes, secret: str, at: datetime) -> Hook:
    """The same text has the same MessageId, as when it is sent again; a topic stands for a secret."""
    text = told.decode(errors="replace")
    return posted(notification(arn(secret), text, at, MessageId=sha256(told).hexdigest()[:36]), at)


def by_event_bridge(told: bytes, secret: str, at: datetime) -> Hook:
    return Hook(body=told, headers={"authorization": f"Bearer {secret}"}, received_at=at)


TAGS = {
    "delivery": [KEY],
    "batch": ["7-1"],
    "ses:configuration-set": ["news"],
    "ses:source-ip": ["192.0.2.0"],
}
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML) Version/17.1"


def told(
    kind: str, part: str, *, second: int = 0, tags: Any = TAGS, to: Any = (READER,), **about: Any
) -> Any:
    """A record in the shape of the developer guide's examples of event publishing (read 2026-11-23)."""
    return {
        "eventType": kind,
        "mail": {
            "timestamp": "2026-06-01T06:59:00.000Z",
            "source": "The Morning <news@news.example>",
            "sendingAccountId": "123456789012",
            "messageId": "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
            "destination": list(to),
            "headersTruncated": False,
            "headers": [{"name": "To", "value": READER}],
            "commonHeaders": {"subject": "News"},
            **({"tags": tags} if tags is not None else {}),
        },
        part: {"timestamp": f"2026-06-01T06:59:{second:02}.250Z", **about},
    }


def bounce(kind: str, subtype: str, *, second: int = 0, addresses: tuple[str, ...] = (READER,)) -> Any:
    recipients = [
        {
            "emailAddress": address,
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 unknown",
        }
        for address in addresses
    ]
    about = {
        "bounceType": kind,
        "bounceSubType": subtype,
        "bouncedRecipients": recipients,
        "feedbackId": "01",
    }
    return told("Bounce", "bounce", second=second, to=addresses, **about)


def bounced(kind: str, subtype: str, class_: str, why: RejectReason) -> Example:
    return Example(
        told=bounce(kind, subtype),
        says={
            "type": EventType.BOUNCED,
            "said": f"Bounce {kind} {subtype}",
            "bounce_class": class_,
            "reject_reason": why,
            "address": READER,
            "description": "smtp; 550 5.1.1 unknown",
        },
    )


def complained(type_: EventType, **about: Any) -> Example:
    listed = [{"emailAddress": READER}]
    return Example(
        told=told("Complaint", "complaint", complainedRecipients=listed, **about),
        says={"type": type_, "address": READER, "key": KEY},
    )


def preference(*, before: Any, after: Any) -> Any:
    return told("Subscription", "subscription", newTopicPreferences=after, oldTopicPreferences=before)


def topics(unsubscribe_all: bool, **statuses: str) -> dict[str, Any]:
    listed = [{"topicName": name, "subscriptionStatus": status} for name, status in statuses.items()]
    return {"unsubscribeAll": unsubscribe_all, "topicSubscriptionStatus": listed}


EXAMPLES = [
    Example(
        told=told("Delivery", "delivery", recipients=[READER], smtpResponse="250 2.6.0 Message received"),
        says={
            "type": EventType.DELIVERED,
            "said": "Delivery",
            "address": READER,
            "key": KEY,
            "message_id": "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
            "occurred_at": datetime(2026, 6, 1, 6, 59, 0, 250000, UTC),
            "description": "250 2.6.0 Message received",
            "bounce_class": None,
        },
    ),
    Example(told=told("Send", "send"), says={"type": EventType.SENT, "key": KEY, "address": READER}),
    Example(
        told=told("Reject", "reject", reason="Bad content"),
        says={"type": EventType.REJECTED, "bounce_class": None, "description": "Bad content"},
    ),
    Example(
        told=told("Rendering Failure", "failure", templateName="x", errorMessage="Attribute 'a' is missing."),
        says={"type": EventType.FAILED, "description": "Attribute 'a' is missing."},
    ),
    Example(
        told=told(
            "DeliveryDelay",
            "deliveryDelay",
            delayType="MailboxFull",
            delayedRecipients=[{"emailAddress": READER}],
        ),
        says={"type": EventType.DEFERRED, "bounce_class": "soft", "description": "MailboxFull"},
    ),
    bounced("Permanent", "General", "hard", RejectReason.BOUNCED),
    bounced("Permanent", "NoEmail", "hard", RejectReason.INVALID),
    bounced("Permanent", "OnAccountSuppressionList", "hard", RejectReason.BLOCKED),
    bounced("Transient", "MailboxFull", "soft", RejectReason.BOUNCED),
    bounced("Transient", "ContentRejected", "soft", RejectReason.SPAM),
    bounced("Transient", "CustomTimeoutExceeded", "soft", RejectReason.TIMED_OUT),
    bounced("Undetermined", "Undetermined", "soft", RejectReason.BOUNCED),
    bounced("Something new", "General", "soft", RejectReason.BOUNCED),
    complained(EventType.COMPLAINED, complaintFeedbackType="abuse", userAgent="AnyCompany Feedback Loop"),
    complained(EventType.COMPLAINED),
    complained(EventType.COMPLAINED, complaintSubType="OnAccountSuppressionList"),
    complained(EventType.UNKNOWN, complaintFeedbackType="not-spam"),
    Example(
        told=told("Open", "open", userAgent=SAFARI, ipAddress="192.0.2.1"),
        says={"type": EventType.OPENED, "by": "human", "user_agent": SAFARI, "address": READER},
    ),
    Example(
        told=told("Open", "open", second=1, userAgent="Mozilla/5.0"),
        says={"type": EventType.OPENED, "by": "unknown"},
    ),
    Example(
        told=told("Click", "click", userAgent="python-requests/2.32", link="https://news.example/a"),
        says={"type": EventType.CLICKED, "by": "bot", "link": "https://news.example/a"},
    ),
    Example(
        told=preference(before=topics(False), after=topics(True)),
        says={"type": EventType.UNSUBSCRIBED, "address": READER},
    ),
    Example(
        told=preference(before=topics(False, a="OptIn"), after=topics(False, a="OptOut")),
        says={"type": EventType.UNSUBSCRIBED},
    ),
    Example(
        told=preference(before=topics(True), after=topics(False)),
        says={"type": EventType.SUBSCRIBED},
    ),
]
UNKNOWN = told("Something New", "somethingNew")


def at_sns() -> SesWebhook:
    return SesWebhook(REPORTED.settings, transport=AtSns().transport())


REPORTED = Reported(
    settings=SETTINGS.model_copy(update={"webhook": WebhookSettings(topics=(arn(NEW), arn(OLD)))}),
    signed=by_sns,
    seal=Inside(),
    make=at_sns,
    covers_body=False,  # SNS signs fields; test_sns.py changes each of them
    window=timedelta(hours=24),
    examples=EXAMPLES,
    unknown=UNKNOWN,
)


def bridged(detail: Any, *, place: int) -> dict[str, Any]:
    """An event in the shape of EventBridge's reference (read 2026-11-23)."""
    return {
        "version": "0",
        "id": f"12345678-1234-1234-1234-1234567890{place:02}",
        "detail-type": f"Email {detail['eventType']}",
        "source": "aws.ses",
        "account": "123456789012",
        "time": "2026-06-01T06:59:01Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:ses:eu-west-1:123456789012:configuration-set/news"],
        "detail": detail,
    }


EVENT_BRIDGE = Reported(
    settings=SETTINGS.model_copy(
        update={
            "webhook": WebhookSettings(
                token=(SecretStr(NEW), SecretStr(OLD)), password=(SecretStr("a password besides"),)
            )
        }
    ),
    signed=by_event_bridge,
    seal=InHeader("authorization"),
    covers_body=False,
    forgeries=lambda seal: [
        seal.replace("Bearer", "Basic"),
        seal.removeprefix("Bearer "),
        f"Basic {b64encode(f':{NEW}'.encode()).decode()}",
        "Bearer a password besides",
    ],
    examples=[
        Example(told=bridged(one.told, place=place), says=one.says) for place, one in enumerate(EXAMPLES)
    ],
    unknown=bridged(UNKNOWN, place=99),
)


@pytest.mark.anyio
async def test_a_message_to_several_readers_is_an_event_for_each():
    """Three mailboxes of one message bounced: three events, whose ids stay the same."""
    readers = ("a@example.org", "b@example.org", "c@example.org")
    found = await at_sns().events(REPORTED.hook(bounce("Permanent", "General", addresses=readers)))
    again = await at_sns().events(REPORTED.hook(bounce("Permanent", "General", addresses=readers)))
    assert [event.address for event in found] == list(readers)
    assert len({event.id for event in found}) == 3
    assert [event.id for event in found] == [event.id for event in again]


@pytest.mark.anyio
async def test_who_of_several_opened_it_is_not_known():
    """SES does not say which of a message's readers it was, so it was none of them."""
    opened = told("Open", "open", to=("a@example.org", "b@example.org"), userAgent=SAFARI)
    [event] = await at_sns().events(REPORTED.hook(opened))
    assert (event.type, event.address, event.key) == (EventType.OPENED, "", KEY)


@pytest.mark.anyio
async def test_notifications_of_an_identity_are_read_too():
    """They have another name for the type, and no tags: the reader is known by the address alone."""
    record = bounce("Permanent", "General")
    record["notificationType"] = record.pop("eventType")
    del record["mail"]["tags"]
    [event] = await at_sns().events(REPORTED.hook(record))
    assert (event.type, event.bounce_class, event.address, event.key) == (
        EventType.BOUNCED,
        "hard",
        READER,
        "",
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    "text",
    [
        f"{GREETING} for Amazon SES event publishing.",
        '{"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have …"}',
    ],
)
async def test_a_topic_that_is_made_a_destination_is_greeted(text: str):
    """SES tries a topic with a text that is no event, and not always JSON."""
    assert await at_sns().events(by_sns(text.encode(), NEW, NOW)) == ()


@pytest.mark.anyio
async def test_subscribing_is_no_event():
    """The topic asks whether it may send here: it is confirmed, and nothing is kept."""
    far_end = AtSns()
    reader = SesWebhook(REPORTED.settings, transport=far_end.transport())
    assert await reader.events(posted(confirmation(arn(NEW), NOW), NOW)) == ()
    assert len(far_end.asked) == 2


@pytest.mark.anyio
async def test_what_another_program_publishes_to_the_topic_is_no_event():
    """A text that is no record of SES can be read by nobody here: SNS does not send it again."""
    for text in ('{"AlarmName": "…"}', "Hello", "[]", "17"):
        with pytest.raises(Unreadable):
            await at_sns().events(by_sns(text.encode(), NEW, NOW))
    assert at_sns().stops_with == 400


@pytest.mark.anyio
async def test_each_way_has_its_own_proof():
    """A token does not stand for a topic, nor a topic's name for a token."""
    bridge, topic = EVENT_BRIDGE.webhook(), at_sns()
    with pytest.raises(Forged):
        await bridge.events(REPORTED.hook(EXAMPLES[0].told))
    with pytest.raises(Forged):
        await topic.events(EVENT_BRIDGE.hook(EVENT_BRIDGE.examples[0].told))
    hook = EVENT_BRIDGE.hook(EVENT_BRIDGE.examples[0].told)
    with pytest.raises(Forged):
        await bridge.events(replace(hook, headers={**hook.headers, "x-amz-sns-message-type": "Notification"}))


@pytest.mark.anyio
async def test_event_bridge_may_bring_a_name_and_password():
    """A connection of EventBridge has Basic authorization, too."""
    credentials = b64encode(b"events:a password besides").decode()
    hook = EVENT_BRIDGE.hook(EVENT_BRIDGE.examples[0].told)
    hook = replace(hook, headers={"authorization": f"Basic {credentials}"})
    [event] = await EVENT_BRIDGE.webhook().events(hook)
    assert event.type is EventType.DELIVERED
