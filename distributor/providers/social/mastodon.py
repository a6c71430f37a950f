"""Mastodon, and servers that speak its API: https://docs.joinmastodon.org/methods/statuses/

A repeated Idempotency-Key makes no second status for an hour (docs, statuses#create). Other servers of the
same API (snac2, Takahe; seen 2026-11) take no notice of it. So whatever was tried before is looked for among
the account's own newest statuses, wherever it is, before it is tried again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
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
from distributor.providers.social.steps import filled, note_standing, preparing, uploaded

PROCESSING = 30  # looks, a second apart, whether an uploaded picture is ready
CLOCKS = timedelta(minutes=2)  # how much a server's clock may wander from what it says
PAGES = 10  # of forty statuses, that are looked through at most


@dataclass(frozen=True, slots=True)
class Mastodon:
    """One account: `account` names it and its server, unless `base_url` does."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # 300 calls in five minutes: https://docs.joinmastodon.org/api/rate-limits/ (read 2026-08-19)
    limits = SocialLimits(found_after=timedelta(seconds=15), calls_per_minute=60)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        headers = {
            "Authorization": f"Bearer {self.settings.key.get_secret_value()}",
            "Accept-Language": "en",  # some of its errors are told apart by their words
        }
        async with http.client(server(self.settings), headers=headers, transport=self.transport) as opened:
            yield Calls(opened)


def server(settings: Channel) -> str:
    """The address of the account's server."""
    return settings.base_url or f"https://{settings.account.rpartition('@')[2]}"


