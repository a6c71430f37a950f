"""The gate: an article is announced once the public site shows it, so that no link leads nowhere.

What waits has no sequence number yet, so no reader's position and no channel can pass it by. The site is
asked with growing pauses; what answered once is not asked for again; and whoever asks writes so down first,
so that several machines ask no more than one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from distributor.config import Site
from distributor.logs import Log
from distributor.rendering import fetch
from distributor.store import alerts
from distributor.store import gate as store
from distributor.store.gate import Waiting

if TYPE_CHECKING:
    from distributor.app import App

log = Log(__name__)

AT_ONCE = 4  # requests
MOST = 40  # articles in one round
FIRST, LONGEST = timedelta(seconds=10), timedelta(minutes=10)  # pauses, doubling from the one to the other
CLAIM = timedelta(minutes=2)  # after a crash another process asks again


def ask(app: App) -> int:
    """Ask the site for what waits and is due; how many articles passed."""
    now = app.clock()
    with app.database.read() as db:
        next_at = store.next_ask_at(db)
    if next_at is None or next_at > now:
        return 0
    with app.database.write() as db:
        mine = store.claim(db, now=now, until=now + CLAIM, limit=MOST)
    answered = [judged(row, app.config.site, now) for row in _looked_for(app, mine)]
    with app.database.write() as db:
        store.note(db, answered)
        for row in answered:
            if row.reason and now >= row.since + app.config.site.gate_deadline:
                alerts.raise_alert(db, f"gate {row.key} {row.since:%Y-%m-%d %H:%M}", _told(row), now=now)
    for row in answered:
        what = "passed the gate" if row.passed_at else "held at the gate"
        log.info(what, article=row.key, url=row.url, asked=row.asked, reason=row.reason)
    return sum(row.passed_at is not None for row in answered)


def _looked_for(app: App, rows: Sequence[Waiting]) -> Iterator[Waiting]:
    """The rows as the site answered; a host in trouble is asked once, and not for each article."""
    look = partial(_look, app)
    by_host: dict[str, list[Waiting]] = {}
    for row in rows:
        by_host.setdefault(urlsplit(row.url).netloc, []).append(row)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for first, *others in by_host.values():
            seen, is_in_trouble = look(first)
            yield seen
            if is_in_trouble:
                yield from (replace(row, reason=seen.reason) for row in others)
            else:
                yield from (row for row, _ in pool.map(look, others))


def _look(app: App, row: Waiting) -> tuple[Waiting, bool]:
    """The row with what answered and why it does not pass; and whether the site itself is in trouble."""
    answered = list(row.answered)
    missing: list[str] = []
    for what, url in _addresses(row, app.config.site):
        if url in answered:
            continue
        try:
            code = fetch.status(app.http, url, app.config.pictures)
        except fetch.Unavailable as error:
            missing.append(f"its {what} {error}")
            if what == "page":
                return replace(row, reason=missing[0]), True
            continue
        if 200 <= code < 300:
            answered.append(url)
            continue
        missing.append(f"its {what} answered {code}")
        if what == "page":  # the rest comes with it
            return replace(row, reason=missing[0]), code == 429 or code >= 500
    return replace(row, answered=tuple(answered), reason="; ".join(missing) or None), False


def _addresses(row: Waiting, site: Site) -> Iterator[tuple[str, str]]:
    yield "page", row.url
    if site.gate == "all":
        for what, url in (("banner", row.banner), ("QR code", row.qr)):
            if url and url.startswith(("http://", "https://")):
                yield what, url


def judged(row: Waiting, site: Site, now: datetime) -> Waiting:
    """What becomes of an article after an answer: it passes, or is asked for again later.

    When the time is up, it goes without what is missing; without its page only where that is wished.
    """
    deadline = row.since + site.gate_deadline
    has_page = row.url in row.answered
    if row.reason is None or (now >= deadline and (has_page or site.gate_overdue == "announce")):
        return replace(row, asked=row.asked + 1, passed_at=now)
    pause = min(FIRST * 2 ** min(row.asked, 10), LONGEST)
    ask_at = min(now + pause, deadline) if now < deadline else now + LONGEST
    return replace(row, asked=row.asked + 1, ask_at=ask_at)


def _told(row: Waiting) -> str:
    became = "it is announced all the same" if row.passed_at else "it is not announced before that is mended"
    return f"“{row.title}” ({row.url}): {row.reason}, since {row.since:%Y-%m-%d %H:%M} UTC; {became}"
