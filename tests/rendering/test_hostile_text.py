"""Words made to do harm, or merely far too many: what every network is sent instead of them, or of them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import regex

from distributor.checks import check
from distributor.config import Channel
from distributor.model import Article, Post, Wishes
from distributor.rendering import text
from distributor.rendering.environment import environment
from distributor.rendering.post import roundup
from tests.rendering import rules
from tests.rendering.test_post import ARTICLE, NETWORKS, PICTURE, PUBLICATION, TEXTUAL, made
from tests.workspace import MONDAY, Clock, opened, workspace, write_article

SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
FAMILY = "👨‍👩‍👧‍👦"
HANDLES = "@lena @lena@social.example (@lena) @lena.bsky.social ＠lena 故@lena RT @lena @[134895793791914]"
CHAT = "@everyone @here <@1234> <@!1> <@&9> <#55> <!channel> <!here|here> <@U024BE7LH> <!subteam^S1>"
FAR = "https://evil.example/" + "a" * 5000

ENDLESS = {
    "words": "harbour news, " * 7_200,
    "one-word": "x" * 100_000,
    "emoji": "🎉" * 100_000,
    "families": FAMILY * 9_100,
    "flags": "🇩🇪" * 50_000,
    "ideographs": "港の灯台が春に再開します。" * 7_700,
    "zalgo": " ".join(("H" + "\u0301\u0316" * 40) * 6 for _ in range(210)),
    "one-grapheme": "z" + "\u0301" * 100_000,
}
HOSTILE = {
    **{name: words[:4_000] for name, words in ENDLESS.items()},
    "hashtag": "#" + "x" * 5_000,
    "address": FAR,
    "words-and-address": f"Read {FAR} now",
    "addresses": " ".join(f"https://a{number}.example/" for number in range(150)),
    "handles": HANDLES * 40,
    "chat": CHAT * 40,
    "markdown": "# *a* **b** _c_ ~~d~~ ||e|| `f` ```g``` [h](https://evil.example/)\n> i\n-# j\n- k",
    "html": '<script>alert(1)</script> &amp; &#64;lena <a href="tg://user?id=1">a</a> <tg-spoiler>b',
    "escapes": "&<>*_~`|\\" * 400,
    "lines": "a\n" * 2_000,
    "controls": "a\0b\x1b[31mc\x07\x9bd\x7f" * 400,
    "turned": "\u202egnp.exe\u202d \u202aa\u202bb\u202c \u2066c\u2067d\u2068e \u200f\u200e\u061c",
    "surrogates": "a\ud83d b\udc00 \ud83d\udca9" * 400,
    "scripts": "javascript:alert(1) [a](javascript:alert(1)) data:text/html,<b> vbscript:a file:///etc/passwd",
    "idn": "https://пример.испытание/путь http://xn--e1afmkfd.example/ https://аррӏе.example аррӏе.com",
}
NOTHING_TO_SEE = {
    "marks": "\u0301" * 5_000,
    "selectors": "\ufe0f" * 100,
    "joiners": "\u200d" * 1_000,
    "fillers": "\u3164\u115f\u2800\u00ad\u200b",
    "controls": "\0\x01\x1b\u202e\ud800\ufeff",
    "spaces": " \u00a0\u2003\n\t" * 9_000,
}
FIELDS = ("own", "everything")


def hostile(words: str, field: str) -> Article:
    """An article that says *words* there."""
    fields: dict[str, dict[str, Any]] = {
        "title": {"title": words},
        "summary": {"summary": words},
        "own": {"wishes": Wishes(social_text=words)},
        "everything": {"title": words, "summary": words, "tags": (words[:300],), "source": words},
    }
    return replace(ARTICLE, **fields[field])


def sent(payload: Any) -> Iterator[str]:
    """Every text in what the network is sent."""
    if isinstance(payload, str):
        yield payload
    elif isinstance(payload, dict | list):
        for value in payload.values() if isinstance(payload, dict) else payload:
            yield from sent(value)


def seen(words: str) -> str:
    """What of *words* leaves something to be seen, besides the article's address."""
    bare = words.replace(ARTICLE.url, "").replace("quay.example.com/town/2026/swing-bridge", "")
    return str(regex.sub(r"[\s\p{M}\p{C}\p{Default_Ignorable_Code_Point}\u2800]", "", bare))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_post_says_something_within_its_limits(case: str, field: str) -> None:
    """Whatever stands in an article, every network is sent words, no longer than it takes, as clean UTF-8."""
    for network in NETWORKS:
        posted = made(network, hostile(HOSTILE[case], field), hashtags=3)
        assert text.fits(posted.text, network, with_picture=True), network
        assert seen(posted.text), network
        if network in TEXTUAL:
            assert ARTICLE.url in posted.text
        for words in sent(json.loads(json.dumps(posted.payload))):
            words.encode()
            assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ufeff]", words), network
        assert rules_read(posted) in ("", posted.text)


