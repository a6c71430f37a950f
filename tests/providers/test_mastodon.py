"""Mastodon: what it alone wants and says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from distributor.errors import AccountTrouble, Refused, TryLater, Unclear
from distributor.providers.social.mastodon import Mastodon
from tests.providers.networks import BATCH, FAULTS, Carrier, Described, Far, before, post, published
from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.mastodon import Mastodon as Fake

NETWORK = Described(
    name="mastodon",
    channel={"account": "@news@social.example", "key": "a-secret-token-of-mastodon"},
    provider=Mastodon,
    fake=Fake,
)


@pytest.mark.anyio
async def test_every_call_of_a_post_has_the_same_key_in_its_header():
    """The key is the batch's own, and it stands in the header, where the server looks for it."""
    _, _, far = await published(NETWORK)
    [created] = [one for one in far.requests if one.url.path == "/api/v1/statuses"]
    assert created.headers["Idempotency-Key"] == f"{BATCH.key}-0"
    assert "dempotency" not in created.content.decode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(422, {"error": "Validation failed: Text character limit of 500 exceeded"}), Refused),
        (reply(403, {"error": "Your login is currently suspended"}), AccountTrouble),
        (Reply(status=502, body=b"<html>", type="text/html"), Unclear),
        (Reply(status=404, body=b"", type="text/html"), AccountTrouble),
    ],
)
async def test_its_answers_say_what_to_do_next(answer: Reply, error: type[Exception]):
    """Too long is final, a suspended account and a wrong server are for a person, a gateway is silence."""
    far = Far(Fake(), {0: before(answer)})
    carrier = Carrier(NETWORK, far)
    with pytest.raises((error, AccountTrouble, Refused)) as caught:
        await carrier.carry(post(NETWORK.settings(), pictures=()), attempts=1)
    assert isinstance(caught.value, error) or any(isinstance(one, error) for one in carrier.told)


@pytest.mark.anyio
async def test_a_limit_says_in_iso_8601_when_it_ends():
    """X-RateLimit-Reset is a date there, not a number."""
    reset = (datetime.now(UTC) + timedelta(seconds=200)).isoformat()
    busy = reply(429, {"error": "Too many requests"}, **{"X-RateLimit-Reset": reset})
    carrier = Carrier(NETWORK, Far(Fake(), {0: before(busy)}))
    with pytest.raises(TryLater) as caught:
        await carrier.carry(post(NETWORK.settings()), attempts=1)
    assert caught.value.after is not None
    assert 190 < caught.value.after <= 200


@pytest.mark.anyio
async def test_a_server_that_knows_no_keys_gets_no_second_post():
    """snac2 and Takahe take no notice of the key: after a silence, its statuses are read first."""

    class Deaf(Fake):
        def answer(self, request: Request) -> Reply:
            heard = {name: value for name, value in request.headers.items() if name != "idempotency-key"}
            return super().answer(replace(request, headers=heard))

    far = Far(Deaf(), {1: FAULTS["silence after"]})
    receipt = await Carrier(NETWORK, far).carry(post(NETWORK.settings()))
    assert receipt
    assert len(far.fake.taken) == 1
