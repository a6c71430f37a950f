"""LinkedIn: what it alone wants and says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Post, Receipt
from distributor.providers.protocol import Credentials
from distributor.providers.social.linkedin import VERSION, LinkedIn, made_at
from tests.providers.networks import (
    BANNER,
    BATCH,
    CODE,
    FAULTS,
    FILES,
    LINK,
    TEXT,
    Carrier,
    Described,
    Far,
    Notebook,
    Ring,
    before,
    media,
    opened,
    post,
    published,
)
from tests.simulator.calls import Reply, page, reply
from tests.simulator.networks.linkedin import LinkedIn as Fake
from tests.simulator.networks.linkedin import refusal

NETWORK = Described(
    name="linkedin",
    channel={
        "account": "urn:li:organization:2414183",
        "key": "a-first-key-of-linkedin",
        "client_id": "the-app-of-the-news",
        "client_secret": "a-secret-of-the-app",
        "refresh_key": "a-second-key-of-linkedin",
    },
    provider=LinkedIn,
    fake=Fake,
)
WITHOUT = post(NETWORK.settings(), pictures=())
SHARE = "urn:li:share:7141138937766391808"  # of 2023-12-14


async def sent(
    far: Far,
    what: Post = WITHOUT,
    *,
    notes: Notebook | None = None,
    called_at: datetime | None = None,
    **settings: Any,
) -> Receipt:
    async with opened(NETWORK, far, **settings) as calls:
        batch = replace(BATCH, called_at=called_at)
        receipt: Receipt = await calls.send(batch, what, media=media, memory=notes or Notebook())
        return receipt


@pytest.mark.anyio
async def test_a_post_has_its_author_its_version_and_its_id():
    """The author comes from the settings, the id from a header of the answer."""
    receipt, fake, far = await published(NETWORK, WITHOUT)
    [created] = far.requests
    assert str(created.url) == "https://api.linkedin.com/rest/posts"
    assert created.headers["LinkedIn-Version"] == VERSION
    assert created.headers["X-Restli-Protocol-Version"] == "2.0.0"
    assert orjson.loads(created.content)["author"] == "urn:li:organization:2414183"
    assert [receipt.id] == list(fake.posts)
    assert receipt.url == f"https://www.linkedin.com/feed/update/{receipt.id}/"


@pytest.mark.anyio
async def test_a_version_that_is_no_longer_served_is_for_a_person():
    """Postiz #2005: it was fixed in the program. Here a setting changes it, and the failure names that."""
    fake = Fake()
    with pytest.raises(AccountTrouble, match="`version`") as caught:
        await sent(Far(fake), version="202401")
    assert "202401" in str(caught.value)
    assert await sent(Far(fake), version="202608")


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 201, 202])
async def test_success_without_a_post_is_no_success(status: int):
    """Postiz #989 reported posts that nobody ever saw: without an id there is no receipt."""
    with pytest.raises(Unclear):
        await sent(Far(Fake(), {0: before(Reply(status=status))}))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal("MAX_LENGTH_EXCEEDED", "commentary exceeded the maximum allowed length"), Refused),
        (reply(400, {"status": 400, "message": "author :: is not allowed"}), Refused),
        (reply(401, {"status": 401, "code": "REVOKED_ACCESS_TOKEN"}), AccountTrouble),
        (reply(403, {"status": 403, "message": "Organization permissions must be used"}), AccountTrouble),
        (reply(429, {"status": 429, "message": "too many"}, **{"Retry-After": "9"}), TryLater),
        (reply(503, {"status": 503, "message": "busy"}), TryLater),
        (reply(500, {"status": 500, "message": "Internal Server Error"}), Unclear),
        (page(504), Unclear),
    ],
)
async def test_its_answers_say_what_to_do_next(answer: Reply, error: type[SendError]):
    """Too long is final, permissions are for a person, a broken gateway is silence."""
    with pytest.raises(error) as caught:
        await sent(Far(Fake(), {0: before(answer)}), refresh_key="")
    assert type(caught.value) is error


