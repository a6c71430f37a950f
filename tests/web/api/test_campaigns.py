"""Campaigns through the API: shown as the command line shows them, and the hands laid on them once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from distributor.app import App
from distributor.model import DeliveryState
from distributor.store.schema import batch
from tests.web.api.asking import asked, bearer, edition, wrong
from tests.workspace import Clock

APPROVAL = 'approval = "required"\ntopics = ["sport"]\n'
Api = tuple[App, httpx.Client]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "house"


@pytest.fixture
def waiting(folder: Path, database_url: str, clock: Clock) -> Iterator[tuple[App, httpx.Client, int]]:
    """An edition for five readers that awaits approval."""
    with asked(folder, clock, database_url, newsletter=APPROVAL) as (app, client):
        yield app, client, edition(app, folder, clock)


def become(app: App, campaign: int, state: DeliveryState) -> None:
    """What a provider's answer makes of the whole edition."""
    with app.database.write() as db:
        db.execute(update(batch).where(batch.c.campaign == campaign).values(state=state))


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def test_a_campaign_is_shown_as_on_the_command_line(api: Api, folder: Path, clock: Clock):
    """The same fields with the same values, alone and in the list; deliveries name readers by number."""
    app, client = api
    number = edition(app, folder, clock)
    shown = client.get(f"campaigns/{number}").json()
    assert set(shown) == {
        "id", "channel", "slot", "state", "reason", "due_at", "content", "approved_at", "candidates",
        "excluded", "counts",
    }  # fmt: skip
    assert (shown["id"], shown["channel"], shown["state"]) == (number, "morning", "scheduled")
    assert shown["content"] == app.content_of(number)
    assert shown["counts"] == {
        "planned": 5, "queued": 5, "sending": 0, "accepted": 0, "refused": 0, "skipped": 0, "unclear": 0,
    }  # fmt: skip
    assert client.get("campaigns").json() == {"campaigns": [shown], "next": None}
    assert client.get("campaigns?channel=weekend").json()["campaigns"] == []
    app.deliver()
    page = client.get(f"campaigns/{number}/deliveries").json()
    assert [one["recipient"] for one in page["deliveries"]] == [person.id for person in app.everybody()]
    assert {(one["state"], one["provider"], one["outcome"]) for one in page["deliveries"]} == {
        ("accepted", "outbox", None)
    }
    for path in ("campaigns/77", "campaigns/77/deliveries"):
        assert "no campaign 77" in wrong(client.get(path), 404)


def test_what_was_seen_is_approved_and_nothing_else(waiting: tuple[App, httpx.Client, int]):
    """An approval names the content; of another it is none, and a campaign is approved once."""
    app, client, number = waiting
    content = client.get(f"campaigns/{number}").json()["content"]
    wrong(client.post(f"campaigns/{number}/approve"), 422)
    wrong(client.post(f"campaigns/{number}/approve", json={"content": content[:7]}), 422)
    other = {"content": "0" * 12}
    assert "look at it again" in wrong(client.post(f"campaigns/{number}/approve", json=other), 409)
    assert app.campaign(number).state == "awaiting approval"
    answer = client.post(f"campaigns/{number}/approve", json={"content": content[:12]})
    assert answer.json()["campaign"]["state"] == app.campaign(number).state == "scheduled"
    assert "is scheduled" in wrong(client.post(f"campaigns/{number}/approve", json={"content": content}), 409)


