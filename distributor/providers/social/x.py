"""X: https://docs.x.com/x-api/posts/creation-of-a-post

X knows no key of ours for a call, but it refuses a text that the account has just posted. So after a silence
the account's own newest posts are read, and so they are when it calls something a duplicate that was tried
before. Reading costs money there ($0.001 a post), which is why nothing is read without need.
"""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import httpx
import orjson
import regex
from oauthlib.oauth1 import Client

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import Keyring, Media, Memory, SocialLimits
from distributor.providers.social.renewing import Renewing
from distributor.providers.social.steps import filled, preparing, uploaded

CLOCKS = timedelta(minutes=2)  # X's may differ from ours by so much


@dataclass(frozen=True, slots=True)
class X:
    """One account, by OAuth 2.0, or by OAuth 1.0a where `key_secret` is set."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # 100 posts in 15 minutes: xdevplatform/docs, rate-limits (read 2026-08-22). After how many seconds a post
    # is in its account's timeline is nowhere said: 30 is a judgement.
    limits = SocialLimits(found_after=timedelta(seconds=30), calls_per_minute=6)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or "https://api.x.com"
        async with http.client(base_url, transport=self.transport) as keys:
            auth = self._auth(keyring, keys)
            async with http.client(base_url, auth=auth, transport=self.transport) as opened:
                yield Calls(opened, self.settings.account.removeprefix("@"))

    def _auth(self, keyring: Keyring, keys: httpx.AsyncClient) -> httpx.Auth:
        if self.settings.key_secret.get_secret_value():
            return Signed(self.settings)
        return Renewing(
            settings=self.settings, keyring=keyring, keys=keys, path="/2/oauth2/token", is_basic=True
        )


class Signed(httpx.Auth):
    """OAuth 1.0a: https://docs.x.com/fundamentals/authentication/oauth-1-0a/creating-a-signature"""

    def __init__(self, settings: Channel) -> None:
        self._client = Client(
            settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
            resource_owner_key=settings.key.get_secret_value(),
            resource_owner_secret=settings.key_secret.get_secret_value(),
        )

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        # Bodies are not signed: ours are JSON or multipart (RFC 5849, 3.4.1.3.1).
        _, headers, _ = self._client.sign(str(request.url), http_method=request.method)
        request.headers["Authorization"] = headers["Authorization"]
        yield request


@dataclass(frozen=True, slots=True)
class Calls:
    """An account, while there are connections to X."""

    _http: httpx.AsyncClient
    _name: str

    async def probe(self) -> None:
        """Whether the key opens the account: https://docs.x.com/x-api/users/get-my-user"""
        await http.get(self._http, "/2/users/me", judge=judge)

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        told = filled(post.payload, await self._pictures(post, media=media, memory=memory))
        is_first = batch.called_at is None and "since" not in memory.known
        await memory.keep(since=memory.known.get("since") or datetime.now(UTC).isoformat())
        answer = await http.post(self._http, "/2/tweets", told, judge=judge, telling=_is_special)
        if _is_duplicate(answer):
            return await self._duplicated(answer, batch, post, memory=memory, is_first=is_first)
        if _is_without_pictures(answer):
            await _forget(answer, post, memory)
        with http.reading(found := http.body(answer)):
            return self._receipt(found["data"])  # type: ignore[index]

    def _receipt(self, post: Any) -> Receipt:
        return Receipt(id=str(post["id"]), url=f"https://x.com/{self._name}/status/{post['id']}")

    async def _pictures(self, post: Post, *, media: Media, memory: Memory) -> dict[str, Any]:
        found = {}
        for picture in post.pictures:
            id_ = await uploaded(memory, picture, lambda: self._upload(picture, media))  # noqa: B023
            if picture.alt and memory.known.get(f"alt {id_}") is None:
                with preparing():
                    await self._describe(id_, picture.alt)
                await memory.keep(**{f"alt {id_}": True})
            found[picture.hash] = id_
        return found

    async def _upload(self, picture: Picture, media: Media) -> str:
        """https://docs.x.com/x-api/media/media-upload; its bytes stay as they are (Postiz PR #1834)"""
        request = self._http.build_request(
            "POST",
            "/2/media/upload",
            files={"media": (picture.name, media(picture), picture.media_type)},
            data={"media_category": "tweet_image"},
        )
        found: Any = http.body(await http.exchange(self._http, request, judge=judge))
        with http.reading(found):
            return str(found["data"]["id"])

    async def _describe(self, id_: str, alt: str) -> None:
        """https://docs.x.com/x-api/media/media-metadata-create"""
        told = {"id": id_, "metadata": {"alt_text": {"text": alt}}}
        await http.post(self._http, "/2/media/metadata", told, judge=judge)

    async def _duplicated(
        self, answer: httpx.Response, batch: Batch, post: Post, *, memory: Memory, is_first: bool
    ) -> Receipt:
        """The post that X means, if an earlier call of ours made it."""
        found = None if is_first else await self.find(batch, post, memory=memory)
        if found is None:
            raise Refused(http.said(answer))
        return found

    async def find(self, batch: Batch, post: Post, *, memory: Memory) -> Receipt | None:
        """Among the account's newest posts, since the first call for this one."""
        since = datetime.fromisoformat(memory.known["since"]) if "since" in memory.known else None
        first = min(at for at in (since, batch.called_at) if at is not None)
        for one in await self._own(first - CLOCKS):
            with http.reading(one):
                if _letters(_written(one)) == _letters(post.payload["text"]):
                    return self._receipt(one)
        return None

    async def _own(self, since: datetime) -> list[Any]:
        """https://docs.x.com/x-api/users/get-posts, newest first"""
        posts: list[Any] = []
        me: Any = await http.get(self._http, "/2/users/me", judge=judge)
        with http.reading(me):
            path = f"/2/users/{me['data']['id']}/tweets"
        asked = {
            "start_time": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tweet.fields": "created_at,entities",
            "exclude": "replies,retweets",
            "max_results": "100",
        }
        while True:
            found: Any = await http.get(self._http, path, asked, judge=judge)
            with http.reading(found):
                posts += found["data"] if found["meta"]["result_count"] else []
                further = found["meta"].get("next_token")
            if not further:
                return posts
            asked["pagination_token"] = further

    async def delete(self, of: Receipt) -> None:
        """https://docs.x.com/x-api/posts/delete-post"""
        request = self._http.build_request("DELETE", f"/2/tweets/{of.id}")
        await http.exchange(
            self._http, request, judge=judge, telling=lambda answer: answer.status_code == 404
        )