def rules_read(posted: Post) -> str:
    """What the network's readers see of the words as they are sent, where marks mean something there."""
    payload = posted.payload
    match posted.network:
        case "linkedin":
            return rules.little_read(payload["commentary"])
        case "discord":
            return rules.markdown_read(payload.get("content", ""))
        case "telegram":
            assert not re.search("<", payload["caption"])
            return html.unescape(payload["caption"])
        case "slack":
            assert not re.search("[<>]|&(?!amp;|lt;|gt;)", payload["text"])
            return html.unescape(payload["text"])
    return ""


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("case", NOTHING_TO_SEE)
def test_words_that_nobody_sees_are_no_words(case: str, field: str) -> None:
    """A title of invisible characters is a missing one: the summary or the publication's name stands in."""
    for network in NETWORKS:
        posted = made(network, hostile(NOTHING_TO_SEE[case], field))
        assert posted.text.startswith((ARTICLE.title, ARTICLE.summary, PUBLICATION.title)), network


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", ["address", "hashtag"])
def test_what_cannot_be_cut_gives_way(network: str, case: str) -> None:
    """Own words that are one endless address or hashtag are left for the title, such a title for the site."""
    own = made(network, hostile(HOSTILE[case], "own"))
    title = made(network, hostile(HOSTILE[case], "title"))
    if network == "facebook":  # takes them whole
        assert HOSTILE[case] in own.text
        assert HOSTILE[case] in title.text
        return
    assert own.text.startswith(ARTICLE.title)
    assert any("own words were cut" in note for note in own.notes)
    assert title.text.startswith(PUBLICATION.title)
    assert any("title was cut" in note for note in title.notes)


def test_no_part_of_a_thread_is_empty() -> None:
    """Where the rest of the own words cannot be cut, the thread ends."""
    words = "Mind the bridge. " * 30 + FAR
    posted = made("bluesky", hostile(words, "own"), thread=5)
    assert len(posted.more_text) >= 1
    assert all(seen(part) for part in posted.more_text)


TOLD: dict[str, Callable[[dict[str, Any]], list[str]]] = {  # whom a network would tell, by its own rules
    "bluesky": lambda sent: [one for one in _facet_kinds(sent) if one not in ("link", "tag")],
    "mastodon": lambda sent: re.findall(r"(?<![=/\w])@[a-z0-9_]+", sent["status"], re.IGNORECASE | re.ASCII),
    "x": lambda sent: re.findall(r"(?<![A-Za-z0-9_!#$%&*@＠])[@＠][A-Za-z0-9_]", sent["text"]),
    "linkedin": lambda sent: re.findall(r"(?<!\\)@", sent["commentary"]),
    "facebook": lambda sent: re.findall(r"@\[\d", sent["message"]),
    "instagram": lambda sent: re.findall(r"(?<!\w)@\w", sent["caption"], re.ASCII),
    "threads": lambda sent: re.findall(r"(?<!\w)@\w", sent["text"], re.ASCII),
    "telegram": lambda sent: re.findall(r"(?<!\w)@\w|<a", html.unescape(sent["caption"]), re.ASCII),
    "discord": lambda sent: sent["allowed_mentions"]["parse"] + re.findall(r"(?<!\\)<", str(sent["content"])),
    "slack": lambda sent: re.findall(r"<[@!#]", sent["text"]),
}


def _facet_kinds(sent: dict[str, Any]) -> list[str]:
    return [one["$type"].rpartition("#")[2] for facet in sent["facets"] for one in facet["features"]]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("field", ["title", "summary"])
def test_a_title_tells_nobody(network: str, field: str) -> None:
    """Names in a title or summary were written to nobody there: they are read, and no one is told."""
    for words in (HANDLES.replace("@[134895793791914] ", ""), CHAT):
        posted = made(network, hostile(words, field), link="url" if network != "discord" else "none")
        shown = rules_read(posted) or posted.text
        assert "lena" in shown or "everyone" in shown
        assert TOLD[network](dict(posted.payload)) == []


def test_a_roundup_tells_nobody() -> None:
    """The titles of a roundup are titles too."""
    for network in ("mastodon", "x", "threads", "telegram"):
        channel = Channel(network=network)
        made = roundup(
            PUBLICATION, channel, [hostile("Ask @lena", "title")], environment(None, "social"), at=MONDAY
        )
        assert "Ask @\N{WORD JOINER}lena" in made.text


@pytest.mark.parametrize("network", ["mastodon", "x", "threads", "telegram"])
def test_own_words_may_name_somebody(network: str) -> None:
    """Who writes words for a network means whom they name; addresses keep their @ everywhere."""
    assert "Ask @lena today" in made(network, hostile("Ask @lena today", "own")).text
    address = "https://social.example/@lena"
    assert address in made(network, hostile(f"See {address} or write to a@b.example", "summary")).text
    assert "a@b.example" in made(network, hostile("Write to a@b.example", "title")).text


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", ["scripts", "markdown", "html"])
def test_only_web_addresses_can_be_clicked(network: str, case: str) -> None:
    """No marks and no schemes of scripts become a link: what a network is told to link is a web address."""
    posted = made(network, hostile(HOSTILE[case], "everything"))
    assert posted.link is None or posted.link == ARTICLE.url
    for facet in posted.payload.get("facets", ()):
        for feature in facet["features"]:
            assert feature.get("uri", "https://").startswith(("https://", "http://"))
    if network == "discord":
        shown = json.dumps(posted.payload["embeds"]) + posted.payload.get("content", "")
        assert not re.search(r"(?<!\\)\[", shown.removeprefix("["))


