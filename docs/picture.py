"""Make docs/picture.jpg from what `distributor demo` left in var/preview: `python docs/picture.py [PREVIEW]`.

Needs Chromium, and the development requirements.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import Page, sync_playwright

SIZE = (1600, 1000)
GROUND = (233, 230, 222)
EDITION = "Storm warning"  # of the largest digest
POSTS = (
    ("Six foghorns", "Instagram"),
    ("Daylight for", "Mastodon"),
    ("Lifeboat drill", "Bluesky"),
    ("Line 4", "X"),
)
FRAMES = (  # left, top and width of each
    (50, 50, 600),
    (600, 190, 320),
    (970, 30, 275),
    (970, 480, 275),
    (1275, 30, 275),
    (1275, 480, 275),
)


def main(preview: Path) -> None:
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=2)
        shots = [*_digests(page, preview), *_posts(page, preview)]
        browser.close()
    canvas = Image.new("RGB", SIZE, GROUND)
    for shot, (left, top, width) in zip(shots, FRAMES, strict=True):
        _place(canvas, shot, left, top, width)
    canvas.save(Path(__file__).with_name("picture.jpg"), quality=84, optimize=True, progressive=True)


def _digests(page: Page, preview: Path) -> Iterator[Image.Image]:
    """The longest edition as a desktop shows it by day and a phone by night."""
    editions = [file for file in (preview / "digests").glob("*.html") if EDITION in file.read_text("utf-8")]
    longest = max(editions, key=lambda file: file.stat().st_size)
    screens: tuple[tuple[int, int, Literal["light", "dark"]], ...] = (
        (700, 1400, "light"),
        (375, 1000, "dark"),
    )
    for width, height, scheme in screens:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.goto(longest.absolute().as_uri())
        yield _opened(page.screenshot())


def _posts(page: Page, preview: Path) -> Iterator[Image.Image]:
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1200, "height": 1000})
    page.goto((preview / "index.html").absolute().as_uri())
    for article, network in POSTS:
        section = page.locator("main > section", has=page.locator("h2", has_text=article))
        post = section.locator("article.channel", has=page.locator("h3", has_text=network))
        yield _opened(post.first.locator(".card").screenshot())


def _opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def _place(canvas: Image.Image, shot: Image.Image, left: int, top: int, width: int) -> None:
    """Put *shot* on the canvas with round corners and a shadow, cut off where the canvas ends."""
    height = round(shot.height * width / shot.width)
    scaled = shot.resize((width, height), Image.Resampling.LANCZOS)
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width - 1, height - 1), radius=14, fill=255)
    shadow = Image.new("L", canvas.size)
    shadow.paste(mask.point(lambda value: value // 4), (left, top + 12))
    canvas.paste((40, 38, 32), mask=shadow.filter(ImageFilter.GaussianBlur(18)))
    canvas.paste(scaled, (left, top), mask)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "var/preview"))
