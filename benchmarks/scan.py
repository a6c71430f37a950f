"""Looking at a site: everything for the first time, nothing changed, one file changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks.databases import Sqlite
from benchmarks.measure import SQLITE, TIMES, Figure, figure, median_seconds
from benchmarks.site import NOW, opened, workspace, write_article
from distributor.app import App
from distributor.articles.hugo import HugoSite, read_site
from distributor.articles.scan import Stamp, scan

SMALL, LARGE = 10_000, 100_000


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="bench-scan-") as name:
        folder = Path(name)
        workspace(folder, articles=SMALL)
        yield from _reading(folder / "content")
        yield from _whole(folder)
    with TemporaryDirectory(prefix="bench-scan-") as name:
        folder = Path(name)
        workspace(folder, articles=LARGE)
        yield from _reading_unchanged(folder / "content", LARGE)


def _reading(content: Path) -> Iterator[Figure]:
    """The content folder alone, without the database."""
    files = f"{SMALL:,} files"
    cold = median_seconds(_scans(content, {}, read=SMALL))
    yield figure(f"read {files}, cold", cold, "s", front_matter="half TOML, half YAML", body_kb=2)
    unchanged = list(_reading_unchanged(content, SMALL))
    yield from unchanged
    yield figure(f"read {files}, nothing changed / cold", unchanged[0].value / cold, "x")


def _reading_unchanged(content: Path, count: int) -> Iterator[Figure]:
    known = _stamps(read_site(content))
    elapsed = median_seconds(_scans(content, known, read=0))
    yield figure(f"read {count:,} files, nothing changed", elapsed, "s")


def _scans(content: Path, known: dict[str, Stamp], *, read: int) -> Iterator[Callable[[], object]]:
    def once() -> None:
        found = scan(read_site(content), known, now=NOW)
        assert (len(found.read), found.problems) == (read, ())

    return (once for _ in range(TIMES))


def _stamps(site: HugoSite) -> dict[str, Stamp]:
    """What an index knows after a first scan."""
    found = {}
    for path in site.content.rglob("*.md"):
        status = path.stat()
        found[path.relative_to(site.content).as_posix()] = Stamp(status.st_mtime_ns, status.st_size)
    return found


def _whole(folder: Path) -> Iterator[Figure]:
    """With the index and the numbering of articles, as `distributor` does it."""
    files = f"whole scan of {SMALL:,} files"
    databases = Sqlite(folder)
    cold = median_seconds(_first_scans(folder, databases))
    yield figure(f"{files}, cold", cold, "s", database=SQLITE)
    app = _app(folder, databases.new())
    app.scan()
    unchanged = median_seconds(partial(_scan, app, read=0) for _ in range(TIMES))
    yield figure(f"{files}, nothing changed", unchanged, "s", database=SQLITE)
    changed = median_seconds(_scans_after_edit(folder, app))
    yield figure(f"{files}, one changed", changed, "s", database=SQLITE)
    yield figure(f"{files}, nothing changed / cold", unchanged / cold, "x", database=SQLITE)
    app.close()


def _first_scans(folder: Path, databases: Sqlite) -> Iterator[Callable[[], object]]:
    for _ in range(TIMES):
        app = _app(folder, databases.new())
        yield partial(_scan, app, read=SMALL)
        app.close()


def _scans_after_edit(folder: Path, app: App) -> Iterator[Callable[[], object]]:
    for edit in range(TIMES):
        path = folder / "content" / "quarter-7" / "story-7.md"
        write_article(path, 7, Random(edit))
        os.utime(path, (NOW.timestamp() - 100 + edit, NOW.timestamp() - 100 + edit))
        yield partial(_scan, app, read=1)


def _scan(app: App, *, read: int) -> None:
    found = app.scan()
    assert (found.read, found.files, found.problems) == (read, SMALL, [])


def _app(folder: Path, url: str) -> App:
    app = App(opened(folder, url), clock=lambda: NOW)
    app.open()
    return app
