"""Readers through the API: they come with evidence, change, rest, go, and are forgotten."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from distributor.app import App
from tests.web.api.asking import READERS, asked, wrong
from tests.workspace import Clock, leave, mails, subscribe

ADA = "ada@example.org"
Api = tuple[App, httpx.Client]


def said(address: str = ADA, **more: Any) -> dict[str, Any]:
    return {"address": address, "lists": ["morning"], "consent": {"wording": "Send me the news"}} | more


def number(app: App, address: str = ADA) -> int:
    return app.subscriber(address).id


def test_who_agreed_is_a_reader_and_the_evidence_is_kept(api: Api, clock: Clock):
    """With consent they are on the list at once; when, from where and to what they agreed is noted."""
    app, client = api
    at = clock() - timedelta(days=3)
    consent = {"wording": "Yes, daily", "at": at.isoformat(), "ip": "192.0.2.7", "agent": "Shop/1"}
    answer = client.post("subscribers", json=said(name="Ada", topics=["sport"], hour=7, consent=consent))
    assert answer.status_code == 201
    assert answer.json() == {"subscriber": number(app), "joined": ["morning"], "left_alone": []}
    shown = client.get(f"subscribers/{number(app)}").json()
    assert (shown["address"], shown["name"], shown["hour"]) == (ADA, "Ada", 7)
    [place] = shown["subscriptions"]
    assert (place["list"], place["state"], place["topics"]) == ("morning", "confirmed", ["sport"])
    [noted] = app.personal_data(ADA)["consents"]
    assert (noted["source"], noted["ip"], noted["agent"], noted["wording"], noted["detail"]) == (
        "api", "192.0.2.7", "Shop/1", "Yes, daily", "by all",
    )  # fmt: skip
    assert noted["at"] == at.isoformat()


def test_adding_twice_is_adding_once(api: Api):
    """Sent again, whoever sends it, nothing changes and nothing more is noted."""
    app, client = api
    assert client.post("subscribers", json=said()).status_code == 201
    again = client.post("subscribers", json=said("ADA@Example.org", name="Somebody else"))
    assert (again.status_code, again.json()["joined"]) == (200, [])
    assert app.subscriber(ADA).name == ""
    assert len(app.personal_data(ADA)["consents"]) == 1


def test_who_left_is_not_brought_back(api: Api):
    """A list that they left, everything, or erasure: 409, and they stay away."""
    app, client = api
    subscribe(app, *READERS[:3])
    first, second, third = (number(app, address) for address in READERS[:3])
    assert client.delete(f"subscribers/{first}/subscriptions/morning").json()["changed"]
    assert client.delete(f"subscribers/{second}/subscriptions").json()["changed"]
    assert client.delete(f"subscribers/{third}").status_code == 200
    for address in READERS[:3]:
        assert "stays so" in wrong(client.post("subscribers", json=said(address)), 409)
    assert {place.state for place in app.subscriber(READERS[0]).subscriptions} == {"unsubscribed"}
    both = client.post("subscribers", json=said(READERS[0], lists=["morning", "weekend"]))
    assert (both.json()["joined"], both.json()["left_alone"]) == (["weekend"], ["morning"])


def test_without_consent_the_address_is_asked_once(tmp_path: Path, clock: Clock):
    """A mail asks it, once a day, and the answer is the same whether it is known or not."""
    with asked(tmp_path / "house", clock, f"sqlite:///{tmp_path}/db") as (app, client):
        subscribe(app, READERS[0])
        plain = {"address": ADA, "lists": ["morning"]}
        answers = [client.post("subscribers", json=plain | {"address": a}) for a in (ADA, ADA, READERS[0])]
        assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"asked":true}')}
        assert [place.state for place in app.subscriber(ADA).subscriptions] == ["unconfirmed"]
        app.deliver()
        assert [str(mail["To"]) for mail in mails(tmp_path / "house")] == [ADA]


def test_what_is_left_out_stays_and_null_takes_back(api: Api, clock: Clock):
    """A change says what it changes; asked again, nothing does."""
    app, client = api
    client.post("subscribers", json=said(name="Ada", hour=7, timezone="Europe/Berlin", locale="de"))
    path = f"subscribers/{number(app)}"
    until = clock() + timedelta(days=30)
    change = {
        "hour": None,
        "timezone": "Asia/Tokyo",
        "attributes": {"plan": "gold"},
        "paused_until": until.isoformat(),
        "lists": {"morning": {"cadence": "weekly", "topics": ["science", "sport"]}},
    }
    assert client.patch(path, json=change).json() == {"id": number(app), "changed": True}
    person = app.subscriber(ADA)
    assert (person.name, person.hour, person.timezone, person.locale) == ("Ada", None, "Asia/Tokyo", "de")
    assert person.attributes == {"plan": "gold"}
    [place] = person.subscriptions
    assert (place.cadence, place.topics, place.paused_until) == ("weekly", ("science", "sport"), until)
    assert client.patch(path, json=change).json()["changed"] is False
    assert client.patch(path, json={"paused_until": None, "attributes": {"plan": None}}).json()["changed"]
    person = app.subscriber(ADA)
    assert (person.attributes, person.subscriptions[0].paused_until) == ({}, None)
    assert {note["source"] for note in app.personal_data(ADA)["consents"]} == {"api"}


def test_a_list_that_they_do_not_read_is_not_changed(api: Api):
    """409 for a list they are not on, 422 for one that there is not; nothing of the change is kept."""
    app, client = api
    client.post("subscribers", json=said())
    path = f"subscribers/{number(app)}"
    said_too = {"name": "Ada", "lists": {"weekend": {"cadence": "weekly"}}}
    late = {"paused_until": "9999-12-31T23:59:59-14:00"}
    assert "paused_until" in wrong(client.patch(path, json=late), 422)
    assert "does not subscribe to 'weekend'" in wrong(client.patch(path, json=said_too), 409)
    wrong(client.patch(path, json={"name": "Ada", "lists": {"evening": {}}}), 422)
    wrong(client.patch(path, json={"name": "Ada", "lists": {"morning": {"topics": ["chess"]}}}), 422)
    assert app.subscriber(ADA).name == ""


def test_who_is_erased_is_gone(api: Api):
    """What is answered is the proof; after that there is nobody of that number or address."""
    app, client = api
    client.post("subscribers", json=said())
    path = f"subscribers/{number(app)}"
    proof = client.delete(path).json()
    assert set(proof) == {"subscriber", "address_hash", "erased_at", "subscriptions", "consents"}
    assert proof["subscriptions"] == 1
    for answer in (
        client.get(path),
        client.delete(path),
        client.patch(path, json={}),
        client.delete(f"{path}/subscriptions"),
        client.post("subscribers/find", json={"address": ADA}),
    ):
        wrong(answer, 404)


def test_lists_say_who_reads_them(api: Api):
    """Each with its topics and cadences; counted by state only when one is asked for."""
    app, client = api
    subscribe(app, *READERS[:3])
    leave(app, READERS[0])
    shown = client.get("lists").json()["lists"]
    assert [(one["name"], one["title"]) for one in shown] == [
        ("morning", "The Morning"),
        ("weekend", "The Weekend"),
    ]
    assert shown[0]["topics"] == ["science", "sport", "town hall"]
    assert client.get("lists/morning").json() == shown[0] | {"readers": {"confirmed": 2, "unsubscribed": 1}}
    wrong(client.get("lists/evening"), 404)
    of_list = client.get("subscribers", params={"list": "morning"}).json()["subscribers"]
    assert [one["address"] for one in of_list] == list(READERS[:3])
    assert client.get("subscribers", params={"list": "weekend"}).json()["subscribers"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": "ada"}, "address"),
        ({"address": "ada@example.org\r\nBcc: x@example.org"}, "address"),
        ({"address": "a" * 400 + "@example.org"}, "address"),
        ({"address": None}, "address"),
        ({"address": ["ada@example.org"]}, "address"),
        ({"lists": []}, "lists"),
        ({"lists": ["evening"]}, "lists"),
        ({"lists": ["\x00"]}, "lists.0"),
        ({"lists": ["morning"] * 101}, "lists"),
        ({"name": "A\x00da"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"topics": ["chess"]}, ""),
        ({"topics": ["sport"] * 500_000}, ""),
        ({"cadence": "hourly"}, "cadence"),
        ({"hour": 24}, "hour"),
        ({"hour": 10**300}, "hour"),
        ({"hour": 1e308}, "hour"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "/" * 60}, "timezone"),
        ({"locale": "de_DE"}, "locale"),
        ({"attributes": {"plan": 3}}, "attributes.plan"),
        ({"attributes": {str(n): "" for n in range(51)}}, "attributes"),
        ({"consent": {"wording": ""}}, "consent.wording"),
        ({"consent": {"wording": "yes", "at": "2026-06-01T06:00:00"}}, "consent.at"),
        ({"consent": {"wording": "yes", "at": 10**400}}, "consent.at"),
        ({"consent": {"wording": "yes", "at": "99999-01-01T00:00:00Z"}}, "consent.at"),
        ({"consent": {"wording": "yes", "at": "9999-12-31T23:59:59-14:00"}}, "consent.at"),
        ({"consent": {"wording": "yes", "at": "0001-01-01T00:00:00+14:00"}}, "consent.at"),
        ({"consent": {"wording": "yes", "ip": "x" * 46}}, "consent.ip"),
        ({"nickname": "Ada"}, "nickname"),
    ],
)
def test_what_cannot_be_understood_names_its_field(sqlite_api: Api, change: dict[str, Any], field: str):
    """A 4xx with a sentence that names the field, whatever stands in it; nobody is added."""
    app, client = sqlite_api
    body = json.dumps(said() | change).encode()
    answer = client.post("subscribers", content=body, headers={"content-type": "application/json"})
    message = wrong(answer, answer.status_code)
    assert answer.status_code in (413, 422)
    if field:
        assert field in answer.json()["error"]["fields"], answer.text
        assert field in message or field == "lists"
    assert list(app.everybody()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 300_000,
        b'{"a":' * 100_000,
        b"1" * 100_000,
        b"NaN",
        b'{"address": "ada@example.org", "address": 3, "lists": ["morning"]}',
        b" " * 1_000_001,
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", "", "é"])
def test_no_body_brings_a_fault(sqlite_api: Api, body: bytes, kind: str):
    """What is no JSON, too deep, too large or of another kind is a 4xx."""
    _, client = sqlite_api
    headers = httpx.Headers([(b"content-type", kind.encode("latin-1"))])
    answer = client.post("subscribers", content=body, headers=headers)
    assert answer.status_code in (400, 413, 422), answer.text
    wrong(answer, answer.status_code)


@pytest.mark.parametrize(
    "path",
    [
        "subscribers/0", "subscribers/-1", "subscribers/9223372036854775808", "subscribers/" + "9" * 5000,
        "subscribers/one", "subscribers/1e3", "subscribers/%00", "subscribers/%ff", "subscribers?limit=1001",
        "subscribers?after=-1", "subscribers?after=9223372036854775808", "subscribers?list=%00",
        "subscribers?lisst=morning", "subscribers?limit=1&limit=2", "campaigns?channel=%00",
        "campaigns/0/deliveries", "articles?after=x", "articles?after=1~%00", "articles?state=public%00",
        "articles?new=perhaps", "events?type=exploded", "events?provider=%00",
        "explain?article=%00&subscriber=1", "explain?article=x",
    ],
)  # fmt: skip
def test_no_address_brings_a_fault(sqlite_api: Api, path: str):
    """Numbers too large, NUL, and parameters that there are not are a 422 that says so."""
    _, client = sqlite_api
    answer = client.get(path)
    wrong(answer, 422)
    assert answer.json()["error"]["fields"], answer.text
