"""How long to wait: seconds inside a call by tenacity, minutes to hours in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from distributor.errors import DatabaseError, TryLater

PATIENCE = timedelta(seconds=10)  # a longer wait is the ledger's: a worker has other things to do
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=4)
MOST_ATTEMPTS = 16  # with the waits of `due_again`, most of a day
AS_ASKED = 4  # attempts for which a server that asks for no more than a moment is believed


def within_the_call(goes_on: Callable[[], bool], attempts: int = 3) -> AsyncRetrying:
    """Try again at once what was busy for a moment; what asks for a longer wait goes back to the ledger.

    Nothing is tried again when *goes_on* no longer holds.
    """
    return AsyncRetrying(
        retry=retry_if_exception(lambda error: _is_brief(error) and goes_on()),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.5, max=PATIENCE.total_seconds() / 2),
        reraise=True,
    )


def until_recorded(attempts: int = 5) -> AsyncRetrying:
    """Write down again what a provider said, when the database was busy: the answer comes only once."""
    return AsyncRetrying(
        retry=retry_if_exception_type(DatabaseError),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        reraise=True,
    )


def _is_brief(error: BaseException) -> bool:
    return isinstance(error, TryLater) and error.after is None


def due_again(now: datetime, attempt: int, *, asked: float | None) -> datetime:
    """When a batch is tried again: what the server asked for, in seconds, goes before our own doubling.

    One that keeps asking for a moment only is given more and more time all the same.
    """
    attempt = (attempt - 1) % MOST_ATTEMPTS + 1
    if asked is None:
        return now + _doubled(attempt)
    patience = _doubled(attempt - AS_ASKED) if attempt > AS_ASKED else timedelta(0)
    return now + max(timedelta(seconds=asked), patience)


def due_once_more(now: datetime, attempt: int) -> datetime:
    """When a post is made that its network took without a word and does not have: the first time, at once.

    One that is never there is tried less and less, and for as long as nobody stops it.
    """
    return now if attempt <= 1 else now + _doubled(attempt - 1)


def _doubled(times: int) -> timedelta:
    doubled: timedelta = FIRST_WAIT * 2 ** min(times - 1, 10)
    return min(doubled, LONGEST_WAIT)
