"""What a worker writes down: every method is one transaction.

Killed between any two of them, the ledger is in a state from which another worker goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection

from distributor.delivery import breaker, quota
from distributor.delivery.quota import Window
from distributor.delivery.retry import MOST_ATTEMPTS, due_again, due_once_more
from distributor.delivery.routes import Route, Routes, Way, limits_of
from distributor.errors import (
    AccountTrouble,
    DatabaseError,
    SendError,
    SomeRefused,
    TryLater,
    Unclear,
)
from distributor.model import (
    BREAKING,
    Answer,
    Batch,
    Campaign,
    CampaignState,
    DeliveryState,
    Email,
    Post,
    Receipt,
    Rendition,
)
from distributor.planning import pacing
from distributor.planning.pacing import Pace
from distributor.providers.protocol import Allowance
from distributor.store import accounts, campaigns, events, hands, health, ledger, posts, tallies
from distributor.store.database import Database
from distributor.store.ledger import Lane

LEASE = timedelta(seconds=20)  # a dead worker's batches are taken over after this
RENDITIONS = 8  # kept unpacked

People = Mapping[int, tuple[str, str]]  # subscriber -> address and name


class Readers(Protocol):
    """The audience, as delivery needs it."""

    def reachable(self, db: Connection, campaign: Campaign, ids: Sequence[int]) -> People:
        """Those of *ids* who may be written to at this moment."""
        ...

    def emails(self, campaign: Campaign, people: People) -> tuple[Email, ...]:
        """A message for each, with their slots."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A claimed batch with all that its call needs."""

    batch: Batch
    campaign: Campaign
    route: Route
    way: Way
    content: Rendition
    people: People = field(default_factory=dict)
    called_at: datetime | None = None  # when its first call of this key began; None: twice is harmless
    is_probe: bool = False  # the first call after its provider was down
    skipped: int = 0  # who has left since it was planned
    published_at: datetime | None = None  # when the newest of its articles was first seen public


@dataclass(frozen=True, slots=True)
class Wait:
    """Something is due, and its provider takes nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NoCall:
    """A batch needed no call, and is finished or put back."""

    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A call without an answer, about which its provider is to be asked."""

    batch: Batch
    campaign: Campaign
    people: People
    content: Rendition | None = None  # of a post


