"""Subscribers to and from CSV (RFC 4180), streamed: a file of any length takes little memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import TextIO, TypeVar, get_args

from sqlalchemy import Connection

from subscribers import exports
from subscribers.adding import Added, Row, add_rows, microseconds
from subscribers.model import (
    BOUNCED,
    CADENCES,
    Subscriber,
    SubscriptionState,
    address_hash,
    known_zone,
    normal_address,
    topic_text,
)
from subscribers.records import records

T = TypeVar("T", bound=str)

COLUMNS = (
    "email",
    "name",
    "newsletters",
    "topics",
    "cadence",
    "timezone",
    "locale",
    "state",
    "hour",
    "joined",
    "confirmed",
    "suppressed",
    "attributes",
)
OTHERS = ("first name", "last name", "left", "bounced", "ip", "-")  # that are ours too, but never written
STATES: tuple[SubscriptionState, ...] = get_args(SubscriptionState)
CHUNK = 20_000  # rows a transaction: more take more memory, and make others wait for longer
LONGEST_CELL = 2000  # characters, of a column we know
NO_TEXT = 'is no UTF-8 text; save the file as "CSV UTF-8"'


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """A row that was left out."""

    line: int  # of the file; 1 is the first
    reason: str


@dataclass(slots=True)
class Imported(Added):
    """What an import did; the rows left out are listed."""

    rows: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    program: str | None = None  # that wrote the file, where it is one we know


class NoAddresses(ValueError):
    """The file has no column of addresses."""


def read_csv(
    write: Callable[[], AbstractContextManager[Connection]],
    lines: Iterable[str],
    *,
    list_ids: Mapping[str, int],
    default_lists: Sequence[str],
    now: datetime,
    seen: Callable[[int], None] = lambda rows: None,
    chunk: int = CHUNK,
) -> Imported:
    """Import rows; *seen* is called with how many were read so far.

    Each *chunk* of them is a transaction that *write* gives, so that others need not wait for a million. Rows
    that cannot be used are listed by line and never stop the others. Reading the same file again changes
    nothing, so what was stopped in the middle is simply begun again.

    Raises:
        NoAddresses: no column is headed "email".
    """
    result = Imported()
    reading = _Reading(lines, list_ids, tuple(default_lists))
    result.program = reading.program
    for read in _ahead(reading.chunks(chunk)):
        if read.rows:
            with write() as db:
                part = add_rows(db, read.rows, now=now, source="import", detail=reading.program or "")
            result.added += part.added
            result.changed += part.changed
            result.unchanged += part.unchanged
            result.left_alone += part.left_alone
        result.rows += read.count
        result.problems += read.problems
        seen(result.rows)
    return result


@dataclass(slots=True)
class _Chunk:
    """Rows that were read, and those that cannot be used."""

    rows: list[Row] = field(default_factory=list)
    count: int = 0  # of records, with and without a problem
    problems: list[RowProblem] = field(default_factory=list)

    def leave_out(self, line: int, reason: str) -> None:
        self.count += 1
        self.problems.append(RowProblem(line=line, reason=reason))


def _ahead(chunks: Iterator[_Chunk]) -> Iterator[_Chunk]:
    """The chunks, each of which is read while the one before is written."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


