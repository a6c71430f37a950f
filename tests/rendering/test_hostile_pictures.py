"""Pictures made to do harm, or merely odd: what every network is given instead of them, or of them."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from time import perf_counter

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageStat

from distributor import config
from distributor.app import App
from distributor.config import load
from distributor.model import Article, Picture, Post
from distributor.rendering import limits, raster
from tests.rendering.painted import article, file_of, scene
from tests.workspace import MONDAY, Clock, workspace

NETWORKS = sorted(limits.networks())
CARDED = ("bluesky", "linkedin")  # where a link's card has a picture of ours
MEDIA = ("banner", "card", "link", "qr")
SERVER = "https://cdn.example/"
SVG = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/hostname">]>
<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999" onload="alert(1)">
<script>alert(1)</script><image href="http://169.254.169.254/"/><text>&x;</text></svg>"""


class FarEnd:
    """A web server with these files; what it has not is nowhere."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) not in self.files:
            raise AssertionError(f"{request.url} was asked for")
        data, media_type = self.files[str(request.url)]
        return httpx.Response(200, content=data, headers={"Content-Type": media_type})


class Newsroom:
    """A channel for each network and each kind of picture, and a server that offers what a test gives it."""

    def __init__(self, app: App, far_end: FarEnd) -> None:
        self.app = app
        self._far_end = far_end

    def article(self, data: bytes, name: str = "picture.jpg", media_type: str = "image/jpeg") -> Article:
        """An article whose banner and QR picture are *data*."""
        url = f"{SERVER}{len(self._far_end.files)}/{name}"
        self._far_end.files[url] = data, media_type
        return article(banner=url, qr=url)

    def post(self, network: str, shown: Article, media: str = "banner") -> Post:
        return self.app.posts.render(f"{network}-{media}", shown, MONDAY)

    def pictures(self, shown: Article, media: str = "banner") -> list[tuple[Picture, Image.Image]]:
        """What the networks are given of it, all within their limits."""
        found = [
            (picture, self.checked(picture, limits.network(network)))
            for network in (NETWORKS if media != "link" else CARDED)
            for picture in self.post(network, shown, media).pictures
        ]
        assert len(found) == len(NETWORKS if media != "link" else CARDED)
        return found

    def checked(self, picture: Picture, network: limits.Network) -> Image.Image:
        """The pixels of *picture*, which obeys all that *network* wants and carries nothing but pixels."""
        data, allowed = self.app.pictures.read(picture), network.pictures
        image = Image.open(BytesIO(data))
        image.load()
        width, height = image.size
        assert picture.media_type == Image.MIME[str(image.format)]
        assert picture.media_type in allowed.formats
        assert (picture.width, picture.height, picture.size) == (width, height, len(data))
        assert len(data) <= allowed.max_bytes
        assert width <= (allowed.max_width or width)
        assert height <= (allowed.max_height or height)
        assert width * height <= (allowed.max_pixels or width * height)
        assert (allowed.min_ratio or 0) <= width / height <= (allowed.max_ratio or width)
        assert image.mode in ("RGB", "RGBA", "L", "P")
        assert getattr(image, "n_frames", 1) == 1
        assert not image.getexif()
        assert not {"icc_profile", "exif", "xmp", "comment", "Comment", "photoshop"} & set(image.info)
        return image


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    channels = "".join(
        f'[channels.{network}-{media}]\nnetwork = "{network}"\nmedia = "{media}"\n'
        for network in NETWORKS
        for media in MEDIA
    )
    path = workspace(tmp_path_factory.mktemp("site"), config=channels)
    far_end = FarEnd()
    app = App(load(path, {}), clock=Clock(), http=httpx.Client(transport=httpx.MockTransport(far_end)))
    app.open()
    yield Newsroom(app, far_end)
    app.close()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width: int, height: int, depth: int = 8, color: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))


def png(width: int, height: int, row: bytes, *extra: bytes, depth: int = 8, color: int = 2) -> bytes:
    """A PNG of equal rows, written without Pillow, so that it can be what Pillow never writes."""
    packer = zlib.compressobj(1)
    packed = b"".join([*(packer.compress(b"\0" + row) for _ in range(height)), packer.flush()])
    signature = b"\x89PNG\r\n\x1a\n" + header(width, height, depth, color)
    return signature + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def animated(kind: str) -> bytes:
    return file_of(scene(), kind, save_all=True, append_images=[Image.new("RGB", (640, 360), "blue")])


def patched(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def see_through(mode: str) -> Image.Image:
    """Red in its corner, and transparent at the foot."""
    image = scene(mode="RGBA").copy()
    image.paste((0, 0, 0, 0), (0, 300, 640, 360))
    return image.quantize(64) if mode == "P" else image.convert(mode)


def held(orientation: int) -> bytes:
    """A photo as a camera stores it that was held so: EXIF says how, and where it was taken."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    image = scene().transpose(raster.TURNS[inverse]) if inverse > 1 else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (53.0, 33.0, 4.0), 3: "E", 4: (9.0, 59.0, 36.0)})
    return file_of(image, "JPEG", exif=exif, comment=b"at home", quality=90)


