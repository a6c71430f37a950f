"""The contract of every vendor's webhook: whom it believes, and what it makes of what it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import pytest
import rtoml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from distributor.config import Provider
from distributor.errors import Forged, HookError, Unreadable
from distributor.model import Event, EventType
from distributor.providers.by_type import webhook
from distributor.providers.hooks import MOST_EVENTS, hand, known_by_standard_webhooks
from distributor.providers.protocol import Hook, Webhook
from distributor.vendors import VENDORS
from tests.providers.hooks import (
    HOSTILE,
    KEY,
    NAMES,
    NEW,
    NOT_EVENTS,
    NOW,
    OLD,
    OTHER,
    READER,
    InHeader,
    Reported,
    can_be_kept,
    described,
    encoded,
    spoiled,
    with_value,
)

WEBHOOKS = Path(__file__).parents[2] / "docs/webhooks.md"
LATER = NOW + timedelta(hours=3)


@pytest.fixture(params=NAMES)
def vendor(request: pytest.FixtureRequest) -> Reported:
    return described(request.param)


# --- whom it believes ---


@pytest.mark.anyio
@pytest.mark.parametrize("secret", [NEW, OLD])
async def test_what_the_vendor_signed_is_taken(vendor: Reported, secret: str):
    """While one secret is exchanged for another, both are right."""
    events = await vendor.webhook().events(vendor.hook(vendor.examples[0].told, secret=secret))
    assert [event.type for event in events] == [vendor.examples[0].says["type"]]


@pytest.mark.anyio
async def test_what_somebody_else_signed_is_not(vendor: Reported):
    """A right signature under a secret that is not configured is none."""
    with pytest.raises(Forged):
        await vendor.webhook().events(vendor.hook(vendor.examples[0].told, secret=OTHER))


@pytest.mark.anyio
async def test_what_is_not_signed_is_forged(vendor: Reported):
    """Neither nothing nor any text, of whatever alphabet and length, stands for a signature."""
    hook = vendor.hook(vendor.examples[0].told)
    right = vendor.seal.read(hook)
    wrong = [
        None,
        "",
        " ",
        "garbage",
        "Ünïcödé ÿ",
        "日本",
        "\ud800",
        "\x00",
        "0" * 64,
        "A" * 9999,
        "=",
        "a b c",
    ]
    cut = [right[:-1], right[1:], right + "A", right.swapcase() + "!", f"{right[:-3]}\xff{right[-2:]}"]
    for value in (*wrong, *cut, *vendor.forgeries(right)):
        with pytest.raises(Forged):
            await vendor.webhook().events(vendor.seal.put(hook, value))


@pytest.mark.anyio
async def test_another_body_needs_another_signature(vendor: Reported):
    """Not a byte may be changed, not even one that means nothing in JSON."""
    if not vendor.covers_body:
        return  # its documentation says so, and docs/webhooks.md what follows
    hook = vendor.hook(vendor.examples[0].told)
    changed = [hook.body + b" ", hook.body.replace(b":", b": ", 1), hook.body[:-1], b"", b"{}"]
    for body in changed:
        with pytest.raises(Forged):
            await vendor.webhook().events(replace(hook, body=body))


@pytest.mark.anyio
async def test_what_was_signed_long_ago_is_forged(vendor: Reported):
    """Where the time is signed, a request that somebody kept is worth nothing after a while."""
    if vendor.window is None:
        return
    for sent_at in (NOW - vendor.window + timedelta(seconds=2), NOW):
        assert await vendor.webhook().events(at_now(vendor.hook(vendor.examples[0].told, at=sent_at)))
    second = timedelta(seconds=2)
    for sent_at in (NOW - vendor.window - second, NOW + vendor.window + second, NOW - timedelta(days=9999)):
        with pytest.raises(Forged):
            await vendor.webhook().events(at_now(vendor.hook(vendor.examples[0].told, at=sent_at)))


def at_now(hook: Hook) -> Hook:
    return replace(hook, received_at=NOW)


# --- what it makes of it ---


@pytest.mark.anyio
async def test_the_vendors_words_become_ours(vendor: Reported):
    """Type, class, reason, reader and delivery are read from every kind of event that has them."""
    for example in vendor.examples:
        [event] = await vendor.webhook().events(vendor.hook(example.told))
        assert {name: getattr(event, name) for name in example.says} == example.says
        assert event.said
        assert can_be_kept(event)
        assert event.raw
        assert (event.by is not None) == (event.type in (EventType.OPENED, EventType.CLICKED))


@pytest.mark.anyio
async def test_events_are_of_a_delivery_and_a_reader(vendor: Reported):
    """Our key comes back from where it was put when the message was sent, and so does the address."""
    found = [await only(vendor, example.told) for example in vendor.examples]
    assert KEY in {event.key for event in found}
    assert READER in {event.address for event in found}
    assert {event.key for event in found} <= {KEY, ""}


def test_every_vendor_tells_readers_from_machines(vendor: Reported):
    """Among its opens and clicks are a person's, a machine's, and some of which nobody knows."""
    hands = {example.says.get("by") for example in vendor.examples} - {None}
    assert hands == {"human", "bot", "unknown"}


def all_of(vendor: Reported) -> list[Any]:
    return [*(example.told for example in vendor.examples), vendor.unknown]


async def only(vendor: Reported, told: Any) -> Event:
    [event] = await vendor.webhook().events(vendor.hook(told))
    return event


@pytest.mark.anyio
async def test_a_kind_that_nobody_knows_is_kept(vendor: Reported):
    """Vendors add kinds without asking; that is no error."""
    event = await only(vendor, vendor.unknown)
    assert event.type is EventType.UNKNOWN
    assert event.bounce_class is None
    assert event.raw
    assert can_be_kept(event)


@pytest.mark.anyio
async def test_what_comes_again_is_the_same(vendor: Reported):
    """An event that is sent twice, hours apart, has one id: at the same webhook, and after a restart."""
    once, running = vendor.webhook(), vendor.webhook()
    for one in all_of(vendor):
        ids = [
            event.id
            for where, at in ((once, NOW), (running, NOW), (running, LATER))
            for event in await where.events(vendor.hook(one, at=at))
        ]
        assert len(set(ids)) == 1


@pytest.mark.anyio
async def test_what_is_not_the_same_has_another_id(vendor: Reported):
    """No two of the examples are taken for one."""
    found = [await only(vendor, one) for one in all_of(vendor)]
    assert len({event.id for event in found}) == len(found)


@pytest.mark.anyio
async def test_a_list_is_taken_as_a_whole(vendor: Reported):
    """Many events are read in their order, and one that cannot be read does not lose the others."""
    if not vendor.in_lists:
        return
    told = [example.told for example in vendor.examples]
    types = [example.says["type"] for example in vendor.examples]
    events = await vendor.webhook().events(vendor.hook(*told))
    assert [event.type for event in events] == types
    odd: Any
    for odd in (17, None, [], "text"):
        found = await vendor.webhook().events(vendor.hook(*told, odd, *told))
        assert [event.type for event in found] == [*types, EventType.UNKNOWN, *types]
        assert found[len(told)].raw == encoded(odd)
        assert all(map(can_be_kept, found))


@pytest.mark.anyio
async def test_a_vendor_that_asks_whether_we_are_there_tells_nothing(vendor: Reported):
    """What is sent when a webhook is set up, or to try it, is no event."""
    for ping in vendor.pings:
        assert not await vendor.webhook().events(vendor.signed(encoded(ping), NEW, NOW))


@pytest.mark.anyio
async def test_what_is_no_event_cannot_be_read(vendor: Reported):
    """A request that is theirs, and has nothing in it that could be an event, is told so."""
    for body in (*NOT_EVENTS, *vendor.malformed):
        with pytest.raises(Unreadable if isinstance(vendor.seal, InHeader) else HookError):
            await vendor.webhook().events(vendor.signed(body, NEW, NOW))


def test_it_says_when_to_stop(vendor: Reported):
    """What can never be read is answered with a status that is the sender's fault."""
    assert 400 <= vendor.webhook().stops_with < 500


