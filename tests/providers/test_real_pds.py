"""Bluesky's own server software, on this machine: what the simulated one only claims."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import BytesIO
from typing import Any

import httpx
import orjson
import pytest
from PIL import Image

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, TryLater, Unclear
from distributor.model import Picture, Post, Receipt
from distributor.providers.social.bluesky import Bluesky, Calls, record_key
from tests.providers import pds
from tests.providers.networks import BATCH, TEXT, Notebook, Ring, post
from tests.simulator.calls import Request
from tests.simulator.networks.bluesky import DID
from tests.simulator.networks.bluesky import Bluesky as Fake


def _jpeg(width: int, height: int, color: str) -> bytes:
    written = BytesIO()
    Image.new("RGB", (width, height), color).save(written, "JPEG")
    return written.getvalue()


DATA = _jpeg(1200, 800, "navy")
PHOTO = Picture(
    hash=sha256(DATA).hexdigest(),
    media_type="image/jpeg",
    width=1200,
    height=800,
    size=len(DATA),
    alt="A ferry & gulls",
)


@pytest.fixture(scope="module")
def server() -> Iterator[pds.Server]:
    folder = pds.installed()
    if not folder:
        pytest.skip("no Bluesky server is installed (make pds): posting to a real one did not run")
    with pds.running(folder) as started:
        yield started


@dataclass
class Losing(httpx.AsyncHTTPTransport):
    """A way to the server on which the answers to the calls of these numbers, from 0, are lost."""

    lost: frozenset[int] = frozenset()
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = len(self.calls)
        self.calls.append(request.url.path.rpartition("/")[2])
        answer = await super().handle_async_request(request)
        if number in self.lost:
            await answer.aread()
            await answer.aclose()
            raise httpx.ReadTimeout("the answer was lost")
        return answer


@dataclass(frozen=True)
class Account:
    """The account on the server, and what a worker knows of it."""

    settings: Channel
    ring: Ring
    transport: Losing

    async def send(self, what: Post, key: str, memory: Notebook | None = None) -> Receipt:
        async with self.calls() as calls:
            batch = replace(BATCH, key=key)
            return await calls.send(batch, what, media=lambda _: DATA, memory=memory or Notebook())

    async def carried(self, what: Post, key: str) -> Receipt:
        """What comes of sending it until it is known to be there, by workers that remember."""
        memory = Notebook()
        for _ in range(5):
            try:
                return await self.send(what, key, memory)
            except (TryLater, Unclear):
                continue
        raise AssertionError("it is not there after five attempts")

    async def delete(self, of: Receipt) -> None:
        async with self.calls() as calls:
            await calls.delete(of)

    @asynccontextmanager
    async def calls(self) -> AsyncIterator[Calls]:
        async with Bluesky(self.settings, self.transport).connected(self.ring) as opened:
            yield opened


def account(server: pds.Server, *, lost: int | None = None, **settings: Any) -> Account:
    told = {"network": "bluesky", "account": pds.HANDLE, "key": server.app_password}
    channel = Channel.model_validate({**told, "base_url": server.address, **settings})
    return Account(channel, Ring(), Losing(frozenset() if lost is None else frozenset({lost})))


@pytest.fixture(scope="module")
def shared(server: pds.Server) -> Ring:
    """One session for all that needs no other: signing in is rationed, here as well."""
    return Ring()


@pytest.fixture
def ours(server: pds.Server, shared: Ring) -> Account:
    return replace(account(server), ring=shared)


def new(**more: Any) -> Post:
    channel = Channel.model_validate({"network": "bluesky", "account": pds.HANDLE, "key": "-"})
    return post(channel, **{"pictures": (PHOTO,), **more})


@pytest.mark.anyio
async def test_a_post_is_read_back_as_it_was_meant(server: pds.Server, ours: Account):
    """Text, links and hashtags at the right bytes, picture, alternative text and size."""
    what = new(text="Fähre 🚢 ahoi #Häfen\nhttps://news.example/2026/06/the-ferry/")
    receipt = await ours.send(what, "read back")
    key = receipt.id.rpartition("/")[2]
    assert receipt.url == f"https://bsky.app/profile/{pds.HANDLE}/post/{key}"
    asked = {"repo": server.did, "collection": "app.bsky.feed.post", "rkey": key}
    found = server.asked("com.atproto.repo.getRecord", **asked).json()
    assert found["uri"] == receipt.id
    record = found["value"]
    assert record["text"] == what.text
    words = what.text.encode()
    spans = [one["index"] for one in record["facets"]]
    assert [words[one["byteStart"] : one["byteEnd"]].decode() for one in spans] == [
        "#Häfen",
        "https://news.example/2026/06/the-ferry/",
    ]
    [image] = record["embed"]["images"]
    assert image["alt"] == PHOTO.alt
    assert image["aspectRatio"] == {"width": 1200, "height": 800}
    blob = server.asked("com.atproto.sync.getBlob", did=server.did, cid=image["image"]["ref"]["$link"])
    assert blob.content == DATA


@pytest.mark.anyio
async def test_a_repeated_post_changes_nothing(server: pds.Server, ours: Account):
    """A worker that remembers nothing of the first attempt gets the same receipt for the same record."""
    before = len(server.records())
    first = await ours.send(new(), "repeated")
    again = await ours.send(new(), "repeated")
    assert first == again
    assert len(server.records()) == before + 1


@pytest.mark.anyio
async def test_nothing_is_ever_overwritten(server: pds.Server, ours: Account):
    """Other words under the same key are refused, and the first stay."""
    receipt = await ours.send(new(pictures=()), "overwritten")
    with pytest.raises(Refused, match="another record stands"):
        await ours.send(new(text="Other words", pictures=()), "overwritten")
    [standing] = [one for one in server.records() if one["uri"] == receipt.id]
    assert standing["value"]["text"] == TEXT
    assert standing["cid"] == receipt.kept["cid"]


@pytest.mark.anyio
async def test_what_says_the_same_in_other_bytes_is_ours(server: pds.Server, ours: Account):
    """A server may describe a picture anew between two attempts: what stands is the post all the same."""
    first = await ours.send(new(), "described anew")
    again = await ours.send(new(pictures=()), "described anew")
    assert again == first


@pytest.mark.anyio
@pytest.mark.parametrize("number", range(3))
async def test_a_lost_answer_makes_no_second_post(server: pds.Server, number: int):
    """Whether it was to signing in, to the upload or to the record itself."""
    losing = account(server, lost=number)
    before = len(server.records())
    receipt = await losing.carried(new(), f"lost {number}")
    assert len(losing.transport.calls) > 3
    uris = [one["uri"] for one in server.records()]
    assert len(uris) == before + 1
    assert receipt.id in uris


@pytest.mark.anyio
async def test_a_picture_that_is_gone_is_uploaded_again(server: pds.Server, ours: Account):
    """A blob that no record names is dropped after a while."""
    memory = Notebook(**{f"picture {PHOTO.hash}": _blob(9)})
    with pytest.raises(TryLater, match="BlobNotFound") as caught:
        await ours.send(new(), "gone", memory)
    assert caught.value.after == 0
    assert await ours.send(new(), "gone", memory)


@pytest.mark.anyio
async def test_a_session_that_is_over_is_renewed(server: pds.Server):
    """By its refresh token while that is good, and else by signing in; the second session does it all."""
    late = account(server)
    await late.send(new(pictures=()), "session 0")
    assert late.ring.kept
    for number, refresh in ((1, late.ring.kept.refresh), (2, "nonsense")):
        late.ring.kept = replace(late.ring.kept, access="nonsense", refresh=refresh)
        late.transport.calls.clear()
        await late.send(new(pictures=()), f"session {number}")
        signed_in = "com.atproto.server.createSession" in late.transport.calls
        assert signed_in is (number == 2)
        assert "com.atproto.server.refreshSession" in late.transport.calls


@pytest.mark.anyio
async def test_a_wrong_app_password_waits_for_a_person(server: pds.Server):
    """And is not told to anybody."""
    with pytest.raises(AccountTrouble) as caught:
        await account(server, key="nobody-s-app-pass-word").send(new(), "wrong")
    assert "nobody-s" not in str(caught.value)


@pytest.mark.anyio
async def test_a_thread_hangs_together_and_is_taken_back_whole(server: pds.Server, ours: Account):
    """Each part answers the one before it; deleting takes all of them, and twice is once."""
    before = server.records()
    parts = tuple(new(text=f"Part {number}", pictures=()).payload for number in (2, 3))
    receipt = await ours.send(replace(new(), more=parts), "thread")
    first, second, third = [one for one in server.records() if one not in before]
    reference = {name: first[name] for name in ("uri", "cid")}
    assert second["value"]["reply"] == {"root": reference, "parent": reference}
    assert third["value"]["reply"]["root"] == reference
    assert third["value"]["reply"]["parent"]["uri"] == second["uri"]
    for _ in range(2):
        await ours.delete(receipt)
        assert server.records() == before


@pytest.mark.anyio
@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_reply_to_a_reply_stays_in_its_thread(server: pds.Server, ours: Account, is_kept: bool):
    """Its root is the thread's, whether that was noted or must be asked of the server."""
    first = await ours.send(new(pictures=()), f"root {is_kept}")
    answer = new(text="A correction", pictures=(), action="reply", of=first)
    second = await ours.send(answer, f"second {is_kept}")
    of = second if is_kept else Receipt(id=second.id)
    third = await ours.send(replace(answer, of=of), f"third {is_kept}")
    [standing] = [one for one in server.records() if one["uri"] == third.id]
    assert standing["value"]["reply"]["root"]["uri"] == first.id
    assert standing["value"]["reply"]["parent"]["uri"] == second.id


