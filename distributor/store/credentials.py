"""The statements about accounts' credentials, which come sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from distributor.store.dialect import upsert
from distributor.store.schema import credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An account's row."""

    account: str
    sealed: bytes | None
    expires_at: datetime | None


def credential_of(db: Connection, account: str) -> Sealed | None:
    columns = (credential.c.account, credential.c.sealed, credential.c.expires_at)
    row = db.execute(select(*columns).where(credential.c.account == account)).first()
    return Sealed(**row._mapping) if row else None


def expiries(db: Connection) -> dict[str, datetime]:
    """Account -> when its credentials end for good, where that is known."""
    query = select(credential.c.account, credential.c.expires_at).where(credential.c.expires_at.is_not(None))
    return {row[0]: row[1] for row in db.execute(query)}


def begin_renewing(db: Connection, account: str, *, now: datetime, until: datetime) -> bool:
    """Whether it is this caller who makes the account's next credentials, until then."""
    upsert(db, credential, [{"account": account}], key=["account"], change=False)
    free = or_(credential.c.renewing_until.is_(None), credential.c.renewing_until <= now)
    mine = update(credential).where(credential.c.account == account, free).values(renewing_until=until)
    return db.execute(mine).rowcount > 0


def end_renewing(db: Connection, account: str) -> None:
    """Let others try; nothing was made."""
    db.execute(update(credential).where(credential.c.account == account).values(renewing_until=None))


def keep_credential(db: Connection, kept: Sealed) -> None:
    row = {"account": kept.account, "sealed": kept.sealed, "expires_at": kept.expires_at}
    upsert(db, credential, [row | {"renewing_until": None}], key=["account"])
