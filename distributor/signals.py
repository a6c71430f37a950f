"""Ctrl-C and SIGTERM: once for an orderly end, twice for an end at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
