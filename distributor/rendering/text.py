"""Text as each network counts it, cut so that nothing in it breaks.

How a text is counted and where it ends are the two things tools most often get wrong: a post that is one
emoji too long is refused, an address cut in the middle leads nowhere.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from html import escape
from itertools import pairwise
from typing import Literal

import regex

from distributor.rendering import limits

ELLIPSIS = "…"
LONGEST_WORD = 60  # graphemes; a longer run without a space is no word, and may be cut
POINTS_PER_UNIT = 20  # a text of more code points for each unit of its limit is taken as too long, uncounted

# UAX 29; flags are paired here, because \X counts a row of them from its beginning at each.
_GRAPHEME = regex.compile(r"\p{Regional_Indicator}{2}[\p{GCB=Extend}\p{GCB=SpacingMark}\u200D]*+|\X")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long a text is by one of its network's limits: "212 of 300 graphemes"."""

    count: int
    limit: int
    counted: limits.Counted

    @property
    def fits(self) -> bool:
        return self.count <= self.limit

    def __str__(self) -> str:
        return f"{self.count:,} of {self.limit:,} {_UNITS.get(self.counted, 'characters')}"


_UNITS = {"graphemes": "graphemes", "bytes": "bytes", "weighted": "weighted characters"}


def length(text: str, network: str) -> int:
    """How long *network* finds *text*, by the first of its limits."""
    return _COUNTS[limits.network(network).text[0].counted](text)


def sizes(text: str, network: str | limits.Network, *, with_picture: bool = False) -> list[Size]:
    """*text* by every limit of *network*."""
    room = limits.network(network).room(with_picture=with_picture)
    return [
        Size(count=count(text, limit.counted), limit=limit.at_most, counted=limit.counted) for limit in room
    ]


def count(text: str, counted: limits.Counted) -> int:
    """*text* counted in one of the ways that `limits.toml` explains."""
    return _COUNTS[counted](text)


def fits(text: str, network: str | limits.Network, *, with_picture: bool = False) -> bool:
    """Whether *network* takes *text*."""
    known = limits.network(network)
    for limit in known.room(with_picture=with_picture):
        if len(text) > limit.at_most * POINTS_PER_UNIT or count(text, limit.counted) > limit.at_most:
            return False
    return known.links_at_most is None or len(links(text)) <= known.links_at_most


def fit(text: str, network: str | limits.Network, *, with_picture: bool = False) -> str:
    """*text*, or as much of it as *network* takes and an ellipsis; see `longest`."""
    return longest(text, lambda cut: fits(cut, network, with_picture=with_picture))


def clip(text: str, limit: limits.TextLimit) -> str:
    """*text*, or as much of it as *limit* allows and an ellipsis; see `longest`.

    What cannot be cut so, such as an endless address, is cut between graphemes: there is nothing to click.
    """
    far = limit.at_most * POINTS_PER_UNIT

    def accepts(cut: str) -> bool:
        return len(cut) <= far and count(cut, limit.counted) <= limit.at_most

    return longest(text, accepts) or _torn(text[:far], accepts)


def _torn(text: str, accepts: Callable[[str], bool]) -> str:
    letters = graphemes(text)
    kept = bisect_left(range(1, len(letters)), True, key=lambda end: not accepts(_beginning(letters, end)))
    return _beginning(letters, kept) if kept else ""


def _beginning(letters: Sequence[str], end: int) -> str:
    return "".join(letters[:end]) + ELLIPSIS


def longest(text: str, accepts: Callable[[str], bool]) -> str:
    """As much of *text* as *accepts* takes: all of it, a beginning with an ellipsis, or nothing.

    The beginning ends after a word, never inside an address, a mention or a hashtag; in scripts that are
    written without spaces between any two graphemes, but not before a closing or after an opening mark. Only
    a run of more than 60 graphemes is cut like those. *accepts* takes every beginning of what it takes.
    """
    if accepts(text):
        return text
    for reach in _REACHES:
        cuts = _cuts(text, reach)
        found = bisect_left(cuts, True, key=lambda cut: not accepts(cut.of(text)))
        if found < len(cuts) or len(text) <= reach:
            break
    return cuts[found - 1].of(text) if found else ""


_REACHES = (1_000, 10_000, 100_000)  # code points that are looked at first, then; no network takes more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A place where a text may end."""

    end: int
    after_link: bool

    def of(self, text: str) -> str:
        # A space, because what reads addresses out of a text would take the ellipsis along.
        return text[: self.end] + (f" {ELLIPSIS}" if self.after_link else ELLIPSIS)


