"""The daemon: rounds of scan, plan and deliver, until it is told to stop.

What is due lives in the tables, so a tick that is missed only means a later one, and two daemons that tick at
once do nothing twice.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import datetime
from types import FrameType

from apscheduler.events import EVENT_SCHEDULER_STARTED, SchedulerEvent
from apscheduler.schedulers.blocking import BlockingScheduler

from distributor.app import App
from distributor.errors import DistributorError

SECONDS = 10  # between the starts of two rounds


class Daemon:
    """Ticks by APScheduler; one round at a time."""

    def __init__(self, app: App, *, tell: Callable[[str], None]) -> None:
        self._app = app
        self._tell = tell
        self._scheduler = BlockingScheduler(timezone="UTC")
        self._is_told_to_stop = False

    def run(self, *, since: datetime | None = None) -> None:
        """Go on until SIGTERM or SIGINT; a round that is under way is finished first.

        Raises:
            DistributorError: already the first round fails: something is wrong with the set-up.
        """
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        self._app.run_once(since=since)
        self._scheduler.add_job(self._round, "interval", seconds=SECONDS, max_instances=1, coalesce=True)
        self._scheduler.add_listener(self._started, EVENT_SCHEDULER_STARTED)
        self._scheduler.start()

    def _started(self, _event: SchedulerEvent) -> None:
        if self._is_told_to_stop:  # during the first round
            self._scheduler.shutdown(wait=False)
        else:
            self._tell("distributor runs; Ctrl-C stops it")

    def _round(self) -> None:
        try:
            ran = self._app.run_once()
        except DistributorError as error:  # the next round finds it mended, or says so again
            self._tell(str(error))
            return
        for campaign in ran.planned:
            why = f" ({campaign.reason})" if campaign.reason else ""
            self._tell(f"planned {campaign.channel} {campaign.slot}: {campaign.state}{why}")
        for problem in ran.scanned.problems:
            self._tell(str(problem))

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_told_to_stop = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
