"""What each network takes, from `limits.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from pydantic import TypeAdapter

from distributor.errors import NotFound

Counted = Literal[
    "graphemes",
    "bytes",
    "utf16",
    "mastodon",
    "weighted",
    "threads",
    "little",
    "mrkdwn",
    "markdown",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLimit:
    """So much of what is counted so; `limits.toml` explains each way of counting."""

    at_most: int
    counted: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLimits:
    """What a network's pictures may be; None where it sets no bound."""

    at_least: int = 0
    at_most: int
    max_bytes: int
    max_width: int | None = None  # pixels
    max_height: int | None = None
    max_pixels: int | None = None
    formats: tuple[str, ...]  # media types
    min_ratio: float | None = None  # width to height
    max_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a post costs, in US dollars."""

    post: float
    with_link: float  # instead, where its text has an address
    picture: float = 0.0  # besides, for each


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network's limits, and where and when they were read."""

    name: str
    as_of: date
    source: str
    text: tuple[TextLimit, ...]  # all of them hold
    caption: tuple[TextLimit, ...] = ()  # instead of `text`, where a picture goes along
    alt: TextLimit | None = None  # None: the network takes no alternative text
    links: Literal["facets", "text", "none"]
    links_at_most: int | None = None
    mentions: bool = False  # an account named with @ in the text is told
    bare_links: bool = False  # example.com is an address too
    url_weight: int | None = None  # what an address counts, whatever its length
    card: Literal["ours", "theirs", "none"]
    hashtags: int
    pictures: PictureLimits
    card_bytes: int | None = None  # of the picture in a link card
    price: Price | None = None  # None: nothing

    def room(self, *, with_picture: bool = False) -> tuple[TextLimit, ...]:
        """The limits of a post's text."""
        return self.caption if with_picture and self.caption else self.text


@cache
def networks() -> Mapping[str, Network]:
    """Every network by the name that `[channels]` uses."""
    tables = tomllib.loads(files(__package__).joinpath("limits.toml").read_text(encoding="utf-8"))
    return MappingProxyType(TypeAdapter(dict[str, Network]).validate_python(tables))


def network(name: str | Network) -> Network:
    """The network called *name*; what is one already stays as it is, such as that of one server.

    Raises:
        NotFound: with the names that exist.
    """
    if isinstance(name, Network):
        return name
    known = networks()
    if name not in known:
        raise NotFound(f"there is no network {name!r}; there are {', '.join(known)}")
    return known[name]
