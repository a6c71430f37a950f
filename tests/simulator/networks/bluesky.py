"""https://docs.bsky.app/docs/api/ and the lexicons of bluesky-social/atproto, as read in August 2026.

Words and numbers as @atproto/pds 0.5.35 gave them on 2026-11-23.
"""

from __future__ import annotations

import re
import time
from base64 import b32encode
from hashlib import sha256
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import orjson
import regex

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
HANDLE = "news.example"
PDS = "https://morel.us-east.host.bsky.network"
TID = re.compile(r"[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}")


def failed(status: int, error: str, message: str, **headers: str) -> Reply:
    return reply(status, {"error": error, "message": message}, **headers)


class Bluesky(Network):
    """One account on its server, which signs it in as well."""

    name = "bluesky"
    creates = r"^POST /xrpc/com\.atproto\.repo\.putRecord$"
    words: ClassVar = {
        "busy": failed(429, "RateLimitExceeded", "Rate Limit Exceeded", **{"Retry-After": "5"}),
        "quota": failed(429, "RateLimitExceeded", "Rate Limit Exceeded", **{"Retry-After": "3600"}),
        "unauthorized": failed(401, "AuthenticationRequired", "Invalid identifier or password"),
        "unknown": failed(418, "Surprise", "a surprise"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, tuple[bytes, str]] = {}  # CID -> bytes and media type
        self.records: dict[str, dict[str, Any]] = {}  # key -> what getRecord says
        self.access: set[str] = set()  # tokens that are good
        self.refresh: set[str] = set()
        self.password: str | None = None  # None: any
        self.signed_in: list[float] = []  # when, by a steady clock
        self._numbers = count(1)

    def answer(self, request: Request) -> Reply:
        method = request.path.rpartition("/")[2]
        if not request.path.startswith("/xrpc/"):
            return Reply(status=404, body=b"Cannot POST", type="text/html")
        match method.removeprefix("com.atproto."):
            case "server.createSession":
                return self._sign_in(orjson.loads(request.body))
            case "server.refreshSession":
                return self._refresh(request)
            case "repo.getRecord":
                return self._get(dict(parse_qsl(request.query))["rkey"])
        if refused := self._unauthorized(request, self.access):
            return refused
        match method.removeprefix("com.atproto."):
            case "repo.uploadBlob":
                return self._upload(request)
            case "repo.putRecord":
                return self._put(orjson.loads(request.body))
            case "repo.deleteRecord":
                key = orjson.loads(request.body)["rkey"]
                self.records.pop(key, None)
                self.posts.pop(uri_of(key), None)
                return reply(200, {})
        return failed(501, "MethodNotImplemented", "Method Not Implemented")

    def expire(self) -> None:
        """Two hours pass."""
        self.access.clear()

    def revoke(self) -> None:
        """Somebody revokes the app password's sessions."""
        self.access.clear()
        self.refresh.clear()

    def collect(self) -> None:
        """Drop the blobs that no record names."""
        named = orjson.dumps(list(self.records.values())).decode()
        self.blobs = {cid: blob for cid, blob in self.blobs.items() if cid in named}

    def _sign_in(self, told: dict[str, str]) -> Reply:
        """30 in five minutes."""
        now = time.monotonic()
        self.signed_in = [at for at in self.signed_in if now - at < 300]
        if len(self.signed_in) >= 30:
            return failed(429, "RateLimitExceeded", "Rate Limit Exceeded", **{"Retry-After": "300"})
        self.signed_in.append(now)
        if told["identifier"].startswith("@") or self.password not in (None, told["password"]):
            return self.words["unauthorized"]
        return self._session()

    def _refresh(self, request: Request) -> Reply:
        return self._unauthorized(request, self.refresh) or self._session()

    def _session(self) -> Reply:
        number = next(self._numbers)
        access, refresh = f"access-token-{number}", f"refresh-token-{number}"
        self.access.add(access)
        self.refresh.add(refresh)
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": PDS}
        return reply(
            200,
            {
                "accessJwt": access,
                "refreshJwt": refresh,
                "handle": HANDLE,
                "did": DID,
                "didDoc": {"id": DID, "service": [service]},
                "active": True,
            },
        )

    def _unauthorized(self, request: Request, good: set[str]) -> Reply | None:
        given = request.headers.get("authorization", "")
        if not given:
            return failed(401, "AuthMissing", "Authentication Required")
        token = given.removeprefix("Bearer ")
        if token in good:
            return None
        if token.startswith(("access-token-", "refresh-token-")):
            return failed(400, "ExpiredToken", "Token has expired")
        return failed(400, "InvalidToken", "Token could not be verified")

    def _upload(self, request: Request) -> Reply:
        """Its own limit is 5 MB, Bluesky's is higher; what a post may show is asked of its record."""
        if len(request.body) > 5 * 1024 * 1024:
            return failed(413, "PayloadTooLarge", "request entity too large")
        cid, media_type = cid_of(request.body, 0x55), request.headers["content-type"]
        self.blobs[cid] = request.body, media_type
        blob = {"$type": "blob", "ref": {"$link": cid}, "mimeType": media_type, "size": len(request.body)}
        return reply(200, {"blob": blob})

    def _put(self, told: dict[str, Any]) -> Reply:
        key, record = told["rkey"], told["record"]
        if told["repo"] != DID:
            return self.words["unauthorized"]
        if problem := invalid(key, record):
            return failed(400, "InvalidRequest", problem)
        cid = cid_of(orjson.dumps(record, option=orjson.OPT_SORT_KEYS), 0x71)
        standing = self.records.get(key)
        if standing and standing["cid"] == cid:
            return reply(200, {"uri": uri_of(key), "cid": cid, "validationStatus": "valid"})
        if "swapRecord" in told and told["swapRecord"] != (standing["cid"] if standing else None):
            return failed(400, "InvalidSwap", f"Record was at {standing and standing['cid']}")
        for blob in blobs_of(record):
            if blob["ref"]["$link"] not in self.blobs:
                return failed(400, "BlobNotFound", f"Could not find blob: {blob['ref']['$link']}")
        self.records[key] = {"uri": uri_of(key), "cid": cid, "value": record}
        self._show(key, record)
        return reply(200, {"uri": uri_of(key), "cid": cid, "validationStatus": "valid"})

    def _show(self, key: str, record: dict[str, Any]) -> None:
        embed = record.get("embed", {})
        card = embed.get("external", {})
        shown = [(self._bytes(one["image"]), one["alt"]) for one in embed.get("images", ())]
        self.show(
            Posted(
                id=uri_of(key),
                text=record["text"],
                pictures=shown,
                link=card.get("uri"),
                card={**card, "thumb": self._bytes(card["thumb"])} if "thumb" in card else card,
                answers=record.get("reply", {}).get("parent", {}).get("uri"),
                language=next(iter(record.get("langs", ())), None),
                more={"record": record},
            )
        )

    def _bytes(self, blob: dict[str, Any]) -> bytes:
        return self.blobs[blob["ref"]["$link"]][0]

    def _get(self, key: str) -> Reply:
        if key not in self.records:
            return failed(400, "RecordNotFound", f"Could not locate record: {uri_of(key)}")
        return reply(200, self.records[key])


def uri_of(key: str) -> str:
    return f"at://{DID}/app.bsky.feed.post/{key}"


def cid_of(content: bytes, codec: int) -> str:
    """https://github.com/multiformats/cid, version 1, SHA-256; real records are hashed as CBOR."""
    named = bytes([1, codec, 0x12, 32]) + sha256(content).digest()
    return "b" + b32encode(named).decode().lower().rstrip("=")


def blobs_of(record: dict[str, Any]) -> list[Any]:
    embed = record.get("embed", {})
    thumbs = [embed["external"]["thumb"]] if "thumb" in embed.get("external", {}) else []
    return [*(one["image"] for one in embed.get("images", ())), *thumbs]


def invalid(key: str, record: dict[str, Any]) -> str | None:
    """What of app.bsky.feed.post, embed.images and embed.external *record* does not keep to."""
    embed, about = record.get("embed", {}), "Invalid app.bsky.feed.post record:"
    images, card = embed.get("images", ()), embed.get("external", {})
    checks = {
        "Invalid record key for app.bsky.feed.post": not TID.fullmatch(key),
        f"{about} Missing required key createdAt": "createdAt" not in record,
        f"{about} string too big (maximum 3000) at $.text": len(record["text"].encode()) > 3000,
        f"{about} grapheme too big (maximum 300) at $.text": len(regex.findall(r"\X", record["text"])) > 300,
        f"{about} array too big (maximum 3) at $.langs": len(record.get("langs", ())) > 3,
        f"{about} array too big (maximum 4) at $.embed.images": len(images) > 4,
        f"{about} Missing required key alt": any("alt" not in one for one in images),
        f"{about} blob too big (maximum 2000000)": any(one["image"]["size"] > 2_000_000 for one in images),
        f"{about} blob too big (maximum 1000000)": card.get("thumb", {}).get("size", 0) > 1_000_000,
        f"{about} Missing required key title or description": bool(card)
        and not {"uri", "title", "description"} <= card.keys(),
        f"{about} Missing required key cid": any(
            "cid" not in one for one in record.get("reply", {}).values()
        ),
    }
    return next((problem for problem, is_so in checks.items() if is_so), None)
