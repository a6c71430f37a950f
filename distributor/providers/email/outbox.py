"""A folder instead of a provider: every mail as an `.eml` file, for looking at and for trying things out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from anyio import to_thread

from distributor.config import Provider
from distributor.errors import TryLater
from distributor.model import Answer, Batch, Digest, Email, Picture
from distributor.providers.email.mime import Message, Sender
from distributor.providers.protocol import FOR_EVER, EmailLimits


class Outbox:
    """Writes `PATH/NEWSLETTER/CAMPAIGN/KEY.eml`.

    A file is named by its delivery's key and always has the same bytes, so repeating a call is harmless.
    """

    limits = EmailLimits(recipients_per_call=200, repeatable_for=FOR_EVER)

    def __init__(self, settings: Provider) -> None:
        self._path = settings.path

    def connected(self) -> AbstractAsyncContextManager[Outbox]:
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
        try:
            return await to_thread.run_sync(self._write, batch, digest, emails, sender, media)
        except OSError as error:  # a full disk, say: what is there is whole, and is written again
            raise TryLater(f"the outbox cannot be written: {error}", after=60) from error

    def _write(
        self,
        batch: Batch,
        digest: Digest,
        emails: Sequence[Email],
        sender: Sender,
        media: Callable[[Picture], bytes],
    ) -> Answer:
        folder = self._path / sender.list_label / f"{batch.campaign:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        message = Message(digest, sender, date=batch.due_at, media=media)
        for email in emails:
            _put(folder / f"{email.key}.eml", message.to(email))
        return Answer(receipt=str(folder))


def _put(path: Path, data: bytes) -> None:
    """Make the file whole, or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
