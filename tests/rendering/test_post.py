from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rtoml
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.config import Channel
from distributor.errors import Refused, TemplateError
from distributor.model import Article, Picture, Post, Publication, Wishes
from distributor.rendering import limits, text
from distributor.rendering.environment import environment
from distributor.rendering.post import ENOUGH_SUMMARY, hashtags, post

PUBLICATION = Publication(title="The Quay Gazette", base_url="https://quay.example.com")
ARTICLE = Article(
    key="41",
    url="https://quay.example.com/town/2026/swing-bridge/",
    title="Swing bridge opens to cyclists",
    summary="From Monday the old swing bridge carries a cycle lane in both directions.",
    published_at=datetime(2026, 11, 20, 7, 30, tzinfo=UTC),
    path="town/swing-bridge.md",
    tags=("harbour", "Cycle lanes", "AI"),
)
PICTURE = Picture(
    hash="c0ffee" * 10 + "beef",
    media_type="image/jpeg",
    width=1200,
    height=630,
    size=90_000,
    alt="Three cyclists wait in front of a raised bridge",
)
NETWORKS = sorted(limits.networks())
TEXTUAL = [name for name in NETWORKS if limits.network(name).links == "text" and name != "discord"]


def made(
    network: str,
    article: Article = ARTICLE,
    *,
    pictures: tuple[Picture, ...] = (PICTURE,),
    templates: Path | None = None,
    utm: dict[str, str] | None = None,
    **settings: Any,
) -> Post:
    channel = Channel(network=network, **settings)
    return post(PUBLICATION, channel, article, pictures, environment(templates, "social"), utm=utm)


@pytest.mark.parametrize("network", TEXTUAL)
def test_a_post_says_title_summary_and_link(network: str) -> None:
    """With room, a post has the title, the summary, the whole link and the hashtags, in that order."""
    said = made(network, hashtags=1).text
    wanted = [ARTICLE.title, ARTICLE.summary, ARTICLE.url]
    if limits.network(network).hashtags:
        wanted.append("#Harbour")
    assert said == "\n\n".join(wanted)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("link", ["qr", "none"])
def test_without_link_there_is_no_address(network: str, link: str) -> None:
    """A channel whose picture carries the link has no address anywhere, not even the summary's own."""
    chatty = replace(ARTICLE, summary="More at https://quay.example.com/x and on quay.org today.")
    posted = made(network, chatty, link=link)
    assert posted.link is None
    assert "https://" not in posted.text
    assert ARTICLE.url not in json.dumps(posted.payload)


def test_instagram_never_shows_an_address() -> None:
    """Where nothing in the text can be clicked, an address would only be noise."""
    posted = made("instagram")
    assert posted.link is None
    assert "http" not in json.dumps(posted.payload)


def test_instagram_needs_a_picture() -> None:
    """A post that the network would never take is refused before anything is frozen."""
    with pytest.raises(Refused, match="picture"):
        made("instagram", pictures=())


@pytest.mark.parametrize("network", NETWORKS)
def test_the_articles_own_words_go_first(network: str) -> None:
    """What the front matter says for this network is said, then what it says for all."""
    for_all = replace(ARTICLE, wishes=Wishes(social_text="Mind the bridge!"))
    for_one = replace(
        ARTICLE, wishes=Wishes(social_text="Mind the bridge!", text={network: "Ring your bell."})
    )
    assert made(network, for_all).text.startswith("Mind the bridge!")
    posted = made(network, for_one)
    assert posted.text.startswith("Ring your bell.")
    assert ARTICLE.title not in posted.text


@pytest.mark.parametrize("network", NETWORKS)
def test_own_words_that_are_too_long_are_cut_and_noted(network: str) -> None:
    """Nothing fails because an author wrote too much: it is cut, and a person can see it."""
    posted = made(network, replace(ARTICLE, wishes=Wishes(social_text="ding dong " * 7000)))
    assert text.fits(posted.text, network, with_picture=True)
    assert posted.text.startswith("ding dong ding")
    assert any("own words were cut" in note for note in posted.notes)
    if network in TEXTUAL:
        assert ARTICLE.url in posted.text


