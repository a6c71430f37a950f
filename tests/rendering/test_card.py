"""Cards: legible, complete, and their QR code read after all a network does to them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from distributor import resources
from distributor.rendering import card as cards
from distributor.rendering import fonts, qr, raster, typesetting
from distributor.rendering.card import LANDSCAPE, PIN, PORTRAIT, SQUARE, STORY, card
from distributor.rendering.color import LEGIBLE, contrast, palette
from distributor.rendering.typesetting import Block, clean, fit, visual_runs
from tests.rendering.painted import PUBLICATION, article, file_of, pixels, scene

SHAPES = [LANDSCAPE, SQUARE, PORTRAIT, PIN, STORY]
BANNER = file_of(scene(1200, 800), "JPEG")
SHORT = "https://gazette.example/b"
LONG = "https://gazette.example/news/2026/11/" + "every-word-of-a-long-headline-" * 5 + "?utm_source=card"

TITLES = {
    "latin": "Harbour bridge reopens after three years of repairs",
    "arabic": "افتتاح جسر الميناء بعد ثلاث سنوات 2026",
    "hebrew": "הגשר נפתח after three years לתנועה",
    "emoji": "Rocket 🚀 lands, crowd 👩‍👩‍👧 cheers 🇳🇴 ❤️",
    "chinese": "港口大桥经过三年维修后重新开放，居民欢欣鼓舞",
    "hindi": "तीन साल बाद पुल फिर खुला",
    "thai": "สะพานท่าเรือเปิดอีกครั้งหลังซ่อมแซมสามปี",
    "endless": "bridge " * 60,
    "one word": "Brückenwiedereröffnungsfeierlichkeitenvorbereitungsausschuss" * 5,
    "zalgo": "B" + "\u0301\u0302\u0303" * 400 + "ridge",
    "tricks": "Safe\u202egnp.exe\x00\x1b[31m\ud800\ufffe",
    "empty": "",
    "blank": " \n\t\u200b",
}


@pytest.mark.parametrize("size", SHAPES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(("target", "banner"), [(SHORT, BANNER), (LONG, None), (LONG, BANNER)])
def test_the_qr_code_survives_what_networks_do(
    size: tuple[int, int], target: str, banner: bytes | None
) -> None:
    """It is read after recompression at quality 60, and after scaling the card to 600 pixels besides."""
    made = card(PUBLICATION, article(), banner, target, size)
    shown = pixels(made.picture.data)
    assert shown.size == size == (made.picture.width, made.picture.height)
    assert made.note is None
    worse = pixels(file_of(shown, "JPEG", quality=60))
    small = shown.resize((600, round(600 * size[1] / size[0])), Image.Resampling.BILINEAR)
    assert qr.read(worse) == [target]
    assert qr.read(pixels(file_of(small, "JPEG", quality=60))) == [target]


@pytest.mark.parametrize("size", SHAPES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_field_may_be_missing(size: tuple[int, int]) -> None:
    """A card without title, source, banner, code and site is a card."""
    bare = replace(PUBLICATION, title="", base_url="")
    made = card(bare, article(title="", source=None, summary="", url=""), None, None, size)
    assert pixels(made.picture.data).size == size


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES.keys())
def test_every_title_gives_a_card(title: str) -> None:
    """No script, length or trick stops a card, or makes it heavier than a link card may be (1 MB)."""
    made = card(PUBLICATION, article(title=title), BANNER, SHORT)
    assert len(made.picture.data) < 1_000_000
    assert qr.read(pixels(made.picture.data)) == [SHORT]


@given(title=st.text(max_size=80), source=st.none() | st.text(max_size=20), url=st.text(max_size=30))
@settings(max_examples=15, deadline=None)
def test_hostile_words_never_raise(title: str, source: str | None, url: str) -> None:
    """Anything may stand in the front matter."""
    made = card(PUBLICATION, article(title=title, source=source, url=url), None, url or None, (400, 400))
    assert made.picture.media_type == "image/jpeg"


@pytest.mark.parametrize("part", ["title", "source", "banner", "color", "site", "code"])
def test_every_part_shows(part: str) -> None:
    """Changing any part changes the picture."""
    whole = card(PUBLICATION, article(), BANNER, SHORT)
    changed = {
        "title": lambda: card(PUBLICATION, article(title="Ferry sails"), BANNER, SHORT),
        "source": lambda: card(PUBLICATION, article(source="Lighthouse Post"), BANNER, SHORT),
        "banner": lambda: card(PUBLICATION, article(), file_of(scene(300, 900), "PNG"), SHORT),
        "color": lambda: card(replace(PUBLICATION, color="#b3261e"), article(), BANNER, SHORT),
        "site": lambda: card(replace(PUBLICATION, title="The Quay"), article(), BANNER, SHORT),
        "code": lambda: card(PUBLICATION, article(), BANNER, SHORT + "2"),
    }[part]()
    assert ImageChops.difference(pixels(whole.picture.data), pixels(changed.picture.data)).getbbox()


def test_the_same_article_gives_the_same_card() -> None:
    """Cards are stored by their hash: chance has no part in them."""
    assert card(PUBLICATION, article(), None, SHORT) == card(PUBLICATION, article(), None, SHORT)


def test_a_title_that_no_font_has_is_replaced_and_named() -> None:
    """Instead of empty boxes the summary stands there, and the note names what is missing."""
    made = card(PUBLICATION, article(title="\ue123\ue124", summary="Ferry sails"), None, None)
    spoken = card(PUBLICATION, article(title="Ferry sails"), None, None)
    assert "no font here has \ue123\ue124" in str(made.note)
    assert ImageChops.difference(pixels(made.picture.data), pixels(spoken.picture.data)).getbbox() is None


def test_a_banner_that_is_none_is_left_out() -> None:
    """The card is still made, and says so."""
    assert "without the banner: it is not a picture" in str(
        card(PUBLICATION, article(), b"<html>", None).note
    )


def test_a_font_that_is_none_is_replaced_and_named(tmp_path: Path) -> None:
    """The shipped font steps in."""
    file = tmp_path / "own.ttf"
    file.write_bytes(b"no font")
    made = card(replace(PUBLICATION, font=str(file)), article(), None, None)
    assert f"{file} is no font" in str(made.note)
    assert made.picture == card(PUBLICATION, article(), None, None).picture


def test_the_publisher_s_font_is_used(tmp_path: Path) -> None:
    """A font of one's own comes first."""
    file = tmp_path / "own.ttf"
    shutil.copy(resources.templates() / "fonts" / "NotoSans-Regular.ttf", file)
    own = card(replace(PUBLICATION, font=str(file)), article(), None, None)
    assert own.note is None
    assert own.picture != card(PUBLICATION, article(), None, None).picture


