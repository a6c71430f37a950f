"""The kill matrix of posts: a worker killed at each of its edges, its network spoilt in each way.

    python -m tests.chaos.posting [--runs N] [--seed S] [--network NAME]

An edge is the moment before or after a commit, or before or after a call. Each run publishes one article on
one network, dies at one edge, and lives on in another process until nothing is open. A post may never be
there twice; it may be missing only where it is shown as unclear and a person is told, which is right only
where the network offers nothing to find out.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from time import monotonic
from typing import Any

import httpx
from PIL import Image
from rich.console import Console

from benchmarks import report
from benchmarks.measure import SQLITE, Figure, figure
from distributor.app import App
from distributor.config import load
from distributor.errors import DistributorError
from distributor.vendors import NETWORKS
from tests.chaos import crew
from tests.chaos.crew import Shifted
from tests.simulator.control import Handle, simulator
from tests.workspace import Clock, opened, workspace, write_article

TITLE = "The ferry sails again"
FAULTS: dict[str, list[dict[str, Any]]] = {  # what befalls the first call that would make the post visible
    "nothing": [],
    "500": [{"effect": "error"}],
    "502": [{"effect": "gateway"}],
    "502, and it was taken": [{"effect": "gateway_after"}],
    "429": [{"effect": "busy", "retry_after": 2}],
    "reset": [{"effect": "reset"}],
    "reset, and it was taken": [{"effect": "reset_after"}],
    "half an answer": [{"effect": "half"}],
    "a page instead of an answer": [{"effect": "html"}],
}
ROUNDS = 30  # at most, until nothing is open
ROUND = 90.0  # seconds by which the clock goes on between them
LATE = ("distributor.delivery.worker", "distributor.posts", "distributor.corrections", "distributor.watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run: on which network, spoilt how, killed at which edge (0: not at all)."""

    network: str
    fault: str
    edge: int


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found in the end."""

    cell: Cell
    taken: int = 0  # posts that ever could be seen
    state: str = ""
    alerts: int = 0
    gap: int = 0
    edges: int = 0  # of the first process
    was_killed: bool = False
    complaints: list[str] = field(default_factory=list)


# --- a run ---


class Ground:
    """A simulator, and a workspace for each network that has looked once."""

    def __init__(self, folder: Path, handle: Handle) -> None:
        self._folder = folder
        self._handle = handle

    def prepare(self, network: str) -> None:
        folder = self._folder / network
        settings = import_module(f"tests.providers.test_{network}").NETWORK.channel
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        lines.append(f'base_url = "{self._handle.url(network)}"')
        config = workspace(folder, config=f'[channels.news]\nnetwork = "{network}"\n' + "\n".join(lines))
        (folder / "static").mkdir()
        Image.new("RGB", (800, 600), "teal").save(folder / "static/x.jpg")
        (folder / "clock").write_text("0")
        write_article(folder, "about")
        with opened(config, Clock()) as app:
            app.run_once()
        with sqlite3.connect(folder / "var/distributor.db") as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def run(self, cell: Cell) -> Found:
        own = self._folder / "run"
        shutil.copytree(self._folder / cell.network, own)
        write_article(own, "ferry", title=TITLE, enclosure="/x.jpg")
        self._handle.reset()
        self._handle.faults([{"vendor": cell.network, "count": 1, **rule} for rule in FAULTS[cell.fault]])
        found = Found(cell=cell)
        try:
            edges = own / "edges"
            child = crew.begin(lambda: _live(own, kill_at=cell.edge, edges=edges), log=own / "said")
            _, status = os.waitpid(child, 0)
            found.was_killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
            found.edges = int(edges.read_text()) if edges.exists() else 0
            crew.in_a_child(lambda: _live_on(own), within=60)
            found.complaints += self._judge(own, found)
        except RuntimeError as error:
            found.complaints.append(str(error))
        if found.complaints:
            kept = self._folder / f"{cell.network}-{cell.fault}-{cell.edge}".replace(" ", "_")
            shutil.rmtree(kept, ignore_errors=True)
            own.rename(kept)
        else:
            shutil.rmtree(own)
        return found

    def _judge(self, own: Path, found: Found) -> Iterator[str]:
        state = self._handle.state()
        network = state["networks"][found.cell.network]
        found.taken = network["taken"].count(TITLE)
        told = json.loads((own / "found").read_text())
        found.state, found.alerts, found.gap = told["state"], told["alerts"], told["gap"]
        yield from (f"the network cannot read: {one}" for one in state["unreadable"])
        if found.taken > 1:
            yield f"posted {found.taken} times"
        if found.gap:
            yield f"the accounts are {found.gap} out"
        if found.state == "unclear":
            if not found.alerts:
                yield "unclear, and nobody was told"
            if found.cell.network not in SILENT:
                yield "unclear, although the network can tell"
        elif found.state != "accepted":
            yield f"{found.state or 'never planned'} in the end: {told['reason']}"
        elif found.taken == 0:
            yield "accepted, and not there"


SILENT = {"telegram"}  # nothing to find out with


def _live(folder: Path, *, kill_at: int, edges: Path) -> None:
    """One round, counting its edges; killed at one of them."""
    counter = Edges(kill_at)
    clock = Shifted(folder / "clock")
    app = App(load(folder / "distributor.toml", {}), clock=clock, sleep=clock.sleep)
    counter.watch(app)
    app.run_once()
    edges.write_text(str(counter.passed))


def _live_on(folder: Path) -> None:
    """Rounds until nothing is open, and what is found then."""
    clock = Shifted(folder / "clock")
    app = App(load(folder / "distributor.toml", {}), clock=clock, sleep=clock.sleep)
    alerts = 0
    for _ in range(ROUNDS):
        try:
            app.run_once()
        except DistributorError as error:
            print(error, file=sys.stderr)
        alerts += sum(app.told(alert) for alert in app.alerts())
        posts = app.campaigns(channel="news")
        balances = [app.balance(post.id) for post in posts]
        is_open = any(one.queued or one.sending for one in balances)
        if posts and not is_open and (alerts or not any(one.unclear for one in balances)):
            break
        clock.go_on(ROUND)
    state = next((name for one in balances for name in _states(one)), "")
    reasons = [batch.reason for post in posts for batch in app.open_batches(post.id)]
    told = {"state": state, "alerts": alerts, "gap": sum(one.gap for one in balances), "reason": reasons}
    (folder / "found").write_text(json.dumps(told))


def _states(balance: Any) -> list[str]:
    names = ("queued", "sending", "accepted", "refused", "skipped", "unclear")
    return [name for name in names if getattr(balance, name)]


class Edges:
    """Counts commits and calls, each before and after; kills its process at the one it is told."""

    def __init__(self, kill_at: int) -> None:
        self.passed = 0
        self._kill_at = kill_at
        self._lock = Lock()

    def watch(self, app: App) -> None:
        """From now on: the driver's commits, and the HTTP library's calls to the network."""
        dialect = app.database.engine.dialect
        setattr(dialect, "do_commit", self._around(dialect.do_commit))  # noqa: B010 (the driver's)
        call = httpx.AsyncHTTPTransport.handle_async_request

        async def counted(transport: Any, request: httpx.Request) -> httpx.Response:
            self._edge()
            answer = await call(transport, request)
            self._edge()
            return answer

        httpx.AsyncHTTPTransport.handle_async_request = counted  # type: ignore[assignment, method-assign]

    def _around(self, commit: Callable[[Any], None]) -> Callable[[Any], None]:
        def counted(connection: Any) -> None:
            self._edge()
            commit(connection)
            self._edge()

        return counted

    def _edge(self) -> None:
        with self._lock:
            self.passed += 1
            if self.passed == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


# --- the matrix ---


def matrix(ground: Ground, networks: Sequence[str]) -> list[Cell]:
    """Every cell there is: each network's edges are counted in a run in which nothing goes wrong."""
    cells = []
    for network in networks:
        for fault in FAULTS:
            whole = ground.run(Cell(network=network, fault=fault, edge=0))
            if whole.complaints and fault == "nothing":
                raise RuntimeError(f"{network} does not even work unspoilt: {whole.complaints}")
            cells += [Cell(network=network, fault=fault, edge=edge) for edge in range(whole.edges + 1)]
    return cells


