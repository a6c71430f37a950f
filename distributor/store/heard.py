"""Which messages of other programs were done."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from distributor.store.dialect import insert_new
from distributor.store.schema import heard

KEPT = timedelta(days=30)  # programs that try again do so for a few days
AT_ONCE = 100  # that are forgotten by whoever remembers one


def remember(db: Connection, id_: str, *, now: datetime) -> bool:
    """Note that a message is done in this transaction; False when one of that id was done before.

    Whoever brings the same at the same moment waits here until this transaction ends.
    """
    over = select(heard.c.id).where(heard.c.heard_at < now - KEPT).order_by(heard.c.heard_at).limit(AT_ONCE)
    db.execute(delete(heard).where(heard.c.id.in_(over.with_for_update(skip_locked=True))))
    return insert_new(db, heard, {"id": id_, "heard_at": now}, key=["id"])
