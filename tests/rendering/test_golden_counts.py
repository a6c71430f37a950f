"""Eleven hundred strings, counted by us and by rules that were written a second time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distributor.rendering import limits, text
from tests.rendering import rules

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "strings.json").read_text(encoding="ascii")
)


def test_there_are_strings_of_every_kind():
    """A thousand at least, each once: emoji, flags, scripts, marks, addresses, mentions."""
    assert len({one["text"] for one in GOLDEN}) == len(GOLDEN) >= 1000
    assert len({one["kind"] for one in GOLDEN}) >= 10


@pytest.mark.parametrize("counted", sorted(rules.COUNTS))
def test_we_count_as_the_network_does(counted: Any):
    """What is kept beside each string is what the second rule says, and what ours does."""
    for one in GOLDEN:
        assert rules.COUNTS[counted](one["text"]) == one["counts"][counted], ascii(one["text"])
        assert text.count(one["text"], counted) == one["counts"][counted], ascii(one["text"])


@pytest.mark.parametrize("name", sorted(limits.networks()))
def test_what_is_cut_fits_and_is_a_beginning(name: str):
    """No network is given more than it takes, and no grapheme is broken in two."""
    for one in GOLDEN[::4]:
        said = one["text"] * 3
        cut = text.fit(said, name)
        assert text.fits(cut, name), ascii(said[:200])
        if cut == said:
            continue
        beginning = cut.removesuffix(
            text.ELLIPSIS
        ).rstrip()  # after an address a space keeps the ellipsis off
        assert said.startswith(beginning), ascii(cut[-60:])
        ends = {0}
        for grapheme in text.graphemes(said[: len(beginning) + 400]):
            ends.add(max(ends) + len(grapheme))
        assert len(beginning) in ends, ascii(cut[-60:])
