"""From a file that is written to the first message that a provider accepted, while the daemon was idle."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import monotonic, sleep, time

from benchmarks import site
from benchmarks.measure import SQLITE, Figure, figure
from distributor.app import App
from distributor.config import load
from tests.simulator.control import Handle, simulator

TIMES = 40  # articles, one after another
IDLE = 1.5  # seconds between them, so that everything has come to rest
READERS = 100
WITHIN = 60  # seconds: what takes longer never comes
NAME = "file written to first acceptance"
CONFIG = """
[site]
content = "content"

[web]
public_url = "https://mail.lantern.example"
secret = "a secret that nobody reads"

[providers.resend]
type = "resend"
key = "re_123"
base_url = "{base_url}"

[newsletters.lantern]
title = "The Lantern"
from = "The Lantern <news@lantern.example>"
providers = ["resend"]
schedule = "0 7 1 1 *"
pictures = "link"
"""
ARTICLE = """+++
title = "{title}"
date = {at}
[distributor]
breaking = true
+++

{body}
"""


def figures() -> Iterator[Figure]:
    for articles in (1_000, 10_000):
        with TemporaryDirectory(prefix="bench-latency-") as name:
            folder = Path(name)
            with simulator(folder / "accepted.tsv") as vendor:
                _prepare(folder, articles, vendor)
                with _daemon(folder):
                    found = [_announced(folder, number, vendor) for number in range(TIMES)]
        about: dict[str, str | int] = {
            "database": SQLITE,
            "site": f"{articles:,} articles",
            "readers": READERS,
            "times": TIMES,
            "of_these_settle_ms": 200,
        }
        yield figure(f"{NAME}, {articles:,} articles, p95", quantiles(found, n=20)[-1], "s", **about)
        yield figure(f"{NAME}, {articles:,} articles, median", median(found), "s", **about)


def _prepare(folder: Path, articles: int, vendor: Handle) -> None:
    """A site that was looked at once, and readers who want breaking news at once."""
    site.workspace(folder, articles=articles)
    path = folder / "distributor.toml"
    path.write_text(CONFIG.format(base_url=vendor.url("resend")))
    app = App(load(path, {}))
    app.open()
    app.scan()
    rows = [f"reader{number}@example.org,instant\n" for number in range(READERS)]
    app.import_subscribers(["email,cadence\n", *rows], default_lists=["lantern"])
    app.close()


@contextmanager
def _daemon(folder: Path) -> Iterator[None]:
    said = folder / "said.log"
    command = [sys.executable, "-m", "distributor", "run"]
    with said.open("wb") as log, subprocess.Popen(command, cwd=folder, stderr=log) as process:
        try:
            _until(lambda: "distributor runs" in said.read_text())
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WITHIN)


def _announced(folder: Path, number: int, vendor: Handle) -> float:
    """Seconds from an article's file to its first message."""
    sleep(IDLE)
    random = Random(number)
    before = len(vendor.taken())
    text = ARTICLE.format(
        title=f"{site.headline(random)}, number {number}",
        at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="seconds"),
        body="\n\n".join(site.paragraph(random, 5) for _ in range(4)),
    )
    began = time()
    (folder / f"content/quarter-1/breaking-{number}.md").write_text(text)
    _until(lambda: len(vendor.taken()) > before)
    return vendor.taken()[before].at - began


def _until(holds: Callable[[], bool]) -> None:
    ends_at = monotonic() + WITHIN
    while not holds():
        assert monotonic() < ends_at, "it never came"
        sleep(0.02)
