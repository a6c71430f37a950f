"""The daemon: it looks for what is new, delivers and answers on the web, until it is told to stop.

What is due lives in the tables, so a tick that is missed only means a later one, and two daemons that tick at
once do nothing twice. Each part has threads of its own, and none waits for another; the main thread listens
to signals and sees to it that all parts live.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import chain, repeat
from signal import SIGHUP
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Literal

from distributor import logs
from distributor.app import App, Looked
from distributor.config import Config, notes
from distributor.delivery.worker import Worker
from distributor.errors import Away, ConfigError, DistributorError
from distributor.noticing import Looks, Noticing
from distributor.service import Manager
from distributor.signals import Ears

if TYPE_CHECKING:
    from distributor.web.server import Server

Part = Literal["looks", "delivery", "web"]
EVERYTHING: tuple[Part, ...] = ("looks", "delivery", "web")

ATTEND = 1.0  # seconds between two rounds of the main thread
REST = 10.0  # seconds before a part that failed is tried again
RECORD = 5.0  # seconds to write down that calls were broken off
STEP = 2.0  # seconds by which a clock differs from before only if somebody set it
log = logging.getLogger(__name__)


class Daemon:
    """Some or all of: looking at the site and planning, delivering, answering on the web."""

    def __init__(
        self,
        load: Callable[[], Config],
        *,
        tell: Callable[[str], None] = logs.tell,
        parts: Iterable[Part] = EVERYTHING,
        ears: Callable[[], Ears] = Ears,
    ) -> None:
        """*load* reads the configuration: now, and whenever it is to be read anew."""
        self._ears = ears
        self._logging = ExitStack()
        self._load = load
        self._tell = tell
        self._parts = frozenset(parts)
        self._app = App(load())
        self._looks = Looks(self._look, every=timedelta(seconds=self._app.config.daemon.look_seconds))
        self._noticing: Noticing | None = None
        self._server: Server | None = None
        self._carriers: list[Carrier] = []  # the last one is at work, the others end what they began
        self._manager = Manager()
        self._troubles = Troubles(tell)
        self._down: set[str] = set()  # providers of which that was said
        self._since: datetime | None = None
        self._fatal: DistributorError | None = None
        self._has_looked = False
        self._set_off = time() - monotonic()

    def run(self, *, since: datetime | None = None) -> bool:
        """Go on until SIGTERM or SIGINT; False if something did not end by the deadline, and was left.

        Raises:
            DistributorError: already the first look fails, or the port is taken: something is wrong with the
                set-up. A database that is away is waited for.
        """
        self._since = since
        with self._logging, self._ears() as ears:
            self._log_by(self._app.config)
            self._server = self._endpoint()
            for note in notes(self._app.config):
                self._tell(f"note: {note}")
            try:
                if self._opened(ears):
                    self._start()
                    self._attend(ears)
            finally:
                is_over = self._stop()
                self._app.close()
            if self._fatal:
                raise self._fatal
        return is_over

    def _log_by(self, config: Config) -> None:
        """Log as a configuration wants, hiding its secrets."""
        self._logging.close()
        self._logging.enter_context(logs.logging_to(None, config))

    # --- beginning ---

    def _endpoint(self) -> Server | None:
        """The web endpoint, where one is wanted; its port is opened now, so that a taken one is told."""
        if "web" not in self._parts or (self._app.config.web.listen is None and len(self._parts) > 1):
            return None
        from distributor.web.server import Server  # 0.5 s to import

        return Server(self._app, published=self._looks.soon if "looks" in self._parts else None)

    def _opened(self, ears: Ears) -> bool:
        """Make sure of the tables, once the database is there; False when told to stop before."""
        for pause in chain((1.0, 2.0, 4.0, 8.0, 16.0), repeat(30.0)):
            try:
                self._app.open()
            except Away as error:
                self._troubles.begin("database", f"{error} It is waited for.")
            else:
                self._troubles.over("database", "the database is there")
                return True
            if ears.heard(pause) not in (None, SIGHUP):
                return False
        raise AssertionError("nobody waits for ever")

    def _start(self) -> None:
        if self._server is not None:
            self._server.start()
            self._tell(f"the web endpoint answers at {self._server.address}")
        if "delivery" in self._parts:
            self._carry()
        if "looks" in self._parts:
            self._notice()
            self._looks.daily(self._prune)
            self._looks.start()
        else:
            self._runs()

    def _runs(self) -> None:
        self._has_looked = True
        what = "distributor" if self._parts == frozenset(EVERYTHING) else " and ".join(sorted(self._parts))
        self._tell(f"{what} runs; Ctrl-C stops it")
        self._manager.ready("running")

    def _carry(self) -> None:
        carrier = Carrier(self._app, troubles=self._troubles)
        for before in self._carriers:
            before.stop()
        self._carriers.append(carrier)
        carrier.start()

    def _notice(self) -> None:
        if self._noticing is not None:
            self._noticing.stop()
            self._noticing = None
        try:
            site = self._app.site
        except DistributorError:  # the look says so
            return
        if site is not None:
            self._noticing = Noticing(
                site.content,
                site.root,
                ring=self._looks.soon,
                tell=self._tell,
                every=self._looks.every,
                settle=self._settle,
            )
            self._noticing.start()

    # --- going on ---

    def _attend(self, ears: Ears) -> None:
        """Listen to signals, and see to it that every part lives, until told to stop."""
        while not self._fatal:
            number = ears.heard(ATTEND)
            if number == SIGHUP:
                self._reload()
            elif number is not None:
                return
            self._watch_clock()
            self._revive()
            self._manager.alive()

    def _watch_clock(self) -> None:
        """A clock that was set, or a machine that slept: what is due is due at another moment now."""
        set_off = time() - monotonic()
        if abs(by := set_off - self._set_off) > STEP:
            self._set_off = set_off
            self._tell(f"the clock was set {'forward' if by > 0 else 'back'} by {abs(by):.0f} s")
            self._looks.soon()

    def _revive(self) -> None:
        """Begin again what has died, and forget what has ended."""
        self._carriers = [one for one in self._carriers if one.is_alive() or one is self._carriers[-1]]
        if self._carriers and not self._carriers[-1].is_alive():
            self._tell("the worker has died, and is begun again")
            self._carry()
        if self._server is not None and not self._server.is_alive:
            try:
                self._server.start()
                self._tell("the web endpoint has died, and is begun again")
            except DistributorError as error:
                self._troubles.begin("web", str(error))

    def _look(self) -> datetime | None:
        """Look once; the next moment at which something is due."""
        due_at = None
        app = self._app
        try:
            looked = app.look(since=self._since, settle=self._settle)
            due_at = earliest(looked.scanned.settles_at, app.next_due_at())
            self._report(looked)
            self._troubles.over("look", "the site is looked at again")
            self._since = None
            if not self._has_looked:
                self._runs()
        except Exception as error:  # the next look finds it mended
            if not self._has_looked and isinstance(error, DistributorError) and not isinstance(error, Away):
                self._fatal = error
                return None
            self._troubles.of("look", error)
        self._tell_alerts(app)
        return due_at

    @property
    def _settle(self) -> timedelta:
        return timedelta(seconds=self._app.config.daemon.settle_seconds)

    def _report(self, looked: Looked) -> None:
        for problem in looked.scanned.problems:
            self._tell(str(problem))
        if looked.planned and self._carriers:
            self._carriers[-1].wake()

    def _prune(self) -> None:
        try:
            pruned = self._app.prune()
        except Exception as error:  # the next day goes on with it
            self._troubles.of("retention", error)
            return
        if pruned.deliveries or pruned.events:
            self._tell(
                f"let go of {pruned.deliveries:,} deliveries and {pruned.events:,} events that are older "
                "than kept"
            )

    def _tell_alerts(self, app: App) -> None:
        try:
            self._report_standings()
            for alert in app.alerts():
                if app.told(alert):
                    self._tell(alert.text)
        except Exception as error:
            self._troubles.of("alerts", error)
        else:
            self._troubles.over("alerts")

    def _report_standings(self) -> None:
        """Say once that a provider is down, and why; and that it is back."""
        down = {one.provider: one for one in self._app.standings() if one.is_down}
        for one in down.values():
            if one.provider not in self._down:
                self._tell(f"{one.provider} is left alone until {one.until:%H:%M} UTC: {one.reason}")
        for name in self._down - down.keys():
            self._tell(f"{name} is tried again")
        self._down = set(down)

    # --- the configuration, anew ---

    def _reload(self) -> None:
        """Go over to the configuration as it is now; where that is wrong, keep what there is, and say so."""
        self._manager.reloading()
        before = self._app
        try:
            config = self._lasting(self._load())
            app = before.under(config)
            if problems := app.check_settings():
                raise ConfigError(problems)
            if self._server is not None:
                self._server.change(app)
        except DistributorError as error:
            self._tell(f"the configuration is kept as it was, because the new one is wrong:\n{error}")
            self._raise_alert(f"reload {before.clock():%Y-%m-%d %H:%M}", f"{KEPT}\n{error}")
        else:
            self._go_over(app)
        self._manager.ready("running")

    def _raise_alert(self, key: str, text: str) -> None:
        try:
            self._app.alert(key, text)
        except DistributorError as error:
            self._troubles.of("alerts", error)

    def _lasting(self, config: Config) -> Config:
        """A new configuration, with what cannot change while we run."""
        old = self._app.config
        if config.database != old.database:
            self._tell("[database] url has changed: that takes a restart, and the old one is used until then")
        if config.web.listen != old.web.listen:
            self._tell("[web] listen has changed: that takes a restart, and the old one is used until then")
        web = config.web.model_copy(update={"listen": old.web.listen})
        return config.model_copy(update={"database": old.database, "web": web})

    def _go_over(self, app: App) -> None:
        told = list(changes(self._app.config, app.config))
        self._app = app
        self._log_by(app.config)
        self._looks.every = timedelta(seconds=app.config.daemon.look_seconds)
        if "delivery" in self._parts:
            self._carry()
        if "looks" in self._parts:
            self._notice()
            self._looks.soon()
        self._tell(f"the configuration was read anew: {', '.join(told) or 'nothing changed'}")
        for note in notes(app.config):
            self._tell(f"note: {note}")

    # --- ending ---

    def _stop(self) -> bool:
        """End every part; whether all had ended before the deadline."""
        self._manager.stopping()
        ends_at = monotonic() + self._app.config.daemon.stop_seconds
        if self._noticing is not None:
            self._noticing.stop()
        self._looks.stop()
        for carrier in self._carriers:
            carrier.stop()
        if self._server is not None:
            self._server.stop()
        late = [what for what, is_over in self._ended(ends_at) if not is_over]
        for what in late:
            self._tell(f"{what} did not end in time, and is broken off; nothing of it is lost")
        return not late

    def _ended(self, ends_at: float) -> Iterator[tuple[str, bool]]:
        for carrier in self._carriers:
            if not carrier.ends(max(0.0, ends_at - monotonic())):
                carrier.break_off()
                self._tell("calls under way were broken off: the deadline for stopping has come")
                yield "the worker", carrier.ends(RECORD)
        if self._server is not None:
            yield "the web endpoint", self._server.join(max(0.0, ends_at - monotonic()))
        yield "a look", self._looks.join(max(0.0, ends_at - monotonic()))


KEPT = "The daemon goes on with the old configuration, because the new one is wrong:"


class Carrier(Thread):
    """Delivers what one app's configuration has ways for, again after any failure, until told to stop."""

    def __init__(self, app: App, *, troubles: Troubles, rest: float = REST) -> None:
        super().__init__(name="delivery", daemon=True)
        self._app = app
        self._troubles = troubles
        self._rest = rest  # seconds between two tries
        self._worker: Worker | None = None
        self._stopped = Event()
        self._lock = Lock()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._lock:
                    self._worker = worker = self._app.worker()
                    if self._stopped.is_set():  # nobody else would tell it
                        return
                self._app.deliver(worker=worker, until_stopped=True)
                self._troubles.over("delivery", "deliveries go on")
            except Exception as error:
                self._troubles.of("delivery", error)
            self._stopped.wait(self._rest)

    def wake(self) -> None:
        """There is something to deliver."""
        if self._worker is not None:
            self._worker.wake()

    def stop(self) -> None:
        """Claim no more."""
        with self._lock:
            self._stopped.set()
            if self._worker is not None:
                self._worker.stop()

    def break_off(self) -> None:
        """Wait no longer for answers; what may have been accepted is recorded as that."""
        if self._worker is not None:
            self._worker.break_off()

    def ends(self, within: float) -> bool:
        """Whether it ends within so many seconds."""
        self.join(within)
        return not self.is_alive()


