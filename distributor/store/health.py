"""Every SQL statement about how providers are doing, and what went through them lately."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, select, tuple_

from distributor.model import Health
from distributor.store.dialect import upsert
from distributor.store.schema import provider, quota

Key = tuple[str, str, int]  # a window's name, what it counts, and its length in seconds
History = tuple[tuple[int, int], ...]  # steps and counts, ascending


def healths(db: Connection) -> dict[str, Health]:
    """How the providers are doing that ever failed."""
    return {row.name: Health(**row._mapping) for row in db.execute(select(provider))}


def health(db: Connection, name: str) -> Health:
    """How one is doing, with nobody else noting anything until the transaction ends."""
    upsert(db, provider, [{"name": name, "failures": 0, "is_down": False}], key=["name"], change=False)
    row = db.execute(select(provider).where(provider.c.name == name).with_for_update()).one()
    return Health(**row._mapping)


def keep_health(db: Connection, health: Health) -> None:
    values = {
        "name": health.name,
        "failures": health.failures,
        "held_until": health.held_until,
        "is_down": health.is_down,
        "reason": health.reason,
    }
    upsert(db, provider, [values], key=["name"])


def histories(db: Connection, keys: Sequence[Key]) -> dict[Key, History]:
    """What went through each window, with nobody else counting until the transaction ends."""
    empty = [dict(zip(("name", "counts", "seconds"), key, strict=True)) | {"history": "[]"} for key in keys]
    upsert(db, quota, empty, key=["name", "counts", "seconds"], change=False)
    columns = (quota.c.name, quota.c.counts, quota.c.seconds)
    query = (
        select(quota)
        .where(tuple_(*columns).in_(keys))
        .order_by(*columns)  # in one order, so that two workers never wait for each other
        .with_for_update()
    )
    return {
        (row.name, row.counts, row.seconds): tuple((step, count) for step, count in orjson.loads(row.history))
        for row in db.execute(query)
    }


def history(db: Connection, key: Key) -> History:
    """What went through a window, only to look at it."""
    own = (quota.c.name == key[0], quota.c.counts == key[1], quota.c.seconds == key[2])
    found = db.scalar(select(quota.c.history).where(*own))
    return tuple((step, count) for step, count in orjson.loads(found or "[]"))


def keep_histories(db: Connection, found: Sequence[tuple[Key, History]]) -> None:
    rows = [
        {
            "name": name,
            "counts": counts,
            "seconds": seconds,
            "history": orjson.dumps(history).decode(),
        }
        for (name, counts, seconds), history in found
    ]
    upsert(db, quota, rows, key=["name", "counts", "seconds"])
