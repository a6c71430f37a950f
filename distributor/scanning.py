"""What is new on the site and its feeds, read and registered."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from distributor.articles import registry
from distributor.articles.registry import Registered
from distributor.articles.scan import NEVER, ScannedFile, Stamp, scan
from distributor.articles.shelf import FEED
from distributor.errors import ContentError, Problem
from distributor.store import articles as article_store
from distributor.store import campaigns
from subscribers import store as audience

if TYPE_CHECKING:
    from distributor.app import App


@dataclass(slots=True, kw_only=True)
class Read:
    """What was read of the site and its feeds, before it is registered."""

    files: list[ScannedFile] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    old: set[str] = field(default_factory=set)  # paths of a source that was never read before
    unchanged: int = 0
    problems: list[Problem] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)  # to be kept with it, or not at all
    settles_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Scanned:
    """What a scan found."""

    registered: Registered
    files: int  # that the site has
    read: int  # of these, that were new or changed
    problems: list[Problem] = field(default_factory=list)
    rewound: list[str] = field(default_factory=list)  # channels that `since` moved back
    kept: list[str] = field(default_factory=list)  # channels that have announced already
    settles_at: datetime | None = None  # when files that are being written may be read


def scan_site(app: App, *, since: datetime | None = None, settle: timedelta = timedelta(0)) -> Scanned:
    """Read what changed on the site, and number what came to be public.

    The first scan of a site announces nothing: what is public by then is taken as known, but for what was
    published at *since* or later. After that, *since* moves back the channels that announced nothing yet.
    Later scans leave files out that were written to less than *settle* ago.

    Raises:
        ContentError: the content cannot be read; nothing is concluded from it.
    """
    now = app.clock()
    found = _read_site(app, now, settle) if app.site else Read()
    for url in app.config.site.feeds:
        _read_feed(app, url, found)
    with app.database.write() as db:
        registered = registry.register(
            db,
            found.files,
            found.gone,
            now=now,
            since=since,
            old=found.old,
            is_gated=app.config.site.gate != "off",
        )
        for name, value in found.facts.items():
            article_store.keep_fact(db, name, value)
        _begin_channels(app, db, now, registered)
        scanned = Scanned(
            registered=registered,
            files=len(found.files) + found.unchanged,
            read=len(found.files),
            problems=found.problems,
            settles_at=found.settles_at,
        )
        if since is not None and not registered.is_first:
            _rewind(db, since, scanned)
    return scanned


def register_passed(app: App, scanned: Scanned) -> None:
    """Number what has passed the gate since the scan."""
    with app.database.write() as db:
        passed = registry.register(db, (), (), now=app.clock(), is_gated=True)
    scanned.registered.published += passed.published
    scanned.registered.waiting = passed.waiting


def _read_site(app: App, now: datetime, settle: timedelta) -> Read:
    """What changed in the content folder; everything, when the site itself changed."""
    app.look_at_site_anew()
    site = app.site
    assert site is not None
    with app.database.read() as db:
        stamps = article_store.stamps(db)
        fingerprint = article_store.read_fact(db, "fingerprint")
    known = {
        path: Stamp(mtime_ns=mtime_ns, size=size) if fingerprint == site.fingerprint else NEVER
        for path, (mtime_ns, size) in stamps.items()
        if not path.startswith(FEED)
    }
    is_known = fingerprint == site.fingerprint  # else what is left out would later be taken for news
    found = scan(site, known, now=now, settle=settle if is_known else timedelta(0))
    return Read(
        files=list(found.read),
        gone=set(found.gone),
        old={file.path for file in found.read} if fingerprint is None else set(),
        unchanged=found.unchanged,
        problems=[
            *site.problems,
            *found.problems,
            *(problem for file in found.read for problem in file.problems),
        ],
        facts={"fingerprint": site.fingerprint},
        settles_at=found.settles_at,
    )


def _read_feed(app: App, url: str, found: Read) -> None:
    """Add a feed's entries; one that cannot be had is a problem, and stops nothing."""
    with app.database.read() as db:
        tags = article_store.read_fact(db, f"tags of {url}")
    etag, _, modified = (tags or "").partition("\n")
    from distributor.articles import feed  # only some sites need its parsers

    try:
        answer = feed.fetch_feed(app.http, url, etag=etag or None, modified=modified or None)
        if answer.data is None:
            return
        result = feed.read_feed(url, answer.data, timezone=app.publication.timezone)
    except ContentError as error:
        found.problems.append(Problem(path=url, reason=str(error)))
        return
    entries = [ScannedFile(path=FEED + page.path, stamp=NEVER, page=page) for page in result.pages]
    if tags is None:
        found.old |= {entry.path for entry in entries}
    found.files += entries
    found.problems += result.problems
    found.facts[f"tags of {url}"] = f"{answer.etag or ''}\n{answer.modified or ''}"


def _begin_channels(app: App, db: Connection, now: datetime, registered: Registered) -> None:
    baseline = int(article_store.read_fact(db, registry.BASELINE) or 0)
    start = baseline if registered.is_first else article_store.last_sequence(db)
    for name in app.config.newsletters:
        campaigns.ensure_channel(db, name, "newsletter", start=start, now=now)
        audience.ensure_list(db, name, served_through=start)
    for name in app.config.channels:
        campaigns.ensure_channel(db, name, "post", start=start, now=now)


def _rewind(db: Connection, since: datetime, scanned: Scanned) -> None:
    first = article_store.first_sequence_since(db, since)
    if first is None:
        return
    for name, row in campaigns.channels(db).items():
        if row.start < first:
            continue
        if campaigns.has_announced(db, name):
            scanned.kept.append(name)
            continue
        campaigns.handled(db, name, through=first - 1)
        if row.kind == "newsletter":
            audience.stand_back(db, name, through=first - 1)
        scanned.rewound.append(name)
