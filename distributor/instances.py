"""What an account's own server takes, where servers of one network differ: asked once a day, and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import anyio
import httpx
import orjson

from distributor.config import Channel
from distributor.errors import SendError
from distributor.providers.social.mastodon import Instance, instance, server
from distributor.rendering import limits
from distributor.rendering.limits import Network, TextLimit
from distributor.store import articles as facts
from distributor.store.database import Database
from distributor.vendors import OUTBOX

FRESH = timedelta(days=1)  # until a server is asked again
AGAIN = timedelta(minutes=10)  # after one that did not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a server said, and when."""

    at: datetime
    said: Instance


class Usual:
    """The limits of the networks as they usually are, with nobody asked."""

    def network(self, channel: Channel) -> Network:
        return limits.network(channel.network)


class Instances(Usual):
    """The limits of the networks, as the servers of these accounts have them."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._transport = transport
        self._asked_at: dict[str, datetime] = {}

    def network(self, channel: Channel) -> Network:
        """What a post on the channel may be; of a server that was never reached, what is usual."""
        usual = super().network(channel)
        if channel.network != "mastodon" or channel.account == OUTBOX:
            return usual
        known = self._known(server(channel))
        return usual if known is None else _as_said(usual, known.said)

    def _known(self, address: str) -> _Known | None:
        name, now = f"instance {address}", self._clock()
        with self._database.read() as db:
            kept = facts.read_fact(db, name)
        known = _read(kept) if kept else None
        asked_at = self._asked_at.get(address)
        if (known and now - known.at < FRESH) or (asked_at and now - asked_at < AGAIN):
            return known
        self._asked_at[address] = now
        try:
            said = anyio.run(partial(instance, address, transport=self._transport))
        except SendError:  # the posts themselves will say that it is away
            return known
        with self._database.write() as db:
            facts.keep_fact(db, name, orjson.dumps({"at": now, "said": asdict(said)}).decode())
        return _Known(at=now, said=said)


def _read(kept: str) -> _Known:
    values = orjson.loads(kept)
    return _Known(at=datetime.fromisoformat(values["at"]), said=Instance(**values["said"]))


def _as_said(usual: Network, said: Instance) -> Network:
    """The usual limits, with those that the server tells in their place."""
    pictures = replace(
        usual.pictures,
        at_most=said.max_media_attachments or usual.pictures.at_most,
        max_bytes=said.image_size_limit or usual.pictures.max_bytes,
        max_pixels=said.image_matrix_limit or usual.pictures.max_pixels,
    )
    text = usual.text
    if said.max_characters:
        text = (replace(usual.text[0], at_most=said.max_characters), *usual.text[1:])
    alt = usual.alt
    if said.description_limit:
        alt = TextLimit(at_most=said.description_limit, counted="graphemes")
    return replace(usual, text=text, alt=alt, pictures=pictures)
