from __future__ import annotations

from distributor.providers.social.x import X
from tests.providers.networks import Described
from tests.simulator.networks.x import X as Fake

NETWORK = Described(
    name="x",
    channel={
        "account": "@news",
        "key": "a-first-key-of-x",
        "client_id": "the-app-of-the-news",
        "client_secret": "a-secret-of-the-app",
        "refresh_key": "a-second-key-of-x",
    },
    provider=X,
    fake=Fake,
)
