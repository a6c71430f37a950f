"""What the service manager is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from distributor.service import Manager


@pytest.fixture
def listener(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(tmp_path / "notify"))
        opened.settimeout(10)
        yield opened


def test_it_is_told_how_we_are(listener: socket.socket, tmp_path: Path) -> None:
    """Ready, reloading, stopping: in the words that systemd knows."""
    manager = Manager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    manager.ready("running")
    assert listener.recv(1000) == b"READY=1\nSTATUS=running"
    manager.reloading()
    first, second = listener.recv(1000).split(b"\n")
    assert first == b"RELOADING=1"
    assert second.startswith(b"MONOTONIC_USEC=")
    manager.stopping()
    assert listener.recv(1000).startswith(b"STOPPING=1\n")


def test_the_watchdog_is_fed_where_there_is_one(listener: socket.socket, tmp_path: Path) -> None:
    """Only when it asked, and only if it asked this process."""
    address = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    Manager(address).alive()
    Manager(address | {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}).alive()
    Manager(address | {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}).alive()
    assert listener.recv(1000) == b"WATCHDOG=1"
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(1000)


def test_without_a_manager_nobody_is_told() -> None:
    """Started by hand, nothing of it matters; neither does a socket that is gone."""
    Manager({}).ready("running")
    Manager({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready("running")
