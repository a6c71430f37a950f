"""Calls to vendors over HTTP: the one module that knows the HTTP library's failures.

What an answer means for the message is said once here; a vendor's own words are in the vendor's file.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import anyio
import httpx
import orjson

from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, TryLater, Unclear
from distributor.model import Batch
from distributor.providers.reasons import LONGEST_READ, reason

TIMEOUT = httpx.Timeout(60, connect=10)
LONGEST_CALL = 900.0  # seconds, for a server that says a little every minute
POOL = httpx.Limits(max_connections=16)  # with more, the pool takes most of the time (encode/httpx #3215)
LONGEST_ANSWER = 64_000_000  # bytes; what comes after them is not read
LONGEST_WAIT = 86_400.0  # seconds; who asks for more is asked again tomorrow

Judge = Callable[[httpx.Response], SendError | None]  # a vendor's own reading of an answer; None: as usual
Telling = Callable[[httpx.Response], bool]  # whether a failure says what became of each message


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


async def post(
    opened: httpx.AsyncClient,
    path: str,
    told: object,
    *,
    headers: Mapping[str, str] | None = None,
    judge: Judge = lambda answer: None,
    telling: Telling = lambda answer: False,
) -> httpx.Response:
    """The answer to *told*, as JSON; raises as `exchange` does."""
    request = opened.build_request(
        "POST",
        path,
        content=orjson.dumps(told),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    return await exchange(opened, request, judge=judge, telling=telling)


async def get(
    opened: httpx.AsyncClient,
    path: str,
    asked: Mapping[str, str] | None = None,
    *,
    judge: Judge = lambda answer: None,
) -> object:
    """The JSON of an answer to a question; raises as `exchange` and `body` do."""
    return body(await exchange(opened, opened.build_request("GET", path, params=asked), judge=judge))


async def exchange(
    opened: httpx.AsyncClient,
    request: httpx.Request,
    *,
    judge: Judge = lambda answer: None,
    telling: Telling = lambda answer: False,
    most: int = LONGEST_ANSWER,
) -> httpx.Response:
    """Send *request*; the answer, if the vendor accepted what it asks, or is *telling* in failing.

    What comes after *most* bytes is not read.

    Raises:
        Refused: the vendor will never accept it (400, 422 and other 4xx).
        SomeRefused: not all of it at once (413).
        AccountTrouble: it accepts nothing of ours now (401, 403), or lives elsewhere (301, 404).
        TryLater: no connection was made, or it is busy (429, 503).
        Unclear: silence after the request left, or a gateway's answer (500, 502, 504).
    """
    try:
        with anyio.fail_after(LONGEST_CALL):
            answer = await _answer(opened, request, most)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise TryLater(reason(f"no connection: {error or type(error).__name__}")) from error
    except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
        raise Unclear(reason(f"no answer: {error or type(error).__name__}")) from error
    if telling(answer):
        return answer
    if failure := _elsewhere(answer) or judge(answer) or _usual(answer):
        raise failure
    return answer


async def _answer(opened: httpx.AsyncClient, request: httpx.Request, most: int) -> httpx.Response:
    """The answer, without what is too much of it."""
    answer = await opened.send(request, stream=True)
    content = bytearray()
    try:
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > most:
                break
    finally:
        await answer.aclose()
    headers = [pair for pair in answer.headers.multi_items() if pair[0] not in _OF_TRANSPORT]
    return httpx.Response(
        answer.status_code,
        headers=headers,
        content=bytes(content[:most]),
        request=request,
        extensions=answer.extensions,
    )


_OF_TRANSPORT = frozenset({"content-encoding", "content-length", "transfer-encoding"})  # it is decoded


def _elsewhere(answer: httpx.Response) -> SendError | None:
    """What a redirection means: it is not followed, for the mails and the key would go with it."""
    status, to = answer.status_code, answer.headers.get("location", "").partition("?")[0]
    if status == 303:  # what was asked is done, and the outcome is to be seen elsewhere (RFC 9110, 15.4.4)
        return Unclear(reason(f"{said(answer)}: the outcome is at {to or 'no address'}"))
    if 300 <= status < 400:
        return AccountTrouble(reason(f"base_url redirects to {to or 'no address'} ({said(answer)})"))
    return None


def _usual(answer: httpx.Response) -> SendError | None:
    status, told = answer.status_code, said(answer)
    if answer.is_success:
        return None
    if status in (401, 402, 403, 404, 405, 407):  # the key, the bill, or no such place at this base_url
        return AccountTrouble(told)
    if status == 503 and "connection termination" in words(answer):
        return Unclear(told)  # Envoy: the connection broke behind it (its access log's "UC", read 2026-11)
    if status in (421, 425, 429, 503):
        return TryLater(told, after=retry_after(answer) or pause(answer) or None)
    if status == 408 or status >= 500:
        return Unclear(told)
    return SomeRefused(told) if status == 413 else Refused(told)  # half a call is half as large


def said(answer: httpx.Response) -> str:
    """What a vendor answered, fit for a ledger: `422 Unprocessable Entity: {"message": …}`."""
    return reason(f"{answer.status_code} {answer.reason_phrase}: {words(answer)}").rstrip(": ")


def words(answer: httpx.Response) -> str:
    """The beginning of an answer as text, whatever character set it claims."""
    return answer.content[:LONGEST_READ].decode(errors="replace")


def retry_after(answer: httpx.Response, *, now: datetime | None = None) -> float | None:
    """The wait that a server asked for, in seconds (RFC 9110, 10.2.3: a number or a date)."""
    value = answer.headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(value):
        return wait(float(value))
    try:
        return wait((parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds())
    except (TypeError, ValueError):
        return None


_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def wait(seconds: float) -> float:
    """*seconds* as far as they are believed: a slip of a server's must not stop a newsletter for years."""
    return min(max(0.0, seconds), LONGEST_WAIT)


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
            seconds = float(value) if _NUMBER.fullmatch(value) else 1.0
            if seconds > EPOCH:
                seconds -= (now or datetime.now(UTC)).timestamp()
            return wait(seconds)
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


@contextmanager
def reading(told: object) -> Iterator[None]:
    """Around what reads an answer: if that has another form, nobody can say what was accepted.

    Raises:
        Unclear: what was to be read is not there.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unclear(reason(f"an answer of another form: {told}")) from error


def called_at(batch: Batch, *, kept: timedelta, now: datetime | None = None) -> datetime:
    """When the call was made that `find` is to find; the vendor still knows of it, for it keeps so long.

    Raises:
        Unclear: it may have forgotten, so that nothing found is not nothing accepted.
    """
    if batch.called_at is None or (now or datetime.now(UTC)) - batch.called_at > kept:
        raise Unclear("the call was made too long ago: the vendor may have forgotten what it accepted")
    return batch.called_at
