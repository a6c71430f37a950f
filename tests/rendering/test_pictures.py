"""What becomes of a banner or QR picture, whatever the site and its servers offer."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw, ImageStat

from distributor import config
from distributor.errors import DistributorError, NotFound
from distributor.model import Picture, Wishes
from distributor.rendering import qr, raster
from distributor.rendering.fitting import Shape, fit
from distributor.rendering.pictures import MemoryIndex, Pictures
from tests.rendering.painted import PUBLICATION, article, file_of, pixels, scene

BANNER = "https://cdn.example/banner"
QR = "https://cdn.example/qr"
LIMITS = config.Pictures(max_bytes=5_000_000, max_pixels=4_000_000)
JPEG = file_of(scene(), "JPEG", quality=90)

Handler = Callable[[httpx.Request], httpx.Response]
Make = Callable[..., Pictures]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Pictures over a far end that answers as the test says; nothing else is reached."""

    def build(answer: Handler | bytes = b"", **options: Any) -> Pictures:
        handler = answer if callable(answer) else lambda request: httpx.Response(200, content=answer)
        http = httpx.Client(transport=httpx.MockTransport(handler))
        folder = options.pop("folder", tmp_path / "media")
        index = options.pop("index", None) or MemoryIndex()
        return Pictures(folder, index, http, LIMITS, PUBLICATION, **options)

    return build


def unreachable(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.url} was asked for")


def animated(kind: str) -> bytes:
    return file_of(scene(), kind, save_all=True, append_images=[Image.new("RGB", (640, 360), "blue")])


