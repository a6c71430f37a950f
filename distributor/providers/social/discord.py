"""Discord: https://docs.discord.com/developers/resources/message#create-message and
https://docs.discord.com/developers/resources/webhook#execute-webhook

A bot's message has a nonce: within minutes the same one makes no second message. Later, or after a silence,
the channel itself is read. A webhook has neither, so a silence after its call stays unclear. The webhook's
address is a secret (see `hidden`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
import regex

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Batch, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import Keyring, Media, Memory, SocialLimits
from distributor.providers.social.hidden import Hidden
from distributor.providers.social.steps import preparing

API = "/api/v10"
NONCE = 25  # characters at most
EPOCH = 1_420_070_400_000  # milliseconds; Discord's ids begin with the time since then
CLOCKS = timedelta(minutes=2)  # theirs may differ from ours by so much
PAGE = 100  # messages in an answer, at most
PAGES = 50  # read at most; a channel with more since the call is for a person

UNKNOWN_MESSAGE = 10008
FOR_A_PERSON = {
    10003,  # unknown channel
    10004,  # unknown guild
    10015,  # unknown webhook
    40001,  # unauthorized
    40002,  # the account must be verified
    50001,  # missing access
    50008,  # not a text channel
    50013,  # missing permissions
    50027,  # invalid webhook token
}
REFUSED = {
    10008,  # unknown message
    40005,  # request entity too large
    50005,  # another's message
    50006,  # an empty message
    50035,  # invalid form body
    200000,  # blocked by the server's AutoMod
    200001,  # its title was
    240000,  # blocked as a harmful link
}
NOT_NOW = {
    20016,  # slow mode
    20022,  # too many edits of announcements
    20028,  # the channel's write rate
    20029,  # the server's
    30046,  # edits of an old message
    40006,  # temporarily disabled
    130000,  # overloaded
}  # https://docs.discord.com/developers/topics/opcodes-and-status-codes#json (read 2026-11-23)

WEBHOOK = regex.compile(
    r"(?P<server>https?://[^/?#\s]+)/api(?:/v\d+)?/webhooks/(?P<id>\d+)/(?P<token>[\w-]+)/?(?:\?(?P<query>.*))?"
)


@dataclass(frozen=True, slots=True)
class Discord:
    """A webhook; or a bot, which posts to the channel `account`."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    @property
    def limits(self) -> SocialLimits:
        """No rates: Discord's answers say each one's, and it wants none built in (docs, rate-limits)."""
        if self.settings.webhook.get_secret_value():
            return SocialLimits()
        return SocialLimits(found_after=timedelta(seconds=5))

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        webhook = self.settings.webhook.get_secret_value()
        async with self._webhook(webhook) if webhook else self._bot() as calls:
            yield calls

    @asynccontextmanager
    async def _webhook(self, address: str) -> AsyncIterator[Calls]:
        found = WEBHOOK.fullmatch(address.strip())
        if found is None:
            raise AccountTrouble("webhook is not like https://discord.com/api/webhooks/ID/TOKEN")
        hidden = Hidden(found["token"])
        path = f"/webhooks/{found['id']}/{found['token']}"
        thread = {name: value for name, value in parse_qsl(found["query"] or "") if name == "thread_id"}
        base_url = f"{self.settings.base_url or found['server']}{API}"
        with hidden.from_logs():
            async with http.client(base_url, transport=self.transport) as opened:
                yield Calls(
                    opened, hidden, about=path, create=path, messages=f"{path}/messages", thread=thread
                )

    @asynccontextmanager
    async def _bot(self) -> AsyncIterator[Calls]:
        key = self.settings.key.get_secret_value()
        headers = {
            "Authorization": f"Bot {key}",
            "User-Agent": "DiscordBot (distributor, 1)",  # wanted of every bot: docs, reference#user-agent
        }
        path = f"/channels/{self.settings.account}"
        messages = f"{path}/messages"
        base_url = f"{self.settings.base_url or 'https://discord.com'}{API}"
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Bot(opened, Hidden(key), about=path, create=messages, messages=messages, thread={})


