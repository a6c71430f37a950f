"""The command line from the key press to the last line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import SQLITE, TIMES, Figure, figure, median_seconds
from benchmarks.site import workspace

FILES = 10_000


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="bench-cli-") as name:
        folder = Path(name)
        workspace(folder, articles=FILES)
        help_ = median_seconds(partial(_run, folder, "--help") for _ in range(2 * TIMES + 1))
        yield figure("distributor --help", help_, "s")
        _run(folder, "articles")
        listed = median_seconds(partial(_run, folder, "articles") for _ in range(TIMES))
        yield figure(f"distributor articles, {FILES:,} files", listed, "s", run="second", database=SQLITE)
        as_json = median_seconds(partial(_run, folder, "articles", "--json") for _ in range(TIMES))
        yield figure(
            f"distributor articles --json, {FILES:,} files", as_json, "s", run="second", database=SQLITE
        )


def _run(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "distributor", *arguments]
    # An installed program is compiled once, not at each start, whatever this shell wants.
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=settings)
