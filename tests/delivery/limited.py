"""Workers in processes of their own, one limit, and a vendor that answers; and one such worker, as a program.

    python -m tests.delivery.limited CONFIG BEGAN SECONDS

BEGAN is the moment, in seconds since 1970, at which the workers' clock shows `OPENING`. At a word it delivers
for so many seconds, and then prints, for every message of its calls, when it was counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import anyio
from sqlalchemy import Connection

from distributor.addressing import Addressing
from distributor.app import App
from distributor.config import load
from distributor.delivery.desk import People
from distributor.delivery.worker import Worker
from distributor.model import Campaign, Email
from tests.delivery.rates import Sent
from tests.simulator.control import simulator
from tests.workspace import MONDAY, Clock, opened, subscribe, workspace, write_article

ROOT = Path(__file__).parent.parent.parent
OPENING = MONDAY + timedelta(hours=1)  # when the edition is due

VENDOR = """
[providers.mailgun]
type = "mailgun"
key = "key"
domain = "news.example"
base_url = "{url}"
limits = {{ per_second = {per_second} }}
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What some workers did in a while; times are seconds since 1970."""

    counted: Sent  # when it was counted against the limit
    arrived: Sent  # when the vendor accepted it
    jitter: float  # seconds between the quickest and the slowest way from the one to the other
    gap: int  # deliveries that the books lost
    doubled: int  # messages that the vendor accepted twice


def measure(folder: Path, *, database: str, per_second: int, workers: int, seconds: float) -> Measured:
    """Let workers send as much as they may; there is always more than that."""
    with simulator(folder / "accepted.tsv") as vendor:
        settings = VENDOR.format(url=vendor.url("mailgun"), per_second=per_second)
        config = workspace(folder, config=settings, database=database)
        config.write_text(config.read_text().replace('["outbox"]', '["mailgun"]\npictures = "link"'))
        clock = Clock()
        with opened(config, clock) as app:
            app.scan()
            subscribe(app, *(f"reader{n}@example.org" for n in range(round(per_second * (seconds + 3)))))
            write_article(folder, "news", published_at=clock())
            clock.time = OPENING
            app.scan()
            [campaign] = app.plan()
            counted = _deliver(config, workers, seconds)
            balance = app.balance(campaign.id)
        taken = vendor.taken()
    assert {one.key for one in taken} == counted.keys()
    delays = [one.at - counted[one.key] for one in taken]
    return Measured(
        counted=sorted(Counter(counted.values()).items()),
        arrived=sorted(Counter(one.at for one in taken).items()),
        jitter=max(delays) - min(delays),
        gap=balance.gap,
        doubled=len(taken) - len(counted),
    )


def _deliver(config: Path, workers: int, seconds: float) -> dict[str, float]:
    """Delivery key -> when it was counted, by all workers."""
    program = [sys.executable, "-m", "tests.delivery.limited", str(config), str(time.time()), str(seconds)]
    found: dict[str, float] = {}
    with ExitStack() as stack:
        crew = [
            stack.enter_context(
                subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(workers)
        ]
        for worker in crew:
            assert worker.stdout
            assert worker.stdout.readline() == "ready\n"
        for worker in crew:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in crew:
            told, _ = worker.communicate(timeout=seconds + 60)
            assert worker.returncode == 0
            found |= json.loads(told)
    return found


# --- one worker ---


class Watched:
    """A worker's readers and clock, watched to learn when each message was counted.

    The clock is read for the last time when the limits are, after it was looked up who can be reached; all of
    that is one thread's work.
    """

    def __init__(self, readers: Addressing, clock: Callable[[], datetime]) -> None:
        self._readers = readers
        self._clock = clock
        self._claimed: dict[int, datetime] = {}  # recipient -> the last reading in a claim of it
        self._claiming = threading.local()
        self.counted: dict[str, datetime] = {}  # delivery key -> of the claim that led to its call

    def clock(self) -> datetime:
        now = self._clock()
        self._claimed.update(dict.fromkeys(getattr(self._claiming, "ids", ()), now))
        self._claiming.ids = ()
        return now

    def reachable(self, db: Connection, campaign: Campaign, ids: Sequence[int]) -> People:
        self._claiming.ids = tuple(ids)
        return self._readers.reachable(db, campaign, ids)

    def emails(self, campaign: Campaign, people: Mapping[int, tuple[str, str]]) -> tuple[Email, ...]:
        emails = self._readers.emails(campaign, people)
        self.counted |= {email.key: self._claimed[email.recipient] for email in emails}
        return emails


def main() -> None:
    config, began, seconds = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    app = App(load(config, {}))
    addressing = Addressing(
        app.tokens, public_url=app.config.web.public_url, mark="feed1e55", clock=app.clock
    )
    watched = Watched(addressing, lambda: OPENING + timedelta(seconds=time.time() - began))
    worker = Worker(app.database, app.routes, watched, media=app.pictures.read, clock=watched.clock)
    print("ready", flush=True)
    sys.stdin.readline()
    timer = threading.Timer(seconds, worker.stop)
    timer.start()
    anyio.run(worker.run)
    timer.cancel()
    counted = {key: began + (at - OPENING).total_seconds() for key, at in watched.counted.items()}
    print(json.dumps(counted), flush=True)
    app.close()


if __name__ == "__main__":
    main()
