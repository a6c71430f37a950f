"""Amazon SNS, as it calls an HTTPS endpoint: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html

What is signed are fields, not bytes, with a key whose certificate stands at an address that the message
names. So the address has to be one of SNS, and the topic one of ours: whoever has an AWS account has a topic
whose messages are rightly signed.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio
import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import Certificate, load_pem_x509_certificate

from distributor.errors import Forged, SendError, TryLater, Unreadable
from distributor.providers import hooks, http
from distributor.providers.protocol import Hook

# https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html (read 2026-11-23)
# By SignatureVersion, which a topic has as an attribute; 1 is still what a topic begins with.
HASHES = {"1": SHA1(), "2": SHA256()}  # noqa: S303 the first is SNS's choice
CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
SIGNED: Mapping[str, tuple[str, ...]] = {  # by Type; a Subject is signed if there is one
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    **dict.fromkeys(
        CONFIRMATIONS, ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    ),
}
# Patterns of the whole address: nothing is left to two ways of reading it. Only a region may stand in the
# middle: at `sns.s3-eu-west-1.amazonaws.com` is whatever the owner of a bucket called "sns" puts there.
_AT_SNS = r"https://sns\.[a-z]{2}(?:-[a-z]{3,12}){1,2}-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?/"
CERTIFICATES = re.compile(_AT_SNS + r"SimpleNotificationService-[A-Za-z0-9]{1,100}\.pem")
CONFIRMING = re.compile(_AT_SNS + r"\?Action=ConfirmSubscription&[A-Za-z0-9:&=._%~+-]{1,1000}")

WINDOW = timedelta(hours=24)  # it tries for an hour: /sns/latest/dg/sns-message-delivery-retries.html
LONGEST_FETCH = 8.0  # seconds; SNS waits 15 for its answer
LARGEST_FETCH = 65_536  # bytes; a certificate has some 2,000
MOST_KEPT, MOST_WAITING = 16, 100  # certificates; requests for one that is being fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a topic says."""

    id: str  # the same whenever it is sent again
    text: str


@dataclass(frozen=True, slots=True)
class Sns:
    """Reads what SNS sends; certificates are fetched once, and kept while the program runs."""

    _kept: OrderedDict[str, Certificate] = field(default_factory=OrderedDict, init=False, repr=False)
    _fetching: anyio.Lock = field(default_factory=anyio.Lock, init=False, repr=False)

    async def notification(
        self, hook: Hook, *, topics: Collection[str], transport: httpx.AsyncBaseTransport | None = None
    ) -> Notification | None:
        """What one of *topics* says; None where SNS asks whether it may send here: it is told yes.

        Raises:
            Forged: SNS did not sign it, or not for one of *topics*.
            TryLater: the certificate or the confirmation could not be had.
        """
        told = message_of(hook, topics)
        certificate = await self._certificate(told["SigningCertURL"], transport)
        check(told, certificate, hook.received_at)
        if told["Type"] == "SubscriptionConfirmation":
            await confirm(told, transport)
        if told["Type"] in CONFIRMATIONS:  # whoever ended the subscription meant it
            return None
        return Notification(id=told["MessageId"], text=told["Message"])

    async def _certificate(self, url: str, transport: httpx.AsyncBaseTransport | None) -> Certificate:
        if url in self._kept:
            return self._kept[url]
        if self._fetching.statistics().tasks_waiting >= MOST_WAITING:
            raise TryLater("too many requests wait for a certificate of SNS")
        async with self._fetching:
            if url not in self._kept:
                self._kept[url] = await _certificate_at(url, transport)
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
            return self._kept[url]


def message_of(hook: Hook, topics: Collection[str]) -> Mapping[str, str]:
    """The fields of a message, of a form that could be right; nothing is proved yet."""
    try:
        told = hooks.only(hook)
    except Unreadable:
        told = {}
    wanted = (*SIGNED.get(hooks.text_of(told.get("Type")), ()), "Signature", "SigningCertURL")
    if len(wanted) == 2 or not all(isinstance(told.get(n), str) for n in wanted if n != "Subject"):
        raise Forged("is no message of SNS as it signs them: switch off raw message delivery")
    if told["TopicArn"] not in topics:
        raise Forged("is of a topic that is not among [providers.….webhook] topics")
    if not CERTIFICATES.fullmatch(told["SigningCertURL"]):
        raise Forged("names a certificate that is not at SNS")
    # Of other fields nothing is believed.
    return {name: told[name] for name in (*wanted, "SignatureVersion") if isinstance(told.get(name), str)}


def check(told: Mapping[str, str], certificate: Certificate, now: datetime) -> None:
    """Raises Forged unless the message was signed with that certificate's key, and not long ago."""
    key, hash_ = certificate.public_key(), HASHES.get(told.get("SignatureVersion", ""))
    if hash_ is None:
        raise Forged("has a SignatureVersion that is neither 1 nor 2")
    if not isinstance(key, RSAPublicKey):
        raise Forged("names a certificate of another kind than SNS has")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Forged("is signed with a certificate that is not valid now; check the clock of this machine")
    try:
        key.verify(b64decode(told["Signature"], validate=True), signed_text(told), PKCS1v15(), hash_)
    except (InvalidSignature, ValueError):  # or no base64, or not even ASCII
        raise Forged("is not signed by SNS") from None
    try:
        age = now - hooks.moment(told["Timestamp"])
    except (ValueError, OverflowError, OSError):
        raise Forged("has a Timestamp that is no time") from None
    if abs(age) > WINDOW:
        raise Forged("was signed more than a day ago, or ahead; check the clock of this machine")


def signed_text(told: Mapping[str, str]) -> bytes:
    """Names and values, each on a line of its own; type and topic are last, so none is forged."""
    names = (name for name in SIGNED[told["Type"]] if name in told)
    return "".join(f"{name}\n{told[name]}\n" for name in names).encode()


async def confirm(told: Mapping[str, str], transport: httpx.AsyncBaseTransport | None) -> None:
    """Visit the address that makes a subscription of ours a working one; twice is as good as once.

    Raises:
        Forged: it is another address.
        TryLater: SNS did not take it.
    """
    url = told["SubscribeURL"]
    if not CONFIRMING.fullmatch(url) or httpx.URL(url).params.get_list("TopicArn") != [told["TopicArn"]]:
        raise Forged("asks to visit an address that does not confirm a subscription at SNS")
    answer = await _fetched(url, transport)
    if not answer.is_success:
        raise TryLater(f"SNS does not confirm the subscription: {http.said(answer)}")


async def _certificate_at(url: str, transport: httpx.AsyncBaseTransport | None) -> Certificate:
    answer = await _fetched(url, transport)
    if not answer.is_success:  # a name that somebody made up
        raise Forged("names a certificate that SNS does not have")
    try:
        return load_pem_x509_certificate(answer.content)
    except ValueError as error:
        raise TryLater(f"what stands at {url} is no certificate: {error}") from None


async def _fetched(url: str, transport: httpx.AsyncBaseTransport | None) -> httpx.Response:
    """What stands at an address of SNS, or that nothing does."""
    try:
        with anyio.fail_after(LONGEST_FETCH):
            async with http.client("", transport=transport) as opened:
                request = opened.build_request("GET", url)
                return await http.exchange(opened, request, telling=_is_not_there, most=LARGEST_FETCH)
    except (SendError, TimeoutError) as error:
        raise TryLater(f"SNS does not answer: {error or 'silence'}") from error


def _is_not_there(answer: httpx.Response) -> bool:
    return answer.status_code in (403, 404)
