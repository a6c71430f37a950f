"""The database: tables, versions, and what is said when it cannot be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import PendingRollbackError

from distributor.errors import DatabaseError
from distributor.store import database as module
from distributor.store.database import Database
from distributor.store.schema import tables


def test_migrations_lead_to_the_tables_of_the_schema(database: Database):
    """What the migrations make and what the program expects are the same."""
    with database.read() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True})
        assert compare_metadata(context, tables) == []


def test_version_is_that_of_the_newest_migration():
    """The constant that saves importing Alembic at every start names the newest migration."""
    newest = max(path.name.split("_")[0] for path in (module.MIGRATIONS / "versions").glob("*.py"))
    assert newest == module.VERSION


def test_upgrade_does_nothing_twice(database_url: str):
    """An empty database is made; one that is up to date is left alone."""
    database = Database(database_url)
    assert database.version() is None
    assert database.upgrade() is True
    assert database.upgrade() is False
    database.close()


def test_a_newer_database_is_refused(database: Database):
    """A database that a newer program has changed is not touched, and the remedy is named."""
    with database.write() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"version 9999.*install the newer"):
        database.upgrade()


def test_write_keeps_everything_or_nothing(database: Database):
    """A transaction that fails in the middle leaves nothing behind."""

    def fail_midway() -> None:
        with database.write() as db:
            db.execute(text("INSERT INTO fact (name, value) VALUES ('a', 'b')"))
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError):
        fail_midway()
    with database.read() as db:
        assert db.scalar(text("SELECT count(*) FROM fact")) == 0


def test_a_host_that_stands_still_locks_nobody_out(database: Database):
    """A server ends a session that stays in the middle of a transaction, and with it all its locks."""
    if database.is_sqlite:
        return
    with database.write() as db:
        assert db.scalar(text("SHOW idle_in_transaction_session_timeout")) == "30s"


def test_a_full_disk_is_said_plainly(tmp_path: Path):
    """A database that cannot grow says so, and keeps what it had."""
    database = Database(f"sqlite:///{tmp_path}/small.db")
    database.upgrade()
    with database.write() as db:
        pages = db.scalar(text("PRAGMA page_count"))

    def fill() -> None:
        with database.write() as db:
            db.execute(text(f"PRAGMA max_page_count = {pages}"))
            db.execute(text("INSERT INTO fact (name, value) VALUES ('big', :v)"), {"v": "x" * 100_000})

    with pytest.raises(DatabaseError, match=r"full.*free some space"):
        fill()
    with database.read() as db:
        assert db.scalar(text("SELECT count(*) FROM fact")) == 0
    database.close()


def test_a_busy_database_is_said_plainly(tmp_path: Path):
    """When another process keeps the writer's place, the message says who waits for what."""
    path = tmp_path / "busy.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def write() -> None:
        with database.read() as db:
            db.execute(text("PRAGMA busy_timeout = 1"))
        with database.write():
            pass

    with pytest.raises(DatabaseError, match="another process is writing"):
        write()
    other.close()
    database.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "not understood"),
        ("oracle://x/y", "not understood"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/none", "is PostgreSQL running"),
    ],
)
def test_a_wrong_address_is_said_plainly(url: str, told: str):
    """An address that leads nowhere is a sentence with a remedy, and no traceback."""

    def use() -> None:
        Database(url).version()

    with pytest.raises(DatabaseError, match=told):
        use()


def test_a_file_that_is_no_database_is_said_plainly(tmp_path: Path):
    """A file of something else is not overwritten."""
    path = tmp_path / "letter.db"
    path.write_text("Dear reader, " * 1000)
    with pytest.raises(DatabaseError, match="not a database"):
        Database(f"sqlite:///{path}").upgrade()
    assert path.read_text().startswith("Dear reader")


def test_a_connection_that_is_lost_in_the_middle_is_told_plainly(database: Database):
    """Where a part of the transaction was undone already, the library's own word for it is no traceback."""
    with pytest.raises(DatabaseError, match="lost in the middle"), database.write():
        raise PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")
