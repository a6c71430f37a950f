"""Every picture of a digest or post: had from the site or drawn, converted, and stored by its hash.

What the outside does wrong never stops a digest: a banner or QR code that cannot be had is drawn, and its
note says why. Only the operator's own disk raises.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import BoundedSemaphore
from time import monotonic
from typing import Protocol
from uuid import uuid4

import httpx
from PIL import Image

from distributor import config
from distributor.errors import DistributorError, NotFound
from distributor.model import Article, Picture, Publication
from distributor.rendering import fetch, qr, raster
from distributor.rendering.card import LANDSCAPE, card
from distributor.rendering.fetch import Unavailable
from distributor.rendering.fitting import Shape, fit, fits
from distributor.rendering.raster import Encoded, NotAPicture
from distributor.rendering.typesetting import clean

RECIPE = 1  # to be raised when conversion changes: everything is then made anew
AT_ONCE = 8  # banners fetched side by side
DECODED_AT_ONCE = 2  # 60 megapixels are 240 MB each
PATIENCE_SECONDS = 600  # before something that could not be had is asked for again
QR_BOX = (1000, 1000)
QR_COLORS = 32  # enough for a code with a logo in it


class PictureIndex(Protocol):
    """Remembers which picture was made of what; several threads call it at once."""

    def find(self, key: str) -> Picture | None: ...

    def keep(self, key: str, picture: Picture) -> None: ...


class MemoryIndex:
    """A `PictureIndex` for as long as it lives."""

    def __init__(self) -> None:
        self._pictures: dict[str, Picture] = {}

    def find(self, key: str) -> Picture | None:
        return self._pictures.get(key)

    def keep(self, key: str, picture: Picture) -> None:
        self._pictures[key] = picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A picture that is not stored yet."""

    encoded: Encoded
    url: str | None = None
    note: str | None = None


