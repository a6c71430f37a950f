"""X: what it alone wants and says."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx
import orjson
import pytest

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Post
from distributor.providers.protocol import Credentials
from distributor.providers.social.x import X
from tests.providers.described import faults
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
from tests.simulator.networks.network import Network, Posted
from tests.simulator.networks.x import X as Fake
from tests.simulator.networks.x import invalid, problem

NETWORK = Described(
    name="x",
    channel={
        "account": "@news",
        "key": "a-first-key-of-x",
        "client_id": "the-app-of-the-news",
        "client_secret": "a-secret-of-the-app",
        "refresh_key": "a-second-key-of-x",
    },
    provider=X,
    fake=Fake,
)
WITHOUT = post(NETWORK.settings(), pictures=())


async def sent(far: Far, what: Post = WITHOUT, *, notes: Notebook | None = None, **more: Any) -> Any:
    async with opened(NETWORK, far) as calls:
        batch = replace(BATCH, **more)
        return await calls.send(batch, what, media=media, memory=notes or Notebook())


async def found(fake: Network, what: Post = WITHOUT) -> Any:
    async with opened(NETWORK, Far(fake)) as calls:
        return await calls.find(replace(BATCH, called_at=datetime.now(UTC)), what, memory=Notebook())


def shown(fake: Fake, text: str, *, at: datetime | None = None) -> Posted:
    """A post that is there already."""
    made = (at or datetime.now(UTC)).isoformat(timespec="milliseconds")
    one = Posted(id=str(7_000_000 + len(fake.posts)), text=text, more={"at": made})
    fake.posts[one.id] = one
    return one


@pytest.mark.anyio
async def test_every_request_is_as_x_describes_it(specs: Path, tmp_path: Path):
    """No member that X does not name, and none in another form."""
    description = orjson.loads((specs / "x.api.v2.json").read_bytes())
    del description["components"]["securitySchemes"]  # one of them openapi-core does not know
    for operations in description["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    (tmp_path / "x.json").write_bytes(orjson.dumps(description))
    receipt, fake, far = await published(NETWORK, post(NETWORK.settings(), pictures=(BANNER, CODE)))
    async with opened(NETWORK, far) as calls:
        await calls.delete(receipt)
    await found(fake)
    told = [one for one in far.requests if one.method == "POST"]
    assert [one.url.path for one in told] == [
        "/2/media/upload",
        "/2/media/metadata",
        "/2/media/upload",
        "/2/media/metadata",
        "/2/tweets",
    ]
    for request in far.requests:
        if request.url.path != "/2/users/1/tweets":  # which the description lacks
            request.headers.setdefault("content-type", "application/json")
            assert faults(tmp_path / "x.json", request) == [], request.url.path


@pytest.mark.anyio
async def test_the_receipt_leads_to_the_post():
    """Its address has the account's name without the sign."""
    receipt, fake, _ = await published(NETWORK)
    assert receipt.id in fake.posts
    assert receipt.url == f"https://x.com/news/status/{receipt.id}"


@pytest.mark.anyio
async def test_its_address_is_never_taken_out_of_a_post():
    """Postiz #1939: a post says what was written, with the campaign parameters of its link."""
    text = f"The ferry sails again {LINK}?utm_source=x&utm_medium=social"
    _, fake, _ = await published(NETWORK, post(NETWORK.settings(), text=text, pictures=()))
    [seen] = fake.posts.values()
    assert seen.text == text


@pytest.mark.anyio
async def test_pictures_are_uploaded_as_what_they_are():
    """Postiz PR #1834: X refused pictures that were GIFs under another name."""
    _, _, far = await published(NETWORK)
    [upload] = [one for one in far.requests if one.url.path == "/2/media/upload"]
    assert b"Content-Type: image/jpeg" in upload.content
    assert FILES[BANNER.hash] in upload.content


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(403, "Forbidden", "Your Tweet text is too long."), Refused),
        (problem(403, "Forbidden", "You are not permitted to perform this action."), AccountTrouble),
        (
            problem(403, "Forbidden", "Your account is suspended and is not permitted to do this."),
            AccountTrouble,
        ),
        (problem(402, "CreditsDepleted", "Your account has no credits for this request."), AccountTrouble),
        (problem(403, "SpendCapReached", "Your account has reached its spend cap."), AccountTrouble),
        (problem(429, "UsageCapExceeded", "Usage cap exceeded: Monthly product cap"), AccountTrouble),
        (problem(429, "Too Many Requests", "Too Many Requests"), TryLater),
        (problem(503, "Service Unavailable", "Service Unavailable"), TryLater),
        (problem(500, "Internal Error", "Internal Error"), Unclear),
        (invalid("$.media.media_ids: a string is too long"), Refused),
        (page(502), Unclear),
        (reply(200, {"errors": [{"title": "a surprise"}]}), Unclear),
    ],
)
async def test_its_answers_say_what_to_do_next(answer: Reply, error: type[SendError]):
    """A text too long is final, money and suspension are for a person, a broken gateway is silence."""
    with pytest.raises(error) as caught:
        await sent(Far(Fake(), {0: before(answer)}))
    assert type(caught.value) is error


