"""Where SQLite and PostgreSQL are spelt apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(
    db: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    change: bool = True,
) -> None:
    """Insert *rows*; where *key* exists already, change the row (or, without *change*, leave it)."""
    if not rows:
        return
    insert = (sqlite if db.dialect.name == "sqlite" else postgresql).insert(table)
    if change:
        values = {name: insert.excluded[name] for name in rows[0] if name not in key}
        db.execute(insert.on_conflict_do_update(index_elements=list(key), set_=values), list(rows))
    else:
        db.execute(insert.on_conflict_do_nothing(index_elements=list(key)), list(rows))


def insert_new(db: Connection, table: Table, row: Mapping[str, Any], *, key: Sequence[str]) -> bool:
    """Insert *row*, unless there is one with the same *key*; whether it was inserted."""
    insert = (sqlite if db.dialect.name == "sqlite" else postgresql).insert(table)
    new = insert.values(row).on_conflict_do_nothing(index_elements=list(key)).returning(table.c[key[0]])
    return db.execute(new).first() is not None
