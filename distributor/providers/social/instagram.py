"""Instagram, professional accounts: https://developers.facebook.com/docs/instagram-platform/content-publishing

It fetches the pictures itself, and publishes in two steps, the second of which cannot be done twice (see
`containers`). A program can neither change nor delete a post.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from distributor.config import Channel
from distributor.model import Batch, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import FOR_EVER, Keyring, Media, Memory, SocialLimits
from distributor.providers.social.containers import Containers, Dialect, Part
from distributor.providers.social.graph import VERSION, Renewal, Signed
from distributor.providers.social.steps import filled

DIALECT = Dialect(
    creates="media",
    publishes="media_publish",
    limit="content_publishing_limit",
    state="status_code",
    why="status",
    words="caption",
)
OF_FACEBOOK = "EAA"  # how a key begins that Facebook Login gave; one of Instagram's own login begins with IG


@dataclass(frozen=True, slots=True)
class Instagram:
    """An account, by the login of Instagram or by that of the Facebook page it belongs to."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None
    media_url: str = ""  # where Instagram finds pictures, by their names
    pause: float = 2.0  # seconds between looks whether a picture is ready

    limits = SocialLimits(repeatable_for=FOR_EVER)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        is_of_facebook = self.settings.key.get_secret_value().startswith(OF_FACEBOOK)
        host = "https://graph.facebook.com" if is_of_facebook else "https://graph.instagram.com"
        base_url = self.settings.base_url or host
        auth = Signed(self.settings, keyring)
        async with http.client(base_url, auth=auth, transport=self.transport) as opened:
            containers = Containers(
                opened=opened,
                version=self.settings.version or VERSION,
                account=self.settings.account,
                dialect=DIALECT,
                pause=self.pause,
            )
            renewal = Renewal(
                settings=self.settings, keyring=keyring, opened=opened, grant="ig_refresh_token"
            )
            yield Calls(containers, None if is_of_facebook else renewal, self.media_url)


@dataclass(frozen=True, slots=True)
class Calls:
    """An account, while there are connections to Instagram."""

    _containers: Containers
    _renewal: Renewal | None  # a page's key does not end by itself
    _media_url: str

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        if self._renewal:
            await self._renewal.if_due()
        addresses = {picture.hash: f"{self._media_url}/{picture.name}" for picture in post.pictures}
        payload = filled(post.payload, addresses)
        part = Part(number=0, payload=payload, memory=memory, listed="media")
        return Receipt(**await self._containers.published(part))
