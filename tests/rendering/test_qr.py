"""QR codes that telephones read, and where given ones lead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from distributor.rendering import qr

PAGE = "https://gazette.example/2026/11/bridge-reopens/"


@given(st.text("abcdefghij/-0123456789", min_size=1, max_size=300))
@settings(max_examples=25, deadline=None)
def test_what_is_drawn_is_read(path: str) -> None:
    """Any address comes out as it went in."""
    assert qr.read(qr.draw(f"https://gazette.example/{path}")) == [f"https://gazette.example/{path}"]


@pytest.mark.parametrize("length", [1, 60, 500, 2200, 2900])
def test_a_code_is_crisp_and_wide_enough(length: int) -> None:
    """At least 400 pixels, nothing but black and white, and four modules of quiet zone (ISO/IEC 18004)."""
    target = "x" * length
    code = qr.draw(target)
    modules = qr.matrix(target)
    size = code.width // (modules.width + 8)
    assert code.width == code.height >= 400
    assert code.getcolors() is not None
    assert {color for _, color in code.getcolors() or []} == {0, 255}
    inked = ImageChops.invert(code).getbbox()
    assert inked == (4 * size, 4 * size, code.width - 4 * size, code.height - 4 * size)


def test_what_is_too_long_is_said() -> None:
    """Nothing is cut short silently."""
    with pytest.raises(qr.TooLong, match="4000 bytes"):
        qr.draw("x" * 4000)


@pytest.mark.parametrize(
    ("address", "spelled"),
    [
        ("https://gazette.example/québec-🚢", "https://gazette.example/qu%C3%A9bec-%F0%9F%9A%A2"),
        ("https://zeitung-köln.example/", "https://xn--zeitung-kln-zfb.example/"),
        ("https://gazette.example/%C3%A9?a=1&b=%20", "https://gazette.example/%C3%A9?a=1&b=%20"),
        ("plain words, é", "plain words, é"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_addresses_are_encoded_in_ascii(address: str, spelled: str) -> None:
    """Scanners disagree about other encodings, so an address carries none."""
    assert qr.as_ascii(address) == spelled


def test_a_lone_surrogate_does_not_stop_it() -> None:
    """A broken character becomes a question mark."""
    assert qr.read(qr.draw("odd \ud800")) == ["odd ?"]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
def test_codes_are_read_in_every_mode(mode: str) -> None:
    """How the pixels are stored does not matter."""
    assert qr.read(qr.draw(PAGE).convert(mode)) == [PAGE]


def test_large_turned_and_inverted_codes_are_read() -> None:
    """A poster of a code, one on its head and one in white on black are codes still."""
    code = qr.draw(PAGE, least_width=3000)
    assert qr.read(code) == [PAGE]
    assert qr.read(code.rotate(180)) == [PAGE]
    assert qr.read(ImageChops.invert(code)) == [PAGE]


def test_a_picture_without_a_code_says_nothing() -> None:
    """Nothing is made up."""
    assert qr.read(Image.effect_noise((300, 300), 80)) == []


@pytest.mark.parametrize(
    "target",
    [
        PAGE,
        PAGE[:-1],
        PAGE + "index.html",
        PAGE.replace("https", "http"),
        PAGE.replace("https://gazette.example", "https://GAZETTE.example:443"),
        PAGE + "?utm_source=print&UTM_Medium=qr",
        PAGE + "#comments",
        f" {PAGE}\n",
        PAGE.replace("bridge", "%62ridge"),
    ],
)
def test_trifles_do_not_make_another_page(target: str) -> None:
    """Scheme, slash, tracking, fragment and spelling change nothing of what is shown."""
    assert qr.leads_to_page(target, PAGE)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "WIFI:S:guest;;",
        "ftp://gazette.example/2026/11/bridge-reopens/",
        "https://gazette.example/",
        "https://gazette.example/2026/11/Bridge-reopens/",
        "https://gazette.example:8443/2026/11/bridge-reopens/",
        "https://gazette.example@evil.example/2026/11/bridge-reopens/",
        "https://evil.example/?to=https://gazette.example/2026/11/bridge-reopens/",
        PAGE + "?page=2",
        "http://[broken",
        "javascript:location='https://gazette.example/2026/11/bridge-reopens/'",
    ],
)
def test_another_page_is_another_page(target: str) -> None:
    """Other hosts, ports, paths and parameters lead elsewhere, however alike they look."""
    assert not qr.leads_to_page(target, PAGE)


@given(st.text(max_size=60), st.text(max_size=60))
def test_comparing_addresses_never_raises(one: str, other: str) -> None:
    """Whatever a code says can be compared, and what is no address is no page."""
    assert qr.leads_to_page(one, other) == qr.leads_to_page(other, one)