async def _forget(answer: httpx.Response, post: Post, memory: Memory) -> None:
    """Its pictures are not there, for X keeps them for a day. Uploaded again they are, or never will be.

    Raises:
        TryLater: they are to be uploaded once more.
        Refused: they were.
    """
    if memory.known.get("uploaded again"):
        raise Refused(http.said(answer))
    pictures: dict[str, Any] = {f"picture {picture.hash}": None for picture in post.pictures}
    await memory.keep(**pictures, **{"uploaded again": True})
    raise TryLater(http.said(answer), after=0)


def _written(post: Any) -> str:
    """A post's text as it was sent: X shortens its addresses, and adds one for its pictures."""
    text = unescape(post["text"])
    for url in (post.get("entities") or {}).get("urls") or ():
        is_picture = url.get("media_key") or regex.search(r"/status/\d+/photo/", url["expanded_url"])
        text = text.replace(url["url"], "" if is_picture else url["expanded_url"])
    return text


def _letters(text: str) -> str:
    """What of a text X keeps: not its spaces, nor the scheme and the slashes of an address."""
    letters: str = regex.sub(r"https?://|[\s\p{Cf}/]+", "", unicodedata.normalize("NFC", text).casefold())
    return letters


# What X says -> what we call it. The first is in akrherz/iembot #163, the second in
# plhery/node-twitter-api-v2 #501 (read 2026-11-23); the others are as developers tell them, unverified.
DUPLICATE = "duplicate content"
NO_PICTURES = "media ids are invalid"
WORDS: Mapping[str, type[SendError]] = {
    "text is too long": Refused,
    "suspended": AccountTrouble,
    "temporarily locked": AccountTrouble,
    "usage-capped": AccountTrouble,  # a month's posts
    "usagecapexceeded": AccountTrouble,
    "spendcapreached": AccountTrouble,  # a month's money
    "creditsdepleted": AccountTrouble,
}


def judge(answer: httpx.Response) -> SendError | None:
    """https://docs.x.com/x-api/fundamentals/response-codes-and-errors"""
    said, status = http.said(answer), answer.status_code
    if 400 <= status < 500:
        words = _words(answer)
        for word, kind in WORDS.items():
            if word in words:
                return kind(said)
    return TryLater(said, after=_reset(answer)) if status == 429 else None


def _words(answer: httpx.Response) -> str:
    """What a failure says itself; it also repeats what it was told, which may say anything."""
    try:
        told = orjson.loads(answer.content)
        parts = [told.get(name) for name in ("title", "detail", "type")]
        parts += [error.get("message") for error in told.get("errors", ())]
    except (AttributeError, TypeError, ValueError):
        return ""
    return " ".join(map(str, parts)).lower()


def _is_special(answer: httpx.Response) -> bool:
    return _is_duplicate(answer) or _is_without_pictures(answer)


def _is_duplicate(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and DUPLICATE in _words(answer)


def _is_without_pictures(answer: httpx.Response) -> bool:
    return answer.status_code == 400 and NO_PICTURES in _words(answer)


def _reset(answer: httpx.Response) -> float | None:
    """Seconds until there are more calls; resets are in seconds since 1970 (docs.x.com, rate-limits)."""
    if (asked := http.retry_after(answer)) is not None:
        return asked
    spent = [
        name
        for name in ("x-user-limit-24hour", "x-app-limit-24hour")
        if answer.headers.get(f"{name}-remaining") == "0"
    ]
    for name in (*spent, "x-rate-limit"):
        reset = answer.headers.get(f"{name}-reset", "")
        if regex.fullmatch(r"[0-9]{9,11}", reset):
            return http.wait(int(reset) - datetime.now(UTC).timestamp())
    return None
