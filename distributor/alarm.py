"""How people are told: by Apprise, a few lines at a time, never in the way of anything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock, Thread

from distributor.config import Config, own_addresses, secrets_of
from distributor.errors import DatabaseError
from distributor.logs import Log
from distributor.masking import hiding, without_addresses
from distributor.metrics import NOTIFICATIONS
from distributor.store import alerts, tallies
from distributor.store.alerts import Alert
from distributor.store.database import Database

log = Log(__name__)

SENDING = timedelta(minutes=5)  # whoever sends for longer is dead, and another sends it
FULLY = 5  # alerts that a message has in full; of more it has the first, and how many there are
LONGEST = 600  # characters of one alert
PULSE = "alert"  # the last message to people


class Alarm:
    """Sends what was raised to the people in `[alerts]`."""

    def __init__(
        self, config: Config, database: Database, *, title: str, clock: Callable[[], datetime]
    ) -> None:
        self._to = [url.get_secret_value() for url in config.alerts.to]
        self._gap = timedelta(minutes=config.alerts.every_minutes)
        self._own = own_addresses(config)
        self._hide = hiding(secrets_of(config))
        self._database = database
        self._title = title
        self._clock = clock
        self._lock = Lock()
        self._thread: Thread | None = None

    def ring(self) -> None:
        """Send what there is, meanwhile; a notifier that hangs keeps nobody but itself."""
        if self._to and not self._lock.locked():
            self._thread = Thread(target=self._send_quietly, name="alerts", daemon=True)
            self._thread.start()

    def finish(self, seconds: float = 30) -> None:
        """Wait for the message that is on its way, but not for ever."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _send_quietly(self) -> None:
        try:
            self.send()
        except DatabaseError as error:  # the next look rings again
            log.warning("alerts could not be sent", reason=str(error))

    def send(self) -> int:
        """Send what there is; how many alerts people have now. What could not be sent is tried again."""
        if not self._to or not self._lock.acquire(blocking=False):
            return 0
        try:
            return self._send()
        finally:
            self._lock.release()

    def _send(self) -> int:
        now = self._clock()
        with self._database.write() as db:
            last = tallies.pulses(db).get(PULSE)
            if last is not None and now - last.at < self._gap:
                return 0  # with the next message, so that a storm becomes one
            found = alerts.take(db, now=now, until=now + SENDING)
        if not found:
            return 0
        is_sent = self._notify(subject(self._title, found), self.body(found))
        NOTIFICATIONS.labels("sent" if is_sent else "failed").inc()
        with self._database.write() as db:
            if not is_sent:
                alerts.not_sent(db, found, now=self._clock())
                return 0
            alerts.sent(db, [one.key for one in found], now=self._clock())
            tallies.beat(db, PULSE, now=self._clock())
        return len(found)

    def body(self, found: Sequence[Alert]) -> str:
        """What a message says; never a secret or a reader's address."""
        lines = [one.text[:LONGEST] for one in found[:FULLY]]
        if len(found) > FULLY:
            lines.append(f"And {len(found) - FULLY} more ({_kinds(found[FULLY:])}): the log has all of them.")
        return without_addresses(self._hide("\n\n".join(lines)), own=self._own)

    def _notify(self, title: str, body: str) -> bool:
        """Whether anybody was reached: who was is not told again for the sake of others."""
        import apprise  # 0.3 s to import, and needed now and then

        kind, form = apprise.NotifyType.WARNING, apprise.NotifyFormat.TEXT
        reached = 0
        for place, url in enumerate(self._to, 1):
            try:
                one = apprise.Apprise()
                is_reached = one.add(url) and one.notify(
                    body=body, title=title, notify_type=kind, body_format=form
                )
                why = "Apprise could not send it, or does not understand the address"
            except Exception as error:  # a hundred services, each with faults of its own
                is_reached, why = False, f"{type(error).__name__}: {error}"
            reached += bool(is_reached)
            if not is_reached:
                log.warning("alert not sent", to=f"no. {place} of [alerts] to", reason=why)
        return reached > 0


def subject(title: str, found: Sequence[Alert]) -> str:
    what = "a person is needed" if len(found) == 1 else f"{len(found)} things need a person"
    return f"distributor, {title}: {what}" if title else f"distributor: {what}"


def _kinds(found: Sequence[Alert]) -> str:
    counts: dict[str, int] = {}
    for one in found:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
