"""Slack: what it alone wants and says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Post
from distributor.providers.social.slack import Slack
from tests.providers.networks import (
    BANNER,
    BATCH,
    FAULTS,
    NEXT,
    Carrier,
    Described,
    Far,
    Killed,
    Notebook,
    Ring,
    before,
    media,
    opened,
    post,
    published,
)
from tests.simulator.calls import Reply, page, reply
from tests.simulator.networks.slack import CHANNEL, failed
from tests.simulator.networks.slack import Slack as Fake

NETWORK = Described(
    name="slack",
    channel={"account": CHANNEL, "key": "a-secret-token-of-slack"},
    provider=Slack,
    fake=Fake,
)


def plain(text: str = "Only words") -> Post:
    return post(NETWORK.settings(), text=text, pictures=())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failed("invalid_auth"), AccountTrouble),
        (failed("token_revoked"), AccountTrouble),
        (failed("account_inactive"), AccountTrouble),
        (failed("not_in_channel"), AccountTrouble),
        (failed("channel_not_found"), AccountTrouble),
        (failed("is_archived"), AccountTrouble),
        (failed("missing_scope"), AccountTrouble),
        (failed("msg_too_long"), Refused),
        (failed("invalid_blocks"), Refused),
        (failed("rate_limited"), TryLater),
        (failed("team_added_to_org"), TryLater),
        (failed("fatal_error"), Unclear),
        (failed("internal_error"), Unclear),
        (failed("service_unavailable"), Unclear),
        (failed("service_unavailable", status=503), Unclear),
        (failed("a_word_of_next_year"), Unclear),
        (reply(200, {"channel": CHANNEL, "ts": "1.2"}), Unclear),
        (page(200), Unclear),
        (page(502), Unclear),
    ],
)
async def test_a_failure_is_told_in_the_body_whatever_the_status(answer: Reply, error: type[SendError]):
    """Raw calls that never look at `ok` record a lost post as sent: gitroomhq/postiz-app at 74b01ad."""
    far = Far(Fake(), {0: before(answer)})
    async with opened(NETWORK, far) as calls:
        with pytest.raises(SendError) as caught:
            await calls.send(BATCH, plain(), media=media, memory=Notebook())
    assert type(caught.value) is error


@pytest.mark.anyio
async def test_an_unknown_word_is_kept_as_it_came():
    """A person who looks at an unclear post reads what Slack said."""
    far = Far(Fake(), {0: before(failed("a_word_of_next_year"))})
    async with opened(NETWORK, far) as calls:
        with pytest.raises(Unclear, match="a_word_of_next_year"):
            await calls.send(BATCH, plain(), media=media, memory=Notebook())


@pytest.mark.anyio
async def test_a_silent_post_is_found_by_the_key_in_its_metadata():
    """Though the channel went on talking, on more pages than one."""
    far = Far(Fake(), {0: FAULTS["silence after"]})
    async with opened(NETWORK, far) as calls:
        with pytest.raises(Unclear):
            await calls.send(BATCH, plain(), media=media, memory=Notebook())
        [mine] = far.fake.posts
        for number in range(130):
            other = replace(NEXT, key=f"other-{number}")
            await calls.send(other, plain(), media=media, memory=Notebook())
        found = await calls.find(replace(BATCH, called_at=datetime.now(UTC)), plain(), memory=Notebook())
    assert found.id == f"{CHANNEL}/{mine}"
    assert found.url == f"https://news.slack.com/archives/{CHANNEL}/p{mine.replace('.', '')}"


@pytest.mark.anyio
async def test_a_worker_that_finds_a_note_of_an_earlier_call_looks_first():
    """Whoever is killed after the call leaves a note and no receipt; nobody posts a second time."""
    far, notebook = Far(Fake(), {0: FAULTS["killed after"]}), Notebook()
    async with opened(NETWORK, far) as calls:
        with pytest.raises(Killed):
            await calls.send(BATCH, plain(), media=media, memory=notebook)
        receipt = await calls.send(BATCH, plain(), media=media, memory=notebook)
    assert receipt.id
    assert len(far.fake.taken) == 1


@pytest.mark.anyio
async def test_a_call_that_was_refused_leaves_no_note():
    """After a definite no there is nothing to look for, and an app that may not read can go on."""
    fake = Fake()
    fake.has_history = False
    far, notebook = Far(fake, {0: before(fake.words["busy"])}), Notebook()
    async with opened(NETWORK, far) as calls:
        with pytest.raises(TryLater):
            await calls.send(BATCH, plain(), media=media, memory=notebook)
        await calls.send(BATCH, plain(), media=media, memory=notebook)
    assert [one.url.path for one in far.requests[:2]] == ["/api/chat.postMessage"] * 2


@pytest.mark.anyio
async def test_an_app_that_may_not_read_is_told_which_scope_it_lacks():
    """Until a person gives it, a silent post stays unclear and is not repeated."""
    fake = Fake()
    fake.has_history = False
    far, notebook = Far(fake, {0: FAULTS["silence after"]}), Notebook()
    async with opened(NETWORK, far) as calls:
        with pytest.raises(Unclear):
            await calls.send(BATCH, plain(), media=media, memory=notebook)
        with pytest.raises(Unclear, match="channels:history"):
            await calls.send(BATCH, plain(), media=media, memory=notebook)
        with pytest.raises(SendError, match="channels:history"):
            await calls.find(replace(BATCH, called_at=datetime.now(UTC)), plain(), memory=Notebook())
    assert len(fake.taken) == 1


@pytest.mark.anyio
async def test_an_uploaded_picture_may_take_a_moment():
    """Slack knows a file only after a while: slackapi/python-slack-sdk #1521."""
    fake = Fake()
    fake.unready = 3
    carrier = Carrier(NETWORK, Far(fake))
    assert await carrier.carry(post(NETWORK.settings()))
    assert [getattr(told, "after", None) for told in carrier.told] == [2, 4]
    assert len(fake._files) == 1


