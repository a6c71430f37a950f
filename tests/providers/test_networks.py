"""The contract of every network: one post, once, whatever happens on the way, and back again."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

import pytest

from distributor.errors import AccountTrouble, Refused, SendError, TryLater
from distributor.model import Picture, Post
from distributor.vendors import NETWORKS
from tests.providers.networks import (
    BANNER,
    CODE,
    FAULTS,
    FILES,
    MEDIA_URL,
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
from tests.simulator.calls import Reply

BUILT = sorted(name for name in NETWORKS if find_spec(f"tests.providers.test_{name}"))


@pytest.fixture(params=BUILT)
def described(request: pytest.FixtureRequest) -> Described:
    """Every network that can be configured, as its own test module describes it."""
    found: Described = import_module(f"tests.providers.test_{request.param}").NETWORK
    return found


@pytest.mark.anyio
async def test_a_post_can_be_seen_as_it_was_meant(described: Described):
    """Its words, its picture and the picture's alternative text arrive unchanged; the receipt names it."""
    receipt, fake, _ = await published(described)
    [seen] = fake.posts.values()
    assert seen.text.startswith(TEXT.partition("\n")[0])
    assert [data for data, _ in seen.pictures] == [_as_seen(described, BANNER)]
    if described.name != "telegram":  # which has no place for it
        assert [alt for _, alt in seen.pictures] == [BANNER.alt]
    assert receipt.id
    assert receipt.url is None or receipt.url.startswith("https://")


@pytest.mark.anyio
async def test_two_pictures_go_in_their_order(described: Described):
    """A banner and a QR code are both there."""
    if described.name == "instagram":
        pytest.skip("its carousel takes pictures of one format, which rendering sees to")
    _, fake, _ = await published(described, post(described.settings(), pictures=(BANNER, CODE)))
    [seen] = fake.posts.values()
    assert [data for data, _ in seen.pictures] == [_as_seen(described, one) for one in (BANNER, CODE)]


def _as_seen(described: Described, picture: Picture) -> bytes:
    """Its bytes; of a network that fetches pictures itself, the address that it was told."""
    if NETWORKS[described.name].fetches:
        return f"{MEDIA_URL}/{picture.name}".encode()
    return FILES[picture.hash]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_spoilt_call_never_makes_a_second_post(described: Described, fault: str):
    """Whichever call is spoilt, and however: in the end it is there once, or shown as unclear."""
    _, _, whole = await published(described)
    for number in range(len(whole.requests)):
        await _once_though(described, {number: FAULTS[fault]})


@pytest.mark.anyio
async def test_two_spoilt_calls_never_make_a_second_post(described: Described):
    """The call that makes it visible meets one fault, and what comes then meets another."""
    _, fake, whole = await published(described)
    calls = [fake.makes_visible(one.method, one.url.path) for one in whole.requests]
    number = calls.index(True)
    for first in FAULTS.values():
        for second in FAULTS.values():
            await _once_though(described, {number: first, number + 1: second})


async def _once_though(described: Described, spoil: dict[int, Fault]) -> None:
    far = Far(described.fake(), spoil)
    carrier = Carrier(described, far)
    what = post(described.settings())
    try:
        receipt = await carrier.carry(what)
    except SendError as error:
        raise AssertionError(f"{spoil}: {error!r}") from error
    assert len(far.fake.taken) <= 1, spoil
    if receipt is None:  # unclear: a person looks; it may be there or not
        assert described.provider(described.settings(), far.transport()).limits.repeatable_for is None
    else:
        assert len(far.fake.posts) == 1, spoil


@pytest.mark.anyio
async def test_a_wrong_key_waits_for_a_person(described: Described):
    """The account is in trouble, not the post; and the key is not in what is said about it."""
    fake = described.fake()
    far = Far(fake, dict.fromkeys(range(40), before(fake.words["unauthorized"])))
    carrier = Carrier(described, far)
    with pytest.raises(AccountTrouble) as caught:
        await carrier.carry(post(described.settings()), attempts=1)
    for value in described.channel.values():
        assert (
            len(str(value)) < 8
            or value == described.channel["account"]
            or str(value) not in str(caught.value)
        )