def some(ground: Ground, networks: Sequence[str], seed: int) -> list[Cell]:
    """Two cells of each network, without counting all edges first."""
    dice = random.Random(seed)
    cells = []
    for network in networks:
        whole = ground.run(Cell(network=network, fault="nothing", edge=0))
        spoilt = dice.choice([fault for fault in FAULTS if fault != "nothing"])
        for fault in ("nothing", spoilt):
            cells.append(Cell(network=network, fault=fault, edge=dice.randint(1, whole.edges)))
    return cells


def chosen(cells: Sequence[Cell], runs: int, seed: int) -> list[Cell]:
    """*runs* of them by chance; each once before any comes twice."""
    dice = random.Random(seed)
    picked: list[Cell] = []
    while len(picked) < runs:
        picked += dice.sample(list(cells), min(len(cells), runs - len(picked)))
    return picked


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.chaos.posting", description=__doc__)
    parser.add_argument("--runs", type=int, default=0, help="by chance; 0: every cell once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--network", choices=sorted(NETWORKS), action="append")
    parser.add_argument("--some", action="store_true", help="only two cells of each network")
    parser.add_argument("--dry", action="store_true", help="keep no figures")
    arguments = parser.parse_args()
    console = Console()
    folder = Path(mkdtemp(prefix="chaos-posts-"))
    began = monotonic()
    found: list[Found] = []
    with simulator() as handle:
        networks = arguments.network or sorted(NETWORKS)
        ground = prepared(folder, handle, networks)
        cells = some(ground, networks, arguments.seed) if arguments.some else matrix(ground, networks)
        console.print(f"{len(cells):,} cells after {monotonic() - began:.0f} s")
        for cell in chosen(cells, arguments.runs, arguments.seed) if arguments.runs else cells:
            found.append(ground.run(cell))
            if found[-1].complaints:
                console.print(json.dumps(asdict(found[-1])), markup=False)
            if len(found) % 100 == 0:
                console.print(f"{len(found):,} runs, {sum(bool(one.complaints) for one in found)} failed")
    figures = list(figures_of(found, monotonic() - began))
    report.show(console, figures, {})
    if not arguments.dry:
        report.write("chaos-posts", figures)
    if any(one.complaints for one in found):
        sys.exit(f"what failed is in {folder}")
    shutil.rmtree(folder)


def prepared(folder: Path, handle: Handle, networks: Sequence[str]) -> Ground:
    for module in LATE:  # so that no child has to
        import_module(module)
    ground = Ground(folder, handle)
    for network in networks:
        ground.prepare(network)
    return ground


def figures_of(found: Sequence[Found], seconds: float) -> Iterator[Figure]:
    states = Counter(one.state for one in found)
    about: dict[str, str | int] = {"database": SQLITE, "networks": len({one.cell.network for one in found})}
    counted = (
        ("runs", len(found)),
        ("runs that failed", sum(bool(one.complaints) for one in found)),
        ("workers killed", sum(one.was_killed for one in found)),
        ("doubled", sum(one.taken > 1 for one in found)),
        ("lost", sum(one.state == "accepted" and one.taken == 0 for one in found)),
        ("unclear, and told", sum(one.state == "unclear" and one.alerts > 0 for one in found)),
        ("unclear, and not told", sum(one.state == "unclear" and not one.alerts for one in found)),
        ("accepted", states["accepted"]),
    )
    for what, count in counted:
        yield figure(f"posts: {what}", count, "runs", **about)
    yield figure("posts: a run", seconds / max(1, len(found)), "s", **about)


if __name__ == "__main__":
    main()
