"""The page about the API is true: what it shows is sent, and what it lists is compared."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from distributor.access import SCOPES
from distributor.app import App
from tests.test_docs import fenced, plain, table_below
from tests.web.api.asking import asked, edition, wrong
from tests.workspace import Clock, write_article

PAGE = Path(__file__).parents[3] / "docs/api.md"
ROOT = "/api/v1"


@pytest.fixture
def house(tmp_path: Path, clock: Clock) -> Iterator[tuple[App, httpx.Client]]:
    with asked(tmp_path / "house", clock, f"sqlite:///{tmp_path}/db") as found:
        yield found


def shown() -> list[str]:
    """Every curl of the page, in its order."""
    text = "\n".join(fenced(PAGE, "sh")).replace("\\\n", " ")
    return re.findall(r"^curl (?:[^'\n]|'[^']*')+", text, re.MULTILINE)


def sent(client: httpx.Client, line: str) -> httpx.Response:
    """What curl would send."""
    words = iter(shlex.split(line)[1:])
    method, headers, body, url = "", dict[str, str](), None, ""
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-X":
            method = next(words)
        elif word == "-d":
            body = next(words)
        else:
            url = word
    assert headers.pop("Authorization") == "Bearer $TOKEN"
    path = url.removeprefix("$API/")
    assert path != url
    return client.request(method or ("POST" if body else "GET"), path, headers=headers, content=body)


def test_every_request_that_is_shown_is_done(house: tuple[App, httpx.Client], tmp_path: Path, clock: Clock):
    """In the order of the page, each is answered with a success, and does what the page says."""
    app, client = house
    write_article(tmp_path / "house", "harbour", article_id="4101", published_at=clock())
    assert edition(app, tmp_path / "house", clock) == 1
    assert len(shown()) > 12
    for line in shown():
        answer = sent(client, line)
        assert answer.is_success, (line, answer.text)
        if '"ben@' in line:
            assert answer.status_code == 202
        if "Send me the morning news" in line:
            assert answer.status_code == 201
            assert app.subscriber("ada@example.org").name == "Ada"
        if "4101" in line:
            assert answer.json()["reasons"][0]["verdict"].startswith("it is queued")


def test_every_operation_is_listed_with_its_scope(house: tuple[App, httpx.Client]):
    """The table has exactly what the description has."""
    _, client = house
    described = {
        (f"{method.upper()} {path.removeprefix(ROOT)}", operation["security"][0]["token"][0])
        for path, methods in client.get("openapi.json").json()["paths"].items()
        for method, operation in methods.items()
    }
    rows = table_below(PAGE, "What there is")
    assert {(plain(row[0]), plain(row[1])) for row in rows} == described
    assert len(rows) == len(described)


def test_scopes_and_statuses_are_those_there_are(house: tuple[App, httpx.Client]):
    """Every scope with what it allows, every status that is described, and the shape of a failure."""
    _, client = house
    assert {plain(row[0]): row[1] for row in table_below(PAGE, "Tokens")} == SCOPES
    operations = [
        operation
        for methods in client.get("openapi.json").json()["paths"].values()
        for operation in methods.values()
    ]
    described = {status for one in operations for status in one["responses"] if status >= "4"}
    assert {row[0] for row in table_below(PAGE, "When something is wrong")} == described | {"405"}
    [example] = fenced(PAGE, "json")
    answer = client.post("subscribers", json={"address": "a@example.org", "lists": ["morning"], "hour": 24})
    assert wrong(answer, 422)
    assert answer.json() == httpx.Response(200, content=example).json()
