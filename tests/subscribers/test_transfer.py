"""Subscribers from and to CSV: the good rows come in, the bad are listed by line, nothing is swallowed."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from distributor.store.database import Database
from subscribers import store
from subscribers.model import CADENCES, Entry, Subscriber, Subscription, normal_address
from subscribers.records import LONGEST_RECORD
from subscribers.transfer import COLUMNS, Imported, NoAddresses, read_csv, write_csv

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HEADER = "email,name,newsletters,topics,cadence,timezone,locale,state\n"


def load(db: Connection, text: str, *, default: Sequence[str] = ("morning",)) -> Imported:
    lists = {name: store.ensure_list(db, name, served_through=0) for name in ("morning", "weekend")}
    return read_csv(
        lambda: contextlib.nullcontext(db),
        io.StringIO(text),
        list_ids=lists,
        default_lists=default,
        now=NOW,
    )


def everybody(db: Connection) -> dict[str, Subscriber]:
    return {person.address: person for person in store.everybody(db, now=NOW)}


def test_every_column_is_read(database: Database):
    """Each of our columns, and any other as an attribute, on both databases."""
    text = HEADER.replace("state", "state,shoe size") + (
        'Ada@EXAMPLE.org,"Lovelace, Ada",morning;weekend,sea;town,weekly,Europe/Berlin,de,confirmed,38\n'
        "林@例子.广告,林黛玉 🌸,weekend,,,Asia/Shanghai,zh-Hans,unconfirmed,\n"
    )
    with database.write() as db:
        result = load(db, text)
        found = everybody(db)
    assert (result.rows, result.added, result.problems) == (2, 3, [])
    ada, lin = found["Ada@example.org"], found["林@例子.广告"]
    assert (ada.name, ada.timezone, ada.locale) == ("Lovelace, Ada", "Europe/Berlin", "de")
    assert [place.list for place in ada.subscriptions] == ["morning", "weekend"]
    assert {(place.cadence, place.topics) for place in ada.subscriptions} == {("weekly", ("sea", "town"))}
    assert (lin.name, lin.subscriptions[0].state, lin.subscriptions[0].cadence) == (
        "林黛玉 🌸",
        "unconfirmed",
        "daily",
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("not an address,Ada", "no e-mail address"),
        (",Ada", "no e-mail address"),
        ("ada@example,Ada", "no e-mail address"),
        ("ada@exa mple.org,Ada", "no e-mail address"),
        ("ada@example.org,Ada,evening", "no newsletter 'evening'; there are: morning, weekend"),
        ("ada@example.org,Ada,,,hourly", "cadence 'hourly' is none of instant, daily, weekly, monthly"),
        ("ada@example.org,Ada,,,,Mars/Olympus", "'Mars/Olympus' is no time zone"),
        ("ada@example.org,Ada,,,,../../etc/passwd", "no time zone"),
        ("ada@example.org,Ada,,,,,,perhaps", "state 'perhaps' is none of"),
        ("ada@example.org,Ada,,,,,,,extra", "has 9 cells where the first line names 8 columns"),
        ("ada@example.org," + ",".join("abcdefgh" * 12), "cells where the first line names 8"),
        ('ada@example.org,"Ada', "quotation mark is opened and never closed"),
        ("ada@example.org,A\x00da", "no UTF-8 text"),
        ("ada@example.org,M\udcfcller", "no UTF-8 text"),
        ("ada@example.org," + "x" * 2001, "name is longer than 2,000 characters"),
        ("ada@example.org," + "x" * 200_000, "is not CSV: field larger than field limit"),
        ("ada@example.org,A\rda", "is not CSV"),
    ],
)
def test_a_broken_row_is_listed_and_stops_nothing(sqlite: Connection, row: str, reason: str):
    """The rows around a bad one are imported, and its line and fault are told."""
    text = HEADER + "before@example.org,B\n" + row + "\nafter@example.org,A\n"
    result = load(sqlite, text)
    assert ([problem.line for problem in result.problems], result.rows) == ([3], 3)
    assert reason in result.problems[0].reason
    assert len(result.problems[0].reason) < 300
    assert sorted(everybody(sqlite)) == ["after@example.org", "before@example.org"]


def test_two_forgotten_quotes_swallow_nobody(sqlite: Connection):
    """A quotation mark that is not closed does not find its end in a later row's name."""
    text = HEADER + (
        'a@example.org,"Ada\nb@example.org,Bo\nc@example.org,"Cleo\nd@example.org,"Di ""the"" Ant"\n'
    )
    result = load(sqlite, text)
    assert [problem.line for problem in result.problems] == [2, 4]
    assert {address: person.name for address, person in everybody(sqlite).items()} == {
        "b@example.org": "Bo",
        "d@example.org": 'Di "the" Ant',
    }