def deep_png() -> bytes:
    """16 bits a pixel: as dark on the left as bright on the right."""
    row = b"\0" + b"".join(struct.pack(">H", column * 65535 // 639) for column in range(640))
    return png_of(640, 360, row * 360, depth=16, color=0)


def png_of(width: int, height: int, rows: bytes, *, depth: int, color: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def glass(mode: str) -> bytes:
    """Red in its corner, transparent at the foot."""
    image = scene(mode="RGBA").copy()
    ImageDraw.Draw(image).rectangle((0, 300, 640, 360), fill=(0, 0, 0, 0))
    return file_of(image.quantize(64) if mode == "P" else image.convert(mode), "PNG")


def turned() -> bytes:
    """A photo taken with the camera on its side: stored upright only by its EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    return file_of(scene().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, comment=b"secret")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        pytest.param(JPEG, "image/jpeg", id="jpeg"),
        pytest.param(file_of(scene(), "PNG"), "image/jpeg", id="png"),
        pytest.param(file_of(scene(), "WEBP"), "image/jpeg", id="webp"),
        pytest.param(file_of(scene(), "AVIF"), "image/jpeg", id="avif"),
        pytest.param(file_of(scene(), "BMP"), "image/jpeg", id="bmp"),
        pytest.param(animated("GIF"), "image/jpeg", id="gif"),
        pytest.param(animated("WEBP"), "image/jpeg", id="webp-animated"),
        pytest.param(animated("PNG"), "image/jpeg", id="apng"),
        pytest.param(file_of(scene(mode="CMYK"), "JPEG"), "image/jpeg", id="cmyk"),
        pytest.param(file_of(scene(mode="P"), "PNG"), "image/jpeg", id="palette"),
        pytest.param(file_of(scene(), "JPEG", progressive=True), "image/jpeg", id="progressive"),
        pytest.param(turned(), "image/jpeg", id="turned"),
        pytest.param(glass("RGBA"), "image/png", id="glass"),
        pytest.param(glass("P"), "image/png", id="palette-glass"),
    ],
)
def test_a_reader_s_client_can_show_every_banner(make: Make, data: bytes, media_type: str) -> None:
    """Any picture the web knows becomes an upright JPEG, or a PNG if it is transparent; its first frame."""
    pictures = make(data)
    picture = pictures.banner(article(banner=BANNER))
    shown = pixels(pictures.read(picture))
    assert (picture.media_type, picture.width, picture.height) == (media_type, 640, 360)
    assert (Image.MIME[str(shown.format)], shown.size, shown.mode) == (
        media_type,
        (640, 360),
        "RGB" if media_type == "image/jpeg" else "RGBA",
    )
    assert_near(shown.convert("RGB"), (20, 20), (255, 0, 0))
    assert picture.url == BANNER
    assert "drawn" not in (picture.note or "")


def assert_near(shown: Image.Image, place: tuple[int, int], color: tuple[int, int, int]) -> None:
    spot = ImageStat.Stat(shown.crop((*place, place[0] + 4, place[1] + 4)))
    assert spot.mean == pytest.approx(color, abs=40)


def test_sixteen_bits_are_scaled_not_cut(make: Make) -> None:
    """A 16-bit gray picture keeps its range instead of turning white."""
    pictures = make(deep_png())
    shown = pixels(pictures.read(pictures.banner(article(banner=BANNER)))).convert("L")
    assert [shown.getpixel((x, 100)) for x in (0, 320, 639)] == pytest.approx([0, 128, 255], abs=4)


def test_colours_of_another_profile_become_srgb(make: Make) -> None:
    """A picture whose profile calls its red channel green is shown green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ", 128), profile.index(b"gXYZ", 128)
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    other = bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    pictures = make(file_of(Image.new("RGB", (100, 100), "#ff0000"), "PNG", icc_profile=other))
    shown = pixels(pictures.read(pictures.banner(article(banner=BANNER))))
    assert_near(shown, (50, 50), (0, 255, 0))


def test_metadata_does_not_travel(make: Make) -> None:
    """Camera, place, comments and profiles stay behind."""
    pictures = make(turned())
    data = pictures.read(pictures.banner(article(banner=BANNER)))
    assert b"Camera" not in data
    assert b"secret" not in data
    assert not pixels(data).getexif()


@pytest.mark.parametrize(
    ("size", "expected"), [((2000, 1500), (1200, 900)), ((800, 3000), (640, 2400)), ((1200, 40), (1200, 40))]
)
def test_a_banner_is_at_most_1200_wide(make: Make, size: tuple[int, int], expected: tuple[int, int]) -> None:
    """A large banner shrinks in its own proportions, and a small one does not grow."""
    picture = make(file_of(scene(*size), "JPEG")).banner(article(banner=BANNER))
    assert (picture.width, picture.height) == expected


def test_a_heavy_transparent_picture_is_set_on_white(make: Make) -> None:
    """Transparency is not worth a mail that takes long to load."""
    noise = Image.effect_noise((900, 900), 90).convert("RGBA")
    noise.putalpha(Image.linear_gradient("L").resize((900, 900)))
    picture = make(file_of(noise, "PNG", compress_level=1)).banner(article(banner=BANNER))
    assert picture.media_type == "image/jpeg"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(404), "answered 404"),
        (httpx.Response(200, html="<!DOCTYPE html><p>Not here"), "is not a picture (text/html)"),
        (httpx.Response(200, text="%PDF", headers={"Content-Type": "application/pdf"}), "(application/pdf)"),
        (httpx.Response(200, content=b"<?xml version='1.0'?><svg onload='x()'/>"), "is an SVG"),
        (httpx.Response(200, content=b""), "is empty"),
        (httpx.Response(200, content=JPEG[:9000]), "is damaged"),
        (httpx.Response(200, content=file_of(scene(1, 1), "GIF")), "is too small (1 x 1)"),
        (httpx.Response(200, content=png_of(50_000, 50_000, b"", depth=8, color=2)), "has too many pixels"),
        (httpx.Response(200, content=png_of(9_000, 9_000, b"", depth=8, color=2)), "too many pixels (9000"),
        (httpx.Response(200, content=bytes(LIMITS.max_bytes + 1)), "is larger than 5 MB"),
        (httpx.Response(302, headers={"Location": "http://169.254.169.254/"}), "is at a private address"),
        (httpx.Response(302, headers={"Location": "file:///etc/passwd"}), "is not at a web address"),
    ],
)  # fmt: skip
def test_a_banner_that_cannot_be_had_is_drawn(make: Make, answer: httpx.Response, reason: str) -> None:
    """The digest goes on with a drawn banner, whose note says what was wrong."""
    pictures = make(lambda request: answer)
    picture = pictures.banner(article(banner=BANNER))
    assert str(picture.note).startswith("drawn: the banner ")
    assert reason in str(picture.note)
    assert pixels(pictures.read(picture)).size == (1200, 630)


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("silence"), OSError("no")]
)
def test_a_network_that_fails_is_named_too(make: Make, failure: Exception) -> None:
    """No answer is a reason like another."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise failure

    assert str(make(fail).banner(article(banner=BANNER)).note).startswith("drawn: the banner ")


def test_an_article_without_a_banner_gets_one(make: Make) -> None:
    """Nothing named is nothing asked for."""
    assert make(unreachable).banner(article()).note == "drawn: the article names no banner"


def test_the_bytes_decide_not_what_the_server_says(make: Make) -> None:
    """A picture under a wrong name and type is shown all the same."""

    def lie(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=file_of(scene(), "WEBP"), headers={"Content-Type": "text/html"})

    picture = make(lie).banner(article(banner=BANNER + ".gif"))
    assert (picture.media_type, picture.note) == ("image/jpeg", "converted from image/webp")


@given(
    data=st.binary(max_size=400),
    head=st.sampled_from([b"", JPEG[:700], animated("GIF")[:300], deep_png()[:80]]),
)
@settings(max_examples=60, deadline=None)
def test_arbitrary_bytes_never_raise_anything_else(data: bytes, head: bytes) -> None:
    """Whatever comes is a picture or a reason, even where it begins like a picture."""
    assert_picture_or_reason(head + data)


@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP"]),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=20),
)
@settings(max_examples=80, deadline=None)
def test_damaged_pictures_never_raise_anything_else(kind: str, flips: list[tuple[int, int]]) -> None:
    """A real picture with bytes overwritten anywhere is a picture or a reason."""
    data = bytearray(file_of(scene(80, 60), kind))
    for place, value in flips:
        data[place % len(data)] = value
    assert_picture_or_reason(bytes(data))


def assert_picture_or_reason(data: bytes) -> None:
    try:
        image = raster.opened(data, max_pixels=1_000_000, within=(100, 100))
    except raster.NotAPicture as reason:
        words = str(reason)
    else:
        words = raster.for_mail(image).media_type
    assert words


def test_a_local_banner_never_touches_the_network(make: Make, tmp_path: Path) -> None:
    """What lies in the site's folder is read there, and read again when it has changed."""
    file = tmp_path / "banner"
    file.write_bytes(JPEG)
    pictures = make(unreachable)
    here = article(banner=BANNER, banner_file=str(file))
    first = pictures.banner(here)
    file.write_bytes(file_of(scene(700, 500), "PNG"))
    assert (first.width, pictures.banner(here).width) == (640, 700)
    file.unlink()
    assert "among the site's files" in str(pictures.banner(here).note)
    assert "is larger" not in str(pictures.banner(replace(here, banner_file=str(tmp_path))).note)