@dataclass(frozen=True, slots=True)
class Calls:
    """A webhook, while there are connections to Discord; `about`, `create` and `messages` are paths."""

    _http: httpx.AsyncClient
    _hidden: Hidden
    about: str = field(repr=False, kw_only=True)
    create: str = field(repr=False, kw_only=True)
    messages: str = field(repr=False, kw_only=True)
    thread: Mapping[str, str] = field(kw_only=True)  # of a forum, to which a webhook posts
    _known: dict[str, Any] = field(default_factory=dict)  # what Discord says of the channel

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        guild = await self._guild()
        await memory.keep(calling=True)  # nobody else is at it
        told = {**post.payload, **self.handle(batch)}
        asked = {**self.thread, "wait": "true"}  # without it a message that is not saved is no error
        message = await self._exchange(self._with_files("POST", self.create, asked, told, post, media))
        with http.reading(message):
            return _receipt(message, guild)

    def handle(self, batch: Batch) -> Mapping[str, Any]:
        """By what Discord knows the call again."""
        return {}

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """Words, card and pictures are all replaced; what the new ones lack is taken away."""
        told = {"content": "", "embeds": [], **post.payload}
        await self._exchange(self._with_files("PATCH", self._message(of), self.thread, told, post, media))
        return of

    async def delete(self, of: Receipt) -> None:
        request = self._http.build_request("DELETE", self._message(of), params=self.thread)
        with self._hidden.from_errors():
            await http.exchange(
                self._http, request, judge=judge, telling=lambda said: _code(said) == UNKNOWN_MESSAGE
            )

    def _message(self, of: Receipt) -> str:
        return f"{self.messages}/{of.id.rpartition('/')[2]}"

    async def _guild(self) -> str | None:
        """Whose channel it is: the address of a message names it, and the message itself does not."""
        if not self._known:
            with preparing(), http.reading(found := await self._get(self.about)):
                self._known.update(found)
        return self._known.get("guild_id")

    async def _get(self, path: str, **asked: str) -> Any:
        return await self._exchange(self._http.build_request("GET", path, params=asked))

    def _with_files(
        self,
        method: str,
        path: str,
        asked: Mapping[str, str],
        told: Mapping[str, Any],
        post: Post,
        media: Media,
    ) -> httpx.Request:
        """https://docs.discord.com/developers/reference#uploading-files"""
        by_hash = {picture.hash: picture for picture in post.pictures}
        attached = [dict(one) for one in told.get("attachments", ())]
        files = {}
        for one in attached:
            picture = by_hash[one.pop("file")["$picture"]]
            files[f"files[{one['id']}]"] = (one["filename"], media(picture), picture.media_type)
        json = orjson.dumps({**told, "attachments": attached})
        if not files:
            headers = {"Content-Type": "application/json"}
            return self._http.build_request(method, path, params=asked, content=json, headers=headers)
        data = {"payload_json": json.decode()}
        return self._http.build_request(method, path, params=asked, data=data, files=files)

    async def _exchange(self, request: httpx.Request) -> Any:
        with self._hidden.from_errors():
            return http.body(await http.exchange(self._http, request, judge=judge))


class Bot(Calls):
    """A bot, which can read its channel besides."""

    __slots__ = ()

    def handle(self, batch: Batch) -> Mapping[str, Any]:
        return {"nonce": batch.key.replace("-", "")[:NONCE], "enforce_nonce": True}

    async def find(self, batch: Batch, post: Post, *, memory: Memory) -> Receipt | None:
        """Among the channel's messages since the call: what the bot said there in the same words.

        Discord keeps no nonce with a message (Rapptz/discord.py #2451), so words and card tell it.
        """
        assert batch.called_at
        guild, me = await self._guild(), await self._get("/users/@me")
        after, seen = _id_at(batch.called_at - CLOCKS), 0
        for _ in range(PAGES):
            page = await self._get(self.messages, after=str(after), limit=str(PAGE))
            with http.reading(page):
                for one in page:
                    if one["author"]["id"] == me["id"] and _says(one, post.payload):
                        return _receipt(one, guild)
                after, seen = max([after, *(int(one["id"]) for one in page)]), seen + len(page)
            if len(page) < PAGE:
                break
        else:
            raise TryLater(f"{seen} messages since the call, and the post may be among those after them")
        if not seen:
            await self._can_read()
        return None

    async def _can_read(self) -> None:
        """Whether an empty answer means an empty channel: who may not read its history is told nothing.

        Raises:
            AccountTrouble: it means nothing.
        """
        channel = await self._get(self.about)
        newest = await self._get(self.messages, limit="1")
        with http.reading(channel):
            if not newest and channel.get("last_message_id"):
                raise AccountTrouble(
                    "Discord shows the bot no messages of its channel, so nobody can say whether the post is"
                    " there: give it the permission Read Message History"
                )


def _receipt(message: Any, guild: str | None) -> Receipt:
    id_ = f"{message['channel_id']}/{message['id']}"
    return Receipt(id=id_, url=f"https://discord.com/channels/{guild}/{id_}" if guild else None)


def _says(message: Any, payload: Mapping[str, Any]) -> bool:
    """Whether a message has a payload's words, and its card, where it has one."""
    cards = {one.get("url") for one in message.get("embeds", ())}
    has_card = all(one.get("url") in cards for one in payload.get("embeds", ()))
    return has_card and _letters(message.get("content", "")) == _letters(payload.get("content", ""))


def _letters(text: str) -> str:
    """What of a text is sure to survive: spaces at the end of a line may not."""
    return "".join(text.split())


def _id_at(moment: datetime) -> int:
    """The first id of a moment: https://docs.discord.com/developers/reference#snowflakes"""
    return (int(moment.timestamp() * 1000) - EPOCH) << 22


def judge(answer: httpx.Response) -> SendError | None:
    """Its codes, which say more than the status."""
    code, said = _code(answer), http.said(answer)
    if answer.is_success:
        return None
    if answer.status_code == 429 or code in NOT_NOW:
        return TryLater(said, after=_retry_after(answer))
    if code in FOR_A_PERSON:
        return AccountTrouble(said)
    if code in REFUSED:
        return Refused(said)
    if answer.status_code == 503 and http.retry_after(answer) is None:
        return Unclear(said)  # no promise that it was not posted
    return None


def _code(answer: httpx.Response) -> int | None:
    try:
        code = orjson.loads(answer.content)["code"]
    except (KeyError, TypeError, ValueError):
        return None
    return code if isinstance(code, int) else None


def _retry_after(answer: httpx.Response) -> float | None:
    """The wait in seconds: more exactly in the body, and only in a header where a gateway answers."""
    try:
        return http.wait(float(orjson.loads(answer.content)["retry_after"]))
    except (KeyError, TypeError, ValueError):
        return http.retry_after(answer) or http.pause(answer) or None