@dataclass(frozen=True, slots=True)
class Calls:
    """An account, while there are connections to its server."""

    _http: httpx.AsyncClient

    async def probe(self) -> None:
        """Whether the key opens the account: https://docs.joinmastodon.org/methods/accounts/#verify_credentials"""
        await http.get(self._http, "/api/v1/accounts/verify_credentials", judge=judge)

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        above = post.of.id if post.of and post.action == "reply" else None
        parts: list[dict[str, Any]] = []
        for number, payload in enumerate((post.payload, *post.more)):
            if _part(number) not in memory.known:
                receipt = await self._tried(number, payload, above, memory=memory)
                if receipt is None:
                    told = filled(payload, await self._pictures(post, media=media, memory=memory))
                    receipt = await self._publish(f"{batch.key}-{number}", number, told, above, memory=memory)
                await memory.keep(**{_part(number): receipt})
            parts.append(memory.known[_part(number)])
            await note_standing(memory, post, parts, _whole(parts))
            above = parts[-1]["id"]
        return _whole(parts)

    async def _tried(
        self, number: int, payload: Any, above: str | None, *, memory: Memory
    ) -> dict[str, Any] | None:
        """The receipt of a part of a thread, if an earlier call for it made it after all."""
        tried = memory.known.get(f"tried {number}")
        if tried is None:
            return None
        with preparing():
            return await self._status(payload["status"], above, tried)

    async def _publish(
        self, key: str, number: int, told: Any, above: str | None, *, memory: Memory
    ) -> dict[str, Any]:
        if above:
            told["in_reply_to_id"] = above
        name = f"tried {number}"
        before = memory.known.get(name) or {"at": datetime.now(UTC).isoformat(), "pictures": []}
        pictures = sorted({*before["pictures"], *told["media_ids"]})
        await memory.keep(**{name: {**before, "pictures": pictures}})
        request = self._http.build_request(
            "POST", "/api/v1/statuses", json=told, headers={"Idempotency-Key": key}
        )
        return await self._status_of(request, told, memory=memory)

    async def _status_of(self, request: httpx.Request, told: Any, *, memory: Memory) -> dict[str, Any]:
        """The receipt of the status that a call makes or changes."""
        ids = told["media_ids"]
        answer = await http.exchange(
            self._http, request, judge=judge, telling=lambda said: _is_without_pictures(said, ids)
        )
        if _is_without_pictures(answer, ids):
            # It keeps what no status shows for a day, and shows nothing in two statuses.
            known = memory.known.items()
            lost = [name for name, kept in known if isinstance(kept, dict) and kept.get("id") in ids]
            await memory.keep(**dict.fromkeys(lost))
            raise TryLater(f"its pictures have to be uploaded again: {http.said(answer)}", after=0)
        with http.reading(found := http.body(answer)):
            return receipt_of(found)

    async def _pictures(self, post: Post, *, media: Media, memory: Memory) -> dict[str, str]:
        return {one.hash: await self._picture(one, media=media, memory=memory) for one in post.pictures}

    async def _picture(self, picture: Picture, *, media: Media, memory: Memory) -> str:
        """The id of an uploaded picture, once its server has processed it."""
        found = await uploaded(memory, picture, lambda: self._upload(picture, media))
        if not found["ready"]:
            with preparing():
                is_there = await self._is_processed(found["id"])
            now = {**found, "ready": True} if is_there else None
            await memory.keep(**{f"picture {picture.hash}": now})
            if now is None:
                raise TryLater("the server lost a picture while processing it", after=0)
        return str(found["id"])

    async def _upload(self, picture: Picture, media: Media) -> dict[str, Any]:
        """https://docs.joinmastodon.org/methods/media/#v2: 202 while it is being processed"""
        file = (picture.name, media(picture), picture.media_type)
        request = self._http.build_request(
            "POST", "/api/v2/media", files={"file": file}, data={"description": picture.alt}
        )
        answer = await http.exchange(self._http, request, judge=judge)
        found: Any = http.body(answer)
        with http.reading(found):
            return {"id": str(found["id"]), "ready": answer.status_code != 202}

    async def _is_processed(self, id_: str) -> bool:
        """Whether it is still there: https://docs.joinmastodon.org/methods/media/#get (206 for a while)"""
        for _ in range(PROCESSING):
            request = self._http.build_request("GET", f"/api/v1/media/{id_}")
            answer = await http.exchange(self._http, request, judge=judge, telling=_is_gone)
            if answer.status_code != 206:
                return not _is_gone(answer)
            await anyio.sleep(1)
        raise TryLater("a picture has not been processed for half a minute")

    async def find(self, batch: Batch, post: Post, *, memory: Memory) -> Receipt | None:
        """Among the account's newest statuses since the first call; of a thread, the first that is missing.

        What was tried is in the memory, with the time: a status that is found late is not overlooked.
        """
        above = post.of.id if post.of and post.action == "reply" else None
        parts: list[dict[str, Any]] = []
        for number, payload in enumerate((post.payload, *post.more)):
            part = memory.known.get(_part(number))
            if part is None:
                part = await self._tried(number, payload, above, memory=memory)
                if part is None or number < len(post.more):
                    return None  # `send` looks again, and goes on from there
            parts.append(part)
            above = part["id"]
        return _whole(parts)

    async def _status(self, text: str, above: str | None, tried: Any) -> dict[str, Any] | None:
        """The receipt of a status of ours that is not older than the first call for it.

        Where somebody wrote the same by hand within two minutes before it, theirs is taken for ours: its
        readers have it.
        """
        request = self._http.build_request("GET", "/api/v1/accounts/verify_credentials")
        answer = await http.exchange(self._http, request, judge=judge)
        account: Any = http.body(answer)
        since = datetime.fromisoformat(tried["at"]) + _ahead(answer) - CLOCKS
        with http.reading(account):
            for one in await self._newest(f"/api/v1/accounts/{account['id']}/statuses", since):
                if _is_it(one, text, above, set(tried["pictures"])):
                    return receipt_of(one)
        return None

    async def _newest(self, path: str, since: datetime) -> list[Any]:
        """The account's statuses of that time or later."""
        found: dict[str, Any] = {}
        asked = {"limit": "40", "exclude_reblogs": "true"}
        for _ in range(PAGES):
            page: Any = await http.get(self._http, path, asked, judge=judge)
            with http.reading(page):
                new = {str(one["id"]): one for one in page if _created_at(one) >= since}
                if new.keys() <= found.keys() or _created_at(page[-1]) < since:  # some servers know one page
                    return [*found.values(), *new.values()]
                asked["max_id"] = str(page[-1]["id"])
            found |= new
        raise TryLater(f"the account has published more than {PAGES * 40} statuses since")

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """https://docs.joinmastodon.org/methods/statuses/#edit"""
        payloads, ids = (post.payload, *post.more), _parts_of(of)
        if len(ids) != len(payloads):
            raise Refused(f"a thread of {len(ids)} statuses cannot become one of {len(payloads)}")
        pictures = await self._pictures(post, media=media, memory=memory)
        parts = []
        for id_, payload in zip(ids, payloads, strict=True):
            told = filled(payload, pictures)
            told.pop("visibility", None)
            request = self._http.build_request("PUT", f"/api/v1/statuses/{id_}", json=told)
            parts.append(await self._status_of(request, told, memory=memory))
        return _whole(parts)

    async def delete(self, of: Receipt) -> None:
        """https://docs.joinmastodon.org/methods/statuses/#delete"""
        for id_ in reversed(_parts_of(of)):
            request = self._http.build_request("DELETE", f"/api/v1/statuses/{id_}")
            await http.exchange(self._http, request, judge=judge, telling=_is_gone)


def _part(number: int) -> str:
    return f"part {number}"


def _whole(parts: Sequence[Mapping[str, Any]]) -> Receipt:
    """The receipt of a thread's first part, with what it takes to change and delete the others."""
    kept = {"parts": [part["id"] for part in parts]} if len(parts) > 1 else {}
    return Receipt(**parts[0], kept=kept)


def _parts_of(of: Receipt) -> list[str]:
    return list(of.kept.get("parts") or [of.id])


def receipt_of(status: Any) -> dict[str, Any]:
    return {"id": str(status["id"]), "url": status.get("url")}


def _created_at(status: Any) -> datetime:
    at = datetime.fromisoformat(status["created_at"])
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _ahead(answer: httpx.Response) -> timedelta:
    """By how much a server's clock is ahead of ours, as it says itself."""
    try:
        return parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)
    except (KeyError, TypeError, ValueError):
        return timedelta(0)