class _Reading:
    """A file, its first line understood."""

    def __init__(
        self, lines: Iterable[str], list_ids: Mapping[str, int], default_lists: tuple[str, ...]
    ) -> None:
        self._list_ids = list_ids
        self._default_lists = default_lists
        self._chunk = _Chunk()
        self._records = records(lines, self._leave_out)
        header = next(self._records, None)
        headings = [re.sub(r"[\s_]+", " ", name).strip().lower() for name in header[1]] if header else []
        if any(_is_no_text(name) for name in headings):
            raise NoAddresses(f"the first line {NO_TEXT}")
        export = exports.recognised(headings)
        self.program = export.program if export else None
        spellings = {**exports.SPELLINGS, "tags": "tags", **export.columns} if export else exports.SPELLINGS
        columns = [spellings.get(name, name) for name in headings]
        self._states = dict(export.states if export else exports.STATES)
        self._usual_state = export.state if export else None
        if "email" not in columns:
            raise NoAddresses("no column is headed 'email'; the first line must name the columns")
        self._width = len(columns)
        ours = {*COLUMNS, *OTHERS, ""}
        self._columns = [(name, at) for at, name in enumerate(columns) if name in ours and name not in "-"]
        self._attributes = [(name, at) for at, name in enumerate(columns) if name not in ours]
        self._has_topics = "topics" in columns
        self._has_state = "state" in columns

    def _leave_out(self, line: int, reason: str) -> None:
        self._chunk.leave_out(line, reason)

    def chunks(self, size: int) -> Iterator[_Chunk]:
        while True:
            for line, cells in islice(self._records, size):
                self._read(line, cells)
            read, self._chunk = self._chunk, _Chunk()
            if not read.count:
                return
            yield read

    def _read(self, line: int, cells: list[str]) -> None:
        try:
            rows = self._rows(cells)
        except ValueError as error:
            self._chunk.leave_out(line, str(error))
        else:
            self._chunk.count += 1
            self._chunk.rows += rows

    def _rows(self, cells: list[str]) -> list[Row]:
        """What a record says, once for each list.

        Raises:
            ValueError: it cannot be used; the message says why.
        """
        said = self._cells(cells)
        names = _several(said["newsletters"]) if "newsletters" in said else self._default_lists
        if unknown := [name for name in names if name not in self._list_ids]:
            known = ", ".join(self._list_ids) or "(none)"
            raise ValueError(f"there is no newsletter {unknown[0][:60]!r}; there are: {known}")
        if not names:
            raise ValueError("names no newsletter; add a column 'newsletters' or use --newsletter")
        address = normal_address(said.get("email", ""))
        state, suppressed = self._state_of(said)
        told = (
            address,
            _name(said),
            self._zone(said),
            said.get("locale"),
            _hour(said["hour"]) if "hour" in said else None,
            self._attributes_of(said, cells),
            self._moment(said, "joined"),
            state,
            _one_of(said["cadence"].lower(), CADENCES, "cadence") if "cadence" in said else None,
            _topic_text(said.get("topics", "")) if self._has_topics else None,
            self._moment(said, "confirmed"),
            _ip(said["ip"]) if "ip" in said else None,
            suppressed,
        )
        hash_ = address_hash(address)
        return [Row(hash_, self._list_ids[name], *told) for name in names]

    def _cells(self, cells: list[str]) -> dict[str, str]:
        """Our columns that have something in them; of two with one name, the last that has."""
        if len(cells) != self._width:
            if len(cells) > self._width:
                raise ValueError(f"has {len(cells)} cells where the first line names {self._width} columns")
            cells += [""] * (self._width - len(cells))
        whole = "".join(cells)
        if _is_no_text(whole):
            raise ValueError(NO_TEXT)
        if len(whole) > LONGEST_CELL:
            for name, at in self._columns:
                if len(cells[at]) > LONGEST_CELL:
                    raise ValueError(f"{name} is longer than {LONGEST_CELL:,} characters")
        said = {}
        for name, at in self._columns:
            if text := cells[at].strip():
                said[name] = _unquoted(text) if text[0] == "'" else text
        return said

    def _state_of(self, said: Mapping[str, str]) -> tuple[str | None, str | None]:
        """The state, and why nothing may be sent to the address; None where nothing is said."""
        if "bounced" in said:
            return "unsubscribed", BOUNCED
        if "suppressed" in said:
            return "unsubscribed", said["suppressed"]
        if "left" in said:
            return "unsubscribed", None
        word = said.get("state", "").lower()
        if not self._has_state or (not word and word not in self._states):
            return self._usual_state, None
        if (meant := self._states.get(word)) is None:
            raise ValueError(f"state {word[:60]!r} is none of {', '.join(filter(None, self._states))}")
        return (meant, None) if meant in STATES else ("unsubscribed", meant)

    def _zone(self, said: Mapping[str, str]) -> str | None:
        if "timezone" not in said:
            return None
        if self.program is None:
            return _known_zone(said["timezone"])
        with suppress(ValueError):  # a guess of theirs, from the address that their reader came from
            return _known_zone(said["timezone"])
        return None

    def _moment(self, said: Mapping[str, str], name: str) -> int | None:
        if name not in said:
            return None
        try:
            return microseconds(_moment(said[name]))
        except (ValueError, OverflowError):
            if self.program is not None:
                return None
            raise ValueError(
                f"{name} {said[name][:60]!r} is no time; write one like 2026-06-01 09:30"
            ) from None

    def _attributes_of(self, said: Mapping[str, str], cells: Sequence[str]) -> str | None:
        found = {name: _unquoted(text) for name, at in self._attributes if (text := cells[at].strip())}
        if "attributes" in said:
            found |= _several_attributes(said["attributes"])
        return json.dumps(found) if found else None


