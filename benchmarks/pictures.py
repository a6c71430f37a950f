"""One article's pictures: its banner for the mail, its QR code, its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from PIL import Image, ImageFilter

from benchmarks.measure import TIMES, Conditions, Figure, figure, median_seconds
from benchmarks.site import NOW
from distributor import config
from distributor.model import Article, Picture, Publication
from distributor.rendering import fetch
from distributor.rendering.pictures import MemoryIndex, Pictures

SIZE = (4000, 3000)
REPEATED = 2 * TIMES + 1


def figures() -> Iterator[Figure]:
    with TemporaryDirectory(prefix="bench-pictures-") as name:
        folder = Path(name)
        banner = folder / "banner.jpg"
        banner.write_bytes(_noisy_jpeg())
        told: Conditions = {
            "banner": f"JPEG {SIZE[0]} x {SIZE[1]}",
            "banner_kb": banner.stat().st_size // 1000,
        }
        for what, work in (
            ("banner to mail size", _banner),
            ("QR", _qr),
            ("banner to mail size, QR and card", _together),
        ):
            yield figure(what, median_seconds(_runs(folder, work)) * 1000, "ms", **told)
        yield figure("card", median_seconds(_cards(folder)) * 1000, "ms", **told)


def _runs(folder: Path, work: Callable[[Pictures, Article], object]) -> Iterator[Callable[[], object]]:
    """Each with a media folder of its own, so that nothing is there yet."""
    for _ in range(REPEATED):
        with TemporaryDirectory(dir=folder) as media:
            yield partial(work, _pictures(Path(media)), _article(folder))


def _cards(folder: Path) -> Iterator[Callable[[], object]]:
    """Of a banner that is there already."""
    for _ in range(REPEATED):
        with TemporaryDirectory(dir=folder) as media:
            pictures, article = _pictures(Path(media)), _article(folder)
            _banner(pictures, article)
            yield partial(_card, pictures, article)


def _together(pictures: Pictures, article: Article) -> None:
    _banner(pictures, article)
    _qr(pictures, article)
    _card(pictures, article)


def _banner(pictures: Pictures, article: Article) -> None:
    assert _is_from(pictures.banner(article), article)


def _is_from(picture: Picture, article: Article) -> bool:
    """Whether it was made of the article's banner, rather than drawn in its place."""
    return picture.width == 1200 and "drawn" not in (picture.note or "")


def _qr(pictures: Pictures, article: Article) -> None:
    assert pictures.qr(article).media_type == "image/png"


def _card(pictures: Pictures, article: Article) -> None:
    assert pictures.card(article, qr_target=article.url).note is None


def _pictures(folder: Path) -> Pictures:
    limits = config.Pictures(path=folder)
    publication = Publication(title="The Lantern", base_url="https://lantern.example")
    return Pictures(folder, MemoryIndex(), fetch.client(limits), limits, publication)


def _article(folder: Path) -> Article:
    return Article(
        key="lantern-1",
        url="https://lantern.example/river/the-night-ferry/",
        title="The night ferry keeps its lamp lit for one more winter",
        source="Millrace Wire",
        published_at=NOW,
        path="river/the-night-ferry.md",
        banner="https://lantern.example/river/ferry.jpg",
        banner_file=str(folder / "banner.jpg"),
    )


def _noisy_jpeg() -> bytes:
    """A picture with edges and grain, which compress as a photograph's do."""
    coarse = Image.frombytes("RGB", (80, 60), Random(4).randbytes(80 * 60 * 3))
    smooth = coarse.resize(SIZE, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    grain = Image.effect_noise(SIZE, 40).convert("RGB")
    out = BytesIO()
    Image.blend(smooth, grain, 0.15).save(out, "JPEG", quality=88)
    return out.getvalue()
