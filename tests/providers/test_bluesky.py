"""Bluesky: what it alone wants and says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Post, Receipt
from distributor.providers.protocol import Credentials
from distributor.providers.social.bluesky import SERVER, Bluesky, Calls, record_key
from distributor.rendering import payloads
from tests.providers.networks import (
    BANNER,
    BATCH,
    FAULTS,
    FILES,
    LINK,
    NEXT,
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
from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.bluesky import DID, PDS, TID, failed
from tests.simulator.networks.bluesky import Bluesky as Fake

NETWORK = Described(
    name="bluesky",
    channel={"account": "news.example", "key": "a-secret-app-password"},
    provider=Bluesky,
    fake=Fake,
)

SIGNING_IN, UPLOADING, PUTTING = range(3)  # the calls of a post with a picture


def _records(far: Far) -> list[Any]:
    """What putRecord was told, call by call."""
    calls = [one for one in far.requests if one.url.path.endswith("putRecord")]
    return [orjson.loads(one.content) for one in calls]


def _methods(far: Far) -> list[str]:
    return [one.url.path.rpartition(".")[2] for one in far.requests]


@pytest.mark.anyio
async def test_a_record_is_put_where_none_stands():
    """The key is ours, and `swapRecord` is there and null: without it a record would be overwritten."""
    _, _, far = await published(NETWORK)
    [told] = _records(far)
    assert told["rkey"] == record_key(told["record"]["createdAt"], BATCH.key, 0)
    assert told["repo"] == DID
    assert told["swapRecord"] is None
    assert "swapRecord" in told


@pytest.mark.anyio
async def test_a_repetition_has_the_same_bytes():
    """Whatever was lost: the picture is uploaded anew if need be, and the record stays as it was."""
    far = Far(Fake(), {PUTTING: FAULTS["silence after"]})
    what = post(NETWORK.settings())
    await Carrier(NETWORK, far).carry(what)
    await Carrier(NETWORK, far).carry(what)  # a worker that remembers nothing
    first, second, third = _records(far)
    assert first == second == third
    assert len(far.fake.taken) == 1


@given(
    st.integers(0, 7_000_000_000),  # seconds: until 2191
    st.text(),
    st.integers(0, 19),
    st.integers(0, 19),
)
def test_keys_are_tids_in_the_order_of_the_parts(at: int, batch: str, number: int, other: int):
    """https://atproto.com/specs/tid: thirteen letters that sort by time."""
    created_at = datetime.fromtimestamp(at, UTC).isoformat()
    key, another = record_key(created_at, batch, number), record_key(created_at, batch, other)
    assert TID.fullmatch(key)
    assert (key < another) == (number < other)
    later = datetime.fromtimestamp(at + 1, UTC).isoformat()
    assert record_key(later, batch, 0) > key


def test_posts_of_one_second_stand_apart():
    """A thousand batches of one moment have a thousand keys."""
    created_at = "2026-06-01T07:00:00.000Z"
    assert len({record_key(created_at, f"batch {number}", 0) for number in range(1000)}) == 1000


@given(
    st.text(st.characters(codec="utf-8")),
    st.sampled_from([LINK, "", " #Harbour 🚢 ", payloads.short_link(LINK)]),
)
def test_facets_are_within_the_text(words: str, more: str):
    """A server takes those beyond it without a word, so nobody else would notice."""
    said = words + more + words
    for facet in payloads.facets(said, LINK):
        start, end = facet["index"]["byteStart"], facet["index"]["byteEnd"]
        assert 0 <= start < end <= len(said.encode())
        assert said.encode()[start:end].decode()


