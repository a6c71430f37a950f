"""How the program is, for those who watch it: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from distributor.app import App
from distributor.errors import Forged
from distributor.providers.hooks import known_by_token_of
from distributor.readiness import unready
from distributor.web.hooks import hook_of

READING = ["GET", "HEAD"]
PATIENCE = 5.0  # seconds that the database has to answer whoever asks whether we are ready
AT_ONCE = 2  # questions: who asks all the time takes no threads from readers


class Condition:
    """Answers about the program itself; none of them names a reader."""

    def __init__(self, app: App, duties: Sequence[str]) -> None:
        """*duties*: what this process is to do besides answering; see `readiness`."""
        self._app = app
        self._duties = duties
        self._limiter = anyio.CapacityLimiter(AT_ONCE)

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
        """Whether it does what it is there for; 503 with the reasons, a line each, if not."""
        reasons = [f"the database does not answer within {PATIENCE:.0f} seconds"]
        with anyio.move_on_after(PATIENCE):
            reasons = await to_thread.run_sync(
                unready, self._app, self._duties, limiter=self._limiter, abandon_on_cancel=True
            )
        if reasons:
            lines = "".join(f"- {reason}\n" for reason in reasons)
            return PlainTextResponse(f"not ready\n{lines}", status_code=503)
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
        told = self._app.measures.exposition
        text, content_type = await to_thread.run_sync(told, accept, limiter=self._limiter)
        return Response(text, headers={"content-type": content_type})
