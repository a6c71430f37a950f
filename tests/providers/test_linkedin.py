from __future__ import annotations

from distributor.providers.social.linkedin import LinkedIn
from tests.providers.networks import Described
from tests.simulator.networks.linkedin import LinkedIn as Fake

NETWORK = Described(
    name="linkedin",
    channel={
        "account": "urn:li:organization:2414183",
        "key": "a-first-key-of-linkedin",
        "client_id": "the-app-of-the-news",
        "client_secret": "a-secret-of-the-app",
        "refresh_key": "a-second-key-of-linkedin",
    },
    provider=LinkedIn,
    fake=Fake,
)
