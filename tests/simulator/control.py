"""The simulator in a test's hand: started, asked, told what to spoil, stopped."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.simulator.ledger import Taken, read

ROOT = Path(__file__).parent.parent.parent
STARTS_WITHIN = 20  # seconds
STOPS_WITHIN = 5

# Requests have megabytes. Memory that is given back after each, and asked for again, costs more than reading
# them (mallopt(3)).
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


class Handle:
    """A simulator in a process of its own."""

    def __init__(self, log: Path | None, options: Sequence[str]) -> None:
        self._log = log
        self._options = [*(["--log", str(log)] if log else ["--count-only"]), *options]
        self.port = self.smtp_port = 0  # any free ones; once started they stay the same
        self._process: subprocess.Popen[bytes] | None = None
        # Certificates would take 20 ms to read, and a proxy has no business here.
        self.http = httpx.Client(timeout=30, trust_env=False, verify=False)  # for a test's own calls too

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def url(self, vendor: str) -> str:
        """The `base_url` for a vendor's table in distributor.toml."""
        return f"http://127.0.0.1:{self.port}/{vendor}"

    def faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Add rules: the fields of `tests.simulator.faults.Rule`."""
        self._ask("POST", "/_faults", list(rules))

    def no_faults(self) -> None:
        self._ask("DELETE", "/_faults")

    def state(self) -> Any:
        """Counts of everything: see `Ledger.state` and `Faults.state`."""
        return self._ask("GET", "/_state")

    def reset(self) -> None:
        """Forget what was accepted, and all faults."""
        self._ask("POST", "/_reset")

    def accepted(self) -> dict[str, int]:
        """Delivery key -> how often it was accepted; from the log even when the process is dead."""
        if self._log is None:
            counts: dict[str, int] = self._ask("GET", "/_accepted")
            return counts
        found: dict[str, int] = {}
        for taken in read(self._log):
            found[taken.key] = found.get(taken.key, 0) + 1
        return found

    def taken(self) -> list[Taken]:
        """Every accepted message, in order."""
        return read(self._log) if self._log else []

    def start(self) -> None:
        ports = ["--port", str(self.port), "--smtp-port", str(self.smtp_port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulator", *ports, *self._options, "--with-parent"],
            cwd=ROOT,
            env={**os.environ, **KEEPING},
            stdin=subprocess.PIPE,  # closed when this process dies, however it dies
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], STARTS_WITHIN)[0]:
            self.stop()
            raise TimeoutError("the simulator did not start")
        where = json.loads(self._process.stdout.readline())
        self.port, self.smtp_port = where["port"], where["smtp_port"]

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()
        self._close()

    def kill(self) -> None:
        """End it as a power cut would; `start` begins again on the same ports with the same log."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._process:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe
                pipe.close()

    def _ask(self, method: str, path: str, content: Any = None) -> Any:
        answer = self.http.request(method, f"http://127.0.0.1:{self.port}{path}", json=content)
        if answer.status_code != 200:
            raise ValueError(answer.text)
        return answer.json()


@contextmanager
def simulator(log: Path | None = None, *, latency: float = 0.0, fsync: bool = False) -> Iterator[Handle]:
    """A running simulator; without a *log* it only counts."""
    handle = Handle(log, ["--latency", str(latency), *(["--fsync"] if fsync else [])])
    handle.start()
    try:
        yield handle
    finally:
        handle.stop()
        handle.http.close()