@pytest.mark.anyio
async def test_a_days_limit_ends_at_midnight():
    """00:00 UTC; of other limits LinkedIn says nothing, so that a short one costs no day."""
    with pytest.raises(TryLater) as caught:
        await sent(Far(Fake(), {0: before(Fake.words["quota"])}))
    assert caught.value.after
    ends = datetime.now(UTC) + timedelta(seconds=caught.value.after)
    assert abs(ends - ends.replace(hour=0, minute=0, second=0, microsecond=0)) < timedelta(seconds=5)
    with pytest.raises(TryLater) as caught:
        await sent(Far(Fake(), {0: before(reply(429, {"message": "Too many requests"}))}))
    assert caught.value.after is None


@pytest.mark.anyio
async def test_a_text_that_is_too_long_is_never_taken():
    """3000 with its escapes."""
    with pytest.raises(Refused):
        await sent(Far(Fake()), post(NETWORK.settings(), text="_" * 1501, pictures=()))


# Once, and no more


@pytest.mark.anyio
async def test_the_same_call_again_is_the_same_to_the_byte():
    """That is what LinkedIn knows it by: the pictures are uploaded once, and their URNs kept."""
    what = post(NETWORK.settings(), pictures=(BANNER, CODE))
    far = Far(Fake(), {4: FAULTS["silence after"]})
    receipt = await Carrier(NETWORK, far).carry(what)
    first, second = [one for one in far.requests if one.url.path == "/rest/posts"]
    assert first.content == second.content
    assert receipt
    assert [receipt.id] == list(far.fake.posts)


@pytest.mark.anyio
async def test_a_duplicate_on_the_first_call_is_refused_by_name():
    """Nobody is told that this post went out, for it was another."""
    fake = Fake()
    there = await sent(Far(fake))
    with pytest.raises(Refused, match=there.id):
        await sent(Far(fake))


@pytest.mark.anyio
async def test_a_duplicate_older_than_our_first_call_is_refused():
    """After a silence too: the number in an URN tells when it was made."""
    assert made_at(SHARE).date().isoformat() == "2023-12-14"
    dup = refusal("DUPLICATE_POST", f"Content is a duplicate of {SHARE}")
    with pytest.raises(Refused, match=SHARE):
        await sent(
            Far(Fake(), {0: before(dup)}),
            notes=Notebook(since=datetime.now(UTC).isoformat()),
            called_at=datetime.now(UTC),
        )


@pytest.mark.anyio
async def test_a_duplicate_that_is_not_there_is_unclear():
    """ComposioHQ/composio #2710: it named posts that gave 404, a new one each time."""
    fake, notes, now = Fake(), Notebook(), datetime.now(UTC)
    await sent(Far(fake), notes=notes)
    fake.posts.clear()
    fake.may_read = True
    with pytest.raises(Unclear) as caught:
        await sent(Far(fake), notes=notes, called_at=now)
    assert not caught.value.can_clear


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["silence before", "503", "no connection"])
async def test_whether_a_duplicate_is_there_need_not_be_known(fault: str):
    """Most keys may not read posts: then LinkedIn's word is enough."""
    fake, notes, now = Fake(), Notebook(), datetime.now(UTC)
    there = await sent(Far(fake), notes=notes)
    assert await sent(Far(fake), notes=notes, called_at=now) == there
    assert await sent(Far(fake, {1: FAULTS[fault]}), notes=notes, called_at=now) == there


@pytest.mark.anyio
async def test_a_duplicate_of_nothing_named_is_unclear():
    """Something is there, and nobody can say what."""
    dup = refusal("DUPLICATE_POST", "Duplicate post is detected")
    with pytest.raises(Unclear) as caught:
        await sent(Far(Fake(), {0: before(dup)}), called_at=datetime.now(UTC))
    assert not caught.value.can_clear


# Pictures and cards


