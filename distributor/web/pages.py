"""What all pages for readers share: templates, words, the style sheet, and what is said when something fails.

They need no cookie and no JavaScript. Links begin at the root, under the path of `[web] public_url` if it has
one, so that they lead back to wherever the page was reached.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from anyio import to_thread
from fastapi.exception_handlers import http_exception_handler
from jinja2 import Environment, Template
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from distributor.app import App
from distributor.errors import DistributorError
from distributor.model import Publication
from distributor.rendering.digest import words_of
from distributor.rendering.environment import environment, render
from distributor.rendering.filters import direction, web_address

log = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]

MOST_FIELDS = 300  # of a form: every topic that a reader ticks is one
FOR_PROGRAMS = ("/api/", "/webhooks/", "/media/", "/healthz", "/readyz", "/metrics")
KNOWN_STATUS = (400, 404, 405, 410, 413, 429, 500, 503)  # that have words of their own


class Pages:
    """Makes pages of templates, in the site's language and colour."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._environment = environment(app.config.templates, "pages")

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", route(self._home), methods=["GET"]),
            Route("/pages.css", route(self._style), methods=["GET"]),
            Route("/robots.txt", route(self._robots), methods=["GET"]),
        ]

    def _home(self, _request: Request) -> Response:
        return self.show("home")

    def _style(self, request: Request) -> Response:
        style = self._style_sheet()
        # Its address has its hash, so it never changes there.
        is_this = request.query_params.get("v") == fingerprint(style)
        kept = "public, max-age=31536000, immutable" if is_this else "no-cache"
        return Response(style, media_type="text/css", headers={"cache-control": kept})

    def _robots(self, _request: Request) -> Response:
        root = self.root
        allowed = (f"{root}/archive", f"{root}/media/", f"{root}/pages.css")
        lines = ["User-agent: *", *(f"Allow: {path}" for path in allowed), f"Disallow: {root}/"]
        return PlainTextResponse("\n".join(lines) + "\n", headers={"cache-control": "public, max-age=86400"})

    # --- making one ---

    def show(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """The page of a template; robots keep away from it unless *headers* say otherwise."""
        html = self.render(f"{template}.html.j2", **values)
        return HTMLResponse(html, status, {"x-robots-tag": "noindex"} | dict(headers or {}))

    def render(self, template: str, /, **values: object) -> str:
        publication = self.publication
        usual = {
            "publication": publication,
            "newsletters": self._app.config.newsletters,
            "language": publication.language,
            "direction": direction(publication.language),
            "words": self.words,
            "root": self.root,
            "public_url": self._app.config.web.public_url,
            "site_url": web_address(publication.base_url),
            "logo": web_address(publication.logo),
            "style": fingerprint(self._style_sheet()),
        }
        return render(self._environment, template, **usual | values)

    def _style_sheet(self) -> str:
        return _style_sheet(self._environment.get_template("style.css.j2"), self.publication)

    @property
    def publication(self) -> Publication:
        return self._app.publication

    @property
    def words(self) -> SimpleNamespace:
        """The fixed words in the site's language; what a file of words lacks is there in English."""
        own = words_of(self._environment, self.publication.language)
        return SimpleNamespace(**_defined(self._environment, "words.j2") | _defined(self._environment, own))

    @cached_property
    def root(self) -> str:
        """The path that all of ours begin with; mostly empty."""
        return urlsplit(self._app.config.web.public_url).path.rstrip("/")

    # --- when something fails ---

    def answers(self, others: Mapping[type[Exception], Handler]) -> dict[type[Exception], Handler]:
        """*others*, for programs, and for people pages that say the same."""
        usual: dict[type[Exception], Handler] = {HTTPException: http_exception_handler, **others}  # type: ignore[dict-item]
        return {kind: self._for_people(handler) for kind, handler in usual.items()}

    def _for_people(self, handler: Handler) -> Handler:
        async def answering(request: Request, error: Exception) -> Response:
            answer = await handler(request, error)
            if not is_for_people(request):
                return answer
            headers = {
                name: value for name, value in answer.headers.items() if name in ("allow", "retry-after")
            }
            try:
                return await to_thread.run_sync(lambda: self.trouble(answer.status_code, headers=headers))
            except DistributorError as failed:  # a template of the publisher's own
                log.error("%s", failed)
                return PlainTextResponse(f"{answer.status_code}\n", answer.status_code, headers)

        return answering

    def trouble(self, status: int, *, headers: Mapping[str, str] | None = None, **values: object) -> Response:
        """The page that says why there is no other."""
        kind = status if status in KNOWN_STATUS else 500 if status > 500 else 400
        title, text = (getattr(self.words, f"error_{kind}_{part}") for part in ("title", "text"))
        told: dict[str, Any] = {"title": title, "text": text, "step": None} | values
        return self.show("message", status=status, headers=headers, **told)


def route(
    show: Callable[[Request], Response], take: Callable[[Request, FormData], Response] | None = None
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint: *show* for whoever looks, *take* for a form that is sent; each in a thread of its own."""

    async def answering(request: Request) -> Response:
        if request.method != "POST" or take is None:
            return await to_thread.run_sync(show, request)
        try:
            form = await request.form(max_files=0, max_fields=MOST_FIELDS)
        except ValueError:  # text that is not in the encoding it names, or in one that is none
            raise HTTPException(400) from None
        return await to_thread.run_sync(take, request, form)

    return answering


def is_for_people(request: Request) -> bool:
    """Whether a browser asks, and for what is not meant for programs."""
    is_page = not request.url.path.startswith(FOR_PROGRAMS)
    return is_page and "text/html" in request.headers.get("accept", "")


def field(form: FormData, name: str, *, at_most: int = 320) -> str:
    """The text of a form's field; empty where there is none."""
    value = form.get(name)
    return _whole(value[:at_most]).strip() if isinstance(value, str) else ""


def fields(form: FormData, name: str) -> tuple[str, ...]:
    """All that was ticked under one name."""
    return tuple(_whole(value) for value in form.getlist(name) if isinstance(value, str))


def _whole(text: str) -> str:
    """Without the halves of characters that some encodings let a sender write, and no page can show."""
    return text.encode(errors="replace").decode()


def _defined(environment: Environment, name: str) -> dict[str, str]:
    found = vars(environment.get_template(name).module)
    return {word: str(text) for word, text in found.items() if not word.startswith("_")}


@lru_cache(maxsize=4)  # by the template, which is another one once its file has changed
def _style_sheet(template: Template, publication: Publication) -> str:
    return template.render(publication=publication)


@lru_cache(maxsize=4)
def fingerprint(style: str) -> str:
    return hashlib.sha256(style.encode()).hexdigest()[:12]
