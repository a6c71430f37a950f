"""How things are measured: medians of repetitions, and peak memory in a process that does nothing else."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import sys
import timeit
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import ParamSpec, TypeVar

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")

Conditions = dict[str, str | int]
TIMES = 3
SQLITE = f"SQLite {sqlite3.sqlite_version}, synchronous=FULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value. A unit that ends in "/s" is a rate, and better when higher."""

    name: str
    value: float
    unit: str
    conditions: Conditions = field(default_factory=dict)


def figure(name: str, value: float, unit: str, **conditions: str | int) -> Figure:
    """A figure with its conditions, and those of the machine, which say nothing of whose it is."""
    machine: Conditions = {"cpus": os.cpu_count() or 1, "python": platform.python_version()}
    return Figure(name=name, value=value, unit=unit, conditions=machine | conditions)


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


def median_seconds(works: Iterable[Callable[[], object]]) -> float:
    """The median of several calls; an iterator may prepare the next while the clock stands still."""
    return median(seconds(work) for work in works)


def micros_per_call(work: Callable[[], object], *, calls: int) -> float:
    """Microseconds for one of *calls* calls in a row, once warm."""
    work()
    return median(timeit.repeat(work, number=calls, repeat=5)) / calls * 1e6


def alone(
    work: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
) -> tuple[Result, float]:
    """What *work* returns in a new process, and the most memory that process had, in MB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        result = pool.submit(work, *args, **kwargs).result()
        return result, pool.submit(_peak_mb).result()


def _peak_mb() -> float:
    """From the kernel's own count where it has one: `ru_maxrss` starts at what the parent process had."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
