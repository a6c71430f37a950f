"""Bluesky, and other servers of the AT Protocol: https://docs.bsky.app/docs/api/com-atproto-repo-put-record

A record stands under a key that its writer chooses. Ours follows from the batch, and with `swapRecord: null`
the server takes the record only where none stands: the same bytes again change nothing (200), other bytes are
refused (400 InvalidSwap). So a post can be repeated for ever, and there is one. `createRecord` is never used:
with a key that stands it answers 500, which says nothing (tried with @atproto/pds 0.5.35, 2026-11-23).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import orjson

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers import http
from distributor.providers.protocol import FOR_EVER, Credentials, Keyring, Media, Memory, SocialLimits
from distributor.providers.social.steps import filled, note_standing, preparing, uploaded

SERVER = "https://bsky.social"  # signs in the accounts of all of Bluesky's own servers
COLLECTION = "app.bsky.feed.post"

# An access token lives two hours (seen 2026-11-23). A new one is asked for before that, and the account's
# server with it, so that an account that moved is found.
SESSION = timedelta(minutes=100)

OVER = frozenset(  # of a session: another one may do
    {
        "ExpiredToken",
        "InvalidToken",
        "AuthMissing",
        "AuthenticationRequired",
        "AccountNotFound",  # on that server: it moved
        "BadJwtAudience",
    }
)
TROUBLE = {  # what is for a person -> what it means
    "AuthFactorTokenRequired": "an app password is needed, not the account's own",
    "AccountTakedown": "the account was taken down",
    "AccountDeactivated": "the account is deactivated",
    "AccountSuspended": "the account is suspended",
    "ExpiredToken": "a new session is not accepted",
    "InvalidToken": "a new session is not accepted",
}


@dataclass(frozen=True, slots=True)
class Bluesky:
    """One account; `base_url` is its server where that is not one of Bluesky's own."""

    settings: Channel
    transport: httpx.AsyncBaseTransport | None = None

    # 5,000 points an hour, and a putRecord takes two: https://docs.bsky.app/docs/advanced-guides/rate-limits
    limits = SocialLimits(repeatable_for=FOR_EVER, calls_per_minute=40)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Calls]:
        async with http.client(self.settings.base_url or SERVER, transport=self.transport) as opened:
            yield Calls(opened, self.settings, keyring)


Asking = Callable[[Credentials], httpx.Request]  # a call under a session


