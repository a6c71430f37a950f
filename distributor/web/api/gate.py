"""Who may pass to the API: whoever brings a token, not too often, and for what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from weakref import proxy

from anyio import to_thread
from fastapi import APIRouter, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from distributor.access import SCOPES
from distributor.app import App
from distributor.errors import DatabaseError
from distributor.store.tokens import TokenRow
from distributor.web.api.answers import USUAL, Unfit, away, failed
from distributor.web.rates import Rates

ROOT = "/api/v1"
TOKEN = HTTPBearer(
    scheme_name="token",
    description="From `distributor tokens add`. Scopes: "
    + "; ".join(f"`{scope}`: {what}" for scope, what in SCOPES.items())
    + ".",
    auto_error=False,
)


class Gate:
    """Refuses strangers before anything that they send is looked at."""

    def __init__(self, inner: ASGIApp, app: App, rates: Rates, *, open_to_all: Sequence[str]) -> None:
        self._inner = inner
        self._app = app
        self._rates = rates
        self._open = open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open:
            refused = await self._refused(scope)
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._inner(scope, receive, send)

    async def _refused(self, scope: Scope) -> Response | None:
        """The answer to whoever may not pass."""
        kind, _, text = Headers(scope=scope).get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return unknown("a token is wanted: Authorization: Bearer dst_…", error="")
        try:
            found = await to_thread.run_sync(self._app.token_holder, text.strip())
        except DatabaseError as error:
            return await away(Request(scope), error)
        if found is None:
            return unknown("this token is not known here; it may have been revoked")
        if found.is_over(self._app.clock()):
            return unknown(f"this token is over since {found.expires_at:%Y-%m-%d %H:%M} UTC")
        if seconds := self._rates.token(found.id):
            said = f"too much was asked with this token; ask again in {seconds} seconds"
            return failed(429, said, headers={"Retry-After": str(seconds)})
        scope.setdefault("state", {})["token"] = found
        return None


def unknown(message: str, *, error: str = ', error="invalid_token"') -> Response:
    """RFC 6750: whoever brings no token at all is told of no error."""
    return failed(401, message, headers={"WWW-Authenticate": f'Bearer realm="distributor"{error}'})


async def _allowed(
    wanted: SecurityScopes, request: Request, _described: Annotated[Any, Security(TOKEN)]
) -> TokenRow:
    token: TokenRow = request.state.token
    for scope in wanted.scopes:
        if scope not in token.scopes:
            raise Forbidden(scope)
    _understood(request)
    return token


def _understood(request: Request) -> None:
    """A filter that is misspelt must not pass as none.

    Raises:
        Unfit: there is no such parameter, or it is there twice.
    """
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            raise Unfit(f"there is no parameter {name[:60]!r} here", field=name[:60])
        if given.count(name) > 1:
            raise Unfit(f"{name} is given more than once", field=name)


class Forbidden(HTTPException):
    """The token lacks a scope."""

    def __init__(self, scope: str) -> None:
        named = {
            "WWW-Authenticate": f'Bearer realm="distributor", error="insufficient_scope", scope="{scope}"'
        }
        super().__init__(403, f"this token may not do that: it lacks the scope {scope}", named)


class Endpoints:
    """Some of the API's endpoints, which are its methods.

    FastAPI remembers every endpoint that it came to know, as long as the process lives, and with a method its
    object. So that holds nothing: an app that is no longer served, as after new settings, is to go.
    """

    def __init__(self, app: App) -> None:
        self._app: App = proxy(app)

    def routes(self) -> list[BaseRoute]:
        raise NotImplementedError


def room(path: str, *, about: str) -> APIRouter:
    """Where the endpoints below a path go; they may all be refused as anything here may be."""
    return APIRouter(
        prefix=f"{ROOT}{path}",
        tags=[about],
        responses=USUAL,
        generate_unique_id_function=lambda route: route.name,
    )


def may(scope: str) -> Any:
    """A dependency: the token, if it has the scope."""
    assert scope in SCOPES
    return Security(_allowed, scopes=[scope])
