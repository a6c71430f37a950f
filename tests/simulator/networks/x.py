"""https://docs.x.com/x-api: posts, media, users, as read in August 2026; errors as developers met them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from time import time
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl

import orjson

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted, parts_of


def problem(status: int, title: str, detail: str, **headers: str) -> Reply:
    told = {"title": title, "detail": detail, "type": "about:blank", "status": status}
    return reply(status, told, **headers)


def _busy(seconds: int) -> Reply:
    headers = {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(int(time()) + seconds)}
    return problem(429, "Too Many Requests", "Too Many Requests", **headers)


class X(Network):
    """One account, whose keys end and are made anew."""

    name = "x"
    creates = r"^POST /2/tweets$"
    words: ClassVar = {
        "busy": _busy(5),
        "quota": _busy(3600),
        "unauthorized": problem(401, "Unauthorized", "Unauthorized"),
        "unknown": reply(418, {"title": "a surprise"}),
    }

    def __init__(self) -> None:
        super().__init__()
        self._pictures: dict[str, tuple[bytes, str]] = {}
        self.ended: set[str] = set()  # keys that open nothing any more
        self.refresh = ""  # the only key that makes new ones; "": the first that comes
        self.renewals = 0

    def answer(self, request: Request) -> Reply:
        if request.path == "/2/oauth2/token":
            return self._renew(dict(parse_qsl(request.body.decode())))
        key = request.headers.get("authorization", "")
        if not key.startswith(("Bearer ", "OAuth ")) or key.removeprefix("Bearer ") in self.ended:
            return self.words["unauthorized"]
        post = re.fullmatch(r"/2/tweets/(\d+)", request.path)
        match request.method, request.path:
            case "POST", "/2/media/upload":
                return self._upload(parts_of(request))
            case "POST", "/2/media/metadata":
                return self._describe(orjson.loads(request.body))
            case "POST", "/2/tweets":
                return self._create(orjson.loads(request.body))
            case "GET", "/2/users/me":
                return reply(200, {"data": {"id": "1", "name": "News", "username": "news"}})
            case "GET", "/2/users/1/tweets":
                return self._timeline(parse_qs(request.query))
            case "DELETE", _ if post:
                if self.posts.pop(post[1], None) is None:
                    return problem(404, "Not Found", "Not Found")
                return reply(200, {"data": {"deleted": True}})
        return problem(404, "Not Found", "Not Found")

    def _renew(self, form: dict[str, str]) -> Reply:
        if self.refresh and form["refresh_token"] != self.refresh:
            said = "Value passed for the token was invalid."
            return reply(400, {"error": "invalid_request", "error_description": said})
        self.renewals += 1
        self.refresh = f"second-key-{self.renewals}"
        made = {"access_token": f"first-key-{self.renewals}", "refresh_token": self.refresh}
        return reply(200, {**made, "token_type": "bearer", "expires_in": 7200})

    def _upload(self, parts: dict[str, bytes]) -> Reply:
        if parts["media_category"] != b"tweet_image":
            raise ValueError("another category")
        if not parts["media"].startswith((b"\xff\xd8", b"\x89PNG")) or len(parts["media"]) > 5_000_000:
            return invalid("media type unrecognized.")
        id_ = str(1_700_000 + len(self._pictures))
        self._pictures[id_] = (parts["media"], "")
        return reply(200, {"data": {"id": id_, "media_key": f"3_{id_}", "expires_after_secs": 86400}})

    def _describe(self, told: Any) -> Reply:
        alt = told["metadata"]["alt_text"]["text"]
        if len(alt) > 1000 or told["id"] not in self._pictures:
            return invalid("alt_text is not valid.")
        self._pictures[told["id"]] = (self._pictures[told["id"]][0], alt)
        return reply(200, {"data": {"id": told["id"], "associated_metadata": {"alt_text": {"text": alt}}}})

    def _create(self, told: Any) -> Reply:
        from twitter_text import parse_tweet  # its tables take a third of a second

        media = told.get("media", {}).get("media_ids", [])
        if parse_tweet(told["text"]).weightedLength > 280:
            return problem(403, "Forbidden", "Your Tweet text is too long.")
        if any(one.text == told["text"] for one in self.posts.values()):
            said = "You are not allowed to create a Tweet with duplicate content."
            return problem(403, "Forbidden", said)
        if len(media) > 4 or not self._pictures.keys() >= set(media):
            return invalid("Your media IDs are invalid.")
        posted = Posted(
            id=str(1_990_000_000_000_000_000 + len(self.taken)),
            text=told["text"],
            pictures=[self._pictures[id_] for id_ in media],
            more={"at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")},
        )
        self.show(posted)
        return reply(201, {"data": {"id": posted.id, "text": _shown(posted)["text"]}})

    def _timeline(self, asked: dict[str, list[str]]) -> Reply:
        since = datetime.fromisoformat(asked["start_time"][0])
        newest = [
            _shown(one)
            for one in reversed(self.posts.values())
            if datetime.fromisoformat(one.more["at"]) >= since
        ]
        at, most = int(asked.get("pagination_token", ["0"])[0]), int(asked["max_results"][0])
        page = newest[at : at + most]
        meta: dict[str, Any] = {"result_count": len(page)}
        if len(newest) > at + most:
            meta["next_token"] = str(at + most)
        return reply(200, {"data": page, "meta": meta} if page else {"meta": meta})


def invalid(message: str) -> Reply:
    """A 400 as X words it."""
    told = {
        "errors": [{"parameters": {}, "message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": "https://api.x.com/2/problems/invalid-request",
    }
    return reply(400, told)


def _shown(one: Posted) -> dict[str, Any]:
    """https://docs.x.com/x-api/fundamentals/data-dictionary; every address is shortened"""
    from twitter_text import extract_urls_with_indices

    text, urls = escape(one.text, quote=False), []
    for number, found in enumerate(extract_urls_with_indices(one.text)):
        short, full = f"https://t.co/{one.id[-6:]}{number}", found["url"]
        text = text.replace(escape(full, quote=False), short, 1)
        urls.append({"url": short, "expanded_url": full if "//" in full else f"http://{full}"})
    if one.pictures:
        short = f"https://t.co/{one.id[-6:]}p"
        full = f"https://x.com/news/status/{one.id}/photo/1"
        text = f"{text} {short}"
        urls += [{"url": short, "expanded_url": full, "media_key": "3_1"} for _ in one.pictures]
    shown: dict[str, Any] = {"id": one.id, "text": text, "created_at": one.more["at"]}
    return shown | ({"entities": {"urls": urls}} if urls else {})