@pytest.mark.parametrize("network", NETWORKS)
def test_addresses_are_whole_or_absent(network: str) -> None:
    """Of hundreds of addresses, international ones too, none is cut in the middle on its way into a post."""
    for case in ("addresses", "idn", "words-and-address"):
        for field in ("title", "own"):
            posted = made(network, hostile(HOSTILE[case], field))
            known = {*text.links(HOSTILE[case]), ARTICLE.url}
            assert text.links(posted.text) <= known


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", ["families", "flags", "zalgo"])
def test_graphemes_are_whole(network: str, case: str) -> None:
    """A post is cut between what readers see as characters, however many code points each has."""
    words = text.clean(HOSTILE[case])
    whole = set(text.graphemes(words))
    said = made(network, hostile(words, "own")).text.split("…")[0].split("\n")[0]
    assert said
    assert words.startswith(said)
    assert set(text.graphemes(said)) <= whole


def test_marks_pile_up_only_so_far() -> None:
    """Sixteen marks on a letter are more than any script has, and few enough to be counted in time."""
    cleaned = text.clean(HOSTILE["zalgo"])
    assert max(map(len, text.graphemes(cleaned))) <= 1 + text.MOST_MARKS
    for kept in (
        "ཧཱུྃ",
        "שָׁ֑לֽוֹם",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        FAMILY,
        "e\u0323\u0302",
    ):
        assert len(text.graphemes(text.clean(kept))) == len(text.graphemes(kept))
        assert text.clean(kept, lines=True) == text.clean(kept)


@pytest.mark.parametrize("case", ["families", "flags", "ideographs", "one-grapheme", "zalgo"])
def test_a_hundred_thousand_characters_keep_nobody_waiting(case: str) -> None:
    """However long a title is, and whatever it is made of, each of its posts takes a second or two.

    The shorter ones are just short enough to be counted in full, by twitter-text and its kin.
    """
    for network, length in (("facebook", 100_000), ("mastodon", 100_000), ("x", 5_000), ("mastodon", 9_000)):
        started = perf_counter()
        posted = made(network, hostile(ENDLESS[case][:length], "title"))
        assert text.fits(posted.text, network, with_picture=True)
        assert seen(posted.text)
        assert perf_counter() - started < 5, network


@pytest.mark.parametrize("network", ["bluesky", "linkedin", "discord"])
@pytest.mark.parametrize("case", ["address", "hashtag", "one-word"])
def test_a_cards_title_is_cut_anywhere_rather_than_empty(network: str, case: str) -> None:
    """In a card and in an alternative text nothing is clicked, so what cannot be cut well is cut."""
    posted = made(network, hostile(HOSTILE[case], "title"), pictures=(), media="link")
    titles = [one["title"] for one in _objects(posted.payload) if "title" in one]
    assert len(titles) == 1
    assert titles[0].lstrip("\\").startswith(HOSTILE[case][:20])
    assert titles[0].endswith("…")
    alt = made(network, pictures=(replace(PICTURE, alt=HOSTILE[case] * 3),)).pictures[0].alt
    assert alt.startswith(HOSTILE[case][:20])
    assert alt.endswith("…")


def _objects(payload: Any) -> Iterator[dict[str, Any]]:
    """Every object in what the network is sent."""
    if isinstance(payload, dict):
        yield payload
        payload = list(payload.values())
    if isinstance(payload, list):
        for value in payload:
            yield from _objects(value)


def test_halves_of_characters_in_front_matter_reach_no_network(tmp_path: Path) -> None:
    """JSON can write what UTF-8 cannot, and is posted without it; YAML may not, and is told with its line."""
    channels = "".join(f'[channels.{name}]\nnetwork = "{name}"\nmedia = "none"\n' for name in ("x", "slack"))
    config, clock = workspace(tmp_path, config=channels), Clock()
    write_article(tmp_path, "about")
    with opened(config, clock) as app:
        app.run_once()
        clock.go_on(minutes=2)
        fields = r'"title": "A \ud83d bridge\u0000 opens \ud83d\udca9", "summary": "\udc00 It\u202e does."'
        json_page = f'{{{fields}, "date": "{clock().isoformat()}"}}\n\nText.\n'
        yaml_page = "---\n" + r'title: "A \uD83D ferry"' + f"\ndate: {clock().isoformat()}\n---\n\nText.\n"
        (tmp_path / "content" / "json.md").write_text(json_page)
        (tmp_path / "content" / "yaml.md").write_text(yaml_page)
        clock.go_on(minutes=1)
        app.run_once()
        problems = [str(problem) for problem in check(app)]
    posts = {file.read_text().splitlines()[0] for file in tmp_path.glob("var/outbox/social/*/*/post.txt")}
    assert posts == {"A bridge opens 💩"}
    assert len(problems) == 1
    assert problems[0].startswith("yaml.md:2: the front matter is not YAML")