def _cuts(text: str, reach: int) -> list[_Cut]:
    """Where *text* may end in its first *reach* code points, ascending."""
    entities = list(spans(text[:reach]))
    inside = {place for entity in entities for place in range(entity.start + 1, entity.end)}
    kinds = {entity.end: entity.kind for entity in entities}
    end_of_text = [" "] if len(text) <= reach else []
    cuts = [_Cut(end=0, after_link=False)]
    end = solid = run = 0
    for this, following in pairwise([*_GRAPHEME.findall(text[:reach]), *end_of_text]):
        end += len(this)
        run = 0 if this[0].isspace() else run + 1
        if end in inside:
            continue
        if end in kinds or not _WEAK.match(this):
            solid = end
        if solid > cuts[-1].end and _parts(this, following, run):
            cuts.append(_Cut(end=solid, after_link=kinds.get(solid) in ("link", "domain")))
    return cuts[1:]


_WEAK = regex.compile(
    r"[\s\p{Z}\p{Pd}\p{Ps}\p{Pi},.;:…·、。，．：；،؛۔।]"
)  # nothing ends with these before "…"
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
    r"\p{Extended_Pictographic}\p{Regional_Indicator}]"
)
_KATAKANA = regex.compile(r"[\p{Katakana}ー]")
# UAX 14 and JIS X 4051: closing marks, small kana and repetition marks start no line.
_CLINGING = regex.compile(r"[\p{Pe}\p{Pf}\p{Po}ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶー々〻ゝゞヽヾ]")
_OPENING = regex.compile(r"[\p{Ps}\p{Pi}]")


