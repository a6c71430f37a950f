"""What delivery asks of every provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from distributor.model import Answer, Batch, Digest, Email, Picture, Post, Receipt
from distributor.providers.email.mime import Sender

Media = Callable[[Picture], bytes]  # a picture's bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailLimits:
    """What one call may carry, and what a repeated call does."""

    recipients_per_call: int
    repeatable_for: timedelta | None = None  # for so long the same call again makes no second message
    in_flight: int = 8  # calls at once


FOR_EVER = timedelta(days=36500)  # the same call again never makes a second message


class EmailProvider(Protocol):
    """A vendor that takes one digest for many readers in one call."""

    @property
    def limits(self) -> EmailLimits: ...

    def connected(self) -> AbstractAsyncContextManager[EmailCalls]:
        """Connections to it, for as long as a worker runs."""
        ...


class EmailCalls(Protocol):
    """A provider while there are connections to it."""

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        """Hand the mails over.

        Raises:
            Refused: none of them will ever be accepted.
            TryLater: none was accepted, and the same call may be later.
            Unclear: it is not known whether they were accepted.
        """
        ...


class SocialProvider(Protocol):
    """A network's account that takes one post."""

    @property
    def repeatable_for(self) -> timedelta | None:
        """For so long the same call again makes no second post."""
        ...

    async def send(self, batch: Batch, post: Post, *, media: Media) -> Receipt:
        """Publish the post; raises as `EmailProvider.send` does."""
        ...