@pytest.mark.anyio
async def test_links_can_be_clicked():
    """Postiz #394: an address in the text leads somewhere only if a facet says so, in bytes of UTF-8."""
    what = post(NETWORK.settings(), text=f"Überfahrt ⛴ {LINK} #Häfen")
    _, fake, _ = await published(NETWORK, what)
    [seen] = fake.posts.values()
    spans = {
        seen.text.encode()[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode(): facet[
            "features"
        ]
        for facet in seen.more["record"]["facets"]
    }
    assert spans[LINK] == [{"$type": "app.bsky.richtext.facet#link", "uri": LINK}]
    assert spans["#Häfen"] == [{"$type": "app.bsky.richtext.facet#tag", "tag": "Häfen"}]


@pytest.mark.anyio
async def test_a_card_has_title_summary_and_picture():
    """Postiz PR#1078 and PR#1206: nobody builds the card but we; of two pictures it shows the first."""
    what = post(NETWORK.settings(media="link"), pictures=(BANNER,))
    _, fake, _ = await published(NETWORK, what)
    [seen] = fake.posts.values()
    assert seen.link == LINK
    assert seen.card["title"] == what.title
    assert seen.card["description"] == what.summary
    assert seen.card["thumb"] == FILES[BANNER.hash]
    assert seen.pictures == []


@pytest.mark.anyio
async def test_only_pictures_that_are_shown_are_uploaded():
    """A thousand uploads a day are allowed."""
    what = post(NETWORK.settings())
    bare = {name: value for name, value in what.payload.items() if name != "embed"}
    _, _, far = await published(NETWORK, replace(what, payload=bare))
    assert "uploadBlob" not in _methods(far)


@pytest.mark.anyio
async def test_letters_are_counted_as_readers_see_them():
    """Mixpost #154: 300 graphemes are taken, however many code points they have; one more is refused."""
    await published(NETWORK, post(NETWORK.settings(), text="é" * 300, pictures=()))
    with pytest.raises(Refused, match="300"):
        await published(NETWORK, post(NETWORK.settings(), text="é" * 301, pictures=()))


@pytest.mark.anyio
async def test_a_picture_that_is_too_large_is_refused_with_their_words():
    """Mixpost #188: it uploads well, and then the record fails; rendering makes pictures small enough."""

    class Small(Fake):
        def _upload(self, request: Request) -> Reply:
            blob = orjson.loads(super()._upload(request).body)["blob"]
            return reply(200, {"blob": {**blob, "size": 2_000_001}})

    with pytest.raises(Refused, match="blob too big"):
        await Carrier(NETWORK, Far(Small())).carry(post(NETWORK.settings()))


@pytest.mark.anyio
async def test_another_record_under_the_key_is_never_touched():
    """Other words there are somebody else's; the same words are ours, whatever the bytes."""
    receipt, fake, far = await published(NETWORK)
    with pytest.raises(Refused, match="another record stands"):
        await Carrier(NETWORK, far).carry(post(NETWORK.settings(), text="Other words"))
    assert await Carrier(NETWORK, far).carry(post(NETWORK.settings(), pictures=())) == receipt
    assert len(fake.taken) == 1


@pytest.mark.anyio
async def test_blobs_that_were_collected_are_uploaded_again():
    """An outage after the uploads may last longer than a server keeps what no record names."""
    far = Far(Fake(), {PUTTING: FAULTS["503"]})
    carrier = Carrier(NETWORK, far)
    with pytest.raises(TryLater):
        await carrier.carry(post(NETWORK.settings()), attempts=1)
    fake = far.fake
    assert isinstance(fake, Fake)
    fake.collect()
    assert await carrier.carry(post(NETWORK.settings()))
    again = carrier.told[-1]
    assert isinstance(again, TryLater)
    assert "BlobNotFound" in str(again)
    assert again.after == 0
    assert _methods(far).count("uploadBlob") == 2


@pytest.mark.anyio
async def test_a_server_that_loses_every_blob_is_left_alone():
    """At once only the first time: then the engine waits longer and longer."""

    class Losing(Fake):
        def _put(self, told: dict[str, Any]) -> Reply:
            self.collect()
            return super()._put(told)

    carrier = Carrier(NETWORK, Far(Losing()))
    with pytest.raises(TryLater):
        await carrier.carry(post(NETWORK.settings()), attempts=3)
    assert [one.after for one in carrier.told if isinstance(one, TryLater)] == [0, None, None]


def _known(fake: Fake, *, minutes: float = 100) -> Credentials:
    """A session that was made some time ago."""
    fake.access.add("access-token-0")
    fake.refresh.add("refresh-token-0")
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    more = {"did": DID, "pds": PDS, "until": until.isoformat()}
    return Credentials(access="access-token-0", refresh="refresh-token-0", more=more)


async def _sent(fake: Fake, ring: Ring, far: Far | None = None, **settings: Any) -> Far:
    """A post without pictures, sent once."""
    way = far or Far(fake)
    channel = NETWORK.settings(**settings)
    async with Bluesky(channel, way.transport()).connected(ring) as calls:
        await calls.send(BATCH, post(channel, pictures=()), media=media, memory=Notebook())
    return way


@pytest.mark.anyio
async def test_nobody_signs_in_for_every_post():
    """Signing in is rationed: 30 in five minutes, 300 a day. A session that is good is used as it is."""
    fake = Fake()
    far = await _sent(fake, Ring(_known(fake)))
    assert _methods(far) == ["putRecord"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("word", "calls"),
    [
        ("expire", ["putRecord", "refreshSession", "putRecord"]),
        ("revoke", ["putRecord", "refreshSession", "createSession", "putRecord"]),
    ],
)
async def test_a_session_that_is_over_is_renewed_once(word: str, calls: list[str]):
    """An expired token is a 400 there; the refresh token makes another, or else the app password."""
    fake = Fake()
    ring = Ring(_known(fake))
    getattr(fake, word)()
    far = await _sent(fake, ring)
    assert _methods(far) == calls
    assert ring.made == 1
    assert len(fake.posts) == 1


@pytest.mark.anyio
async def test_an_old_session_is_renewed_before_it_fails():
    """A token lives two hours, and a picture need not be uploaded to learn that it is over."""
    fake = Fake()
    far = await _sent(fake, Ring(_known(fake, minutes=-1)))
    assert _methods(far) == ["refreshSession", "putRecord"]


@pytest.mark.anyio
async def test_records_go_to_the_account_s_own_server():
    """Which its DID document names; signing in and refreshing go to Bluesky, or all to `base_url`."""
    fake = Fake()
    far = await _sent(fake, Ring())
    assert [f"{one.url.scheme}://{one.url.host}" for one in far.requests] == [SERVER, PDS]
    far = await _sent(Fake(), Ring(), base_url="https://pds.news.example/")
    assert {one.url.host for one in far.requests} == {"pds.news.example"}
    assert all(one.url.path.startswith("/xrpc/") for one in far.requests)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "document", [None, {}, {"service": [{"id": "#atproto_pds", "serviceEndpoint": "http://10.0.0.1"}]}]
)
async def test_a_session_without_a_server_of_its_own_stays_where_it_is(document: Any):
    """No DID document, or one that leads to an address without TLS."""

    class Other(Fake):
        def _session(self) -> Reply:
            return reply(200, {**orjson.loads(super()._session().body), "didDoc": document})

    far = await _sent(Other(), Ring())
    assert {one.url.host for one in far.requests} == {httpx.URL(SERVER).host}


