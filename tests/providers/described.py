"""A request beside the vendor's own description of it (OpenAPI)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest


def faults(description: Path, request: httpx.Request, *, allowed: frozenset[str] = frozenset()) -> list[str]:
    """What the description does not allow in the request; members it does not name are not allowed.

    *allowed*: members that it lacks though the vendor takes them, as paths: `messageVersions.headers`.
    """
    spec = _closed(json.loads(description.read_text(encoding="utf-8")))
    for server in spec.get("servers", ()):
        server["url"] = (
            server["url"].replace("//", "https://") if server["url"][:2] == "//" else server["url"]
        )
    asked = MockRequest(
        f"{request.url.scheme}://{request.url.host}",
        request.method,
        request.url.path,
        data=_without(request.content, allowed),
        content_type=request.headers["content-type"],
        headers=dict(request.headers),
    )
    try:
        OpenAPI.from_dict(spec).validate_request(asked)
    except Exception as error:  # openapi-core has many, and all of them are faults
        found = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or error]
        return [str(getattr(one, "message", one)) for one in found]
    return []


def _without(content: bytes, paths: frozenset[str]) -> bytes:
    """The JSON less the members at *paths*, in every item of a list on the way."""
    if not paths:
        return content
    told = json.loads(content)
    for path in paths:
        _drop(told, path.split("."))
    return json.dumps(told).encode()


def _drop(value: Any, path: list[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _drop(item, path)
    elif path[1:]:
        _drop(value.get(path[0], {}), path[1:])
    else:
        value.pop(path[0], None)


def _closed(spec: Any) -> Any:
    """The description with every object closed to members that it does not name."""
    if isinstance(spec, list):
        return [_closed(member) for member in spec]
    if not isinstance(spec, dict):
        return spec
    closed = {name: _closed(member) for name, member in spec.items()}
    if closed.get("type") == "object" and closed.get("properties"):
        closed.setdefault("additionalProperties", False)
    return closed