# --- whatever comes ---


@pytest.mark.anyio
async def test_no_field_can_break_it(vendor: Reported):
    """Whatever stands in any one field, it is an event that can be kept, or an error that has a name."""
    taken = 0
    for told in all_of(vendor):
        for name, text in spoiled([told] if vendor.in_lists else told):
            for value in HOSTILE:
                hook = vendor.signed(with_value(text, value), NEW, NOW)
                events = await taken_or_told(vendor.webhook(), hook)
                assert all(map(can_be_kept, events)), (name, value[:60])
                taken += len(events)
    assert taken


async def taken_or_told(reader: Webhook, hook: Hook) -> Sequence[Event]:
    try:
        return await reader.events(hook)
    except HookError as error:
        str(error).encode()  # it is shown to whoever sent it
        return ()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_json_can_break_it(name: str, data: st.DataObject):
    """Any value in some of the fields, or fields that are missing: an event, or an error that has a name."""
    vendor = described(name)
    told = dict(data.draw(st.sampled_from([example.told for example in vendor.examples])))
    for _ in range(data.draw(st.integers(1, 3))):
        inside, step = data.draw(st.sampled_from(list(places(told))))
        value = data.draw(JSON | st.just(...))
        told = changed(told, inside, step, value)
        if not told:
            return
    events = anyio.run(taken_or_told, vendor.webhook(), vendor.hook(told))
    assert all(map(can_be_kept, events))


def places(told: Any, above: tuple[Any, ...] = ()) -> Sequence[tuple[tuple[Any, ...], Any]]:
    if not isinstance(told, dict):
        return []
    return [one for step, member in told.items() for one in [(above, step), *places(member, (*above, step))]]


def changed(told: Any, inside: tuple[Any, ...], step: Any, value: Any) -> Any:
    """*told* with another value at a place; `...` stands for none."""
    if inside:
        return {**told, inside[0]: changed(told[inside[0]], inside[1:], step, value)}
    others = {name: one for name, one in told.items() if name != step}
    return others if value is ... else {**others, step: value}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200) | JSON.map(encoded))
