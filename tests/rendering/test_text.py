from __future__ import annotations

import time
from dataclasses import replace

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.errors import NotFound
from distributor.rendering import limits, text

FAMILY = "👨‍👩‍👧‍👦"  # four people, three joiners: 25 bytes, 11 UTF-16 units, one grapheme
SCOTLAND = "🏴󠁧󠁢󠁳󠁣󠁴󠁿"
LONG_URL = "https://courier.example.com/harbour/" + "a" * 600

COUNTED = [
    # network, text, count: the rule
    # twitter-text conformance, validate.yml "WeightedTweetsWithDiscountedEmojiCounterTest"
    ("x", "a" * 280, 280, "Latin counts 1"),
    ("x", "故" * 140, 280, "ideographs count 2"),
    ("x", FAMILY, 2, "a sequence of joined emoji counts 2"),
    ("x", "👍🏿", 2, "and so does one with a skin tone"),
    ("x", "🇩🇪🇫🇷", 4, "and each flag"),
    ("x", "e\u0301", 1, "a composed form counts, NFC"),
    ("x", "https://t.example.com/x", 23, "a short address counts 23"),
    ("x", f"See {LONG_URL}", 27, "and so does a long one"),
    ("x", "example.com", 23, "and one without its scheme"),
    ("x", "https://例え.jp/", 23, "and an international name"),
    ("x", "https://courier.example/", 24, "but not one in a domain that does not exist"),
    ("x", "مرحبا", 5, "Arabic counts 1"),
    ("x", "ab\u2019c\u2014d", 6, "typographic marks count 1"),
    # mastodon spec/validators/status_length_validator_spec.rb
    ("mastodon", "a" * 476 + f" http://{'b' * 30}.com/example", 500, "an address counts 23"),
    ("mastodon", "a" * 475 + f" @alice@{'b' * 30}.com", 482, "a remote mention counts without its server"),
    ("mastodon", "example.com", 11, "a name without scheme is no address"),
    ("mastodon", FAMILY + "🇩🇪" + "👍🏿", 3, "graphemes, not code points"),
    ("mastodon", "a@b.example", 11, "a mail address is no mention"),
    (
        "mastodon",
        "https://social.example.com/@lena@other.example",
        23,
        "a mention inside an address is part of it",
    ),
    ("mastodon", "故障中", 3, "ideographs count 1"),
    # bluesky-social/atproto packages/syntax and lexicon tests: graphemes by UAX 29
    ("bluesky", FAMILY, 1, "a family is one grapheme"),
    ("bluesky", SCOTLAND, 1, "so is a flag made of tags"),
    ("bluesky", "e\u0301", 1, "and a letter with its accent"),
    ("bluesky", "क्षि", 2, "and a conjunct two, as servers with an older Unicode count it"),
    ("bluesky", "https://courier.example/", 24, "an address counts in full"),
    ("bluesky", "שלום", 4, "Hebrew letters"),
    ("bluesky", "\r\n", 1, "a line's end of two characters"),
    # developers.facebook.com/docs/threads/posts: "emojis are counted as the number of UTF-8 bytes"
    ("threads", "ok 👍", 3 + 4, "an emoji counts its bytes"),
    ("threads", FAMILY, 25, "all of a sequence"),
    ("threads", "故障", 2, "other characters count 1"),
    # core.telegram.org/api/entities: lengths in UTF-16 code units, after entities are parsed
    ("telegram", "a < b & c", 9, "an escape counts as what it stands for"),
    ("telegram", "👍", 2, "an emoji beyond the first plane is two units"),
    ("telegram", FAMILY, 11, "and a sequence all of its units"),
    ("instagram", "👍", 2, "UTF-16 units"),
    ("facebook", "e\u0301", 2, "UTF-16 units"),
    # the rest is counted as it is sent
    ("slack", "a < b & c", 9 + 3 + 4, "Slack's escapes count"),
    ("discord", "a*b", 4, "Discord's escapes count"),
    ("linkedin", "(a)", 5, "LinkedIn's escapes count"),
    ("linkedin", "#Tag", len(r"{hashtag|\#|Tag}"), "and its hashtags"),
]


@pytest.mark.parametrize(
    ("network", "said", "count", "rule"), COUNTED, ids=[f"{c[0]}: {c[3]}" for c in COUNTED]
)
def test_a_text_is_as_long_as_its_network_finds_it(network: str, said: str, count: int, rule: str) -> None:
    """Each network counts in its own way; the table names where each rule is written (Mixpost #128)."""
    assert text.length(said, network) == count, rule


