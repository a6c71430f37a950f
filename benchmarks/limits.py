"""How near its limit a provider is used: workers in processes of their own, a vendor over HTTP, real time.

A second that had more than the limit, as the workers counted it, ends the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import SQLITE, Conditions, Figure, figure
from tests.delivery.limited import Measured, measure
from tests.delivery.rates import busiest, fullness

RUNS = {1: 40, 14: 20, 100: 15, 1000: 15}  # messages a second -> for how many seconds
WORKERS = (1, 3)


def figures() -> Iterator[Figure]:
    for per_second, seconds in RUNS.items():
        for workers in WORKERS:
            with TemporaryDirectory(prefix="bench-limits-") as folder:
                found = measure(
                    Path(folder),
                    database="sqlite:///var/distributor.db",
                    per_second=per_second,
                    workers=workers,
                    seconds=seconds,
                )
            yield _figure(found, per_second, workers, seconds)


def _figure(found: Measured, per_second: int, workers: int, seconds: int) -> Figure:
    busiest_second = busiest(found.counted, 1)
    assert busiest_second <= per_second, f"{busiest_second} in a second, of {per_second}"
    assert (found.gap, found.doubled) == (0, 0)
    begin, end = found.counted[0][0] + 1, found.counted[0][0] + seconds  # of the first second all is used
    below = 1 - fullness(found.counted, 1, per_second, begin=begin, end=end)
    told: Conditions = {
        "database": SQLITE,
        "seconds": seconds,
        "calls": len(found.counted),
        "busiest_second": busiest_second,
        "busiest_second_as_it_arrived": busiest(found.arrived, 1),
        "unevenness_of_the_way_ms": round(found.jitter * 1000),
    }
    name = f"{per_second:,} a second, {workers} worker{'s' * (workers > 1)}"
    return figure(name, below * 100, "% below", **told)
