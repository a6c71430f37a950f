"""A network in small: its test decides every answer, and sees what can be read there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any

from distributor.app import App
from distributor.delivery.routes import SocialWay
from distributor.errors import Unclear
from distributor.model import Batch, Post, Receipt
from distributor.providers.protocol import FOR_EVER, Memory, SocialLimits
from distributor.providers.social.steps import note_standing

Answering = Callable[[str, str], Exception | None]  # action and text -> what is raised


class Wall:
    """Takes everything, unless told to answer otherwise; `up` has what can be read, by id."""

    def __init__(self, **limits: Any) -> None:
        self.limits = SocialLimits(**limits or {"repeatable_for": FOR_EVER})
        self.up: dict[str, str] = {}
        self.did: list[str] = []
        self.says: Answering = lambda action, text: None
        self.is_silent = False  # it takes posts, and nobody hears of it

    def connected(self, keyring: object) -> AbstractAsyncContextManager[Wall]:
        return nullcontext(self)

    async def send(self, batch: Batch, post: Post, *, media: object, memory: Memory) -> Receipt:
        parts: list[str] = []
        for number, text in enumerate((post.text, *post.more_text)):
            id_ = f"{batch.key}/{number}" if number else batch.key
            if f"part {number}" not in memory.known:
                if f"container {number}" not in memory.known:  # some freeze the words before they show them
                    await memory.keep(**{f"container {number}": text})
                self._heard(post.action, text)
                self.up[id_] = memory.known[f"container {number}"]
                if self.is_silent:
                    raise Unclear("silence")
                await memory.keep(**{f"part {number}": id_})
            parts.append(id_)
            await note_standing(memory, post, parts, self._receipt(parts))
        return self._receipt(parts)

    def _receipt(self, parts: list[str]) -> Receipt:
        kept = {"parts": parts} if len(parts) > 1 else {}
        return Receipt(id=parts[0], url=f"https://wall.example/{parts[0]}", kept=kept)

    async def edit(self, of: Receipt, post: Post, *, media: object, memory: object) -> Receipt:
        self._heard("edit", post.text)
        self.up[of.id] = post.text
        return of

    async def delete(self, of: Receipt) -> None:
        self._heard("delete", of.id)
        for id_ in of.kept.get("parts", [of.id]):
            self.up.pop(id_, None)

    async def find(self, batch: Batch, post: Post, *, memory: object) -> Receipt | None:
        return Receipt(id=batch.key) if batch.key in self.up else None

    def _heard(self, action: str, text: str) -> None:
        if (error := self.says(action, text)) is not None:
            raise error
        self.did.append(f"{action} {text}")


def on(app: App, wall: Wall, name: str = "news outbox") -> Wall:
    """Let the channel "news" post there from now on; *name* is how the ledger calls that."""
    app.routes["news"] = replace(app.routes["news"], ways=(SocialWay(name=name, provider=wall),))
    return wall
