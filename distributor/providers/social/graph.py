"""What Meta's networks have in common: https://developers.facebook.com/docs/graph-api/guides/error-handling

A failure is a number and a sentence, mostly with status 400, whatever it means. Keys go into a header, never
into an address, which logs and proxies keep.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import regex

from distributor.config import Channel
from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.providers import http
from distributor.providers.protocol import Credentials, Keyring
from distributor.providers.reasons import reason

VERSION = "v25.0"  # of the Graph API; each is served for about two years
CLOCKS = timedelta(minutes=2)  # Meta's may differ from ours by so much

Kind = Callable[[str], SendError]


class NotFetched(TryLater):
    """Meta could not get a picture from where it lies."""


class Spoilt(TryLater):
    """What was prepared will not do any more; a new one may."""


def later(seconds: float) -> Kind:
    return lambda told: TryLater(told, after=seconds)


# The page above has these, except as noted. A server that fails (1, 2) may have posted all the same, see
# arsduo/koala #699.
CODES: Mapping[int, Kind] = {
    -1: Unclear,  # Instagram's own; subcodes say more
    1: Unclear,
    2: Unclear,
    3: AccountTrouble,  # the app may not
    4: TryLater,
    10: AccountTrouble,  # a permission is missing
    12: AccountTrouble,  # this call has ended with its version (node-facebook-sdk #148)
    17: TryLater,
    32: TryLater,
    100: Refused,
    102: AccountTrouble,
    104: AccountTrouble,  # no key came (seen by others)
    190: AccountTrouble,  # the key has ended
    341: TryLater,
    368: AccountTrouble,  # blocked for a while, for breaking rules
    506: Refused,  # said before
    613: TryLater,
    2500: AccountTrouble,  # no such place, or no key
    2635: AccountTrouble,  # the version has ended
    9004: NotFetched,
    1609005: later(300),  # the page behind the link could not be read
}
PERMISSIONS = range(200, 300)
THROTTLES = range(80000, 80015)  # one for each use of the API: docs/graph-api/overview/rate-limiting
NOT_THERE = (100, 33)  # no such object; or not for us, which it does not tell apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a Graph API says of a call that failed."""

    code: int | None = None
    subcode: int | None = None
    is_transient: bool = False
    message: str = ""


def failure(answer: httpx.Response) -> Failure | None:
    """The failure that an answer tells; None where it tells none, or has none of a Graph API's form."""
    if answer.is_success:
        return None
    try:
        told = orjson.loads(answer.content)["error"]
        words = [told.get(name) for name in ("message", "error_user_title", "error_user_msg")]
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return Failure(
        code=_number(told.get("code")),
        subcode=_number(told.get("error_subcode")),
        is_transient=told.get("is_transient") is True,
        message=" ".join(str(word) for word in dict.fromkeys(words) if word),
    )


def _number(value: object) -> int | None:
    """Threads has also names for codes, in letters (docs/threads, insights)."""
    return value if isinstance(value, int) else None


def judging(subcodes: Mapping[int, Kind]) -> http.Judge:
    """A judge of answers that also knows a network's own *subcodes*."""

    def judge(answer: httpx.Response) -> SendError | None:
        found = failure(answer)
        if found is None:
            return None
        told = said(answer)
        kind = _kind(found, subcodes)
        if kind is None:
            kind = Unclear if found.is_transient else _by_status(answer.status_code)
        error = kind(told)
        if type(error) is TryLater and error.after is None:
            error.after = regained(answer)
        if isinstance(error, Refused) and answer.status_code >= 500:
            return Unclear(told)
        return error

    return judge


def _kind(found: Failure, subcodes: Mapping[int, Kind]) -> Kind | None:
    if found.subcode is not None and found.subcode in subcodes:
        return subcodes[found.subcode]
    if (found.code, found.subcode) == NOT_THERE:
        return AccountTrouble  # the account's id is wrong, or the key is for another one
    if found.code in PERMISSIONS:
        return AccountTrouble
    if found.code in THROTTLES:
        return TryLater
    return CODES.get(found.code) if found.code is not None else None


def _by_status(status: int) -> Kind:
    if status in (401, 403, 404):
        return AccountTrouble
    if status in (429, 503):
        return TryLater
    return Unclear if status >= 500 else Refused


judge = judging({})


