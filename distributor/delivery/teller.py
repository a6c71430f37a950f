"""Telling hooks what becomes of readers and campaigns: signed, at least once, each hook for itself.

It is noted with the thing itself (`subscribers.news`, `store.outgoing`), passed on to each hook that wants to
know, and told until it is taken. A hook that is slow or down keeps nobody waiting: neither mail nor another
hook, for each has a lane of its own. That it is down is known to all workers, as with providers.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import orjson
from anyio import to_thread
from sqlalchemy import Connection

from distributor import __version__
from distributor.config import Hook
from distributor.delivery import breaker
from distributor.delivery.retry import MOST_ATTEMPTS, due_again
from distributor.errors import DatabaseError, Refused, SendError, TryLater
from distributor.logs import Log
from distributor.model import Health
from distributor.providers.reasons import reason
from distributor.store import alerts, health, outgoing
from distributor.store.database import Database
from distributor.store.outgoing import Moved, Outgoing
from subscribers import store as audience

# What takes most of a second to import is imported where there is a hook to call.
if TYPE_CHECKING:
    import httpx

log = Log(__name__)

POLL = 2.0  # seconds between looks for something to tell
CHUNK = 500  # news a transaction
AT_ONCE = 4  # calls to one hook
TIMEOUT = 15.0  # seconds for a call, however slowly it is answered
LEASE = timedelta(seconds=60)  # longer than a call and its record take
WORRYING = timedelta(hours=1)  # after which a person is told that a hook takes nothing
PATIENCE = timedelta(days=3)  # after which something is given up

SUBSCRIBER = {  # what the audience notes -> the event that it is
    "asked": "subscriber.subscribed",
    "subscribed": "subscriber.subscribed",
    "confirmed": "subscriber.confirmed",
    "changed": "subscriber.changed",
    "paused": "subscriber.changed",
    "address changed": "subscriber.changed",
    "unsubscribed": "subscriber.unsubscribed",
    "suppressed": "subscriber.silenced",
    "erased": "subscriber.erased",
}  # whoever is imported is no news

Given = TypeVar("Given")


class Teller:
    """Tells every configured hook, until it is told to stop."""

    def __init__(
        self, database: Database, hooks: Mapping[str, Hook], *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._hooks = hooks
        self._clock = clock
        self._is_stopping = False
        self._bell: anyio.Event | None = None

    def stop(self) -> None:
        """Claim no more; `run` ends when the calls under way are answered. From the loop that runs it."""
        self._is_stopping = True
        if self._bell is not None:
            self._bell.set()

    async def run(self, *, until_stopped: bool = False) -> None:
        """Tell what is due now; *until_stopped*: and what comes to be due."""
        self._bell = anyio.Event()
        with ExitStack() as opened:
            async with anyio.create_task_group() as lanes:
                if until_stopped:
                    lanes.start_soon(self._pass_on, until_stopped)
                else:
                    await self._pass_on(until_stopped)
                for name, hook in self._hooks.items():
                    client = opened.enter_context(_client(hook))
                    lanes.start_soon(self._lane, name, client, until_stopped)

    # --- from what is noted to what is to be told ---

    async def _pass_on(self, until_stopped: bool) -> None:
        while not self._is_stopping:
            more = await self._step(self._pass_on_some)
            if not more and not until_stopped:
                return
            if not more:
                await self._rest()

    def _pass_on_some(self) -> bool:
        """Give every hook its own of the news; True when there may be more."""
        with self._database.read() as db:
            if not (audience.any_untold(db) or outgoing.any_news(db)):
                return False
        now = self._clock()
        with self._database.write() as db:
            people = audience.pass_on(db, limit=CHUNK)
            moved = outgoing.pass_on(db, limit=CHUNK)
            rows = [row for one in people for row in self._rows(*of_reader(one), at=one.at)]
            rows += [row for one in moved for row in self._rows(*of_campaign(one), at=now)]
            outgoing.add(db, rows, now=now)
        return CHUNK in (len(people), len(moved))

    def _rows(self, type_: str | None, data: Mapping[str, Any], *, at: datetime) -> Iterable[dict[str, Any]]:
        if type_ is None:
            return []
        row = {"id": f"msg_{uuid.uuid4().hex}", "type": type_, "data": data, "occurred_at": at}
        return [{"hook": name, **row} for name, hook in self._hooks.items() if hook.wants(type_)]

    # --- one hook's lane ---

    async def _lane(self, name: str, client: httpx.Client, until_stopped: bool) -> None:
        limiter = anyio.CapacityLimiter(AT_ONCE)  # a hook that hangs takes no thread of anybody else
        while not self._is_stopping:
            found = await self._step(self._claim, name)
            failed: list[SendError] = []
            async with anyio.create_task_group() as calls:
                for one in found or ():
                    calls.start_soon(self._tell, one, client, limiter, failed)
            if (failed or not found) and not until_stopped:
                return
            if not found:
                await self._rest()

    def _claim(self, name: str) -> list[Outgoing]:
        """What is to be told now: one by one where the hook did not answer, else some at once."""
        now = self._clock()
        with self._database.read() as db:
            due_at = outgoing.due_at(db, name)
            own = health.healths(db).get(_key(name), Health(name=_key(name)))
        if due_at is None or due_at > now or own.is_held(now):
            return []
        with self._database.write() as db:
            if own.is_down:
                health.keep_health(db, breaker.probed(own, now=now))
            limit = 1 if own.failures else AT_ONCE
            return outgoing.claim(db, name, now=now, lease=LEASE, limit=limit)

    async def _tell(
        self,
        one: Outgoing,
        client: httpx.Client,
        limiter: anyio.CapacityLimiter,
        failed: list[SendError],
    ) -> None:
        body = await self._step(self._body, one)
        if body is not None:
            error = await to_thread.run_sync(self._call, one, body, client, limiter=limiter)
            failed += [error] if error else []
            await self._step(self._record, one, error)

    def _body(self, one: Outgoing) -> bytes:
        """What is told; a reader's address is the one that they have now, if they are still there."""
        data = dict(one.data)
        if self._hooks[one.hook].addresses and "subscriber" in data:
            with self._database.read() as db:
                person = audience.person(db, data["subscriber"], now=self._clock())
            data["email"] = person.address if person else None
        return orjson.dumps({"type": one.type, "timestamp": _text(one.occurred_at), "data": data})

    def _call(self, one: Outgoing, body: bytes, client: httpx.Client) -> SendError | None:
        """Why the hook did not take it, if it did not."""
        from distributor.rendering.fetch import Unavailable

        hook = self._hooks[one.hook]
        headers = signed(one.id, body, [key.get_secret_value() for key in hook.secret], at=self._clock())
        try:
            with client.stream("POST", hook.url, content=body, headers=headers, timeout=TIMEOUT) as answer:
                return _failure(answer)  # what else it says is not read
        except Unavailable as error:
            return TryLater(f"it {error}")
        except Exception as error:  # whatever it is, it is tried again, and given up in the end
            return TryLater(reason(f"no answer: {error or type(error).__name__}"))

    def _record(self, one: Outgoing, error: SendError | None) -> None:
        now = self._clock()
        with self._database.write() as db:
            own = health.health(db, _key(one.hook))
            if error is not None:
                health.keep_health(db, breaker.after_failure(own, error, now=now))
                self._fail(db, one, error, now)
            else:
                outgoing.told(db, one.number)
                if own.failures:
                    health.keep_health(db, Health(name=own.name))
        if error is None:
            log.info("told", hook=one.hook, about=one.type, id=one.id)
        else:
            log.warning("not told", hook=one.hook, about=one.type, id=one.id, reason=str(error))

    def _fail(self, db: Connection, one: Outgoing, error: SendError, now: datetime) -> None:
        """Try again later; after days no more, and whatever else has waited as long is given up with it."""
        asked = error.after if isinstance(error, TryLater) else None
        due_at = due_again(now, min(one.attempt, MOST_ATTEMPTS), asked=asked)
        outgoing.later(db, one, due_at=due_at, reason=str(error))
        if isinstance(error, Refused):
            given_up = outgoing.give_up(db, one.hook, reason=str(error), only=one.number)
        else:
            given_up = outgoing.give_up(db, one.hook, reason=str(error), before=now - PATIENCE)
        if given_up:
            alerts.raise_alert(db, f"hook {one.hook} {now:%Y-%m-%d}", _lost(one.hook, error), now=now)
        elif now - one.kept_at >= WORRYING:
            alerts.raise_alert(db, f"hook {one.hook} waits {now:%Y-%m-%d}", _waits(one.hook, error), now=now)

    async def _step(self, step: Callable[..., Given], *arguments: Any) -> Given | None:
        """A transaction; where the database is away nothing happened, and it comes again."""
        try:
            return await to_thread.run_sync(step, *arguments)
        except DatabaseError as error:
            log.warning("not told", reason=str(error))
        except Exception as error:  # a fault of ours: mail must not stop for it
            log.error("not told", reason=f"{type(error).__name__}: {error}")
        await self._rest()
        return None

    async def _rest(self) -> None:
        assert self._bell is not None
        with anyio.move_on_after(POLL):
            await self._bell.wait()


