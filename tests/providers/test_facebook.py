"""Facebook: what it alone wants and says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Post, Receipt
from distributor.providers.social.facebook import Facebook
from tests.providers.networks import (
    BANNER,
    BATCH,
    FAULTS,
    LINK,
    TEXT,
    Carrier,
    Described,
    Far,
    Fault,
    Notebook,
    after,
    before,
    media,
    opened,
    post,
    published,
)
from tests.simulator.calls import Reply, Request
from tests.simulator.networks.facebook import LARGEST_PHOTO, PAGE
from tests.simulator.networks.facebook import Facebook as Fake
from tests.simulator.networks.graph import busy, failed
from tests.simulator.networks.network import Posted

KEY = "EAA-a-secret-key-of-a-page"
NETWORK = Described(
    name="facebook",
    channel={"account": PAGE, "key": KEY},
    provider=Facebook,
    fake=Fake,
)
WORDS = post(NETWORK.settings(), pictures=())  # its only call is the one that makes it visible
FAILED = failed(2, "An unexpected error has occurred. Please retry your request later.", status=500)


async def failing(fault: Fault) -> SendError:
    """What becomes of a post whose call is spoilt."""
    carrier = Carrier(NETWORK, Far(Fake(), {0: fault}))
    try:
        await carrier.carry(WORDS, attempts=1)
    except SendError as error:
        return carrier.told[0] if carrier.told else error
    return carrier.told[0]


def seen(text: str, at: datetime, id_: str) -> Posted:
    """A post that is there already."""
    return Posted(id=f"{PAGE}_{id_}", text=text, more={"at": at})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failed(190, "Error validating access token", 460, status=401), AccountTrouble),
        (failed(102, "Session key invalid or no longer valid"), AccountTrouble),
        (failed(10, "(#10) This endpoint requires the 'pages_manage_posts' permission"), AccountTrouble),
        (failed(200, "(#200) If posting to a page, requires pages_manage_posts"), AccountTrouble),
        (failed(100, "Unsupported post request. Object with ID '1' does not exist", 33), AccountTrouble),
        (
            failed(368, "The action attempted has been deemed abusive or is otherwise disallowed"),
            AccountTrouble,
        ),
        (
            failed(12, "(#12) singular statuses API is deprecated for versions v2.4 and higher"),
            AccountTrouble,
        ),
        (failed(4, "(#4) Application request limit reached"), TryLater),
        (failed(17, "(#17) User request limit reached"), TryLater),
        (failed(32, "(#32) Page request limit reached"), TryLater),
        (failed(613, "(#613) Calls to this api have exceeded the rate limit.", status=403), TryLater),
        (failed(1609005, "There was a problem scraping data from the provided link."), TryLater),
        (failed(1, "An unknown error occurred"), Unclear),
        (failed(99, "A new one", is_transient=True), Unclear),
        (FAILED, Unclear),
        (failed(100, "(#100) Param message is too long"), Refused),
        (failed(99, "A new one"), Refused),
    ],
)
async def test_its_numbers_say_what_to_do_next(answer: Reply, error: type[SendError]):
    """With one status for all, the number decides: later, never, unknown, or for a person."""
    assert type(await failing(before(answer))) is error


@pytest.mark.anyio
async def test_a_failure_that_posted_all_the_same_makes_no_second_post():
    """arsduo/koala #699: a 500 with code 2, and the post was there; each repetition made another one."""
    far = Far(Fake(), {0: after(FAILED)})
    receipt = await Carrier(NETWORK, far).carry(WORDS)
    assert receipt
    assert list(far.fake.posts) == [receipt.id]


@pytest.mark.anyio
async def test_the_wait_stands_in_a_header_in_minutes():
    """`estimated_time_to_regain_access` is kept to."""
    told = await failing(before(busy(5)))
    assert isinstance(told, TryLater)
    assert told.after == 300


@pytest.mark.anyio
async def test_a_key_that_facebook_repeats_is_not_said():
    """It names a key that it cannot read."""
    told = await failing(before(failed(190, f"Malformed access token {KEY}")))
    assert isinstance(told, AccountTrouble)
    assert "Malformed access token …" in str(told)
    assert KEY not in str(told)


@pytest.mark.anyio
async def test_no_address_has_the_key():
    """Not in any call, and not by following the address of a next page."""
    far = Far(Fake(), {1: FAULTS["silence after"]})
    await Carrier(NETWORK, far).carry(post(NETWORK.settings()))
    assert all(KEY not in str(one.url) and "access_token" not in str(one.url) for one in far.requests)


class Lagging(Fake):
    """It lists a post late."""

    def __init__(self, refusal: Reply) -> None:
        super().__init__()
        self._refusal = refusal
        self._unlisted = 1

    def answer(self, request: Request) -> Reply:
        said = super().answer(request)
        if request.path.endswith("/published_posts") and self._unlisted:
            self._unlisted -= 1
            return Reply(body=b'{"data": []}')
        return self._refusal if b"#506" in said.body else said


@pytest.mark.anyio
@pytest.mark.parametrize(
    "refusal",
    [
        failed(506, "(#506) Duplicate status message"),
        failed(368, "You've already posted this. Posting the same content repeatedly isn't allowed."),
    ],
)
async def test_a_duplicate_of_our_own_is_the_post(refusal: Reply):
    """After a silence it was not listed yet, so it is tried again: Facebook says it twice, koala #422."""
    far = Far(Lagging(refusal), {0: FAULTS["silence after"]})
    receipt = await Carrier(NETWORK, far).carry(WORDS)
    assert receipt
    assert list(far.fake.posts) == [receipt.id]


