"""Instagram: what it alone wants and says, and what publishing in two steps brings with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Receipt
from distributor.providers.protocol import Credentials
from distributor.providers.social.instagram import Instagram
from tests.providers.networks import (
    BANNER,
    BATCH,
    CODE,
    FAULTS,
    MEDIA_URL,
    NEXT,
    TEXT,
    Carrier,
    Described,
    Far,
    Fault,
    Notebook,
    Ring,
    after,
    before,
    media,
    post,
    published,
)
from tests.simulator.calls import Reply, Request
from tests.simulator.networks.graph import NOT_THERE, failed
from tests.simulator.networks.instagram import ACCOUNT
from tests.simulator.networks.instagram import Instagram as Fake

KEY = "IGAA-a-secret-key-of-instagram"
OF_PAGE = "EAA-a-secret-key-of-a-page"
NOW = datetime.now(UTC)
SECOND = replace(BANNER, hash="decade" * 10 + "4567", alt="The pier")


def provider(channel: Channel, transport: httpx.AsyncBaseTransport) -> Instagram:
    return Instagram(channel, transport, MEDIA_URL, pause=0)


NETWORK = Described(
    name="instagram",
    channel={"account": ACCOUNT, "key": KEY},
    provider=provider,
    fake=Fake,
)
PICTURE = post(NETWORK.settings())
ADDRESS = f"{MEDIA_URL}/{BANNER.name}"
RENEWED = Credentials(access=KEY, expires_at=NOW + timedelta(days=59), more={"tried_at": NOW.isoformat()})
RENEW, QUOTA, CREATE, LOOK, LOOK_AGAIN, PUBLISH, PERMALINK = range(7)  # its first post's calls


async def sent(
    far: Far, memory: Notebook | None = None, *, ring: Ring | None = None, key: str = KEY
) -> Receipt:
    """The receipt of a post whose key needs nothing, unless *ring* says so."""
    calls = provider(NETWORK.settings(key=key), far.transport()).connected(ring or Ring(RENEWED))
    async with calls as opened:
        return await opened.send(BATCH, PICTURE, media=media, memory=memory or Notebook())


async def failing(number: int, answer: Reply) -> SendError:
    """What becomes of a post one of whose calls is answered like that."""
    with pytest.raises(SendError) as caught:
        await sent(Far(Fake(), {number - QUOTA: before(answer)}))
    return caught.value


def places(far: Far) -> list[str]:
    return [one.url.path.rpartition("/")[2] for one in far.requests]


@pytest.mark.anyio
@pytest.mark.parametrize("number", [CREATE, PUBLISH])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failed(190, "Error validating access token", 463, status=401), AccountTrouble),
        (failed(10, "(#10) Application does not have permission for this action"), AccountTrouble),
        (failed(25, "The account is restricted.", 2207050), AccountTrouble),
        (failed(4, "We restrict certain activity to protect our community.", 2207051), AccountTrouble),
        (failed(4, "Application request limit reached"), TryLater),
        (failed(80002, "There have been too many calls to this Instagram account."), TryLater),
        (failed(9, "You reached maximum number of posts", 2207042), TryLater),
        (failed(36000, "The image size is too large.", 2207004), Refused),
        (failed(36003, "The aspect ratio is not supported.", 2207009), Refused),
        (failed(36004, "The caption was too long.", 2207010), Refused),
    ],
)
async def test_its_numbers_say_what_to_do_next(number: int, answer: Reply, error: type[SendError]):
    """The subcode goes before the code: 4 is a limit, or a suspicion of spam, which is for a person."""
    assert type(await failing(number, answer)) is error


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("number", "answer", "error"),
    [
        (CREATE, failed(-1, "Instagram server error. Try again.", 2207001), TryLater),
        (PUBLISH, failed(-1, "Instagram server error. Try again.", 2207001), Unclear),
        (PUBLISH, failed(2, "Service temporarily unavailable", status=500, is_transient=True), Unclear),
        (PUBLISH, failed(24, "Temporary error publishing a container.", 2207008), TryLater),
        (PUBLISH, failed(9007, "Media ID is not available", 2207027), TryLater),
    ],
)
async def test_only_publishing_can_leave_something_open(number: int, answer: Reply, error: type[SendError]):
    """What fails before was seen by nobody."""
    assert type(await failing(number, answer)) is error


@pytest.mark.anyio
async def test_what_is_published_is_noted_before_it_is():
    """Postiz PR #1681: a worker that died while publishing knew nothing of it, and published again."""
    far = Far(Fake(), {PUBLISH: FAULTS["killed after"]})
    carrier = Carrier(NETWORK, far)
    receipt = await carrier.carry(PICTURE)
    assert receipt
    assert list(far.fake.posts) == [receipt.id]
    assert places(far).count("media_publish") == 1
    assert carrier.kept["container 0"]
    assert carrier.kept["publishing 0"]


