"""Claim, call, record: the worker that carries what the ledger froze to its providers.

Each provider has a lane of its own, with calls in flight of its own, so that one that is slow, throttled or
down keeps no other waiting. What is written down, and when, is in `delivery.desk`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import anyio
from anyio import to_thread

from distributor.delivery import posting
from distributor.delivery.desk import HARMLESS, LEASE, NOBODY_LEFT, Desk, Inquiry, Job, NoCall, Readers, Wait
from distributor.delivery.keyring import Keyring
from distributor.delivery.posting import Notes
from distributor.delivery.retry import PATIENCE, until_recorded, within_the_call
from distributor.delivery.routes import EmailWay, Routes, SocialWay, Way
from distributor.errors import DatabaseError, Refused, SendError, SomeRefused, TryLater, Unclear
from distributor.logs import Log
from distributor.metrics import CALLS, DUE, PUBLISHED, RECIPIENTS
from distributor.model import Answer, Digest, Picture, Post
from distributor.providers.protocol import Allowing, EmailCalls, Finding, SocialCalls
from distributor.providers.reasons import reason
from distributor.store.database import Database
from distributor.tracing import span

log = Log(__name__)

POLL = 1.0  # seconds between looks for more, while anything is under way
LOOK_UP_ALLOWANCE = timedelta(minutes=5)

Given = TypeVar("Given")


@dataclass(slots=True)
class Delivered:
    """What one run of the worker did, by recipient."""

    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    unclear: int = 0
    later: int = 0


class Connections:
    """The providers that were called so far, connected until the worker ends."""

    def __init__(self, stack: AsyncExitStack, keyring: Callable[[SocialWay], Keyring]) -> None:
        self._stack = stack
        self._keyring = keyring
        self._providers: dict[int, EmailCalls] = {}
        self._accounts: dict[str, SocialCalls] = {}
        self._lock = anyio.Lock()

    async def to_provider(self, way: EmailWay) -> EmailCalls:
        key = id(way.provider)
        async with self._lock:
            if key not in self._providers:
                self._providers[key] = await self._stack.enter_async_context(way.provider.connected())
        return self._providers[key]

    async def to_account(self, way: SocialWay) -> SocialCalls:
        async with self._lock:
            if way.name not in self._accounts:
                opening = way.provider.connected(self._keyring(way))
                self._accounts[way.name] = await self._stack.enter_async_context(opening)
        return self._accounts[way.name]


class Worker:
    """Delivers due batches until none is left, or until it is told to stop."""

    def __init__(
        self,
        database: Database,
        routes: Routes,
        readers: Readers,
        *,
        media: Callable[[Picture], bytes],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        progress: Callable[[int], None] = lambda recipients: None,
    ) -> None:
        self.name = worker_name()
        self._database = database
        self.delivered = Delivered()
        self._desk = Desk(database, routes, readers, worker=self.name, clock=clock)
        self._readers = readers
        self._media = media
        self._clock = clock
        self._sleep = sleep
        self._progress = progress
        self._lanes: dict[str, Way] = {way.name: way for route in routes.values() for way in route.ways}
        self._idle: set[str] = set()
        self._calls = 0  # under way
        self._ended = 0  # calls that were
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: set[anyio.CancelScope] = set()
        self._failures: list[Exception] = []
        self._asked_at: dict[str, datetime] = {}

    def stop(self) -> None:
        """Claim no more; `run` ends when the calls that are under way are answered. From any thread."""
        self._is_stopping = True
        self.wake()

    def wake(self) -> None:
        """There may be more to do: let idle lanes look at once. From any thread."""
        self._soon(self._ring)

    def break_off(self) -> None:
        """Wait no longer for the calls that are under way: they are recorded as ones without an answer.

        From any thread, after `stop`.
        """
        self._soon(self._break_off)

    def _break_off(self) -> None:
        for call in self._under_way:
            call.cancel()

    def _soon(self, step: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(step)

    async def run(self, only: Sequence[int] = (), *, until_stopped: bool = False) -> Delivered:
        """Deliver everything that is due now (of these campaigns, if any are named).

        *until_stopped*: and what comes to be due.
        """
        self._bell = anyio.Event()
        self._loop = asyncio.get_running_loop()
        await self._write(self._desk.open, is_dead)
        async with AsyncExitStack() as connections, anyio.create_task_group() as watch:
            watch.start_soon(self._watch)
            opened = Connections(connections, self._keyring)
            async with anyio.create_task_group() as lanes:
                for way in self._lanes.values():
                    lanes.start_soon(self._lane, way, opened, only, until_stopped)
            watch.cancel_scope.cancel()
        if self._failures:
            raise self._failures[0]
        await self._write(self._desk.close)
        return self.delivered

    async def _watch(self) -> None:
        """Take over from workers that die while this one lives."""
        while True:
            await anyio.sleep(LEASE.total_seconds() / 2)
            with suppress(DatabaseError):  # the next call to it says so, if it stays away
                await to_thread.run_sync(self._desk.take_over, is_dead)

    def _keyring(self, way: SocialWay) -> Keyring:
        return Keyring(self._database, way.name, way.seal, clock=self._clock, sleep=self._sleep)

    def _goes_on(self) -> bool:
        return not self._is_stopping and not self._failures

    # --- one provider's lane ---

    async def _lane(self, way: Way, opened: Connections, only: Sequence[int], until_stopped: bool) -> None:
        """Keep a provider's calls in flight; after a failure only those under way are finished."""
        slots = anyio.Semaphore(way.in_flight)
        async with anyio.create_task_group() as group:
            while self._goes_on():
                await slots.acquire()
                if not self._goes_on():
                    break
                ended = self._ended
                step = await self._next(way, only, opened)
                self.delivered.skipped += step.skipped if isinstance(step, Job | NoCall) else 0
                _tell_of_claim(step, way)
                if isinstance(step, Job | Inquiry):
                    self._calls += 1
                    group.start_soon(self._carry, step, way, opened, slots)
                    continue
                slots.release()
                if (
                    isinstance(step, NoCall) or ended != self._ended
                ):  # what has ended may have left more to do
                    continue
                if await self._is_over(way, step, until_stopped):
                    break

    async def _next(
        self, way: Way, only: Sequence[int], opened: Connections
    ) -> Job | Inquiry | Wait | NoCall | None:
        try:
            await self._ask_allowance(way, opened)
            step = await self._write(self._desk.claim, way.name, only)
            return step or await self._write(self._desk.inquire, way)
        except Exception as error:
            self._failures.append(error)
            return None

    async def _is_over(self, way: Way, step: Wait | None, until_stopped: bool) -> bool:
        """Wait for more to do, or until nobody has anything; a long wait is for a later run."""
        if step and (until_stopped or step.seconds <= PATIENCE.total_seconds()):
            await self._doze(min(step.seconds, PATIENCE.total_seconds() / 2))
            return False
        self._idle.add(way.name)
        if not until_stopped and not self._calls and len(self._idle) == len(self._lanes):
            self._is_stopping = True
            self._ring()
            return True
        with anyio.move_on_after(POLL):
            await self._bell.wait()
        self._idle.discard(way.name)
        return False

    async def _doze(self, seconds: float) -> None:
        """Sleep, unless the bell rings: whoever is told to stop does not sleep on."""
        bell = self._bell
        async with anyio.create_task_group() as group:

            async def wake() -> None:
                await bell.wait()
                group.cancel_scope.cancel()

            group.start_soon(wake)
            await self._sleep(seconds)
            group.cancel_scope.cancel()

    def _ring(self) -> None:
        """Let whoever waits for more look again."""
        bell, self._bell = self._bell, anyio.Event()
        bell.set()

    async def _ask_allowance(self, way: Way, opened: Connections) -> None:
        """What the vendor says that the account may send, asked for now and then."""
        asked_at = self._asked_at.get(way.name)
        if isinstance(way, SocialWay) or (asked_at and self._clock() < asked_at + LOOK_UP_ALLOWANCE):
            return
        self._asked_at[way.name] = self._clock()
        calls = await opened.to_provider(way)
        if isinstance(calls, Allowing):
            with suppress(SendError):  # the calls themselves will say what is wrong
                self._desk.allowances[way.name] = await calls.allowance()

    # --- one call ---

    async def _carry(
        self, step: Job | Inquiry, way: Way, opened: Connections, slots: anyio.Semaphore
    ) -> None:
        """Make the call and record what came of it."""
        try:
            if isinstance(step, Inquiry):
                await self._inquire(step, way, opened)
            else:
                await self._deliver(step, opened)
        except Exception as error:
            self._failures.append(error)
        finally:
            self._calls -= 1
            self._ended += 1
            slots.release()
            if not self._calls:
                self._ring()

    async def _deliver(self, job: Job, opened: Connections) -> None:
        count = len(job.batch.recipients)
        begun = monotonic()
        try:
            with span("call", **_about(job)):
                answer: Answer = await within_the_call(self._goes_on)(self._send, job, opened)
        except SendError as error:
            CALLS.labels(job.way.name, _kind(error)).observe(monotonic() - begun)
            await self._write(self._desk.fail, job, error)
            self._count(job, error)
        else:
            CALLS.labels(job.way.name, "answered").observe(monotonic() - begun)
            await self._write(self._desk.accept, job, answer)
            _tell_of_answer(job, answer)
            _measure(job, self._clock())
            self.delivered.refused += len(answer.refused)
            self.delivered.later += len(answer.later)
            self.delivered.unclear += len(answer.unclear)
            self.delivered.accepted += count - len(answer.refused) - len(answer.later) - len(answer.unclear)
        self._progress(count)

    def _count(self, job: Job, error: SendError) -> None:
        count = len(job.batch.recipients)
        if isinstance(error, TryLater) or (isinstance(error, SomeRefused) and count > 1):
            self.delivered.later += count
            _tell(job, "put off", count, error)
        elif isinstance(error, Unclear) or job.batch.called_at is not None:
            self.delivered.unclear += count
            _tell(job, "unclear", count, error)
        else:
            self.delivered.refused += count
            _tell(job, "refused", count, error)

    async def _send(self, job: Job, opened: Connections) -> Answer:
        """The provider's own call, with the lease held for as long as it takes."""
        answer: Answer | SendError
        async with anyio.create_task_group() as group:
            group.start_soon(self._hold, job)
            answer = await self._answer(job, opened)
            group.cancel_scope.cancel()
        if isinstance(answer, SendError):
            raise answer
        return answer

    async def _answer(self, job: Job, opened: Connections) -> Answer | SendError:
        kind = TryLater if job.called_at is None else Unclear
        with anyio.CancelScope() as call:
            self._under_way.add(call)
            try:
                return await self._hand_over(job, opened)
            except SendError as error:
                return error
            except Exception as error:  # a fault of ours or the provider's: who knows what was accepted
                return kind(reason(f"{type(error).__name__}: {error}"))
            finally:
                self._under_way.discard(call)
        return kind(BROKEN_OFF)

    async def _hand_over(self, job: Job, opened: Connections) -> Answer:
        if not await self._is_ours(job):
            raise TryLater(TAKEN_OVER, after=0)
        if isinstance(job.way, EmailWay) and isinstance(job.content, Digest):
            emails = self._readers.emails(job.campaign, job.people)
            mail = await opened.to_provider(job.way)
            return await mail.send(job.batch, job.content, emails, sender=job.way.sender, media=self._media)
        assert isinstance(job.way, SocialWay)
        assert isinstance(job.content, Post)
        if job.way.network not in ("", job.content.network):
            raise Refused(
                f"it was made for {job.content.network}, and its channel posts to {job.way.network} now"
            )
        account = await opened.to_account(job.way)
        notes = Notes(job.batch, partial(self._write, self._desk.keep, job.batch))
        receipt = await posting.perform(account, job.batch, job.content, media=self._media, memory=notes)
        return Answer(receipt=receipt.url or receipt.id, post=receipt)

    async def _is_ours(self, job: Job) -> bool:
        """Whether nobody can have taken it over meanwhile: a suspended machine wakes long after its lease."""
        until = job.batch.lease_until
        if until is None or self._clock() < until:
            return True
        return await self._write(self._desk.renew, job.batch)

    async def _hold(self, job: Job) -> None:
        while True:
            await anyio.sleep(LEASE.total_seconds() / 3)
            with suppress(DatabaseError):  # an answer is worth more than a lease: the call goes on
                await to_thread.run_sync(self._desk.renew, job.batch)

    async def _inquire(self, inquiry: Inquiry, way: Way, opened: Connections) -> None:
        """Ask what became of a call without an answer; silence again means asking again later."""
        if isinstance(way, SocialWay):
            await self._inquire_post(inquiry, way, opened)
            return
        calls = await opened.to_provider(way)
        assert isinstance(calls, Finding)
        emails = self._readers.emails(inquiry.campaign, inquiry.people)
        with suppress(SendError):
            receipts = await calls.find(inquiry.batch, emails)
            await self._write(self._desk.found, inquiry, receipts)

    async def _inquire_post(self, inquiry: Inquiry, way: SocialWay, opened: Connections) -> None:
        assert isinstance(inquiry.content, Post)
        if inquiry.content.action in HARMLESS:  # it may simply be done again
            await self._write(self._desk.found_post, inquiry, way, None)
            return
        with suppress(SendError):
            account = await opened.to_account(way)
            receipt = await posting.find(account, inquiry.batch, inquiry.content)
            await self._write(self._desk.found_post, inquiry, way, receipt)

    async def _write(self, step: Callable[..., Given], *arguments: Any) -> Given:
        """A transaction of the desk's, again if the database was busy or away for a moment."""
        given: Given = await until_recorded()(to_thread.run_sync, step, *arguments)
        return given


