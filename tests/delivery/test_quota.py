"""Limits: however workers ask, never more in any span of time, and hardly less when always asked.

Workers here are numbers: they take turns on one clock of whole microseconds, and nobody waits.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.delivery import quota
from distributor.delivery.quota import STEPS, Count, Limit, Window
from distributor.store import health
from distributor.store.database import Database
from distributor.store.health import Key
from tests.delivery import rates
from tests.delivery.rates import busiest, spans

START = int(datetime(2026, 11, 23, 7, tzinfo=UTC).timestamp()) * 1_000_000
SECOND = 1_000_000  # microseconds
MINUTE, HOUR, DAY = 60, 3600, 86_400  # seconds

Ask = Callable[[Sequence[Limit], int, float], tuple[int, float]]  # limits, messages, now -> granted, wait
History = tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class Hand:
    """One worker: what it is bound by and carries, and how quick it is."""

    limits: tuple[Limit, ...]
    batches: tuple[int, ...]  # over and over
    claim: int  # microseconds from one grant to its next question
    late: int  # microseconds that it oversleeps


@dataclass(frozen=True)
class Grant:
    at: int  # microseconds of real time
    limits: tuple[Limit, ...]
    messages: int


@dataclass
class Paper:
    """The rows that all workers share, on paper."""

    rows: dict[Key, History] = field(default_factory=lambda: defaultdict(tuple))

    def ask(self, limits: Sequence[Limit], messages: int, now: float) -> tuple[int, float]:
        found, granted, wait = ask(limits, self.rows, messages, now)
        self.rows.update(found)
        return granted, wait


def ask(
    limits: Sequence[Limit], rows: Mapping[Key, History], messages: int, now: float
) -> tuple[dict[Key, History], int, float]:
    """The rows afterwards, how many may go, and for how long nothing may."""
    windows = [Window(limit=limit, history=rows[key_of(limit)]).at(now) for limit in limits]
    granted = quota.allowed(windows, messages, now)
    wait = 0.0 if granted else quota.wait(windows, messages, now)
    if granted:
        windows = [w.with_(granted if w.limit.counts == "messages" else 1, now) for w in windows]
    return {key_of(window.limit): window.history for window in windows}, granted, wait


def key_of(limit: Limit) -> Key:
    return (limit.name, limit.counts, limit.seconds)


def run(
    ask: Ask,
    hands: Sequence[Hand],
    *,
    until: int,
    most_grants: int = 10**9,
    steps: Iterable[tuple[int, int]] = (),
) -> list[Grant]:
    """What goes out in so many microseconds, while the wall clock is set: (when, by how much)."""
    turns = [(number * 1_003, number) for number in range(len(hands))]
    queues = [deque[int]() for _ in hands]
    grants: list[Grant] = []
    while len(grants) < most_grants:
        now, number = heapq.heappop(turns)
        if now >= until:
            break
        hand, queue = hands[number], queues[number]
        if not queue:
            queue.extend(hand.batches)
        wall = START + now + sum(by for at, by in steps if at <= now)
        granted, wait = ask(hand.limits, queue[0], wall / SECOND)
        assert granted or wait > 0, "neither now nor later"
        if granted:
            grants.append(Grant(now, hand.limits, granted))
            rest = queue.popleft() - granted
            queue.extend([rest] if rest else [])
        later = hand.claim if granted else round(wait * SECOND) + hand.late
        heapq.heappush(turns, (now + later, number))
    return grants


def amounts(grants: Sequence[Grant], limit: Limit) -> list[tuple[float, int]]:
    return [
        (grant.at, grant.messages if limit.counts == "messages" else 1)
        for grant in grants
        if key_of(limit) in map(key_of, grant.limits)
    ]


def assert_kept(grants: Sequence[Grant]) -> None:
    for limit in {limit for grant in grants for limit in grant.limits}:
        assert busiest(amounts(grants, limit), limit.seconds * SECOND) <= limit.most, limit


def fullness(grants: Sequence[Grant], limit: Limit, *, until: int) -> float:
    """The measured rate by the allowed one, once a span had gone by."""
    span = limit.seconds * SECOND
    return rates.fullness(amounts(grants, limit), span, limit.most, begin=span, end=until)


# --- what is drawn ---

SPANS = st.sampled_from([1, MINUTE, HOUR, DAY])
MOSTS = st.integers(1, 1000) | st.sampled_from([1, 9, 10, 14, 54, 100, 1000])


def limits(name: str = "provider") -> st.SearchStrategy[tuple[Limit, ...]]:
    one = st.builds(
        Limit, name=st.just(name), counts=st.sampled_from(["messages", "calls"]), seconds=SPANS, most=MOSTS
    )
    return st.lists(one, min_size=1, max_size=4, unique_by=key_of).map(tuple)


def hands(*bounds: tuple[Limit, ...]) -> st.SearchStrategy[list[Hand]]:
    one = st.builds(
        Hand,
        limits=st.sampled_from(bounds),
        batches=st.lists(st.integers(1, 1000), min_size=1, max_size=4).map(tuple),
        claim=st.integers(0, 30_000),
        late=st.integers(0, 50_000),
    )
    return st.lists(one, min_size=1, max_size=4)


def messages(seconds: int, most: int, name: str = "provider") -> Limit:
    return Limit(name=name, counts="messages", seconds=seconds, most=most)


def calls(seconds: int, most: int, name: str = "provider") -> Limit:
    return Limit(name=name, counts="calls", seconds=seconds, most=most)


# --- never above ---


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.data())
def test_no_span_of_time_has_more_than_its_limit(data: st.DataObject):
    """Any limits together, any workers, any batches: at no grant is there too much within the span."""
    drawn = data.draw(hands(data.draw(limits())))
    grants = run(Paper().ask, drawn, until=3 * DAY * SECOND, most_grants=150)
    assert grants
    assert_kept(grants)


@settings(deadline=None, max_examples=75, derandomize=True)
@given(st.data())
def test_a_domain_that_is_warmed_up_has_one_limit_with_all_providers(data: st.DataObject):
    """Two providers, each with limits of its own, share the day's messages of the domain."""
    warm_up = messages(DAY, data.draw(st.integers(50, 2000)), name="warm-up news.example")
    bounds = [(*data.draw(limits(name)), warm_up) for name in ("first", "second")]
    drawn = data.draw(hands(bounds[0])) + data.draw(hands(bounds[1]))
    grants = run(Paper().ask, drawn, until=3 * DAY * SECOND, most_grants=150)
    assert_kept(grants)
    if sum(grant.messages for grant in grants if grant.at <= DAY * SECOND) >= warm_up.most:
        assert busiest(amounts(grants, warm_up), DAY * SECOND) == warm_up.most


