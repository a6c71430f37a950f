"""LinkedIn: https://learn.microsoft.com/linkedin/marketing/community-management/shares/posts-api

The same post again is refused, and the refusal names the first: DUPLICATE_POST "Content is a duplicate of
urn:li:share:…". So after a silence the same call is made again, byte by byte.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import regex

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import Keyring, Media, Memory, SocialLimits
from distributor.providers.social.renewing import Renewing
from distributor.providers.social.steps import filled, uploaded

VERSION = "202609"  # the newest in n8n-io/n8n PR #39065 of 2026-09-18; each is served for about a year
CLOCKS = timedelta(minutes=2)  # LinkedIn's may differ from ours by so much


@dataclass(frozen=True, slots=True)
class LinkedIn:
    """A member or an organization: `account` is its URN."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # How long LinkedIn remembers is nowhere said; people met it a day later. An hour is a judgement.
    limits = SocialLimits(repeatable_for=timedelta(hours=1))

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url
        headers = {
            "LinkedIn-Version": self.settings.version or VERSION,
            "X-Restli-Protocol-Version": "2.0.0",
        }
        async with http.client(base_url or "https://www.linkedin.com", transport=self.transport) as keys:
            auth = Renewing(settings=self.settings, keyring=keyring, keys=keys, path="/oauth/v2/accessToken")
            async with http.client(
                base_url or "https://api.linkedin.com", headers=headers, auth=auth, transport=self.transport
            ) as opened:
                yield Calls(opened, self.settings)


@dataclass(frozen=True, slots=True)
class Calls:
    """An account, while there are connections to LinkedIn."""

    _http: httpx.AsyncClient
    _settings: Channel

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        pictures = {}
        for picture in post.pictures:
            pictures[picture.hash] = await uploaded(memory, picture, lambda: self._upload(picture, media))  # noqa: B023
        told = {"author": self._settings.account, **filled(post.payload, pictures)}
        is_first = batch.called_at is None and "since" not in memory.known
        await memory.keep(since=memory.known.get("since") or datetime.now(UTC).isoformat())
        answer = await http.post(
            self._http,
            "/rest/posts",
            told,
            judge=judge,
            telling=lambda said: _is_duplicate(said) or _names_one(said, pictures),
        )
        if _is_duplicate(answer):
            return await self._first(answer, batch, memory, is_first=is_first)
        if not answer.is_success:
            await _forget(answer, batch, post, memory)
        if not (urn := answer.headers.get("x-restli-id")):  # Postiz #989: no id is no post
            raise Unclear(f"LinkedIn names no post: {http.said(answer)}")
        return receipt(urn)

    async def _upload(self, picture: Picture, media: Media) -> str:
        """https://learn.microsoft.com/linkedin/marketing/community-management/shares/images-api"""
        told = {"initializeUploadRequest": {"owner": self._settings.account}}
        path = "/rest/images?action=initializeUpload"
        found: Any = http.body(await http.post(self._http, path, told, judge=judge))
        with http.reading(found):
            urn, address = str(found["value"]["image"]), str(found["value"]["uploadUrl"])
        request = self._http.build_request(
            "PUT",
            self._trusted(address),
            content=media(picture),
            headers={"Content-Type": picture.media_type},
        )
        await http.exchange(self._http, request, judge=judge)
        return urn

    def _trusted(self, address: str) -> httpx.URL:
        """The address of an upload, to which the account's key goes too.

        Raises:
            AccountTrouble: it is not LinkedIn's.
        """
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if base_url := self._settings.base_url:
            is_ours = (url.scheme, url.host) == (httpx.URL(base_url).scheme, httpx.URL(base_url).host)
        else:
            is_ours = url.scheme == "https" and f".{url.host}".endswith(".linkedin.com")
        if not is_ours:
            raise AccountTrouble(f"uploads would go to {url.host or 'no address'}, which is not LinkedIn's")
        return url

    async def _first(
        self, answer: httpx.Response, batch: Batch, memory: Memory, *, is_first: bool
    ) -> Receipt:
        """The post that this one duplicates, if an earlier call of ours made it.

        Raises:
            Refused: it is older than our first call, or there was none.
            Unclear: LinkedIn does not name it, or names one that is not there (ComposioHQ/composio #2710).
        """
        said, named = http.said(answer), _DUPLICATE.search(http.words(answer))
        if is_first:
            raise Refused(said)
        if named is None:
            raise Unclear(said, can_clear=False)
        kept = datetime.fromisoformat(memory.known["since"])
        since = min(kept, batch.called_at) if batch.called_at else kept
        if made_at(named[1]) < since - CLOCKS:
            raise Refused(said)
        if await self._is_gone(named[1]):
            raise Unclear(f"the post it names is not there: {said}", can_clear=False)
        return receipt(named[1])

    async def _is_gone(self, urn: str) -> bool:
        """Whether LinkedIn says that there is no such post. Most keys may not ask: then there is one."""
        try:
            answer = await http.exchange(
                self._http, self._http.build_request("GET", _path(urn)), telling=lambda said: True
            )
        except SendError:
            return False
        return answer.status_code == 404

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """A partial update: the words can be changed, a card and pictures cannot."""
        told = {"patch": {"$set": {"commentary": post.payload["commentary"]}}}
        headers = {"X-RestLi-Method": "PARTIAL_UPDATE"}
        await http.post(self._http, _path(of.id), told, headers=headers, judge=judge)
        return of

    async def delete(self, of: Receipt) -> None:
        request = self._http.build_request("DELETE", _path(of.id), headers={"X-RestLi-Method": "DELETE"})
        await http.exchange(
            self._http, request, judge=judge, telling=lambda answer: answer.status_code == 404
        )


