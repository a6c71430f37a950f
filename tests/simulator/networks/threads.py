"""https://developers.facebook.com/docs/threads: posts, reply management, troubleshooting, November 2025."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar

import regex

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks import graph
from tests.simulator.networks.graph import failed
from tests.simulator.networks.network import Network, Posted

ACCOUNT = "31415926535"
LONGEST_TEXT = 500
MOST_LINKS = 5
MOST_PICTURES = 20


class Threads(Network):
    """One account."""

    name = "threads"
    creates = r"^POST /v1.0/\d+/threads_publish$"
    words: ClassVar = graph.WORDS

    def __init__(self) -> None:
        super().__init__()
        self.keys = graph.Keys()
        self.containers = graph.Containers()
        self.may_delete = True
        self.used, self.total = 0, 250  # posts in 24 hours
        self.replied, self.replies = 0, 1000
        self.deleted, self.deletes = 0, 100

    def answer(self, request: Request) -> Reply:
        key, place = graph.key_of(request), graph.place_of(request).removeprefix(f"/{ACCOUNT}/")
        if not self.keys.open(key):
            return self.words["unauthorized"]
        object_ = re.fullmatch(r"/(\d+)", place)
        match request.method, place:
            case "GET", "/refresh_access_token":
                return self.keys.renew(key)
            case "POST", "threads":
                return self._make(graph.form_of(request))
            case "POST", "threads_publish":
                return self._publish(graph.form_of(request)["creation_id"])
            case "GET", "threads" | "replies":
                return self._list(graph.asked_of(request), are_replies=place == "replies")
            case "GET", "threads_publishing_limit":
                return self._quotas()
            case "GET", _ if object_ and object_[1] in self.posts:
                return reply(200, _shown(self.posts[object_[1]]))
            case "GET", _ if object_:
                return self.containers.look(object_[1], state="status", why="error_message")
            case "DELETE", _ if object_:
                return self._delete(object_[1])
        return graph.NOT_THERE

    def _make(self, told: dict[str, str]) -> Reply:
        text = told.get("text", "")
        if _length(text) > LONGEST_TEXT:
            return failed(100, "Param text must be at most 500 characters long.")
        if len(set(re.findall(r"https?://\S+", text))) > MOST_LINKS:
            return failed("THREADS_API__LINK_LIMIT_EXCEEDED", "The post has too many links.")
        if len(told.get("alt_text", "")) > graph.LONGEST_ALT:
            return failed(100, "Param alt_text must be at most 1000 characters long.")
        match told["media_type"]:
            case "TEXT" if not text:
                return failed(100, "The parameter text is required.")
            case "IMAGE" if not told["image_url"].startswith("https://"):
                return failed(100, "Param image_url is not a valid URL.")
            case "CAROUSEL" if self.containers.items(told, at_most=MOST_PICTURES) is None:
                return failed(100, "A carousel needs two to twenty children that are ready.")
        return self.containers.make(told)

    def _publish(self, id_: str) -> Reply:
        container = self.containers.take(id_)
        if container is None:
            return graph.NOT_READY
        above = container.told.get("reply_to_id")
        self.used, self.replied = self.used + (above is None), self.replied + (above is not None)
        posted = Posted(
            id=str(18_050_000 + len(self.taken)),
            text=container.told.get("text", ""),
            pictures=self.containers.pictures(container),
            answers=above if above in self.posts else None,
            more={"at": datetime.now(UTC), "is_reply": above is not None},
        )
        self.show(posted)
        return reply(200, {"id": posted.id})

    def _list(self, asked: dict[str, str], *, are_replies: bool) -> Reply:
        since = graph.since(asked)
        newest = [
            _shown(one)
            for one in reversed(self.posts.values())
            if one.more["at"] >= since and one.more["is_reply"] is are_replies
        ]
        return reply(200, {"data": newest[: int(asked["limit"])]})

    def _quotas(self) -> Reply:
        told: dict[str, Any] = {}
        told["quota_usage"], told["config"] = graph.quota(self.used, self.total)
        told["reply_quota_usage"], told["reply_config"] = graph.quota(self.replied, self.replies)
        return reply(200, {"data": [told]})

    def _delete(self, id_: str) -> Reply:
        if self.deleted >= self.deletes:
            return failed(4, "(#4) Application request limit reached")
        if id_ not in self.posts or not self.may_delete:
            return graph.NOT_THERE
        self.deleted += 1
        del self.posts[id_]
        return reply(200, {"success": True, "deleted_id": id_})


def _length(text: str) -> int:
    """Emoji count as the bytes of their UTF-8: docs/threads/overview"""
    emoji = regex.findall(r"\p{Extended_Pictographic}|\p{Emoji_Modifier}", text)
    return len(text) + sum(len(one.encode()) - len(one) for one in emoji)


def _shown(one: Posted) -> dict[str, str]:
    """https://developers.facebook.com/docs/threads/threads-media"""
    return {
        "id": one.id,
        "text": one.text,
        "timestamp": graph.shown_at(one.more["at"]),
        "permalink": f"https://www.threads.com/@news/post/D{one.id}",
    }