@dataclass(frozen=True, slots=True)
class Calls:
    """An account, while there are connections to its server."""

    _http: httpx.AsyncClient
    _settings: Channel
    _keyring: Keyring

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        if post.of and post.action == "reply" and "reply" not in memory.known:
            await memory.keep(reply=await self._reply_to(post.of))  # the same bytes on every attempt
        above = memory.known.get("reply")
        parts = []
        for number, payload in enumerate((post.payload, *post.more)):
            parts.append(await self._part(batch, number, payload, above, post, media=media, memory=memory))
            await note_standing(memory, post, parts, self._receipt(parts, memory.known.get("reply")))
            above = {"root": above["root"] if above else parts[0], "parent": parts[-1]}
        return self._receipt(parts, memory.known.get("reply"))

    async def _part(
        self,
        batch: Batch,
        number: int,
        payload: Mapping[str, Any],
        above: Mapping[str, Any] | None,
        post: Post,
        *,
        media: Media,
        memory: Memory,
    ) -> Any:
        """Publish one part of a thread, unless that was noted; what others refer to it by."""
        name = f"part {number}"
        if name not in memory.known:
            shown = _pictures(post, payload)
            blobs = {one.hash: await self._blob(one, media=media, memory=memory) for one in shown}
            record = filled(payload, blobs)
            if above:
                record["reply"] = above
            key = record_key(record["createdAt"], batch.key, number)
            answer = await self._put(key, record)
            if word(answer) == "BlobNotFound":
                again = await _forget(shown, memory)
                raise TryLater(http.said(answer), after=None if again else 0)
            if word(answer) == "InvalidSwap":
                answer = await self._ours(key, record)
            standing: Any = http.body(answer)
            with http.reading(standing):
                found = {"uri": str(standing["uri"]), "cid": str(standing["cid"])}
            await memory.keep(**{name: found})
        return memory.known[name]

    async def _put(self, key: str, record: Any) -> httpx.Response:
        """https://docs.bsky.app/docs/api/com-atproto-repo-put-record"""

        def asking(session: Credentials) -> httpx.Request:
            told = {"repo": session.more["did"], "collection": COLLECTION, "rkey": key, "record": record}
            return self._request(session, "POST", "com.atproto.repo.putRecord", told | {"swapRecord": None})

        return await self._call(asking, telling=("InvalidSwap", "BlobNotFound"))

    async def _ours(self, key: str, record: Mapping[str, Any]) -> httpx.Response:
        """What getRecord says of the record that stands under *key*, if that says what *record* does.

        Other bytes that say the same are ours too: a server may describe the same picture anew.
        """
        with preparing():
            answer = await self._get(key)
            standing: Any = http.body(answer)
            if word(answer) == "RecordNotFound":
                raise TryLater(f"a record stood there, and is gone: {http.said(answer)}")
            with http.reading(standing):
                is_ours = all(standing["value"].get(name) == record[name] for name in ("text", "createdAt"))
        if not is_ours:
            raise Refused(f"another record stands under {key}")
        return answer

    async def _blob(self, picture: Picture, *, media: Media, memory: Memory) -> Any:
        """https://docs.bsky.app/docs/api/com-atproto-repo-upload-blob; the same bytes make the same blob."""

        async def upload() -> Any:
            answer = await self._call(
                lambda session: self._request(
                    session,
                    "POST",
                    "com.atproto.repo.uploadBlob",
                    content=media(picture),
                    headers={"Content-Type": picture.media_type},
                )
            )
            told: Any = http.body(answer)
            with http.reading(told):
                return told["blob"]

        return await uploaded(memory, picture, upload)

    async def _reply_to(self, of: Receipt) -> dict[str, Any]:
        """Where a reply hangs: below *of*, in the thread that *of* is in."""
        if "cid" in of.kept:
            parent = {"uri": of.id, "cid": of.kept["cid"]}
            return {"root": of.kept.get("root", parent), "parent": parent}
        with preparing():
            answer = await self._get(of.id.rpartition("/")[2])
            if word(answer) == "RecordNotFound":
                raise Refused(f"the post that it answers is gone: {http.said(answer)}")
            told: Any = http.body(answer)
            with http.reading(told):
                parent = {"uri": of.id, "cid": told["cid"]}
                return {"root": told["value"].get("reply", {}).get("root", parent), "parent": parent}

    async def _get(self, key: str) -> httpx.Response:
        """https://docs.bsky.app/docs/api/com-atproto-repo-get-record"""

        def asking(session: Credentials) -> httpx.Request:
            asked = {"repo": session.more["did"], "collection": COLLECTION, "rkey": key}
            return self._request(session, "GET", "com.atproto.repo.getRecord", params=asked)

        return await self._call(asking, telling=("RecordNotFound",))

    def _receipt(self, parts: list[Any], above: Mapping[str, Any] | None) -> Receipt:
        first, *more = parts
        kept: dict[str, Any] = {"cid": first["cid"]}
        if above:
            kept["root"] = above["root"]
        if more:
            kept["parts"] = [one["uri"] for one in more]
        handle, key = self._settings.account.removeprefix("@"), first["uri"].rpartition("/")[2]
        return Receipt(id=first["uri"], url=f"https://bsky.app/profile/{handle}/post/{key}", kept=kept)

    async def delete(self, of: Receipt) -> None:
        """https://docs.bsky.app/docs/api/com-atproto-repo-delete-record: what is not there is deleted"""
        for uri in (*reversed(of.kept.get("parts", ())), of.id):
            await self._deleted(uri)

    async def _deleted(self, uri: str) -> None:
        did, _, key = uri.removeprefix("at://").replace(f"/{COLLECTION}/", " ").partition(" ")

        def asking(session: Credentials) -> httpx.Request:
            if session.more["did"] != did:
                raise Refused(f"the post is another account's: {uri}")
            told = {"repo": did, "collection": COLLECTION, "rkey": key}
            return self._request(session, "POST", "com.atproto.repo.deleteRecord", told)

        await self._call(asking)

    async def _call(self, asking: Asking, *, telling: Collection[str] = ()) -> httpx.Response:
        """The answer to a call under the account's session, which is renewed once if it is over."""
        session = await self._session()
        answer = await self._told(asking(session), {*telling, *OVER})
        if word(answer) not in OVER:
            return answer
        return await self._told(asking(await self._renewed(session)), telling)

    async def _told(self, request: httpx.Request, telling: Collection[str]) -> httpx.Response:
        """The answer, if it is no failure or one of those that *telling* names."""
        return await http.exchange(
            self._http, request, judge=judge, telling=lambda answer: word(answer) in telling
        )

    def _request(
        self, session: Credentials, method: str, name: str, told: object = None, **more: Any
    ) -> httpx.Request:
        headers = {"Authorization": f"Bearer {session.access}", **more.pop("headers", {})}
        if told is not None:
            more["content"] = orjson.dumps(told)
            headers["Content-Type"] = "application/json"
        server = self._settings.base_url or session.more["pds"]
        return self._http.build_request(method, f"{server.rstrip('/')}/xrpc/{name}", headers=headers, **more)

    async def _session(self) -> Credentials:
        """Signing in is rationed (30 in five minutes, 300 a day), so all workers share one session."""
        session = await self._keyring.current()
        if session is None or datetime.fromisoformat(session.more["until"]) <= datetime.now(UTC):
            return await self._renewed(session)
        return session

    async def _renewed(self, session: Credentials | None) -> Credentials:
        async def make() -> Credentials:
            try:
                with preparing():
                    refreshed = await self._refreshed(session) if session else None
                    return refreshed or await self._signed_in()
            except Refused as error:  # not the post is refused, but the account
                raise AccountTrouble(str(error)) from error

        return await self._keyring.renewed(session, make)

    async def _refreshed(self, session: Credentials) -> Credentials | None:
        """https://docs.bsky.app/docs/api/com-atproto-server-refresh-session; None if it is over for good"""
        request = self._http.build_request(
            "POST",
            "/xrpc/com.atproto.server.refreshSession",
            headers={"Authorization": f"Bearer {session.refresh}"},
        )
        answer = await self._told(request, OVER)
        return None if word(answer) in OVER else self._read(answer)

    async def _signed_in(self) -> Credentials:
        """https://docs.bsky.app/docs/api/com-atproto-server-create-session"""
        told = {
            "identifier": self._settings.account.removeprefix("@"),
            "password": self._settings.key.get_secret_value(),
        }
        path = "/xrpc/com.atproto.server.createSession"
        return self._read(await http.post(self._http, path, told, judge=judge))

    def _read(self, answer: httpx.Response) -> Credentials:
        try:
            told = orjson.loads(answer.content)
            more = {
                "did": str(told["did"]),
                "pds": _server(told.get("didDoc")) or self._settings.base_url or SERVER,
                "until": (datetime.now(UTC) + SESSION).isoformat(),
            }
            return Credentials(access=str(told["accessJwt"]), refresh=str(told["refreshJwt"]), more=more)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # No word of it is told: it has keys in it, and so have the words of its failure.
            raise Unclear(f"a session of another form ({type(error).__name__})") from None


