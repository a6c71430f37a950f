"""One worker of the product in a process of its own: `python -m benchmarks.sender FOLDER DATABASE_URL`.

It says when it is ready, delivers at a word, and tells what that took.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import monotonic, process_time

import anyio

from benchmarks.site import opened
from distributor.app import App


def main() -> None:
    folder, url = sys.argv[1:]
    answered_at: list[float] = []
    app = App(opened(Path(folder), url))
    worker = app.worker(progress=lambda _: answered_at.append(monotonic()))
    print("ready", flush=True)
    sys.stdin.readline()
    began_at, cpu = monotonic(), process_time()
    delivered = anyio.run(worker.run)
    told = {
        "accepted": delivered.accepted,
        "began_at": began_at,
        "ended_at": max(answered_at, default=began_at),
        "cpu": process_time() - cpu,
        "peak_mb": _peak_mb(),
    }
    print(json.dumps(told), flush=True)
    app.close()


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) / 1024


if __name__ == "__main__":
    main()