@pytest.mark.parametrize("target", ["https://gazette.example/" + "x" * 1500, "x" * 4000])
def test_a_code_too_fine_to_be_read_is_left_out(target: str) -> None:
    """Better none than one that fails every reader."""
    made = card(PUBLICATION, article(), BANNER, target)
    assert str(made.note).startswith("without a QR code")
    assert qr.read(pixels(made.picture.data)) == []


@pytest.mark.parametrize("size", [(200, 200), (5000, 600), (0, 0)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    """A size nobody asks for is a mistake of the caller."""
    with pytest.raises(ValueError, match="not foreseen"):
        card(PUBLICATION, article(), None, None, size)


@given(st.integers(0, 0xFFFFFF))
def test_words_are_legible_on_every_colour(color: int) -> None:
    """Each text colour has the contrast WCAG asks for, on the lightest and the darkest of the ground."""
    colors = palette(f"#{color:06x}")
    for text in (colors.text, colors.muted):
        for ground in (colors.ground, colors.deep):
            assert contrast(text, ground) >= LEGIBLE


@pytest.mark.parametrize("color", ["", "blue-ish", "#12", "rgb(1,2"])
def test_a_colour_that_is_none_is_replaced(color: str) -> None:
    """A publisher's slip of the pen does not stop a digest."""
    assert palette(color) == palette("#1a4f8b")


def set_in(text: str, box: tuple[int, int], largest: int = 60, smallest: int = 20) -> Block:
    return fit(text, box, largest=largest, smallest=smallest, font=None, bold=True, language="en")


@given(
    text=st.lists(st.text("abcdeilmnorst-", min_size=1, max_size=14), min_size=1, max_size=60).map(" ".join),
    box=st.tuples(st.integers(200, 900), st.integers(60, 500)),
)
@settings(max_examples=40, deadline=None)
def test_words_stay_in_their_box(text: str, box: tuple[int, int]) -> None:
    """All words in their order, in the box; or as many as fit, and an ellipsis."""
    block = set_in(text, box)
    joined = "".join("".join(block.lines).split())
    assert block.width <= box[0] + 2  # words are measured apart: kerning across a space may add a pixel
    assert block.height <= box[1]
    if joined.endswith("…"):
        assert text.replace(" ", "").startswith(joined.rstrip("…"))
    else:
        assert joined == text.replace(" ", "")


def test_short_titles_are_large_and_long_ones_whole() -> None:
    """The size follows the length."""
    short, long = (
        set_in("Ferry sails", (600, 300)),
        set_in(TITLES["latin"] + " " + TITLES["latin"], (600, 300)),
    )
    assert short.size == 60 > long.size
    assert "…" not in long.lines[-1]


def test_no_word_stands_alone_where_it_need_not() -> None:
    """Lines are of like length."""
    block = set_in("The harbour bridge reopens to traffic on Monday", (760, 200), largest=40)
    widths = [typesetting.width(line, block.chain) for line in block.lines]
    assert len(widths) > 1
    assert min(widths) > 0.6 * max(widths)


def test_long_titles_end_at_a_word() -> None:
    """What does not fit is cut between words, and marked."""
    block = set_in("measured " * 100, (400, 100))
    assert all(word in ("measured", "measured…") for word in " ".join(block.lines).split())
    assert block.lines[-1].endswith("…")


def test_graphemes_are_never_torn() -> None:
    """An overlong word breaks between what readers see as characters."""
    text = "e\u0301" * 80
    block = set_in(text, (300, 400))
    assert all(line.startswith("e") and line.endswith("\u0301") for line in block.lines)
    assert "".join(block.lines) == text


def test_marks_do_not_begin_a_line_of_chinese() -> None:
    """Chinese and Japanese break between any characters, but not before closing marks and small kana."""
    tokens = [
        token for token, _ in typesetting._tokens("東京で「港の橋」、再開。OK news ファッション・ショー")
    ]
    assert tokens[:10] == ["東", "京", "で", "「港", "の", "橋」、", "再", "開。", "OK", "news"]
    assert tokens[10:] == ["ファッ", "ショ", "ン・", "ショー"]


@pytest.mark.parametrize(
    ("text", "from_right"),
    [
        ("Bridge", False),
        ("הגשר after", True),
        ("after הגשר", False),
        ("2026 مرحبا", True),
        ("2026!", False),
        ("", False),
    ],
)
def test_the_first_letter_gives_the_direction(text: str, from_right: bool) -> None:
    """Digits and signs have none of their own (UAX 9)."""
    assert typesetting.runs_from_right(text) is from_right


class Letters(fonts.Chain):
    """Two imagined faces: one with Latin letters, one with all others."""

    def face(self, grapheme: str) -> fonts.Face:
        return LATIN if grapheme.isascii() else OTHER


LATIN, OTHER = fonts.Face(path=Path("latin")), fonts.Face(path=Path("other"))


@pytest.mark.parametrize(
    ("line", "from_right", "shown"),
    [
        ("one אבג two", False, ["one ", "אבג", " two"]),
        ("אבג one דהו", True, ["דהו", " one ", "אבג"]),
        ("אבג", True, ["אבג"]),
    ],
)
def test_mixed_lines_are_laid_out_in_reading_order(line: str, from_right: bool, shown: list[str]) -> None:
    """Pieces in different faces stand where the reader of the line expects them, left to right as drawn."""
    runs = visual_runs(line, Letters(faces=(LATIN, OTHER)), from_right)
    assert [run.text.strip() for run in runs if run.text.strip()] == [text.strip() for text in shown]


@pytest.mark.skipif(not fonts.SHAPES, reason="this Pillow has no raqm: Arabic is not joined")
def test_arabic_is_joined() -> None:
    """A word is narrower than its letters apart, for they take their joined forms."""
    word = "مستشفى"
    faces = fonts.chain(word, bold=True)
    if faces.missing:
        pytest.skip("no font of this system has Arabic")
    assert typesetting.width(word, faces) < 0.9 * sum(typesetting.width(letter, faces) for letter in word)


def test_text_is_cleaned_of_what_deceives() -> None:
    """Overrides, controls and towers of marks are gone; what is seen stays."""
    assert clean("a\u202eb\x00c\n d\u2066") == "a b c d"
    assert len(clean("e" + "\u0301" * 500)) == 5
    assert clean("👩‍👩‍👧 é") == "👩‍👩‍👧 é"
    assert len(clean("x" * 10**6)) == typesetting.LONGEST


def test_a_photo_is_cropped_not_stretched() -> None:
    """A circle in the banner is as wide as high on the card."""
    image = Image.new("RGB", (1600, 500), "#ffffff")
    ImageDraw.Draw(image).ellipse((700, 100, 900, 300), fill="#00ff00")
    made = card(PUBLICATION, article(), file_of(image, "PNG"), None)
    shown = pixels(made.picture.data)
    green = shown.getchannel("G").point(lambda value: 255 * (value > 200))
    dark = shown.getchannel("R").point(lambda value: 255 * (value < 90))
    left, top, right, bottom = ImageChops.multiply(green, dark).getbbox() or (0, 0, 0, 0)
    assert right - left == pytest.approx(bottom - top, abs=6)
    assert right - left > 100


def test_the_card_is_what_the_file_says() -> None:
    """Size, type and bytes of the value agree."""
    made = card(PUBLICATION, article(), BANNER, SHORT, PIN).picture
    assert (Image.open(BytesIO(made.data)).format, made.media_type) == ("JPEG", "image/jpeg")
    assert made == raster.Encoded(data=made.data, media_type="image/jpeg", width=1000, height=1500)
    assert cards.QUALITY >= 80
