"""How the program is, for those who watch it: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from distributor.app import App
from distributor.errors import Forged
from distributor.providers.hooks import known_by_token_of
from distributor.web.hooks import hook_of

READING = ["GET", "HEAD"]


class Condition:
    """Answers about the program itself; none of them names a reader."""

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            Route("/healthz", self.is_alive, methods=READING),
            Route("/readyz", self.is_ready, methods=READING),
            Route("/metrics", self.measures, methods=READING),
        ]

    async def is_alive(self, _request: Request) -> Response:
        """It answers: whoever restarts what hangs needs no more."""
        return PlainTextResponse("alive\n")

    async def is_ready(self, _request: Request) -> Response:
        await to_thread.run_sync(self._app.database.version)
        return PlainTextResponse("ready\n")

    async def measures(self, request: Request) -> Response:
        """What Prometheus asks for; to nobody, unless a token is configured.

        That a request comes from this machine says nothing: so does every stranger's, through a web server in
        front.
        """
        tokens = self._app.config.web.metrics_token
        if not tokens:
            return PlainTextResponse("[web] metrics_token is not set here\n", status_code=404)
        try:
            known_by_token_of(await hook_of(request, self._app.clock), tokens)
        except Forged as error:
            challenge = {"www-authenticate": "Bearer"}
            return PlainTextResponse(f"This {error}.\n", status_code=401, headers=challenge)
        accept = request.headers.get("accept", "")
        text, content_type = await to_thread.run_sync(self._app.measures.exposition, accept)
        return Response(text, headers={"content-type": content_type})
