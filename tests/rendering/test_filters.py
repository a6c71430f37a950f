"""What templates can do to a value."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from distributor.rendering.color import LEGIBLE, Color, contrast
from distributor.rendering.filters import (
    clip,
    direction,
    local_date,
    readable,
    tidy,
    web_address,
    with_utm,
    wrap,
)

FAMILY = "👩‍👩‍👧‍👦"
SITE = "https://news.example.org/paper"
UTM = {"source": "newsletter", "utm_medium": "email", "ref": "x y"}


@given(st.text(), st.integers(0, 60))
def test_clipping_keeps_within_the_limit(text: str, limit: int) -> None:
    """Never more than the limit, and nothing cut that would have fitted."""
    line = " ".join(text.split())
    clipped = clip(text, limit)
    assert len(clipped) <= limit
    assert clipped == line if len(line) <= limit else clipped.endswith("…") or limit == 0


@given(st.lists(st.sampled_from([FAMILY, "e\u0301", "🇩🇪", "क्षि", "a", "漢"]), min_size=1).map("".join))
def test_clipping_cuts_no_grapheme(text: str) -> None:
    """An emoji family, a flag or an accented letter is there as a whole or not at all."""
    kept = clip(text, 24).removesuffix("…")
    assert regex.findall(r"\X", text)[: len(regex.findall(r"\X", kept))] == regex.findall(r"\X", kept)


@pytest.mark.parametrize(
    ("text", "limit", "clipped"),
    [
        ("The ferry sails at noon", 23, "The ferry sails at noon"),
        ("The ferry sails at noon", 20, "The ferry sails at…"),
        ("The ferry, of course, sails", 22, "The ferry, of course…"),
        ("  many \n\t spaces ", 20, "many spaces"),
        ("Donaudampfschifffahrtsgesellschaft", 10, "Donaudamp…"),
        ("港のクレーンが九年ぶりに", 6, "港のクレー…"),
        ("a" + "\u0301" * 100, 10, "a" + "\u0301" * 8 + "…"),
    ],
)
def test_clipping_cuts_between_words_where_there_are_any(text: str, limit: int, clipped: str) -> None:
    """A cut falls between words and drops hanging punctuation; without words it falls where it must."""
    assert clip(text, limit) == clipped


@given(st.text(st.characters(), max_size=200))
def test_tidy_text_is_fit_for_any_medium(text: str) -> None:
    """No control, lone surrogate or change of direction is left, so it can be encoded, sent and shown."""
    clean = tidy(text + "\ud800\x00\u202e\r\nBcc: x", 300)
    clean.encode()
    assert not any(ord(c) < 32 or c in "\x7f\u202a\u202b\u202d\u202e" for c in clean)


@given(st.text(st.sampled_from("ab 漢。字-é"), max_size=300))
def test_wrapping_loses_nothing(text: str) -> None:
    """Lines hold at most 72 columns and, joined again, every character that is not space."""
    lines = wrap(text, 72, "  ").split("\n")
    widest = max(sum(2 if c in "漢。字" else 1 for c in line) for line in lines)
    assert widest <= 72 or max(map(len, text.split())) > 60
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("夜は「青い」と言う。", 6, ["夜は", "「青", "い」と", "言う。"]),
        ("夜のファッションショー", 8, ["夜の", "ファッ", "ション", "ショー"]),
        ("新しい“一网通办”，好", 8, ["新しい", "“一网通", "办”，好"]),
        ("the f(x) of 海", 8, ["the f(x)", "of 海"]),
        ("서울시 한강 눈썰매장", 12, ["서울시 한강", "눈썰매장"]),
        ("「「「「「「海", 4, ["「「", "「「「「海"]),
    ],
)
def test_lines_of_chinese_and_japanese_break_where_readers_expect(
    text: str, width: int, lines: list[str]
) -> None:
    """Opening marks stay with what follows, closing marks and small kana with what is before them."""
    assert wrap(text, width).split("\n") == lines


def test_wrapping_leaves_addresses_whole() -> None:
    """A link that is longer than a line stays in one piece, on a line of its own."""
    address = "https://news.example.org/" + "long/" * 20
    assert address in wrap(f"See {address} for more", 40).split("\n")


@pytest.mark.parametrize(
    ("language", "style", "expected"),
    [
        ("en", "full", "Thursday, December 31, 2026"),
        ("en-GB", "long", "31 December 2026"),
        ("de", "MMMd", "31. Dez."),
        ("ja", "long", "2026年12月31日"),
        ("tlh", "long", "December 31, 2026"),
        ("", "long", "December 31, 2026"),
    ],
)
def test_dates_are_written_as_the_publication_does(language: str, style: str, expected: str) -> None:
    """Dates follow the language; a language nobody described is written in English."""
    assert local_date(datetime(2026, 12, 31, 12, tzinfo=UTC), style, language, "UTC") == expected


def test_dates_are_those_of_the_publications_place() -> None:
    """Late in the evening in London it is already tomorrow in Tokyo."""
    evening = datetime(2026, 12, 31, 20, tzinfo=UTC)
    assert local_date(evening, "long", "en", "Asia/Tokyo") == "January 1, 2027"
    assert local_date(evening, "long", "en", "No/Where") == "December 31, 2026"


@given(st.datetimes(timezones=st.just(UTC)), st.text(max_size=12))
def test_every_date_can_be_written(value: datetime, language: str) -> None:
    """No date and no language tag is too strange."""
    assert local_date(value, "yMMMd", language, "Pacific/Kiritimati")


def test_direction_follows_the_language() -> None:
    """Arabic, Hebrew, Persian and Urdu run from right to left."""
    assert {direction(tag) for tag in ("ar", "he-IL", "fa", "ur")} == {"rtl"}
    assert {direction(tag) for tag in ("en", "ja", "xx", "")} == {"ltr"}


@pytest.mark.parametrize(
    ("url", "tagged"),
    [
        (f"{SITE}/a/", f"{SITE}/a/?utm_source=newsletter&utm_medium=email&ref=x+y"),
        (f"{SITE}/a/?p=1#top", f"{SITE}/a/?p=1&utm_source=newsletter&utm_medium=email&ref=x+y#top"),
        (f"{SITE}?utm_source=own&ref=", f"{SITE}?utm_source=own&ref=&utm_medium=email"),
        ("https://elsewhere.example/a", "https://elsewhere.example/a"),
        ("mailto:desk@news.example.org", "mailto:desk@news.example.org"),
        ("http://[broken", "http://[broken"),
        ("", ""),
    ],
)
def test_campaign_parameters_go_to_the_sites_own_links(url: str, tagged: str) -> None:
    """They join what is there, overwrite nothing, leave the fragment last, and never leave the site."""
    assert with_utm(url, UTM, SITE) == tagged


@given(st.text(), st.dictionaries(st.text(), st.text(), max_size=4))
def test_campaign_parameters_come_out_as_they_went_in(path: str, parameters: dict[str, str]) -> None:
    """Whatever a parameter says, the site reads exactly that."""
    tagged = with_utm("https://news.example.org/?x=1", {**parameters, "campaign": path}, SITE)
    read = parse_qs(urlsplit(tagged).query, keep_blank_values=True)
    if path:
        assert read["utm_campaign"] == [path]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://news.example.org/a b/ü?q=é#ö", "https://news.example.org/a%20b/%C3%BC?q=%C3%A9#%C3%B6"),
        ("https://müller.example:8443/%20x", "https://xn--mller-kva.example:8443/%20x"),
        ("HTTP://news.example.org", "http://news.example.org"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//news.example.org/x", ""),
        ("https://", ""),
        ("https://[::1", ""),
        ("https://ü:port/", ""),
        ("https://news.example.org/" + "x" * 3000, ""),
        ('https://news.example.org/"><script>', "https://news.example.org/%22%3E%3Cscript%3E"),
        (None, ""),
    ],
)
def test_only_web_addresses_become_links(url: str | None, address: str) -> None:
    """A link in a mail is http or https, plain ASCII, and short enough for every mail program."""
    assert web_address(url) == address


@given(st.text(), st.sampled_from(["", "https://", "http://news.example.org/", "https://ü"]))
def test_an_address_is_safe_or_none(text: str, start: str) -> None:
    """Nothing that could leave an attribute or a line gets into an address."""
    address = web_address(start + text)
    assert not address or regex.fullmatch(r"https?://[!-~]+", address)
    assert not set(address) & set('"<>\\^`{|} \n')


channel = st.integers(0, 255)


@given(st.tuples(channel, channel, channel), st.sampled_from(["#ffffff", "#1c1e20", "#f3f2ee", "#777777"]))
def test_colours_are_made_legible(color: Color, background: str) -> None:
    """Any site colour ends up with enough contrast for text."""
    shade = readable("#{:02x}{:02x}{:02x}".format(*color), background)
    assert contrast(rgb(shade), rgb(background)) >= LEGIBLE


def rgb(color: str) -> Color:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def test_a_legible_colour_stays_as_it_is() -> None:
    """A site's own colour is touched only where it must be; what is no colour gets a calm one."""
    assert readable("#0b3d91", "#ffffff") == "#0b3d91"
    assert readable("red;}", "#ffffff") == readable("", "#ffffff")
