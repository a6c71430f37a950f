"""Telegram: what it alone wants and says."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from traceback import format_exception

import httpx
import pytest

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Post
from distributor.providers.social.telegram import Telegram
from tests.providers.networks import (
    BANNER,
    CODE,
    FAULTS,
    NEXT,
    TEXT,
    Carrier,
    Described,
    Far,
    Fault,
    before,
    post,
    published,
)
from tests.simulator.calls import Reply, page, reply
from tests.simulator.networks.telegram import Telegram as Fake
from tests.simulator.networks.telegram import failed

SECRET = "AAF-a_secret_token_of_telegram"
NETWORK = Described(
    name="telegram",
    channel={"account": "@news", "key": f"123456:{SECRET}"},
    provider=Telegram,
    fake=Fake,
)


async def failing(fault: Fault) -> SendError:
    """What becomes of a post whose call is spoilt."""
    carrier = Carrier(NETWORK, Far(Fake(), {0: fault}))
    try:
        await carrier.carry(post(NETWORK.settings()), attempts=1)
    except SendError as error:
        return error
    return carrier.told[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failed(401, "Unauthorized"), AccountTrouble),
        (failed(404, "Not Found"), AccountTrouble),
        (failed(403, "Forbidden: bot was kicked from the channel chat"), AccountTrouble),
        (failed(403, "Forbidden: bot is not a member of the channel chat"), AccountTrouble),
        (failed(400, "Bad Request: chat not found"), AccountTrouble),
        (failed(400, "Bad Request: CHAT_WRITE_FORBIDDEN"), AccountTrouble),
        (failed(400, "Bad Request: need administrator rights in the channel chat"), AccountTrouble),
        (failed(400, "Bad Request: not enough rights to send photos to the chat"), AccountTrouble),
        (failed(400, "Bad Request: message caption is too long"), Refused),
        (failed(400, "Bad Request: can't parse entities: unsupported start tag"), Refused),
        (failed(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"), Refused),
        (failed(413, "Request Entity Too Large"), Refused),
        (failed(500, "Internal Server Error"), Unclear),
        (failed(502, "Bad Gateway"), Unclear),
        (failed(503, "Service Unavailable"), Unclear),
        (reply(200, {"ok": True, "result": {}}), Unclear),
        (page(200), Unclear),
    ],
)
async def test_its_answers_say_what_to_do_next(answer: Reply, error: type[SendError]):
    """A lost chat is for a person, a bad post is refused, and what may have been posted stays unclear."""
    assert type(await failing(before(answer))) in (error, *error.__subclasses__())


@pytest.mark.anyio
async def test_the_wait_stands_in_the_answer_itself():
    """`parameters.retry_after` is kept to; there is no header."""
    told = await failing(before(failed(429, "Too Many Requests: retry after 35", retry_after=35)))
    assert isinstance(told, TryLater)
    assert told.after == 35


@pytest.mark.anyio
async def test_a_group_that_moved_names_its_new_id():
    """The new id is in the reason, for the person who changes `account`."""
    moved = failed(
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        migrate_to_chat_id=-1009876543210,
    )
    told = await failing(before(moved))
    assert isinstance(told, AccountTrouble)
    assert "-1009876543210" in str(told)


@pytest.mark.anyio
async def test_a_silence_is_never_followed_by_another_call():
    """There is no handle, so a second call could make a second post."""
    far = Far(Fake(), {0: FAULTS["silence after"]})
    assert await Carrier(NETWORK, far).carry(post(NETWORK.settings())) is None
    assert len(far.requests) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault",
    [
        before(Reply(status=302, headers={"Location": f"https://elsewhere.example/bot123456:{SECRET}/send"})),
        before(Reply(status=404, body=f"Cannot POST /bot123456%3A{SECRET}/sendPhoto".encode())),
        before(Reply(status=400, body=b"x" * 270 + f" /bot123456:{SECRET}".encode())),
        before(httpx.ConnectError(f"no route to https://api.telegram.org/bot123456:{SECRET}/")),
        before(httpx.ReadTimeout(f"/bot123456:{SECRET}/sendPhoto")),
        before(Reply(status=200, body=f'{{"ok": true, "url": "/bot123456:{SECRET}/"}}'.encode())),
    ],
)
async def test_the_token_is_in_no_reason(fault: Fault):
    """Whoever repeats the address - a redirection, a page, an exception - the token is cut out."""
    told = await failing(fault)
    assert SECRET[:10] not in "".join(format_exception(told))


@pytest.mark.anyio
async def test_the_token_is_in_no_log(caplog: pytest.LogCaptureFixture):
    """The HTTP library logs every address, where its log is turned on."""
    caplog.set_level(logging.DEBUG)
    await published(NETWORK)
    assert "/sendPhoto" in caplog.text
    assert SECRET[:10] not in caplog.text


@pytest.mark.anyio
async def test_a_caption_has_less_room_than_a_text():
    """4096 without a picture, 1024 with one: gitroomhq/postiz-app #1171, caronc/apprise #1279."""
    long = "a" * 1025
    await published(NETWORK, post(NETWORK.settings(), text=long, pictures=()))
    with pytest.raises(Refused, match="caption is too long"):
        await published(NETWORK, post(NETWORK.settings(), text=long))