def _parts(this: str, following: str, run: int) -> bool:
    """Whether a text may end between two neighbouring graphemes, *run* graphemes after the last space."""
    if following[0].isspace() or run >= LONGEST_WORD:
        return True
    if _CLINGING.match(following) or _OPENING.match(this):
        return False
    if _KATAKANA.match(this) and _KATAKANA.match(following):
        return False  # a foreign word
    return bool(_UNSPACED.match(this) or _UNSPACED.match(following))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something in a text that is one thing: `start` and `end` in code points."""

    kind: Literal["link", "domain", "mention", "hashtag"]
    start: int
    end: int
    text: str


def spans(text: str) -> Iterator[Span]:
    """The addresses, mentions and hashtags in *text*, in order; none overlaps another."""
    for match in _ENTITY.finditer(text):
        yield Span(kind=match.lastgroup, start=match.start(), end=match.end(), text=match[0])


def links(text: str) -> set[str]:
    """The addresses in *text* that start with their scheme."""
    return {span.text for span in spans(text) if span.kind == "link"}


# What ends an address although a browser would take it: brackets, quotes and the marks of other scripts.
NO_ADDRESS = r"\s\p{C}<>\"“”„‘’«»「」『』【】《》〈〉（）［］、。，．！？：；…"
_ENTITY = regex.compile(
    rf"(?P<link>https?://(?:\([^()\[\]{NO_ADDRESS}]*\)|[^()\[\]{NO_ADDRESS}])+(?<![.,;:!?'*~]))"
    r"|(?P<domain>(?<![a-z0-9@._-])(?:[a-z0-9-]{1,63}+\.)+[a-z]{2,63}(?![a-z0-9@])"
    rf"(?:/(?:[^()\[\]{NO_ADDRESS}]*[^()\[\]{NO_ADDRESS}.,;:!?'*~])?)?)"
    r"|(?P<mention>(?<![\w@/=.])@[a-z0-9_]+(?:[.-]+[a-z0-9_]+)*(?:@\w+(?:[.-]+\w+)*)?)"
    r"|(?P<hashtag>(?<![\w&/])[#＃](?=[\p{N}_]*[\p{L}\p{M}])[\p{L}\p{M}\p{N}_]+)",
    regex.IGNORECASE,
)


def unlinked(text: str, *, bare: bool = False) -> str:
    """*text* without its addresses; *bare* keeps names like example.com from being read as one.

    A word joiner, which nobody sees, does that: on X a post with an address costs thirteen times as much.
    """
    for span in reversed(list(spans(text))):
        if span.kind == "link":
            text = text[: span.start] + text[span.end :]
    text = " ".join(text.split())
    if bare and "." in text:
        from twitter_text import extract_urls_with_indices

        for url in reversed(extract_urls_with_indices(_untangled(text))):
            start, end = url["indices"]
            text = text[:start] + text[start:end].replace(".", "\N{WORD JOINER}.") + text[end:]
    return text


def graphemes(text: str) -> list[str]:
    """What a reader sees as the characters of *text* (UAX 29)."""
    found: list[str] = _GRAPHEME.findall(text)
    return found


def clean(text: str, *, lines: bool = False) -> str:
    """*text* as it can stand in a post: NFC, no controls, single spaces, and one line unless *lines*.

    Marks that turn the direction of all that follows go too, halves of surrogate pairs, which cannot be
    written as UTF-8, and what piles up on one letter. A text of which nothing is to be seen is empty.
    """
    text = _UNFIT.sub("", regex.sub(r"\R", "\n", text))
    text = unicodedata.normalize("NFC", _PILED.sub(r"\1", text))
    if not _VISIBLE.search(text):
        return ""
    if not lines:
        return " ".join(text.split())
    text = regex.sub(r"[^\S\n]+", " ", text)
    return str(regex.sub(r"\n{3,}", "\n\n", regex.sub(r" ?\n ?", "\n", text))).strip()


_UNFIT = regex.compile(r"[\p{Cs}\p{Noncharacter_Code_Point}\uFEFF\u202A-\u202E]|(?![\n\t])\p{Cc}")
MOST_MARKS = 16  # on one letter, and of what nobody sees (DI); no script piles up more
_PILED = regex.compile(rf"([\p{{M}}\p{{DI}}]{{{MOST_MARKS}}})[\p{{M}}\p{{DI}}]+")
_VISIBLE = regex.compile(r"[^\s\p{M}\p{Cc}\p{Cf}\p{DI}\u2800]")  # U+2800: an empty cell of Braille


def unmentioned(text: str) -> str:
    """*text* with every @ kept from naming an account, by a word joiner, which nobody sees."""

    def parted(plain: str) -> str:
        return str(regex.sub(r"(?<![A-Za-z0-9_])[@＠](?=[\w\[])", "\\g<0>\N{WORD JOINER}", plain))

    return _outside(text, ("link", "domain"), parted, lambda span: span.text)


def _utf16(text: str) -> int:
    return len(text) + sum(1 for character in text if character > "\uffff")


def _mastodon(text: str) -> int:
    """Mastodon's status_length_validator.rb: an address as 23, a mention without its server."""
    entities = [*_addresses(untangled := _untangled(text)), *_mentions(untangled)]
    pieces, position = [], 0
    for start, end, short in sorted(entities):
        if start >= position:  # of two that overlap, the first counts
            pieces += [untangled[position:start], short]
            position = end
    return _graphemes("".join([*pieces, untangled[position:]]))


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and what counts instead of each address that Mastodon finds (extractor.rb)."""
    if ":" not in text:
        return
    # Imported here: its tables take a third of a second, and most commands count nothing.
    from twitter_text.extract_urls import is_valid_url

    # Without the stand-in, a long run of letters is walked through from each of them; no host has one.
    quick = _LONG_RUN.sub(lambda run: "a" * len(run[0]), text)
    for word in _SCHEMED.finditer(quick):
        for found in _address().finditer(quick, max(0, word.start() - 1), word.end()):
            scheme, domain = found["scheme"], found["domain"]
            if scheme and is_valid_url(found["url"], scheme, domain):
                yield found.start("url"), found.end("url"), "x" * 23


_SCHEMED = regex.compile(r"(?<![^ \t\r\n])[^ \t\r\n]*?://[^ \t\r\n]*")
_LETTER = r"[^\x00-/:-@\[-`{-\x7F\s「」]"  # or a digit, or whatever has no meaning in an address
_LONG_RUN = regex.compile(rf"(?<={_LETTER}){_LETTER}{{63,}}(?={_LETTER}{{10}})")  # after it, a scheme


@cache
def _address() -> regex.Pattern[str]:
    """An address as Mastodon's config/initializers/twitter_regex.rb changes twitter-text's.

    It has schemes of its own, its paths may have letters of any script, and none ends with "=".
    """
    from twitter_text.regexp.valid_domain import valid_domain
    from twitter_text.regexp.valid_url_balanced_parens import valid_url_balanced_parens
    from twitter_text.regexp.valid_url_preceding_chars import valid_url_preceding_chars

    inside = r"[^\s<>()?]"
    brackets = rf"\((?:{inside}+|{inside}*\({inside}+\){inside}*)\)"
    last = rf"(?:[^\s()?!*\"'「」<>;:=,.$%\[\]~&|@]|{valid_url_balanced_parens.pattern})"
    path = rf"(?:{inside}*(?:{brackets}{inside}*)*{last}|{inside}+/)"
    others = "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\ue000-\uf8ff\U00010000-\U0010fffd"
    query = rf"\?[a-z0-9!?*'();:&=+$/%#\[\]\-_.,~|@^{others}]*[a-z0-9_&=#/\-{others}]"
    return regex.compile(
        rf"(?:{valid_url_preceding_chars.pattern})"
        rf"(?P<url>(?P<scheme>(?:https?|dat|dweb|ipfs|ipns|ssb|gopher|gemini)://)?"
        rf"(?P<domain>{valid_domain.pattern})(?::[0-9]+)?(?:/{path}*)?(?:{query})?)",
        regex.IGNORECASE,
    )


def _mentions(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _REMOTE.finditer(text):
        yield found.start(), found.end(), f"@{found['name']}"


# Account::MENTION_RE in Mastodon's app/models/account.rb, and what may not follow it (twitter-text).
_REMOTE = regex.compile(
    r"(?<![=/\w])@(?P<name>[a-z0-9_]+(?:[.-]+[a-z0-9_]+)*)(?:@\w+(?:[.-]+\w+)*)?+"
    r"(?![@＠]|://|[À-ÖØ-öø-ÿĀ-ɏɓɔɖɗəɛɣɨɯɲʉʻ\u0300-\u036FḀ-ỿ])",
    regex.IGNORECASE,
)


def _graphemes(text: str) -> int:
    """Graphemes as Unicode counted them before 15.1, when a conjunct of an Indian script was two or more.

    Mastodon's Ruby does so up to 3.4 (ruby/ruby #12798), and each of Bluesky's servers as its own Unicode
    says: 15.1 joined six scripts, 17 joins Khmer and more (seen 2026-11-23). None counts more than this.
    """
    found = _GRAPHEME.findall(text)
    if not _LINKER.search(text):
        return len(found)
    return sum(1 + len(_CONJOINED.findall(grapheme)) for grapheme in found)


_LINKER = regex.compile(r"\p{InCB=Linker}")
_CONJOINED = regex.compile(r"(?<=[\p{M}\u200C\u200D])\p{InCB=Consonant}")


def _weighted(text: str) -> int:
    """twitter-text, version 3: word by word, for its patterns take time by the square of a text, or worse."""
    return sum(map(_weight, _WORDS.findall(text)))


_WORDS = regex.compile(r"\S+|\s+")


@lru_cache(maxsize=4096)
def _weight(word: str) -> int:
    from twitter_text import parse_tweet

    untangled = _untangled(word)
    dots = word.count(".") - untangled.count(".")
    return int(parse_tweet(untangled).weightedLength) + 23 * dots


def _untangled(text: str) -> str:
    """*text* without the dots of runs like a.a.a.a, on which twitter-text spends seconds to minutes.

    No host has twenty labels. The count of such a run is never too small: without addresses it counts in
    full, and for X each dot counts as the address it might have been part of.
    """
    return str(_TANGLE.sub(lambda run: run[0].replace(".", ","), text))


_TANGLE = regex.compile(r"(?:[^\s/?#:@.]{1,63}+\.){20,}")


def _threads(text: str) -> int:
    """The dearer reading of "emojis are counted as the number of UTF-8 bytes": never less than graphemes."""
    return sum(
        len(grapheme.encode()) if _EMOJI.search(grapheme) else len(grapheme)
        for grapheme in _GRAPHEME.findall(text)
    )


_EMOJI = regex.compile(r"[\p{Extended_Pictographic}\p{Regional_Indicator}\u20e3]")


def little(text: str) -> str:
    """*text* in LinkedIn's "little" format, where an escape that is missing cuts the post.

    https://learn.microsoft.com/linkedin/marketing/community-management/shares/little-text-format
    """
    return _outside(
        text,
        ("hashtag",),
        lambda plain: regex.sub(r"([\\<>#~_|\[\]*(){}@])", r"\\\1", plain),
        _hashtag_template,
    )


def _hashtag_template(span: Span) -> str:
    tag = span.text[1:].replace("_", r"\_")
    return f"{{hashtag|\\{span.text[0]}|{tag}}}"


def mrkdwn(text: str) -> str:
    """*text* as Slack takes it: https://docs.slack.dev/messaging/formatting-message-text (three escapes)."""
    return escape(text, quote=False)


