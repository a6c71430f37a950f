"""Discord: what it alone wants and says, to a bot and by a webhook."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any

import httpx
import pytest

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.providers.social.discord import Discord
from tests.providers import test_networks as contract
from tests.providers.networks import (
    BANNER,
    BATCH,
    FAULTS,
    LINK,
    NEXT,
    Carrier,
    Described,
    Far,
    Fault,
    Notebook,
    before,
    media,
    opened,
    post,
    published,
)
from tests.simulator.calls import Reply, page
from tests.simulator.networks.discord import CHANNEL, failed, limited
from tests.simulator.networks.discord import Discord as Fake

SECRET = "a-secret-token_of-discord"
ADDRESS = f"https://discord.com/api/webhooks/223704706495545344/{SECRET}"
NETWORK = Described(name="discord", channel={"account": CHANNEL, "key": SECRET}, provider=Discord, fake=Fake)
WEBHOOK = Described(
    name="discord", channel={"account": "news", "webhook": ADDRESS}, provider=Discord, fake=Fake
)
BOTH = pytest.mark.parametrize("described", [NETWORK, WEBHOOK], ids=["bot", "webhook"])


@pytest.mark.anyio
@pytest.mark.parametrize(
    "rule",
    [
        contract.test_a_post_can_be_seen_as_it_was_meant,
        contract.test_two_pictures_go_in_their_order,
        contract.test_two_spoilt_calls_never_make_a_second_post,
        contract.test_a_wrong_key_waits_for_a_person,
        contract.test_a_network_that_is_busy_is_left_alone_for_a_while,
        contract.test_a_post_is_taken_back_once_and_for_all,
        contract.test_a_correction_changes_the_post_where_it_stands,
    ],
)
async def test_a_webhook_keeps_the_contract_of_every_network(rule: Any):
    """The suite meets the bot; the webhook passes the same rules."""
    await rule(WEBHOOK)


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_spoilt_call_of_a_webhook_never_makes_a_second_post(fault: str):
    """As of every network."""
    await contract.test_a_spoilt_call_never_makes_a_second_post(WEBHOOK, fault)


async def failing(described: Described, fault: Fault, **more: Any) -> SendError:
    """What becomes of a post whose call that would show it is spoilt."""
    carrier = Carrier(described, Far(Fake(), {1: fault}))
    try:
        await carrier.carry(post(described.settings(), **more), attempts=1)
    except SendError as error:
        return carrier.told[0] if carrier.told else error
    return carrier.told[0]


@BOTH
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failed(404, 10015, "Unknown Webhook"), AccountTrouble),
        (failed(401, 50027, "Invalid Webhook Token"), AccountTrouble),
        (failed(404, 10003, "Unknown Channel"), AccountTrouble),
        (failed(403, 50013, "Missing Permissions"), AccountTrouble),
        (failed(403, 50001, "Missing Access"), AccountTrouble),
        (failed(400, 50035, "Invalid Form Body"), Refused),
        (failed(400, 50006, "Cannot send an empty message"), Refused),
        (failed(400, 200000, "Message was blocked by automatic moderation"), Refused),
        (failed(403, 240000, "Message blocked by harmful links filter"), Refused),
        (failed(503, 130000, "API resource is currently overloaded"), TryLater),
        (failed(400, 40006, "This feature has been temporarily disabled server-side"), TryLater),
        (Reply(status=500, body=b"{}"), Unclear),
        (page(503), Unclear),
        (page(200), Unclear),
    ],
)
async def test_its_codes_say_what_to_do_next(described: Described, answer: Reply, error: type[SendError]):
    """A lost channel is for a person, a bad post is refused, and what may have been posted stays unclear."""
    assert type(await failing(described, before(answer))) is error


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (limited(64.57), 64.57),
        (Reply(status=429, body=b"<html>", type="text/html", headers={"Retry-After": "12"}), 12),
    ],
)
async def test_a_limit_is_obeyed_however_it_is_told(answer: Reply, wait: float):
    """Discord tells the wait in its answer, a gateway before it in a header: caronc/apprise PR #901."""
    told = await failing(NETWORK, before(answer))
    assert isinstance(told, TryLater)
    assert told.after == wait