def said(answer: httpx.Response) -> str:
    """A failure for the ledger, without the key: Meta repeats one that it cannot read."""
    found = failure(answer)
    if found is None:
        return http.said(answer)
    key = answer.request.headers.get("authorization", "").removeprefix("Bearer ")
    words = found.message.replace(key, "…") if key else found.message
    numbers = "/".join(str(one) for one in (found.code, found.subcode) if one is not None)
    return reason(
        f"{answer.status_code}: {words} ({numbers})" if numbers else f"{answer.status_code}: {words}"
    )


def is_not_there(answer: httpx.Response) -> bool:
    found = failure(answer)
    return found is not None and (found.code, found.subcode) == NOT_THERE


def regained(answer: httpx.Response) -> float | None:
    """After how many seconds calls are taken again, where it says so.

    `X-Business-Use-Case-Usage` has minutes: docs/graph-api/overview/rate-limiting
    """
    if (asked := http.retry_after(answer)) is not None:
        return asked
    try:
        usages = orjson.loads(answer.headers["x-business-use-case-usage"]).values()
        minutes = [float(use.get("estimated_time_to_regain_access") or 0) for uses in usages for use in uses]
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return http.wait(60 * max(minutes, default=0)) or None


async def delete(opened: httpx.AsyncClient, path: str, *, judge: http.Judge) -> None:
    """Take an object back; what is not there is deleted.

    Raises:
        AccountTrouble: it is there, and this key may not delete it.
    """
    answer = await http.exchange(
        opened, opened.build_request("DELETE", path), judge=judge, telling=is_not_there
    )
    if not is_not_there(answer):
        return
    seen = opened.build_request("GET", path, params={"fields": "id"})
    looked = await http.exchange(opened, seen, judge=judge, telling=is_not_there)
    if not is_not_there(looked):
        raise AccountTrouble(f"it is there and cannot be deleted with this key: {said(answer)}")


def letters(text: str) -> str:
    """What of a text Meta keeps: spaces may change."""
    found: str = regex.sub(r"[\s\p{Cf}]+", "", text)
    return found


# --- keys that last sixty days ---


@dataclass(frozen=True, slots=True)
class Signed(httpx.Auth):
    """Signs each call with the account's key as it is now."""

    settings: Channel
    keyring: Keyring

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        present = await self.keyring.current()
        key = present.access if present else self.settings.key.get_secret_value()
        request.headers["Authorization"] = f"Bearer {key}"
        yield request


RENEWABLE = timedelta(
    hours=24
)  # a key's age: https://developers.facebook.com/docs/threads/get-started/long-lived-tokens
EARLY = timedelta(days=30)  # before a key's end it is renewed


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Makes an account's key last longer, long before it ends.

    The key itself opens the way to the next one. While it lasts, a renewal that fails is no failure: the day
    after it is tried again, and before the end a person is told (Buffer stopped pushing without a word).
    """

    settings: Channel
    keyring: Keyring
    opened: httpx.AsyncClient
    grant: str

    async def if_due(self) -> None:
        """
        Raises:
            TryLater: the network is busy or out of reach.
        """
        present = await self.keyring.current()
        if _is_due(present, now=datetime.now(UTC)):
            await self.keyring.renewed(present, lambda: self._made(present))

    async def _made(self, present: Credentials | None) -> Credentials:
        now = datetime.now(UTC)
        as_it_is = replace(
            present or Credentials(access=self.settings.key.get_secret_value()),
            more={"tried_at": now.isoformat()},
        )
        # The documentation has the key as a parameter; that the header does as well is told of other calls to
        # the same host (docs/threads/tools-and-resources/embed-a-threads-post). Unverified, 2026-11-23.
        asked = self.opened.build_request("GET", "/refresh_access_token", params={"grant_type": self.grant})
        try:
            answer = await http.exchange(self.opened, asked, judge=judge)
        except (AccountTrouble, Refused, Unclear):  # too young, or gone: then the next call says so
            return as_it_is
        return _credentials(answer, as_it_is, now=now)


def _is_due(present: Credentials | None, *, now: datetime) -> bool:
    if present is None:
        return True
    if now - datetime.fromisoformat(present.more["tried_at"]) < RENEWABLE:
        return False
    return present.expires_at is None or present.expires_at - now < EARLY


def _credentials(answer: httpx.Response, as_it_is: Credentials, *, now: datetime) -> Credentials:
    """What the answer gives; nothing of it is ever said, for it is a secret."""
    try:
        told = orjson.loads(answer.content)
        lasts = timedelta(seconds=int(told["expires_in"]))
        return replace(as_it_is, access=str(told["access_token"]), expires_at=now + lasts)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
        return as_it_is
