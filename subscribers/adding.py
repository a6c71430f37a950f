"""The statements by which a publisher adds people, one or a million.

Rows are staged in a temporary table, and a few statements add them all: asking the database about each, or
telling it each, takes longer than everything else together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from operator import is_not, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy import insert as plain_insert
from sqlalchemy.schema import CreateTable

from subscribers import lists
from subscribers.leaving import heavier
from subscribers.model import Entry, Source, address_hash, topic_text
from subscribers.schema import EPOCH, Instant, consent, list_, subscriber, subscription, suppression
from subscribers.sql import common_position, in_force, insert, inserted


@dataclass(slots=True)
class Added:
    """What a set of entries changed, counted by subscription."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    left_alone: int = 0  # they unsubscribed, or their address is suppressed


class Row(NamedTuple):
    """An entry as it is staged, for one list."""

    address_hash: bytes
    list: int
    address: str
    name: str = ""
    timezone: str | None = None
    locale: str | None = None
    hour: int | None = None
    attributes: str | None = None  # JSON
    joined_at: int | None = None  # microseconds, as `Instant` keeps them
    state: str | None = None
    cadence: str | None = None
    topics: str | None = None  # as `topic_text` gives them
    confirmed_at: int | None = None
    ip: str | None = None
    suppress: str | None = None


_incoming = Table(
    "incoming",
    MetaData(),
    Column("address_hash", LargeBinary),
    Column("list", BigInteger),
    Column("address", Text),
    Column("name", Text),
    Column("timezone", Text),
    Column("locale", Text),
    Column("hour", Integer),
    Column("attributes", Text),
    Column("joined_at", Instant),
    Column("state", Text),
    Column("cadence", Text),
    Column("topics", Text),
    Column("confirmed_at", Instant),
    Column("ip", Text),
    Column("suppress", Text),
    Column("is_person", Boolean),  # the one row of its address that speaks for the person
    Column("is_blocked", Boolean),
    Column("number", Integer),  # in the order of their coming
    prefixes=["TEMPORARY"],
)


def add(
    db: Connection,
    entries: Sequence[Entry],
    *,
    list_ids: Mapping[str, int],
    now: datetime,
    source: Source = "import",
    detail: str = "",
) -> Added:
    """Add the entries, or change what is there; nobody who left is brought back.

    A new subscription stands where its cadence stands, so its reader gets the next edition as everybody does.
    Each is noted with where it came from.
    """
    rows = [row for entry in entries for row in _rows_of(entry, list_ids)]
    return add_rows(db, rows, now=now, source=source, detail=detail)


def _rows_of(entry: Entry, list_ids: Mapping[str, int]) -> Iterator[Row]:
    for name in entry.lists:
        yield Row(
            address_hash=address_hash(entry.address),
            list=list_ids[name],
            address=entry.address,
            name=_storable(entry.name),
            timezone=entry.timezone,
            locale=entry.locale and _storable(entry.locale),
            hour=entry.hour,
            attributes=json.dumps(dict(entry.attributes)) if entry.attributes else None,
            joined_at=microseconds(entry.joined_at),
            state=entry.state,
            cadence=entry.cadence,
            topics=None if entry.topics is None else _storable(topic_text(entry.topics)),
            confirmed_at=microseconds(entry.confirmed_at),
            ip=entry.ip or None,
            suppress=entry.suppress,
        )


def _storable(text: str) -> str:
    """Without what PostgreSQL takes in no text."""
    return re.sub("[\x00\ud800-\udfff]", "", text)


def microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // timedelta(microseconds=1)


