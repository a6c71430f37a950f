"""https://developers.facebook.com/docs/pages-api/posts and …/reference/page/photos, as of November 2026."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks import graph
from tests.simulator.networks.graph import failed
from tests.simulator.networks.network import Network, Posted, parts_of

PAGE = "104857600"
LONGEST_TEXT = 63_206
LARGEST_PHOTO = 10_000_000  # bytes
KEPT = timedelta(hours=24)  # an unpublished photo


class Facebook(Network):
    """One page."""

    name = "facebook"
    creates = r"^POST /v[\d.]+/\d+/feed$"
    words: ClassVar = graph.WORDS

    def __init__(self) -> None:
        super().__init__()
        self.keys = graph.Keys()
        self.photos: dict[str, tuple[bytes, str, datetime]] = {}
        self.may_delete = True

    def answer(self, request: Request) -> Reply:
        place = graph.place_of(request).removeprefix(f"/{PAGE}/")
        if not self.keys.open(graph.key_of(request)):
            return self.words["unauthorized"]
        post = re.fullmatch(r"/(\d+_\d+)", place)
        match request.method, place:
            case "POST", "photos":
                return self._upload(parts_of(request))
            case "POST", "feed":
                return self._create(orjson.loads(request.body))
            case "GET", "published_posts":
                return self._list(graph.asked_of(request))
            case "GET", _ if post and post[1] in self.posts:
                return reply(200, _shown(self.posts[post[1]]))
            case "POST", _ if post and post[1] in self.posts:
                self.posts[post[1]].text = orjson.loads(request.body)["message"]
                return reply(200, {"success": True})
            case "DELETE", _ if post and post[1] in self.posts and self.may_delete:
                del self.posts[post[1]]
                return reply(200, {"success": True})
        return graph.NOT_THERE

    def _upload(self, parts: dict[str, bytes]) -> Reply:
        if parts["published"] != b"false":
            raise ValueError("a photo of its own")
        source = parts["source"]
        if not source.startswith((b"\xff\xd8", b"\x89PNG")) or len(source) > LARGEST_PHOTO:
            return failed(324, "(#324) Missing or invalid image file", 1366046)
        alt = parts.get("alt_text_custom", b"").decode()
        if len(alt) > graph.LONGEST_ALT:
            return failed(100, "(#100) Param alt_text_custom is too long")
        id_ = str(122_000 + len(self.photos))
        self.photos[id_] = (source, alt, datetime.now(UTC))
        return reply(200, {"id": id_})

    def _create(self, told: Any) -> Reply:
        message = told["message"]
        photos = [one["media_fbid"] for one in told.get("attached_media", ())]
        if len(message.encode("utf-16-le")) // 2 > LONGEST_TEXT:
            return failed(100, "(#100) Param message is too long")
        if any(self._is_gone(id_) for id_ in photos):
            return failed(100, "(#100) Invalid parameter: attached_media", 1366051)
        if any(one.text == message for one in self.posts.values()):
            return failed(506, "(#506) Duplicate status message")
        posted = Posted(
            id=f"{PAGE}_{900 + len(self.taken)}",
            text=message,
            pictures=[self.photos[id_][:2] for id_ in photos],
            link=told.get("link"),
            more={"at": datetime.now(UTC)},
        )
        self.show(posted)
        return reply(200, {"id": posted.id})

    def _is_gone(self, id_: str) -> bool:
        return id_ not in self.photos or datetime.now(UTC) - self.photos[id_][2] > KEPT

    def _list(self, asked: dict[str, str]) -> Reply:
        since, most = graph.since(asked), int(asked["limit"])
        if most > 100:
            return failed(100, "(#100) limit must be at most 100")
        newest = [one for one in reversed(self.posts.values()) if one.more["at"] >= since]
        first = int(asked.get("after", "0"))
        shown = [_shown(one) for one in newest[first : first + most]]
        paging: dict[str, Any] = {"cursors": {"before": str(first), "after": str(first + most)}}
        if len(newest) > first + most:
            paging["next"] = "https://graph.facebook.com/…?access_token=a-key"
        return reply(200, {"data": shown} | ({"paging": paging} if shown else {}))


def _shown(one: Posted) -> dict[str, str]:
    """https://developers.facebook.com/docs/graph-api/reference/pagepost"""
    return {
        "id": one.id,
        "message": one.text,
        "created_time": graph.shown_at(one.more["at"]),
        "permalink_url": f"https://www.facebook.com/{one.id.replace('_', '/posts/')}",
    }