def test_each_picture_is_fetched_once(make: Make) -> None:
    """Articles that share a banner share its file, and a second run asks for nothing."""
    asked: Counter[str] = Counter()

    def answer(request: httpx.Request) -> httpx.Response:
        asked[str(request.url)] += 1
        return httpx.Response(200, content=JPEG) if "good" in str(request.url) else httpx.Response(503)

    index = MemoryIndex()
    banners = ["https://cdn.example/good/1", "https://cdn.example/good/2", "https://cdn.example/bad"]
    wanted = [article(key=str(n), banner=banners[n % 3], title=f"Title {n}") for n in range(9)]
    prepared = make(answer, index=index).prepare_all(wanted)
    again = make(answer, index=index).prepare_all(wanted)
    assert [picture.alt for picture in prepared] == [each.title for each in wanted]
    assert [picture.hash for picture in prepared] == [picture.hash for picture in again]
    assert asked == {banners[0]: 1, banners[1]: 1, banners[2]: 2}


def test_a_failure_is_asked_again_after_a_while(make: Make) -> None:
    """A broken server is left alone for ten minutes, then the banner is had after all."""
    now = [0.0]
    answers = [httpx.Response(503), httpx.Response(200, content=JPEG)]
    pictures = make(lambda request: answers.pop(0), clock=lambda: now[0])
    wanted = article(banner=BANNER)
    why = "drawn: the banner answered 503 (named in news/bridge.md)"
    assert [pictures.banner(wanted).note for _ in range(3)] == [why] * 3
    now[0] = 601.0
    assert pictures.banner(wanted).note is None


