"""The program left running: what it notices, how it takes new settings, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from time import monotonic
from typing import Any, Self

import anyio
import httpx
import pytest
from sqlalchemy import Connection, Engine, event

from distributor.app import App
from distributor.config import load
from distributor.daemon import Carrier, Daemon, Troubles
from distributor.errors import ConfigError
from distributor.model import Answer
from distributor.signals import Ears
from distributor.store import alerts, campaigns
from distributor.web.server import Server
from tests.far_end import Recorder, through
from tests.simulator.control import Handle, simulator
from tests.workspace import MONDAY, Clock, opened, subscribe, workspace, write_article

READERS = [f"reader{n}@example.org" for n in range(60)]
PROVIDER = """
[providers.resend]
type = "resend"
key = "re_123"
base_url = "{base_url}"
limits = {{ per_second = 10 }}
"""
CHANNEL = """
[channels.{name}]
network = "mastodon"
"""
PATIENT = "\n[daemon]\nlook_seconds = 3600\n"  # whatever happens soon has another cause
WITHIN = 30  # seconds: what does not happen in so long does not happen


class Told(Ears):
    """Signals as a test gives them."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[int] = SimpleQueue()
        self._heard = self.queue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Running:
    """A daemon in a thread, what it says, and signals for it."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.said: SimpleQueue[str] = SimpleQueue()
        self.heard: list[str] = []
        self._ears = Told()
        self._daemon = Daemon(lambda: load(path, {}), tell=self.said.put, ears=lambda: self._ears, **settings)
        self.ended: Future[bool]

    def waits_for(self, *words: str) -> str:
        """The next thing said that has all these words in it."""
        while True:
            text = self.said.get(timeout=WITHIN)
            self.heard.append(text)
            if all(word in text for word in words):
                return text

    @property
    def server(self) -> Server | None:
        return self._daemon._server

    def signal(self, number: int) -> None:
        self._ears.queue.put(number)

    def go(self) -> bool:
        return self._daemon.run()


@contextmanager
def running(path: Path, *, says: str = "runs", **settings: Any) -> Iterator[Running]:
    """A daemon on a workspace, until the block is over."""
    daemon = Running(path, **settings)
    with ThreadPoolExecutor(1) as pool:
        daemon.ended = pool.submit(daemon.go)
        try:
            daemon.waits_for(says)
            yield daemon
        finally:
            daemon.signal(signal.SIGTERM)
        assert daemon.ended.result(WITHIN)


def just_now() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


def until(holds: Callable[[], object]) -> None:
    """Wait for something outside to be so; bounded."""
    ends_at = monotonic() + WITHIN
    while not holds():
        assert monotonic() < ends_at
        Event().wait(0.02)


def appears(folder: Path, pattern: str) -> None:
    until(lambda: list(folder.glob(pattern)))


def known_channels(path: Path) -> set[str]:
    with opened(path, Clock()) as app, app.database.read() as db:
        return set(campaigns.channels(db))


# --- noticing ---


def test_an_article_is_announced_as_soon_as_it_is_written(tmp_path: Path):
    """The daemon waits for no tick: what is written into the content folder goes out by itself, once."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + PATIENT)
    with running(path):
        write_article(tmp_path, "sub/fresh", published_at=just_now())
        (tmp_path / "content/sub/.fresh.md.swp").write_text("an editor's own")
        appears(tmp_path / "var/outbox/social/news", "*/post.json")
    assert len(list((tmp_path / "var/outbox/social/news").iterdir())) == 1


def test_an_embargo_ends_on_the_second(tmp_path: Path):
    """What becomes public by time alone is announced at that moment, with no tick near."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + PATIENT)
    with running(path):
        until_at = datetime.now(UTC) + timedelta(seconds=1.5)
        write_article(
            tmp_path, "held", published_at=just_now(), distributor={"embargo": until_at.isoformat()}
        )
        appears(tmp_path / "var/outbox/social/news", "*/post.json")
        assert timedelta(0) <= datetime.now(UTC) - until_at < timedelta(seconds=WITHIN / 2)


def test_the_site_looks_at_what_a_worker_does_not(tmp_path: Path):
    """A worker delivers what another process froze, and plans nothing itself."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news"))
    app = App(load(path, {}))
    app.open()
    app.scan()
    with running(path, parts=["delivery"], says="delivery runs"):
        write_article(tmp_path, "fresh", published_at=just_now())
        app.look()
        appears(tmp_path / "var/outbox/social/news", "*/post.json")
    app.close()


# --- the configuration, anew ---


