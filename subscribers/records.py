"""The records of a CSV file, whatever somebody's program made of RFC 4180."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

LONGEST_RECORD = 20  # lines: a quote open for longer was never closed


def records(lines: Iterable[str], leave_out: Callable[[int, str], None]) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each record that has something in it.

    A quotation mark that is never closed costs its own line only, which *leave_out* is told of.
    """
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
        if (line := _plain_line(text)) is not None:
            if line.strip(_BLANK):
                yield number, line.split(delimiter)
            continue
        taken = [text]
        several: list[str] | None
        try:
            several = _cells(taken, delimiter)
            while several is None and len(taken) < LONGEST_RECORD and (more := waiting.next()):
                taken.append(more[1])
                several = _cells(taken, delimiter)
        except csv.Error as error:
            if len(taken) == 1:
                leave_out(number, f"is not CSV: {error}")
                continue
            several = None
        if several is None:
            leave_out(number, "a quotation mark is opened and never closed")
            waiting.put_back(number + 1, taken[1:])
            continue
        if any(cell.strip() for cell in several):
            yield number, several


def _plain_line(text: str) -> str | None:
    """A line that is a record and asks for no library, as most do, without its end."""
    line = text.removesuffix("\n").removesuffix("\r")
    return None if '"' in line or "\r" in line or len(line) > 2000 else line


_BLANK = ",;\t| \n"  # what a record without anything in it may have


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
