"""Cards: an article as one picture, with banner, title, source, site and QR code in the site's colour."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from PIL import Image, ImageDraw, ImageOps

from distributor.model import Article, Publication
from distributor.rendering import qr, raster, typesetting
from distributor.rendering.color import Palette, palette
from distributor.rendering.fonts import is_readable
from distributor.rendering.typesetting import Block

LANDSCAPE = (1200, 630)  # Open Graph: Facebook, LinkedIn, X, Mastodon, Bluesky
SQUARE = (1080, 1080)
PORTRAIT = (1080, 1350)  # Instagram
PIN = (1000, 1500)  # Pinterest
STORY = (1080, 1920)
STORY_CONTROLS = 0.17  # of a story's height: where the app lays its own controls over foot and head

QUALITY = 88
MODULE_AT_600 = 2.5  # pixels of a QR module when the card is shown 600 pixels wide: still read at quality 60
LEAST_MODULE = 3  # pixels on the card itself; below it a QR code is left out rather than shown in vain
MOST_PIXELS = 100_000_000  # of the banner that is handed in

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card as JPEG, and what could not be done as wished."""

    picture: raster.Encoded
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things stand."""

    photo: Box | None
    code: Box | None
    title: Box  # the source stands above it, inside the box
    site: Box
    largest: int  # of the title, pixels
    smallest: int


def card(
    publication: Publication,
    article: Article,
    banner: bytes | None,
    qr_target: str | None,
    size: tuple[int, int] = LANDSCAPE,
) -> Card:
    """*article* as a JPEG of *size* (pixels, each side 300 to 4000).

    *banner* are the bytes of any picture, cropped to its place; without one, shapes in the site's colour.
    *qr_target* is the address the QR code leads to; it is still read after the card was recompressed at
    quality 60 and scaled to 600 pixels. Whatever cannot be drawn is left out and named in the note.
    """
    colors = palette(publication.color)
    photo, photo_note = _photo(banner)
    code, code_note = _code(qr_target, size)
    layout = _layout(size, photo is not None, code.width if code else 0)
    canvas = _ground(size, colors)
    if photo and layout.photo:
        canvas.paste(_cropped(photo, layout.photo), layout.photo[:2])
    else:
        _ornament(canvas, colors, seed=article.key)
    if code and layout.code:
        _paste_rounded(canvas, code.convert("RGB"), layout.code[:2])
    pen = Pen(publication, article)
    _letter(canvas, layout, colors, pen)
    notes = (photo_note, code_note, pen.note)
    return Card(
        picture=raster.jpeg(canvas, quality=QUALITY, crisp=True),
        note="; ".join(note for note in notes if note) or None,
    )


def _photo(banner: bytes | None) -> tuple[Image.Image | None, str | None]:
    if banner is None:
        return None, None
    try:
        return raster.flattened(raster.opened(banner, max_pixels=MOST_PIXELS)), None
    except raster.NotAPicture as reason:
        return None, f"without the banner: it {reason}"


def _code(target: str | None, size: tuple[int, int]) -> tuple[Image.Image | None, str | None]:
    """The QR code at the size that is still read from a small copy of the card."""
    if not target:
        return None, None
    try:
        modules = qr.matrix(target)
    except qr.TooLong as reason:
        return None, f"without a QR code: {reason}"
    side = modules.width + 2 * qr.QUIET_ZONE
    wished = -(-int(MODULE_AT_600 * size[0]) // 600)
    possible = min(wished, int(min(size) * 0.55) // side)
    if possible < LEAST_MODULE:
        return None, "without a QR code: the address is too long to be read from a card"
    return qr.enlarged(modules, pixels_per_module=possible), None


def _layout(size: tuple[int, int], has_photo: bool, code: int) -> Layout:
    """*code* is the side of the QR code, 0 without one."""
    if not all(300 <= side <= 4000 for side in size):
        raise ValueError(f"a card of {size[0]} x {size[1]} pixels is not foreseen: 300 to 4000 a side")
    if size[0] > size[1] * 1.2:
        return _landscape(size, has_photo, code)
    return _upright(size, has_photo, code)


def _landscape(size: tuple[int, int], has_photo: bool, code: int) -> Layout:
    """Words on the left; on the right the photo with the QR code below it."""
    width, height = size
    margin = width // 21
    column = max(int(width * 0.4), code + 2 * margin) if has_photo else (code + margin if code else 0)
    gap = margin // 2
    right = width - column
    foot = height - margin
    return Layout(
        photo=(right, 0, width, foot - code - gap if code else height) if has_photo else None,
        code=(width - margin - code, foot - code, width - margin, foot) if code else None,
        title=(margin, margin, right - margin, foot - height // 6),
        site=(margin, foot - height // 8, right - margin, foot),
        largest=height // (9 if has_photo else 6),
        smallest=height // 22,
    )


def _upright(size: tuple[int, int], has_photo: bool, code: int) -> Layout:
    """The photo above; the title below it; at the foot the site and the QR code."""
    width, height = size
    margin = width // 19
    is_story = height > width * 1.7
    foot = height - (int(height * STORY_CONTROLS) if is_story else margin)
    top = int(height * 0.42) if has_photo else int(height * STORY_CONTROLS) if is_story else 0
    beside = width / height > 0.9 and code  # a square has no room for the QR code below the title
    footer = foot - max(code, height // 12)
    return Layout(
        photo=(0, 0, width, top) if has_photo else None,
        code=(width - margin - code, foot - code, width - margin, foot) if code else None,
        title=(
            margin,
            top + margin,
            width - margin - (code + margin if beside else 0),
            (foot - height // 9 if beside else footer - margin // 2),
        ),
        site=(margin, foot - height // 11, width - margin - (code + margin if code else 0), foot),
        largest=width // (12 if has_photo else 8),
        smallest=width // 32,
    )


def _ground(size: tuple[int, int], colors: Palette) -> Image.Image:
    slope = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, colors.deep), Image.new("RGB", size, colors.ground), slope)


def _ornament(canvas: Image.Image, colors: Palette, *, seed: str) -> None:
    """Rings in the corner, placed by *seed*: every article has its own and keeps it."""
    chance = random.Random(seed)  # noqa: S311  an ornament, not a secret
    width, height = canvas.size
    center = (width * chance.uniform(0.82, 1.0), height * chance.uniform(0.05, 0.95))
    mask = Image.new("L", canvas.size)
    pen = ImageDraw.Draw(mask)
    step = min(width, height) * chance.uniform(0.14, 0.2)
    for ring in range(1, 5):
        radius = step * ring
        pen.circle(center, radius, outline=56 - ring * 10, width=round(step * 0.42))
    canvas.paste(Image.new("RGB", canvas.size, colors.accent), mask=mask)


def _cropped(photo: Image.Image, box: Box) -> Image.Image:
    return ImageOps.fit(
        photo, (box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS, centering=(0.5, 0.4)
    )


def _paste_rounded(canvas: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    side = picture.width
    mask = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side * 4 - 1, side * 4 - 1), radius=side // 4, fill=255)
    canvas.paste(picture, at, mask.resize((side, side), Image.Resampling.BOX))


def _letter(canvas: Image.Image, layout: Layout, colors: Palette, pen: Pen) -> None:
    """Set source, title and site."""
    left, top, right, bottom = layout.title
    column = right - left
    small = min(canvas.size) // 24
    source = pen.block(pen.article.source or "", (column, small * 2), small, small, bold=False)
    below = top + small + (source.height + small // 2 if source.lines else small // 4)
    title = _title(pen, (column, max(bottom - below, layout.smallest * 2)), layout)
    start = right - small * 2 if title.from_right else left
    ImageDraw.Draw(canvas).rectangle((start, top, start + small * 2, top + small // 4), fill=colors.accent)
    typesetting.draw(canvas, _beside(title, source), (left, top + small * 3 // 4), column, colors.muted)
    typesetting.draw(canvas, title, (left, below), column, colors.text)
    _imprint(canvas, layout.site, colors, pen, title)


def _title(pen: Pen, room: tuple[int, int], layout: Layout) -> Block:
    """The title, or what may stand in its place when it is empty or no font has its script."""
    article, site = pen.article, pen.publication
    for text in (article.title, article.summary, site.title):
        block = pen.block(text, room, layout.largest, layout.smallest)
        if block.legible:
            return block
    return pen.block(urlsplit(article.url).netloc, room, layout.largest, layout.smallest)


def _imprint(canvas: Image.Image, box: Box, colors: Palette, pen: Pen, title: Block) -> None:
    """The site's name, unless it is the *title* already, and host, standing on the lower edge of *box*."""
    column, height = box[2] - box[0], box[3] - box[1]
    size = min(canvas.size) // 22
    host = pen.block(_host(pen.publication), (column, height // 2), size * 4 // 5, size // 2, bold=False)
    typesetting.draw(canvas, _beside(title, host), (box[0], box[3] - host.height), column, colors.muted)
    name = pen.block(pen.publication.title, (column, height - host.height), size, size // 2)
    if " ".join(title.lines) != " ".join(name.lines):
        above = box[3] - host.height - name.height
        typesetting.draw(canvas, _beside(title, name), (box[0], above), column, colors.text)


def _beside(title: Block, block: Block) -> Block:
    """*block* on the side where the *title* begins."""
    return replace(block, from_right=title.from_right)


def _host(publication: Publication) -> str:
    try:
        return (urlsplit(publication.base_url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Pen:
    """Sets the words of one card, and keeps what no font has."""

    publication: Publication
    article: Article
    missing: list[str] = field(default_factory=list)

    def block(
        self, text: str, box: tuple[int, int], largest: int, smallest: int, *, bold: bool = True
    ) -> Block:
        block = typesetting.fit(
            text,
            box,
            largest=largest,
            smallest=min(smallest, largest),
            font=self.publication.font,
            bold=bold,
            language=self.article.language or self.publication.language,
        )
        self.missing.extend(block.chain.missing)
        return block

    @property
    def note(self) -> str | None:
        if self.publication.font and not is_readable(self.publication.font):
            return f"set in Noto Sans: {self.publication.font} is no font"
        shown = "".join(dict.fromkeys(self.missing))[:20]
        return f"no font here has {shown} (name one in site.font)" if shown else None