@cache
def wide_gamut() -> bytes:
    """A profile with the primaries of Display P3 and the curve of sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for tag, values in primaries.items():
        entry = profile.index(tag, 128)
        (offset,) = struct.unpack(">I", profile[entry + 4 : entry + 8])
        profile[offset + 8 : offset + 20] = struct.pack(">3i", *(round(value * 65536) for value in values))
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))


def slope() -> Image.Image:
    """Dark on the left and bright on the right."""
    return Image.linear_gradient("L").rotate(90).resize((640, 360))


def deep_row() -> bytes:
    """The same in 16 bits, one row."""
    return b"".join(struct.pack(">H", column * 65535 // 639) for column in range(640))


SHOWN = {
    "png-as-jpg": (file_of(scene(), "PNG"), "photo.jpg", "image/jpeg"),
    "jpeg-as-png": (file_of(scene(), "JPEG"), "photo.png", "image/png"),
    "jpeg-as-page": (file_of(scene(), "JPEG"), "photo.html", "text/html; charset=utf-8"),
    "jpeg-as-svg": (file_of(scene(), "JPEG"), "photo.svg", "image/svg+xml"),
    "webp-as-program": (file_of(scene(), "WEBP"), "photo.exe", "application/octet-stream"),
    "avif-unnamed": (file_of(scene(), "AVIF"), "", ""),
    "gif": (animated("GIF"), "a.gif", "image/gif"),
    "apng": (animated("PNG"), "a.png", "image/apng"),
    "webp-animated": (animated("WEBP"), "a.webp", "image/webp"),
    "avif-animated": (animated("AVIF"), "a.avif", "image/avif"),
    "cmyk": (file_of(scene(mode="CMYK"), "JPEG"), "a.jpg", "image/jpeg"),
    "bmp": (file_of(scene(), "BMP"), "a.bmp", "image/bmp"),
    "16-bit": (png(640, 360, struct.pack(">3H", 65535, 0, 0) * 640, depth=16), "a.png", "image/png"),
    "palette-glass": (file_of(see_through("P"), "PNG"), "a.png", "image/png"),
    "webp-glass": (file_of(see_through("RGBA"), "WEBP", quality=95), "a.webp", "image/webp"),
    "much-text": (
        png(640, 360, b"\xff\0\0" * 640, chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000)),
        "a.png",
        "image/png",
    ),
    **{f"held-{value}": (held(value), "a.jpg", "image/jpeg") for value in range(1, 9)},
}


@pytest.mark.parametrize("case", SHOWN)
def test_an_odd_picture_is_shown_as_it_is_meant(newsroom: Newsroom, case: str) -> None:
    """Whatever it is called and however it is stored, networks get its first frame, upright and bare."""
    for picture, image in newsroom.pictures(newsroom.article(*SHOWN[case])):
        assert "drawn" not in (picture.note or "")
        assert image.width > image.height
        assert color(image, (20, 20)) == pytest.approx((255, 0, 0), abs=40)


def color(image: Image.Image, place: tuple[int, int], mode: str = "RGB") -> tuple[float, ...]:
    """What is to be seen there, on the average of a few pixels."""
    left, top = min(place[0], image.width - 2), min(place[1], image.height - 2)
    return tuple(ImageStat.Stat(image.convert(mode).crop((left, top, left + 2, top + 2))).mean)


def test_glass_stays_glass_where_a_network_takes_png(newsroom: Newsroom) -> None:
    """What was transparent in a palette is so in a PNG, or white; it never turns black."""
    for _, image in newsroom.pictures(newsroom.article(*SHOWN["palette-glass"])):
        place = 320, image.height - 20
        assert (
            color(image, place, "RGBA")[3] == 0 if image.format == "PNG" else min(color(image, place)) > 240
        )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(640, 360, deep_row(), depth=16, color=0), id="16-bit"),
        pytest.param(file_of(slope(), "PNG"), id="8-bit"),
        pytest.param(png(640, 360, bytes(40) + b"\xff" * 40, depth=1, color=0), id="1-bit"),
        pytest.param(
            file_of(Image.merge("LA", (slope(), Image.new("L", slope().size, 254))), "PNG"), id="alpha"
        ),
    ],
)
def test_gray_keeps_its_range(newsroom: Newsroom, data: bytes) -> None:
    """Dark on the left stays dark and bright on the right bright, whatever the depth."""
    for _, image in newsroom.pictures(newsroom.article(data, "a.png", "image/png")):
        assert max(color(image, (0, 100))) < 8
        assert min(color(image, (image.width - 1, 100))) > 247


def test_wide_colours_are_brought_into_srgb(newsroom: Newsroom) -> None:
    """An orange of Display P3 has more red and less blue in sRGB; taken as it is, it would look pale."""
    data = file_of(Image.new("RGB", (640, 360), (200, 110, 60)), "JPEG", icc_profile=wide_gamut(), quality=95)
    for _, image in newsroom.pictures(newsroom.article(data)):
        red, green, blue = color(image, (320, 180))
        assert red > 206
        assert 100 < green < 112
        assert blue < 54


PAGE = b"<!DOCTYPE html><title>Not found</title><img src='photo.jpg'>"
FRAME = file_of(scene(), "JPEG"), file_of(scene(), "PNG"), file_of(scene(), "WEBP"), file_of(scene(), "AVIF")
GIF, MOVING, BMP = animated("GIF"), animated("WEBP"), file_of(scene(), "BMP")
HUGE = png(10_000, 10_000, bytes(1250), depth=1, color=0)  # a hundred million pixels in 55 kB
BOMB = zlib.compress(bytes(100_000_000))


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: 14 bytes each, and time for every pixel."""
    data = file_of(Image.new("RGB", (1000, 1000), "red"), "JPEG", progressive=True, quality=30)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * count + data[-2:]


