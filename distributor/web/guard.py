"""What every request passes: how much it may bring, and what every answer says to browsers.

Plain ASGI: a layer that reads and builds requests anew would cost more than all the rest of a webhook.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from time import monotonic
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distributor import metrics
from distributor.errors import DatabaseError
from distributor.web.intake import Busy

log = logging.getLogger(__name__)

MOST_BYTES = {  # of a body, by the beginning of the path
    "/webhooks/subscribers": 64_000,  # one message is of one person
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
    """Bounds bodies, and adds headers."""

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self._app = app
        headers = HEADERS | ({"strict-transport-security": "max-age=31536000"} if is_secure else {})
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        is_answered = False

        async def sending(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                _add(message, self._headers)
                metrics.REQUESTS.labels(route, message["status"]).inc()
                metrics.ANSWERS.labels(route).observe(monotonic() - begun)
            await send(message)

        begun, route = monotonic(), metrics.route_of(scope["path"])
        try:
            await self._app(scope, bounded(scope, receive), sending)
        except Exception:
            # Starlette raises again what `fault` answered; uvicorn would drop the connection after it.
            if not is_answered:
                raise


def _add(message: Message, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """What an answer says for itself stays."""
    own = {name for name, _ in message["headers"]}
    message["headers"] = [*message["headers"], *(header for header in headers if header[0] not in own)]


async def too_large(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", status_code=413)


async def away(_request: Request, error: Exception) -> Response:
    """The database is away, or busy: whoever sent it is to come again."""
    log.warning("%s", error)
    text = "This cannot be kept at the moment; send it again in a few seconds.\n"
    return PlainTextResponse(text, status_code=503, headers={"retry-after": "5"})


async def hung_up(_request: Request, _error: Exception) -> Response:
    """Whoever went away in the middle of a request hears no answer, and made no fault of ours."""
    return Response(status_code=400)


async def fault(request: Request, error: Exception) -> Response:
    """A fault of ours; its address is not told, for it may hold a reader's token."""
    log.error("a request to /%s… failed", request.url.path.split("/")[1], exc_info=error)
    return PlainTextResponse("Something went wrong here; it was noted.\n", status_code=500)


ANSWERS: Mapping[type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    TooLarge: too_large,
    DatabaseError: away,
    Busy: away,
    ClientDisconnect: hung_up,
    Exception: fault,
}


async def answer_to(request: Request, error: Exception) -> Response:
    """What *error* is answered with, where no layer of Starlette's does it."""
    answer = next(answer for kind, answer in ANSWERS.items() if isinstance(error, kind))
    return await answer(request, error)


def bounded(scope: Scope, receive: Receive) -> Receive:
    """*receive*, as long as the body is no larger than its path allows."""
    most = _most_bytes(scope["path"])
    come = 0

    async def receiving() -> Message:
        nonlocal come
        message = await receive()
        come += len(message.get("body", b""))
        if come > most:
            raise TooLarge(f"more than {most:,} bytes are not taken here")
        return message

    return receiving


def _most_bytes(path: str) -> int:
    for beginning, most in MOST_BYTES.items():
        if path.startswith(beginning):
            return most
    return MOST_BYTES["/"]