@pytest.mark.anyio
async def test_marks_in_the_text_are_no_html():
    """What looks like a tag arrives as it was written."""
    _, fake, _ = await published(NETWORK, post(NETWORK.settings(), pictures=()))
    assert [one.text for one in fake.posts.values()] == [TEXT]


@pytest.mark.anyio
async def test_a_receipt_leads_to_a_public_channel():
    """Chat and message name the post; a channel with a name has an address for it."""
    receipt, _, _ = await published(NETWORK)
    assert receipt.id == "-1001234567890/100"
    assert receipt.url == "https://t.me/news/100"


@pytest.mark.anyio
async def test_a_group_of_pictures_is_deleted_whole():
    """Each picture is a message of its own, and the receipt has them all."""
    what = post(NETWORK.settings(), pictures=(BANNER, CODE))
    receipt, _, far = await published(NETWORK, what)
    await Carrier(NETWORK, far).carry(Post(network="telegram", text="", action="delete", of=receipt))
    deleted = [one.content for one in far.requests if one.url.path.endswith("/deleteMessage")]
    assert [b"101" in deleted[0], b"100" in deleted[1]] == [True, True]
    assert far.fake.posts == {}


@pytest.mark.anyio
async def test_a_thread_is_corrected_and_deleted_part_by_part():
    """Its parts are all in the receipt; one of another length is refused, so that a person sees it."""
    settings = NETWORK.settings()
    part = post(settings, text="Part 2", pictures=())
    receipt, fake, far = await published(NETWORK, replace(post(settings), more=(part.payload,)))
    better = post(settings, text="Part two", pictures=())
    edit = replace(post(settings), more=(better.payload,), action="edit", of=receipt)
    await Carrier(NETWORK, far).carry(edit)
    assert [one.text for one in fake.posts.values()] == [TEXT, "Part two"]
    with pytest.raises(Refused):
        await Carrier(NETWORK, far).carry(replace(edit, more=()))
    await Carrier(NETWORK, far).carry(Post(network="telegram", text="", action="delete", of=receipt))
    assert fake.posts == {}


@pytest.mark.anyio
async def test_a_thread_goes_on_where_it_was_put_off():
    """What is noted as published is not published again after a definite no."""
    settings = NETWORK.settings()
    parts = [post(settings, text=f"Part {number}", pictures=()).payload for number in (2, 3)]
    far = Far(Fake(), {1: FAULTS["429"], 3: FAULTS["no connection"]})
    assert await Carrier(NETWORK, far).carry(replace(post(settings), more=tuple(parts)))
    assert far.fake.taken == [TEXT.partition("\n")[0], "Part 2", "Part 3"]
    assert [one.answers for one in far.fake.posts.values()] == [None, "100", "101"]


@pytest.mark.anyio
async def test_an_old_message_that_may_not_be_deleted_says_why():
    """After 48 hours a bot needs the right to delete; the reason says so."""
    receipt, fake, far = await published(NETWORK)
    assert isinstance(fake, Fake)
    fake.has_admin_rights = False
    for one in fake.posts.values():
        one.more["at"] -= timedelta(hours=49)
    with pytest.raises(Refused, match="48 hours"):
        await Carrier(NETWORK, far).carry(Post(network="telegram", text="", action="delete", of=receipt))


@pytest.mark.anyio
async def test_an_answer_to_a_deleted_post_is_still_published():
    """A correction matters even where what it corrects is gone."""
    receipt, fake, far = await published(NETWORK)
    fake.posts.clear()
    correction = post(NETWORK.settings(), text="A correction", pictures=())
    await Carrier(NETWORK, far, batch=NEXT).carry(replace(correction, action="reply", of=receipt))
    assert [one.text for one in fake.posts.values()] == ["A correction"]