@pytest.mark.anyio
async def test_a_handle_may_be_written_with_its_at():
    """Servers know handles without it."""
    receipt, _, _ = await published(NETWORK, channel=NETWORK.settings(account="@news.example"))
    assert receipt.url
    assert receipt.url.startswith("https://bsky.app/profile/news.example/post/")


@pytest.mark.anyio
async def test_a_broken_session_keeps_its_secrets():
    """Half an answer to signing in has keys in it, and none is in what is said of it."""
    half = Reply(status=200, body=b'{"accessJwt": "a-token-of-secrets", "refr')
    with pytest.raises(TryLater) as caught:
        await _sent(Fake(), Ring(), Far(Fake(), {SIGNING_IN: before(half)}))
    assert "secrets" not in repr(caught.value)
    assert caught.value.__cause__ is None or "secrets" not in repr(caught.value.__cause__)


TABLE = [
    (SIGNING_IN, failed(401, "AuthenticationRequired", "Invalid identifier or password"), AccountTrouble),
    (SIGNING_IN, failed(401, "AuthFactorTokenRequired", "A sign in code has been sent"), AccountTrouble),
    (SIGNING_IN, failed(401, "AccountTakedown", "Account has been taken down"), AccountTrouble),
    (SIGNING_IN, failed(400, "InvalidRequest", "Invalid handle"), AccountTrouble),
    (UPLOADING, failed(401, "AccountTakedown", "Account has been taken down"), AccountTrouble),
    (UPLOADING, failed(413, "PayloadTooLarge", "request entity too large"), Refused),
    (UPLOADING, failed(500, "InternalServerError", "Internal Server Error"), TryLater),
    (PUTTING, failed(401, "AccountDeactivated", "Account is deactivated"), AccountTrouble),
    (PUTTING, failed(400, "InvalidRequest", "Invalid app.bsky.feed.post record"), Refused),
    (PUTTING, failed(500, "InternalServerError", "Internal Server Error"), Unclear),
    (PUTTING, failed(502, "UpstreamFailure", "fetch failed"), Unclear),
    (PUTTING, failed(503, "NotEnoughResources", "Service Unavailable"), TryLater),
]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("call", "answer", "error"),
    TABLE,
    ids=[f"{call} {orjson.loads(one.body)['error']}" for call, one, _ in TABLE],
)
async def test_its_answers_say_what_to_do_next(call: int, answer: Reply, error: type[SendError]):
    """Whether it is the post, the account or the moment."""
    far = Far(Fake(), {call: before(answer)})
    carrier = Carrier(NETWORK, far)
    with pytest.raises(SendError) as caught:
        await carrier.carry(post(NETWORK.settings()), attempts=1)
    assert type(caught.value) is error


