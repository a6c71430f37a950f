"""When to leave a provider alone, and when to try it again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from distributor.errors import AccountTrouble, SendError, TryLater
from distributor.model import Health

TOLERATED = 5  # calls in a row that came to nothing
FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=15)
LONG = timedelta(minutes=1)  # for a shorter rest nobody else takes over
PROBE = timedelta(seconds=30)  # the others wait for the first call after a rest


def after_failure(health: Health, error: SendError, *, now: datetime) -> Health:
    """How a provider stands after a call that it did not take or did not answer."""
    failures = health.failures + 1
    rest = timedelta(0)
    if isinstance(error, TryLater) and error.after is not None:
        rest = timedelta(seconds=error.after)
    if failures >= TOLERATED:
        rest = max(rest, min(FIRST_REST * 2 ** min(failures - TOLERATED, 10), LONGEST_REST))
    held_until = max(now + rest, health.held_until or now) if rest else health.held_until
    is_down = isinstance(error, AccountTrouble) or failures >= TOLERATED or rest > LONG
    return Health(
        name=health.name,
        failures=failures,
        held_until=held_until,
        is_down=health.is_down or is_down,
        reason=str(error),
    )


def probed(health: Health, *, now: datetime) -> Health:
    """After a rest one call goes first; the others are held until it is answered."""
    return replace(health, held_until=now + PROBE)
