"""How much a provider takes in a second, a minute, an hour, a day: never more, in any such span of time.

What went out leaves the count when it lies further back than the span, so no window of that length, wherever
it begins, has more than the limit in it. What goes out within a two-hundredth of the span is counted as one,
at its last moment, which keeps every count short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

STEPS = 200  # to a span: what goes out within one is counted as one
PIECE = 10  # a call waits for a tenth of the limit to be free, rather than carrying ever fewer messages,
SOON = 50  # if that is to be within a fiftieth of the span: what is free meanwhile is lost to the rate

Count = tuple[int, int]  # milliseconds since 1970, and what went out then or just before


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most *most* messages or calls in any *seconds*."""

    name: str  # the provider, or the sending domain that is warmed up
    counts: Literal["messages", "calls"]
    seconds: int
    most: int

    @property
    def span(self) -> int:
        """Its length in milliseconds."""
        return self.seconds * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A limit, and what went out within its span before a moment; times are seconds since 1970."""

    limit: Limit
    history: tuple[Count, ...] = ()  # ascending

    def at(self, now: float) -> Window:
        """As it stands at *now*: what is older has left it.

        What lies ahead was counted before the clock was set back. It counts from now on, so that a day's
        messages are neither forgotten nor held against us for longer than a day.
        """
        moment = _millis(now)
        ahead = sum(count for at, count in self.history if at > moment)
        kept = tuple((at, count) for at, count in self.history if moment - self.limit.span <= at <= moment)
        return Window(limit=self.limit, history=kept).with_(ahead, now)

    @property
    def used(self) -> int:
        return sum(count for _, count in self.history)

    @property
    def free(self) -> int:
        return max(0, self.limit.most - self.used)

    def with_(self, count: int, now: float) -> Window:
        """After *count* more went out at *now*, which is no earlier than all the rest."""
        if not count:
            return self
        moment, step = _millis(now), self.limit.span // STEPS
        before, last = self.history[:-1], self.history[-1:]
        if last and last[0][0] // step == moment // step:
            count += last[0][1]
        else:
            before += last
        return Window(limit=self.limit, history=(*before, (moment, count)))

    def wait(self, count: int, now: float) -> float:
        """Seconds from *now* until *count* are free (as many as the limit at most)."""
        if not self.limit.most:
            return float(self.limit.seconds)  # it may be another one by then
        missing = min(count, self.limit.most) - (self.limit.most - self.used)
        for at, gone in self.history:
            if missing <= 0:
                break
            missing -= gone
            if missing <= 0:
                return (at + self.limit.span + 1 - _millis(now)) / 1000
        return 0.0


def _millis(now: float) -> int:
    """Whole milliseconds that have passed; first to microseconds, as 0.123 is a little less than it says."""
    return round(now * 1_000_000) // 1000


def allowed(windows: Sequence[Window], messages: int, now: float, *, is_whole: bool = False) -> int:
    """How many of *messages* may go out in one call, by windows as they stand *now*; 0: none yet.

    *is_whole*: all or none. If the limit was lowered below their number meanwhile, all go when nothing else
    counts: in parts they would be other calls, and second messages to whoever the first call reached.
    """
    if wait(windows, messages, now, is_whole=is_whole):
        return 0
    free = (window.free for window in windows if window.limit.counts == "messages")
    return messages if is_whole else min([messages, *free])


def wait(windows: Sequence[Window], messages: int, now: float, *, is_whole: bool = False) -> float:
    """Seconds until `allowed` gives something."""
    rooms = [window.limit for window in windows if window.limit.counts == "messages"]
    if is_whole or not rooms:
        return _wait(windows, messages, now)
    least = min(messages, max(1, min(limit.most for limit in rooms) // PIECE))
    first, enough = _wait(windows, 1, now), _wait(windows, least, now)
    return enough if enough - first <= min(limit.seconds for limit in rooms) / SOON else first


def _wait(windows: Sequence[Window], messages: int, now: float) -> float:
    return max(
        (window.wait(messages if window.limit.counts == "messages" else 1, now) for window in windows),
        default=0.0,
    )


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
