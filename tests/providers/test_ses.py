"""Amazon's own words: what a bulk call of SES is sent and answers, and signatures that a server checks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider
from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, TryLater, Unclear
from distributor.providers import http
from distributor.providers.email.ses import Ses, Signed, judge
from distributor.providers.protocol import Allowance
from tests.providers.contract import BATCH, DIGEST, SENDER, FarEnd, Message, Vendor, body, email, send

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
