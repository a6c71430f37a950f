"""Planning and freezing an edition for 100,000 and 1,000,000 readers: time, memory, and bytes on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks import databases
from benchmarks.databases import Databases, disk_bytes
from benchmarks.ledgers import freeze, prepared
from benchmarks.measure import TIMES, Conditions, Figure, alone, figure

SMALL, LARGE = 100_000, 1_000_000
COHORTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Medians over the repetitions."""

    seconds: float
    peak_mb: float
    bytes_each: float  # on disk, for each delivery


def figures() -> Iterator[Figure]:
    for kind, started in databases.KINDS.items():
        with started() as server:
            yield from _of_kind(kind, server)


def _of_kind(kind: str, server: Databases) -> Iterator[Figure]:
    told: Conditions = {"database": server.version, "articles": 10, "pictures": "ready"}
    small, large = (_planned(server, readers, cohorts=1) for readers in (SMALL, LARGE))
    for readers, planned in ((SMALL, small), (LARGE, large)):
        name = f"{readers:,} readers, {kind}"
        yield figure(name, planned.seconds, "s", **told)
        yield figure(f"{name}, peak memory", planned.peak_mb, "MB", **told)
    ratio = f"time for {LARGE:,} / time for {SMALL:,}, {kind}"
    yield figure(ratio, large.seconds / small.seconds, "x", **told)
    growth = f"memory from {SMALL:,} to {LARGE:,}, {kind}"
    yield figure(growth, large.peak_mb - small.peak_mb, "MB more", **told)
    yield figure(f"ledger for each delivery, {kind}", large.bytes_each, "bytes", readers=LARGE, **told)
    many = _planned(server, LARGE, cohorts=COHORTS)
    told |= {"cohorts": COHORTS, "articles": COHORTS}
    yield figure(f"{LARGE:,} readers in {COHORTS} cohorts, {kind}", many.seconds, "s", **told)


def _planned(server: Databases, readers: int, *, cohorts: int) -> Planned:
    times, peaks, sizes = [], [], []
    with prepared(server, readers=readers, cohorts=cohorts) as (folder, url):
        for _ in range(TIMES):
            copy = server.copy(url)
            before = disk_bytes(copy)
            spent, peak_mb = alone(freeze, folder, copy, readers)
            times.append(spent.seconds)
            peaks.append(peak_mb)
            sizes.append((disk_bytes(copy) - before) / readers)
            server.drop(copy)
    return Planned(seconds=median(times), peak_mb=median(peaks), bytes_each=median(sizes))