def test_a_quote_may_stand_for_inches(sqlite: Connection):
    """Within a cell that does not begin with one, a quotation mark is a character like any other."""
    assert not load(sqlite, HEADER + 'a@example.org,Ada 5" Love\nb@example.org,Bo\n').problems
    assert everybody(sqlite)["a@example.org"].name == 'Ada 5" Love'


def test_a_cell_may_have_several_lines(sqlite: Connection):
    """A note over some lines belongs to its row; line numbers after it stay those of the file."""
    text = 'email,note\na@example.org,"one\n\n""two"",\nthree"\nnobody\nb@example.org,x\n'
    result = load(sqlite, text)
    assert [problem.line for problem in result.problems] == [6]
    assert sorted(everybody(sqlite)) == ["a@example.org", "b@example.org"]


def test_a_quote_that_is_open_for_long_was_never_closed(sqlite: Connection):
    """Only its own line is lost, however long the file goes on."""
    many = "".join(f"r{n}@example.org,R\n" for n in range(3 * LONGEST_RECORD))
    result = load(sqlite, HEADER + 'a@example.org,"Ada\n' + many)
    assert [problem.line for problem in result.problems] == [2]
    assert result.added == 3 * LONGEST_RECORD


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffemail,name\na@example.org,Ada\n",
        '\ufeff"email","name"\n"a@example.org","Ada"\n',
        "E-Mail;Full_Name\na@example.org;Ada\n",
        "Email Address\tName\na@example.org\tAda\n",
        "email|name\na@example.org|Ada\n",
        "sep=;\nemail;name\na@example.org;Ada\n",
        "\n\n EMAIL , Name \r\na@example.org,Ada\r\n\r\n",
        "Address,First Name,Last Name\na@example.org,,Ada\n",
        "name,email\nAda,a@example.org",
    ],
)
def test_other_programs_files_are_understood(sqlite: Connection, text: str):
    """Semicolons, tabs, byte order marks, other headings and line ends: one reader each time."""
    result = load(sqlite, text)
    assert (result.rows, result.added, result.problems) == (1, 1, [])
    assert everybody(sqlite)["a@example.org"].name == "Ada"


@pytest.mark.parametrize("text", ["", "\n\n", "name,topics\nAda,sea\n", "ada@example.org\n", ",,,\n"])
def test_a_file_without_addresses_is_refused(sqlite: Connection, text: str):
    """Where no column is headed as one of addresses, nothing is imported."""
    with pytest.raises(NoAddresses, match="no column is headed 'email'"):
        load(sqlite, text)
    assert everybody(sqlite) == {}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_file_in_another_encoding_is_named(sqlite: Connection, encoding: str):
    """A file that is no UTF-8 at all says how to save it, rather than that a column is missing."""
    text = (HEADER + "a@example.org,Ada\n").encode(encoding).decode("utf-8", errors="surrogateescape")
    with pytest.raises(NoAddresses, match='save the file as "CSV UTF-8"'):
        load(sqlite, text)


def test_a_header_alone_is_an_empty_audience(sqlite: Connection):
    """A file without rows is no mistake."""
    result = load(sqlite, HEADER)
    assert (result.rows, result.added, result.problems) == (0, 0, [])


def test_a_row_without_a_newsletter_needs_a_default(sqlite: Connection):
    """Nobody is put on a newsletter that neither the row nor the person importing has named."""
    result = load(sqlite, "email\na@example.org\n", default=())
    assert "names no newsletter" in result.problems[0].reason
    assert everybody(sqlite) == {}


def test_reading_again_changes_nothing(database: Database):
    """A file that was imported can be imported again, on both databases."""
    text = (
        HEADER + "a@example.org,Ada,morning,sea,weekly\nb@example.org,Bo,weekend\nA@Example.org,Ada,weekend\n"
    )
    with database.write() as db:
        first = load(db, text)
        before = everybody(db)
        again = load(db, text)
        assert everybody(db) == before
    assert (first.added, first.changed) == (3, 0)
    assert (again.rows, again.added, again.changed, again.unchanged) == (3, 0, 0, 3)


def test_a_file_without_choices_leaves_them_alone(sqlite: Connection):
    """A bare list of addresses does not undo what its readers chose meanwhile."""
    load(sqlite, HEADER + "a@example.org,Ada,morning,sea,weekly,Europe/Berlin,de,confirmed\n")
    before = everybody(sqlite)
    result = load(sqlite, "email\na@example.org\n")
    assert (result.changed, result.unchanged) == (0, 1)
    assert everybody(sqlite) == before


