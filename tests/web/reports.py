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
from sqlalchemy import func, select

from distributor.app import App
from distributor.store import events
from distributor.store.schema import event
from distributor.web.server import Server
from tests.workspace import Clock, opened, workspace

POSTMARK = """
[providers.postmark]
type = "postmark"
key = "server-token"
base_url = "http://127.0.0.1:9"
webhook = { username = "postmark", password = ["new-password", "old-password"] }
"""


WEB = '[web]\npublic_url = "https://mail.news.example"\n'


@contextmanager
def endpoint(
    folder: Path,
    clock: Clock,
    database_url: str,
    *,
    config: str = POSTMARK,
    newsletter: str = "",
    web: str = "",
) -> Iterator[tuple[App, httpx.Client]]:
    """The program and its web endpoint, on a site without articles; *web* is added to that table."""
    path = workspace(folder, database=database_url, config=config, newsletter=newsletter)
    path.write_text(path.read_text().replace(WEB, f'{WEB}listen = "127.0.0.1:0"\n{web}'))
    with opened(path, clock) as app:
        app.scan()
        server = Server(app)
        server.start()
        try:
            with httpx.Client(base_url=f"http://{server.address}", timeout=30) as client:
                yield app, client
        finally:
            server.stop()
            server.join(30)


def report(client: httpx.Client, *told: dict[str, Any], password: str = "new-password") -> httpx.Response:
    """Post events as Postmark does."""
    body = orjson.dumps(told[0] if len(told) == 1 else list(told))
    credentials = b64encode(f"postmark:{password}".encode()).decode()
    return client.post(
        "/webhooks/email/postmark",
        content=body,
        headers={"authorization": f"Basic {credentials}", "content-type": "application/json"},
    )


def delivered(key: str, address: str, at: datetime) -> dict[str, Any]:
    return _told("Delivery", key, Recipient=address, DeliveredAt=at.isoformat())


def bounced(key: str, address: str, at: datetime, *, kind: str = "HardBounce") -> dict[str, Any]:
    about = {"ID": abs(hash((key, at, kind))), "Type": kind, "Inactive": kind == "HardBounce"}
    return _told("Bounce", key, Email=address, BouncedAt=at.isoformat(), **about)


def complained(key: str, address: str, at: datetime) -> dict[str, Any]:
    return _told("SpamComplaint", key, Email=address, BouncedAt=at.isoformat(), ID=abs(hash((key, at))))


def left(key: str, address: str, at: datetime) -> dict[str, Any]:
    return _told("SubscriptionChange", key, Recipient=address, ChangedAt=at.isoformat(), SuppressSending=True)


def machine(key: str, address: str, at: datetime) -> dict[str, Any]:
    """A machine that looks into mails."""
    agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    return _told("Open", key, Recipient=address, ReceivedAt=at.isoformat(), UserAgent=agent)


def _told(kind: str, key: str, **fields: Any) -> dict[str, Any]:
    return {"RecordType": kind, "MessageID": f"id of {key}", "Metadata": {"delivery": key}, **fields}


def followed_up(app: App) -> None:
    """Return when all that was kept took effect; the endpoint does that by itself, too."""
    for _ in range(1000):
        app.follow_up()
        with app.database.read() as db:
            if not db.scalar(select(func.count()).select_from(event).where(event.c.applied_at.is_(None))):
                return
    raise AssertionError("events stay without effect")


def outcome(app: App, campaign: int, recipient: int) -> str | None:
    with app.database.read() as db:
        found = events.reported(db, campaign, [recipient]).get(recipient)
    return found.name.lower() if found is not None else None