@BOTH
@pytest.mark.anyio
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    "fault",
    [
        before(Reply(status=301, headers={"Location": f"{ADDRESS}/moved"})),
        before(Reply(status=404, body=f"no such page: {ADDRESS}".encode())),
        before(Reply(status=400, body=b"x" * 275 + f" {SECRET}".encode())),
        before(httpx.ConnectError(f"no route to {ADDRESS}")),
        before(httpx.ReadTimeout(ADDRESS)),
    ],
)
async def test_neither_address_nor_key_is_in_a_reason(described: Described, number: int, fault: Fault):
    """Whoever repeats the webhook's address - a redirection, a page, an exception - it is cut out."""
    carrier = Carrier(described, Far(Fake(), dict.fromkeys(range(number, 9), fault)))
    with pytest.raises((SendError, AssertionError)):
        assert await carrier.carry(post(described.settings()), attempts=1)
    for told in carrier.told:
        assert SECRET[:10] not in "".join(format_exception(told))


@pytest.mark.anyio
async def test_the_address_of_a_webhook_is_in_no_log(caplog: pytest.LogCaptureFixture):
    """The HTTP library logs every address, where its log is turned on."""
    caplog.set_level(logging.DEBUG)
    await published(WEBHOOK)
    assert "/webhooks/" in caplog.text
    assert SECRET[:10] not in caplog.text


@pytest.mark.anyio
async def test_what_is_said_of_a_channel_may_have_another_form():
    """Before the call nothing can be there, so it is tried again."""
    far = Far(Fake(), {0: before(Reply(body=b"[1]"))})
    carrier = Carrier(NETWORK, far)
    assert await carrier.carry(post(NETWORK.settings()))
    assert [type(told) for told in carrier.told] == [TryLater]


@pytest.mark.anyio
async def test_an_address_that_is_no_webhook_waits_for_a_person():
    """What was pasted wrongly is not repeated in the reason: it may be half a secret."""
    settings = WEBHOOK.settings(webhook=f"https://discord.com/api/hooks/{SECRET}")
    with pytest.raises(AccountTrouble) as caught:
        await Carrier(WEBHOOK, Far(Fake()), channel=settings).carry(post(settings))
    assert SECRET not in str(caught.value)


@pytest.mark.anyio
async def test_a_webhook_says_that_it_waits():
    """Without `wait` a message that was not saved would be no error."""
    _, _, far = await published(WEBHOOK)
    assert far.requests[-1].url.params["wait"] == "true"


@pytest.mark.anyio
@pytest.mark.parametrize("query", ["?thread_id=42", "?wait=true&thread_id=42&with_components=false"])
async def test_a_webhook_posts_into_the_thread_that_its_address_names(query: str):
    """A forum's webhook needs one; edits and deletes name it as well."""
    settings = WEBHOOK.settings(webhook=f"{ADDRESS}{query}")
    receipt, _, far = await published(WEBHOOK, channel=settings)
    async with opened(WEBHOOK, far, webhook=f"{ADDRESS}{query}") as calls:
        await calls.delete(receipt)
    assert [one.url.params["thread_id"] for one in far.requests if one.method != "GET"] == ["42", "42"]


@pytest.mark.anyio
async def test_a_bot_gives_every_call_of_a_post_the_same_nonce():
    """25 characters of the batch's key, and the wish that it be enforced."""
    _, fake, far = await published(NETWORK)
    await Carrier(NETWORK, far).carry(post(NETWORK.settings()))
    assert len(fake.taken) == 1
    nonce = BATCH.key.replace("-", "")[:25]
    created = [one.content for one in far.requests if one.method == "POST"]
    assert all(f'"nonce":"{nonce}","enforce_nonce":true'.encode() in one for one in created)
    await Carrier(NETWORK, far, batch=NEXT).carry(post(NETWORK.settings()))
    assert len(fake.taken) == 2


