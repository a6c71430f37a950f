"""Runs a whole job again and again, killed by SIGKILL at each commit in turn; a program of its own.

    python -m tests.delivery.killed FOLDER DATABASE MODE [EVERY]

MODE is `outbox` (repeating a call is harmless) or `recorder` (it is not). Prints one JSON object for each
kill: at which commit, on which side of it, and what was found after another process had finished the job.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import psycopg
from PIL import Image

from distributor.app import App
from distributor.config import load
from tests.far_end import Recorder, through
from tests.workspace import MONDAY, Clock, subscribe, titles_by_reader, workspace, write_article

LATE = (  # what the program imports only when it needs it
    "alembic.command",
    "distributor.delivery.worker",
    "distributor.editions",
    "distributor.posts",
    "distributor.providers.by_type",
    "distributor.rendering.pictures",
)
READERS = [f"reader{n}@example.org" for n in range(5)]
TITLES = ["Alpha came", "Beta came"]


def main() -> None:
    folder, database, mode = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    every = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    for module in LATE:  # so that no child has to
        import_module(module)
    config = _fresh(folder / "whole", database)
    _in_a_child(lambda: _live(config, mode))
    total = int((config.parent / "commits").read_text())
    for kill_at in range(1, total + 1, every):
        for side in ("before", "after"):
            found = _killed(folder / f"{kill_at}-{side}", database, mode, kill_at, side)
            print(json.dumps({"kill_at": kill_at, "of": total, "side": side, **found}), flush=True)


def _killed(folder: Path, database: str, mode: str, kill_at: int, side: str) -> dict[str, Any]:
    """Live until the kill, live on in another process, and look."""
    config = _fresh(folder, database)
    was_killed = _in_a_child(lambda: _live(config, mode, kill_at, side))
    _in_a_child(lambda: _live(config, mode))
    _in_a_child(lambda: (folder / "found").write_text(json.dumps(_found(config, mode))))
    found: dict[str, Any] = json.loads((folder / "found").read_text())
    shutil.rmtree(folder)
    return {"was_killed": was_killed, **found}


def _fresh(folder: Path, database: str) -> Path:
    if database != "sqlite":
        name = f"killed_{uuid.uuid4().hex}"
        admin = database.format(name="postgres").replace("+psycopg", "")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return workspace(folder, database=database.format(name=name))
    return workspace(folder)


def _in_a_child(work: Callable[[], object]) -> bool:
    """Do it in another process; whether that was killed. Any other failure of it ends this program."""
    child = os.fork()
    if child == 0:
        work()
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status != 0:
        sys.exit(f"a child ended with {status}")
    return False


def _live(config: Path, mode: str, kill_at: int | None = None, side: str = "before") -> None:
    """From the first scan to the last delivery; begun in the middle, it goes on where the world stands."""
    app = App(load(config, {}), clock=Clock())
    commits = Counter[str]()
    dialect = app.database.engine.dialect
    setattr(dialect, "do_commit", _counting(dialect.do_commit, commits, kill_at, side))  # noqa: B010 (the driver's)
    app.open()
    if mode == "recorder":
        through(app, Recorder(config.parent / "taken.log"))
    reached = config.parent / "reached"
    steps = [
        lambda: _begin(app),
        *(lambda day=day: _day(app, config.parent, day) for day in range(len(TITLES))),
    ]
    for number in range(int(reached.read_text()) if reached.exists() else 0, len(steps)):
        reached.write_text(str(number))
        steps[number]()
    app.close()
    (config.parent / "commits").write_text(str(commits["done"]))


def _begin(app: App) -> None:
    app.scan()
    subscribe(app, *READERS)


def _day(app: App, folder: Path, day: int) -> None:
    """In the evening an article appears; the next morning it goes out."""
    clock = app.clock
    assert isinstance(clock, Clock)
    clock.time = MONDAY + timedelta(days=day, hours=12)
    if not (folder / f"content/news-{day}.md").exists():
        _picture(folder / "static/x.png")
        write_article(folder, f"news-{day}", title=TITLES[day], published_at=clock(), enclosure="/x.png")
    clock.time = MONDAY + timedelta(days=day + 1, hours=1)
    app.run_once()


def _picture(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def _counting(
    commit: Callable[[Any], None], commits: Counter[str], kill_at: int | None, side: str
) -> Callable[[Any], None]:
    lock = Lock()

    def counted(connection: Any) -> None:
        with lock:
            commits["done"] += 1
            is_last = commits["done"] == kill_at
        if is_last and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    return counted


def _found(config: Path, mode: str) -> dict[str, Any]:
    """Who got what how often, what is unclear, and whether the accounts add up."""
    app = App(load(config, {}), clock=Clock(MONDAY + timedelta(days=9)))
    balances = [app.balance(campaign.id) for campaign in app.campaigns()]
    if mode == "recorder":
        titles = {f"https://news.example/news-{day}/": title for day, title in enumerate(TITLES)}
        got: dict[str, list[str]] = {}
        for _, address, told in Recorder(config.parent / "taken.log").taken():
            got.setdefault(address, []).extend(titles[key] for key in told)
    else:
        got = titles_by_reader(config.parent, TITLES)
    counts = {(reader, title): got.get(reader, []).count(title) for reader in READERS for title in TITLES}
    app.close()
    return {
        "missing": sum(count == 0 for count in counts.values()),
        "doubled": sum(count > 1 for count in counts.values()),
        "unclear": sum(balance.unclear for balance in balances),
        "open": sum(balance.queued + balance.sending for balance in balances),
        "gap": sum(abs(balance.gap) for balance in balances),
    }


if __name__ == "__main__":
    main()