def test_new_settings_hold_without_a_restart(tmp_path: Path):
    """SIGHUP brings a channel that was added: what is published from then on is posted there too."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + PATIENT)
    with running(path) as daemon:
        path.write_text(path.read_text().replace(PATIENT, CHANNEL.format(name="other") + PATIENT))
        daemon.signal(signal.SIGHUP)
        daemon.waits_for("read anew", "channels.other added")
        until(lambda: "other" in known_channels(path))  # what was public by then is not news there
        write_article(tmp_path, "fresh", published_at=just_now())
        appears(tmp_path / "var/outbox/social/other", "*/post.json")
        appears(tmp_path / "var/outbox/social/news", "*/post.json")


def test_wrong_settings_change_nothing(tmp_path: Path):
    """With a new configuration that is wrong, all of it is said, an alert raised, and the old one kept."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + PATIENT)
    right = path.read_text()
    with running(path) as daemon:
        path.write_text(right.replace("mastodon", "myspace") + "looks = 1\n")
        daemon.signal(signal.SIGHUP)
        told = daemon.waits_for("is kept as it was")
        assert "channels.news.network" in told
        assert "daemon.looks is not a setting" in told
        write_article(tmp_path, "fresh", published_at=just_now())
        appears(tmp_path / "var/outbox/social/news", "*/post.json")
    with opened(path_with(path, right), Clock()) as app, app.database.read() as db:
        [alert] = [one for one in alerts.alerts(db) if one.key.startswith("reload")]
        assert "channels.news.network" in alert.text


def test_a_template_that_does_not_compile_is_wrong_too(tmp_path: Path):
    """New settings are tried on an invented article before anything depends on them."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + PATIENT)
    with running(path) as daemon:
        folder = tmp_path / "templates/social"
        folder.mkdir(parents=True)
        (folder / "post.txt.j2").write_text("{{ story.title ")
        daemon.signal(signal.SIGHUP)
        assert "post.txt.j2" in daemon.waits_for("is kept as it was")


def test_what_takes_a_restart_is_said(tmp_path: Path):
    """Another database or address is not gone over to while running; the rest of the change is."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + PATIENT)
    with running(path) as daemon:
        text = path.read_text().replace("var/distributor.db", "var/other.db")
        path.write_text(text.replace("[web]", '[web]\nlisten = "127.0.0.1:1"').replace('"news"', '"new"'))
        daemon.signal(signal.SIGHUP)
        daemon.waits_for("url has changed: that takes a restart")
        daemon.waits_for("listen has changed: that takes a restart")
        daemon.waits_for("read anew: nothing changed")
    assert not (tmp_path / "var/other.db").exists()


def test_the_web_endpoint_goes_over_without_a_gap(tmp_path: Path):
    """After a reload the same port soon answers by the new settings, and at no moment not at all."""
    path = workspace(tmp_path, config=PATIENT)
    path.write_text(path.read_text().replace("[web]", '[web]\nlisten = "127.0.0.1:0"'))
    with running(path, says="answers at") as daemon, httpx.Client(timeout=WITHIN) as client:
        address = next(told for told in daemon.heard if "answers at" in told).rpartition(" ")[2]
        daemon.waits_for("runs")
        hook = f"http://{address}/webhooks/published"
        assert client.post(hook).status_code == 404
        path.write_text(path.read_text().replace("[web]", '[web]\npublished_secret = "a-long-enough-secret"'))
        daemon.signal(signal.SIGHUP)
        daemon.waits_for("read anew: web changed")
        # For a moment both take connections, the one that is to end and the one that has begun.
        until(lambda: httpx.post(hook, timeout=WITHIN).status_code == 401)


