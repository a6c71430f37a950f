"""A folder instead of a network: what would be posted, to look at."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import regex
from anyio import to_thread

from distributor.errors import Refused, TryLater
from distributor.model import Batch, Picture, Post, Receipt
from distributor.providers.protocol import FOR_EVER, Keyring, Memory, SocialLimits

Media = Callable[[Picture], bytes | Path]  # a picture's bytes, or the file that has them


class Outbox:
    """Writes each post of *channel* into a folder of its own below *path*, complete or not at all.

    `PATH/CHANNEL/KEY/` has `post.txt`, `post.json` (what the network would be sent), the pictures under
    readable names and `alt.txt` with their alternative texts. KEY is the batch's request key, changed where
    it could not name a folder. Names that start with a dot are unfinished; nobody reads them.
    """

    limits = SocialLimits(repeatable_for=FOR_EVER)

    def __init__(self, path: Path, *, channel: str) -> None:
        self._channel = channel
        self._folder = path / safe_name(channel)

    @asynccontextmanager
    async def connected(self, keyring: Keyring) -> AsyncIterator[Outbox]:
        yield self

    async def send(self, batch: Batch, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """Place *post*, and name the folder in the receipt.

        Repeating a call is harmless: the same post under the same key changes nothing, and has the same
        receipt.

        Raises:
            Refused: another post lies under this key; it stays as it is.
            TryLater: the folder cannot be written, or a picture not be read; nothing was placed.
        """
        return await to_thread.run_sync(self._place, batch.key, post, media)

    async def edit(self, of: Receipt, post: Post, *, media: Media, memory: Memory) -> Receipt:
        """Place the new words beside the old, in `edited.txt`."""
        return await to_thread.run_sync(self._mark, of, "edited.txt", post.text)

    async def delete(self, of: Receipt) -> None:
        """Say in the folder that the post is gone; a network would leave nothing to look at."""
        await to_thread.run_sync(self._mark, of, "deleted.txt", "This post would be deleted.")

    def _mark(self, of: Receipt, name: str, words: str) -> Receipt:
        folder = self._folder / of.id.rpartition("/")[2]
        try:
            if folder.is_dir():
                (folder / name).write_text(words + "\n", encoding="utf-8")
        except OSError as error:
            raise TryLater(f"{error.filename or folder}: {error.strerror or error}") from error
        return of

    def _place(self, key: str, post: Post, media: Media) -> Receipt:
        folder = self._folder / safe_name(key)
        receipt = Receipt(id=f"outbox:{self._channel}/{folder.name}", url=folder.absolute().as_uri())
        try:
            files = contents(post, media)
            if not folder.exists():
                _write(folder, files)
        except OSError as error:
            raise TryLater(f"{error.filename or folder}: {error.strerror or error}") from error
        if _differs(folder, files):
            raise Refused(f"{folder}: another post lies there under the same key")
        return receipt


def contents(post: Post, media: Media) -> dict[str, bytes]:
    """The files of one post, by name; for the same post always the same bytes."""
    names = {picture.hash: _picture_name(place, picture) for place, picture in enumerate(post.pictures, 1)}
    files = {
        "post.txt": post.text.encode() + b"\n",
        "post.json": json.dumps(post.payload, ensure_ascii=False, indent=2).encode() + b"\n",
    }
    if post.pictures:
        files["alt.txt"] = _alt_texts(post.pictures, names).encode()
    for picture in post.pictures:
        source = media(picture)
        files[names[picture.hash]] = source if isinstance(source, bytes) else source.read_bytes()
    return files


def _picture_name(place: int, picture: Picture) -> str:
    """What the picture shows, so that a folder can be read: `1-ferry-leaving-the-harbour.jpg`."""
    words = regex.findall(r"[\p{L}\p{M}\p{N}]+", picture.alt.lower())
    readable = "-".join(words)[:40].rpartition("-")[0] if len("-".join(words)) > 40 else "-".join(words)
    return f"{place}-{readable or 'picture'}{Path(picture.name).suffix}"


def _alt_texts(pictures: Iterable[Picture], names: Mapping[str, str]) -> str:
    return "".join(f"{names[picture.hash]}\n{picture.alt}\n\n" for picture in pictures)


def safe_name(key: str) -> str:
    """*key* as one folder's name on any system; two keys never share one.

    A name that had to be changed ends in a part of the key's hash. Capitals count as changed, because some
    systems do not tell them from small letters.
    """
    safe: str = regex.sub(r"[^a-z0-9_.-]+", "-", key.lower()).strip(".-")[:80]
    if safe and safe == key and not regex.fullmatch(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", safe):
        return safe
    return f"{safe}-{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:12]}".lstrip("-")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make *folder* with *files* in one step: whoever is killed on the way leaves only a dotted name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.", dir=folder.parent))
    try:
        for name, content in files.items():
            _write_through(unfinished / name, content)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
        _sync(folder.parent)
    except FileExistsError:
        pass  # another worker placed it meanwhile; the caller compares
    except OSError as error:
        if not folder.is_dir():
            raise error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the names in *folder* outlive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _differs(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Whether *folder* says anything else than *files*; pictures may have been made anew."""
    said = {name: content for name, content in files.items() if name in ("post.txt", "post.json")}
    return any(not (folder / name).is_file() or (folder / name).read_bytes() != said[name] for name in said)
