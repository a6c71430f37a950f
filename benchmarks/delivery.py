"""What delivering costs around the call: claim, reach and record, with a provider that accepts at once."""

from __future__ import annotations

from collections.abc import Iterator
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
        yield from _figures("PostgreSQL", server, LARGE, workers=2)[0]


def _on_sqlite(server: Databases) -> Iterator[Figure]:
    small_figures, small = _figures("SQLite", server, SMALL, workers=1)
    yield from small_figures
    large_figures, large = _figures("SQLite", server, LARGE, workers=1)
    yield from large_figures
    ratio = f"time for {LARGE:,} / time for {SMALL:,}, SQLite"
    yield figure(ratio, large.seconds / small.seconds, "x", database=server.version)
    growth = f"memory from {SMALL:,} to {LARGE:,}, SQLite"
    yield figure(growth, large.peak_mb - small.peak_mb, "MB more", database=server.version)
    yield from _figures("SQLite", server, LARGE, workers=2)[0]


def _figures(kind: str, server: Databases, readers: int, *, workers: int) -> tuple[list[Figure], Run]:
    run = _median(_runs(server, readers, workers))
    name = f"{readers:,} recipients, {kind}, {workers} worker{'s' if workers > 1 else ''}"
    told: Conditions = {
        "database": server.version,
        "recipients_per_call": BATCH,
        "provider": "accepts at once, no network",
    }
    found = [
        figure(name, readers / run.seconds, "recipients/s", **told),
        figure(f"{name}, CPU", run.cpu / readers * 1e6, "us each", **told),
        figure(f"{name}, peak memory", run.peak_mb, "MB", **told),
    ]
    return found, run


def _median(runs: list[Run]) -> Run:
    return Run(
        seconds=median(run.seconds for run in runs),
        cpu=median(run.cpu for run in runs),
        peak_mb=median(run.peak_mb for run in runs),
    )


def _runs(server: Databases, readers: int, workers: int) -> list[Run]:
    with prepared(server, readers=readers, cohorts=1) as (folder, url):
        alone(freeze, folder, url, readers)
        runs = []
        for _ in range(TIMES):
            copy = server.copy(url)
            runs.append(_run(folder, copy, workers))
            done, _ = alone(accepted, folder, copy)
            assert done == readers
            server.drop(copy)
    return runs


def _run(folder: Path, url: str, workers: int) -> Run:
    """Time is from the first worker's first claim to the last one's end."""
    with ThreadPoolExecutor(workers) as crew:
        ends = list(crew.map(lambda _: alone(deliver, folder, url), range(workers)))
    return Run(
        seconds=max(spent.ended_at for spent, _ in ends) - min(spent.began_at for spent, _ in ends),
        cpu=sum(spent.cpu for spent, _ in ends),
        peak_mb=max(peak_mb for _, peak_mb in ends),
    )
