"""What the simulated networks have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any, ClassVar

from tests.simulator.calls import Reply, Request


@dataclass(kw_only=True)
class Posted:
    """One post as its readers see it."""

    id: str
    text: str
    pictures: list[tuple[bytes, str]] = field(default_factory=list)  # bytes and alternative text
    link: str | None = None  # where its card leads
    card: Mapping[str, Any] = field(default_factory=dict)  # what the card says
    answers: str | None = None  # id of the post above it
    language: str | None = None
    more: dict[str, Any] = field(default_factory=dict)  # whatever else the network keeps


class Network:
    """One account on a network: what can be seen there, and what its API answers."""

    name: ClassVar[str]
    creates: ClassVar[str]  # a pattern of "METHOD /path" of the calls that make a post visible
    words: ClassVar[Mapping[str, Reply]]  # busy (429), quota, unauthorized, unknown: as it says them

    def __init__(self) -> None:
        self.posts: dict[str, Posted] = {}  # those that can be seen, by id, in their order
        self.taken: list[str] = []  # the first line of every post that was ever made visible

    def answer(self, request: Request) -> Reply:
        """What it says; a post that it takes is in `posts` by then.

        Raises:
            AttributeError, LookupError, TypeError, ValueError: it cannot read the request.
        """
        raise NotImplementedError

    def show(self, post: Posted) -> None:
        """Make a post visible."""
        self.posts[post.id] = post
        self.taken.append(post.text.partition("\n")[0])

    def state(self) -> dict[str, Any]:
        """What can be seen, and what ever could: first lines, in their order."""
        return {
            "posts": [
                {"id": one.id, "text": one.text, "answers": one.answers, "pictures": len(one.pictures)}
                for one in self.posts.values()
            ],
            "taken": self.taken,
        }

    def makes_visible(self, method: str, path: str) -> bool:
        return re.search(self.creates, f"{method} {path}") is not None


def parts_of(request: Request) -> dict[str, bytes]:
    """The parts of a multipart/form-data request (RFC 7578), by name."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    found: dict[str, bytes] = {}
    for part in message_from_bytes(head + request.body, policy=policy.default).iter_parts():
        name = part.get_param("name", header="content-disposition")
        found[str(name)] = bytes(part.get_payload(decode=True))
    return found