@pytest.mark.anyio
async def test_a_link_has_a_card():
    """Postiz #1594: LinkedIn makes none itself, so title, summary and picture are sent."""
    _, fake, _ = await published(NETWORK)
    [seen] = fake.posts.values()
    assert seen.card["source"] == LINK
    assert seen.card["title"] == "The ferry <sails> again & again"
    assert seen.card["thumbnailAltText"] == BANNER.alt


@pytest.mark.anyio
async def test_no_word_of_a_post_is_lost():
    """An escape that is missing cuts a post: every reserved character arrives."""
    text = "a\\b <c> #Tag ~d _e_ | [f] * (g) {h} @i\nend"
    _, fake, _ = await published(NETWORK, post(NETWORK.settings(), text=text))
    [seen] = fake.posts.values()
    assert seen.text == text


@pytest.mark.anyio
async def test_pictures_go_to_the_address_that_linkedin_gives():
    """With the account's key, the picture's own type, and its bytes alone."""
    _, _, far = await published(NETWORK)
    [put] = [one for one in far.requests if one.method == "PUT"]
    assert put.url.host == "www.linkedin.com"
    assert put.content == FILES[BANNER.hash]
    assert put.headers["Content-Type"] == "image/jpeg"
    assert put.headers["Authorization"] == "Bearer a-first-key-of-linkedin"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "address",
    [
        "https://uploads.example/1",
        "http://www.linkedin.com/1",
        "https://evil-linkedin.com/1",
        "https://www.linkedin.com@uploads.example/1",
        "//uploads.example/1",
        "no address",
        "https://[",
    ],
)
async def test_the_key_goes_nowhere_else(address: str):
    """An upload address that is not LinkedIn's own is not followed."""
    answer = reply(200, {"value": {"uploadUrl": address, "image": "urn:li:image:1"}})
    far = Far(Fake(), {0: before(answer)})
    with pytest.raises(AccountTrouble, match="not LinkedIn's"):
        await sent(far, post(NETWORK.settings()))
    assert len(far.requests) == 1


@pytest.mark.anyio
async def test_another_address_can_stand_for_linkedin():
    """With `base_url`, pictures go there too, and keys are renewed there."""
    fake = Fake()
    fake.ended.add("a-first-key-of-linkedin")
    far = Far(fake)
    with pytest.raises(TryLater):  # the path below which the simulator stands is not there
        await sent(far, post(NETWORK.settings()), base_url="http://127.0.0.1:8025")
    assert {one.url.host for one in far.requests} == {"127.0.0.1"}
    assert [one.method for one in far.requests][-1] == "PUT"


@pytest.mark.anyio
async def test_a_picture_that_cannot_be_used_is_uploaded_once_more():
    """If LinkedIn still does not know it then, the post is refused."""
    fake, notes = Fake(), Notebook(**{f"picture {BANNER.hash}": "urn:li:image:old"})
    what = post(NETWORK.settings())
    with pytest.raises(TryLater) as caught:
        await sent(Far(fake), what, notes=notes)
    assert caught.value.after == 0
    assert await sent(Far(fake), what, notes=notes)
    again = Notebook(**{f"picture {BANNER.hash}": "urn:li:image:old", "uploaded again": True})
    with pytest.raises(Refused):
        await sent(Far(fake), what, notes=again)


@pytest.mark.anyio
async def test_after_a_silence_no_other_picture_is_uploaded():
    """The call would be another then, and LinkedIn would not know it again."""
    fake, notes = Fake(), Notebook(**{f"picture {BANNER.hash}": "urn:li:image:old"})
    with pytest.raises(Unclear):
        await sent(Far(fake), post(NETWORK.settings()), notes=notes, called_at=datetime.now(UTC))
    assert notes.known[f"picture {BANNER.hash}"] == "urn:li:image:old"


