"""Set a headline into a box: as large as it goes, broken where a reader would, in any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, groupby, takewhile

import regex
from PIL import Image, ImageDraw

from distributor.rendering.color import Color
from distributor.rendering.filters import SMALL_KANA
from distributor.rendering.fonts import GRAPHEME, SHAPES, UNSEEN, Chain, Face, chain, load

MEASURED_AT = 100  # pixels; other sizes are in proportion
LONGEST = 600  # graphemes: far beyond what any card shows
ELLIPSIS = "…"
LEGIBLE_SHARE = 0.8
WHOLE_WORDS = 0.6  # of the largest size: rather than smaller than that, a long word is broken
NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\u3000-\u303f\uff00-\uffef"  # scripts without spaces
TOKEN = regex.compile(
    # Closing marks and small kana never start a line, opening marks never end it (JIS X 4051).
    rf"[\p{{Ps}}\p{{Pi}}]*(?:[{NO_SPACES}]\p{{M}}*|[^\s{NO_SPACES}\p{{Ps}}\p{{Pi}}]+)"
    r"[\p{Pe}\p{Pf}、。，．！？：；・～〜％" + SMALL_KANA + r"]*|\S"
)
FORBIDDEN = regex.compile(r"[\p{Cc}\p{Cs}\p{Cn}\u202a-\u202e\u2066-\u2069]")  # and what turns text around
PILED_MARKS = regex.compile(r"(\p{M}{4})\p{M}+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Text broken into lines at one size."""

    lines: tuple[str, ...]
    size: int  # pixels
    chain: Chain
    from_right: bool  # Arabic, Hebrew and their kin
    legible: bool  # something is there, and few of its characters have no font

    @property
    def leading(self) -> int:
        """From one baseline to the next, in pixels; marks above and below other scripts need more."""
        plain = len([face for face in self.chain.faces if not face.emoji]) == 1
        return round(self.size * (1.18 if plain else 1.38))

    @property
    def height(self) -> int:
        return self.leading * len(self.lines)

    @property
    def width(self) -> int:
        return round(
            max((width(line, self.chain) for line in self.lines), default=0) * self.size / MEASURED_AT
        )


def clean(text: str) -> str:
    """*text* on one line, without what is invisible, turns text around or piles up; at most 600 graphemes."""
    text = FORBIDDEN.sub(" ", text[: LONGEST * 20])
    text = PILED_MARKS.sub(r"\1", " ".join(text.split()))
    return "".join(GRAPHEME.findall(text)[:LONGEST])


def fit(
    text: str,
    box: tuple[int, int],
    *,
    largest: int,
    smallest: int,
    font: str | None,
    bold: bool,
    language: str,
) -> Block:
    """*text* at the largest size that fits *box* (pixels); cut at a word with an ellipsis if none does.

    Characters no font has are left out and named in the block's `chain.missing`.
    """
    text = clean(text)
    faces = chain(text + ELLIPSIS, font=font, bold=bold, language=language)
    drawable = [each for each in GRAPHEME.findall(text) if faces.face(each)]
    legible = bool(text) and len(drawable) >= LEGIBLE_SHARE * len(GRAPHEME.findall(text))
    text = clean("".join(drawable))
    for size in range(largest, smallest - 1, -2):
        block = Block(
            lines=_lines(text, faces, box[0] * MEASURED_AT / size),
            size=size,
            chain=faces,
            from_right=runs_from_right(text),
            legible=legible,
        )
        if block.height <= box[1] and (size <= largest * WHOLE_WORDS or not _breaks_words(block, text)):
            return _balanced(block, text, box[0])
    return _cut(block, box)