def test_drawn_banners_carry_their_own_title(make: Make) -> None:
    """Two articles that share a broken banner do not share what is drawn instead."""
    pictures = make(lambda request: httpx.Response(404))
    one, other = (pictures.banner(article(banner=BANNER, title=title)) for title in ("One", "Other"))
    assert one.hash != other.hash


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"half")])
def test_a_lost_or_damaged_file_is_made_again(make: Make, damage: Callable[[Path], object]) -> None:
    """The index is believed only as far as the bytes bear it out."""
    pictures = make(JPEG)
    picture = pictures.banner(article(banner=BANNER))
    damage(pictures.path(picture))
    with pytest.raises(NotFound):
        pictures.read(picture)
    assert pictures.banner(article(banner=BANNER)) == picture
    assert len(pictures.read(picture)) == picture.size


def test_files_are_named_by_their_hash_and_written_whole(make: Make, tmp_path: Path) -> None:
    """Nothing half-written is left beside the pictures."""
    pictures = make(JPEG)
    picture = pictures.banner(article(banner=BANNER))
    assert [path.name for path in (tmp_path / "media").iterdir()] == [picture.name]


def test_a_disk_that_cannot_be_written_is_told_in_one_sentence(make: Make, tmp_path: Path) -> None:
    """The operator's own disk is not the outside: it stops the work, with its place."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DistributorError, match="a picture cannot be stored"):
        make(JPEG, folder=blocked).banner(article(banner=BANNER))


@pytest.mark.parametrize(
    ("fields", "alt"),
    [
        ({"wishes": Wishes(alt="A ferry\nat the quay")}, "A ferry at the quay"),
        ({}, "Harbour bridge reopens after three years of repairs"),
        ({"title": " \t"}, "Dockside Wire"),
        ({"title": "", "source": None}, "The Harbour Gazette"),
    ],
)
def test_there_is_always_an_alternative_text(make: Make, fields: dict[str, Any], alt: str) -> None:
    """The author's, or else the best that is known."""
    assert make(JPEG).banner(article(banner=BANNER, **fields)).alt == alt


def qr_file(target: str, kind: str = "PNG", **options: Any) -> bytes:
    return file_of(qr.draw(target, least_width=200), kind, **options)


def see_through(target: str) -> bytes:
    code = qr.draw(target)
    image = Image.new("RGBA", code.size, (0, 0, 0, 255))
    image.putalpha(code.point(lambda value: 255 - value))
    return file_of(image, "PNG")


HOME = "https://gazette.example/2026/11/bridge-reopens/"


