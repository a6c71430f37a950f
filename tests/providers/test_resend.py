"""Resend's own words: what its batch call is sent, and what it answers."""

from __future__ import annotations

import json

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider
from distributor.errors import TryLater
from distributor.providers.email.resend import Resend
from tests.providers.contract import BATCH, EMAILS, FarEnd, Message, Vendor, body, send

SETTINGS = Provider(type="resend", key=SecretStr("re_123"))


def accepted(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"data": [{"id": f"id-{n}"} for n, _ in enumerate(body(request))]})


def messages(request: httpx.Request) -> list[Message]:
    return [
        Message(
            address=item["to"][0],
            subject=item["subject"],
            html=item["html"],
            text=item["text"],
            headers=item["headers"],
            keys=[tag["value"] for tag in item["tags"]],
        )
        for item in body(request)
    ]


VENDOR = Vendor(
    name="resend",
    provider=lambda transport: Resend(SETTINGS, transport=transport),
    accepted=accepted,
    messages=messages,
    spec="resend.json",
)


@pytest.mark.anyio
async def test_the_call_is_signed_and_can_be_repeated():
    """The account's key, our request's key, and validation message by message."""
    far_end = FarEnd(accepted)
    await send(VENDOR, far_end)
    [request] = far_end.requests
    assert str(request.url) == "https://api.resend.com/emails/batch"
    assert request.headers["authorization"] == "Bearer re_123"
    assert request.headers["idempotency-key"] == BATCH.key
    assert request.headers["x-batch-validation"] == "permissive"


@pytest.mark.anyio
async def test_who_is_refused_inside_an_accepted_call_is_refused_alone():
    """With permissive validation a 200 has the ids of the others in their order."""
    told = {"data": [{"id": "a"}, {"id": "c"}], "errors": [{"index": 1, "message": "invalid `to`"}]}
    answer = await send(VENDOR, FarEnd(lambda request: httpx.Response(200, json=told)))
    assert answer.receipts == {1: "a", 3: "c"}
    assert answer.refused == {2: "invalid `to`"}


@pytest.mark.anyio
async def test_a_call_that_is_still_under_way_is_asked_for_later():
    """The same key twice at once is no refusal."""
    told = {"name": "concurrent_idempotent_requests", "message": "…"}
    with pytest.raises(TryLater):
        await send(VENDOR, FarEnd(lambda request: httpx.Response(409, json=told)))


@pytest.mark.anyio
async def test_the_key_never_stands_in_a_message():
    """What is recorded of a failure does not give the account away."""
    far_end = FarEnd(lambda request: httpx.Response(401, json={"message": "API key is invalid"}))
    with pytest.raises(TryLater) as raised:
        await send(VENDOR, far_end, EMAILS)
    assert "re_123" not in str(raised.value)
    assert "re_123" not in json.dumps(body(far_end.requests[0]))
