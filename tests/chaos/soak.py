"""The daemon for as long as you like: real files, PostgreSQL, a vendor and a network, killed processes.

One `distributor run` lives from the beginning to the end, and is looked at for leaks. A second `run` and a
`worker` beside it are killed and begun again at random, connections to the database are cut, calls go wrong,
settings are read anew. Prints a table, and keeps it as `benchmarks/results/soak.json`.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean
from tempfile import mkdtemp
from time import monotonic, sleep
from typing import Any

from rich.console import Console

from benchmarks import report
from benchmarks.measure import Figure, figure
from distributor.app import App
from distributor.config import load
from distributor.errors import DatabaseError
from tests.chaos.ground import insist, start_postgres, stop_postgres
from tests.simulator.control import Handle, simulator
from tests.workspace import SITE

READERS = 100
LISTENS_WITHIN = 45.0  # seconds: on a machine with much else to do
COMES_TO_REST = 240.0  # seconds that everything has to go out when no more is written
FAULTS = (
    {"effect": "reset_after", "vendor": "resend", "probability": 0.03, "seed": 1},
    {"effect": "gateway", "vendor": "resend", "probability": 0.03, "seed": 2},
    {"effect": "busy", "vendor": "resend", "probability": 0.03, "seed": 3, "retry_after": 1},
    {"effect": "reset_after", "vendor": "mastodon", "probability": 0.03, "seed": 4},
)
CONFIG = """
[site]
content = "content"

[web]
public_url = "https://mail.news.example"
secret = "a secret that nobody reads"

[database]
url = "{url}"

[providers.resend]
type = "resend"
key = "re_123"
base_url = "{resend}"

[newsletters.morning]
title = "The Morning"
from = "The Morning <news@news.example>"
providers = ["resend"]
schedule = "* * * * *"
pictures = "link"
audience_guard = 0

[channels.wall]
network = "mastodon"
account = "@news@social.example"
key = "a-secret-token-of-mastodon"
base_url = "{mastodon}"
media = "none"
corrections = "none"
"""
ARTICLE = """+++
title = "Article {number}"
date = {at}
[distributor]
breaking = {breaking}
{embargo}
+++

