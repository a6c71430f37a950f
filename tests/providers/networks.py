"""What every network is tested for, how its tests describe it, and a worker in small to carry one post."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import httpx

from distributor.config import Channel
from distributor.delivery import posting
from distributor.delivery.posting import Notes
from distributor.errors import SendError, TryLater, Unclear
from distributor.model import Batch, DeliveryState, Picture, Post, Receipt
from distributor.providers.protocol import Credentials, SocialProvider
from distributor.rendering import payloads
from tests.simulator.calls import Reply, Request, page
from tests.simulator.networks import Network

MADE = datetime(2026, 6, 1, 7, tzinfo=UTC)
BATCH = Batch(
    campaign=7,
    number=1,
    rendition="r",
    recipients=(0,),
    state=DeliveryState.SENDING,
    attempt=1,
    provider=None,
    key="5f0c7c1e-7a55-5cf8-9d7f-0d7a8d9f1d11",
    due_at=MADE,
)
NEXT = replace(BATCH, campaign=8, key="0e3f5b52-93cb-5be5-8d0c-2ad1a0e1f3c2")  # of another post
LINK = "https://news.example/2026/06/the-ferry/"
BANNER = Picture(
    hash="c0ffee" * 10 + "0123",
    media_type="image/jpeg",
    width=1200,
    height=800,
    size=3,
    alt="A ferry & gulls",
)
CODE = Picture(hash="beef" * 16, media_type="image/png", width=600, height=600, size=3, alt="QR code")
MEDIA_URL = "https://mail.news.example/media"
FILES = {BANNER.hash: b"\xff\xd8banner", CODE.hash: b"\x89PNGcode"}
TEXT = "The ferry <sails> again & again\n\nAfter two weeks_of *repairs* #Harbour\n" + LINK


def post(channel: Channel, *, text: str = TEXT, pictures: Sequence[Picture] = (BANNER,), **more: Any) -> Post:
    """A post as rendering makes it for *channel*."""
    made = Post(
        network=channel.network,
        text=text,
        link=LINK,
        title="The ferry <sails> again & again",
        summary="After two weeks of repairs.",
        pictures=tuple(pictures),
        **more,
    )
    return replace(made, payload=payloads.payload(made, channel, at=MADE))


def media(picture: Picture) -> bytes:
    return FILES[picture.hash]


@dataclass(frozen=True, kw_only=True)
class Described:
    """A network, as its own test module describes it to the suite."""

    name: str
    channel: Mapping[str, Any]  # settings of a [channels.NAME] on it
    provider: Callable[[Channel, httpx.AsyncBaseTransport], SocialProvider]
    fake: Callable[[], Network]

    def settings(self, **more: Any) -> Channel:
        return Channel.model_validate({"network": self.name, **self.channel, **more})


class Ring:
    """Credentials in memory."""

    def __init__(self, kept: Credentials | None = None) -> None:
        self.kept = kept
        self.made = 0

    async def current(self) -> Credentials | None:
        return self.kept

    async def renewed(
        self, seen: Credentials | None, make: Callable[[], Awaitable[Credentials]]
    ) -> Credentials:
        if self.kept is not None and self.kept != seen:
            return self.kept
        self.kept = await make()
        self.made += 1
        return self.kept


class Notebook:
    """A memory that is nobody's."""

    def __init__(self, **known: Any) -> None:
        self.known: dict[str, Any] = known

    async def keep(self, **values: Any) -> None:
        self.known |= values


class Killed(BaseException):
    """The worker is gone, with all that it knew."""


Fault = Callable[[Network, Request], Reply]


def before(error: Exception | BaseException | Reply) -> Fault:
    def fault(fake: Network, request: Request) -> Reply:
        if isinstance(error, Reply):
            return error
        raise error

    return fault


def after(error: Exception | BaseException | Reply) -> Fault:
    def fault(fake: Network, request: Request) -> Reply:
        fake.answer(request)
        if isinstance(error, Reply):
            return error
        raise error

    return fault


def _busy(fake: Network, request: Request) -> Reply:
    return fake.words["busy"]


