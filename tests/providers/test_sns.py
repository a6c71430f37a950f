"""Amazon SNS: which requests are its own, of our topics, and what it is answered."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest

from distributor.errors import Forged, TryLater
from distributor.providers.email.sns import MOST_WAITING, Notification, Sns
from distributor.providers.protocol import Hook
from tests.providers.hooks import NOW
from tests.providers.topics import (
    ADDRESS,
    CERTIFICATE,
    ENDS,
    AtSns,
    arn,
    certificate,
    confirmation,
    notification,
    posted,
    sealed,
)

OURS, THEIRS = arn("reports"), arn("of-somebody-else")
WINDOW = timedelta(hours=24)


async def told(request: Any, at_sns: AtSns | None = None, *, at: datetime = NOW) -> Notification | None:
    far_end = at_sns or AtSns()
    return await Sns().notification(posted(request, at), topics=[OURS], transport=far_end.transport())


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [{}, {"Subject": "Amazon SES Email Event Notification"}])
async def test_both_versions_of_the_signature_are_taken(version: str, subject: dict[str, str]):
    """Topics begin with SHA-1, and have SHA-256 when asked; a subject is signed where there is one."""
    found = await told(notification(OURS, "text\nTopicArn\n", NOW, SignatureVersion=version, **subject))
    assert found == Notification(id="22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", text="text\nTopicArn\n")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        {"Message": "another text"},
        {"MessageId": "another id"},
        {"Subject": "one that was not there"},
        {"Timestamp": f"{NOW - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"},
        {"SignatureVersion": "1"},
        {"Message": "text", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\n"},
    ],
)
async def test_what_is_changed_is_not_signed(change: dict[str, str]):
    """Each of the fields that are believed is signed."""
    with pytest.raises(Forged, match="is not signed by SNS"):
        await told(notification(OURS, "text", NOW) | change)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["Message", "MessageId", "Timestamp", "TopicArn", "Type", "SigningCertURL"])
@pytest.mark.parametrize("value", [None, 17, ["a"], {"a": "b"}, ""])
async def test_what_lacks_a_field_is_no_message_of_sns(name: str, value: Any):
    """A field that is missing, empty or of another type is a stranger's."""
    with pytest.raises(Forged):
        await told(notification(OURS, "text", NOW) | {name: value})


@pytest.mark.anyio
@pytest.mark.parametrize("version", [None, "", "0", "3", "01", " 1", 1, "\N{SUPERSCRIPT TWO}"])
async def test_a_version_that_nobody_knows_is_not_signed(version: Any):
    """What is not checked is not believed."""
    with pytest.raises(Forged, match="neither 1 nor 2"):
        await told(notification(OURS, "text", NOW) | {"SignatureVersion": version})


@pytest.mark.anyio
@pytest.mark.parametrize(
    "topic",
    [THEIRS, OURS + "x", OURS[:-1], OURS.upper(), OURS + "\n", f" {OURS}", "", OURS.replace("eu", "us")],
)
async def test_a_topic_of_somebody_else_is_not_ours(topic: str):
    """Whoever has an AWS account has a topic whose messages SNS signs rightly; nothing is fetched for it."""
    at_sns = AtSns()
    with pytest.raises(Forged, match="topics"):
        await told(notification(topic, "text", NOW), at_sns)
    assert at_sns.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-7b2f.pem",
        "https://evil.example/SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-7b2f.pem",
        "https://user:password@sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://evil.example#sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://evil.example\\@sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-7b2f.pem",
        "https://s3.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://sns.s3-eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://sns.s3.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.evil.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://evil.sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.amazonaws.com/evil/SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.amazonaws.com/../SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem?x=/evil.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem\n",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f%2fevil.pem",
        "https://sns.eu-west-1.amazonaws.com/evil.pem",
        "https://SNS.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-" + "a" * 9999 + ".pem",
        "file:///etc/passwd",
        "//sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem",
    ],
)
async def test_only_certificates_at_sns_are_fetched(url: str):
    """Nobody can have this server visit another address, nor sign with a certificate of their own."""
    at_sns = AtSns()
    with pytest.raises(Forged, match="certificate that is not at SNS"):
        await told(notification(OURS, "text", NOW, SigningCertURL=url), at_sns)
    assert at_sns.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "region", ["us-east-1", "us-gov-west-1", "ap-southeast-7", "cn-northwest-1", "il-central-1"]
)
async def test_every_region_has_certificates(region: str):
    """Regions have two or three words, and China's have an address of their own."""
    china = ".cn" if region.startswith("cn") else ""
    url = f"https://sns.{region}.amazonaws.com{china}/SimpleNotificationService-7b2f.pem"
    assert await told(notification(OURS, "text", NOW, SigningCertURL=url))


