"""A campaign that is badly received is paused before its provider pauses the account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from distributor.app import App
from distributor.config import Reputation
from distributor.model import Answer, Batch, Email
from distributor.reputation import verdict
from distributor.store.tallies import Standing
from tests.far_end import Recorder, through
from tests.web.reports import POSTMARK, bounced, complained, endpoint, followed_up, report
from tests.workspace import Clock, subscribe, write_article

LIMITS = Reputation()
READERS = [f"reader{number}@example.org" for number in range(40)]


@pytest.mark.parametrize(
    ("accepted", "bounces", "complaints", "says"),
    [
        (1000, 79, 2, None),
        (1000, 80, 0, "of 1,000 mails 8.00 % were returned for good"),
        (5000, 0, 15, "of 5,000 mails 0.30 % were called spam by their readers"),
        (1000, 0, 4, None),  # 0.4 %, but four may be chance
        (499, 400, 400, None),  # too few mails to say anything
        (0, 0, 0, None),
    ],
)
def test_so_many_are_too_many(accepted: int, bounces: int, complaints: int, says: str | None):
    """By the shares that providers name, with a little room; and never by a handful."""
    assert verdict(Standing(accepted=accepted, bounced=bounces, complained=complaints), LIMITS) == says


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sending(tmp_path: Path, clock: Clock, database_url: str) -> Iterator[tuple[App, Recorder, httpx.Client]]:
    """An edition of which half is accepted, and half waits."""
    few = "\n[reputation]\nleast = 10\n"
    with endpoint(tmp_path, clock, database_url, config=POSTMARK + few) as (app, client):
        subscribe(app, *READERS)
        recorder = Recorder(tmp_path / "log", recipients_per_call=20, answer=half)
        through(app, recorder, name="postmark")
        write_article(tmp_path, "ferry", published_at=clock())
        clock.go_on(days=1)
        app.look()
        app.deliver()
        yield app, recorder, client


def half(batch: Batch, mails: Sequence[Email]) -> Answer:
    """The first call is accepted, the second put off for once."""
    if batch.number == 2 and batch.attempt == 1:
        return Answer(later={mail.recipient: "not now" for mail in mails}, pause=3600)
    return Answer(receipt=batch.key)


def states(app: App) -> tuple[str, str | None, int]:
    [edition] = app.campaigns()
    return str(edition.state), edition.reason, app.balance(edition.id).queued


def test_a_campaign_is_paused_told_of_and_resumed_for_good(
    sending: tuple[App, Recorder, httpx.Client], clock: Clock
):
    """The rest waits for a person; who goes on with it is believed, however many more bounce."""
    app, recorder, client = sending
    keys = [(key, address) for key, address, _ in recorder.taken()]
    accepted = len(keys)
    for count, (key, address) in enumerate(keys[:4], 1):
        report(client, bounced(key, address, clock()))
        app.follow_up()
        assert states(app)[0] == "sending", count
    report(client, bounced(keys[4][0], keys[4][1], clock()))
    followed_up(app)
    state, reason, queued = states(app)
    assert (state, queued) == ("paused", len(READERS) - accepted)
    assert reason is not None
    assert reason.startswith(f"paused by itself: of {accepted} mails")
    told = [alert for alert in app.alerts() if alert.kind == "paused"]
    assert f"distributor campaigns resume {app.campaigns()[0].id}" in told[0].text
    app.resume(app.campaigns()[0].id)
    for key, address in keys[5:8]:
        report(client, complained(key, address, clock()))
    followed_up(app)
    assert states(app)[0] == "sending"
    clock.go_on(hours=2)
    app.deliver()
    assert states(app)[0] == "done"
