"""Topics of Amazon SNS whose messages tests sign, and the place where their certificates stand."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from distributor.providers.protocol import Hook

CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7b2f.pem"
ADDRESS = "https://sns.eu-west-1.amazonaws.com/"
BEGINS, ENDS = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
HASHES = {"1": SHA1(), "2": SHA256()}  # the first is SNS's choice

# What is signed, in this order, by Type (the developer guide, read 2026-11-23).
NOTIFIED = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMED = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def arn(name: str) -> str:
    return f"arn:aws:sns:eu-west-1:123456789012:{name}"


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(kind: str = "rsa") -> bytes:
    """What stands at CERTIFICATE, as PEM; of another *kind* of key, what never would."""
    pair = key() if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder(name, name, pair.public_key(), 1, BEGINS, ENDS).sign(pair, SHA256())
    return made.public_bytes(Encoding.PEM)


def notification(topic: str, text: str, at: datetime, **fields: Any) -> dict[str, Any]:
    """What SNS posts when *text* is published to a topic."""
    told = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": topic,
        "Message": text,
        "Timestamp": _written(at),
        "UnsubscribeURL": f"{ADDRESS}?Action=Unsubscribe&SubscriptionArn={topic}:c9135db0",
    }
    return sealed(told | fields)


def confirmation(topic: str, at: datetime, *, type_: str = "SubscriptionConfirmation", **fields: Any) -> Any:
    """What SNS posts to ask whether it may send here, or to say that it does not any more."""
    told = {
        "Type": type_,
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "2336412f37",
        "TopicArn": topic,
        "Message": "You have chosen to subscribe to the topic.",
        "SubscribeURL": f"{ADDRESS}?Action=ConfirmSubscription&TopicArn={topic}&Token=2336412f37",
        "Timestamp": _written(at),
    }
    return sealed(told | fields)


def sealed(told: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with a signature; what stands in *told* for its own parts wins."""
    signed = {"SignatureVersion": "2", "SigningCertURL": CERTIFICATE, **told}
    names = NOTIFIED if told["Type"] == "Notification" else CONFIRMED
    message = "".join(f"{name}\n{told[name]}\n" for name in names if name in told).encode(errors="replace")
    hash_ = HASHES.get(signed["SignatureVersion"], SHA256())
    return {"Signature": b64encode(key().sign(message, PKCS1v15(), hash_)).decode(), **signed}


def posted(told: Mapping[str, Any], at: datetime) -> Hook:
    """A request of SNS: JSON that calls itself text."""
    headers = {
        "x-amz-sns-message-type": str(told.get("Type")),
        "content-type": "text/plain; charset=UTF-8",
        "user-agent": "Amazon Simple Notification Service Agent",
    }
    return Hook(body=json.dumps(told).encode(), headers=headers, received_at=at)


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.000Z}"


@dataclass(frozen=True)
class Inside:
    """The signature, which stands among the fields."""

    def read(self, hook: Hook) -> str:
        return str(json.loads(hook.body)["Signature"])

    def put(self, hook: Hook, value: str | None) -> Hook:
        told = {name: one for name, one in json.loads(hook.body).items() if name != "Signature"}
        told |= {} if value is None else {"Signature": value}
        return replace(hook, body=json.dumps(told).encode())


class AtSns:
    """The far end: the certificate, and the address that confirms; what was asked for is kept."""

    def __init__(self, **answers: httpx.Response | Exception) -> None:
        """*answers* are other ones for `certificate` or `confirmation`."""
        self._answers = answers
        self.asked: list[str] = []

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        self.asked.append(url)
        kind = "certificate" if url.endswith(".pem") else "confirmation"
        answer = self._answers.get(kind)
        if isinstance(answer, Exception):
            raise answer
        if kind == "certificate":
            return answer or httpx.Response(200, content=certificate())
        return answer or httpx.Response(200, text="<ConfirmSubscriptionResponse/>")
