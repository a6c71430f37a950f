"""Who may use the API, and what for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import ref

import httpx
import pytest
from sqlalchemy import text

from distributor.access import EVERY, SCOPES
from distributor.app import App
from distributor.web.api import api
from distributor.web.rates import Rates
from distributor.web.site import site
from tests.web.api.asking import asked, bearer, wrong
from tests.web.reports import POSTMARK
from tests.workspace import Clock, opened, workspace

METHODS = ("get", "post", "patch", "delete")


@pytest.fixture
def small(tmp_path: Path, clock: Clock) -> Iterator[tuple[App, httpx.Client]]:
    """The program on SQLite, where the database makes no difference."""
    with asked(tmp_path / "house", clock, f"sqlite:///{tmp_path}/db") as found:
        yield found


def operations(client: httpx.Client) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, address and description of all that there is."""
    for path, methods in client.get("openapi.json").json()["paths"].items():
        for method, described in methods.items():
            some = (
                path.removeprefix("/api/v1/")
                .replace("{name}", "morning")
                .replace("{subscriber}", "1")
                .replace("{campaign}", "1")
            )
            yield method, some, described


def test_every_operation_wants_a_token_and_one_scope(small: tuple[App, httpx.Client]):
    """Without a token 401; with every scope but the one described 403, naming it; with that alone neither."""
    app, client = small
    everything = list(operations(client))
    assert len(everything) > 15
    tokens = {scope: bearer(app, scope, name=scope.replace(":", " ")) for scope in SCOPES}
    lacking = {
        scope: bearer(app, *(set(SCOPES) - {scope}), name=scope.replace(":", " not ")) for scope in SCOPES
    }
    wanted = set()
    for method, path, described in everything:
        [need] = described["security"]
        [scope] = need["token"]
        wanted.add(scope)
        body: Any = {} if "requestBody" in described else None
        assert client.request(method, path, headers={"authorization": ""}, json=body).status_code == 401
        refused = client.request(method, path, headers=lacking[scope], json=body)
        assert scope in wrong(refused, 403), (method, path)
        assert f'scope="{scope}"' in refused.headers["www-authenticate"]
        taken = client.request(method, path, headers=tokens[scope], json=body)
        assert taken.status_code not in (401, 403), (method, path)
    assert wanted == set(SCOPES)


def test_writing_does_not_let_read_nor_reading_write(small: tuple[App, httpx.Client]):
    """A form that may add readers learns nothing of those there are, and who looks changes nothing."""
    app, client = small
    writes, reads = bearer(app, "subscribers:write"), bearer(app, "subscribers:read", name="reads")
    said = {"address": "ada@example.org", "lists": ["morning"], "name": "Ada", "consent": {"wording": "yes"}}
    added = client.post("subscribers", json=said, headers=writes)
    assert added.status_code == 201
    assert set(added.json()) == {"subscriber", "joined", "left_alone"}
    wrong(client.get("subscribers", headers=writes), 403)
    wrong(client.post("subscribers/find", json={"address": "ada@example.org"}, headers=writes), 403)
    wrong(client.post("subscribers", json=said, headers=reads), 403)
    wrong(client.delete("subscribers/1", headers=reads), 403)
    assert app.subscriber("ada@example.org").name == "Ada"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer dst_" + "a" * 40,
        "Bearer dst_" + "é" * 40,
        "Bearer " + "x" * 5000,
        "Basic dXNlcjpwYXNz",
        "dst_" + "a" * 40,
    ],
)
def test_who_is_not_known_is_refused(small: tuple[App, httpx.Client], header: str | None):
    """No token, a made-up one, another kind: 401 with WWW-Authenticate, before anything sent is looked at."""
    _, client = small
    headers = httpx.Headers([] if header is None else [(b"authorization", header.encode())])
    del client.headers["authorization"]
    answer = client.post("subscribers", content=b"{", headers=headers)
    wrong(answer, 401)
    assert answer.headers["www-authenticate"].startswith('Bearer realm="distributor"')
    assert client.get("nothing-of-the-kind", headers=headers).status_code == 401
    assert client.get("openapi.json", headers=headers).status_code == 200


