"""How long it is kept who got what and what was reported of it: daily, in small transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from distributor.config import Retention
from distributor.store import aging
from distributor.store.database import Database

AT_ONCE = 5000  # rows of a transaction: nobody waits for long


@dataclass(slots=True, kw_only=True)
class Pruned:
    """What was let go of."""

    campaigns: int = 0  # of which only the counts are kept from now on
    deliveries: int = 0
    events: int = 0


def prune(database: Database, policy: Retention, now: datetime, *, at_once: int = AT_ONCE) -> Pruned:
    """Let go of what is older than it is to be kept; broken off anywhere, the next time goes on."""
    pruned = Pruned()
    if policy.deliveries_days:
        pruned.campaigns = _age(database, now - timedelta(days=policy.deliveries_days))
    with database.read() as db:
        emptying = aging.emptying(db)
    for campaign_id in emptying:
        step = partial(aging.forget_deliveries, campaign_id=campaign_id, limit=at_once)
        pruned.deliveries += _repeated(database, step)
    if policy.events_days:
        before = now - timedelta(days=policy.events_days)
        pruned.events = _repeated(database, partial(aging.forget_events, before=before, limit=at_once))
    return pruned


def _age(database: Database, before: datetime) -> int:
    count = 0
    while True:
        with database.write() as db:
            found = aging.ripe(db, before=before)
            if found is None:
                return count
            count += aging.age(db, found)


def _repeated(database: Database, step: Callable[[Connection], int]) -> int:
    """Do it until there is nothing left, each time in a transaction of its own; how many it was in all."""
    count = 0
    while True:
        with database.write() as db:
            some = step(db)
        count += some
        if not some:
            return count
