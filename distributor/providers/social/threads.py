"""Threads: https://developers.facebook.com/docs/threads/posts

It fetches pictures itself, and publishes in two steps, the second of which cannot be done twice (see
`containers`). The parts of a thread are replies, each to the one before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx

from distributor.config import Channel
from distributor.errors import Refused, Unclear
from distributor.model import Batch, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import FOR_EVER, Keyring, Media, Memory, SocialLimits
from distributor.providers.social import containers, graph
from distributor.providers.social.containers import Containers, Dialect, Part
from distributor.providers.social.steps import filled, note_standing

DIALECT = Dialect(
    creates="threads",
    publishes="threads_publish",
    limit="threads_publishing_limit",
    state="status",
    why="error_message",
    words="text",
)
VERSION = "v1.0"  # the only one


@dataclass(frozen=True, slots=True)
class Threads:
    """One account."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None
    media_url: str = ""  # where Threads finds pictures, by their names
    pause: float = 2.0  # seconds between looks whether a picture is ready

    limits = SocialLimits(repeatable_for=FOR_EVER)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        base_url = self.settings.base_url or "https://graph.threads.net"
        auth = graph.Signed(self.settings, keyring)
        async with http.client(base_url, auth=auth, transport=self.transport) as opened:
            made = Containers(
                opened=opened,
                version=VERSION,
                account=self.settings.account,
                dialect=DIALECT,
                pause=self.pause,
            )
            renewal = graph.Renewal(
                settings=self.settings, keyring=keyring, opened=opened, grant="th_refresh_token"
            )
            yield Calls(opened, made, renewal, self.media_url)


@dataclass(frozen=True, slots=True)
class Calls:
    """An account, while there are connections to Threads."""

    _http: httpx.AsyncClient
    _containers: Containers
    _renewal: graph.Renewal
    _media_url: str

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        await self._renewal.if_due()
        addresses = {picture.hash: f"{self._media_url}/{picture.name}" for picture in post.pictures}
        above = _told(post.of) if post.of and post.action == "reply" else None
        parts: list[Receipt] = []
        for number, payload in enumerate((post.payload, *post.more)):
            part = Part(number=number, payload=filled(payload, addresses), memory=memory, listed="threads")
            made = await self._containers.published(_below(part, above) if above else part)
            parts.append(Receipt(**made))
            await note_standing(memory, post, parts, _whole(parts))
            if number < len(post.more):
                above = _above(parts[-1])
        return _whole(parts)

    async def delete(self, of: Receipt) -> None:
        """https://developers.facebook.com/docs/threads/posts/delete-posts: a hundred in a day"""
        await self._renewal.if_due()
        for id_ in reversed(of.kept.get("parts") or [_told(of)]):
            await graph.delete(self._http, f"/{VERSION}/{id_}", judge=containers.judge)


def _below(part: Part, above: str) -> Part:
    """A part as a reply; these have a list and a quota of their own (docs/threads/reply-management)."""
    return replace(
        part,
        payload={**part.payload, "reply_to_id": above},
        listed="replies",
        quota=("reply_quota_usage", "reply_config"),
    )


def _whole(parts: Sequence[Receipt]) -> Receipt:
    """The receipt of the first part, with what it takes to delete the others."""
    if any(one.kept.get("is_container") for one in parts):
        return replace(parts[0], kept={"is_container": True})  # half a thread must not pass for deleted
    if len(parts) == 1:
        return parts[0]
    return replace(parts[0], kept={"parts": [one.id for one in parts]})


def _above(made: Receipt) -> str:
    """The id that the next part answers."""
    if made.kept.get("is_container"):
        raise Unclear("a part of it is published, and Threads does not say under which id", can_clear=False)
    return made.id


def _told(of: Receipt) -> str:
    """A post's id; a container's is none, though Threads takes it and then hangs a reply nowhere.

    Raises:
        Refused: only its container's is known, for Threads never listed it.
    """
    if of.kept.get("is_container"):
        raise Refused("Threads published it and never said under which id: do it by hand")
    return of.id