@pytest.mark.anyio
async def test_a_post_without_a_permalink_is_published():
    """Postiz #1562: reading fails now and then with 100/33, which took nothing back and yet said failed."""
    far = Far(Fake(), {PERMALINK: before(NOT_THERE)})
    receipt = await Carrier(NETWORK, far).carry(PICTURE)
    assert receipt
    assert list(far.fake.posts) == [receipt.id]
    assert receipt.url is None


class Unlisted(Fake):
    """It does not list what was published."""

    def answer(self, request: Request) -> Reply:
        if request.method == "GET" and request.path.endswith("/media"):
            return Reply(body=b'{"data": []}')
        return super().answer(request)


class Unreadable(Fake):
    """Its containers cannot be read once they were published."""

    def answer(self, request: Request) -> Reply:
        is_container = request.path.rpartition("/")[2] in self.containers.kept
        if request.method == "GET" and is_container and self.posts:
            return NOT_THERE
        return super().answer(request)


class Hiding(Unlisted, Unreadable):
    """It says nothing of what was published."""


@pytest.mark.anyio
async def test_a_container_that_cannot_be_read_any_more_is_looked_for_among_the_posts():
    """What was published is listed."""
    far = Far(Unreadable(), {PUBLISH: FAULTS["silence after"]})
    receipt = await Carrier(NETWORK, far).carry(PICTURE)
    assert receipt
    assert list(far.fake.posts) == [receipt.id]


@pytest.mark.anyio
async def test_a_container_that_cannot_be_read_makes_no_second_one():
    """As long as it may still be published, nobody knows; it is neither listed nor readable."""
    far = Far(Hiding(), {PUBLISH: FAULTS["silence after"]})
    with pytest.raises(Unclear):
        await Carrier(NETWORK, far).carry(PICTURE)
    assert len(far.fake.taken) == 1
    assert places(far).count("media_publish") == 1


@pytest.mark.anyio
async def test_a_container_that_was_never_published_expires():
    """After a day it cannot be published any more, so there may be another one."""
    far = Far(Fake())
    noted = {"container 0": "1", "publishing 0": (NOW - timedelta(hours=26)).isoformat()}
    memory = Notebook(**noted)
    with pytest.raises(TryLater):
        await sent(far, memory)
    assert (await sent(far, memory)).id in far.fake.posts


@pytest.mark.anyio
@pytest.mark.parametrize("state", ["EXPIRED", "ERROR"])
async def test_a_container_that_is_lost_is_made_again(state: str):
    """It waited for too long, or went bad."""
    far, memory = Far(Fake()), Notebook()
    assert isinstance(far.fake, Fake)
    with pytest.raises(TryLater):
        await sent(Far(far.fake, {PUBLISH - QUOTA: FAULTS["503"]}), memory)
    far.fake.containers.kept[memory.known["container 0"]].state = state
    with pytest.raises(TryLater):
        await sent(far, memory)
    assert (await sent(far, memory)).id in far.fake.posts
    assert len(far.fake.posts) == 1


