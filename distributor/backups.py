"""Copies of the database, and what becomes of a ledger that is put back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from distributor.errors import DatabaseError
from distributor.store import backups, restored
from distributor.store.database import Database
from distributor.store.restored import Held


def back_up(database: Database, folder: Path, now: datetime, *, name: str = "distributor") -> Path:
    """Copy the database into a folder, named by the moment; the file."""
    target = folder / f"{name}-{now:%Y%m%dT%H%M%SZ}{backups.ENDINGS[backups.kind(database)]}"
    backups.write(database, target)
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    kept: Path | None  # a copy of what it replaced
    held: Held


def restore(
    database: Database,
    source: Path,
    folder: Path,
    now: datetime,
    *,
    replace: bool = False,
    is_up_to_date: bool = False,
) -> Restored:
    """Put a copy in the place of all that there is.

    *replace*: though there is something, of which a copy goes into *folder* first. *is_up_to_date*: nothing
    was sent or published since the copy was made, so that nothing has to be held.

    Raises:
        DatabaseError: the copy is not whole, or there is something to be replaced.
    """
    backups.check(database, source)
    kept = None
    if not backups.is_empty(database):
        if not replace:
            place = database.engine.url.database
            raise DatabaseError(f"{place} is not empty; --replace puts the copy in its place")
        kept = back_up(database, folder, now, name="replaced")
    if database.is_sqlite:
        return Restored(kept=kept, held=_into_sqlite(database, source, now, is_up_to_date))
    backups.fill_postgresql(database, source)
    return Restored(kept=kept, held=_prepared(database, now, is_up_to_date))


def _into_sqlite(database: Database, source: Path, now: datetime, is_up_to_date: bool) -> Held:
    """Prepare the copy beside it, so that nobody can ever see it without what is held."""
    with TemporaryDirectory() as folder:
        part = Path(folder) / "restored.db"
        part.write_bytes(source.read_bytes())
        copy = Database(f"sqlite:///{part}")
        held = _prepared(copy, now, is_up_to_date)
        copy.close()
        backups.fill_sqlite(database, part)
    return held


def _prepared(database: Database, now: datetime, is_up_to_date: bool) -> Held:
    database.upgrade()
    if is_up_to_date:
        return Held()
    with database.write() as db:
        return restored.hold(db, now=now)
