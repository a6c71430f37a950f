"""Hosts of our own making: network namespaces that reach a hub, each over a link that can be cut.

The hub has one address, on which its servers listen; nothing outside the namespaces can reach it, nor they
anything outside. Needs root and iproute2: https://man7.org/linux/man-pages/man8/ip-netns.8.html
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

HUB_ADDRESS = "10.203.0.1"


class Network:
    """A hub and its hosts."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._mark = uuid.uuid4().hex[:6]
        self._hosts = list(hosts)

    def build(self) -> None:
        ip("netns", "add", self._space("hub"))
        self._in("hub", "link", "set", "lo", "up")
        self._in("hub", "address", "add", f"{HUB_ADDRESS}/32", "dev", "lo")
        for number, host in enumerate(self._hosts, start=1):
            ip("netns", "add", self._space(host))
            hub, own = self._space("hub"), self._space(host)
            ip(
                "link",
                "add",
                f"to-{host}",
                "netns",
                hub,
                "type",
                "veth",
                "peer",
                "name",
                "to-hub",
                "netns",
                own,
            )
            self._address("hub", f"to-{host}", f"10.203.{number}.1/30")
            self._address(host, "to-hub", f"10.203.{number}.2/30")
            self._in(host, "route", "add", HUB_ADDRESS, "via", f"10.203.{number}.1")

    def remove(self) -> None:
        """With a namespace go its links; of one that was never made there is nothing to remove."""
        for name in ("hub", *self._hosts):
            subprocess.run(["ip", "netns", "delete", self._space(name)], check=False, capture_output=True)

    def cut(self, host: str) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._in("hub", "link", "set", f"to-{host}", "down")

    def mend(self, host: str) -> None:
        self._in("hub", "link", "set", f"to-{host}", "up")

    def inside(self, host: str, *command: str) -> list[str]:
        """The command that runs *command* there, as the same process."""
        return ["ip", "netns", "exec", self._space(host), *command]

    def _address(self, host: str, link: str, address: str) -> None:
        self._in(host, "address", "add", address, "dev", link)
        self._in(host, "link", "set", link, "up")

    def _in(self, host: str, *arguments: str) -> None:
        ip("-n", self._space(host), *arguments)

    def _space(self, host: str) -> str:
        return f"chaos-{self._mark}-{host}"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def network(*hosts: str) -> Iterator[Network]:
    """Raises CalledProcessError where namespaces may not be made."""
    found = Network(hosts)
    try:
        found.build()
        yield found
    finally:
        found.remove()