def path_with(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- what goes wrong ---


def test_a_database_that_is_away_is_waited_for(tmp_path: Path):
    """A server that is not there yet ends nothing: it is said once, and SIGTERM ends the waiting."""
    url = f"postgresql+psycopg://me@/nothing?host={tmp_path}"
    path = workspace(tmp_path, database=url)
    with running(path, says="It is waited for") as daemon:
        assert not daemon.ended.done()
    assert len([told for told in daemon.heard if "waited for" in told]) == 1


def test_a_daemon_begins_when_its_database_comes(tmp_path: Path, postgres: str):
    """Once the server is there, everything begins by itself."""
    host = Path(postgres.rpartition("host=")[2])
    away = tmp_path / "socket"
    path = workspace(tmp_path / "site", database=f"postgresql+psycopg://postgres@/postgres?host={away}")
    with running(path, says="It is waited for") as daemon:
        away.symlink_to(host)
        daemon.waits_for("the database is there")
        daemon.waits_for("distributor runs")


def test_a_port_that_is_taken_is_told_before_anything_begins(tmp_path: Path):
    """Two daemons cannot listen at one port: the second says so, and which setting that is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = workspace(tmp_path)
        path.write_text(path.read_text().replace("[web]", f'[web]\nlisten = "127.0.0.1:{port}"'))
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened at"):
            Running(path).go()


def test_a_site_that_is_not_there_ends_the_daemon_at_its_start(tmp_path: Path):
    """Something that is wrong from the beginning is a fault of the set-up, and is told as one."""
    path = workspace(tmp_path)
    (tmp_path / "content").rmdir()
    with pytest.raises(Exception, match="does not exist"):
        Running(path).go()


def test_a_content_folder_that_goes_away_is_said_once(tmp_path: Path):
    """While the site is unmounted nothing counts as deleted, and the daemon goes on when it is back."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + "\n[daemon]\nlook_seconds = 1\n")
    with running(path) as daemon:
        (tmp_path / "content").rename(tmp_path / "elsewhere")
        daemon.waits_for("does not exist")
        (tmp_path / "elsewhere").rename(tmp_path / "content")
        daemon.waits_for("is looked at again")
        write_article(tmp_path, "fresh", published_at=just_now())
        appears(tmp_path / "var/outbox/social/news", "*/post.json")
    assert len([told for told in daemon.heard if "content folder" in told and "does not exist" in told]) == 1


def test_a_disk_that_is_full_is_said_and_loses_nothing(tmp_path: Path):
    """While nothing can be written nothing is announced, and once there is room again it is, once."""
    path = workspace(tmp_path, config=CHANNEL.format(name="news") + "\n[daemon]\nlook_seconds = 1\n")
    is_full = Event()

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if is_full.is_set() else 2**30}")

    event.listen(Engine, "begin", limit)
    try:
        with running(path) as daemon:
            is_full.set()
            for number in range(20):  # more than there is room for in pages that are begun
                write_article(tmp_path, f"fresh{number}", published_at=just_now())
            daemon.waits_for("full")
            is_full.clear()
            daemon.waits_for("is looked at again")
            until(lambda: len(list((tmp_path / "var/outbox/social/news").glob("*/post.json"))) == 20)
            assert not daemon.ended.done()
    finally:
        event.remove(Engine, "begin", limit)


def test_a_web_endpoint_that_dies_is_begun_again(tmp_path: Path):
    """Whatever ends its thread, the port answers again."""
    path = workspace(tmp_path)
    path.write_text(path.read_text().replace("[web]", '[web]\nlisten = "127.0.0.1:0"'))
    with running(path) as daemon:
        address = next(told for told in daemon.heard if "answers at" in told).rpartition(" ")[2]
        assert httpx.get(f"http://{address}/healthz").status_code == 200
        server = daemon.server
        assert server is not None
        server.stop()
        daemon.waits_for("the web endpoint has died")
        assert httpx.get(f"http://{address}/healthz").status_code == 200


def test_a_worker_that_fails_is_begun_again(tmp_path: Path):
    """An error that nobody foresaw ends one try to deliver, is told with its name, and another follows."""
    tried: SimpleQueue[object] = SimpleQueue()
    said: SimpleQueue[str] = SimpleQueue()

    class Broken(App):
        def worker(self, **_: object) -> Any:
            tried.put(1)
            raise ZeroDivisionError("a fault of ours")

    app = Broken(load(workspace(tmp_path), {}))
    carrier = Carrier(app, troubles=Troubles(said.put), rest=0.01)
    carrier.start()
    for _ in range(3):
        tried.get(timeout=WITHIN)
    carrier.stop()
    assert carrier.ends(WITHIN)
    assert "ZeroDivisionError: a fault of ours" in said.get(timeout=WITHIN)
    assert said.empty()  # it is said once
    app.close()


# --- ending ---


def silent(asked: Event) -> type[Recorder]:
    """A provider that never answers."""

    class Silent(Recorder):
        async def send(self, *_: object, **__: object) -> Answer:
            asked.set()
            await anyio.sleep_forever()
            raise AssertionError

    return Silent