@pytest.mark.anyio
async def test_a_certificate_is_fetched_once():
    """Many messages at once wait for one fetch, and later ones for none."""
    at_sns, sns = AtSns(), Sns()
    hook = posted(notification(OURS, "text", NOW), NOW)

    async def ask() -> None:
        assert await sns.notification(hook, topics=[OURS], transport=at_sns.transport())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    await ask()
    assert at_sns.asked == [CERTIFICATE]


@pytest.mark.anyio
async def test_not_everybody_waits_for_a_certificate():
    """While SNS is silent a few wait for it, and the others are told to come again."""
    silence, answers = anyio.Event(), []

    async def answer(request: httpx.Request) -> httpx.Response:
        await silence.wait()
        return httpx.Response(200, content=certificate())

    sns, transport = Sns(), httpx.MockTransport(answer)
    hook = posted(notification(OURS, "text", NOW), NOW)

    async def ask() -> None:
        try:
            answers.append(await sns.notification(hook, topics=[OURS], transport=transport))
        except TryLater:
            silence.set()

    async with anyio.create_task_group() as group:
        for _ in range(MOST_WAITING + 2):
            group.start_soon(ask)
    assert len(answers) == MOST_WAITING + 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(302, headers={"location": "https://evil.example/a.pem"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"\xff" * 100_000),
        httpx.ConnectError("no route"),
        httpx.ReadTimeout("silence"),
    ],
)
async def test_without_its_certificate_a_message_is_to_come_again(answer: httpx.Response | Exception):
    """Nothing is lost, for SNS sends it again; no redirection is followed."""
    at_sns = AtSns(certificate=answer)
    with pytest.raises(TryLater):
        await told(notification(OURS, "text", NOW), at_sns)
    assert at_sns.asked == [CERTIFICATE]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [403, 404])
async def test_a_certificate_that_there_is_not_is_made_up(status: int):
    """A stranger can name any certificate at SNS; that one is missing there is no trouble of ours."""
    with pytest.raises(Forged, match="does not have"):
        await told(notification(OURS, "text", NOW), AtSns(certificate=httpx.Response(status)))


@pytest.mark.anyio
async def test_a_certificate_of_another_kind_signs_nothing():
    """SNS signs with RSA."""
    odd = httpx.Response(200, content=certificate("elliptic"))
    with pytest.raises(Forged, match="another kind"):
        await told(notification(OURS, "text", NOW), AtSns(certificate=odd))


@pytest.mark.anyio
async def test_a_certificate_has_an_end():
    """What a certificate signs after its end is signed by nobody."""
    assert await told(notification(OURS, "text", ENDS), at=ENDS)
    after = ENDS + timedelta(seconds=1)
    with pytest.raises(Forged, match="not valid now"):
        await told(notification(OURS, "text", after), at=after)


@pytest.mark.anyio
async def test_a_message_of_yesterday_is_worth_nothing():
    """SNS tries for an hour; who kept a message for a day cannot send it again."""
    assert await told(notification(OURS, "text", NOW - WINDOW), at=NOW)
    for at in (NOW - WINDOW - timedelta(seconds=1), NOW + WINDOW + timedelta(seconds=1)):
        with pytest.raises(Forged, match="a day ago"):
            await told(notification(OURS, "text", at), at=NOW)
    with pytest.raises(Forged, match="no time"):
        await told(notification(OURS, "text", NOW, Timestamp="yesterday"))


@pytest.mark.anyio
async def test_another_key_signs_nothing():
    """A signature of the right form under another certificate's key is none."""
    right = notification(OURS, "text", NOW)
    signature = b64decode(right["Signature"])
    for wrong in (signature[::-1], bytes(256), b"", signature[:-1], signature + b"\0"):
        with pytest.raises(Forged, match="is not signed by SNS"):
            await told(right | {"Signature": b64encode(wrong).decode()})


@pytest.mark.anyio
async def test_raw_delivery_is_not_taken():
    """With raw message delivery SNS signs nothing: whoever knows the address could send the like."""
    headers = {"x-amz-sns-message-type": "Notification", "x-amz-sns-rawdelivery": "true"}
    for body in (b'{"eventType": "Delivery"}', b"[]", b"", b"no JSON", b"\xff"):
        hook = Hook(body=body, headers=headers, received_at=NOW)
        with pytest.raises(Forged, match="switch off raw message delivery"):
            await Sns().notification(hook, topics=[OURS], transport=AtSns().transport())