@pytest.mark.anyio
async def test_a_picture_that_is_being_processed_is_waited_for():
    """Mixpost #146: it is there soon, and it is not uploaded again."""
    notes = Notebook(**{f"picture {BANNER.hash}": "urn:li:image:1"})
    waiting = refusal("MEDIA_ASSET_PROCESSING", "urn:li:image:1 is PROCESSING")
    with pytest.raises(TryLater) as caught:
        await sent(Far(Fake(), {0: before(waiting)}), post(NETWORK.settings()), notes=notes)
    assert caught.value.after == 10
    assert notes.known[f"picture {BANNER.hash}"] == "urn:li:image:1"


@pytest.mark.anyio
async def test_an_upload_address_that_ended_is_asked_for_again():
    """It is good for a day; nothing about the account is wrong."""
    far = Far(Fake(), {1: before(reply(404, {}))})
    assert await Carrier(NETWORK, far).carry(post(NETWORK.settings()))


# Corrections


@pytest.mark.anyio
async def test_an_edit_changes_the_words_alone():
    """A partial update of the commentary; no picture is uploaded for it."""
    receipt, fake, far = await published(NETWORK)
    before_it = len(far.requests)
    async with opened(NETWORK, far) as calls:
        what = post(NETWORK.settings(), text=TEXT.replace("two", "three"))
        assert await calls.edit(receipt, what, media=media, memory=Notebook()) == receipt
    [edit] = far.requests[before_it:]
    assert edit.url.raw_path.decode() == f"/rest/posts/{receipt.id.replace(':', '%3A')}"
    assert edit.headers["X-RestLi-Method"] == "PARTIAL_UPDATE"
    assert orjson.loads(edit.content) == {"patch": {"$set": {"commentary": what.payload["commentary"]}}}
    [seen] = fake.posts.values()
    assert seen.text == what.text


@pytest.mark.anyio
async def test_what_is_gone_cannot_be_corrected():
    """Somebody deleted it by hand: that is no trouble of the account's."""
    async with opened(NETWORK, Far(Fake())) as calls:
        with pytest.raises(Refused):
            await calls.edit(Receipt(id=SHARE), WITHOUT, media=media, memory=Notebook())


@pytest.mark.anyio
async def test_what_is_gone_is_deleted():
    """Whether LinkedIn says 204 or 404 of it."""
    far = Far(Fake(), {1: before(reply(404, {"status": 404}))})
    async with opened(NETWORK, far) as calls:
        await calls.delete(Receipt(id=SHARE))
        await calls.delete(Receipt(id=SHARE))
    assert [one.headers["X-RestLi-Method"] for one in far.requests] == ["DELETE", "DELETE"]


# Keys


@pytest.mark.anyio
async def test_a_renewed_key_tells_when_a_person_is_needed():
    """The second key's year does not begin anew: its end is what somebody has to know of (Mixpost #79)."""
    fake, ring = Fake(), Ring()
    fake.ended.add("a-first-key-of-linkedin")
    far = Far(fake)
    async with NETWORK.provider(NETWORK.settings(), far.transport()).connected(ring) as calls:
        await calls.send(BATCH, WITHOUT, media=media, memory=Notebook())
    assert isinstance(ring.kept, Credentials)
    assert (ring.kept.access, ring.kept.refresh) == ("first-key-1", "a-second-key-of-linkedin")
    assert ring.kept.expires_at
    assert (ring.kept.expires_at - datetime.now(UTC)).days in (305, 306)
    renewal = far.requests[1]
    assert str(renewal.url) == "https://www.linkedin.com/oauth/v2/accessToken"
    assert b"client_secret=a-secret-of-the-app" in renewal.content


@pytest.mark.anyio
async def test_a_key_that_cannot_be_renewed_is_for_a_person():
    """Most apps get no second key: after 60 days somebody has to authorize the app again."""
    fake = Fake()
    fake.ended.add("a-first-key-of-linkedin")
    far = Far(fake)
    with pytest.raises(AccountTrouble) as caught:
        await sent(far, refresh_key="")
    assert "a-first-key" not in str(caught.value)
    assert len(far.requests) == 1
