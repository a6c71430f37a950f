"""Where providers report, the site says that it has something new, and forms and CRMs speak of readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from anyio import to_thread
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from distributor import outcomes
from distributor.app import App
from distributor.errors import Forged, TryLater, Unreadable
from distributor.logs import Log
from distributor.providers.by_type import webhook
from distributor.providers.hooks import json_of, known_by_standard_webhooks, known_by_token_of, own_id
from distributor.providers.protocol import Hook, Webhook
from distributor.web.guard import answer_to
from distributor.web.intake import Intake
from distributor.web.messages import told_by

log = Log(__name__)

REPORTS = "/webhooks/email/"
KEPT = Response(status_code=200)


class EmailHooks:
    """`POST /webhooks/email/{provider}`, for every provider whose `webhook` says how it is known.

    An ASGI application of its own: reports come by the thousand, and Starlette's layers would cost as much as
    all that is done here.
    """

    def __init__(self, app: App, intake: Intake) -> None:
        self._app = app
        self._intake = intake
        self._mark = app.mark
        self._webhooks: dict[str, Webhook] = {
            name: found
            for name, settings in app.config.providers.items()
            if (found := webhook(settings)) is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except Exception as error:
            answer = await answer_to(request, error)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        """Verified, kept, answered; what follows from it is done after."""
        name = request.scope["path"].removeprefix(REPORTS)
        found = self._webhooks.get(name)
        if found is None:
            return _told(404, f"no provider {name[:60]!r} with `webhook` settings is configured here")
        if request.method != "POST":
            return _told(405, "Reports are sent by POST.", {"allow": "POST"})
        hook = await hook_of(request, self._app.clock)
        try:
            told = await found.events(hook)
        except Forged as error:
            # Amazon SNS sends the name and password of an address only when asked for them.
            return _told(
                401, f"This {error}.", {"www-authenticate": 'Basic realm="webhooks", charset="UTF-8"'}
            )
        except Unreadable as error:
            return _told(found.stops_with, f"This {error}.")
        except TryLater as error:
            return _told(503, str(error), {"retry-after": "30"})
        if told:
            rows = outcomes.rows_of(name, told, mark=self._mark, received_at=hook.received_at)
            await self._intake.keep(rows)
        return KEPT


class SiteHook:
    """`POST /webhooks/published`: the site was deployed, so look at it now.

    Known by a token (`Authorization: Bearer …`), or signed as Standard Webhooks has it.
    """

    def __init__(self, app: App, published: Callable[[], None]) -> None:
        self._app = app
        self._published = published

    @property
    def routes(self) -> list[BaseRoute]:
        return [Route("/webhooks/published", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        secrets = self._app.config.web.published_secret
        if not secrets:
            return _told(404, "[web] published_secret is not set here")
        try:
            known(await hook_of(request, self._app.clock), secrets)
        except Forged as error:
            return _told(401, f"This {error}.", {"www-authenticate": "Bearer"})
        await to_thread.run_sync(self._app.deployed)
        self._published()
        return _told(202, "The site is looked at now.")


class SubscribersHook:
    """`POST /webhooks/subscribers`: forms and CRMs say who wants, changes or leaves what.

    Signed as Standard Webhooks has it; a message is done once, by its id.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def routes(self) -> list[BaseRoute]:
        return [Route("/webhooks/subscribers", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        web = self._app.config.web
        if not web.subscribers_secret:
            return _told(404, "[web] subscribers_secret is not set here")
        hook = await hook_of(request, self._app.clock)
        try:
            id_ = known_by_standard_webhooks(hook, web.subscribers_secret)
            told = told_by(
                json_of(hook), received_at=hook.received_at, newsletters=self._app.config.newsletters
            )
            # Without our own word for it, who is said to have confirmed elsewhere is asked here.
            told = replace(told, is_confirmed=told.is_confirmed and web.confirmed_elsewhere)
            is_new = await to_thread.run_sync(self._app.reception.hear, own_id(id_), told)
        except Forged as error:
            return _told(401, f"This {error}.")
        except Unreadable as error:
            return _told(400, f"This {error}.")
        except ValueError as error:
            return _told(400, f"This cannot be taken: {error}.")
        log.info("heard", said=told.what, id=own_id(id_), is_new=is_new)
        return _told(200, "Done." if is_new else "This was done before, and is not done again.")


def known(hook: Hook, secrets: tuple[SecretStr, ...]) -> str:
    """The id of a signed message, or nothing of one that brings a token.

    Raises:
        Forged: it is neither, or with another secret.
    """
    if "webhook-signature" in hook.headers:
        return known_by_standard_webhooks(hook, secrets)
    known_by_token_of(hook, secrets)
    return ""


async def hook_of(request: Request, clock: Callable[[], datetime]) -> Hook:
    """A request as the readers of webhooks take it: its very bytes, and its headers."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.raw}
    return Hook(body=await request.body(), headers=headers, received_at=clock())


def _told(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status_code=status, headers=headers)