def test_bluesky_has_two_limits() -> None:
    """A text of few graphemes may still have too many bytes: both limits hold."""
    zalgo = "o" + "\u0301" * 2000
    graphemes, size = text.sizes(zalgo, "bluesky")
    assert graphemes.fits
    assert not size.fits
    assert not text.fits(zalgo, "bluesky")


def test_a_caption_has_less_room() -> None:
    """Telegram takes 4096 characters, but 1024 beside a picture."""
    story = "word " * 600
    assert text.fits(story, "telegram")
    assert not text.fits(story, "telegram", with_picture=True)
    assert text.length(text.fit(story, "telegram", with_picture=True), "telegram") <= 1024


def test_an_instance_may_allow_more() -> None:
    """Mastodon's 500 is a default: what the instance says goes before it."""
    story = "word " * 600
    assert text.fits(story, _mastodon(5000))
    assert not text.fits(story, "mastodon")
    assert 900 < text.length(text.fit(story, _mastodon(1000)), "mastodon") <= 1000


def _mastodon(at_most: int) -> limits.Network:
    usual = limits.network("mastodon")
    return replace(usual, text=(replace(usual.text[0], at_most=at_most),))


def test_threads_takes_five_links() -> None:
    """A sixth address is cut off with what follows it."""
    story = " ".join(f"https://a.example/{number}" for number in range(8))
    assert len(text.links(text.fit(story, "threads"))) == 5


def test_a_size_says_itself() -> None:
    """The preview shows "212 of 300 graphemes"."""
    assert str(text.sizes("a" * 212, "bluesky")[0]) == "212 of 300 graphemes"


def within(limit: int, said: str) -> str:
    return text.longest(said, lambda cut: len(cut) <= limit)


@pytest.mark.parametrize(
    ("said", "limit", "cut"),
    [
        ("The ferry leaves at noon", 24, "The ferry leaves at noon"),
        ("The ferry leaves at noon", 23, "The ferry leaves at…"),
        ("The ferry, late again, leaves", 12, "The ferry…"),
        ("The ferry (a small one) leaves", 12, "The ferry…"),
        ("Ready? Steady! Go on then", 8, "Ready?…"),
        ("See https://a.example/b now", 24, "See…"),
        ("See https://a.example/b now", 25, "See https://a.example/b …"),
        ("Ask @lena@social.example today", 20, "Ask…"),
        ("All of #HarbourNews here", 15, "All of…"),
        ("灯台が春に再開します", 7, "灯台が春に再…"),
        ("灯台、春に", 4, "灯台…"),
        ("今日はコミュニケーションの日", 9, "今日は…"),
        ("เรือเฟอร์รี่ออกเที่ยง", 11, "เรือเฟอร์…"),
        ("港https://a.example/b", 12, "港…"),
        ("🎉🎉🎉🎉", 3, "🎉🎉…"),
        ("ab " + FAMILY + FAMILY, 10, "ab…"),
        ("Donaudampfschiff", 8, ""),
        ("x" * 200, 100, "x" * 99 + "…"),
        ("السفينة تغادر ظهرا", 15, "السفينة تغادر…"),
        ("", 5, ""),
    ],
)
def test_a_cut_breaks_nothing(said: str, limit: int, cut: str) -> None:
    """Words, addresses, mentions and hashtags stay whole; scripts without spaces end between graphemes."""
    assert within(limit, said) == cut


WORDS = st.sampled_from(
    [
        "a",
        "harbour",
        "lighthouse,",
        "(quay)",
        "—",
        "港の灯台が春に再開します。",
        "「チケット」",
        "เรือเฟอร์รี่",
        "السفينة",
        "שלום",
        "क्षितिज",
        FAMILY,
        "🇩🇪🇫🇷🇮🇹",
        "👍🏿",
        "e\u0301\u0302",
        SCOTLAND,
        "@lena",
        "@lena@social.example",
        "#HarbourNews",
        "#日本語",
        "https://courier.example/a_(b)/c?d=e#f",
        "http://例え.jp/x",
        LONG_URL,
        "Booking.com",
        "1.2.3.4.5",
        "\n\n",
        "&<>*_`",
    ]
)
TEXTS = st.one_of(
    st.lists(WORDS, max_size=120).map(" ".join),
    st.lists(WORDS, max_size=60).map("".join),
    st.text(max_size=700),
)
NETWORKS = st.sampled_from(sorted(limits.networks()))


