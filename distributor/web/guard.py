"""What every request passes: how much it may bring, and what every answer says to browsers.

Plain ASGI: a layer that reads and builds requests anew would cost more than all the rest of a webhook.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distributor.errors import DatabaseError
from distributor.web.intake import Busy

log = logging.getLogger(__name__)

MOST_BYTES = {  # of a body, by the beginning of the path
    "/webhooks/": 5_000_000,  # vendors send up to 500 events together
    "/api/": 1_000_000,
    "/": 64_000,
}
HEADERS = {  # https://owasp.org/www-project-secure-headers/ (read 2026-11-23)
    # Pages have one stylesheet of their own, forms that lead back here, and pictures of mails.
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' https: data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # readers' tokens stand in addresses
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class TooLarge(Exception):
    """More came than a body may have."""


class Guard:
    """Bounds bodies, adds headers, and turns what goes wrong into a plain sentence."""

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self._app = app
        self._headers = dict(HEADERS)
        if is_secure:
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _add(message, self._headers)
            await send(message)

        try:
            await self._app(scope, bounded(scope, receive), sending)
        except Exception as error:
            answer = _answer(error)
            if answer is None or begun:
                raise
            await answer(scope, receive, sending)


def _add(message: Message, headers: Mapping[str, str]) -> None:
    """What an answer says for itself stays."""
    own = MutableHeaders(raw=message["headers"])
    for name, value in headers.items():
        own.setdefault(name, value)
    message["headers"] = own.raw


def _answer(error: Exception) -> PlainTextResponse | None:
    """What a person, or a vendor's machine, is told; None where it is a fault of ours."""
    if isinstance(error, TooLarge):
        return PlainTextResponse(f"{error}\n", status_code=413)
    if isinstance(error, DatabaseError | Busy):
        log.warning("%s", error)
        text = "This cannot be kept at the moment; send it again in a few seconds.\n"
        return PlainTextResponse(text, status_code=503, headers={"retry-after": "5"})
    return None


def bounded(scope: Scope, receive: Receive) -> Receive:
    """*receive*, as long as the body is no larger than its path allows."""
    most = next(size for beginning, size in MOST_BYTES.items() if scope["path"].startswith(beginning))
    told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    come = 0

    async def receiving() -> Message:
        nonlocal come
        if told.isdigit() and int(told) > most:
            raise TooLarge(f"more than {most:,} bytes are not taken here")
        message = await receive()
        come += len(message.get("body", b""))
        if come > most:
            raise TooLarge(f"more than {most:,} bytes are not taken here")
        return message

    return receiving