class _NotNow(Exception):
    """Undo the claim: the provider takes nothing for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Desk:
    """One worker's book-keeping."""

    def __init__(
        self,
        database: Database,
        routes: Routes,
        readers: Readers,
        *,
        worker: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._routes = routes
        self._readers = readers
        self._worker = worker
        self._clock = clock
        self._held: set[tuple[int, int]] = set()  # what is being carried
        self._renditions: dict[str, Rendition] = {}
        self._published_at: dict[str, datetime | None] = {}  # of renditions
        self._troubled: set[str] = set()  # providers whose next success is news
        self.allowances: dict[str, Allowance] = {}

    # --- taking over ---

    def open(self, is_dead: Callable[[str], bool]) -> None:
        """Free what dead workers held, and what no way leads to any more."""
        with self._database.write() as db:
            ledger.release(db, providers=list(self._ways()), channels=list(self._routes))
        self.take_over(is_dead)

    def take_over(self, is_dead: Callable[[str], bool]) -> None:
        """Free what other workers, who are dead or silent, were sending."""
        ways = self._ways().values()
        now = self._clock()
        with self._database.write() as db:
            ledger.hand_back(db, worker=self._worker, held=self._held, now=now)
            ledger.take_over(
                db,
                now=now,
                dead=[owner for owner in ledger.owners(db) if is_dead(owner)],
                repeatable={way.name: way.repeatable_for for way in ways if way.repeatable_for},
                found_after={way.name: way.found_after for way in ways if way.found_after},
                resend=[channel for channel, route in self._routes.items() if route.resends],
            )
            tallies.beat(db, "delivery", now=now)

    def _ways(self) -> dict[str, Way]:
        return {way.name: way for route in self._routes.values() for way in route.ways}

    def close(self) -> None:
        with self._database.write() as db:
            hands.cancel_returned(db)
            ledger.begin_begun(db)
            ledger.close_finished(db)

    # --- claiming ---

    def claim(self, provider: str, only: Sequence[int]) -> Job | Wait | NoCall | None:
        """Claim a batch for *provider* and re-read who of it may be written to, in one transaction."""
        taken: list[tuple[int, int]] = []
        try:
            with self._database.write() as db:
                return self._claim(db, provider, only, taken)
        except _NotNow as not_now:
            self._held.difference_update(taken)
            return Wait(not_now.seconds)
        except DatabaseError:  # it may be claimed all the same: `ledger.hand_back` finds it
            self._held.difference_update(taken)
            raise

    def _claim(
        self, db: Connection, provider: str, only: Sequence[int], taken: list[tuple[int, int]]
    ) -> Job | NoCall | None:
        now = self._clock()
        healths = health.healths(db)
        channels = (c for c, route in self._routes.items() if route.open(healths, now).name == provider)
        lane = Lane(provider=provider, channels=tuple(channels), campaigns=tuple(only))
        batch = ledger.claim(db, lane, worker=self._worker, now=now, lease=LEASE)
        if batch is None:
            return None
        own = healths.get(provider)
        if own and own.held_until and own.is_held(now):
            raise _NotNow((own.held_until - now).total_seconds())
        campaign = campaigns.campaign_of(db, batch.campaign)
        assert campaign is not None
        route = self._routes.get(campaign.channel)
        way = route.through(provider) if route else None
        if route is None or way is None:
            return self._no_way(db, batch, provider)
        content = self._rendition(db, campaign, batch)
        if content is None:
            return NoCall()
        self._troubled = {one.name for one in healths.values() if one.failures}
        job = Job(
            batch=batch,
            campaign=campaign,
            route=route,
            way=way,
            content=content,
            is_probe=bool(own and own.is_down),
            published_at=self._published_at.get(batch.rendition),
        )
        if isinstance(content, Post):
            step: Job | NoCall = self._not_posted(db, job, content) or job
        else:
            step = self._addressed(db, job)
        if isinstance(step, NoCall):
            return step
        if self._would_repeat(way, step.batch, now):
            ledger.finish(db, step.batch, DeliveryState.UNCLEAR, reason=TOO_LATE)
            return NoCall()
        if own and own.is_down:
            health.keep_health(db, breaker.probed(own, now=now))
        return self._begun(db, step, taken, now)

    def _addressed(self, db: Connection, job: Job) -> Job | NoCall:
        """With its readers, as far as they are still to be written to."""
        batch = self._unreported(db, job.batch)
        if not batch.recipients:
            return _over(db, batch, DeliveryState.ACCEPTED, ledger.REPORTED)
        people, batch, skipped = self._reachable(db, job.campaign, batch)
        if not people:
            return _over(db, batch, ledger.unsent(batch), NOBODY_LEFT, skipped=skipped)
        return replace(job, batch=batch, people=people, skipped=skipped)

    def _begun(self, db: Connection, job: Job, taken: list[tuple[int, int]], now: datetime) -> Job:
        """As much of it as may go out now, and the note that it was called."""
        batch = self._within_limits(db, job.way, job.batch, now)
        is_harmless = isinstance(job.content, Post) and job.content.action in HARMLESS
        ledger.calling(db, batch, provider=job.way.name, now=now, is_harmless=is_harmless)
        taken.append((batch.campaign, batch.number))
        self._held.update(taken)  # before the commit: whoever hands back what is not held must not meet it
        people = {id_: job.people[id_] for id_ in batch.recipients} if job.people else {}
        called_at = None if is_harmless else batch.called_at or now
        return replace(job, batch=batch, people=people, called_at=called_at)

    def _no_way(self, db: Connection, batch: Batch, provider: str) -> NoCall:
        """The newsletter or channel is no longer configured, or goes another way."""
        if batch.called_at is None:
            due_at = due_again(self._clock(), batch.attempt, asked=None)
            ledger.put_back(db, batch, due_at=due_at, reason=NO_WAY, called_at=None, provider=None)
        else:
            reason = f"{provider} may have accepted it, and the channel goes another way now"
            ledger.finish(db, batch, DeliveryState.UNCLEAR, reason=reason)
        return NoCall()

    def _rendition(self, db: Connection, campaign: Campaign, batch: Batch) -> Rendition | None:
        """What was frozen, unpacked once; None if it is not what was frozen, and its campaign is paused."""
        if batch.rendition not in self._renditions:
            content = campaigns.frozen(db, batch.rendition)
            if content is None or campaign.approved_content not in (
                None,
                campaigns.content_of(db, campaign.id),
            ):
                states = (CampaignState.SCHEDULED, CampaignState.SENDING)
                campaigns.change_state(
                    db, campaign.id, CampaignState.PAUSED, only_from=states, reason=ALTERED
                )
                ledger.put_back(
                    db,
                    batch,
                    due_at=batch.due_at,
                    reason=ALTERED,
                    called_at=batch.called_at,
                    provider=batch.provider,
                )
                return None
            while len(self._renditions) >= RENDITIONS:
                oldest = next(iter(self._renditions))
                self._renditions.pop(oldest, None)
                self._published_at.pop(oldest, None)
            self._renditions[batch.rendition] = content
            self._published_at[batch.rendition] = campaigns.published_at(db, batch.rendition)
        return self._renditions[batch.rendition]

    def _unreported(self, db: Connection, batch: Batch) -> Batch:
        """A batch that was called before, without those whom its provider reported of since."""
        known = events.reported(db, batch.campaign, batch.recipients) if batch.attempt > 1 else {}
        if not known:
            return batch
        ledger.settle_own(db, batch, {id_: events.settles(told) for id_, told in known.items()})
        return replace(batch, recipients=tuple(id_ for id_ in batch.recipients if id_ not in known))

    def _reachable(self, db: Connection, campaign: Campaign, batch: Batch) -> tuple[People, Batch, int]:
        people = self._readers.reachable(db, campaign, batch.recipients)
        gone = [recipient for recipient in batch.recipients if recipient not in people]
        ledger.skip(db, batch, dict.fromkeys(gone, NOBODY_LEFT))
        kept = tuple(recipient for recipient in batch.recipients if recipient in people)
        return people, replace(batch, recipients=kept), len(gone)

    def _not_posted(self, db: Connection, job: Job, content: Post) -> NoCall | None:
        """Whether a post is not to be made, or not now; what may be seen of it already goes on."""
        batch, campaign = job.batch, job.campaign
        if self._is_superseded(db, campaign, content):
            return _over(db, batch, ledger.unsent(batch), SUPERSEDED, skipped=1)
        if (through := self._elsewhere(db, job.way, content)) is not None:
            reason = (
                f"it is about a post that went out through {through}, and its channel goes another way now"
            )
            return _over(db, batch, ledger.unsent(batch, DeliveryState.REFUSED), reason)
        if content.action == "post" and self._is_over(db, campaign):
            return _over(db, batch, ledger.unsent(batch), GONE, skipped=1)
        is_free = content.action != "post" or batch.is_begun or job.route.pace is None
        return None if is_free or job.route.pace is None else self._not_now(db, job, job.route.pace)

    def _not_now(self, db: Connection, job: Job, pace: Pace) -> NoCall | None:
        """Whether the account does not want a post now, or not any more."""
        now, campaign = self._clock(), job.campaign
        published_at = posts.newest_in(db, campaign.id)
        is_wanted = campaign.approved_at is not None  # by a person, who saw how old it was
        if published_at and not is_wanted and pace.is_too_old(published_at, now):
            posts.gone(db, campaign.id)
            return _over(db, job.batch, DeliveryState.SKIPPED, TOO_OLD, skipped=1)
        if campaign.priority == BREAKING:
            return None
        campaigns.hold_channel(db, campaign.channel)  # else two workers would take up two posts at one moment
        taken = accounts.times_out(db, campaign.channel, after=now - pace.looks_back, but=campaign.id)
        due_at = pacing.next_time(now, taken, pace)
        if due_at == now:
            return None
        ledger.postpone(db, job.batch, due_at=due_at, reason=PACED)
        return NoCall()

    def _is_superseded(self, db: Connection, campaign: Campaign, content: Post) -> bool:
        """Whether a later campaign says what becomes of the same post: an old word must not be the last."""
        if content.of_campaign is None or content.action == "reply":
            return False
        return posts.last_correction(db, campaign.channel, content.of_campaign) != campaign.id

    def _is_over(self, db: Connection, campaign: Campaign) -> bool:
        """Whether a post that is tried again was taken back meanwhile, or made anew."""
        row, found = posts.post_of(db, campaign.id), posts.standing(db, campaign.id)
        if row is None or row.state == "gone":
            return row is not None
        return bool(found and row.receipt and row.receipt.id != found[0].id)

    def _elsewhere(self, db: Connection, way: Way, content: Post) -> str | None:
        """The account that has the post which *content* changes, answers or takes back, if not this one."""
        if content.of_campaign is None:
            return None
        through = posts.posted_through(db, content.of_campaign)
        return through if through not in (None, way.name) else None

    def _would_repeat(self, way: Way, batch: Batch, now: datetime) -> bool:
        """Whether a call that may have been accepted could now be accepted a second time."""
        if batch.called_at is None:
            return False
        is_other = batch.provider != way.name
        return is_other or way.repeatable_for is None or batch.called_at <= now - way.repeatable_for

    def _within_limits(self, db: Connection, way: Way, batch: Batch, now: datetime) -> Batch:
        """As much of a batch as may go out in a call now; the rest is a batch of its own.

        Raises:
            _NotNow: nothing of it.
        """
        is_whole = batch.called_at is not None  # what was called once is repeated as it was
        most = len(batch.recipients) if is_whole else min(len(batch.recipients), way.recipients_per_call)
        allowance = self.allowances.get(way.name)
        limits = limits_of(way, allowance, now)
        if limits:
            keys = [(limit.name, limit.counts, limit.seconds) for limit in limits]
            histories = health.histories(db, keys)
            ticks = self._clock().timestamp()  # read when it is our turn: whoever had it before counts before
            windows = [
                Window(limit=limit, history=histories[key]).at(ticks)
                for key, limit in zip(keys, limits, strict=True)
            ]
            count = quota.allowed(windows, most, ticks, is_whole=is_whole)
            if not count:
                raise _NotNow(quota.wait(windows, most, ticks, is_whole=is_whole))
            most = count
            added = [w.with_(most if w.limit.counts == "messages" else 1, ticks) for w in windows]
            health.keep_histories(db, list(zip(keys, (w.history for w in added), strict=True)))
        rest = batch.recipients[most:]
        return ledger.part(db, batch, rest, due_at=batch.due_at, provider=batch.provider, attempt=0)

    # --- recording ---

    def renew(self, batch: Batch) -> bool:
        """Hold a lease longer; False when somebody has taken the batch over."""
        with self._database.write() as db:
            return ledger.renew(db, batch, until=self._clock() + LEASE)

    def keep(self, batch: Batch, values: Mapping[str, Any]) -> bool:
        """Note what a provider needs for its next call; False when somebody has taken the batch over."""
        with self._database.write() as db:
            return ledger.keep(db, batch, values, until=self._clock() + LEASE)

    def accept(self, job: Job, answer: Answer) -> None:
        """Record an answer; those whom it puts off or leaves open become batches of their own."""
        now = self._clock()
        with self._database.write() as db:
            if ledger.accept(db, job.batch, answer, provider=job.way.name):
                self._part_later(db, job, answer, now)
                self._part_unclear(db, job, answer, now)
                if answer.refused:
                    hands.refused_after_cancel(db, job.campaign.id)
                if answer.post and isinstance(job.content, Post):
                    posts.accepted(db, job.campaign.id, job.content, answer.post)
            self._note(db, job, answer.pause, now)
            ledger.close_finished(db, job.campaign.id)
        self._let_go(job)

    def _part_later(self, db: Connection, job: Job, answer: Answer, now: datetime) -> None:
        # Where somebody was refused for all, the others may go at once.
        asked = answer.pause or None
        due_at = now if answer.refused else due_again(now, job.batch.attempt, asked=asked)
        ledger.part(
            db,
            job.batch,
            list(answer.later),
            due_at=due_at,
            reason=_first(answer.later),
            provider=job.batch.provider if self._is_first(job) else None,
        )

    def _part_unclear(self, db: Connection, job: Job, answer: Answer, now: datetime) -> None:
        open_: dict[str, object] = {
            "state": DeliveryState.UNCLEAR,
            "due_at": now + (job.way.found_after or timedelta(0)),
            "called_at": job.called_at,
            "provider": job.way.name,
        }
        if job.route.resends and not job.way.found_after:
            open_ = {"due_at": due_again(now, job.batch.attempt, asked=None)}
        ledger.part(db, job.batch, list(answer.unclear), reason=_first(answer.unclear), **open_)

    def fail(self, job: Job, error: SendError) -> None:
        """Record that a call brought no receipt, as its error wants."""
        now = self._clock()
        with self._database.write() as db:
            is_failing = isinstance(error, TryLater) or (isinstance(error, Unclear) and error.can_clear)
            if is_failing:
                own = health.health(db, job.way.name)
                health.keep_health(db, breaker.after_failure(own, error, now=now))
            if isinstance(error, TryLater):
                self._later(db, job, error, now)
            elif isinstance(error, Unclear):
                self._unclear(db, job, error, now)
            elif isinstance(error, SomeRefused) and self._is_first(job) and len(job.batch.recipients) > 1:
                self._halve(db, job, str(error), now)
            else:
                self._refuse(db, job, str(error), now)
            if not is_failing:  # an answer, if not a kind one
                self._note(db, job, 0, now)
            ledger.close_finished(db, job.campaign.id)
        self._let_go(job)

    def _is_first(self, job: Job) -> bool:
        """Whether no earlier call of it may have been accepted."""
        return job.batch.called_at is None

    def _later(self, db: Connection, job: Job, error: TryLater, now: datetime) -> None:
        batch = job.batch
        attempt = 1 if isinstance(error, AccountTrouble) else batch.attempt  # nothing to do with this batch
        if attempt % MOST_ATTEMPTS == 0:
            self._give_up(db, job, f"gave up after {batch.attempt} attempts: {error}")
            return
        open_now = job.route.open(health.healths(db), now)
        is_free = batch.provider is None and open_now.name != job.way.name  # another takes it at once
        ledger.put_back(
            db,
            batch,
            due_at=now if is_free else due_again(now, attempt, asked=error.after),
            reason=str(error),
            called_at=batch.called_at,  # an earlier call may have been accepted; this one was not
            provider=batch.provider,
        )

    def _unclear(self, db: Connection, job: Job, error: Unclear, now: datetime) -> None:
        """Silence: repeat it where that is harmless; ask the provider where it can tell; else say so."""
        again_at, reason = due_again(now, job.batch.attempt, asked=None), str(error)
        if job.way.repeatable_for and error.can_clear and job.batch.attempt % MOST_ATTEMPTS:
            ledger.put_back(
                db,
                job.batch,
                due_at=again_at,
                reason=reason,
                called_at=job.called_at,
                provider=job.way.name,
            )
        elif job.route.resends and not job.way.found_after and job.batch.attempt % MOST_ATTEMPTS:
            ledger.put_back(db, job.batch, due_at=again_at, reason=reason, called_at=None, provider=None)
        else:
            ledger.finish(
                db,
                job.batch,
                DeliveryState.UNCLEAR,
                reason=self._with_standing(db, job, reason),
                provider=job.way.name,
                due_at=now + (job.way.found_after or timedelta(0)),
            )

    def _halve(self, db: Connection, job: Job, reason: str, now: datetime) -> None:
        """Somebody spoils it for all: in halves they are found."""
        batch = job.batch
        if ledger.put_back(db, batch, due_at=now, reason=reason, called_at=None, provider=batch.provider):
            half = batch.recipients[len(batch.recipients) // 2 :]
            ledger.part(db, batch, half, due_at=now, reason=reason, provider=batch.provider, attempt=0)

    def _refuse(self, db: Connection, job: Job, reason: str, now: datetime) -> None:
        """Refused for good here; but of a call that may have been accepted before, that says nothing."""
        following = job.route.after(job.way.name)
        if following and self._is_first(job):
            told = f"{job.way.name}: {reason}"
            ledger.put_back(db, job.batch, due_at=now, reason=told, called_at=None, provider=following.name)
            return
        self._give_up(db, job, reason)

    def _give_up(self, db: Connection, job: Job, reason: str) -> None:
        state = ledger.unsent(job.batch, DeliveryState.REFUSED)
        reason = self._with_standing(db, job, reason)
        is_over = ledger.finish(db, job.batch, state, reason=reason, provider=job.way.name)
        if is_over and state is DeliveryState.REFUSED:
            posts.stands(db, job.campaign.id)
        hands.refused_after_cancel(db, job.campaign.id)

    def _with_standing(self, db: Connection, job: Job, reason: str) -> str:
        """A reason, and what stands of a thread all the same."""
        found = posts.standing(db, job.campaign.id) if isinstance(job.content, Post) else None
        if found is None or not isinstance(job.content, Post):
            return reason
        receipt, count = found
        return f"{reason}; {count} of {1 + len(job.content.more)} parts stand: {receipt.url or receipt.id}"

    def _note(self, db: Connection, job: Job, pause: float, now: datetime) -> None:
        """The provider answered; it may want a pause of so many seconds all the same."""
        if job.way.name not in self._troubled and not pause:
            return
        own = health.health(db, job.way.name)
        if not own.is_held(now) or job.is_probe:  # else it was asked for since, by another call
            own = replace(own, failures=0, is_down=False, held_until=None, reason=None)
        if pause:
            held_until = now + timedelta(seconds=pause)
            own = replace(own, held_until=max(held_until, own.held_until or held_until))
        health.keep_health(db, own)

    def _let_go(self, job: Job) -> None:
        """Only what is recorded is let go of: of anything else a call may have been made."""
        self._held.discard((job.batch.campaign, job.batch.number))

    # --- asking ---

    def inquire(self, way: Way) -> Inquiry | None:
        """A call without an answer about which the provider can be asked by now."""
        now = self._clock()
        if way.found_after is None:
            return None
        with self._database.write() as db:
            batch = ledger.to_ask_about(db, way.name, now=now, again_at=now + way.found_after)
            if batch is None:
                return None
            campaign = campaigns.campaign_of(db, batch.campaign)
            assert campaign is not None
            if campaign.kind == "post":
                content = campaigns.rendition_of(db, batch.rendition)
                return Inquiry(batch=batch, campaign=campaign, people={}, content=content)
            people = self._readers.reachable(db, campaign, batch.recipients)
        return Inquiry(batch=batch, campaign=campaign, people=people)

    def found(self, inquiry: Inquiry, receipts: Mapping[int, str]) -> None:
        with self._database.write() as db:
            gone = [id_ for id_ in inquiry.batch.recipients if id_ not in inquiry.people]
            ledger.found(db, inquiry.batch, receipts, now=self._clock(), gone=gone)
            ledger.close_finished(db, inquiry.campaign.id)

    def found_post(self, inquiry: Inquiry, way: Way, receipt: Receipt | None) -> None:
        """Settle an unclear post by what its network knows: it is there, or is posted after all."""
        with self._database.write() as db:
            if receipt is None:
                due_at = due_once_more(self._clock(), inquiry.batch.attempt)
                ledger.found_nothing(db, inquiry.batch, due_at=due_at)
                return
            answer = Answer(receipt=receipt.url or receipt.id, post=receipt)
            if ledger.accept(db, inquiry.batch, answer, provider=way.name):
                assert isinstance(inquiry.content, Post)
                posts.accepted(db, inquiry.campaign.id, inquiry.content, receipt)
            ledger.close_finished(db, inquiry.campaign.id)


def _over(db: Connection, batch: Batch, state: DeliveryState, reason: str, *, skipped: int = 0) -> NoCall:
    """End a claimed batch without a call."""
    ledger.finish(db, batch, state, reason=reason)
    ledger.close_finished(db, batch.campaign)
    return NoCall(skipped)


def _first(reasons: Mapping[int, str]) -> str | None:
    return next(iter(reasons.values()), None)


HARMLESS = ("edit", "delete")  # what becomes of a post in the end is the same, done once or twice
TOO_LATE = "an earlier call may have been accepted, and the provider no longer knows its key"
NOBODY_LEFT = "unsubscribed or suppressed since it was planned"
SUPERSEDED = "a later correction of the same post took its place"
GONE = "what stood of it was taken back, or posted anew"
TOO_OLD = "its article was older than max_age when it could be posted"
PACED = "the account takes it later: min_gap, max_per_day or quiet_hours"
NO_WAY = "its newsletter or channel is no longer in the configuration"
ALTERED = "its frozen content was changed in the database, so nothing more of it is sent"
