"""One run: a storm, the calm after it, and what was found."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import func, select

from distributor.app import App
from distributor.config import load
from distributor.errors import DatabaseError
from distributor.store import ledger
from distributor.store.schema import batch, delivery
from subscribers.schema import subscriber
from tests.chaos import crew
from tests.chaos.crew import OWN_FAULT, Shifted
from tests.chaos.ground import Field, Ground
from tests.chaos.plan import LOOK_UP, LOSES, Event, Plan, Shape
from tests.workspace import leave

BEGINS_WITHIN = 5  # seconds
ENDS_WITHIN = 10  # seconds: a worker that is told to stop
CALM_WITHIN = 60  # seconds
ROUNDS = 80  # of a quarter of an hour
ROUND = timedelta(minutes=16)
PLANNED_BY_ONE_VENDOR = 100  # the most recipients of a call where nothing was frozen in smaller batches


@dataclass(kw_only=True)
class Found:
    """What a storm did, and what was there after it."""

    did: Counter[str] = field(default_factory=Counter)  # event -> how often
    doubtful: int = 0  # recipients of calls that were under way when something was killed or an answer lost
    faults: int = 0  # calls that the simulator spoilt
    accepted: dict[str, int] = field(default_factory=dict)  # delivery key -> how often
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    balances: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[tuple[str, str]] = field(default_factory=list)  # state, and what a person is told of it
    is_quiet: bool = False
    unreadable: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # said at once: tracebacks, gaps
    said: str = ""  # by workers that ended


def run(plan: Plan, ground: Ground, own: Field) -> Found:
    ground.vendor.reset()
    ground.vendor.faults(plan.rules)
    storm = Storm(plan, ground, own)
    result = own.folder / "result.json"
    try:
        try:
            storm.rage()
        finally:
            storm.end()
        _count_faults(ground, plan, storm.found)
        ground.vendor.no_faults()
        crew.in_a_child(lambda: calm(own, plan.shape, result), within=CALM_WITHIN)
    finally:
        woken = storm.wake()  # so that nobody is left behind, whatever failed
    if woken:
        crew.in_a_child(lambda: calm(own, plan.shape, result), within=CALM_WITHIN)
    found = storm.found
    for name, value in json.loads(result.read_text()).items():
        setattr(found, name, value)
    found.accepted = ground.vendor.accepted()
    found.unreadable = ground.vendor.state()["unreadable"]
    return found


def _count_faults(ground: Ground, plan: Plan, found: Found) -> None:
    for rule in ground.vendor.state()["faults"]:
        if rule["effect"] != "delay":
            found.faults += rule["used"]
        if rule["effect"] in LOSES:
            found.doubtful += rule["used"] * _most(plan)


def _most(plan: Plan) -> int:
    return plan.shape.size or PLANNED_BY_ONE_VENDOR


class Storm:
    """Workers, and everything that happens to them."""

    def __init__(self, plan: Plan, ground: Ground, own: Field) -> None:
        self.found = Found()
        self._plan = plan
        self._ground = ground
        self._own = own
        self._clock = Shifted(own.clock)
        self._crew: list[int] = []
        self._frozen: list[int] = []
        self._others: list[int] = []
        self._jumped = 0.0
        self._log = own.folder / "said.log"
        self._wrong = own.folder / "wrong"

    def rage(self) -> None:
        for _ in range(self._plan.workers):
            self._hire()
        if self._plan.is_watched:
            self._others.append(crew.begin(lambda: crew.watch(self._own.config, self._wrong), log=self._log))
        self._await_first_call()
        begins = monotonic()
        for event in self._plan.events:
            sleep(max(0.0, begins + event.at - monotonic()))
            self._replace_ended()
            HAPPENS[event.what](self, event)
        sleep(max(0.0, begins + self._plan.seconds - monotonic()))

    def _await_first_call(self) -> None:
        """Before it there is nothing to spoil."""
        ends = monotonic() + BEGINS_WITHIN
        while monotonic() < ends and not self._ground.vendor.state()["most_calls_per_second"]:
            sleep(0.01)

    def end(self) -> None:
        """Whoever still lives is killed; who stands still may stay, and come back after the calm."""
        sleepers = self._frozen if self._plan.may_sleep and self._is_writable() else []
        everybody = [child for child in (*self._crew, *self._others) if child not in sleepers]
        try:
            for child in everybody:
                os.kill(child, signal.SIGSTOP)
            self.found.doubtful += self._in_flight()
        finally:
            for child in everybody:
                os.kill(child, signal.SIGKILL)
        for child in everybody:
            if child in self._crew:
                self._bury(child)
                self.found.did["kill"] += 1
            else:
                os.waitpid(child, 0)
        self._others.clear()
        if self._wrong.exists():
            self.found.wrong.append(self._wrong.read_text())
        self.found.said = self._log.read_text() if self._log.exists() else ""

    def _is_writable(self) -> bool:
        """False where who stands still does so as SQLite's one writer: nobody could finish anything."""
        path = self._own.config.parent / "distributor.db"
        if not path.exists():  # PostgreSQL, which ends such a session by itself
            return True
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True

    def wake(self) -> int:
        """Let those go on who stood still while others finished everything; how many."""
        sleepers = list(self._frozen)
        for child in sleepers:
            os.kill(child, signal.SIGCONT)
            os.kill(child, signal.SIGTERM)
        ends = monotonic() + ENDS_WITHIN
        for child in sleepers:
            while (status := crew.ended(child)) is None and monotonic() < ends:
                sleep(0.01)
            if status is None:
                self.found.wrong.append("a worker that came back did not stop")
                os.kill(child, crew.SAYS_WHERE)
                sleep(0.5)
                self.found.said = self._log.read_text()
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
            self._left(child, status)
            self.found.did["wake"] += 1
        self.found.said = self._log.read_text() if self._log.exists() else ""
        return len(sleepers)

    # --- the crew ---

    def _hire(self) -> None:
        work = crew.carry if self._plan.shape.size else crew.live
        self._crew.append(crew.begin(lambda: work(self._own.config, self._clock), log=self._log))

    def _replace_ended(self) -> None:
        """Whoever gave up by itself, as when the database stayed away, is followed by another."""
        for child in list(self._crew):
            if (status := crew.ended(child)) is not None:
                self._left(child, status)
                self._hire()

    def _bury(self, child: int) -> None:
        _, status = os.waitpid(child, 0)
        self._left(child, os.waitstatus_to_exitcode(status))

    def _left(self, child: int, status: int) -> None:
        self._crew.remove(child)
        if child in self._frozen:
            self._frozen.remove(child)
        if status == OWN_FAULT:
            self.found.wrong.append("a worker ended with a traceback")
        if status > 0:
            self.found.did["gave up"] += 1
            self.found.doubtful += self._in_flight(child)

    def _in_flight(self, child: int | None = None) -> int:
        """The recipients of the calls that are under way, of one worker or of all.

        A claim that is being committed at this moment may come to it.
        """
        whose = f" AND lease_owner LIKE '%/{child}/%'" if child else ""
        [[count]] = self._own.ask(f"SELECT coalesce(sum(size), 0) FROM batch WHERE state = 'sending'{whose}")
        claiming = 1 if child else len(self._crew)
        return int(count) + claiming * _most(self._plan)

    def _one(self, event: Event) -> int | None:
        return self._crew[int(event.pick * len(self._crew))] if self._crew else None

    # --- what happens ---

    def kill(self, event: Event) -> None:
        if (child := self._one(event)) is None:
            return
        os.kill(child, signal.SIGSTOP)  # so that what it was doing can be counted
        self.found.doubtful += self._in_flight(child)
        os.kill(child, signal.SIGKILL)
        self._bury(child)
        self.found.did["kill"] += 1
        self._hire()

    def stop(self, event: Event) -> None:
        if (child := self._one(event)) is not None:
            os.kill(child, signal.SIGTERM)
            self.found.did["stop"] += 1
            self._hire()

    def freeze(self, event: Event) -> None:
        child = self._one(event)
        if child is not None and child not in self._frozen:
            os.kill(child, signal.SIGSTOP)
            self._frozen.append(child)
            self.found.did["freeze"] += 1

    def thaw(self, event: Event) -> None:
        for child in self._frozen:
            os.kill(child, signal.SIGCONT)
        self._frozen.clear()

    def jump(self, event: Event) -> None:
        """All in all less than the time after which a provider is asked: a call takes no longer."""
        seconds = 25 + 150 * event.pick
        if self._jumped + seconds > 500:
            return
        self.found.doubtful += self._in_flight()
        self._jumped += seconds
        self._clock.go_on(seconds)
        self.found.did["jump"] += 1

    def leave(self, event: Event) -> None:
        if self._plan.database == "sqlite":  # whoever stands still may be the one writer
            self.thaw(event)
        reader = int(event.pick * self._plan.shape.readers)
        crew.in_a_child(lambda: _leave(self._own.config, f"reader{reader}@example.org"))
        self.found.did["leave"] += 1

    def outage(self, event: Event) -> None:
        self.found.doubtful += self._in_flight()
        vendor = self._ground.vendor
        vendor.kill()
        vendor.start()
        vendor.faults(self._plan.rules)
        self.found.did["outage"] += 1

    def terminate(self, event: Event) -> None:
        if backend := self._backend(event):
            self.found.doubtful += _most(self._plan)
            self._own.ask(f"SELECT pg_terminate_backend({backend})")
            self.found.did["terminate"] += 1

    def crash(self, event: Event) -> None:
        if backend := self._backend(event):
            self.found.doubtful += self._in_flight()
            with suppress(ProcessLookupError):
                os.kill(backend, signal.SIGKILL)
                self.found.did["crash"] += 1

    def _backend(self, event: Event) -> int | None:
        """One of the server's processes for the program's own connections."""
        rows = self._own.ask(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid"
        )
        return int(rows[int(event.pick * len(rows))][0]) if rows else None


