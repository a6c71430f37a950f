"""An article as a post: its words fitted to the network, its pictures, and the JSON the network is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import regex
from jinja2 import Environment

from distributor.config import Channel
from distributor.errors import Refused, TemplateError
from distributor.model import Article, Carried, Picture, Post, Publication
from distributor.rendering import limits, payloads, text
from distributor.rendering.environment import exists, render
from distributor.rendering.filters import web_address, with_utm
from distributor.vendors import NETWORKS

ENOUGH_SUMMARY = 80  # graphemes: hashtags go before a summary gets shorter than this
LEAST_SUMMARY = 20  # and less than this of one says nothing


def post(
    publication: Publication,
    channel: Channel,
    article: Article,
    pictures: Sequence[Picture],
    environment: Environment,
    *,
    utm: Mapping[str, str] | None = None,
    at: datetime | None = None,
    network: limits.Network | None = None,
) -> Post:
    """*article* on *channel*, frozen: the text its network takes, its pictures and the payload.

    The article's own words go first, else title and summary. Where room is short, hashtags go before the
    summary gets too short, then the summary, then the end of the title, and last the link. *pictures* are
    what the channel shows, already fit for the network; *utm* tags the link; *at* is the time that the post
    claims, else the article's own; *network* is what the account's own server takes, else what is usual.

    Raises:
        Refused: the network takes no post without a picture, and there is none.
        TemplateError: a template does not render.
    """
    network = network or limits.network(channel.network)
    if len(pictures) < network.pictures.at_least:
        raise Refused(f"{network.name} takes no post without a picture: set media to banner, card or qr")
    words = _words(publication, channel, article, utm or {})
    shown = tuple(
        _described(picture, words.title, network) for picture in pictures[: network.pictures.at_most]
    )
    writer = _Writer(environment, publication, channel, article, network, with_picture=bool(shown))
    composed = _composed(writer, words)
    rest = _rest(words, composed) if channel.thread > 1 and NETWORKS[channel.network].replies else ""
    made = Post(
        network=channel.network,
        text=composed.text,
        language=channel.language or article.language or publication.language,
        link=words.address,
        title=words.title,
        summary=words.summary,
        pictures=shown,
        articles=(Carried(key=article.key, role="lead"),),
        notes=(*composed.notes, *_picture_notes(pictures, network)),
    )
    if not (composed.links or payloads.has_card(made, channel)):
        made = replace(made, link=None)
    moment = at or article.published_at
    parts = tuple(_parts(rest, network, channel.thread - 1))
    more = tuple(
        payloads.payload(replace(made, text=part, pictures=(), link=None), channel, at=moment)
        for part in parts
    )
    return replace(made, payload=payloads.payload(made, channel, at=moment), more=more, more_text=parts)


def _rest(words: _Words, composed: _Composed) -> str:
    """What of the article's own words the first post has no room for."""
    said = composed.own.removesuffix(text.ELLIPSIS)
    return words.own[len(said) :].strip() if words.own.startswith(said) else ""


def _parts(rest: str, network: limits.Network, most: int) -> Iterator[str]:
    """*rest* in *most* posts at most, each as long as the network takes."""
    for _ in range(most):
        if not rest:
            return
        part = text.fit(rest, network)
        if not part:
            return
        yield part
        rest = "" if part == rest else rest[len(part.removesuffix(text.ELLIPSIS)) :].strip()


def cost(made: Post) -> float:
    """What a network takes for *made*, in US dollars."""
    price = limits.network(made.network).price
    if price is None or made.action == "delete":
        return 0.0
    is_linked = bool(text.links(made.text))
    return (price.with_link if is_linked else price.post) + price.picture * len(made.pictures)


