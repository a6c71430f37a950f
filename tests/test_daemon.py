"""The program told to stop while it sends, as an operator or a service manager would tell it."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distributor.app import App
from distributor.config import load
from tests.simulator.control import Handle, simulator
from tests.workspace import subscribe, workspace, write_article

READERS = [f"reader{n}@example.org" for n in range(60)]
PROVIDER = """
[providers.resend]
type = "resend"
key = "re_123"
base_url = "{base_url}"
limits = {{ per_second = 10 }}
"""


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


def test_the_daemon_finishes_its_calls_before_it_ends(tmp_path: Path):
    """SIGTERM during an edition ends the daemon well, and the edition goes on with the next one."""
    with simulator(tmp_path / "accepted.tsv", latency=0.5) as vendor:
        config = prepared(tmp_path / "site", vendor)
        app = App(load(config, {}))
        app.make(app.order("morning"))
        app.close()
        with subprocess.Popen([sys.executable, "-m", "distributor", "run"], cwd=config.parent) as daemon:
            while not vendor.state()["calls"]:
                assert daemon.poll() is None
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(timeout=30) == 0
        accepted, queued, other = balance(config)
        assert (accepted + queued, other) == (60, 0)
        assert len(vendor.accepted()) == accepted
