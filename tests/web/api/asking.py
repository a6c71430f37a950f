"""A house with readers and an edition, and programs that ask its API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from distributor.access import SCOPES
from distributor.app import App
from tests.web.reports import POSTMARK, endpoint
from tests.web.visits import TOPICS, WEEKEND
from tests.workspace import Clock, subscribe, write_article

READERS = tuple(f"reader{n}@example.org" for n in range(5))


@contextmanager
def asked(
    folder: Path, clock: Clock, database: str, *, newsletter: str = TOPICS
) -> Iterator[tuple[App, httpx.Client]]:
    """The program, and a client of its API with a token for everything."""
    config = WEEKEND + POSTMARK
    with endpoint(folder, clock, database, config=config, newsletter=newsletter) as (app, client):
        client.base_url = client.base_url.join("/api/v1/")
        client.headers = httpx.Headers(bearer(app, *SCOPES, name="all"))
        yield app, client


def bearer(app: App, *scopes: str, name: str = "some") -> dict[str, str]:
    return {"authorization": f"Bearer {app.add_token(name, scopes)}"}


def edition(app: App, folder: Path, clock: Clock, *titles: str) -> int:
    """The campaign of an edition with these articles, planned."""
    subscribe(app, *READERS)
    for title in titles or ("ferry",):
        write_article(folder, title, published_at=clock())
    clock.go_on(hours=1)
    app.scan()
    [campaign] = app.plan()
    return campaign.id


def wrong(answer: httpx.Response, status: int) -> str:
    """What an answer that is no success says; all of them have one shape."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"status", "message", "fields"}
    assert error["status"] == status
    assert error["message"]
    return str(error["message"])
