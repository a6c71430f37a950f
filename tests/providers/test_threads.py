"""Threads: what it alone wants and says; what it has in common with Instagram is tested there."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Post, Receipt
from distributor.providers.social.threads import Threads
from tests.providers.networks import (
    BANNER,
    FAULTS,
    LINK,
    MEDIA_URL,
    NEXT,
    Carrier,
    Described,
    Far,
    before,
    opened,
    post,
    published,
)
from tests.simulator.calls import Reply, Request
from tests.simulator.networks.graph import NOT_THERE, busy, failed
from tests.simulator.networks.threads import ACCOUNT
from tests.simulator.networks.threads import Threads as Fake

KEY = "THAA-a-secret-key-of-threads"


def provider(channel: Channel, transport: httpx.AsyncBaseTransport) -> Threads:
    return Threads(channel, transport, MEDIA_URL, pause=0)


NETWORK = Described(
    name="threads",
    channel={"account": ACCOUNT, "key": KEY},
    provider=provider,
    fake=Fake,
)
PICTURE = post(NETWORK.settings())
WORDS = post(NETWORK.settings(), pictures=())
THREAD = replace(WORDS, more=(post(NETWORK.settings(), text="The second part", pictures=()).payload,))
RENEW, QUOTA, CREATE, LOOK, LOOK_AGAIN, PUBLISH, PERMALINK = range(7)  # its first post's calls


def deleting(of: Receipt) -> Post:
    return Post(network="threads", text="", action="delete", of=of)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("number", "answer", "error"),
    [
        (CREATE, failed(190, "Error validating access token", status=401), AccountTrouble),
        (CREATE, failed(10, "Application does not have permission for this action"), AccountTrouble),
        (CREATE, failed(9004, "Media download has failed.", 2207052), TryLater),
        (CREATE, failed("THREADS_API__LINK_LIMIT_EXCEEDED", "Too many links"), Refused),
        (CREATE, failed(4, "Application request limit reached"), TryLater),
        (CREATE, failed(1, "An unknown error occurred", status=500), TryLater),
        (PUBLISH, failed(1, "An unknown error occurred", status=500), Unclear),
        (PUBLISH, failed(24, "The requested resource does not exist", 2207006), TryLater),
        (PUBLISH, busy(2), TryLater),
    ],
)
async def test_its_numbers_say_what_to_do_next(number: int, answer: Reply, error: type[SendError]):
    """A number or a name; silence and failing servers leave something open at the last step only."""
    carrier = Carrier(NETWORK, Far(Fake(), {number: before(answer)}))
    with pytest.raises(SendError):
        await carrier.carry(PICTURE, attempts=1)
    [told] = carrier.told or [Refused()]
    assert type(told) is error


@pytest.mark.anyio
@pytest.mark.parametrize(
    "what",
    [
        post(NETWORK.settings(), text="x" * 501, pictures=()),
        post(NETWORK.settings(), text="⛴️" + "x" * 497, pictures=()),
        post(NETWORK.settings(), text="".join(f"{LINK}{n} " for n in range(6)), pictures=()),
        post(NETWORK.settings(), pictures=(replace(BANNER, alt="x" * 1001),)),
        post(NETWORK.settings(), pictures=(BANNER,) * 21),
    ],
)
async def test_what_is_over_a_limit_is_refused(what: Post):
    """500 characters, in which an emoji counts its bytes; five links; 1,000 of a picture; 20 pictures."""
    far = Far(Fake())
    with pytest.raises(Refused):
        await Carrier(NETWORK, far).carry(what)
    assert far.fake.taken == []


@pytest.mark.anyio
async def test_an_expired_container_is_not_taken_for_a_published_one():
    """Postiz PR #1813, "the same bug class": what was not published is, once, and nothing else is."""
    far = Far(Fake(), {PUBLISH: FAULTS["silence before"]})
    assert isinstance(far.fake, Fake)
    carrier = Carrier(NETWORK, far)
    with pytest.raises(Unclear):
        await carrier.carry(PICTURE, attempts=1)
    far.fake.containers.kept[carrier.kept["container 0"]].state = "EXPIRED"
    receipt = await carrier.carry(PICTURE)
    assert receipt
    assert list(far.fake.posts) == [receipt.id]