CID = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"  # of nothing that was uploaded
RECORD = {"$type": "app.bsky.feed.post", "text": "Same", "createdAt": "2026-06-01T07:00:00.000Z"}
CARD = {"uri": "https://news.example/", "title": "T", "description": "D"}
FAR = {"index": {"byteStart": 0, "byteEnd": 99}, "features": []}
FAMILY = "👨‍👩‍👧‍👦"  # one grapheme of 25 bytes


def _blob(size: int) -> dict[str, Any]:
    return {"$type": "blob", "ref": {"$link": CID}, "mimeType": "image/jpeg", "size": size}


def _images(*images: Mapping[str, Any]) -> dict[str, Any]:
    return {"embed": {"$type": "app.bsky.embed.images", "images": images}}


def _card(**card: Any) -> dict[str, Any]:
    return {"embed": {"$type": "app.bsky.embed.external", "external": card}}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="text"),
        pytest.param({"text": ""}, id="no text"),
        pytest.param({"text": "ä" * 300}, id="300 graphemes"),
        pytest.param({"text": "ä" * 301}, id="301 graphemes"),
        pytest.param({"text": FAMILY * 120}, id="3000 bytes"),
        pytest.param({"text": FAMILY * 121}, id="3025 bytes"),
        pytest.param({"langs": ["en", "de", "fr", "it"]}, id="4 languages"),
        pytest.param({"createdAt": None}, id="no time"),
        pytest.param(_images({"image": _blob(9)}), id="no alt"),
        pytest.param(_images(*[{"image": _blob(9), "alt": ""}] * 5), id="5 images"),
        pytest.param(_images({"image": _blob(9), "alt": ""}), id="an unknown blob"),
        pytest.param(_images({"image": _blob(2_000_001), "alt": ""}), id="a large image"),
        pytest.param(_card(**CARD), id="a card"),
        pytest.param(_card(uri=CARD["uri"]), id="a card without a title"),
        pytest.param(_card(**CARD, thumb=_blob(1_000_001)), id="a large thumb"),
        pytest.param({"reply": {"root": {"uri": "at://did:plc:a/b.c.d/3k"}}}, id="a reply without cid"),
        pytest.param({"facets": [FAR]}, id="a facet past the end"),  # which is taken
    ],
)
async def test_the_simulated_one_judges_as_the_real_one_does(
    server: pds.Server, ours: Account, change: Mapping[str, Any]
):
    """The same record gets the same status and the same word from both."""
    await ours.send(new(pictures=()), "compare")
    assert ours.ring.kept
    record = {name: value for name, value in {**RECORD, **change}.items() if value is not None}
    key = record_key(RECORD["createdAt"], str(change), 0)
    told = {"collection": RECORD["$type"], "rkey": key, "record": record, "swapRecord": None}
    real = server.told("com.atproto.repo.putRecord", {**told, "repo": server.did}, ours.ring.kept.access)
    fake = Fake()
    fake.access.add("access-token-0")
    said = fake.answer(
        Request(
            method="POST",
            path="/xrpc/com.atproto.repo.putRecord",
            query="",
            headers={"authorization": "Bearer access-token-0"},
            body=orjson.dumps({**told, "repo": DID}),
        )
    )
    found = real.status_code, real.json().get("error")
    assert (said.status, orjson.loads(said.body).get("error")) == found, real.text