def _server(document: Any) -> str | None:
    """The account's own server, by its DID document: https://atproto.com/specs/did#did-documents"""
    for service in (document or {}).get("service", ()):
        address = str(service.get("serviceEndpoint"))
        if str(service.get("id")).endswith("#atproto_pds") and address.startswith("https://"):
            return address
    return None


def _pictures(post: Post, payload: Mapping[str, Any]) -> list[Picture]:
    """Those that *payload* shows: a card has one, and a thread's further parts have none."""
    told = orjson.dumps(payload).decode()
    return [picture for picture in post.pictures if f'"{picture.hash}"' in told]


async def _forget(pictures: list[Picture], memory: Memory) -> bool:
    """Have *pictures* uploaded again: a server drops a blob that no record names after some minutes.

    Whether that was done before: then there is no hurry.
    """
    before = bool(memory.known.get("forgotten"))
    await memory.keep(forgotten=True, **{f"picture {picture.hash}": None for picture in pictures})
    return before


DIGITS = "234567abcdefghijklmnopqrstuvwxyz"  # in their order in ASCII


def record_key(created_at: str, batch_key: str, number: int) -> str:
    """The key of a post's part: https://atproto.com/specs/tid, the same for every repetition.

    Its time is the post's own to the second. Microseconds and clock id are the batch's, so that two posts of
    one second stand apart; parts of a thread follow one another.
    """
    ours = int.from_bytes(sha256(batch_key.encode()).digest()[:8])
    seconds = int(datetime.fromisoformat(created_at).timestamp())
    microseconds = ours % 999_900 + number
    value = (seconds * 1_000_000 + microseconds) << 10 | (ours >> 54)
    return "".join(DIGITS[value >> shift & 31] for shift in range(60, -1, -5))


def word(answer: httpx.Response) -> str:
    """What a failure is called: https://atproto.com/specs/xrpc#error-responses"""
    if answer.is_success:
        return ""
    try:
        return str(orjson.loads(answer.content).get("error", ""))
    except (AttributeError, orjson.JSONDecodeError):
        return ""


def judge(answer: httpx.Response) -> SendError | None:
    """The protocol's words; an expired token is a 400 there."""
    if found := TROUBLE.get(word(answer)):
        return AccountTrouble(f"{found}: {http.said(answer)}")
    if answer.status_code == 413:
        return Refused(http.said(answer))  # one picture has no halves
    return None
