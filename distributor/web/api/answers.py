"""What the API says when it cannot do what is asked: one shape for all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from distributor.errors import DatabaseError, NotFound, WrongState
from distributor.web import guard
from distributor.web.guard import TooLarge
from subscribers.model import plain

MOST_FIELDS = 20  # that are told of one request


class Failure(BaseModel):
    status: int = Field(description="The status of the answer.")
    message: str = Field(description="What is wrong, for a person.")
    fields: dict[str, str] = Field(description="Field -> what is wrong with it, where it is single fields.")


class Failed(BaseModel):
    error: Failure

    model_config = {
        "json_schema_extra": {
            "example": {"error": {"status": 404, "message": "there is no campaign 9", "fields": {}}}
        }
    }


class Unfit(Exception):
    """What is asked cannot be understood, or there is no such thing; `field` names the part, if it is one."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def failed(
    status: int,
    message: str,
    *,
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    error = {"status": status, "message": plain(message, at_most=1000), "fields": dict(fields or {})}
    return JSONResponse({"error": error}, status, dict(headers or {}))


def _told(description: str, *headers: str) -> dict[str, Any]:
    named = {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in headers}
    return {"model": Failed, "description": description, **({"headers": named} if named else {})}


HEADERS = {
    "Retry-After": "Seconds to wait before it is asked again.",
    "WWW-Authenticate": "What kind of token is wanted, and which scope (RFC 6750).",
}
USUAL: dict[int | str, dict[str, Any]] = {
    400: _told("What was sent is no JSON."),
    401: _told("There is no token, or it is not known, or it is over.", "WWW-Authenticate"),
    403: _told("The token may not do this.", "WWW-Authenticate"),
    413: _told("More was sent than is taken."),
    422: _told("A part of what was sent cannot be understood; `fields` says which."),
    429: _told("Too much was asked with this token.", "Retry-After"),
    503: _told("The database is away for the moment; nothing was done.", "Retry-After"),
}
MISSING: dict[int | str, dict[str, Any]] = {404: _told("There is no such thing.")}
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: _told("It cannot be done as things stand; the message says how they stand.")
}


# --- what becomes of each failure ---


async def _http(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        return _other_method(request)
    if isinstance(error.__cause__, TooLarge):  # FastAPI read the body, and wraps what went wrong
        return failed(413, str(error.__cause__))
    said = {
        400: "what was sent is no JSON",
        404: "there is nothing at this address; /api/v1/openapi.json says what there is",
    }
    message = said.get(error.status_code) or error.detail
    return failed(error.status_code, message, headers=error.headers)


def _other_method(request: Request) -> Response:
    """Every method that the address takes is named; a route by itself knows of its own only."""
    found = {
        method
        for route in request.app.routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods
    }
    allowed = ", ".join(sorted(found))
    return failed(405, f"this address takes {allowed}", headers={"Allow": allowed})


async def _invalid(_request: Request, error: RequestValidationError) -> Response:
    told = error.errors()[:MOST_FIELDS]
    if any(one["type"] == "json_invalid" for one in told):
        return failed(400, "what was sent is no JSON")
    fields = {_place(one["loc"]): _reason(one) for one in told}
    message = "; ".join(f"{place}: {reason}" if place else reason for place, reason in fields.items())
    return failed(422, message, fields={place: reason for place, reason in fields.items() if place})


def _place(where: Sequence[int | str]) -> str:
    """A field as the asker wrote it: without where it came in, and never longer than a line."""
    return plain(".".join(str(part) for part in where[1:]), at_most=100)


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] in ("missing", "model_attributes_type") and len(error["loc"]) == 1:
        return "a JSON object is wanted, as application/json"
    said = SAID.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return plain(said, at_most=300)


SAID = {
    "missing": "is missing",
    "extra_forbidden": "is no field that is known here",
    "string_unicode": "has halves of characters",
    "string_pattern_mismatch": "has characters or a form that is not taken here",
    "timezone_aware": "has no offset from UTC; write one, or Z",
}


async def _unfit(_request: Request, error: Unfit) -> Response:
    told, field = plain(str(error), at_most=300), plain(error.field, at_most=100)
    return failed(422, told, fields={field: told} if field else {})


async def _too_large(_request: Request, error: TooLarge) -> Response:
    return failed(413, str(error))


async def _not_found(_request: Request, error: NotFound) -> Response:
    return failed(404, str(error))


async def _wrong_state(_request: Request, error: WrongState) -> Response:
    return failed(409, str(error))


async def away(request: Request, error: Exception) -> Response:
    usual = await guard.away(request, error)
    return failed(503, "the database is away; ask again in a few seconds", headers=_retry(usual))


def _retry(answer: Response) -> dict[str, str]:
    return {"Retry-After": answer.headers["retry-after"]}


async def _fault(request: Request, error: Exception) -> Response:
    await guard.fault(request, error)
    return failed(500, "something went wrong here; it was noted")


ANSWERS: dict[int | type[Exception], Any] = {
    HTTPException: _http,
    RequestValidationError: _invalid,
    Unfit: _unfit,
    TooLarge: _too_large,
    NotFound: _not_found,
    WrongState: _wrong_state,
    DatabaseError: away,
    Exception: _fault,
}