def test_own_words_keep_their_hashtags_and_link() -> None:
    """An author who wrote hashtags or the link gets no second helping."""
    own = f"Ring your bell {ARTICLE.url} #Bells"
    assert made("mastodon", replace(ARTICLE, wishes=Wishes(social_text=own))).text == own


def test_own_words_may_have_lines() -> None:
    """Lines of an author's text stay lines."""
    posted = made("mastodon", replace(ARTICLE, wishes=Wishes(social_text="One\nTwo\n\n\n\nThree\n")))
    assert posted.text.startswith("One\nTwo\n\nThree\n\nhttps://")


@pytest.mark.parametrize("network", ["x", "mastodon", "bluesky", "threads"])
def test_hashtags_go_before_the_summary_gets_short(network: str) -> None:
    """As hashtags grow, they disappear one by one rather than leave a stump of the summary."""
    long = replace(
        ARTICLE,
        summary="From Monday the bridge carries bicycles. " * 30,
        tags=tuple(f"{letter * 30} {letter * 20}" for letter in "abcdefgh"),
    )
    posted = made(network, long, hashtags=8)
    assert text.fits(posted.text, network, with_picture=True)
    summary = posted.text.split("\n\n")[1]
    assert len(summary) >= ENOUGH_SUMMARY
    assert summary.endswith("…")
    assert posted.notes == ()


@pytest.mark.parametrize("network", TEXTUAL)
def test_the_title_is_cut_before_the_link(network: str) -> None:
    """A title longer than the network's room ends in an ellipsis; the link stays whole."""
    posted = made(network, replace(ARTICLE, title="Bridge news again " * 4000))
    assert text.fits(posted.text, network, with_picture=True)
    assert posted.text.endswith("…\n\n" + ARTICLE.url)
    assert any("title was cut" in note for note in posted.notes)


def test_a_link_that_cannot_fit_is_left_out_and_noted() -> None:
    """Threads counts an address in full: one of 700 characters has no place in 500."""
    posted = made("threads", replace(ARTICLE, url=ARTICLE.url + "x" * 700))
    assert posted.text.startswith(ARTICLE.title)
    assert "http" not in posted.text
    assert posted.link is None
    assert any("link was left out" in note for note in posted.notes)


def test_a_very_long_link_fits_where_it_counts_23() -> None:
    """On X and Mastodon the length of an address does not matter."""
    far = replace(ARTICLE, url=ARTICLE.url + "x" * 700)
    for network in ("x", "mastodon"):
        assert far.url in made(network, far).text


def test_the_link_carries_the_campaign() -> None:
    """UTM parameters are in the link that is posted, and only once."""
    posted = made("mastodon", utm={"source": "mastodon", "medium": "social"})
    assert posted.text.count("utm_") == 2
    assert posted.link == ARTICLE.url + "?utm_source=mastodon&utm_medium=social"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "not an address", "https://", "http://[::1"])
def test_what_is_no_address_is_not_posted(url: str) -> None:
    """A broken or hostile address leaves a post without a link, not a post with a trap."""
    posted = made("bluesky", replace(ARTICLE, url=url), pictures=())
    assert posted.link is None
    assert "javascript" not in json.dumps(posted.payload)


