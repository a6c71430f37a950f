"""Claim, call, record: the worker that carries what the ledger froze to its providers.

Killed between any two lines, it leaves the ledger in a state from which another goes on: a claim that was
committed and never finished is taken over when its lease runs out or its process is seen to be gone.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import anyio
from anyio import to_thread
from sqlalchemy import Connection

from distributor.delivery.retry import due_again, until_recorded, within_the_call
from distributor.errors import AccountTrouble, DatabaseError, Refused, SendError, TryLater, Unclear
from distributor.model import Answer, Batch, Campaign, DeliveryState, Digest, Email, Picture, Post
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import EmailCalls, EmailProvider, SocialProvider
from distributor.store import campaigns, hands, ledger
from distributor.store.database import Database

LEASE = timedelta(seconds=20)  # a dead worker's batches are taken over after this
MOST_ATTEMPTS = 12  # with the waits of `due_again`, about sixteen hours

Said = TypeVar("Said")
Reach = Callable[[Connection, Campaign, Sequence[int]], Mapping[int, Email]]


class Route(Protocol):
    """Where a channel's messages go, composed by the app."""

    name: str  # of the provider or account, as the ledger records it

    @property
    def repeatable_for(self) -> timedelta | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailRoute:
    """A newsletter's way out."""

    name: str
    provider: EmailProvider
    sender: Sender

    @property
    def repeatable_for(self) -> timedelta | None:
        return self.provider.limits.repeatable_for

    @property
    def recipients_per_call(self) -> int:
        return self.provider.limits.recipients_per_call


@dataclass(frozen=True, slots=True, kw_only=True)
class SocialRoute:
    """A channel's way out."""

    name: str
    provider: SocialProvider

    @property
    def repeatable_for(self) -> timedelta | None:
        return self.provider.repeatable_for

    @property
    def recipients_per_call(self) -> int:
        return 1


@dataclass(slots=True)
class Delivered:
    """What one run of the worker did, by recipient."""

    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    unclear: int = 0
    later: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A claimed batch with all that its call needs."""

    batch: Batch
    campaign: Campaign
    route: EmailRoute | SocialRoute
    content: Digest | Post
    emails: tuple[Email, ...]
    called_at: datetime  # when its first call under this key began


class Connections:
    """The providers that were called so far, connected until the worker ends."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._opened: dict[int, EmailCalls] = {}
        self._lock = anyio.Lock()

    async def to(self, provider: EmailProvider) -> EmailCalls:
        async with self._lock:
            if id(provider) not in self._opened:
                self._opened[id(provider)] = await self._stack.enter_async_context(provider.connected())
        return self._opened[id(provider)]