@pytest.mark.anyio
async def test_a_picture_that_slack_never_knows_is_uploaded_anew():
    """After five looks the upload is forgotten, and made again at once."""
    fake = Fake()
    fake.unready = 6
    carrier = Carrier(NETWORK, Far(fake))
    assert await carrier.carry(post(NETWORK.settings()))
    assert [getattr(told, "after", None) for told in carrier.told] == [2, 4, 8, 16, 0]
    assert len(fake._files) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("base_url", "goes_to"),
    [
        (None, "https://files.slack.com/upload/v1/F000000000"),
        ("https://slack-gov.com", "https://slack-gov.com/upload/v1/F000000000"),
        ("http://127.0.0.1:8000/slack", "http://127.0.0.1:8000/slack/upload/v1/F000000000"),
    ],
)
async def test_a_file_goes_to_slack_itself_and_without_the_token(base_url: str | None, goes_to: str):
    """An address on another server than the configured one is taken as a path below that."""
    far, seen = Far(Fake()), []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        path = request.url.path.removeprefix("/slack")
        return far.transport().handle_request(
            httpx.Request(
                request.method,
                request.url.copy_with(path=path),
                headers=request.headers,
                content=request.content,
            )
        )

    settings = NETWORK.settings(base_url=base_url)
    async with Slack(settings, httpx.MockTransport(answer)).connected(Ring()) as calls:
        await calls.send(BATCH, post(settings), media=media, memory=Notebook())
    [upload] = [one for one in seen if "/upload/" in one.url.path]
    assert str(upload.url) == goes_to
    assert "authorization" not in upload.headers


@pytest.mark.anyio
async def test_a_permalink_that_fails_costs_nothing_but_itself():
    """The post is there; only its address is not known."""
    _, _, whole = await published(NETWORK, plain())
    far = Far(Fake(), {len(whole.requests) - 1: before(failed("message_not_found"))})
    receipt = await Carrier(NETWORK, far).carry(plain())
    assert receipt
    assert receipt.url is None


@pytest.mark.anyio
async def test_all_of_a_thread_hangs_from_its_first_message():
    """An answer's own `ts` must not be used: docs, chat.postMessage; so too for an answer to an answer."""
    what = replace(plain("One"), more=(plain("Two").payload, plain("Three").payload))
    receipt, fake, far = await published(NETWORK, what)
    reply_ = replace(plain("Four"), action="reply", of=receipt)
    fourth = await Carrier(NETWORK, far, batch=NEXT).carry(reply_)
    fifth = replace(plain("Five"), action="reply", of=fourth)
    await Carrier(NETWORK, far, batch=replace(NEXT, key="fifth")).carry(fifth)
    first, *others = fake.posts.values()
    assert {one.more["top"] for one in others} == {first.id}
    assert len(others) == 4


@pytest.mark.anyio
async def test_a_thread_is_corrected_and_deleted_part_by_part():
    """Its parts are all in the receipt; one of another length is refused, so that a person sees it."""
    receipt, fake, far = await published(NETWORK, replace(plain("One"), more=(plain("Two").payload,)))
    edit = replace(plain("Uno"), more=(plain("Due").payload,), action="edit", of=receipt)
    await Carrier(NETWORK, far).carry(edit)
    assert [one.text for one in fake.posts.values()] == ["Uno", "Due"]
    with pytest.raises(Refused):
        await Carrier(NETWORK, far).carry(replace(edit, more=()))
    await Carrier(NETWORK, far).carry(Post(network="slack", text="", action="delete", of=receipt))
    assert fake.posts == {}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "much", [{"text": "a" * 3001}, {"pictures": (replace(BANNER, alt="a" * 2001),)}], ids=["text", "alt"]
)
async def test_what_is_too_long_is_refused(much: Any):
    """3000 characters of a section, and 2000 of an alternative text."""
    with pytest.raises(Refused):
        await published(NETWORK, post(NETWORK.settings(), **much))


@pytest.mark.anyio
async def test_the_key_is_in_the_metadata_and_not_in_the_words():
    """So no reader sees it."""
    _, fake, _ = await published(NETWORK, plain())
    [seen] = fake.posts.values()
    assert seen.more["metadata"]["event_payload"] == {"key": f"{BATCH.key}-0"}
    assert BATCH.key not in seen.text
