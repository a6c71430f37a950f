"""Providers for tests: they take mail as a vendor would, and remember what they took."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from distributor.app import App
from distributor.delivery.routes import EmailWay, Route
from distributor.model import Answer, Batch, Digest, Email, Picture
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import FOR_EVER, EmailLimits

Answering = Callable[[Batch, Sequence[Email]], Answer]


class Recorder:
    """Accepts everything, unless told to answer otherwise; what it took is on disk before it answers.

    Its file has a line for each message: delivery key, address, and the keys of the articles in it.
    """

    def __init__(
        self,
        path: Path,
        *,
        recipients_per_call: int = 2,
        repeatable: bool = False,
        answer: Answering = lambda batch, emails: Answer(receipt=batch.key),
    ) -> None:
        span = FOR_EVER if repeatable else None
        self.limits = EmailLimits(recipients_per_call=recipients_per_call, repeatable_for=span)
        self.path = path
        self.calls: list[str] = []  # request keys
        self._answer = answer

    def connected(self) -> AbstractAsyncContextManager[Recorder]:
        return nullcontext(self)

    async def send(
        self,
        batch: Batch,
        digest: Digest,
        emails: Sequence[Email],
        *,
        sender: Sender,
        media: Callable[[Picture], bytes],
    ) -> Answer:
        self.calls.append(batch.key)
        answer = self._answer(batch, emails)
        told = " ".join(carried.key for carried in digest.articles)
        lines = "".join(
            f"{email.key}\t{email.address}\t{told}\n"
            for email in emails
            if email.recipient not in answer.refused.keys() | answer.later.keys() | answer.unclear.keys()
        )
        log = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(log, lines.encode())
        os.fsync(log)
        os.close(log)
        return answer

    def taken(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Delivery key, address and article keys of each message that was accepted, in order."""
        if not self.path.exists():
            return []
        rows = (line.split("\t") for line in self.path.read_text().splitlines())
        return [(key, address, tuple(told.split())) for key, address, told in rows]


def through(
    app: App,
    recorder: Recorder,
    newsletter: str = "morning",
    *,
    name: str = "recorder",
    then: Recorder | None = None,
) -> None:
    """Let a newsletter go out through *recorder*, and through *then* what that does not take."""
    own = app.config.newsletters[newsletter]
    sender = Sender(from_=own.from_, reply_to=None, list_name=own.title, list_label=newsletter)
    ways = [EmailWay(name=name, provider=recorder, sender=sender)]
    if then:
        ways.append(EmailWay(name="then", provider=then, sender=sender))
    app.routes[newsletter] = Route(ways=tuple(ways))
