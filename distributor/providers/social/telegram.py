"""Telegram's Bot API: https://core.telegram.org/bots/api#sendmessage

It knows no request again and lets no bot read what it posted, so a silence after the call stays unclear: a
person looks, and nothing is repeated. The bot's token is part of every address (see `hidden`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import Keyring, Media, Memory, SocialLimits
from distributor.providers.social.hidden import Hidden
from distributor.providers.social.steps import note_standing

FOR_A_PERSON = (  # descriptions of a 400; every 401, 403 and 404 is for a person as well
    "chat not found",
    "peer_id_invalid",
    "channel_private",
    "chat_write_forbidden",
    "chat_admin_required",
    "chat_restricted",
    "have no rights",
    "not enough rights",
    "need administrator rights",
    "upgraded to a supergroup",
    "migrated to a supergroup",
    "topic_closed",
)  # anything else with a 400 is about the post: it is refused
NOT_MODIFIED = ("message is not modified",)
NOT_THERE = ("message to delete not found", "message_id_invalid")
TOO_OLD = ("message can't be deleted", "message_delete_forbidden")


@dataclass(frozen=True, slots=True)
class Telegram:
    """A bot that posts to the channel or group `account`."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # A message a second in a chat, twenty a minute in a group: https://core.telegram.org/bots/faq
    limits = SocialLimits(calls_per_second=1, calls_per_minute=20)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        token = self.settings.key.get_secret_value()
        hidden = Hidden(token.partition(":")[2] or token)  # before the colon is the bot's id, known to all
        base_url = f"{self.settings.base_url or 'https://api.telegram.org'}/bot{token}"
        with hidden.from_logs():
            async with http.client(base_url, transport=self.transport) as opened:
                yield Calls(opened, self.settings.account, hidden)