def test_a_campaign_is_paused_resumed_and_cancelled(api: Api, folder: Path, clock: Clock):
    """Each does what the command does; what cannot be done as it stands is a 409 that says how it stands."""
    app, client = api
    number = edition(app, folder, clock)
    path = f"campaigns/{number}"
    assert client.post(f"{path}/pause").json()["campaign"]["state"] == "paused"
    assert "is paused" in wrong(client.post(f"{path}/pause"), 409)
    assert "is paused" in wrong(client.post(f"{path}/retry"), 409)
    assert client.post(f"{path}/resume").json()["campaign"]["state"] == "sending"
    answer = client.post(f"{path}/cancel", json={"reason": "wrong picture"}).json()
    assert (answer["recipients"], answer["campaign"]["state"]) == (5, "cancelled")
    assert answer["campaign"]["reason"] == "wrong picture"
    assert answer["campaign"]["counts"]["skipped"] == 5
    assert "is cancelled" in wrong(client.post(f"{path}/resume"), 409)
    for hand in ("pause", "resume", "cancel", "retry"):
        wrong(client.post(f"campaigns/77/{hand}"), 404)


@pytest.mark.parametrize(
    ("hand", "body", "before", "after"),
    [
        ("retry", None, DeliveryState.REFUSED, "queued"),
        ("settle", {"as": "again"}, DeliveryState.UNCLEAR, "queued"),
        ("settle", {"as": "accepted"}, DeliveryState.UNCLEAR, "accepted"),
    ],
)
def test_what_is_asked_twice_under_one_key_is_done_once(
    api: Api, folder: Path, clock: Clock, hand: str, body: Any, before: DeliveryState, after: str
):
    """Whoever lost the answer asks again: it is the same, though by then it could be done a second time."""
    app, client = api
    number = edition(app, folder, clock)
    path = f"campaigns/{number}/{hand}"
    become(app, number, before)
    first = client.post(path, json=body, headers=keyed("lost")).json()
    assert (first["recipients"], first["campaign"]["counts"][after]) == (5, 5)
    become(app, number, before)
    again = client.post(path, json=body, headers=keyed("lost")).json()
    assert (again["recipients"], again["campaign"]["counts"][before]) == (5, 5)
    clock.go_on(hours=25)
    assert client.post(path, json=body, headers=keyed("lost")).json()["campaign"]["counts"][after] == 5


def test_at_the_same_moment_one_key_is_still_one_request(api: Api, folder: Path, clock: Clock):
    """Sent four times at once, it is done once, and each is answered as if it had been that one."""
    app, client = api
    number = edition(app, folder, clock)

    def pause(_: int) -> int:
        return client.post(f"campaigns/{number}/pause", headers=keyed("once")).status_code

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(pause, range(4))) == [200] * 4
    assert app.campaign(number).state == "paused"
    wrong(client.post(f"campaigns/{number}/pause", headers=keyed("another")), 409)


def test_a_key_is_for_one_request_of_one_token(api: Api, folder: Path, clock: Clock):
    """Another request under it is a 409; another token has keys of its own; what failed is not remembered."""
    app, client = api
    number = edition(app, folder, clock)
    other = bearer(app, "campaigns:write")
    wrong(client.post(f"campaigns/{number}/resume", headers=keyed("k")), 409)
    assert client.post(f"campaigns/{number}/pause", headers=keyed("k")).status_code == 200
    assert client.post(f"campaigns/{number}/pause", headers=keyed("k")).status_code == 200
    assert "new one" in wrong(client.post(f"campaigns/{number}/resume", headers=keyed("k")), 409)
    assert client.post(f"campaigns/{number}/resume", headers=keyed("k") | other).status_code == 200
    for key in ("", "x" * 201, "two words"):
        wrong(client.post(f"campaigns/{number}/pause", headers=keyed(key)), 422)
    app.revoke_token("some")
    assert app.campaign(number).state == "sending"


def test_unclear_messages_are_settled_in_one_of_three_ways(api: Api, folder: Path, clock: Clock):
    """Another word is a 422, and so is none."""
    app, client = api
    number = edition(app, folder, clock)
    for body in ({"as": "lost"}, {}, {"as_": "accepted"}):
        wrong(client.post(f"campaigns/{number}/settle", json=body), 422)
    answer = client.post(f"campaigns/{number}/settle", json={"as": "refused"})
    assert (answer.status_code, answer.json()["recipients"]) == (200, 0)
