"""An edition from template to mail, and what each of its readers costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from random import Random

import orjson
from jinja2 import Environment

from benchmarks.measure import TIMES, Figure, figure, median_seconds, micros_per_call
from benchmarks.site import NOW, headline, paragraph
from distributor.config import Newsletter
from distributor.model import Article, Digest, Email, Picture, Publication
from distributor.providers.email.mime import Message, Sender
from distributor.rendering.digest import digest
from distributor.rendering.environment import environment
from distributor.slots import SLOTS, split, translate

PUBLICATION = Publication(title="The Lantern", base_url="https://lantern.example")
BREAKFAST = Newsletter.model_validate(
    {
        "title": "The Lantern at Breakfast",
        "from": "The Lantern <breakfast@lantern.example>",
        "providers": ["letterbox"],
        "schedule": "0 7 * * *",
        "utm": {"utm_source": "breakfast"},
    }
)
SENDER = Sender(from_=BREAKFAST.from_, reply_to=None, list_name=BREAKFAST.title, list_label="lantern")
MARKS = {slot: f"%recipient.{slot}%" for slot in SLOTS}  # as a provider that fills in may write them


def figures() -> Iterator[Figure]:
    templates = environment(None, "email")
    for count in (10, 500):
        articles, pictures = _edition(count)
        made = _rendered(articles, pictures, templates)  # warm
        render = partial(_rendered, articles, pictures, templates)
        elapsed = median_seconds(render for _ in range(3 * TIMES))
        sizes = {"html_kb": len(made.html.encode()) // 1000, "pictures": count}
        yield figure(f"{count} articles to HTML and text", elapsed * 1000, "ms", **sizes)
        if count == 10:
            yield from _readers(made)


def _edition(count: int) -> tuple[list[Article], dict[str, Picture]]:
    random = Random(count)
    articles = [
        Article(
            key=f"lantern-{number}",
            url=f"https://lantern.example/river/story-{number}/",
            title=headline(random),
            summary=paragraph(random, 2),
            published_at=NOW - timedelta(minutes=number),
            path=f"river/story-{number}.md",
            source="Millrace Wire",
            tags=("river",),
        )
        for number in range(count)
    ]
    return articles, {article.key: _banner(article, random) for article in articles}


def _banner(article: Article, random: Random) -> Picture:
    return Picture(
        hash=f"{random.getrandbits(256):064x}",
        media_type="image/jpeg",
        width=1200,
        height=630,
        size=90_000,
        alt=article.title,
    )


def _rendered(articles: list[Article], pictures: Mapping[str, Picture], templates: Environment) -> Digest:
    return digest(
        PUBLICATION,
        BREAKFAST,
        articles,
        pictures,
        edition_at=NOW,
        media_url=lambda picture: f"https://mail.lantern.example/media/{picture.name}",
        environment=templates,
    )


def _readers(made: Digest) -> Iterator[Figure]:
    email = _email()
    size = {"html_kb": len(made.html.encode()) // 1000}
    html = split(made.html)
    whole = micros_per_call(lambda: html.fill(email.slots), calls=20_000)
    yield figure("one reader's slots, whole body", whole, "us", slots=len(html.names), **size)

    translate(made.html, MARKS)  # once for all readers
    values = micros_per_call(lambda: orjson.dumps(email.slots), calls=100_000)
    yield figure("one reader's slots, filled by the provider", values, "us", encoder="orjson")

    message = Message(made, SENDER, date=NOW, media=lambda picture: b"")
    spliced = micros_per_call(lambda: message.to(email), calls=5_000)
    yield figure("one reader's .eml, spliced", spliced, "us", **size)


def _email() -> Email:
    token = "AAAAAAAAB9AAAAABk3mT0qVwNf6yJ1s8hLxPZQ"
    pages = {
        slot: f"https://mail.lantern.example/{slot.removesuffix('_url')}/{token}"
        for slot in SLOTS
        if slot != "name"
    }
    return Email(
        key="1-2000-5f3a91c2",
        recipient=2000,
        address="reader.number.2000@post.example",
        name="Ada O’Brien",
        slots={"name": "Ada O’Brien"} | pages,
    )
