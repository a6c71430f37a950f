"""Make a picture fit what a network takes: its shape, its size, its formats."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from distributor.rendering.raster import Encoded, flattened, jpeg, png

FORMATS = {"image/jpeg", "image/png"}
LARGEST_SIDE = 4096  # pixels, where a network sets no limit
QUALITIES = (90, 40)  # best and worst that is tried before the picture is made smaller
MOST_CROPPED = 0.25  # of the area; a picture that would lose more gets a border instead
SHRINK = 0.8
LEAST_SIDE = 16  # pixels: what fits only smaller than that does not fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a network takes; None where it sets no limit."""

    max_bytes: int | None = None
    max_width: int | None = None  # pixels
    max_height: int | None = None
    max_pixels: int | None = None  # width x height
    formats: tuple[str, ...] = ("image/jpeg", "image/png")
    min_ratio: float | None = None  # width / height: 0.8 is 4:5
    max_ratio: float | None = None


def fits(size: int, width: int, height: int, media_type: str, shape: Shape) -> bool:
    """Whether a picture of *size* bytes may go as it is."""
    return (
        media_type in shape.formats
        and size <= (shape.max_bytes or size)
        and not _too_large((width, height), shape)
        and _is_taken(width, height, shape)
    )


def fit(image: Image.Image, shape: Shape) -> Encoded:
    """*image* (RGB or RGBA) at the best quality that *shape* takes; smaller only where quality is not enough.

    A ratio that is not taken is cropped a little, or else set on a blurred copy of itself.
    Raises: ValueError if no picture whatever fits *shape*.
    """
    if not FORMATS & set(shape.formats):
        raise ValueError(f"none of these formats can be made: {', '.join(shape.formats)}")
    own = image.width / image.height
    ratio = _clamped(own, shape)
    bordered = 1 - min(own, ratio) / max(own, ratio) > MOST_CROPPED
    size = _largest(image.size, ratio, bordered, shape)
    while min(size) >= LEAST_SIDE:
        found = _encoded(_bordered(image, size) if bordered else _cropped(image, size), shape)
        if found:
            return found
        size = _size(round(size[0] * SHRINK), ratio, shape)
    raise ValueError(f"no picture fits {shape}")


def _largest(own: tuple[int, int], ratio: float, bordered: bool, shape: Shape) -> tuple[int, int]:
    """The largest size of that *ratio* that is taken, around or within a picture of size *own*."""
    pick = max if bordered else min
    width = min(pick(own[0], round(own[1] * ratio)), shape.max_width or LARGEST_SIDE)
    if shape.max_pixels:
        width = min(width, math.isqrt(math.ceil(shape.max_pixels * ratio)))
    width = min(width, math.ceil((shape.max_height or LARGEST_SIDE) * ratio))
    while width > 1 and _too_large(_size(width, ratio, shape), shape):
        width -= 1
    return _size(width, ratio, shape)


def _size(width: int, ratio: float, shape: Shape) -> tuple[int, int]:
    """*width* and the height that goes with it, rounded to the side that the limits are on."""
    height = round(width / ratio)
    if shape.max_ratio:
        height = max(height, math.ceil(width / shape.max_ratio))
    if shape.min_ratio:
        height = min(height, math.floor(width / shape.min_ratio))
    return width, max(1, height)


def _too_large(size: tuple[int, int], shape: Shape) -> bool:
    width, height = size
    return (
        width > (shape.max_width or width)
        or height > (shape.max_height or height)
        or width * height > (shape.max_pixels or width * height)
    )


def _is_taken(width: int, height: int, shape: Shape) -> bool:
    """Whether the ratio is taken, or is as near as whole pixels come."""
    clamped = _clamped(width / height, shape)
    return clamped == width / height or _size(width, clamped, shape) == (width, height)


def _clamped(ratio: float, shape: Shape) -> float:
    at_least = max(ratio, shape.min_ratio or ratio)
    return min(at_least, shape.max_ratio or at_least)


def _cropped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _bordered(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole of *image* in the middle of a blurred copy of itself."""
    whole = ImageOps.contain(flattened(image), size, Image.Resampling.LANCZOS)
    small = ImageOps.fit(whole, (max(1, size[0] // 8), max(1, size[1] // 8)))
    soft = ImageEnhance.Brightness(small.filter(ImageFilter.GaussianBlur(8))).enhance(0.7)
    canvas = soft.resize(size, Image.Resampling.BICUBIC)
    canvas.paste(whole, ((size[0] - whole.width) // 2, (size[1] - whole.height) // 2))
    return canvas


def _encoded(image: Image.Image, shape: Shape) -> Encoded | None:
    """*image* in a format and quality that is light enough; None if none is."""
    if "image/png" in shape.formats and (image.mode == "RGBA" or "image/jpeg" not in shape.formats):
        lossless = png(image)
        if _light(lossless, shape):
            return lossless
    return _best_jpeg(image, shape) if "image/jpeg" in shape.formats else None


def _best_jpeg(image: Image.Image, shape: Shape) -> Encoded | None:
    """The best quality that is light enough, found by halving."""
    best = jpeg(image, quality=QUALITIES[0])
    if _light(best, shape):
        return best
    worst = jpeg(image, quality=QUALITIES[1])
    if not _light(worst, shape):
        return None
    found, low, high = worst, QUALITIES[1], QUALITIES[0]
    while high - low > 2:
        quality = (low + high) // 2
        tried = jpeg(image, quality=quality)
        found, low, high = (tried, quality, high) if _light(tried, shape) else (found, low, quality)
    return found


def _light(picture: Encoded, shape: Shape) -> bool:
    return len(picture.data) <= (shape.max_bytes or len(picture.data))