def roundup(
    publication: Publication,
    channel: Channel,
    articles: Sequence[Article],
    environment: Environment,
    *,
    at: datetime,
    network: limits.Network | None = None,
) -> Post:
    """One post of several articles: as many titles as the network takes, and how many more there are.

    Raises:
        Refused: the network takes no post without a picture.
        TemplateError: a template does not render, or says too much.
    """
    network = network or limits.network(channel.network)
    if network.pictures.at_least:
        raise Refused(f"{network.name} takes no post without a picture, and a roundup has none")
    site = publication.base_url if channel.link == "url" and network.links != "none" else ""
    titles = [text.clean(article.title) for article in articles]
    if network.mentions:
        titles = list(map(text.unmentioned, titles))
    for shown in range(len(titles), -1, -1):
        written = render(
            environment,
            "roundup.txt.j2",
            publication=publication,
            channel=channel,
            network=channel.network,
            titles=titles[:shown],
            more=len(titles) - shown,
            link=site,
        )
        words = text.clean(written, lines=True)
        if text.fits(words, network):
            made = Post(
                network=channel.network,
                text=words,
                language=channel.language or publication.language,
                link=site or None,
                title=publication.title,
                articles=tuple(Carried(key=article.key, role="item") for article in articles),
            )
            return replace(made, payload=payloads.payload(made, channel, at=at))
    raise TemplateError(f"roundup.txt.j2: what it says does not fit {network.name}, not even without titles")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What a post can say. All are clean: one line each, but for its own words."""

    own: str  # the article's words for this network, instead of title and summary
    title: str
    summary: str
    link: str  # as the text shows it; empty where it shows none
    address: str | None  # where the link leads
    hashtags: tuple[str, ...]  # each with its "#"


def _words(publication: Publication, channel: Channel, article: Article, utm: Mapping[str, str]) -> _Words:
    network = limits.network(channel.network)
    title = text.clean(article.title) or text.clean(article.summary) or text.clean(publication.title)
    summary = text.clean(article.summary)
    if network.mentions:  # whoever wrote them did not write to anybody there; own words may
        title, summary = text.unmentioned(title), text.unmentioned(summary)
    own = text.clean(article.wishes.text.get(channel.network) or article.wishes.social_text or "", lines=True)
    if channel.link != "url":
        title = text.unlinked(title, bare=network.bare_links) or text.clean(publication.title)
        summary = text.unlinked(summary, bare=network.bare_links)
    address = _address(article, publication, channel, utm)
    return _Words(
        own=own,
        title=title,
        summary="" if title.casefold().startswith(summary.casefold().rstrip(".…")) else summary,
        link=_visible(address, own, network),
        address=address,
        hashtags=() if "#" in own else hashtags(article.tags, min(channel.hashtags, network.hashtags)),
    )


def _address(
    article: Article, publication: Publication, channel: Channel, utm: Mapping[str, str]
) -> str | None:
    """Where the post leads, if its readers can click at all."""
    if channel.link != "url" or limits.network(channel.network).links == "none":
        return None
    address = web_address(with_utm(article.url, utm, publication.base_url))
    if text.links(address) != {address}:
        address = _UNREAD.sub(lambda mark: f"%{ord(mark[0]):02X}", address)
    return address or None


# What networks leave out when they read an address out of a text: after its host, it can be escaped.
_UNREAD = regex.compile(r"(?<=//[^/]*/.*)(?:[()\[\]'*~!,;:]|\.$)")


def _visible(address: str | None, own: str, network: limits.Network) -> str:
    """*address* as the text shows it: not twice, and in short where we can mark it as a link."""
    if not address or address in own:
        return ""
    return payloads.short_link(address) if network.links == "facets" else address


def hashtags(tags: Sequence[str], at_most: int) -> tuple[str, ...]:
    """The first of *tags* that can be hashtags, each once: "Port authority" becomes #PortAuthority.

    Scripts without capitals join words by an underscore, and those without spaces by nothing. A tag that
    would mean something else without its signs (C++), or has no letter, is left out.
    """
    found: dict[str, str] = {}
    for tag in tags:
        words = regex.findall(r"[\p{L}\p{M}\p{N}]+", regex.sub(r"['’.]", "", text.clean(tag)))
        joined = _joined(words)
        if regex.search(r"\p{L}", joined) and len(joined) <= 64 and not regex.search(r"[+#*=<>$€£%@]", tag):
            found.setdefault(joined.casefold(), f"#{joined}")
    return tuple(found.values())[:at_most]


def _joined(words: Sequence[str]) -> str:
    """*words* as one; capitals a word already has (AI, iPhone) stay."""
    if any(word.upper() != word.lower() for word in words):
        return "".join(word[0].upper() + word[1:] if word.islower() else word for word in words)
    unspaced = all(regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]", word) for word in words)
    return ("" if unspaced else "_").join(words)


def _described(picture: Picture, title: str, network: limits.Network) -> Picture:
    """*picture* with an alternative text that the network takes, and never none."""
    alt = text.clean(picture.alt) or title
    return replace(picture, alt=(text.clip(alt, network.alt) if network.alt else alt) or network.name)


def _picture_notes(pictures: Sequence[Picture], network: limits.Network) -> Iterator[str]:
    most = network.pictures.at_most
    if len(pictures) > most:
        yield f"{len(pictures) - most} of {len(pictures)} pictures left out: {network.name} takes {most}"


@dataclass(frozen=True, slots=True)
class _Writer:
    """The template of a channel, and all that does not change from one attempt to the next."""

    environment: Environment
    publication: Publication
    channel: Channel
    article: Article
    network: limits.Network
    with_picture: bool

    def write(self, words: _Words) -> str:
        written = render(
            self.environment,
            self.template,
            publication=self.publication,
            channel=self.channel,
            article=self.article,
            network=self.channel.network,
            text=words.own,
            title=words.title,
            summary=words.summary,
            link=words.link,
            hashtags=words.hashtags,
            language=(self.channel.language or self.article.language or self.publication.language)[:2],
        )
        return text.clean(written, lines=True)

    def accepts(self, words: _Words) -> bool:
        return text.fits(self.write(words), self.network, with_picture=self.with_picture)

    @property
    def template(self) -> str:
        """The network's own template if there is one, else the one for all."""
        own = f"{self.channel.template}.{self.channel.network}.txt.j2"
        return own if exists(self.environment, own) else f"{self.channel.template}.txt.j2"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Composed:
    text: str
    own: str = ""  # what of the article's own words it has
    links: bool  # whether the text carries the link
    notes: tuple[str, ...] = ()