@pytest.mark.parametrize(
    "data",
    [
        qr_file(HOME),
        qr_file(HOME, "WEBP", quality=50),
        qr_file(HOME, "JPEG", quality=40),
        qr_file(HOME.upper().replace("HTTPS://GAZETTE.EXAMPLE/2026/11/BRIDGE-REOPENS/", HOME[:-1])),
        qr_file(HOME.replace("https", "http") + "?utm_source=qr#top"),
        qr_file("https://gazette.example/old/"),
        qr_file("https://s.example/x7"),
        see_through(HOME),
    ],
    ids=["png", "webp", "jpeg", "no-slash", "tracked", "alias", "short-link", "transparent"],
)
def test_the_site_s_own_qr_picture_is_kept_if_it_leads_home(make: Make, data: bytes) -> None:
    """A code that ends at the article, even by a short link or a former address, is the site's to choose."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "s.example":
            return httpx.Response(301, headers={"Location": HOME + "?utm_medium=print"})
        return httpx.Response(200, content=data) if str(request.url) == QR else httpx.Response(404)

    pictures = make(answer)
    picture = pictures.qr(article(qr=QR, aliases=("https://gazette.example/old/",)))
    assert "drawn" not in (picture.note or "")
    assert (picture.url, picture.media_type) == (QR, "image/png")
    assert min(picture.width, picture.height) >= 400
    assert qr.read(pixels(pictures.read(picture)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (qr_file("https://gazette.example/another/"), "leads elsewhere (https://gazette.example/another/)"),
        (qr_file("https://evil.example/2026/11/bridge-reopens/"), "leads elsewhere"),
        (
            qr_file("https://s.example/silent"),
            "leads to https://s.example/silent, which took longer than 15 s",
        ),
        (qr_file("http://127.0.0.1/x"), "leads to http://127.0.0.1/x, which is at a private address"),
        (qr_file("WIFI:S:guest;;"), "leads elsewhere (WIFI:S:guest;;)"),
        (JPEG, "cannot be decoded"),
        (b"<html>", "is not a picture (text/html)"),
    ],
)
def test_a_qr_picture_that_leads_astray_is_drawn(make: Make, data: bytes, reason: str) -> None:
    """A wrong or unreadable code is replaced by one that is right, and the note says why."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "s.example":
            raise httpx.ReadTimeout("silence")
        return httpx.Response(200, content=data if str(request.url) == QR else b"")

    pictures = make(answer)
    picture = pictures.qr(article(qr=QR))
    assert picture.note == f"drawn: the QR picture {reason}" or reason in str(picture.note)
    assert qr.read(pixels(pictures.read(picture))) == [HOME]
    assert picture.alt == f"QR: {HOME}"


def test_an_article_without_a_qr_picture_gets_one(make: Make) -> None:
    """Nothing named is nothing asked for."""
    pictures = make(unreachable)
    assert pictures.qr(article()).note == "drawn: the article names no QR picture"


def test_an_address_too_long_for_a_qr_code_leads_to_the_site(make: Make) -> None:
    """Readers still arrive, one step away."""
    pictures = make(unreachable)
    picture = pictures.qr(article(url="https://gazette.example/" + "x" * 4000))
    assert qr.read(pixels(pictures.read(picture))) == [PUBLICATION.base_url]
    assert "too long" in str(picture.note)


def test_a_card_carries_the_banner_and_is_made_once(make: Make) -> None:
    """The same article gives the same card; another banner gives another."""
    pictures = make(JPEG)
    wanted = article(banner=BANNER)
    card = pictures.card(wanted, (1080, 1080), qr_target=HOME)
    assert card == pictures.card(wanted, (1080, 1080), qr_target=HOME)
    assert (card.width, card.height, card.alt) == (1080, 1080, wanted.title)
    assert card.hash != pictures.card(article(), (1080, 1080), qr_target=HOME).hash


def noise(width: int, height: int, *, see_through: bool = False) -> bytes:
    """What compresses worst."""
    image = Image.merge("RGB", [Image.effect_noise((width, height), 120) for _ in range(3)])
    if see_through:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    return file_of(image, "PNG", compress_level=1)