def receipt(urn: str) -> Receipt:
    return Receipt(id=urn, url=f"https://www.linkedin.com/feed/update/{urn}/")


def made_at(urn: str) -> datetime:
    """When a post was made: the upper bits of its number are milliseconds since 1970.

    LinkedIn does not say so; it was so of the two posts of known days in Arisamiga/Linkedin-RSS #5 and
    ComposioHQ/composio #2710 (2026-11-23).
    """
    return datetime.fromtimestamp((int(urn.rpartition(":")[2]) >> 22) / 1000, UTC)


def _path(urn: str) -> str:
    return f"/rest/posts/{quote(urn, safe='')}"


_DUPLICATE = regex.compile(r"duplicate of (urn:li:\w+:[0-9]{1,19})\b")


def _is_duplicate(answer: httpx.Response) -> bool:
    """422 `{"message": "…: Content is a duplicate of urn:li:share:…", "errorDetails": …}`"""
    words = http.words(answer)
    return answer.status_code in (409, 422) and ("DUPLICATE_POST" in words or bool(_DUPLICATE.search(words)))


def _names_one(answer: httpx.Response, pictures: dict[str, str]) -> bool:
    """Whether a refusal is about a picture: its URN is there. The codes are unverified (2026-11-23)."""
    words = http.words(answer)
    return answer.status_code in (400, 404, 422) and any(urn in words for urn in pictures.values())


async def _forget(answer: httpx.Response, batch: Batch, post: Post, memory: Memory) -> None:
    """A picture cannot be used, or not yet. Another upload makes another call, so there is only one, and none
    after a silence.

    Raises:
        TryLater: it is being processed, or is to be uploaded once more.
        Refused: it was.
        Unclear: an earlier call, with that picture, may have been accepted.
    """
    said, words = http.said(answer), http.words(answer).upper()
    if "FAILED" not in words and ("PROCESSING" in words or "WAITING" in words):
        raise TryLater(said, after=10)
    if batch.called_at is not None:
        raise Unclear(said, can_clear=False)
    if memory.known.get("uploaded again"):
        raise Refused(said)
    pictures: dict[str, Any] = {f"picture {picture.hash}": None for picture in post.pictures}
    await memory.keep(**pictures, **{"uploaded again": True})
    raise TryLater(said, after=0)


def judge(answer: httpx.Response) -> SendError | None:
    """https://learn.microsoft.com/linkedin/shared/api-guide/concepts/error-handling, and what is usual."""
    status, method, said = answer.status_code, answer.request.method, http.said(answer)
    if status == 426:  # NONEXISTENT_VERSION: Postiz #2005
        version = answer.request.headers.get("linkedin-version")
        return AccountTrouble(
            f'version {version} is no longer served; set a newer `version`, "YYYYMM": {said}'
        )
    if status == 429:
        return TryLater(said, after=_reset(answer))
    if method == "PUT" and status in (404, 410):
        return TryLater(said)  # the address of the upload has ended; there will be another
    if status == 404 and answer.request.headers.get("x-restli-method"):
        return Refused(said)  # the post is gone
    return None


def _reset(answer: httpx.Response) -> float | None:
    """A day's limits begin anew at 00:00 UTC (learn.microsoft.com, rate-limits); others say nothing."""
    if (asked := http.retry_after(answer)) is not None:
        return asked
    if "DAY" not in http.words(answer):
        return None
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()
