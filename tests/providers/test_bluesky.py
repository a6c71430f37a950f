"""Bluesky: what it alone wants and says."""

from __future__ import annotations

from distributor.providers.social.bluesky import Bluesky
from tests.providers.networks import Described
from tests.simulator.networks.bluesky import Bluesky as Fake

NETWORK = Described(
    name="bluesky",
    channel={"account": "news.example", "key": "a-secret-app-password"},
    provider=Bluesky,
    fake=Fake,
)