@pytest.mark.anyio
async def test_what_a_failure_repeats_of_a_post_says_nothing_about_the_account():
    """X gives the refused text back; an article about a suspended ferry suspends nobody."""
    told = {
        "errors": [{"parameters": {"text": ["The ferry is suspended"]}, "message": "no"}],
        "title": "Invalid",
    }
    with pytest.raises(Refused):
        await sent(Far(Fake(), {0: before(reply(400, told))}))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "{now+600}"}, 600),
        (
            {
                "x-rate-limit-reset": "{now+600}",
                "x-app-limit-24hour-remaining": "0",
                "x-app-limit-24hour-reset": "{now+9000}",
            },
            9000,
        ),
        ({"Retry-After": "30", "x-rate-limit-reset": "{now+600}"}, 30),
        ({"x-rate-limit-reset": "soon"}, None),
    ],
)
async def test_a_limit_is_kept_to_until_it_ends(headers: dict[str, str], seconds: int | None):
    """Resets are in seconds since 1970, and a day's limit goes before a quarter of an hour's."""
    ends = {
        name: re.sub(r"{now\+(\d+)}", lambda match: str(int(time()) + int(match[1])), value)
        for name, value in headers.items()
    }
    busy = problem(429, "Too Many Requests", "Too Many Requests", **ends)
    with pytest.raises(TryLater) as caught:
        await sent(Far(Fake(), {0: before(busy)}))
    assert caught.value.after == (pytest.approx(seconds, abs=3) if seconds else None)


@pytest.mark.anyio
async def test_a_text_that_is_too_long_is_never_taken():
    """280, where an ideograph counts two."""
    with pytest.raises(Refused):
        await sent(Far(Fake()), post(NETWORK.settings(), text="渡" * 141, pictures=()))


@pytest.mark.anyio
async def test_a_duplicate_of_an_earlier_call_is_the_post_itself():
    """The timeline lagged behind and the post was sent again: X knew it, and so do we."""
    fake, notes = Fake(), Notebook()
    first = await sent(Far(fake), notes=notes)
    again = await sent(Far(fake), notes=notes)
    assert again == first
    assert len(fake.taken) == 1


@pytest.mark.anyio
async def test_a_duplicate_of_somebody_elses_post_is_refused():
    """It was there before our first call; nobody is told that ours went out."""
    fake = Fake()
    shown(fake, TEXT, at=datetime.now(UTC) - timedelta(hours=1))
    far = Far(fake)
    with pytest.raises(Refused, match="duplicate"):
        await sent(far)
    assert [one.url.path for one in far.requests] == ["/2/tweets"]  # reading costs money
    notes = Notebook(since=datetime.now(UTC).isoformat())
    with pytest.raises(Refused, match="duplicate"):
        await sent(Far(fake), notes=notes, called_at=datetime.now(UTC))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "Ships & <b>boats</b> &amp; more: see news.example and https://news.example/a?b=1&copy=2",
        "Cafe\N{COMBINING ACUTE ACCENT} opens \N{BLACK HEART SUIT}\N{VARIATION SELECTOR-16}\n\n\nnow",
    ],
)
async def test_a_post_is_found_whatever_x_made_of_its_text(text: str):
    """Addresses are shortened, three characters escaped, and pictures add an address of their own."""
    what = post(NETWORK.settings(), text=text)
    far = Far(Fake(), {2: FAULTS["silence after"]})
    receipt = await Carrier(NETWORK, far).carry(what)
    assert receipt
    assert [receipt.id] == list(far.fake.posts)
    assert [one.url.path for one in far.requests].count("/2/tweets") == 1


@pytest.mark.anyio
async def test_a_post_of_the_same_words_with_another_link_is_not_this_one():
    """ "Weekly notes" of last week and of this one differ in their addresses alone."""
    fake = Fake()
    shown(fake, TEXT.replace("the-ferry", "the-other-ferry"))
    assert await found(fake) is None
    own = shown(fake, TEXT)
    assert (await found(fake)).id == own.id


