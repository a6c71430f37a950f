"""Slack, by a bot's token: https://docs.slack.dev/reference/methods/chat.postMessage

Slack knows no request again. Each message has the batch's key in its metadata, which no reader sees; the time
of the call is noted before it, and whoever finds such a note looks into the channel first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import Keyring, Media, Memory, SocialLimits
from distributor.providers.social.steps import filled, note_standing, uploaded

EVENT = "article_posted"  # the metadata's type
CLOCKS = timedelta(minutes=2)  # Slack's may differ from ours by so much
PAGE = 100  # messages in an answer
PAGES = 50  # read at most; a channel with more since the call is for a person
PROCESSING = 5  # times that an uploaded file may not be ready, before it is uploaded anew

# https://docs.slack.dev/reference/methods/chat.postMessage#errors, and of the other methods (read 2026-11-23)
FOR_A_PERSON = {
    "access_denied",
    "access_limited",
    "accesslimited",
    "account_inactive",
    "channel_not_found",
    "deprecated_endpoint",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "file_uploads_disabled",
    "file_uploads_except_images_disabled",
    "invalid_auth",
    "is_archived",
    "is_inactive",
    "metadata_must_be_sent_from_app",
    "method_deprecated",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_authed",
    "not_in_channel",
    "org_login_required",
    "restricted_action",
    "restricted_action_non_threadable_channel",
    "restricted_action_read_only_channel",
    "restricted_action_thread_only_channel",
    "storage_limit_reached",
    "team_access_not_granted",
    "team_not_found",
    "token_expired",
    "token_revoked",
    "two_factor_setup_required",
}
NOT_NOW = {
    "external_channel_migrating",
    "file_not_found",  # of an upload: it is made anew
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",  # "the POST data was either missing or truncated"
    "team_added_to_org",
}
REFUSED = {
    "as_user_not_supported",
    "block_mismatch",
    "blocked_file_type",
    "cannot_reply_to_message",
    "cant_delete_message",
    "cant_update_message",
    "compliance_exports_prevent_deletion",
    "edit_window_closed",
    "file_upload_size_restricted",
    "invalid_arg_name",
    "invalid_arguments",
    "invalid_array_arg",
    "invalid_attachments",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_charset",
    "invalid_form_data",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "invalid_post_type",
    "message_not_found",
    "metadata_too_large",
    "missing_post_type",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "thread_not_found",
    "too_many_attachments",
}
# fatal_error, internal_error, service_unavailable and what nobody knows yet: it may have been posted
NO_SCOPE = "unclear until the app may read: give it channels:history, or groups:history if it is private"


@dataclass(frozen=True, slots=True)
class Slack:
    """A bot that posts to the channel `account`."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # A message a second in a channel: https://docs.slack.dev/apis/web-api/rate-limits
    limits = SocialLimits(found_after=timedelta(seconds=5), calls_per_second=1)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        headers = {"Authorization": f"Bearer {self.settings.key.get_secret_value()}"}
        base_url = str(self.settings.base_url or "https://slack.com")
        async with http.client(base_url, headers=headers, transport=self.transport) as opened:
            yield Calls(opened, self.settings.account)