def add_rows(
    db: Connection, rows: Sequence[Row], *, now: datetime, source: Source, detail: str = ""
) -> Added:
    """Add rows as `add` adds entries; some twenty thousand at a time are best."""
    staged = _one_each(rows)
    if not staged:
        return Added()
    with _staged(db, staged):
        blocked = _block(db, now)
        if any(row.suppress for row in rows):
            _suppress(db, now)
        known = _known(db)
        missing = len(staged) - blocked - known.left - known.alive
        if known.left or known.alive:
            _keep_places(db)
        _write_people(db, now)
        if missing:
            _note_where_from(db, now, source, detail, is_first=not known.left and not known.alive)
            missing = _write_subscriptions(db, now, is_first=not known.left and not known.alive)
        changed = _change(db, now, known) if known.differing else 0
    left_alone = blocked + known.left
    return Added(
        added=missing,
        changed=changed,
        unchanged=len(staged) - missing - changed - left_alone,
        left_alone=left_alone,
    )


def _one_each(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """One row for each address and list, in their order: what comes later goes before what came earlier."""
    people: dict[bytes, int] = {}
    places: dict[tuple[bytes, int], int] = {}
    found: list[tuple[Any, ...]] = []
    for row in rows:
        hash_ = row[0]
        first = people.setdefault(hash_, len(found))
        if first == len(found):
            places[hash_, row[1]] = first
            found.append((*row, True, False, first))
            continue
        # The person's own fields are told by the first row, the subscription's by that of its list.
        found[first] = _told_over(found[first], row, _OF_THE_PERSON)
        place = places.setdefault((hash_, row[1]), len(found))
        if place == len(found):
            found.append((*row, False, False, place))
        else:
            found[place] = _told_over(found[place], row, _OF_THE_PLACE)
    return found


_is_told = partial(is_not, None)
VALUES = 32_766  # that SQLite takes in a statement
_OF_THE_PERSON = range(3, 9)
_OF_THE_PLACE = range(9, 15)


def _told_over(before: tuple[Any, ...], row: Row, fields: range) -> tuple[Any, ...]:
    told = list(before)
    for field in fields:
        if row[field] not in (None, ""):
            told[field] = row[field]
        elif field == 11 and row[field] == "":  # everything is a choice too
            told[field] = ""
    return tuple(told)


@contextmanager
def _staged(db: Connection, rows: Iterable[tuple[Any, ...]]) -> Iterator[None]:
    db.execute(CreateTable(_incoming))
    rows = sorted(rows, key=itemgetter(0))  # as the index has them that each is looked up in
    if db.dialect.name == "sqlite":
        # As many rows a statement as it takes: between two, this thread and the one that reads the file would
        # hand the interpreter to each other. What no row tells is left out, which mostly is most.
        told = [place for place, column in enumerate(zip(*rows, strict=True)) if any(map(_is_told, column))]
        names = ",".join(_incoming.columns.keys()[place] for place in told)
        one = f"({','.join('?' * len(told))})"
        at_once = VALUES // len(told)
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            statement = f"INSERT INTO incoming ({names}) VALUES {','.join([one] * len(part))}"  # noqa: S608
            db.exec_driver_sql(statement, tuple(chain.from_iterable(map(itemgetter(*told), part))))
    else:
        connection: Any = db.connection.driver_connection
        with connection.cursor() as cursor, cursor.copy("COPY incoming FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        db.execute(text("ANALYZE incoming (address_hash, list)"))
    yield
    db.execute(text("DROP TABLE incoming"))


def _block(db: Connection, now: datetime) -> int:
    """Mark those to whose address nothing may be sent; how many rows they are."""
    its = suppression.c.address_hash == _incoming.c.address_hash
    silenced = exists(select(suppression.c.reason).where(its, in_force(now)).correlate(_incoming))
    return db.execute(update(_incoming).where(silenced).values(is_blocked=True)).rowcount


def _suppress(db: Connection, now: datetime) -> None:
    rows = (
        select(_incoming.c.address_hash, _incoming.c.suppress, literal(now, Instant), literal(None, Instant))
        .where(_incoming.c.suppress.is_not(None), _incoming.c.is_person)
        .order_by(_incoming.c.address_hash)
    )
    statement = insert(db, suppression).from_select(["address_hash", "reason", "created_at", "until"], rows)
    db.execute(heavier(statement))


class _Known(NamedTuple):
    """How many of the rows are of subscriptions that are there already."""

    left: int  # and ended
    alive: int
    differing: int  # of those alive
    moving: int  # to another cadence, of those that stand anywhere


def _known(db: Connection) -> _Known:
    ended = subscription.c.state == "unsubscribed"
    counted = (ended, ~ended, and_(~ended, _is_other()), and_(~ended, _moves()))
    query = (
        select(*(func.coalesce(func.sum(case((condition, 1), else_=0)), 0) for condition in counted))
        .select_from(_incoming)
        .join(subscriber, subscriber.c.address_hash == _incoming.c.address_hash)
        .join(subscription, _of_place())
        .where(~_incoming.c.is_blocked)
    )
    return _Known(*db.execute(query).one())


def _of_place() -> ColumnElement[bool]:
    return and_(subscription.c.list == _incoming.c.list, subscription.c.subscriber == subscriber.c.id)


def _keep_places(db: Connection) -> None:
    """Let those who move to another zone or hour keep the places they have on all their lists."""
    movers = (
        select(subscriber.c.id)
        .join(_incoming, _incoming.c.address_hash == subscriber.c.address_hash)
        .where(
            _incoming.c.is_person,
            ~_incoming.c.is_blocked,
            or_(*(_differs(_incoming.c[name], subscriber.c[name]) for name in ("timezone", "hour"))),
        )
    )
    if db.execute(movers.limit(1)).first():
        lists.keep_places(db, movers)


def _write_people(db: Connection, now: datetime) -> None:
    """Add those who are new, and change what rows tell of the others; what they leave out stays."""
    told = ("address", "address_hash", "name", "timezone", "locale", "hour")
    choices = ("timezone", "locale", "hour", "attributes")
    old = subscriber.c
    is_news = or_(
        old.id.is_(None),
        old.replaces.is_not(None),
        and_(_incoming.c.name != "", _incoming.c.name != old.name),
        *(_differs(_incoming.c[name], old[name]) for name in ("timezone", "locale", "hour")),
        _differs(_incoming.c.attributes, cast(old.attributes, Text)),
    )
    rows = (
        select(
            *(_incoming.c[name] for name in told),
            _as_json(db),
            func.coalesce(_incoming.c.joined_at, literal(now, Instant)),
        )
        .select_from(_incoming)
        .outerjoin(subscriber, old.address_hash == _incoming.c.address_hash)
        .where(_incoming.c.is_person, ~_incoming.c.is_blocked, is_news)
        .order_by(_incoming.c.number)
    )
    new = insert(db, subscriber).from_select([*told, "attributes", "created_at"], rows)
    row = new.excluded
    statement = new.on_conflict_do_update(
        index_elements=["address_hash"],
        set_={
            "name": case((row.name == "", old.name), else_=row.name),
            **{name: func.coalesce(row[name], old[name]) for name in choices},
            "replaces": null(),  # it is its owner's from here on, not another's new address
        },
    )
    db.execute(statement)


def _as_json(db: Connection) -> ColumnElement[Any]:
    """The attributes as the column takes them: SQLite keeps JSON as text, and casting it makes 0 of it."""
    text = _incoming.c.attributes
    return text if db.dialect.name == "sqlite" else cast(text, JSON(none_as_null=True))


def _differs(new: ColumnElement[Any], old: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(new.is_not(None), or_(old.is_(None), new != old))


def _note_where_from(db: Connection, now: datetime, source: Source, detail: str, *, is_first: bool) -> None:
    """Note of each subscription that is about to be added where it comes from."""
    moment = literal(now, Instant)
    notes = _missing(
        _incoming.c.address_hash,
        subscriber.c.id,
        select(list_.c.name).where(list_.c.id == _incoming.c.list).scalar_subquery(),
        literal("imported" if source == "import" else "subscribed"),
        literal(source),
        func.coalesce(_incoming.c.confirmed_at, _incoming.c.joined_at, moment),
        _incoming.c.ip,
        _note(detail),
        null() if source == "import" else subscriber.c.id,  # a million rows are no news of anybody
        is_first=is_first,
    )
    names = ["address_hash", "subscriber", "list", "what", "source", "at", "ip", "detail", "untold"]
    db.execute(plain_insert(consent).from_select(names, notes))


def _write_subscriptions(db: Connection, now: datetime, *, is_first: bool) -> int:
    """Add the subscriptions that are not there; how many."""
    state = func.coalesce(_incoming.c.state, "confirmed")
    moment = literal(now, Instant)
    new = _missing(
        _incoming.c.list,
        subscriber.c.id,
        state,
        func.coalesce(_incoming.c.cadence, "daily"),
        func.coalesce(_incoming.c.topics, ""),
        moment,
        case((state == "confirmed", func.coalesce(_incoming.c.confirmed_at, moment))),
        case((state == "unsubscribed", moment)),
        is_first=is_first,
    ).order_by(subscriber.c.id)
    names = ["list", "subscriber", "state", "cadence", "topics", "created_at", "confirmed_at", "left_at"]
    statement = insert(db, subscription).from_select(names, new).on_conflict_do_nothing()
    return inserted(db, statement)


def _missing(*columns: Any, is_first: bool) -> Select[Any]:
    query = (
        select(*columns)
        .select_from(_incoming)
        .join(subscriber, subscriber.c.address_hash == _incoming.c.address_hash)
        .where(~_incoming.c.is_blocked)
    )
    there = exists(select(subscription.c.state).where(_of_place()).correlate(_incoming, subscriber))
    return query if is_first else query.where(~there)  # where none is there, none need be looked for


def _note(detail: str) -> ColumnElement[str | None]:
    """Where a row was given another state than confirmed, the note says so."""
    said = func.coalesce(_incoming.c.suppress, _incoming.c.state)
    told = literal(detail or None, Text)
    return case(
        (said.is_(None), told),
        (said == "confirmed", told),
        else_=func.coalesce(told + ": ", "") + said,
    )


def _change(db: Connection, now: datetime, known: _Known) -> int:
    """Bring subscriptions up to their rows; a reader who changes cadence keeps the place they have."""
    old = subscription.c
    state = _state()
    its_row = and_(
        _of_place(),
        subscriber.c.address_hash == _incoming.c.address_hash,
        ~_incoming.c.is_blocked,
        old.state != "unsubscribed",
    )
    if known.moving:
        for id_ in db.scalars(select(_incoming.c.list).distinct().order_by(_incoming.c.list)).all():
            lists.hold_positions(db, id_)
    stands = func.coalesce(old.served_through, common_position())
    moment = literal(now, Instant)
    confirmed = func.coalesce(_incoming.c.confirmed_at, moment)
    changed = (
        update(subscription)
        .where(its_row, _is_other())
        .values(
            cadence=func.coalesce(_incoming.c.cadence, old.cadence),
            topics=func.coalesce(_incoming.c.topics, old.topics),
            state=state,
            served_through=case((_moves(), stands), else_=old.served_through),
            confirmed_at=case(
                (and_(state == "confirmed", old.state != "confirmed"), confirmed), else_=old.confirmed_at
            ),
            left_at=case((state == "unsubscribed", moment), else_=old.left_at),
            asked_at=case((state == "unconfirmed", old.asked_at)),
        )
    )
    return db.execute(changed).rowcount


def _state() -> ColumnElement[str]:
    """The state that a subscription is to have: never is a confirmation taken back."""
    takes_back = and_(subscription.c.state == "confirmed", _incoming.c.state == "unconfirmed")
    wanted = func.coalesce(_incoming.c.state, subscription.c.state)
    return case((takes_back, subscription.c.state), else_=wanted)


def _is_other() -> ColumnElement[bool]:
    old = subscription.c
    return or_(
        _differs(_incoming.c.cadence, old.cadence),
        _differs(_incoming.c.topics, old.topics),
        _state() != old.state,
    )


def _moves() -> ColumnElement[bool]:
    is_other = _differs(_incoming.c.cadence, subscription.c.cadence)
    return and_(is_other, subscription.c.state == "confirmed")
