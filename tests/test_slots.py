"""Marks in frozen content, and what readers see in their place."""

from __future__ import annotations

import html
import quopri
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributor.slots import (
    MARKS,
    SLOTS,
    neutral,
    neutral_html,
    neutral_url,
    split,
    translate,
)

ADA = {
    "name": "Ada <Admin> & 'Co'",
    "unsubscribe_url": "https://mail.example.org/unsubscribe/a1?l=1&t=2",
    "preferences_url": "https://mail.example.org/preferences/a1",
    "view_url": "https://mail.example.org/archive/7",
}

near_marks = st.lists(
    st.sampled_from(["@", "@@", *SLOTS, *MARKS.values(), "x", " ", "", "é", "\N{WORD JOINER}"]), max_size=8
).map("".join)


def test_values_stand_where_their_marks_stood() -> None:
    """Every mark becomes its reader's value, as often as it comes; all else stays as it was."""
    text = "Dear @@name@@, @@view_url@@ or @@view_url@@. @@other@@ @@ name@@ a@b@c"
    filled = split(text).fill(ADA, escape=False)
    view = ADA["view_url"]
    assert filled == f"Dear {ADA['name']}, {view} or {view}. @@other@@ @@ name@@ a@b@c"


@given(text=near_marks, name=st.text(st.characters(exclude_categories=["Cs"])), escape=st.booleans())
def test_json_says_the_same(text: str, name: str, escape: bool) -> None:
    """A mail in a request is the mail, whatever of it JSON has to escape."""
    content, values = split(f'"{text}\\\n"'), ADA | {"name": name, "confirm_url": "https://x.example"}
    told = orjson.loads(orjson.dumps({"html": content.in_json().fill(values, escape=escape)}))
    assert told == {"html": content.fill(values, escape=escape)}


def test_values_are_escaped_for_html_only() -> None:
    """A reader's name cannot become markup, and reads as it is in plain text."""
    content = split('<p title="@@name@@">@@name@@</p>')
    escaped = content.fill(ADA)
    assert "<Admin>" not in escaped
    assert "'" not in escaped
    assert html.unescape(escaped) == content.fill(ADA, escape=False)


def test_a_value_is_never_read_as_a_mark() -> None:
    """A reader called like a mark stays called so."""
    assert split("@@name@@").fill({"name": "@@view_url@@"}) == "@@view_url@@"


@pytest.mark.parametrize("escape", [True, False])
def test_a_missing_value_is_an_error(escape: bool) -> None:
    """A mail without its unsubscribe link must not leave, not even by mistake."""
    with pytest.raises(KeyError, match="unsubscribe_url"):
        split("@@unsubscribe_url@@").fill({"name": "Ada"}, escape=escape)


@given(st.lists(near_marks, max_size=6))
def test_neutral_texts_make_no_mark_in_any_company(texts: list[str]) -> None:
    """Whatever neutral texts are put side by side, no mark comes about, in text, address or HTML."""
    for safe in (neutral, neutral_url, neutral_html):
        assert split("".join(map(safe, texts))).names == ()


@given(near_marks)
def test_neutral_texts_say_the_same(text: str) -> None:
    """Being made neutral changes nothing that a reader, a browser or a server would notice."""
    assert neutral(text).replace("\N{WORD JOINER}", "") == text.replace("\N{WORD JOINER}", "")
    assert html.unescape(neutral_html(text)) == text
    assert unquote(neutral_url(text)) == text


@given(st.lists(st.sampled_from(SLOTS)), st.text())
def test_marks_survive_splitting_and_joining(names: list[str], between: str) -> None:
    """Between the marks nothing is lost, added or reordered."""
    text = neutral(between) + "".join(MARKS[name] + neutral(between) for name in names)
    content = split(text)
    assert content.names == tuple(names)
    assert content.fill(MARKS, escape=False) == text


def test_marks_pass_escaping_and_transport_encoding() -> None:
    """HTML escaping and quoted-printable leave a mark's characters alone."""
    for mark in MARKS.values():
        assert html.escape(mark) == mark
        assert quopri.encodestring(mark.encode()) == mark.encode()


def test_marks_become_a_vendors_own_syntax() -> None:
    """A vendor that fills in itself gets its own placeholders, and articles cannot write them."""
    text = "Dear @@name@@, we print %recipient.name% and 5 % off"
    table = {name: f"%recipient.{name}%" for name in SLOTS}
    assert translate(text, table) == "Dear %recipient.name%, we print %recipient.name% and 5 % off"
    doubled = translate(text, table, literal=lambda piece: piece.replace("%", "%%"))
    assert doubled == "Dear %recipient.name%, we print %%recipient.name%% and 5 %% off"


def test_a_slot_the_vendor_table_lacks_is_an_error() -> None:
    """No mark is ever sent as it stands."""
    with pytest.raises(KeyError):
        translate("@@view_url@@", {"name": "{{name}}"})
