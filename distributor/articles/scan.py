"""What changed in the content folder since an index was made."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from distributor.articles import tree
from distributor.articles.hugo import HugoSite
from distributor.articles.page import Page
from distributor.articles.reader import read_page
from distributor.errors import ContentError, Problem

MAX_BYTES = 4 * 1024 * 1024  # of a file are read; what is longer is no article
SETTLED_AFTER = timedelta(seconds=2)  # file systems with coarse clocks give two writes one time


@dataclass(frozen=True, slots=True)
class Stamp:
    """By which a file is known not to have changed."""

    mtime_ns: int
    size: int  # bytes


NEVER = Stamp(-1, -1)  # equals no file's: it is read again next time
VANISHED = Stamp(-2, -2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedFile:
    """One file that was read: its page, unless it has none, and what is wrong with it."""

    path: str  # relative to the content folder, POSIX
    stamp: Stamp
    page: Page | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one walk through the content folder found."""

    read: tuple[ScannedFile, ...]  # new or changed files, by path
    gone: frozenset[str]  # known paths that are no pages any more
    unchanged: int
    problems: tuple[Problem, ...] = ()  # with folders and file names, not with one file's content
    settles_at: datetime | None = None  # when what was left out, because it is being written, may be read


def scan(
    site: HugoSite,
    known: Mapping[str, Stamp],
    *,
    now: datetime | None = None,
    settle: timedelta = timedelta(0),
) -> Scan:
    """Read the files that are new or changed since *known* was recorded.

    *known* must have been made under the same `site.fingerprint`; made under another one, pass none of it
    and take what is read for the whole. A file changed within the last two seconds before *now* gets a
    stamp under which it is read again.

    A file that was written to less than *settle* ago may be half of what it is to be, and is left out. While
    there is one, none counts as gone: it may be what another was renamed to.

    Raises:
        ContentError: the content folder cannot be listed, or is empty while files are known.
    """
    now = now or datetime.now(UTC)
    settled_ns = _ns(now - SETTLED_AFTER)
    found = _Found()
    for folder in tree.walk(site.content, site.ignored):
        found.look(folder, known)
    if known and not found.seen and not found.unread:
        raise _unmounted(site.content, len(known))
    restless = [status.st_mtime_ns for _, _, status in found.changed if _is_restless(status, now, settle)]
    changed = sorted(entry for entry in found.changed if not _is_restless(entry[2], now, settle))
    read = [_read(site, path, file, status, settled_ns) for path, file, status in changed]
    vanished = [one.problems[0] for one in read if one.stamp == VANISHED]
    return Scan(
        read=tuple(one for one in read if one.stamp != VANISHED),
        gone=frozenset(() if restless else found.gone(known)),
        unchanged=len(found.seen) - len(found.changed),
        problems=(*found.problems, *vanished),
        settles_at=datetime.fromtimestamp(max(restless) / 1e9, UTC) + settle if restless else None,
    )


def _is_restless(status: os.stat_result, now: datetime, settle: timedelta) -> bool:
    """Whether a file was written to just now; a time to come is a wrong clock's, and says nothing."""
    return _ns(now - settle) < status.st_mtime_ns <= _ns(now)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


class _Found:
    """What a walk has met so far."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.changed: list[tuple[str, str, os.stat_result]] = []  # path, file, status
        self.unread: list[str] = []  # folders that cannot be listed: nothing is concluded about their files
        self.problems: list[Problem] = []

    def look(self, folder: tree.Folder, known: Mapping[str, Stamp]) -> None:
        start = f"{folder.path}/" if folder.path else ""
        for entry in folder.pages:
            path = start + entry.name
            try:
                status = entry.stat()
            except OSError as error:
                self._missed(path, error)
                continue
            if not stat.S_ISREG(status.st_mode):
                continue  # a pipe or device would be waited for
            self.seen.add(path)
            stamp = known.get(path)
            if stamp is None or stamp.mtime_ns != status.st_mtime_ns or stamp.size != status.st_size:
                self.changed.append((path, entry.path, status))
        self.problems += folder.problems
        if folder.is_unread:
            self.unread.append(folder.path)

    def _missed(self, path: str, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            reason = "is a symbolic link that leads nowhere, or vanished during the scan"
        else:
            reason = f"cannot be read: {error.strerror}"
        self.problems.append(Problem(path=path, reason=reason))

    def gone(self, known: Mapping[str, Stamp]) -> Iterator[str]:
        return (path for path in known.keys() - self.seen if not self.is_unread(path))

    def is_unread(self, path: str) -> bool:
        return any(path.startswith(f"{folder}/") for folder in self.unread)


def _read(site: HugoSite, path: str, file: str, status: os.stat_result, settled_ns: int) -> ScannedFile:
    if path.endswith(tree.UNREAD):
        ending = path.rpartition(".")[2]
        problem = Problem(path=path, reason=f"is a .{ending} file; only Markdown and HTML pages are read")
        return ScannedFile(path=path, stamp=_stamp(status), page=None, problems=(problem,))
    try:
        data = _bytes(file, min(status.st_size, MAX_BYTES) + 1)
    except FileNotFoundError:
        problem = Problem(path=path, reason="vanished during the scan")
        return ScannedFile(path=path, stamp=VANISHED, page=None, problems=(problem,))
    except OSError as error:
        remedy = "allow this user to read it"
        problem = Problem(path=path, reason=f"cannot be read: {error.strerror}", remedy=remedy)
        return ScannedFile(path=path, stamp=NEVER, page=None, problems=(problem,))
    is_whole = len(data) == min(status.st_size, MAX_BYTES + 1)  # it may be written at this moment
    stamp = _stamp(status) if is_whole and status.st_mtime_ns < settled_ns else NEVER
    return _parsed(site, path, data, stamp, status)


def _bytes(file: str, most: int) -> bytes:
    opened = os.open(file, os.O_RDONLY)
    try:
        return os.read(opened, most)
    finally:
        os.close(opened)


def _parsed(site: HugoSite, path: str, data: bytes, stamp: Stamp, status: os.stat_result) -> ScannedFile:
    if path.endswith(tree.HTML) and tree.is_static_html(data):
        return ScannedFile(path=path, stamp=stamp, page=None)
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC) if site.dates_by_file_time else None
    page, problems = read_page(site, path, data[:MAX_BYTES], modified_at=modified_at)
    if len(data) > MAX_BYTES:
        reason = f"is longer than {MAX_BYTES // 1024**2} MiB; only its beginning is read"
        problems = (*problems, Problem(path=path, reason=reason))
    return ScannedFile(path=path, stamp=stamp, page=page, problems=problems)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_size)


def _unmounted(content: Path, count: int) -> ContentError:
    return ContentError(
        f"The content folder {content} is empty, where {count} pages were known; "
        "is it mounted? Nothing was taken for deleted."
    )
