"""Listings through the API: page by page everything comes once, whatever is added meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributor.access import SCOPES
from distributor.app import App
from distributor.model import EventType
from distributor.store import events
from distributor.store.events import EventRow
from tests.web.api.asking import READERS, asked, bearer, edition, wrong
from tests.workspace import Clock, subscribe, write_article

Api = tuple[App, httpx.Client]


def pages(client: httpx.Client, path: str, name: str, **asked: Any) -> Iterator[list[dict[str, Any]]]:
    """The pages of a listing until there is no next one."""
    after: dict[str, Any] = {}
    while True:
        answer = client.get(path, params=asked | after)
        assert answer.status_code == 200, answer.text
        yield answer.json()[name]
        if answer.json()["next"] is None:
            return
        after = {"after": answer.json()["next"]}


def reported(app: App, at: datetime, ids: Iterable[str], kind: EventType = EventType.DELIVERED) -> None:
    one = EventRow(
        provider="postmark",
        id="",
        type=kind,
        said="x",
        occurred_at=at,
        received_at=at,
        campaign=1,
        recipient=1,
    )
    with app.database.write() as db:
        events.keep(db, [replace(one, id=id_) for id_ in ids])


@pytest.fixture(scope="module")
def growing() -> Iterator[tuple[App, httpx.Client, Clock]]:
    """One house for all examples; it only ever grows."""
    with tempfile.TemporaryDirectory() as name:
        clock = Clock()
        with asked(Path(name) / "house", clock, f"sqlite:///{name}/db") as (app, client):
            yield app, client, clock


def anew(app: App, client: httpx.Client) -> None:
    """A token that was not used yet: no example is to be put off for what others asked."""
    client.headers.update(bearer(app, *SCOPES, name=f"number {len(app.api_tokens())}"))


ONE_HOUSE = settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@ONE_HOUSE
@given(limit=st.integers(2, 7), joining=st.lists(st.integers(0, 3), max_size=5))
def test_readers_who_join_meanwhile_move_no_page(
    growing: tuple[App, httpx.Client, Clock], limit: int, joining: list[int]
):
    """Each reader who was there comes exactly once and in order, and nobody comes twice."""
    app, client, _ = growing
    anew(app, client)
    before = [person.id for person in app.everybody()]
    found: list[int] = []
    for number, page in enumerate(pages(client, "subscribers", "subscribers", list="morning", limit=limit)):
        assert len(page) <= limit
        found += [one["id"] for one in page]
        for _ in range(joining[number] if number < len(joining) else 0):
            subscribe(app, f"n{sum(1 for _ in app.everybody())}@example.org")
    assert found == sorted(set(found))
    assert set(before) <= set(found)


@ONE_HOUSE
@given(limit=st.integers(3, 9), coming=st.lists(st.integers(0, 4), max_size=5))
def test_events_that_come_meanwhile_move_no_page(
    growing: tuple[App, httpx.Client, Clock], limit: int, coming: list[int]
):
    """Whoever follows the events gets each of them exactly once, in the order of their coming."""
    app, client, clock = growing
    anew(app, client)
    reported(app, clock(), [f"{clock():%H%M%S}-first-{n}" for n in range(3)])
    clock.go_on(seconds=11)
    found: list[int] = []
    for number, page in enumerate(pages(client, "events", "events", limit=limit)):
        found += [one["number"] for one in page]
        some = coming[number] if number < len(coming) else 0
        reported(app, clock(), [f"{clock():%H%M%S}-{number}-{n}" for n in range(some)])
    clock.go_on(seconds=11)
    for page in pages(client, "events", "events", after=found[-1]):
        found += [one["number"] for one in page]
    assert found == list(range(1, len(found) + 1))


def test_the_newest_events_wait_until_none_before_them_can_come(api: Api, clock: Clock):
    """What came in the last ten seconds is not listed, nor anything after it: a lower number may follow."""
    app, client = api
    early = clock()
    reported(app, early, ["a"])
    later = clock.go_on(seconds=9)
    reported(app, later, ["b"])
    reported(app, early, ["c"])
    assert client.get("events").json() == {"events": [], "next": None}
    clock.go_on(seconds=1)
    assert [one["id"] for one in client.get("events").json()["events"]] == ["a"]
    clock.go_on(seconds=9)
    assert [one["id"] for one in client.get("events").json()["events"]] == ["a", "b", "c"]


def test_few_among_many_are_found_without_reading_all_at_once(api: Api, clock: Clock):
    """A filter looks at so many rows a page; empty pages lead on to those that are wanted."""
    app, client = api
    reported(app, clock(), map(str, range(events.LOOKED_AT + 5)))
    reported(app, clock(), ["bounce"], EventType.BOUNCED)
    clock.go_on(minutes=1)
    found = list(pages(client, "events", "events", type="bounced"))
    assert [[one["id"] for one in page] for page in found] == [[], ["bounce"]]
    assert list(pages(client, "events", "events", type="opened", limit=1000)) == [[], []]
    assert list(pages(client, "events", "events", provider="resend")) == [[], []]
    assert [len(page) for page in pages(client, "events", "events", campaign=1, limit=1000)] == [
        1000
    ] * 10 + [6]


def test_deliveries_are_listed_by_recipient_and_state(api: Api, tmp_path: Path, clock: Clock):
    """In pages of any size each recipient comes once; of a state only those in it."""
    app, client = api
    number = edition(app, tmp_path / "house", clock)
    path = f"campaigns/{number}/deliveries"
    everybody = [person.id for person in app.everybody()]
    for limit in (1, 2, 5, 6):
        found = [one["recipient"] for page in pages(client, path, "deliveries", limit=limit) for one in page]
        assert found == everybody
    assert [len(page) for page in pages(client, path, "deliveries", state="queued", limit=3)] == [3, 2]
    assert list(pages(client, path, "deliveries", state="refused")) == [[]]


def test_campaigns_are_listed_the_newest_first(api: Api, tmp_path: Path, clock: Clock):
    """One that is planned meanwhile moves no page."""
    app, client = api
    numbers = [edition(app, tmp_path / "house", clock)]
    for name in ("tide", "gale"):
        clock.go_on(days=1)
        write_article(tmp_path / "house", name, published_at=clock())
        clock.go_on(days=1)
        app.scan()
        numbers += [campaign.id for campaign in app.plan()]
    found = [one["id"] for page in pages(client, "campaigns", "campaigns", limit=2) for one in page]
    assert found == sorted(numbers, reverse=True)


def test_articles_are_those_of_the_command_line(api: Api, tmp_path: Path, clock: Clock):
    """The newest first, in pages of any size; one that is published meanwhile moves none."""
    app, client = api
    house = tmp_path / "house"
    for n in range(5):
        write_article(house, f"a{n}", published_at=clock() - timedelta(hours=n // 2))
    write_article(house, "draft", draft=True, published_at=clock())
    app.scan()
    listed, _ = app.articles()
    page = client.get("articles").json()
    assert set(page["articles"][0]) == {
        "key", "url", "title", "summary", "published_at", "source", "path", "sequence", "state", "reason",
        "banner", "qr",
    }  # fmt: skip
    assert [one["key"] for one in page["articles"]] == [article.key for article in listed]
    for limit in (1, 2, 3, 6):
        found: list[str] = []
        for part in pages(client, "articles", "articles", limit=limit):
            found += [one["key"] for one in part]
            write_article(house, f"late{limit}{len(found)}", published_at=clock.go_on(minutes=1))
            app.scan()
        assert [key for key in found if "/late" not in key] == [article.key for article in listed]
        assert len(found) == len(set(found))
    states = {one["state"] for one in client.get("articles?state=draft").json()["articles"]}
    assert states == {"draft"}
    assert client.get("articles?new=true&limit=1").json()["articles"][0]["state"] == "public"


def test_a_reader_is_told_why(api: Api, tmp_path: Path, clock: Clock):
    """The same reasons as `distributor explain` gives; of nobody and of no article there is none."""
    app, client = api
    edition(app, tmp_path / "house", clock)
    article = app.articles()[0][0].key
    person = app.subscriber(READERS[0])
    answer = client.get("explain", params={"article": article, "subscriber": person.id}).json()
    assert (answer["article"], answer["subscriber"]) == (article, person.id)
    told = [(reason.newsletter, reason.verdict) for reason in app.explain(article, READERS[0])]
    assert [(one["newsletter"], one["verdict"]) for one in answer["reasons"]] == told
    assert told[0] == ("morning", "it is queued for them")
    wrong(client.get("explain", params={"article": article, "subscriber": 77}), 404)
    assert "no article" in wrong(
        client.get("explain", params={"article": "no such", "subscriber": person.id}), 404
    )


def test_an_article_that_is_gone_is_told_so(api: Api, tmp_path: Path, clock: Clock):
    """Its file was deleted after it went out: that is said, and is no fault."""
    app, client = api
    edition(app, tmp_path / "house", clock, "ferry", "tide")
    key = app.article("ferry").key
    (tmp_path / "house/content/ferry.md").unlink()
    app.scan()
    told = wrong(client.get("explain", params={"article": key, "subscriber": 1}), 404)
    assert "has no article" in told