@pytest.mark.anyio
async def test_a_network_that_is_busy_is_left_alone_for_a_while(described: Described):
    """What it says of when to come back is kept to."""
    fake = described.fake()
    far = Far(fake, {0: before(Reply(status=503, headers={"Retry-After": "77"}))})
    with pytest.raises(TryLater) as caught:
        await Carrier(described, far).carry(post(described.settings()), attempts=1)
    assert caught.value.after == 77


@pytest.mark.anyio
async def test_a_post_is_taken_back_once_and_for_all(described: Described):
    """Deleting what is not there is no failure; a network that lets nobody delete says so."""
    receipt, fake, far = await published(described)
    gone = Post(network=described.name, text="", action="delete", of=receipt)
    carrier = Carrier(described, far)
    if not NETWORKS[described.name].deletes:
        with pytest.raises(Refused):
            await carrier.carry(gone)
        return
    await carrier.carry(gone)
    assert fake.posts == {}
    await carrier.carry(gone)


@pytest.mark.anyio
async def test_a_correction_changes_the_post_where_it_stands(described: Described):
    """Edited twice is edited once; a network without edits says so."""
    receipt, fake, far = await published(described)
    better = post(described.settings(), text=TEXT.replace("two", "three"))
    carrier = Carrier(described, far)
    edit = replace(better, action="edit", of=receipt)
    if not NETWORKS[described.name].edits:
        with pytest.raises(Refused):
            await carrier.carry(edit)
        return
    for _ in range(2):
        again = await carrier.carry(edit)
        assert again
        assert again.id
    [seen] = fake.posts.values()
    assert "three" in seen.text
    assert len(fake.taken) == 1


@pytest.mark.anyio
async def test_a_reply_stands_below_its_post(described: Described):
    """Where the network has replies."""
    if not NETWORKS[described.name].replies:
        pytest.skip("a program cannot reply there")
    receipt, fake, far = await published(described)
    reply = post(described.settings(), text="A correction: three weeks.", pictures=())
    await Carrier(described, far, batch=NEXT).carry(replace(reply, action="reply", of=receipt))
    first, second = fake.posts.values()
    assert second.answers == first.id
    assert "three weeks" in second.text


@pytest.mark.anyio
async def test_a_thread_is_changed_and_taken_back_whole(described: Described):
    """Where the network has replies: each part is changed where it stands, and none stays behind."""
    network = NETWORKS[described.name]
    if not network.replies:
        pytest.skip("a program cannot reply there")
    what = threaded(described, "Part 2", "Part 3")
    receipt, fake, far = await published(described, what)
    if network.edits:
        better = threaded(described, "Part 2", "Part three")
        changed = await Carrier(described, far).carry(replace(better, action="edit", of=receipt))
        assert changed
        receipt = changed
        assert ["three" in one.text for one in fake.posts.values()] == [False, False, True]
    await Carrier(described, far).carry(replace(what, action="delete", of=receipt))
    assert fake.posts == {}


def threaded(described: Described, *texts: str) -> Post:
    parts = [post(described.settings(), text=text, pictures=()) for text in texts]
    return replace(post(described.settings()), more=tuple(part.payload for part in parts))


@pytest.mark.anyio
async def test_a_thread_hangs_together(described: Described):
    """Its further parts answer the one before, each once, though the worker dies between them."""
    if not NETWORKS[described.name].replies:
        pytest.skip("a program cannot reply there")
    what = threaded(described, "Part 2", "Part 3")
    _, _, whole = await published(described, what)
    for number in range(len(whole.requests)):
        for name in ("killed after", "silence after", "502 before"):
            far = Far(described.fake(), {number: FAULTS[name]})
            receipt = await Carrier(described, far).carry(what)
            if receipt is None:
                continue  # unclear
            seen = list(far.fake.posts.values())
            assert len(seen) == 3, (number, name)
            assert [one.answers for one in seen] == [None, seen[0].id, seen[1].id], (number, name)