@dataclass(frozen=True, slots=True)
class Calls:
    """A bot, while there are connections to its server."""

    _http: httpx.AsyncClient
    _chat: str
    _hidden: Hidden

    async def probe(self) -> None:
        """Whether the key opens the bot, and the bot knows the chat: https://core.telegram.org/bots/api#getchat"""
        await self._call("getChat", {"chat_id": self._chat})

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        above = _message(post.of) if post.of and post.action == "reply" else None
        parts: list[dict[str, Any]] = []
        for number, payload in enumerate((post.payload, *post.more)):
            name = f"part {number}"
            if name not in memory.known:
                await memory.keep(calling=number)  # nobody else is at it, and a person sees how far it came
                made = await self._publish(payload, above, post.pictures, media=media)
                await memory.keep(**{name: made})
            parts.append(memory.known[name])
            await note_standing(memory, post, parts, _receipt(parts))
            above = parts[-1]["messages"][0]
        return _receipt(parts)

    async def _publish(
        self, payload: Mapping[str, Any], above: int | None, pictures: Sequence[Picture], *, media: Media
    ) -> dict[str, Any]:
        """One message, or one group of pictures; where it is."""
        method, told, files = _parts(payload, pictures, media)
        told["chat_id"] = self._chat
        if above is not None:  # should that be gone, the words are still to be read
            told["reply_parameters"] = {"message_id": above, "allow_sending_without_reply": True}
        result = await self._call(method, told, files)
        messages = result if isinstance(result, list) else [result]
        with http.reading(result):
            return {
                "chat": messages[0]["chat"]["id"],
                "name": _public_name(messages[0]["chat"]),
                "messages": [int(one["message_id"]) for one in messages],
                "is_captioned": method != "sendMessage",
            }

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """Change the words; the pictures stay: https://core.telegram.org/bots/api#editmessagecaption"""
        parts = of.kept["parts"]
        payloads = (post.payload, *post.more)
        if len(parts) != len(payloads):
            raise Refused(f"a thread of {len(parts)} messages cannot become one of {len(payloads)}")
        for part, payload in zip(parts, payloads, strict=True):
            await self._change(part, payload)
        return of

    async def _change(self, part: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
        method, field = ("Caption", "caption") if part["is_captioned"] else ("Text", "text")
        told = {
            "chat_id": part["chat"],
            "message_id": part["messages"][0],
            field: _words(payload),
            "parse_mode": "HTML",
        }
        await self._call(f"editMessage{method}", told, harmless=NOT_MODIFIED)

    async def delete(self, of: Receipt) -> None:
        """Message by message, the last one first: of several at once nobody says which are still there.

        Raises:
            Refused: it is older than 48 hours, and the bot is no administrator who may delete.
        """
        for part in reversed(of.kept["parts"]):
            for message in reversed(part["messages"]):
                told = {"chat_id": part["chat"], "message_id": message}
                await self._call("deleteMessage", told, harmless=NOT_THERE)

    async def _call(
        self,
        method: str,
        told: Mapping[str, Any],
        files: Mapping[str, File] | None = None,
        *,
        harmless: Sequence[str] = (),
    ) -> Any:
        """The `result` of a method; None where it fails for a reason that is *harmless*."""
        if files:
            data = {name: value if isinstance(value, str) else _json(value) for name, value in told.items()}
            request = self._http.build_request("POST", f"/{method}", data=data, files=files)
        else:
            request = self._http.build_request("POST", f"/{method}", json=told)
        with self._hidden.from_errors():
            answer = await http.exchange(
                self._http,
                request,
                judge=judge,
                telling=lambda said: said.status_code == 400 and _says(said, harmless),
            )
            if answer.status_code == 400:
                return None
            found: Any = http.body(answer)
            with http.reading(found):
                return found["result"]


File = tuple[str, bytes, str]  # name, bytes, media type


def _parts(
    payload: Mapping[str, Any], pictures: Sequence[Picture], media: Media
) -> tuple[str, dict[str, Any], dict[str, File]]:
    """A payload's method, its parameters, and its files by the names that the parameters have for them."""
    told = dict(payload)
    method = str(told.pop("method"))
    shown = {"photo": told.pop("photo")} if "photo" in told else {}
    if "media" in told:
        shown = {f"picture{place}": one["media"] for place, one in enumerate(told["media"])}
        group = zip(told["media"], shown, strict=True)
        told["media"] = [{**one, "media": f"attach://{name}"} for one, name in group]
    files = {name: _file(placeholder["$picture"], pictures, media) for name, placeholder in shown.items()}
    return method, told, files


def _file(hash_: str, pictures: Sequence[Picture], media: Media) -> File:
    [picture] = {one.hash: one for one in pictures if one.hash == hash_}.values()
    return picture.name, media(picture), picture.media_type


def _words(payload: Mapping[str, Any]) -> str:
    """A payload's text, or its caption."""
    first: Mapping[str, Any] = payload["media"][0] if "media" in payload else payload
    return str(first.get("text") or first.get("caption") or "")


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _public_name(chat: Mapping[str, Any]) -> str | None:
    """What a chat is called in addresses; a person's name leads to no message."""
    return chat.get("username") if chat.get("type") in ("channel", "supergroup") else None


def _message(of: Receipt) -> int:
    return int(of.id.rpartition("/")[2])


def _receipt(parts: Sequence[Mapping[str, Any]]) -> Receipt:
    first = parts[0]
    message = first["messages"][0]
    url = f"https://t.me/{first['name']}/{message}" if first["name"] else None
    return Receipt(id=f"{first['chat']}/{message}", url=url, kept={"parts": list(parts)})


def judge(answer: httpx.Response) -> SendError | None:
    """https://core.telegram.org/bots/api#making-requests, and the descriptions as they were seen by others:
    https://github.com/TelegramBotAPI/errors (read 2026-11-23)
    """
    status, said = answer.status_code, http.said(answer)
    if status == 429:
        return TryLater(said, after=_retry_after(answer))
    if status == 503 and http.retry_after(answer) is None:
        return Unclear(said)  # no promise that it was not posted
    if _says(answer, TOO_OLD):
        return Refused(f"a message older than 48 hours is deleted by an administrator only: {said}")
    if status == 400 and _says(answer, FOR_A_PERSON):
        return AccountTrouble(said)
    return None


def _says(answer: httpx.Response, words: Sequence[str]) -> bool:
    """Whether an answer's description has one of *words*, whose case changed over the years."""
    said = http.words(answer).lower()
    return any(word in said for word in words)


def _retry_after(answer: httpx.Response) -> float | None:
    """The wait in seconds: https://core.telegram.org/bots/api#responseparameters"""
    try:
        return http.wait(float(orjson.loads(answer.content)["parameters"]["retry_after"]))
    except (KeyError, TypeError, ValueError):
        return http.retry_after(answer)
