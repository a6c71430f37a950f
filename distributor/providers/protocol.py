"""What delivery asks of every provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from distributor.model import Answer, Batch, Digest, Email, Event, Picture, Post, Receipt
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
class Hook:
    """One request to a vendor's webhook, as it came."""

    body: bytes
    headers: Mapping[str, str]  # names in lower case
    received_at: datetime  # aware, UTC


class Webhook(Protocol):
    """What a vendor reports, at an address of ours."""

    @property
    def stops_with(self) -> int:
        """The HTTP status after which the vendor does not send the same again: for what can never be read."""
        ...

    async def events(self, hook: Hook) -> Sequence[Event]:
        """What it tells; nothing, where it only asks whether we are there.

        A kind of event that is not known is an event too, of the type `UNKNOWN`.

        Raises:
            Forged: nothing shows that the vendor sent it, to us.
            Unreadable: it is from the vendor, and has no events in it.
            TryLater: it cannot be told at the moment; the vendor is to send it again.
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


@runtime_checkable
class Probing(Protocol):
    """A provider or account that can be asked, without consequences, whether the key opens it."""

    async def probe(self) -> None:
        """Ask.

        Raises:
            SendError: it says that it does not, or says nothing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SocialLimits:
    """What a repeated call does on a network, and how many it takes."""

    repeatable_for: timedelta | None = None  # for so long the same call again makes no second post
    found_after: timedelta | None = None  # `find` shows every accepted post after this time; None: it cannot
    in_flight: int = 1  # calls at once: posts go out in their order
    calls_per_second: int | None = None  # what the network publishes for every account
    calls_per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What opens an account, where the network changes it from time to time."""

    access: str
    refresh: str = ""
    expires_at: datetime | None = None  # aware, UTC; of what cannot be renewed without a person
    more: Mapping[str, str] = field(default_factory=dict)  # what came with it: an id, a server's address


class Keyring(Protocol):
    """An account's credentials as they are now, the same for all workers on all machines."""

    async def current(self) -> Credentials | None:
        """What was made last; None when nothing was, since the configured key was set."""
        ...

    async def renewed(
        self, seen: Credentials | None, make: Callable[[], Awaitable[Credentials]]
    ) -> Credentials:
        """What comes after *seen*: made once, by one of all workers, and kept before anybody uses it.

        Raises:
            SendError: as *make* does; or another worker has been at it for too long (TryLater).
        """
        ...


class Memory(Protocol):
    """What a provider notes of one post between its calls; it outlives the worker."""

    @property
    def known(self) -> Mapping[str, Any]: ...

    async def keep(self, **values: Any) -> None:
        """Note *values* (JSON) besides what is known; written down when it returns.

        Raises:
            TryLater: the post is no longer this worker's, so nothing more may be done about it.
        """
        ...


class SocialProvider(Protocol):
    """An account on a network that takes one post in one call, or in a few."""

    @property
    def limits(self) -> SocialLimits: ...

    def connected(self, keyring: Keyring) -> AbstractAsyncContextManager[SocialCalls]:
        """Connections to it, for as long as a worker runs."""
        ...


class SocialCalls(Protocol):
    """An account while there are connections to it."""

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """Publish the post, below `post.of` if its action is "reply".

        Raises:
            Refused: the network will never take it.
            TryLater: it was certainly not published, and may be later.
            Unclear: it is not known whether it was published.
        """
        ...


@runtime_checkable
class FindingPosts(Protocol):
    """A network that can be asked whether a post is there (`found_after` is set)."""

    async def find(self, batch: Batch, post: Post, *, memory: Memory) -> Receipt | None:
        """The post, if it was published since `batch.called_at`.

        Raises:
            SendError: the network did not say.
        """
        ...


@runtime_checkable
class Editing(Protocol):
    """A network where a post can be changed; doing it twice is doing it once."""

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt: ...


@runtime_checkable
class Deleting(Protocol):
    """A network where a post can be taken back; what is not there is deleted."""

    async def delete(self, of: Receipt) -> None: ...