def test_an_address_with_brackets_is_clickable_whole() -> None:
    """What networks would leave out of an address is escaped, so that the link leads to the article."""
    posted = made("x", replace(ARTICLE, url="https://quay.example.com/a (b]'c/größe,."))
    assert posted.link is not None
    assert text.links(posted.text) == {posted.link}
    assert posted.link.isascii()


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (("harbour", "Port authority", "cycle-lanes"), ("#Harbour", "#PortAuthority", "#CycleLanes")),
        (("AI", "iPhone", "NASA launch"), ("#AI", "#iPhone", "#NASALaunch")),
        (("R&D", "St. John's"), ("#RD", "#StJohns")),
        (("C++", "C#", "2026", "", "🚲", "100%"), ()),
        (("日本 経済", "港"), ("#日本経済", "#港")),
        (("تغير المناخ", "मौसम समाचार"), ("#تغير_المناخ", "#मौसम_समाचार")),
        (("Harbour", "harbour", "HARBOUR"), ("#Harbour",)),
        (("x" * 200,), ()),
        (("straße", "ÉCOLE"), ("#Straße", "#ÉCOLE")),
    ],
)
def test_tags_become_hashtags(tags: tuple[str, ...], found: tuple[str, ...]) -> None:
    """Words join with capitals, other scripts keep theirs apart, and no meaning changes."""
    assert hashtags(tags, 9) == found


def test_hashtags_are_counted() -> None:
    """A channel has at most its own number of hashtags, and at most the network's."""
    many = replace(ARTICLE, tags=tuple(f"tag {letter}" for letter in "abcdefghij"))
    assert made("mastodon", many, hashtags=2).text.count("#") == 2
    assert made("threads", many, hashtags=9).text.count("#") == 1
    assert "#" not in made("slack", many, hashtags=9).text


def test_facets_cover_their_words_exactly() -> None:
    """Bluesky's ranges are offsets in bytes: each slices to the shown link or the hashtag, in any script."""
    japanese = replace(
        ARTICLE,
        title="👨‍👩‍👧 港の橋が開通 #嘘",
        summary="詳しくは https://a.example/b を。",
        tags=("港 町", "Ünïcode"),
    )
    posted = made("bluesky", japanese)
    sliced = {
        (feature.get("uri") or feature["tag"]): posted.text.encode()[
            facet["index"]["byteStart"] : facet["index"]["byteEnd"]
        ].decode()
        for facet in posted.payload["facets"]
        for feature in facet["features"]
    }
    assert sliced == {
        "嘘": "#嘘",
        "https://a.example/b": "https://a.example/b",
        ARTICLE.url: "quay.example.com/town/2026/swing-bridge",
        "港町": "#港町",
        "Ünïcode": "#Ünïcode",
    }


def test_bluesky_shows_a_long_address_in_short() -> None:
    """The address counts in full there, so the text shows its beginning and the facet leads to all of it."""
    far = replace(ARTICLE, url=ARTICLE.url + "x" * 700)
    posted = made("bluesky", far)
    assert "quay.example.com/town/2026/swing-bridge…" in posted.text
    (facet,) = (f for f in posted.payload["facets"] if "uri" in f["features"][0])
    assert facet["features"][0]["uri"] == far.url


def test_bluesky_has_a_card_or_pictures() -> None:
    """A record carries one embed: pictures where there are some, else a link card."""
    with_picture = made("bluesky").payload["embed"]
    assert with_picture["images"][0]["aspectRatio"] == {"width": 1200, "height": 630}
    assert with_picture["images"][0]["image"] == {"$picture": PICTURE.hash}
    card = made("bluesky", pictures=()).payload["embed"]["external"]
    assert card == {"uri": ARTICLE.url, "title": ARTICLE.title, "description": ARTICLE.summary}


def test_linkedin_card_has_the_banner_as_thumbnail() -> None:
    """LinkedIn reads no page, so the card is ours; a composed card is shown whole instead."""
    article = made("linkedin").payload["content"]["article"]
    assert article["source"] == ARTICLE.url
    assert article["thumbnail"] == {"$picture": PICTURE.hash}
    assert made("linkedin", media="card").payload["content"]["media"]["altText"] == PICTURE.alt
    two = made("linkedin", pictures=(PICTURE, PICTURE)).payload["content"]["multiImage"]["images"]
    assert len(two) == 2


