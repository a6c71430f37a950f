"""Front matter in its three formats, whole and broken."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest

from distributor.articles.frontmatter import FrontMatterError, read_document, read_yaml


@pytest.mark.parametrize(
    "data",
    [
        b'+++\nTitle = "A"\nn = 1\n+++\nbody\n',
        b"---\nTitle: A\nn: 1\n---\nbody\n",
        b'{"Title": "A", "n": 1}\nbody\n',
        b'{\n  "Title": "A",\n  "n": 1\n}\nbody\n',
        b"\xef\xbb\xbf---\nTitle: A\nn: 1\n---\nbody\n",
        b"\r\n\r\n---\r\nTitle: A\r\nn: 1\r\n---\r\nbody\n",
        b"<!--\n---\nTitle: A\nn: 1\n---\nbody\n",
    ],
)
def test_three_formats_say_the_same(data: bytes) -> None:
    """TOML, YAML and JSON give one table with names in lower case, and the body after it."""
    document = read_document(data)
    assert document.values == {"title": "A", "n": 1}
    assert document.body.strip() == b"body"


def test_a_file_without_front_matter_is_all_body() -> None:
    """What starts with a word, a heading or a wide character has no front matter and loses nothing."""
    for data in (b"", b"words", b"# Heading", "！wide".encode(), b"\xff\xfe"):
        assert read_document(data).values == {}
        assert read_document(data).body == data


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("2026-01-02", "2026-01-02"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("12", 12),
        ("-1_000", -1000),
        ("007", "007"),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("|\n  x\n  y", "x\ny"),
    ],
)
def test_yaml_words_keep_what_hugo_keeps(word: str, value: Any) -> None:
    """Dates, `yes` and numbers with leading zeros stay text; the rest is what YAML makes of it."""
    assert read_yaml(f"x: {word}") == {"x": value}


def test_yaml_anchors_and_merges_are_followed() -> None:
    """An alias gives the same value, and `<<` fills what the table does not say itself."""
    source = "base: &b {x: 1, y: 2}\nmade: {<<: *b, y: 3}\nlist: {<<: [*b, {z: 9}]}\n"
    assert read_yaml(source) == {
        "base": {"x": 1, "y": 2},
        "made": {"x": 1, "y": 3},
        "list": {"x": 1, "y": 2, "z": 9},
    }


def test_toml_dates_are_dates() -> None:
    """TOML has dates of its own."""
    values = read_document(b"+++\na = 2026-01-02\nb = 2026-01-02T03:04:05Z\n+++\n").values
    assert values["a"] == date(2026, 1, 2)
    assert values["b"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (b"+++\ntitle = \n+++\n", "not TOML", 2),
        (b'\n\n+++\na = "x"\nb = oops\n+++\n', "not TOML", 5),
        (b"---\ntitle: x\nbad: [1\n---\n", "not YAML", 4),
        (b"---\na: b: c\n---\n", "not YAML", 2),
        (b"---\na: *nowhere\n---\n", "not YAML", 2),
        (b"---\na: x\nb: \x01\n---\n", "not YAML", 3),
        (b'{"a": 1,\n"b": }\n', "not JSON", 2),
        (b'{"a": 1', "not JSON", 1),
        (b"+++\ntitle = 'x'\n", "no second line", 1),
        (b"---\n\na: \xff\n---\n", "not UTF-8", 3),
        (b'{"a": "\xff"}', "not UTF-8", 1),
        (b"---\n- a\n---\n", "not a table", None),
        (b"+ a list\n", "but not with the line +++", 1),
    ],
)
def test_broken_front_matter_is_told_with_its_line(data: bytes, reason: str, line: int | None) -> None:
    """What does not parse says why, and where in the file."""
    with pytest.raises(FrontMatterError, match=re.escape(reason)) as caught:
        read_document(data)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "source",
    [
        "x: " + "[" * 100_000,
        "- " * 100_000,
        "? " * 50_000,
        "x: &a [*a]",
        "x: &a {b: *a}",
        "{" * 5_000,
        "? [a]\n: b",
    ],
)
def test_hostile_yaml_is_refused(source: str) -> None:
    """Depth that would crash a recursive parser, and values that hold themselves, are errors."""
    with pytest.raises(FrontMatterError):
        read_document(f"---\n{source}\n---\n".encode())


def test_hostile_toml_and_json_are_refused() -> None:
    """Depth in the other formats is an error too."""
    for text in ("+++\nx = " + "[" * 100_000 + "\n+++\n", '{"a":' * 100_000, '{"a": 1' + "0" * 10_000 + "}"):
        with pytest.raises(FrontMatterError):
            read_document(text.encode())


LINES = "# words\n" * 50_000


@pytest.mark.parametrize("fence", ["+++", "---"])
def test_endless_front_matter_is_refused(fence: str) -> None:
    """Megabytes between the fences are no front matter."""
    with pytest.raises(FrontMatterError, match="longer than 256 KiB"):
        read_document(f"{fence}\n{LINES}{fence}\n".encode())


def test_yaml_values_with_many_names_are_made_once() -> None:
    """Aliases of aliases, which would multiply to billions of values, stay one value each."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    made = read_yaml("\n".join(lines))
    assert made["a59"][0] is made["a59"][1]


def test_a_name_is_found_again() -> None:
    """A problem can name the line of a value, also inside a table."""
    document = read_document(b'+++\ntitle = "x"\n\n[distributor]\n  "embargo" = "soon"\n+++\n')
    assert document.line_of("title") == 2
    assert document.line_of("distributor", "embargo") == 5
    assert document.line_of("nowhere") is None
