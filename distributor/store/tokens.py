"""The statements about who may use the API. Of a token only its hash is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from distributor.store.dialect import insert_new
from distributor.store.schema import api_request, api_token


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token as it is kept."""

    id: int = 0  # 0 before it is kept
    name: str  # who has it
    hash: bytes  # SHA-256
    scopes: tuple[str, ...]  # sorted
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None  # to the hour

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def add(db: Connection, new: TokenRow) -> bool:
    """Keep a token; False when there is one of its name."""
    values = {field.name: getattr(new, field.name) for field in fields(new) if field.name != "id"}
    return insert_new(db, api_token, values | {"scopes": " ".join(new.scopes)}, key=["name"])


def by_hash(db: Connection, hash_: bytes) -> TokenRow | None:
    row = db.execute(select(api_token).where(api_token.c.hash == hash_)).first()
    return _token(row) if row else None


def by_name(db: Connection, name: str) -> TokenRow | None:
    row = db.execute(select(api_token).where(api_token.c.name == name)).first()
    return _token(row) if row else None


def every(db: Connection) -> list[TokenRow]:
    """All tokens, by name."""
    return [_token(row) for row in db.execute(select(api_token).order_by(api_token.c.name))]


def used(db: Connection, id_: int, *, now: datetime) -> None:
    db.execute(update(api_token).where(api_token.c.id == id_).values(used_at=now))


def revoke(db: Connection, id_: int) -> None:
    """Forget a token, and what was done for it."""
    db.execute(delete(api_request).where(api_request.c.token == id_))
    db.execute(delete(api_token).where(api_token.c.id == id_))


# --- what was asked for, and done ---


def begin(db: Connection, token: int, key: str, asked: bytes, *, now: datetime) -> bool:
    """Note that it is being done; False when it was, or when another process was about to and now has."""
    row = {"token": token, "key": key, "asked": asked, "at": now}
    return insert_new(db, api_request, row, key=["token", "key"])


def done(db: Connection, token: int, key: str, *, recipients: int) -> None:
    its = (api_request.c.token == token, api_request.c.key == key)
    db.execute(update(api_request).where(*its).values(recipients=recipients))


def was_done(db: Connection, token: int, key: str) -> tuple[bytes, int]:
    """What was asked under a key, and how many it concerned."""
    its = (api_request.c.token == token, api_request.c.key == key)
    row = db.execute(select(api_request.c.asked, api_request.c.recipients).where(*its)).one()
    return row.asked, row.recipients


def forget_requests(db: Connection, *, before: datetime) -> None:
    db.execute(delete(api_request).where(api_request.c.at < before))


def _token(row: Row[Any]) -> TokenRow:
    return TokenRow(**{**row._mapping, "scopes": tuple(row.scopes.split())})