FAULTS: Mapping[str, Fault] = {
    "silence before": before(httpx.ReadTimeout("silence")),
    "silence after": after(httpx.ReadTimeout("silence")),
    "reset before": before(httpx.ReadError("reset")),
    "reset after": after(httpx.ReadError("reset")),
    "no connection": before(httpx.ConnectError("refused")),
    "500 before": before(Reply(status=500, body=b"{}")),
    "500 after": after(Reply(status=500, body=b"{}")),
    "502 before": before(page(502)),
    "502 after": after(page(502)),
    "503": before(Reply(status=503, headers={"Retry-After": "7"})),
    "429": _busy,
    "a page instead of an answer": after(page(200)),
    "killed before": before(Killed()),
    "killed after": after(Killed()),
}


@dataclass
class Far:
    """A transport to a simulated network that spoils the calls that it is told to."""

    fake: Network
    spoil: Mapping[int, Fault] = field(default_factory=dict)  # number of the call, from 0 -> how
    requests: list[httpx.Request] = field(default_factory=list)

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        self.requests.append(request)
        asked = Request(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode(),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.content,
        )
        fault = self.spoil.get(number)
        said = fault(self.fake, asked) if fault else self.fake.answer(asked)
        headers = {"Content-Type": said.type, **said.headers}
        return httpx.Response(said.status, content=said.body, headers=headers)


class Carrier:
    """A worker in small: it carries one post as the engine would, through faults and its own death."""

    def __init__(
        self, described: Described, far: Far, *, channel: Channel | None = None, batch: Batch = BATCH
    ) -> None:
        self._batch = batch
        self._channel = channel or described.settings()
        self._described = described
        self._far = far
        self._ring = Ring()
        self.kept: dict[str, Any] = {}  # what is written down
        self.told: list[SendError] = []

    async def carry(self, what: Post, *, attempts: int = 8) -> Receipt | None:
        """The receipt of *what*; None if it stays unclear.

        Raises:
            SendError: it was refused, or put off once too often.
        """
        called_at: datetime | None = None
        failure: SendError = TryLater("nothing was tried")
        for attempt in range(1, attempts + 1):
            provider = self._described.provider(self._channel, self._far.transport())
            now = datetime.now(UTC)
            batch = replace(
                self._batch, attempt=attempt, called_at=called_at, kept=MappingProxyType(self.kept)
            )
            is_harmless = what.action in ("edit", "delete")
            try:
                return await self._once(provider, batch, what)
            except TryLater as error:
                failure = error
                self.told.append(error)
                continue
            except Unclear as error:
                failure = error
                self.told.append(error)
            except Killed:
                failure = Unclear("its worker was lost during the call")
            called_at = None if is_harmless else called_at or now
            if is_harmless or provider.limits.repeatable_for:
                continue
            if provider.limits.found_after is None:
                return None
            if receipt := await self._found(provider, replace(batch, called_at=called_at), what):
                return receipt
            called_at = None  # it is not there
        raise failure

    async def _once(self, provider: SocialProvider, batch: Batch, what: Post) -> Receipt:
        async with provider.connected(self._ring) as calls:
            notes = Notes(batch, self._keep)
            return await posting.perform(calls, batch, what, media=media, memory=notes)

    async def _found(self, provider: SocialProvider, batch: Batch, what: Post) -> Receipt | None:
        for _ in range(5):
            try:
                async with provider.connected(self._ring) as calls:
                    return await posting.find(calls, batch, what)
            except (SendError, Killed):
                continue
        raise AssertionError("its network never said whether the post is there")

    async def _keep(self, values: Mapping[str, Any]) -> bool:
        self.kept = dict(values)
        return True


async def published(
    described: Described, what: Post | None = None, *, channel: Channel | None = None
) -> tuple[Receipt, Network, Far]:
    """A post that went out without any fault."""
    far = Far(described.fake())
    settings = channel or described.settings()
    receipt = await Carrier(described, far, channel=settings).carry(what or post(settings))
    assert receipt is not None
    return receipt, far.fake, far


def opened(described: Described, far: Far, **more: Any) -> Any:
    """The account's calls, as a context manager."""
    return described.provider(described.settings(**more), far.transport()).connected(Ring())
