"""The web application: composed once, on one `App`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio import to_thread
from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from distributor.app import App
from distributor.errors import DistributorError
from distributor.outcomes import SILENCING
from distributor.readiness import DUTIES
from distributor.store.events import EventRow
from distributor.web.api import api
from distributor.web.archive import Archive
from distributor.web.condition import Condition
from distributor.web.guard import ANSWERS, Guard
from distributor.web.hooks import REPORTS, EmailHooks, SiteHook, SubscribersHook
from distributor.web.intake import Intake
from distributor.web.media import Media
from distributor.web.pages import Pages
from distributor.web.visitors import Visitors

log = logging.getLogger(__name__)

AGAIN = 10.0  # seconds after which events are followed up, though nothing came
TOGETHER = 1.0  # seconds in which events gather that silence nobody


def site(app: App, *, published: Callable[[], None] | None = None) -> ASGIApp:
    """The whole endpoint of an app whose tables are there.

    *published* is called when the site was deployed; unless given, it is looked at here.
    """
    web = _Web(app, published)
    pages = FastAPI(
        title="distributor",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would name a host that the asker chose, and no one-click request follows
        lifespan=web.lifespan,
        exception_handlers=web.pages.answers(ANSWERS),  # type: ignore[arg-type]
    )
    pages.router.routes[:0] = web.routes
    programs = api(app)

    async def one_of_them(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(REPORTS):
            await web.reports(scope, receive, send)
        elif path.startswith("/api/"):
            await programs(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return Guard(one_of_them, is_secure=app.config.web.public_url.startswith("https://"))


class _Web:
    """What requests share."""

    def __init__(self, app: App, published: Callable[[], None] | None) -> None:
        self._app = app
        self.pages = Pages(app)
        self._kept, self._urgent = _Bell(), _Bell()
        self._deployed = _Bell()
        self._intake = Intake(app.database, after=self._was_kept)
        self.reports = EmailHooks(app, self._intake)
        self._published = published or self._deployed.ring
        self._duties = tuple(DUTIES) if published else ()  # who looks by itself delivers, too

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            *SiteHook(self._app, self._published).routes,
            *SubscribersHook(self._app).routes,
            *Media(self._app.config.pictures.path).routes,
            *self.pages.routes,
            *Visitors(self._app, self.pages).routes,
            *Archive(self._app, self.pages).routes,
            *Condition(self._app, self._duties).routes,
        ]

    @asynccontextmanager
    async def lifespan(self, _api: Any) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._intake.run)
            group.start_soon(self._follow_up)
            group.start_soon(self._look)
            yield
            group.cancel_scope.cancel()

    def _was_kept(self, rows: Sequence[EventRow]) -> None:
        self._kept.ring()
        if any(row.type in SILENCING for row in rows):
            self._urgent.ring()

    async def _follow_up(self) -> None:
        """Do what follows from events: at once where an address is to be silent, else for many together."""
        while True:
            with anyio.move_on_after(AGAIN):
                await self._kept.wait()
                with anyio.move_on_after(TOGETHER):
                    await self._urgent.wait()
            await self._do(self._app.follow_up)

    async def _look(self) -> None:
        """Look at the site whenever it was deployed."""
        while True:
            await self._deployed.wait()
            await self._do(self._app.look)

    async def _do(self, step: Callable[[], object]) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(step)
        except DistributorError as error:  # the next time finds it mended, or says so again
            log.warning("%s", error)


class _Bell:
    """Rung any number of times, it wakes whoever waits once."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = anyio.Event()
