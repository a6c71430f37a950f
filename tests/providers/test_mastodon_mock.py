"""Mastodon beside a stand-in of others: mastodon_mock, in a process of its own on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from distributor.config import Channel
from distributor.errors import Unclear
from distributor.providers.social.mastodon import Mastodon
from tests.providers.networks import BATCH, Notebook, Ring, media, post

STARTS_WITHIN = 30  # seconds


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mastodon_mock",
        "serve",
        "--in-memory",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/v2/instance")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(address: str) -> None:
    ends = monotonic() + STARTS_WITHIN
    while monotonic() < ends:
        try:
            if httpx.get(address, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            sleep(0.1)
    raise TimeoutError("mastodon_mock did not start")


def channel(server: str) -> Channel:
    values = {"network": "mastodon", "account": "@a@b.example", "key": "mock_token", "base_url": server}
    return Channel.model_validate(values)


def statuses(server: str, words: str) -> list[dict[str, Any]]:
    """The account's statuses that say so."""
    headers = {"Authorization": "Bearer mock_token"}
    with httpx.Client(base_url=server, headers=headers, trust_env=False) as client:
        own = client.get("/api/v1/accounts/verify_credentials").json()["id"]
        found: list[dict[str, Any]] = client.get(f"/api/v1/accounts/{own}/statuses?limit=40").json()
    return [one for one in found if words in one["content"]]


@pytest.mark.anyio
async def test_a_post_is_there_once_and_can_be_changed_and_deleted(server: str):
    """Posted twice under one key it is one status, with its picture and alternative text."""
    settings = channel(server)
    what = post(settings, text="The ferry sails again\n\nhttps://news.example/ferry/")
    async with Mastodon(settings).connected(Ring()) as calls:
        first = await calls.send(BATCH, what, media=media, memory=Notebook())
        again = await calls.send(BATCH, what, media=media, memory=Notebook())
        assert again.id == first.id
        [seen] = statuses(server, "The ferry sails again")
        assert [one["description"] for one in seen["media_attachments"]] == [what.pictures[0].alt]
        better = post(settings, text="The ferry sails tomorrow")
        await calls.edit(first, better, media=media, memory=Notebook())
        assert len(statuses(server, "The ferry sails tomorrow")) == 1
        await calls.delete(first)
        await calls.delete(first)
    assert statuses(server, "The ferry sails") == []


@pytest.mark.anyio
async def test_a_lost_answer_is_found_among_the_newest(server: str):
    """The status is there though nobody said so: it is found, and not posted again."""

    class Lossy(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if request.url.path == "/api/v1/statuses":
                await answer.aclose()
                raise httpx.ReadTimeout("lost")
            return answer

    settings = channel(server)
    batch = replace(BATCH, campaign=9, key="7a0c8f52-93cb-5be5-8d0c-2ad1a0e1f3c3")
    what = post(settings, text="The harbour has bread again", pictures=())
    memory = Notebook()
    async with Mastodon(settings, transport=Lossy()).connected(Ring()) as calls:
        with pytest.raises(Unclear):
            await calls.send(batch, what, media=media, memory=memory)
    async with Mastodon(settings).connected(Ring()) as calls:
        found = await calls.find(replace(batch, called_at=datetime.now(UTC)), what, memory=memory)
    assert found
    assert len(statuses(server, "The harbour has bread again")) == 1