class Bad(Fake):
    """Its containers all go bad."""

    why = ""

    def answer(self, request: Request) -> Reply:
        for container in self.containers.kept.values():
            container.state, container.why = "ERROR", self.why
        return super().answer(request)


@pytest.mark.anyio
async def test_containers_that_always_go_bad_are_given_up():
    """Three times are enough to blame the post."""
    far = Far(Bad())
    carrier = Carrier(NETWORK, far)
    with pytest.raises(Refused, match="ERROR"):
        await carrier.carry(PICTURE)
    assert [type(one) for one in carrier.told] == [TryLater, TryLater]


@pytest.mark.anyio
async def test_a_picture_that_is_not_fetched_is_for_a_person_in_the_end():
    """Others see 9004 pass by itself, and others a firewall or robots.txt behind it: the address is named."""
    far = Far(Fake())
    assert isinstance(far.fake, Fake)
    far.fake.containers.unreachable.add(ADDRESS)
    carrier = Carrier(NETWORK, far)
    with pytest.raises(AccountTrouble, match=ADDRESS) as caught:
        await carrier.carry(PICTURE, attempts=3)
    assert "robots.txt" in str(caught.value)
    assert [type(one) is AccountTrouble for one in carrier.told] == [False, False, True]
    far.fake.containers.unreachable.clear()
    assert await carrier.carry(PICTURE)


@pytest.mark.anyio
async def test_a_container_may_say_that_its_picture_was_not_fetched():
    """The number is in its words then."""
    fake = Bad()
    fake.why = "Error: Media upload has failed with error code 2207052"
    with pytest.raises(AccountTrouble, match=ADDRESS):
        await Carrier(NETWORK, Far(fake)).carry(PICTURE, attempts=3)


@pytest.mark.anyio
async def test_what_is_published_and_never_listed_has_its_containers_id():
    """A published container is the post, whatever the list says; nothing can be done there with an id."""
    far = Far(Unlisted(), {PUBLISH: FAULTS["silence after"]})
    carrier = Carrier(NETWORK, far)
    receipt = await carrier.carry(PICTURE)
    assert receipt == Receipt(id=carrier.kept["container 0"], kept={"is_container": True})
    assert len(far.fake.posts) == 1


@pytest.mark.anyio
async def test_the_same_words_of_another_day_are_another_post():
    """The list is read from the first call on, and by the words: not just the newest (trypost PR #281)."""
    far = Far(Fake())
    first = await Carrier(NETWORK, far).carry(PICTURE)
    assert first
    far.fake.posts[first.id].more["at"] -= timedelta(days=1)
    far.spoil = {len(far.requests) + PUBLISH: FAULTS["silence after"]}
    second = await Carrier(NETWORK, far, batch=NEXT).carry(PICTURE)
    assert second
    assert second.id != first.id
    assert len(far.fake.posts) == 2


@pytest.mark.anyio
async def test_a_full_day_is_waited_for():
    """The quota is asked, for it is not the same for every account; no container is made."""
    far = Far(Fake())
    assert isinstance(far.fake, Fake)
    far.fake.used = 50
    with pytest.raises(TryLater, match="50 of 50") as caught:
        await sent(far)
    assert caught.value.after == 7200
    assert places(far) == ["content_publishing_limit"]


@pytest.mark.anyio
async def test_a_quota_that_is_not_told_holds_nothing_up():
    """Publishing will say."""
    assert await sent(Far(Fake(), {0: before(Reply(body=b'{"data": []}'))}))


