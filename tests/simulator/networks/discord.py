"""https://docs.discord.com/developers/resources/message and …/webhook, by discord-api-docs at c98d64b."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import orjson

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted, parts_of

EPOCH = 1_420_070_400_000  # milliseconds
GUILD, CHANNEL, BOT = "290926798626357999", "381870553235193857", "80351110224678912"
LARGEST_FILE = 10 * 1024 * 1024
WEBHOOK = r"/api/v10/webhooks/\d+/[\w-]+"
MESSAGES = r"/api/v10/channels/\w+/messages"


def failed(status: int, code: int, message: str) -> Reply:
    return reply(status, {"code": code, "message": message})


def limited(seconds: float) -> Reply:
    told = {"message": "You are being rate limited.", "retry_after": seconds, "global": False}
    return reply(429, told, **{"Retry-After": str(int(seconds))})


class Discord(Network):
    """One channel, with a bot and a webhook."""

    name = "discord"
    creates = rf"^POST ({WEBHOOK}|{MESSAGES})$"
    words: ClassVar = {
        "busy": limited(5.25),
        "quota": limited(3600.0),
        "unauthorized": reply(401, {"message": "401: Unauthorized", "code": 0}),
        "unknown": failed(418, 99999, "a surprise"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.shows_history = True  # to the bot: the permission Read Message History
        self.last_message_id: str | None = None
        self._by_nonce: dict[str, str] = {}

    def answer(self, request: Request) -> Reply:
        asked = dict(parse_qsl(request.query))
        message = re.fullmatch(rf"(?:{WEBHOOK}/messages|{MESSAGES})/(?P<id>\d+)", request.path)
        match request.method, request.path:
            case "GET", "/api/v10/users/@me":
                return reply(200, {"id": BOT, "username": "courier", "bot": True})
            case "GET", path if re.fullmatch(WEBHOOK, path):
                return reply(200, {"id": "223704706495545344", "channel_id": CHANNEL, "guild_id": GUILD})
            case "GET", path if re.fullmatch(r"/api/v10/channels/\w+", path):
                told = {"id": CHANNEL, "guild_id": GUILD, "last_message_id": self.last_message_id}
                return reply(200, told)
            case "GET", path if re.fullmatch(MESSAGES, path):
                return reply(200, self._history(asked))
            case "POST", path if re.fullmatch(WEBHOOK, path):
                made = self._create(request, nonce=None)
                return made if asked.get("wait") == "true" else Reply(status=204)
            case "POST", path if re.fullmatch(MESSAGES, path):
                told, _ = _read(request)
                return self._create(request, nonce=told.get("nonce") if told.get("enforce_nonce") else None)
            case "PATCH", _ if message:
                return self._edit(message["id"], request)
            case "DELETE", _ if message:
                gone = self.posts.pop(message["id"], None)
                return Reply(status=204) if gone else failed(404, 10008, "Unknown Message")
        return reply(404, {"message": "404: Not Found", "code": 0})

    def _create(self, request: Request, *, nonce: str | None) -> Reply:
        told, files = _read(request)
        if nonce is not None and len(nonce) > 25:
            return failed(400, 50035, "Invalid Form Body")
        if nonce in self._by_nonce:
            return reply(200, {**self._shown(self.posts[self._by_nonce[nonce]]), "nonce": nonce})
        if trouble := _too_much(told, files):
            return trouble
        now = int(datetime.now(UTC).timestamp() * 1000)
        posted = Posted(id=str(((now - EPOCH) << 22) + len(self.taken)), text="")
        _fill(posted, told, files)
        posted.more["author"] = BOT if "/channels/" in request.path else "223704706495545344"
        self.show(posted)
        self.last_message_id = posted.id
        if nonce:
            self._by_nonce[nonce] = posted.id
        shown = self._shown(posted)
        return reply(200, {**shown, "nonce": nonce} if nonce else shown)

    def _edit(self, id_: str, request: Request) -> Reply:
        told, files = _read(request)
        if id_ not in self.posts:
            return failed(404, 10008, "Unknown Message")
        if trouble := _too_much(told, files):
            return trouble
        _fill(self.posts[id_], told, files)
        return reply(200, self._shown(self.posts[id_]))

    def _history(self, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        """The newest first; after an id, those that follow it first."""
        limit, after = int(asked.get("limit", 50)), int(asked.get("after", 0))
        found = [one for one in self.posts.values() if int(one.id) > after and self.shows_history]
        found.sort(key=lambda one: int(one.id))
        chosen = found[:limit] if "after" in asked else found[-limit:]
        return [self._shown(one) for one in reversed(chosen)]

    def _shown(self, one: Posted) -> dict[str, Any]:
        """A message; of its nonce nothing is kept."""
        return {
            "id": one.id,
            "channel_id": CHANNEL,
            "author": {"id": one.more["author"]},
            "content": one.more["content"],
            "embeds": one.more["embeds"],
        }


def _read(request: Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    if request.headers.get("content-type", "").startswith("application/json"):
        return orjson.loads(request.body), {}
    parts = parts_of(request)
    return orjson.loads(parts.pop("payload_json")), parts


def _too_much(told: Mapping[str, Any], files: Mapping[str, bytes]) -> Reply | None:
    """What of a message is over a limit: https://docs.discord.com/developers/resources/message#embed-limits"""
    embeds, attached = told.get("embeds", []), told.get("attachments", [])
    texts = [(one.get("title", ""), one.get("description", "")) for one in embeds]
    if not (told.get("content") or embeds or files):
        return failed(400, 50006, "Cannot send an empty message")
    if any(len(data) > LARGEST_FILE for data in files.values()):
        return failed(413, 40005, "Request entity too large")
    if (
        _units(told.get("content", "")) > 2000
        or len(embeds) > 10
        or len(files) > 10
        or any(_units(title) > 256 or _units(words) > 4096 for title, words in texts)
        or sum(_units(title) + _units(words) for title, words in texts) > 6000
        or any(_units(one.get("description", "")) > 1024 or "file" in one for one in attached)
        or {f"files[{one['id']}]" for one in attached} != set(files)
    ):
        return failed(400, 50035, "Invalid Form Body")
    return None


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _fill(posted: Posted, told: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Let *posted* say what it was told; its readers see no escapes."""
    embeds = told.get("embeds", [])
    content = told.get("content", "")
    card = embeds[0] if embeds else {}
    posted.text = re.sub(r"\\(\W)", r"\1", content or card.get("title", ""))
    posted.link = card.get("url")
    posted.card = card
    posted.pictures = [
        (files[f"files[{one['id']}]"], one.get("description", "")) for one in told.get("attachments", [])
    ]
    posted.more |= {
        "content": content,
        "embeds": embeds,
        "mentions": told.get("allowed_mentions"),
        "names": [one["filename"] for one in told.get("attachments", [])],
    }
