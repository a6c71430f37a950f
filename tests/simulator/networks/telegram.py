"""https://core.telegram.org/bots/api, as python-telegram-bot at 1183d40 has its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, ClassVar

import orjson

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted, parts_of

CHAT = -1001234567890
LONGEST_TEXT, LONGEST_CAPTION = 4096, 1024  # UTF-16 code units, after entities are parsed
LARGEST_PHOTO = 10_000_000  # bytes
KEPT = timedelta(hours=48)  # after which only an administrator deletes


def failed(code: int, description: str, **parameters: int) -> Reply:
    more = {"parameters": parameters} if parameters else {}
    return reply(code, {"ok": False, "error_code": code, "description": description, **more})


class Telegram(Network):
    """One bot in one channel."""

    name = "telegram"
    creates = r"^POST /bot[^/]+/send\w+$"
    words: ClassVar = {
        "busy": failed(429, "Too Many Requests: retry after 5", retry_after=5),
        "quota": failed(429, "Too Many Requests: retry after 3600", retry_after=3600),
        "unauthorized": failed(401, "Unauthorized"),
        "unknown": failed(418, "a surprise"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.has_admin_rights = True
        self._next = 100

    def answer(self, request: Request) -> Reply:
        called = re.fullmatch(r"/bot[^/]+/(\w+)", request.path)
        if request.method != "POST" or called is None:
            return failed(404, "Not Found")
        told, files = _read(request)
        if told.get("chat_id") not in ("@news", CHAT):
            return failed(400, "Bad Request: chat not found")
        match called[1]:
            case "sendMessage" | "sendPhoto" | "sendMediaGroup":
                return self._send(called[1], told, files)
            case "editMessageText" | "editMessageCaption":
                return self._edit(called[1], told)
            case "deleteMessage":
                return self._delete(told["message_id"])
        return failed(404, "Not Found: method not found")

    def _send(self, method: str, told: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply:
        captioned = told["media"][0] if "media" in told else told
        words = _parsed(captioned, "text" if method == "sendMessage" else "caption")
        pictures = _pictures(method, told, files)
        if trouble := _too_much(method, words, pictures):
            return trouble
        above = told.get("reply_parameters", {}).get("message_id")
        posted = Posted(
            id=str(self._next),
            text=words,
            pictures=[(data, "") for data in pictures],
            answers=str(above) if str(above) in self.posts else None,
            more={"at": datetime.now(UTC), "is_captioned": method != "sendMessage"},
        )
        ids = range(self._next, self._next + max(1, len(pictures)))
        self._next = ids.stop
        self.show(posted)
        shown = [_message(id_) for id_ in ids]
        return reply(200, {"ok": True, "result": shown if method == "sendMediaGroup" else shown[0]})

    def _edit(self, method: str, told: Mapping[str, Any]) -> Reply:
        posted = self.posts.get(str(told["message_id"]))
        is_captioned = method == "editMessageCaption"
        if posted is None:
            return failed(400, "Bad Request: message to edit not found")
        if not is_captioned and posted.more["is_captioned"]:
            return failed(400, "Bad Request: there is no text in the message to edit")
        words = _parsed(told, "caption" if is_captioned else "text")
        if trouble := _too_much("" if is_captioned else "sendMessage", words, []):
            return trouble
        if words == posted.text:
            return failed(
                400, "Bad Request: message is not modified: specified new message content is the same"
            )
        posted.text = words
        return reply(200, {"ok": True, "result": _message(int(posted.id))})

    def _delete(self, id_: int) -> Reply:
        posted = self.posts.get(str(id_))
        if posted is None:
            return failed(400, "Bad Request: message to delete not found")
        if not self.has_admin_rights and datetime.now(UTC) - posted.more["at"] > KEPT:
            return failed(400, "Bad Request: message can't be deleted")
        del self.posts[str(id_)]
        return reply(200, {"ok": True, "result": True})


def _read(request: Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The parameters, and the files among them."""
    if request.headers["content-type"].startswith("application/json"):
        return orjson.loads(request.body), {}
    parts = parts_of(request)
    structured = ("media", "reply_parameters")
    told = {name: orjson.loads(parts[name]) for name in structured if name in parts}
    words = ("chat_id", "caption", "parse_mode")
    told |= {name: parts[name].decode() for name in words if name in parts}
    return told, {name: data for name, data in parts.items() if name not in told}


def _parsed(told: Mapping[str, Any], field: str) -> str:
    """The words as readers see them."""
    words = str(told.get(field, ""))
    return unescape(words) if told.get("parse_mode") == "HTML" else words


def _pictures(method: str, told: Mapping[str, Any], files: Mapping[str, bytes]) -> list[bytes]:
    if method == "sendPhoto":
        return [files["photo"]]
    return [files[one["media"].removeprefix("attach://")] for one in told.get("media", ())]


def _too_much(method: str, words: str, pictures: list[bytes]) -> Reply | None:
    units = len(words.encode("utf-16-le")) // 2
    if method == "sendMessage" and not words:
        return failed(400, "Bad Request: message text is empty")
    if method == "sendMessage" and units > LONGEST_TEXT:
        return failed(400, "Bad Request: message is too long")
    if method != "sendMessage" and units > LONGEST_CAPTION:
        return failed(400, "Bad Request: message caption is too long")
    if method == "sendMediaGroup" and not 2 <= len(pictures) <= 10:
        return failed(400, "Bad Request: wrong number of media in the group")
    if any(len(data) > LARGEST_PHOTO for data in pictures):
        return failed(413, "Request Entity Too Large")
    return None


def _message(id_: int) -> dict[str, Any]:
    return {"message_id": id_, "chat": {"id": CHAT, "type": "channel", "username": "news"}}