# --- hardly below ---

ALWAYS_ASKED = 20  # batches are no smaller than so many to a limit: else the calls are the bound


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.data())
def test_a_limit_that_is_always_asked_for_is_used(data: st.DataObject):
    """The rate is 98 % of the limit at least, be it one a second; and calls stay worth making.

    Of a second the workers lose what they oversleep, here 3 ms at most; of longer spans that is nothing.
    """
    limit = messages(data.draw(SPANS), data.draw(MOSTS))
    sizes = st.integers(max(1, limit.most // ALWAYS_ASKED), 1000)
    one = st.builds(
        Hand,
        limits=st.just((limit,)),
        batches=st.lists(sizes, min_size=1, max_size=5).map(tuple),
        claim=st.integers(1_000, 12_000),
        late=st.integers(0, 3_000),
    )
    until = 12 * limit.seconds * SECOND
    grants = run(Paper().ask, data.draw(st.lists(one, min_size=1, max_size=3)), until=until)
    assert_kept(grants)
    assert fullness(grants, limit, until=until) >= 0.98
    assert sum(grant.messages for grant in grants) / len(grants) >= limit.most / 50


def test_what_is_free_below_a_tenth_goes_out_where_no_more_comes_soon():
    """54 a second in calls of 50 are 54 a second, not 50; a day's last three messages go out today."""
    second = messages(1, 54)
    hand = Hand(limits=(second,), batches=(50,), claim=5_000, late=500)
    assert fullness(run(Paper().ask, [hand], until=60 * SECOND), second, until=60 * SECOND) > 0.99
    day = messages(DAY, 1003)
    grants = run(
        Paper().ask, [Hand(limits=(day,), batches=(250,), claim=5_000, late=500)], until=HOUR * SECOND
    )
    assert [grant.messages for grant in grants] == [250, 250, 250, 250, 3]


def test_a_call_waits_a_moment_for_a_tenth():
    """Of 1,000 a second, five that are free now and fifty in a moment are one call."""
    window = messages(1, 1000)
    row = ((10_000, 5), (10_015, 95), (10_200, 900))
    windows = [Window(limit=window, history=row).at(11.002)]
    assert quota.allowed(windows, 1000, 11.002) == 0
    assert quota.wait(windows, 1000, 11.002) == 0.014
    assert quota.allowed([Window(limit=window, history=row).at(11.016)], 1000, 11.016) == 100
    lonely = [Window(limit=window, history=((10_000, 5), (10_200, 995))).at(11.002)]
    assert quota.allowed(lonely, 1000, 11.002) == 5


@pytest.mark.parametrize("batches", [(1, 2, 3, 400), (400, 1), (399, 5, 1)])
def test_calls_do_not_get_ever_smaller(batches: tuple[int, ...]):
    """Ends of batches break what is free into pieces; two minutes later there are still few of them."""
    limit = messages(1, 400)
    grants = run(
        Paper().ask, [Hand(limits=(limit,), batches=batches, claim=6_000, late=500)], until=120 * SECOND
    )
    assert fullness(grants, limit, until=120 * SECOND) > 0.98
    assert sum(grant.at > 110 * SECOND for grant in grants) / 10 < 25


def test_calls_and_messages_bound_together():
    """With two calls a second, of which each may carry 100, messages are no bound, and 200 go out."""
    bounds = (calls(1, 2), messages(1, 1000))
    hand = Hand(limits=bounds, batches=(100,), claim=5_000, late=500)
    grants = run(Paper().ask, [hand, hand], until=20 * SECOND)
    assert_kept(grants)
    assert {grant.messages for grant in grants} == {100}
    assert fullness(grants, bounds[0], until=20 * SECOND) > 0.98


# --- all or none ---


def test_what_is_repeated_as_it_was_goes_whole_or_not_at_all():
    """A call of 80 waits until 80 are free; what is free meanwhile is not enough."""
    row = ((10_000, 50), (10_500, 50))
    windows = [Window(limit=messages(1, 100), history=row).at(11.1)]
    assert quota.allowed(windows, 80, 11.1, is_whole=True) == 0
    assert quota.wait(windows, 80, 11.1, is_whole=True) == 0.401
    assert quota.allowed([Window(limit=messages(1, 100), history=row).at(11.501)], 80, 11.501) == 80


def test_a_repetition_is_not_divided_when_the_limit_was_lowered():
    """Divided it would be other calls, to readers who may have it: it goes alone, and its span is full."""
    lowered = messages(1, 30)
    used = [Window(limit=lowered, history=((10_000, 1),)).at(10.5)]
    assert quota.allowed(used, 80, 10.5, is_whole=True) == 0
    empty = [Window(limit=lowered).at(11.5)]
    assert quota.allowed(empty, 80, 11.5, is_whole=True) == 80
    after = [empty[0].with_(80, 11.5).at(12.0)]
    assert quota.allowed(after, 1, 12.0) == 0
    assert quota.wait(after, 1, 12.0) == 0.501


def test_where_nothing_may_go_nobody_asks_again_at_once():
    """An allowance of none a day is looked at again when it may be another."""
    none = [Window(limit=messages(DAY, 0)).at(11.0)]
    assert quota.allowed(none, 5, 11.0) == 0
    assert quota.wait(none, 5, 11.0) == DAY


# --- clocks ---

SPAN_OF_A_STEP = {1: 2 * HOUR, MINUTE: 2 * HOUR, HOUR: 3 * HOUR, DAY: 30 * HOUR}  # the largest, in seconds


@st.composite
def clock_steps(draw: st.DrawFn, seconds: int) -> list[tuple[int, int]]:
    """Moments within ten spans at which the wall clock is set, and by how many microseconds."""
    moments = st.integers(0, 10 * seconds * SECOND)
    by = st.integers(-SPAN_OF_A_STEP[seconds] * SECOND, SPAN_OF_A_STEP[seconds] * SECOND)
    return sorted(draw(st.lists(st.tuples(moments, by), min_size=1, max_size=4)))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.data())
def test_a_clock_that_is_set_back_lets_nothing_more_through_and_stops_nothing(data: st.DataObject):
    """In real time no span has too much unless the clock was set forward within it; nobody waits for long.

    A clock that is set forward cannot be told from time that passed: each such step may let the limit through
    once more within a span, and no more than that. After any step something goes out within a span of the
    next question.
    """
    limit = messages(data.draw(SPANS), data.draw(MOSTS))
    steps = data.draw(clock_steps(limit.seconds))
    one = st.builds(
        Hand,
        limits=st.just((limit,)),
        batches=st.lists(st.integers(max(1, limit.most // ALWAYS_ASKED), 1000), min_size=1, max_size=3).map(
            tuple
        ),
        claim=st.integers(1_000, 12_000),
        late=st.integers(0, 3_000),
    )
    until = 12 * limit.seconds * SECOND
    grants = run(Paper().ask, data.draw(st.lists(one, min_size=1, max_size=3)), until=until, steps=steps)
    span = limit.seconds * SECOND
    for end, total in spans(amounts(grants, limit), span):
        forward = sum(end - span < at <= end and by > 0 for at, by in steps)
        assert total <= limit.most * (1 + forward)
    moments = [0, *(grant.at for grant in grants), until]
    # A worker that has slept for a span meanwhile looks at rows that count from its own look.
    longest = max(after - before for before, after in pairwise(moments))
    assert longest <= 2 * span + 100_000


def test_a_day_counted_before_the_clock_went_back_is_held_for_a_day():
    """An hour back makes neither a second day's mail nor a day of twenty-five hours."""
    day = messages(DAY, 500)
    hand = Hand(limits=(day,), batches=(100,), claim=5_000, late=1_000)
    back = [(2 * HOUR * SECOND, -HOUR * SECOND)]
    grants = run(Paper().ask, [hand, hand], until=2 * DAY * SECOND, steps=back)
    first = [grant.at for grant in grants if grant.at < HOUR * SECOND]
    second = [grant.at for grant in grants if grant.at >= HOUR * SECOND]
    assert (len(first), len(second)) == (5, 5)
    assert second[0] - first[-1] >= DAY * SECOND


# --- rows ---


def test_a_row_stays_short():
    """A day of calls is at most two hundred entries and one, however many they were."""
    window = Window(limit=messages(DAY, 100_000))
    for number in range(3000):
        window = window.at(number * 50.0).with_(1, number * 50.0)
    assert len(window.history) <= STEPS + 1
    assert window.used >= DAY // 50


def test_rows_outlive_whoever_wrote_them(database: Database, database_url: str):
    """Workers that are started anew for every question keep the limits of a second, a day and a domain."""
    bounds = [
        (messages(1, 40, name), calls(1, 3, name), messages(DAY, 300, "warm-up news.example"))
        for name in ("first", "second")
    ]
    hands = [Hand(limits=bound, batches=(25,), claim=30_000, late=2_000) for bound in bounds]

    def anew(limits: Sequence[Limit], messages: int, now: float) -> tuple[int, float]:
        started = Database(database_url)
        with started.write() as db:
            rows = health.histories(db, [key_of(limit) for limit in limits])
            found, granted, wait = ask(limits, rows, messages, now)
            health.keep_histories(db, list(found.items()))
        started.close()
        return granted, wait

    grants = run(anew, hands, until=(DAY + 5) * SECOND, most_grants=30)
    assert_kept(grants)
    assert sum(grant.messages for grant in grants if grant.at < DAY * SECOND) == 300
    assert any(grant.at >= DAY * SECOND for grant in grants)
