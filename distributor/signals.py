"""Ctrl-C and SIGTERM: once for an orderly end, twice for one at once; SIGHUP: new settings are to be read."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)
HEARD = (*SIGNALS, signal.SIGHUP)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first signal calls *stop*, the next goes to whoever had it before; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop_once(_signal: int, _frame: FrameType | None) -> None:
        put_back()
        stop()

    for number in SIGNALS:
        signal.signal(number, stop_once)
    try:
        yield
    finally:
        put_back()


class Ears:
    """Signals, waited for in a thread of their own: a handler could meet the main thread inside a lock.

    Threads that are begun within it hear none of them. The second that asks for an end gets it at once.
    """

    def __enter__(self) -> Self:
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        self._heard: SimpleQueue[int] = SimpleQueue()
        self._is_over = False
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        signal.pthread_kill(self._thread.ident or 0, signal.SIGHUP)  # so that it sees that
        self._thread.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    def heard(self, within: float) -> int | None:
        """The next signal that comes within so many seconds."""
        with suppress(Empty):
            return self._heard.get(timeout=within)
        return None

    def _listen(self) -> None:
        is_ending = False
        while True:
            number = signal.sigwait(HEARD)
            if self._is_over:
                return
            if number in SIGNALS and is_ending:
                os._exit(128 + number)
            is_ending = is_ending or number in SIGNALS
            self._heard.put(number)