@pytest.mark.anyio
async def test_a_token_that_is_never_accepted_is_for_a_person():
    """A new session of which the server still says that it is over."""
    over = before(failed(400, "InvalidToken", "Token could not be verified"))
    far = Far(Fake(), {1: over, 2: over, 4: over})  # 3 signs in again
    with pytest.raises(AccountTrouble):
        await Carrier(NETWORK, far).carry(post(NETWORK.settings(), pictures=()), attempts=1)


@pytest.mark.anyio
async def test_a_limit_says_when_it_ends():
    """`ratelimit-reset` is a time in seconds since 1970, and counts where there is no Retry-After."""
    reset = str(int(datetime.now(UTC).timestamp()) + 200)
    headers = {"RateLimit-Remaining": "0", "RateLimit-Reset": reset, "RateLimit-Policy": "5000;w=3600"}
    busy = failed(429, "RateLimitExceeded", "Rate Limit Exceeded", **headers)
    with pytest.raises(TryLater) as caught:
        await Carrier(NETWORK, Far(Fake(), {PUTTING: before(busy)})).carry(
            post(NETWORK.settings()), attempts=1
        )
    assert caught.value.after is not None
    assert 190 < caught.value.after <= 200


@pytest.mark.anyio
async def test_a_reply_knows_its_thread():
    """Root and parent are noted in receipts; of a post that is not ours to remember, they are asked for."""
    receipt, fake, far = await published(NETWORK)
    answer = replace(post(NETWORK.settings(), text="A correction", pictures=()), action="reply", of=receipt)
    second = await Carrier(NETWORK, far, batch=NEXT).carry(answer)
    assert second
    assert second.kept["root"]["uri"] == receipt.id
    for number, of in enumerate((second, Receipt(id=second.id))):
        third = await Carrier(NETWORK, far, batch=replace(NEXT, key=f"third {number}")).carry(
            replace(answer, of=of)
        )
        assert third
        hangs = fake.posts[third.id].more["record"]["reply"]
        assert (hangs["root"]["uri"], hangs["parent"]["uri"]) == (receipt.id, second.id)


@pytest.mark.anyio
async def test_a_reply_to_what_is_gone_is_refused():
    """Nobody knows where it would hang."""
    gone = Receipt(id=f"at://{DID}/app.bsky.feed.post/3mn7iz5pr4skr")
    answer = replace(post(NETWORK.settings(), pictures=()), action="reply", of=gone)
    with pytest.raises(Refused, match="is gone"):
        await Carrier(NETWORK, Far(Fake())).carry(answer)


@pytest.mark.anyio
async def test_a_thread_is_taken_back_whole():
    """Its further parts would else stand there without their beginning."""
    part = post(NETWORK.settings(), text="Part 2", pictures=()).payload
    receipt, fake, far = await published(NETWORK, replace(post(NETWORK.settings()), more=(part, part)))
    assert len(fake.posts) == 3
    await Carrier(NETWORK, far).carry(Post(network="bluesky", text="", action="delete", of=receipt))
    assert fake.posts == {}


@pytest.mark.anyio
async def test_another_account_s_post_is_not_taken_back():
    """Once `account` was changed, the old account's posts are out of reach: no trouble of the new one."""
    theirs = Receipt(id="at://did:plc:z72i7hdynmk6r22z27h6tvur/app.bsky.feed.post/3mn7iz5pr4skr")
    async with opened(NETWORK, Far(Fake())) as calls:
        with pytest.raises(Refused, match="another account"):
            await calls.delete(theirs)


@pytest.mark.anyio
async def test_what_was_noted_is_enough_for_the_receipt():
    """A worker that takes over after the last call asks nobody anything."""
    _, _, far = await published(NETWORK)
    carrier = Carrier(NETWORK, far)
    what = post(NETWORK.settings())
    first = await carrier.carry(what)
    calls = len(far.requests)
    async with opened(NETWORK, far) as again:
        assert isinstance(again, Calls)
        batch = replace(BATCH, kept=MappingProxyType(carrier.kept))
        assert await again.send(batch, what, media=media, memory=Notebook(**carrier.kept)) == first
    assert len(far.requests) == calls
