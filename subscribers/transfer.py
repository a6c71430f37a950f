"""Subscribers to and from CSV (RFC 4180), streamed: a file of any length takes little memory."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import TextIO, TypeVar, get_args

from sqlalchemy import Connection

from subscribers import store
from subscribers.model import CADENCES, Entry, Subscriber, SubscriptionState, known_zone, normal_address
from subscribers.store import Added

T = TypeVar("T", bound=str)

COLUMNS = ("email", "name", "newsletters", "topics", "cadence", "timezone", "locale", "state")
SPELLINGS = {  # how other programs head their columns -> ours
    "e-mail": "email",
    "email address": "email",
    "address": "email",
    "full name": "name",
    "newsletter": "newsletters",
    "lists": "newsletters",
    "list": "newsletters",
    "tags": "topics",
    "time zone": "timezone",
    "language": "locale",
    "status": "state",
}
STATES = {"subscribed": "confirmed", "enabled": "confirmed", "active": "confirmed"}
LONGEST_RECORD = 20  # lines: a quote open for longer was never closed
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

    def leave_out(self, line: int, reason: str) -> None:
        self.rows += 1
        self.problems.append(RowProblem(line=line, reason=reason))


class NoAddresses(ValueError):
    """The file has no column of addresses."""


def read_csv(
    db: Connection,
    lines: Iterable[str],
    *,
    list_ids: Mapping[str, int],
    default_lists: Sequence[str],
    now: datetime,
    seen: Callable[[int], None] = lambda rows: None,
) -> Imported:
    """Import rows in chunks; *seen* is called with how many were read so far.

    Rows that cannot be used are listed by line and never stop the others. Reading the same file again changes
    nothing.

    Raises:
        NoAddresses: no column is headed "email".
    """
    result = Imported()
    entries = _entries(lines, list_ids, default_lists, result)
    while chunk := list(islice(entries, 500)):
        part = store.add(db, chunk, list_ids=list_ids, now=now)
        result.added += part.added
        result.changed += part.changed
        result.unchanged += part.unchanged
        result.left_alone += part.left_alone
        seen(result.rows)
    return result


def _entries(
    lines: Iterable[str], list_ids: Mapping[str, int], default_lists: Sequence[str], result: Imported
) -> Iterator[Entry]:
    records = _records(lines, result)
    header = next(records, None)
    columns = _columns(header[1]) if header else []
    if any(_is_no_text(name) for name in columns):
        raise NoAddresses(f"the first line {NO_TEXT}")
    if "email" not in columns:
        raise NoAddresses("no column is headed 'email'; the first line must name the columns")
    for line, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(columns, cells, strict=False))
        try:
            entry = _entry(row, len(cells), columns, list_ids, default_lists)
        except ValueError as error:
            result.leave_out(line, str(error))
        else:
            result.rows += 1
            yield entry


def _columns(header: Sequence[str]) -> list[str]:
    names = [re.sub(r"[\s_]+", " ", name).strip().lower() for name in header]
    return [SPELLINGS.get(name, name) for name in names]


def _records(lines: Iterable[str], result: Imported) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each record; a quote that is never closed costs its own line only."""
    waiting = _Lines(lines)
    delimiter = ""
    while (start := waiting.next()) is not None:
        number, text = start
        text = text.removeprefix("\ufeff") if number == 1 else text
        if number == 1 and (named := re.fullmatch(r"sep=([,;\t|])\s*", text)):  # Excel's own first line
            delimiter = named[1]
            continue
        if not text.strip():
            continue
        delimiter = delimiter or _delimiter(text)
        taken = [text]
        try:
            cells = _cells(taken, delimiter)
            while cells is None and len(taken) < LONGEST_RECORD and (more := waiting.next()):
                taken.append(more[1])
                cells = _cells(taken, delimiter)
        except csv.Error as error:
            if len(taken) == 1:
                result.leave_out(number, f"is not CSV: {error}")
                continue
            cells = None
        if cells is None:
            result.leave_out(number, "a quotation mark is opened and never closed")
            waiting.put_back(number + 1, taken[1:])
            continue
        yield number, cells


def _cells(taken: Sequence[str], delimiter: str) -> list[str] | None:
    """The cells of a record that stands on these lines; None while a quotation mark is open.

    What stands on one line is read with indulgence. A cell of several lines must end as RFC 4180 has it, or a
    forgotten quotation mark would find its end in a later row, and swallow those between.

    Raises:
        csv.Error: they are no record.
    """
    record = "".join(taken)
    # If the line after the last became part of the record, the quotation mark is still open.
    rows = list(csv.reader([record, _AFTER], delimiter=delimiter))
    if rows[-1] != [_AFTER]:
        return None
    return rows[0] if len(taken) == 1 else next(csv.reader([record], delimiter=delimiter, strict=True))


_AFTER = "."


class _Lines:
    """Numbered lines that can be handed back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate(lines, 1)
        self._returned: list[tuple[int, str]] = []

    def next(self) -> tuple[int, str] | None:
        return self._returned.pop() if self._returned else next(self._lines, None)

    def put_back(self, first: int, lines: Sequence[str]) -> None:
        self._returned += reversed(list(enumerate(lines, first)))


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _entry(
    row: Mapping[str, str],
    width: int,
    columns: Sequence[str],
    list_ids: Mapping[str, int],
    default_lists: Sequence[str],
) -> Entry:
    if width > len(columns):
        raise ValueError(f"has {width} cells where the first line names {len(columns)} columns")
    if _is_no_text("".join(row.values())):
        raise ValueError(NO_TEXT)
    if too_long := [name for name in COLUMNS if len(row.get(name, "")) > LONGEST_CELL]:
        raise ValueError(f"{too_long[0]} is longer than {LONGEST_CELL:,} characters")
    text = {name: _unquoted(value.strip()) for name, value in row.items()}
    lists = _several(text.get("newsletters", "")) or tuple(default_lists)
    if unknown := [name for name in lists if name not in list_ids]:
        known = ", ".join(list_ids) or "(none)"
        raise ValueError(f"there is no newsletter {unknown[0][:60]!r}; there are: {known}")
    if not lists:
        raise ValueError("names no newsletter; add a column 'newsletters' or use --newsletter")
    return Entry(
        address=normal_address(text.get("email", "")),
        name=_name(text),
        lists=lists,
        topics=_several(text["topics"]) if "topics" in text else None,
        cadence=_one_of(text["cadence"].lower(), CADENCES, "cadence") if text.get("cadence") else None,
        state=_one_of(_state(text["state"]), get_args(SubscriptionState), "state")
        if text.get("state")
        else None,
        timezone=known_zone(text["timezone"]) if text.get("timezone") else None,
        locale=text.get("locale") or None,
        attributes={name: value for name, value in text.items() if value and name not in _KNOWN},
    )


_KNOWN = {*COLUMNS, "first name", "last name", ""}


def _is_no_text(cell: str) -> bool:
    """Whether bytes were not UTF-8 (read with `surrogateescape`), or are of a UTF-16 file."""
    return re.search("[\x00\ud800-\udfff]", cell) is not None


def _name(text: Mapping[str, str]) -> str:
    parts = (text.get("first name", ""), text.get("last name", ""))
    name = text.get("name") or " ".join(filter(None, parts))
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", name).strip()


def _state(text: str) -> str:
    return STATES.get(text.lower(), text.lower())


@lru_cache  # rows that follow each other mostly say the same
def _several(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (" ".join(part.split()) for part in re.split(r"[;,|]", text))))


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
