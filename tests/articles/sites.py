"""Small Hugo sites for tests, and what the real Hugo says of them."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from distributor.articles.hugo import HugoSite, read_site
from distributor.articles.page import Page
from distributor.articles.reader import read_page
from distributor.articles.scan import scan

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CONFIG = 'baseURL = "https://example.org/"\ntitle = "The Example"\n'


def make_site(
    root: Path,
    pages: Mapping[str, str] | Mapping[str, str | bytes],
    config: str = CONFIG,
    name: str = "hugo.toml",
) -> HugoSite:
    """A site in *root* with these files below content/."""
    (root / "content").mkdir(parents=True, exist_ok=True)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(config, encoding="utf-8")
    for path, text in pages.items():
        file = root / "content" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_site(root / "content")


def toml(body: str = "Words.\n", **values: str) -> str:
    """A page; each value is written as it stands."""
    return "+++\n" + "".join(f"{name} = {value}\n" for name, value in values.items()) + "+++\n" + body


def yaml(body: str = "Words.\n", **values: str) -> str:
    return "---\n" + "".join(f"{name}: {value}\n" for name, value in values.items()) + "---\n" + body


def page_of(root: Path, text: str | bytes, path: str = "news/page.md", config: str = CONFIG) -> Page:
    """The page that *text* makes."""
    page, problems = read_page(make_site(root, {path: text}, config), path, _bytes(text))
    assert page, problems
    return page


def problems_of(root: Path, text: str | bytes, path: str = "news/page.md") -> list[str]:
    """What is wrong with *text*, as a person reads it."""
    _, problems = read_page(make_site(root, {path: text}), path, _bytes(text))
    return [str(problem) for problem in problems]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def pages_of(site: HugoSite) -> dict[str, Page]:
    """Every page of *site* by its path."""
    return {one.path: one.page for one in scan(site, {}).read if one.page}


def hugo_pages(hugo: str, root: Path, now: datetime = NOW) -> dict[str, dict[str, str]]:
    """What `hugo list all` says of each page, by its path below content/."""
    said = _list(hugo, root, now, "all")
    rows = csv.DictReader(io.StringIO(said[said.index("path,") :]))
    return {row["path"].removeprefix("content/"): row for row in rows}


def hugo_published(hugo: str, root: Path, now: datetime = NOW) -> set[str]:
    """The paths of the pages Hugo publishes at *now*: all but drafts, future and expired ones."""
    out = {
        row[0].removeprefix("content/")
        for what in ("future", "expired")
        for row in csv.reader(io.StringIO(_list(hugo, root, now, what)))
        if row
    }
    return {path for path, row in hugo_pages(hugo, root, now).items() if row["draft"] == "false"} - out


def _list(hugo: str, root: Path, now: datetime, what: str) -> str:
    ran = subprocess.run(
        [hugo, "list", what, "--clock", now.isoformat().replace("+00:00", "Z")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr or ran.stdout
    return ran.stdout


def build(hugo: str, root: Path) -> Path:
    """The folder that Hugo publishes the site to, with the plainest of layouts."""
    layouts = root / "layouts" / "_default"
    layouts.mkdir(parents=True, exist_ok=True)
    for name in ("single", "list"):
        (layouts / f"{name}.html").write_text("{{ .Content }}")
    command = [hugo, "--clock", "2026-06-01T12:00:00Z", "--quiet"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr or ran.stdout
    return root / "public"