@pytest.mark.parametrize(("repeatable", "state"), [(True, "queued"), (False, "unclear")])
def test_calls_that_outlast_the_deadline_are_broken_off(
    tmp_path: Path, database_url: str, repeatable: bool, state: str
):
    """What never answers is put back where repeating it is harmless, and is unclear otherwise."""
    clock = Clock()
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        subscribe(app, *READERS[:2])
        write_article(tmp_path, "news", published_at=MONDAY)
        app.scan()
        asked = Event()
        through(app, silent(asked)(tmp_path / "none", repeatable=repeatable))
        campaign = app.make(app.order("morning"))
        assert campaign
        carrier = Carrier(app, troubles=Troubles(print))
        carrier.start()
        assert asked.wait(WITHIN)
        carrier.stop()
        assert not carrier.ends(0)
        carrier.break_off()
        assert carrier.ends(WITHIN)
        found = app.balance(campaign.id)
        assert (getattr(found, state), found.gap) == (2, 0)


def prepared(folder: Path, vendor: Handle) -> Path:
    """A newsletter with sixty readers through a provider that takes ten a second, and something to say."""
    path = workspace(folder, config=PROVIDER.format(base_url=vendor.url("resend")))
    path.write_text(path.read_text().replace('["outbox"]', '["resend"]\npictures = "link"'))
    with_app = App(load(path, {}))
    try:
        with_app.open()
        with_app.scan()
        subscribe(with_app, *READERS)
        write_article(folder, "news", published_at=datetime.now(UTC) - timedelta(minutes=1))
        with_app.scan()
    finally:
        with_app.close()
    return path


def balance(config: Path) -> tuple[int, int, int]:
    """How many of the one edition are accepted, queued, and anything else."""
    app = App(load(config, {}))
    [campaign] = [found for found in app.campaigns() if found.state != "skipped"]
    found = app.balance(campaign.id)
    app.close()
    assert found.gap == 0
    return found.accepted, found.queued, found.sending + found.unclear + found.refused + found.skipped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_told_to_stop_leaves_nothing_unclear(tmp_path: Path, number: signal.Signals):
    """Calls under way are finished and recorded; the rest is queued, and the next run sends it, once."""
    with simulator(tmp_path / "accepted.tsv", latency=0.5) as vendor:
        config = prepared(tmp_path / "site", vendor)
        run = [sys.executable, "-m", "distributor"]
        with subprocess.Popen([*run, "send", "morning", "--yes"], cwd=config.parent) as sending:
            while not vendor.state()["calls"]:
                assert sending.poll() is None
            sending.send_signal(number)
            assert sending.wait(timeout=30) == 0
        accepted, queued, other = balance(config)
        assert (accepted + queued, other) == (60, 0)
        assert queued > 0
        assert len(vendor.accepted()) == accepted
        subprocess.run([*run, "run", "--once"], cwd=config.parent, check=True, stdout=subprocess.DEVNULL)
        assert balance(config) == (60, 0, 0)
        assert set(vendor.accepted().values()) == {1}


def sending(tmp_path: Path, vendor: Handle, then: Callable[[subprocess.Popen[bytes]], None]) -> Path:
    """A daemon in a process of its own, in whose first call to the vendor something is done to it."""
    config = prepared(tmp_path / "site", vendor)
    app = App(load(config, {}))
    app.make(app.order("morning"))
    app.close()
    with subprocess.Popen([sys.executable, "-m", "distributor", "run"], cwd=config.parent) as daemon:
        while not vendor.state()["calls"]:
            assert daemon.poll() is None
        then(daemon)
    return config


def test_the_daemon_finishes_its_calls_before_it_ends(tmp_path: Path):
    """SIGTERM during an edition ends the daemon well, and the edition goes on with the next one."""

    def stop(daemon: subprocess.Popen[bytes]) -> None:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=30) == 0

    with simulator(tmp_path / "accepted.tsv", latency=0.5) as vendor:
        accepted, queued, other = balance(sending(tmp_path, vendor, stop))
        assert (accepted + queued, other) == (60, 0)
        assert len(vendor.accepted()) == accepted


def test_a_second_signal_ends_it_at_once(tmp_path: Path):
    """Whoever asks twice waits for no answer; what was under way is taken over later, like after a kill."""

    def stop_twice(daemon: subprocess.Popen[bytes]) -> None:
        daemon.send_signal(signal.SIGTERM)
        while daemon.poll() is None:
            daemon.send_signal(signal.SIGINT)
        assert daemon.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)

    with simulator(tmp_path / "accepted.tsv", latency=20) as vendor:
        config = sending(tmp_path, vendor, stop_twice)
    with opened_now(config) as app:
        [campaign] = [found for found in app.campaigns() if found.state != "skipped"]
        assert app.balance(campaign.id).sending > 0


@contextmanager
def opened_now(config: Path) -> Iterator[App]:
    app = App(load(config, {}))
    try:
        yield app
    finally:
        app.close()
