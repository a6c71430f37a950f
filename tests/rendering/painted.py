"""Pictures and articles to try the rendering of pictures on."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw

from distributor.model import Article, Publication

PUBLICATION = Publication(title="The Harbour Gazette", base_url="https://gazette.example")
ARTICLE = Article(
    key="17",
    url="https://gazette.example/2026/11/bridge-reopens/",
    title="Harbour bridge reopens after three years of repairs",
    source="Dockside Wire",
    published_at=datetime(2026, 11, 2, 7, 30, tzinfo=UTC),
    path="news/bridge.md",
)


def article(**fields: Any) -> Article:
    return replace(ARTICLE, **fields)


@lru_cache
def scene(width: int = 640, height: int = 360, mode: str = "RGB") -> Image.Image:
    """A picture with areas and edges, the same every time; its upper left corner is red."""
    chance = random.Random(4)
    image = Image.new("RGB", (width, height), "#88bbee")
    pen = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = chance.randrange(width), chance.randrange(height)
        pen.ellipse((x, y, x + width // 6, y + height // 6), fill=chance.randrange(0x1000000))
    pen.rectangle((0, 0, width // 4, height // 4), fill="#ff0000")
    return image.convert(mode)


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pixels(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image