@pytest.mark.parametrize(
    ("data", "size", "media_type"),
    [
        pytest.param(file_of(scene(1200, 675), "JPEG"), (304, 171), "image/jpeg", id="photo"),
        pytest.param(file_of(scene(600, 1200), "JPEG"), (190, 380), "image/jpeg", id="upright"),
        pytest.param(file_of(Image.new("L", (900, 900), 99), "PNG"), (304, 304), "image/png", id="flat"),
        pytest.param(glass("RGBA"), (304, 171), "image/png", id="glass"),
        pytest.param(noise(700, 800), (304, 347), "image/jpeg", id="noise"),
        pytest.param(noise(400, 500, see_through=True), (304, 380), "image/jpeg", id="noise-glass"),
        pytest.param(noise(300, 300), (300, 300), "image/jpeg", id="small-and-heavy"),
        pytest.param(file_of(scene(4000, 90), "JPEG"), (304, 7), "image/jpeg", id="thin"),
        pytest.param(b"", (304, 160), "image/jpeg", id="drawn"),
    ],
)  # fmt: skip
def test_a_thumbnail_is_light(make: Make, data: bytes, size: tuple[int, int], media_type: str) -> None:
    """Whatever the banner, its thumbnail is small, in proportion, and called what the banner is called."""
    pictures = make(data)
    banner = pictures.banner(article(banner=BANNER, wishes=Wishes(alt="A crane")))
    small = pictures.thumbnail(banner)
    shown = pixels(pictures.read(small))
    assert (small.width, small.height) == shown.size == size
    assert (small.media_type, Image.MIME[str(shown.format)]) == (media_type, media_type)
    assert small.size == len(pictures.read(small)) <= 25_000
    assert (small.alt, small.url, small.note) == ("A crane", banner.url, banner.note)


def test_a_thumbnail_stays_transparent(make: Make) -> None:
    """What a dark screen shines through shines through its thumbnail."""
    pictures = make(glass("RGBA"))
    shown = pixels(pictures.read(pictures.thumbnail(pictures.banner(article(banner=BANNER))))).convert("RGBA")
    assert shown.getpixel((150, 168)) == (0, 0, 0, 0)
    assert_near(shown.convert("RGB"), (10, 10), (255, 0, 0))


def test_few_colours_keep_a_heavy_drawing_transparent(make: Make) -> None:
    """Before transparency goes, colours do."""
    drawing = scene(608, 760).convert("RGBA")
    drawing.putalpha(Image.linear_gradient("L").resize(drawing.size))
    pictures = make(file_of(drawing, "PNG"))
    small = pictures.thumbnail(pictures.banner(article(banner=BANNER)))
    assert (small.media_type, pixels(pictures.read(small)).mode) == ("image/png", "P")


def test_thumbnails_are_made_once(make: Make) -> None:
    """The next edition finds them in the index, each under its article's key."""
    index = MemoryIndex()
    first, second = make(JPEG, index=index), make(unreachable, index=index)
    banners = {
        "a": first.banner(article(banner=BANNER)),
        "b": first.banner(article(banner=BANNER, title="B")),
    }
    small = first.thumbnails(banners)
    assert small["a"].hash == small["b"].hash
    assert [small[key].alt for key in ("a", "b")] == [banners[key].alt for key in ("a", "b")]
    for banner in banners.values():
        first.path(banner).unlink(missing_ok=True)
    assert second.thumbnails(banners) == small
    with pytest.raises(NotFound):
        make(unreachable).thumbnail(banners["a"])


def test_what_is_small_already_is_its_own_thumbnail(make: Make) -> None:
    """No picture loses quality for nothing, and none grows."""
    pictures = make(file_of(scene(300, 200), "JPEG", quality=60))
    banner = pictures.banner(article(banner=BANNER))
    assert pictures.thumbnail(banner) is banner


def test_a_banner_that_became_thin_can_be_fitted(make: Make) -> None:
    """A wide strip, shrunk for mails, is no mistake when a network wants it smaller still."""
    pictures = make(file_of(scene(4000, 90), "JPEG"))
    banner = pictures.banner(article(banner=BANNER))
    assert (banner.width, banner.height) == (1200, 27)
    assert pictures.fitted(banner, Shape(max_width=1000)).width == 1000


