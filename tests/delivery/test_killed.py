"""Kill tests: whatever commit the process dies at, the next one finishes the job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
IN_FLIGHT = 8 * 2  # calls at once, recipients each


def killed(folder: Path, database: str, mode: str) -> list[dict[str, Any]]:
    every = 3 if database == "sqlite" else 6
    command = [sys.executable, "-m", "tests.delivery.killed", str(folder), database, mode, str(every)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    # Workers meet in another order each time, so a run may end a commit or two before the last kill.
    assert sum(one["was_killed"] for one in found) >= 0.8 * len(found)
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    """What the killed program takes for a database: a file each, or a new one on this server each."""
    return "sqlite" if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


def test_with_a_repeatable_provider_nothing_is_lost_or_doubled(tmp_path: Path, address: str):
    """Killed at any commit boundary and started again, the outbox ends complete and without doubles."""
    for one in killed(tmp_path, address, "outbox"):
        whole = {"missing": 0, "doubled": 0, "unclear": 0, "open": 0, "gap": 0}
        assert {name: one[name] for name in whole} == whole, one


def test_without_one_nothing_is_doubled_and_what_is_unclear_is_shown(tmp_path: Path, address: str):
    """Where a repeated call would be a second mail, none is repeated: what was in flight is unclear."""
    for one in killed(tmp_path, address, "recorder"):
        assert one["doubled"] == 0, one
        assert one["open"] == 0, one
        assert one["gap"] == 0, one
        assert one["missing"] <= one["unclear"] <= IN_FLIGHT, one