def _tell_of_claim(step: object, way: Way) -> None:
    if isinstance(step, Job):
        _tell(step, "claimed", len(step.batch.recipients))
        if step.skipped:
            _tell(step, "suppressed", step.skipped, NOBODY_LEFT)
    elif isinstance(step, NoCall) and step.skipped:
        log.info("suppressed", provider=way.name, recipients=step.skipped, reason=NOBODY_LEFT)


def _tell_of_answer(job: Job, answer: Answer) -> None:
    """A line for each way in which a call's recipients went."""
    others = {"refused": answer.refused, "put off": answer.later, "unclear": answer.unclear}
    for what, reasons in others.items():
        if reasons:
            _tell(job, what, len(reasons), next(iter(reasons.values())))
    if accepted := len(job.batch.recipients) - sum(map(len, others.values())):
        _tell(job, "accepted", accepted, receipt=answer.receipt)


def _tell(job: Job, what: str, recipients: int, reason: object = None, *, receipt: str | None = None) -> None:
    """One decision on a batch, or on a part of one."""
    if what != "claimed":
        RECIPIENTS.labels(job.campaign.channel, job.way.name, what).inc(recipients)
    say = log.info if what in ("claimed", "accepted", "suppressed") else log.warning
    say(
        what,
        channel=job.campaign.channel,
        campaign=job.batch.campaign,
        batch=job.batch.number,
        attempt=job.batch.attempt,
        provider=job.way.name,
        recipients=recipients,
        reason=None if reason is None else str(reason),
        receipt=receipt,
    )


