"""A newsletter that Postmark carries, and what Postmark reports of its mails."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
from starlette.testclient import TestClient

from distributor.app import App
from distributor.store import events
from distributor.web.site import site
from tests.workspace import Clock, opened, workspace

POSTMARK = """
[providers.postmark]
type = "postmark"
key = "server-token"
base_url = "http://127.0.0.1:9"
webhook = { username = "postmark", password = ["new-password", "old-password"] }
"""


@contextmanager
def endpoint(
    folder: Path, clock: Clock, database_url: str, *, config: str = POSTMARK, newsletter: str = ""
) -> Iterator[tuple[App, TestClient]]:
    """The program and its web endpoint, on a site without articles."""
    path = workspace(folder, database=database_url, config=config, newsletter=newsletter)
    with opened(path, clock) as app:
        app.scan()
        with TestClient(site(app), base_url="https://mail.news.example") as client:
            yield app, client


def report(client: TestClient, *told: dict[str, Any], password: str = "new-password") -> httpx.Response:
    """Post events as Postmark does."""
    body = orjson.dumps(told[0] if len(told) == 1 else list(told))
    credentials = b64encode(f"postmark:{password}".encode()).decode()
    answer: httpx.Response = client.post(
        "/webhooks/email/postmark",
        content=body,
        headers={"authorization": f"Basic {credentials}", "content-type": "application/json"},
    )
    return answer


def delivered(key: str, address: str, at: datetime) -> dict[str, Any]:
    return _told("Delivery", key, Recipient=address, DeliveredAt=at.isoformat())


def bounced(key: str, address: str, at: datetime, *, kind: str = "HardBounce") -> dict[str, Any]:
    about = {"ID": abs(hash((key, at, kind))), "Type": kind, "Inactive": kind == "HardBounce"}
    return _told("Bounce", key, Email=address, BouncedAt=at.isoformat(), **about)


def complained(key: str, address: str, at: datetime) -> dict[str, Any]:
    return _told("SpamComplaint", key, Email=address, BouncedAt=at.isoformat(), ID=abs(hash((key, at))))


def left(key: str, address: str, at: datetime) -> dict[str, Any]:
    return _told("SubscriptionChange", key, Recipient=address, ChangedAt=at.isoformat(), SuppressSending=True)


def _told(kind: str, key: str, **fields: Any) -> dict[str, Any]:
    return {"RecordType": kind, "MessageID": f"id of {key}", "Metadata": {"delivery": key}, **fields}


def followed_up(app: App) -> None:
    """What was kept takes effect at once; whoever does it first, it is done."""
    app.follow_up()


def outcome(app: App, campaign: int, recipient: int) -> str | None:
    with app.database.read() as db:
        found = events.reported(db, campaign, [recipient]).get(recipient)
    return found.name.lower() if found is not None else None
