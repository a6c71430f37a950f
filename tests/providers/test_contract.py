"""The contract of every vendor: what is asked of it, and what its answers mean."""

from __future__ import annotations

from html import escape
from importlib import import_module
from pathlib import Path

import httpx
import pytest

from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, TryLater, Unclear
from distributor.vendors import VENDORS
from tests.providers.contract import DIGEST, EMAILS, PICTURE, PICTURED, FarEnd, Vendor, send

NOT_OVER_HTTP = {"outbox", "smtp"}  # they have tests of their own


@pytest.fixture(params=sorted(set(VENDORS) - NOT_OVER_HTTP))
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Every type that can be configured, as its own test module describes it."""
    found: Vendor = import_module(f"tests.providers.test_{request.param}").VENDOR
    return found


@pytest.mark.anyio
async def test_an_accepted_batch_is_one_request_and_a_receipt_each(vendor: Vendor):
    """Three mails are one call, and each gets its id; a vendor may be asked what it made of the call."""
    far_end = FarEnd(vendor.accepted)
    answer = await send(vendor, far_end)
    assert [request.method for request in far_end.requests].count("POST") == 1
    assert set(answer.receipts) == {1, 2, 3} or answer.receipt
    assert answer.refused == {}


@pytest.mark.anyio
async def test_each_reader_gets_their_own_message(vendor: Vendor):
    """Address, filled slots and the two headers of RFC 8058 are each reader's own; nobody sees another."""
    far_end = FarEnd(vendor.accepted)
    await send(vendor, far_end)
    messages = vendor.messages(far_end.requests[0])
    assert [message.address for message in messages] == [email.address for email in EMAILS]
    for message, email in zip(messages, EMAILS, strict=True):
        link = email.slots["unsubscribe_url"]
        assert message.subject == DIGEST.subject
        assert f"Hello {escape(email.name, quote=False)}, {{{{x}}}}" in message.html.replace("&#34;", '"')
        assert f'href="{link}"' in message.html
        assert f"Hello {email.name}, {{{{x}}}}" in message.text
        if VENDORS[vendor.name].one_click:
            assert message.headers["List-Unsubscribe"] == f"<{link}>"
            assert message.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert all(value.isascii() and "\n" not in value for value in message.headers.values())
        assert email.key in message.keys
        assert "@@" not in message.html + message.text


@pytest.mark.anyio
async def test_pictures_travel_inside_where_the_vendor_takes_them(vendor: Vendor):
    """A picture that the HTML names by Content-ID is in the call once it is configured so."""
    if not VENDORS[vendor.name].inline_pictures:
        return  # the configuration does not let it come to that: tests/test_config.py
    far_end = FarEnd(vendor.accepted)
    await send(vendor, far_end, digest=PICTURED)
    for message in vendor.messages(far_end.requests[0]):
        assert message.inline == {PICTURE.hash: b"\x89PNG\r\n"}
        assert f"cid:{PICTURE.hash}" in message.html


@pytest.mark.anyio
async def test_the_same_call_is_the_same_request(vendor: Vendor):
    """A repeated call has the same bytes under the same key."""
    far_end = FarEnd(vendor.accepted)
    await send(vendor, far_end)
    await send(vendor, far_end)
    first, second = [request for request in far_end.requests if request.method == "POST"]
    assert first.content == second.content
    assert first.headers.get("idempotency-key") == second.headers.get("idempotency-key")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(400, json={"message": "no"}), Refused),
        (httpx.Response(413, text="too large"), SomeRefused),
        (httpx.Response(422, json={"message": "no"}), Refused),
        (httpx.Response(401, json={"message": "key"}), AccountTrouble),
        (httpx.Response(403, text="<html>blocked</html>"), AccountTrouble),
        (httpx.Response(429), TryLater),
        (httpx.Response(503), TryLater),
        (httpx.Response(500), Unclear),
        (httpx.Response(502, text="<html>Bad Gateway</html>"), Unclear),
        (httpx.Response(504), Unclear),
        (httpx.Response(200, text="<html>maintenance</html>"), Unclear),
        (httpx.Response(200, json="surprise"), Unclear),
        (httpx.ConnectError("refused"), TryLater),
        (httpx.ConnectTimeout("no route"), TryLater),
        (httpx.ReadTimeout("silence"), Unclear),
        (httpx.WriteError("cut"), Unclear),
        (httpx.RemoteProtocolError("half an answer"), Unclear),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(getattr(value, "status_code", value)),
)
async def test_failures_say_what_to_do_next(
    vendor: Vendor, answer: httpx.Response | Exception, error: type[SendError]
):
    """A rejected call is final, a busy or unreachable server means later, silence stays unclear."""
    far_end = FarEnd(answer if isinstance(answer, Exception) else lambda request: answer)
    with pytest.raises(SendError) as raised:
        await send(vendor, far_end)
    assert type(raised.value) is error
    assert str(raised.value)


@pytest.mark.anyio
@pytest.mark.parametrize("header", ["17", "Wed, 21 Oct 2199 07:28:00 GMT"])
async def test_the_servers_own_wait_is_kept(vendor: Vendor, header: str):
    """Retry-After is obeyed, in seconds or as a date."""
    busy = httpx.Response(429, headers={"Retry-After": header})
    with pytest.raises(TryLater) as raised:
        await send(vendor, FarEnd(lambda request: busy))
    assert raised.value.after is not None
    assert raised.value.after >= 17


@pytest.mark.anyio
async def test_requests_fit_the_vendors_own_description(vendor: Vendor, specs: Path):
    """What we send is what the vendor's description allows, without unknown members."""
    if vendor.spec is None:
        pytest.skip(f"{vendor.name} has no description of its API")
    from tests.providers.described import faults

    far_end = FarEnd(vendor.accepted)
    await send(vendor, far_end)
    assert faults(specs / vendor.spec, far_end.requests[0], allowed=vendor.allowed) == []