@settings(deadline=None, max_examples=150)
@given(said=TEXTS, network=NETWORKS, with_picture=st.booleans())
def test_what_is_fitted_fits(said: str, network: str, with_picture: bool) -> None:
    """A fitted text is within its limits, and a beginning of the text that ends between graphemes."""
    fitted = text.fit(said, network, with_picture=with_picture)
    assert all(size.fits for size in text.sizes(fitted, network, with_picture=with_picture))
    assert text.fit(fitted, network, with_picture=with_picture) == fitted
    if fitted != said and fitted:
        kept = fitted.removesuffix("…").removesuffix(" ")
        assert said.startswith(kept)
        assert len(kept) in ends_of_graphemes(said)


@settings(deadline=None, max_examples=150)
@given(said=TEXTS, limit=st.integers(1, 400))
def test_what_is_cut_keeps_its_parts_whole(said: str, limit: int) -> None:
    """Every address, mention and hashtag of a cut text is one of the text's own."""
    whole = {(span.kind, span.start, span.end) for span in text.spans(said)}
    kept = within(limit, said)
    assert len(kept) <= limit
    assert {(span.kind, span.start, span.end) for span in text.spans(kept)} <= whole


def ends_of_graphemes(said: str) -> set[int]:
    return {match.end() for match in regex.finditer(r"\X", said)}


def test_hostile_text_is_counted_in_time() -> None:
    """Text made to keep a counter busy for minutes costs about a second at most."""
    started = time.perf_counter()
    for hostile in ("a." * 5000, "http://" + "a.b-" * 2000, "中." * 3000, "@a@" + "b." * 5000, "(" * 9000):
        for network in ("x", "mastodon", "bluesky"):
            text.fit(hostile, network)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("(see https://a.example/c_(d)).", ["https://a.example/c_(d)"]),
        ("https://a.example/x, then", ["https://a.example/x"]),
        ("「https://a.example/x」", ["https://a.example/x"]),
        ("<a href='https://a.example/'>", ["https://a.example/"]),
        ("javascript:alert(1) ftp://a.example", []),
        ("https://", []),
    ],
)
def test_an_address_ends_where_readers_expect(said: str, found: list[str]) -> None:
    """The marks of the sentence around an address are not part of it."""
    assert [span.text for span in text.spans(said) if span.kind == "link"] == found


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ("a\u0000b\u0007c", "abc"),
        ("a\r\n\r\n\r\n\r\nb", "a\n\nb"),
        ("  a \t b  \n  c ", "a b\nc"),
        ("\u202eevil", "evil"),
        ("a\ud800b\uffffc\ufeff", "abc"),
        ("e\u0301", "é"),
        (FAMILY, FAMILY),
    ],
)
def test_text_is_cleaned_before_it_is_counted(said: str, cleaned: str) -> None:
    """Controls, halves of characters and marks that turn the rest around never reach a network."""
    assert text.clean(said, lines=True) == cleaned


def test_a_post_without_address_has_none() -> None:
    """Where a QR code leads to the article, the text carries nothing that X would bill as an address."""
    from twitter_text import extract_urls

    said = text.unlinked("Booking.com and https://a.example/x buy ASP.NET, e.g.", bare=True)
    assert extract_urls(said) == []
    assert said.replace("\N{WORD JOINER}", "") == "Booking.com and buy ASP.NET, e.g."


def test_little_text_escapes_all_that_would_cut_it() -> None:
    """LinkedIn cuts a post at the first reserved character without a backslash."""
    assert text.little("a (b) <c> {d} [e] *f* ~g~ h|i j@k \\") == (
        r"a \(b\) \<c\> \{d\} \[e\] \*f\* \~g\~ h\|i j\@k \\"
    )
    assert text.little("in #Tag_one") == r"in {hashtag|\#|Tag\_one}"


def test_discord_marks_are_escaped_outside_addresses() -> None:
    """Nothing turns bold, into a heading or into a ping; an address stays as it is."""
    assert text.markdown("# *a* <@1> https://a.example/b_c_d\n> q") == (
        "\\# \\*a\\* \\<\\@1> https://a.example/b_c_d\n\\> q"
    )


def test_every_limit_says_where_it_was_read() -> None:
    """A limit without source and date cannot be checked by the next reader."""
    for name, network in limits.networks().items():
        assert len(network.source) > 20, name
        assert network.as_of.year >= 2026, name
        assert network.text, name


def test_an_unknown_network_is_named() -> None:
    """A misspelt network is answered with those that exist."""
    with pytest.raises(NotFound, match="bluesky"):
        limits.network("blusky")
