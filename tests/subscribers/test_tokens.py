"""Readers' links: what they say, and that nobody else can make them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.tokens import Place, Tokens

TOKENS = Tokens(b"a secret of thirty-two bytes, yes")
PLACE = Place(subscriber=41, list=3)

places = st.builds(Place, subscriber=st.integers(0, 2**63 - 1), list=st.integers(0, 2**31 - 1))


@given(places)
def test_a_token_leads_back_to_its_place(place: Place):
    """What is made can be read, and stands in an address without escaping."""
    token = TOKENS.make(place)
    assert TOKENS.read(token) == place
    assert re.fullmatch(r"[A-Za-z0-9_-]{38}", token)


@given(places, places)
def test_no_two_places_share_a_token(one: Place, other: Place):
    """A reader's link cannot be another's."""
    assert (TOKENS.make(one) == TOKENS.make(other)) == (one == other)


def test_any_change_is_refused():
    """Whichever character is replaced, left out or put in, the token means nothing."""
    token = TOKENS.make(PLACE)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=!. é"
    for at in range(len(token)):
        for other in alphabet:
            changed = token[:at] + other + token[at + 1 :]
            assert TOKENS.read(changed) == (PLACE if changed == token else None)
            assert TOKENS.read(token[:at] + other + token[at:]) is None
        assert TOKENS.read(token[:at] + token[at + 1 :]) is None
    for other in alphabet:
        assert TOKENS.read(token + other) is None


def test_another_secret_is_another_house():
    """A token made under one secret is nothing under another."""
    assert Tokens(b"another secret of enough bytes..").read(TOKENS.make(PLACE)) is None


def test_a_short_secret_is_refused():
    """A secret that could be guessed signs nothing."""
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Tokens(b"short")


@given(st.text() | st.text("ABCabc012-_=", max_size=60))
def test_junk_is_refused_quietly(text: str):
    """Whatever stands in the address of a request, reading it never fails."""
    assert TOKENS.read(text) is None