class Troubles:
    """Says what goes wrong once, and not at every look; and that it is over."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._said: dict[str, str] = {}

    def begin(self, what: str, text: str) -> None:
        if self._said.get(what) != text:
            self._said[what] = text
            self._tell(text)

    def of(self, what: str, error: Exception) -> None:
        """An error that a person can do something about is a sentence; any other comes with its place."""
        if isinstance(error, DistributorError):
            self.begin(what, str(error))
            return
        text = f"{what}: {type(error).__name__}: {error}"
        if self._said.get(what) != text:
            log.error("%s", text, exc_info=error)
        self.begin(what, f"{text}; it is tried again")

    def over(self, what: str, text: str | None = None) -> None:
        if self._said.pop(what, None) and text:
            self._tell(text)


def changes(before: Config, after: Config) -> Iterator[str]:
    """What a new configuration has other than the old one."""
    for kind in ("providers", "newsletters", "channels", "segments"):
        old, new = getattr(before, kind), getattr(after, kind)
        yield from (f"{kind}.{name} added" for name in new.keys() - old.keys())
        yield from (f"{kind}.{name} removed" for name in old.keys() - new.keys())
        yield from (f"{kind}.{name} changed" for name in new.keys() & old.keys() if old[name] != new[name])
    for name in ("site", "web", "pictures", "daemon"):
        if getattr(before, name) != getattr(after, name):
            yield f"{name} changed"


def earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
