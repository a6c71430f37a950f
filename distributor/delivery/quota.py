"""How much a provider takes in a second, a minute, an hour, a day: never more, in any such span of time.

A limit is counted in two hundred steps to its span. A message leaves the count only when its whole step lies
further back than the span, so no window of that length, wherever it begins, has more than the limit in it;
what that costs is one step in two hundred of the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

STEPS = 200  # to a span
PIECE = 10  # a call waits for a tenth of the limit to be free, rather than carrying ever fewer messages

Count = tuple[int, int]  # a step since 1970, and what went out in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most *most* messages or calls in any *seconds*."""

    name: str  # the provider, or the sending domain that is warmed up
    counts: Literal["messages", "calls"]
    seconds: int
    most: int

    @property
    def step(self) -> float:
        return self.seconds / STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A limit, and what went out within its span before a moment; times are seconds since 1970."""

    limit: Limit
    history: tuple[Count, ...] = ()  # ascending

    def at(self, now: float) -> Window:
        """As it stands at *now*: old steps have left it.

        A step that lies ahead was counted before the clock was set back. It counts from now on, so that a
        day's messages are neither forgotten nor held against us for longer than a day.
        """
        current = self._step(now)
        behind = current - STEPS
        ahead = sum(count for step, count in self.history if step > current)
        kept = [(step, count) for step, count in self.history if behind <= step <= current]
        return Window(limit=self.limit, history=tuple(_added(kept, current, ahead)))

    @property
    def used(self) -> int:
        return sum(count for _, count in self.history)

    @property
    def free(self) -> int:
        return max(0, self.limit.most - self.used)

    def with_(self, count: int, now: float) -> Window:
        """After *count* more went out at *now*."""
        return Window(limit=self.limit, history=tuple(_added(self.history, self._step(now), count)))

    def wait(self, count: int, now: float) -> float:
        """Seconds from *now* until *count* are free (as many as the limit at most)."""
        missing = min(count, self.limit.most) - self.free
        for step, gone in self.history:
            if missing <= 0:
                break
            missing -= gone
            if missing <= 0:
                return max(0.0, (step + STEPS + 1) * self.limit.step - now)
        return 0.0

    def _step(self, now: float) -> int:
        return int(now / self.limit.step)


def _added(history: Sequence[Count], current: int, count: int) -> list[Count]:
    before = list(takewhile(lambda one: one[0] < current, history))
    now = count + sum(found for step, found in history if step == current)
    return [*before, (current, now)] if now else before


def allowed(windows: Sequence[Window], messages: int, *, is_whole: bool = False) -> int:
    """How many of *messages* may go out in one call, by windows as they stand now; 0: none yet.

    *is_whole*: all or none.
    """
    if any(window.free == 0 for window in windows):
        return 0
    rooms = [window for window in windows if window.limit.counts == "messages"]
    count = min([messages, *(window.free for window in rooms)])
    return count if count >= _least(rooms, messages, is_whole=is_whole) else 0


def wait(windows: Sequence[Window], messages: int, now: float, *, is_whole: bool = False) -> float:
    """Seconds until `allowed` gives something."""
    rooms = [window for window in windows if window.limit.counts == "messages"]
    least = _least(rooms, messages, is_whole=is_whole)
    return max(
        (window.wait(least if window in rooms else 1, now) for window in windows),
        default=0.0,
    )


def _least(rooms: Sequence[Window], messages: int, *, is_whole: bool) -> int:
    """The fewest messages worth a call."""
    smallest = min((window.limit.most for window in rooms), default=messages)
    return min(messages, smallest if is_whole else max(1, smallest // PIECE))


# SparkPost's plan for a new address or domain, messages a day:
# https://support.sparkpost.com/docs/deliverability/ip-warm-up-overview (read 2026-11)
WARM_UP = (
    *(200, 500, 1_000, 2_000, 5_000, 10_000, 20_000),
    *(40_000, 50_000, 75_000, 100_000, 150_000, 200_000, 250_000),
    *(325_000, 425_000, 550_000, 675_000, 800_000, 1_000_000, 1_250_000),
    *(1_750_000, 2_500_000, 3_500_000, 4_500_000, 5_500_000, 6_500_000, 7_500_000),
)


def warm_up(day: int) -> int | None:
    """Messages that a new sending domain may send on its *day* (0 is the first); None: it is new no more."""
    return WARM_UP[max(0, day)] if day < len(WARM_UP) else None