@pytest.mark.anyio
async def test_a_post_is_found_behind_a_hundred_newer_ones():
    """The timeline is read to the time of the call, page by page."""
    fake = Fake()
    own = shown(fake, TEXT)
    for number in range(250):
        shown(fake, f"Result of race {number}")
    assert (await found(fake)).id == own.id


@pytest.mark.anyio
async def test_an_answer_without_a_timeline_is_no_empty_timeline():
    """Only X's own count of nothing means that nothing is there."""
    far = Far(Fake(), {1: before(reply(200, {"errors": [{"title": "Not now"}]}))})
    async with opened(NETWORK, far) as calls:
        with pytest.raises(Unclear):
            await calls.find(replace(BATCH, called_at=datetime.now(UTC)), WITHOUT, memory=Notebook())


@pytest.mark.anyio
async def test_pictures_that_are_gone_are_uploaded_once_more():
    """X keeps an upload for a day; one that it still does not know then is never taken."""
    fake, notes = Fake(), Notebook()
    what = post(NETWORK.settings())
    notes.known[f"picture {BANNER.hash}"] = "42"
    notes.known["alt 42"] = True
    with pytest.raises(TryLater) as caught:
        await sent(Far(fake), what, notes=notes)
    assert caught.value.after == 0
    notes.known["since"] = datetime.now(UTC).isoformat()
    assert await sent(Far(fake), what, notes=notes)
    [seen] = fake.posts.values()
    assert seen.pictures == [(FILES[BANNER.hash], BANNER.alt)]

    fake.posts.clear()
    notes.known[f"picture {BANNER.hash}"] = "42"
    with pytest.raises(Refused):
        await sent(Far(fake), what, notes=notes)


@pytest.mark.anyio
async def test_a_picture_is_not_uploaded_again_for_its_words():
    """The call for the alternative text was lost; the picture was not."""
    far = Far(Fake(), {1: FAULTS["502 before"]})
    await Carrier(NETWORK, far).carry(post(NETWORK.settings()))
    assert [one.url.path for one in far.requests].count("/2/media/upload") == 1
    [seen] = far.fake.posts.values()
    assert [alt for _, alt in seen.pictures] == [BANNER.alt]


# Keys


@pytest.mark.anyio
async def test_a_key_that_ended_is_renewed_once_for_all_posts():
    """It lasts two hours. The new one is kept, and the second key, which X changes each time, as well."""
    fake, ring = Fake(), Ring()
    fake.ended.add("a-first-key-of-x")
    far = Far(fake)
    for text in ("One", "Two"):
        async with NETWORK.provider(NETWORK.settings(), far.transport()).connected(ring) as calls:
            what = post(NETWORK.settings(), text=text, pictures=())
            assert await calls.send(BATCH, what, media=media, memory=Notebook())
    assert ring.made == 1
    assert ring.kept == Credentials(access="first-key-1", refresh="second-key-1")
    [renewal] = [one for one in far.requests if one.url.path == "/2/oauth2/token"]
    basic = b64encode(b"the-app-of-the-news:a-secret-of-the-app").decode()
    assert renewal.headers["Authorization"] == f"Basic {basic}"
    assert dict(parse_qsl(renewal.content.decode())) == {
        "grant_type": "refresh_token",
        "refresh_token": "a-second-key-of-x",
        "client_id": "the-app-of-the-news",
    }


@pytest.mark.anyio
async def test_a_picture_survives_the_renewal():
    """The upload that met the ended key is repeated whole."""
    fake = Fake()
    fake.ended.add("a-first-key-of-x")
    far = Far(fake)
    assert await Carrier(NETWORK, far).carry(post(NETWORK.settings()))
    [seen] = fake.posts.values()
    assert [data for data, _ in seen.pictures] == [FILES[BANNER.hash]]


@pytest.mark.anyio
async def test_a_second_key_that_ended_is_for_a_person():
    """The app has to be authorized again; neither key is in what is said about it."""
    fake = Fake()
    fake.ended.add("a-first-key-of-x")
    fake.refresh = "another"
    with pytest.raises(AccountTrouble, match="authorize the app again") as caught:
        await sent(Far(fake))
    assert "key-of-x" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault", ["silence before", "502 before", "503", "no connection", "a page instead of an answer"]
)
async def test_a_renewal_that_fails_for_a_moment_disconnects_nobody(fault: str):
    """Postiz PR #1822: it is tried again later, and the account is not in trouble."""
    fake = Fake()
    fake.ended.add("a-first-key-of-x")
    with pytest.raises(TryLater) as caught:
        await sent(Far(fake, {1: FAULTS[fault]}))
    assert not isinstance(caught.value, AccountTrouble)
    assert fake.posts == {}


