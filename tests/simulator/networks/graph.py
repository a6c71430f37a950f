"""What Meta's networks have in common: https://developers.facebook.com/docs/graph-api/guides/error-handling"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from tests.simulator.calls import Reply, Request, reply

DAY = 86_400  # seconds
LONGEST_ALT = 1000


def failed(
    code: int | str, message: str, subcode: int | None = None, *, status: int = 400, **more: Any
) -> Reply:
    """A failure in Meta's own form."""
    error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    return reply(status, {"error": {**error, **more, "fbtrace_id": "AbCdEfGhIjK"}})


def busy(minutes: int) -> Reply:
    """https://developers.facebook.com/docs/graph-api/overview/rate-limiting"""
    use = {"type": "pages", "call_count": 100, "estimated_time_to_regain_access": minutes}
    said = failed(80001, "(#80001) There have been too many calls to this Page account.")
    usage = orjson.dumps({"1784": [use]}).decode()
    return Reply(status=said.status, body=said.body, headers={"X-Business-Use-Case-Usage": usage})


WORDS: Mapping[str, Reply] = {
    "busy": busy(1),
    "quota": busy(60),
    "unauthorized": failed(
        190, "Error validating access token: Session has expired on Monday.", 463, status=401
    ),
    "unknown": reply(418, {"error": "a surprise"}),
}
NOT_THERE = failed(
    100,
    "Unsupported request. Object with ID '1' does not exist, cannot be loaded due to missing permissions, or "
    "does not support this operation.",
    33,
)


def key_of(request: Request) -> str:
    """The key of a call, which no address may carry."""
    if "access_token" in request.query:
        raise ValueError("a key in an address")
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def place_of(request: Request) -> str:
    """A path without the version before it."""
    return re.sub(r"^/v\d+\.\d+/", "/", request.path)


def form_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def asked_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query))


def shown_at(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def since(asked: Mapping[str, str]) -> datetime:
    return datetime.fromtimestamp(int(asked["since"]), UTC)


@dataclass
class Keys:
    """Keys that last sixty days, and what makes them last longer."""

    ended: set[str] = field(default_factory=set)  # that open nothing any more
    young: set[str] = field(default_factory=set)  # that are not a day old
    renewals: int = 0

    def open(self, key: str) -> bool:
        return bool(key) and key not in self.ended

    def renew(self, key: str) -> Reply:
        """https://developers.facebook.com/docs/threads/get-started/long-lived-tokens"""
        if key in self.young:
            return failed(100, "The access token is not eligible for refresh.")
        self.renewals += 1
        return reply(
            200,
            {"access_token": f"renewed-key-{self.renewals}", "token_type": "bearer", "expires_in": 5_183_944},
        )


@dataclass
class Container:
    """What will be published, once."""

    told: Mapping[str, str]
    looks: int  # for so many it is being processed
    state: str = "IN_PROGRESS"
    why: str = ""

    @property
    def is_item(self) -> bool:
        return self.told.get("is_carousel_item") == "true"


@dataclass
class Containers:
    """https://developers.facebook.com/docs/threads/troubleshooting, and Instagram's likewise."""

    looks: int = 1
    unreachable: set[str] = field(default_factory=set)  # addresses of pictures
    kept: dict[str, Container] = field(default_factory=dict)

    def make(self, told: Mapping[str, str]) -> Reply:
        if told.get("image_url") in self.unreachable:
            return failed(
                9004,
                "Only photo or video can be accepted as media type.",
                2207052,
                is_transient=False,
                error_user_msg=f"The media could not be fetched from this URI: {told['image_url']}",
            )
        id_ = str(17_889_000 + len(self.kept))
        self.kept[id_] = Container(told, self.looks)
        return reply(200, {"id": id_})

    def look(self, id_: str, *, state: str, why: str) -> Reply:
        container = self.kept.get(id_)
        if container is None:
            return NOT_THERE
        if container.state == "IN_PROGRESS":
            container.looks -= 1
            if container.looks < 0:
                container.state = "FINISHED"
        return reply(
            200,
            {state: container.state, "id": id_} | ({why: container.why} if container.why else {}),
        )

    def items(self, told: Mapping[str, str], *, at_most: int) -> list[Container] | None:
        """The pictures of a carousel; None where it cannot be one."""
        ids = told["children"].split(",")
        items = [self.kept[id_] for id_ in ids if id_ in self.kept]
        is_whole = len(items) == len(ids) and all(one.is_item and one.state == "FINISHED" for one in items)
        return items if is_whole and 2 <= len(items) <= at_most else None

    def take(self, id_: str) -> Container | None:
        """A container for publishing: a second time it is none."""
        container = self.kept.get(id_)
        if container is None or container.state != "FINISHED" or container.is_item:
            return None
        container.state = "PUBLISHED"
        return container

    def pictures(self, container: Container) -> list[tuple[bytes, str]]:
        """Addresses, for Meta fetches them itself, and alternative texts."""
        told = container.told
        items = [self.kept[id_].told for id_ in told["children"].split(",")] if "children" in told else [told]
        return [(one["image_url"].encode(), one.get("alt_text", "")) for one in items if "image_url" in one]


NOT_READY = failed(
    9007,
    "Media ID is not available",
    2207027,
    is_transient=False,
    error_user_msg="The media is not ready for publishing, please wait for a moment",
)


def quota(used: int, total: int) -> tuple[int, dict[str, int]]:
    return used, {"quota_total": total, "quota_duration": DAY}
