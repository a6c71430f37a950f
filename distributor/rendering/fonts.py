"""Which font draws which character: the publisher's own, the shipped Noto Sans, then what the system has."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import regex
from PIL import Image, ImageDraw, ImageFont, features

from distributor import resources

SHAPES = features.check("raqm")  # whether Arabic is joined, Indic reordered, Hebrew set from the right
LAYOUT = ImageFont.Layout.RAQM if SHAPES else ImageFont.Layout.BASIC
GRAPHEME = regex.compile(r"\X")
EMOJI = regex.compile(r"\p{Emoji_Presentation}|\p{Emoji}\uFE0F|\p{Regional_Indicator}")
UNSEEN = regex.compile(r"[\s\p{Cf}\p{Cc}\uFE00-\uFE0F]")  # needs no glyph
EMOJI_SIZES = (109, 160, 136, 128, 96, 64)  # pixels: the only ones some colour fonts have
NO_CHARACTER = "\U0010ffff"  # every font draws its "missing" box for it
FONT_FILE = regex.compile(r"\.(ttf|otf|ttc|otc)$", regex.IGNORECASE)
UNWANTED = regex.compile(
    r"italic|oblique|mono|light|thin|black|condensed|narrow|lastresort|blank|rashi|nastaliq|looped|music|math",
    regex.IGNORECASE,
)
REGIONS = {"ja": "JP", "ko": "KR", "zh": "SC", "zh-tw": "TC", "zh-hk": "HK", "zh-hant": "TC"}  # of CJK fonts


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One font in a file."""

    path: Path
    index: int = 0  # in a collection
    bold: bool = False
    emoji: bool = False  # coloured, drawn at `strike` pixels and scaled
    strike: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The faces that draw one text, by preference, and what none of them can."""

    faces: tuple[Face, ...]
    missing: str = ""  # characters, each once

    def face(self, grapheme: str) -> Face | None:
        """The face that has all of *grapheme*; None if no face does."""
        colored = bool(EMOJI.search(grapheme))
        fitting = (face for face in self.faces if face.emoji == colored and covers(face, grapheme))
        return next(fitting, None)


def chain(text: str, *, font: str | None = None, bold: bool = False, language: str = "") -> Chain:
    """The faces for *text*: *font* if it can be read, Noto Sans, and one of the system for each gap."""
    faces = [face for face in (_own(font, bold), _shipped(bold)) if face]
    missing = []
    for grapheme in dict.fromkeys(GRAPHEME.findall(text)):
        if Chain(faces=tuple(faces)).face(grapheme):
            continue
        found = _emoji_face() if EMOJI.search(grapheme) else _system_face(grapheme, bold, language.lower())
        if found and covers(found, grapheme):
            faces.append(found)
        else:
            missing.append(grapheme)
    return Chain(faces=tuple(faces), missing="".join(missing))


@lru_cache(maxsize=20_000)
def covers(face: Face, grapheme: str) -> bool:
    """Whether *face* has a glyph for every character of *grapheme* that needs one."""
    needed = UNSEEN.sub("", grapheme)
    return all(_has_glyph(face, character) for character in needed)


@lru_cache(maxsize=256)
def load(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """*face* at *size* pixels. Raises OSError if it has no such size or is no font."""
    font = ImageFont.truetype(face.path, size, index=face.index, layout_engine=LAYOUT)
    if face.bold:
        with suppress(OSError, ValueError, NotImplementedError):  # only variable fonts have named weights
            font.set_variation_by_name("Bold")
    return font


@lru_cache(maxsize=8)
def is_readable(path: str) -> bool:
    """Whether *path* is a font file that can be used."""
    try:
        load(Face(path=Path(path)), 24).getlength("x")
    except (OSError, ValueError):
        return False
    return True


def _own(font: str | None, bold: bool) -> Face | None:
    return Face(path=Path(font), bold=bold) if font and is_readable(font) else None


def _shipped(bold: bool) -> Face:
    return Face(path=resources.templates() / "fonts" / f"NotoSans-{'Bold' if bold else 'Regular'}.ttf")


def _has_glyph(face: Face, character: str) -> bool:
    try:
        font = _probe(face)
        return _ink(font, character) not in (_ink(font, NO_CHARACTER), _ink(font, " "))
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=1024)
def _probe(face: Face) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        face.path, face.strike or 24, index=face.index, layout_engine=ImageFont.Layout.BASIC
    )


def _ink(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    """What *character* looks like; drawing is how to ask a font for a glyph without parsing its tables."""
    side = int(font.size * 1.4)
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).text((side // 6, 0), character, font=font, fill=255)
    return canvas.tobytes()


@lru_cache(maxsize=4096)
def _system_face(grapheme: str, bold: bool, language: str) -> Face | None:
    if _script(grapheme) in _scripts_without_font:
        return None
    for face in _system_faces(bold, language):
        if covers(face, grapheme):
            return face
    _scripts_without_font.add(_script(grapheme))
    return None


_scripts_without_font: set[str] = set()  # looking through every font of the system takes 40 ms


def _script(grapheme: str) -> str:
    return unicodedata.name(grapheme[0], "unnamed").split()[0]


@lru_cache(maxsize=8)
def _system_faces(bold: bool, language: str) -> list[Face]:
    """The system's fonts, those a headline looks best in first."""
    region = REGIONS.get(language) or REGIONS.get(language.split("-")[0], "")
    faces = [face for path in _files() if not UNWANTED.search(path.stem) for face in _in_file(path, bold)]

    def worse(face: Face) -> tuple[bool, ...]:
        name = face.path.stem
        return (
            bool(region) and face.path.suffix in (".ttc", ".otc") and not _family(face).endswith(region),
            "Noto" not in name,
            "Sans" not in name,
            ("Bold" in name) != bold,
        )

    return sorted(faces, key=worse)


def _in_file(path: Path, bold: bool) -> Iterator[Face]:
    """Each font of a collection, or the one in the file."""
    if path.suffix.lower() not in (".ttc", ".otc"):
        yield Face(path=path, bold=bold)
        return
    for index in count():
        face = Face(path=path, index=index, bold=bold)
        try:
            _probe(face)
        except OSError:
            return
        yield face


def _family(face: Face) -> str:
    return _probe(face).getname()[0] or ""


@lru_cache(maxsize=1)
def _emoji_face() -> Face | None:
    for path in _files():
        if "emoji" not in path.stem.lower():
            continue
        for strike in EMOJI_SIZES:
            face = Face(path=path, emoji=True, strike=strike)
            with suppress(OSError):
                _probe(face)
                return face
    return None


@lru_cache(maxsize=1)
def _files() -> list[Path]:
    found = (path for folder in _folders() if folder.is_dir() for path in folder.rglob("*"))
    return sorted(path for path in found if FONT_FILE.search(path.name))


def _folders() -> Iterator[Path]:
    """Where Linux, macOS and Windows keep fonts."""
    for data in os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":"):
        yield Path(data) / "fonts"
    with suppress(RuntimeError):  # an account without a home
        for own in (".fonts", ".local/share/fonts", "Library/Fonts"):
            yield Path.home() / own
    yield from (Path("/Library/Fonts"), Path("/System/Library/Fonts"))
    if windows := os.environ.get("WINDIR"):
        yield Path(windows) / "Fonts"