REFUSED = {
    "empty": (b"", "is empty"),
    "page": (PAGE, "is not a picture (text/html)"),
    "svg": (SVG, "is an SVG"),
    "tiff": (file_of(scene(), "TIFF"), "is not a picture that readers can be shown"),
    "icon": (file_of(scene(64, 64), "ICO"), "is not a picture that readers can be shown"),
    "heic": (
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400),
        "is not a picture that readers can be shown",
    ),
    "jpeg-cut": (FRAME[0][: len(FRAME[0]) // 2], "is damaged"),
    "png-cut": (FRAME[1][: len(FRAME[1]) // 2], "is damaged"),
    "webp-cut": (FRAME[2][: len(FRAME[2]) // 2], "is damaged"),
    "avif-cut": (FRAME[3][: len(FRAME[3]) // 2], "is not a picture that readers can be shown"),
    "gif-cut": (GIF[:1000], "is damaged"),
    "1x1": (file_of(scene(1, 1), "PNG"), "is too small (1 x 1)"),
    "1x5000": (file_of(scene(1, 5000), "PNG"), "is too small (1 x 5000)"),
    "5000x1": (file_of(scene(5000, 1), "PNG"), "is too small (5000 x 1)"),
    "line": (png(60_000, 40, bytes(7500), depth=1, color=0), "is too thin (60000 x 40)"),
    "thread": (png(40, 60_000, bytes(5), depth=1, color=0), "is too thin (40 x 60000)"),
    "100-megapixels": (HUGE, "has too many pixels"),
    "png-header": (patched(FRAME[1], 8, header(60_000, 60_000)), "has too many pixels"),
    "jpeg-header": (
        patched(FRAME[0], FRAME[0].index(b"\xff\xc0") + 5, struct.pack(">HH", 65500, 65500)),
        "has too many pixels",
    ),
    "gif-screen": (patched(GIF, 6, struct.pack("<HH", 65535, 65535)), "has too many pixels"),
    "webp-canvas": (patched(MOVING, 24, b"\xff\x3f\0" * 2), "has too many pixels"),
    "avif-size": (
        patched(FRAME[3], FRAME[3].index(b"ispe") + 8, struct.pack(">II", 9999, 9999)),
        "has too many",
    ),
    "bmp-header": (patched(BMP, 18, struct.pack("<ii", 40_000, -40_000)), "has too many pixels"),
    "text-bomb": (png(640, 360, bytes(1920), chunk(b"zTXt", b"x\0\0" + BOMB)), "is damaged"),
    "text-bombs": (
        png(640, 360, bytes(1920), chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(999_999))) * 70),
        "is damaged",
    ),
    "profile-bomb": (png(640, 360, bytes(1920), chunk(b"iCCP", b"x\0\0" + BOMB)), "is damaged"),
    "scans": (many_scans(30_000), "would take too long to decode"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_shown_is_drawn_and_told(newsroom: Newsroom, case: str) -> None:
    """Every network gets a drawn banner within its limits; what was wrong is told with the article's file."""
    data, reason = REFUSED[case]
    shown = newsroom.article(data)
    for picture, image in newsroom.pictures(shown):
        assert min(image.size) > 300
        assert picture.note is not None
        assert picture.note.startswith("drawn: the banner ")
        assert reason in picture.note
        assert "(named in news/bridge.md)" in picture.note
    found = newsroom.app.posts.lint("x-banner", newsroom.post("x", shown), shown.url)
    assert [finding.rule for finding in found] == ["picture"]
    assert reason in str(found[0])


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("case", ["svg", "jpeg-cut", "100-megapixels", "line"])
def test_whatever_a_channel_shows_is_within_limits(newsroom: Newsroom, media: str, case: str) -> None:
    """A card, a link's card and a QR code are drawn like a banner where the site's picture is of no use."""
    shown = newsroom.article(REFUSED[case][0])
    for picture, image in newsroom.pictures(shown, media):
        assert min(image.size) > 300
        assert "named in news/bridge.md" in str(picture.note)


@pytest.mark.parametrize(
    "case", ["100-megapixels", "gif-screen", "webp-canvas", "avif-size", "text-bomb", "profile-bomb", "scans"]
)
def test_a_bomb_is_refused_before_it_is_decoded(case: str) -> None:
    """What would unpack to hundreds of megabytes costs a few, and no time."""
    data, _ = REFUSED[case]
    with Peak() as peak, pytest.raises(raster.NotAPicture):
        raster.opened(data, max_pixels=config.Pictures().max_pixels, within=raster.MAIL_BOX)
    assert peak.bytes < 20_000_000
    assert peak.seconds < 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(patched(MOVING, 24, b"\x9f\x0f\0" * 2), id="webp"),
        pytest.param(patched(GIF, 6, struct.pack("<HH", 4000, 4000)), id="gif"),
        pytest.param(png(4000, 4000, bytes(8000), depth=16, color=0), id="16-bit"),
        pytest.param(png(4000, 4000, bytes(8000), color=4), id="alpha"),
    ],
)
def test_what_is_within_limits_costs_no_more_than_its_pixels(data: bytes) -> None:
    """A small file that unpacks to sixteen megapixels costs at most 18 bytes for each of them."""
    with Peak() as peak:
        raster.opened(data, max_pixels=16_000_000, within=raster.MAIL_BOX)
    assert peak.bytes < 18 * 16_000_000


class Peak:
    """What a block takes at most, beyond what was taken before, by the kernel's own count."""

    def __enter__(self) -> Peak:
        if not Path("/proc/self/clear_refs").exists():
            pytest.skip("this system does not count a process's memory: what pictures cost was not measured")
        Path("/proc/self/clear_refs").write_text("5")
        self._before, self._started = self._read("VmRSS"), perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = perf_counter() - self._started
        self.bytes = self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        status = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith(name)).split()[1]) * 1024


def test_nothing_is_printed_of_a_hundred_megapixels() -> None:
    """The picture's note tells it; Pillow's own warning would only puzzle whoever reads the log."""
    program = (
        "import sys; from distributor.rendering import raster\n"
        "try: raster.opened(sys.stdin.buffer.read(), max_pixels=60_000_000)\n"
        "except raster.NotAPicture as reason: print(reason)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=HUGE, capture_output=True, check=True)
    assert done.stdout.decode() == "has too many pixels (10000 x 10000)\n"
    assert done.stderr == b""


@pytest.mark.parametrize("size", [(5000, 80), (80, 5000), (32, 32), (3000, 3000)])
def test_extreme_proportions_are_bordered_not_lost(newsroom: Newsroom, size: tuple[int, int]) -> None:
    """A strip, a stamp and a poster go out on every network, in the ratio it takes."""
    for picture, _ in newsroom.pictures(newsroom.article(file_of(scene(*size), "JPEG"))):
        assert "drawn" not in (picture.note or "")


def test_what_compresses_badly_is_still_light_enough(newsroom: Newsroom) -> None:
    """Noise as wide as a mail takes it keeps to every network's bytes, and to those of a link's card."""
    noise = Image.merge("RGB", [Image.effect_noise((1200, 1500), 120) for _ in range(3)])
    shown = newsroom.article(file_of(noise, "JPEG", quality=95))
    newsroom.pictures(shown)
    for network in CARDED:
        for picture in newsroom.post(network, shown, "link").pictures:
            assert picture.size <= (limits.network(network).card_bytes or picture.size)


KINDS = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("RGB",),
}


@settings(deadline=None, max_examples=16, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.tuples(st.integers(1, 1600), st.integers(1, 1600)),
    stored=st.sampled_from([(kind, mode) for kind, modes in KINDS.items() for mode in modes]),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    media=st.sampled_from(MEDIA),
)
def test_any_picture_ends_within_every_networks_limits(
    newsroom: Newsroom, size: tuple[int, int], stored: tuple[str, str], keep: float, media: str
) -> None:
    """Any size, mode and format, whole or cut off anywhere, becomes something that every network takes."""
    kind, mode = stored
    image = Image.linear_gradient("L").resize(size).convert("RGB" if mode != "I;16" else "L").convert(mode)
    data = file_of(image, kind)
    newsroom.pictures(newsroom.article(data[: int(len(data) * keep)]), media)
