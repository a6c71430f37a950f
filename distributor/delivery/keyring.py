"""An account's credentials: sealed, in the database, renewed by one worker at a time."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from hashlib import sha256

import orjson
from anyio import to_thread
from cryptography.fernet import Fernet, InvalidToken

from distributor.delivery.retry import until_recorded
from distributor.errors import TryLater
from distributor.providers.protocol import Credentials
from distributor.store import credentials as store
from distributor.store.credentials import Sealed
from distributor.store.database import Database

RENEWING = timedelta(minutes=2)  # how long one worker may take
POLL = 1.0  # seconds between looks whether another has done it


class Keyring:
    """The credentials of one account, for every worker on the same database.

    They are sealed with the configured key: with a new one in the configuration they cannot be opened, and
    are made anew from it.
    """

    def __init__(
        self,
        database: Database,
        account: str,
        seal: bytes,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._database = database
        self._account = account
        self._fernet = Fernet(urlsafe_b64encode(sha256(b"credentials\0" + seal).digest()))
        self._clock = clock
        self._sleep = sleep

    async def current(self) -> Credentials | None:
        return await to_thread.run_sync(self._read)

    async def renewed(
        self, seen: Credentials | None, make: Callable[[], Awaitable[Credentials]]
    ) -> Credentials:
        ends_at = self._clock() + RENEWING
        while self._clock() < ends_at:
            present = await self.current()
            if present is not None and present != seen:
                return present
            if await to_thread.run_sync(self._begin):
                return await self._make(seen, make)
            await self._sleep(POLL)
        raise TryLater(f"{self._account}: another worker has been renewing its key for too long")

    async def _make(
        self, seen: Credentials | None, make: Callable[[], Awaitable[Credentials]]
    ) -> Credentials:
        try:
            present = await self.current()  # it may have been renewed between the look and our turn
            made = present if present is not None and present != seen else await make()
        except BaseException:
            await to_thread.run_sync(self._end)
            raise
        # Some networks end the old key as they give the new one: it must not get lost.
        await until_recorded()(to_thread.run_sync, self._keep, made)
        return made

    def _read(self) -> Credentials | None:
        with self._database.read() as db:
            row = store.credential_of(db, self._account)
        if row is None or row.sealed is None:
            return None
        try:
            values = orjson.loads(self._fernet.decrypt(row.sealed))
        except InvalidToken:  # made from another key than the configuration has now
            return None
        expires_at = values["expires_at"]
        return Credentials(
            **values | {"expires_at": datetime.fromisoformat(expires_at) if expires_at else None}
        )

    def _begin(self) -> bool:
        now = self._clock()
        with self._database.write() as db:
            return store.begin_renewing(db, self._account, now=now, until=now + RENEWING)

    def _end(self) -> None:
        with self._database.write() as db:
            store.end_renewing(db, self._account)

    def _keep(self, made: Credentials) -> None:
        sealed = self._fernet.encrypt(orjson.dumps(asdict(made)))
        with self._database.write() as db:
            store.keep_credential(
                db, Sealed(account=self._account, sealed=sealed, expires_at=made.expires_at)
            )