@pytest.mark.anyio
async def test_a_carousel_is_made_of_pictures_that_are_ready():
    """exileum/meta-mcp #138: else it fails. And however its worker dies, it is there once."""
    what = post(NETWORK.settings(), pictures=(BANNER, SECOND))
    _, fake, whole = await published(NETWORK, what)
    [seen] = fake.posts.values()
    assert seen.pictures == [(f"{MEDIA_URL}/{one.name}".encode(), one.alt) for one in (BANNER, SECOND)]
    for number in range(len(whole.requests)):
        for name in ("killed after", "silence after", "502 before"):
            far = Far(Fake(), {number: FAULTS[name]})
            assert await Carrier(NETWORK, far).carry(what)
            assert len(far.fake.posts) == 1, (number, name)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "what",
    [
        post(NETWORK.settings(), pictures=(CODE,)),
        post(NETWORK.settings(), text="x" * 2201),
        post(NETWORK.settings(), pictures=(replace(BANNER, alt="x" * 1001),)),
        post(NETWORK.settings(), pictures=(BANNER,) * 11),
    ],
)
async def test_what_is_over_a_limit_is_refused(what):
    """PNG, a caption of 2,201, an alternative text of 1,001, eleven pictures."""
    with pytest.raises(Refused):
        await Carrier(NETWORK, Far(Fake())).carry(what)


# --- keys ---


@pytest.mark.anyio
async def test_the_login_decides_where_a_key_opens():
    """A page's key is for Facebook's server, and needs no renewal."""
    for key, host, first in (
        (KEY, "graph.instagram.com", "refresh_access_token"),
        (OF_PAGE, "graph.facebook.com", "content_publishing_limit"),
    ):
        far = Far(Fake())
        await sent(far, ring=Ring(), key=key)
        assert far.requests[0].url.host == host
        assert places(far)[0] == first
        assert all(key not in str(one.url) for one in far.requests)


@pytest.mark.anyio
async def test_a_key_is_renewed_once_and_not_for_every_post():
    """The first post does it, from the configured key."""
    ring, far = Ring(), Far(Fake())
    for _ in range(3):
        await sent(far, ring=ring)
    assert places(far).count("refresh_access_token") == 1
    assert far.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert far.requests[1].headers["Authorization"] == "Bearer renewed-key-1"
    assert ring.kept
    assert ring.kept.expires_at
    left = ring.kept.expires_at - datetime.now(UTC)
    assert timedelta(days=59) < left < timedelta(days=60)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("ends_in", "tried", "is_renewed"),
    [
        (timedelta(days=31), timedelta(days=29), False),
        (timedelta(days=29), timedelta(days=31), True),
        (timedelta(days=29), timedelta(hours=23), False),
        (None, timedelta(hours=23), False),
        (None, timedelta(hours=25), True),
    ],
)
async def test_a_key_is_renewed_a_month_before_its_end(
    ends_in: timedelta | None, tried: timedelta, is_renewed: bool
):
    """But at most once a day, for a key must be a day old."""
    present = Credentials(
        access="present-key",
        expires_at=NOW + ends_in if ends_in else None,
        more={"tried_at": (NOW - tried).isoformat()},
    )
    ring = Ring(present)
    await sent(Far(Fake()), ring=ring)
    assert ring.kept
    assert (ring.kept.access == "renewed-key-1") is is_renewed


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault",
    [
        before(failed(100, "The access token is not eligible for refresh.")),
        before(httpx.ReadTimeout("silence")),
        before(Reply(status=502, body=b"<html>", type="text/html")),
        before(Reply(body=b"{}")),
        after(Reply(body=b"<html>", type="text/html")),
    ],
)
async def test_a_renewal_that_fails_holds_nothing_up(fault: Fault):
    """The key is good as it is; the next day it is tried again."""
    ring, far = Ring(), Far(Fake(), {0: fault})
    assert await sent(far, ring=ring)
    assert await sent(far, ring=ring)
    assert places(far).count("refresh_access_token") == 1
    assert ring.kept
    assert ring.kept.access == KEY


@pytest.mark.anyio
async def test_a_key_that_has_ended_is_for_a_person():
    """It cannot renew itself any more."""
    far = Far(Fake())
    assert isinstance(far.fake, Fake)
    far.fake.keys.ended.add(KEY)
    with pytest.raises(AccountTrouble, match="190/463"):
        await sent(far, ring=Ring())


def test_its_words_are_known():
    """The caption is the post's text as it stands; links in it lead nowhere, which rendering knows."""
    assert PICTURE.payload["caption"] == TEXT
