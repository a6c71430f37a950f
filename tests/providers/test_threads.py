"""Threads: what it alone wants and says."""

from __future__ import annotations

import httpx

from distributor.config import Channel
from distributor.providers.social.threads import Threads
from tests.providers.networks import MEDIA_URL, Described
from tests.simulator.networks.threads import ACCOUNT
from tests.simulator.networks.threads import Threads as Fake


def provider(channel: Channel, transport: httpx.AsyncBaseTransport) -> Threads:
    return Threads(channel, transport, MEDIA_URL, pause=0)


NETWORK = Described(
    name="threads",
    channel={"account": ACCOUNT, "key": "THAA-a-secret-key-of-threads"},
    provider=provider,
    fake=Fake,
)