@pytest.mark.anyio
async def test_a_renewal_without_a_second_key_keeps_the_old_one():
    """Postiz PR #1884 lost it, and people had to connect their accounts every day."""
    fake, ring = Fake(), Ring(Credentials(access="old", refresh="kept"))
    fake.ended.add("old")
    far = Far(fake, {1: before(reply(200, {"access_token": "new"}))})
    async with NETWORK.provider(NETWORK.settings(), far.transport()).connected(ring) as calls:
        await calls.send(BATCH, WITHOUT, media=media, memory=Notebook())
    assert ring.kept == Credentials(access="new", refresh="kept")


@pytest.mark.anyio
async def test_new_keys_are_in_no_error():
    """An answer that cannot be read is not repeated in the reason, for it is made of secrets."""
    fake = Fake()
    fake.ended.add("a-first-key-of-x")
    broken = reply(200, {"tokens": {"access_token": "a-new-secret"}})
    with pytest.raises(TryLater) as caught:
        await sent(Far(fake, {1: before(broken)}))
    assert "a-new-secret" not in repr(caught.value)
    assert "a-new-secret" not in repr(caught.value.__cause__)


@pytest.mark.anyio
async def test_without_a_second_key_nothing_is_renewed():
    """A key alone works until it ends, and then a person is asked."""
    fake = Fake()
    fake.ended.add("a-first-key-of-x")
    far = Far(fake)
    async with opened(NETWORK, far, refresh_key="") as calls:
        with pytest.raises(AccountTrouble):
            await calls.send(BATCH, WITHOUT, media=media, memory=Notebook())
    assert len(far.requests) == 1


@pytest.mark.anyio
async def test_oauth_1_signs_every_call():
    """The signature is what RFC 5849 makes of the method, the address, its query and both secrets."""
    keys = {
        "key": "1-token",
        "key_secret": "a-token-secret",
        "client_id": "app",
        "client_secret": "an-app-secret",
    }
    far = Far(Fake(), {2: FAULTS["silence after"]})
    settings = NETWORK.settings(**keys, refresh_key="")
    assert await Carrier(NETWORK, far, channel=settings).carry(post(settings))
    assert [one.method for one in far.requests] == ["POST", "POST", "POST", "GET", "GET"]
    for request in far.requests:
        header = request.headers["Authorization"]
        assert header.startswith("OAuth ")
        assert "secret" not in header
        given = dict(re.findall(r'(oauth_\w+)="([^"]*)"', header))
        assert given.pop("oauth_signature") == quote(_signature(request, given), safe="")


def _signature(request: httpx.Request, given: dict[str, str]) -> str:
    """https://docs.x.com/fundamentals/authentication/oauth-1-0a/creating-a-signature, by hand"""
    pairs = [*given.items()]
    pairs += [(_percent(name), _percent(value)) for name, value in parse_qsl(request.url.query.decode())]
    parameters = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    base = "&".join(
        (request.method, _percent(f"https://{request.url.host}{request.url.path}"), _percent(parameters))
    )
    digest = hmac.new(b"an-app-secret&a-token-secret", base.encode(), hashlib.sha1).digest()
    return b64encode(digest).decode()


def _percent(value: str) -> str:
    return quote(value, safe="")


@pytest.mark.anyio
async def test_another_address_can_stand_for_x():
    """With `base_url`, keys are renewed there too."""
    fake = Fake()
    fake.ended.add("a-first-key-of-x")
    far = Far(fake)
    async with opened(NETWORK, far, base_url="http://127.0.0.1:8025") as calls:
        await calls.send(BATCH, WITHOUT, media=media, memory=Notebook())
    assert {one.url.host for one in far.requests} == {"127.0.0.1"}


@pytest.mark.anyio
async def test_a_post_that_somebody_took_from_us_is_not_sent():
    """What is noted before the call is also the fence."""

    class Taken(Notebook):
        async def keep(self, **values: Any) -> None:
            raise TryLater("others took it over", after=0)

    far = Far(Fake())
    with pytest.raises(TryLater):
        await sent(far, notes=Taken())
    assert far.requests == []
