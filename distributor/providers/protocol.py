"""What delivery asks of every provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from distributor.model import Answer, Batch, Digest, Email, Picture, Post, Receipt
from distributor.providers.email.mime import Sender

Media = Callable[[Picture], bytes]  # a picture's bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailLimits:
    """What one call may carry, and what a repeated call does."""

    recipients_per_call: int
    repeatable: bool = False  # the same call again cannot make a second message
    in_flight: int = 8  # calls at once


class EmailProvider(Protocol):
    """A vendor that takes one digest for many readers in one call."""

    @property
    def limits(self) -> EmailLimits: ...

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

    repeatable: bool

    async def send(self, batch: Batch, post: Post, *, media: Media) -> Receipt:
        """Publish the post; raises as `EmailProvider.send` does."""
        ...
