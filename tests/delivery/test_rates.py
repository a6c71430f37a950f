"""Real workers, real time, a vendor over HTTP: the limit that they share is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.delivery.limited import measure
from tests.delivery.rates import busiest, fullness

SECONDS = 3.5


@pytest.mark.parametrize(
    ("database_url", "per_second", "workers"),
    [("sqlite", 400, 3), ("postgresql", 50, 2)],
    indirect=["database_url"],
)
def test_workers_in_several_processes_keep_one_limit(
    tmp_path: Path, database_url: str, per_second: int, workers: int
):
    """As counted, no second has too much; as it arrives, none but for how unevenly long the way was.

    How near the limit they come is for `benchmarks.limits` to say: a machine may be busy with other things.
    """
    found = measure(tmp_path, database=database_url, per_second=per_second, workers=workers, seconds=SECONDS)
    assert busiest(found.counted, 1) <= per_second
    assert busiest(found.arrived, max(0.0, 1 - found.jitter)) <= per_second
    begin = found.counted[0][0]
    assert fullness(found.counted, 1, per_second, begin=begin + 1, end=begin + SECONDS) > 0.7
    assert (found.gap, found.doubled) == (0, 0)
