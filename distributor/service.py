"""The service manager that started us, if one did: https://www.freedesktop.org/software/systemd/man/sd_notify.html"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from time import CLOCK_MONOTONIC, clock_gettime_ns, monotonic


class Manager:
    """Is told how we are, where it asked for it (`Type=notify`, `Type=notify-reload`); else nobody is."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        is_ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
        patience = environment.get("WATCHDOG_USEC", "")
        self._patience = int(patience) / 1e6 if is_ours and patience.isdecimal() else None  # seconds
        self._alive_at = 0.0

    def ready(self, status: str) -> None:
        self._say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        self._say("RELOADING=1", f"MONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._say("STOPPING=1", "STATUS=finishing what is under way")

    def status(self, text: str) -> None:
        self._say(f"STATUS={text}")

    def alive(self) -> None:
        """Keep the watchdog from biting; to be called every second or so."""
        if self._patience is not None and monotonic() - self._alive_at >= self._patience / 4:
            self._alive_at = monotonic()
            self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talking:
            talking.connect(address)
            talking.sendall("\n".join(lines).encode())
