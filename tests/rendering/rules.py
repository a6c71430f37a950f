"""How each network counts a text, written a second time: from its own rules, and without our code.

Where a rule is a table (top-level domains, the weights of X), the table is twitter-text's; graphemes are
uniseg's. All else is walked through character by character, so that a slip in a pattern of ours shows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from twitter_text import parse_tweet
from twitter_text.regexp.latin_accent_chars import latin_accent_chars
from twitter_text.regexp.valid_domain import valid_domain
from twitter_text.regexp.valid_url_balanced_parens import valid_url_balanced_parens
from uniseg.emoji import extended_pictographic
from uniseg.graphemecluster import grapheme_clusters


def graphemes(text: str) -> int:
    """UAX 29 as it is in Unicode 16; Bluesky's servers have this, something older or something newer."""
    return sum(1 for _ in grapheme_clusters(text))


def old_graphemes(text: str) -> int:
    """UAX 29 before rule GB9c (2023): a virama did not join the letter after it. Ruby up to 3.4."""
    return sum(1 + _joined_letters(cluster) for cluster in grapheme_clusters(text))


def _joined_letters(cluster: str) -> int:
    """Letters that only a virama (canonical combining class 9) before them keeps in *cluster*."""
    found, after_virama = 0, False
    for character in cluster:
        if unicodedata.category(character) == "Lo":
            found += after_virama
            after_virama = False
        after_virama = after_virama or unicodedata.combining(character) == 9
    return found


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


# --- Mastodon: app/validators/status_length_validator.rb, app/lib/extractor.rb, config/initializers/
# twitter_regex.rb and Account::MENTION_RE of mastodon/mastodon, read 2026-11-23


def mastodon_length(text: str) -> int:
    found = sorted([*_urls(text), *_handles(text)])
    short, position = "", 0
    for start, end, instead in found:
        if start >= position:
            short += text[position:start] + instead
            position = end
    return old_graphemes(short + text[position:])


SCHEMES = ("https", "http", "dat", "dweb", "ipfs", "ipns", "ssb", "gopher", "gemini")
DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u061c\u200e\u200f\u2066\u2067\u2068\u2069"
NO_PATH_END = "!*\"'「」<>;:=,.$%[]~&|@"
_BEFORE = re.compile(r"[^A-Za-z0-9@＠$#＃\ufffe\ufeff\uffff]")
_DOMAIN = re.compile(valid_domain.pattern, re.IGNORECASE)
_PORT = re.compile(r":[0-9]+")
_BRACKETS = re.compile(r"\(([^\s<>()?]+|[^\s<>()?]*\([^\s<>()?]+\)[^\s<>()?]*)\)")


def _urls(text: str) -> Iterator[tuple[int, int, str]]:
    place = 0
    while place < len(text):
        starts = [place + 1] if _BEFORE.match(text[place]) or text[place] in DIRECTIONS else []
        starts += [0] if place == 0 else []
        start, end, scheme, domain = next(
            filter(None, (_url_at(text, one) for one in starts)), (0, 0, "", "")
        )
        if scheme and _is_domain(domain) and end - start <= 4096:
            yield start, end, "x" * 23
        place = max(end, place + 1)


def _url_at(text: str, start: int) -> tuple[int, int, str, str] | None:
    """Start, end, scheme and domain of the address at *start*; without a scheme it counts in full."""
    rest = text[start : start + 12].lower()
    scheme = next((f"{one}://" for one in SCHEMES if rest.startswith(f"{one}://")), "")
    domain = _DOMAIN.match(text, start + len(scheme))
    if not domain:
        return None
    port = _PORT.match(text, domain.end())
    end = port.end() if port else domain.end()
    if text[end : end + 1] == "/":
        end = _path_end(text, end + 1)
    return start, _query_end(text, end), scheme, domain[0]


def _is_domain(domain: str) -> bool:
    try:
        return bool(domain.encode("idna"))
    except UnicodeError:
        return False


def _path_end(text: str, start: int) -> int:
    """After the last character of a path that may be its last, or after brackets that twitter-text takes."""
    end = place = start
    while place < len(text) and not text[place].isspace() and text[place] not in "<>)?":
        if brackets := _BRACKETS.match(text, place):
            place = brackets.end()
            end = place if valid_url_balanced_parens.fullmatch(brackets[0]) else end
        elif text[place] == "(":
            break
        else:
            place += 1
            end = end if text[place - 1] in NO_PATH_END else place
    return end


