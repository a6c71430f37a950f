"""Facebook: what it alone wants and says."""

from __future__ import annotations

from distributor.providers.social.facebook import Facebook
from tests.providers.networks import Described
from tests.simulator.networks.facebook import PAGE
from tests.simulator.networks.facebook import Facebook as Fake

NETWORK = Described(
    name="facebook",
    channel={"account": PAGE, "key": "EAA-a-secret-key-of-a-page"},
    provider=Facebook,
    fake=Fake,
)
