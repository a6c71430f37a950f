"""What delivering costs around the call: claim, reach and record, with a provider that accepts at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import databases
from benchmarks.databases import Databases
from benchmarks.ledgers import BATCH, accepted, deliver, freeze, prepared
from benchmarks.measure import TIMES, Conditions, Figure, alone, figure

SMALL, LARGE = 100_000, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One delivery of everything."""

    seconds: float
    cpu: float  # seconds, of all workers, without a database server's
    peak_mb: float  # of the largest worker


def figures() -> Iterator[Figure]:
    with databases.sqlite() as server:
        yield from _on_sqlite(server)
    with databases.postgres() as server:
        [run] = _runs(server, LARGE, workers=[2])
        yield from _figures(f"{LARGE:,} recipients, PostgreSQL, 2 workers", server, LARGE, run)


def _on_sqlite(server: Databases) -> Iterator[Figure]:
    [small] = _runs(server, SMALL, workers=[1])
    large, by_two = _runs(server, LARGE, workers=[1, 2])
    yield from _figures(f"{SMALL:,} recipients, SQLite, 1 worker", server, SMALL, small)
    yield from _figures(f"{LARGE:,} recipients, SQLite, 1 worker", server, LARGE, large)
    ratio = f"time for {LARGE:,} / time for {SMALL:,}, SQLite"
    yield figure(ratio, large.seconds / small.seconds, "x", database=server.version)
    growth = f"memory from {SMALL:,} to {LARGE:,}, SQLite"
    yield figure(growth, large.peak_mb - small.peak_mb, "MB more", database=server.version)
    yield from _figures(f"{LARGE:,} recipients, SQLite, 2 workers", server, LARGE, by_two)


def _figures(name: str, server: Databases, readers: int, run: Run) -> Iterator[Figure]:
    told: Conditions = {
        "database": server.version,
        "recipients_per_call": BATCH,
        "provider": "accepts at once, no network",
    }
    yield figure(name, readers / run.seconds, "recipients/s", **told)
    yield figure(f"{name}, CPU", run.cpu / readers * 1e6, "us each", **told)
    yield figure(f"{name}, peak memory", run.peak_mb, "MB", **told)


def _runs(server: Databases, readers: int, *, workers: Sequence[int]) -> list[Run]:
    """The median delivery by each number of workers."""
    with prepared(server, readers=readers, cohorts=1) as (folder, url):
        alone(freeze, folder, url, readers)
        return [
            _median([_run_on_copy(server, folder, url, readers, n) for _ in range(TIMES)]) for n in workers
        ]


def _run_on_copy(server: Databases, folder: Path, url: str, readers: int, workers: int) -> Run:
    copy = server.copy(url)
    run = _run(folder, copy, workers)
    done, _ = alone(accepted, folder, copy)
    assert done == readers
    server.drop(copy)
    return run


def _median(runs: list[Run]) -> Run:
    return Run(
        seconds=median(run.seconds for run in runs),
        cpu=median(run.cpu for run in runs),
        peak_mb=median(run.peak_mb for run in runs),
    )


def _run(folder: Path, url: str, workers: int) -> Run:
    """Time is from the first worker's first claim to the last one's end."""
    with ThreadPoolExecutor(workers) as crew:
        ends = list(crew.map(lambda _: alone(deliver, folder, url), range(workers)))
    return Run(
        seconds=max(spent.ended_at for spent, _ in ends) - min(spent.began_at for spent, _ in ends),
        cpu=sum(spent.cpu for spent, _ in ends),
        peak_mb=max(peak_mb for _, peak_mb in ends),
    )
