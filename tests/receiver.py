"""Another program's endpoint on this machine: it answers as it is told to, and remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import orjson
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + "c2VjcmV0" * 5
OTHER = "whsec_" + "b3RoZXIh" * 5

Answer = tuple[int, dict[str, str]]


@dataclass
class Receiver:
    """Believes what is signed as the library of Standard Webhooks signs it, whatever time it is."""

    url: str = ""
    secret: str = SECRET
    answer: Callable[[dict[str, Any]], Answer] = lambda told: (204, {})
    told: list[dict[str, Any]] = field(default_factory=list)  # what was taken
    ids: list[str] = field(default_factory=list)  # of every attempt
    requests: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    def take(self, body: bytes, headers: Message) -> Answer:
        self.requests.append((body, {name.lower(): value for name, value in headers.items()}))
        signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signature = Webhook(self.secret).sign(headers["webhook-id"], signed_at, body.decode())
        if signature not in headers["webhook-signature"].split(" "):
            return 401, {}
        self.ids.append(headers["webhook-id"])
        told: dict[str, Any] = orjson.loads(body)
        status, more = self.answer(told)
        if status < 300:
            self.told.append(told)
        return status, more

    @property
    def types(self) -> list[str]:
        return [told["type"] for told in self.told]

    def data(self, type_: str) -> dict[str, Any]:
        """Of the last event of a type."""
        found: dict[str, Any] = [told for told in self.told if told["type"] == type_][-1]["data"]
        return found


@contextmanager
def receiver(secret: str = SECRET) -> Iterator[Receiver]:
    """A server on a port of its own, for as long as the block lasts."""
    mine = Receiver(secret=secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers = mine.take(body, self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mine.url = f"http://127.0.0.1:{server.server_address[1]}/told?by=us"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hook(to: Receiver | str, name: str = "crm", **settings: object) -> str:
    """The table of a hook."""
    url = to if isinstance(to, str) else to.url
    values = {"url": url, "secret": SECRET} | settings
    lines = "".join(f"{key} = {orjson.dumps(value).decode()}\n" for key, value in values.items())
    return f"\n[hooks.{name}]\n{lines}"
