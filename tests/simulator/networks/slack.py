"""https://docs.slack.dev/reference/methods, by slack-ruby/slack-api-ref at f4837c0."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import orjson

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted

CHANNEL = "C0123456789"


def failed(error: str, *, status: int = 200, **headers: str) -> Reply:
    return reply(status, {"ok": False, "error": error}, **headers)


class Slack(Network):
    """One channel, with a bot in it."""

    name = "slack"
    creates = r"^POST /api/chat\.postMessage$"
    words: ClassVar = {
        "busy": failed("ratelimited", status=429, **{"Retry-After": "5"}),
        "quota": failed("ratelimited", status=429, **{"Retry-After": "3600"}),
        "unauthorized": failed("invalid_auth"),
        "unknown": failed("a_surprise"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.has_history = True  # the scope channels:history
        self.unready = 0  # so many messages still find an uploaded file unknown
        self._files: dict[str, bytes | None] = {}  # id -> bytes, once they came
        self._complete: set[str] = set()

    def answer(self, request: Request) -> Reply:
        if request.path.startswith("/upload/v1/"):
            return self._upload(request)
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return failed("not_authed")
        told = orjson.loads(request.body) if request.body else dict(parse_qsl(request.query))
        match request.method, request.path.removeprefix("/api/"):
            case "GET", "files.getUploadURLExternal":
                return self._place(told)
            case "POST", "files.completeUploadExternal":
                return self._share(told)
            case "POST", "chat.postMessage":
                return self._create(told)
            case "POST", "chat.update":
                return self._update(told)
            case "POST", "chat.delete":
                gone = self.posts.pop(told["ts"], None)
                return reply(200, {"ok": True, "ts": told["ts"]}) if gone else failed("message_not_found")
            case "GET", "chat.getPermalink":
                return self._permalink(told)
            case "GET", "conversations.history" | "conversations.replies":
                return self._history(told)
        return failed("unknown_method")

    def _place(self, told: Mapping[str, str]) -> Reply:
        if int(told["length"]) <= 0 or not told["filename"]:
            return failed("invalid_arguments")
        id_ = f"F{len(self._files):09}"
        self._files[id_] = None
        return reply(
            200, {"ok": True, "file_id": id_, "upload_url": f"https://files.slack.com/upload/v1/{id_}"}
        )

    def _upload(self, request: Request) -> Reply:
        """The bytes; whoever shows the token here would show it to another server."""
        id_ = request.path.rpartition("/")[2]
        if id_ not in self._files or "authorization" in request.headers:
            return Reply(status=400, body=b"no", type="text/plain")
        self._files[id_] = request.body
        return Reply(body=f"OK - {len(request.body)}".encode(), type="text/plain")

    def _share(self, told: Mapping[str, Any]) -> Reply:
        ids = [one["id"] for one in told["files"]]
        if any(self._files.get(id_) is None for id_ in ids):
            return failed("file_not_found")
        self._complete.update(ids)
        return reply(200, {"ok": True, "files": [{"id": id_} for id_ in ids]})

    def _create(self, told: Mapping[str, Any]) -> Reply:
        if told["channel"] != CHANNEL:
            return failed("channel_not_found")
        if trouble := self._too_much(told):
            return trouble
        top = told.get("thread_ts")
        ts = f"{max([datetime.now(UTC).timestamp(), *(float(ts) + 1e-6 for ts in self.posts)]):.6f}"
        self.show(
            Posted(
                id=ts,
                text=unescape(told["text"]),
                pictures=self._pictures(told),
                answers=self._thread(top)[-1].id if top in self.posts else None,
                more={"top": top, "metadata": told.get("metadata")},
            )
        )
        return reply(200, {"ok": True, "channel": CHANNEL, "ts": ts, "message": {"ts": ts}})

    def _thread(self, top: str | None) -> list[Posted]:
        """A message and its answers, all of which hang from it."""
        return [one for one in self.posts.values() if top in (one.id, one.more["top"])]

    def _pictures(self, told: Mapping[str, Any]) -> list[tuple[bytes, str]]:
        images = [one for one in told["blocks"] if one["type"] == "image"]
        return [(self._files[one["slack_file"]["id"]] or b"", one["alt_text"]) for one in images]

    def _update(self, told: Mapping[str, Any]) -> Reply:
        if told["ts"] not in self.posts:
            return failed("message_not_found")
        if trouble := self._too_much(told):
            return trouble
        posted = self.posts[told["ts"]]
        posted.text, posted.pictures = unescape(told["text"]), self._pictures(told)
        return reply(200, {"ok": True, "channel": CHANNEL, "ts": posted.id})

    def _too_much(self, told: Mapping[str, Any]) -> Reply | None:
        """What of a message Slack does not take: https://docs.slack.dev/reference/block-kit/blocks"""
        blocks = told.get("blocks", [])
        sections = [one["text"]["text"] for one in blocks if one["type"] == "section"]
        images = [one for one in blocks if one["type"] == "image"]
        if not told.get("text"):
            return failed("no_text")
        if len(told["text"]) > 40_000:
            return failed("msg_too_long")
        if any(not 0 < len(words) <= 3000 for words in sections) or len(blocks) > 50:
            return failed("invalid_blocks")
        if any(not 0 < len(one["alt_text"]) <= 2000 for one in images):
            return failed("invalid_blocks")
        self.unready -= bool(images and self.unready)
        if self.unready or any(one["slack_file"]["id"] not in self._complete for one in images):
            place = "invalid slack file [json-pointer:/blocks/1/slack_file]"
            return reply(200, {"ok": False, "error": "invalid_blocks", "errors": [place]})
        return None

    def _permalink(self, told: Mapping[str, str]) -> Reply:
        if told["message_ts"] not in self.posts:
            return failed("message_not_found")
        place = f"{told['channel']}/p{told['message_ts'].replace('.', '')}"
        return reply(200, {"ok": True, "permalink": f"https://news.slack.com/archives/{place}"})

    def _history(self, told: Mapping[str, str]) -> Reply:
        """The channel's own messages, the newest first; or a thread, the oldest first."""
        if not self.has_history:
            return reply(200, {"ok": False, "error": "missing_scope", "needed": "channels:history"})
        if top := told.get("ts"):
            found = self._thread(top)
        else:
            found = [one for one in reversed(self.posts.values()) if not one.more["top"]]
        found = [one for one in found if float(one.id) >= float(told.get("oldest", 0))]
        start, limit = int(told.get("cursor") or 0), int(told.get("limit", 100))
        following = str(start + limit) if start + limit < len(found) else ""
        with_metadata = told.get("include_all_metadata") == "true"
        messages = [
            {"ts": one.id, **({"metadata": one.more["metadata"]} if with_metadata else {})}
            for one in found[start : start + limit]
        ]
        return reply(200, {"ok": True, "messages": messages, "response_metadata": {"next_cursor": following}})
