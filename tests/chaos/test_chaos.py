"""A few storms of the many that `make chaos` lets loose."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from tests.chaos.__main__ import outcomes_of, told
from tests.chaos.plan import DATABASES

RUNS = 12
WITHIN = 40  # seconds, after which no run begins


def test_after_a_storm_everything_is_accounted_for(tmp_path: Path):
    """Whoever is killed and whatever answer is lost: nobody lost, nobody twice, and the accounts balance."""
    seeds = range(1, RUNS + 1)
    outcomes = list(outcomes_of(seeds, DATABASES, tmp_path, lanes=1, ends_at=monotonic() + WITHIN))
    failed = [told(one) for one in outcomes if one["complaints"]]
    assert not failed, "\n".join(failed)
    assert {one["database"] for one in outcomes} == set(DATABASES)
    assert sum(one["did"]["kill"] for one in outcomes) > len(outcomes)
