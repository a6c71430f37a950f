"""The one database: SQLite by default, PostgreSQL for many machines.

`read()` and `write()` give a connection in a transaction; what goes wrong underneath becomes a
`DatabaseError` that says what a person can do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
)

from distributor.errors import Away, Conflict, DatabaseError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION = "0014"  # the migration this program was written for; a test compares it with the folder


class Database:
    """Transactions on one engine."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._rehearsal: Connection | None = None
        # Threads of one process take turns here: SQLite's own waiting is by sleeping and asking again.
        self._turn: AbstractContextManager[Any] = Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def rehearse(self) -> Iterator[None]:
        """Everything that is read and written in the block is one transaction, undone at its end.

        Only for one thread.
        """
        with _told_plainly(self.engine), self._turn, self.engine.connect() as connection:
            self._rehearsal = connection.execution_options(**({"writes": True} if self.is_sqlite else {}))
            transaction = self._rehearsal.begin()
            try:
                yield
            finally:
                self._rehearsal = None
                transaction.rollback()

    @property
    def is_rehearsing(self) -> bool:
        return self._rehearsal is not None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state and changes nothing."""
        if self._rehearsal is not None:
            yield self._rehearsal
            return
        with _told_plainly(self.engine), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection
            connection.rollback()

    @contextmanager
    def write(self, *, snapshot: bool = False) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block, or not at all.

        *snapshot*: everything it reads is of one moment, even on PostgreSQL, where two such transactions that
        meet make one of them fail (`Conflict`); SQLite has one writer at a time.
        """
        if self._rehearsal is not None:
            with self._rehearsal.begin_nested():
                yield self._rehearsal
            return
        with _told_plainly(self.engine), self._turn, self.engine.connect() as connection:
            connection = connection.execution_options(
                **({"writes": True} if self.is_sqlite else {}),
                **({"isolation_level": "REPEATABLE READ"} if snapshot and not self.is_sqlite else {}),
            )
            with connection.begin():
                yield connection

    def exists(self) -> bool:
        """Whether there is a database file; a server's is taken to be there."""
        place = self.engine.url.database
        return not self.is_sqlite or bool(place and Path(place).exists())

    def version(self) -> str | None:
        """The migration the database is at; None when it is empty."""
        with self.read() as db:
            if not inspect(db).has_table("alembic_version"):
                return None
            found: str | None = db.scalar(text("SELECT version_num FROM alembic_version"))
            return found

    def size(self) -> int | None:
        """How many bytes it takes on its disk, as far as that can be told."""
        if self.is_sqlite:
            place = self.engine.url.database
            return (
                sum(file.stat().st_size for file in Path(place).parent.glob(f"{Path(place).name}*"))
                if place
                else None
            )
        with self.read() as db:
            found: int | None = db.scalar(text("SELECT pg_database_size(current_database())"))
            return found

    def upgrade(self) -> bool:
        """Bring the tables up to this program's version; True when something was done.

        Raises:
            DatabaseError: the database belongs to a newer program.
        """
        found = self.version()
        if found == VERSION:
            return False
        if found is not None and found > VERSION:
            raise DatabaseError(
                f"the database is at version {found}, this program knows {VERSION}: "
                "install the newer distributor again, or restore the backup made before the upgrade"
            )
        from alembic import command  # 0.2 s to import, and needed once a release
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self.write() as db:
            config.attributes["connection"] = db
            command.upgrade(config, VERSION)
        return True

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        kind = make_url(url).get_backend_name()
    except ArgumentError:
        kind = ""
    if kind == "sqlite":
        return _sqlite(url)
    if kind == "postgresql":
        return create_engine(
            url, hide_parameters=True, pool_pre_ping=True, pool_size=10, connect_args=POSTGRESQL
        )
    raise DatabaseError(
        "[database] url is not understood; "
        "write sqlite:///var/distributor.db or postgresql+psycopg://user@host/name"
    )


# A host that is cut off or stands still in the middle of a transaction keeps what it locked from all others
# until the server gives it up, by default for ever; and it should itself notice that the server is gone.
POSTGRESQL = {
    "options": "-c idle_in_transaction_session_timeout=30s",
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, hide_parameters=True)  # a fault is logged, and readers stand in parameters

    @event.listens_for(engine, "do_connect")
    def make_folder(_dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
        if engine.url.database:
            Path(arguments[0]).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where sqlite3 guesses
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # a committed claim survives a power cut
            "foreign_keys = ON",
            "busy_timeout = 20000",
            "cache_size = -8000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE: a writer waits its turn at the start, instead of failing in the middle.
        mode = "IMMEDIATE" if connection.get_execution_options().get("writes") else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


CONFLICTS = ("40001", "40P01")  # PostgreSQL: serialization_failure, deadlock_detected


@contextmanager
def _told_plainly(engine: Engine) -> Iterator[None]:
    try:
        yield
    except PendingRollbackError as error:  # the connection went away where a part of it was undone already
        told = "the connection to the database was lost in the middle; nothing of this step was kept"
        raise DatabaseError(told) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in CONFLICTS:
            raise Conflict(f"another process did the same at the same moment: {error.orig}") from error
        if remedy := _remedy(str(error.orig), engine):
            kind = Away if _is_away(error) else DatabaseError
            raise kind(f"{error.orig} {remedy}".replace("\n", " ")) from error
        raise


def _is_away(error: DBAPIError) -> bool:
    """Whether no more than a connection is lacking; a wrong name or password wants a person."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    said = str(error.orig)
    return "connection" in said and not any(sign in said for sign in WANTS_A_PERSON)


WANTS_A_PERSON = ("authentication failed", "no password supplied", "does not exist", "pg_hba.conf")


def _remedy(message: str, engine: Engine) -> str | None:
    place = engine.url.database
    for sign, remedy in (
        ("database is locked", f"for 20 s: another process is writing to {place}; try again when it is done"),
        ("locking protocol", f"({place}): too many processes opened it at once; try again"),
        ("database or disk is full", f"({place}): free some space; nothing of this step was kept"),
        ("disk I/O error", f"({place}): the disk is full or failing; nothing of this step was kept"),
        ("unable to open database file", f"({place}): check that the folder exists and is writable"),
        ("readonly database", f"({place}): this user may not write there"),
        ("not a database", f"({place}): name another file in [database] url, or restore a backup"),
        ("malformed", f"({place}): restore a backup"),
        ("connection", "(is PostgreSQL running, and [database] url right?)"),
    ):
        if sign in message:
            return remedy
    return None
