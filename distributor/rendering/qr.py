"""QR codes: drawn so that every telephone reads them, and read to know where a given one leads."""

from __future__ import annotations

import httpx
import segno
import zxingcpp
from PIL import Image, ImageOps
from segno.encoder import DataOverflowError

QUIET_ZONE = 4  # modules of white on every side: ISO/IEC 18004
LEAST_WIDTH = 400  # pixels of a picture that stands alone
WIDEST_TO_READ = 1000  # pixels; more only takes longer
QR_CODE = zxingcpp.barcode_formats_from_str("QRCode")


class TooLong(ValueError):
    """A QR code does not hold that much text: 2,331 bytes at level M, 2,953 at level L."""


def draw(target: str, *, least_width: int = LEAST_WIDTH) -> Image.Image:
    """The QR code of *target*, black on white with its quiet zone, at least *least_width* pixels wide.

    Modules are whole pixels, so it is crisp. Level M, which survives 15 % of damage; L where M has no room.
    Raises: TooLong.
    """
    modules = matrix(target)
    side = modules.width + 2 * QUIET_ZONE
    return enlarged(modules, pixels_per_module=-(-least_width // side))


def matrix(target: str) -> Image.Image:
    """The QR code of *target* at one pixel a module, without a quiet zone. Raises: TooLong."""
    code = _encoded(as_ascii(target))
    rows = [bytes(0 if module else 255 for module in row) for row in code.matrix]
    return Image.frombytes("L", (len(rows), len(rows)), b"".join(rows))


def enlarged(modules: Image.Image, *, pixels_per_module: int) -> Image.Image:
    """*modules* with whole pixels for each module, and the quiet zone."""
    side = modules.width * pixels_per_module
    large = modules.resize((side, side), Image.Resampling.NEAREST)
    return ImageOps.expand(large, QUIET_ZONE * pixels_per_module, fill=255)


def read(image: Image.Image) -> list[str]:
    """What the QR codes in *image* say, in the order they were found; empty when none can be read."""
    gray = image.convert("L")
    if max(gray.size) > WIDEST_TO_READ:
        gray.thumbnail((WIDEST_TO_READ, WIDEST_TO_READ))
    found = zxingcpp.read_barcodes(gray, formats=QR_CODE)
    return [code.text for code in found]


def as_ascii(target: str) -> str:
    """*target* as its ASCII spelling if it is an address: scanners disagree about other encodings."""
    whole = target.encode(errors="replace").decode()
    try:
        return str(httpx.URL(whole)) if whole.startswith(("http://", "https://")) else whole
    except (httpx.InvalidURL, UnicodeError):
        return whole


def leads_to_page(target: str, page: str) -> bool:
    """Whether *target* is the address of *page*, but for what changes nothing of what is shown.

    That is: scheme, default port, capitals in the host, a slash or index.html at the end, how characters are
    escaped, the order of parameters, utm_ parameters and the fragment.
    """
    one, other = _essence(target), _essence(page)
    return one is not None and one == other


def _essence(address: str) -> tuple[str, str, tuple[tuple[str, str], ...]] | None:
    try:
        url = httpx.URL(address.strip())
    except (httpx.InvalidURL, UnicodeError):
        return None
    if url.scheme not in ("http", "https") or not url.host:
        return None
    port = "" if url.port in (None, 80, 443) else f":{url.port}"
    path = url.path.removesuffix("index.html").rstrip("/")
    query = (each for each in url.params.multi_items() if not each[0].lower().startswith("utm_"))
    return url.host.lower() + port, path, tuple(sorted(query))


def _encoded(target: str) -> segno.QRCode:
    for level in ("m", "l"):
        try:
            return segno.make_qr(target, error=level, boost_error=False)
        except DataOverflowError:
            continue
    raise TooLong(f"{len(target.encode())} bytes are too long for a QR code")
