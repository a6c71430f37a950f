"""What went out when, held against a limit: exact for any times, be they microseconds or seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

Sent = Sequence[tuple[float, int]]  # when and how many, ascending


def spans(sent: Sent, span: float) -> list[tuple[float, int]]:
    """For everything that went out: when, and how much did in the span that ends there, both ends within."""
    found, recent, total = [], deque[tuple[float, int]](), 0
    for at, count in sent:
        recent.append((at, count))
        total += count
        while recent[0][0] < at - span:
            total -= recent.popleft()[1]
        found.append((at, total))
    return found


def busiest(sent: Sent, span: float) -> int:
    """The most in any such span."""
    return max((total for _, total in spans(sent, span)), default=0)


def fullness(sent: Sent, span: float, most: int, *, begin: float, end: float) -> float:
    """How full the limit was on average between two moments: the measured rate by the allowed one."""
    seen = sum(count * max(0, min(end, at + span) - max(begin, at)) for at, count in sent)
    return seen / (end - begin) / most