def test_telegram_chooses_its_method() -> None:
    """Text alone, a photo with a caption, or an album whose first photo has it."""
    assert made("telegram", pictures=()).payload["method"] == "sendMessage"
    assert made("telegram").payload["method"] == "sendPhoto"
    album = made("telegram", pictures=(PICTURE, PICTURE)).payload
    assert ["caption" in photo for photo in album["media"]] == [True, False]


def test_discord_says_nothing_twice() -> None:
    """The card says title and summary; without a card the text does."""
    card = made("discord").payload
    assert "content" not in card
    assert card["embeds"][0]["description"] == ARTICLE.summary
    assert card["embeds"][0]["image"]["url"] == f"attachment://{card['attachments'][0]['filename']}"
    plain = made("discord", link="none").payload
    assert ARTICLE.summary in plain["content"]
    assert "embeds" not in plain


HOSTILE = replace(
    ARTICLE,
    title="<b>& *bold* _it_ @everyone <!channel> <@1> [x](https://evil.example/) {hashtag|\\#|x}",
    summary="</script> `code` ~strike~ || &amp; {{ 7 * 7 }} {% raise %} \u202eeslaf\u0000",
)


@pytest.mark.parametrize("network", NETWORKS)
def test_hostile_words_stay_words(network: str) -> None:
    """No field is a template, and controls never reach a network."""
    said = json.dumps(made(network, HOSTILE).payload, ensure_ascii=False)
    assert "{{ 7 * 7 }}" in said.replace("\\\\", "")
    assert "49" not in said
    assert "\u202e" not in said
    assert "\\u0000" not in said