def _composed(writer: _Writer, words: _Words) -> _Composed:
    """The most of *words* that the network takes."""
    name = writer.network.name
    if chosen := next(filter(writer.accepts, _attempts(words, writer)), None):
        notes = tuple(_cut_notes(words, chosen, writer.channel, name))
        written = writer.write(chosen)
        return _Composed(text=written, own=chosen.own, links=_carries(written, chosen), notes=notes)
    # The template itself says too much: its beginning is better than nothing.
    written = writer.write(replace(words, summary="", hashtags=()))
    cut = text.fit(written, writer.network, with_picture=writer.with_picture)
    if not cut:
        raise TemplateError(f"{writer.template}: what it says does not fit {name}, not even cut")
    return _Composed(text=cut, links=_carries(cut, words), notes=(f"the template's text was cut for {name}",))


def _carries(written: str, words: _Words) -> bool:
    return bool(words.address) and ((words.link or words.address or "") in written)


def _attempts(words: _Words, writer: _Writer) -> Iterator[_Words]:
    """*words*, then less and less of them; the first that is accepted is the one to take.

    Words that cannot be cut, such as an address of thousands of letters, give way to the title, and such a
    title to the publication's name. Only then the link stands alone, and is left out last.
    """
    wordless = replace(words, own="", link=_visible(words.address, "", writer.network))
    nameless = replace(wordless, title=text.clean(writer.publication.title))
    variants = list(dict.fromkeys((words, wordless, nameless)))
    for variant in variants:
        yield from _reductions(variant, writer.accepts)
    if wordless.link:
        yield replace(wordless, title="", summary="", hashtags=())
    for variant in variants:
        yield from _beginning(replace(variant, summary="", hashtags=(), link=""), writer.accepts)


def _reductions(words: _Words, accepts: Callable[[_Words], bool]) -> Iterator[_Words]:
    """*words*, then less and less of them, but always the link."""
    cut = words
    for kept in range(len(words.hashtags), -1, -1):
        fewer = replace(words, hashtags=words.hashtags[:kept])
        yield fewer
        cut = _cut(fewer, "summary", accepts)
        if len(text.graphemes(cut.summary)) >= ENOUGH_SUMMARY:
            yield cut
    if len(text.graphemes(cut.summary)) >= LEAST_SUMMARY:
        yield cut
    bare = replace(words, hashtags=(), summary="")
    yield bare
    yield from _beginning(bare, accepts)


def _beginning(words: _Words, accepts: Callable[[_Words], bool]) -> Iterator[_Words]:
    """*words* with as much of its own words, or else of its title, as is accepted; nothing if none is."""
    said = "own" if words.own else "title"
    cut = _cut(words, said, accepts)
    if getattr(cut, said):
        yield cut


def _cut(words: _Words, said: str, accepts: Callable[[_Words], bool]) -> _Words:
    """*words* with as much of one of them as is accepted."""

    def with_only(beginning: str) -> _Words:
        changes: dict[str, Any] = {said: beginning}
        return replace(words, **changes)

    return with_only(text.longest(getattr(words, said), lambda beginning: accepts(with_only(beginning))))


def _cut_notes(words: _Words, chosen: _Words, channel: Channel, name: str) -> Iterator[str]:
    if chosen.own != words.own:
        yield f"its own words were cut: {name} takes less"
    if chosen.title != words.title:
        yield f"its title was cut: {name} takes less"
    if chosen.link != words.link:
        yield f"its link was left out: {name} takes no text of that length"
    if channel.link != "url" and text.links(words.own):
        yield f"its own words carry an address, although the channel says link = {channel.link!r}"
