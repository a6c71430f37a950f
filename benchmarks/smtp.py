"""Handing mail to an SMTP server: whole messages over loopback, to a server that takes each at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import anyio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks import relay
from benchmarks.measure import TIMES, Conditions, Figure, alone, figure
from benchmarks.site import NOW
from distributor.config import Dkim, Provider
from distributor.model import Batch, DeliveryState, Digest, Email, Picture
from distributor.providers.email.mime import Message, Sender
from distributor.providers.email.smtp import Calls, Smtp
from distributor.slots import MARKS

MESSAGES, SIGNED = 40_000, 8_000
LIMITS = Smtp(Provider(type="smtp", host="127.0.0.1")).limits
CONNECTIONS, BATCH = LIMITS.in_flight, LIMITS.recipients_per_call
SENDER = Sender(
    from_="The Lantern <news@lantern.example>", reply_to=None, list_name="Lantern", list_label="l"
)
STORY = "<p>The ferry sails again after two days of storm, and the harbour has bread.</p>\n"
DIGEST = Digest(
    subject="The Lantern at Breakfast",
    preheader="",
    html=f"<p>Good morning {MARKS['name']}</p>{STORY * 138}<a href='{MARKS['unsubscribe_url']}'>Leave</a>",
    text=f"Good morning {MARKS['name']}\n{MARKS['unsubscribe_url']}\n",
)
EMAILS = [
    Email(
        key=f"1-{number}-5f3a91c2",
        recipient=number,
        address=f"reader.number.{number}@post.example",
        name="Ada Lovelace",
        slots={
            "name": "Ada Lovelace",
            "unsubscribe_url": f"https://mail.lantern.example/unsubscribe/{number:038}",
        },
    )
    for number in range(BATCH)
]


def no_picture(picture: Picture) -> bytes:
    raise AssertionError("the digest has none")


def figures() -> Iterator[Figure]:
    size = len(Message(DIGEST, SENDER, date=NOW, media=no_picture).to(EMAILS[0]))
    told: Conditions = {"connections": CONNECTIONS, "bytes": size, "server": "takes each at once"}
    with relay.running() as port, TemporaryDirectory(prefix="bench-smtp-") as folder:
        key = Path(folder) / "key.pem"
        key.write_bytes(_key())
        for what, count, signing in (("messages", MESSAGES, None), ("messages with DKIM", SIGNED, key)):
            runs = [alone(deliver, port, count, signing)[0] for _ in range(TIMES)]
            name = f"13 kB {what}, {CONNECTIONS} connections"
            yield figure(name, count / median(wall for wall, _ in runs), "messages/s", **told)
            yield figure(f"{name}, CPU", median(cpu for _, cpu in runs) / count * 1e6, "us each", **told)


def deliver(port: int, count: int, key: Path | None) -> tuple[float, float]:
    """Seconds, by the clock and of CPU, for *count* messages in calls of the provider's own size."""
    return anyio.run(_deliver, port, count, key)


async def _deliver(port: int, count: int, key: Path | None) -> tuple[float, float]:
    settings = Provider(
        type="smtp",
        host="127.0.0.1",
        port=port,
        security="none",
        dkim=Dkim(selector="june", key_file=key) if key else None,
    )
    numbers = iter(range(count // BATCH))
    async with Smtp(settings).connected() as calls:
        wall, cpu = perf_counter(), process_time()
        async with anyio.create_task_group() as group:
            for _ in range(CONNECTIONS):
                group.start_soon(_work, calls, numbers)
        return perf_counter() - wall, process_time() - cpu


async def _work(calls: Calls, numbers: Iterator[int]) -> None:
    for number in numbers:
        answer = await calls.send(_batch(number), DIGEST, EMAILS, sender=SENDER, media=no_picture)
        assert len(answer.receipts) == BATCH


def _batch(number: int) -> Batch:
    return Batch(
        campaign=1,
        number=number,
        rendition="r",
        recipients=tuple(range(BATCH)),
        state=DeliveryState.SENDING,
        attempt=1,
        provider=None,
        key=f"1-{number}",
        due_at=NOW,
    )


def _key() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
