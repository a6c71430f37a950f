"""One post through its network: published, answered, changed or taken back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from distributor.errors import Refused, TryLater, Unclear
from distributor.model import Batch, Post, Receipt
from distributor.providers.protocol import Deleting, Editing, FindingPosts, Media, SocialCalls


class Notes:
    """A provider's memory of one post, kept in its batch."""

    def __init__(self, batch: Batch, keep: Callable[[Mapping[str, Any]], Awaitable[bool]]) -> None:
        self._known = dict(batch.kept)
        self._keep = keep

    @property
    def known(self) -> Mapping[str, Any]:
        return MappingProxyType(self._known)

    async def keep(self, **values: Any) -> None:
        if not await self._keep(self._known | values):
            raise TryLater("its lease ran out during the call, and others took it over", after=0)
        self._known |= values


async def perform(calls: SocialCalls, batch: Batch, post: Post, *, media: Media, memory: Notes) -> Receipt:
    """Do with *post* what its action says; raises as `SocialCalls.send` does."""
    if post.action == "edit":
        return await _edit(calls, post, media=media, memory=memory)
    if post.action in ("delete", "repost"):
        await _delete(calls, post)
    if post.action == "delete":
        assert post.of
        return post.of
    return await calls.send(batch, post, media=media, memory=memory)


async def find(calls: SocialCalls, batch: Batch, post: Post) -> Receipt | None:
    """What a network knows of a post to which no answer came."""
    assert isinstance(calls, FindingPosts)
    return await calls.find(batch, post, memory=Notes(batch, _nothing_more))


async def _edit(calls: SocialCalls, post: Post, *, media: Media, memory: Notes) -> Receipt:
    if not isinstance(calls, Editing):
        raise Refused("this network has no edits")
    assert post.of
    try:
        return await calls.edit(post.of, post, media=media, memory=memory)
    except Unclear as error:  # done twice is done once
        raise TryLater(str(error)) from error


async def _delete(calls: SocialCalls, post: Post) -> None:
    if not isinstance(calls, Deleting):
        raise Refused("this network lets no program delete")
    assert post.of
    try:
        await calls.delete(post.of)
    except Unclear as error:
        raise TryLater(str(error)) from error


async def _nothing_more(values: Mapping[str, Any]) -> bool:
    return False
