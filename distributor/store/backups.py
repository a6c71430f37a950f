"""Copies of a database in one file: by SQLite itself, or by PostgreSQL's pg_dump and pg_restore.

What is copied is of one moment, whatever is written meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import sleep

from sqlalchemy import URL, MetaData, inspect, text

from distributor.errors import DatabaseError
from distributor.store.database import VERSION, Database

ENDINGS = {"sqlite": ".db", "postgresql": ".dump"}
KINDS = {b"SQLite format 3\x00": "sqlite", b"PGDMP": "postgresql"}  # how a file begins -> what it is of
PROGRAMS = (
    "install PostgreSQL's client programs, of the server's version or newer (postgresql-client), or do it "
    "where they are"
)


def kind(database: Database) -> str:
    return "sqlite" if database.is_sqlite else "postgresql"


def write(database: Database, target: Path) -> None:
    """Copy all of it into a new file, whole or not at all; readable by its owner only.

    Raises:
        DatabaseError: the file is there already, or the copy could not be made.
    """
    if target.exists():
        raise DatabaseError(f"{target} is there already; name another file")
    with _file(target) as part:
        if database.is_sqlite:
            _copy_sqlite(_place(database), part)
        else:
            _run(database.engine.url, "pg_dump", "--format=custom", "--no-owner", f"--file={part}")


@contextmanager
def _file(target: Path) -> Iterator[Path]:
    """A file beside *target*, which takes its place once all of it is on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.link(part, target)  # unlike a rename, it replaces nothing
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"{target} could not be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _copy_sqlite(place: str, target: Path) -> None:
    with closing(sqlite3.connect(place)) as own, closing(sqlite3.connect(target)) as copy:
        own.backup(copy)  # in one go: in steps, a writer would have it begin anew each time
        copy.execute("PRAGMA journal_mode = DELETE")  # so that it is one file
        _check_sqlite(copy, target)


def _check_sqlite(opened: sqlite3.Connection, place: Path) -> None:
    [[found]] = opened.execute("PRAGMA integrity_check(1)").fetchall()
    if found != "ok":
        raise DatabaseError(f"{place} is damaged: {found}")


def check(database: Database, source: Path) -> None:
    """Make sure that a file is a whole copy of a database of this kind, and not of a newer program.

    Raises:
        DatabaseError: it is not.
    """
    try:
        with source.open("rb") as file:
            begin = file.read(16)
    except OSError as error:
        raise DatabaseError(f"{source} cannot be read: {error.strerror}") from None
    found = next((name for sign, name in KINDS.items() if begin.startswith(sign)), None)
    if found != kind(database):
        is_ = f"a copy of a {found} database" if found else "no copy that `distributor db backup` made"
        raise DatabaseError(f"{source} is {is_}; [database] url names a {kind(database)} database")
    if database.is_sqlite:
        _check_copy(source)
    else:
        _run(None, "pg_restore", "--list", str(source))


def _check_copy(source: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro&immutable=1", uri=True)) as opened:
            _check_sqlite(opened, source)
            found = opened.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise DatabaseError(f"{source} is damaged, or not ours: {error}") from None
    if not found or found[0] > VERSION:
        version = found[0] if found else "none"
        raise DatabaseError(
            f"{source} is of version {version}, and this program knows {VERSION}: install the newer one"
        )


def is_empty(database: Database) -> bool:
    """Whether there is nothing that a restore would replace."""
    if not database.exists():
        return True
    with database.read() as db:
        return not inspect(db).get_table_names()


def fill_sqlite(database: Database, source: Path) -> None:
    """Put a copy in the place of all there is, in one step; whoever has it open goes on with the copy."""
    place = _place(database)
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(source)) as copy, closing(sqlite3.connect(place, timeout=20)) as own:
            copy.backup(own)
    except sqlite3.Error as error:
        raise DatabaseError(f"{place} could not be written: {error}; nothing of it was replaced") from error


def fill_postgresql(database: Database, source: Path) -> None:
    """Empty the database and fill it from a copy; it must be used by nobody else.

    Raises:
        DatabaseError: somebody uses it, or the copy does not fit.
    """
    database.close()
    _make_sure_of_being_alone(database)
    with database.write() as db:
        found = MetaData()
        found.reflect(db)
        found.drop_all(db)
    database.close()
    _run(
        database.engine.url,
        "pg_restore",
        "--no-owner",
        "--single-transaction",
        "--exit-on-error",
        str(source),
    )


def _make_sure_of_being_alone(database: Database) -> None:
    """Connections that were just closed take the server a moment."""
    others = 0
    for _ in range(20):
        with database.read() as db:
            others = db.scalar(text(OTHERS)) or 0
        if not others:
            return
        sleep(0.1)
    raise DatabaseError(f"{others} other connections use the database: stop every distributor first")


OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def _run(url: URL | None, program: str, *options: str) -> None:
    """Run one of PostgreSQL's programs on a database; its password is in no command line."""
    command: Sequence[str] = [program, *options]
    environment = dict(os.environ)
    if url is not None:
        address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
        command = [program, f"--dbname={address}", *options]
        if url.password:
            environment["PGPASSWORD"] = url.password
    try:
        # A program of our choice, and no shell.
        done = subprocess.run(  # noqa: S603
            command, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise DatabaseError(f"{program} is not on this machine: {PROGRAMS}") from None
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise DatabaseError(f"{program} failed: {said}")


def _place(database: Database) -> str:
    place = database.engine.url.database
    if not place:
        raise DatabaseError("a database in memory has no copy")
    with suppress(OSError):
        place = str(Path(place).resolve())
    return place
