"""Facebook pages: https://developers.facebook.com/docs/pages-api/posts

Facebook knows no key of ours for a call, but it refuses what the page has just said. So after a silence the
page's own newest posts are read, and so they are when it calls something a duplicate that was tried before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from distributor.config import Channel
from distributor.errors import Refused, TryLater
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import Keyring, Media, Memory, SocialLimits
from distributor.providers.social import graph
from distributor.providers.social.steps import filled, uploaded

KEPT = timedelta(hours=20)  # an unpublished photo; Facebook keeps it for about a day


@dataclass(frozen=True, slots=True)
class Facebook:
    """One page, with a key of its own."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # After how many seconds a post is listed is nowhere said: 30 is a judgement.
    limits = SocialLimits(found_after=timedelta(seconds=30))

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or "https://graph.facebook.com"
        headers = {"Authorization": f"Bearer {self.settings.key.get_secret_value()}"}
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened, f"/{self.settings.version or graph.VERSION}", self.settings.account)


@dataclass(frozen=True, slots=True)
class Calls:
    """A page, while there are connections to Facebook."""

    _http: httpx.AsyncClient
    _root: str
    _page: str

    async def probe(self) -> None:
        """Whether the key opens the account: https://developers.facebook.com/docs/graph-api/reference/page/"""
        await http.get(self._http, f"{self._root}/{self._page}", {"fields": "name"}, judge=graph.judge)

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        told = filled(post.payload, await self._pictures(post, media=media, memory=memory))
        is_first = batch.called_at is None and "since" not in memory.known
        await memory.keep(since=memory.known.get("since") or datetime.now(UTC).isoformat())
        path = f"{self._root}/{self._page}/feed"
        answer = await http.post(self._http, path, told, judge=graph.judge, telling=_is_special)
        if _is_duplicate(answer):
            return await self._duplicated(answer, batch, post, memory=memory, is_first=is_first)
        if _is_invalid(answer):
            await _forget(answer, post, memory)
        found: Any = http.body(answer)
        with http.reading(found):
            return _receipt(str(found["id"]))

    async def _pictures(self, post: Post, *, media: Media, memory: Memory) -> dict[str, str]:
        found = {}
        for picture in post.pictures:
            name = f"picture {picture.hash}"
            if _is_old(memory.known.get(name)):
                await memory.keep(**{name: None})
            photo = await uploaded(memory, picture, lambda: self._upload(picture, media))  # noqa: B023
            found[picture.hash] = str(photo["id"])
        return found

    async def _upload(self, picture: Picture, media: Media) -> dict[str, str]:
        """https://developers.facebook.com/docs/graph-api/reference/page/photos/#upload"""
        request = self._http.build_request(
            "POST",
            f"{self._root}/{self._page}/photos",
            files={"source": (picture.name, media(picture), picture.media_type)},
            data={"published": "false"} | ({"alt_text_custom": picture.alt} if picture.alt else {}),
        )
        found: Any = http.body(await http.exchange(self._http, request, judge=graph.judge))
        with http.reading(found):
            return {"id": str(found["id"]), "at": datetime.now(UTC).isoformat()}

    async def _duplicated(
        self, answer: httpx.Response, batch: Batch, post: Post, *, memory: Memory, is_first: bool
    ) -> Receipt:
        """The post that Facebook means, if an earlier call of ours made it."""
        found = None if is_first else await self.find(batch, post, memory=memory)
        if found is None:
            raise Refused(f"a duplicate of another post: {graph.said(answer)}")
        return found

    async def find(self, batch: Batch, post: Post, *, memory: Memory) -> Receipt | None:
        """Among the page's own posts, since the first call for this one."""
        since = datetime.fromisoformat(memory.known["since"]) if "since" in memory.known else None
        first = min(at for at in (since, batch.called_at) if at is not None)
        async for one in self._own(first - graph.CLOCKS):
            with http.reading(one):
                is_since = datetime.fromisoformat(one["created_time"]) >= first - graph.CLOCKS
                words = graph.letters(one.get("message") or "")
                if is_since and words == graph.letters(post.payload["message"]):
                    return _receipt(str(one["id"]), one.get("permalink_url"))
        return None

    async def _own(self, since: datetime) -> AsyncIterator[Any]:
        """https://developers.facebook.com/docs/graph-api/reference/page/published_posts

        Not `/feed`, where other people's posts are as well, and which asks for one more permission.
        """
        asked = {
            "fields": "id,message,created_time,permalink_url",
            "since": str(int(since.timestamp())),
            "limit": "100",
        }
        while True:
            path = f"{self._root}/{self._page}/published_posts"
            found: Any = await http.get(self._http, path, asked, judge=graph.judge)
            with http.reading(found):
                posts = list(found["data"])
                # `next` would be the whole address, with the key in it.
                paging = found.get("paging") or {}
                after = paging["cursors"]["after"] if "next" in paging else None
            for one in posts:
                yield one
            if not after or not posts:
                return
            asked["after"] = after

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """Change the words; pictures and the card stay: docs/pages-api/posts#update-a-post"""
        request = self._http.build_request(
            "POST", f"{self._root}/{of.id}", json={"message": post.payload["message"]}
        )
        answer = await http.exchange(self._http, request, judge=graph.judge, telling=graph.is_not_there)
        if graph.is_not_there(answer):
            raise Refused(f"the post is gone: {graph.said(answer)}")
        return of

    async def delete(self, of: Receipt) -> None:
        """https://developers.facebook.com/docs/pages-api/posts#delete-a-post"""
        await graph.delete(self._http, f"{self._root}/{of.id}", judge=graph.judge)


async def _forget(answer: httpx.Response, post: Post, memory: Memory) -> None:
    """Something in the call is not valid, perhaps because its photos are gone: they are uploaded once more.

    Raises:
        TryLater: they are to be uploaded once more.
        Refused: there are none, or they were.
    """
    if not post.pictures or memory.known.get("uploaded again"):
        raise Refused(graph.said(answer))
    pictures: dict[str, Any] = {f"picture {picture.hash}": None for picture in post.pictures}
    await memory.keep(**pictures, **{"uploaded again": True})
    raise TryLater(graph.said(answer), after=0)


def _is_old(photo: Any) -> bool:
    return photo is not None and datetime.now(UTC) - datetime.fromisoformat(photo["at"]) > KEPT


def _receipt(id_: str, url: str | None = None) -> Receipt:
    return Receipt(id=id_, url=url or f"https://www.facebook.com/{id_}")


def _is_special(answer: httpx.Response) -> bool:
    return _is_duplicate(answer) or _is_invalid(answer)


def _is_duplicate(answer: httpx.Response) -> bool:
    """506, or a block (368) whose words say that much: arsduo/koala #422."""
    found = graph.failure(answer)
    return found is not None and (
        found.code == 506 or (found.code == 368 and "already posted" in found.message.lower())
    )


def _is_invalid(answer: httpx.Response) -> bool:
    found = graph.failure(answer)
    return found is not None and found.code == 100 and not graph.is_not_there(answer)
