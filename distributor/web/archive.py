"""Past editions, for everybody: lists, a feed of each newsletter, and editions as most readers got them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from distributor.app import App
from distributor.config import Newsletter
from distributor.model import Digest
from distributor.rendering.filters import printable
from distributor.slots import split
from distributor.store import archive, campaigns
from distributor.store.archive import Edition
from distributor.web.pages import Pages, route

PAGE = 20  # editions on one
NEWEST = 3  # of each newsletter, where all are shown
MOST_KEPT = 2000  # titles of editions, read once
FRESH = "public, max-age=300"
OPEN = {"x-robots-tag": "all", "cache-control": FRESH}

# A mail has its styles within, and words that others wrote: nothing in it may run, or act for the site.
SANDBOX = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self' https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An edition in a list."""

    edition: Edition
    title: str
    summary: str

    @property
    def number(self) -> int:
        return self.edition.campaign

    @property
    def due_at(self) -> datetime:
        return self.edition.due_at


class Archive:
    """`GET /archive`, `/archive/{campaign}`, `/archive/{newsletter}/` and its `feed.xml`."""

    def __init__(self, app: App, pages: Pages) -> None:
        self._app = app
        self._pages = pages
        self._told = lru_cache(maxsize=MOST_KEPT)(self._read)

    @property
    def routes(self) -> list[BaseRoute]:
        paths = {
            "/archive": self._all,
            "/archive/": self._all,
            "/archive/{campaign:int}": self._edition,
            "/archive/{newsletter}": self._list,
            "/archive/{newsletter}/": self._list,
            "/archive/{newsletter}/feed.xml": self._feed,
        }
        return [Route(path, route(show), methods=["GET"]) for path, show in paths.items()]

    def _all(self, _request: Request) -> Response:
        with self._app.database.read() as db:
            found = {name: archive.editions(db, name, limit=NEWEST) for name in self._app.config.newsletters}
        listed = {name: self._entries(editions) for name, editions in found.items()}
        return self._pages.show("archive", headers=OPEN, listed=listed, addresses=self._addresses())

    def _list(self, request: Request) -> Response:
        """Some of a newsletter's editions, those *before* the last that was shown."""
        name = request.path_params["newsletter"]
        newsletter = self._app.config.newsletters.get(name)
        if newsletter is None:
            return self._pages.trouble(404)
        before = _number(request.query_params.get("before", ""))
        with self._app.database.read() as db:
            found = archive.editions(db, name, limit=PAGE + 1, before=before)
        entries = self._entries(found[:PAGE])
        return self._pages.show(
            "newsletter",
            headers=OPEN,
            name=name,
            newsletter=newsletter,
            address=self._address(name),
            entries=entries,
            older=entries[-1].number if len(found) > PAGE else None,
            is_first=before is None,
        )

    def _feed(self, request: Request) -> Response:
        """RSS 2.0 that names its own address (https://www.rssboard.org/rss-profile, read 2026-11-23)."""
        name = request.path_params["newsletter"]
        newsletter = self._app.config.newsletters.get(name)
        if newsletter is None:
            return self._pages.trouble(404)
        with self._app.database.read() as db:
            found = archive.editions(db, name, limit=PAGE)
        changed_at = found[0].due_at.replace(microsecond=0) if found else None
        xml = self._xml(name, newsletter, self._entries(found))
        headers = {"cache-control": FRESH, "etag": f'"{hashlib.sha256(xml.encode()).hexdigest()[:32]}"'}
        if changed_at:
            headers["last-modified"] = _http_date(changed_at)
        if _has_it(request, headers["etag"], changed_at):
            return Response(status_code=304, headers=headers)
        return Response(xml, media_type="application/rss+xml; charset=utf-8", headers=headers)

    def _xml(self, name: str, newsletter: Newsletter, entries: list[Entry]) -> str:
        base = self._app.config.web.public_url
        items = [
            {
                "title": entry.title,
                "summary": entry.summary,
                "link": f"{base}/archive/{entry.number}",
                "date": format_datetime(entry.due_at.astimezone(UTC)),
            }
            for entry in entries
        ]
        return self._pages.render(
            "feed.xml.j2",
            title=printable(newsletter.title),
            description=printable(newsletter.description or newsletter.title),
            link=f"{base}{self._address(name)}",
            items=items,
        )

    def _edition(self, request: Request) -> Response:
        """An edition in full. Its page is the mail itself, with nobody's links in it."""
        with self._app.database.read() as db:
            found = archive.edition(db, request.path_params["campaign"])
            digest = campaigns.rendition_of(db, found.rendition) if found else None
        if found is None or not isinstance(digest, Digest):
            return self._pages.trouble(404)
        headers = {
            **OPEN,
            "content-security-policy": SANDBOX,
            # Browsers show nothing that is in a sandbox and wants an opener policy (HTML, 7.5.5).
            "cross-origin-opener-policy": "unsafe-none",
            "etag": f'"{found.rendition[:32]}-{found.campaign}"',
        }
        if _has_it(request, headers["etag"], None):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(self._html(found, digest), headers=headers)

    def _html(self, found: Edition, digest: Digest) -> str:
        root = self._pages.root
        html = split(digest.html).fill(
            {
                "name": "",
                "unsubscribe_url": f"{root}/unsubscribe",
                "preferences_url": f"{root}/preferences",
                "view_url": f"{root}/archive/{found.campaign}",
                "confirm_url": f"{root}/subscribe",
            }
        )
        pictures = {picture.hash: picture.name for picture in digest.pictures}
        return re.sub(
            r"\bcid:([0-9a-f]{64})",
            lambda cid: f"{root}/media/{pictures[cid[1]]}" if cid[1] in pictures else cid[0],
            html,
        )

    # --- what they share ---

    def _entries(self, found: list[Edition]) -> list[Entry]:
        """Editions with what they are called."""
        told = [(edition, *self._told(edition.rendition)) for edition in found]
        return [
            Entry(edition=edition, title=title or self._named(edition), summary=summary)
            for edition, title, summary in told
        ]

    def _read(self, rendition: str) -> tuple[str, str]:
        """Subject and preheader of what was frozen, which never change."""
        with self._app.database.read() as db:
            digest = campaigns.rendition_of(db, rendition)
        return (digest.subject, digest.preheader) if isinstance(digest, Digest) else ("", "")

    def _named(self, edition: Edition) -> str:
        newsletter = self._app.config.newsletters.get(edition.newsletter)
        return newsletter.title if newsletter else edition.newsletter

    def _addresses(self) -> dict[str, str]:
        return {name: self._address(name) for name in self._app.config.newsletters}

    @staticmethod
    def _address(name: str) -> str:
        return f"/archive/{quote(name, safe='')}/"


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _has_it(request: Request, etag: str, changed_at: datetime | None) -> bool:
    """Whether the asker's copy is still good (RFC 9110, 13.2.2: the tag goes before the date)."""
    if tags := request.headers.get("if-none-match"):
        known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return etag in known or "*" in known
    since = _parsed(request.headers.get("if-modified-since", ""))
    return since is not None and changed_at is not None and changed_at <= since


def _parsed(date: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
