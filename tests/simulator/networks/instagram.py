"""https://developers.facebook.com/docs/instagram-platform/content-publishing, as read in November 2026."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import ClassVar

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks import graph
from tests.simulator.networks.graph import failed
from tests.simulator.networks.network import Network, Posted

ACCOUNT = "17841405822304914"
LONGEST_CAPTION = 2200
MOST_HASHTAGS = 30
MOST_PICTURES = 10


class Instagram(Network):
    """One professional account."""

    name = "instagram"
    creates = r"^POST /v[\d.]+/\d+/media_publish$"
    words: ClassVar = graph.WORDS

    def __init__(self) -> None:
        super().__init__()
        self.keys = graph.Keys()
        self.containers = graph.Containers()
        self.used, self.total = 0, 50  # posts in 24 hours

    def answer(self, request: Request) -> Reply:
        key, place = graph.key_of(request), graph.place_of(request).removeprefix(f"/{ACCOUNT}/")
        if not self.keys.open(key):
            return self.words["unauthorized"]
        object_ = re.fullmatch(r"/(\d+)", place)
        match request.method, place:
            case "GET", "/refresh_access_token":
                return self.keys.renew(key)
            case "POST", "media":
                return self._make(graph.form_of(request))
            case "POST", "media_publish":
                return self._publish(graph.form_of(request)["creation_id"])
            case "GET", "media":
                return self._list(graph.asked_of(request))
            case "GET", "content_publishing_limit":
                used, config = graph.quota(self.used, self.total)
                return reply(200, {"data": [{"quota_usage": used, "config": config}]})
            case "GET", _ if object_ and object_[1] in self.posts:
                return reply(200, _shown(self.posts[object_[1]]))
            case "GET", _ if object_:
                return self.containers.look(object_[1], state="status_code", why="status")
        return graph.NOT_THERE

    def _make(self, told: dict[str, str]) -> Reply:
        caption = told.get("caption", "")
        if len(caption.encode("utf-16-le")) // 2 > LONGEST_CAPTION:
            return failed(36004, "The caption was too long.", 2207010)
        if len(re.findall(r"#\w+", caption)) > MOST_HASHTAGS:
            return failed(100, "The caption has too many hashtags.")
        if told.get("media_type") == "CAROUSEL":
            if self.containers.items(told, at_most=MOST_PICTURES) is None:
                return failed(100, "A carousel needs two to ten children that are ready.", 2207028)
            return self.containers.make(told)
        if not told["image_url"].startswith("https://") or not told["image_url"].endswith(".jpg"):
            return failed(36001, "The image format is not supported.", 2207005)
        if len(told.get("alt_text", "")) > graph.LONGEST_ALT:
            return failed(100, "Param alt_text must be at most 1000 characters long.")
        return self.containers.make(told)

    def _publish(self, id_: str) -> Reply:
        if self.used >= self.total:
            said = "You reached maximum number of posts that is allowed to be published."
            return failed(9, said, 2207042)
        container = self.containers.take(id_)
        if container is None:
            return graph.NOT_READY
        self.used += 1
        posted = Posted(
            id=str(17_990_000 + len(self.taken)),
            text=container.told.get("caption", ""),
            pictures=self.containers.pictures(container),
            more={"at": datetime.now(UTC)},
        )
        self.show(posted)
        return reply(200, {"id": posted.id})

    def _list(self, asked: dict[str, str]) -> Reply:
        since = graph.since(asked)
        newest = [one for one in reversed(self.posts.values()) if one.more["at"] >= since]
        return reply(200, {"data": [_shown(one) for one in newest[: int(asked["limit"])]]})


def _shown(one: Posted) -> dict[str, str]:
    """https://developers.facebook.com/docs/instagram-platform/reference/instagram-media"""
    return {
        "id": one.id,
        "caption": one.text,
        "timestamp": graph.shown_at(one.more["at"]),
        "permalink": f"https://www.instagram.com/p/C{one.id}/",
    }
