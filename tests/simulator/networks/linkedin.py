"""https://learn.microsoft.com/linkedin/marketing/community-management/shares/: posts-api, images-api and
little-text-format, as read in August 2026; DUPLICATE_POST as in Arisamiga/Linkedin-RSS #5."""

from __future__ import annotations

import re
from time import time
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote

import orjson

from tests.simulator.calls import Reply, Request, reply
from tests.simulator.networks.network import Network, Posted

NO_RIGHT = {"status": 403, "serviceErrorCode": 100, "code": "ACCESS_DENIED"}


def refusal(code: str, message: str) -> Reply:
    told = {
        "errorDetailType": "com.linkedin.common.error.BadRequest",
        "message": message,
        "errorDetails": {"inputErrors": [{"description": message, "input": {}, "code": code}]},
        "status": 422,
    }
    return reply(422, told)


class LinkedIn(Network):
    """One organization's page, whose keys end and are made anew."""

    name = "linkedin"
    creates = r"^POST /rest/posts$"
    words: ClassVar = {
        "busy": reply(429, {"status": 429, "message": "Too many requests"}, **{"Retry-After": "5"}),
        "quota": reply(
            429,
            {
                "status": 429,
                "serviceErrorCode": 101,
                "message": "Resource level throttle APPLICATION DAY limit is reached.",
            },
        ),
        "unauthorized": reply(
            401, {"status": 401, "serviceErrorCode": 65600, "code": "INVALID_ACCESS_TOKEN"}
        ),
        "unknown": reply(418, {"message": "a surprise"}),
    }

    def __init__(self) -> None:
        super().__init__()
        self._pictures: dict[str, bytes] = {}
        self._told: dict[str, bytes] = {}  # a post's URN -> the body that made it
        self.versions = range(202512, 202613)  # those that are served
        self.may_read = False  # r_organization_social: few apps have it
        self.ended: set[str] = set()  # keys that open nothing any more
        self.renewals = 0

    def answer(self, request: Request) -> Reply:
        path = unquote(request.path)
        if path == "/oauth/v2/accessToken":
            return self._renew(dict(parse_qsl(request.body.decode())))
        key = request.headers.get("authorization", "")
        if not key.startswith("Bearer ") or key.removeprefix("Bearer ") in self.ended:
            return self.words["unauthorized"]
        if request.method == "PUT" and path.startswith("/dms-uploads/"):
            return self._put(path.removeprefix("/dms-uploads/"), request.body)
        if unserved := self._version(request):
            return unserved
        post = re.fullmatch(r"/rest/posts/(urn:li:share:\d+)", path)
        match request.method, path:
            case "POST", "/rest/images":
                return self._initialize(request)
            case "POST", "/rest/posts":
                return self._create(request.body)
            case "POST", _ if post:
                return self._edit(post[1], request)
            case "GET", _ if post and self.may_read:
                return reply(200 if post[1] in self.posts else 404, {"id": post[1]})
            case "GET", _ if post:
                said = "Not enough permissions to access: partnerApiPosts.GET"
                return reply(403, {**NO_RIGHT, "message": said})
            case "DELETE", _ if post:
                self.posts.pop(post[1], None)
                return Reply(status=204)
        return reply(404, {"status": 404, "code": "RESOURCE_NOT_FOUND"})

    def _version(self, request: Request) -> Reply | None:
        if request.headers["x-restli-protocol-version"] != "2.0.0":
            raise ValueError("another protocol")
        version = request.headers["linkedin-version"]
        if int(version) in self.versions:
            return None
        said = f"Requested version {version}01 is not active"
        return reply(426, {"status": 426, "code": "NONEXISTENT_VERSION", "message": said})

    def _renew(self, form: dict[str, str]) -> Reply:
        """https://learn.microsoft.com/linkedin/shared/authentication/programmatic-refresh-tokens"""
        if not (form["client_id"] and form["client_secret"] and form["refresh_token"]):
            return reply(400, {"error": "invalid_request"})
        self.renewals += 1
        made = {"access_token": f"first-key-{self.renewals}", "refresh_token": form["refresh_token"]}
        return reply(200, {**made, "expires_in": 5_184_000, "refresh_token_expires_in": 26_438_400})

    def _initialize(self, request: Request) -> Reply:
        if request.query != "action=initializeUpload":
            raise ValueError("another action")
        if not orjson.loads(request.body)["initializeUploadRequest"]["owner"].startswith("urn:li:"):
            return reply(400, {"message": "owner"})
        number = f"D4E22AQ{len(self._pictures)}"
        self._pictures[f"urn:li:image:{number}"] = b""
        host = request.headers.get("host", "")
        below = f"http://{host}/{self.name}"
        if not host or host.endswith("linkedin.com"):
            below = "https://www.linkedin.com"
        upload = {"uploadUrlExpiresAt": int(time() * 1000) + 86_400_000}
        upload |= {"uploadUrl": f"{below}/dms-uploads/{number}"}  # type: ignore[dict-item]
        return reply(200, {"value": {**upload, "image": f"urn:li:image:{number}"}})

    def _put(self, number: str, content: bytes) -> Reply:
        if not content or len(content) > 8_000_000:
            return reply(400, {"message": "too large"})
        self._pictures[f"urn:li:image:{number}"] = content
        return Reply(status=201)

    def _create(self, body: bytes) -> Reply:
        told = orjson.loads(body)
        if len(told["commentary"].encode("utf-16-le")) // 2 > 3000:
            return refusal("MAX_LENGTH_EXCEEDED", "commentary exceeded the maximum allowed length")
        for urn, before in self._told.items():
            if before == body:
                exception = "com.linkedin.content.common.exception.BadRequestResponseException"
                return refusal("DUPLICATE_POST", f"{exception}: Content is a duplicate of {urn}")
        images = _images(told.get("content", {}))
        if len(images) > 20 or any(len(alt) > 4086 for _, alt in images):
            return refusal("INVALID_CONTENT", "too many images, or too long alternative texts")
        if missing := [urn for urn, _ in images if not self._pictures.get(urn)]:
            return refusal("MEDIA_ASSET_NOT_FOUND", f"no asset {missing[0]}")
        urn = f"urn:li:share:{(int(time() * 1000) << 22) + len(self.taken)}"
        self._told[urn] = body
        self.show(
            Posted(
                id=urn,
                text=plain(told["commentary"]),
                pictures=[(self._pictures[image], alt) for image, alt in images],
                card=told.get("content", {}).get("article", {}),
                more={"author": told["author"], "visibility": told["visibility"]},
            )
        )
        return Reply(status=201, headers={"x-restli-id": urn})

    def _edit(self, urn: str, request: Request) -> Reply:
        if request.headers["x-restli-method"] != "PARTIAL_UPDATE":
            raise ValueError("another method")
        if urn not in self.posts:
            return reply(404, {"status": 404, "code": "RESOURCE_NOT_FOUND"})
        self.posts[urn].text = plain(orjson.loads(request.body)["patch"]["$set"]["commentary"])
        return Reply(status=204)


def _images(content: Any) -> list[tuple[str, str]]:
    """The images of a post and their alternative texts; a card's thumbnail is one."""
    article = content.get("article", {})
    if "thumbnail" in article:
        return [(article["thumbnail"], article["thumbnailAltText"])]
    shown = content.get("multiImage", {}).get("images") or [
        content[name] for name in ("media",) if name in content
    ]
    return [(image["id"], image["altText"]) for image in shown]


def plain(commentary: str) -> str:
    """What readers see of "little" text: it ends where a reserved character is not escaped."""
    text = re.sub(r"\{hashtag\|\\(#|＃)\|((?:[^}\\]|\\.)*)\}", r"\\\1\2", commentary)
    seen = re.match(r"(?:[^\\<>#~_|\[\]*(){}@]|\\.)*", text, re.DOTALL)
    return re.sub(r"\\(.)", r"\1", seen[0] if seen else "", flags=re.DOTALL)
