"""Events on their way into the database: many requests share one transaction.

A transaction costs a flush of the disk, whatever it holds. While one is under way the next requests gather,
and go together; each is answered when what it brought is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from anyio import to_thread

from distributor.store import events
from distributor.store.database import Database
from distributor.store.events import EventRow

MOST_WAITING = 2000  # requests: beyond it the vendor is to come again later


class Busy(Exception):
    """More is coming than the database takes; it was not kept."""


class _Load:
    """What is written together, and how that went."""

    def __init__(self) -> None:
        self.rows: list[EventRow] = []
        self.requests = 0
        self.is_over = anyio.Event()
        self.error: Exception | None = None


class Intake:
    """Keeps events; `run` has to be under way."""

    def __init__(
        self, database: Database, *, after: Callable[[Sequence[EventRow]], None] = lambda rows: None
    ) -> None:
        self._database = database
        self._after = after  # told what was kept
        self._load = _Load()
        self._bell = anyio.Event()

    async def keep(self, rows: Sequence[EventRow]) -> None:
        """Return when the rows are written down.

        Raises:
            Busy: too many wait already.
            DatabaseError: they could not be written.
        """
        load = self._load
        if load.requests >= MOST_WAITING:
            raise Busy("too many events are waiting to be kept")
        load.rows += rows
        load.requests += 1
        self._bell.set()
        await load.is_over.wait()
        if load.error is not None:
            raise load.error

    async def run(self) -> None:
        """Write down what comes, until cancelled."""
        while True:
            await self._bell.wait()
            load, self._load, self._bell = self._load, _Load(), anyio.Event()
            try:
                with anyio.CancelScope(shield=True):  # what is being written is answered
                    await to_thread.run_sync(self._write, load.rows)
            except Exception as error:
                load.error = error
            finally:
                load.is_over.set()
            if load.error is None:
                self._after(load.rows)

    def _write(self, rows: list[EventRow]) -> None:
        with self._database.write() as db:
            events.keep(db, rows)