def draw(canvas: Image.Image, block: Block, at: tuple[int, int], column: int, fill: Color) -> None:
    """Set *block* on *canvas* from its top left corner *at*, in a column of that many pixels."""
    ascent = round(block.size * 0.98) + (block.leading - round(block.size * 1.18)) // 2
    for number, line in enumerate(block.lines):
        indent = (
            column - round(width(line, block.chain) * block.size / MEASURED_AT) if block.from_right else 0
        )
        x = float(at[0] + max(indent, 0))
        for run in visual_runs(line, block.chain, block.from_right):
            x += _draw_run(canvas, run, (x, at[1] + ascent + number * block.leading), block.size, fill)


def runs_from_right(text: str) -> bool:
    """Whether the first letter with a direction is written from right to left (UAX 9, P2 and P3)."""
    strong = (unicodedata.bidirectional(character) for character in text)
    return next((kind != "L" for kind in strong if kind in ("L", "R", "AL")), False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring characters of one face and one direction."""

    text: str
    face: Face
    from_right: bool


def visual_runs(line: str, faces: Chain, from_right: bool) -> list[Run]:
    """*line* in pieces from left to right, each in the face that has it.

    Within a piece the shaping engine follows UAX 9; between pieces, which only occur where faces change,
    a run of one direction keeps its order and the others are laid out in the direction of the line.
    """
    graphemes = GRAPHEME.findall(line)
    styled = list(zip(graphemes, _faces(graphemes, faces), _directions(graphemes, from_right), strict=True))
    runs = [
        Run(text="".join(grapheme for grapheme, _, _ in group), face=face, from_right=turned)
        for (face, turned), group in groupby(styled, key=lambda each: (each[1], each[2]))
        if face
    ]
    if len({run.face for run in runs}) == 1:
        return [Run(text=line, face=runs[0].face, from_right=from_right)]
    blocks = [list(group) for _, group in groupby(runs, key=lambda run: run.from_right)]
    ordered = [block[::-1] if block[0].from_right else block for block in blocks]
    return [run for block in (ordered[::-1] if from_right else ordered) for run in block]


def _faces(graphemes: Sequence[str], faces: Chain) -> Iterator[Face | None]:
    """The face of each; spaces and signs stay in the face before them if it has them."""
    current: Face | None = None
    for grapheme in graphemes:
        own = faces.face(grapheme)
        neutral = not UNSEEN.sub("", grapheme) or unicodedata.category(grapheme[0])[0] in "PSN"
        if not (
            own and current and not own.emoji and not current.emoji and neutral and _has(current, grapheme)
        ):
            current = own
        yield current


def _has(face: Face, grapheme: str) -> bool:
    return Chain(faces=(face,)).face(grapheme) is face


def _directions(graphemes: Sequence[str], from_right: bool) -> list[bool]:
    """Whether each runs from the right; signs go with neighbours that agree, else the line (UAX 9, N1-2)."""
    kinds = {"L": False, "R": True, "AL": True}
    own = [kinds.get(unicodedata.bidirectional(grapheme[0])) for grapheme in graphemes]
    after, following = [], from_right
    for kind in reversed(own):
        following = following if kind is None else kind
        after.append(following)
    before, resolved = from_right, []
    for kind, ahead in zip(own, reversed(after), strict=True):
        before = before if kind is None else kind
        resolved.append(before if before == ahead else from_right)
    return resolved


@lru_cache(maxsize=4096)
def width(text: str, faces: Chain) -> float:
    """How wide *text* is at 100 pixels."""
    return sum(_run_width(run) for run in visual_runs(text, faces, runs_from_right(text)))


def _run_width(run: Run) -> float:
    if run.face.emoji:
        return load(run.face, run.face.strike).getlength(run.text) * 1.1 * MEASURED_AT / run.face.strike
    return load(run.face, MEASURED_AT).getlength(run.text, direction=_direction(run))


def _direction(run: Run) -> str | None:
    return ("rtl" if run.from_right else "ltr") if SHAPES else None


def _draw_run(canvas: Image.Image, run: Run, at: tuple[float, float], size: int, fill: Color) -> float:
    """Draw from the baseline at *at*; the width is the answer."""
    if run.face.emoji:
        return _draw_emoji(canvas, run, at, size)
    font = load(run.face, size)
    ImageDraw.Draw(canvas).text(at, run.text, fill=fill, font=font, anchor="ls", direction=_direction(run))
    return font.getlength(run.text, direction=_direction(run))


def _draw_emoji(canvas: Image.Image, run: Run, at: tuple[float, float], size: int) -> float:
    font = load(run.face, run.face.strike)
    left, top, right, bottom = font.getbbox(run.text, anchor="ls")
    picture = Image.new("RGBA", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(picture).text((-left, -top), run.text, font=font, anchor="ls", embedded_color=True)
    scale = size * 1.1 / run.face.strike
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    canvas.paste(small, (round(at[0] + left * scale), round(at[1] + top * scale)), small)
    return font.getlength(run.text) * scale


def _lines(text: str, faces: Chain, room: float) -> tuple[str, ...]:
    """*text* broken into lines of at most *room* (pixels at 100), inside a word only if it is longer."""
    lines: list[str] = []
    line = ""
    for token, spaced in _tokens(text):
        longer = f"{line} {token}" if line and spaced else line + token
        if width_sum(longer, faces) <= room or not line:
            line = longer
        else:
            lines.append(line)
            line = token
        while width_sum(line, faces) > room and len(GRAPHEME.findall(line)) > 1:
            head = _head(line, faces, room)
            lines.append(head)
            line = line[len(head) :]
    return (*lines, line) if line else tuple(lines)


def width_sum(text: str, faces: Chain) -> float:
    """How wide *text* is at 100 pixels, word by word: each is shaped once, whatever is tried with it."""
    words = text.split(" ")
    return sum(width(word, faces) for word in words if word) + width(" ", faces) * (len(words) - 1)


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """What may not be broken, and whether a space comes before it."""
    for found in TOKEN.finditer(text):
        yield found[0], found.start() > 0 and text[found.start() - 1] == " "


def _head(word: str, faces: Chain, room: float) -> str:
    """As many graphemes of *word* as there is *room* for, at least one; each is measured apart."""
    graphemes = GRAPHEME.findall(word)
    ends = accumulate(width(grapheme, faces) for grapheme in graphemes)
    fitting = sum(1 for _ in takewhile(lambda end: end <= room, ends))
    return "".join(graphemes[: max(1, fitting)])


def _breaks_words(block: Block, text: str) -> bool:
    """Whether a line ends inside what should stay whole."""
    whole = {token for token, _ in _tokens(text)}
    return any(token not in whole for line in block.lines for token, _ in _tokens(line))


def _balanced(block: Block, text: str, column: int) -> Block:
    """The same number of lines in the narrowest column that holds them: no word stands alone at the end."""
    low, high = column // 2, column
    torn = _breaks_words(block, text)
    while high - low > 8:
        middle = (low + high) // 2
        lines = _lines(text, block.chain, middle * MEASURED_AT / block.size)
        narrow = replace(block, lines=lines)
        if len(lines) <= len(block.lines) and (torn or not _breaks_words(narrow, text)):
            high = middle
        else:
            low = middle
    lines = _lines(text, block.chain, high * MEASURED_AT / block.size)
    return replace(block, lines=lines)


def _cut(block: Block, box: tuple[int, int]) -> Block:
    """The lines that fit, the last one ending in an ellipsis."""
    lines = block.lines[: max(1, box[1] // block.leading)]
    if len(lines) == len(block.lines):
        return block
    room = box[0] * MEASURED_AT / block.size
    last = lines[-1]
    while last and width(last + ELLIPSIS, block.chain) > room:
        shorter = last.rpartition(" ")[0]
        last = shorter or "".join(GRAPHEME.findall(last)[:-1])
    return replace(block, lines=(*lines[:-1], last.rstrip(" ,;:.-–—") + ELLIPSIS))