@pytest.mark.anyio
async def test_a_silent_post_is_found_though_many_messages_came_after_it():
    """The channel is read from the call onwards, page by page."""
    far = Far(Fake(), {1: FAULTS["silence after"]})
    with pytest.raises(Unclear):
        async with opened(NETWORK, far) as calls:
            await calls.send(BATCH, post(NETWORK.settings()), media=media, memory=Notebook())
    [mine] = far.fake.posts
    async with opened(WEBHOOK, far) as others:
        for number in range(250):
            chatter = post(WEBHOOK.settings(), text=f"chatter {number}", pictures=())
            await others.send(NEXT, chatter, media=media, memory=Notebook())
    async with opened(NETWORK, far) as calls:
        found = await calls.find(
            replace(BATCH, called_at=datetime.now(UTC)), post(NETWORK.settings()), memory=Notebook()
        )
    assert found is not None
    assert found.id == f"{CHANNEL}/{mine}"


@pytest.mark.anyio
async def test_a_bot_that_may_not_read_is_told_nothing_and_says_so():
    """An empty history proves nothing without Read Message History: nothing is repeated."""
    receipt, fake, far = await published(NETWORK)
    assert isinstance(fake, Fake)
    fake.shows_history = False
    async with opened(NETWORK, far) as calls:
        with pytest.raises(AccountTrouble, match="Read Message History"):
            await calls.find(
                replace(BATCH, called_at=datetime.now(UTC)), post(NETWORK.settings()), memory=Notebook()
            )
    assert receipt.url == f"https://discord.com/channels/290926798626357999/{receipt.id}"


@pytest.mark.anyio
async def test_another_ones_words_are_not_taken_for_the_bots():
    """A reader who says the same did not publish the article."""
    _, fake, far = await published(NETWORK)
    for one in fake.posts.values():
        one.more["author"] = "1"
    async with opened(NETWORK, far) as calls:
        assert (
            await calls.find(
                replace(BATCH, called_at=datetime.now(UTC)), post(NETWORK.settings()), memory=Notebook()
            )
            is None
        )


@BOTH
@pytest.mark.anyio
async def test_pictures_go_as_files_and_nobody_is_pinged(described: Described):
    """Our own mark for a picture's bytes is not told to Discord; its card shows the file."""
    _, fake, _ = await published(described)
    [seen] = fake.posts.values()
    assert seen.card["image"] == {"url": f"attachment://{BANNER.name}"}
    assert seen.more["names"] == [BANNER.name]
    assert seen.more["mentions"] == {"parse": []}
    assert seen.link == LINK


@BOTH
@pytest.mark.anyio
@pytest.mark.parametrize(
    "much", [{"text": "a" * 2001}, {"pictures": (replace(BANNER, alt="a" * 1025),)}], ids=["text", "alt"]
)
async def test_what_is_too_long_is_refused(described: Described, much: Any):
    """2000 characters, and 1024 of an alternative text."""
    with pytest.raises(Refused):
        await published(described, post(described.settings(), **much))


@BOTH
@pytest.mark.anyio
async def test_an_edit_takes_away_what_is_no_longer_there(described: Described):
    """Without a picture in the new words, the old picture goes."""
    receipt, fake, far = await published(described)
    plain = post(described.settings(), text="Only words", pictures=())
    async with opened(described, far) as calls:
        await calls.edit(receipt, plain, media=media, memory=Notebook())
    [seen] = fake.posts.values()
    assert (seen.text, seen.pictures) == ("Only words", [])


@BOTH
@pytest.mark.anyio
async def test_an_edit_of_what_is_gone_is_refused(described: Described):
    """Unknown Message is about the post, though it is a 404."""
    receipt, fake, far = await published(described)
    fake.posts.clear()
    async with opened(described, far) as calls:
        with pytest.raises(Refused):
            await calls.edit(receipt, post(described.settings()), media=media, memory=Notebook())
        await calls.delete(receipt)


def test_only_a_bot_can_be_asked():
    """So only its silent posts are looked for."""
    assert Discord(NETWORK.settings()).limits.found_after
    assert Discord(WEBHOOK.settings()).limits.found_after is None
    assert Discord(WEBHOOK.settings()).limits.repeatable_for is None