HAPPENS: Mapping[str, Callable[[Storm, Event], None]] = {
    "kill": Storm.kill,
    "stop": Storm.stop,
    "freeze": Storm.freeze,
    "thaw": Storm.thaw,
    "jump": Storm.jump,
    "leave": Storm.leave,
    "outage": Storm.outage,
    "terminate": Storm.terminate,
    "crash": Storm.crash,
}


def _leave(config: Path, address: str) -> None:
    app = App(load(config, {}))
    for _ in range(20):
        with suppress(DatabaseError):
            leave(app, address)
            return
        sleep(0.1)


# --- the calm ---


def calm(own: Field, shape: Shape, result: Path) -> None:
    """One worker goes on until all is quiet; what is in the ledger then."""
    clock = Shifted(own.clock)
    app = App(load(own.config, {}), clock=clock, sleep=clock.sleep)
    is_quiet = False
    for _ in range(ROUNDS):
        clock.go_on(ROUND.total_seconds())
        with suppress(DatabaseError):  # a server that recovers
            if shape.size:
                app.deliver()
            else:
                app.run_once()
            if is_quiet := _is_quiet(app):
                break
        app.database.engine.dispose()
        sleep(0.02)
    told = _look(app) | {"is_quiet": is_quiet}
    result.write_text(json.dumps(told))


