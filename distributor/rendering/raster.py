"""Turn the bytes of any picture into pixels we understand, and pixels into what a reader's client shows."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")  # what browsers show, and nothing rarer
SMALLEST = 32  # pixels; what is thinner is a counter or a spacer
THINNEST = 16  # pixels; what is thinner once it is shrunk is a line
MOST_SCANNED = 20_000_000_000  # pixels of a JPEG, times its scans: each takes time, and few bytes
MAIL_BOX = (1200, 2400)
MAIL_QUALITY = 82
HEAVIEST_PNG = 400_000  # bytes in a mail; beyond it transparency is worth less than the reader's time
THUMBNAIL_BOX = (304, 380)  # twice what the templates show, for screens with two pixels where one was
THUMBNAIL_QUALITIES = (75, 60, 45, 30, 20)  # each is tried while the one before it is too heavy
THUMBNAIL_BYTES = 25_000
START_OF_SCAN = b"\xff\xda"  # in a JPEG
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {  # its value -> what makes the picture upright (EXIF 2.32, 4.6.5)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = tuple(TURNS[value] for value in (5, 6, 7, 8))
MOST_PROFILE = 1_000_000  # bytes of a colour profile
SRGB = ImageCms.createProfile("sRGB")

# The size is compared with the operator's own limit; Pillow's would be told to nobody but stderr.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class NotAPicture(Exception):
    """The text continues a sentence: "is not a picture (text/html)", "is damaged"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A picture as bytes."""

    data: bytes
    media_type: str
    width: int  # pixels
    height: int

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def opened(
    data: bytes,
    *,
    max_pixels: int,
    within: tuple[int, int] | None = None,
    media_type: str = "",
    smallest: int = SMALLEST,
) -> Image.Image:
    """The first frame of *data*, upright, as RGB or RGBA in sRGB, without metadata, shrunk to fit *within*.

    The size is read from the header and checked before a pixel is decoded. *media_type* is what the server
    said, for the message only: the bytes decide. *smallest* is the least side, in pixels.
    Raises: NotAPicture, for whatever the bytes are.
    """
    try:
        image = _recognised(data, max_pixels, smallest)
        return _plain(image, within or image.size, min(smallest, THINNEST))
    except UnidentifiedImageError as error:
        raise NotAPicture(_what_it_is(data, media_type)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAPicture("has too many pixels") from error
    except NotAPicture:
        raise
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise NotAPicture("is damaged") from error


def conversion(data: bytes, media_type: str) -> str | None:
    """What was done to make *data* (a picture that could be opened) one of *media_type*, for a note."""
    made_from = Image.open(BytesIO(data), formats=FORMATS).get_format_mimetype()
    return f"converted from {made_from}" if made_from != media_type else None


def for_mail(image: Image.Image) -> Encoded:
    """JPEG, or PNG where transparency matters and weighs little enough."""
    if not _is_transparent(image):
        return jpeg(image, quality=MAIL_QUALITY)
    transparent = png(image)
    if len(transparent.data) <= HEAVIEST_PNG:
        return transparent
    return jpeg(flattened(image), quality=MAIL_QUALITY)


def thumbnail(image: Image.Image) -> Encoded:
    """JPEG, or PNG where that is lighter or transparency matters."""
    photo, lossless = _light_jpeg(image), png(image)
    if not _is_transparent(image):
        return min(photo, lossless, key=lambda made: len(made.data))
    few_colors = png(image.quantize(256, method=Image.Quantize.FASTOCTREE))
    return next((made for made in (lossless, few_colors) if len(made.data) <= THUMBNAIL_BYTES), photo)


def _light_jpeg(image: Image.Image) -> Encoded:
    """The best JPEG that is light enough for a thumbnail, or the lightest."""
    tried = [jpeg(image, quality=THUMBNAIL_QUALITIES[0])]
    for quality in THUMBNAIL_QUALITIES[1:]:
        if len(tried[-1].data) > THUMBNAIL_BYTES:
            tried.append(jpeg(image, quality=quality))
    return tried[-1]


def jpeg(image: Image.Image, *, quality: int, crisp: bool = False) -> Encoded:
    """JPEG, progressive; or *crisp*: thin strokes keep their colours, for lettering."""
    out = BytesIO()
    flattened(image).save(
        out,
        "JPEG",
        quality=quality,
        progressive=not crisp,  # smaller, and three times as slow
        optimize=True,
        subsampling="4:4:4" if crisp else "4:2:0",
    )
    return _encoded(image, out, "image/jpeg")


def png(image: Image.Image) -> Encoded:
    out = BytesIO()
    image.save(out, "PNG", compress_level=7)
    return _encoded(image, out, "image/png")


def flattened(image: Image.Image, background: str = "#ffffff") -> Image.Image:
    """*image* as RGB, on *background* where it was transparent."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    flat = Image.new("RGB", image.size, background)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _recognised(data: bytes, max_pixels: int, smallest: int) -> Image.Image:
    image = Image.open(BytesIO(data), formats=FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise NotAPicture(f"has too many pixels ({width} x {height})")
    if min(width, height) < smallest:
        raise NotAPicture(f"is too small ({width} x {height})")
    if image.format in ("JPEG", "MPO") and data.count(START_OF_SCAN) * width * height > MOST_SCANNED:
        raise NotAPicture("would take too long to decode")
    return image


def _plain(image: Image.Image, within: tuple[int, int], thinnest: int) -> Image.Image:
    turn = TURNS.get(_orientation(image))
    size = _shrunk_size(image.size, within[::-1] if turn in SIDEWAYS else within)
    if min(size) < thinnest:
        raise NotAPicture(f"is too thin ({image.width} x {image.height})")
    image.draft(image.mode, size)  # a JPEG is decoded at a half, a quarter, an eighth where that is enough
    profile = image.info.get("icc_profile")
    plain = _eight_bit(image)
    plain.load()
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    plain = _in_srgb(plain, profile)
    if turn is not None:
        plain = plain.transpose(turn)
    plain.info.clear()
    return plain


def _orientation(image: Image.Image) -> int:
    """How the camera was held (EXIF); 1 where that cannot be read, for the picture itself may be whole."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # hostile bytes again
        return 1


def _shrunk_size(size: tuple[int, int], within: tuple[int, int]) -> tuple[int, int]:
    scale = min(within[0] / size[0], within[1] / size[1], 1)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _eight_bit(image: Image.Image) -> Image.Image:
    """*image* as L, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "RGBA", "CMYK") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """*image* as RGB or RGBA; phones photograph in Display P3, and readers' clients expect sRGB."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if image.mode == "L" or not profile or len(profile) > MOST_PROFILE:
        return image.convert(mode)
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if image.mode != "CMYK" and "sRGB" in ImageCms.getProfileDescription(source):
            return image.convert(mode)
        changed = ImageCms.profileToProfile(image, source, SRGB, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert(mode)  # a profile that is broken, or of another colour space: without it
    return changed or image.convert(mode)


def _is_transparent(image: Image.Image) -> bool:
    """Whether a reader would see through it; some encoders leave a haze of 254s."""
    if image.mode != "RGBA":
        return False
    least, _ = image.getchannel("A").getextrema()
    return isinstance(least, int | float) and least < 250


def _what_it_is(data: bytes, media_type: str) -> str:
    start = data[:2000].lower()
    if not data:
        return "is empty"
    if b"<svg" in start:
        return "is an SVG, which mail clients do not show"
    if re.search(rb"<!doctype html|<html|<head|<body", start):
        return "is not a picture (text/html)"
    if media_type and not media_type.startswith("image/"):
        return f"is not a picture ({media_type})"
    return "is not a picture that readers can be shown"


def _encoded(image: Image.Image, out: BytesIO, media_type: str) -> Encoded:
    return Encoded(data=out.getvalue(), media_type=media_type, width=image.width, height=image.height)
