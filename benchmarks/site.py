"""An invented Hugo site of any size, and a workspace around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from distributor import config
from distributor.config import Config

NOW = datetime(2026, 9, 14, 5, 30, tzinfo=UTC)
NEWSLETTER = "lantern"

_SUBJECTS = (
    *("the lighthouse keeper", "a tram driver", "the night market", "an old pump house", "the mill choir"),
    *("two beekeepers", "the canal board", "a school of stonemasons", "the weather station", "the orchard"),
)
_DEEDS = (
    *("counts every lamp on the quay", "asks for a quieter winter", "opens its doors at dawn"),
    *("finds a map behind the wallpaper", "repairs what the flood left", "sings to an empty hall"),
    *("plants a hundred pear trees", "sends its first ferry north", "keeps a diary of the tides"),
)
_SOURCES = ("Lantern Desk", "Millrace Wire", "Northbank Letter", "Saltgate Agency", "None")


def headline(random: Random) -> str:
    return f"{random.choice(_SUBJECTS)} {random.choice(_DEEDS)}".capitalize()


def paragraph(random: Random, sentences: int) -> str:
    return " ".join(f"{headline(random)}, and {random.choice(_SUBJECTS)} agrees." for _ in range(sentences))


def workspace(folder: Path, *, articles: int, topics: int = 1, database_url: str = "") -> Config:
    """A site of so many articles with one newsletter of so many topics, none of it in the database yet.

    Of several topics each has ten articles, and no two of them the same ten.
    """
    _write_site(folder, articles, topics)
    settings = folder / "distributor.toml"
    settings.write_text(_settings(topics), encoding="utf-8")
    return opened(folder, database_url)


def opened(folder: Path, database_url: str = "") -> Config:
    """The configuration of a workspace, on the database of that address or else on its own."""
    return config.load(
        folder / "distributor.toml", {"DATABASE_URL": database_url, "DISTRIBUTOR_SECRET": "s" * 32}
    )


def _settings(topics: int) -> str:
    table = "".join(f'topic-{number} = ["topic-{number}"]\n' for number in range(topics))
    return f"""
[site]
content = "content"

[web]
public_url = "https://mail.lantern.example"

[providers.letterbox]
type = "outbox"

[newsletters.{NEWSLETTER}]
title = "The Lantern at Breakfast"
from = "The Lantern <breakfast@lantern.example>"
providers = ["letterbox"]
schedule = "0 7 * * *"
cadences = ["daily"]

[newsletters.{NEWSLETTER}.topics]
{table}"""


def _write_site(folder: Path, articles: int, topics: int) -> None:
    (folder / "hugo.toml").write_text(_HUGO, encoding="utf-8")
    random = Random(20260914)
    for number in range(articles):
        section = folder / "content" / f"quarter-{number % 40}"
        section.mkdir(parents=True, exist_ok=True)
        write_article(section / f"story-{number}.md", number, random, topics=topics)


_HUGO = """baseURL = "https://lantern.example/"
title = "The Lantern"
languageCode = "en-gb"
timeZone = "UTC"
"""


def write_article(path: Path, number: int, random: Random, *, topics: int = 1) -> None:
    """Front matter in TOML and YAML by turns, and some 2 kB of Markdown; written a while ago."""
    published = NOW - timedelta(minutes=number + 5)
    values = _front_matter(number, published, random, topics)
    if number % 2:
        front = "+++\n" + "".join(f"{name} = {value}\n" for name, value in values) + "+++\n"
    else:
        front = "---\n" + "".join(f"{name}: {value}\n" for name, value in values) + "---\n"
    body = "\n\n".join(paragraph(random, 5) for _ in range(4))
    path.write_text(f"{front}\n{body}\n", encoding="utf-8")
    os.utime(path, (published.timestamp(), published.timestamp()))


def _front_matter(number: int, published: datetime, random: Random, topics: int) -> Iterator[tuple[str, str]]:
    """Names and values, spelt so that TOML and YAML read them alike."""
    tags = ", ".join(f'"topic-{(number - offset) % topics}"' for offset in range(min(topics, 10)))
    yield "title", f'"{headline(random)}, day {number}"'
    yield "summary", f'"{paragraph(random, 2)}"'
    yield "date", published.strftime("%Y-%m-%dT%H:%M:%SZ")
    yield "draft", "false"
    yield "source", f'"{random.choice(_SOURCES)}"'
    yield "source_link", f'"https://wire.example/{number}"'
    yield "article_id", f'"lantern-{number:07}"'
    yield "tags", f"[{tags}]"
    yield "categories", '["city", "river"]'