{body}
"""


@dataclass(kw_only=True)
class Sample:
    """A process at one moment (proc(5), Linux only)."""

    at: float
    megabytes: float
    descriptors: int
    threads: int


@dataclass(kw_only=True)
class Found:
    """What a soak did, and what was there after it."""

    did: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    checks: int = 0  # of the accounts
    gaps: int = 0  # checks that did not add up
    articles: int = 0
    messages: int = 0
    posts: int = 0
    lost: int = 0
    doubled: int = 0
    unclear: int = 0
    wrong: list[str] = field(default_factory=list)


class Crew:
    """The processes: which program each is, and where it writes what it says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = (folder / "said.log").open("ab")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._began: dict[str, float] = {}

    def begin(self, name: str, command: str) -> None:
        self._began[name] = monotonic()
        self._processes[name] = subprocess.Popen(
            [sys.executable, "-m", "distributor", command], cwd=self._folder, stderr=self._log
        )

    def tell(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def ends(self, name: str) -> int:
        """Its status; one that was told to stop before it listened had begun nothing, and ended well."""
        status = self._processes[name].wait(90)
        is_early = monotonic() - self._began[name] < LISTENS_WITHIN
        return 0 if status == -signal.SIGTERM and is_early else status

    def sample(self, name: str, began: float) -> Sample:
        own = Path(f"/proc/{self._processes[name].pid}")
        status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
        return Sample(
            at=monotonic() - began,
            megabytes=int(status["VmRSS"].split()[0]) / 1000,
            descriptors=len(list((own / "fd").iterdir())),
            threads=int(status["Threads"]),
        )

    def close(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self._log.close()


class Soak:
    """One site, and everything that happens around it."""

    def __init__(self, folder: Path, url: str, vendor: Handle, *, seconds: float, seed: int) -> None:
        self.found = Found()
        self._folder, self._url, self._vendor = folder, url, vendor
        self._seconds = seconds
        self._random = random.Random(seed)
        self._crew = Crew(folder)
        self._app: App | None = None
        self._began = monotonic()

    def run(self) -> Found:
        try:
            self._prepare()
            self._vendor.faults(FAULTS)
            for name, command in (("steady", "run"), ("second", "run"), ("worker", "worker")):
                self._crew.begin(name, command)
            self._go_on()
            self._vendor.no_faults()
            self._come_to_rest()
            self._end()
            self._judge()
        finally:
            self._crew.close()
        return self.found

    def _prepare(self) -> None:
        (self._folder / "content").mkdir()
        (self._folder / "hugo.toml").write_text(SITE)
        path = self._folder / "distributor.toml"
        urls = {name: self._vendor.url(name) for name in ("resend", "mastodon")}
        path.write_text(CONFIG.format(url=self._url, **urls))
        self._app = App(load(path, {}))
        self._app.open()
        self._app.scan()
        rows = [f"reader{number}@example.org,instant\n" for number in range(READERS)]
        self._app.import_subscribers(["email,cadence\n", *rows], default_lists=["morning"])

    # --- what happens ---

    def _go_on(self) -> None:
        """Each kind of thing at moments of its own, until the time is over."""
        happens: dict[str, tuple[Callable[[], None], float, float]] = {
            "article": (self._write, 2, 12),
            "kill": (self._kill, 15, 60),
            "hang-up": (self._hang_up, 60, 150),
            "cut": (self._cut, 20, 90),
            "check": (self._check, 3, 3),
            "sample": (self._sample, 5, 5),
        }
        next_at = {what: self._random.uniform(*span) for what, (_, *span) in happens.items()}
        while (now := monotonic() - self._began) < self._seconds:
            what = min(next_at, key=lambda name: next_at[name])
            sleep(max(0.0, min(next_at[what], self._seconds) - now))
            do, least, most = happens[what]
            do()
            next_at[what] = monotonic() - self._began + self._random.uniform(least, most)

    def _write(self) -> None:
        """An article, at once or in two halves; under another name later; or one that is to wait."""
        self.found.articles += 1
        number = self.found.articles
        now = datetime.now(UTC)
        later = now + timedelta(seconds=self._random.uniform(3, 30))
        text = ARTICLE.format(
            number=number,
            at=(now - timedelta(seconds=2)).isoformat(timespec="seconds"),
            breaking=str(self._random.random() < 0.4).lower(),
            embargo=f"embargo = {later.isoformat()}" if self._random.random() < 0.2 else "",
            body="It happened, and here is how. " * 50,
        )
        file = self._folder / f"content/article-{number}.md"
        if self._random.random() < 0.3:
            file.write_text(text[: len(text) // 2])
            sleep(0.1)
            self.found.did["written in halves"] += 1
        file.write_text(text)
        if number > 3 and self._random.random() < 0.2:
            self._rename(self._random.randrange(1, number))

    def _rename(self, number: int) -> None:
        with suppress(FileNotFoundError):
            (self._folder / f"content/article-{number}.md").rename(
                self._folder / f"content/renamed-{number}.md"
            )
            self.found.did["renamed"] += 1

    def _kill(self) -> None:
        name = self._random.choice(["second", "worker"])
        number = self._random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        self._crew.tell(name, number)
        status = self._crew.ends(name)
        self.found.did["killed" if number == signal.SIGKILL else "stopped"] += 1
        if number == signal.SIGTERM and status != 0:
            self.found.wrong.append(f"told to stop, {name} ended with {status}")
        self._crew.begin(name, "worker" if name == "worker" else "run")

    def _hang_up(self) -> None:
        self._crew.tell("steady", signal.SIGHUP)
        self.found.did["settings read anew"] += 1

    def _cut(self) -> None:
        """End one of the program's connections to the database."""
        self._ask(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = "
            "current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) one"
        )
        self.found.did["connections cut"] += 1

    def _check(self) -> None:
        """The accounts of the newest campaigns add up, whatever is under way."""
        assert self._app
        with suppress(DatabaseError):
            for campaign in self._app.campaigns(limit=20):
                self.found.checks += 1
                if gap := self._app.balance(campaign.id).gap:
                    self.found.gaps += 1
                    self.found.wrong.append(f"{gap} of campaign {campaign.id} were missing")

    def _sample(self) -> None:
        self.found.samples.append(self._crew.sample("steady", self._began))

    # --- the end ---

    def _come_to_rest(self) -> None:
        """Wait until everybody has everything."""
        ends_at = monotonic() + COMES_TO_REST
        while monotonic() < ends_at and (self._open() or not self._is_told()):
            self._check()
            self._sample()
            sleep(3)

    def _open(self) -> int:
        return self._count("SELECT count(*) FROM batch WHERE state IN ('queued', 'sending')")

    def _is_told(self) -> bool:
        served = "SELECT count(DISTINCT article) FROM rendition_article"
        return self._count(served) >= self.found.articles

    def _end(self) -> None:
        for name in ("steady", "second", "worker"):
            self._crew.tell(name, signal.SIGTERM)
        for name in ("steady", "second", "worker"):
            if status := self._crew.ends(name):
                self.found.wrong.append(f"told to stop, {name} ended with {status}")

    def _judge(self) -> None:
        """Who has what, by the vendor's own list and by the ledger."""
        found = self.found
        accepted = self._vendor.accepted()
        found.doubled += sum(count - 1 for count in accepted.values())
        rows = self._ask(HAVE)
        had = Counter((article, reader) for article, reader, state, _ in rows if state == "accepted")
        found.messages = len(accepted)
        found.doubled += sum(count - 1 for count in had.values())
        readers = self._count("SELECT count(*) FROM subscriber")
        found.lost = found.articles * readers - len(had)
        found.unclear = self._count("SELECT count(*) FROM batch WHERE state = 'unclear'")
        untrue = {key for _, _, state, key in rows if state == "accepted"} - {
            key.rpartition("-")[0] for key in accepted
        }
        if untrue:
            found.wrong.append(f"{len(untrue)} are accepted, and the vendor never got them: {min(untrue)}")
        self._judge_posts()
        assert self._app
        for campaign in self._app.campaigns(limit=100_000):
            if gap := self._app.balance(campaign.id).gap:
                found.gaps += 1
                found.wrong.append(f"in the end {gap} of campaign {campaign.id} are missing")
        self._app.close()

    def _judge_posts(self) -> None:
        texts = Counter(one["text"] for one in self._vendor.state()["networks"]["mastodon"]["posts"])
        self.found.posts = texts.total()
        self.found.doubled += sum(count - 1 for count in texts.values())
        self.found.lost += max(0, self.found.articles - len(texts))

    def _count(self, query: str) -> int:
        return int(self._ask(query)[0][0])

    def _ask(self, query: str) -> list[Any]:
        return insist(self._url, query)


HAVE = """
SELECT ra.article, d.recipient, coalesce(d.state, b.state), d.campaign || '-' || d.recipient
FROM delivery d
JOIN batch b ON b.campaign = d.campaign AND b.number = d.batch
JOIN campaign c ON c.id = d.campaign AND c.kind = 'newsletter'
JOIN rendition_article ra ON ra.rendition = b.rendition
"""


# --- leaks ---

GROWTH = {"megabytes": 12.0, "descriptors": 4.0, "threads": 4.0}  # allowed, from one half's mean to the next


def growths(samples: Sequence[Sample]) -> Iterator[tuple[str, float, float]]:
    """Of each measure: how much it grew an hour, and from the mean of the first half to that of the last.

    The first quarter is left out: everything is imported and every cache filled in it.
    """
    settled = samples[len(samples) // 4 :]
    for name in GROWTH:
        values = [float(getattr(one, name)) for one in settled]
        half = len(values) // 2
        yield (
            name,
            3600 * slope([one.at for one in settled], values),
            mean(values[half:]) - mean(values[:half]),
        )


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the straight line through points, by least squares."""
    middle_x, middle_y = mean(xs), mean(ys)
    below = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / below if below else 0.0


def leaks(samples: Sequence[Sample]) -> list[str]:
    return [
        f"{name} grew by {by:.1f} from the first half to the second ({an_hour:.1f} an hour)"
        for name, an_hour, by in growths(samples)
        if by > GROWTH[name]
    ]


# --- the report ---


def main() -> None:
    arguments = _arguments()
    folder = Path(mkdtemp(prefix="soak-"))
    console = Console()
    with ExitStack() as stack:
        postgres = folder / "postgres"
        start_postgres(postgres)
        stack.callback(stop_postgres, postgres)
        insist(f"postgresql://postgres:@/postgres?host={postgres}", "CREATE DATABASE soak")
        url = f"postgresql+psycopg://postgres:@/soak?host={postgres}"
        vendor = stack.enter_context(simulator(folder / "accepted.tsv", latency=0.05))
        site = folder / "site"
        site.mkdir()
        soak = Soak(site, url, vendor, seconds=60 * arguments.minutes, seed=arguments.seed)
        found = soak.run()
    found.wrong += leaks(found.samples)
    figures = list(figures_of(found, arguments))
    report.show(console, figures, {})
    if not arguments.dry:
        report.write("soak", figures)
    if found.wrong or found.lost or found.doubled:
        console.print("\n".join(found.wrong), markup=False)
        sys.exit(f"what failed is in {folder}")
    shutil.rmtree(folder)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="keep no figures")
    return parser.parse_args()


def figures_of(found: Found, arguments: Namespace) -> Iterator[Figure]:
    about: dict[str, str | int] = {
        "database": "PostgreSQL, a server of its own",
        "minutes": round(arguments.minutes),
        "seed": arguments.seed,
        "processes": "run, run, worker",
        "readers": READERS,
    }
    counted = (
        ("articles written", found.articles, "articles"),
        ("messages", found.messages, "messages"),
        ("posts", found.posts, "posts"),
        ("lost", found.lost, "messages"),
        ("doubled", found.doubled, "messages"),
        ("unclear", found.unclear, "calls"),
        ("processes killed", found.did["killed"], "kills"),
        ("processes told to stop", found.did["stopped"], "stops"),
        ("database connections cut", found.did["connections cut"], "kills"),
        ("settings read anew", found.did["settings read anew"], "times"),
        ("articles written in halves", found.did["written in halves"], "articles"),
        ("articles renamed", found.did["renamed"], "articles"),
        ("accounts added up", found.checks, "campaigns"),
        ("accounts that did not add up", found.gaps, "campaigns"),
        ("other faults", len(found.wrong), "faults"),
    )
    for what, count, unit in counted:
        yield figure(f"soak: {what}", count, unit, **about)
    for name, an_hour, by in growths(found.samples):
        yield figure(f"soak: {name}, growth by the hour", an_hour, f"{name} an hour", **about)
        yield figure(f"soak: {name}, second half over first", by, name, **about)
    yield figure("soak: memory at the end", found.samples[-1].megabytes, "MB", **about)


if __name__ == "__main__":
    main()
