"""Subscribers from CSV: new ones, and the same file again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import databases
from benchmarks.databases import Databases
from benchmarks.measure import TIMES, Conditions, Figure, figure, seconds
from benchmarks.site import NEWSLETTER, NOW, opened, workspace
from distributor.app import App

ROWS = 100_000
TOPICS = ("", "river", "city;river", "harbour")


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="bench-import-") as name:
        folder = Path(name)
        workspace(folder, articles=1)
        file = folder / "readers.csv"
        file.write_text("".join(_rows()), encoding="utf-8")
        for kind, started in databases.KINDS.items():
            with started() as server:
                yield from _of_kind(kind, server, folder, file)


def _of_kind(kind: str, server: Databases, folder: Path, file: Path) -> Iterator[Figure]:
    first, again = [], []
    for _ in range(TIMES):
        url = server.new()
        app = App(opened(folder, url), clock=lambda: NOW)
        app.open()
        first.append(seconds(partial(_import, app, file, added=ROWS)))
        again.append(seconds(partial(_import, app, file, added=0)))
        app.close()
        server.drop(url)
    told: Conditions = {"database": server.version, "columns": 5}
    yield figure(f"CSV of {ROWS:,} rows, {kind}", ROWS / median(first), "rows/s", **told)
    yield figure(f"the same CSV again, {kind}", ROWS / median(again), "rows/s", **told)


def _import(app: App, file: Path, *, added: int) -> None:
    with file.open(encoding="utf-8", newline="") as lines:
        found = app.import_subscribers(lines)
    assert (found.rows, found.added, found.problems) == (ROWS, added, [])


def _rows() -> Iterator[str]:
    random = Random(7)
    yield "email,name,newsletters,topics,timezone\n"
    for number in range(ROWS):
        host = f"post-{random.randrange(5000)}.example"
        zone = random.choice(("", "Europe/Lisbon", "Asia/Tokyo"))
        yield f"reader.{number}@{host},Reader No. {number},{NEWSLETTER},{random.choice(TOPICS)},{zone}\n"
