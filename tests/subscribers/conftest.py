"""Two lists on both databases, in a transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from distributor.store.database import Database
from subscribers import store


@pytest.fixture
def db(database: Database) -> Iterator[Connection]:
    """A transaction with the list "morning", served through 10, and "weekend", through 0."""
    with database.write() as db:
        store.ensure_list(db, "morning", served_through=10)
        store.ensure_list(db, "weekend", served_through=0)
        yield db


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One SQLite file for all tests that are not about the database."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('house')}/audience.db")
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def sqlite(house: Database) -> Iterator[Connection]:
    """A transaction on empty tables, of which nothing is kept."""
    with house.engine.connect() as db:
        yield db
        db.rollback()
