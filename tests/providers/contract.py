"""What every HTTP vendor is tested for, and how a vendor tells the suite about itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from distributor.model import Answer, Batch, DeliveryState, Digest, Email, Picture
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import EmailCalls

NOW = datetime(2026, 6, 1, 7, tzinfo=UTC)
BATCH = Batch(
    campaign=7,
    number=1,
    rendition="r",
    recipients=(1, 2, 3),
    state=DeliveryState.SENDING,
    attempt=1,
    provider=None,
    key="5f0c7c1e-7a55-5cf8-9d7f-0d7a8d9f1d11",
    due_at=NOW,
)
CALLED = replace(BATCH, called_at=datetime.now(UTC))  # a call to which no answer came
DIGEST = Digest(
    subject="Grüße & 'more' {{x}} %recipient.name%",
    preheader="",
    html='<p>Hello @@name@@, {{x}} %recipient.y% <a href="@@unsubscribe_url@@">leave</a></p>',
    text="Hello @@name@@, {{x}}\n\nLeave: @@unsubscribe_url@@\n",
)
PICTURE = Picture(hash="c0ffee" * 10 + "0123", media_type="image/png", width=8, height=8, size=6, alt="A cup")
PICTURED = replace(DIGEST, html=f'{DIGEST.html}<img src="cid:{PICTURE.hash}">', pictures=(PICTURE,))
SENDER = Sender(
    from_="The Morning <news@news.example>", reply_to=None, list_name="The Morning", list_label="m"
)


def email(number: int, name: str = 'Ada <b>&</b> "Q"') -> Email:
    return Email(
        key=f"7-{number}-abcdef01",
        recipient=number,
        address=f"reader{number}@example.org",
        name=name,
        slots={
            "name": name,
            "unsubscribe_url": f"https://mail.news.example/unsubscribe/token{number}",
            "preferences_url": f"https://mail.news.example/preferences/token{number}",
            "view_url": "https://mail.news.example/archive/7",
        },
    )


EMAILS = [email(1), email(2, name=""), email(3, name="日本")]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message as a vendor will send it, read back out of our request."""

    address: str
    subject: str
    html: str
    text: str
    headers: Mapping[str, str]
    keys: Sequence[str]  # wherever our delivery key stands in it
    inline: Mapping[str, bytes] = field(default_factory=dict)  # Content-ID -> picture


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """A vendor, and how to read what it is sent."""

    name: str
    provider: Callable[[httpx.AsyncBaseTransport], Any]
    accepted: Callable[[httpx.Request], httpx.Response]
    messages: Callable[[httpx.Request], list[Message]]
    spec: str | None = None  # a file of its own description of the API
    allowed: frozenset[str] = frozenset()  # members that it lacks, as paths; the test says on whose word


@dataclass
class FarEnd:
    """A transport that answers as told and remembers what it was asked."""

    answer: Callable[[httpx.Request], httpx.Response] | Exception
    requests: list[httpx.Request] = field(default_factory=list)

    def transport(self) -> httpx.MockTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer(request)

        return httpx.MockTransport(handle)


async def send(
    vendor: Vendor, far_end: FarEnd, emails: Sequence[Email] = tuple(EMAILS), *, digest: Digest = DIGEST
) -> Answer:
    connected: AbstractAsyncContextManager[EmailCalls] = vendor.provider(far_end.transport()).connected()
    async with connected as calls:
        return await calls.send(BATCH, digest, emails, sender=SENDER, media=lambda picture: b"\x89PNG\r\n")


def body(request: httpx.Request) -> Any:
    return json.loads(request.content)
