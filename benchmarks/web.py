"""The web endpoint: events verified, stored and answered; and a reader's page, among a million readers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

import httpx
from sqlalchemy import func, select

from benchmarks.measure import SQLITE, TIMES, Figure, figure
from distributor.app import App
from distributor.config import load
from distributor.store.schema import event
from tests.workspace import Clock, opened, workspace

EVENTS = 20_000
CONNECTIONS = 64
READERS = 1_000_000
LOOKS = 300
SECRET = "key-of-the-endpoint"
CONFIG = f"""
[providers.mailgun]
type = "mailgun"
key = "key"
domain = "mail.news.example"
webhook = {{ secret = "{SECRET}" }}
"""


def figures() -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        yield from _events(Path(folder) / "events")
        yield from _pages(Path(folder) / "pages")


def _events(folder: Path) -> Iterator[Figure]:
    config = _prepared(folder)
    rates, cpus = [], []
    with _serving(config) as (host, port, process):
        for turn in range(TIMES):
            requests = [_request(turn * EVENTS + number) for number in range(EVENTS)]
            before, began = _cpu(process.pid), perf_counter()
            asyncio.run(_post_all(host, port, requests))
            rates.append(EVENTS / (perf_counter() - began))
            cpus.append((_cpu(process.pid) - before) / EVENTS * 1e6)
    app = App(load(config, {}))
    with app.database.read() as db:
        assert db.scalar(select(func.count()).select_from(event)) == EVENTS * TIMES
    app.close()
    about: dict[str, str | int] = {
        "database": SQLITE,
        "body": f"{len(_request(0)):,} bytes",
        "connections": CONNECTIONS,
    }
    yield figure("events verified, kept and answered, 1 process", median(rates), "events/s", **about)
    yield figure("an event, CPU of the whole process, outcomes included", median(cpus), "µs", **about)


def _pages(folder: Path) -> Iterator[Figure]:
    config = _prepared(folder)
    app = App(load(config, {}))
    rows = (f"reader{number}@example.org\n" for number in range(READERS))
    began = perf_counter()
    imported = app.import_subscribers(_with_header(rows), default_lists=["morning"])
    took = perf_counter() - began
    assert imported.added == READERS, imported.problems[:3]
    about: dict[str, str | int] = {"database": SQLITE}
    yield figure("CSV of 1,000,000 rows", READERS / took, "rows/s", **about)
    person = app.subscriber(f"reader{READERS // 2}@example.org")
    with app.database.read() as db:
        from subscribers import store as audience
        from subscribers.tokens import Place

        token = app.tokens.make(Place(subscriber=person.id, list=audience.list_id(db, "morning")))
    app.close()
    with _serving(config) as (host, port, _), httpx.Client(base_url=f"http://{host}:{port}") as client:
        taken = []
        for _ in range(LOOKS):
            began = perf_counter()
            answer = client.get(f"/preferences/{token}")
            taken.append((perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text[:200]
    name = "preferences page, a million readers"
    yield figure(f"{name}, median", median(taken), "ms", **about)
    yield figure(f"{name}, p95", quantiles(taken, n=20)[-1], "ms", **about)


def _with_header(rows: Iterator[str]) -> Iterator[str]:
    yield "email\n"
    yield from rows


def _prepared(folder: Path) -> Path:
    config = workspace(folder, config=CONFIG)
    config.write_text(config.read_text().replace("[web]\n", '[web]\nlisten = "127.0.0.1:0"\n'))
    with opened(config, Clock()) as app:
        app.scan()
    return config


@contextmanager
def _serving(config: Path) -> Iterator[tuple[str, int, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "distributor", "serve"]
    with subprocess.Popen(command, cwd=config.parent, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = re.search(r" answers at ([^\s:]+):(\d+)", process.stderr.readline())
        assert said
        try:
            yield said[1], int(said[2]), process
        finally:
            process.terminate()
            process.wait(timeout=30)


def _request(number: int) -> bytes:
    """A report of Mailgun's, 1 KB, signed."""
    now, token = str(int(time.time())), f"{number:050d}"
    signature = hmac.digest(SECRET.encode(), f"{now}{token}".encode(), hashlib.sha256).hex()
    told = {
        "signature": {"timestamp": now, "token": token, "signature": signature},
        "event-data": {
            "event": "delivered",
            "id": f"id-{number}",
            "timestamp": time.time(),
            "recipient": f"reader{number}@example.org",
            "user-variables": {"delivery": f"1-{number}-elsewhere"},
            "message": {"headers": {"message-id": f"{number}@mail.news.example", "subject": "x" * 300}},
            "delivery-status": {"code": 250, "message": "OK " + "y" * 200},
        },
    }
    body = json.dumps(told).encode()
    head = (
        "POST /webhooks/email/mailgun HTTP/1.1\r\nHost: news.example\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _post_all(host: str, port: int, requests: Sequence[bytes]) -> None:
    """Bare sockets: a client that reads and builds as much as a server would take as long as it does."""
    left = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for request in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if length:
                await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def _cpu(pid: int) -> float:
    """Seconds that a process has worked."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
