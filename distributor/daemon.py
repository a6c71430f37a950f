"""The daemon: it looks for what is new in rounds, and delivers all the while, until it is told to stop.

What is due lives in the tables, so a tick that is missed only means a later one, and two daemons that tick at
once do nothing twice.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from distributor.app import App, Looked
from distributor.config import notes
from distributor.delivery.worker import Worker
from distributor.errors import DistributorError
from distributor.signals import SIGNALS

if TYPE_CHECKING:
    from distributor.web.server import Server

LOOK = "look"  # the job's name
SECONDS = 10  # between the starts of two looks, and before delivery is tried again after a failure


class Daemon:
    """Looks by APScheduler's ticks, and delivers beside them, so that neither waits for the other."""

    def __init__(self, app: App, *, tell: Callable[[str], None]) -> None:
        self._app = app
        self._tell = tell
        self._scheduler = BackgroundScheduler(
            timezone="UTC", executors={"default": ThreadPoolExecutor(max_workers=2)}
        )
        self._worker: Worker | None = None
        self._is_told_to_stop = False
        self._down: set[str] = set()  # providers of which that was said

    def run(self, *, since: datetime | None = None) -> None:
        """Go on until SIGTERM or SIGINT; calls that are under way are finished first.

        Raises:
            DistributorError: already the first look fails: something is wrong with the set-up.
        """
        # Waited for, not handled: a handler could meet the main thread inside a lock that it needs itself.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._go_on(since)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # a second one ends it at once

    def _go_on(self, since: datetime | None) -> None:
        server = self._server()
        for note in notes(self._app.config):
            self._tell(f"note: {note}")
        self._report(self._app.look(since=since))
        self._scheduler.add_job(
            self._look, "interval", id=LOOK, seconds=SECONDS, max_instances=1, coalesce=True
        )
        self._scheduler.add_job(self._deliver)
        self._scheduler.start()
        if server is not None:
            server.start()
            self._tell(f"the web endpoint answers at {server.address}")
        self._tell("distributor runs; Ctrl-C stops it")
        signal.sigwait(SIGNALS)
        self._is_told_to_stop = True
        if self._worker is not None:
            self._worker.stop()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if server is not None:
            server.stop()
        self._scheduler.shutdown(wait=True)

    def _server(self) -> Server | None:
        """The web endpoint, where one is configured; its port is opened now, so that a taken one is told."""
        if self._app.config.web.listen is None:
            return None
        from distributor.web.server import Server  # 0.5 s to import

        return Server(self._app, published=self._look_now)

    def _look_now(self) -> None:
        """The site was deployed: the next look is due."""
        self._scheduler.modify_job(LOOK, next_run_time=datetime.now(UTC))

    def _look(self) -> None:
        try:
            self._report(self._app.look())
            self._report_standings()
            for alert in self._app.alerts():
                if self._app.told(alert):
                    self._tell(alert.text)
        except DistributorError as error:  # the next look finds it mended, or says so again
            self._tell(str(error))

    def _report(self, looked: Looked) -> None:
        for problem in looked.scanned.problems:
            self._tell(str(problem))

    def _report_standings(self) -> None:
        """Say once that a provider is down, and why; and that it is back."""
        down = {one.provider: one for one in self._app.standings() if one.is_down}
        for one in down.values():
            if one.provider not in self._down:
                self._tell(f"{one.provider} is left alone until {one.until:%H:%M} UTC: {one.reason}")
        for name in self._down - down.keys():
            self._tell(f"{name} is tried again")
        self._down = set(down)

    def _deliver(self) -> None:
        """Deliver what is due and what comes to be, until told to stop; after a failure again."""
        try:
            self._worker = worker = self._app.worker()
            if not self._is_told_to_stop:  # since the line before, nobody else would tell it
                self._app.deliver(worker=worker, until_stopped=True)
        except DistributorError as error:
            self._tell(str(error))
        finally:
            if not self._is_told_to_stop:
                again_at = datetime.now(UTC) + timedelta(seconds=SECONDS)
                self._scheduler.add_job(self._deliver, "date", run_date=again_at)
