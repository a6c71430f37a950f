"""The pictures of mails and posts, by their hash."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

NAME = re.compile(r"[0-9a-f]{64}\.(jpg|png|gif|webp)")


class Media:
    """`GET /media/{hash}`; what is under a hash never changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def routes(self) -> list[BaseRoute]:
        return [Route("/media/{name}", self.show, methods=["GET", "HEAD"])]

    async def show(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = self._folder / name
        if not NAME.fullmatch(name) or not path.is_file():
            return PlainTextResponse("There is no such picture.\n", status_code=404)
        # Mail programs and networks show it on pages of theirs.
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "cross-origin-resource-policy": "cross-origin",
        }
        return FileResponse(path, headers=headers)