# --- subscribing ---


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_subscription_of_our_topic_is_confirmed(version: str):
    """SNS asks before it sends anything, and is told yes at the address that it names."""
    at_sns = AtSns()
    assert await told(confirmation(OURS, NOW, SignatureVersion=version), at_sns) is None
    [_, visited] = at_sns.asked
    assert visited == f"{ADDRESS}?Action=ConfirmSubscription&TopicArn={OURS}&Token=2336412f37"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        f"http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={OURS}&Token=1",
        f"https://evil.example/?Action=ConfirmSubscription&TopicArn={OURS}&Token=1",
        f"https://sns.s3-eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={OURS}&Token=1",
        f"https://sns.eu-west-1.amazonaws.com.evil.example/?Action=ConfirmSubscription&TopicArn={OURS}",
        f"{ADDRESS}?Action=DeleteTopic&TopicArn={OURS}",
        f"{ADDRESS}?Action=ConfirmSubscription&TopicArn={THEIRS}&Token=1",
        f"{ADDRESS}?Action=ConfirmSubscription&TopicArn={OURS}&TopicArn={THEIRS}&Token=1",
        f"{ADDRESS}?Action=ConfirmSubscription&Token=1",
        f"{ADDRESS}?Action=ConfirmSubscription&TopicArn={OURS}&Token=1#@evil.example/",
        f"{ADDRESS}evil?Action=ConfirmSubscription&TopicArn={OURS}&Token=1",
        f"{ADDRESS}?Action=ConfirmSubscription&TopicArn={OURS}&Token=1\r\nHost: evil.example",
        "http://169.254.169.254/latest/meta-data/",
        "",
    ],
)
async def test_only_an_address_that_confirms_is_visited(url: str):
    """Even a message that is signed cannot have this server visit another address than SNS's own."""
    at_sns = AtSns()
    with pytest.raises(Forged, match="does not confirm a subscription"):
        await told(confirmation(OURS, NOW, SubscribeURL=url), at_sns)
    assert at_sns.asked == [CERTIFICATE]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        {"SubscribeURL": f"{ADDRESS}?Action=ConfirmSubscription&TopicArn={OURS}&Token=another"},
        {"Token": "another"},
        {"Type": "UnsubscribeConfirmation"},
    ],
)
async def test_a_confirmation_that_is_changed_is_not_signed(change: dict[str, str]):
    """Nothing is visited for what SNS did not sign."""
    at_sns = AtSns()
    with pytest.raises(Forged, match="is not signed by SNS"):
        await told(confirmation(OURS, NOW) | change, at_sns)
    assert at_sns.asked == [CERTIFICATE]


@pytest.mark.anyio
async def test_nobody_subscribes_us_to_their_topic():
    """A foreign topic's question is refused before anything is fetched."""
    at_sns = AtSns()
    with pytest.raises(Forged, match="topics"):
        await told(confirmation(THEIRS, NOW), at_sns)
    assert at_sns.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, text="Throttling"),
        httpx.Response(404),
        httpx.Response(500),
        httpx.ReadTimeout("…"),
    ],
)
async def test_a_subscription_that_could_not_be_confirmed_is_asked_for_again(answer: Any):
    """SNS asks again, and confirming twice is as good as once."""
    with pytest.raises(TryLater):
        await told(confirmation(OURS, NOW), AtSns(confirmation=answer))
    assert await told(confirmation(OURS, NOW)) is None
    assert await told(confirmation(OURS, NOW)) is None


@pytest.mark.anyio
async def test_an_end_of_a_subscription_is_taken_and_nothing_is_visited():
    """The address that it names would subscribe again: whoever ended it meant it."""
    at_sns = AtSns()
    assert await told(confirmation(OURS, NOW, type_="UnsubscribeConfirmation"), at_sns) is None
    assert at_sns.asked == [CERTIFICATE]


@pytest.mark.anyio
async def test_another_type_is_no_message_of_sns():
    """What SNS does not send is nobody's, whatever it is signed with."""
    for type_ in ("", "notification", "Notification\n", "SomethingNew", "__class__"):
        with pytest.raises(Forged):
            await told(sealed(confirmation(OURS, NOW) | {"Type": type_}))
