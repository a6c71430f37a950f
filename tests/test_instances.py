"""What one server takes: asked once a day, remembered, and what is usual where it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from distributor.config import Channel
from distributor.instances import Instances
from distributor.store.database import Database
from tests.workspace import Clock

CHANNEL = Channel.model_validate({"network": "mastodon", "account": "@news@social.example", "key": "k"})
SAID = {
    "configuration": {
        "statuses": {"max_characters": 5000, "max_media_attachments": 6},
        "media_attachments": {"description_limit": 4000, "image_size_limit": 8_000_000},
    }
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/d.db")
    found.upgrade()
    yield found
    found.close()


class Server:
    """Counts how often it is asked."""

    def __init__(self, *, is_up: bool = True) -> None:
        self.is_up = is_up
        self.asked = 0

    def transport(self) -> httpx.MockTransport:
        def answer(request: httpx.Request) -> httpx.Response:
            self.asked += 1
            if not self.is_up:
                raise httpx.ConnectError("down")
            return httpx.Response(200, json=SAID)

        return httpx.MockTransport(answer)


def test_a_server_that_takes_more_is_given_more(database: Database):
    """Characters, pictures, bytes and alternative texts are those of the server; the rest is usual."""
    clock, server = Clock(), Server()
    found = Instances(database, clock=clock, transport=server.transport()).network(CHANNEL)
    assert (found.text[0].at_most, found.text[0].counted) == (5000, "mastodon")
    assert (found.pictures.at_most, found.pictures.max_bytes) == (6, 8_000_000)
    assert found.pictures.max_pixels == 33_177_600
    assert found.alt
    assert found.alt.at_most == 4000


def test_a_server_is_asked_once_a_day(database: Database):
    """By whichever process comes first."""
    clock, server = Clock(), Server()
    for _ in range(3):
        Instances(database, clock=clock, transport=server.transport()).network(CHANNEL)
    assert server.asked == 1
    clock.go_on(hours=25)
    Instances(database, clock=clock, transport=server.transport()).network(CHANNEL)
    assert server.asked == 2


def test_a_server_that_is_down_keeps_nobody(database: Database):
    """What it said before goes on to hold; before it said anything, what is usual does."""
    clock, server = Clock(), Server(is_up=False)
    instances = Instances(database, clock=clock, transport=server.transport())
    assert instances.network(CHANNEL).text[0].at_most == 500
    assert instances.network(CHANNEL).text[0].at_most == 500
    assert server.asked == 1
    server.is_up = True
    clock.go_on(minutes=11)
    assert instances.network(CHANNEL).text[0].at_most == 5000
    server.is_up = False
    clock.go_on(days=2)
    assert instances.network(CHANNEL).text[0].at_most == 5000


def test_other_networks_and_folders_are_not_asked(database: Database):
    """There is one Bluesky, and a folder takes what the network usually takes."""
    server = Server()
    instances = Instances(database, clock=Clock(), transport=server.transport())
    folder = Channel.model_validate({"network": "mastodon"})
    assert instances.network(folder).text[0].at_most == 500
    assert server.asked == 0
