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
