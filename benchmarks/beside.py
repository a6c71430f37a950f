"""What a provider in trouble costs the campaigns that do not need it: one of two newsletters is measured."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

from benchmarks.measure import SQLITE, TIMES, Figure, figure
from distributor.app import App
from distributor.config import load
from tests.simulator.control import Handle, simulator
from tests.workspace import SITE, write_article

READERS, OTHERS = 300_000, 20_000
LONGEST = 120  # seconds
TROUBLES: Mapping[str, Sequence[Mapping[str, Any]]] = {  # of the other newsletter's provider
    "throttled": [{"effect": "busy", "retry_after": 1}],
    "failing": [{"effect": "error"}],
    "slow": [{"effect": "delay", "seconds": 5}],
}
CONFIG = """
[site]
content = "content"

[web]
public_url = "https://mail.news.example"

[providers.well]
type = "mailgun"
key = "k"
domain = "news.example"
base_url = "{well}"

[providers.ill]
type = "sendgrid"
key = "k"
base_url = "{ill}"

[newsletters.measured]
title = "Measured"
from = "Measured <a@news.example>"
providers = ["well"]
schedule = "0 7 * * *"

[newsletters.other]
title = "Other"
from = "Other <b@news.example>"
providers = ["ill"]
schedule = "0 7 * * *"
"""


def figures() -> Iterator[Figure]:
    with TemporaryDirectory() as name, simulator(Path(name) / "log") as vendor:
        ready = _frozen(Path(name) / "ready", vendor)
        alone = ready.with_name("alone")
        shutil.copytree(ready, alone)
        _without_the_other(alone)
        before, during = [], {trouble: list[float]() for trouble in TROUBLES}
        for _ in range(TIMES):  # by turns: what else the machine does is shared out evenly
            before.append(_seconds(alone, vendor, ()))
            for trouble, rules in TROUBLES.items():
                during[trouble].append(_seconds(ready, vendor, rules))
    rate = READERS / median(before)
    for trouble, seconds in during.items():
        slower = (median(seconds) / median(before) - 1) * 100
        told: dict[str, str | int] = {"database": SQLITE, "readers": READERS, "of_the_other": OTHERS}
        told["alone"] = f"{rate:.0f} recipients/s"
        yield figure(f"a campaign beside a provider that is {trouble}", slower, "% slower", **told)


def _frozen(folder: Path, vendor: Handle) -> Path:
    """Two editions, frozen and not yet sent."""
    folder.mkdir()
    (folder / "content").mkdir()
    (folder / "hugo.toml").write_text(SITE)
    write_article(folder, "ferry")
    config = CONFIG.format(well=vendor.url("mailgun"), ill=vendor.url("sendgrid"))
    (folder / "distributor.toml").write_text(config)
    app = _app(folder)
    app.open()
    app.scan(since=app.clock().replace(year=2020))
    for newsletter, readers in (("measured", READERS), ("other", OTHERS)):
        rows = "".join(f"{newsletter}{number}@example.org\n" for number in range(readers))
        app.import_subscribers(StringIO("email\n" + rows), default_lists=[newsletter])
        assert app.make(app.order(newsletter))
    app.close()
    return folder


def _without_the_other(folder: Path) -> None:
    app = _app(folder)
    for campaign in app.campaigns(channel="other"):
        app.cancel(campaign.id, reason="measured without it")
    app.close()


def _app(folder: Path) -> App:
    return App(load(folder / "distributor.toml", {"DISTRIBUTOR_SECRET": "s" * 32}))


def _seconds(folder: Path, vendor: Handle, rules: Sequence[Mapping[str, Any]]) -> float:
    """From the first to the last mail of the measured newsletter."""
    own = folder.with_name("run")
    shutil.copytree(folder, own)
    vendor.reset()
    vendor.faults([{"vendor": "sendgrid", **rule} for rule in rules])
    command = [sys.executable, "-m", "distributor", "--config", str(own / "distributor.toml"), "run"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        ends = monotonic() + LONGEST
        while vendor.state()["accepted_by"].get("mailgun", 0) < READERS:
            assert monotonic() < ends, "the measured newsletter never got through"
            sleep(0.25)
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
    times = [taken.at for taken in vendor.taken() if taken.vendor == "mailgun"]
    shutil.rmtree(own)
    return max(times) - min(times)