def _client(hook: Hook) -> httpx.Client:
    from distributor.rendering import fetch

    headers = {"User-Agent": f"distributor/{__version__}", "Content-Type": "application/json"}
    return fetch.guarded(allow_private=hook.allow_private or hook.is_local, headers=headers)


def signed(id_: str, body: bytes, keys: Iterable[str], *, at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks; two keys make two signatures, of which either is enough."""
    from distributor.providers.hooks import standard_signature

    seconds = str(int(at.timestamp()))
    message = b".".join((id_.encode(), seconds.encode(), body))
    signatures = " ".join(f"v1,{standard_signature(key, message).decode()}" for key in keys)
    return {"webhook-id": id_, "webhook-timestamp": seconds, "webhook-signature": signatures}


def _failure(answer: httpx.Response) -> SendError | None:
    """What an answer means: any 2xx that it was taken, 410 that it never will be."""
    from distributor.providers.http import retry_after

    said = f"it answered {answer.status_code}"
    if answer.is_success:
        return None
    return Refused(said) if answer.status_code == 410 else TryLater(said, after=retry_after(answer))


def of_reader(news: audience.News) -> tuple[str | None, dict[str, Any]]:
    """The event that news of a reader are, and what is told of it."""
    if news.what == "asked" and news.list is None:
        return None, {}  # of a new address, that is not theirs yet
    data = {
        "subscriber": news.subscriber,
        "newsletter": news.list,
        "what": news.what,
        "source": news.source,
        "detail": news.detail,
    }
    if news.what == "suppressed":
        data["reason"] = re.split(", until |; ", news.detail or "")[0]
    return SUBSCRIBER.get(news.what), data


def of_campaign(moved: Moved) -> tuple[str, dict[str, Any]]:
    data = {
        "campaign": moved.campaign,
        "channel": moved.channel,
        "kind": moved.kind,
        "slot": moved.slot,
        "due_at": _text(moved.due_at),
        "state": moved.state,
        "reason": moved.reason,
    }
    return f"campaign.{moved.state.replace(' ', '_')}", data


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _key(name: str) -> str:
    """Under which a hook's health is kept; no provider can have such a name."""
    return f"hook: {name}"


def _waits(name: str, error: SendError) -> str:
    return (
        f"hooks.{name}: some of what it is to be told was not taken for an hour ({error}); "
        f"it is tried for {PATIENCE.days} days"
    )


def _lost(name: str, error: SendError) -> str:
    return (
        f"hooks.{name}: some of what it was to be told is given up ({error}), and kept for 30 days. "
        f"Once the hook takes it: distributor hooks retry {name}"
    )