def _is_no_text(text: str) -> bool:
    """Whether bytes were not UTF-8 (read with `surrogateescape`), or are of a UTF-16 file."""
    if text.isascii():
        return "\x00" in text
    return _NO_TEXT.search(text) is not None


_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def _name(said: Mapping[str, str]) -> str:
    name = said.get("name")
    if name is None:
        name = " ".join(filter(None, (said.get("first name"), said.get("last name"))))
    if name.isprintable() and "  " not in name:
        return name
    return _CONTROLS.sub(" ", name).strip()


_CONTROLS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@lru_cache  # rows that follow each other mostly say the same
def _several(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (" ".join(part.split()) for part in re.split(r"[;,|]", text))))


@lru_cache
def _topic_text(text: str) -> str:
    return topic_text(_several(text))


_known_zone = lru_cache(known_zone)


def _hour(text: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text, re.ASCII) or int(text) > 23:
        raise ValueError(f"hour {text[:60]!r} is no hour of a day; they go from 0 to 23")
    return int(text)


def _moment(text: str) -> datetime:
    """A moment as databases and programs write it; without a zone it is taken as UTC."""
    if in_go := re.fullmatch(r"(\S+ \S+) ([+-]\d{4})(?: \S+)?", text):  # listmonk prints a zone's name too
        text = in_go[1] + in_go[2]
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _ip(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-fA-F.:]{2,45}", text) else None


def _several_attributes(text: str) -> dict[str, str]:
    """The attributes of a cell that has a JSON object in it, as text.

    Raises:
        ValueError: it has none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError('attributes must be a JSON object, like {"plan": "free"}')
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}
    return {_NO_TEXT.sub("", name): _NO_TEXT.sub("", value) for name, value in told.items() if value != ""}


def _one_of(value: str, known: Sequence[T], what: str) -> T:
    for choice in known:
        if choice == value:
            return choice
    raise ValueError(f"{what} {value[:60]!r} is none of {', '.join(map(str, known))}")


def write_csv(people: Iterable[Subscriber], file: TextIO) -> int:
    """Write one row for each subscription, readable by `read_csv`; how many rows were written."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for person in people:
        for place in person.subscriptions:
            writer.writerow(
                _harmless(text)
                for text in (
                    person.address,
                    person.name,
                    place.list,
                    ";".join(place.topics),
                    place.cadence,
                    person.timezone or "",
                    person.locale or "",
                    place.state,
                    "" if person.hour is None else str(person.hour),
                    person.created_at.isoformat(sep=" "),
                    place.confirmed_at.isoformat(sep=" ") if place.confirmed_at else "",
                    # What is over in a while would be for ever where the file is read.
                    person.suppressed if person.suppressed and not person.suppressed_until else "",
                    json.dumps(dict(person.attributes), ensure_ascii=False) if person.attributes else "",
                )
            )
            count += 1
    return count


def _unquoted(text: str) -> str:
    """What `_harmless` was given."""
    return text[1:] if _FORMULA.match(text.removeprefix("'")) and text.startswith("'") else text


# What a spreadsheet would run; and what looks as if it had been made harmless already.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def _harmless(text: str) -> str:
    """No cell that a spreadsheet would run as a formula (OWASP: CSV injection)."""
    return "'" + text if _FORMULA.match(text) else text