def markdown(text: str) -> str:
    """*text* with Discord's marks escaped, but for its addresses, which a backslash would break."""
    return _outside(
        text,
        ("link",),
        lambda plain: regex.sub(r"([\\*_~`|<\[\]@])|(?m:^(?=[>#+-]))", r"\\\1", plain),
        lambda span: span.text,
    )


def _outside(
    text: str, kinds: tuple[str, ...], plain: Callable[[str], str], kept: Callable[[Span], str]
) -> str:
    """*text* with *kept* applied to its spans of *kinds*, and *plain* to what lies between."""
    pieces, position = [], 0
    for span in spans(text):
        if span.kind in kinds:
            pieces += [plain(text[position : span.start]), kept(span)]
            position = span.end
    return "".join([*pieces, plain(text[position:])])


_COUNTS: dict[limits.Counted, Callable[[str], int]] = {
    "graphemes": _graphemes,
    "bytes": lambda text: len(text.encode(errors="surrogatepass")),
    "utf16": _utf16,
    "mastodon": _mastodon,
    "weighted": _weighted,
    "threads": _threads,
    "little": lambda text: _utf16(little(text)),
    "mrkdwn": lambda text: _utf16(mrkdwn(text)),
    "markdown": lambda text: _utf16(markdown(text)),
}
