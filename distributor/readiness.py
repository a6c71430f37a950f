"""Whether this process does what it is there for, and if not, why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from distributor.errors import DatabaseError
from distributor.store import tallies
from distributor.store.database import VERSION
from distributor.store.tallies import Pulse

if TYPE_CHECKING:
    from distributor.app import App

DUTIES = {"look": "the site was looked at", "delivery": "a worker was seen"}  # the names of their pulses
PATIENCE = timedelta(minutes=5)  # looks come every few seconds, workers say every ten that they live
LONG = 3  # times as long as the last one may a look take besides


def unready(app: App, duties: Iterable[str] = ()) -> list[str]:
    """Why it is not ready; empty, if it is. Neither names nor addresses: anybody may read it."""
    try:
        version = app.database.version()
        if version != VERSION:
            return [f"the database is at version {version or 'none'}, and this program wants {VERSION}"]
        with app.database.read() as db:
            pulses = tallies.pulses(db)
    except DatabaseError:
        return ["the database does not answer"]
    return list(_overdue(pulses, duties, app.clock()))


def _overdue(pulses: dict[str, Pulse], duties: Iterable[str], now: datetime) -> Iterator[str]:
    for duty in duties:
        last = pulses.get(duty)
        if last is None:
            yield f"never yet: {DUTIES[duty]}"
        elif now - last.at > PATIENCE + timedelta(seconds=(last.seconds or 0) * LONG):
            minutes = (now - last.at) // timedelta(minutes=1)
            yield f"not for {minutes} minutes: {DUTIES[duty]}"