def _about(job: Job) -> dict[str, str | int]:
    return {
        "channel": job.campaign.channel,
        "campaign": job.batch.campaign,
        "batch": job.batch.number,
        "provider": job.way.name,
        "recipients": len(job.batch.recipients),
    }


def _kind(error: SendError) -> str:
    """What a call came to, in a word."""
    kinds = {TryLater: "later", Unclear: "unclear", Refused: "refused"}
    return next((word for kind, word in kinds.items() if isinstance(error, kind)), "failed")


def _measure(job: Job, now: datetime) -> None:
    """How long it took from the article, and from the moment that was promised, to the acceptance."""
    names = (job.campaign.channel, job.way.name)
    DUE.labels(*names).observe(max(0.0, (now - job.campaign.due_at).total_seconds()))
    if job.published_at is not None:
        PUBLISHED.labels(*names).observe(max(0.0, (now - job.published_at).total_seconds()))


BROKEN_OFF = "we had to stop before its provider answered"
TAKEN_OVER = "its lease ran out before the call, and others took it over"


def worker_name() -> str:
    """Host, process space, process and a random part: who holds a lease, and whether they can still live."""
    return "/".join((socket.gethostname(), _process_space(), str(os.getpid()), secrets.token_hex(4)))


def is_dead(worker: str) -> bool:
    """Whether a worker certainly lives no more: it ran here, and there is no such process now.

    One on another host, or in another container, is given the time of its lease.
    """
    host, space, pid, _ = worker.split("/")
    if (host, space) != (socket.gethostname(), _process_space()) or not space:
        return False
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _process_space() -> str:
    """The boot and process namespace in which a process number means the same process (Linux only)."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:").strip("[]")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return f"{boot}:{namespace}"