def test_a_token_ends_when_it_is_revoked_or_over(api: tuple[App, httpx.Client], clock: Clock):
    """From that moment it is refused; the others are not."""
    app, client = api
    token = app.add_token("shop", ["articles:read"], expires_at=clock() + timedelta(hours=1))
    shop = {"authorization": f"bearer  {token}"}  # the kind is in any case (RFC 9110)
    assert client.get("articles", headers=shop).status_code == 200
    clock.go_on(hours=1)
    assert "over since 2026-06-01 07:00 UTC" in wrong(client.get("articles", headers=shop), 401)
    desk = bearer(app, "articles:read", name="desk")
    assert client.get("articles", headers=desk).status_code == 200
    app.revoke_token("desk")
    assert "revoked" in wrong(client.get("articles", headers=desk), 401)
    assert client.get("articles").status_code == 200


def test_that_a_token_is_used_is_written_once_an_hour(api: tuple[App, httpx.Client], clock: Clock):
    """A request seldom writes; still `tokens list` says to the hour when a token was used last."""
    app, client = api
    assert [token.used_at for token in app.api_tokens()] == [None]
    first = clock()
    for _ in range(3):
        assert client.get("lists").status_code == 200
        clock.go_on(minutes=10)
    assert app.api_token("all").used_at == first
    later = clock.go_on(seconds=EVERY.total_seconds())
    client.get("lists")
    assert app.api_token("all").used_at == later


@pytest.mark.anyio
async def test_too_much_of_one_token_is_put_off(small: tuple[App, httpx.Client]):
    """After 1200 requests in a minute 429 with Retry-After, for that token alone."""
    app, usual = small
    rates = Rates()
    assert {rates.token(app.api_token("all").id) for _ in range(1199)} == {0}
    all_, other = usual.headers, bearer(app, "articles:read")
    transport = httpx.ASGITransport(api(app, rates))
    async with httpx.AsyncClient(transport=transport, base_url="http://house/api/v1/") as client:
        assert (await client.get("lists", headers=all_)).status_code == 200
        answer = await client.get("lists", headers=all_)
        assert answer.headers["retry-after"] in wrong(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await client.get("articles", headers=other)).status_code == 200


def test_no_page_of_another_site_may_ask(small: tuple[App, httpx.Client]):
    """No answer invites a browser's scripts from elsewhere, and none sets a cookie."""
    _, client = small
    asking = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for answer in (client.options("subscribers", headers=asking), client.get("lists", headers=asking)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "set-cookie" not in answer.headers


def test_a_fault_of_ours_names_no_address(api: tuple[App, httpx.Client], caplog: pytest.LogCaptureFixture):
    """When a statement fails, the answer is a 500 in the usual shape, and the log has no address or token."""
    app, client = api
    with app.database.write() as db:
        db.execute(text("ALTER TABLE subscriber RENAME TO elsewhere"))
    said = {"address": "ada@example.org", "lists": ["morning"], "consent": {"wording": "yes"}}
    wrong(client.post("subscribers", json=said), 500)
    assert "subscriber" in caplog.text
    assert "ada@" not in caplog.text
    assert client.headers["authorization"].removeprefix("Bearer ") not in caplog.text


def test_when_the_database_is_away_it_says_when_to_come_again(tmp_path: Path, clock: Clock):
    """503 with Retry-After, and nothing that was asked is done."""
    with asked(tmp_path / "house", clock, f"sqlite:///{tmp_path}/db") as (app, client):
        app.database.close()
        for file in tmp_path.glob("db*"):
            file.rename(file.with_name(f"away-{file.name}"))
        (tmp_path / "db").mkdir()
        answer = client.get("lists")
        wrong(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        (tmp_path / "db").rmdir()
        for file in tmp_path.glob("away-*"):
            file.rename(file.with_name(file.name.removeprefix("away-")))
        assert client.get("lists").status_code == 200


def test_what_is_no_longer_served_is_forgotten(tmp_path: Path):
    """A daemon whose settings change for years holds one app, not each that it ever had."""

    def served() -> ref[App]:
        with opened(workspace(tmp_path, config=POSTMARK), Clock()) as app:
            site(app)
            return ref(app)

    gone = served()
    gc.collect()
    assert gone() is None
