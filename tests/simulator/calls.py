"""The values between the server and the vendors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; `path` begins below the vendor's name."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a request that sends asks for: message by message, in its order."""

    keys: Sequence[str]  # delivery keys
    addresses: Sequence[str]
    request: str  # the call's own key; "-" if it has none
    idempotency: str = ""  # under which the vendor itself knows the call again; "" if it does not

    @property
    def id(self) -> str:
        """The vendor's id of the whole call: always the same for the same call."""
        return f"call-{self.keys[0]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer."""

    status: int = 200
    body: bytes = b""
    type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def reply(status: int, content: Any, **headers: str) -> Reply:
    return Reply(status=status, body=orjson.dumps(content), headers=headers)


def page(status: int) -> Reply:
    """What a gateway says: HTML."""
    return Reply(
        status=status, body=b"<html><body><h1>Bad Gateway</h1></body></html>", type="text/html; charset=utf-8"
    )
