"""Runs seed after seed in two lanes; prints a table, and keeps it as `benchmarks/results/chaos.json`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import mkdtemp
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks import report
from benchmarks.measure import SQLITE, Figure, figure
from tests.chaos.plan import DATABASES

ROOT = Path(__file__).parent.parent.parent
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

Outcome = dict[str, Any]  # a `tests.chaos.lane.Outcome`


def main() -> None:
    arguments = _arguments()
    databases = DATABASES if arguments.database == "both" else (arguments.database,)
    seeds = [
        seed
        for seed in range(arguments.seed, arguments.seed + arguments.runs)
        for _ in range(arguments.times)
    ]
    folder = Path(mkdtemp(prefix="chaos-"))
    console = Console()
    ends_at = monotonic() + 60 * arguments.minutes
    outcomes = []
    with Progress(console=console) as bar:
        task = bar.add_task("storms", total=len(seeds))
        for one in outcomes_of(seeds, databases, folder, lanes=arguments.lanes, ends_at=ends_at):
            outcomes.append(one)
            bar.advance(task)
            if one["complaints"]:
                bar.console.print(told(one), markup=False)
    figures = list(figures_of(outcomes))
    report.show(console, figures, {})
    if not arguments.dry:
        report.write("chaos", figures)
    if any(one["complaints"] for one in outcomes):
        sys.exit(f"what failed is in {folder}")
    shutil.rmtree(folder)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each has the next")
    parser.add_argument("--times", type=int, default=1, help="for each seed")
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--minutes", type=float, default=120, help="no run begins after so many")
    parser.add_argument("--lanes", type=int, default=2, help="side by side")
    parser.add_argument("--dry", action="store_true", help="keep no figures")
    return parser.parse_args()


def outcomes_of(
    seeds: Iterable[int], databases: Sequence[str], folder: Path, *, lanes: int, ends_at: float
) -> Iterator[Outcome]:
    """What came of each seed, as soon as it is known."""
    waiting: SimpleQueue[int] = SimpleQueue()
    for seed in seeds:
        waiting.put(seed)
    done: SimpleQueue[Outcome | None] = SimpleQueue()

    def lane(number: int) -> None:
        try:
            for one in _lane(waiting, databases, folder / f"lane-{number}", ends_at):
                done.put(one)
        finally:
            done.put(None)

    with ThreadPoolExecutor(lanes) as pool:
        running = [pool.submit(lane, number) for number in range(lanes)]
        for _ in running:
            yield from iter(done.get, None)
        for one in running:
            one.result()


def _lane(
    waiting: SimpleQueue[int], databases: Sequence[str], folder: Path, ends_at: float
) -> Iterator[Outcome]:
    folder.mkdir()
    command = [sys.executable, "-m", "tests.chaos.lane", str(folder), *databases]
    said = folder / "said.log"
    with (
        said.open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        while monotonic() < ends_at:
            try:
                seed = waiting.get_nowait()
            except Empty:
                break
            print(seed, file=process.stdin, flush=True)
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"a lane broke off at seed {seed}: {said.read_text()[-2000:]}")
            yield json.loads(line)


def told(one: Outcome) -> str:
    """What a person needs of a run that failed."""
    lines = [f"seed {one['seed']}, {one['database']}, {one['about']}: {one['did']}, {one['faults']} faults"]
    lines += [f"  {complaint}" for complaint in one["complaints"][:8]]
    lines += [f"  kept in {one['workspace']}"]
    return "\n".join(lines + [f"  {line}" for line in one["said"].splitlines()[-12:]])


def figures_of(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    for database, name in NAMES.items():
        own = [one for one in outcomes if one["database"] == database]
        if own:
            yield from _figures(f"chaos, {name}", own, SQLITE if database == "sqlite" else name)


def _figures(name: str, own: Sequence[Outcome], database: str) -> Iterator[Figure]:
    did: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for one in own:
        did.update(one["did"])
        states.update(one["states"])
    about: dict[str, str | int] = {
        "database": database,
        "seeds": f"{own[0]['seed']} to {own[-1]['seed']}",
        "workers": "1 to 8",
    }
    certain = [one["states"].get("unclear", 0) for one in own if one["is_certain"]]
    counted = (
        ("runs", len(own), "runs"),
        ("runs that failed", sum(bool(one["complaints"]) for one in own), "runs"),
        ("workers killed", did["kill"], "kills"),
        ("database connections ended", did["terminate"], "kills"),
        ("database servers crashed", did["crash"], "kills"),
        ("calls spoilt", sum(one["faults"] for one in own), "calls"),
        ("messages", sum(one["deliveries"] for one in own), "messages"),
        ("lost", sum(one["lost"] for one in own), "messages"),
        ("doubled", sum(one["doubled"] for one in own), "messages"),
        ("unclear, and shown", states["unclear"], "messages"),
        ("unclear where a provider knows or can tell", sum(certain), "messages"),
    )
    for what, count, unit in counted:
        yield figure(f"{name}: {what}", count, unit, **about)
    yield figure(f"{name}: a run", sum(one["seconds"] for one in own) / len(own), "s", **about)


if __name__ == "__main__":
    main()
