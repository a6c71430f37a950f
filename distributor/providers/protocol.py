"""What delivery asks of every provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from distributor.model import Answer, Batch, Digest, Email, Picture, Post, Receipt
from distributor.providers.email.mime import Sender

Media = Callable[[Picture], bytes]  # a picture's bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailLimits:
    """What one call may carry, and what a repeated call does."""

    recipients_per_call: int
    repeatable_for: timedelta | None = None  # for so long the same call again makes no second message
    in_flight: int = 8  # calls at once
    calls_per_second: int | None = None  # what the vendor publishes for every account
    calls_per_minute: int | None = None
    found_after: timedelta | None = (
        None  # `find` shows every accepted message after this time; None: it cannot
    )


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
            SomeRefused: none was accepted, for the sake of somebody among them.
            TryLater: none was accepted, and the same call may be later.
            Unclear: it is not known whether they were accepted.
        """
        ...


@runtime_checkable
class Finding(Protocol):
    """A provider that can be asked what became of a call to which no answer came (`found_after` is set)."""

    async def find(self, batch: Batch, emails: Sequence[Email]) -> Mapping[int, str]:
        """Those of *emails* that were accepted, by our keys: recipient -> the provider's id.

        Raises:
            SendError: the provider did not say.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the vendor itself says that the account may send."""

    per_second: float | None = None
    per_day: float | None = None  # in any 24 hours
    used: int = 0  # in the last 24 hours, by everyone who sends through the account


@runtime_checkable
class Allowing(Protocol):
    """A provider that tells the account's allowance."""

    async def allowance(self) -> Allowance: ...


class SocialProvider(Protocol):
    """A network's account that takes one post."""

    @property
    def repeatable_for(self) -> timedelta | None:
        """For so long the same call again makes no second post."""
        ...

    async def send(self, batch: Batch, post: Post, *, media: Media) -> Receipt:
        """Publish the post; raises as `EmailProvider.send` does."""
        ...