class Worker:
    """Delivers due batches until none is left.

    *reach* gives the readers of a batch who may still be written to, with their slots, at this moment.
    """

    def __init__(
        self,
        database: Database,
        routes: Mapping[str, EmailRoute | SocialRoute],
        *,
        reach: Reach,
        media: Callable[[Picture], bytes],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        in_flight: int = 8,
        progress: Callable[[int], None] = lambda recipients: None,
    ) -> None:
        self.name = worker_name()
        self.delivered = Delivered()
        self._database = database
        self._routes = routes
        self._reach = reach
        self._media = media
        self._clock = clock
        self._in_flight = in_flight
        self._progress = progress
        self._failures: list[Exception] = []

    async def run(self, only: Sequence[int] = ()) -> Delivered:
        """Deliver everything that is due now (of these campaigns, if any are named)."""
        await to_thread.run_sync(self._take_over)
        async with AsyncExitStack() as connections, anyio.create_task_group() as watch:
            watch.start_soon(self._watch)
            calls = Connections(connections)
            async with anyio.create_task_group() as group:
                for _ in range(self._in_flight):
                    group.start_soon(self._work, only, calls)
            watch.cancel_scope.cancel()
        if self._failures:
            raise self._failures[0]
        await to_thread.run_sync(self._close)
        return self.delivered

    async def _watch(self) -> None:
        """Take over from workers that die while this one lives."""
        while True:
            await anyio.sleep(LEASE.total_seconds() / 2)
            with suppress(DatabaseError):  # the next call to it says so, if it stays away
                await to_thread.run_sync(self._take_over)

    def _close(self) -> None:
        with self._database.write() as db:
            hands.cancel_returned(db)
            ledger.close_finished(db)

    async def _work(self, only: Sequence[int], calls: Connections) -> None:
        """Claim and carry until nothing is due; after a failure only calls under way are finished."""
        try:
            while not self._failures and (job := await to_thread.run_sync(self._claim, only)) is not None:
                if isinstance(job, Job):
                    await self._carry(job, calls)
        except Exception as error:
            self._failures.append(error)

    def _take_over(self) -> None:
        with self._database.write() as db:
            ledger.take_over(
                db,
                now=self._clock(),
                dead=[owner for owner in ledger.owners(db) if is_dead(owner)],
                repeatable={r.name: r.repeatable_for for r in self._routes.values() if r.repeatable_for},
            )

    def _claim(self, only: Sequence[int]) -> Job | Batch | None:
        """Claim a batch and re-read who of it may be written to, in one transaction.

        A batch that needs no call is finished at once and comes back as it is.
        """
        with self._database.write() as db:
            batch = ledger.claim(db, worker=self.name, now=self._clock(), lease=LEASE, campaigns=only)
            if batch is None:
                return None
            campaign = campaigns.campaign_of(db, batch.campaign)
            content = campaigns.rendition_of(db, batch.rendition)
            assert campaign is not None
            assert content is not None
            route = self._routes.get(campaign.channel)
            if route is None:
                self._put_back(db, batch, f"{campaign.channel!r} is no longer in the configuration")
                return batch
            emails: tuple[Email, ...] = ()
            if isinstance(content, Digest):
                emails, batch = self._reachable(db, campaign, batch)
                if not emails:
                    ledger.finish(db, batch, ledger.unsent(batch), reason=NOBODY_LEFT)
                    ledger.close_finished(db, campaign.id)
                    return batch
            now = self._clock()
            if self._would_repeat(route, batch, now):
                ledger.finish(db, batch, DeliveryState.UNCLEAR, reason=TOO_LATE)
                return batch
            ledger.calling(db, batch, provider=route.name, now=now)
        called_at = batch.called_at or now
        return Job(
            batch=batch, campaign=campaign, route=route, content=content, emails=emails, called_at=called_at
        )

    def _would_repeat(self, route: EmailRoute | SocialRoute, batch: Batch, now: datetime) -> bool:
        """Whether a call that may have been accepted could now be accepted a second time."""
        if batch.called_at is None:
            return False
        is_other = batch.provider != route.name
        return is_other or route.repeatable_for is None or batch.called_at <= now - route.repeatable_for

    def _reachable(self, db: Connection, campaign: Campaign, batch: Batch) -> tuple[tuple[Email, ...], Batch]:
        reached = self._reach(db, campaign, batch.recipients)
        gone = [recipient for recipient in batch.recipients if recipient not in reached]
        ledger.skip(db, batch, dict.fromkeys(gone, NOBODY_LEFT))
        self.delivered.skipped += len(gone)
        kept = tuple(recipient for recipient in batch.recipients if recipient in reached)
        return tuple(reached[recipient] for recipient in kept), replace(batch, recipients=kept)

    async def _carry(self, job: Job, calls: Connections) -> None:
        """Make the call and record what came of it."""
        try:
            answer = await self._call(job, calls)
        except Refused as error:
            await self._record(self._refuse, job, str(error))
            if job.batch.called_at is None:
                self.delivered.refused += len(job.batch.recipients)
            else:
                self.delivered.unclear += len(job.batch.recipients)
        except TryLater as error:
            await self._record(self._later, job, error)
            self.delivered.later += len(job.batch.recipients)
        except Unclear as error:
            await self._record(self._unclear, job, str(error))
            self.delivered.unclear += len(job.batch.recipients)
        else:
            await self._record(self._accept, job, answer)
            self.delivered.accepted += len(job.batch.recipients) - len(answer.refused)
            self.delivered.refused += len(answer.refused)
        self._progress(len(job.batch.recipients))

    async def _record(self, step: Callable[[Job, Said], None], job: Job, said: Said) -> None:
        await until_recorded()(to_thread.run_sync, step, job, said)

    async def _call(self, job: Job, calls: Connections) -> Answer:
        return await within_the_call()(self._send, job, calls)

    async def _send(self, job: Job, calls: Connections) -> Answer:
        """The provider's own call, with the lease held for as long as it takes."""
        answer: Answer | Exception
        async with anyio.create_task_group() as group:
            group.start_soon(self._hold, job.batch)
            try:
                answer = await self._hand_over(job, calls)
            except SendError as error:
                answer = error
            except Exception as error:  # a fault of ours or the provider's: who knows what was accepted
                answer = Unclear(f"{type(error).__name__}: {error}")
            group.cancel_scope.cancel()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _hand_over(self, job: Job, calls: Connections) -> Answer:
        if isinstance(job.route, EmailRoute) and isinstance(job.content, Digest):
            provider = await calls.to(job.route.provider)
            return await provider.send(
                job.batch, job.content, job.emails, sender=job.route.sender, media=self._media
            )
        assert isinstance(job.route, SocialRoute)
        assert isinstance(job.content, Post)
        receipt = await job.route.provider.send(job.batch, job.content, media=self._media)
        return Answer(receipt=receipt.url or receipt.id)

    async def _hold(self, batch: Batch) -> None:
        while True:
            await anyio.sleep(LEASE.total_seconds() / 3)
            with suppress(DatabaseError):  # an answer is worth more than a lease: the call goes on
                await to_thread.run_sync(self._renew, batch)

    def _renew(self, batch: Batch) -> None:
        with self._database.write() as db:
            ledger.renew(db, batch, until=self._clock() + LEASE)

    def _accept(self, job: Job, answer: Answer) -> None:
        with self._database.write() as db:
            ledger.accept(db, job.batch, answer, provider=job.route.name)
            ledger.close_finished(db, job.campaign.id)

    def _refuse(self, job: Job, reason: str) -> None:
        """Refused for good; but of a call that may have been accepted before, that says nothing."""
        state = ledger.unsent(job.batch, DeliveryState.REFUSED)
        with self._database.write() as db:
            ledger.finish(db, job.batch, state, reason=reason, provider=job.route.name)
            ledger.close_finished(db, job.campaign.id)

    def _later(self, job: Job, error: TryLater) -> None:
        with self._database.write() as db:
            if job.batch.attempt >= MOST_ATTEMPTS and not isinstance(error, AccountTrouble):
                reason = f"gave up after {job.batch.attempt} attempts: {error}"
                state = ledger.unsent(job.batch, DeliveryState.REFUSED)
                ledger.finish(db, job.batch, state, reason=reason, provider=job.route.name)
                ledger.close_finished(db, job.campaign.id)
                return
            due_at = due_again(self._clock(), job.batch.attempt, asked=error.after)
            called_at = job.batch.called_at  # an earlier call may have been accepted; this one was not
            ledger.put_back(db, job.batch, due_at=due_at, reason=str(error), called_at=called_at)

    def _unclear(self, job: Job, reason: str) -> None:
        """Silence: repeat it where that is harmless, and say so where it is not."""
        with self._database.write() as db:
            if job.route.repeatable_for and job.batch.attempt < MOST_ATTEMPTS:
                due_at = due_again(self._clock(), job.batch.attempt, asked=None)
                ledger.put_back(db, job.batch, due_at=due_at, reason=reason, called_at=job.called_at)
            else:
                ledger.finish(db, job.batch, DeliveryState.UNCLEAR, reason=reason, provider=job.route.name)

    def _put_back(self, db: Connection, batch: Batch, reason: str) -> None:
        due_at = due_again(self._clock(), batch.attempt, asked=None)
        ledger.put_back(db, batch, due_at=due_at, reason=reason, called_at=batch.called_at)


TOO_LATE = "an earlier call may have been accepted, and the provider no longer knows its key"
NOBODY_LEFT = "unsubscribed or suppressed since it was planned"


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
