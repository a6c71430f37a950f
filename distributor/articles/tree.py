"""The content folder as Hugo walks it: folders, branch and leaf bundles, files that are no pages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distributor.errors import ContentError, Problem

MARKDOWN = (".md", ".markdown", ".mdown")
HTML = (".html", ".htm")
PAGES = MARKDOWN + HTML
UNREAD = (".org", ".adoc", ".asciidoc", ".ad", ".rst", ".pandoc", ".pdc")  # pages to Hugo, not to us


@dataclass(slots=True, kw_only=True)
class Folder:
    """One folder of the content: its content files, and whether they are one bundle."""

    path: str  # relative to the content folder, POSIX; empty for itself
    pages: list[os.DirEntry[str]] = field(default_factory=list)
    indexes: list[os.DirEntry[str]] = field(default_factory=list)  # _index.md and its translations
    is_leaf: bool = False  # only its index files are pages, anything else belongs to them
    is_unread: bool = False  # it cannot be listed
    problems: list[Problem] = field(default_factory=list)

    def path_of(self, name: str) -> str:
        """The path of the file *name* in it, relative to the content folder."""
        return f"{self.path}/{name}" if self.path else name


def walk(content: Path, ignored: Sequence[re.Pattern[str]] = ()) -> Iterator[Folder]:
    """Every folder Hugo looks into, in no order.

    Raises:
        ContentError: the content folder itself is missing or cannot be listed.
    """
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(content),))]
    while waiting:
        path, chain = waiting.pop()
        folder = Folder(path=path)
        below = _list(content, folder, ignored)
        if not folder.is_leaf:
            waiting += _enter(folder, below, chain)
        yield folder


def _list(content: Path, folder: Folder, ignored: Sequence[re.Pattern[str]]) -> list[os.DirEntry[str]]:
    """Fill *folder* from the disk; the folders in it."""
    below: list[os.DirEntry[str]] = []
    try:
        with os.scandir(content / folder.path) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(".md") and name[0].isalnum() and name.isascii() and not ignored:
                    (below if _is_folder(entry) else folder.pages).append(entry)  # nearly every file there is
                else:
                    _sort(entry, folder, below, ignored)
    except OSError as error:
        if not folder.path:
            raise _unreadable(content, error) from error
        folder.is_unread = True
        folder.problems.append(_problem(folder.path, error))
    folder.is_leaf = _is_leaf(folder)
    if folder.is_leaf:
        folder.pages = [entry for entry in folder.pages if entry.name.startswith("index.")]
    return below


def _sort(
    entry: os.DirEntry[str],
    folder: Folder,
    below: list[os.DirEntry[str]],
    ignored: Sequence[re.Pattern[str]],
) -> None:
    name = entry.name
    if name[0] in ".#" or name[-1] == "~" or any(pattern.search(entry.path) for pattern in ignored):
        return
    if name.endswith(PAGES) or name.endswith(UNREAD):
        if not name.isascii() and _is_broken(name):
            reason = "the file's name is not UTF-8 text"
            shown = folder.path_of(name).encode(errors="replace").decode()
            folder.problems.append(Problem(path=shown, reason=reason, remedy="rename it"))
        elif name.startswith("_index."):
            folder.indexes.append(entry)
        elif _is_folder(entry):
            below.append(entry)
        else:
            folder.pages.append(entry)
    elif _is_folder(entry) and not _is_broken(name):
        below.append(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_broken(name: str) -> bool:
    """Whether *name* holds bytes that are no text, which Python carries as lone surrogates."""
    return any("\ud800" <= character <= "\udfff" for character in name)


def _is_leaf(folder: Folder) -> bool:
    """Hugo takes a folder for a leaf bundle by its index file; with both kinds it is a branch."""
    return not folder.indexes and any(entry.name.startswith("index.") for entry in folder.pages)


def _enter(
    folder: Folder, below: list[os.DirEntry[str]], chain: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The folders of *below* to walk, each with the real paths it lies in: a link back to one is a loop."""
    for entry in below:
        real = os.path.realpath(entry.path) if entry.is_symlink() else f"{chain[-1]}/{entry.name}"
        if entry.is_symlink() and any(outer == real or outer.startswith(real + "/") for outer in chain):
            reason = "is a symbolic link to a folder that holds it"
            folder.problems.append(
                Problem(path=folder.path_of(entry.name), reason=reason, remedy="remove it")
            )
        else:
            yield folder.path_of(entry.name), (*chain, real)


def _unreadable(content: Path, error: OSError) -> ContentError:
    what = {
        FileNotFoundError: "does not exist",
        NotADirectoryError: "is not a folder",
        PermissionError: "cannot be read by this user",
    }.get(type(error), f"cannot be read: {error.strerror}")
    remedy = "set `content` in [site] of distributor.toml, or mount the folder"
    return ContentError(f"The content folder {content} {what}; {remedy}.")


def _problem(path: str, error: OSError) -> Problem:
    return Problem(path=path, reason=f"cannot be read: {error.strerror}", remedy="allow this user to read it")


def is_static_html(data: bytes) -> bool:
    """Whether an HTML file is none of Hugo's pages: it starts with a tag instead of front matter."""
    start = data[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"<") and not start.startswith(b"<!--")
