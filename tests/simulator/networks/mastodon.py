"""https://docs.joinmastodon.org/methods/statuses/ and …/media/, as read in August 2026.

What it checks is what Mastodon 4 checks: post_status_service.rb, status_length_validator.rb and
media_attachment.rb of mastodon/mastodon, read 2026-11-23.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import orjson

from tests.rendering.rules import mastodon_length
from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted, parts_of

MAX_CHARACTERS = 500
MAX_ATTACHMENTS = 4
MAX_DESCRIPTION = 1500
MAX_BYTES = 16 * 1024 * 1024
IMAGES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF")
VISIBILITIES = ("public", "unlisted", "private", "direct")
PAGE = 40  # statuses at most in one answer


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
        self.clock = timedelta(0)  # how far its clock is ahead
        self.looks = 0  # how often an upload is asked for before it is ready
        self.uploads: dict[str, tuple[bytes, str]] = {}  # those that no status shows
        self._shown_pictures: dict[str, list[str]] = {}  # status -> its uploads
        self._asked: dict[str, int] = {}
        self._by_key: dict[str, str] = {}  # Idempotency-Key -> id
        self._made = 0

    def answer(self, request: Request) -> Reply:
        said = self._answer(request)
        date = format_datetime(datetime.now(UTC) + self.clock, usegmt=True)
        return Reply(
            status=said.status, body=said.body, type=said.type, headers={**said.headers, "Date": date}
        )

    def _answer(self, request: Request) -> Reply:
        status = re.fullmatch(r"/api/v1/statuses/(\d+)", request.path)
        media = re.fullmatch(r"/api/v1/media/(\d+)", request.path)
        match request.method, request.path:
            case "GET", "/api/v2/instance":
                return reply(200, INSTANCE)
            case "POST", "/api/v2/media":
                return self._upload(request)
            case "GET", _ if media:
                return self._processed(media[1])
            case "POST", "/api/v1/statuses":
                return self._create(request)
            case "GET", "/api/v1/accounts/verify_credentials":
                return reply(200, {"id": "1", "username": "news"})
            case "GET", "/api/v1/accounts/1/statuses":
                return self._newest(dict(parse_qsl(request.query)))
            case "PUT", _ if status:
                return self._edit(status[1], orjson.loads(request.body))
            case "DELETE", _ if status:
                gone = self.posts.pop(status[1], None)
                return reply(200, self._shown(gone)) if gone else reply(404, {"error": "Record not found"})
        return reply(404, {"error": "Not Found"})

    def _upload(self, request: Request) -> Reply:
        parts = parts_of(request)
        if not parts["file"].startswith(IMAGES):
            return invalid("File type of uploaded media could not be verified")
        if len(parts["file"]) > MAX_BYTES:
            return invalid("Validation failed: File file size must be less than 16 MB")
        if len(parts["description"].decode()) > MAX_DESCRIPTION:
            return invalid("Validation failed: Description is too long (maximum is 1500 characters)")
        self._made += 1
        id_ = str(22_348_641_000 + self._made)
        self.uploads[id_] = (parts["file"], parts["description"].decode())
        self._asked[id_] = 0
        url = f"https://files.social.example/{id_}" if not self.looks else None
        return reply(202 if self.looks else 200, {"id": id_, "type": "image", "url": url})

    def _processed(self, id_: str) -> Reply:
        if id_ not in self.uploads:
            return reply(404, {"error": "Record not found"})
        self._asked[id_] += 1
        return reply(200 if self._asked[id_] >= self.looks else 206, {"id": id_, "type": "image"})

    def _create(self, request: Request) -> Reply:
        told = orjson.loads(request.body)
        key = request.headers.get("idempotency-key", "")
        if key in self._by_key:
            known = self.posts.get(self._by_key[key])
            return reply(200, self._shown(known)) if known else reply(404, {"error": "Record not found"})
        if told.get("in_reply_to_id", None) not in (None, *self.posts):
            return reply(404, {"error": "The post you are trying to reply to does not appear to exist."})
        ids = told.get("media_ids", [])
        if fault := self._fault(told, ids, own=()):
            return fault
        posted = Posted(
            id=str(110_000 + len(self.taken)),
            text=told["status"],
            pictures=[self.uploads.pop(id_) for id_ in ids],
            answers=told.get("in_reply_to_id"),
            language=told.get("language"),
            more={
                "at": (datetime.now(UTC) + self.clock).isoformat(),
                "visibility": told.get("visibility", "public"),
            },
        )
        self.show(posted)
        self._shown_pictures[posted.id] = ids
        if key:
            self._by_key[key] = posted.id
        return reply(200, self._shown(posted))

    def _fault(self, told: Any, ids: list[str], *, own: tuple[str, ...]) -> Reply | None:
        """What it does not take, in the order in which it looks."""
        if len(ids) > MAX_ATTACHMENTS:
            return invalid(f"Cannot attach more than {MAX_ATTACHMENTS} files")
        if gone := [id_ for id_ in ids if id_ not in self.uploads and id_ not in own]:
            return invalid(f"Media {', '.join(gone)} not found or already attached to another post")
        if any(id_ not in own and self._asked[id_] < self.looks for id_ in ids):
            return invalid("Cannot attach files that have not finished processing. Try again in a moment!")
        if not told["status"] and not ids:
            return invalid("Validation failed: Text can't be blank")
        if mastodon_length(told["status"]) > MAX_CHARACTERS:
            return invalid(f"Validation failed: Text character limit of {MAX_CHARACTERS} exceeded")
        if told.get("visibility", "public") not in VISIBILITIES:
            return invalid("Validation failed: Visibility is not included in the list")
        return None

    def _edit(self, id_: str, told: Any) -> Reply:
        if id_ not in self.posts:
            return reply(404, {"error": "Record not found"})
        own, ids = self._shown_pictures[id_], told.get("media_ids", [])
        if fault := self._fault(told, ids, own=tuple(own)):
            return fault
        posted = self.posts[id_]
        were = dict(zip(own, posted.pictures, strict=True))
        posted.text = told["status"]
        posted.pictures = [were[one] if one in were else self.uploads.pop(one) for one in ids]
        self._shown_pictures[id_] = ids
        return reply(200, self._shown(posted))

    def _newest(self, asked: dict[str, str]) -> Reply:
        newest = [one for one in reversed(self.posts.values()) if one.id < asked.get("max_id", "~")]
        limit = min(int(asked.get("limit", 20)), PAGE)
        return reply(200, [self._shown(one) for one in newest[:limit]])

    def _shown(self, one: Posted) -> dict[str, Any]:
        """https://docs.joinmastodon.org/entities/Status/"""
        pictures = zip(self._shown_pictures.get(one.id, ()), one.pictures, strict=True)
        return {
            "id": one.id,
            "created_at": one.more["at"],
            "url": f"https://social.example/@news/{one.id}",
            "content": self.content(one.text),
            "in_reply_to_id": one.answers,
            "visibility": one.more["visibility"],
            "media_attachments": [{"id": id_, "description": picture[1]} for id_, picture in pictures],
        }

    def content(self, text: str) -> str:
        """Its HTML, as text_formatter.rb makes it: links in three parts, mentions without their server."""
        lines = escape(text).replace("\n\n", "</p><p>").replace("\n", "<br />")
        linked = re.sub(r"(https?://(?:www\.)?)(\S+)", _link, lines)
        mentioned = re.sub(
            r"(?<![\w/=])@(\w+)@([\w.-]+\w)",
            r'<span class="h-card"><a href="https://\2/@\1" class="mention">@<span>\1</span></a></span>',
            linked,
        )
        return f"<p>{mentioned}</p>"


def _link(found: re.Match[str]) -> str:
    prefix, rest = found.groups()
    shown = f'<span class="ellipsis">{rest[:30]}</span><span class="invisible">{rest[30:]}</span>'
    rel = "nofollow noopener noreferrer"
    return f'<a href="{found[0]}" rel="{rel}"><span class="invisible">{prefix}</span>{shown}</a>'


def invalid(error: str) -> Reply:
    return reply(422, {"error": error})


INSTANCE = {  # https://docs.joinmastodon.org/entities/Instance/, in part
    "domain": "social.example",
    "version": "4.5.2",
    "configuration": {
        "statuses": {"max_characters": 500, "max_media_attachments": 4, "characters_reserved_per_url": 23},
        "media_attachments": {
            "description_limit": 1500,
            "image_size_limit": 16_777_216,
            "image_matrix_limit": 33_177_600,
        },
    },
}