@dataclass(frozen=True, slots=True)
class Calls:
    """A bot, while there are connections to Slack."""

    _http: httpx.AsyncClient
    _channel: str

    async def probe(self) -> None:
        """Whether the key opens the account: https://docs.slack.dev/reference/methods/auth.test"""
        await self._ask("auth.test", {})

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        pictures = await self._pictures(post, media=media, memory=memory)
        top = _top(post)
        parts: list[Any] = []
        for number, payload in enumerate((post.payload, *post.more)):
            told = filled(payload, pictures)
            if top:
                told["thread_ts"] = top
            parts.append(await self._placed(batch, number, told, top, post, memory=memory))
            top = top or parts[-1]["ts"]
            if post.more:
                await note_standing(memory, post, parts, await self._receipt(parts, post))
        return await self._receipt(parts, post)

    async def _placed(
        self, batch: Batch, number: int, told: Any, top: str | None, post: Post, *, memory: Memory
    ) -> Any:
        """Publish one part of a thread, unless that was done; where it is."""
        if _part(number) not in memory.known:
            part = await self._left_behind(batch, number, top, memory=memory)
            part = part or await self._publish(batch, number, told, post, memory=memory)
            await memory.keep(**{_part(number): part})
        return memory.known[_part(number)]

    async def _left_behind(self, batch: Batch, number: int, top: str | None, *, memory: Memory) -> Any:
        """What an earlier call published that nobody heard the answer to."""
        called = memory.known.get(_called(number))
        if not called:
            return None
        try:
            return await self._look(batch, number, datetime.fromisoformat(called), top)
        except SendError as error:
            raise Unclear(
                f"an earlier call may have posted it, and the channel was not read: {error}"
            ) from error

    async def _publish(self, batch: Batch, number: int, told: Any, post: Post, *, memory: Memory) -> Any:
        """https://docs.slack.dev/messaging/message-metadata for the key"""
        told |= {
            "channel": self._channel,
            "metadata": {"event_type": EVENT, "event_payload": {"key": _key(batch, number)}},
        }
        known = memory.known.get(_called(number))
        await memory.keep(**{_called(number): known or datetime.now(UTC).isoformat()})
        try:
            answer = await self._call("chat.postMessage", told)
        except (Refused, TryLater) as error:  # it is certainly not there
            await memory.keep(**{_called(number): known})
            await _wait_for_files(error, post, memory)
            raise
        with http.reading(answer):
            return {"channel": answer["channel"], "ts": answer["ts"]}

    async def find(self, batch: Batch, post: Post, *, memory: Memory) -> Receipt | None:
        """By the keys in the channel's metadata; of a thread, None as well while a part is missing."""
        assert batch.called_at
        top, parts = _top(post), []
        for number in range(1 + len(post.more)):
            part = memory.known.get(_part(number))
            if not part:
                called = memory.known.get(_called(number))
                since = datetime.fromisoformat(called) if called else batch.called_at
                part = await self._look(batch, number, since, top)
            if not part:
                return None
            top = top or part["ts"]
            parts.append(part)
        return await self._receipt(parts, post)

    async def _look(
        self, batch: Batch, number: int, since: datetime, top: str | None
    ) -> dict[str, str] | None:
        """https://docs.slack.dev/reference/methods/conversations.history, and conversations.replies

        Raises:
            SendError: Slack did not say, or lets the token read nothing.
        """
        asked = {
            "channel": self._channel,
            "oldest": f"{(since - CLOCKS).timestamp():.6f}",
            "include_all_metadata": "true",
            "limit": str(PAGE),
            **({"ts": top} if top else {}),
        }
        method, cursor = "conversations.replies" if top else "conversations.history", ""
        for _ in range(PAGES):
            with _scope_for_reading():
                page = await self._ask(method, {**asked, **({"cursor": cursor} if cursor else {})})
            with http.reading(page):
                for one in page["messages"]:
                    if _key_of(one) == _key(batch, number):
                        return {"channel": self._channel, "ts": one["ts"]}
                cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                return None
        raise TryLater(f"more than {PAGE * PAGES} messages since the call: it may be among those before them")

    async def _receipt(self, parts: list[Any], post: Post) -> Receipt:
        first = parts[0]
        return Receipt(
            id=f"{first['channel']}/{first['ts']}",
            url=await self._permalink(first),
            kept={"channel": first["channel"], "parts": [part["ts"] for part in parts], "top": _top(post)},
        )

    async def _permalink(self, part: Mapping[str, str]) -> str | None:
        """An address for a person; the post is there without it."""
        try:
            asked = {"channel": part["channel"], "message_ts": part["ts"]}
            answer = await self._ask("chat.getPermalink", asked)
        except SendError:
            return None
        link = answer.get("permalink")
        return link if isinstance(link, str) else None

    async def _pictures(self, post: Post, *, media: Media, memory: Memory) -> dict[str, Any]:
        found = {}
        for picture in post.pictures:
            found[picture.hash] = await uploaded(memory, picture, lambda: self._upload(picture, media))  # noqa: B023
        return found

    async def _upload(self, picture: Picture, media: Media) -> str:
        """A file in no channel, until a message shows it: https://docs.slack.dev/messaging/working-with-files

        That readers of the message then see it is Slack's word (its developers' blog, 2024-04-02), and was
        not tried (2026-11-23).
        """
        content = media(picture)
        asked = {"filename": picture.name, "length": str(len(content))}
        place = await self._ask("files.getUploadURLExternal", asked)
        with http.reading(place):
            id_, address = str(place["file_id"]), self._address(place["upload_url"])
        request = self._http.build_request("POST", address, content=content)
        del request.headers["Authorization"]  # the address is enough, and it may be another server's
        await http.exchange(self._http, request)
        await self._call("files.completeUploadExternal", {"files": [{"id": id_, "title": picture.name}]})
        return id_

    def _address(self, told: str) -> httpx.URL:
        """Where a file goes: Slack's own servers, or below `base_url`; never to a stranger."""
        base, url = self._http.base_url, httpx.URL(told)
        if url.scheme == base.scheme and (url.host == base.host or url.host.endswith(f".{base.host}")):
            return url
        return httpx.URL(f"{str(base).rstrip('/')}{url.raw_path.decode()}")

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """https://docs.slack.dev/reference/methods/chat.update, part by part"""
        payloads, parts = (post.payload, *post.more), of.kept["parts"]
        if len(parts) != len(payloads):
            raise Refused(f"a thread of {len(parts)} messages cannot become one of {len(payloads)}")
        pictures = await self._pictures(post, media=media, memory=memory)
        for ts, payload in zip(parts, payloads, strict=True):
            told = {name: value for name, value in payload.items() if not name.startswith("unfurl_")}
            place = {"channel": of.kept["channel"], "ts": ts}
            try:
                await self._call("chat.update", {**filled(told, pictures), **place})
            except Refused as error:
                await _wait_for_files(error, post, memory)
                raise
        return of

    async def delete(self, of: Receipt) -> None:
        """The last part first: a message that has answers leaves a gravestone."""
        for ts in reversed(of.kept["parts"]):
            await self._call(
                "chat.delete", {"channel": of.kept["channel"], "ts": ts}, harmless="message_not_found"
            )

    async def _call(self, method: str, told: Mapping[str, Any], *, harmless: str = "") -> Any:
        """The answer of a method that says that it worked, or failed for a reason that is *harmless*."""
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = await http.post(
            self._http,
            f"/api/{method}",
            told,
            headers=headers,
            judge=judge,
            telling=lambda said: bool(harmless) and _error(said) == harmless,
        )
        return _checked(http.body(answer))

    async def _ask(self, method: str, asked: Mapping[str, str]) -> Any:
        return _checked(await http.get(self._http, f"/api/{method}", asked, judge=judge))


