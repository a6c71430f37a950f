"""How people are told: each thing once, a storm as one message, until it arrives; and no secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apprise
import pytest
from apprise.decorators import notify

from distributor.app import App
from distributor.config import load
from distributor.store import alerts as store
from tests.workspace import Clock, subscribe, workspace

# Apprise looks for a module that Python will lack (2.2.0, seen 2026-11-29).
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

CONFIG = '[alerts]\nto = ["${ALERT_URL}"{more}]\nsilent_days = 30\n'
KEY = "a-key-of-somebody"


class Inbox:
    """A service that people read, as Apprise knows it."""

    def __init__(self) -> None:
        self.read: list[tuple[str, str]] = []
        self.is_down = False

    def take(self, body: str, title: str) -> bool:
        if not self.is_down:
            self.read.append((title, body))
        return not self.is_down


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    taken = Inbox()

    @notify(on="inbox", name="A service of this test")  # type: ignore[no-untyped-call, untyped-decorator]
    def take(body: str, title: str, notify_type: str, *args: object, **settings: object) -> bool:
        return taken.take(body, title)

    yield taken
    apprise.plugins.N_MGR.remove("inbox")  # type: ignore[no-untyped-call]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock, database_url: str, more: str = "") -> App:
    path = workspace(folder, config=CONFIG.replace("{more}", more), database=database_url)
    app = App(
        load(path, {"ALERT_URL": f"inbox://{KEY}", "DISTRIBUTOR_SECRET": "signs all of the links"}),
        clock=clock,
    )
    app.open()
    return app


@pytest.fixture
def app(tmp_path: Path, clock: Clock, database_url: str) -> Iterator[App]:
    app = opened(tmp_path, clock, database_url)
    yield app
    app.close()


def test_people_are_told_once(app: App, inbox: Inbox, clock: Clock):
    """What was raised is sent, by whichever process comes first, and not again."""
    app.alert("reload 1", "The new configuration is wrong")
    assert app.alarm.send() == 1
    clock.go_on(hours=1)
    assert app.alarm.send() == 0
    assert inbox.read == [("distributor, The Example: a person is needed", "The new configuration is wrong")]


def test_a_storm_becomes_one_message(app: App, inbox: Inbox, clock: Clock):
    """The first is told at once; what comes in the next minutes goes together, shortened."""
    app.alert("reload 1", "first")
    app.alarm.send()
    for number in range(40):
        app.alert(f"refused {number}", f"no. {number:02} was refused")
        app.alarm.send()
        clock.go_on(seconds=10)
    clock.go_on(minutes=10)
    app.alarm.send()
    assert len(inbox.read) == 2
    title, body = inbox.read[1]
    assert title.endswith("40 things need a person")
    assert "no. 04 was refused" in body
    assert body.endswith("And 35 more (35 refused): the log has all of them.")


def test_what_does_not_arrive_is_tried_again(app: App, inbox: Inbox, clock: Clock):
    """As long as it takes, after ever longer waits; one that was settled meanwhile is not sent."""
    app.alert("reload 1", "first")
    inbox.is_down = True
    for _ in range(60):
        assert app.alarm.send() == 0
        clock.go_on(minutes=1)
    assert inbox.read == []
    with app.database.read() as db:
        [alert] = store.alerts(db)
    assert 5 <= alert.tries <= 7
    inbox.is_down = False
    clock.go_on(hours=1)
    assert app.alarm.send() == 1
    app.alert("refused 7", "second")
    clock.go_on(minutes=30)
    with app.database.write() as db:
        store.clear(db, ["refused"], but=[], now=clock())
    assert app.alarm.send() == 0


def test_who_is_reached_is_not_told_again_for_the_sake_of_others(
    tmp_path: Path, clock: Clock, inbox: Inbox, database_url: str
):
    """An address that Apprise does not understand keeps nobody else from hearing."""
    app = opened(tmp_path, clock, database_url, more=', "nonsense"')
    app.alert("reload 1", "first")
    assert app.alarm.send() == 1
    app.close()


def test_no_message_holds_a_secret_or_an_address(app: App, inbox: Inbox):
    """Whatever stands in a reason or a title."""
    app.alert("reload 1", f"{KEY} signs all of the links: ada@example.org, news@news.example")
    app.alarm.send()
    [(_, body)] = inbox.read
    assert body == "… …: <address>, news@news.example"


def test_what_is_over_may_be_told_again(app: App, inbox: Inbox, clock: Clock, tmp_path: Path):
    """A site that falls silent a second time is news; one that flickers is not."""
    key = "silent 2026-06-01"
    for heard, wait in ((1, 0), (1, 10), (2, 90)):
        clock.go_on(minutes=wait)
        app.alert(key, "nothing was published")
        app.alarm.send()
        assert len(inbox.read) == heard
        with app.database.write() as db:
            assert store.clear(db, ["silent"], but=[], now=clock()) == [key]


def test_without_anybody_to_tell_nothing_is_sent(tmp_path: Path, clock: Clock):
    """The log has it all the same."""
    app = App(load(workspace(tmp_path), {}), clock=clock)
    app.open()
    subscribe(app, "ada@example.org")
    app.alert("reload 1", "first")
    assert [alert.text for alert in app.alerts()] == ["first"]
    assert app.alarm.send() == 0
    app.close()


def test_one_round_for_cron_waits_for_its_message(app: App, inbox: Inbox):
    """`run --once` ends when people have been told, or could not be."""
    app.alert("reload 1", "first")
    app.alerts()
    app.alarm.finish()
    assert len(inbox.read) == 1
