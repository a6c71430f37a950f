"""Keys that end after a while and are made anew with a second one: OAuth 2.0 (RFC 6749, section 6).

A network may end the second key as it gives the next one. So one of all workers asks for it, and what it gets
is kept before anybody uses it: that is the keyring's part.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import orjson

from distributor.config import Channel
from distributor.errors import AccountTrouble, SendError, TryLater
from distributor.providers import http
from distributor.providers.protocol import Credentials, Keyring
from distributor.providers.social.steps import preparing


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewing(httpx.Auth):
    """Signs each call with the account's key as it is now, and once more with a new one if that has ended."""

    settings: Channel
    keyring: Keyring
    keys: httpx.AsyncClient  # unsigned, to the server that makes keys
    path: str  # of what makes them there
    is_basic: bool = False  # the app's secret goes into a header instead of the form

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        present = await self.keyring.current()
        key = present.access if present else self.settings.key.get_secret_value()
        answer = yield _signed(request, key)
        if answer.status_code == 401 and self._second(present):
            made = await self.keyring.renewed(present, lambda: self._made(present))
            yield _signed(request, made.access)

    def _second(self, present: Credentials | None) -> str:
        return (present.refresh if present else "") or self.settings.refresh_key.get_secret_value()

    async def _made(self, present: Credentials | None) -> Credentials:
        second = self._second(present)
        form = {"grant_type": "refresh_token", "refresh_token": second, "client_id": self.settings.client_id}
        headers = {}
        if secret := self.settings.client_secret.get_secret_value():
            if self.is_basic:
                headers["Authorization"] = f"Basic {_encoded(self.settings.client_id, secret)}"
            else:
                form["client_secret"] = secret
        request = self.keys.build_request("POST", self.path, data=form, headers=headers)
        with preparing():
            answer = await http.exchange(self.keys, request, judge=_judge)
        return _credentials(answer, second=second)


def _signed(request: httpx.Request, key: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {key}"
    return request


def _encoded(id_: str, secret: str) -> str:
    return b64encode(f"{id_}:{secret}".encode()).decode()


def _judge(answer: httpx.Response) -> SendError | None:
    """RFC 6749, 5.2; anything else means that it may be renewed later."""
    if answer.status_code in (400, 401, 403):
        said = http.said(answer)
        return AccountTrouble(f"its key cannot be renewed; authorize the app again, set new keys: {said}")
    return None


def _credentials(answer: httpx.Response, *, second: str) -> Credentials:
    """What the answer gives. Nothing of it is ever said: it is made of secrets.

    A second key that is not given anew stays as it is (Postiz PR #1884 lost it).
    """
    try:
        told = orjson.loads(answer.content)
        lasts = told.get("refresh_token_expires_in")
        return Credentials(
            access=str(told["access_token"]),
            refresh=str(told.get("refresh_token") or second),
            expires_at=datetime.now(UTC) + timedelta(seconds=int(lasts)) if lasts else None,
        )
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
        # Not from the error, whose text has the answer in it.
        raise TryLater("the server that renews its key answered in another form") from None