def _part(number: int) -> str:
    return f"part {number}"


def _called(number: int) -> str:
    return f"called {number}"


def _key(batch: Batch, number: int) -> str:
    return f"{batch.key}-{number}"


def _key_of(message: Mapping[str, Any]) -> Any:
    """The key that one of our messages has; metadata of others may have any form."""
    metadata = message.get("metadata") or {}
    return (metadata.get("event_payload") or {}).get("key") if metadata.get("event_type") == EVENT else None


def _top(post: Post) -> str | None:
    """The message that a thread hangs from: an answer to an answer hangs from the same one."""
    if post.of is None or post.action != "reply":
        return None
    return post.of.kept.get("top") or str(post.of.id.rpartition("/")[2])


@contextmanager
def _scope_for_reading() -> Iterator[None]:
    try:
        yield
    except AccountTrouble as error:
        if "missing_scope" not in str(error):
            raise
        raise AccountTrouble(f"{NO_SCOPE}: {error}") from error


async def _wait_for_files(error: SendError, post: Post, memory: Memory) -> None:
    """Slack takes a moment to know an uploaded file (slackapi/python-slack-sdk #1521, node-slack-sdk #1865).

    Raises:
        TryLater: that is what *error* says; a file that Slack never knows is uploaded anew.
    """
    if not (isinstance(error, Refused) and post.pictures and "slack file" in str(error)):
        return
    waited = memory.known.get("waited", 0) + 1
    if waited < PROCESSING:
        await memory.keep(waited=waited)
        raise TryLater(f"an uploaded picture is not ready: {error}", after=2.0**waited) from error
    await memory.keep(waited=0, **{f"picture {picture.hash}": None for picture in post.pictures})
    raise TryLater(f"an uploaded picture was never ready: {error}", after=0) from error


def judge(answer: httpx.Response) -> SendError | None:
    """`ok: false` is a failure whatever the status, and `error` says which."""
    error, said = _error(answer), http.said(answer)
    if answer.status_code == 429 or error in NOT_NOW:
        return TryLater(said, after=http.retry_after(answer) or http.pause(answer) or None)
    if error in FOR_A_PERSON:
        return AccountTrouble(said)
    if error in REFUSED:
        return Refused(said)
    if answer.status_code == 503 and http.retry_after(answer) is None:
        return Unclear(said)  # no promise that it was not posted
    return Unclear(said) if error and answer.is_success else None


def _error(answer: httpx.Response) -> str | None:
    """The word for what failed; None if nothing did, or nobody can say."""
    try:
        told = orjson.loads(answer.content)
        return None if told["ok"] else str(told.get("error", "no reason"))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _checked(found: Any) -> Any:
    """An answer that says whether it worked.

    Raises:
        Unclear: it does not.
    """
    with http.reading(found):
        found["ok"]
    return found
