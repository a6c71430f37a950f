"""Whole sending: workers in processes of their own, and a vendor that answers over HTTP or SMTP.

    python -m benchmarks.send [--only WORDS]

Every reader of a digest is claimed, reached, personalised, handed to the simulator in `tests/` and recorded.
The simulator reads all it is given, on the same two cores; what it and a database server take of them is
among the conditions. Needs Linux.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks import databases, report
from benchmarks.databases import Databases, cpu_seconds
from benchmarks.ledgers import accepted, prepared
from benchmarks.measure import TIMES, Conditions, Figure, alone, figure
from benchmarks.site import NEWSLETTER, NOW, opened
from benchmarks.targets import TARGETS
from distributor.app import App
from distributor.model import Digest
from distributor.store import campaigns
from tests.simulator.control import Handle, simulator

SMALL, MIDDLE, LARGE = 10_000, 100_000, 1_000_000
ARTICLES = 27  # of this site, for 47 kB of HTML
LONGEST = 900  # seconds for one run

SETTINGS = {  # vendor -> its table in distributor.toml
    "Mailgun": 'type = "mailgun"\nkey = "k"\ndomain = "news.example"\nbase_url = "{url}"',
    "SES": 'type = "ses"\nregion = "eu-west-1"\nkey = "k"\nsecret = "s"\nbase_url = "{url}"',
    # Without the two calls a second that Resend publishes for everybody: with them it is 200 recipients/s.
    "Resend": 'type = "resend"\nkey = "k"\nbase_url = "{url}"\nlimits = {{ calls_per_second = 100000 }}',
    "SMTP": 'type = "smtp"\nhost = "127.0.0.1"\nport = {smtp_port}\nsecurity = "none"',
    "SMTP over 50 connections": 'type = "smtp"\nhost = "127.0.0.1"\nport = {smtp_port}\nsecurity = "none"\n'
    "connections = 50",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is measured together."""

    vendor: str
    readers: int
    database: str
    workers: int = 1
    answer_ms: int = 0  # how long every answer takes

    @property
    def name(self) -> str:
        crew = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        slow = f", {self.answer_ms} ms answers" if self.answer_ms else ""
        return f"{self.vendor}, {self.readers:,} recipients, {self.database}, {crew}{slow}"

    @property
    def times(self) -> int:
        return TIMES if self.readers < LARGE else 1


def cells() -> Iterator[Cell]:
    """All of them, those of one database and number of readers in a row."""
    for database in databases.KINDS:
        for readers in (SMALL, MIDDLE, LARGE):
            crews = (1, 2, 4) if readers < LARGE else (1, 2)
            yield from (
                Cell(vendor="Mailgun", readers=readers, database=database, workers=workers)
                for workers in crews
            )
            yield from (cell for cell in _others() if (cell.database, cell.readers) == (database, readers))


