"""What the simulator accepted: counts by key, a log, and the busiest second."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MOST_NAMED = 1000  # doubled keys that a state names one by one


@dataclass(frozen=True, slots=True)
class Taken:
    """One accepted message, as a line of the log has it."""

    vendor: str
    key: str
    address: str
    request: str  # the call's own key; "-" if it had none
    at: float  # seconds since 1970

    def line(self) -> str:
        return f"{self.vendor}\t{self.key}\t{self.address}\t{self.request}\t{self.at:.6f}\n"


@dataclass
class Window:
    """The most that came within any *span* seconds, exactly: (t - span, t] at every arrival t."""

    span: float
    most: int = 0
    _sum: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, count: int, at: float) -> None:
        while self._recent and self._recent[0][0] <= at - self.span:
            self._sum -= self._recent.popleft()[1]
        self._recent.append((at, count))
        self._sum += count
        self.most = max(self.most, self._sum)


class Ledger:
    """Everything accepted; on disk, if it has a log, before anybody is told."""

    def __init__(self, log: Path | None = None, *, fsync: bool = False) -> None:
        self._fsync = fsync
        self._file = _opened(log) if log else None
        self.reset()
        for taken in read(log) if log else ():
            self._count(taken.vendor, [taken.key])
            self._index([taken])

    def reset(self, *, truncate: bool = False) -> None:
        if truncate and self._file is not None:
            os.ftruncate(self._file, 0)
        self.keys: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()  # vendor -> messages
        self.statuses: dict[str, Counter[str]] = defaultdict(Counter)  # vendor -> what calls were answered
        self.taken: dict[str, list[Taken]] = defaultdict(list)  # delivery key or request key -> messages
        self.by_vendor: dict[str, list[Taken]] = defaultdict(list)
        self._calls = defaultdict[str, Window](lambda: Window(1))
        self._calls_in_a_minute = defaultdict[str, Window](lambda: Window(60))
        self._messages = defaultdict[str, Window](lambda: Window(1))

    def called(self, vendor: str) -> None:
        now = time.monotonic()
        self._calls[vendor].add(1, now)
        self._calls_in_a_minute[vendor].add(1, now)

    def answered(self, vendor: str, what: str) -> None:
        self.statuses[vendor][what] += 1

    def accept(self, vendor: str, keys: Sequence[str], addresses: Sequence[str], request: str) -> None:
        """Count them, and write them down with one write."""
        self._count(vendor, keys)
        self._messages[vendor].add(len(keys), time.monotonic())
        if self._file is None:
            return
        now = time.time()
        taken = [Taken(vendor, key, to, request, now) for key, to in zip(keys, addresses, strict=True)]
        os.write(self._file, "".join([one.line() for one in taken]).encode())
        if self._fsync:
            os.fsync(self._file)
        self._index(taken)

    def by_request(self) -> list[Taken]:
        """One message of each call that had a key of its own."""
        return [found[0] for key, found in self.taken.items() if key == found[0].request]

    def missing(self, keys: Sequence[str]) -> list[int]:
        """The places of those that were never accepted."""
        return [place for place, key in enumerate(keys) if key not in self.keys]

    def state(self) -> dict[str, object]:
        doubled = {key: count for key, count in self.keys.items() if count > 1}
        return {
            "accepted": self.accepted.total(),
            "accepted_by": dict(self.accepted),
            "keys": len(self.keys),
            "doubled": dict(list(doubled.items())[:MOST_NAMED]),
            "doubled_keys": len(doubled),
            "calls": {vendor: dict(counts) for vendor, counts in self.statuses.items()},
            "most_calls_per_second": {vendor: window.most for vendor, window in self._calls.items()},
            "most_calls_per_minute": {v: window.most for v, window in self._calls_in_a_minute.items()},
            "most_accepted_per_second": {vendor: window.most for vendor, window in self._messages.items()},
        }

    def _count(self, vendor: str, keys: Sequence[str]) -> None:
        self.keys.update(keys)
        self.accepted[vendor] += len(keys)

    def _index(self, taken: Sequence[Taken]) -> None:
        for one in taken:
            self.by_vendor[one.vendor].append(one)
            self.taken[one.key].append(one)
            if one.request != "-":
                self.taken[one.request].append(one)


def _opened(log: Path) -> int:
    """The log for appending, without the torn line of a process that was killed."""
    file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    os.ftruncate(file, log.read_bytes().rfind(b"\n") + 1)
    return file


def read(log: Path) -> list[Taken]:
    """The messages of a log, in the order in which they were accepted; a torn last line is none."""
    if not log.exists():
        return []
    rows = [line.split("\t") for line in log.read_text().split("\n")[:-1]]
    return [Taken(vendor, key, to, request, float(at)) for vendor, key, to, request, at in rows]
