"""Credentials that a network changes: sealed, and made by one worker at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from distributor.delivery.keyring import Keyring
from distributor.errors import AccountTrouble, TryLater
from distributor.providers.protocol import Credentials
from distributor.store import credentials as store
from distributor.store.database import Database
from tests.workspace import Clock


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/d.db")
    found.upgrade()
    yield found
    found.close()


def ring(database: Database, clock: Clock, seal: bytes = b"the configured key") -> Keyring:
    return Keyring(database, "x @news", seal, clock=clock, sleep=clock.sleep)


@pytest.mark.anyio
async def test_what_is_kept_is_what_comes_back(database: Database):
    """With its end, in UTC, and whatever came with it."""
    clock = Clock()
    made = Credentials(
        access="a", refresh="r", expires_at=datetime(2026, 8, 1, tzinfo=UTC), more={"did": "did:plc:1"}
    )

    async def make() -> Credentials:
        return made

    assert await ring(database, clock).current() is None
    assert await ring(database, clock).renewed(None, make) == made
    assert await ring(database, clock).current() == made


@pytest.mark.anyio
async def test_nobody_reads_them_in_the_database(database: Database):
    """They are sealed with the configured key; with another key they are as good as not there."""
    clock = Clock()

    async def make() -> Credentials:
        return Credentials(access="very-secret", refresh="also-secret")

    await ring(database, clock).renewed(None, make)
    with database.read() as db:
        row = store.credential_of(db, "x @news")
    assert row
    assert b"secret" not in (row.sealed or b"")
    assert await ring(database, clock, b"a new key").current() is None


@pytest.mark.anyio
async def test_ten_that_want_a_new_key_make_one(database: Database):
    """Refresh tokens rotate: a second refresh at the same time would end the first one's."""
    clock = Clock()
    made = 0

    async def make() -> Credentials:
        nonlocal made
        made += 1
        await anyio.sleep(0.01)
        return Credentials(access=f"token {made}")

    old = Credentials(access="old")
    found: list[Credentials] = []

    async def renew() -> None:
        found.append(await ring(database, clock).renewed(old, make))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(renew)
    assert {one.access for one in found} == {"token 1"}


@pytest.mark.anyio
async def test_who_fails_lets_the_next_try(database: Database):
    """A network that says no keeps nobody waiting."""
    clock = Clock()

    async def fail() -> Credentials:
        raise AccountTrouble("revoked")

    async def make() -> Credentials:
        return Credentials(access="new")

    with pytest.raises(AccountTrouble):
        await ring(database, clock).renewed(None, fail)
    assert (await ring(database, clock).renewed(None, make)).access == "new"


@pytest.mark.anyio
async def test_a_worker_that_died_over_it_is_waited_for_and_then_replaced(database: Database):
    """Its turn ends by itself; until then the others put their calls off."""
    clock = Clock()
    with database.write() as db:
        assert store.begin_renewing(db, "x @news", now=clock(), until=clock() + timedelta(hours=1))

    async def make() -> Credentials:
        return Credentials(access="new")

    with pytest.raises(TryLater, match="another worker"):
        await ring(database, clock).renewed(None, make)
    clock.go_on(hours=1)
    assert (await ring(database, clock).renewed(None, make)).access == "new"
