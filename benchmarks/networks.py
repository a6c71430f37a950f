"""One article to all networks: from a file that is new to the last post, on simulated networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from PIL import Image

from benchmarks.measure import SQLITE, TIMES, Figure, alone, figure
from distributor.app import App
from distributor.config import load
from distributor.vendors import NETWORKS
from tests.simulator.control import Handle, simulator
from tests.workspace import Clock, opened, workspace, write_article

WIDTH, HEIGHT = 4000, 2250  # pixels of the banner, which every network wants smaller


def figures() -> Iterator[Figure]:
    with TemporaryDirectory() as folder, simulator() as vendor:
        ready = _prepared(Path(folder) / "ready", vendor)
        runs = []
        for number in range(TIMES):
            own = Path(folder) / f"run-{number}"
            shutil.copytree(ready, own)
            vendor.reset()
            runs.append(alone(_publish, own))
            state = vendor.state()
            there = {name for name, one in state["networks"].items() if len(one["posts"]) == 1}
            assert there == set(NETWORKS), (sorted(NETWORKS.keys() - there), state["unreadable"])
    about: dict[str, str | int] = {"database": SQLITE, "banner": f"{WIDTH} x {HEIGHT}"}
    name = f"one article to {len(NETWORKS)} networks"
    yield figure(name, median(seconds for seconds, _ in runs), "s", **about)
    yield figure(f"{name}, peak memory", median(peak for _, peak in runs), "MB", **about)


def _prepared(folder: Path, vendor: Handle) -> Path:
    """A site that was looked at once, with an account on every network."""
    tables = []
    for network in NETWORKS:
        settings = import_module(f"tests.providers.test_{network}").NETWORK.channel
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines += [f'network = "{network}"', f'base_url = "{vendor.url(network)}"']
        tables.append(f"[channels.{network}]\n" + "\n".join(lines))
    config = workspace(folder, config="\n\n".join(tables))
    (folder / "static").mkdir()
    Image.effect_mandelbrot((WIDTH, HEIGHT), (-2, -1.2, 1, 1.2), 60).convert("RGB").save(
        folder / "static/banner.jpg", quality=92
    )
    write_article(folder, "about")
    with opened(config, Clock()) as app:
        app.run_once()
    return folder


def _publish(folder: Path) -> float:
    """Seconds from the file to the last receipt, in a program that runs."""
    clock = Clock()
    app = App(load(folder / "distributor.toml", {}), clock=clock, sleep=clock.sleep)
    app.run_once()  # as it does every ten seconds: everything is imported and open
    write_article(folder, "ferry", title="The ferry sails again", enclosure="/banner.jpg")
    began = perf_counter()
    app.run_once()
    elapsed = perf_counter() - began
    states = {campaign.channel: str(campaign.state) for campaign in app.campaigns()}
    assert set(states.values()) == {"done"}, states
    app.close()
    return elapsed
