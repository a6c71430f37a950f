"""A few runs of the kill matrix of posts; `make chaos` has all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_a_killed_worker_posts_nothing_twice_and_loses_nothing():
    """On every network, at edges that the seed chooses: there once, or unclear and told."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.posting", "--some", "--seed", "7", "--dry"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
