"""Mastodon, and servers that speak its API: https://docs.joinmastodon.org/methods/statuses/

A repeated Idempotency-Key makes no second status for an hour (docs, statuses#create). Other servers of the
same API (snac2, Takahe; seen 2026-11) take no notice of it, so after a silence the account's own newest
statuses are read first, wherever it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import anyio
import httpx
import orjson
import regex

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import Keyring, Media, Memory, SocialLimits
from distributor.providers.social.steps import filled, preparing, uploaded

PROCESSING = 30  # looks, a second apart, whether an uploaded picture is ready
CLOCKS = timedelta(minutes=2)  # a server's may differ from ours by so much


@dataclass(frozen=True, slots=True)
class Mastodon:
    """One account: `account` names it and its server, unless `base_url` does."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # 300 calls in five minutes: https://docs.joinmastodon.org/api/rate-limits/ (read 2026-08-19)
    limits = SocialLimits(found_after=timedelta(seconds=15), calls_per_minute=60)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        server = self.settings.account.rpartition("@")[2]
        headers = {"Authorization": f"Bearer {self.settings.key.get_secret_value()}"}
        base_url = self.settings.base_url or f"https://{server}"
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened)


@dataclass(frozen=True, slots=True)
class Calls:
    """An account, while there are connections to its server."""

    _http: httpx.AsyncClient

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        above = post.of.id if post.of and post.action == "reply" else None
        for number, payload in enumerate((post.payload, *post.more)):
            receipt = await self._part(batch, number, payload, above, post, media=media, memory=memory)
            above = receipt["id"]
        return Receipt(**memory.known["part 0"])

    async def _part(
        self,
        batch: Batch,
        number: int,
        payload: Any,
        above: str | None,
        post: Post,
        *,
        media: Media,
        memory: Memory,
    ) -> Any:
        """Publish one part of a thread, unless that was noted; its receipt."""
        name = f"part {number}"
        if name not in memory.known:
            told = filled(payload, await self._pictures(post, media=media, memory=memory))
            if above:
                told["in_reply_to_id"] = above
            headers = {"Idempotency-Key": f"{batch.key}-{number}"}
            answer = await http.post(self._http, "/api/v1/statuses", told, headers=headers, judge=judge)
            with http.reading(found := http.body(answer)):
                receipt = receipt_of(found)
            await memory.keep(**{name: receipt})
        return memory.known[name]

    async def _pictures(self, post: Post, *, media: Media, memory: Memory) -> dict[str, Any]:
        found = {}
        for picture in post.pictures:
            found[picture.hash] = await uploaded(memory, picture, lambda: self._upload(picture, media))  # noqa: B023
        return found

    async def _upload(self, picture: Picture, media: Media) -> str:
        """https://docs.joinmastodon.org/methods/media/#v2"""
        file = (picture.name, media(picture), picture.media_type)
        request = self._http.build_request(
            "POST", "/api/v2/media", files={"file": file}, data={"description": picture.alt}
        )
        answer = await http.exchange(self._http, request, judge=judge)
        found: Any = http.body(answer)
        id_ = ""
        with http.reading(found):
            id_ = str(found["id"])
        if answer.status_code == 202:
            await self._until_ready(id_)
        return id_

    async def _until_ready(self, id_: str) -> None:
        """https://docs.joinmastodon.org/methods/media/#get: 206 while it is being processed"""
        for _ in range(PROCESSING):
            request = self._http.build_request("GET", f"/api/v1/media/{id_}")
            if (await http.exchange(self._http, request, judge=judge)).status_code == 200:
                return
            await anyio.sleep(1)
        raise TryLater("a picture has not been processed for half a minute")

    async def find(self, batch: Batch, post: Post, *, memory: Memory) -> Receipt | None:
        """Among the account's newest statuses since the call; of a thread, the first part that is missing."""
        for number, payload in enumerate((post.payload, *post.more)):
            if f"part {number}" in memory.known:
                continue
            found = await self._status(batch, payload["status"])
            if found is None or number < len(post.more):
                return None
            return Receipt(**memory.known["part 0"]) if number else Receipt(**found)
        return Receipt(**memory.known["part 0"])

    async def _status(self, batch: Batch, text: str) -> dict[str, Any] | None:
        """The receipt of a status of ours that says *text* and is not older than the call."""
        account: Any = await http.get(self._http, "/api/v1/accounts/verify_credentials", judge=judge)
        with http.reading(account):
            path = f"/api/v1/accounts/{account['id']}/statuses"
        statuses: Any = await http.get(self._http, path, {"limit": "40"}, judge=judge)
        assert batch.called_at
        since = batch.called_at - CLOCKS
        with http.reading(statuses):
            for one in statuses:
                is_since = datetime.fromisoformat(one["created_at"]) >= since
                if is_since and _letters(_plain(one["content"])) == _letters(text):
                    return receipt_of(one)
        return None

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """https://docs.joinmastodon.org/methods/statuses/#edit"""
        with preparing():
            told = filled(post.payload, await self._pictures(post, media=media, memory=memory))
        told.pop("visibility", None)
        request = self._http.build_request("PUT", f"/api/v1/statuses/{of.id}", json=told)
        answer = await http.exchange(self._http, request, judge=judge)
        with http.reading(found := http.body(answer)):
            return Receipt(**receipt_of(found))

    async def delete(self, of: Receipt) -> None:
        """https://docs.joinmastodon.org/methods/statuses/#delete"""
        request = self._http.build_request("DELETE", f"/api/v1/statuses/{of.id}")
        await http.exchange(self._http, request, judge=judge, telling=lambda said: said.status_code == 404)


def receipt_of(status: Any) -> dict[str, Any]:
    return {"id": str(status["id"]), "url": status.get("url")}


def _plain(content: str) -> str:
    """A status' HTML as the text it was made of: links in full, though they are shown in parts."""
    return unescape(regex.sub(r"<[^>]*>", "", regex.sub(r"<br\s*/?>|</p>", "\n", content)))


def _letters(text: str) -> str:
    """What of a text survives a server: spaces may change, and an address may lose its scheme."""
    letters: str = regex.sub(r"\s+|https?://", "", text)
    return letters


def judge(answer: httpx.Response) -> SendError | None:
    """Statuses of https://docs.joinmastodon.org/methods/statuses/#create; Takahe says 400 for a 422."""
    status, said = answer.status_code, http.said(answer)
    if status == 404 and answer.request.method == "PUT":
        return Refused(said)  # the status is gone
    if status == 403 and _is_suspended(answer):
        return AccountTrouble(f"the account is suspended or limited: {said}")
    if status == 429:
        return TryLater(said, after=_reset(answer))
    return None


def _is_suspended(answer: httpx.Response) -> bool:
    try:
        return "suspend" in str(orjson.loads(answer.content).get("error", "")).lower()
    except (AttributeError, orjson.JSONDecodeError):
        return False


def _reset(answer: httpx.Response) -> float | None:
    """Seconds until there are more calls; X-RateLimit-Reset is ISO 8601 (docs, rate-limits)."""
    if (asked := http.retry_after(answer)) is not None:
        return asked
    try:
        reset = datetime.fromisoformat(answer.headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return http.pause(answer) or None
    return http.wait((reset - datetime.now(reset.tzinfo)).total_seconds())
