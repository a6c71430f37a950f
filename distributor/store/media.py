"""Which picture was made of what: every SQL statement about the media folder."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import select

from distributor.model import Picture
from distributor.store.database import Database
from distributor.store.dialect import upsert
from distributor.store.schema import media


class MediaIndex:
    """Remembers pictures by what was wanted; several threads may ask at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, key: str) -> Picture | None:
        with self._database.read() as db:
            found = db.scalar(select(media.c.picture).where(media.c.key == key))
        return Picture(**found) if found else None

    def keep(self, key: str, picture: Picture) -> None:
        with self._database.write() as db:
            upsert(db, media, [{"key": key, "picture": asdict(picture)}], key=["key"])
