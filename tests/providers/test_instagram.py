"""Instagram: what it alone wants and says."""

from __future__ import annotations

import httpx

from distributor.config import Channel
from distributor.providers.social.instagram import Instagram
from tests.providers.networks import MEDIA_URL, Described
from tests.simulator.networks.instagram import ACCOUNT
from tests.simulator.networks.instagram import Instagram as Fake


def provider(channel: Channel, transport: httpx.AsyncBaseTransport) -> Instagram:
    return Instagram(channel, transport, MEDIA_URL, pause=0)


NETWORK = Described(
    name="instagram",
    channel={"account": ACCOUNT, "key": "IGAA-a-secret-key-of-instagram"},
    provider=provider,
    fake=Fake,
)
