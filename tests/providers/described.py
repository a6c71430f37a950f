"""A request beside the vendor's own description of it (OpenAPI)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest


def faults(description: Path, request: httpx.Request) -> list[str]:
    """What the description does not allow in the request; members it does not name are not allowed."""
    spec = _closed(json.loads(description.read_text(encoding="utf-8")))
    asked = MockRequest(
        f"{request.url.scheme}://{request.url.host}",
        request.method,
        request.url.path,
        data=request.content,
        content_type=request.headers["content-type"],
        headers=dict(request.headers),
    )
    try:
        OpenAPI.from_dict(spec).validate_request(asked)
    except Exception as error:  # openapi-core has many, and all of them are faults
        found = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or error]
        return [str(getattr(one, "message", one)) for one in found]
    return []


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
