"""https://docs.joinmastodon.org/methods/statuses/ and …/media/, as read in August 2026."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import orjson

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted, parts_of


class Mastodon(Network):
    """One account on one server."""

    name = "mastodon"
    creates = r"^POST /api/v1/statuses$"
    words: ClassVar = {
        "busy": reply(429, {"error": "Too many requests"}, **{"Retry-After": "5"}),
        "quota": reply(429, {"error": "Too many requests"}, **{"Retry-After": "3600"}),
        "unauthorized": reply(401, {"error": "The access token is invalid"}),
        "unknown": reply(418, {"error": "a surprise"}),
    }

    def __init__(self) -> None:
        super().__init__()
        self._pictures: dict[str, tuple[bytes, str]] = {}
        self._by_key: dict[str, str] = {}  # Idempotency-Key -> id

    def answer(self, request: Request) -> Reply:
        status = re.search(r"/api/v1/statuses/(\d+)$", request.path)
        match request.method, request.path:
            case "POST", "/api/v2/media":
                return self._upload(request)
            case "POST", "/api/v1/statuses":
                return self._create(request)
            case "GET", "/api/v1/accounts/verify_credentials":
                return reply(200, {"id": "1", "username": "news"})
            case "GET", "/api/v1/accounts/1/statuses":
                limit = int(dict(parse_qsl(request.query)).get("limit", 20))
                newest = [self._shown(one) for one in reversed(self.posts.values())]
                return reply(200, newest[: min(limit, 40)])
            case "PUT", _ if status:
                return self._edit(status[1], orjson.loads(request.body))
            case "DELETE", _ if status:
                gone = self.posts.pop(status[1], None)
                return reply(200, self._shown(gone)) if gone else reply(404, {"error": "Record not found"})
        return reply(404, {"error": "Not Found"})

    def _upload(self, request: Request) -> Reply:
        parts = parts_of(request)
        id_ = str(len(self._pictures) + 1)
        self._pictures[id_] = (parts["file"], parts["description"].decode())
        return reply(200, {"id": id_, "type": "image"})

    def _create(self, request: Request) -> Reply:
        told = orjson.loads(request.body)
        key = request.headers.get("idempotency-key", "")
        if key in self._by_key:
            return reply(200, self._shown(self.posts[self._by_key[key]]))
        if not told["status"] and not told.get("media_ids"):
            return reply(422, {"error": "Validation failed: Text can't be blank"})
        posted = Posted(
            id=str(110_000 + len(self.taken)),
            text=told["status"],
            pictures=[self._pictures[id_] for id_ in told.get("media_ids", ())],
            answers=told.get("in_reply_to_id"),
            language=told.get("language"),
            more={"at": datetime.now(UTC).isoformat(), "visibility": told.get("visibility")},
        )
        self.show(posted)
        if key:
            self._by_key[key] = posted.id
        return reply(200, self._shown(posted))

    def _edit(self, id_: str, told: Any) -> Reply:
        if id_ not in self.posts:
            return reply(404, {"error": "Record not found"})
        self.posts[id_].text = told["status"]
        return reply(200, self._shown(self.posts[id_]))

    def _shown(self, one: Posted) -> dict[str, Any]:
        """https://docs.joinmastodon.org/entities/Status/"""
        lines = escape(one.text, quote=False).replace("\n\n", "</p><p>").replace("\n", "<br />")
        linked = re.sub(
            r"https?://(\S+)",
            r'<a href="\g<0>"><span class="invisible">https://</span><span>\1</span></a>',
            lines,
        )
        return {
            "id": one.id,
            "created_at": one.more["at"],
            "url": f"https://social.example/@news/{one.id}",
            "content": f"<p>{linked}</p>",
        }
