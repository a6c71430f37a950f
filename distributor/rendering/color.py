"""Colours that go with the site's own, and are legible on it."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageColor

LEGIBLE = 4.5  # contrast of text: WCAG 2.2, 1.4.3
FALLBACK = "#1a4f8b"

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """What a card is painted with; every text colour is legible on `ground` and on `deep`."""

    ground: Color
    deep: Color  # a shade of the ground, away from the text
    text: Color
    muted: Color  # for what matters less
    accent: Color  # for ornaments


def palette(color: str) -> Palette:
    """The palette of *color* (#rrggbb); of a calm blue if that is no colour."""
    ground = _parsed(color)
    text = WHITE if contrast(WHITE, ground) >= LEGIBLE else BLACK
    return Palette(
        ground=ground,
        deep=mix(ground, BLACK if text == WHITE else WHITE, 0.35),
        text=text,
        muted=_muted(text, ground),
        accent=mix(ground, text, 0.45),
    )


def contrast(one: Color, other: Color) -> float:
    """From 1 (the same) to 21 (black on white), as WCAG 2.2 defines it."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def mix(one: Color, other: Color, share: float) -> Color:
    """*one* with a *share* (0 to 1) of *other* in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _parsed(color: str) -> Color:
    try:
        return ImageColor.getrgb(color)[:3]
    except ValueError:
        return ImageColor.getrgb(FALLBACK)[:3]


def _muted(text: Color, ground: Color) -> Color:
    shades = (mix(text, ground, share / 100) for share in range(25, 0, -5))
    return next((shade for shade in shades if contrast(shade, ground) >= LEGIBLE), text)


def _luminance(color: Color) -> float:
    red, green, blue = (_linear(channel / 255) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