@pytest.mark.anyio
async def test_a_duplicate_of_something_older_is_refused():
    """It is not what this call made, whatever it says."""
    fake = Fake()
    old = seen(TEXT, datetime.now(UTC) - timedelta(hours=5), "1")
    fake.posts[old.id] = old
    with pytest.raises(Refused, match="duplicate"):
        await Carrier(NETWORK, Far(fake)).carry(WORDS)
    assert list(fake.posts) == [old.id]


@pytest.mark.anyio
async def test_a_post_is_found_behind_a_hundred_others():
    """The page said a lot since: all of it is looked through, page by page."""
    fake, now = Fake(), datetime.now(UTC)
    for number in range(150):
        other = seen(TEXT if number == 3 else f"Another {number}", now, str(number))
        fake.posts[other.id] = other
    far = Far(fake)
    async with opened(NETWORK, far) as calls:
        found = await calls.find(replace(BATCH, called_at=now), WORDS, memory=Notebook())
    assert found.id == f"{PAGE}_3"
    assert found.url == f"https://www.facebook.com/{PAGE}/posts/3"
    assert len(far.requests) == 2


@pytest.mark.anyio
async def test_what_was_said_long_before_the_call_is_not_found():
    """The same words of last week are another post."""
    fake, now = Fake(), datetime.now(UTC)
    old = seen(TEXT, now - timedelta(days=7), "1")
    fake.posts[old.id] = old
    async with opened(NETWORK, Far(fake)) as calls:
        assert await calls.find(replace(BATCH, called_at=now), WORDS, memory=Notebook()) is None


@pytest.mark.anyio
async def test_without_a_picture_the_link_makes_a_card():
    """Facebook reads the page behind it."""
    _, fake, _ = await published(NETWORK, WORDS)
    [only] = fake.posts.values()
    assert only.link == LINK


def photo(at: datetime) -> Mapping[str, Any]:
    return {f"picture {BANNER.hash}": {"id": "122999", "at": at.isoformat()}}


@pytest.mark.anyio
async def test_a_photo_that_facebook_will_have_thrown_away_is_uploaded_again():
    """It keeps an unpublished one for a day, and a post may have waited longer."""
    far = Far(Fake())
    memory = Notebook(**photo(datetime.now(UTC) - timedelta(hours=21)))
    async with opened(NETWORK, far) as calls:
        await calls.send(BATCH, post(NETWORK.settings()), media=media, memory=memory)
    assert [one.url.path.rpartition("/")[2] for one in far.requests] == ["photos", "feed"]


@pytest.mark.anyio
async def test_a_photo_that_is_gone_is_uploaded_again_once():
    """If the call is not valid then either, it never will be."""
    far, memory = Far(Fake()), Notebook(**photo(datetime.now(UTC)))
    what = post(NETWORK.settings())
    async with opened(NETWORK, far) as calls:
        with pytest.raises(TryLater) as caught:
            await calls.send(BATCH, what, media=media, memory=memory)
        assert caught.value.after == 0
        assert (await calls.send(BATCH, what, media=media, memory=memory)).id in far.fake.posts
        far.spoil = {len(far.requests): before(failed(100, "(#100) Invalid parameter"))}
        with pytest.raises(Refused):
            await calls.send(BATCH, what, media=media, memory=memory)


@pytest.mark.anyio
async def test_a_picture_that_is_too_large_is_refused():
    """Nothing is posted without it."""
    far = Far(Fake())
    async with opened(NETWORK, far) as calls:
        with pytest.raises(Refused, match="324"):
            await calls.send(
                BATCH,
                post(NETWORK.settings()),
                media=lambda picture: b"\xff\xd8" + bytes(LARGEST_PHOTO),
                memory=Notebook(),
            )
    assert far.fake.posts == {}


@pytest.mark.anyio
async def test_a_post_that_may_not_be_deleted_is_for_a_person():
    """Facebook says "does not exist" for that as well, so the post is looked at."""
    receipt, fake, far = await published(NETWORK, WORDS)
    assert isinstance(fake, Fake)
    fake.may_delete = False
    gone = Post(network="facebook", text="", action="delete", of=receipt)
    with pytest.raises(AccountTrouble, match="cannot be deleted"):
        await Carrier(NETWORK, far).carry(gone, attempts=1)


@pytest.mark.anyio
async def test_a_correction_of_what_is_gone_is_refused():
    """Somebody deleted the post."""
    edit = replace(WORDS, action="edit", of=Receipt(id=f"{PAGE}_1"))
    with pytest.raises(Refused, match="gone"):
        await Carrier(NETWORK, Far(Fake())).carry(edit)


@pytest.mark.anyio
async def test_the_version_can_be_set():
    """Each is served for about two years."""
    _, _, far = await published(NETWORK, WORDS, channel=NETWORK.settings(version="v31.0"))
    assert far.requests[0].url == httpx.URL(f"https://graph.facebook.com/v31.0/{PAGE}/feed")
    assert orjson.loads(far.requests[0].content)["message"] == TEXT