def test_hostile_words_are_escaped_where_marks_mean_something() -> None:
    """HTML on Telegram, mrkdwn on Slack, "little" on LinkedIn, Markdown and pings on Discord."""
    assert "&lt;b&gt;&amp; *bold*" in made("telegram", HOSTILE).payload["caption"]
    slack = made("slack", HOSTILE).payload
    assert "&lt;!channel&gt;" in slack["text"]
    assert slack["blocks"][0]["text"]["text"] == slack["text"]
    assert r"\<b\>& \*bold\* \_it\_ \@everyone" in made("linkedin", HOSTILE).payload["commentary"]
    discord = made("discord", HOSTILE, link="none").payload
    assert r"\*bold\* \_it\_ \@everyone \<!channel>" in discord["content"]
    assert discord["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize("network", NETWORKS)
def test_alternative_texts_fit_and_are_never_empty(network: str) -> None:
    """A long description ends after a word, and a missing one is the title."""
    alt = limits.network(network).alt
    long = made(network, pictures=(replace(PICTURE, alt="a gull on a post " * 900),)).pictures[0].alt
    assert alt is None or text.count(long, alt.counted) <= alt.at_most
    assert alt is None or long.endswith(("gull…", "post…", " a…", " on…"))
    assert made(network, pictures=(replace(PICTURE, alt=" "),)).pictures[0].alt == ARTICLE.title


def test_pictures_beyond_the_networks_number_are_noted() -> None:
    """Mastodon takes four: the rest is left out, and a person can see it."""
    posted = made("mastodon", pictures=(PICTURE,) * 6)
    assert len(posted.pictures) == 4
    assert posted.notes == ("2 of 6 pictures left out: Mastodon takes 4",)


def test_the_users_template_goes_first(tmp_path: Path) -> None:
    """A network's own template goes before the one for all, and the user's before ours."""
    (tmp_path / "social").mkdir()
    (tmp_path / "social" / "post.txt.j2").write_text("New: {{ title }}", encoding="utf-8")
    (tmp_path / "social" / "post.x.txt.j2").write_text("{{ title | upper }} {{ link }}", encoding="utf-8")
    assert made("mastodon", templates=tmp_path).text == f"New: {ARTICLE.title}"
    assert made("x", templates=tmp_path).text == f"{ARTICLE.title.upper()} {ARTICLE.url}"


def test_a_template_that_says_too_much_is_cut(tmp_path: Path) -> None:
    """Even a template without an end leaves a post that fits, and a note."""
    (tmp_path / "social").mkdir()
    (tmp_path / "social" / "post.txt.j2").write_text("{{ title }} " + "and more " * 90, encoding="utf-8")
    posted = made("x", templates=tmp_path)
    assert text.fits(posted.text, "x")
    assert posted.notes == ("the template's text was cut for X",)


def test_a_broken_template_is_named(tmp_path: Path) -> None:
    """A mistake in a template is told with its file and line."""
    (tmp_path / "social").mkdir()
    (tmp_path / "social" / "post.txt.j2").write_text("{{ title }}\n{{ titel }}", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"post\.txt\.j2:2: 'titel' is undefined"):
        made("x", templates=tmp_path)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_article_without_words_is_still_posted(network: str) -> None:
    """Title and summary may be missing: the publication's name stands in, and no blank lines remain."""
    bare = replace(ARTICLE, title="", summary="", tags=())
    assert made(network, bare).text.startswith(PUBLICATION.title)
    assert "\n\n\n" not in made(network, bare).text


def test_a_summary_that_repeats_the_title_is_not_said() -> None:
    """Sites that copy the title into the summary do not make posts say it twice."""
    echo = replace(ARTICLE, summary=ARTICLE.title + ".")
    assert made("mastodon", echo).text.count("Swing bridge") == 1


def test_a_post_is_frozen_by_what_it_says() -> None:
    """Made twice, a post has one hash, and its payload is plain JSON."""
    for network in NETWORKS:
        assert made(network).hash == made(network).hash
        assert json.loads(json.dumps(made(network).payload)) == made(network).payload


ANYTHING = st.text(max_size=400)


@settings(deadline=None, max_examples=120)
@given(
    network=st.sampled_from(NETWORKS),
    title=ANYTHING,
    summary=ANYTHING,
    own=st.one_of(st.none(), ANYTHING),
    url=st.one_of(ANYTHING, ANYTHING.map("https://quay.example.com/".__add__)),
    tags=st.lists(ANYTHING, max_size=5),
    alt=ANYTHING,
    link=st.sampled_from(["url", "qr", "none"]),
)
def test_whatever_an_article_says_its_post_fits(
    network: str, title: str, summary: str, own: str | None, url: str, tags: list[str], alt: str, link: str
) -> None:
    """Any text in any field makes a post within its network's limits that can be written as JSON."""
    article = replace(
        ARTICLE, title=title, summary=summary, url=url, tags=tuple(tags), wishes=Wishes(social_text=own)
    )
    posted = made(network, article, pictures=(replace(PICTURE, alt=alt),), link=link)
    assert posted.text
    assert text.fits(posted.text, network, with_picture=True)
    assert posted.pictures[0].alt
    assert json.dumps(posted.payload, ensure_ascii=False).encode()
    for facet in posted.payload.get("facets", ()):
        start, end = facet["index"]["byteStart"], facet["index"]["byteEnd"]
        sliced = posted.text.encode()[start:end].decode()
        feature = facet["features"][0]
        assert sliced[1:] == feature["tag"] if "tag" in feature else feature["uri"].startswith("http")


def test_a_real_sites_articles_become_posts(corpus: Path) -> None:
    """Articles of a real site fit on every network, and none loses its title or link."""
    files = sorted(corpus.glob("content/**/*.md"))[::3]
    assert len(files) > 10
    for file in files:
        fields = rtoml.loads(file.read_text(encoding="utf-8").split("+++")[1])
        url = f"https://quay.example.com/{file.stem}/"
        article = replace(ARTICLE, title=fields["title"], summary=fields.get("summary", ""), url=url)
        for network in NETWORKS:
            posted = made(network, article)
            assert text.fits(posted.text, network, with_picture=True)
            assert posted.text.startswith(text.clean(fields["title"]))
            assert (posted.link is None) == (network == "instagram")
            assert posted.notes == ()