class Pictures:
    """The media folder, and all ways into it."""

    def __init__(
        self,
        folder: Path,
        index: PictureIndex,
        http: httpx.Client,  # made by `fetch.client`, which guards the operator's network
        limits: config.Pictures,
        publication: Publication,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._folder = folder
        self._index = index
        self._http = http
        self._limits = limits
        self._publication = publication
        self._clock = clock
        self._workbench = BoundedSemaphore(DECODED_AT_ONCE)
        self._failures: dict[str, tuple[float, str]] = {}  # key -> until when, why

    def banner(self, article: Article) -> Picture:
        """The article's banner for a mail: JPEG or PNG, at most 1200 pixels wide; drawn if need be."""
        try:
            picture = self._once(self._banner_key(article), lambda: self._mail_banner(article))
        except (Unavailable, NotAPicture) as reason:
            named = article.banner_file or article.banner
            picture = self._drawn(article, _why_drawn(article, "banner", named, reason))
        return replace(picture, alt=self._alt(article))

    def qr(self, article: Article) -> Picture:
        """The site's own QR picture if it leads to the article, else one that does; PNG."""
        key = _key("qr", _stamp(article.qr_file, article.qr), article.url)
        try:
            picture = self._once(key, lambda: self._site_qr(article))
        except (Unavailable, NotAPicture) as reason:
            named = article.qr_file or article.qr
            picture = self._drawn_qr(article, _why_drawn(article, "QR picture", named, reason))
        return replace(picture, alt=f"QR: {article.url}")

    def card(
        self, article: Article, size: tuple[int, int] = LANDSCAPE, *, qr_target: str | None = None
    ) -> Picture:
        """The article as one picture of that size, with a QR code if there is a target."""
        banner = self.banner(article)
        photo = None if _is_drawn(banner) else self.read(banner)
        key = _key("card", size, qr_target, banner.hash if photo else None, self._face(article))

        def compose() -> Made:
            made = card(self._publication, article, photo, qr_target, size)
            return Made(encoded=made.picture, note=made.note)

        picture = self._once(key, compose)
        why = banner.note if _is_drawn(banner) and (article.banner_file or article.banner) else None
        return replace(picture, alt=self._alt(article), note=_joined(why, picture.note))

    def fitted(self, picture: Picture, shape: Shape) -> Picture:
        """*picture* as a network takes it, at the best quality that fits; itself if it fits already.

        Raises: NotFound if its file is gone, ValueError if nothing can fit *shape*.
        """
        if fits(picture.size, picture.width, picture.height, picture.media_type, shape):
            return picture

        def refit() -> Made:
            return Made(encoded=fit(self._reopened(picture), shape))

        made = self._once(_key("fitted", picture.hash, repr(shape)), refit)
        note = f"fitted to {made.width} x {made.height}, {made.size:,} bytes"
        return replace(made, alt=picture.alt, url=picture.url, note=_joined(picture.note, note))

    def thumbnail(self, picture: Picture) -> Picture:
        """*picture* for the place beside a teaser: at most 304 pixels wide, and light.

        Its alternative text, address and note stay. Raises: NotFound if its file is gone.
        """
        within, largest = raster.THUMBNAIL_BOX, raster.THUMBNAIL_BYTES
        if picture.width <= within[0] and picture.height <= within[1] and picture.size <= largest:
            return picture

        def shrink() -> Made:
            return Made(encoded=raster.thumbnail(self._reopened(picture, within)))

        made = self._once(_key("thumbnail", picture.hash), shrink)
        return replace(made, alt=picture.alt, url=picture.url, note=picture.note)

    def thumbnails(self, pictures: Mapping[str, Picture]) -> dict[str, Picture]:
        """The thumbnail of each of *pictures*, under the same key."""
        return {key: self.thumbnail(picture) for key, picture in pictures.items()}

    def prepare_all(self, articles: Iterable[Article]) -> list[Picture]:
        """The banners of *articles*, in their order, fetched side by side and each only once."""
        wanted = list(articles)
        once = {self._banner_key(article): article for article in wanted}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pictures") as pool:
            list(pool.map(self.banner, once.values()))
        return [self.banner(article) for article in wanted]

    def path(self, picture: Picture) -> Path:
        """Where its file lies."""
        return self._folder / picture.name

    def read(self, picture: Picture) -> bytes:
        """Its bytes, checked; see `stored`."""
        return stored(self._folder, picture)

    def _reopened(self, picture: Picture, within: tuple[int, int] | None = None) -> Image.Image:
        """The pixels of a stored picture, which may have become thinner than what is taken from outside."""
        size = picture.width * picture.height
        return raster.opened(self.read(picture), max_pixels=size, within=within, smallest=1)

    def _once(self, key: str, make: Callable[[], Made]) -> Picture:
        """What *key* names, made if it was not or is not whole; a failure is remembered for a while."""
        until, why = self._failures.get(key, (0.0, ""))
        if why and self._clock() < until:
            raise Unavailable(why)
        known = self._index.find(key)
        if known and self._is_whole(known):
            return known
        try:
            made = make()
        except (Unavailable, NotAPicture) as reason:
            self._failures[key] = (self._clock() + PATIENCE_SECONDS, str(reason))
            raise
        self._failures.pop(key, None)
        picture = self._stored(made)
        self._index.keep(key, picture)
        return picture

    def _is_whole(self, picture: Picture) -> bool:
        try:
            return bool(self.read(picture))
        except NotFound:
            return False

    def _banner_key(self, article: Article) -> str:
        return _key("mail", _stamp(article.banner_file, article.banner))

    def _mail_banner(self, article: Article) -> Made:
        data, media_type = self._source(article.banner_file, article.banner)
        with self._workbench:
            image = raster.opened(
                data, max_pixels=self._limits.max_pixels, within=raster.MAIL_BOX, media_type=media_type
            )
            encoded = raster.for_mail(image)
        note = raster.conversion(data, encoded.media_type)
        return Made(encoded=encoded, url=article.banner, note=note)

    def _source(self, file: str | None, url: str | None) -> tuple[bytes, str]:
        """The bytes of a file of the site, or else of an address, and what the server calls them."""
        if file:
            return _local(Path(file), self._limits.max_bytes), ""
        if url:
            answer = fetch.fetch(self._http, url, self._limits)
            return answer.data, answer.media_type
        raise Unavailable("is not named")

    def _drawn(self, article: Article, note: str) -> Picture:
        def compose() -> Made:
            made = card(self._publication, article, None, None)
            return Made(encoded=made.picture, note=made.note)

        picture = self._once(_key("drawn", self._face(article)), compose)
        return replace(picture, note=_joined(note, picture.note))

    def _site_qr(self, article: Article) -> Made:
        data, media_type = self._source(article.qr_file, article.qr)
        image = raster.flattened(
            raster.opened(data, max_pixels=self._limits.max_pixels, within=QR_BOX, media_type=media_type)
        )
        said = qr.read(image)
        if not said:
            raise NotAPicture("cannot be decoded")
        if not any(self._leads_home(text, article) for text in said):
            raise NotAPicture(f"leads elsewhere ({clean(said[0])[:120]})")
        return Made(encoded=_crisp(image, said), url=article.qr)

    def _leads_home(self, text: str, article: Article) -> bool:
        def is_home(address: str) -> bool:
            return any(qr.leads_to_page(address, page) for page in (article.url, *article.aliases))

        if is_home(text) or not text.startswith(("http://", "https://")):
            return is_home(text)
        try:
            return fetch.leads_to(self._http, text, self._limits, is_home)
        except Unavailable as reason:
            raise NotAPicture(f"leads to {clean(text)[:120]}, which {reason}") from reason

    def _drawn_qr(self, article: Article, note: str) -> Picture:
        def compose() -> Made:
            try:
                return Made(encoded=raster.png(qr.draw(article.url)))
            except qr.TooLong:
                home = Made(encoded=raster.png(qr.draw(self._publication.base_url)))
                return replace(home, note="it leads to the site, for the article's address is too long")

        picture = self._once(_key("qr drawn", article.url, self._publication.base_url), compose)
        return replace(picture, note=_joined(note, picture.note))

    def _face(self, article: Article) -> list[str | None]:
        """All words and colours that a card shows."""
        site = self._publication
        words = [article.key, article.title, article.summary, article.source, article.language, article.url]
        return [*words, site.title, site.base_url, site.language, site.color, site.font]

    def _alt(self, article: Article) -> str:
        """The alternative text: the article's own, or else its title; never empty."""
        site = self._publication
        candidates = (article.wishes.alt, article.title, article.source, site.title, article.url)
        return next(filter(None, (clean(text) for text in candidates if text)), "…")

    def _stored(self, made: Made) -> Picture:
        encoded = made.encoded
        picture = Picture(
            hash=encoded.hash,
            media_type=encoded.media_type,
            width=encoded.width,
            height=encoded.height,
            size=len(encoded.data),
            url=made.url,
            note=made.note,
        )
        if not self._is_whole(picture):
            _write(self.path(picture), encoded.data)
        return picture


def _why_drawn(article: Article, what: str, named: str | None, reason: Exception) -> str:
    if not named:
        return f"drawn: the article names no {what}"
    return f"drawn: the {what} {reason} (named in {clean(article.path)[:120]})"


def _joined(*notes: str | None) -> str | None:
    return "; ".join(filter(None, notes)) or None


def _key(*parts: object) -> str:
    """A name for what is wanted: readable at its start, and of bounded length."""
    said = json.dumps([RECIPE, *parts], default=str)
    return said if len(said) <= 200 else f"{said[:120]}… {hashlib.sha256(said.encode()).hexdigest()}"


def _stamp(file: str | None, url: str | None) -> str | None:
    """What names a source: an address, or a file as it is now."""
    if not file:
        return url
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return file
    return f"{file} {status.st_mtime_ns} {status.st_size}"


def _local(file: Path, max_bytes: int) -> bytes:
    try:
        if not file.is_file():
            raise Unavailable("is not among the site's files any more")
        if file.stat().st_size > max_bytes:
            raise Unavailable(f"is larger than {max_bytes / 1_000_000:g} MB")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot be read ({error})") from error


def _is_drawn(picture: Picture) -> bool:
    return bool(picture.note) and str(picture.note).startswith("drawn")


def _crisp(image: Image.Image, said: list[str]) -> Encoded:
    """A QR picture as PNG, not smaller than our own; in few colours if it then still says the same."""
    factor = max(1, -(-qr.LEAST_WIDTH // image.width))
    large = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    few = large.quantize(QR_COLORS, dither=Image.Dither.NONE)
    return raster.png(few if qr.read(few) == said else large)


def stored(folder: Path, picture: Picture) -> bytes:
    """The bytes of a picture that is kept in a folder.

    Raises:
        NotFound: it is gone, or is another.
    """
    path = folder / picture.name
    data = _bytes_of(path)
    if data is None or hashlib.sha256(data).hexdigest() != picture.hash:
        raise NotFound(f"{path} is gone or damaged")
    return data


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Write all or nothing, and let it survive a power failure: frozen mails name this file.

    Raises: DistributorError when the disk is full or not ours to write on.
    """
    draft = path.with_name(f".{uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise DistributorError(f"{path.parent}: a picture cannot be stored: {error.strerror}") from error