def test_progress_is_told_in_rows(sqlite: Connection):
    """Whoever waits for a long import hears how many rows were read, in growing numbers."""
    told: list[int] = []
    lists = {"morning": store.ensure_list(sqlite, "morning", served_through=0)}
    lines = ["email\n", *(f"r{n}@example.org\n" for n in range(1200))]
    read_csv(
        lambda: contextlib.nullcontext(sqlite),
        lines,
        list_ids=lists,
        default_lists=["morning"],
        now=NOW,
        seen=told.append,
        chunk=500,
    )
    assert told == [500, 1000, 1200]


def test_no_cell_is_a_formula(sqlite: Connection):
    """What a spreadsheet would run is written as text, and comes back as it was."""
    names = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "'=1", "''+1", "'tis", "O'Neill", '"=1"']
    _add(
        sqlite, *(Entry(address=f"r{n}@example.org", lists=("morning",), name=x) for n, x in enumerate(names))
    )
    text = _exported(sqlite)
    for row in csv.reader(io.StringIO(text)):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    before = everybody(sqlite)
    result = load(sqlite, text)
    assert (result.changed, result.problems) == (0, [])
    assert everybody(sqlite) == before


def test_an_export_can_be_of_nobody():
    """Without subscribers there is still the first line, so that the file can be imported."""
    file = io.StringIO()
    assert write_csv([], file) == 0
    assert file.getvalue() == ",".join(COLUMNS) + "\n"


hostile = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
cells = st.text("ab@,;\t\"'\n\r=+ \x00\ufeff\udc80é漢🌊.", max_size=12)


@hostile
@given(text=st.text() | st.lists(cells, max_size=12).map(lambda rows: "email,name\n" + "\n".join(rows)))
def test_no_text_at_all_breaks_an_import(sqlite: Connection, text: str):
    """Whatever a file has in it, the import ends with a result or says that there are no addresses."""
    with contextlib.suppress(NoAddresses):
        result = load(sqlite, text)
        lines = text.count("\n") + 1
        assert all(1 <= problem.line <= lines for problem in result.problems)


words = st.text(max_size=20).map(lambda text: " ".join(text.split()))
topics = st.lists(words.filter(lambda word: word and not set(word) & set(",;|")), max_size=3, unique=True)


@hostile
@given(
    name=words.filter(lambda name: all(ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0 for c in name)),
    topics=topics.filter(lambda found: all(ord(c) >= 32 for topic in found for c in topic)),
    cadence=st.sampled_from(CADENCES),
    state=st.sampled_from(["unconfirmed", "confirmed"]),
)
def test_what_is_exported_can_be_imported(
    sqlite: Connection, name: str, topics: list[str], cadence: str, state: str
):
    """Export, and import into an empty house: the same people with the same choices."""
    person = Subscriber(
        id=1,
        address="ada@example.org",
        name=name,
        timezone="Europe/Berlin",
        locale="de",
        created_at=NOW,
        suppressed=None,
        subscriptions=(
            Subscription(
                list="weekend",
                state=next(known for known in ("unconfirmed", "confirmed") if known == state),
                cadence=next(known for known in CADENCES if known == cadence),
                topics=tuple(sorted(topics)),
                served_through=0,
                created_at=NOW,
                confirmed_at=NOW if state == "confirmed" else None,
            ),
        ),
    )
    file = io.StringIO()
    write_csv([person], file)
    for table in ("subscription", "subscriber"):
        sqlite.exec_driver_sql(f"DELETE FROM {table}")
    assert load(sqlite, file.getvalue(), default=()).problems == []
    [found] = store.everybody(sqlite, now=NOW)
    assert found == person


@given(st.text() | st.builds("{}@{}.org".format, st.text(max_size=9), st.text(max_size=9)))
def test_an_address_is_settled(text: str):
    """Whatever normalisation takes for an address it takes again as it is; all else is no address."""
    with contextlib.suppress(ValueError):
        found = normal_address(text)
        assert normal_address(found) == found


def _add(db: Connection, *entries: Entry) -> None:
    lists = {"morning": store.ensure_list(db, "morning", served_through=0)}
    store.add(db, entries, list_ids=lists, now=NOW)


def _exported(db: Connection) -> str:
    file = io.StringIO()
    write_csv(store.everybody(db, now=NOW), file)
    return file.getvalue()
