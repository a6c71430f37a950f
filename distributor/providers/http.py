"""Calls to vendors over HTTP: the one module that knows the HTTP library's failures.

What an answer means for the message is said once here; a vendor's own words are in the vendor's file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import orjson

from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, TryLater, Unclear

TIMEOUT = httpx.Timeout(60, connect=10)
POOL = httpx.Limits(max_connections=16)  # with more, the pool takes most of the time (encode/httpx #3215)
LONGEST_REASON = 300  # characters of what a vendor said

Judge = Callable[[httpx.Response], SendError | None]  # a vendor's own reading of an answer; None: as usual


@asynccontextmanager
async def client(
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | httpx.Auth | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Connections to one vendor."""
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, auth=auth, timeout=TIMEOUT, limits=POOL, transport=transport
    ) as opened:
        yield opened


async def exchange(
    http: httpx.AsyncClient, request: httpx.Request, *, judge: Judge = lambda answer: None
) -> httpx.Response:
    """Send *request*; the answer, if the vendor accepted what it asks.

    Raises:
        Refused: the vendor will never accept it (400, 422 and other 4xx).
        SomeRefused: not all of it at once (413).
        AccountTrouble: it accepts nothing of ours now (401, 403).
        TryLater: no connection was made, or it is busy (429, 503).
        Unclear: silence after the request left, or a gateway's answer (500, 502, 504).
    """
    try:
        answer = await http.send(request)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise TryLater(f"no connection: {error or type(error).__name__}") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise Unclear(f"no answer: {error or type(error).__name__}") from error
    if failure := judge(answer) or _usual(answer):
        raise failure
    return answer


def _usual(answer: httpx.Response) -> SendError | None:
    status, reason = answer.status_code, said(answer)
    if answer.is_success:
        return None
    if status in (401, 403):
        return AccountTrouble(reason)
    if status in (429, 503):
        return TryLater(reason, after=retry_after(answer) or pause(answer) or None)
    if status == 408 or status >= 500:
        return Unclear(reason)
    return SomeRefused(reason) if status == 413 else Refused(reason)  # half a call is half as large


def said(answer: httpx.Response) -> str:
    """What a vendor answered, short enough for a ledger: `422 Unprocessable Entity: {"message": …}`."""
    text = " ".join(answer.text.split())[:LONGEST_REASON]
    return f"{answer.status_code} {answer.reason_phrase}: {text}".rstrip(": ")


def retry_after(answer: httpx.Response, *, now: datetime | None = None) -> float | None:
    """The wait that a server asked for, in seconds (RFC 9110, 10.2.3: a number or a date)."""
    value = answer.headers.get("retry-after", "").strip()
    if value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds())
    except (TypeError, ValueError):
        return None


SPENT = (  # how many calls are left, and after how many seconds there are more
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-sib-ratelimit-remaining", "x-sib-ratelimit-reset"),
)
EPOCH = 1_000_000_000  # a larger number is a time, a smaller one a wait


def pause(answer: httpx.Response, *, now: datetime | None = None) -> float:
    """For how many seconds the vendor's own headers want no further call: 0 while some are left."""
    for left, reset in SPENT:
        if answer.headers.get(left, "").strip() == "0":
            value = answer.headers.get(reset, "").strip()
            seconds = float(value) if value.replace(".", "", 1).isdigit() else 1.0
            if seconds > EPOCH:
                seconds -= (now or datetime.now(UTC)).timestamp()
            return max(0.0, seconds)
    return 0.0


def body(answer: httpx.Response) -> object:
    """The answer's JSON.

    Raises:
        Unclear: it was accepted, and nobody can say what: it is no JSON.
    """
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError as error:
        raise Unclear(f"an answer that is no JSON: {said(answer)}") from error