def test_no_body_can_break_it(name: str, body: bytes):
    """Any bytes, signed as the vendor signs them, are events or no events, and nothing else."""
    vendor = described(name)
    events = anyio.run(taken_or_told, vendor.webhook(), vendor.signed(body, NEW, NOW))
    assert all(map(can_be_kept, events))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50, deadline=None)
@given(
    body=st.binary(max_size=100),
    seal=st.text(st.characters(codec=None), max_size=100) | st.none(),
    other=st.dictionaries(st.text(max_size=20), st.text(st.characters(codec=None), max_size=40), max_size=3),
)
def test_no_stranger_can_break_it(name: str, body: bytes, seal: str | None, other: dict[str, str]):
    """Any request with any headers, signed by nobody, is refused."""
    vendor = described(name)
    signed = vendor.hook(vendor.examples[0].told)
    forged = vendor.seal.put(signed, seal)
    hook = replace(forged, headers={**forged.headers, **other})
    with pytest.raises(HookError):
        anyio.run(vendor.webhook().events, hook)
    with pytest.raises(HookError):
        anyio.run(vendor.webhook().events, replace(hook, body=body, headers=other))


SIZE = 500_000  # bytes; the endpoint takes ten times as many
LONG = {
    "empty events": b"[" + b"{}," * (SIZE // 3) + b"{}]",
    "depth": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "objects in objects": b'{"a":' * (SIZE // 6) + b"1" + b"}" * (SIZE // 6),
    "halves of characters": b'[{"event":"' + rb"\ud800" * (SIZE // 6) + b'"}]',
    "backslashes": b'{"event":"' + b"\\" * (SIZE // 2 * 2) + rb'\ud800"}',
    "one text": b'{"event":"' + b"a" * SIZE + b'"}',
    "one number": b'{"event":' + b"9" * SIZE + b"}",
    "no text": b"\xff" * SIZE,
}
SECONDS = 5.0  # a hundred times what the slowest takes


@pytest.mark.anyio
async def test_nothing_takes_long(vendor: Reported):
    """However a long body is made, reading it, or finding that it cannot be read, ends soon."""
    for name, told in LONG.items():
        hook, begun = vendor.signed(told, NEW, NOW), perf_counter()
        await taken_or_told(vendor.webhook(), hook)
        assert perf_counter() - begun < SECONDS, name


@pytest.mark.anyio
async def test_a_list_has_an_end(vendor: Reported):
    """What would keep everybody else waiting is no list of events."""
    if vendor.in_lists:
        most = vendor.signed(encoded([{}] * MOST_EVENTS), NEW, NOW)
        assert len(await vendor.webhook().events(most)) == MOST_EVENTS
        with pytest.raises(Unreadable, match="more than 20,000 events"):
            await vendor.webhook().events(vendor.signed(encoded([{}] * (MOST_EVENTS + 1)), NEW, NOW))


def test_only_a_webhook_with_a_secret_is_one(vendor: Reported):
    """Without what it could be known by, no address is opened."""
    assert webhook(vendor.settings) is not None
    bare = vendor.settings.model_copy(update={"webhook": type(vendor.settings.webhook)()})
    assert webhook(bare) is None


@pytest.mark.parametrize(
    ("program", "whose"),
    [
        ("", "unknown"),
        ("Mozilla/5.0", "unknown"),  # Apple's privacy proxy
        (
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "unknown",
        ),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "unknown"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("python-requests/2.32", "bot"),
        ("Barracuda Sentinel (EE)", "bot"),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/131.0", "bot"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
            "human",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0", "human"),
    ],
)
def test_whose_hand_it_was(program: str, whose: str):
    """A program that no person uses is a bot; one that fetches for its users tells nothing of them."""
    assert hand(program) == whose


def test_the_documents_say_how_each_is_set_up(vendor: Reported):
    """docs/webhooks.md has a provider of each type, with a webhook that would be known."""
    blocks = re.findall(r"```toml\n(.*?)```", WEBHOOKS.read_text(encoding="utf-8"), re.DOTALL)
    shown = [one for block in blocks for one in rtoml.loads(block).get("providers", {}).values()]
    [told] = [one for one in shown if one["type"] == vendor.settings.type]
    settings = Provider.model_validate(told)
    known_by = VENDORS[vendor.settings.type]
    assert any(getattr(settings.webhook, name) for name in known_by.signs_with)
    assert all(told.get(name) for name in known_by.needs)


@pytest.mark.parametrize("signature", ["v1,", "v1,AAAA", "v1", " "])
def test_nobody_signs_with_a_secret_that_is_no_base64(signature: str):
    """A token of one's own making may stand where a signing secret could: nothing is signed with it."""
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": f"{NOW.timestamp():.0f}",
        "webhook-signature": signature,
    }
    hook = Hook(body=b"{}", headers=headers, received_at=NOW)
    with pytest.raises(Forged):
        known_by_standard_webhooks(hook, [SecretStr("abcdefghijklmnopq")])