@pytest.mark.anyio
async def test_replies_have_a_quota_of_their_own():
    """A full day of posts leaves room for the replies of a thread."""
    fake = Fake()
    fake.used, fake.total, fake.replied = 249, 250, 1000
    carrier = Carrier(NETWORK, Far(fake))
    with pytest.raises(TryLater, match="1000 of 1000"):
        await carrier.carry(THREAD, attempts=1)
    assert len(fake.taken) == 1
    fake.replied = 999
    assert await carrier.carry(THREAD)
    assert len(fake.taken) == 2


class Unlisted(Fake):
    """It does not list what was published."""

    def answer(self, request: Request) -> Reply:
        if request.method == "GET" and request.path.endswith(("/threads", "/replies")):
            return NOT_THERE
        return super().answer(request)


@pytest.mark.anyio
async def test_no_part_of_a_thread_answers_a_container():
    """Threads takes its id, and the reply hangs nowhere: so a person looks, and it is not repeated."""
    far = Far(Unlisted(), {PUBLISH: FAULTS["silence after"]})
    with pytest.raises(Unclear, match="under which id"):
        await Carrier(NETWORK, far).carry(THREAD)
    assert len(far.fake.taken) == 1


@pytest.mark.anyio
async def test_a_post_whose_id_was_never_told_is_not_deleted_by_another_id():
    """Deleting its container finds nothing, which must not pass for deleted."""
    far = Far(Unlisted(), {PUBLISH: FAULTS["silence after"]})
    receipt = await Carrier(NETWORK, far).carry(WORDS)
    assert receipt
    with pytest.raises(Refused, match="by hand"):
        await Carrier(NETWORK, far).carry(deleting(receipt))
    with pytest.raises(Refused, match="by hand"):
        await Carrier(NETWORK, far, batch=NEXT).carry(replace(WORDS, action="reply", of=receipt))
    assert len(far.fake.posts) == 1


@pytest.mark.anyio
async def test_a_thread_is_taken_back_with_all_its_parts():
    """The last one first, however often its worker dies on the way."""
    for number in range(2):
        receipt, fake, far = await published(NETWORK, THREAD)
        far.spoil = {len(far.requests) + number: FAULTS["killed after"]}
        await Carrier(NETWORK, far).carry(deleting(receipt))
        assert fake.posts == {}


@pytest.mark.anyio
async def test_a_day_takes_a_hundred_deletions():
    """Then it waits."""
    receipt, fake, far = await published(NETWORK, WORDS)
    assert isinstance(fake, Fake)
    fake.deleted = 100
    with pytest.raises(TryLater):
        await Carrier(NETWORK, far).carry(deleting(receipt), attempts=1)


@pytest.mark.anyio
async def test_a_post_that_may_not_be_deleted_is_for_a_person():
    """The key lacks `threads_delete`; the post is looked at before it is believed to be gone."""
    receipt, fake, far = await published(NETWORK, WORDS)
    assert isinstance(fake, Fake)
    fake.may_delete = False
    with pytest.raises(AccountTrouble, match="cannot be deleted"):
        await Carrier(NETWORK, far).carry(deleting(receipt), attempts=1)


@pytest.mark.anyio
async def test_its_key_is_renewed_before_the_first_post():
    """By a header, and no address has it."""
    far = Far(Fake())
    async with opened(NETWORK, far) as calls:
        await calls.delete(Receipt(id="1"))
    first = far.requests[0]
    assert first.url == httpx.URL(
        "https://graph.threads.net/refresh_access_token?grant_type=th_refresh_token"
    )
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    assert all(KEY not in str(one.url) for one in far.requests)


@pytest.mark.anyio
async def test_a_busy_network_is_left_alone_before_the_first_post():
    """Its answer to the renewal is as good as any."""
    carrier = Carrier(NETWORK, Far(Fake(), {RENEW: before(busy(2))}))
    with pytest.raises(TryLater) as caught:
        await carrier.carry(WORDS, attempts=1)
    assert caught.value.after == 120