def _is_it(status: Any, text: str, above: str | None, pictures: set[str]) -> bool:
    """Whether a status shows one of our uploads, or says the same in the same place."""
    if pictures.intersection(str(one["id"]) for one in status.get("media_attachments") or ()):
        return True
    is_answer = status.get("in_reply_to_id", above) is not None
    return is_answer == (above is not None) and _letters(_plain(status["content"])) == _letters(text)


def _plain(content: str) -> str:
    """A status' HTML as the text it was made of: links in full, though they are shown in parts."""
    return unescape(regex.sub(r"<[^>]*>", "", regex.sub(r"<br\s*/?>|</p>", "\n", content)))


def _letters(text: str) -> str:
    """What of a text survives a server.

    It changes spaces, hides the scheme of an address and the server in a mention; and some take *this* for
    emphasis, or make typographic marks of plain ones.
    """
    text = regex.sub(
        r"(?<![=/\w])(@[a-z0-9_]+(?:[.-]+[a-z0-9_]+)*)@\w+(?:[.-]+\w+)*", r"\1", text, flags=regex.I
    )
    letters: str = regex.sub(r"https?://|[^\p{L}\p{M}\p{N}\p{S}]|[`~|<>^]", "", text)
    return letters or text.strip()


def judge(answer: httpx.Response) -> SendError | None:
    """Statuses of https://docs.joinmastodon.org/methods/statuses/#create; Takahe says 400 for a 422."""
    status, said, words = answer.status_code, http.said(answer), http.words(answer)
    if status == 404 and _is_about_another(answer.request):
        return Refused(f"the status that it changes or answers is gone: {said}")
    if status == 422 and "authenticated user" in words:  # what a token of no account is told
        return AccountTrouble(said)
    if status == 422 and "not finished processing" in words:
        return TryLater(said, after=5)
    if status == 429:
        return TryLater(said, after=_reset(answer))
    return None


def _is_about_another(request: httpx.Request) -> bool:
    return request.method == "PUT" or (request.method == "POST" and b'"in_reply_to_id":' in request.content)


def _is_gone(answer: httpx.Response) -> bool:
    return answer.status_code == 404


def _is_without_pictures(answer: httpx.Response, ids: list[str]) -> bool:
    """Whether it no longer has the pictures of a status; Mastodon names them, in any language."""
    if answer.status_code not in (400, 422) or not ids:
        return False
    words = http.words(answer)
    named = any(regex.search(rf"\b{regex.escape(id_)}\b", words) for id_ in ids)
    return named or "already attached" in words


def _reset(answer: httpx.Response) -> float | None:
    """Seconds until there are more calls; X-RateLimit-Reset is ISO 8601 (docs, rate-limits)."""
    if (asked := http.retry_after(answer)) is not None:
        return asked
    try:
        reset = datetime.fromisoformat(answer.headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return http.pause(answer) or None
    return http.wait((reset - datetime.now(reset.tzinfo)).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What one server takes; None where it does not say."""

    max_characters: int | None = None  # of a status
    characters_reserved_per_url: int | None = None  # what an address counts
    max_media_attachments: int | None = None
    description_limit: int | None = None  # characters of an alternative text
    image_size_limit: int | None = None  # bytes
    image_matrix_limit: int | None = None  # pixels


async def instance(base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> Instance:
    """What the server at *base_url* says of itself: https://docs.joinmastodon.org/entities/Instance/

    Servers that do not know the second version of this call are asked the first; pages of HTML say nothing.

    Raises:
        TryLater: it gave no answer, or one for later.
    """
    async with http.client(base_url, transport=transport) as opened:
        for path in ("/api/v2/instance", "/api/v1/instance"):
            request = opened.build_request("GET", path)
            with preparing():
                answer = await http.exchange(opened, request, telling=lambda said: True)
            if (found := _instance(answer)) != Instance():
                return found
    if answer.status_code == 429 or answer.status_code >= 500:
        raise TryLater(http.said(answer), after=_reset(answer))
    return Instance()


def _instance(answer: httpx.Response) -> Instance:
    try:
        told = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return Instance()
    return Instance(**{name: _first(told, places) for name, places in _SAID.items()})


_SAID = {  # what we call it -> where servers say it
    "max_characters": ("configuration.statuses.max_characters", "max_toot_chars"),
    "characters_reserved_per_url": ("configuration.statuses.characters_reserved_per_url",),
    "max_media_attachments": ("configuration.statuses.max_media_attachments", "max_media_attachments"),
    "description_limit": ("configuration.media_attachments.description_limit", "description_limit"),
    "image_size_limit": ("configuration.media_attachments.image_size_limit", "upload_limit"),
    "image_matrix_limit": ("configuration.media_attachments.image_matrix_limit",),
}  # those without "configuration" are Pleroma's and glitch-soc's, in the first version


def _first(told: Any, places: tuple[str, ...]) -> int | None:
    """The first number above zero at one of *places*."""
    for place in places:
        value = told
        for name in place.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, int) and value > 0 and value is not True:
            return value
    return None
