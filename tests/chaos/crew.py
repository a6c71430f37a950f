"""The processes of a run: forked from one that has imported everything, and killed in any way."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import anyio

from distributor.app import App, utc_now
from distributor.config import load
from distributor.errors import DatabaseError, DistributorError

OWN_FAULT, TOLD = 1, 3  # how a child ends: by a traceback, or with a sentence for a person
SAYS_WHERE = signal.SIGUSR2  # a child then writes to its log where each of its threads stands
NAP = 0.03  # seconds for which a worker sleeps that means to sleep for longer


def in_a_child(work: Callable[[], object], *, within: float = 120) -> None:
    """Do it in another process.

    Raises:
        RuntimeError: it failed, or took longer than so many seconds.
    """
    child = begin(work)
    ends = monotonic() + within
    while (status := ended(child)) is None:
        if monotonic() > ends:
            os.kill(child, signal.SIGABRT)
            os.waitpid(child, 0)
            raise RuntimeError(f"not done after {within} s")
        sleep(0.005)
    if status:
        raise RuntimeError(f"ended with {status}")


def begin(work: Callable[[], object], *, log: Path | None = None) -> int:
    """The number of a new process that does it; what it has to say against it goes to *log*."""
    child = os.fork()
    if child:
        return child
    status = OWN_FAULT
    try:
        if log:
            os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 2)
            faulthandler.register(SAYS_WHERE)
        work()
        status = 0
    except DistributorError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        status = TOLD
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(child: int) -> int | None:
    """How a process ended: its status, or the negative number of a signal; None while it lives."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


class Shifted:
    """The real clock and so many seconds, as a file says that all processes of a run look at."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def offset(self) -> float:
        return float(self._path.read_text())

    def __call__(self) -> datetime:
        return utc_now() + timedelta(seconds=self.offset)

    def go_on(self, seconds: float) -> None:
        other = self._path.with_suffix(".new")
        other.write_text(f"{self.offset + seconds:.3f}")
        other.replace(self._path)

    async def sleep(self, seconds: float) -> None:
        """The clock goes on instead; only for a process that is alone."""
        self.go_on(seconds + 0.001)

    async def nap(self, seconds: float) -> None:
        """Look again soon: somebody else may move the clock."""
        await anyio.sleep(min(seconds, NAP))


# --- what the processes do ---


def carry(config: Path, clock: Shifted) -> None:
    """Deliver until told to stop: the product's worker."""
    app = App(load(config, {}), clock=clock, sleep=clock.nap)
    worker = app.worker()
    signal.signal(signal.SIGTERM, lambda number, frame: worker.stop())
    anyio.run(partial(worker.run, until_stopped=True))


def live(config: Path, clock: Shifted) -> None:
    """Scan, plan and deliver in rounds, as the daemon does."""
    app = App(load(config, {}), clock=clock, sleep=clock.nap)
    told: list[int] = []
    workers = [app.worker()]

    def stop(number: int, _frame: object) -> None:
        told.append(number)
        workers[-1].stop()

    signal.signal(signal.SIGTERM, stop)
    while not told:
        try:
            app.look()
            workers.append(app.worker())
            if not told:
                app.deliver(worker=workers[-1])
        except DistributorError as error:  # the next round finds it mended
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sleep(NAP)


def watch(config: Path, wrong: Path) -> None:
    """Add up the accounts again and again, and write down what does not add up."""
    app = App(load(config, {}))
    while True:
        try:
            for campaign in app.campaigns():
                if gap := app.balance(campaign.id).gap:
                    wrong.write_text(f"during the storm {gap} of campaign {campaign.id} were missing")
        except DatabaseError:
            app.database.engine.dispose()
        sleep(NAP)