def _query_end(text: str, start: int) -> int:
    if text[start : start + 1] != "?":
        return start
    end, place = start, start + 1
    while place < len(text) and (_is_letter(text[place]) or text[place] in "!?*'();:&=+$/%#[]-_.,~|@^"):
        place += 1
        end = place if _is_letter(text[place - 1]) or text[place - 1] in "_&=#/-" else end
    return end


def _is_letter(character: str) -> bool:
    """Letters of queries: ASCII, and whatever is not from 0x80 to 0x9f or no character."""
    is_other = (
        character >= "\u00a0" and not "\ufdd0" <= character <= "\ufdef" and character not in "\ufff0\uffff"
    )
    return (character.isascii() and character.isalnum()) or is_other


_NO_END = re.compile(rf"[@＠{latin_accent_chars.pattern}]|://")


def _handles(text: str) -> Iterator[tuple[int, int, str]]:
    place = 0
    while (start := text.find("@", place)) >= 0:
        place = start + 1
        name_end = _name_end(text, place, _is_of_name)
        if name_end == place or (start and (text[start - 1] in "=/" or _is_of_word(text[start - 1]))):
            continue
        place = name_end
        if text[name_end : name_end + 1] == "@":
            server_end = _name_end(text, name_end + 1, _is_of_word)
            place = server_end if server_end > name_end + 1 else name_end
        if not _NO_END.match(text, place):
            yield start, place, text[start:name_end]


def _name_end(text: str, start: int, is_part: Callable[[str], bool]) -> int:
    """The end of words with dots and dashes between them, but not behind them."""
    end = place = start
    while place < len(text) and (is_part(text[place]) or (text[place] in ".-" and place > start)):
        place += 1
        end = place if is_part(text[place - 1]) else end
    return end


def _is_of_name(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def _is_of_word(character: str) -> bool:
    """Ruby's [[:word:]]"""
    category = unicodedata.category(character)
    return category[0] in "LM" or category in ("Nd", "Pc")


# --- X: https://docs.x.com/fundamentals/counting-characters (read 2026-08-22)


def x_length(text: str) -> int:
    """twitter-text itself; and where a text has no address and no emoji, its weights by hand besides."""
    said = int(parse_tweet(text).weightedLength)
    if "." not in text and not _has_emoji(text):
        by_hand = sum(map(_weight, unicodedata.normalize("NFC", text).replace("\r\n", "\n")))
        assert said == by_hand, text
    return said


def _weight(character: str) -> int:
    light = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
    return 1 if any(first <= ord(character) <= last for first, last in light) else 2


def _has_emoji(text: str) -> bool:
    return any(extended_pictographic(one) or one in "#*0123456789" or _is_flag(one) for one in text)


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


# --- Threads: "emojis are counted as the number of UTF-8 bytes" (developers.facebook.com/docs/threads/posts)


def threads_length(text: str) -> int:
    return sum(len(one.encode()) if _is_emoji(one) else len(one) for one in map(str, grapheme_clusters(text)))


def _is_emoji(cluster: str) -> bool:
    return any(extended_pictographic(one) or _is_flag(one) or one == "\u20e3" for one in cluster)


# --- as it is sent


def slack_length(text: str) -> int:
    """https://docs.slack.dev/messaging/formatting-message-text: &, < and > are written out."""
    return utf16(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


LITTLE_RESERVED = "\\<>#~_|[]*(){}@"


def little_read(sent: str) -> str:
    """What LinkedIn shows of a text in "little" format; it stops at a reserved character without a backslash.

    https://learn.microsoft.com/linkedin/marketing/community-management/shares/little-text-format
    """
    shown, place = "", 0
    while place < len(sent):
        hashtag = re.compile(r"\{hashtag\|\\([#＃])\|((?:\\.|[^\\{}|])+)\}").match(sent, place)
        if hashtag:
            shown += hashtag[1] + re.sub(r"\\(.)", r"\1", hashtag[2])
            place = hashtag.end()
        elif sent[place] == "\\":
            shown += sent[place + 1]
            place += 2
        elif sent[place] in LITTLE_RESERVED:
            break
        else:
            shown += sent[place]
            place += 1
    return shown


def markdown_read(sent: str) -> str:
    """What Discord shows where a mark with a backslash is that mark."""
    return re.sub(r"\\([\\*_~`|<\[\]@>#+-])", r"\1", sent)


COUNTS: dict[str, Callable[[str], int]] = {
    "graphemes": old_graphemes,
    "bytes": lambda text: len(text.encode("utf-8", "surrogatepass")),
    "utf16": utf16,
    "mastodon": mastodon_length,
    "weighted": x_length,
    "threads": threads_length,
    "mrkdwn": slack_length,
}
