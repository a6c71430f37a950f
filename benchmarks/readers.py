"""Invented readers, written straight into the tables."""

from __future__ import annotations

import hashlib

from sqlalchemy import create_engine, text

from benchmarks.site import NEWSLETTER

_NUMBERS = {
    "sqlite": "(WITH RECURSIVE n(id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < :count)"
    " SELECT id FROM n)",
    "postgresql": "generate_series(1, :count) AS n(id)",
}
_ADDRESS = "'reader.number.' || id || '@post-' || (id % 997) || '.example'"
_HASH = {
    "sqlite": f"sha256({_ADDRESS})",
    "postgresql": f"sha256(({_ADDRESS})::bytea)",
}


def add_readers(url: str, count: int, *, topics: int) -> None:
    """So many confirmed readers of the newsletter: each of one topic; of everything, if there is but one."""
    engine = create_engine(url)
    kind = engine.dialect.name
    with engine.begin() as db:
        if kind == "sqlite":
            db.connection.create_function("sha256", 1, _sha256, deterministic=True)
            db.execute(text("PRAGMA cache_size = -400000"))
        people = (
            "INSERT INTO subscriber (id, address, address_hash, name, created_at)"
            f" SELECT id, {_ADDRESS}, {_HASH[kind]}, 'Reader No. ' || id, 0 FROM {_NUMBERS[kind]}"
        )
        db.execute(text(people), {"count": count})
        topic = f"'topic-' || (id % {topics})" if topics > 1 else "''"
        subscriptions = (
            "INSERT INTO subscription (list, subscriber, state, cadence, topics, created_at)"
            f" SELECT (SELECT id FROM list WHERE name = :newsletter), id, 'confirmed', 'daily', {topic}, 0"
            " FROM subscriber ORDER BY subscriber.id"
        )
        db.execute(text(subscriptions), {"newsletter": NEWSLETTER})
    if kind == "postgresql":  # as its autovacuum would, a minute later
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _sha256(address: str) -> bytes:
    return hashlib.sha256(address.encode()).digest()