def _is_quiet(app: App) -> bool:
    """Nothing is queued, under way, or left to be asked about."""
    query = select(batch.c.state, batch.c.provider).where(batch.c.state.in_(("queued", "sending", "unclear")))
    with app.database.read() as db:
        rows = db.execute(query).all()
    return bool(app.campaigns()) and all(
        row.state == "unclear" and row.provider not in (*LOOK_UP, "brevo") for row in rows
    )


def _look(app: App) -> dict[str, Any]:
    query = (
        select(
            delivery.c.campaign,
            delivery.c.recipient,
            subscriber.c.address,
            func.coalesce(delivery.c.state, batch.c.state).label("state"),
            func.coalesce(delivery.c.reason, batch.c.reason).label("reason"),
            batch.c.state.label("batch_state"),
            batch.c.provider,
            batch.c.number,
        )
        .join(batch, (batch.c.campaign == delivery.c.campaign) & (batch.c.number == delivery.c.batch))
        .join(subscriber, subscriber.c.id == delivery.c.recipient)
        .order_by(delivery.c.campaign, delivery.c.recipient)
    )
    with app.database.read() as db:
        mark = ledger.installation(db).hex[:8]
        rows = [dict(row._mapping) for row in db.execute(query)]
    for row in rows:
        row["key"] = f"{row['campaign']}-{row['recipient']}-{mark}"
    balances = [
        asdict(app.balance(campaign.id))
        | {"gap": app.balance(campaign.id).gap, "id": campaign.id, "state": str(campaign.state)}
        for campaign in app.campaigns()
    ]
    return {"deliveries": rows, "balances": balances, "verdicts": _explained(app, rows)}


def _explained(app: App, rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What a person is told of a few of those who have no receipt."""
    first = {row["state"]: row for row in rows if row["state"] != "accepted"}
    return [
        (state, app.explain("https://news.example/news/", row["address"])[0].verdict)
        for state, row in first.items()
        if row["campaign"] == 1
    ]
