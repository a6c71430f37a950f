"""What every network's post has in common: pictures first, then the one call that makes it visible."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from distributor.errors import TryLater, Unclear
from distributor.model import Picture, Post, Receipt
from distributor.providers.protocol import Memory


@contextmanager
def preparing() -> Iterator[None]:
    """Around calls after which nobody can see anything yet: silence there only means trying again.

    Raises:
        TryLater: instead of Unclear.
    """
    try:
        yield
    except Unclear as error:
        raise TryLater(str(error)) from error


async def uploaded(memory: Memory, picture: Picture, upload: Callable[[], Awaitable[Any]]) -> Any:
    """What the network calls a picture (JSON); uploaded once, whatever becomes of the calls after it."""
    name = f"picture {picture.hash}"
    if memory.known.get(name) is None:
        with preparing():
            found = await upload()
        await memory.keep(**{name: found})
    return memory.known[name]


async def note_standing(memory: Memory, post: Post, parts: Sequence[Any], receipt: Receipt) -> None:
    """Note where the first *parts* of a thread stand, for whoever has to do with it before it is whole."""
    if len(parts) <= len(post.more):
        await memory.keep(standing={**asdict(receipt), "count": len(parts)})


def filled(payload: Any, pictures: Mapping[str, Any]) -> Any:
    """*payload* with what the network calls each picture (hash -> JSON) for `{"$picture": HASH}`."""
    if isinstance(payload, Mapping):
        if payload.keys() == {"$picture"}:
            return pictures[payload["$picture"]]
        return {name: filled(value, pictures) for name, value in payload.items()}
    if isinstance(payload, list | tuple):
        return [filled(value, pictures) for value in payload]
    return payload
