"""When to look: at once when a file changes, on the second when something is due, and every so often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Lock, Thread

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from watchfiles import Change, watch

from distributor.articles.tree import PAGES, UNREAD

LOOK, CHORES = "look", "chores"  # jobs' names
QUIET_MS = 50, 1000  # at least and at most, without a further change, before a change is told
CHECK_MS = 2000  # between looks at whether the folder is still the same
AGAIN = 30.0  # seconds after which watching is tried again
REMOTE = ("nfs", "cifs", "smb", "9p", "sshfs", "ceph", "glusterfs", "virtiofs", "afs", "davfs", "vboxsf")
SETTINGS = ("hugo.", "config.")  # how the files of a site's own configuration begin


class Looks:
    """Looks one after another, never two at once: when asked to, when something is due, and every so often.

    *look* gives the next moment at which something is due. No wait is longer than *every*: whatever becomes
    of the clock, a look comes.
    """

    def __init__(self, look: Callable[[], datetime | None], *, every: timedelta) -> None:
        self._look = look
        self.every = every
        self._scheduler = BackgroundScheduler(
            timezone="UTC", executors={"default": ThreadPoolExecutor(1), CHORES: ThreadPoolExecutor(1)}
        )
        self._lock = Lock()
        self._is_asked = False
        self._is_stopped = False
        self._rests = Event()
        self._rests.set()

    def start(self) -> None:
        self._at(datetime.now(UTC))
        self._scheduler.start()

    def daily(self, chore: Callable[[], None]) -> None:
        """Do something else once a day, in the small hours, beside the looks; and once soon."""
        soon = datetime.now(UTC) + timedelta(minutes=5)
        self._scheduler.add_job(
            chore, "cron", hour=3, jitter=1800, id=CHORES, executor=CHORES, coalesce=True, next_run_time=soon
        )

    def soon(self) -> None:
        """Look as soon as the look that is under way, if any, is over. From any thread."""
        with self._lock:
            self._is_asked = True
            if self._rests.is_set():
                self._at(datetime.now(UTC))

    def stop(self) -> None:
        """Look no more."""
        with self._lock:
            self._is_stopped = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def join(self, seconds: float) -> bool:
        """Wait for the look that is under way; False when it takes longer."""
        return self._rests.wait(seconds)

    def _run(self) -> None:
        with self._lock:
            if self._is_stopped:
                return
            self._rests.clear()
            self._is_asked = False
        due_at = None
        try:
            due_at = self._look()
        finally:
            with self._lock:
                self._rests.set()
                now = datetime.now(UTC)
                self._at(now if self._is_asked else min(due_at or now + self.every, now + self.every))

    def _at(self, moment: datetime) -> None:
        if not self._is_stopped:
            # Two instances: the one that puts the next in its place has not quite ended.
            self._scheduler.add_job(
                self._run,
                "date",
                run_date=moment,
                id=LOOK,
                replace_existing=True,
                misfire_grace_time=None,
                max_instances=2,
            )


class Noticing:
    """Rings when a page or the site's own configuration changes; where it cannot notice, it says so once."""

    def __init__(
        self,
        content: Path,
        root: Path,
        *,
        ring: Callable[[], None],
        tell: Callable[[str], None],
        every: timedelta,
        settle: timedelta = timedelta(0),
    ) -> None:
        """*settle*: what is being written may be read after so long, so nobody is woken before."""
        self._ring = ring
        self._quiet_ms = min(max(QUIET_MS[0], round(settle.total_seconds() * 1000)), QUIET_MS[1])
        self._tell = tell
        self._every = every
        self._stopped = Event()
        self._said: str | None = None
        self._threads = [
            Thread(target=self._keep_watching, args=(folder, is_deep, matters), name="noticing", daemon=True)
            for folder, is_deep, matters in (
                (content, True, may_be_a_page),
                (root, False, may_be_settings),
                (root / "config", True, may_be_settings),
            )
            if folder == content or folder.is_dir()
        ]
        if kind := remote(content):
            self._cannot(f"{content} is on {kind}, which says nothing of changes made on other machines")

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _keep_watching(self, folder: Path, is_deep: bool, matters: Callable[[Change, str], bool]) -> None:
        while not self._stopped.is_set():
            try:
                self._watch(folder, is_deep, matters)
            except Exception as error:  # too many watches, a folder that is gone: the library has many names
                self._cannot(f"{folder} cannot be watched: {error}")
                self._stopped.wait(AGAIN)
            else:
                self._ring()

    def _watch(self, folder: Path, is_deep: bool, matters: Callable[[Change, str], bool]) -> None:
        """Ring at every change, until stopped or another folder is in its place: what is mounted over it."""
        began = _identity(folder)
        for changes in watch(
            folder,
            watch_filter=matters,
            recursive=is_deep,
            step=self._quiet_ms,
            debounce=2 * self._quiet_ms,
            rust_timeout=CHECK_MS,
            yield_on_timeout=True,
            stop_event=self._stopped,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            if _identity(folder) != began:
                return
            if changes:
                self._ring()

    def _cannot(self, why: str) -> None:
        if why != self._said:
            self._said = why
            within = f"{self._every.total_seconds():g} s"
            self._tell(f"{why}; what changes there is noticed within {within}, not at once")


def may_be_a_page(_change: Change, path: str) -> bool:
    """Whether a change may be of a page, or of a folder of pages; not of an editor's own file."""
    name = Path(path).name
    if name[:1] in ("", ".", "#") or name[-1] == "~":
        return False
    return name.endswith(PAGES + UNREAD) or "." not in name or Path(path).is_dir()


def may_be_settings(_change: Change, path: str) -> bool:
    """Whether a change may be of the site's own configuration."""
    place = Path(path)
    return place.name.startswith(SETTINGS) or "config" in place.parts[-3:-1]


def remote(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The kind of file system of another machine that a folder is on; None where it is this one's (Linux)."""
    try:
        rows = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
        real = str(folder.resolve())
    except OSError:
        return None
    found = ("", "")
    for row in rows:
        point, kind = row[4].replace("\\040", " "), row[row.index("-") + 1]
        if Path(real).is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1] if any(name in found[1] for name in REMOTE) else None


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