def _others() -> Iterator[Cell]:
    on_sqlite = partial(Cell, database="SQLite")
    yield on_sqlite(vendor="Mailgun", readers=MIDDLE, answer_ms=300)
    for vendor in ("SES", "Resend"):
        yield on_sqlite(vendor=vendor, readers=SMALL)
        yield on_sqlite(vendor=vendor, readers=MIDDLE)
        yield on_sqlite(vendor=vendor, readers=MIDDLE, workers=2)
        yield Cell(vendor=vendor, readers=MIDDLE, database="PostgreSQL", workers=2)
    yield on_sqlite(vendor="SMTP", readers=SMALL)  # the one provider with a request for each recipient
    yield on_sqlite(vendor="SMTP", readers=SMALL, answer_ms=50)
    yield on_sqlite(vendor="SMTP over 50 connections", readers=SMALL, answer_ms=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One delivery of everything; CPU in seconds."""

    seconds: float  # from the first claim to the last receipt that is recorded
    cpu: float  # of all workers
    database_cpu: float  # of the database's own server
    simulator_cpu: float
    peak_mb: float  # of the largest worker


def figures(wanted: Sequence[Cell]) -> Iterator[Figure]:
    with ExitStack() as stack:
        vendor = stack.enter_context(simulator())
        for kind, of_kind in groupby(wanted, key=lambda cell: cell.database):
            with databases.KINDS[kind]() as server:
                for readers, some in groupby(of_kind, key=lambda cell: cell.readers):
                    yield from _of_size(server, vendor, readers, list(some))


def _of_size(server: Databases, vendor: Handle, readers: int, some: Sequence[Cell]) -> Iterator[Figure]:
    with prepared(server, readers=readers, cohorts=1, articles=ARTICLES) as (folder, url):
        whole = f'cadences = ["daily"]\nmax_articles = {ARTICLES}'  # none of them as a headline
        outbox = (folder / "distributor.toml").read_text().replace('cadences = ["daily"]', whole)
        for name, of_vendor in groupby(sorted(some, key=lambda cell: cell.vendor), key=lambda c: c.vendor):
            table = SETTINGS[name].format(url=vendor.url(name.lower()), smtp_port=vendor.smtp_port)
            (folder / "distributor.toml").write_text(outbox.replace('type = "outbox"', table))
            with _frozen(server, folder, url, readers) as frozen:
                for cell in of_vendor:
                    runs = [_run_on_copy(server, vendor, folder, frozen, cell) for _ in range(cell.times)]
                    yield from _figures(cell, server, runs)


@contextmanager
def _frozen(server: Databases, folder: Path, url: str, readers: int) -> Iterator[str]:
    """A copy with an edition for everybody, in batches of the vendor's size."""
    copy = server.copy(url)
    (queued, size), _ = alone(freeze, folder, copy)
    assert (queued, round(size, -3)) == (readers, 47_000), (queued, size)
    yield copy
    server.drop(copy)


def freeze(folder: Path, url: str) -> tuple[int, int]:
    """Make the edition: for how many it is queued, and how many characters of HTML it has."""
    app = App(opened(folder, url), clock=lambda: NOW)
    campaign = app.editions.make(app.editions.by_hand(NEWSLETTER, NOW), NOW)
    assert campaign
    with app.database.read() as db:
        [hash_] = campaigns.renditions_of(db, campaign.id)
        digest = campaigns.rendition_of(db, hash_)
    queued = app.balance(campaign.id).queued
    app.close()
    assert isinstance(digest, Digest)
    return queued, len(digest.html)


def _run_on_copy(server: Databases, vendor: Handle, folder: Path, frozen: str, cell: Cell) -> Run:
    copy = server.copy(frozen)
    vendor.reset()
    if cell.answer_ms:
        vendor.faults([{"effect": "delay", "seconds": cell.answer_ms / 1000}])
    found = _run(server, vendor, folder, copy, cell.workers)
    state = vendor.state()
    assert (state["accepted"], state["keys"], state["unreadable"]) == (cell.readers, cell.readers, []), state
    recorded, _ = alone(accepted, folder, copy)
    assert recorded == cell.readers
    server.drop(copy)
    return found


def _run(server: Databases, vendor: Handle, folder: Path, url: str, workers: int) -> Run:
    crew = [_worker(folder, url) for _ in range(workers)]
    try:
        for one in crew:
            assert one.stdout
            assert one.stdout.readline() == "ready\n"
        before = server.cpu(), cpu_seconds(vendor.pid)
        for one in crew:
            assert one.stdin
            one.stdin.write("go\n")
            one.stdin.flush()
        ends = [json.loads(one.communicate(timeout=LONGEST)[0]) for one in crew]
    finally:
        for one in crew:
            if one.poll() is None:
                one.kill()
    return Run(
        seconds=max(end["ended_at"] for end in ends) - min(end["began_at"] for end in ends),
        cpu=sum(end["cpu"] for end in ends),
        database_cpu=server.cpu() - before[0],
        simulator_cpu=cpu_seconds(vendor.pid) - before[1],
        peak_mb=max(end["peak_mb"] for end in ends),
    )


def _worker(folder: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.sender", str(folder), url]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _figures(cell: Cell, server: Databases, runs: Sequence[Run]) -> Iterator[Figure]:
    def each(seconds: float) -> str:
        return f"{seconds / cell.readers * 1e6:.1f} us for each recipient"

    told: Conditions = {
        "database": server.version,
        "simulator_cpu": each(median(run.simulator_cpu for run in runs)),
        "database_cpu": each(median(run.database_cpu for run in runs)),
        "runs": len(runs),
        "load_before": f"{os.getloadavg()[1]:.1f}",
    }
    yield figure(cell.name, cell.readers / median(run.seconds for run in runs), "recipients/s", **told)
    cpu = median(run.cpu for run in runs) / cell.readers * 1e6
    yield figure(f"{cell.name}, CPU", cpu, "us each", **told)
    yield figure(f"{cell.name}, peak memory", median(run.peak_mb for run in runs), "MB", **told)


def _growth(found: Sequence[Figure]) -> Iterator[Figure]:
    """What ten times the readers cost, where both were measured."""
    values = {one.name: one.value for one in found}
    for database in databases.KINDS:
        small, large = (
            Cell(vendor="Mailgun", readers=readers, database=database) for readers in (MIDDLE, LARGE)
        )
        if small.name in values and large.name in values:
            of = f"{LARGE:,} / time for {MIDDLE:,}, {database}, 1 worker"
            yield figure(f"Mailgun, time for {of}", 10 * values[small.name] / values[large.name], "x")
            more = values[f"{large.name}, peak memory"] - values[f"{small.name}, peak memory"]
            of = f"from {MIDDLE:,} to {LARGE:,}, {database}, 1 worker"
            yield figure(f"Mailgun, memory {of}", more, "MB more")


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.send")
    parser.add_argument(
        "--only", metavar="WORDS", help="cells whose name has these words; the others' figures stay"
    )
    only = parser.parse_args().only
    wanted = [cell for cell in cells() if not only or only.lower() in cell.name.lower()]
    console = Console(width=None if sys.stdout.isatty() else 130)
    found: list[Figure] = []
    with console.status("measuring") as status:
        for one in figures(wanted):
            found.append(one)
            status.update(f"measured {one.name}")
    found += _growth(found)
    report.show(console, found, TARGETS["send"])
    if only:
        report.write_over("send", found)
    else:
        forgotten = TARGETS["send"].keys() - {one.name for one in found}
        assert not forgotten, f"nothing was measured for {forgotten}"
        report.write("send", found)


if __name__ == "__main__":
    main()