@pytest.mark.parametrize(
    "shape",
    [
        Shape(max_bytes=20_000),
        Shape(max_bytes=976_000, max_width=300),
        Shape(max_height=100, max_bytes=4_000),
        Shape(max_pixels=50_000),
        Shape(formats=("image/png",), max_bytes=60_000),
        Shape(formats=("image/jpeg",), min_ratio=0.8, max_ratio=1.0),
        Shape(max_ratio=1.6, max_width=333),
        Shape(min_ratio=1.9, max_ratio=1.91, max_width=501, max_pixels=100_000),
        Shape(min_ratio=0.5, max_ratio=0.7, max_height=901, max_bytes=30_000),
        Shape(min_ratio=3, max_width=1000),
    ],
)
@pytest.mark.parametrize("source", [JPEG, glass("RGBA")], ids=["photo", "glass"])
def test_a_network_gets_what_it_takes(make: Make, shape: Shape, source: bytes) -> None:
    """Bytes, sides, pixels, ratio and format are within the network's limits, to the pixel."""
    pictures = make(source)
    picture = pictures.fitted(pictures.banner(article(banner=BANNER)), shape)
    assert_fits(picture, pixels(pictures.read(picture)), shape)
    assert picture.alt == article().title


def test_an_exact_ratio_is_met_as_nearly_as_whole_pixels_can(make: Make) -> None:
    """1.91 is no fraction of small numbers: half a pixel beside it is as good, and stays as it is."""
    shape = Shape(min_ratio=1.91, max_ratio=1.91, max_width=501)
    pictures = make(JPEG)
    fitted = pictures.fitted(pictures.banner(article(banner=BANNER)), shape)
    assert abs(fitted.width / 1.91 - fitted.height) < 1
    assert pictures.fitted(fitted, shape) is fitted


def assert_fits(picture: Picture, shown: Image.Image, shape: Shape) -> None:
    width, height = shown.size
    assert (picture.width, picture.height) == (width, height)
    assert picture.media_type in shape.formats
    assert picture.size <= (shape.max_bytes or picture.size)
    assert width <= (shape.max_width or width)
    assert height <= (shape.max_height or height)
    assert width * height <= (shape.max_pixels or width * height)
    assert (shape.min_ratio or 0) <= width / height <= (shape.max_ratio or 1000)


def test_what_fits_already_stays_as_it_is(make: Make) -> None:
    """No picture loses quality for nothing."""
    pictures = make(JPEG)
    banner = pictures.banner(article(banner=BANNER))
    assert pictures.fitted(banner, Shape(max_bytes=banner.size)) is banner


def test_quality_goes_before_size(make: Make) -> None:
    """A light limit costs quality first; the picture keeps its size while that is enough."""
    pictures = make(JPEG)
    banner = pictures.banner(article(banner=BANNER))
    fitted = pictures.fitted(banner, Shape(max_bytes=banner.size * 3 // 4))
    assert (fitted.width, fitted.height) == (banner.width, banner.height)
    assert fitted.size > banner.size // 2


@pytest.mark.parametrize("shape", [Shape(max_bytes=50), Shape(formats=("image/tiff",), max_width=10)])
def test_a_shape_that_nothing_fits_is_refused(make: Make, shape: Shape) -> None:
    """An impossible limit is the caller's mistake, and ends."""
    pictures = make(JPEG)
    with pytest.raises(ValueError, match=r"fits|formats"):
        pictures.fitted(pictures.banner(article(banner=BANNER)), shape)


@given(
    own=st.tuples(st.integers(33, 700), st.integers(33, 700)),
    limits=st.tuples(st.integers(120, 500), st.integers(120, 500), st.integers(10_000, 90_000)),
    ratios=st.tuples(st.floats(0.3, 3), st.floats(0.3, 3)),
)
@settings(max_examples=60, deadline=None)
def test_any_shape_is_met_to_the_pixel(
    own: tuple[int, int], limits: tuple[int, int, int], ratios: tuple[float, float]
) -> None:
    """Rounding never carries a picture over a limit, whatever its proportions."""
    shape = Shape(
        max_width=limits[0],
        max_height=limits[1],
        max_pixels=limits[2],
        min_ratio=min(ratios),
        max_ratio=max(ratios) * 1.05,
    )
    made = fit(Image.new("RGB", own, "#336699"), shape)
    picture = Picture(
        hash=made.hash, media_type=made.media_type, width=made.width, height=made.height, size=len(made.data)
    )
    assert_fits(picture, Image.open(BytesIO(made.data)), shape)
